"""Augmentation: what each part of it does physically, on spectra whose answer is known."""

import dataclasses

import numpy as np
import pytest

from sentimental.features import N_FEATURES, N_INPUTS, N_STORED, VOICED, frame_features
from sentimental.spectrum import HOP_LENGTH, N_MELS, SAMPLE_RATE, mel_bands
from sentimental.training import augment
from sentimental.training.augment import ALMOST_ZERO, change_recording, vtlp_matrices
from sentimental.training.settings import Augmentation

# Places of what is told beside the mel spectrum.
RMS, ZCR, PITCH, HARMONICITY = range(4)
# Nothing of it is switched on.
OFF = ("stretch", "warp", "vtlp", "octave_db", "tilt_db", "contrast", "gain_db", "jitter")
OFF += ("telephone_prob", "bass_prob", "reverb_prob", "noise_prob", "babble_prob")
NOTHING = Augmentation(end_frames=0, n_time_masks=0, **dict.fromkeys(OFF, 0.0))


def only(**settings):
    """Nothing but what these settings switch on."""
    return dataclasses.replace(NOTHING, **settings)


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.fixture
def batch():
    lengths = np.array([20, 33, 40])
    clips = np.zeros((3, 40, N_STORED), np.float32)
    draw = rng(3)
    for clip, length in zip(clips, lengths, strict=True):
        clip[:length, :N_MELS] = draw.normal(0, 10, (length, N_MELS))  # dB
        clip[:length, N_MELS:] = draw.uniform(0.1, 0.5, (length, 4))
        clip[:length, N_MELS + PITCH :] = draw.uniform([7, VOICED], [8, 1], (length, 2))
    return clips, lengths


def change(mel, others, lengths=None, **settings):
    """Mel spectrum and the rest, where nothing happens but what the settings switch on."""
    lengths = np.full(len(mel), mel.shape[1]) if lengths is None else lengths
    return change_recording(mel, others, lengths, only(**settings), rng())


def features_of(batch, settings=NOTHING, seed=0):
    return augment.augment(*batch, settings, rng(seed))


def test_augmented_clips_are_padded_with_zeros_and_nowhere_else(batch):
    settings = Augmentation()
    features, lengths = features_of(batch, settings)
    assert features.dtype == np.float32
    assert features.shape == (3, settings.crop_frames, N_FEATURES)
    assert np.isfinite(features).all()
    for used, length, old in zip(features.any(axis=-1), lengths, batch[1], strict=True):
        assert used[:length].all()
        assert not used[length:].any()
        assert 0.75 * old / (1 + settings.stretch) - 1 <= length
        assert length <= old * (1 + settings.stretch) + 1


def test_without_augmentation_the_features_are_those_of_prediction(batch):
    clips, lengths = batch
    features, new_lengths = features_of(batch)
    expected = frame_features(clips[..., :N_MELS], clips[..., N_MELS:], lengths)
    assert list(new_lengths) == list(lengths)
    np.testing.assert_allclose(features[:, :40], expected, atol=1e-3)

    dirty = clips.copy()  # the padding is never read
    for clip, length in zip(dirty, lengths, strict=True):
        clip[length:] = 50
    first, second = (features_of((x, lengths), Augmentation(), seed=5)[0] for x in (clips, dirty))
    np.testing.assert_array_equal(first, second)


def test_standardized_inputs_have_mean_zero_and_jitter_leaves_padding_alone():
    inputs = rng().normal(5, 3, (40, 50, N_INPUTS)).astype(np.float32)
    inputs[:, 30:] = 0
    standardized = augment.standardize(inputs, np.full(N_INPUTS, 5.0), np.full(N_INPUTS, 3.0))
    np.testing.assert_allclose(standardized[:, :30], (inputs[:, :30] - 5) / 3, atol=1e-5)
    jitter = augment.add_jitter(standardized, only(jitter=0.1), rng()) - standardized
    assert not standardized[:, 30:].any()
    assert not jitter[:, 30:].any()
    strengths = jitter[:, :30].std(axis=(1, 2))
    assert strengths.mean() == pytest.approx(0.1, rel=0.2)
    assert (strengths.min(), strengths.max()) == pytest.approx((0, 0.2), abs=0.03)


def test_warping_time_keeps_first_and_last_frame(batch):
    clips, lengths = batch
    warped, new_lengths = augment.warp_time(clips, lengths, Augmentation(end_frames=0), rng(1))
    np.testing.assert_allclose(warped[:, 0], clips[:, 0], atol=1e-3)
    last, new_last = clips[range(3), lengths - 1], warped[range(3), new_lengths - 1]
    np.testing.assert_allclose(new_last, last, atol=1e-2)


