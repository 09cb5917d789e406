"""Training: the same weights each time, also when stopped, and answers as in recognition."""

from dataclasses import replace

import numpy as np
import pytest
from signals import make_recordings, make_reference

from sentimental.features import frames_to_features
from sentimental.recognizer import Recognizer
from sentimental.scripts import EMOTIONS, SentimentalError, Stopped
from sentimental.speaker import N_STATISTICS, answer_offset
from sentimental.training import fit as module
from sentimental.training.histories import recording_statistics
from sentimental.training.metrics import compute_metrics
from sentimental.training.network import build_network
from sentimental.training.settings import Augmentation, Training
from sentimental.voice import Voice

pytestmark = pytest.mark.filterwarnings("ignore:Even though")  # tf.data is compiled all the same

SIZE = {"units": 8, "batch_size": 8, "steps_per_epoch": 2}
# So high a learning rate that later epochs are worse.
TINY = Training(**SIZE, learning_rate=0.1, warmup_epochs=0, ema_decay=0.0)
CROPPED = Augmentation(crop_frames=8)


def train(
    folder,
    recordings=None,
    epochs=4,
    seed=1,
    compiled=False,
    validation=None,
    training=TINY,
    augmentation=CROPPED,
    **options,
):
    """Train a tiny network; to compile a step takes longer than to run a few.

    Returns
    -------
    network, reference, history
    """
    recordings = recordings or make_recordings()
    settings = {"training": replace(training, epochs=epochs), "augmentation": augmentation}
    network = build_network(training.units)
    parts = network, recordings, validation or recordings[:8], settings, seed
    parts += (folder / "training.npz",)
    module.tf.config.run_functions_eagerly(not compiled)
    try:
        return network, *module.fit(*parts, **options)
    finally:
        module.tf.config.run_functions_eagerly(False)


