"""Frames, spectrum, pitch, level and zero crossings, against librosa and known physics."""

import librosa
import numpy as np
import pytest
from signals import noise, speech, tone, voice

from sentimental import spectrum
from sentimental.spectrum import FRAME_LENGTH, HOP_LENGTH, N_MELS, SAMPLE_RATE, power_spectrum

SIGNALS = {
    "speech": speech(),
    "voice": voice(1.3),
    "noise": noise(0.7, dbfs=-20),
    "gap": np.concatenate([voice(0.4), np.zeros(8000, np.float32), voice(0.4)]),
    "short": voice(0.05),
    "rounding": 1e-11 * noise(0.3, dbfs=0),
}


@pytest.fixture(params=SIGNALS)
def samples(request):
    return SIGNALS[request.param]


def mel_of(samples):
    return spectrum.mel_spectrum(power_spectrum(samples))


def test_the_mel_spectrum_is_librosas(samples):
    options = {"n_fft": FRAME_LENGTH, "hop_length": HOP_LENGTH, "n_mels": N_MELS}
    power = librosa.feature.melspectrogram(y=samples, sr=SAMPLE_RATE, **options)
    expected = librosa.power_to_db(power).T
    np.testing.assert_allclose(mel_of(samples), expected, atol=1e-2)


def test_level_and_zero_crossings_are_librosas(samples):
    options = {"frame_length": FRAME_LENGTH, "hop_length": HOP_LENGTH}
    rms = librosa.feature.rms(y=samples, **options)[0]
    np.testing.assert_allclose(spectrum.frame_rms(samples), rms, rtol=1e-4, atol=1e-7)
    zcr = librosa.feature.zero_crossing_rate(samples, **options)[0]
    np.testing.assert_allclose(spectrum.frame_zcr(samples), zcr, atol=1e-7)


def test_the_mfcc_are_librosas_and_tell_all_of_the_mel_spectrum(samples):
    mel = mel_of(samples)
    mfcc = mel @ spectrum.dct_matrix()
    expected = librosa.feature.mfcc(S=mel.T, n_mfcc=N_MELS).T
    np.testing.assert_allclose(mfcc, expected, atol=1e-2)
    np.testing.assert_allclose(spectrum.mfcc_to_mel(mfcc), mel, atol=1e-2)


# Pitch


def pitch_of(samples):
    """Median pitch in Hz and mean harmonicity, without the frames that reach over the ends."""
    octaves, harmonicity = spectrum.frame_pitch(power_spectrum(samples))
    return 2 ** np.median(octaves[2:-2]), harmonicity[2:-2].mean()


def buzz(pitch, amplitudes, seconds=0.5):
    return sum(
        tone(pitch * number, seconds, amplitude)
        for number, amplitude in enumerate(amplitudes, 1)
        if pitch * number < SAMPLE_RATE / 2
    )


# What a voice may be like: all harmonics, a formant at one of them, the lowest left out.
BUZZES = {
    "tone": [0.5],
    "bright": [0.05] * 20,
    "dull": [0.3 / number**2 for number in range(1, 20)],
    "formant": [0.02, 0.02, 0.02, 0.2, 0.02, 0.02],
    "telephone": [0, 0, 0.1, 0.1, 0.1, 0.1, 0.1],
    "weak and strong in turn": [0.05, 0.2] * 5,
}


@pytest.mark.parametrize(
    ("kind", "pitch"),
    # The peaks of high and bright buzzes are narrower than the lags are apart.
    [
        ("tone", 385),
        ("dull", 385),
        *((kind, pitch) for kind in BUZZES for pitch in (75, 110.5, 223)),
    ],
)
def test_the_pitch_of_a_buzz_is_found_in_the_right_octave(kind, pitch):
    found, harmonicity = pitch_of(buzz(pitch, BUZZES[kind]))
    assert found == pytest.approx(pitch, rel=0.005)
    assert harmonicity > 0.9


def test_rumble_does_not_count_and_hum_below_all_voices_has_no_harmonicity():
    found, harmonicity = pitch_of(buzz(150, [0.1] * 10) + tone(20, 0.5))
    assert found == pytest.approx(150, rel=0.005)
    assert harmonicity > 0.9
    for hum in (20, 50, 60):
        _, harmonicity = spectrum.frame_pitch(power_spectrum(tone(hum, 0.5)))
        assert harmonicity[2:-2].max() < 0.5


@pytest.mark.parametrize("amplitude", [1.0, 1e-4])
def test_a_glide_is_followed(amplitude):
    time = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    phase = 2 * np.pi * (150 * time + 50 * time**2)  # 150 to 250 Hz
    samples = (amplitude * (np.sin(phase) + np.sin(2 * phase))).astype(np.float32)
    octaves, _ = spectrum.frame_pitch(power_spectrum(samples))
    expected = 150 + 100 * np.arange(len(octaves)) * HOP_LENGTH / SAMPLE_RATE
    np.testing.assert_allclose(2 ** octaves[2:-2], expected[2:-2], rtol=0.01)


@pytest.mark.parametrize("snr", [20, 5, 0])
def test_harmonicity_is_the_share_of_the_voice_in_the_power(snr):
    samples = buzz(150, [0.1] * 10, 2.0)
    hiss = noise(2.0, 0.0) * 10 ** (-snr / 20) * samples.std()
    found, harmonicity = pitch_of(samples + hiss)
    assert harmonicity == pytest.approx(1 / (1 + 10 ** (-snr / 10)), abs=0.05)
    assert found == pytest.approx(150, rel=0.01)


def test_noise_and_silence_have_no_harmonicity():
    for samples in (noise(2.0, -20.0), np.zeros(SAMPLE_RATE, np.float32)):
        octaves, harmonicity = spectrum.frame_pitch(power_spectrum(samples))
        assert (harmonicity < 0.3).all()
        assert np.isfinite(octaves).all()
