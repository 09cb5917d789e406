"""What is reported: tables, plots, the record of a run, the headline, a protocol's report."""

import contextlib
import dataclasses
import importlib.metadata
import json
import os
import platform
import shlex
import sys
from collections import Counter

import numpy as np

from sentimental.files import atomic_write, set_aside, write_json
from sentimental.model import weights_checksum
from sentimental.scripts import EMOTIONS, UNSURE_BELOW, shown
from sentimental.speaker import MODEL_CHAIN
from sentimental.training.metrics import (
    N_BINS,
    bootstrap,
    calibration,
    compute_group_metrics,
    compute_metrics,
    interval,
    pool,
    risk_coverage,
    wilson,
)

# Packages whose versions a record names.
PACKAGES = ("numpy", "scipy", "soxr", "noisereduce", "scikit-learn", "tensorflow", "keras")
# Columns of a table, and what `compute_metrics` calls them.
COLUMNS = {"accuracy": "accuracy", "UAR": "uar", "own": "uar_own", "ECE": "calibration_error"}
# What is printed with its spread over seeds.
SPREAD = ("accuracy", "uar", "uar_own")
# Letters of a name in a table, at most.
MOST_LETTERS = 34

# Tables and records -----------------------------------------------------------------------------


def print_metrics(parts, untrained=None):
    """Print a table: three lines for each part of the split, or seed, or condition.

    With the emotions that a model never answers, say what its figures do not hold for.
    """
    names = [shown(name) for name in parts]
    names = [n if len(n) <= MOST_LETTERS else f"{n[:15]}…{n[16 - MOST_LETTERS :]}" for n in names]
    width = max(20, *map(len, names))
    head = "".join(f"{column:11}" for column in COLUMNS)
    print(f"\n{'':{width}}  clips  {head}most frequent")
    for name, metrics in zip(names, parts.values(), strict=True):
        intervals = metrics["intervals"]
        answer, share = max(metrics["answers"].items(), key=lambda item: item[1])
        figures = "".join(f"{metrics[key]:<11.4f}" for key in COLUMNS.values())
        print(f"{name:{width}} {metrics['n']:6}  {figures}{answer} {share:.0%}")
        bounds = ["{:.2f}-{:.2f}".format(*intervals[key]) for key in COLUMNS.values()]
        over = f"  95 % over {intervals['over']}"
        print(f"{over:{width}}{'':9}{''.join(f'{bound:11}' for bound in bounds)}".rstrip())
        recall = (f"{emotion} {value:.0%}" for emotion, value in metrics["recall"].items())
        print("  recall", *recall)
    print("own: UAR where only emotions that occur are allowed; ECE: expected calibration error")
    if untrained:
        print(f"never answered, as no recordings of it trained: {', '.join(untrained)}")
    if untrained is not None and {*parts} <= {"validation", "test", "cross-validation"}:
        print("no figure is of speakers who did not train: strangers will be recognized less well")


def run_record(protocol, recordings, sizes, seeds, settings):
    """All that a reader needs to trust a figure, as a dict; sizes and seeds are any JSON."""
    corpora = {}
    for corpus in sorted({recording.corpus for recording in recordings}):
        emotions = Counter(r.emotion for r in recordings if r.corpus == corpus)
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


def update_headline(folder, figures):
    """Put the main figures of a run, by name, into headline.json, beside those of other runs."""
    path = folder / "headline.json"
    figures = {
        name.replace(", ", "_").replace(" ", "_"): round(float(value), 6)
        for name, value in figures.items()
    }
    of_this_run = {name.partition("_")[0] for name in figures}
    try:
        known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        figures |= {k: v for k, v in known.items() if k.partition("_")[0] not in of_this_run}
    except (ValueError, AttributeError, RecursionError):
        set_aside(path)  # what the runs of hours have found is worth more
    write_json(path, dict(sorted(figures.items())))


def report_model(folder, record, metrics, network, history):
    """Write metrics.json, the headline and the plots of the model that is saved."""
    record |= {
        "epoch_saved": history["epoch_saved"],
        "parameters": network.count_params(),
        "weights_checksum": weights_checksum(network.get_weights()),
        "training_seconds": round(history["seconds"], 1),
    }
    write_json(folder / "metrics.json", record)
    update_headline(folder, {f"random_{name}": part["accuracy"] for name, part in metrics.items()})
    for name in ("loss", "accuracy"):
        plot_history(history, name, folder / f"{name}.png")
    plot_confusion(metrics, folder / "confusion_matrix.png")


# Protocols --------------------------------------------------------------------------------------


