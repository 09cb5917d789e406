"""What is told of runs: tables, the record of a run, the headline, and a protocol's report."""

import contextlib
import dataclasses
import importlib.metadata
import itertools
import json
import platform
import shlex
import sys
from collections import Counter

import numpy as np

from sentimental.files import set_aside, write_json
from sentimental.scripts import EMOTIONS
from sentimental.speaker import MODEL_CHAIN
from sentimental.training.metrics import (
    bootstrap,
    calibration,
    compute_group_metrics,
    compute_metrics,
    interval,
    risk_coverage,
)
from sentimental.training.plots import plot_calibration, plot_confusion, plot_risk_coverage

# Packages whose versions a record names.
PACKAGES = ("numpy", "scipy", "soxr", "noisereduce", "scikit-learn", "tensorflow", "keras")
# Seeds in the record of a protocol, and what a run calls them.
SEEDS = {"split": "split_seed", "training": "seed"}


def print_metrics(parts):
    """Print a table: one row for each part of the split, or seed, or condition."""
    width = max(12, *map(len, parts))
    print(f"\n{'':{width}}{'clips':>6}  {'over':8}", end="")
    print("".join(f"  {name:22}" for name in ("accuracy", "UAR", "own", "ECE")), end="  ")
    print("most frequent answer, recall of each emotion")
    for name, metrics in parts.items():
        answer, share = max(metrics["answers"].items(), key=lambda item: item[1])
        intervals = metrics["intervals"]
        figures = [
            _with_interval(metrics[figure], intervals[figure])
            for figure in ("accuracy", "uar", "uar_own", "calibration_error")
        ]
        recall = [
            f"{emotion} {_with_interval(value, intervals['recall'][emotion], 2)}"
            for emotion, value in metrics["recall"].items()
        ]
        print(f"{name:{width}}{metrics['n']:6}  {intervals['over']:8}", end="")
        print("".join(f"  {figure:22}" for figure in figures), end="  ")
        print(f"{answer} {share:.0%}; {'  '.join(recall)}")
    print("in brackets: 95 % intervals, over speakers by bootstrap, over clips after Wilson")


def _with_interval(figure, interval, digits=4):
    low, high = interval
    return f"{figure:.{digits}f} ({low:.2f} to {high:.2f})"


def run_record(protocol, recordings, sizes, seeds, settings):
    """All that a reader needs to trust a figure.

    Parameters
    ----------
    protocol : str
    recordings : list of Recording
    sizes : of the parts of the split; any JSON
    seeds : dict of what was seeded with which
    settings : dict of dataclasses, those that the run used

    Returns
    -------
    record : dict
    """
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
    """Put the main figures of a run into headline.json, beside those of other runs."""
    path = folder / "headline.json"
    of_this_run = {name.partition("_")[0] for name in figures}
    try:
        known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        kept = {k: v for k, v in known.items() if k.partition("_")[0] not in of_this_run}
    except (ValueError, AttributeError, RecursionError):
        set_aside(path)  # what the runs of hours have found is worth more
        kept = {}
    rounded = {name: round(float(value), 6) for name, value in figures.items()}
    write_json(path, dict(sorted((kept | rounded).items())))


# Protocols --------------------------------------------------------------------------------------


def pool(runs, way):
    """Recordings and probabilities of all folds of some runs, of those that were tested."""
    recordings = [recording for run in runs for recording in run["tested"]]
    probabilities = np.concatenate([run["probabilities"][way] for run in runs])
    tested = np.isfinite(probabilities[:, 0])
    return [*itertools.compress(recordings, tested)], probabilities[tested]


def group_runs(runs, key):
    """The runs of each fold, or of each seed, as a list of lists."""
    return [[run for run in runs if run[key] == one] for one in sorted({run[key] for run in runs})]


def measure_runs(protocol, runs, way):
    """Metrics of some runs together; UAR is the mean of corpora, or actresses, where they test."""
    metrics = compute_metrics(*pool(runs, way), protocol != "random")
    if protocol in ("tess-speaker", "corpus"):  # folds of speakers are pooled
        folds = [pool(group, way) for group in group_runs(runs, "fold")]
        measured, drawn = [compute_metrics(*fold) for fold in folds], [bootstrap(*f) for f in folds]
        metrics["intervals"]["over"] = drawn[0][1]
        for name in ("uar", "uar_own"):
            metrics[name] = float(np.mean([fold[name] for fold in measured]))
            means = np.mean([figures[name] for figures, _ in drawn], axis=0)
            metrics["intervals"][name] = interval(means)
    return metrics


