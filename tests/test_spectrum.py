"""Frames, spectrum, level and zero crossings, against librosa and known physics."""

import librosa
import numpy as np
import pytest
from signals import noise, speech, tone, voice

from sentimental import spectrum
from sentimental.spectrum import FRAME_LENGTH, HOP_LENGTH, N_MELS, SAMPLE_RATE

SIGNALS = {
    "speech": speech(),
    "voice": voice(1.3),
    "noise": noise(0.7, dbfs=-20),
    "gap": np.concatenate([voice(0.4), np.zeros(8000, np.float32), voice(0.4)]),
    "short": voice(0.05),
}


@pytest.fixture(params=SIGNALS)
def samples(request):
    return SIGNALS[request.param]


def test_the_mel_spectrum_is_librosas(samples):
    options = {"n_fft": FRAME_LENGTH, "hop_length": HOP_LENGTH, "n_mels": N_MELS}
    power = librosa.feature.melspectrogram(y=samples, sr=SAMPLE_RATE, **options)
    expected = librosa.power_to_db(power).T
    np.testing.assert_allclose(spectrum.mel_spectrum(samples), expected, atol=1e-2)


def test_level_and_zero_crossings_are_librosas(samples):
    options = {"frame_length": FRAME_LENGTH, "hop_length": HOP_LENGTH}
    rms = librosa.feature.rms(y=samples, **options)[0]
    np.testing.assert_allclose(spectrum.frame_rms(samples), rms, rtol=1e-4, atol=1e-7)
    zcr = librosa.feature.zero_crossing_rate(samples, **options)[0]
    np.testing.assert_allclose(spectrum.frame_zcr(samples), zcr, atol=1e-7)


def test_the_mfcc_are_librosas_and_tell_all_of_the_mel_spectrum(samples):
    mel = spectrum.mel_spectrum(samples)
    mfcc = mel @ spectrum.dct_matrix()
    expected = librosa.feature.mfcc(S=mel.T, n_mfcc=N_MELS).T
    np.testing.assert_allclose(mfcc, expected, atol=1e-2)
    np.testing.assert_allclose(spectrum.mfcc_to_mel(mfcc), mel, atol=1e-2)


def test_the_mel_filters_are_librosas():
    expected = librosa.filters.mel(sr=SAMPLE_RATE, n_fft=FRAME_LENGTH, n_mels=N_MELS)
    np.testing.assert_allclose(spectrum.mel_filters(), expected, atol=1e-7)


@pytest.mark.parametrize("frequency", [250, 1000, 4000])
def test_a_tone_is_loudest_in_its_band(frequency):
    centers, widths = spectrum.mel_bands()
    loudest = spectrum.mel_spectrum(tone(frequency, 0.5))[5].argmax()
    assert abs(centers[loudest] - frequency) <= widths[loudest]
