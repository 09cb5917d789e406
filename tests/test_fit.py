"""Training: parts that learn from each other, the same weights each time, also when stopped."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from sentimental.training.checkpoint import BEST, LATEST
from sentimental.training.folding import silence_untrained
from signals import make_recordings, make_usual

from sentimental.features import N_INPUTS, N_SUMMARY, frames_to_features
from sentimental.model import build_network
from sentimental.recognizer import Recognizer
from sentimental.scripts import EMOTIONS, SentimentalError
from sentimental.training import fit as module
from sentimental.training.augment import Augmentation
from sentimental.training.metrics import compute_metrics
from sentimental.training.settings import Training
from sentimental.voice import Voice

pytestmark = pytest.mark.filterwarnings("ignore:Even though")  # tf.data is compiled all the same

TINY = Training(
    units=8,
    batch_size=8,
    steps_per_epoch=2,
    layer_dropout=0.1,
    output_dropout=0.1,
    summary_dropout=0.1,
    learning_rate=0.1,  # so high that later epochs are worse
    warmup_epochs=0,
    ema_decay=0.0,
)
CROPPED = Augmentation(crop_frames=8)
EVENLY = np.full(len(EMOTIONS), 1 / len(EMOTIONS))


def train(folder, recordings=None, epochs=4, seed=1, compiled=False, **options):
    """Train a tiny network; to compile a step takes longer than to run a few."""
    recordings = recordings or make_recordings()
    validation = options.pop("validation", recordings[:8])
    training, augmentation = options.pop("settings", (TINY, CROPPED))
    module.tf.config.run_functions_eagerly(not compiled)
    try:
        checkpoint = folder / "checkpoint"
        return module.train(
            recordings, validation, training, augmentation, epochs, seed, checkpoint, **options
        )
    finally:
        module.tf.config.run_functions_eagerly(False)


# What is trained


def make_learner(prior=EVENLY, learning_rate=3e-3, **settings):
    """A small learner without dropout."""
    settings = {"units": 8, "layer_dropout": 0.0, "output_dropout": 0.0} | settings
    module.keras.utils.set_random_seed(1)
    learner = module.Learner(Training(summary_dropout=0.0, **settings), prior)
    learner.compile(module.keras.optimizers.AdamW(learning_rate))
    learner.optimizer.build(learner.trainable_variables)
    return learner


def make_batch(n=8, n_frames=12):
    """Frames, summaries, one of each emotion, and weights of the last frame alone."""
    rng = np.random.default_rng(1)
    frames = rng.standard_normal((n, n_frames, N_INPUTS)).astype(np.float32)
    summaries = rng.standard_normal((n, N_SUMMARY)).astype(np.float32)
    weights = np.zeros((n, n_frames), np.float32)
    weights[:, -1] = 1
    return frames, summaries, np.eye(len(EMOTIONS), dtype=np.float32)[np.arange(n) % 8], weights


def answers_of_parts(learner, frames, summaries):
    """What the two parts answer at the end; and their product, where the prior counts once."""
    of_frames = np.array(learner.frames_part(frames))[:, -1]
    of_summary = np.array(learner.summary_part(summaries))
    together = of_frames * of_summary * learner.prior
    return of_frames, of_summary, together / together.sum(axis=1, keepdims=True)


def test_parts_learn_from_their_mean_and_alone_from_labels():
    frames, summaries, labels, weights = make_batch()

    def learn(mutual_weight):
        """Losses of 30 steps, and how far apart the answers of the two are after them."""
        learner = make_learner(mutual_weight=mutual_weight)
        steps = [learner.descend(frames, summaries, labels, weights) for _ in range(30)]
        losses = [-np.mean(np.log(np.diag(step))) for step in steps]
        of_frames, of_summary, _ = answers_of_parts(learner, frames, summaries)
        return losses, np.abs(of_frames - of_summary).mean()

    alone, together = learn(0.0), learn(0.9)
    assert alone[0][0] == pytest.approx(together[0][0])  # the same first weights
    assert alone[0][-1] < 0.7 * alone[0][0]
    assert together[0][-1] < 0.4 * together[0][0]
    assert together[1] < 0.7 * alone[1]


def test_nothing_is_learned_by_making_the_soft_targets_easy(eagerly):
    """They are taken as given: the gradient of the logits is answer minus target, no more."""
    learner, rng = make_learner(mutual_weight=0.5, label_smoothing=0.1), np.random.default_rng(2)
    learner.compile(module.keras.optimizers.SGD(1.0))
    for weight in learner.trainable_variables:
        weight.assign(rng.normal(0, 0.1, weight.shape))
    frames, summaries, labels, weights = make_batch()
    of_frames, of_summary, _ = answers_of_parts(learner, frames, summaries)
    targets = 0.5 * (0.9 * labels + 0.1 / 8) + 0.5 * (of_frames + of_summary) / 2
    biases = [part.weights[-1].numpy() for part in (learner.frames_part, learner.summary_part)]
    learner.descend(frames, summaries, labels, weights)
    for part, bias, answer in zip(
        (learner.frames_part, learner.summary_part), biases, (of_frames, of_summary), strict=True
    ):
        step = (answer - targets).mean(axis=0)
        np.testing.assert_allclose(bias - part.weights[-1].numpy(), step, atol=1e-5)


def test_the_network_that_is_saved_answers_as_both_parts_together():
    prior = np.array([0.5, 0.2, 0.1, 0.1, 0.04, 0.02, 0.02, 0.02])
    learner, rng = make_learner(prior), np.random.default_rng(2)
    for weight in learner.trainable_variables:
        weight.assign(rng.normal(0, 0.5, weight.shape))
    network = build_network(8)
    network.set_weights(learner.joined_weights())
    frames, summaries, *_ = make_batch()
    frames[1, 6:] = 0  # padding
    of_frames, of_summary, together = answers_of_parts(learner, frames, summaries)
    np.testing.assert_allclose(network([frames, summaries]), together, atol=1e-5)
    assert np.abs(of_frames - of_summary).max() > 0.3
    # The part of the frames answers after each.
    answers = np.array(learner.frames_part(frames))
    early = np.array(learner.frames_part(frames[:, :6]))[:, -1]
    np.testing.assert_allclose(answers[:, 5], early, atol=1e-5)
    np.testing.assert_allclose(answers[1, -1], early[1], atol=1e-5)


@pytest.mark.parametrize(("ema_decay", "kept"), [(0.998, 2 / 11), (0.1, 0.1)])
def test_the_average_forgets_as_fast_as_told_and_faster_at_first(ema_decay, kept, eagerly):
    learner = make_learner(ema_decay=ema_decay)
    before = learner.average.get_weights()
    learner.descend(*make_batch())
    for average, first, joined in zip(
        learner.average.get_weights(), before, learner.joined_weights(), strict=True
    ):
        expected = kept * first + (1 - kept) * joined.numpy()
        np.testing.assert_allclose(average, expected, atol=1e-6)
        assert not np.allclose(first, joined.numpy(), atol=1e-6)


def test_how_often_an_emotion_is_drawn_counts_once_and_in_no_part():
    """Where recordings say nothing, an emotion is as probable as it is frequent."""
    labels = np.eye(len(EMOTIONS), dtype=np.float32)[np.r_[[0] * 33, 1:8]]
    batch = [np.ones((40, *shape), np.float32) for shape in ((1, N_INPUTS), (N_SUMMARY,))]
    frequency = labels.mean(axis=0)
    learner = make_learner(frequency, 0.02, units=2, mutual_weight=0.0, label_smoothing=0.0)
    for _ in range(150):
        answer = learner.descend(*batch, labels, np.ones((40, 1), np.float32))
    for part in answers_of_parts(learner, *batch)[:2]:
        np.testing.assert_allclose(part[0], EVENLY, atol=0.03)
    np.testing.assert_allclose(learner(batch)[0], frequency, atol=0.03)
    np.testing.assert_allclose(answer[0], frequency, atol=0.03)


def test_no_emotion_is_thought_to_be_rarer_than_told():
    prior = np.array([0.5, 0.5, 0, 0, 0, 0, 0, 0])
    learner = make_learner(prior, least_prior=0.02)
    np.testing.assert_allclose(learner.prior, np.maximum(prior, 0.02))


# Trainings


def fresh(folder, **options):
    """A training of which nothing was done before."""
    shutil.rmtree(folder / "checkpoint", ignore_errors=True)
    return train(folder, **options)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Network, usual and history of a training that nobody stops."""
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


