"""Every fold of a protocol trained and tested, with several seeds, on all cores.

What is tested is tested in several cases, by name:

    h0                 each recording is the first that is heard of its speaker
    h10                ten others of the speaker were heard before, no matter which
    h10, one emotion   ten others of one emotion
    heard1, taught1    after lessons; see `sentimental.training.lessons`
    white, babble ...  under a condition of `sentimental.preprocessing.conditions`, as h0

`sentimental.training.fit` is imported where it is used: it loads TensorFlow, which takes seconds.
"""

import contextlib
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from sentimental.files import atomic_write, lock_folder
from sentimental.scripts import SentimentalError
from sentimental.training.histories import N_HISTORY, draw_histories, recording_statistics
from sentimental.training.lessons import LESSONS, measure_lessons
from sentimental.training.metrics import fit_temperature
from sentimental.training.protocols import count_parts, has_unseen_speakers, protocol_folds
from sentimental.workers import run_jobs

# Protocols that also test what it brings to have heard a speaker before, or to be taught.
WITH_HISTORIES = ("speaker", "corpus")


@dataclass
class Fold:
    """What a worker needs for one fold; frames of the recordings are as `join_frames` has them."""

    protocol: str
    seed: int
    number: int
    parts: tuple  # what trains, validates and is tested
    conditions: dict  # what is tested, under other conditions
    frames: Path  # of all recordings
    path: Path  # of the result
    settings: dict
    start: dict | None


def run_folds(protocol, recordings, conditions, n_seeds, folder, settings, start=None):
    """Train and test all folds of a protocol with the seeds 1 to `n_seeds`.

    Parameters
    ----------
    protocol : str
    recordings : list of Recording
    conditions : dict of list of Recording; as they are under other conditions, by its name
    n_seeds : int > 0
    folder : Path, where folds that are complete wait for the rest, until the caller deletes them
    settings : dict with ``training`` and ``augmentation``
    start : dict or None, as for `sentimental.training.fit.fit`

    Returns
    -------
    runs : list of dict, one for each seed and fold, with ``seed``, ``fold``, ``split_seed``,
        ``path`` (where it waits), ``sizes`` (how many train, validate and test), ``tested``,
        ``unseen_speakers`` (whether none of them trained), ``temperature``, ``seconds`` and
        ``probabilities`` (dict of np.ndarray [shape=(n, 8)], by case)

    Raises
    ------
    SentimentalError
        When a training was killed; all others are complete then.
    """
    frames, (recordings, *changed) = join_frames([recordings, *conditions.values()])
    conditions, runs, jobs = dict(zip(conditions, changed, strict=True)), [], []
    training, mapped = settings["training"], folder / f"{protocol}_frames.npy"
    for seed in range(1, n_seeds + 1):
        # Only protocol random is another split with each seed.
        split_seed = training.split_seed + (seed - 1 if protocol == "random" else 0)
        folds = protocol_folds(protocol, recordings, training, split_seed)
        for number, fold in enumerate(folds, 1):
            train, validation, test = fold
            # The one split of protocol random tests few: what validates counts as well.
            tested = validation + test if protocol == "random" and len(folds) == 1 else test
            path = folder / f"{protocol}_seed{seed}_fold{number}.npz"
            run = {"seed": seed, "fold": number, "split_seed": split_seed, "tested": tested}
            run |= {"sizes": count_parts(fold), "unseen_speakers": has_unseen_speakers(fold)}
            runs.append(run | {"path": path})
            parts, matched = (train, validation, tested), match_conditions(tested, conditions)
            jobs.append(Fold(protocol, seed, number, parts, matched, mapped, path, settings, start))
    with atomic_write(mapped) as partial:
        np.save(partial, frames)
    killed = []
    with contextlib.closing(run_jobs(run_fold, ((job,) for job in jobs))) as results:
        for index, result in results:
            if result is None:
                killed.append("seed {seed}, fold {fold}".format(**runs[index]))
            else:
                runs[index] |= result
    mapped.unlink()
    if killed:
        raise SentimentalError(
            f"{'; '.join(killed)}: killed; is there too little memory? Given again, the command "
            "goes on where it was"
        )
    if protocol == "corpus":
        set_temperatures(runs)
    return runs


