"""The recordings below some folders, each take of them once."""

import functools
import hashlib
import re
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from sentimental.audio import load_audio
from sentimental.corpora import CORPORA
from sentimental.files import unreadable
from sentimental.preprocessing.labels import (
    EMOTION_NAMES,
    Labels,
    absolute,
    reason_left_out,
    take_of,
)
from sentimental.scripts import EMOTIONS, SentimentalError, check_stop, shown
from sentimental.spectrum import SAMPLE_RATE

# How files begin that keep every sample: WAV, AIFF and FLAC.
LOSSLESS = rb"(?s)(?:RIFF|RF64)....WAVE|FORM....AIF|fLaC"
# Bytes that are read at once.
BLOCK = 1 << 20
# s that a part may seem to last longer than its file, as tables are rounded.
TOLERANCE_SECONDS = 0.1


def find_corpora(folder):
    """The folders below the one that data/download.py fills, with a line that names them.

    Raises
    ------
    SentimentalError
        When there are none.
    """
    corpora = [
        path
        for path in sorted(folder.glob("[!._]*"))
        if path.is_dir() and not re.fullmatch("samples|.*_unfinished", path.name)
    ]
    if not corpora:
        known = ", ".join(name for name, corpus in CORPORA.items() if corpus.archive)
        raise SentimentalError(
            f"{folder}: holds no corpus; python data/download.py fetches {known}; or give folders "
            "of recordings, or --labels TABLE.csv"
        )
    print(f"Found in {folder}: {', '.join(shown(path.name) for path in corpora)}", flush=True)
    return corpora


def describe_files(files, given=(), table=None, names=EMOTION_NAMES):
    """Describe every file, and tell which of them are the same take.

    Files of a known corpus are the same take when they have the same name, but for extension, marks
    of copies, and RAVDESS's number of the modality; all others when they have the same bytes.

    Parameters
    ----------
    files : list of Path, sorted
    given : list of Path, the folders that they were found in
    table : dict or None
        As `read_table` gives it: it decides before names and folders, and names more files.
    names : as for `Labels`

    Returns
    -------
    takes : list of list of Recording, sorted by corpus and name
        The files of each take. The first is to be used, the others if it cannot be read: those
        named by a corpus come first, then lossless ones, then the names are sorted.
    left_out : Counter of str, corpus and reason of each file that must not be used
    refused : Counter of str, a line for what is not used, and how often it happened
    """
    labels, found, table = Labels(files, given, names), {*map(absolute, files)}, table or {}
    files = files + [Path(r[0].file) for file, r in table.items() if r and file not in found]
    recordings, lossless = [], {}
    left_out, refused, first = Counter(), Counter(), {}
    for path in tqdm(files, "Looking", unit=" files", leave=False, disable=None):
        check_stop()
        try:
            if absolute(path) in table:
                parts = [replace(part, file=path.as_posix()) for part in table[absolute(path)]]
            else:
                parts = [labels.describe(path)]
            if parts and (reason := reason_left_out(parts[0])):
                left_out[f"{parts[0].corpus}, {reason}"] += 1
            elif parts:
                content_hash, is_lossless = _read(path)
                recordings += [_with_hash(part, content_hash) for part in parts]
                lossless[path.as_posix()] = is_lossless
        except SentimentalError as error:  # about its folder, so it is reported once
            reason = path.parent, str(error).removeprefix(str(path))
            refused[first.setdefault(reason, str(error))] += 1
        except OSError as error:
            refused[unreadable(path, error)] += 1
    groups, contradictions = _group(recordings, lambda recording: recording.hash)
    refused.update(contradictions)
    takes = _takes(groups)
    for copies in takes:
        copies.sort(
            key=lambda copy: (
                copy.corpus not in CORPORA,
                not lossless[copy.file],
                Path(copy.file).stem,
                Path(copy.file),
            )
        )
    takes.sort(
        key=lambda copies: (copies[0].corpus, Path(copies[0].file).name, copies[0].start or 0)
    )
    return takes, left_out, refused


