"""The signal chain: every step on signals whose answer is known."""

import librosa
import numpy as np
import pytest
import soundfile
from signals import tone, voice

import sentimental
from sentimental import (
    FRAME_LENGTH,
    HOP_LENGTH,
    MAX_FRAMES,
    MAX_SECONDS,
    N_FEATURES,
    N_MELS,
    N_MFCC,
    N_STORED,
    SAMPLE_RATE,
    SentimentalError,
)

LOUDEST = 10 ** (5 / 20)  # +5 dBFS
MARGIN = (sentimental.MARGIN_FRAMES + 2) * HOP_LENGTH / SAMPLE_RATE  # s kept beside the speech


def write(path, samples, sample_rate=SAMPLE_RATE, **options):
    soundfile.write(path, samples, sample_rate, **options)
    return path


@pytest.fixture
def no_gate(monkeypatch):
    """Leave noise reduction out, to see the exact samples of the steps before it."""
    monkeypatch.setattr("noisereduce.reduce_noise", lambda y, *args, **options: y)


# Decoding


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("pcm16.wav", {"subtype": "PCM_16"}),
        ("pcm24.wav", {"subtype": "PCM_24"}),
        ("float.wav", {"subtype": "FLOAT"}),
        ("sound.flac", {}),
        ("aiff_inside.wav", {"format": "AIFF"}),
    ],
)
def test_the_content_decides_not_the_extension(tmp_path, name, options):
    expected = voice()
    samples = sentimental.load_audio(write(tmp_path / name, expected, **options))
    assert samples.dtype == np.float32
    np.testing.assert_allclose(samples, expected, atol=1 / 32768)


@pytest.mark.parametrize("sample_rate", [8_000, 24_414, 48_000, 96_000])
def test_every_sample_rate_ends_on_one_time_axis(tmp_path, sample_rate):
    path = write(tmp_path / "a.wav", tone(440, 2.0, sample_rate=sample_rate), sample_rate)
    samples = sentimental.load_audio(path)
    assert abs(len(samples) - 2 * SAMPLE_RATE) <= 1
    spectrum = np.abs(np.fft.rfft(samples))
    assert np.fft.rfftfreq(len(samples), 1 / SAMPLE_RATE)[spectrum.argmax()] == pytest.approx(440)


def test_stereo_is_mixed(tmp_path):
    left, right = tone(440, 1.0), tone(1000, 1.0)
    samples = sentimental.load_audio(write(tmp_path / "a.wav", np.stack([left, right], axis=1)))
    np.testing.assert_allclose(samples, (left + right) / 2, atol=1e-4)


