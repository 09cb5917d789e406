"""Train the emotion network on the features that preprocess.py wrote.

    python train_model.py data/features.json              train, and write model8723 and results/
    python train_model.py data/features.json --evaluate   the figures of the saved model again
    python train_model.py mine.json --evaluate            how good it is on recordings of your own
    python train_model.py data/features.json --protocol speaker --seeds 3

The network: masking of the padding, two LSTM layers of 64 units, a dense softmax over the eight
emotions, which reads a summary of the recording as well. What trains and what tests is the
protocol:

    random        recordings of TESS and RAVDESS held out at random, 8.7 % to validate and 3.8 % to
                  test; all else trains the model that is saved. Its speakers are trained on, so the
                  figures are optimistic. With --seeds N: N such splits, both parts pooled
    speaker       RAVDESS in 5 folds of actors: unseen speakers; all other corpora train, too
    tess-speaker  one TESS actress and RAVDESS train, the other actress tests, both ways
    corpus        each corpus is tested by a network that all the others trained: other voices,
                  another room, another microphone, another language

Speaker and corpus are measured three ways: h0, where each recording is the first that is heard of
its speaker; h10, where ten others were heard before; and with ten others of one emotion.

Protocol random writes model8723.json (architecture) and model8723_weights.h5 (weights), and in
results/ metrics.json, loss.png, accuracy.png and confusion_matrix.png. The others, and random with
--seeds, train one network for each fold and seed, side by side on all cores, and write
results/PROTOCOL.json, PROTOCOL.png (confusion matrix) and PROTOCOL_calibration.png. All of them put
their main figures into results/headline.json. A training that was stopped goes on after its last
finished epoch when the same command is given again.

--evaluate measures the saved model on the held-out part of TESS and RAVDESS, and on every corpus
that did not train it; --results FOLDER keeps the figures as FOLDER/evaluation.json.

How much noise costs is measured with features that preprocess.py --condition made of the same
recordings:

    python preprocess.py data/RAVDESS --condition babble --output data/babble.json
    python train_model.py data/features.json --protocol speaker --conditions data/babble.json

What a setting brings is seen by changing it for one run. The settings stand, each with what it
means, in sentimental/settings.py (training) and sentimental/augment.py (augmentation):

    python train_model.py data/features.json --set augmentation.vtlp=0 --results elsewhere --seeds 1
"""

from sentimental.base import EMOTIONS, SentimentalError, end_at_once, on_end_signals, run_script
from sentimental.files import check_outputs, remove_folder, set_aside, write_json

if __name__ == "__main__":
    on_end_signals(end_at_once)  # before the imports that take seconds

import argparse
import hashlib
import json
import sys
from pathlib import Path

import numpy as np

from sentimental.augment import Augmentation
from sentimental.evaluate import (
    bootstrap_uar,
    calibration,
    compute_group_metrics,
    compute_metrics,
    print_metrics,
    run_record,
)
from sentimental.model import load_network, save_model, weights_checksum, weights_path_of
from sentimental.plots import plot_calibration, plot_confusion, plot_history
from sentimental.protocols import PROTOCOLS, count_parts, protocol_folds
from sentimental.runs import clear_folds, draw_histories, run_folds
from sentimental.settings import Training, change_settings
from sentimental.storage import load_features

# `sentimental.training` is imported where it is used: it loads TensorFlow, which takes seconds.


def load_recordings(path, n_least):
    """Recordings to train on or to measure, sorted by corpus and file name.

    Raises
    ------
    SentimentalError
        When there are too few, or they are under a condition, which is for tests.
    """
    recordings = load_features(path)
    recordings.sort(key=lambda r: (r["corpus"], Path(r["file"]).name, r["hash"]))
    if any(recording["condition"] for recording in recordings):
        raise SentimentalError(f"{path}: made with --condition, which is for tests")
    if len(recordings) < n_least:
        raise SentimentalError(f"{path}: {len(recordings)} recordings are too few")
    return recordings