def test_of_a_long_clip_a_part_is_drawn_and_of_a_short_one_all():
    clips = np.tile(np.arange(150.0)[None, :, None], (2, 1, 3))
    firsts = set()
    draw = rng()
    for _ in range(50):
        drawn, lengths = augment.warp_time(clips, np.array([20, 150]), NOTHING, draw)
        assert list(lengths) == [20, NOTHING.crop_frames]
        np.testing.assert_allclose(drawn[0, :20, 0], np.arange(20), atol=1e-3)
        first, last = drawn[1, [0, -1], 0]
        assert last - first == pytest.approx(NOTHING.crop_frames, abs=1)
        assert last < 149.5
        firsts.add(round(first))
    assert len(firsts) > 10


def test_a_higher_voice_has_its_formants_higher():
    centers, _ = mel_bands()
    formant = np.exp(-0.5 * ((centers - 1500) / 250) ** 2)
    matrices = vtlp_matrices(Augmentation().vtlp)
    peaks = sorted(centers[(formant @ matrix).argmax()] for matrix in matrices)
    limit = np.exp(Augmentation().vtlp)
    some = [peaks[0], peaks[len(peaks) // 2], peaks[-1]]
    assert some == pytest.approx([1500 / limit, 1500, 1500 * limit], rel=0.04)


def mel_power(mel):
    _, widths = mel_bands()
    return 10 ** (mel / 10) @ widths


def test_babble_goes_on_when_a_voice_in_it_ends():
    power = np.zeros((2, 80, N_MELS), np.float32)
    lengths = np.array([20, 30])
    for clip, length in zip(power, lengths, strict=True):
        clip[:length] = 1.0  # then padding
    babble = augment.draw_babble(50, power, lengths, Augmentation(), rng())
    assert babble.min() > 0
    np.testing.assert_allclose(babble, babble[:, :1, :1] * np.ones_like(babble), rtol=1e-4)


def test_noise_is_heard_in_a_silent_frame_and_measured_against_the_speech():
    mel = np.zeros((1, 80, N_MELS), np.float32)
    mel[:, 0] = -60.0
    others = np.full((1, 80, 4), 0.3, np.float32)
    others[:, 0, RMS] = 0.0
    lengths = np.array([20])  # all but 20 frames are padding
    changed, others = change(mel, others, lengths, noise_prob=1.0, snr_db=(10.0, 10.0))
    level = mel_power(changed[0, :20])
    for power in (level, others[0, :20, RMS] ** 2):
        # Noise alone is heard in the first frame, the speech as well in the 19 others.
        assert power[0] / power[1:].mean() == pytest.approx(0.1 * 0.95 / (1 + 0.1 * 0.95), rel=0.3)


def test_louder_and_softer_get_farther_apart_in_spectrum_and_rms():
    mel = np.zeros((40, 10, N_MELS), np.float32)
    mel[:, 5:] = -20.0
    others = np.full((40, 10, 4), 0.5, np.float32)
    others[:, 5:, RMS] = 0.05
    changed, others = change(mel, others, contrast=0.3)
    distance = changed[:, 0, 0] - changed[:, 9, 0]
    assert 20 * np.exp(-0.3) <= distance.min() < 17
    assert 24 < distance.max() <= 20 * np.exp(0.3)
    ratio = others[:, 0, RMS] / others[:, 9, RMS]
    np.testing.assert_allclose(20 * np.log10(ratio), distance, rtol=1e-3)
    np.testing.assert_allclose(others[..., ZCR:], 0.5, rtol=1e-3)  # of all bands alike


def test_pitch_and_zero_crossings_follow_the_formants_of_a_higher_voice():
    centers, _ = mel_bands()
    mel = np.zeros((100, 10, N_MELS), np.float32)
    mel += 60 * np.exp(-0.5 * ((centers - 1500) / 250) ** 2)
    others = np.full((100, 10, 4), 0.2, np.float32)
    others[..., PITCH] = 7.0
    mel, others = change(mel, others, vtlp=Augmentation().vtlp)
    factors = centers[mel[:, 0].argmax(axis=-1)] / 1500
    assert factors.min() < 0.9 < 1.1 < factors.max()
    np.testing.assert_allclose(2 ** (others[:, 0, PITCH] - 7), factors, rtol=0.03)
    np.testing.assert_allclose(others[:, 0, ZCR] / 0.2, factors, rtol=0.04)


@pytest.mark.parametrize("prob", ["noise_prob", "babble_prob"])
@pytest.mark.parametrize("snr", [40.0, 10.0, 0.0])
def test_what_is_added_is_so_far_below_the_speech_and_harmonicity_falls(prob, snr, batch):
    clips = batch[0][2:]  # one without padding: the only voice in the babble
    mel, others = clips[..., :N_MELS], clips[..., N_MELS:]
    changed, told = change(mel, others, **{prob: 1.0}, snr_db=(snr, snr))
    # The peak is where it was; RMS and spectrum get louder alike, and the valleys are filled.
    assert mel_power(changed).max() == pytest.approx(mel_power(mel).max(), rel=1e-3)
    louder = (told[..., RMS] ** 2).sum() / (others[..., RMS] ** 2).sum()
    assert mel_power(changed).sum() / mel_power(mel).sum() == pytest.approx(louder, rel=1e-3)
    assert changed.min() > mel.min() + (5 if snr <= 10 else -1)
    gain = louder / (1 + 10 ** (-snr / 10))
    share = mel_power(mel) / mel_power(changed) * gain
    np.testing.assert_allclose(told[..., HARMONICITY], others[..., HARMONICITY] * share, rtol=1e-3)
    mean = (told[..., HARMONICITY] / others[..., HARMONICITY]).mean()
    assert mean == pytest.approx(1 / (1 + 10 ** (-snr / 10)), abs=0.1)
    np.testing.assert_array_equal(told[..., PITCH], others[..., PITCH])


def test_an_echo_has_no_harmonicity():
    mel = np.full((1, 40, N_MELS), -60.0, np.float32)
    mel[:, :20] = 0.0
    others = np.full((1, 40, 4), 0.8, np.float32)
    _, told = change(mel, others, reverb_prob=1.0, rt60=(0.3, 0.3), reverb_db=(0.0, 0.0))
    assert told[0, 0, HARMONICITY] == pytest.approx(0.8)  # nothing was said before
    assert told[0, 19, HARMONICITY] == pytest.approx(0.4, rel=0.01)  # an echo as loud as the voice
    assert told[0, 20:25, HARMONICITY].max() < 0.01  # hardly a voice but an echo


def test_zero_crossings_of_two_sounds_lie_between_those_of_each(batch):
    mel, others, lengths = batch[0][..., :N_MELS], batch[0][..., N_MELS:].copy(), batch[1]
    others[..., ZCR] = 0.1
    white = 1 / np.sqrt(3)  # of white noise: the root mean square of 0 to 1
    means = []
    for snr in (60.0, 0.0, -60.0):
        settings = {"noise_prob": 1.0, "noise_tilt_db": (0.0, 0.0), "snr_db": (snr, snr)}
        _, changed = change(mel, others, lengths, **settings)
        means.append(changed[2, :, ZCR].mean())
    assert means[0] == pytest.approx(0.1, rel=0.01)
    assert 0.2 < means[1] < 0.5
    assert means[2] == pytest.approx(white, rel=0.05)


def test_reverberation_dies_away_in_its_time():
    power = np.zeros((1, 60, N_MELS), np.float32)
    power[:, 5] = 1.0
    settings = only(rt60=(0.3, 0.3), reverb_db=(0.0, 0.0))
    echoed = augment.add_reverb(power, settings, rng())[0, :, 0]
    assert not echoed[:5].any()
    assert echoed[5] == 1.0
    assert echoed[6:].sum() == pytest.approx(1, rel=1e-3)  # as strong as the direct sound
    frames = 0.3 * SAMPLE_RATE / HOP_LENGTH
    assert 10 * np.log10(echoed[6] / echoed[16]) == pytest.approx(60 * 10 / frames, rel=1e-3)


def test_bass_is_raised_or_lowered_and_nothing_else():
    mel = augment.apply_bass(np.zeros((50, 1, N_MELS)), Augmentation(), rng())[:, 0]
    centers, _ = mel_bands()
    assert not mel[:, centers > 300].any()
    shelf = mel[:, centers < 100]
    np.testing.assert_allclose(shelf, shelf[:, :1].repeat(shelf.shape[1], 1), rtol=1e-5)
    assert (np.abs(shelf) <= 10).all()
    assert shelf.max() > 8
    assert shelf.min() < -8
    np.testing.assert_array_equal(np.sort(np.abs(mel), axis=1)[:, ::-1], np.abs(mel))


@pytest.mark.parametrize("name", [name for name in OFF if name.endswith("_prob")])
def test_each_change_comes_as_often_as_its_setting_says(name):
    clips = rng(1).uniform(
        [-20] * N_MELS + [0.1] * 4, [0] * N_MELS + [0.5] * 4, (200, 20, N_STORED)
    )
    mel, others = np.split(clips.astype(np.float32), [N_MELS], axis=2)
    (same, _), (changed, _) = change(mel, others), change(mel, others, **{name: 0.5})
    is_changed = np.abs(changed - same).max(axis=(1, 2)) > 0.1
    assert is_changed.mean() == pytest.approx(0.5, abs=0.1)


def test_a_telephone_lets_the_middle_pass():
    centers, _ = mel_bands()
    mel = augment.apply_telephone(np.zeros((5, 1, N_MELS)), Augmentation(), rng())[:, 0]
    assert not mel[:, (centers > 400) & (centers < 3000)].any()
    assert (mel[:, centers < 75] <= -24).all()
    assert (mel[:, centers > 7000] < -14).all()


def test_gaps_are_within_the_speech_and_are_not_taken_for_padding():
    inputs = np.ones((4, 50, N_INPUTS), np.float32)
    lengths = np.array([50, 40, 30, 20])
    for row, length in zip(inputs, lengths, strict=True):
        row[length:] = 0
    masked = augment.mask_time(inputs, lengths, Augmentation(), rng())
    assert 0 < (masked == ALMOST_ZERO).all(axis=-1).sum() < 60
    np.testing.assert_array_equal(masked.any(axis=-1), inputs.any(axis=-1))
