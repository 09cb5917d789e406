"""The runs of a protocol: every fold trained and tested, with several seeds, on all cores.

What is tested is tested in several ways, by name:

    h0                 each recording is the first that is heard of its speaker
    h10                ten others of the speaker were heard before, no matter which
    h10, one emotion   ten others of one emotion
    taught1, heard1    after lessons; see `sentimental.training.lessons`
    white, babble ...  under a condition of `sentimental.preprocessing.conditions`, as h0
"""

import contextlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np

from sentimental.files import atomic_write, checksum, remove_folder, set_aside, write_json
from sentimental.scripts import EMOTIONS, SentimentalError
from sentimental.speaker import draw_tallies
from sentimental.training.lessons import measure_lessons
from sentimental.training.metrics import fit_temperature
from sentimental.training.protocols import count_parts, protocol_folds
from sentimental.workers import run_jobs

# `sentimental.training.fit` is imported where it is used: it loads TensorFlow, which takes seconds.

# Earlier recordings of a speaker.
N_HISTORY = 10


def match_conditions(tested, conditions):
    """The same recordings as they are under each condition, in the same order.

    Parameters
    ----------
    tested : list of Recording
    conditions : dict of list of Recording; recordings by the name of the condition

    Returns
    -------
    parts : dict of list of Recording

    Raises
    ------
    SentimentalError
        When one of them is missing.
    """
    parts = {}
    for name, recordings in conditions.items():
        changed = {(r.hash, Path(r.file).name): r for r in recordings}
        try:
            parts[name] = [changed[r.hash, Path(r.file).name] for r in tested]
        except KeyError as missing:
            raise SentimentalError(
                f"condition {name}: {missing.args[0][1]} is not among its recordings; "
                "let preprocess.py make it of all recordings that this protocol tests"
            ) from None
    return parts


def draw_histories(recordings, seed):
    """What was heard before of each speaker, in each way that is tested but h0.

    Returns
    -------
    tallies : dict of np.ndarray [shape=(len(recordings), N_TALLY)], by the name of the way
    """
    rng = np.random.default_rng(seed)
    return {
        f"h{N_HISTORY}": draw_tallies(recordings, N_HISTORY, rng),
        f"h{N_HISTORY}, one emotion": draw_tallies(recordings, N_HISTORY, rng, one_emotion=True),
    }


def pack_frames(lists):
    """Frames of all recordings as one array, and the recordings with the place of theirs in it.

    All processes share the memory of one array that they map from a file.

    Parameters
    ----------
    lists : list of list of Recording

    Returns
    -------
    frames : np.ndarray [shape=(n_frames, N_STORED), float32]
    lists : list of list of Recording, whose ``frames`` are a slice of that array
    """
    frames, start, packed = [], 0, []
    for recordings in lists:
        packed.append([])
        for recording in recordings:
            frames.append(recording.frames)
            place = slice(start, start + len(recording.frames))
            packed[-1].append(replace(recording, frames=place))
            start = place.stop
    return np.concatenate(frames), packed


def frames_path(folder, protocol):
    """Where the frames of all recordings lie while the folds of a protocol run."""
    return folder / f"{protocol}_frames.npy"


def unpack_frames(frames, recordings):
    """Recordings with their frames, of what `pack_frames` returned."""
    return [replace(recording, frames=frames[recording.frames]) for recording in recordings]


def run_fold(protocol, seed, number, fold, conditions, folder, settings, start=None):
    """Train one fold and recognize what it tests, unless a run that was stopped has done so.

    Parameters
    ----------
    protocol : str
    seed, number : int, of the training and of the fold
    fold : (train, validation, test), each a list of Recording as `pack_frames` returns them
    conditions : dict of list of Recording; what is tested, under other conditions
    folder : Path, where what is finished waits for the rest, and the frames lie
    settings : dict with ``training`` and ``augmentation``
    start : dict or None, as for `sentimental.training.fit.train`

    Returns
    -------
    result : dict with ``temperature``, ``seconds`` and ``probabilities``, a dict by the way of
        testing
    """
    from sentimental.training.checkpoint import fingerprint
    from sentimental.training.fit import predict_recordings, train

    training, augmentation = settings["training"], settings["augmentation"]
    changed = [recording for part in conditions.values() for recording in part]
    options = settings, protocol, seed, [*conditions], start and start["checksum"]
    mark = fingerprint(sum(fold, []) + changed, *options)
    name = f"{protocol}_seed{seed}_fold{number}"
    path, checkpoint = folder / f"{name}.json", folder / name
    label = f"seed {seed}, fold {number}: "
    if finished := read_fold(path, mark, len(fold[2]), label):
        return finished
    frames = np.load(frames_path(folder, protocol), mmap_mode="r")
    train_part, validation, tested = (unpack_frames(frames, part) for part in fold)
    network, usual, history = train(
        train_part,
        validation,
        training,
        augmentation,
        training.epochs[protocol],
        seed,
        checkpoint,
        name=label,
        temperature={"speaker": None, "corpus": 1.0}.get(protocol, training.temperature),
        start=start,
    )
    ways = {"h0": (tested, None)}
    if protocol in ("speaker", "corpus"):
        ways |= {
            way: (tested, told) for way, told in draw_histories(tested, [seed, number]).items()
        }
    ways |= {way: (unpack_frames(frames, part), None) for way, part in conditions.items()}
    result = {"fingerprint": mark} | {key: history[key] for key in ("temperature", "seconds")}
    result["probabilities"] = {
        way: predict_recordings(network, usual, *told).tolist() for way, told in ways.items()
    }
    if protocol in ("speaker", "corpus"):
        temperature = training.temperature if protocol == "corpus" else 1.0
        taught = measure_lessons(network, usual, tested, [seed, number], temperature)
        result["probabilities"] |= {way: answers.tolist() for way, answers in taught.items()}
    write_json(path, result | {"checksum": checksum(result)})
    remove_folder(checkpoint)
    return result