def load_conditions(paths):
    """Recordings under conditions, by the name of the condition.

    Raises
    ------
    SentimentalError
        When a file is not of one condition, or two are of the same.
    """
    conditions = {}
    for path in paths:
        recordings = load_features(path)
        names = {recording["condition"] for recording in recordings}
        if len(names) != 1 or "" in names:
            raise SentimentalError(f"{path}: not made with preprocess.py --condition")
        (name,) = names
        if name in conditions:
            raise SentimentalError(f"{path}: there is another file of condition {name}")
        conditions[name] = recordings
    return conditions


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


# The model that is saved ------------------------------------------------------------------------


def train_saved_model(recordings, settings, seed, model, folder):
    """Train on the split of protocol random; write the model, its metrics and the plots.

    Parameters
    ----------
    recordings : list of dict
    settings : dict with ``training`` and ``augmentation``
    seed : int, of first weights and augmentation
    model : Path, of the JSON file
    folder : Path, of metrics and plots
    """
    from sentimental.training import predict_recordings, train

    training, augmentation = settings["training"], settings["augmentation"]
    (fold,) = protocol_folds("random", recordings, training, training.split_seed)
    train_part, *held_out = fold
    sizes = count_parts(fold)
    print(", ".join(f"{name} {size}" for name, size in sizes.items()), "recordings")

    checkpoint = model.with_name(f"{model.stem}_checkpoint")
    network, usual, history = train(
        train_part,
        held_out[0],
        training,
        augmentation,
        training.epochs["random"],
        seed,
        checkpoint,
        temperature=training.temperature,
    )
    corpora = sorted({recording["corpus"] for recording in train_part})
    trained = {"corpora": corpora, "held_out": held_out_mark(held_out)}
    save_model(network, usual, trained, model)

    probabilities = [predict_recordings(network, usual, part) for part in held_out]
    parts = dict(
        zip(("validation", "test"), map(compute_metrics, held_out, probabilities), strict=True)
    )
    print_metrics(parts)
    seeds = {"split": training.split_seed, "training": seed}
    metrics = run_record("random", recordings, sizes, seeds, settings) | parts
    metrics["groups"] = compute_group_metrics(sum(held_out, []), np.concatenate(probabilities))
    metrics["epoch_saved"] = history["epoch_saved"]
    metrics["parameters"] = network.count_params()
    metrics["weights_checksum"] = weights_checksum(network.get_weights())
    metrics["training_seconds"] = round(history["seconds"], 1)
    write_json(folder / "metrics.json", metrics)
    figures = {f"random_{name}": part["accuracy"] for name, part in parts.items()}
    update_headline(folder, figures)
    plot_history(history, "loss", folder / "loss.png")
    plot_history(history, "accuracy", folder / "accuracy.png")
    plot_confusion(parts, folder / "confusion_matrix.png")
    remove_folder(checkpoint)
    print(f"\nWritten: {model}, {weights_path_of(model)}, and figures in {folder}/")


def held_out_mark(held_out):
    """Tells by which recordings a model was validated and tested, wherever they lie."""
    names = [(r["hash"], Path(r["file"]).name) for part in held_out for r in part]
    return hashlib.sha256(repr(names).encode()).hexdigest()


def evaluate_saved_model(recordings, training, model, folder):
    """Measure a saved model on what did not train it, and print the figures.

    Parameters
    ----------
    recordings : list of dict
    training : Training, whose split held out of TESS and RAVDESS what did not train
    model : Path, of its JSON file
    folder : Path or None, where the figures are kept as evaluation.json
    """
    from sentimental.training import predict_recordings

    network, content = load_network(model)
    usual, trained = content["usual"], content["training"]
    corpora = sorted({recording["corpus"] for recording in recordings})
    parts = {}
    ((_, *held_out),) = protocol_folds("random", recordings, training, training.split_seed)
    if held_out_mark(held_out) == trained["held_out"]:
        for name, part in zip(("validation", "test"), held_out, strict=True):
            parts[name] = compute_metrics(part, predict_recordings(network, usual, part))
    for corpus in (corpus for corpus in corpora if corpus not in trained["corpora"]):
        part = [recording for recording in recordings if recording["corpus"] == corpus]
        ways = {"h0": None}
        if any(recording["speaker"] for recording in part):
            ways |= draw_histories(part, 1)
        for way, tallies in ways.items():
            probabilities = predict_recordings(network, usual, part, tallies)
            parts[f"{corpus} {way}"] = compute_metrics(part, probabilities)
    if not parts:
        raise SentimentalError(
            f"{', '.join(corpora)}: trained this model, and what was held out cannot be told; give "
            "features of other recordings, or the file and --set of its training"
        )
    print_metrics(parts)
    if folder:
        write_json(folder / "evaluation.json", parts)


