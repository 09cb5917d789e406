"""How good a model is: metrics, calibration, tables, and the record of a run."""

import contextlib
import dataclasses
import importlib.metadata
import platform
import shlex
import sys
from collections import Counter

import numpy as np

from sentimental.base import EMOTIONS
from sentimental.corpora import speaker_sex
from sentimental.model import check_probabilities
from sentimental.voice import MODEL_CHAIN

# Equal parts of the probabilities from 0 to 1 over which calibration is measured.
N_BINS = 15
# Limits of the strongest probability below which an answer may be left out.
LIMITS = tuple(percent / 100 for percent in range(0, 100, 5))
# Packages whose versions a record names.
PACKAGES = ("numpy", "scipy", "soxr", "noisereduce", "scikit-learn", "tensorflow", "keras")


# Metrics ----------------------------------------------------------------------------------------


def one_hot(recordings):
    """Emotions as np.ndarray [shape=(n, 8), float32]."""
    numbers = [EMOTIONS.index(recording["emotion"]) for recording in recordings]
    return np.eye(len(EMOTIONS), dtype=np.float32)[numbers]


def compute_metrics(recordings, probabilities):
    """Accuracy, unweighted average recall, recall of each emotion and calibration error.

    Parameters
    ----------
    recordings : list of dict
    probabilities : np.ndarray [shape=(len(recordings), 8)]

    Returns
    -------
    metrics : dict with ``n``, ``accuracy``, ``uar``, ``uar_own`` (with only those emotions allowed
        that occur), ``recall`` and ``answers`` (dicts by emotion; how often it is recognized, and
        answered), ``calibration_error`` and ``confusion`` (8 rows of counts: row is the true
        emotion, column the recognized one)

    Raises
    ------
    SentimentalError
        When some are no probabilities.
    """
    from sklearn.metrics import confusion_matrix

    check_probabilities(probabilities)
    true, answers = one_hot(recordings).argmax(axis=1), np.argmax(probabilities, axis=1)
    confusion = confusion_matrix(true, answers, labels=range(len(EMOTIONS)))
    recall = {
        emotion: float(confusion[number, number] / confusion[number].sum())
        for number, emotion in enumerate(EMOTIONS)
        if confusion[number].any()
    }
    own = np.unique(true)
    own_answers = own[probabilities[:, own].argmax(axis=1)]
    shares = confusion.sum(axis=0) / len(recordings)
    return {
        "n": len(recordings),
        "accuracy": float(np.mean(true == answers)),
        "uar": float(np.mean(list(recall.values()))),
        "uar_own": float(np.mean([np.mean(own_answers[true == one] == one) for one in own])),
        "recall": recall,
        "answers": dict(zip(EMOTIONS, shares.tolist(), strict=True)),
        "calibration_error": float(calibration(recordings, probabilities)[1]),
        "confusion": confusion.tolist(),
    }


def bootstrap_uar(recordings, probabilities, n=1000):
    """UAR over as many other speakers of the kind: speakers drawn with replacement, `n` times.

    Parameters
    ----------
    recordings : list of dict
    probabilities : np.ndarray [shape=(len(recordings), 8)]
    n : int

    Returns
    -------
    uars : np.ndarray [shape=(n,)]; between percentiles 2.5 and 97.5 lies the UAR of 95 % of such
        groups of speakers

    References
    ----------
    .. [1] B. Efron, R. Tibshirani, "An introduction to the bootstrap", 1993
    """
    true, answers = one_hot(recordings).argmax(axis=1), probabilities.argmax(axis=1)
    voices = [(recording["corpus"], recording["speaker"]) for recording in recordings]
    numbers = {voice: number for number, voice in enumerate(sorted({*voices}))}
    confusion = np.zeros((len(numbers), len(EMOTIONS), len(EMOTIONS)))
    np.add.at(confusion, ([numbers[voice] for voice in voices], true, answers), 1)
    drawn = np.random.default_rng(0).integers(0, len(numbers), (n, len(numbers)))
    pooled = np.stack([confusion[sample].sum(axis=0) for sample in drawn])
    counts = pooled.sum(axis=2)
    recalls = np.diagonal(pooled, axis1=1, axis2=2) / np.where(counts, counts, np.nan)
    return np.nanmean(recalls, axis=1)


def compute_group_metrics(recordings, probabilities):
    """Metrics of each corpus and of each sex; a dict of what `compute_metrics` returns."""
    groups = {}
    for number, recording in enumerate(recordings):
        for group in (recording["corpus"], speaker_sex(recording)):
            groups.setdefault(group, []).append(number)
    groups.pop(None, None)  # speakers whose sex is not known
    return {
        name: compute_metrics([recordings[i] for i in numbers], probabilities[numbers])
        for name, numbers in sorted(groups.items())
    }


