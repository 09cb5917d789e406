"""How good a model is: metrics, their intervals, and calibration."""

import itertools
from collections import Counter

import numpy as np

from sentimental.corpora import speaker_sex
from sentimental.model import check_probabilities
from sentimental.scripts import EMOTIONS
from sentimental.training.histories import voice_of

# Equal parts of the probabilities from 0 to 1 over which calibration is measured.
N_BINS = 15
# Limits of the strongest probability below which an answer may be left out.
LIMITS = tuple(percent / 100 for percent in range(0, 100, 5))
# Times that speakers or clips are drawn for an interval.
N_DRAWS = 1000


# Metrics ----------------------------------------------------------------------------------------


def one_hot(recordings):
    """Emotions as np.ndarray [shape=(n, 8), float32]."""
    numbers = [EMOTIONS.index(recording.emotion) for recording in recordings]
    return np.eye(len(EMOTIONS), dtype=np.float32)[numbers]


def compute_metrics(recordings, probabilities, over_speakers=True):
    """Accuracy, unweighted average recall, recall of each emotion and calibration error.

    Parameters
    ----------
    recordings : list of Recording
    probabilities : np.ndarray [shape=(len(recordings), 8)]; others raise SentimentalError
    over_speakers : bool, as for `bootstrap`; False where these speakers trained

    Returns
    -------
    metrics : dict with ``n``, ``accuracy``, ``uar``, ``uar_own`` (with only those emotions allowed
        that occur), ``recall`` and ``answers`` (dicts by emotion), ``calibration_error``,
        ``confusion`` (8 rows of counts: row is the true emotion, column the recognized one) and
        ``intervals`` of 95 % of these figures, with ``over``: "speakers" or "clips"
    """
    from sklearn.metrics import confusion_matrix, recall_score

    check_probabilities(probabilities)
    true, answers, own_answers = _answers(recordings, probabilities)
    confusion, own = confusion_matrix(true, answers, labels=range(len(EMOTIONS))), np.unique(true)
    recall, own_recall = (
        recall_score(true, answered, labels=own, average=None).tolist()
        for answered in (answers, own_answers)
    )
    recall = dict(zip([EMOTIONS[number] for number in own], recall, strict=True))
    shares = confusion.sum(axis=0) / len(recordings)
    metrics = {
        "n": len(recordings),
        "accuracy": float(np.mean(true == answers)),
        "uar": float(np.mean(list(recall.values()))),
        "uar_own": float(np.mean(own_recall)),
        "recall": recall,
        "answers": dict(zip(EMOTIONS, shares.tolist(), strict=True)),
        "calibration_error": float(calibration(recordings, probabilities)[1]),
        "confusion": confusion.tolist(),
    }
    figures, unit = bootstrap(recordings, probabilities, over_speakers)
    of_recall = figures.pop("recall")
    intervals = {name: interval(values) for name, values in figures.items()}
    intervals["recall"] = {e: interval(of_recall[:, EMOTIONS.index(e)]) for e in recall}
    if unit == "clips":
        intervals |= _intervals_over_clips(metrics, own_recall, recordings)
    metrics["intervals"] = intervals | {"over": unit}
    return metrics


def _answers(recordings, probabilities):
    """True emotions, the strongest ones, and the strongest among those that occur; numbers."""
    true = one_hot(recordings).argmax(axis=1)
    own = np.unique(true)
    return true, probabilities.argmax(axis=1), own[probabilities[:, own].argmax(axis=1)]


def pool(runs, case):
    """Recordings that some runs tested, their probabilities, and whether no speaker trained."""
    recordings = [recording for run in runs for recording in run["tested"]]
    probabilities = np.concatenate([run["probabilities"][case] for run in runs])
    tested = np.isfinite(probabilities[:, 0])
    over_speakers = all(run["unseen_speakers"] for run in runs)
    return [*itertools.compress(recordings, tested)], probabilities[tested], over_speakers


def compute_group_metrics(recordings, probabilities, over_speakers=True):
    """Metrics of each corpus and of each sex; a dict of what `compute_metrics` returns."""
    groups = {}
    for number, recording in enumerate(recordings):
        for group in (recording.corpus, speaker_sex(recording)):
            groups.setdefault(group, []).append(number)
    groups.pop(None, None)  # speakers whose sex is not known
    return {
        name: compute_metrics(
            [recordings[i] for i in numbers], probabilities[numbers], over_speakers
        )
        for name, numbers in sorted(groups.items())
    }


def calibration(recordings, probabilities):
    """How often the most probable emotion is the true one, by how probable it is [1]_.

    Returns
    -------
    bins : list of (n, confidence, accuracy), of each of ``N_BINS`` parts of 0 to 1 that has clips
    error : float, expected calibration error: mean distance of the two over all clips

    References
    ----------
    .. [1] C. Guo et al., "On calibration of modern neural networks", ICML 2017
    """
    confidence, hit = _confidence(recordings, probabilities)
    number = _bin_of(confidence)
    bins = [
        (int(here.sum()), float(confidence[here].mean()), float(hit[here].mean()))
        for here in (number == one for one in np.unique(number))
    ]
    error = sum(n * abs(mean - right) for n, mean, right in bins) / len(recordings)
    return bins, error


def risk_coverage(recordings, probabilities):
    """How often answers are right when those that are not sure enough are left out.

    Returns
    -------
    curve : list of (limit, share, accuracy), for each of ``LIMITS`` that leaves some clips: the
        share whose strongest emotion is less probable, and the accuracy of the others
    """
    confidence, hit = _confidence(recordings, probabilities)
    return [
        (limit, float(np.mean(confidence < limit)), float(hit[confidence >= limit].mean()))
        for limit in LIMITS
        if (confidence >= limit).any()
    ]


