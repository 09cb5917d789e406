"""Training: mutual learning, the same weights each time, also when it was stopped."""

import shutil

import numpy as np
import pytest
from signals import make_recordings

from sentimental import training as module
from sentimental.augment import Augmentation
from sentimental.base import SentimentalError
from sentimental.evaluate import compute_metrics
from sentimental.features import N_INPUTS
from sentimental.settings import Training

TINY = Training(units=8, batch_size=8, epoch_share={})
CROPPED = Augmentation(crop_frames=24)


def train(folder, recordings=None, training=TINY, epochs=4, seed=1, **options):
    recordings = recordings or make_recordings()
    validation = options.pop("validation", recordings[:8])
    return module.train(
        recordings, validation, training, CROPPED, epochs, seed, folder / "checkpoint", **options
    )


def test_peers_learn_from_their_mean_and_a_network_alone_from_labels():
    rng = np.random.default_rng(1)
    inputs = np.repeat(rng.standard_normal((8, 1, 12, N_INPUTS)).astype(np.float32), 2, axis=1)
    weights = np.zeros((8, 2, 12), np.float32)
    weights[..., -1] = 1
    labels = np.eye(8, dtype=np.float32)

    def learn(mutual_weight):
        """Losses of 30 steps, and how far apart the answers of the two are after them."""
        module.keras.utils.set_random_seed(1)
        learner = module.MutualLearning(
            Training(mutual_weight=mutual_weight, layer_dropout=0.0, output_dropout=0.0)
        )
        learner.compile(module.keras.optimizers.AdamW(3e-3))
        learner.optimizer.build(learner.trainable_variables)
        answers = [np.array(learner.descend(inputs, labels, weights)) for _ in range(30)]
        losses = [-np.mean(np.log(np.diag(answer))) for answer in answers]
        one, two = (np.array(peer(inputs[:, 0]))[:, -1] for peer in learner.peers)
        return losses, np.abs(one - two).mean()

    alone, together = learn(0.0), learn(0.9)
    assert alone[0][0] == pytest.approx(together[0][0])  # the same first weights
    assert alone[0][-1] < 0.7 * alone[0][0]
    assert together[1] < 0.7 * alone[1]


def fresh(folder, **options):
    """A training of which nothing was done before."""
    shutil.rmtree(folder / "checkpoint", ignore_errors=True)
    return train(folder, **options)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Network and history of a training that nobody stops."""
    return fresh(tmp_path_factory.mktemp("undisturbed"))


def assert_same(one, other):
    for name in ("loss", "accuracy", "val_loss", "val_accuracy", "epoch_saved"):
        assert one[1][name] == other[1][name]
    for weights, others in zip(one[0].get_weights(), other[0].get_weights(), strict=True):
        np.testing.assert_array_equal(weights, others)


def test_a_training_repeats_itself_and_another_seed_is_another(undisturbed, tmp_path):
    assert_same(fresh(tmp_path), undisturbed)
    other, _ = fresh(tmp_path, seed=2)
    weights = undisturbed[0].get_weights()[0]
    assert not np.allclose(other.get_weights()[0], weights, atol=1e-3)


# Where a training is stopped: before its third epoch is told, before anything of it is saved, and
# between the two files that are.
PLACES = {
    "before the line": (module.EpochLine, "on_epoch_end", 3),
    "before the files": (module.Checkpoint, "on_epoch_end", 3),
    "between the files": (module.MutualLearning, "save_weights", 3),
}


@pytest.mark.parametrize("place", PLACES)
def test_a_stopped_training_ends_as_if_nobody_had_stopped_it(
    place, undisturbed, tmp_path, monkeypatch, capsys
):
    owner, method, count = PLACES[place]
    original, calls = getattr(owner, method), []

    def stop(self, *arguments, **options):
        calls.append(1)
        if len(calls) == count:
            raise KeyboardInterrupt
        return original(self, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(owner, method, stop)
        with pytest.raises(KeyboardInterrupt):
            fresh(tmp_path)
    resumed = train(tmp_path)
    assert "going on after epoch 2" in capsys.readouterr().out
    assert_same(resumed, undisturbed)


def test_a_finished_training_is_not_done_again(undisturbed, tmp_path, capsys):
    fresh(tmp_path)
    capsys.readouterr()
    again = train(tmp_path)
    assert "epoch   " not in capsys.readouterr().out
    assert_same(again, undisturbed)


def test_the_saved_epoch_is_the_one_with_the_lowest_validation_loss(tmp_path):
    validation = make_recordings(16, seed=1)
    training = Training(units=8, batch_size=8, learning_rate=0.1, ema_decay=0.0)  # it jumps about
    network, history = train(
        tmp_path, training=training, epochs=6, validation=validation, temperature=1.0
    )
    best = min(history["val_loss"])
    assert history["epoch_saved"] == history["val_loss"].index(best) + 1
    network.compile(loss=module.keras.losses.CategoricalCrossentropy(label_smoothing=0.1))
    loss = network.evaluate(
        module.recordings_to_inputs(validation), module.one_hot(validation), verbose=0
    )
    assert loss == pytest.approx(best, rel=1e-3)


def test_what_can_be_learned_is_learned(tmp_path):
    training = Training(batch_size=16, ema_decay=0.9, epoch_share={})
    network, history = train(
        tmp_path, make_recordings(320), training, 15, validation=make_recordings(40, seed=1)
    )
    held_out = make_recordings(80, seed=2)
    metrics = compute_metrics(held_out, module.predict_recordings(network, held_out))
    assert metrics["accuracy"] > 0.7
    assert history["val_accuracy"][-1] > 0.7


def test_the_temperature_is_in_the_weights(tmp_path):
    recordings = make_recordings()
    probabilities = []
    for temperature in (1.0, 2.0):
        network, history = train(tmp_path, epochs=2, temperature=temperature)
        assert history["temperature"] == temperature
        probabilities.append(module.predict_recordings(network, recordings[:20]))
        shutil.rmtree(tmp_path / "checkpoint")
    softened = np.sqrt(probabilities[0])
    softened /= softened.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(probabilities[1], softened, atol=1e-5)


def test_a_loss_that_is_not_a_number_is_told(tmp_path):
    recordings = make_recordings(16)
    recordings[0]["frames"][0, 0] = np.nan
    with pytest.raises(SentimentalError, match="lower training.learning_rate"):
        train(tmp_path, recordings, epochs=1)
