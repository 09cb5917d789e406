"""From a file to the speech in it: every step on signals whose answer is known."""

import noisereduce
import numpy as np
import pytest
from signals import noise, speech, tone, voice, write

from sentimental.audio import (
    MARGIN_FRAMES,
    MAX_SECONDS,
    PEAK_DBFS,
    ToMono,
    clean_audio,
    load_audio,
    reduce_noise,
    to_mono,
)
from sentimental.scripts import SentimentalError
from sentimental.spectrum import HOP_LENGTH, SAMPLE_RATE

# Full scale is 1.0.
LOUDEST = 10 ** (PEAK_DBFS / 20)
# A second of silence.
GAP = np.zeros(SAMPLE_RATE, np.float32)
# s kept beside the speech.
MARGIN = (MARGIN_FRAMES + 2) * HOP_LENGTH / SAMPLE_RATE


@pytest.fixture
def no_gate(monkeypatch):
    """Leave noise reduction out, to see the exact samples of the steps before it."""
    monkeypatch.setattr("sentimental.audio.reduce_noise", lambda speech: speech)


# Decoding


@pytest.mark.parametrize("sample_rate", [8_000, 24_414, 44_100, 96_000])
def test_samples_of_any_rate_are_mixed_and_resampled(sample_rate):
    left, right = (tone(frequency, 1.0, sample_rate=sample_rate) for frequency in (440, 1000))
    samples = to_mono(np.stack([left, right + 0.2], axis=1), sample_rate)
    assert samples.dtype == np.float32
    assert len(samples) == SAMPLE_RATE
    assert len(to_mono(left[:1001], sample_rate)) == round(1001 * SAMPLE_RATE / sample_rate)
    expected = (tone(440, 1.0) + tone(1000, 1.0)) / 2 + 0.1
    np.testing.assert_allclose(samples[1000:-1000], expected[1000:-1000], atol=1e-3)


@pytest.mark.parametrize("offset", [0, 0.2, (0, 0.5), (0.5, 0)])
@pytest.mark.parametrize("gains", [(1, -1), (1, -0.9), (-0.5, 0.6)])
def test_of_channels_that_cancel_each_other_the_stronger_is_taken(gains, offset):
    channels = voice()[:, None] * np.array(gains) + offset
    samples = to_mono(channels + noise(1.0, -60)[:, None], SAMPLE_RATE)
    samples -= samples.mean()
    strongest = np.abs(gains).max() * voice()
    sign = np.sign(np.mean(samples * strongest))  # of two that are equal, any
    np.testing.assert_allclose(sign * samples, strongest - strongest.mean(), atol=0.01)


@pytest.mark.parametrize(
    "right", [0 * voice(), 0.3 * voice(), noise(1.0, -10), voice(pitch=170), -0.1 * voice()]
)
def test_other_channels_are_mixed(right):
    channels = np.stack([voice(), right], axis=1)
    np.testing.assert_array_equal(to_mono(channels, SAMPLE_RATE), channels.mean(axis=1))


@pytest.mark.parametrize("sample_rate", [SAMPLE_RATE, 44_100])
def test_blocks_give_what_the_whole_does(sample_rate):
    whole = np.stack([voice(sample_rate=sample_rate), noise(1.0, -20, sample_rate=sample_rate)], 1)
    stream = ToMono(sample_rate)
    pieces = [stream.push(whole[i : i + 1000]) for i in range(0, len(whole), 1000)]
    pieces.append(stream.push(whole[:0], last=True))
    np.testing.assert_allclose(np.concatenate(pieces), to_mono(whole, sample_rate), atol=1e-6)


def test_of_a_stream_the_stronger_channel_is_taken_from_where_they_cancel_each_other_on():
    sound, stream = voice(), ToMono(SAMPLE_RATE)
    both, opposite = np.stack([sound, sound], 1), np.stack([sound, -0.5 * sound], 1)
    pieces = [stream.push(block) for block in (both, 0 * both, opposite, both)]
    pieces.append(stream.push(both[:0], last=True))
    np.testing.assert_array_equal(
        np.concatenate(pieces), np.tile(sound, 4) * np.repeat([1, 0, 1, 1], len(sound))
    )