def report_runs(protocol, runs, recordings, folder, settings):
    """Write the metrics of a protocol's runs and two plots, and print the tables.

    Parameters
    ----------
    protocol : str
    runs : list of dict, as `sentimental.training.cross_validation.run_folds` returns them
    recordings : list of Recording
    folder : Path
    settings : dict with ``training`` and ``augmentation``
    """
    by_fold, by_seed = group_runs(runs, "fold"), group_runs(runs, "seed")
    over_speakers = protocol != "random"
    ways, spread = {}, {}
    for way in runs[0]["probabilities"]:
        ways[way] = measure_runs(protocol, runs, way)
        seeds = [measure_runs(protocol, of_seed, way) for of_seed in by_seed]
        spread[way] = {}
        for name in ("accuracy", "uar", "uar_own"):
            values = [metrics[name] for metrics in seeds]
            deviation = float(np.std(values, ddof=1)) if len(seeds) > 1 else None
            spread[way][name] = [float(np.mean(values)), deviation]
        ways[way]["uar"] = spread[way]["uar"][0]  # the figure of the protocol
    folds = {}
    for index, group in enumerate(by_fold):
        corpus = group[0]["tested"][0].corpus
        folds[corpus if protocol == "corpus" else f"fold {index + 1}"] = {
            way: compute_metrics(*pool(group, way), over_speakers) for way in ways
        }
    groups = compute_group_metrics(*pool(runs, "h0"), over_speakers)
    bins, error = calibration(*pool(runs, "h0"))
    curve = risk_coverage(*pool(runs, "h0"))

    seeded = {name: [of_seed[0][key] for of_seed in by_seed] for name, key in SEEDS.items()}
    sizes = [run["sizes"] for run in by_seed[0]]
    record = run_record(protocol, recordings, sizes, seeded, settings) | {
        "mean_and_standard_deviation": spread,
        "pooled": ways,
        "folds": folds,
        "groups": groups,
        "calibration": bins,
        "risk_coverage": curve,
        "temperatures": [run["temperature"] for run in runs],
        "mean_training_seconds": float(np.mean([run["seconds"] for run in runs])),
    }
    write_json(folder / f"{protocol}.json", record)
    figures = {f"{protocol}_{way}": metrics["uar"] for way, metrics in ways.items()}
    if protocol == "random":
        figures = {"splits_of_random": spread["h0"]["accuracy"][0]}
    if protocol == "corpus":
        figures = {f"corpus_mean_{way}": metrics["uar"] for way, metrics in ways.items()}
        for name, fold in folds.items():
            figures |= {f"corpus_{name}_{way}": metrics["uar"] for way, metrics in fold.items()}
    update_headline(
        folder, {name.replace(", ", "_").replace(" ", "_"): v for name, v in figures.items()}
    )
    plot_confusion(
        {f"{protocol}, {way}": ways[way] for way in ways if way in ("h0", "h10")},
        folder / f"{protocol}.png",
    )
    plot_calibration(bins, error, f"Protocol {protocol}", folder / f"{protocol}_calibration.png")
    plot_risk_coverage(curve, f"Protocol {protocol}", folder / f"{protocol}_left_out.png")
    for name, fold in folds.items():
        print_metrics({f"{name} {way}": metrics for way, metrics in fold.items()})
    print_metrics(ways | groups)
    figure = "accuracy" if protocol == "random" else "uar"
    for way, figures in spread.items():
        mean, deviation = figures[figure]
        told = (
            f"± {deviation:.4f} over {len(by_seed)} seeds" if len(by_seed) > 1 else "with one seed"
        )
        low, high = ways[way]["intervals"][figure]
        unit = ways[way]["intervals"]["over"]
        print(f"{protocol} {way}: {mean:.4f} {told}; with as many other {unit} ", end="")
        print(f"{low:.3f} to {high:.3f}")
    print(f"written: {folder}/{protocol}.json and plots")
