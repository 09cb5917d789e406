"""What training does to a recording, drawn anew for each clip and epoch.

All of it happens in the mel spectrum, where powers add: what is heard of two sounds at once is
nearly the sum of their powers. In the order of events:

    warp_time          speech is faster or slower, and unevenly so
    change_recording   another voice, microphone, telephone, room; noise or other voices
    add_jitter         a little noise on what the network reads of it
    mask_time          gaps in time
"""

import functools

import numpy as np

from sentimental.features import frame_features, mark_speech
from sentimental.spectrum import HOP_LENGTH, N_MELS, SAMPLE_RATE, mel_bands

# Hz. The octaves that a microphone colors.
OCTAVES = 62.5 * 2.0 ** np.arange(8)
# Factors of vocal tract length perturbation to draw from.
N_FACTORS = 33
# Natural logarithm of an octave.
LOG_2 = np.log(2)
# What a gap is filled with: zeros would be masked as padding.
ALMOST_ZERO = 1e-3


def augment(clips, lengths, settings, rng):
    """Features of a batch of clips as other speakers and recordings would give them.

    Parameters
    ----------
    clips : np.ndarray [shape=(n, n_frames, N_MELS + 4), float32]
        Mel spectrum, RMS, zero-crossing rate, pitch and harmonicity, as `extract_frames` has them
    lengths : np.ndarray of int [shape=(n,)], frames of each clip that are not padding
    settings : Augmentation
    rng : np.random.Generator

    Returns
    -------
    features : np.ndarray [shape=(n, crop_frames, N_FEATURES), float32], zeros after each clip
    lengths : np.ndarray of int [shape=(n,)]
    """
    clips, lengths = warp_time(clips, lengths, settings, rng)
    mel, others = np.ascontiguousarray(clips[..., :N_MELS]), clips[..., N_MELS:]
    mel, others = change_recording(mel, others, lengths, settings, rng)
    return frame_features(mel, others, lengths), lengths


def standardize(inputs, mean, std):
    """Standardized inputs; padding stays zero."""
    is_speech = inputs.any(axis=-1, keepdims=True)
    return np.where(is_speech, (inputs - np.float32(mean)) / np.float32(std), np.float32(0))


def add_jitter(inputs, settings, rng):
    """Add noise to standardized inputs, to some clips more than to others; padding stays zero."""
    strength = 2 * settings.jitter * rng.random((len(inputs), 1, 1), np.float32)
    noise = strength * rng.standard_normal(inputs.shape, np.float32)
    return inputs + noise * inputs.any(axis=-1, keepdims=True)