@pytest.mark.parametrize("shape", [(2, SAMPLE_RATE), (1, 2, SAMPLE_RATE), ()])
def test_arrays_of_another_shape_are_refused(shape):
    with pytest.raises(SentimentalError, match="shape"):
        to_mono(np.ones(shape, np.float32), SAMPLE_RATE)
    with pytest.raises(SentimentalError, match="shape"):
        clean_audio(np.ones(shape, np.float32))


def test_what_is_too_short_to_be_resampled_holds_no_samples(tmp_path):
    path = write(tmp_path / "one.wav", [0.5], 48_000)
    with pytest.raises(SentimentalError, match="one.wav: holds no samples"):
        load_audio(path)
    with pytest.raises(SentimentalError, match="no samples"):
        to_mono(np.zeros((0, 2)), SAMPLE_RATE)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e38])
def test_samples_that_are_not_numbers_are_refused(tmp_path, value):
    samples = voice()
    samples[100:102] = value
    with pytest.raises(SentimentalError, match="not numbers"):
        load_audio(write(tmp_path / "a.wav", samples, subtype="FLOAT"))


@pytest.mark.filterwarnings("error")
def test_samples_that_nobody_scaled_are_used(tmp_path):
    path = write(tmp_path / "a.wav", voice() * 2**31, subtype="FLOAT")
    np.testing.assert_allclose(clean_audio(load_audio(path)), clean_audio(voice()), atol=1e-3)


# Level, trimming, length


@pytest.mark.parametrize("gain", [0.01, 0.1, 1.0, 3.0])
def test_the_peak_is_plus_5_dbfs_and_nothing_clips(no_gate, gain):
    speech = clean_audio(gain * voice())
    assert np.abs(speech).max() == pytest.approx(LOUDEST, rel=1e-5)
    assert (np.abs(speech) > 0.999 * LOUDEST).sum() < 10  # clipping would leave plateaus


def soft(below):
    """What is so many dB below the other tones."""
    return tone(300, 0.5, amplitude=0.5 * 10 ** (-below / 20))


def in_noise(snr):
    """Two words and a softer sound between them, in noise so many dB below them."""
    word = tone(300, 0.5)
    samples = np.concatenate([GAP, word, 0.1 * tone(300, 0.2), word, GAP])
    level = 20 * np.log10(np.std(word))
    return samples + noise(len(samples) / SAMPLE_RATE, level - snr)


@pytest.mark.parametrize(
    ("parts", "seconds", "tolerance"),
    [
        ([GAP, tone(300, 0.5), GAP[::2], tone(300, 0.5), GAP, GAP], 1.5, 0.1),
        ([GAP, tone(300, 0.5), soft(27), GAP], 1.0, 0.1),
        ([GAP, tone(300, 0.5), soft(33), GAP], 0.5, 0.1),  # 30 dB is the limit
        *(([in_noise(snr)], 1.2, 0.2) for snr in (10, 15, 25)),
    ],
)
def test_silence_and_noise_are_cut_at_both_ends_and_only_there(no_gate, parts, seconds, tolerance):
    speech = clean_audio(np.concatenate(parts))
    assert len(speech) / SAMPLE_RATE == pytest.approx(seconds + 2 * MARGIN, abs=tolerance)


def test_a_little_is_kept_before_and_after_the_speech(no_gate):
    """Soft beginnings and ends of words; with averaging alone it would be 64 to 96 ms."""
    speech = clean_audio(np.concatenate([GAP, tone(300, 0.5), GAP]))
    first, last = np.flatnonzero(np.abs(speech) > 0.5 * LOUDEST)[[0, -1]]
    for kept in (first, len(speech) - 1 - last):
        assert 0.12 < kept / SAMPLE_RATE < 0.22