def run_fold(fold):
    """Train a `Fold` and recognize what it tests, unless a run that was stopped has done so.

    Returns
    -------
    result : dict with ``temperature``, ``seconds`` and ``probabilities``, by case
    """
    from sentimental.training import fit

    checkpoint = fold.path.with_name(f"{fold.path.stem}_checkpoint.npz")
    label = f"seed {fold.seed}, fold {fold.number}: "
    options = fold.settings, fold.protocol, fold.seed, [*fold.conditions]
    recordings = sum([*fold.parts, *fold.conditions.values()], [])
    key = fit.fingerprint(recordings, *options, fold.start and fold.start["checksum"])
    state = fit.load_state(fold.path, key, label)
    if not state:
        state = _train_and_test(fold, checkpoint, label)
        fit.save_state(fold.path, key, state)
    checkpoint.unlink(missing_ok=True)
    return {
        "temperature": float(state["temperature"]),
        "seconds": float(state["seconds"]),
        "probabilities": dict(zip(map(str, state["cases"]), state["probabilities"], strict=True)),
    }


def _train_and_test(fold, checkpoint, label):
    """Train a network of one fold, and recognize what is tested in all cases; what is saved."""
    from sentimental.training.fit import fit, predict, predict_after
    from sentimental.training.network import build_network

    protocol, training = fold.protocol, fold.settings["training"]
    frames = np.load(fold.frames, mmap_mode="r")
    train, validation, tested = (read_frames(part, frames) for part in fold.parts)
    network = build_network(training.units)
    parts = train, validation, fold.settings, fold.seed, checkpoint
    reference, history = fit(network, *parts, label, fold.start)
    answers = {"h0": predict(network, reference, tested)}
    for name, part in fold.conditions.items():
        answers[name] = predict(network, reference, read_frames(part, frames))
    if protocol in WITH_HISTORIES:
        heard = network, reference, tested, recording_statistics(tested, answers["h0"])
        drawn_with = [fold.seed, fold.number]
        for case, histories in draw_histories(tested, drawn_with).items():
            answers[case] = predict_after(*heard, histories)
        answers |= measure_lessons(*heard, drawn_with)
    factor = 1.0
    if protocol == "speaker":
        factor = fit_temperature(validation, predict(network, reference, validation))
        answers = change_temperature(answers, factor)
    return {
        "temperature": training.temperature * factor,
        "seconds": history["seconds"],
        "cases": [*answers],
        "probabilities": [*answers.values()],
    }


@contextlib.contextmanager
def unfinished_work(folder):
    """A folder with which a stopped run goes on, for this process alone; removed when empty."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = lock_folder(folder)
    try:
        yield folder
    finally:
        lock.release()
        if all(path.name.startswith(".") for path in folder.iterdir()):  # the lock's own files
            shutil.rmtree(folder)


# What is tested ---------------------------------------------------------------------------------


def match_conditions(tested, conditions):
    """The same recordings as they are under each condition, in the same order; a dict of lists."""
    parts = {}
    for name, recordings in conditions.items():
        changed = {(r.hash, Path(r.name).name): r for r in recordings}
        try:
            parts[name] = [changed[r.hash, Path(r.name).name] for r in tested]
        except KeyError as missing:
            raise SentimentalError(
                f"condition {name}: {missing.args[0][1]} is not among its recordings; "
                "let preprocess.py make it of all recordings that this protocol tests"
            ) from None
    return parts


def join_frames(lists):
    """All frames in one array, for a file that all processes map into their memory.

    Returns that array, and the lists of recordings, whose ``frames`` are (start, stop) in it.
    """
    frames = [recording.frames for recordings in lists for recording in recordings]
    stops = iter(np.cumsum([len(one) for one in frames]).tolist())
    return np.concatenate(frames), [
        [replace(r, frames=((stop := next(stops)) - len(r.frames), stop)) for r in recordings]
        for recordings in lists
    ]


def read_frames(recordings, frames):
    """Recordings with their frames, of what `join_frames` returned."""
    return [replace(recording, frames=frames[slice(*recording.frames)]) for recording in recordings]


# Temperatures -----------------------------------------------------------------------------------


def set_temperatures(runs):
    """Give each corpus the temperature that fits the others, each of which was left out as well."""
    fitted = []
    for run in runs:
        answers = [run["probabilities"][case] for case in ("h0", f"h{N_HISTORY}")]
        fitted.append(fit_temperature(run["tested"] * 2, np.concatenate(answers)))
    for run in runs:
        others = [t for other, t in zip(runs, fitted, strict=True) if other["fold"] != run["fold"]]
        factor = float(np.exp(np.mean(np.log(others))))
        run["temperature"] *= factor
        run["probabilities"] = change_temperature(run["probabilities"], factor)


def change_temperature(answers, factor):
    """Probabilities by case, of a temperature `factor` times as high; lessons stay as they are."""
    changed = {}
    for case in answers.keys() - {*LESSONS}:
        scaled = answers[case] ** (1 / factor)
        changed[case] = scaled / scaled.sum(axis=1, keepdims=True)
    return answers | changed
