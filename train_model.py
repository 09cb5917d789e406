"""Train the emotion network on the features that preprocess.py wrote.

    python train_model.py data/features.json              train, and write model8723 and results/
    python train_model.py data/features.json --evaluate   the figures of the saved model again
    python train_model.py data/features.json --protocol speaker --seeds 5

The network: masking of the padding, two LSTM layers of 64 units, a dense softmax over the eight
emotions. What trains and what tests is the protocol:

    random        recordings held out at random, 8.7 % to validate and 3.8 % to test; the model that
                  is saved is of this protocol. Its speakers are trained on, so the figures are
                  optimistic. With --seeds N: N such splits, validation and test pooled
    speaker       RAVDESS in 5 folds of actors: unseen speakers
    tess-speaker  one TESS actress and RAVDESS train, the other actress tests, both ways
    corpus        RAVDESS trains and TESS tests, and the other way, without calm: another room,
                  another microphone, other voices

Protocol random writes model8723.json (architecture) and model8723_weights.h5 (weights), and in
results/ metrics.json, loss.png, accuracy.png and confusion_matrix.png. The others, and random with
--seeds, train one network for each fold and seed, side by side on all cores, and write
results/PROTOCOL.json, PROTOCOL.png (confusion matrix) and PROTOCOL_calibration.png. A training
that was stopped goes on after its last finished epoch when the same command is given again.

How much noise costs is measured with features that preprocess.py --condition made of the same
recordings:

    python preprocess.py data/RAVDESS --condition babble --output data/babble.json
    python train_model.py data/features.json --protocol speaker --conditions data/babble.json

What a setting brings is seen by changing it for one run. The settings stand, each with what it
means, in sentimental/settings.py (training) and sentimental/augment.py (augmentation):

    python train_model.py data/features.json --set augmentation.vtlp=0 --results elsewhere --seeds 1
"""

import argparse
import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed

from sentimental.augment import Augmentation
from sentimental.base import EMOTIONS, WORKER_MEMORY, SentimentalError, run_script, write_json
from sentimental.evaluate import (
    calibration,
    compute_group_metrics,
    compute_metrics,
    plot_calibration,
    plot_confusion,
    plot_history,
    print_metrics,
    run_record,
)
from sentimental.features import load_features
from sentimental.model import load_network, save_model, weights_checksum
from sentimental.protocols import PROTOCOLS, protocol_folds
from sentimental.settings import Training, change_settings

# `sentimental.training` is imported where it is used: it loads TensorFlow, which takes seconds.


def load_recordings(path):
    """Recordings to train on, sorted by corpus and file name.

    Raises
    ------
    SentimentalError
        When there are too few, or they are under a condition, which is for tests.
    """
    recordings = load_features(path)
    recordings.sort(key=lambda r: (r["corpus"], Path(r["file"]).name, r["hash"]))
    if any(recording["condition"] for recording in recordings):
        raise SentimentalError(f"{path}: made with --condition, which is for tests")
    if len(recordings) < 4 * len(EMOTIONS):
        raise SentimentalError(f"{path}: {len(recordings)} recordings are too few to train on")
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


def count_parts(fold):
    """How many recordings train, validate and test, as a dict."""
    return dict(zip(("train", "validation", "test"), map(len, fold), strict=True))


# The model that is saved ------------------------------------------------------------------------


def train_saved_model(recordings, settings, seed, model, folder):
    """Train on the split of protocol random; write the model, its metrics and the plots.

    Parameters
    ----------
    recordings : list of dict
    settings : dict with ``training`` and ``augmentation``
    seed : int, of first weights and augmentation
    model : str, path of the model files without their endings
    folder : Path, of metrics and plots
    """
    from sentimental.training import predict_recordings, train

    training, augmentation = settings["training"], settings["augmentation"]
    (fold,) = protocol_folds("random", recordings, training, training.split_seed)
    train_part, *held_out = fold
    sizes = count_parts(fold)
    print(", ".join(f"{name} {size}" for name, size in sizes.items()), "recordings")

    checkpoint = Path(f"{model}_checkpoint")
    network, history = train(
        train_part,
        held_out[0],
        training,
        augmentation,
        training.epochs["random"],
        seed,
        checkpoint,
        temperature=training.temperature,
    )
    save_model(network, f"{model}.json")

    probabilities = [predict_recordings(network, part) for part in held_out]
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
    plot_history(history, "loss", folder / "loss.png")
    plot_history(history, "accuracy", folder / "accuracy.png")
    plot_confusion(parts, folder / "confusion_matrix.png")
    shutil.rmtree(checkpoint)
    print(f"\nWritten: {model}.json, {model}_weights.h5, and figures in {folder}/")


