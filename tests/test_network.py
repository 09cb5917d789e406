"""The network: branches that learn from each other, and what its weights absorb."""

import numpy as np
import pytest
from sessions import answer_to_inputs
from signals import make_reference, make_weights

from sentimental.features import N_INPUTS, N_SUMMARY
from sentimental.recognizer import Recognizer
from sentimental.scripts import EMOTIONS
from sentimental.training import network as module
from sentimental.training.network import (
    build_network,
    find_untrained,
    merge_standardization,
    merge_temperature,
    silence_untrained,
    unmerge_standardization,
)
from sentimental.training.settings import Training

EVENLY = np.full(len(EMOTIONS), 1 / len(EMOTIONS))

# Branches


def make_model(prior=EVENLY, **settings):
    """A small one in training, without dropout."""
    settings = {"units": 8, "layer_dropout": 0.0, "output_dropout": 0.0} | settings
    training = Training(**settings)
    module.keras.utils.set_random_seed(1)
    model = module.TwoBranchModel(build_network(training.units), training, prior)
    model.compile(module.keras.optimizers.AdamW(3e-3))
    model.optimizer.build(model.trainable_variables)
    return model


def make_batch(n=8, n_frames=12):
    """Frames, summaries, even priors, one of each emotion, and weights of the last frame alone."""
    rng = np.random.default_rng(1)
    frames = rng.standard_normal((n, n_frames, N_INPUTS)).astype(np.float32)
    summaries = rng.standard_normal((n, N_SUMMARY)).astype(np.float32)
    weights = np.zeros((n, n_frames), np.float32)
    weights[:, -1] = 1
    labels = np.eye(len(EMOTIONS), dtype=np.float32)[np.arange(n) % 8]
    return frames, summaries, np.full((n, 8), 1 / 8, np.float32), labels, weights


def answers_of_branches(model, frames, summaries, prior):
    """What the two branches answer at the end; and their product, where the prior counts once."""
    of_frames = np.array(model.frames_branch(frames))[:, -1]
    of_summary = np.array(model.summary_branch(summaries))
    together = of_frames * of_summary * prior
    return of_frames, of_summary, together / together.sum(axis=1, keepdims=True)


def test_a_step_goes_where_the_soft_targets_are(eagerly):
    """These are taken as given: the gradient of the logits is answer minus target, no more.

    The prior of each recording's corpus is in what the branches answer meanwhile, so that their
    logits need not learn it.
    """
    model, rng = make_model(mutual_weight=0.3, label_smoothing=0.1), np.random.default_rng(2)
    model.compile(module.keras.optimizers.SGD(1.0))
    for weight in model.trainable_variables:
        weight.assign(rng.normal(0, 0.1, weight.shape))
    frames, summaries, _, labels, weights = make_batch()
    prior = np.random.default_rng(3).dirichlet(np.ones(8), len(labels)).astype(np.float32)
    *answers, together = answers_of_branches(model, frames, summaries, prior)
    answers = [answer * prior / (answer * prior).sum(axis=1, keepdims=True) for answer in answers]
    targets = 0.7 * (0.9 * labels + 0.1 / 8) + 0.3 * sum(answers) / 2
    parts = model.frames_branch, model.summary_branch
    biases = [part.weights[-1].numpy() for part in parts]
    told = model.descend(frames, summaries, prior, labels, weights)
    np.testing.assert_allclose(told, together, atol=1e-5)
    for part, bias, answer in zip(parts, biases, answers, strict=True):
        step = (answer - targets).mean(axis=0)
        np.testing.assert_allclose(bias - part.weights[-1].numpy(), step, atol=1e-5)


