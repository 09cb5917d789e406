"""Train the emotion network on the features that preprocess.py wrote.

    python train_model.py data/features.json              train, and write model8723 and results/
    python train_model.py data/features.json --evaluate   the figures of the saved model again
    python train_model.py mine.json --evaluate            how good it is on recordings of your own
    python train_model.py data/features.json --protocol speaker --seeds 3
    python train_model.py mine.json --start-from model8723.json --model me.json --results me

The network: masking of the padding, two LSTM layers of 64 units, a dense softmax over the eight
emotions, which reads a summary of the recording as well. What trains and what tests is the
protocol:

    random        recordings of TESS and RAVDESS held out at random, 8.7 % to validate and 3.8 % to
                  test; all else trains the model that is saved. Its speakers are trained on, so the
                  figures are optimistic. With --seeds N: N such splits, both parts pooled
    speaker       RAVDESS in 5 folds of actors: unseen speakers; all other corpora train, too.
                  Without RAVDESS: all speakers that are known, in up to 5 folds of about one size
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
that did not train it; --results FOLDER keeps the figures as FOLDER/evaluation.json, and the
confusion matrices as FOLDER/evaluation.png.

Recordings of your own may be few, and of three or four emotions: those without recordings are told,
and the model never answers them. Without TESS and RAVDESS, protocol random holds out its share of
each emotion; where one has fewer than 30 recordings, each recording is tested once, in 5 folds.
--start-from begins with the weights of a model, with what is usual for its voices, a lower learning
rate and few epochs, where random weights would need many recordings.

Behind each figure stands its interval of 95 %: over speakers, who are drawn with replacement, where
they did not train and are known; else over clips, for accuracy and recall after Wilson.

How much noise costs is measured with features that preprocess.py --condition made of the same
recordings:

    python preprocess.py data/RAVDESS --condition babble --output data/babble.json
    python train_model.py data/features.json --protocol speaker --conditions data/babble.json

What a setting brings is seen by changing it for one run. The settings stand, each with what it
means, in sentimental/training/settings.py and augment.py:

    python train_model.py data/features.json --set augmentation.vtlp=0 --results elsewhere --seeds 1
"""

from sentimental.files import check_outputs, remove_folder, write_json
from sentimental.scripts import SentimentalError, end_at_once, on_end_signals, run_script

if __name__ == "__main__":
    on_end_signals(end_at_once)  # before the imports that take seconds

import argparse
import hashlib
import sys
from pathlib import Path

import numpy as np

from sentimental.features_file import load_features
from sentimental.model import (
    load_network,
    read_start,
    save_model,
    weights_checksum,
    weights_path_of,
)
from sentimental.training.augment import Augmentation
from sentimental.training.cross_validation import clear_folds, draw_histories, run_folds
from sentimental.training.folding import find_untrained
from sentimental.training.metrics import compute_group_metrics, compute_metrics
from sentimental.training.plots import plot_confusion, plot_history
from sentimental.training.protocols import PROTOCOLS, count_parts, fold_to_save
from sentimental.training.reports import (
    pool,
    print_metrics,
    report_runs,
    run_record,
    update_headline,
)
from sentimental.training.settings import Training, change_settings

# Fewer recordings train nothing, and measure nothing.
LEAST_RECORDINGS = 10

# `sentimental.training.fit` is imported where it is used: it loads TensorFlow, which takes seconds.


def load_recordings(path, n_emotions):
    """Recordings to train on or to measure, sorted by corpus and file name.

    Raises
    ------
    SentimentalError
        When there are too few, or too few emotions; or they are under a condition, for tests.
    """
    recordings = load_features(path)
    recordings.sort(key=lambda r: (r.corpus, Path(r.file).name, r.hash))
    if any(recording.condition for recording in recordings):
        raise SentimentalError(f"{path}: made with --condition, which is for tests")
    if len(recordings) < LEAST_RECORDINGS:
        raise SentimentalError(
            f"{path}: {len(recordings)} recordings are too few; give {LEAST_RECORDINGS} at least"
        )
    if len({recording.emotion for recording in recordings}) < n_emotions:
        raise SentimentalError(f"{path}: recordings of one emotion train nothing; give others, too")
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
        names = {recording.condition for recording in recordings}
        if len(names) != 1 or "" in names:
            raise SentimentalError(f"{path}: not made with preprocess.py --condition")
        (name,) = names
        if name in conditions:
            raise SentimentalError(f"{path}: there is another file of condition {name}")
        conditions[name] = recordings
    return conditions


# The model that is saved ------------------------------------------------------------------------


