"""What a training and its tests look like: history, confusion matrix, calibration."""

import numpy as np

from sentimental.files import atomic_write
from sentimental.scripts import EMOTIONS, UNSURE_BELOW
from sentimental.training.metrics import N_BINS


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


def plot_risk_coverage(curve, title, path):
    """Draw the accuracy of the clips that remain over the share that is left out.

    Parameters
    ----------
    curve : as `risk_coverage` returns it
    title : str
    path : str or Path, of the image
    """
    _, shares, accuracies = np.transpose(curve)
    figure, axes = _new_figure(figsize=(5.5, 5))
    axes.plot(shares, accuracies, "o-")
    for limit, *place in curve:
        if limit == UNSURE_BELOW:  # not where no answer is so sure
            words = f"without those below {limit:.0%}"
            axes.plot(*place, "o", color="black", markersize=9, label=words)
            axes.legend(loc="lower right")
    axes.set(
        xlim=(0, 1),
        ylim=(0, 1.02),
        xlabel="share of the clips that is left out, the least sure ones",
        ylabel="accuracy of the others",
        title=title,
    )
    axes.grid(alpha=0.3)
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