def read_fold(path, mark, n_tested, name=""):
    """What `run_fold` wrote; a file that is damaged is set aside.

    Parameters
    ----------
    path : Path
    mark : str, fingerprint
    n_tested : int, recordings
    name : str, what the line that is printed begins with

    Returns
    -------
    result : dict, as `run_fold` returns it; None when there is none of this fingerprint
    """
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
        shapes = {np.shape(p) for p in result["probabilities"].values()}
        if result["checksum"] != checksum(result) or shapes != {(n_tested, len(EMOTIONS))}:
            raise ValueError
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        set_aside(path, name)
        return None
    return result if result["fingerprint"] == mark else None


def run_folds(protocol, recordings, conditions, n_seeds, folder, settings, start=None):
    """Train and test all folds of a protocol with the seeds 1 to `n_seeds`.

    Parameters
    ----------
    protocol : str
    recordings : list of Recording
    conditions : dict of list of Recording, by the name of the condition
    n_seeds : int > 0
    folder : Path, where folds that are finished wait for the rest
    settings : dict with ``training`` and ``augmentation``
    start : dict or None, as for `sentimental.training.fit.train`

    Returns
    -------
    runs : list of dict, one for each seed and fold, with ``seed``, ``fold``, ``split_seed``,
        ``sizes`` (how many train, validate and test), ``tested`` (list of Recording),
        ``temperature``, ``seconds`` and ``probabilities`` (dict of np.ndarray
        [shape=(n, 8)], by way of testing)

    Raises
    ------
    SentimentalError
        When a training was killed; all others have been finished then.
    """
    frames, (recordings, *changed) = pack_frames([recordings, *conditions.values()])
    conditions = dict(zip(conditions, changed, strict=True))
    training, runs, jobs = settings["training"], [], []
    for seed in range(1, n_seeds + 1):
        # Only protocol random is another split with each seed.
        split_seed = training.split_seed + (seed - 1 if protocol == "random" else 0)
        folds = protocol_folds(protocol, recordings, training, split_seed)
        for number, fold in enumerate(folds, 1):
            train, validation, test = fold
            # The one split of protocol random tests few: what validates counts as well.
            tested = validation + test if protocol == "random" and len(folds) == 1 else test
            jobs.append(
                (seed, number, (train, validation, tested), match_conditions(tested, conditions))
            )
            runs.append({"seed": seed, "fold": number, "split_seed": split_seed})
            runs[-1] |= {"sizes": count_parts(fold), "tested": tested}
    with atomic_write(frames_path(folder, protocol)) as partial:
        np.save(partial, frames)
    killed = []
    jobs = ((protocol, *job, folder, settings, start) for job in jobs)
    with contextlib.closing(run_jobs(run_fold, jobs)) as results:
        for index, result in results:
            run = runs[index]
            if result is None:
                killed.append(f"seed {run['seed']}, fold {run['fold']}")
                continue
            run |= {key: result[key] for key in ("temperature", "seconds")}
            run["probabilities"] = {k: np.array(p) for k, p in result["probabilities"].items()}
    if killed:
        raise SentimentalError(
            f"{'; '.join(killed)}: killed; is there too little memory? Given again, the command "
            "goes on where it was"
        )
    if protocol == "corpus":
        set_temperatures(runs)
    return runs


def set_temperatures(runs):
    """Give each corpus the temperature that fits the others, each of which was left out as well.

    Parameters
    ----------
    runs : list of dict, as `run_folds` returns them, with probabilities at temperature 1
    """
    raw = [run["probabilities"] for run in runs]
    for run in runs:
        others = [
            fit_temperature(other["tested"] * 2, np.concatenate([p["h0"], p[f"h{N_HISTORY}"]]))
            for other, p in zip(runs, raw, strict=True)
            if other["fold"] != run["fold"]
        ]
        run["temperature"] = float(np.exp(np.mean(np.log(others))))
    for run in runs:
        run["probabilities"] = {
            way: p if way.startswith(("heard", "taught")) else _heat(p, run["temperature"])
            for way, p in run["probabilities"].items()
        }


def _heat(probabilities, temperature):
    """What a softmax at this temperature gives instead of one at temperature 1."""
    heated = np.maximum(probabilities, 1e-12) ** (1 / temperature)
    return heated / heated.sum(axis=1, keepdims=True)


def clear_folds(protocol, runs, folder):
    """Delete what waited in `folder` once all is written."""
    frames_path(folder, protocol).unlink()
    for run in runs:
        name = f"{protocol}_seed{run['seed']}_fold{run['fold']}"
        (folder / f"{name}.json").unlink()
        shutil.rmtree(folder / name, ignore_errors=True)  # of a run killed before it was cleared