def test_a_compiled_training_repeats_itself(tmp_path):
    first, second = (fresh(tmp_path, epochs=2, compiled=True) for _ in "ab")
    assert_same(first, second)


# Where a training is stopped: before its third epoch is told, before anything of it is saved, and
# between the two files that are.
PLACES = {
    "before the line": (module.EpochLine, "on_epoch_end", 3),
    "before the files": (module.Checkpoint, "on_epoch_end", 3),
    "between the files": (module.Learner, "save_weights", 3),
}


def stop(monkeypatch, folder, owner, method, count):
    """Stop a training in the so manieth call of a method."""
    original, calls = getattr(owner, method), []

    def called(self, *arguments, **options):
        calls.append(1)
        if len(calls) == count:
            raise KeyboardInterrupt
        return original(self, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(owner, method, called)
        with pytest.raises(KeyboardInterrupt):
            fresh(folder)


@pytest.mark.parametrize("place", PLACES)
def test_a_stopped_training_ends_as_if_nobody_had_stopped_it(
    place, undisturbed, tmp_path, monkeypatch, capsys
):
    owner, method, count = PLACES[place]
    stop(monkeypatch, tmp_path, owner, method, count)
    epochs, draw = [], module.AugmentedBatches.draw_epoch
    monkeypatch.setattr(
        module.AugmentedBatches,
        "draw_epoch",
        lambda self, epoch: epochs.append(epoch) or draw(self, epoch),
    )
    resumed = train(tmp_path)
    assert "going on after epoch 2" in capsys.readouterr().out
    assert epochs[-2:] == [2, 3]
    assert undisturbed[2]["epoch_saved"] < 3  # what was best before is not forgotten
    assert_same(resumed, undisturbed)


@pytest.mark.parametrize("name", [LATEST, BEST])
def test_a_training_whose_checkpoint_is_damaged_starts_anew(
    name, undisturbed, tmp_path, monkeypatch, capsys
):
    stop(monkeypatch, tmp_path, *PLACES["before the files"])
    path = tmp_path / "checkpoint" / name
    path.write_bytes(path.read_bytes()[:-100])
    capsys.readouterr()
    assert_same(train(tmp_path), undisturbed)
    out = capsys.readouterr().out
    assert "damaged, kept as checkpoint.damaged; this part starts anew" in out
    assert "going on" not in out


def test_the_saved_epoch_is_the_one_with_the_lowest_validation_loss(tmp_path):
    validation = make_recordings(16, seed=1)
    network, usual, history = train(tmp_path, epochs=6, validation=validation, temperature=1.0)
    best = min(history["val_loss"])
    assert history["epoch_saved"] == history["val_loss"].index(best) + 1
    network.compile(
        loss=module.keras.losses.CategoricalCrossentropy(label_smoothing=TINY.label_smoothing)
    )
    inputs = module.recordings_to_inputs(validation, usual)
    loss = network.evaluate([*inputs], module.one_hot(validation), verbose=0)
    assert loss == pytest.approx(best, rel=1e-3)


def test_what_can_be_learned_is_learned(tmp_path):
    training = Training(
        units=16, batch_size=16, steps_per_epoch=50, learning_rate=0.01, ema_decay=0.9
    )
    network, usual, history = train(
        tmp_path,
        make_recordings(320),
        6,
        validation=make_recordings(40, seed=1),
        settings=(training, Augmentation(crop_frames=24)),
        compiled=True,
    )
    held_out = make_recordings(80, seed=2)
    metrics = compute_metrics(held_out, module.predict_recordings(network, usual, held_out))
    assert metrics["accuracy"] > 0.7
    assert history["val_accuracy"][-1] > 0.7


def test_the_temperature_is_in_the_weights(tmp_path, monkeypatch):
    validation, seen = make_recordings(12, seed=1), []

    def fake_fit(*arguments):
        seen.append(arguments)
        return 2.0

    monkeypatch.setattr(module, "fit_temperature", fake_fit)
    answers = []
    for given, used in ((1.0, 1.0), (0.5, 0.5), (None, 2.0)):
        network, usual, history = train(
            tmp_path, epochs=2, validation=validation, temperature=given
        )
        assert history["temperature"] == used
        answers.append(module.predict_recordings(network, usual, validation))
    for heated, power in zip(answers[1:], (2.0, 0.5), strict=True):
        expected = answers[0] ** power
        expected /= expected.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(heated, expected, atol=1e-5)
    ((recordings, probabilities),) = seen
    assert recordings is validation
    np.testing.assert_allclose(probabilities, answers[0], atol=1e-4)


def test_recordings_are_recognized_as_by_a_recognizer_in_the_order_they_are_given(monkeypatch):
    monkeypatch.setattr(module, "PREDICTION_BATCH", 3)
    network, usual = build_network(8), make_usual()
    recognizer = Recognizer(network.get_weights(), usual)
    recordings, voice = make_recordings(10), Voice()
    features = [frames_to_features([recording.frames])[0][0] for recording in recordings]
    told, with_history = [], []
    for clip in features:
        told.append(voice.tally.copy())
        with_history.append(recognizer.predict_features(clip, voice))
        voice.add(clip)
    answers = module.predict_recordings(network, usual, recordings, np.array(told))
    np.testing.assert_allclose(answers, with_history, atol=1e-4)
    without = [recognizer.predict_features(clip) for clip in features]
    answers = module.predict_recordings(network, usual, recordings)
    np.testing.assert_allclose(answers, without, atol=1e-4)
    assert np.abs(np.subtract(without, with_history)).max() > 0.01


def test_an_emotion_that_did_not_train_the_start_can_be_learned():
    learner = make_learner(np.full(8, 0.125))
    first = build_network(8).get_weights()
    learner.start_from(silence_untrained(first, np.arange(8) < 3))
    for weight, expected in zip(learner.joined_weights(), first, strict=True):
        expected = expected if expected.shape[-1] != 8 else np.where(np.arange(8) < 3, expected, 0)
        np.testing.assert_allclose(weight, expected, atol=1e-6)


def test_a_training_begins_with_the_answers_of_its_start(tmp_path, capsys):
    base, usual, _ = train(tmp_path / "base", make_recordings(24), epochs=1, temperature=2.0)
    start = {"weights": base.get_weights(), "usual": usual, "checksum": "one"}
    others = make_recordings(16, seed=5)  # of another mean and deviation
    learns_nothing = replace(TINY, learning_rate=0.0), CROPPED
    options = {"settings": learns_nothing, "temperature": TINY.temperature, "start": start}
    network, same, _ = train(tmp_path, others, 1, **options)
    assert same is usual
    answers, expected = (module.predict_recordings(one, usual, others) for one in (network, base))
    np.testing.assert_allclose(answers, expected, atol=1e-5)
    train(tmp_path, others, 1, **options | {"start": start | {"checksum": "other"}})
    assert "of other recordings or settings; training starts anew" in capsys.readouterr().out


def test_a_loss_that_is_not_a_number_is_told(tmp_path):
    recordings = make_recordings(16)
    recordings[0].frames[0, 0] = np.nan
    with pytest.raises(SentimentalError, match="lower training.learning_rate"):
        train(tmp_path, recordings, epochs=1)