def calibration(recordings, probabilities):
    """How often the most probable emotion is the true one, by how probable it is.

    Parameters
    ----------
    recordings : list of dict
    probabilities : np.ndarray [shape=(len(recordings), 8)]

    Returns
    -------
    bins : list of (n, confidence, accuracy), for each of the ``N_BINS`` equal parts of 0 to 1 that
        is not empty
    error : float, expected calibration error: mean distance of the two over all clips

    References
    ----------
    .. [1] C. Guo et al., "On calibration of modern neural networks", ICML 2017
    """
    confidence = probabilities.max(axis=1)
    hit = probabilities.argmax(axis=1) == one_hot(recordings).argmax(axis=1)
    number = np.minimum((confidence * N_BINS).astype(int), N_BINS - 1)
    bins = [
        (int(here.sum()), float(confidence[here].mean()), float(hit[here].mean()))
        for here in (number == one for one in np.unique(number))
    ]
    error = sum(n * abs(mean - right) for n, mean, right in bins) / len(recordings)
    return bins, error


def risk_coverage(recordings, probabilities):
    """How often answers are right when those that are not sure enough are left out.

    Parameters
    ----------
    recordings : list of dict
    probabilities : np.ndarray [shape=(len(recordings), 8)]

    Returns
    -------
    curve : list of (limit, share, accuracy)
        For each limit of ``LIMITS`` that leaves some: the share of the clips whose strongest
        emotion is less probable, and the accuracy of the others.

    References
    ----------
    .. [1] R. El-Yaniv, Y. Wiener, "On the foundations of noise-free selective classification",
       JMLR 11, 2010
    """
    confidence = probabilities.max(axis=1)
    hit = probabilities.argmax(axis=1) == one_hot(recordings).argmax(axis=1)
    return [
        (limit, float(np.mean(confidence < limit)), float(hit[confidence >= limit].mean()))
        for limit in LIMITS
        if (confidence >= limit).any()
    ]


def fit_temperature(recordings, probabilities):
    """The temperature of the softmax that makes the true emotions of `recordings` most probable.

    Parameters
    ----------
    recordings : list of dict
    probabilities : np.ndarray [shape=(n, 8)], at temperature 1

    Returns
    -------
    temperature : float, from 0.22 to 4.5; above 1 the network was too sure of itself

    References
    ----------
    .. [1] C. Guo et al., "On calibration of modern neural networks", ICML 2017
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    logits = np.log(np.maximum(probabilities, 1e-12))
    true = one_hot(recordings).astype(bool)
    fitted = minimize_scalar(
        lambda log_t: -np.mean(log_softmax(logits / np.exp(log_t), axis=1)[true]),
        bounds=(-1.5, 1.5),
        method="bounded",
    )
    return float(np.exp(fitted.x))


# Tables and records -----------------------------------------------------------------------------


def print_metrics(parts):
    """Print a table: one row for each part of the split, or seed, or condition."""
    width = max(12, *map(len, parts))
    print(f"\n{'':{width}}{'clips':>6}{'accuracy':>10}{'UAR':>8}{'own':>7}{'ECE':>7}  ", end="")
    print("most frequent answer, recall of each emotion")
    for name, metrics in parts.items():
        answer, share = max(metrics["answers"].items(), key=lambda item: item[1])
        recall = "  ".join(f"{emotion} {value:.2f}" for emotion, value in metrics["recall"].items())
        print(
            f"{name:{width}}{metrics['n']:6}{metrics['accuracy']:10.4f}{metrics['uar']:8.4f}"
            f"{metrics['uar_own']:7.3f}{metrics['calibration_error']:7.3f}"
            f"  {answer} {share:.0%}; {recall}"
        )


def run_record(protocol, recordings, sizes, seeds, settings):
    """All that a reader needs to trust a figure.

    Parameters
    ----------
    protocol : str
    recordings : list of dict
    sizes : of the parts of the split; any JSON
    seeds : dict of what was seeded with which
    settings : dict of dataclasses, those that the run used

    Returns
    -------
    record : dict
    """
    corpora = {}
    for corpus in sorted({recording["corpus"] for recording in recordings}):
        emotions = Counter(r["emotion"] for r in recordings if r["corpus"] == corpus)
        corpora[corpus] = {emotion: emotions[emotion] for emotion in EMOTIONS}
    versions = {}
    for name in PACKAGES:
        # TensorFlow is also published under other names, such as tensorflow-cpu.
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return {
        "protocol": protocol,
        "command": shlex.join(["python", *sys.argv]),
        "corpora": corpora,
        "sizes": sizes,
        "seeds": seeds,
        "settings": {name: dataclasses.asdict(group) for name, group in settings.items()},
        "chain": MODEL_CHAIN,
        "versions": {"python": platform.python_version()} | versions,
    }
