"""What a training begins with: recordings, the same under conditions, a model; or why it cannot."""

import hashlib
from pathlib import Path

from sentimental.features_file import load_features
from sentimental.scripts import SentimentalError, interruptible

# Fewer recordings train nothing, and measure nothing.
LEAST_RECORDINGS = 10


def load_recordings(path, n_emotions):
    """Recordings to train on or to measure, sorted by corpus and file name."""
    if not path.exists():
        raise SentimentalError(f"{path}: no such file; make it with: python preprocess.py")
    with interruptible():
        recordings = load_features(path)
    recordings.sort(key=lambda r: (r.corpus, Path(r.name).name, r.hash))
    if any(recording.condition for recording in recordings):
        raise SentimentalError(f"{path}: made with --condition, which is for tests")
    if len(recordings) < LEAST_RECORDINGS:
        message = f"{len(recordings)} recordings are too few; give {LEAST_RECORDINGS} at least"
        raise SentimentalError(f"{path}: {message}")
    if len({recording.emotion for recording in recordings}) < n_emotions:
        raise SentimentalError(f"{path}: recordings of one emotion train nothing; give others, too")
    return recordings


def load_conditions(paths):
    """Recordings under conditions, by the name of the condition."""
    conditions = {}
    for path in paths:
        recordings = load_features(path)
        names = {recording.condition for recording in recordings}
        if len(names) != 1 or "" in names:
            raise SentimentalError(f"{path}: not made with preprocess.py --condition")
        (name,) = names
        if name in conditions:
            raise SentimentalError(f"{path}: there is another file of condition {name}")
        conditions[name] = recordings
    return conditions


def load_start(path, recordings):
    """The model whose weights a training begins with, as `load_network` returns it."""
    from sentimental.training.network import load_network

    _, start = load_network(path)
    known = sorted({*start["training"]["corpora"]} & {r.corpus for r in recordings})
    if known:
        raise SentimentalError(
            f"{path}: was trained with {', '.join(known)}, so testing on them would be misleading; "
            "begin with a model that was not, or give features of other recordings"
        )
    return start


def fingerprint_files(recordings):
    """Tells by which recordings a model was validated and tested, wherever they lie."""
    names = [(recording.hash, Path(recording.name).name) for recording in recordings]
    return hashlib.sha256(repr(names).encode()).hexdigest()