# Protocols --------------------------------------------------------------------------------------


def pool(runs, way):
    """Recordings and probabilities of all folds of some runs."""
    tested = [recording for run in runs for recording in run["tested"]]
    return tested, np.concatenate([run["probabilities"][way] for run in runs])


def interval(uars):
    """Where 95 % of some UAR lie; a list of two."""
    return np.percentile(uars, (2.5, 97.5)).tolist()


def measure_runs(protocol, runs, way):
    """Metrics of some runs together; UAR is the mean of corpora, or actresses, where they test."""
    metrics = compute_metrics(*pool(runs, way))
    if protocol in ("tess-speaker", "corpus"):  # folds of actors are pooled
        for name in ("uar", "uar_own"):
            of_folds = [compute_metrics(*pool([run], way))[name] for run in runs]
            metrics[name] = float(np.mean(of_folds))
    return metrics


def run_protocol(protocol, recordings, conditions, n_seeds, folder, settings):
    """Train and test all folds with several seeds, and write the metrics and two plots.

    Parameters
    ----------
    protocol : str
    recordings : list of dict
    conditions : dict of list of dict; recordings as they are under other conditions, by its name
    n_seeds : int > 0
    folder : Path
    settings : dict with ``training`` and ``augmentation``
    """
    runs = run_folds(protocol, recordings, conditions, n_seeds, folder / "folds", settings)
    numbers = sorted({run["fold"] for run in runs})
    by_fold = [[run for run in runs if run["fold"] == number] for number in numbers]
    by_seed = [[run for run in runs if run["seed"] == seed] for seed in range(1, n_seeds + 1)]
    ways, spread, intervals, of_folds = {}, {}, {}, {}
    for way in runs[0]["probabilities"]:
        ways[way] = measure_runs(protocol, runs, way)
        of_folds[way] = [bootstrap_uar(*pool(group, way)) for group in by_fold]
        if protocol == "speaker":  # whose folds are pooled
            intervals[way] = interval(bootstrap_uar(*pool(runs, way)))
        else:
            intervals[way] = interval(np.mean(of_folds[way], axis=0))
        seeds = [measure_runs(protocol, of_seed, way) for of_seed in by_seed]
        spread[way] = {}
        for name in ("accuracy", "uar", "uar_own"):
            values = [metrics[name] for metrics in seeds]
            deviation = float(np.std(values, ddof=1)) if n_seeds > 1 else None
            spread[way][name] = [float(np.mean(values)), deviation]
        ways[way]["uar"] = spread[way]["uar"][0]  # the figure of the protocol
    folds = {}
    for index, group in enumerate(by_fold):
        corpus = group[0]["tested"][0]["corpus"]
        folds[corpus if protocol == "corpus" else f"fold {index + 1}"] = {
            way: compute_metrics(*pool(group, way)) | {"interval": interval(of_folds[way][index])}
            for way in ways
        }
    groups = compute_group_metrics(*pool(runs, "h0"))
    bins, error = calibration(*pool(runs, "h0"))

    split_seeds = [of_seed[0]["split_seed"] for of_seed in by_seed]
    seeded = {"split": split_seeds, "training": [*range(1, n_seeds + 1)]}
    sizes = [run["sizes"] for run in by_seed[0]]
    record = run_record(protocol, recordings, sizes, seeded, settings) | {
        "mean_and_standard_deviation": spread,
        "interval_over_speakers": intervals,
        "pooled": ways,
        "folds": folds,
        "groups": groups,
        "calibration": bins,
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
    for name, fold in folds.items():
        print_metrics({f"{name} {way}": metrics for way, metrics in fold.items()})
    print_metrics(ways | groups)
    for way, figures in spread.items():
        mean, deviation = figures["accuracy" if protocol == "random" else "uar"]
        told = f"± {deviation:.4f} over {n_seeds} seeds" if n_seeds > 1 else "with one seed"
        low, high = intervals[way]
        print(f"{protocol} {way}: {mean:.4f} {told}", end="")
        if protocol in ("speaker", "corpus"):  # elsewhere there are one or two to draw from
            print(f"; with as many other speakers {low:.3f} to {high:.3f}", end="")
        print()
    print(f"written: {folder}/{protocol}.json and plots")
    clear_folds(protocol, runs, folder / "folds")


# The command line -------------------------------------------------------------------------------


def parse_arguments(argv):
    """The command line; ends the process where options make no sense together."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("features", type=Path, help="what preprocess.py wrote")
    parser.add_argument(
        "--evaluate",
        action="store_true",
        help="do not train: measure the saved model on what did not train it",
    )
    parser.add_argument(
        "--protocol",
        choices=PROTOCOLS,
        default="random",
        help="what trains and what tests (default: %(default)s)",
    )
    parser.add_argument(
        "--seeds",
        type=int,
        metavar="N",
        help="train with the seeds 1 to N, write figures alone (default: 1, but protocol random "
        "trains the model that is saved)",
    )
    parser.add_argument(
        "--conditions",
        type=Path,
        nargs="+",
        default=[],
        metavar="FEATURES",
        help="test under these conditions as well: what preprocess.py --condition wrote",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="another value for a setting: --set training.batch_size=64 "
        "--set augmentation.noise_prob=0",
    )
    parser.add_argument(
        "--model",
        type=Path,
        default=Path("model8723.json"),
        metavar="FILE.json",
        help="write or read it, with its weights in FILE_weights.h5 (default: %(default)s)",
    )
    parser.add_argument(
        "--results",
        type=Path,
        metavar="FOLDER",
        help="where the figures go (default: results; with --evaluate, they are printed alone)",
    )
    parser.add_argument(
        "--seed", type=int, help="of weights and augmentation of the saved model (default: 1)"
    )
    arguments = parser.parse_args(argv)
    if not (arguments.results or arguments.evaluate):
        arguments.results = Path("results")
    arguments.saves_model = arguments.protocol == "random" and arguments.seeds is None
    if arguments.seeds is not None and arguments.seeds < 1:
        parser.error("--seeds must be at least 1")
    if arguments.seed is not None and (arguments.evaluate or not arguments.saves_model):
        parser.error("--seed is of the training of the saved model; --seeds N has the seeds 1 to N")
    if arguments.seed is not None and not 0 <= arguments.seed < 2**16:
        parser.error("--seed must lie between 0 and 65535")
    if arguments.model.suffix != ".json":
        parser.error(f"--model {arguments.model}: the name must end with .json")
    arguments.seed = 1 if arguments.seed is None else arguments.seed
    if arguments.evaluate and not arguments.saves_model:
        parser.error("--evaluate is of the saved model, which is of protocol random")
    if arguments.conditions and arguments.saves_model:
        parser.error("--conditions is for the other protocols, or for random with --seeds")
    return arguments


def main(argv=None):
    """Read the command line, then train or evaluate."""
    arguments = parse_arguments(argv)
    settings = {"training": Training(), "augmentation": Augmentation()}
    settings = change_settings(settings, arguments.set)
    name = "evaluation.json" if arguments.evaluate else "headline.json"
    outputs = [arguments.results / name] if arguments.results else []
    if arguments.saves_model and not arguments.evaluate:
        outputs += [arguments.model, weights_path_of(arguments.model)]
    check_outputs(outputs, [arguments.features, *arguments.conditions])
    n_least = 2 * len(EMOTIONS) if arguments.evaluate else 4 * len(EMOTIONS)
    recordings = load_recordings(arguments.features, n_least)
    if arguments.evaluate:
        evaluate_saved_model(recordings, settings["training"], arguments.model, arguments.results)
    elif arguments.saves_model:
        train_saved_model(recordings, settings, arguments.seed, arguments.model, arguments.results)
    else:
        run_protocol(
            arguments.protocol,
            recordings,
            load_conditions(arguments.conditions),
            arguments.seeds or 1,
            arguments.results,
            settings,
        )


if __name__ == "__main__":
    sys.exit(run_script(main))
