"""Frames of features, and what is computed of them.

    speech_to_features  speech    -> (n_frames, 21): MFCC, RMS, ZCR, pitch, harmonicity
    extract_frames      speech    -> (n_frames, 84): the same in the form of the features file
    frames_to_features  frames    -> (n, n_frames, 21): back from there
    add_slopes          features  -> (n, n_frames, 63): with their slopes
    summarize           features  -> (n, 176): each recording as a whole

The mean of a voice is taken off features and summary by `sentimental.speaker`; then the
network reads them. A frame of zeros is padding: no real frame is all zeros (silence has an MFCC of
its own), and the network's masking layer skips it.
"""

import numpy as np

from sentimental import audio, spectrum, vad
from sentimental.audio import MAX_SECONDS
from sentimental.scripts import SentimentalError
from sentimental.spectrum import (
    HOP_LENGTH,
    N_MELS,
    SAMPLE_RATE,
    dct_matrix,
    frame_pitch,
    frame_rms,
    frame_zcr,
    mel_bands,
    mel_spectrum,
    mfcc_to_mel,
    power_spectrum,
)

# dB below the loudest band of a recording. What is less is raised to it, because noise fills the
# valleys of a spectrum first.
SPECTRUM_TOP_DB = 45.0
# MFCC that the network reads.
N_MFCC = 14
# Hz. The zero-crossing rate of what lies below each of these follows the pitch of a voice.
LOW_PASS = (300, 500, 1000)
# Hz. Hum below it does not count in those rates.
HIGH_PASS = 60
# Harmonicity from which a frame has a pitch; between such frames the pitch is interpolated.
VOICED = 0.5
# Frames over which the median of the pitch is taken: of a wrong octave nothing is left.
PITCH_FRAMES = 5
# log2 of Hz. The pitch where no frame has one.
NO_PITCH = 7.5
# RMS that a level is taken of, at least.
MIN_RMS = 1e-4
# Frames over which a slope is fitted.
DELTA_WIDTH = 9
# Frames (0.5 s) over which the mean of the level is taken that syllables rise above.
PHRASE_FRAMES = 17

# What the features depend on: every constant of `spectrum`, of `audio`, of this module above, and
# what `find_speech` goes by. It is stored with features and models, and compared when they load.
CHAIN = {
    name.lower(): [*value] if isinstance(value, tuple) else value
    for name, value in (vars(spectrum) | vars(audio) | globals() | vad.FIND_SPEECH).items()
    if name.isupper()
}

# Numbers of a frame in the features file: all MFCC, RMS, zero-crossing rate, pitch, harmonicity.
N_STORED = N_MELS + 4
# Numbers of a frame that tell the emotion: MFCC, RMS, all zero-crossing rates, pitch, harmonicity.
N_FEATURES = N_MFCC + 4 + len(LOW_PASS)
# Numbers of a frame that the network reads: with first and second slopes.
N_INPUTS = 3 * N_FEATURES
# Numbers of a recording as a whole.
N_SUMMARY = 8 * N_FEATURES + 8
# Frames (157) of the longest recording.
MAX_FRAMES = 1 + int(MAX_SECONDS * SAMPLE_RATE) // HOP_LENGTH


def speech_to_features(speech):
    """What tells the emotion in each frame of speech; see `frame_features`.

    Parameters
    ----------
    speech : np.ndarray [shape=(n,), float32], as `sentimental.audio.clean_audio` returns it

    Returns
    -------
    features : np.ndarray [shape=(1 + n // HOP_LENGTH, N_FEATURES), float32]
    """
    mel, others = _analyze(speech)
    return frame_features(mel[None], others[None], np.array([len(mel)]))[0]


def extract_frames(speech):
    """The frames of speech, as for `speech_to_features`, in the form of the features file.

    All ``N_MELS`` MFCC are here, more than the network reads: their inverse is the mel spectrum,
    in which training adds noise and other voices.

    Returns
    -------
    frames : np.ndarray [shape=(n_frames, N_STORED), float32]
        ``N_MELS`` coefficients, RMS (full scale is 1.0), the share of zero crossings (0 to 1), log2
        of the pitch in Hz, and the harmonicity (0 to 1)
    """
    mel, others = _analyze(speech)
    return np.concatenate([mel @ dct_matrix(), others], axis=1)


def _analyze(speech):
    """Mel spectrum in dB, and RMS, zero-crossing rate, pitch and harmonicity of each frame."""
    power = power_spectrum(speech)
    others = np.column_stack([frame_rms(speech), frame_zcr(speech), *frame_pitch(power)])
    return mel_spectrum(power), others.astype(np.float32)