def measure_runs(protocol, runs, case):
    """Metrics of some runs together; UAR is the mean of corpora, or actresses, where they test."""
    metrics = compute_metrics(*pool(runs, case))
    if protocol in ("tess-speaker", "corpus"):  # folds of speakers are pooled
        folds = [pool(group, case) for group in _group(runs, "fold")]
        measured, drawn = [compute_metrics(*fold) for fold in folds], [bootstrap(*f) for f in folds]
        metrics["intervals"]["over"] = drawn[0][1]
        for name in ("uar", "uar_own"):
            metrics[name] = float(np.mean([fold[name] for fold in measured]))
            means = np.mean([figures[name] for figures, _ in drawn], axis=0)
            metrics["intervals"][name] = interval(means)
    return metrics


def report_runs(protocol, runs, recordings, folder, settings):
    """Write the metrics of runs that `run_folds` returned, and three plots; print the tables."""
    by_seed = _group(runs, "seed")
    # Lessons need speakers with enough recordings in every fold.
    cases = [case for case in runs[0]["probabilities"] if all(pool([run], case)[0] for run in runs)]
    cases = {case: measure_runs(protocol, runs, case) for case in cases}
    spread, folds = {}, {}
    for case, metrics in cases.items():
        of_seeds = [measure_runs(protocol, of_seed, case) for of_seed in by_seed]
        spread[case] = {name: _spread([one[name] for one in of_seeds]) for name in SPREAD}
        metrics["uar"] = spread[case]["uar"][0]  # the figure of the protocol
    for index, group in enumerate(_group(runs, "fold"), 1):
        name = group[0]["tested"][0].corpus if protocol == "corpus" else f"fold {index}"
        folds[name] = {case: measure_runs("", group, case) for case in cases}
    tested, probabilities, over_speakers = pool(runs, "h0")
    groups = compute_group_metrics(tested, probabilities, over_speakers)
    bins, error = calibration(tested, probabilities)
    curve = risk_coverage(tested, probabilities)

    seeds = {
        "split": [of_seed[0]["split_seed"] for of_seed in by_seed],
        "training": [of_seed[0]["seed"] for of_seed in by_seed],
    }
    record = run_record(protocol, recordings, [run["sizes"] for run in by_seed[0]], seeds, settings)
    record |= {
        "mean_and_standard_deviation": spread,
        "pooled": cases,
        "folds": folds,
        "groups": groups,
        "calibration": bins,
        "risk_coverage": curve,
        "temperatures": [run["temperature"] for run in runs],
        "mean_training_seconds": float(np.mean([run["seconds"] for run in runs])),
    }
    write_json(folder / f"{protocol}.json", record)
    update_headline(folder, _headline_figures(protocol, cases, folds))
    drawn = {f"{protocol}, {case}": cases[case] for case in cases if case in ("h0", "h10")}
    plot_confusion(drawn, folder / f"{protocol}.png")
    title = f"Protocol {protocol}"
    plot_calibration(bins, error, title, folder / f"{protocol}_calibration.png")
    plot_risk_coverage(curve, title, folder / f"{protocol}_left_out.png")
    _print_report(protocol, cases, spread, folds, groups, len(by_seed))
    print(f"written: {folder}/{protocol}.json and plots")


def _group(runs, key):
    """The runs of each fold, or of each seed, as a list of lists."""
    return [[run for run in runs if run[key] == one] for one in sorted({run[key] for run in runs})]


def _spread(values):
    """Mean and standard deviation over seeds; the latter is None where there is but one."""
    return [float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None]


def _headline_figures(protocol, cases, folds):
    """The main figures of a protocol, by their names in headline.json."""
    if protocol == "random":
        return {"splits_of_random": cases["h0"]["accuracy"]}
    if protocol != "corpus":
        return {f"{protocol}_{case}": metrics["uar"] for case, metrics in cases.items()}
    parts = {"mean": cases} | folds
    return {f"corpus_{n}_{case}": m["uar"] for n, part in parts.items() for case, m in part.items()}


def _print_report(protocol, cases, spread, folds, groups, n_seeds):
    """Print a table of each fold, one of all, and a line of each case."""
    for name, fold in folds.items():
        print_metrics({f"{name} {case}": metrics for case, metrics in fold.items()})
    print_metrics(cases | groups)
    figure = "accuracy" if protocol == "random" else "uar"
    for case, figures in spread.items():
        mean, deviation = figures[figure]
        over = f"± {deviation:.4f} over {n_seeds} seeds" if n_seeds > 1 else "with one seed"
        low, high = cases[case]["intervals"][figure]
        unit = cases[case]["intervals"]["over"]
        print(f"{protocol} {case}: {mean:.4f} {over}; 95 % over {unit}: {low:.3f} to {high:.3f}")