def test_what_libsndfile_does_not_know_goes_through_ffmpeg(tmp_path):
    pydub = pytest.importorskip("pydub")
    if not pydub.utils.which("ffmpeg"):
        pytest.skip("ffmpeg is not installed")
    wav = write(tmp_path / "a.wav", tone(440, 1.0))
    m4a = tmp_path / "a.m4a"
    pydub.AudioSegment.from_file(wav).export(m4a, format="ipod")
    samples = sentimental.load_audio(m4a)
    middle = samples[4000:-4000]
    assert np.sqrt(np.mean(middle**2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.05)


@pytest.mark.parametrize(
    ("content", "word"),
    [(b"", "empty"), (b"hello, this is no sound\n" * 50, "decoded")],
)
def test_a_file_that_is_no_sound_is_named_in_one_line(tmp_path, content, word):
    path = tmp_path / "broken.wav"
    path.write_bytes(content)
    with pytest.raises(SentimentalError, match=word) as caught:
        sentimental.load_audio(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_without_ffmpeg_the_message_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    path = tmp_path / "a.m4a"
    path.write_bytes(b"\0\0\0\x20ftypM4A " + bytes(500))
    with pytest.raises(SentimentalError, match="install ffmpeg"):
        sentimental.load_audio(path)


def test_a_missing_file_is_named():
    with pytest.raises(SentimentalError, match=r"nowhere\.wav: no such file"):
        sentimental.load_audio("nowhere.wav")


def test_samples_that_are_not_numbers_are_refused(tmp_path):
    samples = voice()
    samples[100] = np.nan
    with pytest.raises(SentimentalError, match="not numbers"):
        sentimental.load_audio(write(tmp_path / "a.wav", samples, subtype="FLOAT"))


# Level, trimming, length


@pytest.mark.parametrize("gain", [0.01, 0.1, 1.0, 3.0])
def test_the_peak_is_plus_5_dbfs_and_nothing_clips(no_gate, gain):
    speech = sentimental.clean(gain * voice())
    assert np.abs(speech).max() == pytest.approx(LOUDEST, rel=1e-5)
    assert (np.abs(speech) > 0.999 * LOUDEST).sum() < 10  # clipping would leave plateaus


def test_gain_and_offset_of_the_microphone_do_not_matter():
    samples = voice()
    expected = sentimental.extract_features(samples)
    louder = sentimental.extract_features(0.03 * samples + 0.01)
    np.testing.assert_allclose(louder, expected, atol=0.05)


def test_silence_is_cut_at_both_ends_and_only_there(no_gate):
    sound = tone(300, 0.5)
    gap = np.zeros(SAMPLE_RATE // 2, np.float32)
    speech = sentimental.clean(np.concatenate([gap, gap, sound, gap, sound, gap, gap, gap]))
    assert len(speech) / SAMPLE_RATE == pytest.approx(1.5 + 2 * MARGIN, abs=0.1)


@pytest.mark.parametrize("snr", [10, 15, 25])  # dB
def test_noise_before_and_after_the_speech_is_cut_too(no_gate, snr):
    gap = np.zeros(SAMPLE_RATE, np.float32)
    samples = np.concatenate([gap, tone(300, 0.5), 0.1 * tone(300, 0.2), tone(300, 0.5), gap])
    noise = np.random.default_rng(1).standard_normal(len(samples)).astype(np.float32)
    noise *= np.std(tone(300, 0.5)) * 10 ** (-snr / 20)
    speech = sentimental.clean(samples + noise)
    assert len(speech) / SAMPLE_RATE == pytest.approx(1.2 + 2 * MARGIN, abs=0.2)


def test_a_click_beside_the_speech_does_not_set_the_level_of_speech(no_gate):
    word, gap = tone(300, 0.5, amplitude=0.05), np.zeros(SAMPLE_RATE // 5, np.float32)
    click = tone(2000, 0.02, amplitude=0.9)
    speech = sentimental.clean(np.concatenate([gap, word, gap, word, gap, click, gap]))
    assert len(speech) / SAMPLE_RATE > 1.2


def test_of_a_long_recording_the_part_with_most_energy_counts(no_gate):
    loud = tone(400, 3.0, amplitude=0.5)
    samples = np.concatenate([tone(400, 9.0, amplitude=0.25), loud, tone(400, 2.0, amplitude=0.25)])
    speech = sentimental.clean(samples)
    assert len(speech) == int(MAX_SECONDS * SAMPLE_RATE)
    assert (np.abs(speech) > 0.9 * LOUDEST).any()
    power = np.mean(speech**2)  # 3 s loud, the rest at half of its amplitude
    share = 3.0 / MAX_SECONDS
    assert power == pytest.approx(LOUDEST**2 / 2 * (share + (1 - share) / 4), rel=0.02)


@pytest.mark.parametrize(
    "samples",
    [np.zeros(SAMPLE_RATE, np.float32), np.full(SAMPLE_RATE, 0.3, np.float32), tone(300, 1, 1e-5)],
)
def test_silence_is_refused(samples):
    with pytest.raises(SentimentalError, match="only silence"):
        sentimental.clean(samples)


@pytest.mark.parametrize("seconds", [0.3, 0.5])
def test_a_short_word_without_silence_around_is_enough(seconds):
    assert len(sentimental.clean(tone(300, seconds))) > 0.9 * seconds * SAMPLE_RATE


def test_a_click_is_too_short():
    gap = np.zeros(SAMPLE_RATE, np.float32)
    with pytest.raises(SentimentalError, match="s of sound"):
        sentimental.clean(np.concatenate([gap, tone(300, 0.1), gap]))
    with pytest.raises(SentimentalError, match="s of sound"):
        sentimental.clean(tone(300, 0.1))


def test_noise_is_lowered_more_than_speech():
    rng = np.random.default_rng(1)
    noise = 0.02 * rng.standard_normal(2 * SAMPLE_RATE).astype(np.float32)
    burst = np.zeros_like(noise)
    burst[:4000] = burst[-4000:] = tone(500, 0.25)  # nothing to trim
    speech = sentimental.clean(noise + burst)
    quiet, loud = slice(8000, 24000), slice(1000, 3000)

    def snr(samples):  # dB
        return 20 * np.log10(np.std(samples[loud]) / np.std(samples[quiet]))

    assert snr(speech) > snr(noise + burst) + 1.5


# Features


def features_of(frames):
    return sentimental.features_of([frames], len(frames))[0]


def test_frames_are_what_librosa_computes():
    speech = voice(1.3)
    frames = sentimental.extract_frames(speech)
    options = {"n_fft": FRAME_LENGTH, "hop_length": HOP_LENGTH, "n_mels": N_MELS}
    mfcc = librosa.feature.mfcc(y=speech, sr=SAMPLE_RATE, n_mfcc=N_MELS, **options)
    assert frames.shape == (1 + len(speech) // HOP_LENGTH, N_STORED)
    np.testing.assert_allclose(frames[:, :N_MELS], mfcc.T, atol=1e-2)
    mel = librosa.feature.melspectrogram(y=speech, sr=SAMPLE_RATE, **options)
    back = sentimental.to_mel(frames[:, :N_MELS])
    np.testing.assert_allclose(back, librosa.power_to_db(mel).T, atol=1e-2)


def test_the_network_reads_centred_mfcc_rms_and_zero_crossings(monkeypatch):
    monkeypatch.setattr(sentimental, "SPECTRUM_TOP_DB", 1000.0)
    frames = sentimental.extract_frames(voice(1.3))
    features = features_of(frames)
    expected = frames[:, :N_MFCC].copy()
    expected[:, 1:] -= expected[:, 1:].mean(axis=0)
    np.testing.assert_allclose(features[:, :N_MFCC], expected, atol=1e-2)
    np.testing.assert_allclose(features[:, N_MFCC : N_MFCC + 2], frames[:, N_MELS:], atol=1e-6)


def test_another_microphone_leaves_the_spectrum_of_speech_as_it_is():
    speech = voice(1.3)
    coloured = np.convolve(speech, [1, -0.5], mode="same").astype(np.float32)  # 9.5 dB brighter
    features, other = (features_of(sentimental.extract_frames(x)) for x in (speech, coloured))
    shift = np.abs(features[:, 1:N_MFCC] - other[:, 1:N_MFCC]).mean()
    assert shift < 0.2 * np.abs(features[:, 1:N_MFCC]).mean()


def test_what_is_far_below_the_loudest_band_does_not_matter():
    frames = sentimental.extract_frames(tone(1000, 1.0))
    mel = sentimental.to_mel(frames[:, :N_MELS])[None]
    others, lengths = frames[None, :, N_MELS:], np.array([len(frames)])
    hidden = mel.max() - sentimental.SPECTRUM_TOP_DB - 5
    quiet, noisy = (np.where(mel < hidden, x, mel) for x in (hidden - 30, hidden))

    def mfcc(mel):
        return sentimental.make_features(mel, others, lengths)[..., :N_MFCC]

    np.testing.assert_allclose(mfcc(noisy), mfcc(quiet), atol=1e-3)
    loud = np.where(mel < hidden, hidden + 15, mel)
    assert np.abs(mfcc(loud) - mfcc(quiet)).max() > 5


@pytest.mark.parametrize("pitch", [110, 220])
def test_zero_crossings_of_the_low_band_follow_the_pitch(pitch):
    harmonics = sum(tone(pitch * k, 1.0, amplitude=0.1 / k**2) for k in range(1, 20))
    rates = features_of(sentimental.extract_frames(harmonics))[5:-5, N_MFCC + 2]  # below 300 Hz
    assert 2**rates * SAMPLE_RATE / 2 == pytest.approx(pitch, rel=0.2)


@pytest.mark.parametrize("frequency", [200, 1000, 3000])
def test_zero_crossings_and_level_of_a_tone(frequency):
    frames = sentimental.extract_frames(tone(frequency, 1.0, amplitude=0.8))
    inner = frames[2:-2]
    assert inner[:, N_MELS + 1] == pytest.approx(2 * frequency / SAMPLE_RATE, rel=0.03)
    assert inner[:, N_MELS] == pytest.approx(0.8 / np.sqrt(2), rel=0.01)


def test_the_other_features_are_slopes():
    time = np.arange(40, dtype=np.float32)
    others = np.stack([3 * time, 0.5 * time**2], axis=1)[None]
    mel = np.zeros((1, 40, N_MELS), np.float32)
    features = sentimental.make_features(mel, others, np.array([40]))[0]
    assert features.shape == (40, N_FEATURES)
    inner = features[8:-8]
    rms, zcr, n_each = N_MFCC, N_MFCC + 1, N_FEATURES // 3
    np.testing.assert_allclose(inner[:, n_each + rms], 3, atol=1e-4)
    np.testing.assert_allclose(inner[:, n_each + zcr], time[8:-8], atol=1e-3)
    np.testing.assert_allclose(inner[:, 2 * n_each + zcr], 1, atol=1e-4)


def test_padding_never_gets_into_the_features():
    frames = [sentimental.extract_frames(voice(seconds)) for seconds in (0.8, 1.3)]
    together = sentimental.features_of(frames, 60)
    for batch, clip in zip(together, frames, strict=True):
        np.testing.assert_allclose(batch[: len(clip)], features_of(clip), atol=1e-3)
        assert not batch[len(clip) :].any()


def test_padding_is_zeros_after_the_speech_and_speech_is_never_zero():
    with_gap = np.concatenate([voice(0.5), np.zeros(8000, np.float32), voice(0.5)])
    batch = sentimental.extract_features(with_gap)
    assert batch.shape == (1, MAX_FRAMES, N_FEATURES)
    used = batch[0].any(axis=1)
    n_frames = used.sum()
    assert used[:n_frames].all()
    assert n_frames == pytest.approx(1.5 * SAMPLE_RATE / HOP_LENGTH, abs=3)


def test_the_longest_clip_fits_the_padding():
    batch = sentimental.extract_features(voice(MAX_SECONDS + 3))
    assert batch.shape == (1, MAX_FRAMES, N_FEATURES)
    assert batch[0, -1].any()


def test_silence_around_a_recording_does_not_matter():
    samples = voice(1.5)
    gap = np.zeros(10 * HOP_LENGTH, np.float32)
    some, more = [gap, samples, gap], [gap, gap, gap, samples, gap, gap, gap, gap]
    some, more = (sentimental.extract_features(np.concatenate(parts)) for parts in (some, more))
    np.testing.assert_allclose(some, more, atol=0.1)  # MFCC 0 is -127