def smooth_pitch(octaves, harmonicity, lengths):
    """The pitch of voiced frames, freed of wrong octaves and carried over the unvoiced ones.

    Octaves and harmonicity are np.ndarray [shape=(n, n_frames)], lengths as for `frame_features`.
    """
    octaves, frame = octaves.copy(), np.arange(octaves.shape[1])
    voiced = (harmonicity >= VOICED) & mark_speech(lengths, octaves.shape[1])
    for row, is_voiced in zip(octaves, voiced, strict=True):
        known = np.flatnonzero(is_voiced)
        row[:] = np.interp(frame, known, row[known]) if len(known) else NO_PITCH
    return np.sort(_windows(octaves, PITCH_FRAMES, "edge"))[..., PITCH_FRAMES // 2]


def _windows(values, n, pad_mode):
    """The `n` values around each along axis 1, as a last axis; ends are padded as by `np.pad`."""
    sides = [(0, 0), (n // 2, n // 2), (0, 0)][: values.ndim]
    return np.lib.stride_tricks.sliding_window_view(np.pad(values, sides, pad_mode), n, axis=1)


def mark_speech(lengths, n_frames):
    """Which frames are not padding; np.ndarray of bool [shape=(len(lengths), n_frames)]."""
    return np.arange(n_frames) < lengths[:, None]


def pad(clips):
    """Stack clips, np.ndarray [shape=(n_i, d)], into one array; zeros after each are masked.

    Returns
    -------
    batch : np.ndarray [shape=(len(clips), n_frames, d), float32], as long as the longest
    lengths : np.ndarray of int [shape=(len(clips),)], frames that are not padding
    """
    lengths = np.array([len(clip) for clip in clips])
    batch = np.zeros((len(clips), lengths.max(), clips[0].shape[1]), np.float32)
    for row, clip in zip(batch, clips, strict=True):
        row[: len(clip)] = clip
    return batch, lengths


# From the mel spectrum to features --------------------------------------------------------------


def band_zcr(mel):
    """Zero-crossing rates that the speech below each of ``LOW_PASS`` would have alone, as log2.

    A sound crosses zero twice in each period of the root mean square of its frequencies, weighted
    by power [1]_. Low in a voice, that is near its pitch: in one number, where MFCC need dozens.

    References
    ----------
    .. [1] S. O. Rice, "Mathematical analysis of random noise", Bell System Technical Journal 24,
       1945
    """
    centers, widths = mel_bands()
    rates = []
    for highest in LOW_PASS:
        used = slice(*np.searchsorted(centers, [HIGH_PASS, highest]))
        power = 10 ** (mel[..., used] / 10) * widths[used]
        mean_square = power @ centers[used] ** 2 / np.maximum(power.sum(axis=-1), 1e-9)
        rates.append(np.log2(2 * np.sqrt(np.maximum(mean_square, 1)) / SAMPLE_RATE))
    return np.stack(rates, axis=-1)


def frame_features(mel, others, lengths):
    """What tells the emotion in each frame: MFCC, RMS, zero-crossing rates, pitch, harmonicity.

    In the spectrum what lies ``SPECTRUM_TOP_DB`` below the loudest band is leveled. Beside the
    zero-crossing rate of the whole stand those of `band_zcr`.

    Parameters
    ----------
    mel : np.ndarray [shape=(n, n_frames, N_MELS), float32], dB
    others : np.ndarray [shape=(n, n_frames, 4), float32]
        RMS, zero-crossing rate, pitch and harmonicity as `extract_frames` has them
    lengths : np.ndarray of int [shape=(n,)], frames of each clip that are not padding

    Returns
    -------
    features : np.ndarray [shape=(n, n_frames, N_FEATURES), float32], zeros where padding is
    """
    is_speech = mark_speech(lengths, mel.shape[1])[..., None]
    loudest = np.where(is_speech, mel, -np.inf).max(axis=(1, 2), keepdims=True)
    mfcc = np.maximum(mel, loudest - SPECTRUM_TOP_DB) @ dct_matrix()[:, :N_MFCC]
    rms_zcr, octaves, harmonicity = others[..., :2], others[..., 2], others[..., 3:]
    octaves = smooth_pitch(octaves, harmonicity[..., 0], lengths)[..., None]
    features = np.concatenate([mfcc, rms_zcr, band_zcr(mel), octaves, harmonicity], axis=-1)
    return np.where(is_speech, features, 0).astype(np.float32)


def frames_to_features(clips):
    """Features of clips, each as `extract_frames` returns it, and their lengths, as for `pad`."""
    frames, lengths = pad(clips)
    mel = mfcc_to_mel(frames[..., :N_MELS])
    return frame_features(mel, frames[..., N_MELS:], lengths), lengths


def add_slopes(features, lengths):
    """Features and their slopes; features and lengths are as `frame_features` has them.

    The slopes are first and second derivatives of a parabola that is fitted to ``DELTA_WIDTH``
    frames [1]_.

    Returns
    -------
    inputs : np.ndarray [shape=(n, n_frames, N_INPUTS), float32], zeros where padding is

    References
    ----------
    .. [1] https://librosa.org/doc/latest/generated/librosa.feature.delta.html
    """
    is_speech = mark_speech(lengths, features.shape[1])[..., None]
    # The last frame goes on, as if there were no padding to fit a slope to.
    frames = np.where(is_speech, features, features[np.arange(len(features)), lengths - 1][:, None])
    place = np.arange(DELTA_WIDTH) - DELTA_WIDTH // 2
    first, second = np.linalg.pinv(np.vander(place, 3))[1::-1]
    windows = _windows(frames, DELTA_WIDTH, "edge")
    slopes = [windows @ fit.astype(np.float32) for fit in (first, 2 * second)]
    return np.where(is_speech, np.concatenate([frames, *slopes], axis=-1), 0).astype(np.float32)


def summarize(features, lengths):
    """Each recording as a whole, as sets of functionals describe it [1]_.

    Features and lengths are as `frame_features` has them.

    Returns
    -------
    summaries : np.ndarray [shape=(n, N_SUMMARY), float32]
        Of each feature the mean, standard deviation, 20th and 80th percentile, mean absolute
        change; how the mean over voiced frames and that over the power differ from the mean; rise
        over the recording. Median and range (10th to 90th percentile) of the pitch where there is
        one, share of frames that have one, and log of the number of frames; how often voice sets
        in; how the level varies, how it varies about its moving mean, and with the pitch

    References
    ----------
    .. [1] F. Eyben et al., "The Geneva minimalistic acoustic parameter set (GeMAPS) for voice
       research and affective computing", IEEE Trans. Affective Computing 7(2), 2016
    """
    is_speech = mark_speech(lengths, features.shape[1])[..., None]
    n = lengths[:, None].astype(np.float32)
    mean = (features * is_speech).sum(axis=1) / n
    deviation = np.sqrt((((features - mean[:, None]) * is_speech) ** 2).sum(axis=1) / n)
    change = np.abs(np.diff(features, axis=1)) * is_speech[:, 1:]
    change = change.sum(axis=1) / np.maximum(n - 1, 1)
    low, high = _percentiles(np.where(is_speech, features, np.inf), lengths, (20, 80))

    voiced = (features[..., -1:] >= VOICED) & is_speech
    n_voiced = voiced.sum(axis=(1, 2))[:, None]
    rms, octaves = features[..., N_MFCC : N_MFCC + 1], features[..., -2:-1]
    of_voice = (features * voiced).sum(axis=1) / np.maximum(n_voiced, 1) - mean
    power = rms**2 * is_speech
    of_loud = (features * power).sum(axis=1) / np.maximum(power.sum(axis=1), 1e-9) - mean
    position = np.arange(features.shape[1], dtype=np.float32)[:, None] / n[..., None]
    position = (position - (n[..., None] - 1) / n[..., None] / 2) * is_speech
    rise = (features * position).sum(axis=1) / np.maximum((position**2).sum(axis=1), 1e-6)

    pitch = np.where(voiced, octaves, np.inf)
    pitch = np.where(n_voiced[..., None] > 0, pitch, NO_PITCH)
    lowest, median, highest = _percentiles(pitch, np.maximum(n_voiced[:, 0], 1), (10, 50, 90))
    onsets = (voiced[:, 1:] & ~voiced[:, :-1]).sum(axis=1)
    level = np.log(np.maximum(rms, MIN_RMS))
    level = (level - (level * is_speech).sum(axis=1, keepdims=True) / n[..., None]) * is_speech
    syllables = level - _windows(level, PHRASE_FRAMES, "constant").mean(axis=-1)
    pitch_and_level = (level * (octaves - mean[:, None, -2:-1])).sum(axis=1)
    return np.concatenate(
        [mean, deviation, low, high, change, of_voice * (n_voiced > 0), of_loud, rise]
        + [median, highest - lowest, n_voiced / n, np.log(n), onsets / n]
        + [np.sqrt((part**2 * is_speech).sum(axis=1) / n) for part in (level, syllables)]
        + [pitch_and_level / n],
        axis=1,
    ).astype(np.float32)


def _percentiles(values, counts, percentiles):
    """Nearest percentiles along axis 1 of the `counts` lowest of `values`; each [shape=(n, d)]."""
    ordered = np.sort(values, axis=1)
    rows = np.arange(len(values))
    return [ordered[rows, np.round(p / 100 * (counts - 1)).astype(int)] for p in percentiles]


def check_chain(path, chain, remedy, expected=CHAIN):
    """Raise a SentimentalError that names each constant that differs, and ends with `remedy`."""
    other = [
        f"{name} {chain.get(name)} instead of {expected.get(name)}"
        for name in sorted({*expected, *chain})
        if chain.get(name) != expected.get(name)
    ]
    if other:
        raise SentimentalError(f"{path}: made with {', '.join(other)}; {remedy}")