def test_the_network_that_is_saved_answers_as_both_parts_together():
    prior = np.array([0.5, 0.2, 0.1, 0.1, 0.06, 0.02, 0.02, 0])
    model, rng = make_model(prior, least_prior=0.03), np.random.default_rng(2)
    np.testing.assert_allclose(model.prior, [0.5, 0.2, 0.1, 0.1, 0.06, 0.03, 0.03, 0.03])
    for weight in model.trainable_variables:
        weight.assign(rng.normal(0, 0.5, weight.shape))
    network = build_network(8)
    network.set_weights(model.merged_weights())
    frames, summaries, *_ = make_batch()
    frames[1, 6:] = 0  # padding
    of_frames, of_summary, together = answers_of_branches(model, frames, summaries, model.prior)
    np.testing.assert_allclose(network([frames, summaries]), together, atol=1e-5)
    assert np.abs(of_frames - of_summary).max() > 0.3
    # The part of the frames answers after each.
    answers = np.array(model.frames_branch(frames))
    early = np.array(model.frames_branch(frames[:, :6]))[:, -1]
    np.testing.assert_allclose(answers[:, 5], early, atol=1e-5)
    np.testing.assert_allclose(answers[1, -1], early[1], atol=1e-5)


@pytest.mark.parametrize(("ema_decay", "kept"), [(0.998, 2 / 11), (0.1, 0.1)])
def test_the_average_forgets_as_fast_as_told_and_faster_at_first(ema_decay, kept, eagerly):
    model = make_model(ema_decay=ema_decay)
    before = model.average.get_weights()
    model.descend(*make_batch())
    for average, first, joined in zip(
        model.average.get_weights(), before, model.merged_weights(), strict=True
    ):
        expected = kept * first + (1 - kept) * joined.numpy()
        np.testing.assert_allclose(average, expected, atol=1e-6)
        assert not np.allclose(first, joined.numpy(), atol=1e-6)


def test_an_emotion_that_did_not_train_the_start_can_be_learned():
    model = make_model(EVENLY)
    first = build_network(8).get_weights()
    model.start_from(silence_untrained(first, np.arange(8) < 3))
    for weight, expected in zip(model.merged_weights(), first, strict=True):
        expected = expected if expected.shape[-1] != 8 else np.where(np.arange(8) < 3, expected, 0)
        np.testing.assert_allclose(weight, expected, atol=1e-6)


# What the weights absorb


@pytest.fixture
def weights():
    return make_weights(0.1, seed=1)


@pytest.fixture
def clip():
    """Frames and summary of one recording."""
    rng = np.random.default_rng(0)
    return [rng.standard_normal(shape).astype(np.float32) for shape in ((40, N_INPUTS), N_SUMMARY)]


def answer(weights, clip):
    return answer_to_inputs(Recognizer(weights, make_reference()), *clip)


def test_merging_and_unmerging_the_standardization_change_no_probability(weights, clip):
    (frames, summary), expected, rng = clip, answer(weights, clip), np.random.default_rng(1)
    mean, std = 30 * rng.standard_normal(N_INPUTS), rng.uniform(0.01, 40, N_INPUTS)
    merged = merge_standardization(weights, mean, std)
    other = answer(merged, [frames * std + mean, summary])
    np.testing.assert_allclose(other, expected, atol=1e-5)
    unmerged = unmerge_standardization(weights, mean, std)
    other = answer(unmerged, [(frames - mean) / std, summary])
    np.testing.assert_allclose(other, expected, atol=1e-5)


@pytest.mark.parametrize("temperature", [0.01, 2.0, 1e6])
def test_what_did_not_train_is_never_answered_at_any_temperature(weights, clip, temperature):
    is_trained = np.isin(EMOTIONS, ["happy", "sad", "angry"])
    silenced = silence_untrained(weights, is_trained)
    expected = answer(weights, clip)[is_trained]
    np.testing.assert_allclose(
        answer(silenced, clip)[is_trained], expected / expected.sum(), atol=1e-6
    )
    silenced = merge_temperature(silenced, temperature)
    assert all(np.isfinite(weight).all() for weight in silenced)
    for factor in (1, 1e3):  # louder than any recording
        probabilities = answer([w.astype(np.float32) for w in silenced], [factor * x for x in clip])
        assert (probabilities[~is_trained] == 0).all()
        assert probabilities.sum() == pytest.approx(1)
    assert find_untrained(silenced) == ["neutral", "calm", "fear", "disgust", "surprise"]
    assert find_untrained(weights) == []
