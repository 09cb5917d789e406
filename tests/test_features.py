"""From speech to what the network reads, on signals whose answer is known; the features file."""

import json

import librosa
import numpy as np
import pytest
from signals import tone, voice

from sentimental import features
from sentimental.audio import MAX_SECONDS, clean_audio
from sentimental.base import SentimentalError
from sentimental.features import (
    MAX_FRAMES,
    N_INPUTS,
    N_MFCC,
    N_STORED,
    SPECTRUM_TOP_DB,
    compute_inputs,
    extract_frames,
    frames_to_inputs,
    load_features,
    save_features,
)
from sentimental.spectrum import FRAME_LENGTH, HOP_LENGTH, N_MELS, SAMPLE_RATE, mfcc_to_mel


def inputs_of(frames):
    """What the network reads of one recording, without padding."""
    return frames_to_inputs([frames], len(frames))[0]


def inputs_of_samples(samples):
    return inputs_of(extract_frames(clean_audio(samples)))


def test_frames_are_what_librosa_computes():
    speech = voice(1.3)
    frames = extract_frames(speech)
    options = {"n_fft": FRAME_LENGTH, "hop_length": HOP_LENGTH, "n_mels": N_MELS}
    mfcc = librosa.feature.mfcc(y=speech, sr=SAMPLE_RATE, n_mfcc=N_MELS, **options)
    assert frames.shape == (1 + len(speech) // HOP_LENGTH, N_STORED)
    np.testing.assert_allclose(frames[:, :N_MELS], mfcc.T, atol=1e-2)
    mel = librosa.feature.melspectrogram(y=speech, sr=SAMPLE_RATE, **options)
    back = mfcc_to_mel(frames[:, :N_MELS])
    np.testing.assert_allclose(back, librosa.power_to_db(mel).T, atol=1e-2)


def test_the_network_reads_centered_mfcc_rms_and_zero_crossings(monkeypatch):
    monkeypatch.setattr(features, "SPECTRUM_TOP_DB", 1000.0)
    frames = extract_frames(voice(1.3))
    inputs = inputs_of(frames)
    expected = frames[:, :N_MFCC].copy()
    expected[:, 1:] -= expected[:, 1:].mean(axis=0)
    np.testing.assert_allclose(inputs[:, :N_MFCC], expected, atol=1e-2)
    np.testing.assert_allclose(inputs[:, N_MFCC : N_MFCC + 2], frames[:, N_MELS:], atol=1e-6)


def test_another_microphone_leaves_the_spectrum_of_speech_as_it_is():
    speech = voice(1.3)
    colored = np.convolve(speech, [1, -0.5], mode="same").astype(np.float32)  # 9.5 dB brighter
    inputs, others = (inputs_of(extract_frames(x))[:, 1:N_MFCC] for x in (speech, colored))
    assert np.abs(inputs - others).mean() < 0.2 * np.abs(inputs).mean()


def test_what_is_far_below_the_loudest_band_does_not_matter():
    frames = extract_frames(tone(1000, 1.0))
    mel = mfcc_to_mel(frames[:, :N_MELS])[None]
    rms_zcr, lengths = frames[None, :, N_MELS:], np.array([len(frames)])
    hidden = mel.max() - SPECTRUM_TOP_DB - 5
    quiet, noisy = (np.where(mel < hidden, x, mel) for x in (hidden - 30, hidden))

    def mfcc(mel):
        return compute_inputs(mel, rms_zcr, lengths)[..., :N_MFCC]

    np.testing.assert_allclose(mfcc(noisy), mfcc(quiet), atol=1e-3)
    loud = np.where(mel < hidden, hidden + 15, mel)
    assert np.abs(mfcc(loud) - mfcc(quiet)).max() > 5


@pytest.mark.parametrize("pitch", [110, 220])
def test_zero_crossings_of_the_low_band_follow_the_pitch(pitch):
    harmonics = sum(tone(pitch * k, 1.0, amplitude=0.1 / k**2) for k in range(1, 20))
    rates = inputs_of(extract_frames(harmonics))[5:-5, N_MFCC + 2]  # below 300 Hz
    assert 2**rates * SAMPLE_RATE / 2 == pytest.approx(pitch, rel=0.2)


@pytest.mark.parametrize("frequency", [200, 1000, 3000])
def test_zero_crossings_and_level_of_a_tone(frequency):
    frames = extract_frames(tone(frequency, 1.0, amplitude=0.8))
    inner = frames[2:-2]
    assert inner[:, N_MELS + 1] == pytest.approx(2 * frequency / SAMPLE_RATE, rel=0.03)
    assert inner[:, N_MELS] == pytest.approx(0.8 / np.sqrt(2), rel=0.01)


def test_the_other_inputs_are_slopes():
    time = np.arange(40, dtype=np.float32)
    rms_zcr = np.stack([3 * time, 0.5 * time**2], axis=1)[None]
    mel = np.zeros((1, 40, N_MELS), np.float32)
    inputs = compute_inputs(mel, rms_zcr, np.array([40]))[0]
    assert inputs.shape == (40, N_INPUTS)
    inner = inputs[8:-8]
    rms, zcr, n_each = N_MFCC, N_MFCC + 1, N_INPUTS // 3
    np.testing.assert_allclose(inner[:, n_each + rms], 3, atol=1e-4)
    np.testing.assert_allclose(inner[:, n_each + zcr], time[8:-8], atol=1e-3)
    np.testing.assert_allclose(inner[:, 2 * n_each + zcr], 1, atol=1e-4)


def test_padding_never_gets_into_the_inputs():
    frames = [extract_frames(voice(seconds)) for seconds in (0.8, 1.3)]
    together = frames_to_inputs(frames, 60)
    for batch, clip in zip(together, frames, strict=True):
        np.testing.assert_allclose(batch[: len(clip)], inputs_of(clip), atol=1e-3)
        assert not batch[len(clip) :].any()


def test_padding_is_zeros_after_the_speech_and_speech_is_never_zero():
    with_gap = np.concatenate([voice(0.5), np.zeros(8000, np.float32), voice(0.5)])
    batch = frames_to_inputs([extract_frames(clean_audio(with_gap))])
    assert batch.shape == (1, MAX_FRAMES, N_INPUTS)
    used = batch[0].any(axis=1)
    n_frames = used.sum()
    assert used[:n_frames].all()
    assert n_frames == pytest.approx(1.5 * SAMPLE_RATE / HOP_LENGTH, abs=3)


def test_the_longest_clip_fits_the_padding():
    batch = frames_to_inputs([extract_frames(clean_audio(voice(MAX_SECONDS + 3)))])
    assert batch.shape == (1, MAX_FRAMES, N_INPUTS)
    assert batch[0, -1].any()


def test_silence_around_a_recording_does_not_matter():
    samples = voice(1.5)
    gap = np.zeros(10 * HOP_LENGTH, np.float32)
    some, more = [gap, samples, gap], [gap, gap, gap, samples, gap, gap, gap, gap]
    some, more = (inputs_of_samples(np.concatenate(parts)) for parts in (some, more))
    np.testing.assert_allclose(some, more, atol=0.1)  # MFCC 0 is -127


def test_gain_and_offset_of_the_microphone_do_not_matter():
    samples = voice()
    expected = inputs_of_samples(samples)
    np.testing.assert_allclose(inputs_of_samples(0.03 * samples + 0.01), expected, atol=0.05)


# The features file


def recording(**changes):
    return {
        "file": "a.wav",
        "hash": "0",
        "corpus": "TESS",
        "speaker": "OAF",
        "emotion": "sad",
        "condition": "",
        "frames": np.arange(5 * N_STORED, dtype=np.float32).reshape(5, N_STORED) / 7,
        **changes,
    }


def test_what_is_saved_is_loaded_bit_by_bit(tmp_path):
    path = tmp_path / "features.json"
    save_features(path, [recording(), recording(file="b.wav", speaker="YAF")])
    first, second = load_features(path)
    assert (first["file"], second["file"], second["speaker"]) == ("a.wav", "b.wav", "YAF")
    assert first["frames"].dtype == np.float32
    np.testing.assert_array_equal(first["frames"], recording()["frames"])


def test_features_made_with_other_constants_are_refused(tmp_path):
    path = tmp_path / "features.json"
    save_features(path, [recording()])
    content = json.loads(path.read_text())
    content["chain"]["max_top_db"] = 60
    path.write_text(json.dumps(content))
    with pytest.raises(SentimentalError, match="max_top_db 60 instead of 30"):
        load_features(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"emotion": "bored"},
        {"frames": np.full((5, N_STORED), np.nan, np.float32)},
        {"frames": np.ones(7, np.float32)},
        {"frames": "no array"},
        {"frames": np.ones((5, 19), np.float32)},
        {"condition": 3},
        {"file": None},
    ],
)
def test_a_damaged_features_file_is_refused(tmp_path, changes):
    path = tmp_path / "features.json"
    save_features(path, [recording(**changes)])
    with pytest.raises(SentimentalError, match="not a features file"):
        load_features(path)


def test_a_features_file_cannot_run_code(tmp_path):
    path = tmp_path / "features.json"
    save_features(path, [recording()])
    content = json.loads(path.read_text())
    content["recordings"][0]["emotion"] = {
        "__instance_type__": ["pathlib", "PurePosixPath"],
        "attributes": {},
    }
    path.write_text(json.dumps(content))
    with pytest.raises(SentimentalError, match="not a features file"):
        load_features(path)


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"recordings": 3}', '{"recordings": [], "chain": []}']
)
def test_what_is_no_features_file_is_one_clear_line(tmp_path, content):
    path = tmp_path / "features.json"
    path.write_text(content)
    with pytest.raises(SentimentalError, match=r"preprocess\.py") as caught:
        load_features(path)
    assert "\n" not in str(caught.value)
