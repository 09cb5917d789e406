"""From speech to features and summaries, on signals whose answer is known."""

import numpy as np
import pytest
from signals import make_recordings, tone, voice

from sentimental import features as module
from sentimental.audio import MAX_SECONDS, clean_audio
from sentimental.features import (
    HIGH_PASS,
    MAX_FRAMES,
    MIN_RMS,
    N_FEATURES,
    N_INPUTS,
    N_MFCC,
    N_SUMMARY,
    NO_PITCH,
    PHRASE_FRAMES,
    SPECTRUM_TOP_DB,
    VOICED,
    add_slopes,
    extract_frames,
    frame_features,
    frames_to_features,
    pad,
    smooth_pitch,
    summarize,
)
from sentimental.spectrum import HOP_LENGTH, N_MELS, SAMPLE_RATE, mfcc_to_mel

# Places of some features.
RMS, ZCR, LOW_ZCR, PITCH, HARMONICITY = N_MFCC, N_MFCC + 1, N_MFCC + 2, -2, -1


def features_of(frames):
    """Features of one recording."""
    return frames_to_features([frames])[0][0]


def features_of_samples(samples):
    return features_of(extract_frames(clean_audio(samples)))


def test_features_are_mfcc_rms_zero_crossings_and_pitch(monkeypatch):
    monkeypatch.setattr(module, "SPECTRUM_TOP_DB", 1000.0)
    frames = extract_frames(voice(1.3))
    features = features_of(frames)
    assert features.shape == (len(frames), N_FEATURES)
    np.testing.assert_allclose(features[:, :N_MFCC], frames[:, :N_MFCC], atol=1e-2)
    np.testing.assert_array_equal(features[:, [RMS, ZCR]], frames[:, N_MELS : N_MELS + 2])
    np.testing.assert_allclose(features[:, PITCH], frames[:, N_MELS + 2], atol=0.02)
    np.testing.assert_array_equal(features[:, HARMONICITY], frames[:, N_MELS + 3])


def test_what_is_far_below_the_loudest_band_does_not_matter():
    frames = extract_frames(tone(1000, 1.0))
    mel = mfcc_to_mel(frames[:, :N_MELS])[None]
    others, lengths = frames[None, :, N_MELS:], np.array([len(frames)])
    hidden = mel.max() - SPECTRUM_TOP_DB - 5
    quiet, noisy = (np.where(mel < hidden, x, mel) for x in (hidden - 30, hidden))

    def mfcc(mel):
        return frame_features(mel, others, lengths)[..., :N_MFCC]

    np.testing.assert_allclose(mfcc(noisy), mfcc(quiet), atol=1e-3)
    loud = np.where(mel < hidden, hidden + 15, mel)
    assert np.abs(mfcc(loud) - mfcc(quiet)).max() > 5


@pytest.mark.parametrize("pitch", [110, 220])
def test_zero_crossings_of_the_low_band_and_pitch(pitch):
    harmonics = sum(tone(pitch * k, 1.0, amplitude=0.1 / k**2) for k in range(1, 20))
    inner = features_of(extract_frames(harmonics))[5:-5]
    assert 2 ** inner[:, LOW_ZCR] * SAMPLE_RATE / 2 == pytest.approx(pitch, rel=0.2)
    assert 2 ** inner[:, PITCH] == pytest.approx(pitch, rel=0.005)


@pytest.mark.parametrize("highest", [300, 1000, 4000])
def test_zero_crossings_of_white_noise_are_those_of_its_root_mean_square(monkeypatch, highest):
    """Above 1 kHz the bands get wider, and each counts by its width."""
    monkeypatch.setattr(module, "LOW_PASS", (highest,))
    (rate,) = module.band_zcr(np.zeros(N_MELS, np.float32))
    mean_square = (highest**3 - HIGH_PASS**3) / (3 * (highest - HIGH_PASS))
    assert 2**rate * SAMPLE_RATE / 2 == pytest.approx(np.sqrt(mean_square), rel=0.05)


@pytest.mark.parametrize("frequency", [200, 1000, 3000])
def test_zero_crossings_and_level_of_a_tone(frequency):
    inner = extract_frames(tone(frequency, 1.0, amplitude=0.8))[2:-2]
    assert inner[:, N_MELS + 1] == pytest.approx(2 * frequency / SAMPLE_RATE, rel=0.03)
    assert inner[:, N_MELS] == pytest.approx(0.8 / np.sqrt(2), rel=0.01)
    assert inner[:, N_MELS + 3] == pytest.approx(1, abs=0.01)


# Pitch


def smooth(octaves, harmonicity, length=None):
    lengths = np.array([length or len(octaves)])
    return smooth_pitch(np.array([octaves]), np.array([harmonicity]), lengths)[0]


@pytest.mark.parametrize("octaves", [np.linspace(7, 8, 20), np.linspace(8, 7, 20)])
def test_a_wrong_octave_leaves_nothing_and_a_glide_stays(octaves):
    np.testing.assert_allclose(smooth(octaves, np.ones(20)), octaves)
    wrong = octaves.copy()
    wrong[[6, 7, 12]] += [-1, -1, 1]
    np.testing.assert_allclose(smooth(wrong, np.ones(20)), octaves, atol=0.11)


def test_pitch_is_carried_over_what_has_no_voice():
    octaves = np.array([9.0] * 4 + [7.0] * 6 + [3.0] * 5 + [8.0] * 6 + [1.0] * 4)
    unvoiced = np.r_[0:4, 10:15, 21:25]
    harmonicity = np.full(25, VOICED)
    harmonicity[unvoiced] = VOICED - 0.01
    smoothed = smooth(octaves, harmonicity)
    np.testing.assert_allclose(smoothed[:9], 7)
    np.testing.assert_allclose(smoothed[9:16], np.linspace(7, 8, 7), atol=1e-12)
    np.testing.assert_allclose(smoothed[16:], 8)


