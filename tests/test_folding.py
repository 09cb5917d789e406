"""What is folded into the weights changes no answer, or just the one that it should."""

import numpy as np
import pytest
from signals import make_usual

from sentimental.features import N_INPUTS, N_SUMMARY
from sentimental.recognizer import Recognizer
from sentimental.scripts import EMOTIONS
from sentimental.training.folding import (
    find_untrained,
    fold_standardization,
    fold_temperature,
    silence_untrained,
    unfold_standardization,
)

UNITS = 8


@pytest.fixture
def weights():
    rng = np.random.default_rng(1)
    gates = [(UNITS, 4 * UNITS), (4 * UNITS,)]
    shapes = [(N_INPUTS, 4 * UNITS), *gates, (UNITS, 4 * UNITS), *gates]
    shapes += [(UNITS + N_SUMMARY, len(EMOTIONS)), (len(EMOTIONS),)]
    return [rng.normal(0, 0.1, shape).astype(np.float32) for shape in shapes]


@pytest.fixture
def clip():
    """Frames and summary of one recording."""
    rng = np.random.default_rng(0)
    return [rng.standard_normal(shape).astype(np.float32) for shape in ((40, N_INPUTS), N_SUMMARY)]


@pytest.fixture
def scale():
    rng = np.random.default_rng(1)
    return 30 * rng.standard_normal(N_INPUTS), rng.uniform(0.01, 40, N_INPUTS)


def answer(weights, clip):
    return Recognizer(weights, make_usual()).predict_inputs(*clip)


def test_folding_the_standardization_changes_no_probability(weights, clip, scale):
    frames, summary = clip
    mean, std = scale
    folded = fold_standardization(weights, mean, std)
    other = answer(folded, [frames * std + mean, summary])
    np.testing.assert_allclose(other, answer(weights, clip), atol=1e-5)


def test_unfolding_is_the_reverse_and_needs_no_scale_that_was_folded(weights, clip, scale):
    frames, summary = clip
    mean, std = scale
    unfolded = unfold_standardization(weights, mean, std)
    other = answer(unfolded, [(frames - mean) / std, summary])
    np.testing.assert_allclose(other, answer(weights, clip), atol=1e-5)
    for again, weight in zip(fold_standardization(unfolded, mean, std), weights, strict=True):
        np.testing.assert_allclose(again, weight, atol=1e-5)


def test_a_folded_temperature_divides_the_logits(weights, clip):
    expected = np.sqrt(answer(weights, clip))
    expected /= expected.sum()
    np.testing.assert_allclose(answer(fold_temperature(weights, 2.0), clip), expected, atol=1e-6)


@pytest.mark.parametrize("temperature", [0.01, 2.0, 1e6])
def test_what_did_not_train_is_never_answered_at_any_temperature(weights, clip, temperature):
    is_trained = np.isin(EMOTIONS, ["happy", "sad", "angry"])
    silenced = fold_temperature(silence_untrained(weights, is_trained), temperature)
    assert all(np.isfinite(weight).all() for weight in silenced)
    for factor in (1, 1e3):  # louder than any recording
        probabilities = answer([w.astype(np.float32) for w in silenced], [factor * x for x in clip])
        assert (probabilities[~is_trained] == 0).all()
        assert probabilities.sum() == pytest.approx(1)
    assert find_untrained(silenced) == ["neutral", "calm", "fear", "disgust", "surprise"]


def test_those_that_trained_keep_what_they_are_to_each_other(weights, clip):
    assert find_untrained(weights) == []
    is_trained = np.arange(8) < 3
    expected = answer(weights, clip)[:3]
    silenced = answer(silence_untrained(weights, is_trained), clip)[:3]
    np.testing.assert_allclose(silenced, expected / expected.sum(), atol=1e-6)
