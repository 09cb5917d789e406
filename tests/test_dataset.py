"""Batches: what is drawn for an epoch, its histories, and what each answer counts."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from signals import make_corpora, make_recording, make_recordings
from test_augment import NOTHING, only

from sentimental.features import N_INPUTS, N_SUMMARY, add_slopes, frames_to_features, summarize
from sentimental.scripts import EMOTIONS, SentimentalError
from sentimental.speaker import STATISTICS, normalize
from sentimental.training.augment import standardize
from sentimental.training.dataset import AugmentedBatches, frame_weights
from sentimental.training.histories import find_reference, recording_statistics, voice_of
from sentimental.training.metrics import one_hot
from sentimental.training.settings import Augmentation, Training

TINY = Training(units=8, batch_size=8, steps_per_epoch=6)
CROPPED = Augmentation(crop_frames=24)
# Emotions of a small corpus.
OWN = ("sad", "happy")


def make_three_corpora():
    """TESS, RAVDESS with fewer neutral recordings, and another one; frames are noise."""
    recordings = [r for r in make_corpora() if r.emotion != "neutral" or r.speaker > "08"]
    recordings += [make_recording("mine", "A", emotion) for emotion in OWN]
    rng = np.random.default_rng(0)
    for recording in recordings:
        frames = recording.frames
        recording.frames = rng.uniform(0.1, 0.9, frames.shape).astype(np.float32)
    return recordings


def test_an_epoch_draws_its_share_of_each_corpus_and_every_emotion_as_often():
    training = Training(corpus_odds={"RAVDESS": 4.0, "TESS": 2.0}, batch_size=8, steps_per_epoch=98)
    recordings = make_three_corpora()
    batches = AugmentedBatches(recordings, training, CROPPED, 0)
    assert batches.batches.shape == (98, 8)
    drawn = Counter((recordings[n].corpus, recordings[n].emotion) for n in batches.batches.ravel())
    expected = (  # 112 for each of the odds, the one of "mine" as well
        {("RAVDESS", emotion): 448 / 8 for emotion in EMOTIONS}
        | {("TESS", emotion): 224 / 7 for emotion in EMOTIONS if emotion != "calm"}
        | {("mine", emotion): 112 / 2 for emotion in OWN}
    )
    assert drawn == pytest.approx(expected, abs=3)  # each is rounded up, then some are left out

    of_emotions = Counter()
    for (_, emotion), n in drawn.items():
        of_emotions[emotion] += n
    shares = [of_emotions[emotion] / 784 for emotion in EMOTIONS]
    np.testing.assert_allclose(batches.prior, shares, atol=1e-6)
    of_corpus = {r.corpus: prior for r, prior in zip(recordings, batches.priors, strict=True)}
    for corpus, own in [("RAVDESS", EMOTIONS), ("TESS", {*EMOTIONS} - {"calm"}), ("mine", OWN)]:
        expected = (np.isin(EMOTIONS, [*own]) / len(own) + shares) / 2
        np.testing.assert_allclose(of_corpus[corpus], expected, atol=1e-6)
    neutral = [r.emotion == "neutral" and r.corpus == "RAVDESS" for r in recordings]
    counts = Counter(n for n in batches.batches.ravel() if neutral[n])
    assert len(counts) == 16  # all there are come before any comes once more
    assert max(counts.values()) - min(counts.values()) <= 2


def test_a_corpus_without_odds_is_never_drawn():
    recordings, some = make_recordings(), replace(TINY, corpus_odds={"TESS": 0.0})
    batches = AugmentedBatches(recordings, some, CROPPED, 0)
    assert {recordings[n].corpus for n in batches.batches.ravel()} == {"RAVDESS"}
    nothing = Training(corpus_odds={"TESS": 0.0, "RAVDESS": 0.0})
    with pytest.raises(SentimentalError, match="corpus_odds"):
        AugmentedBatches(recordings, nothing, CROPPED, 1)


def arrays(batch):
    (inputs, summaries, _), *others = batch
    return [inputs, summaries, *others]


def test_a_batch_is_the_same_whenever_it_is_asked_for_and_another_in_each_epoch():
    batches, again = (AugmentedBatches(make_recordings(), TINY, CROPPED, 1) for _ in "ab")
    first, second = arrays(batches[0]), arrays(batches[1])
    again[2]
    again.draw_epoch(1)
    other = arrays(again[1])
    again.draw_epoch(0)
    for one, two, three, four in zip(arrays(again[1]), second, other, first, strict=True):
        np.testing.assert_array_equal(one, two)
        assert not np.array_equal(three, two)
        assert not np.array_equal(four, two)
    shapes = [array.shape for array in first]
    assert shapes == [(8, 24, N_INPUTS), (8, N_SUMMARY), (8, 8), (8, 24)]
    assert {array.dtype for array in first} == {np.dtype("float32")}

    of_one = AugmentedBatches(make_recordings(1), TINY, CROPPED, 1)  # changed anew in each epoch
    before = arrays(of_one[0])[0]
    of_one.draw_epoch(1)
    assert not np.allclose(before, arrays(of_one[0])[0], atol=0.1)


# Histories


def test_without_augmentation_and_history_a_batch_is_what_prediction_reads():
    recordings = make_recordings()
    batches = AugmentedBatches(recordings, replace(TINY, no_history_prob=1.0), NOTHING, 1)
    (inputs, summaries, _), labels, _ = batches[3]

    features, lengths = frames_to_features([r.frames for r in recordings])
    with_slopes = add_slopes(features, lengths)
    frames = with_slopes[with_slopes.any(axis=-1)].astype(float)
    np.testing.assert_allclose(batches.mean, frames.mean(axis=0), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(batches.std, frames.std(axis=0), rtol=1e-3)
    statistics = recording_statistics(recordings, np.full((len(recordings), 8), 1 / 8))
    reference = find_reference(statistics, [voice_of(r) for r in recordings])
    np.testing.assert_allclose(batches.reference.summary, reference.summary)
    np.testing.assert_allclose(batches.reference.variance, reference.variance)

    drawn, n_frames = batches.batches[3], features.shape[1]
    np.testing.assert_array_equal(labels, one_hot([recordings[n] for n in drawn]))
    clips = features[drawn], lengths[drawn]
    expected, summary = normalize(
        *clips, summarize(*clips), batches.statistics[drawn] * 0, reference
    )
    expected = standardize(expected, batches.mean, batches.std)
    np.testing.assert_allclose(inputs[:, :n_frames], expected, atol=2e-3)
    assert not inputs[:, n_frames:].any()
    np.testing.assert_allclose(summaries, summary, atol=2e-3)


def test_a_history_went_through_the_telephone_of_its_clip():
    telephone = only(
        telephone_prob=1.0, telephone_low=(300.0, 300.0), telephone_high=(3000.0, 3000.0)
    )
    # Each voice has two recordings.
    pairs = [replace(r, speaker=f"{n // 2}", corpus="") for n, r in enumerate(make_recordings(16))]
    through_it, alone = (
        AugmentedBatches(pairs, replace(TINY, no_history_prob=prob), telephone, 1)
        for prob in (0.0, 1.0)
    )
    (inputs, summaries, _), *_ = through_it[0]
    (heard, *_), *_ = alone[0]
    heard = heard * through_it.std + through_it.mean
    drawn = through_it.batches[0]
    features, lengths = frames_to_features([r.frames for r in pairs])
    n_features = features.shape[-1]
    is_speech = (np.arange(heard.shape[1]) < lengths[drawn][:, None])[..., None]
    heard = np.where(is_speech, heard[..., :n_features], 0).astype(np.float32)
    features, lengths, partner = features[drawn], lengths[drawn], drawn ^ 1
    shift = (
        (heard.sum(axis=1) - features.sum(axis=1)) / lengths[:, None],
        summarize(heard, lengths) - summarize(features, lengths),
    )
    assert np.abs(shift[0][:, 0]).min() > 1  # MFCC 0: the telephone is heard
    told = through_it.statistics[partner]
    expected, summary = normalize(
        heard, lengths, summarize(heard, lengths), told, through_it.reference, shift
    )
    expected = standardize(expected, through_it.mean, through_it.std)
    np.testing.assert_allclose(inputs[..., :n_features], expected[..., :n_features], atol=0.01)
    np.testing.assert_allclose(summaries, summary, atol=0.02)


def test_so_often_nothing_was_heard_before_and_else_a_few_recordings():
    training = replace(TINY, no_history_prob=0.3, max_history=4)
    recordings = [replace(r, speaker="A", corpus="TESS") for r in make_recordings(40)]
    batches = AugmentedBatches(recordings, training, CROPPED, 1)
    rng = np.random.default_rng(0)
    told = np.array([batches._draw_history(3, rng) for _ in range(2000)])
    lengths = told[:, STATISTICS["n_recordings"]].astype(int).ravel()
    shares = np.bincount(lengths, minlength=5) / 2000
    np.testing.assert_allclose(shares, [0.3] + [0.7 / 4] * 4, atol=0.03)
    whole = batches.statistics.sum(axis=0) - batches.statistics[3]
    all_others = replace(TINY, no_history_prob=0.0, max_history=5000)
    batches = AugmentedBatches(recordings, all_others, CROPPED, 1)
    np.testing.assert_allclose(batches._draw_history(3, rng), whole, rtol=1e-6)
    unknown = [replace(r, speaker="") for r in recordings]
    batches = AugmentedBatches(unknown, all_others, CROPPED, 1)
    assert not batches._draw_history(3, rng).any()


# Weights


def test_late_answers_count_more_and_the_last_most():
    training = Training()
    weights = frame_weights(np.array([20, 80]), 80, training)
    for row, length in zip(weights, (20, 80), strict=True):
        assert row.sum() == pytest.approx(1)
        assert not row[length:].any()
        assert not row[: length // 4 - 1].any()
        assert (np.diff(row[length // 4 : length - 1]) > 0).all()
        assert row[length - 1] > 1 - training.frame_weight