# Plots ------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _new_plot(path, *figsize, rows=1, columns=1):
    """Axes of a figure that is saved at the end; whatever display or matplotlibrc there is."""
    os.environ["MPLBACKEND"] = "agg"  # another that is not known would be an error
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        figure = Figure(figsize, layout="constrained")
        FigureCanvasAgg(figure)  # seaborn asks it how large letters are
        yield figure.subplots(rows, columns)
        with atomic_write(path) as partial:
            figure.savefig(partial, dpi=110)


def plot_history(history, name, path):
    """Draw loss or accuracy over the epochs of a `history` that `fit` returned."""
    epochs = np.arange(1, len(history[name]) + 1)
    with _new_plot(path, 7, 4) as axes:
        axes.plot(epochs, history[name], label="training (augmented, with dropout)")
        axes.plot(epochs, history[f"val_{name}"], label="validation (averaged weights)")
        saved = history["epoch_saved"]
        axes.axvline(saved, color="gray", linestyle=":", label=f"saved: epoch {saved}")
        axes.set(xlabel="epoch", ylabel=name, title=name.capitalize())
        axes.grid(alpha=0.3)
        axes.legend()


def plot_confusion(parts, path):
    """Draw the confusion matrix of each part, metrics by title: counts, and recall as color."""
    n_columns = min(len(parts), 4)
    n_rows = int(np.ceil(len(parts) / n_columns))
    with _new_plot(path, 7 * n_columns, 6 * n_rows, rows=n_rows, columns=n_columns) as grid:
        all_axes = np.ravel(grid)
        for unused in all_axes[len(parts) :]:
            unused.set_axis_off()
        for axes, (name, metrics) in zip(all_axes, parts.items(), strict=False):
            _draw_confusion(metrics, axes)
            title = shown(name).replace("$", r"\$")  # which would begin a formula
            figures = f"accuracy {metrics['accuracy']:.3f}, UAR {metrics['uar']:.3f}"
            axes.set(title=f"{title}: {figures}", xlabel="recognized")
        for axes in all_axes[::n_columns]:
            axes.set_ylabel("true emotion and its recall")
        colors, label = all_axes[0].collections[0], "share of the true emotion"
        all_axes[0].figure.colorbar(colors, ax=all_axes, label=label)


def _draw_confusion(metrics, axes):
    """Draw a matrix of the emotions that occur (rows), and those that are answered (columns)."""
    import seaborn

    counts = np.array(metrics["confusion"])
    rows, columns = counts.any(axis=1), counts.any(axis=1) | counts.any(axis=0)
    names, counts = np.array(EMOTIONS), counts[rows][:, columns]
    seaborn.heatmap(
        counts / counts.sum(axis=1, keepdims=True),
        annot=counts,
        fmt="d",
        vmin=0,
        vmax=1,
        cmap="Blues",
        xticklabels=names[columns],
        yticklabels=[f"{emotion} {metrics['recall'][emotion]:.2f}" for emotion in names[rows]],
        cbar=False,
        ax=axes,
    )
    axes.tick_params("y", rotation=0)
    axes.set_xticks(
        axes.get_xticks(), names[columns], rotation=45, ha="right", rotation_mode="anchor"
    )


def plot_calibration(bins, error, title, path):
    """Draw accuracy over confidence, and how many clips have it, as `calibration` returns them."""
    n, confidence, accuracy = np.array(bins).T
    low, high = np.transpose([wilson(right, number) for number, _, right in bins])
    with _new_plot(path, 5.5, 5) as axes:
        axes.plot([0, 1], [0, 1], color="gray", linestyle=":", label="perfect calibration")
        left = np.floor(confidence * N_BINS) / N_BINS
        share = {"color": "lightsteelblue", "label": "share of all clips"}
        axes.bar(left, n / n.sum(), 1 / N_BINS, align="edge", **share)
        errors = {"yerr": np.clip([accuracy - low, high - accuracy], 0, 1), "capsize": 3}
        axes.errorbar(confidence, accuracy, **errors, fmt="o", label="accuracy, 95% interval")
        axes.set(xlim=(0, 1), ylim=(0, 1), title=f"{title}: calibration error {error:.3f}")
        axes.set_xlabel("confidence: probability of the strongest emotion")
        axes.legend()


def plot_risk_coverage(curve, title, path):
    """Draw the accuracy of the clips that remain over the share that is left out."""
    _, shares, accuracies = np.transpose(curve)
    with _new_plot(path, 5.5, 5) as axes:
        axes.plot(shares, accuracies, "o-")
        for limit, *place in curve:
            if limit == UNSURE_BELOW:  # not where no answer is so sure
                words = f"without those below {limit:.0%}"
                axes.plot(*place, "o", color="black", markersize=9, label=words)
                axes.legend(loc="lower right")
        axes.set(xlim=(0, 1), ylim=(0, 1.02), ylabel="accuracy of the others", title=title)
        axes.set_xlabel("share of the clips that is left out, the least sure ones")
        axes.grid(alpha=0.3)