def evaluate_saved_model(recordings, training, model):
    """Print the metrics of a saved model on the split of protocol random."""
    from sentimental.training import predict_recordings

    network = load_network(f"{model}.json")
    ((_, *held_out),) = protocol_folds("random", recordings, training, training.split_seed)
    parts = zip(("validation", "test"), held_out, strict=True)
    print_metrics(
        {name: compute_metrics(part, predict_recordings(network, part)) for name, part in parts}
    )


# Protocols --------------------------------------------------------------------------------------


def match_conditions(tested, conditions):
    """The same recordings as they are under each condition, in the same order.

    Parameters
    ----------
    tested : list of dict
    conditions : dict of list of dict; recordings by the name of the condition

    Returns
    -------
    parts : dict of list of dict; "clean" is `tested` itself

    Raises
    ------
    SentimentalError
        When one of them is missing.
    """
    parts = {"clean": tested}
    for name, recordings in conditions.items():
        changed = {(r["hash"], Path(r["file"]).name): r for r in recordings}
        try:
            parts[name] = [changed[r["hash"], Path(r["file"]).name] for r in tested]
        except KeyError as missing:
            raise SentimentalError(
                f"condition {name}: {missing.args[0][1]} is not among its recordings; "
                "let preprocess.py make it of all recordings that this protocol tests"
            ) from None
    return parts


