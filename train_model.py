"""Train the emotion network on the features that preprocess.py wrote, or measure a trained one.

    python train_model.py                                   train; write model8723 and results/
    python train_model.py --evaluate                        measure the saved model again
    python train_model.py mine.json --evaluate              how good it is on your own recordings
    python train_model.py mine.json --start-from model8723.json --model me.json --results me
    python train_model.py --protocol speaker --seeds 3      how well it knows unseen speakers

A training that was stopped goes on when you give the same command again. docs/training.md explains
protocols, own recordings, intervals and settings.

Exit status: 0 done; 1 an error, in one line; 2 wrong options; 130 stopped by Ctrl-C.
"""

from sentimental.files import check_outputs, write_json
from sentimental.scripts import SentimentalError, end_at_once, on_end_signals, require, run_script

if __name__ == "__main__":
    on_end_signals(end_at_once)  # before the imports that take seconds
    require("tensorflow", "keras", "sklearn", "json_tricks", "joblib", "pebble", "seaborn")

import argparse
import contextlib
import sys
from pathlib import Path

import numpy as np

from sentimental.model import weights_path_of
from sentimental.training.cross_validation import run_folds, unfinished_work
from sentimental.training.histories import draw_histories, recording_statistics
from sentimental.training.inputs import (
    fingerprint_files,
    load_conditions,
    load_recordings,
    load_start,
)
from sentimental.training.metrics import compute_group_metrics, compute_metrics, pool
from sentimental.training.protocols import PROTOCOLS, count_parts, fold_to_save
from sentimental.training.reports import (
    plot_confusion,
    print_metrics,
    report_model,
    report_runs,
    run_record,
)
from sentimental.training.settings import Augmentation, Training, change_settings

# What is read, and what is trained or measured, unless other names are given.
FEATURES, MODEL = Path("data/features.json"), Path("model8723.json")

# `fit` and `network` of `sentimental.training` are imported where they are used: they load
# TensorFlow, which takes seconds.


def train_saved_model(recordings, settings, seed, model, folder, start=None):
    """Split, build the network, fit, evaluate, save: the model that others use, and its figures."""
    from sentimental.training.fit import fit
    from sentimental.training.network import build_network, find_untrained, save_model

    training = settings["training"]
    train, validation, test = fold = fold_to_save(recordings, training)
    print(", ".join(f"{name} {size}" for name, size in count_parts(fold).items()), "recordings")

    network = build_network(training.units)
    network.summary(line_length=80, expand_nested=True)

    with unfinished_work(model.with_name(f"{model.stem}_checkpoint")) as unfinished:
        runs = []
        if not test:
            print("cross-validation first: it measures a model of these recordings")
            runs = run_folds("random", recordings, {}, 1, unfinished, settings, start)

        checkpoint = unfinished / "training.npz"
        parts = train, validation, settings, seed, checkpoint
        reference, history = fit(network, *parts, start=start)

        metrics, groups = evaluate(network, reference, validation, test, runs)
        print_metrics(metrics, untrained := find_untrained(network.get_weights()))

        corpora = {recording.corpus for recording in train}
        corpora |= {*start["training"]["corpora"]} if start else set()
        trained = {"corpora": sorted(corpora), "held_out": fingerprint_files(validation + test)}
        save_model(network, reference, trained, model)
        seeds = {"split": training.split_seed, "training": seed}
        record = run_record("random", recordings, count_parts(fold), seeds, settings)
        record |= metrics | {"groups": groups, "untrained": untrained}
        report_model(folder, record, metrics, network, history)
        for path in [checkpoint, *(run["path"] for run in runs)]:
            path.unlink()
    print(f"\nWritten: {model}, {weights_path_of(model)}, and figures in {folder}/")


def evaluate(network, reference, validation, test, runs=()):
    """Metrics by name, first the cross-validation of own recordings (`runs`); those of groups."""
    from sentimental.training.fit import predict

    parts = {"validation": validation, "test": test}
    answers = {name: predict(network, reference, part) for name, part in parts.items() if part}
    tested = {name: (parts[name], answer, False) for name, answer in answers.items()}
    everything = validation + test, np.concatenate([*answers.values()]), False
    if runs:
        _, _, are_unseen = everything = pool(runs, "h0")
        tested = {"unseen speakers" if are_unseen else "cross-validation": everything} | tested
    metrics = {name: compute_metrics(*part) for name, part in tested.items()}
    return metrics, compute_group_metrics(*everything)