def _confidence(recordings, probabilities):
    """Probability of the strongest emotion of each recording, and whether that is the true one."""
    true, answers, _ = _answers(recordings, probabilities)
    return probabilities.max(axis=1), true == answers


def _bin_of(confidence):
    """In which of the ``N_BINS`` equal parts of 0 to 1 each confidence lies."""
    return np.minimum((confidence * N_BINS).astype(int), N_BINS - 1)


def fit_temperature(recordings, probabilities):
    """The temperature of the softmax, 0.22 to 4.5, that makes the true emotions most probable.

    `probabilities` [shape=(n, 8)] are of temperature 1. Above 1, they were too sure.
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


# Intervals --------------------------------------------------------------------------------------


def bootstrap(recordings, probabilities, over_speakers=True):
    """Figures of as many others of the kind: speakers or clips are drawn with replacement [1]_.

    A recording that is there several times, recognized by several networks, is drawn as one.

    Parameters
    ----------
    recordings, probabilities : as for `compute_metrics`
    over_speakers : bool, whether speakers are drawn, if all are known, and more than one

    Returns
    -------
    figures : dict of np.ndarray [shape=(N_DRAWS,)]
        ``accuracy``, ``uar``, ``uar_own``, ``calibration_error``; ``recall`` has
        [shape=(N_DRAWS, 8)] and is NaN where an emotion was not drawn
    unit : str, what was drawn, "speakers" or "clips"

    References
    ----------
    .. [1] B. Efron, R. Tibshirani, "An introduction to the bootstrap", 1993
    """
    voices = [voice_of(recording) for recording in recordings]
    unit = "speakers" if over_speakers and None not in voices and len({*voices}) > 1 else "clips"
    keys = voices if unit == "speakers" else [recording.name for recording in recordings]
    numbers = {key: number for number, key in enumerate(sorted({*keys}))}
    rows = [numbers[key] for key in keys]

    # What each speaker or clip adds to the sums that the figures are made of, in one row.
    true, answers, own_answers = _answers(recordings, probabilities)
    (confidence, hit), n_cells = _confidence(recordings, probabilities), len(EMOTIONS) ** 2
    sums = np.zeros((len(numbers), 2 * n_cells + N_BINS))
    np.add.at(sums, (rows, true * len(EMOTIONS) + answers), 1)
    np.add.at(sums, (rows, n_cells + true * len(EMOTIONS) + own_answers), 1)
    np.add.at(sums, (rows, 2 * n_cells + _bin_of(confidence)), confidence - hit)

    rng, n = np.random.default_rng(0), len(numbers)
    drawn = (np.bincount(rng.integers(0, n, n), minlength=n) for _ in range(N_DRAWS))
    sums = np.stack([times.astype(float) @ sums for times in drawn])
    confusion, own_confusion = (
        sums[:, : 2 * n_cells].reshape(-1, 2, *[len(EMOTIONS)] * 2).swapaxes(0, 1)
    )
    excess = sums[:, 2 * n_cells :]
    counts, n = confusion.sum(axis=2), confusion.sum(axis=(1, 2))
    counts = np.where(counts, counts, np.nan)
    hits, own_hits = (np.diagonal(part, 0, 1, 2) for part in (confusion, own_confusion))
    return {
        "accuracy": hits.sum(axis=1) / n,
        "uar": np.nanmean(hits / counts, axis=1),
        "uar_own": np.nanmean(own_hits / counts, axis=1),
        "calibration_error": np.abs(excess).sum(axis=1) / n,
        "recall": hits / counts,
    }, unit


def interval(figures):
    """Where 95 % of drawn figures lie; a list of two."""
    return np.nanpercentile(figures, (2.5, 97.5)).tolist()


def wilson(share, n):
    """Wilson's interval of 95 % of a share of hits among `n` clips; a list of two."""
    from scipy.stats import binomtest

    return [*map(float, binomtest(round(share * n), n).proportion_ci(method="wilson"))]


def mean_of_shares(shares, counts):
    """Interval of 95 % of the mean of several shares, of so many clips each [1]_; a list of two.

    Unlike a bootstrap, it is uncertain of shares of 0 and 1 as well.

    References
    ----------
    .. [1] G. Y. Zou, A. Donner, "Construction of confidence limits about effect measures: a general
       approach", Statistics in Medicine 27, 2008
    """
    lows, highs = np.transpose([wilson(*one) for one in zip(shares, counts, strict=True)])
    distances = np.linalg.norm(lows - shares), np.linalg.norm(highs - shares)
    mean, n = np.mean(shares), len(shares)
    return [float(mean - distances[0] / n), float(mean + distances[1] / n)]


def _intervals_over_clips(metrics, own_recall, recordings):
    """Intervals of hits among clips that are independent: each has its share, after Wilson."""
    emotions = {recording.name: recording.emotion for recording in recordings}
    counts = Counter(emotions.values())
    counts = [counts[emotion] for emotion in metrics["recall"]]
    of_recall = map(wilson, metrics["recall"].values(), counts)
    return {
        "accuracy": wilson(metrics["accuracy"], len(emotions)),
        "uar": mean_of_shares([*metrics["recall"].values()], counts),
        "uar_own": mean_of_shares(own_recall, counts),
        "recall": dict(zip(metrics["recall"], of_recall, strict=True)),
    }
