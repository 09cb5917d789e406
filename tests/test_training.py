"""Training: batches, mutual learning, the same weights each time, also when it was stopped."""

import shutil
from collections import Counter

import numpy as np
import pytest
from signals import make_corpora, make_recordings

from sentimental import training as module
from sentimental.augment import Augmentation
from sentimental.base import EMOTIONS, SentimentalError
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


def test_an_epoch_draws_its_share_of_each_corpus_and_every_emotion_as_often():
    training = Training(epoch_share={"TESS": 0.5}, batch_size=1)  # or the last ones are left out
    recordings = [r for r in make_corpora() if r["emotion"] != "neutral" or r["speaker"] > "08"]
    batches = module.AugmentedBatches(recordings, training, Augmentation(), 0).batches
    drawn = Counter((recordings[n]["corpus"], recordings[n]["emotion"]) for n in batches.ravel())
    assert drawn == Counter(
        {("RAVDESS", emotion): 24 for emotion in EMOTIONS}
        | {("TESS", emotion): 1 for emotion in EMOTIONS if emotion != "calm"}
    )
    neutral = [n for n in batches.ravel() if recordings[n]["emotion"] == "neutral"]
    assert len(set(neutral)) == 16 + 1  # all there are, before any comes twice


def test_a_batch_is_the_same_whenever_it_is_asked_for_and_another_in_each_epoch():
    batches, again = (module.AugmentedBatches(make_recordings(), TINY, CROPPED, 1) for _ in "ab")
    first, second = batches[0], batches[1]
    again[2]
    again.draw_epoch(1)
    other = again[1]
    again.draw_epoch(0)
    for one, two, three in zip(again[1], second, other, strict=True):
        np.testing.assert_array_equal(one, two)
        assert not np.array_equal(three, two)
    assert first[0].shape == (8, TINY.n_peers, CROPPED.crop_frames, N_INPUTS)
    assert not np.array_equal(first[0][:, 0], first[0][:, 1])  # each peer hears it its own way


def test_an_epoch_of_nothing_is_refused():
    nothing = Training(epoch_share={"TESS": 0.0, "RAVDESS": 0.0})
    with pytest.raises(SentimentalError, match="epoch_share"):
        module.AugmentedBatches(make_recordings(), nothing, CROPPED, 1)


def test_late_answers_count_more_and_the_last_most():
    training = Training()
    weights = module.frame_weights(np.array([20, 80]), 80, training)
    for row, length in zip(weights, (20, 80), strict=True):
        assert row.sum() == pytest.approx(1)
        assert not row[length:].any()
        assert not row[: length // 4 - 1].any()
        assert (np.diff(row[length // 4 : length - 1]) > 0).all()
        assert row[length - 1] > 1 - training.frame_weight


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


def test_a_training_repeats_itself_and_a_stopped_one_ends_the_same(tmp_path, monkeypatch, capsys):
    expected, history = train(tmp_path)
    shutil.rmtree(tmp_path / "checkpoint")
    again, _ = train(tmp_path)
    shutil.rmtree(tmp_path / "checkpoint")
    other, _ = train(tmp_path, seed=2)
    shutil.rmtree(tmp_path / "checkpoint")
    assert not np.allclose(other.get_weights()[0], expected.get_weights()[0], atol=1e-3)

    def stop_in_third_epoch(self, epoch, logs=None):
        if epoch == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module.EpochLine, "on_epoch_end", stop_in_third_epoch)
        patch.setattr(
            module.keras.callbacks.CSVLogger,
            "on_epoch_end",
            lambda self, epoch, logs, write=module.keras.callbacks.CSVLogger.on_epoch_end: write(
                self, epoch, logs | {"seconds": 0.0}
            ),
        )
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path)
    resumed, resumed_history = train(tmp_path)
    assert "going on after epoch 2" in capsys.readouterr().out
    for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
        assert resumed_history[name] == history[name]
    for one, two, three in zip(*(n.get_weights() for n in (expected, again, resumed)), strict=True):
        np.testing.assert_array_equal(one, two)
        np.testing.assert_array_equal(one, three)


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


def test_what_can_be_learnt_is_learnt(tmp_path):
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
    cooled = np.sqrt(probabilities[0])
    cooled /= cooled.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(probabilities[1], cooled, atol=1e-5)


def test_a_loss_that_is_not_a_number_is_told(tmp_path):
    with pytest.raises(SentimentalError, match="lower training.learning_rate"):
        train(tmp_path, training=Training(units=8, batch_size=8, learning_rate=1e30), epochs=1)


# What a stopped training leaves


def test_what_a_training_depends_on_changes_its_fingerprint():
    recordings = make_recordings(8)
    marks = {
        module.fingerprint(recordings, Training(), Augmentation(), 4, 1),
        module.fingerprint(recordings, Training(), Augmentation(), 4, 2),
        module.fingerprint(recordings, Training(), Augmentation(), 5, 1),
        module.fingerprint(recordings[1:], Training(), Augmentation(), 4, 1),
        module.fingerprint(recordings, Training(batch_size=16), Augmentation(), 4, 1),
        module.fingerprint(recordings, Training(), Augmentation(jitter=0.2), 4, 1),
    }
    assert len(marks) == 6


def test_a_checkpoint_is_kept_for_the_same_training_only(tmp_path, capsys):
    folder = tmp_path / "checkpoint"
    module.prepare_checkpoint(folder, "one")
    (folder / "something").write_text("kept")
    module.prepare_checkpoint(folder, "one")
    assert (folder / "something").exists()
    assert not capsys.readouterr().out
    module.prepare_checkpoint(folder, "two")
    assert not (folder / "something").exists()
    assert "of other recordings or settings; training starts anew" in capsys.readouterr().out
    (folder / "cut.weights.h5").write_bytes(b"\x89HDF")
    module.prepare_checkpoint(folder, "two")
    assert not (folder / "cut.weights.h5").exists()
    assert "training starts anew" in capsys.readouterr().out