def run_fold(protocol, seed, number, fold, parts, folder, settings):
    """Train one fold and recognize what it tests, unless a run that was stopped has done so.

    Parameters
    ----------
    protocol : str
    seed, number : int, of the training and of the fold
    fold : (train, validation, test), each a list of dict
    parts : dict of list of dict; what is tested, as `match_conditions` returns it
    folder : Path, where what is finished waits for the rest
    settings : dict with ``training`` and ``augmentation``

    Returns
    -------
    result : dict with ``temperature``, ``seconds`` and ``probabilities``, a dict by part
    """
    from sentimental.checkpoint import fingerprint
    from sentimental.training import predict_recordings, train

    training, augmentation = settings["training"], settings["augmentation"]
    recordings = [*fold[0], *fold[1], *(r for part in parts.values() for r in part)]
    mark = fingerprint(recordings, settings, protocol, seed, [*parts])
    name = f"{protocol}_seed{seed}_fold{number}"
    path, checkpoint = folder / f"{name}.json", folder / name
    if path.exists():
        result = json.loads(path.read_text())
        if result["fingerprint"] == mark:
            return result
    network, history = train(
        fold[0],
        fold[1],
        training,
        augmentation,
        training.epochs[protocol],
        seed,
        checkpoint,
        name=f"seed {seed}, fold {number}: ",
        temperature=None if protocol == "speaker" else training.temperature,
    )
    result = {"fingerprint": mark} | {key: history[key] for key in ("temperature", "seconds")}
    result["probabilities"] = {
        part: predict_recordings(network, tested).tolist() for part, tested in parts.items()
    }
    write_json(path, result)
    shutil.rmtree(checkpoint)
    return result


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
    waiting = folder / "folds"
    training = settings["training"]
    jobs, split_seeds = [], []
    for seed in range(1, n_seeds + 1):
        # Only protocol random is another split with each seed.
        split_seeds.append(training.split_seed + (seed - 1 if protocol == "random" else 0))
        folds = protocol_folds(protocol, recordings, training, split_seeds[-1])
        for number, fold in enumerate(folds, 1):
            tested = fold[1] + fold[2] if protocol == "random" else fold[2]
            jobs.append((seed, number, fold, match_conditions(tested, conditions)))
    os.environ.update(WORKER_MEMORY)
    results = Parallel(n_jobs=-1)(
        delayed(run_fold)(protocol, *job, waiting, settings) for job in jobs
    )
    runs = [*zip(jobs, results, strict=True)]

    def pool(runs, part="clean"):
        """Recordings and probabilities of all folds of some runs."""
        tested = [recording for (*_, parts), _ in runs for recording in parts[part]]
        return tested, np.concatenate([result["probabilities"][part] for _, result in runs])

    seeds = {}
    for seed in range(1, n_seeds + 1):
        of_seed = [run for run in runs if run[0][0] == seed]
        metrics = compute_metrics(*pool(of_seed))
        of_folds = [compute_metrics(*pool([run]))["uar"] for run in of_seed]
        if protocol in ("tess-speaker", "corpus"):  # mean of both ways; folds of actors are pooled
            metrics["uar"] = float(np.mean(of_folds))
        seeds[f"seed {seed}"] = metrics | {"uar_of_folds": of_folds}
    spread = {}
    for name in ("accuracy", "uar"):
        values = [metrics[name] for metrics in seeds.values()]
        deviation = float(np.std(values, ddof=1)) if n_seeds > 1 else None
        spread[name] = [float(np.mean(values)), deviation]
    pooled = {part: compute_metrics(*pool(runs, part)) for part in ("clean", *conditions)}
    groups = compute_group_metrics(*pool(runs))
    bins, error = calibration(*pool(runs))
    temperatures = [result["temperature"] for result in results]

    sizes = [count_parts(fold) for seed, _, fold, _ in jobs if seed == 1]
    seeded = {"split": split_seeds, "training": [*range(1, n_seeds + 1)]}
    record = run_record(protocol, recordings, sizes, seeded, settings) | {
        "mean_and_standard_deviation": spread,
        "pooled": pooled,
        "groups": groups,
        "calibration": bins,
        "temperature": float(np.exp(np.mean(np.log(temperatures)))),
        "mean_training_seconds": float(np.mean([result["seconds"] for result in results])),
        "each_seed": seeds,
    }
    write_json(folder / f"{protocol}.json", record)
    headline = pooled["clean"] | {"uar": spread["uar"][0]}  # the figure of the protocol
    plot_confusion({f"protocol {protocol}": headline}, folder / f"{protocol}.png")
    plot_calibration(bins, error, f"Protocol {protocol}", folder / f"{protocol}_calibration.png")
    print_metrics(seeds | pooled | groups)
    for name, (mean, deviation) in spread.items():
        told = f"± {deviation:.4f} over {n_seeds} seeds" if n_seeds > 1 else "with one seed"
        print(f"{protocol}: {name} {mean:.4f} {told}")
    print(f"temperature {record['temperature']:.2f}; written: {folder}/{protocol}.json and plots")
    for seed, number, *_ in jobs:
        name = f"{protocol}_seed{seed}_fold{number}"
        (waiting / f"{name}.json").unlink()
        shutil.rmtree(waiting / name, ignore_errors=True)  # of a run killed before it was cleared


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
        help="do not train: measure the saved model, with the features and --set of its training",
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
        default="model8723",
        metavar="NAME",
        help="write or read NAME.json and NAME_weights.h5 (default: %(default)s)",
    )
    parser.add_argument(
        "--results",
        type=Path,
        default=Path("results"),
        metavar="FOLDER",
        help="where the figures go (default: %(default)s)",
    )
    parser.add_argument(
        "--seed", type=int, help="of weights and augmentation of the saved model (default: 1)"
    )
    arguments = parser.parse_args(argv)
    arguments.saves_model = arguments.protocol == "random" and arguments.seeds is None
    if arguments.seeds is not None and arguments.seeds < 1:
        parser.error("--seeds must be at least 1")
    if arguments.seed is not None and (arguments.evaluate or not arguments.saves_model):
        parser.error("--seed is of the training of the saved model; --seeds N has the seeds 1 to N")
    if arguments.seed is not None and not 0 <= arguments.seed < 2**16:
        parser.error("--seed must lie between 0 and 65535")
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
    recordings = load_recordings(arguments.features)
    if arguments.evaluate:
        evaluate_saved_model(recordings, settings["training"], arguments.model)
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
