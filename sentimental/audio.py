"""The signal chain: any recording in, leveled, trimmed and denoised speech out.

    load_audio   any file, by `decoding`           -> mono float32 samples at SAMPLE_RATE
    to_mono      samples of any rate and channels  -> the same; ToMono, block by block
    clean_audio  level, trim, reduce_noise         -> the speech alone

Training, files and the microphone call the same functions and read the same constants, so that a
model never meets features that were made another way.
"""

import math
import warnings

import numpy as np

from sentimental import decoding
from sentimental.scripts import SentimentalError
from sentimental.spectrum import HOP_LENGTH, SAMPLE_RATE, frame_rms
from sentimental.vad import MAX_SECONDS, SILENCE_DBFS, find_speech

# dB re full scale. A peak of 10^(5/20) = 1.78, on float samples, so nothing clips.
PEAK_DBFS = 5.0

# Trimming. Speech ends somewhere between its own level and that of the noise; a fixed distance
# from the loudest frame would keep noise, and other voices, before and after it.

# Frames (160 ms) over which the level is averaged.
LEVEL_FRAMES = 5
# Frames (256 ms). The level that so many frames reach is that of speech, not of a click.
LOUD_FRAMES = 8
# Percent of the frames that are noise alone.
FLOOR_PERCENTILE = 10
# Share of the way from speech to noise, in dB, where speech ends.
TRIM_SHARE = 0.3
# dB. The threshold is at least so far below the speech: averaging lowers a single loud frame.
MIN_TOP_DB = 8.0
# dB. The threshold is at most so far below the loudest frame.
MAX_TOP_DB = 30.0
# Frames (96 ms) kept before and after the speech, beside the 64 ms that averaging adds.
MARGIN_FRAMES = 3
# s of sound that a recording must hold.
MIN_SECONDS = 0.25
# Share of the way from speech to noise, in dB, where a sound ends that stands alone ...
ISLAND_SHARE = 0.5
# ... frames (192 ms) between two such sounds ...
ISLAND_GAP = 6
# ... and dB, at most so far below the loudest frame.
ISLAND_TOP_DB = 45.0
# Full scale is 1.0. Loud frames are brought to this RMS before the detector hears them, ...
DETECTOR_RMS = 0.02
# ... and what then has a higher peak is clipped.
DETECTOR_CLIP = 0.2
# s kept before and after the speech that the detector finds: it is late at both ends.
SPEECH_MARGINS = (0.15, 0.05)

# Noise reduction by spectral gating; see `reduce_noise`.

# Samples (32 ms); FFT length of the gate.
GATE_N_FFT = 512
# Samples (16 ms); hop length of the gate.
GATE_HOP_LENGTH = 256
# Share of the noise that is taken away. 1.0 eats into quiet speech.
GATE_PROP_DECREASE = 0.5


def load_audio(path, note=warnings.warn):
    """Read a recording of any format as mono samples at ``SAMPLE_RATE``, full scale 1.0.

    What it takes and raises is that of `sentimental.decoding.decode` and `to_mono`.
    """
    samples, sample_rate = decoding.decode(path, note)
    return to_mono(samples, sample_rate, name=path)


def to_mono(samples, sample_rate, name="recording"):
    """Mix channels, resample to ``SAMPLE_RATE`` and check that the result is usable.

    Parameters
    ----------
    samples : np.ndarray [shape=(n,) or (n, channels), float], full scale is 1.0
    sample_rate : int > 0, Hz
    name : what error messages call the recording

    Returns
    -------
    samples : np.ndarray [shape=(n',), float32]

    Raises
    ------
    SentimentalError
        When there are no samples, some are no numbers, or there are more channels or another rate
        than recordings have.
    """
    samples = np.asarray(samples, np.float32)
    if samples.ndim not in (1, 2):
        raise SentimentalError(
            f"{name}: has the shape {samples.shape}; give (samples,) or (samples, channels)"
        )
    decoding.check_format(name, sample_rate, 1 if samples.ndim == 1 else samples.shape[1])
    decoding.check_samples(name, samples)
    samples = ToMono(sample_rate).push(samples, last=True)
    if samples.size == 0:
        raise SentimentalError(f"{name}: holds no samples; record or download it again")
    return samples