def fresh(folder, **options):
    """A training of which nothing was done before."""
    (folder / "training.npz").unlink(missing_ok=True)
    return train(folder, **options)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Network, reference and history of a training that nobody stops."""
    return fresh(tmp_path_factory.mktemp("undisturbed"))


def assert_same(one, other):
    for name in ("loss", "accuracy", "val_loss", "val_accuracy", "epoch_saved"):
        assert one[2][name] == other[2][name]
    for values, others in zip(vars(one[1]).values(), vars(other[1]).values(), strict=True):
        np.testing.assert_array_equal(values, others)
    for weights, others in zip(one[0].get_weights(), other[0].get_weights(), strict=True):
        np.testing.assert_array_equal(weights, others)


def test_a_training_repeats_itself_and_another_seed_is_another(undisturbed, tmp_path, capsys):
    assert_same(fresh(tmp_path), undisturbed)
    capsys.readouterr()
    assert_same(train(tmp_path), undisturbed)
    assert "epoch   " not in capsys.readouterr().out  # it was finished
    other, *_ = fresh(tmp_path, seed=2)
    weights = undisturbed[0].get_weights()[0]
    assert not np.allclose(other.get_weights()[0], weights, atol=1e-3)


# Where a training is stopped: in the sixth batch, before anything of the third epoch is saved, and
# before its file takes the place of the last.
PLACES = {"batch": ("check_stop", 6), "epoch": ("save_state", 3), "file": ("atomic_write", 3)}


def stop(monkeypatch, folder, place):
    """Stop a training in the so manieth call of a function."""
    name, count = PLACES[place]
    original, calls = getattr(module, name), []

    def called(*arguments):
        calls.append(1)
        if len(calls) == count:
            raise Stopped(2)
        return original(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(module, name, called)
        with pytest.raises(Stopped):
            fresh(folder)


@pytest.mark.parametrize("place", PLACES)
def test_a_stopped_training_ends_as_if_nobody_had_stopped_it(
    place, undisturbed, tmp_path, monkeypatch, capsys
):
    stop(monkeypatch, tmp_path, place)
    capsys.readouterr()
    resumed = train(tmp_path)
    begins = [line[:16] for line in capsys.readouterr().out.splitlines()]
    assert begins == ["going on after e", "epoch   3/4  los", "epoch   4/4  los"]
    assert undisturbed[2]["epoch_saved"] < 3  # what was best before is not forgotten
    assert_same(resumed, undisturbed)


def test_any_wrong_bit_is_noticed_and_the_training_starts_anew(tmp_path, capsys):
    path = tmp_path / "one.npz"
    module.save_state(path, "mine", {"loss": [2.0, 1.5], "best_0": np.ones((3, 4), np.float32)})
    whole = path.read_bytes()
    state = module.load_state(path, "mine")
    assert state["loss"].tolist() == [2.0, 1.5]
    assert state["best_0"].dtype == np.float32
    assert not capsys.readouterr().out
    line = f"fold 3: {path}: damaged, kept as one.npz.damaged; this part starts anew\n"
    flipped = (flip(whole, place, 1 << place % 8) for place in range(0, len(whole), 7))
    for damaged in (b"", whole[:-5], *flipped):
        path.write_bytes(damaged)
        assert module.load_state(path, "mine", "fold 3: ") is None
        assert capsys.readouterr().out == line
        assert (tmp_path / "one.npz.damaged").read_bytes() == damaged
        assert not path.exists()


def flip(content, place, bit):
    """One bit is another."""
    return content[:place] + bytes([content[place] ^ bit]) + content[place + 1 :]


def test_what_a_training_depends_on_changes_its_fingerprint(monkeypatch):
    recordings, base = make_recordings(8), (Training(), Augmentation(), 4, 1)
    marks = {
        module.fingerprint(recordings, *base),
        module.fingerprint(recordings, *base[:3], 2),
        module.fingerprint(recordings, *base[:2], 5, 1),
        module.fingerprint(recordings[1:], *base),
        module.fingerprint([replace(recordings[0], hash="other"), *recordings[1:]], *base),
        module.fingerprint(recordings, Training(batch_size=16), *base[1:]),
        module.fingerprint(recordings, Training(), Augmentation(jitter=0.2), *base[2:]),
    }
    monkeypatch.setitem(module.MODEL_CHAIN, "octave_cost", 0.5)
    marks.add(module.fingerprint(recordings, *base))
    assert len(marks) == 8


def test_the_saved_epoch_is_the_one_with_the_lowest_validation_loss(tmp_path, monkeypatch):
    # It validates with what was drawn, and is saved with what is expected.
    monkeypatch.setattr(module, "merge_prior", lambda weights, prior: weights)
    validation = make_recordings(16, seed=1)
    training = replace(TINY, temperature=1.0)
    options = {"validation": validation, "training": training}
    network, reference, history = train(tmp_path, epochs=6, **options)
    best = min(history["val_loss"])
    assert history["epoch_saved"] == history["val_loss"].index(best) + 1
    network.compile(
        loss=module.keras.losses.CategoricalCrossentropy(label_smoothing=TINY.label_smoothing)
    )
    nothing_heard = np.zeros((len(validation), N_STATISTICS))
    inputs = module.recordings_to_inputs(validation, reference, nothing_heard)
    loss = network.evaluate([*inputs], module.one_hot(validation), verbose=0)
    assert loss == pytest.approx(best, rel=1e-3)


def test_what_is_expected_is_part_of_the_saved_bias(tmp_path):
    saved = []
    for strength in (0.0, 2.0):
        training = replace(TINY, prior_strength=strength)
        network, *_ = train(tmp_path / f"{strength}", training=training)
        saved.append(network.get_weights())
    np.testing.assert_allclose(saved[0][-2], saved[1][-2])
    expected = np.log([training.class_prior[emotion] for emotion in EMOTIONS])
    np.testing.assert_allclose(saved[1][-1] - saved[0][-1], expected, atol=1e-4)


def test_what_can_be_learned_is_learned_and_a_compiled_training_repeats_itself(tmp_path):
    training = Training(
        units=16, batch_size=16, steps_per_epoch=50, learning_rate=0.01, ema_decay=0.9
    )
    options = {"training": training, "augmentation": Augmentation(crop_frames=24)}
    options |= {"recordings": make_recordings(320), "validation": make_recordings(40, seed=1)}
    held_out = make_recordings(80, seed=2)
    first, second = (fresh(tmp_path, **options, compiled=True, epochs=6) for _ in "ab")
    assert_same(first, second)
    network, reference, history = first
    metrics = compute_metrics(held_out, module.predict(network, reference, held_out))
    assert metrics["accuracy"] > 0.7
    assert history["val_accuracy"][-1] > 0.7


def test_the_temperature_is_in_the_weights(tmp_path):
    validation, answers = make_recordings(12, seed=1), []
    for temperature in (1.0, 0.5, 2.0):
        training = replace(TINY, temperature=temperature)
        options = {"validation": validation, "training": training}
        network, reference, _ = fresh(tmp_path, epochs=2, **options)
        answers.append(module.predict(network, reference, validation))
    for heated, power in zip(answers[1:], (2.0, 0.5), strict=True):
        expected = answers[0] ** power
        expected /= expected.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(heated, expected, atol=1e-5)


def test_recordings_are_recognized_as_by_a_recognizer(monkeypatch):
    monkeypatch.setattr(module, "PREDICTION_BATCH", 3)
    monkeypatch.setattr("sentimental.speaker.VARIED", (0.0, 1e-3))  # so that answers vary enough
    network, reference = build_network(8), make_reference()
    recognizer = Recognizer(network.get_weights(), reference)
    recordings, voice = make_recordings(10), Voice()
    features = [frames_to_features([recording.frames])[0][0] for recording in recordings]
    with_history = []
    for clip in features:
        with_history.append([*recognizer.predict_features(clip, voice).values()])
        voice.add(clip, recognizer)
    histories = [np.arange(number)[::-1] for number in range(10)]  # the order does not matter
    statistics = recording_statistics(recordings, module.predict(network, reference, recordings))
    answers = module.predict_after(network, reference, recordings, statistics, histories)
    np.testing.assert_allclose(answers, with_history, atol=1e-4)
    assert answer_offset(voice.statistics[None]).any()
    without = [[*recognizer.predict_features(clip).values()] for clip in features]
    answers = module.predict(network, reference, recordings)
    np.testing.assert_allclose(answers, without, atol=1e-4)
    assert np.abs(np.subtract(without, with_history)).max() > 0.01


def test_a_training_begins_with_the_answers_of_its_start(tmp_path, capsys):
    base, reference, _ = train(tmp_path / "base", make_recordings(24), epochs=1)
    start = {"weights": base.get_weights(), "usual": reference, "checksum": "one"}
    others = make_recordings(16, seed=5)  # of another mean and deviation
    learns_nothing = replace(TINY, learning_rate=0.0)
    options = {"training": learns_nothing, "start": start}
    network, same, _ = train(tmp_path, others, 1, **options)
    assert same is reference
    answers, expected = (module.predict(one, reference, others) for one in (network, base))
    np.testing.assert_allclose(answers, expected, atol=1e-5)
    train(tmp_path, others, 1, **options | {"start": start | {"checksum": "other"}})
    assert "of other recordings or settings; training starts anew" in capsys.readouterr().out


def test_a_loss_that_is_not_a_number_is_told(tmp_path):
    recordings = make_recordings(16)
    recordings[0].frames[0, 0] = np.nan
    with pytest.raises(SentimentalError, match="lower training.learning_rate"):
        train(tmp_path, recordings, epochs=1)
