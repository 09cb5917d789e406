"""Frames of samples and what is computed of each: spectrum, pitch, level, zero crossings.

All but the pitch are what librosa gives [1]_, and tests hold them to it. librosa itself is not
imported, because with its compiler (Numba) that takes a second and 180 MB, more than all the rest
of recognition; nor is SciPy, which takes longer to import than NumPy.

References
----------
.. [1] https://librosa.org/doc/latest/feature.html
"""

import functools

import numpy as np

# Hz. Everything is resampled to this rate first.
SAMPLE_RATE = 16_000
# Samples (64 ms) of a frame.
FRAME_LENGTH = 1024
# Samples (32 ms) from one frame to the next.
HOP_LENGTH = 512
# Bands of the mel spectrum.
N_MELS = 80
# Power below which a mel band counts as silent.
MIN_POWER = 1e-10
# dB below the loudest band and frame; what is less is raised to it.
TOP_DB = 80.0
# Hz between which the pitch of a voice is looked for.
PITCH_RANGE = (65, 650)
# Height of a peak of the autocorrelation, by which a pitch an octave lower must be better.
OCTAVE_COST = 0.03


def split_frames(samples, pad_mode="constant"):
    """Overlapping frames of n samples; a view [shape=(1 + n // HOP_LENGTH, FRAME_LENGTH)].

    The first is centered on the first sample; ends are padded as by `np.pad`.
    """
    padded = np.pad(samples, FRAME_LENGTH // 2, mode=pad_mode)
    return np.lib.stride_tricks.sliding_window_view(padded, FRAME_LENGTH)[::HOP_LENGTH]


def frame_rms(samples):
    """Root mean square of each frame; np.ndarray [shape=(n_frames,)]."""
    return np.sqrt(np.mean(split_frames(samples) ** 2, axis=1))


def frame_zcr(samples):
    """Share of zero crossings (0 to 1) in each frame; np.ndarray [shape=(n_frames,)]."""
    audible = np.where(np.abs(samples) > 1e-10, samples, 0)
    crossings = np.diff(split_frames(np.signbit(audible), "edge"), axis=1)
    return crossings.sum(axis=1) / FRAME_LENGTH


def power_spectrum(samples):
    """Power of each frequency in each frame; [shape=(n_frames, 1 + FRAME_LENGTH // 2), float32]."""
    spectrum = np.fft.rfft(split_frames(samples) * _window(), axis=1)
    return np.abs(spectrum).astype(np.float32, copy=False) ** 2  # NumPy 1 has float64


@functools.cache
def _window():
    """The periodic window of Hann."""
    return np.hanning(FRAME_LENGTH + 1)[:-1].astype(np.float32)


def mel_spectrum(power):
    """Power of each mel band in each frame, in dB; [shape=(n_frames, N_MELS), float32]."""
    mel = 10 * np.log10(np.maximum(power @ mel_filters().T, MIN_POWER))
    return np.maximum(mel, mel.max() - TOP_DB)


def frame_pitch(power):
    """Pitch and harmonicity: place and height of the autocorrelation's highest peak [1]_.

    The autocorrelation is divided by that of the window, so a tone has a peak of 1 at its period
    and at each multiple of it; ``OCTAVE_COST`` lets the shortest win. It is taken from the power
    spectrum without padding: the window is so close to zero at its ends that what wraps around
    is 1 % of it at most.

    Parameters
    ----------
    power : np.ndarray, as `power_spectrum` returns it

    Returns
    -------
    octaves : np.ndarray [shape=(n_frames,)], log2 of the pitch in Hz, also where there is no voice
    harmonicity : np.ndarray [shape=(n_frames,)], 0 (noise, silence) to 1 (a tone)

    References
    ----------
    .. [1] P. Boersma, "Accurate short-term analysis of the fundamental frequency and the
       harmonics-to-noise ratio of a sampled sound", IFA Proceedings 17, 1993
    """
    lowest, highest = PITCH_RANGE
    shortest, longest = SAMPLE_RATE // highest, SAMPLE_RATE // lowest
    audible = power.copy()
    audible[:, : round(lowest * FRAME_LENGTH / SAMPLE_RATE)] = 0  # hum
    wrapped, of_window = (
        np.fft.irfft(spectrum, axis=-1)[..., : longest + 2]
        for spectrum in (audible, np.abs(np.fft.rfft(_window())) ** 2)
    )
    total = np.maximum(wrapped[:, :1], MIN_POWER)
    curve = wrapped / total * (of_window[0] / of_window)
    lags = np.arange(shortest, longest + 1)
    heights = curve[:, shortest : longest + 1]
    is_peak = (heights >= curve[:, shortest - 1 : longest]) & (heights > curve[:, shortest + 1 :])
    score = np.where(is_peak, heights - OCTAVE_COST * np.log2(lags), -np.inf)
    lag = lags[score.argmax(axis=1)]
    frame = np.arange(len(curve))
    before, height, after = (curve[frame, lag + step] for step in (-1, 0, 1))
    height = np.where(is_peak.any(axis=1), height, 0)  # what only rises is hum
    # The top of a parabola through the three.
    bend = np.maximum(2 * curve[frame, lag] - before - after, 1e-9)
    period = lag + np.clip((after - before) / (2 * bend), -0.5, 0.5)
    return np.log2(SAMPLE_RATE / period), np.clip(height, 0, 1)


def _mel_edges():
    """Frequencies (N_MELS + 2, Hz) at which the mel bands begin, have their center and end.

    The scale is Slaney's [1]_: linear up to 1 kHz, 15 steps; then logarithmic, 27 steps for each
    factor of 6.4.

    References
    ----------
    .. [1] M. Slaney, "Auditory toolbox: a MATLAB toolbox for auditory modeling work", Technical
       Report 1998-010, Interval Research, 1998
    """
    highest = 15 + 27 * np.log(SAMPLE_RATE / 2 / 1000) / np.log(6.4)
    steps = np.linspace(0, highest, N_MELS + 2)
    return np.where(steps < 15, steps * 1000 / 15, 1000 * 6.4 ** ((steps - 15) / 27))


@functools.cache
def mel_filters():
    """Triangles of equal area in the spectrum; [shape=(N_MELS, 1 + FRAME_LENGTH // 2), float32]."""
    low, center, high = (_mel_edges()[i : i + N_MELS, None] for i in range(3))
    frequencies = np.fft.rfftfreq(FRAME_LENGTH, 1 / SAMPLE_RATE)
    rising, falling = (frequencies - low) / (center - low), (high - frequencies) / (high - center)
    triangles = np.maximum(np.minimum(rising, falling), 0)
    return (triangles * 2 / (high - low)).astype(np.float32)


@functools.cache
def mel_bands():
    """Center and width of the mel bands in Hz; two np.ndarray [shape=(N_MELS,), float32]."""
    edges = _mel_edges().astype(np.float32)
    return edges[1:-1], (edges[2:] - edges[:-2]) / 2


@functools.cache
def dct_matrix():
    """The DCT from mel bands to MFCC; mel @ matrix, and its transpose is the way back."""
    band, number = np.arange(N_MELS)[:, None] + 0.5, np.arange(N_MELS)
    matrix = np.sqrt(2 / N_MELS) * np.cos(np.pi * band * number / N_MELS)
    matrix[:, 0] /= np.sqrt(2)
    return matrix.astype(np.float32)


def mfcc_to_mel(mfcc):
    """The mel spectrum in dB that all MFCC tell; np.ndarray [shape=(..., N_MELS)] of the same."""
    return np.ascontiguousarray(mfcc) @ dct_matrix().T  # of a view NumPy would not use BLAS