def _read(path):
    """SHA-256 of a file, hexadecimal, and whether it begins as lossless ones do."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        is_lossless = re.match(LOSSLESS, stream.read(12))
        stream.seek(0)
        while block := stream.read(BLOCK):
            digest.update(block)
    return digest.hexdigest(), bool(is_lossless)


def _with_hash(recording, content_hash):
    """A recording with the hash of its file, or of the part of it that it is."""
    if recording.start is not None or recording.end is not None:
        part = f"{content_hash} {recording.start} {recording.end}"
        content_hash = hashlib.sha256(part.encode()).hexdigest()
    return replace(recording, hash=content_hash)


def _group(recordings, content_of):
    """Lists of recordings of the same content, and a line for each that has several emotions."""
    groups, refused = defaultdict(list), []
    for recording in recordings:
        groups[content_of(recording)].append(recording)
    for content, copies in [*groups.items()]:
        if len({copy.emotion for copy in copies}) > 1:
            del groups[content]
            labels = ", ".join(f"{copy.name} as {copy.emotion}" for copy in copies)
            reason = f"one recording with several emotions ({labels}); keep the right one"
            refused += [f"{copy.name}: {reason}" for copy in copies]
    return [*groups.values()], refused


def _takes(groups):
    """Lists of the recordings of each take, of lists of those with the same bytes."""
    takes = defaultdict(list)
    for copies in groups:
        # RAVDESS was published with one recording under the names of two takes (actor 07, happy).
        # Every split of it counts both, so within a corpus only the same name makes a copy.
        named = [take_of(copy) for copy in copies]
        known = next(filter(None, named), copies[0].hash)
        for take, copy in zip(named, copies, strict=True):
            takes[take or known].append(copy)
    return [*takes.values()]


def load_recording(recording):
    """Read a recording, which may be a part of its file.

    Returns
    -------
    samples : np.ndarray [shape=(n,), float32], mono at ``SAMPLE_RATE``
    notes : list of str, lines about what is missing of it

    Raises
    ------
    SentimentalError
        As `load_audio` does, and when the part begins after the end of the file.
    """
    if recording.start is None and recording.end is None:
        return _load_file.__wrapped__(recording.file)  # of which nothing is read again
    samples, notes = _load_file(recording.file)
    seconds, start, end = len(samples) / SAMPLE_RATE, recording.start or 0, recording.end
    if start >= seconds:
        raise SentimentalError(f"{recording.name}: the file has {seconds:.2f} s only")
    if end and end > seconds + TOLERANCE_SECONDS:
        notes = [*notes, f"{recording.name}: used up to the end of the file, at {seconds:.2f} s"]
    return samples[round(start * SAMPLE_RATE) : round((end or seconds) * SAMPLE_RATE)], notes


@functools.lru_cache(maxsize=1)  # the next recording is often another part of the same file
def _load_file(path):
    notes = []
    return load_audio(path, notes.append), notes


def drop_twins(recordings):
    """Of recordings whose frames are the same keep one: they were the same when decoded.

    Takes of a known corpus are all kept, as in `describe_files`, and others beside them are not.
    Returns those kept, and a line for each that has the frames of one with another emotion.
    """
    groups, refused = _group(recordings, lambda r: hashlib.sha256(r.frames.tobytes()).digest())
    kept = set()
    for copies in groups:
        known = [copy.name for copy in copies if copy.corpus in CORPORA]
        kept.update(known or [copies[0].name])
    return [recording for recording in recordings if recording.name in kept], refused


def print_summary(recordings, n_duplicates, n_passed_over, left_out, refused):
    """Print files per corpus and emotion, known speakers, and what was left out or refused."""
    corpora = sorted({recording.corpus for recording in recordings})
    count = Counter((recording.corpus, recording.emotion) for recording in recordings)
    width = max(len(shown(corpus)) for corpus in [*corpora, "corpus"])
    columns = (*EMOTIONS, "all", "speakers")
    print(f"\n{'corpus':{width}}" + "".join(f"{name:>9}" for name in columns))
    for corpus in corpora:
        row = [count[corpus, emotion] for emotion in EMOTIONS]
        row += [sum(row), len({r.speaker for r in recordings if r.corpus == corpus} - {""})]
        print(f"{shown(corpus):{width}}" + "".join(f"{number or '-':>9}" for number in row))
    counts = [f"{len(recordings)} recordings", f"{n_duplicates} duplicates used once"]
    counts += [f"{left_out.total()} left out"] if left_out else []
    counts += [f"{refused.total()} refused"]
    counts += [f"{n_passed_over} other files passed over"] if n_passed_over else []
    print(f"\n{', '.join(counts)}")
    for line, number in left_out.items():
        print(f"  left out: {number} of {line}")
    print_refused(refused)


def print_refused(refused):
    """Print lines, each once, and how often the same happened."""
    for line, number in refused.items():
        more = f" (and {number - 1} more)" if number > 1 else ""
        print(shown(f"  refused: {line}{more}"))