def test_where_no_voice_is_there_is_a_pitch_by_default():
    assert (smooth(np.full(9, 9.0), np.zeros(9)) == NO_PITCH).all()
    padding_alone = smooth(np.full(9, 9.0), np.repeat([0.0, 1.0], [4, 5]), length=4)
    assert (padding_alone == NO_PITCH).all()


# Slopes


def test_slopes_are_derivatives():
    time = np.arange(40, dtype=np.float32)
    features = np.zeros((1, 40, N_FEATURES), np.float32)
    features[..., 3], features[..., 5] = 3 * time, 0.5 * time**2
    inputs = add_slopes(features, np.array([40]))[0]
    assert inputs.shape == (40, N_INPUTS)
    np.testing.assert_array_equal(inputs[:, :N_FEATURES], features[0])
    inner = inputs[8:-8]
    np.testing.assert_allclose(inner[:, N_FEATURES + 3], 3, atol=1e-4)
    np.testing.assert_allclose(inner[:, N_FEATURES + 5], time[8:-8], atol=1e-3)
    np.testing.assert_allclose(inner[:, 2 * N_FEATURES + 5], 1, atol=1e-4)


# The summary


def nearest(values, percent):
    return sorted(values)[round(percent / 100 * (len(values) - 1))]


def test_the_summary_is_what_numpy_computes_of_each_feature():
    clips = [features_of(recording.frames) for recording in make_recordings(6)]
    for clip, summary in zip(clips, summarize(*pad(clips)), strict=True):
        clip = clip.astype(float)
        is_voiced = clip[:, HARMONICITY] >= VOICED
        voiced, mean, power = clip[is_voiced, PITCH], clip.mean(axis=0), clip[:, RMS] ** 2
        assert 2 < len(voiced) < len(clip)
        level = np.log(np.maximum(clip[:, RMS], MIN_RMS))
        level -= level.mean()
        around = np.convolve(level, np.ones(PHRASE_FRAMES) / PHRASE_FRAMES)[PHRASE_FRAMES // 2 :]
        expected = [
            mean,
            clip.std(axis=0),
            [nearest(column, 20) for column in clip.T],
            [nearest(column, 80) for column in clip.T],
            np.abs(clip[1:] - clip[:-1]).mean(axis=0),
            clip[is_voiced].mean(axis=0) - mean,
            np.average(clip, axis=0, weights=power) - mean,
            np.polyfit(np.arange(len(clip)) / len(clip), clip, 1)[0],
            [nearest(voiced, 50), nearest(voiced, 90) - nearest(voiced, 10)],
            [len(voiced) / len(clip), np.log(len(clip))],
            [np.count_nonzero(np.diff(is_voiced.astype(int)) > 0) / len(clip)],
            [level.std(), np.sqrt(np.mean((level - around[: len(clip)]) ** 2))],
            [np.mean(level * (clip[:, PITCH] - mean[PITCH]))],
        ]
        assert summary.shape == (N_SUMMARY,)
        np.testing.assert_allclose(summary, np.concatenate(expected), rtol=1e-4, atol=1e-4)


def test_the_summary_of_what_has_no_voice_or_one_frame():
    clip = np.ones((5, N_FEATURES), np.float32)
    clip[:, HARMONICITY] = VOICED - 0.1
    whispered, short = summarize(*pad([clip, clip[:1]]))
    assert whispered[-8:-3] == pytest.approx([NO_PITCH, 0, 0, np.log(5), 0])
    assert short[-8:-3] == pytest.approx([NO_PITCH, 0, 0, 0, 0])
    assert not short[N_FEATURES : 2 * N_FEATURES].any()  # deviation
    assert not short[4 * N_FEATURES : 5 * N_FEATURES].any()  # change
    assert not short[5 * N_FEATURES : 8 * N_FEATURES].any()  # voiced, loud, rise


# Padding


@pytest.mark.parametrize("compute", [lambda features, lengths: features, add_slopes, summarize])
def test_other_clips_and_padding_change_nothing(compute):
    frames = [extract_frames(voice(seconds, pitch=200)) for seconds in (0.8, 0.1, 1.3)]
    frames[1][:, -1] = 0  # without a voice
    together, lengths = frames_to_features(frames)
    assert list(lengths) == [len(clip) for clip in frames]
    assert together.shape == (3, len(frames[2]), N_FEATURES)
    for batch, clip in zip(compute(together, lengths), frames, strict=True):
        alone = compute(*frames_to_features([clip]))[0]
        if alone.ndim > 1:  # frames, not a summary
            assert not batch[len(clip) :].any()
            batch = batch[: len(clip)]
        np.testing.assert_allclose(batch, alone, atol=1e-3)


def test_speech_is_never_zero_not_even_in_a_gap_of_it():
    with_gap = np.concatenate([voice(0.5), np.zeros(8000, np.float32), voice(0.5)])
    features = features_of_samples(with_gap)
    assert features.any(axis=1).all()
    assert len(features) == pytest.approx(1.5 * SAMPLE_RATE / HOP_LENGTH, abs=3)
    assert len(features_of_samples(voice(MAX_SECONDS + 3))) == MAX_FRAMES


# What does not matter


def test_silence_around_a_recording_does_not_matter():
    samples = voice(1.5)
    gap = np.zeros(10 * HOP_LENGTH, np.float32)
    some, more = [gap, samples, gap], [gap, gap, gap, samples, gap, gap, gap, gap]
    some, more = (features_of_samples(np.concatenate(parts)) for parts in (some, more))
    np.testing.assert_allclose(some, more, atol=0.1)  # MFCC 0 is -127
