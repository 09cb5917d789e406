"""Frames of features, what the network reads of them, and the features file.

    extract_frames    speech                      -> (n_frames, 82): MFCC, RMS, ZCR; stored
    frames_to_inputs  frames of some recordings   -> (n, n_frames, 57): what the network reads
    compute_inputs    mel spectra, RMS and ZCR    -> the same, for spectra that training changes

A frame of zeros is padding: no real frame is all zeros (silence has an MFCC of its own), and the
network's masking layer skips it.
"""

import numpy as np

from sentimental import audio, spectrum
from sentimental.audio import MAX_SECONDS
from sentimental.base import EMOTIONS, SentimentalError, atomic_write
from sentimental.spectrum import (
    HOP_LENGTH,
    N_MELS,
    SAMPLE_RATE,
    dct_matrix,
    frame_rms,
    frame_zcr,
    mel_bands,
    mel_spectrum,
    mfcc_to_mel,
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
# First MFCC under cepstral mean normalization; MFCC 0, which is the level, keeps its mean.
FIRST_CMN_MFCC = 1
# Frames over which a slope is fitted.
DELTA_WIDTH = 9

# What the features depend on: every constant of `spectrum`, of `audio`, and of this module above
# this line. It is stored with the features and with the model, and compared when they are loaded.
CHAIN = {
    name.lower(): [*value] if isinstance(value, tuple) else value
    for name, value in (vars(spectrum) | vars(audio) | globals()).items()
    if name.isupper() and name != "EMOTIONS"
}

# Numbers of a frame in the features file: all MFCC, RMS, zero-crossing rate.
N_STORED = N_MELS + 2
# Numbers of a frame that the network reads: with first and second slopes.
N_INPUTS = 3 * (N_MFCC + 2 + len(LOW_PASS))
# Frames (157) of the longest recording.
MAX_FRAMES = 1 + int(MAX_SECONDS * SAMPLE_RATE) // HOP_LENGTH


def extract_frames(speech):
    """MFCC, RMS and zero-crossing rate of each frame.

    All ``N_MELS`` MFCC are here, more than the network reads: their inverse is the mel spectrum,
    in which training adds noise and other voices.

    Parameters
    ----------
    speech : np.ndarray [shape=(n,), float32], as `sentimental.audio.clean_audio` returns it

    Returns
    -------
    frames : np.ndarray [shape=(n_frames, N_STORED), float32]
        ``N_MELS`` coefficients, RMS (full scale is 1.0) and the share of zero crossings (0 to 1);
        n_frames = 1 + n // HOP_LENGTH
    """
    mfcc = mel_spectrum(speech) @ dct_matrix()
    return np.column_stack([mfcc, frame_rms(speech), frame_zcr(speech)]).astype(np.float32)


def pad(clips, n_frames=MAX_FRAMES):
    """Stack clips into one array, zeros after each; zeros are what the network masks.

    Parameters
    ----------
    clips : sequence of np.ndarray [shape=(n_i, d)], n_i <= n_frames
    n_frames : int > 0

    Returns
    -------
    batch : np.ndarray [shape=(len(clips), n_frames, d), float32]
    lengths : np.ndarray of int [shape=(len(clips),)], frames that are not padding
    """
    batch = np.zeros((len(clips), n_frames, clips[0].shape[1]), np.float32)
    for row, clip in zip(batch, clips, strict=True):
        row[: len(clip)] = clip
    return batch, np.array([len(clip) for clip in clips])


# From the mel spectrum to the network's inputs --------------------------------------------------


def band_zcr(mel):
    """Zero-crossing rates that the speech below each of ``LOW_PASS`` would have alone.

    A sound crosses zero twice in each period of the root mean square of its frequencies, weighted
    by power [1]_. Low in a voice, that is near its pitch: in one number, where MFCC need dozens.

    Parameters
    ----------
    mel : np.ndarray [shape=(..., N_MELS), float32], dB

    Returns
    -------
    rates : np.ndarray [shape=(..., len(LOW_PASS)), float32]
        Octaves: log2 of the share of zero crossings (0 to 1)

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


def compute_inputs(mel, rms_zcr, lengths):
    """What the network reads: MFCC of the upper part of the spectrum, RMS, ZCR, and their slopes.

    Beside the zero-crossing rate of the whole stand those of `band_zcr`. In the spectrum what
    lies ``SPECTRUM_TOP_DB`` below the loudest band is levelled. From the MFCC that tell its shape
    their mean over the recording is subtracted [1]_: it is what microphone, room and throat do to
    all that is said. The slopes are first and second derivatives of a parabola that is fitted to
    ``DELTA_WIDTH`` frames [2]_.

    Parameters
    ----------
    mel : np.ndarray [shape=(n, n_frames, N_MELS), float32], dB
    rms_zcr : np.ndarray [shape=(n, n_frames, 2), float32], RMS and zero-crossing rate
    lengths : np.ndarray of int [shape=(n,)], frames of each clip that are not padding

    Returns
    -------
    inputs : np.ndarray [shape=(n, n_frames, N_INPUTS), float32], zeros where padding is

    References
    ----------
    .. [1] B. S. Atal, "Effectiveness of linear prediction characteristics of the speech wave for
       automatic speaker identification and verification", J. Acoust. Soc. Am. 55(6), 1974
    .. [2] https://librosa.org/doc/latest/generated/librosa.feature.delta.html
    """
    from scipy.signal import savgol_filter

    is_speech = (np.arange(mel.shape[1]) < lengths[:, None])[..., None]
    loudest = np.where(is_speech, mel, -np.inf).max(axis=(1, 2), keepdims=True)
    mfcc = np.maximum(mel, loudest - SPECTRUM_TOP_DB) @ dct_matrix()[:, :N_MFCC]
    mean = (mfcc * is_speech).sum(axis=1, keepdims=True) / lengths[:, None, None]
    mean[..., :FIRST_CMN_MFCC] = 0
    frames = np.concatenate([mfcc - mean, rms_zcr, band_zcr(mel)], axis=-1)
    # The last frame goes on, as if there were no padding to fit a slope to.
    frames = np.where(is_speech, frames, frames[np.arange(len(mel)), lengths - 1][:, None])
    slopes = [
        savgol_filter(frames, DELTA_WIDTH, polyorder=order, deriv=order, axis=1, mode="nearest")
        for order in (1, 2)
    ]
    return np.where(is_speech, np.concatenate([frames, *slopes], axis=-1), 0).astype(np.float32)


def frames_to_inputs(clips, n_frames=MAX_FRAMES):
    """What the network reads of some recordings.

    Parameters
    ----------
    clips : sequence of np.ndarray [shape=(n_i, N_STORED)], as `extract_frames` returns them
    n_frames : int > 0, of the longest at least

    Returns
    -------
    inputs : np.ndarray [shape=(len(clips), n_frames, N_INPUTS), float32]
    """
    frames, lengths = pad(clips, n_frames)
    return compute_inputs(mfcc_to_mel(frames[..., :N_MELS]), frames[..., N_MELS:], lengths)


# The features file ------------------------------------------------------------------------------


def save_features(path, recordings):
    """Write the frames of many recordings as JSON that `json_tricks.load` reads.

    Parameters
    ----------
    path : str or Path
    recordings : list of dict
        Each with ``file``, ``hash``, ``corpus``, ``speaker``, ``emotion``, ``condition`` (str)
        and ``frames`` (np.ndarray [shape=(n_frames, N_STORED), float32]).
    """
    import json_tricks

    content = {"chain": CHAIN, "emotions": EMOTIONS, "recordings": recordings}
    with atomic_write(path) as partial, open(partial, "w", encoding="utf-8") as stream:
        json_tricks.dump(content, stream, properties={"ndarray_compact": True})


def load_features(path):
    """Read what `save_features` wrote, and refuse features made with other constants.

    Only json_tricks' NumPy hook is used: its default hooks import and build whatever class a file
    names, and a features file may come from a stranger.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    recordings : list of dict, as for `save_features`

    Raises
    ------
    SentimentalError
        When the file is missing, is no features file, or was made with other constants.
    """
    import json_tricks
    from json_tricks.decoders import json_numpy_obj_hook

    try:
        with open(path, encoding="utf-8") as stream:
            content = json_tricks.load(
                stream,
                preserve_order=False,
                ignore_comments=False,
                obj_pairs_hooks=[json_numpy_obj_hook],
            )
        check_chain(path, content["chain"], "make it again with preprocess.py")
        recordings = content["recordings"]
        for recording in recordings:
            _check_recording(recording)
    except FileNotFoundError:
        raise SentimentalError(f"{path}: no such file; make it with preprocess.py") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError) as error:
        raise SentimentalError(
            f"{path}: not a features file ({type(error).__name__}: {error}); "
            "make it again with preprocess.py"
        ) from None
    return recordings


def _check_recording(recording):
    """Raise ValueError, or what a wrong type leads to, when it is not as `save_features` has it."""
    frames = recording["frames"]
    if frames.shape[1:] != (N_STORED,) or frames.dtype != np.float32:
        raise ValueError(f"bad frames of {recording['file']}")
    if not 0 < len(frames) <= MAX_FRAMES or not np.isfinite(frames).all():
        raise ValueError(f"bad frames of {recording['file']}")
    if recording["emotion"] not in EMOTIONS:
        raise ValueError(f"unknown emotion of {recording['file']}")
    texts = ("file", "hash", "corpus", "speaker", "condition")
    if not all(isinstance(recording[name], str) for name in texts):
        raise ValueError(f"{', '.join(texts)} must be texts")


def check_chain(path, chain, remedy):
    """Refuse what was made with other constants than this module has now.

    Raises
    ------
    SentimentalError
        It names each constant that differs, and ends with `remedy`.
    """
    other = [
        f"{name} {chain.get(name)} instead of {CHAIN.get(name)}"
        for name in sorted({*CHAIN, *chain})
        if chain.get(name) != CHAIN.get(name)
    ]
    if other:
        raise SentimentalError(f"{path}: made with {', '.join(other)}; {remedy}")