def warp_time(clips, lengths, settings, rng):
    """Cut the ends, and resample every clip on a time axis that runs otherwise, and unevenly.

    Parameters and results are as for `augment`; after its end, a clip's last frame is repeated.
    """
    n, crop_frames = len(clips), settings.crop_frames
    most = np.minimum(settings.end_frames, lengths // 8)
    first, last = rng.integers(0, most + 1), lengths - 1 - rng.integers(0, most + 1)
    speed = np.log1p(settings.stretch)
    stretched = np.round((last - first + 1) * np.exp(rng.uniform(-speed, speed, n)))
    new_lengths = np.clip(stretched, 2, crop_frames).astype(int)
    share = np.minimum(1, crop_frames / stretched)  # of a long clip, what is used of it
    start = rng.random(n) * (1 - share)  # and where that begins
    position = np.minimum(np.arange(crop_frames) / (new_lengths - 1)[:, None], 1)
    for waves in (1, 2):
        bend = rng.uniform(-settings.warp, settings.warp, (n, 1)) / 2
        position = position + bend * np.sin(waves * np.pi * position)
    position = np.clip(position, 0, 1) * share[:, None] + start[:, None]
    position = first[:, None] + position * (last - first)[:, None]
    before = np.minimum(position.astype(int), (lengths - 2)[:, None])
    weight = (position - before)[..., None].astype(np.float32)
    rows = np.arange(n)[:, None]
    return clips[rows, before] * (1 - weight) + clips[rows, before + 1] * weight, new_lengths


@functools.cache
def vtlp_matrices(vtlp):
    """Matrices for ``mel @ matrix``, the mel spectrum of a lower or a higher voice [1]_.

    Parameters
    ----------
    vtlp : float, frequencies move by a factor of up to e to this power

    Returns
    -------
    matrices : np.ndarray [shape=(N_FACTORS, N_MELS, N_MELS), float32]

    References
    ----------
    .. [1] N. Jaitly, G. E. Hinton, "Vocal Tract Length Perturbation (VTLP) improves speech
       recognition", ICML Workshop on Deep Learning for Audio, Speech and Language, 2013
    """
    centers, _ = mel_bands()
    factors = np.exp(np.linspace(-vtlp, vtlp, N_FACTORS))
    bands = np.interp(factors[:, None] * centers, centers, np.arange(N_MELS))
    return _linear_weights(bands, N_MELS).astype(np.float32)


def _linear_weights(positions, n):
    """By what n values must be multiplied for those between them; [shape=(..., n, n_between)]."""
    return np.maximum(0, 1 - np.abs(positions[..., None, :] - np.arange(n)[:, None]))


def draw_colors(n, octave_db, tilt_db, rng):
    """Random smooth curves over the mel bands; np.ndarray [shape=(n, 1, N_MELS), float32], dB."""
    centers, _ = mel_bands()
    octave = np.arange(len(OCTAVES))
    gains = rng.normal(0, octave_db, (n, len(OCTAVES)))
    gains += rng.uniform(*tilt_db, (n, 1)) * (octave - len(octave) / 2)
    positions = np.interp(np.log(centers), np.log(OCTAVES), octave)
    return (gains @ _linear_weights(positions, len(octave)))[:, None].astype(np.float32)


def apply_telephone(mel, settings, rng):
    """Lower what lies outside of a telephone's band; mel in dB."""
    centers, _ = mel_bands()
    low = rng.uniform(*settings.telephone_low, (len(mel), 1))
    high = rng.uniform(*settings.telephone_high, (len(mel), 1))
    octaves = np.log2(np.maximum(low / centers, 1)) + np.log2(np.maximum(centers / high, 1))
    return mel - (settings.telephone_slope_db * octaves)[:, None].astype(np.float32)


def apply_bass(mel, settings, rng):
    """Raise or lower what lies below a shelf that is half an octave wide; mel in dB."""
    centers, _ = mel_bands()
    gain = rng.uniform(*settings.bass_db, (len(mel), 1))
    octaves_below = np.log2(rng.uniform(*settings.bass_hz, (len(mel), 1)) / centers)
    return mel + (gain * np.clip(2 * octaves_below, 0, 1))[:, None].astype(np.float32)


def add_reverb(power, settings, rng):
    """Let the power of each frame die away as a room does, instead of ending."""
    n = len(power)
    decay = 10 ** (-6 * (HOP_LENGTH / SAMPLE_RATE) / rng.uniform(*settings.rt60, (n, 1)))
    strength = 10 ** (rng.uniform(*settings.reverb_db, (n, 1)) / 10) * (1 - decay)
    reverberated, tail = power.copy(), np.zeros_like(power[:, 0])
    for frame in range(1, power.shape[1]):
        tail = decay * tail + strength * power[:, frame - 1]
        reverberated[:, frame] += tail
    return reverberated


def draw_noise(n, n_frames, settings, rng):
    """Steady noise of random colors; np.ndarray [shape=(n, n_frames, N_MELS)], power."""
    color = 10 ** (draw_colors(n, settings.octave_db, settings.noise_tilt_db, rng) / 10)
    fluctuation = rng.standard_gamma(4, (n, n_frames, N_MELS), np.float32) / 4
    return color * fluctuation


def draw_babble(n, power, lengths, settings, rng):
    """Several clips of the batch at once, each at a random moment of it; as `draw_noise`."""
    _, widths = mel_bands()
    babble = np.zeros((n, *power.shape[1:]), np.float32)
    n_voices = rng.integers(*settings.babble_voices, n, endpoint=True)
    for voice in range(settings.babble_voices[1]):
        other = rng.integers(0, len(power), n)
        frame = np.arange(power.shape[1]) + rng.integers(0, power.shape[1], (n, 1))
        heard = power[other[:, None], frame % lengths[other, None]]
        heard /= np.maximum((heard @ widths).sum(axis=1), 1e-9)[:, None, None]  # all as loud
        babble += heard * (voice < n_voices)[:, None, None]
    return babble


def change_recording(mel, others, lengths, settings, rng):
    """Clips as other speakers, microphones and rooms would have made them, in noise or babble.

    Parameters and results are as for `augment`: `mel` [shape=(n, n_frames, N_MELS), float32] in dB,
    `others` [shape=(n, n_frames, 4), float32] the rest.

    References
    ----------
    .. [1] S. O. Rice, "Mathematical analysis of random noise", Bell System Technical Journal 24,
       1945: squares of zero-crossing rates add, weighted by power
    """
    n, n_frames, _ = mel.shape
    centers, widths = mel_bands()
    crossings = widths * (2 * centers / SAMPLE_RATE) ** 2  # power @ crossings = level * ZCR^2
    is_speech = mark_speech(lengths, n_frames)[..., None]
    before = 10 ** (mel / 10) * is_speech
    level_before = np.maximum(before @ widths, 1e-10)

    factor = rng.integers(0, N_FACTORS, n)
    mel = mel @ vtlp_matrices(settings.vtlp)[factor]
    mel = mel + draw_colors(n, settings.octave_db, (-settings.tilt_db, settings.tilt_db), rng)
    loudest = np.where(is_speech, mel, -np.inf).max(axis=(1, 2), keepdims=True)
    contrast = np.exp(rng.uniform(-settings.contrast, settings.contrast, (n, 1, 1)))
    mel = loudest + contrast.astype(np.float32) * (mel - loudest)
    bassy = rng.random(n) < settings.bass_prob
    mel[bassy] = apply_bass(mel[bassy], settings, rng)
    called = rng.random(n) < settings.telephone_prob
    mel[called] = apply_telephone(mel[called], settings, rng)
    speech = 10 ** (mel / 10) * is_speech
    direct_level = speech @ widths
    in_room = rng.random(n) < settings.reverb_prob
    speech[in_room] = add_reverb(speech[in_room], settings, rng) * is_speech[in_room]

    kind = rng.random(n)
    noisy, among_others = kind < settings.noise_prob, kind > 1 - settings.babble_prob
    noise = np.zeros_like(speech)
    noise[noisy] = draw_noise(noisy.sum(), n_frames, settings, rng)
    noise[among_others] = draw_babble(among_others.sum(), speech, lengths, settings, rng)
    noise *= is_speech
    speech_level = speech @ widths
    ratio = 10 ** (-rng.uniform(*settings.snr_db, n) / 10) * speech_level.sum(axis=1)
    noise *= (ratio / np.maximum((noise @ widths).sum(axis=1), 1e-12))[:, None, None]
    power = speech + noise
    level = power @ widths
    rms, zcr, octaves, harmonicity = np.moveaxis(others, -1, 0)
    octaves = octaves - np.linspace(-settings.vtlp, settings.vtlp, N_FACTORS)[factor, None] / LOG_2
    # The autocorrelation of echo and noise has no peak where that of the voice has its own.
    harmonicity = harmonicity * direct_level / np.maximum(level, 1e-10)
    # The square of RMS gains as much power as the mel spectrum, whose scale is another.
    scale = (rms**2 * is_speech[..., 0]).sum(axis=1) / level_before.sum(axis=1)
    rms = np.sqrt(rms**2 * speech_level / level_before + scale[:, None] * (noise @ widths))
    speech_crossings = zcr**2 * level_before
    speech_crossings *= (speech @ crossings) / np.maximum(before @ crossings, 1e-12)
    zcr = np.sqrt((speech_crossings + noise @ crossings) / np.maximum(level, 1e-10))
    # The chain levels the peak after all that.
    gain = 10 * np.log10(level_before.max(axis=1) / level.max(axis=1))
    gain = (gain + rng.normal(0, settings.gain_db, n))[:, None]
    mel = 10 * np.log10(np.maximum(power, 1e-10)) + gain[..., None]
    others = np.stack([rms * 10 ** (gain / 20), np.minimum(zcr, 1), octaves, harmonicity], axis=-1)
    return mel.astype(np.float32), others.astype(np.float32)


def mask_time(inputs, lengths, settings, rng):
    """Replace a few gaps in time of standardized inputs by the mean, which is zero [1]_.

    References
    ----------
    .. [1] D. S. Park et al., "SpecAugment: A Simple Data Augmentation Method for Automatic Speech
       Recognition", Interspeech 2019
    """
    n, n_frames, _ = inputs.shape
    frame = np.arange(n_frames)
    for _ in range(settings.n_time_masks):
        width = rng.integers(0, settings.time_mask_frames + 1, n)
        start = (rng.random(n) * np.maximum(lengths - width, 1)).astype(int)
        masked = (frame >= start[:, None]) & (frame < np.minimum(start + width, lengths)[:, None])
        inputs = np.where(masked[..., None], np.float32(ALMOST_ZERO), inputs)
    return inputs
