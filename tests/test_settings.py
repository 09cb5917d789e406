"""Settings: each of them is used, recorded, and refused when it makes no sense."""

import dataclasses
import operator

import pytest
from signals import make_recordings

from sentimental.scripts import SentimentalError
from sentimental.training.protocols import protocol_folds
from sentimental.training.reports import run_record
from sentimental.training.settings import Augmentation, Training, change_settings

pytestmark = pytest.mark.filterwarnings("ignore:Even though")  # tf.data is compiled all the same

# A training that takes a second.
SMALL = {
    "training": Training(units=4, batch_size=8, epochs=2, steps_per_epoch=2),
    "augmentation": Augmentation(crop_frames=10, time_mask_frames=2),
}
NAMES = [f"{group}.{field.name}" for group in SMALL for field in dataclasses.fields(SMALL[group])]
# Gradients, recordings and trainings as small as these need a larger change than the usual one.
OTHERS = {
    "training.grad_clip": 1e-3,
    "training.batch_size": 4,
    "training.ema_decay": 0.1,
    "training.corpus_odds": {"RAVDESS": 0.5},
    "training.least_prior": 0.5,
    "training.max_history": 2,
    "augmentation.end_frames": 1,
    "augmentation.babble_prob": 0.65,
}


def another(value):
    """A value that the setting may have as well."""
    if isinstance(value, dict):
        return {next(iter(value)): another(next(iter(value.values())))}
    if isinstance(value, tuple):
        return tuple(map(another, value))
    return value + 1 if isinstance(value, int) else value / 2


def effects(settings, tmp_path):
    """What settings have an effect on, the cheapest first."""
    from sentimental.training.dataset import AugmentedBatches
    from sentimental.training.fit import fit
    from sentimental.training.network import build_network

    recordings = make_recordings(64)
    training, augmentation = settings["training"], settings["augmentation"]
    fine_tuning = training.for_fine_tuning(units=4)
    yield [fine_tuning.learning_rate, fine_tuning.epochs]
    for protocol in ("random", "corpus"):
        folds = protocol_folds(protocol, recordings, training, training.split_seed)
        yield [[r.file for r in part] for fold in folds for part in fold]
    batches = AugmentedBatches(recordings, training, augmentation, seed=1)
    read, *others = batches[0]
    yield [len(batches), *(array.tobytes() for array in [*read, *others])]
    network, checkpoint = build_network(training.units), tmp_path / "training.npz"
    fit(network, recordings, recordings[:8], settings, 1, checkpoint)
    yield [weight.tobytes() for weight in network.get_weights()]


@pytest.fixture(scope="module")
def usual(eagerly, tmp_path_factory):
    """What the small settings have effects on."""
    return [*effects(SMALL, tmp_path_factory.mktemp("usual"))]


@pytest.mark.parametrize("name", NAMES)
def test_every_setting_changes_something_and_is_recorded(name, usual, tmp_path, capsys):
    group, _, field = name.partition(".")
    value = OTHERS.get(name) or another(getattr(SMALL[group], field))
    changed = change_settings(SMALL, [f"{name}={value!r}"])
    assert f"{name}: " in capsys.readouterr().out
    assert any(map(operator.ne, effects(changed, tmp_path), usual))  # no further than it must
    recorded = run_record("random", [], {}, {}, changed)["settings"][group][field]
    original = getattr(SMALL[group], field)
    expected = original | value if isinstance(value, dict) else value
    assert recorded == expected != original


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("training.epochs", "not a value"),
        ("training.epochs=many", "not a value"),
        ("training.epochs=0", "between 1 and"),
        ("training.class_prior={'sad': 0.0}", "between 1e-06 and"),
        ("training.class_prior={'sad': '1'}", "must be like"),
        ("training.batch_size=1.5", "must be like"),
        ("training.batch_size=True", "must be like"),
        ("training.batch_size=0", "between 2 and"),
        ("training.batch_size=9", "must be even"),
        ("training.held_out_share=0.0", "be neither"),
        ("training.test_share=1.0", "be neither"),
        ("training.validation_share=1", "be neither"),
        ("training.least_prior=2.0", "between 1e-06 and 1"),
        ("training.corpus_odds={'Tess': 1.0}", "must be like"),
        ("training.test_share=1.5", "between 0 and 1"),
        ("training.no_such=1", "no setting"),
        ("batch_size=3", "no setting"),
        ("chain.n_mfcc=3", "no setting"),
        ("augmentation.snr_db=10", "must be like"),
        ("augmentation.snr_db=(1, 2, 3)", "must be like"),
        ("augmentation.snr_db=(25, 3)", "lower limit comes first"),
        ("augmentation.babble_prob=-1", "between 0 and 1"),
        ("augmentation.babble_voices=(1.5, 2)", "must be like"),
        ("augmentation.rt60=(-1, -0.5)", "between 0.01 and"),
        ("augmentation.jitter=1e999", "between 0 and"),
        ("augmentation.noise_prob=0.9", "1 at most"),
        ("training.class_prior={[]: 1}", "not a value"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(text, reason):
    with pytest.raises(SentimentalError, match=reason) as caught:
        change_settings({"training": Training(), "augmentation": Augmentation()}, [text])
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_value_becomes_one_like_that_of_the_setting():
    texts = ["training.class_prior={'sad': 1}", "training.learning_rate=1"]
    changed = change_settings({"training": Training()}, texts)["training"]
    assert changed.class_prior == Training().class_prior | {"sad": 1.0}  # the others stay
    assert isinstance(changed.class_prior["sad"], float)
    assert isinstance(changed.learning_rate, float)
