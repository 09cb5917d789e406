"""Batches: what is drawn for an epoch, and what each answer counts."""

from collections import Counter

import numpy as np
import pytest
from signals import make_corpora, make_recordings

from sentimental.augment import Augmentation
from sentimental.base import EMOTIONS, SentimentalError
from sentimental.batches import AugmentedBatches, frame_weights
from sentimental.features import N_INPUTS
from sentimental.settings import Training

TINY = Training(units=8, batch_size=8, epoch_share={})
CROPPED = Augmentation(crop_frames=24)


def test_an_epoch_draws_its_share_of_each_corpus_and_every_emotion_as_often():
    training = Training(epoch_share={"TESS": 0.5}, batch_size=1)  # or the last ones are left out
    recordings = [r for r in make_corpora() if r["emotion"] != "neutral" or r["speaker"] > "08"]
    batches = AugmentedBatches(recordings, training, Augmentation(), 0).batches
    drawn = Counter((recordings[n]["corpus"], recordings[n]["emotion"]) for n in batches.ravel())
    assert drawn == Counter(
        {("RAVDESS", emotion): 24 for emotion in EMOTIONS}
        | {("TESS", emotion): 1 for emotion in EMOTIONS if emotion != "calm"}
    )
    neutral = [n for n in batches.ravel() if recordings[n]["emotion"] == "neutral"]
    assert len(set(neutral)) == 16 + 1  # all there are, before any comes twice


def test_a_batch_is_the_same_whenever_it_is_asked_for_and_another_in_each_epoch():
    batches, again = (AugmentedBatches(make_recordings(), TINY, CROPPED, 1) for _ in "ab")
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
        AugmentedBatches(make_recordings(), nothing, CROPPED, 1)


def test_late_answers_count_more_and_the_last_most():
    training = Training()
    weights = frame_weights(np.array([20, 80]), 80, training)
    for row, length in zip(weights, (20, 80), strict=True):
        assert row.sum() == pytest.approx(1)
        assert not row[length:].any()
        assert not row[: length // 4 - 1].any()
        assert (np.diff(row[length // 4 : length - 1]) > 0).all()
        assert row[length - 1] > 1 - training.frame_weight
