"""What a few recordings of one's own bring: fine-tuning against training from nothing.

    python benchmarks/few_recordings.py data/features.json nEMO      # half an hour, for each seed

The corpus stands for one's own recordings. A network that all other corpora trained is the start;
it is written to FOLDER/base_CORPUS.json, and used again when it is there. From every second speaker
of the corpus 5 and 20 recordings per emotion are drawn. They fine-tune the start, as
`train_model.py --start-from` does, and they train a network from nothing. The other speakers test
both. UAR is over all eight emotions as answers, and over those alone that the corpus has; compare
the second, because a training with few emotions allows only these.
"""

import sys
import tempfile
from pathlib import Path

import common
import numpy as np

from sentimental.files import check_outputs, write_json
from sentimental.scripts import EMOTIONS, SentimentalError, interruptible, run_script
from sentimental.training.fit import fit, predict
from sentimental.training.inputs import load_recordings, load_start
from sentimental.training.metrics import compute_metrics
from sentimental.training.network import build_network, load_network, save_model
from sentimental.training.protocols import count_parts, fold_to_save, protocol_folds
from sentimental.training.reports import print_metrics, run_record
from sentimental.training.settings import Augmentation, Training, change_settings

# Recordings of each emotion that are drawn.
COUNTS = (5, 20)


def split_speakers(recordings):
    """Recordings of every second speaker, from which is drawn, and of the others, who test."""
    names = sorted({recording.speaker for recording in recordings} - {""})
    if len(names) < 2:
        raise SentimentalError("the corpus needs two speakers at least that are known")
    return [[r for r in recordings if r.speaker in names[n::2]] for n in (0, 1)]


def draw_few(recordings, count, seed):
    """So many recordings of each emotion, or all where there are fewer."""
    rng, drawn = np.random.default_rng(seed), []
    for emotion in EMOTIONS:
        some = [recording for recording in recordings if recording.emotion == emotion]
        drawn += [some[number] for number in rng.permutation(len(some))[:count]]
    return drawn


def fit_network(fold, settings, seed, name="", start=None):
    """A network of what trains and validates in a fold, and its reference statistics."""
    network = build_network(settings["training"].units)
    with tempfile.TemporaryDirectory() as folder:
        parts = *fold[:2], settings, seed, Path(folder, "training.npz")
        reference, _ = fit(network, *parts, name, start)
    return network, reference


def train_base(recordings, corpus, settings, path):
    """Train the start on all corpora but one, as protocol corpus does, unless it is there."""
    if path.exists():
        return
    training = settings["training"]
    folds = protocol_folds("corpus", recordings, training, training.split_seed)
    (fold,) = [fold for fold in folds if fold[2][0].corpus == corpus]
    print(f"start: {count_parts(fold)}")
    network, reference = fit_network(fold, settings, 1)
    corpora = sorted({recording.corpus for recording in fold[0]})
    save_model(network, reference, {"corpora": corpora, "held_out": ""}, path)


def train_few(drawn, settings, seed, start):
    """A network of few recordings, from a start or from nothing, and its reference statistics."""
    training = settings["training"]
    if start:
        training = training.for_fine_tuning(len(start["weights"][1]))
    name = f"{len(drawn)} recordings, {'fine-tuning' if start else 'from nothing'}: "
    fold, settings = fold_to_save(drawn, training), settings | {"training": training}
    return fit_network(fold, settings, seed, name, start)


@interruptible()
def main():
    """Train, test, print the table and write it."""
    parser = common.parser(__doc__)
    parser.add_argument("features", type=Path, help="what preprocess.py wrote of several corpora")
    parser.add_argument("corpus", help="the one that takes the place of one's own")
    parser.add_argument("--seeds", type=int, default=1, metavar="N", help="draw and train N times")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--results", type=Path, default=common.ROOT / "results", metavar="FOLDER")
    arguments = parser.parse_args()
    corpus, output = arguments.corpus, arguments.results / f"few_{arguments.corpus}.json"
    settings = {"training": Training(), "augmentation": Augmentation()}
    settings = change_settings(settings, arguments.set)
    base = arguments.results / f"base_{corpus}.json"
    check_outputs([output], [arguments.features])
    recordings = load_recordings(arguments.features, 2)
    own = [recording for recording in recordings if recording.corpus == corpus]
    pool, tested = split_speakers(own)
    train_base(recordings, corpus, settings, base)

    network, _ = load_network(base)
    start = load_start(base, own)  # which refuses one that the corpus trained
    # Answers by row of the table; those of all seeds one after the other.
    rows = {"the start": [predict(network, start["usual"], tested)]}
    seeds = [*range(1, arguments.seeds + 1)]
    for seed in seeds:
        for count in COUNTS:
            drawn = draw_few(pool, count, seed)
            for way, begin in (("fine-tuned", start), ("from nothing", None)):
                answers = predict(*train_few(drawn, settings, seed, begin), tested)
                rows.setdefault(f"{count} an emotion, {way}", []).append(answers)
    parts = {
        name: compute_metrics(tested * len(answers), np.concatenate(answers))
        for name, answers in rows.items()
    }
    print_metrics(parts)
    sizes = {"drawn from": len(pool), "test": len(tested)}
    record = run_record(f"few {corpus}", recordings, sizes, {"training": seeds}, settings)
    write_json(output, record | parts)
    print(f"written: {output}")


if __name__ == "__main__":
    sys.exit(run_script(main))
