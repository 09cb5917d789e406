"""What tests do to a recording, on sounds whose level is known."""

import numpy as np
import pytest
from signals import tone, write

from sentimental.preprocessing.conditions import (
    CONDITION_SNR,
    CONDITION_VOICES,
    CONDITIONS,
    apply_condition,
)
from sentimental.spectrum import SAMPLE_RATE


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def level(samples):
    return 10 * np.log10(np.mean(np.square(samples, dtype=np.float64)))


@pytest.mark.parametrize("silence", [0, 3])  # s before and after
def test_white_noise_has_all_frequencies_and_is_so_far_below_the_speech(rng, silence):
    speech, gap = tone(1000, 1.0), np.zeros(silence * SAMPLE_RATE, np.float32)
    samples = np.concatenate([gap, speech, gap])
    added = apply_condition("white", samples, [], rng) - samples
    assert level(speech) - level(added) == pytest.approx(CONDITION_SNR, abs=0.5)
    bands = np.split(np.abs(np.fft.rfft(added))[: len(added) // 2] ** 2, 8)
    assert 10 * np.log10([band.mean() for band in bands]) == pytest.approx(
        [level(added) + 10 * np.log10(len(added))] * 8, abs=1
    )


@pytest.mark.parametrize(("pitch", "passes"), [(100, False), (1000, True), (6000, False)])
def test_a_telephone_passes_the_middle_of_the_spectrum(rng, pitch, passes):
    samples = tone(pitch, 1.0)
    loss = level(samples) - level(apply_condition("telephone", samples, [], rng))
    assert loss == pytest.approx(0, abs=0.5) if passes else loss > 20


def test_gains_are_drawn_from_all_of_their_range_and_what_is_too_loud_clips(rng):
    soft, loud = (tone(1000, 0.1, amplitude=amplitude) for amplitude in (0.1, 0.9))
    gains = [level(apply_condition("gain", soft, [], rng)) - level(soft) for _ in range(99)]
    assert -20 <= min(gains) < -18
    assert 4 < max(gains) <= 6
    assert max(np.abs(apply_condition("gain", loud, [], rng)).max() for _ in range(99)) == 1


def test_babble_is_so_many_voices_that_can_be_read_each_as_loud(tmp_path, rng):
    samples, pitches = tone(250, 1.0), np.arange(500, 5000, 500)
    amplitudes = np.geomspace(0.01, 0.5, len(pitches))
    voices = [
        write(tmp_path / f"{pitch}.wav", tone(pitch, 1.0, amplitude=amplitude))
        for pitch, amplitude in zip(pitches, amplitudes, strict=True)
    ]
    broken = [str(tmp_path / f"broken{number}.wav") for number in range(9)]
    babble = apply_condition("babble", samples, voices + broken, rng) - samples
    assert level(samples) - level(babble) == pytest.approx(CONDITION_SNR, abs=0.5)
    spectrum = np.abs(np.fft.rfft(babble))
    heard = spectrum[pitches][spectrum[pitches] > spectrum.max() / 10]
    assert len(heard) == CONDITION_VOICES < len(pitches)
    assert heard == pytest.approx(heard.mean(), rel=0.05)


@pytest.mark.parametrize("condition", CONDITIONS)
def test_the_same_seed_gives_the_same_samples_and_leaves_the_recording_as_it_is(
    tmp_path, condition
):
    samples, voices = tone(500, 1.0), [write(tmp_path / "other.wav", tone(2000, 0.7))]
    first, second = (
        apply_condition(condition, samples, voices, np.random.default_rng(7)) for _ in range(2)
    )
    assert first.dtype == np.float32
    assert first.shape == samples.shape
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(samples, tone(500, 1.0))
    assert np.abs(first - samples).max() > 1e-3