def train_saved_model(recordings, settings, seed, model, folder, start=None):
    """Train on the split of protocol random; write the model, its metrics and the plots.

    Where an emotion has so few recordings that this protocol has several folds, these are trained
    and tested first: they tell how good a model of such recordings is.

    Parameters
    ----------
    recordings : list of Recording
    settings : dict with ``training`` and ``augmentation``
    seed : int, of first weights and augmentation
    model : Path, of the JSON file
    folder : Path, of metrics and plots
    start : dict or None, as for `sentimental.training.fit.train`
    """
    from sentimental.training.fit import predict_recordings, train

    training, augmentation = settings["training"], settings["augmentation"]
    fold = train_part, validation, test = fold_to_save(recordings, training)
    sizes = count_parts(fold)
    print(", ".join(f"{name} {size}" for name, size in sizes.items()), "recordings")
    tested, runs = {}, []
    if not test:
        print("of some emotions there are few recordings: cross-validation tells how good it gets")
        runs = run_folds("random", recordings, {}, 1, folder / "folds", settings, start)
        tested["cross-validation"] = pool(runs, "h0")

    checkpoint = model.with_name(f"{model.stem}_checkpoint")
    network, usual, history = train(
        train_part,
        validation,
        training,
        augmentation,
        training.epochs["random"],
        seed,
        checkpoint,
        temperature=training.temperature,
        start=start,
    )
    corpora = {recording.corpus for recording in train_part}
    if start:
        corpora |= {*start["training"]["corpora"]}
    trained = {"corpora": sorted(corpora), "held_out": held_out_mark([validation, test])}
    save_model(network, usual, trained, model)

    for name, part in (("validation", validation), ("test", test)):
        if part:
            tested[name] = part, predict_recordings(network, usual, part)
    # Their speakers trained, so what could have been otherwise is which of their clips test.
    parts = {name: compute_metrics(*part, over_speakers=False) for name, part in tested.items()}
    print_metrics(parts)
    tell_untrained(network)
    seeds = {"split": training.split_seed, "training": seed}
    metrics = run_record("random", recordings, sizes, seeds, settings) | parts
    of_all = tested.get("cross-validation") or (
        validation + test,
        np.concatenate([answers for _, answers in tested.values()]),
    )
    metrics["groups"] = compute_group_metrics(*of_all, over_speakers=False)
    metrics["epoch_saved"] = history["epoch_saved"]
    metrics["parameters"] = network.count_params()
    metrics["weights_checksum"] = weights_checksum(network.get_weights())
    metrics["training_seconds"] = round(history["seconds"], 1)
    metrics["untrained"] = find_untrained(network.get_weights())
    write_json(folder / "metrics.json", metrics)
    figures = {f"random_{name}": part["accuracy"] for name, part in parts.items()}
    update_headline(folder, figures)
    plot_history(history, "loss", folder / "loss.png")
    plot_history(history, "accuracy", folder / "accuracy.png")
    plot_confusion(parts, folder / "confusion_matrix.png")
    remove_folder(checkpoint)
    if runs:
        clear_folds("random", runs, folder / "folds")
    print(f"\nWritten: {model}, {weights_path_of(model)}, and figures in {folder}/")


def tell_untrained(network):
    """Say which emotions a network never answers."""
    if untrained := find_untrained(network.get_weights()):
        print(f"never answered, as no recordings of it trained: {', '.join(untrained)}")


def held_out_mark(held_out):
    """Tells by which recordings a model was validated and tested, wherever they lie."""
    names = [(r.hash, Path(r.file).name) for part in held_out for r in part]
    return hashlib.sha256(repr(names).encode()).hexdigest()


def evaluate_saved_model(recordings, training, model, folder):
    """Measure a saved model on what did not train it, and print the figures.

    Parameters
    ----------
    recordings : list of Recording
    training : Training, whose split held out of TESS and RAVDESS what did not train
    model : Path, of its JSON file
    folder : Path or None, where the figures are kept as evaluation.json, and confusion matrices
    """
    from sentimental.training.fit import predict_recordings

    network, content = load_network(model)
    usual, trained = content["usual"], content["training"]
    corpora = sorted({recording.corpus for recording in recordings})
    parts = {}
    _, *held_out = fold_to_save(recordings, training)
    if held_out_mark(held_out) == trained["held_out"]:
        for name, part in zip(("validation", "test"), held_out, strict=True):
            if part:
                probabilities = predict_recordings(network, usual, part)
                parts[name] = compute_metrics(part, probabilities, over_speakers=False)
    for corpus in (corpus for corpus in corpora if corpus not in trained["corpora"]):
        part = [recording for recording in recordings if recording.corpus == corpus]
        ways = {"h0": None}
        if any(recording.speaker for recording in part):
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
    tell_untrained(network)
    if folder:
        write_json(folder / "evaluation.json", parts)
        shown = {name: part for name, part in parts.items() if not name.endswith("one emotion")}
        plot_confusion(shown, folder / "evaluation.png")


def run_protocol(protocol, recordings, conditions, n_seeds, folder, settings, start=None):
    """Train and test all folds with several seeds, and write the metrics and two plots.

    Parameters
    ----------
    protocol : str
    recordings : list of Recording
    conditions : dict of list of Recording, by the name of the condition
    n_seeds : int > 0
    folder : Path
    settings : dict with ``training`` and ``augmentation``
    start : dict or None, as for `sentimental.training.fit.train`
    """
    runs = run_folds(protocol, recordings, conditions, n_seeds, folder / "folds", settings, start)
    report_runs(protocol, runs, recordings, folder, settings)
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
        "--start-from",
        type=Path,
        metavar="FILE.json",
        help="a model whose weights the training begins with, in the place of random ones",
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
    if arguments.evaluate and arguments.start_from:
        parser.error("--start-from is of a training; --evaluate does not train")
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
    inputs, start = [arguments.features, *arguments.conditions], None
    if arguments.start_from:
        inputs += [arguments.start_from, weights_path_of(arguments.start_from)]
    check_outputs(outputs, inputs)
    recordings = load_recordings(arguments.features, 1 if arguments.evaluate else 2)
    if arguments.start_from:
        start = read_start(arguments.start_from, recordings)
        units = len(start["weights"][1])
        settings["training"] = settings["training"].for_fine_tuning(units)
    if arguments.evaluate:
        evaluate_saved_model(recordings, settings["training"], arguments.model, arguments.results)
    elif arguments.saves_model:
        train_saved_model(
            recordings, settings, arguments.seed, arguments.model, arguments.results, start
        )
    else:
        run_protocol(
            arguments.protocol,
            recordings,
            load_conditions(arguments.conditions),
            arguments.seeds or 1,
            arguments.results,
            settings,
            start,
        )


if __name__ == "__main__":
    sys.exit(run_script(main))