class ToMono:
    """Mix channels and resample to ``SAMPLE_RATE``, block by block.

    Where channels cancel each other (one is the other upside down, as wrong wiring makes it),
    hardly more than noise is left of their mean. From then on the strongest of them is taken alone;
    a change back would click.

    Parameters
    ----------
    sample_rate : int > 0, Hz, of the blocks
    """

    # s around a block that are resampled with it: as much as the filter of soxr's "HQ" reaches.
    margin = 0.01

    def __init__(self, sample_rate):
        self._rate = sample_rate
        # Samples before and after the resampling in which the same time lies.
        divisor = math.gcd(sample_rate, SAMPLE_RATE)
        self._period, self._n_resampled = sample_rate // divisor, SAMPLE_RATE // divisor
        self._margin = math.ceil(self.margin * sample_rate / self._period)  # periods
        self._known = np.zeros(self._margin * self._period, np.float32)
        self._n_pushed, self._n_given, self._channel = 0, 0, None

    def push(self, block, last=False):
        """The samples at ``SAMPLE_RATE`` that are known once `block` has come, the last or not."""
        import soxr

        mixed = self.mix(block)
        if self._rate == SAMPLE_RATE:
            return mixed
        self._n_pushed += len(mixed)
        padding = np.zeros((self._margin + 1) * self._period * last, np.float32)
        known = np.concatenate([self._known, mixed, padding])
        # What lies between what is known well enough on both sides; soxr's own streams give the
        # same, but keep it back for 23 ms on average, and up to 39.
        n_periods = max(0, len(known) // self._period - 2 * self._margin)
        self._known = known[n_periods * self._period :]
        known = known[: (n_periods + 2 * self._margin) * self._period]
        n, start = n_periods * self._n_resampled, self._margin * self._n_resampled
        samples = soxr.resample(known, self._rate, SAMPLE_RATE)[start : start + n]
        if last:
            total = math.floor(self._n_pushed * SAMPLE_RATE / self._rate + 0.5)
            samples = samples[: total - self._n_given]
        self._n_given += len(samples)
        return samples

    def mix(self, block):
        """One channel of those of a block, at its own rate; np.ndarray [shape=(n,), float32]."""
        if block.ndim == 1 or len(block) == 0:
            return block.reshape(-1)
        if self._channel is None and block.shape[1] > 1:
            some = block[:: max(1, len(block) // 4096)]  # so many tell it as well
            powers = some.var(axis=0)  # without a constant offset, which is no sound
            # Of two channels that have nothing in common, or one of which is silent, a half is
            # left; less than a quarter is left of those that cancel each other.
            if some.mean(axis=1).var() < powers.mean() / 4:
                self._channel = int(powers.argmax())
        return block.mean(axis=1) if self._channel is None else block[:, self._channel]


def clean_audio(samples, name="recording"):
    """Level, trim and denoise a recording: what remains is the speech.

    Silence that follows the speech would change the gate's idea of the noise, so padding comes
    after this (`pad`), and the same speech gives the same features however much padding it gets.

    Parameters
    ----------
    samples : np.ndarray [shape=(n,), float32], mono at ``SAMPLE_RATE``
    name : what error messages call the recording

    Returns
    -------
    speech : np.ndarray [shape=(m,), float32], m <= MAX_SECONDS * SAMPLE_RATE

    Raises
    ------
    SentimentalError
        When there is another shape, only silence, or less than ``MIN_SECONDS`` of sound and no
        speech.
    """
    return reduce_noise(trim(level(samples, name), name))


def level(samples, name="recording"):
    """Take off a constant offset and bring the peak to ``PEAK_DBFS``; as `clean_audio` takes it."""
    if np.ndim(samples) != 1:
        raise SentimentalError(
            f"{name}: has the shape {np.shape(samples)}; let to_mono make one channel of it"
        )
    samples = samples - samples.mean()  # a constant offset is the sound card's, not the speaker's
    if np.abs(samples).max() < 10 ** (SILENCE_DBFS / 20):
        raise SentimentalError(f"{name}: only silence; check the microphone, or leave it out")
    return _bring_to_peak(samples)


def trim(samples, name="recording"):
    """Cut silence, noise and other sounds before and after the speech; bring its peak to the level.

    Most recordings hold one sound, and it is speech; its level tells where that begins and ends.
    Ends whose level lies more than ``TRIM_SHARE`` of the way from speech to noise are cut. The
    detector, which takes as long as all the rest, is asked where there are several sounds, or one
    that is too short. Of more than ``MAX_SECONDS`` the part with the most energy is kept.
    """
    start, stop, seconds, loud_db = _find_sound(samples)
    if loud_db is not None:
        audible = samples * np.float32(DETECTOR_RMS / 10 ** (loud_db / 20))
        if found := find_speech(np.clip(audible, -DETECTOR_CLIP, DETECTOR_CLIP)):
            before, after = (int(margin * SAMPLE_RATE) for margin in SPEECH_MARGINS)
            start, stop = max(0, found[0] - before), found[1] + after
        elif seconds < MIN_SECONDS:
            raise SentimentalError(
                f"{name}: {seconds:.2f} s of sound, at least {MIN_SECONDS} s are needed"
            )
    return _bring_to_peak(_loudest_part(samples[start:stop], int(MAX_SECONDS * SAMPLE_RATE)))


def reduce_noise(speech):
    """Lower steady noise by spectral gating: what hardly rises above its own mean over time.

    It is lowered frequency by frequency, sample for sample as noisereduce does it [1]_, and tests
    hold this to it. noisereduce itself is not imported: with what it brings it takes a second to
    start, and then three times as long.

    Parameters
    ----------
    speech : np.ndarray [shape=(n,), float32], as `trim` returns it

    Returns
    -------
    speech : np.ndarray [shape=(n,), float32]

    References
    ----------
    .. [1] T. Sainburg, M. Thielk, T. Q. Gentner, "Finding, visualizing, and quantifying latent
       structure across diverse animal vocal repertoires", PLoS Comput. Biol. 16(10), 2020;
       https://github.com/timsainb/noisereduce
    """
    # noisereduce's defaults. Constants in capitals belong to CHAIN, which models are compared by.
    # s. Time constant of the mean over time that is taken for the noise.
    noise_seconds = 2.0
    # The mask opens where the magnitude is so many times the noise above it, this steeply.
    threshold, slope = 2, 10
    # s and Hz over which the mask is smoothed.
    mask_seconds, mask_hz = 0.05, 500
    window = np.hanning(GATE_N_FFT + 1)[:-1].astype(np.float32)
    padding = GATE_N_FFT + GATE_N_FFT // 2
    padded = np.pad(speech, padding)
    frames = np.lib.stride_tricks.sliding_window_view(padded, GATE_N_FFT)[::GATE_HOP_LENGTH]
    spectrum = np.fft.rfft(frames * window, axis=1)
    magnitude = np.abs(spectrum)

    n_frames = noise_seconds * SAMPLE_RATE / GATE_HOP_LENGTH
    weight = (np.sqrt(1 + 4 * n_frames**2) - 1) / (2 * n_frames**2)
    noise = _moving_mean(_moving_mean(magnitude, weight)[::-1], weight)[::-1]
    mask = 1 / (1 + np.exp(-slope * ((magnitude - noise) / noise - threshold)))
    widths = mask_seconds * SAMPLE_RATE / GATE_HOP_LENGTH, mask_hz * GATE_N_FFT / (2 * SAMPLE_RATE)
    for width in map(int, widths):  # over time, then over frequency
        mask = _smooth(mask, width).T
    spectrum *= 1 - GATE_PROP_DECREASE * (1 - mask)

    # Overlapping frames are added up, in parts of `GATE_HOP_LENGTH`.
    parts = (np.fft.irfft(spectrum, axis=1) * window).reshape(len(frames), -1, GATE_HOP_LENGTH)
    total = np.zeros((len(frames) + parts.shape[1] - 1, GATE_HOP_LENGTH), np.float32)
    for number in range(parts.shape[1]):
        total[number : number + len(frames)] += parts[:, number]
    total /= (window**2).reshape(-1, GATE_HOP_LENGTH).sum(axis=0)
    return total.ravel()[padding:][: len(speech)]


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


def _bring_to_peak(samples):
    return samples * np.float32(10 ** (PEAK_DBFS / 20) / np.abs(samples).max())


def _find_sound(samples):
    """Where the loudest sound begins and ends, with some margin; and how long it is without, in s.

    Where there are several sounds, or one that is too short, also the level of loud frames in dB
    re full scale; else None.
    """
    power = np.maximum(frame_rms(samples) ** 2, 1e-12)
    mean = np.convolve(power, np.full(LEVEL_FRAMES, 1 / LEVEL_FRAMES, np.float32))
    smooth_db = 10 * np.log10(mean[LEVEL_FRAMES // 2 :][: len(power)])
    level_db = np.sort(10 * np.log10(power))
    loud_db = level_db[-LOUD_FRAMES:][0]
    distance = loud_db - np.percentile(smooth_db, FLOOR_PERCENTILE)

    def threshold(share, top_db):
        return max(loud_db - max(share * distance, MIN_TOP_DB), level_db[-1] - top_db)

    first, last = np.flatnonzero(smooth_db > threshold(TRIM_SHARE, MAX_TOP_DB))[[0, -1]]
    # Averaging made it longer where there is something before or after it.
    n_widened = LEVEL_FRAMES // 2 * (int(first > 0) + int(last < len(power) - 1))
    seconds = max(0, last - first + 1 - n_widened) * HOP_LENGTH / SAMPLE_RATE
    gaps = np.diff(np.flatnonzero(smooth_db > threshold(ISLAND_SHARE, ISLAND_TOP_DB))) - 1
    stands_alone = seconds >= MIN_SECONDS and gaps.max(initial=0) < ISLAND_GAP
    start = max(0, first - MARGIN_FRAMES) * HOP_LENGTH
    stop = (last + 1 + MARGIN_FRAMES) * HOP_LENGTH
    return start, stop, seconds, None if stands_alone else loud_db


def _loudest_part(samples, length):
    """The `length` consecutive samples with the most energy, or all when there are fewer."""
    if len(samples) <= length:
        return samples
    energy = np.concatenate([[0.0], np.cumsum(np.square(samples, dtype=np.float64))])
    start = int(np.argmax(energy[length:] - energy[:-length]))
    return samples[start : start + length]
