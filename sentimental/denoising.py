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

    n_noise = NOISE_SECONDS * sample_rate / hop_length
    weight = (np.sqrt(1 + 4 * n_noise**2) - 1) / (2 * n_noise**2)
    noise = _mean_over_time(magnitude, weight)
    mask = 1 / (1 + np.exp(-SLOPE * ((magnitude - noise) / noise - THRESHOLD)))
    n_frames, n_bins = mask.shape
    over_time = _triangles(n_frames, int(MASK_SECONDS * sample_rate / hop_length))
    mask = over_time @ mask @ _triangles(n_bins, int(MASK_HZ * n_fft / (2 * sample_rate)))
    spectrum *= 1 - prop_decrease * (1 - mask)

    # Overlapping frames are added up, in parts of `hop_length`.
    parts = (np.fft.irfft(spectrum, axis=1) * window).reshape(len(frames), -1, hop_length)
    total = np.zeros((len(frames) + parts.shape[1] - 1, hop_length), np.float32)
    for number in range(parts.shape[1]):
        total[number : number + len(frames)] += parts[:, number]
    total /= (window**2).reshape(-1, hop_length).sum(axis=0)
    return total.ravel()[padding:][: len(samples)]


def _mean_over_time(magnitude, weight):
    """Of each frame the mean with those before it, which count exponentially less; then backwards.

    As a matrix, because a loop over the frames takes four times as long.
    """
    n = len(magnitude)
    decay = (1 - weight) ** np.arange(n)
    weights = np.concatenate([np.zeros(n - 1), weight * decay])
    matrix = np.lib.stride_tricks.sliding_window_view(weights, n)[:, ::-1].astype(np.float32)
    matrix[:, 0] = decay  # the first frame stands for all that would be before it
    return matrix[::-1, ::-1] @ (matrix @ magnitude)


def _triangles(n, width):
    """The matrix that smooths n values: each becomes a mean of `width` more on both sides."""
    place = np.arange(n)
    heights = np.maximum(width + 1 - np.abs(place[:, None] - place), 0)
    return (heights / (width + 1) ** 2).astype(np.float32)
