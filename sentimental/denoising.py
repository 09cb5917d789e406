"""Steady noise lowered by spectral gating, sample for sample as noisereduce does it [1]_.

noisereduce itself is not imported: with what it brings it takes a second to start, and then three
times as long. Tests hold this to it.

References
----------
.. [1] T. Sainburg, M. Thielk, T. Q. Gentner, "Finding, visualizing, and quantifying latent
   structure across diverse animal vocal repertoires", PLoS Comput. Biol. 16(10), 2020;
   https://github.com/timsainb/noisereduce
"""

import numpy as np

# s. Time constant of the mean over time that is taken for the noise.
NOISE_SECONDS = 2.0
# The mask opens where the magnitude is so many times the noise above it, this steeply.
THRESHOLD, SLOPE = 2, 10
# s and Hz over which the mask is smoothed.
MASK_SECONDS, MASK_HZ = 0.05, 500


def gate(samples, sample_rate, n_fft, hop_length, prop_decrease):
    """Lower what hardly rises above its own mean over time, frequency by frequency.

    Parameters
    ----------
    samples : np.ndarray [shape=(n,), float32]
    sample_rate : int, Hz
    n_fft, hop_length : int, samples; the first is a multiple of the second
    prop_decrease : float, share of the noise that is taken away

    Returns
    -------
    samples : np.ndarray [shape=(n,), float32]
    """
    window = np.hanning(n_fft + 1)[:-1].astype(np.float32)
    padding = n_fft + n_fft // 2
    padded = np.pad(samples, padding)
    frames = np.lib.stride_tricks.sliding_window_view(padded, n_fft)[::hop_length]
    spectrum = np.fft.rfft(frames * window, axis=1)
    magnitude = np.abs(spectrum)

    n_frames = NOISE_SECONDS * sample_rate / hop_length
    weight = (np.sqrt(1 + 4 * n_frames**2) - 1) / (2 * n_frames**2)
    noise = _moving_mean(_moving_mean(magnitude, weight)[::-1], weight)[::-1]
    mask = 1 / (1 + np.exp(-SLOPE * ((magnitude - noise) / noise - THRESHOLD)))
    widths = MASK_SECONDS * sample_rate / hop_length, MASK_HZ * n_fft / (2 * sample_rate)
    for width in map(int, widths):  # over time, then over frequency
        mask = _smooth(mask, width).T
    spectrum *= 1 - prop_decrease * (1 - mask)

    # Overlapping frames are added up, in parts of `hop_length`.
    parts = (np.fft.irfft(spectrum, axis=1) * window).reshape(len(frames), -1, hop_length)
    total = np.zeros((len(frames) + parts.shape[1] - 1, hop_length), np.float32)
    for number in range(parts.shape[1]):
        total[number : number + len(frames)] += parts[:, number]
    total /= (window**2).reshape(-1, hop_length).sum(axis=0)
    return total.ravel()[padding:][: len(samples)]


def _moving_mean(rows, weight):
    """The mean of each row and those before it, which count exponentially less."""
    means, mean = np.empty_like(rows), rows[0]
    for number, row in enumerate(rows):
        mean = means[number] = mean + weight * (row - mean)
    return means


def _smooth(rows, width):
    """Of each row the mean with `width` rows before and after it, which count linearly less."""
    padded, smooth = np.pad(rows, ((width, width), (0, 0))), np.zeros_like(rows)
    triangle = width + 1 - np.abs(np.arange(-width, width + 1, dtype=np.float32))
    for first, weight in enumerate(triangle / (width + 1) ** 2):
        smooth += weight * padded[first : first + len(rows)]
    return smooth