def evaluate_saved_model(recordings, training, model, folder):
    """Measure a saved model on what did not train it: print the figures, write them to a folder."""
    from sentimental.training.fit import predict, predict_after
    from sentimental.training.network import find_untrained, load_network

    network, content = load_network(model)
    reference, trained = content["usual"], content["training"]
    corpora, metrics = {recording.corpus for recording in recordings}, {}
    _, validation, test = fold_to_save(recordings, training)
    if fingerprint_files(validation + test) == trained["held_out"]:
        metrics, _ = evaluate(network, reference, validation, test)
    for corpus in sorted(corpora - {*trained["corpora"]}):
        part = [recording for recording in recordings if recording.corpus == corpus]
        answers = {"h0": predict(network, reference, part)}
        if any(recording.speaker for recording in part):
            heard = network, reference, part, recording_statistics(part, answers["h0"])
            for case, histories in draw_histories(part, 1).items():
                answers[case] = predict_after(*heard, histories)
        for case, probabilities in answers.items():
            metrics[f"{corpus} {case}"] = compute_metrics(part, probabilities)
    if not metrics:
        raise SentimentalError(
            f"{', '.join(sorted(corpora))}: trained this model, and what it held out is not among "
            "them; give features of other recordings, or the features and the --set of its training"
        )
    print_metrics(metrics, find_untrained(network.get_weights()))
    if folder:
        write_json(folder / "evaluation.json", metrics)
        drawn = {name: part for name, part in metrics.items() if not name.endswith("one emotion")}
        plot_confusion(drawn, folder / "evaluation.png")


def run_protocol(recordings, conditions, settings, arguments, start):
    """Train and test all folds of a protocol; write its figures, and no model."""
    protocol, folder = arguments.protocol, arguments.results
    with unfinished_work(folder / f"{protocol}_unfinished") as unfinished:
        options = conditions, arguments.seeds or 1, unfinished, settings, start
        runs = run_folds(protocol, recordings, *options)
        report_runs(protocol, runs, recordings, folder, settings)
        for run in runs:
            run["path"].unlink()


def parse_arguments(argv):
    """The command line; ends the process where options make no sense together."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add, path = parser.add_argument, {"type": Path, "metavar": "PATH"}
    add("features", type=Path, nargs="?", default=FEATURES, help="default: %(default)s")
    add("--evaluate", action="store_true", help="do not train: measure the saved model")
    add("--protocol", choices=PROTOCOLS, default="random", help="default: %(default)s")
    add("--seeds", type=int, metavar="N", help="train with seeds 1 to N, and save no model")
    add("--seed", type=int, help="of the model that is saved (default: 1)")
    add("--conditions", **path, nargs="+", default=[], help="features under conditions, for tests")
    add("--set", action="append", default=[], metavar="NAME=VALUE", help="change a setting")
    add("--model", **path, default=MODEL, help="write or read it (default: %(default)s)")
    add("--start-from", **path, help="a model whose weights the training begins with")
    words = "folder of the figures (default: results; --evaluate prints them)"
    add("--results", **path, help=words)
    arguments = parser.parse_args(argv)
    arguments.saves_model = arguments.protocol == "random" and arguments.seeds is None
    mistakes = {
        "--seeds must be at least 1": arguments.seeds is not None and arguments.seeds < 1,
        "--seed must lie between 0 and 65535": not 0 <= (arguments.seed or 0) < 2**16,
        "--seed applies only when a model is saved; --seeds N has the seeds 1 to N": (
            arguments.seed is not None and (arguments.evaluate or not arguments.saves_model)
        ),
        "--model: the name must end with .json": arguments.model.suffix != ".json",
        "--evaluate measures the saved model; --protocol, --seeds and --start-from do not apply": (
            arguments.evaluate and (arguments.start_from or not arguments.saves_model)
        ),
        "--conditions is for the other protocols, or for random with --seeds": (
            arguments.conditions and arguments.saves_model
        ),
    }
    for message, is_made in mistakes.items():
        if is_made:
            parser.error(message)
    if not (arguments.results or arguments.evaluate):
        arguments.results = Path("results")
    arguments.seed = 1 if arguments.seed is None else arguments.seed
    return arguments


def main(argv=None):
    """Load, then train and save a model, run a protocol, or evaluate."""
    arguments = parse_arguments(argv)
    settings = {"training": Training(), "augmentation": Augmentation()}
    settings = change_settings(settings, arguments.set)
    model, folder, start = arguments.model, arguments.results, None
    name = "evaluation.json" if arguments.evaluate else "headline.json"
    outputs = [folder / name] if folder else []
    if arguments.saves_model and not arguments.evaluate:
        outputs += [model, weights_path_of(model)]
    inputs = [arguments.features, *arguments.conditions]
    if arguments.start_from:
        inputs += [arguments.start_from, weights_path_of(arguments.start_from)]
    try:
        check_outputs(outputs, inputs)
        recordings = load_recordings(arguments.features, 1 if arguments.evaluate else 2)
        if arguments.start_from:
            start = load_start(arguments.start_from, recordings)
            units = len(start["weights"][1])
            settings["training"] = settings["training"].for_fine_tuning(units)
        if arguments.evaluate:
            evaluate_saved_model(recordings, settings["training"], model, folder)
        elif arguments.saves_model:
            train_saved_model(recordings, settings, arguments.seed, model, folder, start)
        else:
            conditions = load_conditions(arguments.conditions)
            run_protocol(recordings, conditions, settings, arguments, start)
    finally:
        if folder:
            with contextlib.suppress(OSError):
                folder.rmdir()  # if nothing was written into it


if __name__ == "__main__":
    sys.exit(run_script(main))