def test_of_a_long_recording_the_part_with_most_energy_counts(no_gate):
    loud = tone(400, 3.0, amplitude=0.5)
    samples = np.concatenate([tone(400, 9.0, amplitude=0.25), loud, tone(400, 2.0, amplitude=0.25)])
    speech = clean_audio(samples)
    assert len(speech) == int(MAX_SECONDS * SAMPLE_RATE)
    assert (np.abs(speech) > 0.9 * LOUDEST).any()
    power = np.mean(speech**2)  # 3 s loud, the rest at half of its amplitude
    share = 3.0 / MAX_SECONDS
    assert power == pytest.approx(LOUDEST**2 / 2 * (share + (1 - share) / 4), rel=0.02)


THUMP = tone(80, 0.15, amplitude=0.9)


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ("only silence", [GAP]),
        ("only silence", [GAP + np.float32(0.3)]),
        ("only silence", [tone(300, 1, 1e-5)]),
        ("s of sound", [tone(300, 0.1)]),
        ("s of sound", [GAP, tone(300, 0.1), GAP]),
        # Beside a short sound neither noise nor a breath is taken for speech.
        *(
            ("s of sound", [noise(1.0, -75), THUMP, noise(0.3, -75), rest])
            for rest in (noise(2.0, -60), noise(0.4, -40), GAP)
        ),
    ],
)
def test_silence_and_what_is_too_short_are_refused(words, parts):
    with pytest.raises(SentimentalError, match=words):
        clean_audio(np.concatenate(parts))


@pytest.mark.parametrize("seconds", [0.3, 0.5])
def test_a_short_word_without_silence_around_is_enough(seconds):
    assert len(clean_audio(tone(300, seconds))) > 0.9 * seconds * SAMPLE_RATE


SOUNDS = {
    "beep": tone(880, 0.5),
    "click": noise(0.005, -6),
    "slam": noise(0.3, -12) * np.geomspace(1, 1e-3, 4_800, dtype=np.float32),
    "scrape": noise(0.7, -12),
}


# A sound, and speech beside it: also speech that is far softer.
BESIDE = {
    f"{name} {gain}": (gain * sound, speech(1))
    for name, sound in SOUNDS.items()
    for gain in (1.0, 0.25)
} | {"thump": (THUMP, 0.05 * speech(2))}


@pytest.mark.parametrize("name", BESIDE)
@pytest.mark.parametrize("place", ["before", "after"])
def test_a_sound_beside_the_speech_is_no_part_of_it(no_gate, name, place):
    gap, (sound, said) = noise(0.4, -75), BESIDE[name]
    parts = [sound, gap, said, gap] if place == "before" else [gap, said, gap, sound]
    cleaned, alone = (clean_audio(np.concatenate(heard)) for heard in (parts, [gap, said, gap]))
    assert np.abs(cleaned).max() == pytest.approx(LOUDEST, rel=1e-3)
    assert len(cleaned) == pytest.approx(len(alone), abs=0.2 * SAMPLE_RATE)
    shift = np.correlate(cleaned[:16_000], alone[2_000:6_000], "valid").argmax()
    np.testing.assert_allclose(cleaned[shift:][:4_000], alone[2_000:6_000], atol=1e-2)


@pytest.mark.parametrize("samples", [speech(), voice(0.1), noise(1.0, -20)])
def test_noise_is_lowered_as_noisereduce_does_it(samples):
    options = {"n_fft": 512, "hop_length": 256, "padding": 512, "prop_decrease": 0.5}
    expected = noisereduce.reduce_noise(samples, SAMPLE_RATE, **options)
    np.testing.assert_allclose(reduce_noise(samples), expected, atol=1e-6)


def test_noise_is_lowered_more_than_speech():
    samples = noise(2.0, -34)
    samples[:4000] += tone(500, 0.25)  # with it at both ends, there is nothing to trim
    samples[-4000:] += tone(500, 0.25)
    speech = clean_audio(samples)
    quiet, loud = slice(8000, 24000), slice(1000, 3000)

    def snr(samples):  # dB
        return 20 * np.log10(np.std(samples[loud]) / np.std(samples[quiet]))

    assert snr(speech) > snr(samples) + 1.5
