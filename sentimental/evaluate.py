"""How good a model is: metrics, calibration, tables, plots, and the record of a run."""

import contextlib
import dataclasses
import importlib.metadata
import platform
import shlex
import sys
from collections import Counter

import numpy as np

from sentimental.base import EMOTIONS, atomic_write
from sentimental.corpora import speaker_sex
from sentimental.features import CHAIN

# Equal parts of the probabilities from 0 to 1 over which calibration is measured.
N_BINS = 15
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
    metrics : dict with ``n``, ``accuracy``, ``uar``, ``recall`` (dict by emotion),
        ``calibration_error`` and ``confusion`` (8 rows of counts: row is the true emotion, column
        the recognized one)
    """
    from sklearn.metrics import confusion_matrix

    true, answers = one_hot(recordings).argmax(axis=1), np.argmax(probabilities, axis=1)
    confusion = confusion_matrix(true, answers, labels=range(len(EMOTIONS)))
    recall = {
        emotion: float(confusion[number, number] / confusion[number].sum())
        for number, emotion in enumerate(EMOTIONS)
        if confusion[number].any()
    }
    return {
        "n": len(recordings),
        "accuracy": float(np.mean(true == answers)),
        "uar": float(np.mean(list(recall.values()))),
        "recall": recall,
        "calibration_error": float(calibration(recordings, probabilities)[1]),
        "confusion": confusion.tolist(),
    }


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
    print(f"\n{'':12}{'clips':>6}{'accuracy':>10}{'UAR':>8}{'ECE':>7}   recall of each emotion")
    for name, metrics in parts.items():
        recall = "  ".join(f"{emotion} {value:.2f}" for emotion, value in metrics["recall"].items())
        print(
            f"{name:12}{metrics['n']:6}{metrics['accuracy']:10.4f}{metrics['uar']:8.4f}"
            f"{metrics['calibration_error']:7.3f}   {recall}"
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
        "chain": CHAIN,
        "versions": {"python": platform.python_version()} | versions,
    }


# Plots ------------------------------------------------------------------------------------------


def plot_history(history, name, path):
    """Draw one quantity over the epochs, training beside validation.

    Parameters
    ----------
    history : dict of lists, a value for each epoch, and ``epoch_saved``, counted from 1
    name : str, "loss" or "accuracy"
    path : str or Path, of the image
    """
    figure, axes = _new_figure(figsize=(7, 4))
    epochs = np.arange(1, len(history[name]) + 1)
    axes.plot(epochs, history[name], label="training (augmented, with dropout)")
    axes.plot(epochs, history[f"val_{name}"], label="validation (averaged weights)")
    saved = history["epoch_saved"]
    axes.axvline(saved, color="gray", linestyle=":", label=f"saved: epoch {saved}")
    axes.set(xlabel="epoch", ylabel=name, title=name.capitalize())
    axes.grid(alpha=0.3)
    axes.legend()
    _save_figure(figure, path)


def plot_confusion(parts, path):
    """Draw the confusion matrix of each part: counts as numbers, recall as color.

    Parameters
    ----------
    parts : dict of what `compute_metrics` returns, by title
    path : str or Path, of the image
    """
    import seaborn

    figure, all_axes = _new_figure(1, len(parts), figsize=(7 * len(parts), 6), squeeze=False)
    all_axes = all_axes[0]
    for axes, (name, metrics) in zip(all_axes, parts.items(), strict=True):
        counts = np.array(metrics["confusion"])
        recall = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        seaborn.heatmap(
            recall,
            annot=counts,
            fmt="d",
            vmin=0,
            vmax=1,
            cmap="Blues",
            square=True,
            xticklabels=EMOTIONS,
            yticklabels=[
                f"{emotion} {metrics['recall'][emotion]:.2f}"
                if emotion in metrics["recall"]
                else f"{emotion} –"  # not among what was tested
                for emotion in EMOTIONS
            ],
            cbar=False,
            ax=axes,
        )
        axes.set(
            title=f"{name}: accuracy {metrics['accuracy']:.3f}, UAR {metrics['uar']:.3f}",
            xlabel="recognized",
        )
        axes.tick_params(axis="x", rotation=45)
    all_axes[0].set_ylabel("true emotion and its recall")
    figure.colorbar(all_axes[0].collections[0], ax=all_axes, label="share of the true emotion")
    _save_figure(figure, path)


def plot_calibration(bins, error, title, path):
    """Draw accuracy over confidence, and how many clips have it.

    Parameters
    ----------
    bins, error : as `calibration` returns them
    title : str
    path : str or Path, of the image
    """
    n, confidence, accuracy = np.array(bins).T
    figure, axes = _new_figure(figsize=(5.5, 5))
    axes.plot([0, 1], [0, 1], color="gray", linestyle=":", label="perfect calibration")
    axes.bar(
        np.floor(confidence * N_BINS) / N_BINS,
        n / n.sum(),
        1 / N_BINS,
        align="edge",
        color="lightsteelblue",
        label="share of all clips",
    )
    axes.plot(confidence, accuracy, "o-", label="accuracy")
    axes.set(
        xlim=(0, 1),
        ylim=(0, 1),
        xlabel="confidence: probability of the strongest emotion",
        title=f"{title}: calibration error {error:.3f}",
    )
    axes.legend()
    _save_figure(figure, path)


def _new_figure(*shape, **options):
    """A figure and its axes, of a backend that draws into files and needs no display."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    return plt.subplots(*shape, layout="constrained", **options)


def _save_figure(figure, path):
    import matplotlib.pyplot as plt

    with atomic_write(path) as partial:
        figure.savefig(partial, dpi=110)
    plt.close(figure)
