"""The signal chain, the feature file and the model files that the three scripts share.

Training and live use call the same functions here and read the same constants, so that a model
never meets features that were made another way:

    load_audio      any recording                     -> mono float32 samples at SAMPLE_RATE
    clean           peak to +5 dBFS, trim, denoise    -> the speech alone
    extract_frames  MFCC, RMS and ZCR of each frame   -> (n_frames, 82), the features file
    features_of     14 MFCC, RMS, ZCR, their slopes   -> (MAX_FRAMES, 57), what the network reads

A frame of zeros is padding: no real frame is all zeros (silence has an MFCC of its own), and the
network's masking layer skips it.
"""

import contextlib
import functools
import hashlib
import json
import os
import sys
import warnings
from pathlib import Path

import numpy as np

EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fear", "disgust", "surprise")

# Signal
SAMPLE_RATE = 16_000  # Hz; everything is resampled to it first
PEAK_DBFS = 5.0  # dB re full scale: a peak of 10^(5/20) = 1.78, on float samples, so nothing clips
SILENCE_DBFS = -70.0  # dB re full scale; a recording whose peak is lower holds no speech
# Trimming. Speech ends somewhere between its own level and that of the noise; a fixed distance
# from the loudest frame would keep noise, and other voices, before and after it:
LEVEL_FRAMES = 5  # = 160 ms, over which the level is averaged
LOUD_FRAMES = 8  # = 256 ms; the level that so many frames reach is that of speech, not of a click
FLOOR_PERCENTILE = 10  # of the frames are noise alone
TRIM_SHARE = 0.3  # of the way from speech to noise, in dB, speech ends,
MIN_TOP_DB = 8.0  # dB below its level at least (more than averaging can lower one loud frame),
MAX_TOP_DB = 30.0  # and dB below the loudest frame at most
MARGIN_FRAMES = 3  # = 96 ms kept before and after, beside the 64 ms that averaging adds
MIN_SECONDS = 0.25  # s of sound that a recording must hold
MAX_SECONDS = 5.0  # s; of a longer recording, the part of this length with the most energy counts

# Noise reduction (spectral gating; see `clean`)
GATE_N_FFT = 512  # samples = 32 ms
GATE_HOP_LENGTH = 256  # samples = 16 ms
GATE_PROP_DECREASE = 0.5  # share of the noise that is taken away; 1.0 eats into quiet speech

# Frames
FRAME_LENGTH = 1024  # samples = 64 ms
HOP_LENGTH = 512  # samples = 32 ms
N_MELS = 80  # bands, and MFCC in the features file: so many tell all of the mel spectrum
N_STORED = N_MELS + 2  # numbers a frame there: + RMS and zero-crossing rate
SPECTRUM_TOP_DB = 45.0  # dB below the loudest band of a recording; what is less is raised to it,
# because noise fills the valleys of a spectrum first
N_MFCC = 14  # that the network reads
LOW_PASS = (300, 500, 1000)  # Hz; the zero-crossing rate of what lies below follows the pitch
HIGH_PASS = 60  # Hz; hum below it does not count there
N_FEATURES = 3 * (N_MFCC + 2 + len(LOW_PASS))  # with slopes; the parameters stay below 65,000
FIRST_CENTRED_MFCC = 1  # it and those after it lose their mean over the recording; MFCC 0 is level
DELTA_WIDTH = 9  # frames over which a slope is fitted
MAX_FRAMES = 1 + int(MAX_SECONDS * SAMPLE_RATE) // HOP_LENGTH  # 157 frames

# What the features depend on; stored with them and with the model, and compared when loaded.
CHAIN = {
    "sample_rate": SAMPLE_RATE,
    "peak_dbfs": PEAK_DBFS,
    "silence_dbfs": SILENCE_DBFS,
    "level_frames": LEVEL_FRAMES,
    "loud_frames": LOUD_FRAMES,
    "floor_percentile": FLOOR_PERCENTILE,
    "trim_share": TRIM_SHARE,
    "min_top_db": MIN_TOP_DB,
    "max_top_db": MAX_TOP_DB,
    "margin_frames": MARGIN_FRAMES,
    "min_seconds": MIN_SECONDS,
    "max_seconds": MAX_SECONDS,
    "gate_n_fft": GATE_N_FFT,
    "gate_hop_length": GATE_HOP_LENGTH,
    "gate_prop_decrease": GATE_PROP_DECREASE,
    "frame_length": FRAME_LENGTH,
    "hop_length": HOP_LENGTH,
    "n_mels": N_MELS,
    "spectrum_top_db": SPECTRUM_TOP_DB,
    "n_mfcc": N_MFCC,
    "low_pass": list(LOW_PASS),
    "high_pass": HIGH_PASS,
    "first_centred_mfcc": FIRST_CENTRED_MFCC,
    "delta_width": DELTA_WIDTH,
}


class SentimentalError(Exception):
    """Something is wrong that the user can mend; the message is one line that says how."""


def run(main):
    """Call a script's `main` and end the process as a terminal user expects.

    Parameters
    ----------
    main : callable, may return an exit status
    """
    try:
        sys.exit(main())
    except SentimentalError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        sys.exit(f"error: {error.filename or 'system'}: {error.strerror or error}")
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        sys.exit(130)  # 128 + SIGINT, as shells expect


# Audio ------------------------------------------------------------------------------------------


def load_audio(path):
    """Read a recording of any format as mono samples at ``SAMPLE_RATE``.

    libsndfile looks at the content, not at the name (WAV, AIFF, FLAC, OGG, MP3); what it does not
    know goes through pydub to ffmpeg (M4A, WebM, video files).

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    samples : np.ndarray [shape=(n,), float32], full scale is 1.0

    Raises
    ------
    SentimentalError
        When the file is missing, empty or of no known format; carries the decoder's words.
    """
    import soundfile

    path = Path(path)
    if not path.is_file():
        raise SentimentalError(f"{path}: no such file")
    if path.stat().st_size == 0:
        raise SentimentalError(f"{path}: the file is empty; record or download it again")
    try:
        samples, sample_rate = soundfile.read(path, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        samples, sample_rate = _load_with_ffmpeg(path, error)
    return to_mono(samples, sample_rate, name=path)


def _load_with_ffmpeg(path, sndfile_error):
    """Decode with pydub what libsndfile refused; returns samples (n, channels) and their rate."""
    with warnings.catch_warnings():  # pydub warns of a missing ffmpeg; the error below says more
        warnings.simplefilter("ignore")
        from pydub import AudioSegment
        from pydub.exceptions import CouldntDecodeError

        try:
            sound = AudioSegment.from_file(path)
        except FileNotFoundError:
            raise SentimentalError(
                f"{path}: not a format that libsndfile reads ({sndfile_error.error_string}), and "
                "ffmpeg is not installed; install ffmpeg, or convert the file to WAV or FLAC"
            ) from None
        except (CouldntDecodeError, IndexError, KeyError, OSError, ValueError):
            # pydub raises any of these, depending on what ffprobe could make of the file
            raise SentimentalError(
                f"{path}: not a recording that can be decoded "
                f"({sndfile_error.error_string}); is it damaged, or no sound file?"
            ) from None
    full_scale = 1 << (8 * sound.sample_width - 1)
    samples = np.array(sound.get_array_of_samples(), np.float32).reshape(-1, sound.channels)
    return samples / full_scale, sound.frame_rate


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
        When there are no samples, or some are not finite.
    """
    import librosa

    samples = np.asarray(samples, np.float32)
    if samples.ndim == 2:
        samples = samples.mean(axis=1)
    if samples.size == 0:
        raise SentimentalError(f"{name}: holds no samples; record or download it again")
    if not np.isfinite(samples).all():
        raise SentimentalError(f"{name}: holds samples that are not numbers; export it again")
    return librosa.resample(samples, orig_sr=sample_rate, target_sr=SAMPLE_RATE)


def clean(samples, name="recording"):
    """Level, trim and denoise a recording: what remains is the speech.

    The peak is brought to ``PEAK_DBFS``, ends whose level lies more than ``TRIM_SHARE`` of the way
    from speech to noise are cut, of more than ``MAX_SECONDS`` the part with the most energy is
    kept, and steady noise is lowered by spectral gating [1]_. Silence that follows the speech would
    change the gate's idea of the noise, so padding comes after it (`pad`), and the same speech
    gives the same features however much padding it gets.

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
        When there is only silence, or less than ``MIN_SECONDS`` of sound.

    References
    ----------
    .. [1] T. Sainburg, M. Thielk, T. Q. Gentner, "Finding, visualizing, and quantifying latent
       structure across diverse animal vocal repertoires", PLoS Comput. Biol. 16(10), 2020;
       https://github.com/timsainb/noisereduce
    """
    import noisereduce

    samples = samples - samples.mean()  # a constant offset is the sound card's, not the speaker's
    peak = np.abs(samples).max()
    if peak < 10 ** (SILENCE_DBFS / 20):
        raise SentimentalError(f"{name}: only silence; check the microphone, or leave it out")
    samples = samples * np.float32(10 ** (PEAK_DBFS / 20) / peak)
    speech = _trim(samples, name)
    speech = _loudest_part(speech, int(MAX_SECONDS * SAMPLE_RATE))
    # The default padding of 30,000 samples at both ends would more than double the work.
    return noisereduce.reduce_noise(
        speech,
        SAMPLE_RATE,
        n_fft=GATE_N_FFT,
        hop_length=GATE_HOP_LENGTH,
        padding=GATE_N_FFT,
        prop_decrease=GATE_PROP_DECREASE,
    )


def _trim(samples, name):
    """Cut what is silence, noise or other voices alone before and after the speech."""
    import librosa
    from scipy.ndimage import uniform_filter1d

    level = librosa.feature.rms(y=samples, frame_length=FRAME_LENGTH, hop_length=HOP_LENGTH)[0]
    level = np.maximum(level**2, 1e-12)
    smooth_db = 10 * np.log10(uniform_filter1d(level, LEVEL_FRAMES, mode="constant"))
    level_db = np.sort(10 * np.log10(level))
    speech_db = level_db[-LOUD_FRAMES:][0]
    top_db = TRIM_SHARE * (speech_db - np.percentile(smooth_db, FLOOR_PERCENTILE))
    threshold = max(speech_db - max(top_db, MIN_TOP_DB), level_db[-1] - MAX_TOP_DB)
    first, last = np.flatnonzero(smooth_db > threshold)[[0, -1]]
    # Averaging made it longer where there is something before or after it.
    n_widened = LEVEL_FRAMES // 2 * (int(first > 0) + int(last < len(level) - 1))
    seconds = max(0, last - first + 1 - n_widened) * HOP_LENGTH / SAMPLE_RATE
    if seconds < MIN_SECONDS:
        raise SentimentalError(
            f"{name}: {seconds:.2f} s of sound, at least {MIN_SECONDS} s are needed"
        )
    start = max(0, first - MARGIN_FRAMES) * HOP_LENGTH
    return samples[start : (last + 1 + MARGIN_FRAMES) * HOP_LENGTH]


def _loudest_part(samples, length):
    """The `length` consecutive samples with the most energy, or all when there are fewer."""
    if len(samples) <= length:
        return samples
    energy = np.concatenate([[0.0], np.cumsum(np.square(samples, dtype=np.float64))])
    start = int(np.argmax(energy[length:] - energy[:-length]))
    return samples[start : start + length]


# Features ---------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=1)
def _mel_filters():
    import librosa

    return librosa.filters.mel(sr=SAMPLE_RATE, n_fft=FRAME_LENGTH, n_mels=N_MELS)


def extract_frames(speech):
    """MFCC, RMS and zero-crossing rate of each frame.

    The same values as `librosa.feature.mfcc`, `rms` and `zero_crossing_rate` give for
    ``FRAME_LENGTH`` and ``HOP_LENGTH``; the filter bank is built once, not for each clip. All
    ``N_MELS`` MFCC are here, more than the network reads: their inverse is the mel spectrum, in
    which training adds noise and other voices.

    Parameters
    ----------
    speech : np.ndarray [shape=(n,), float32], as `clean` returns it

    Returns
    -------
    frames : np.ndarray [shape=(n_frames, N_STORED), float32]
        ``N_MELS`` coefficients, RMS (full scale is 1.0) and the share of zero crossings (0 to 1);
        n_frames = 1 + n // HOP_LENGTH

    References
    ----------
    .. [1] https://librosa.org/doc/latest/feature.html
    """
    import librosa

    spectrum = np.abs(librosa.stft(speech, n_fft=FRAME_LENGTH, hop_length=HOP_LENGTH))
    mel = librosa.power_to_db(_mel_filters() @ spectrum**2)
    mfcc = librosa.feature.mfcc(S=mel, n_mfcc=N_MELS)
    rms = librosa.feature.rms(y=speech, frame_length=FRAME_LENGTH, hop_length=HOP_LENGTH)
    zcr = librosa.feature.zero_crossing_rate(
        speech, frame_length=FRAME_LENGTH, hop_length=HOP_LENGTH
    )
    return np.ascontiguousarray(np.concatenate([mfcc, rms, zcr]).T, dtype=np.float32)


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


@functools.lru_cache(maxsize=1)
def _cosines():
    """The DCT from mel bands to MFCC as a matrix; its transpose is the way back."""
    from scipy.fft import dct

    return dct(np.eye(N_MELS), axis=1, norm="ortho").astype(np.float32)


def to_mel(mfcc):
    """The mel spectrum in dB that all MFCC tell.

    Parameters
    ----------
    mfcc : np.ndarray [shape=(..., N_MELS), float32]

    Returns
    -------
    mel : np.ndarray [shape=(..., N_MELS), float32]
    """
    return np.ascontiguousarray(mfcc) @ _cosines().T  # of a view NumPy would not use BLAS


@functools.lru_cache(maxsize=1)
def mel_bands():
    """Centre and width of the mel bands in Hz; two np.ndarray [shape=(N_MELS,), float32]."""
    import librosa

    edges = librosa.mel_frequencies(N_MELS + 2, fmax=SAMPLE_RATE / 2).astype(np.float32)
    return edges[1:-1], (edges[2:] - edges[:-2]) / 2


def low_crossings(mel):
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
    centres, widths = mel_bands()
    rates = []
    for highest in LOW_PASS:
        used = slice(*np.searchsorted(centres, [HIGH_PASS, highest]))
        power = 10 ** (mel[..., used] / 10) * widths[used]
        mean_square = power @ centres[used] ** 2 / np.maximum(power.sum(axis=-1), 1e-9)
        rates.append(np.log2(2 * np.sqrt(np.maximum(mean_square, 1)) / SAMPLE_RATE))
    return np.stack(rates, axis=-1)


def make_features(mel, others, lengths):
    """What the network reads: MFCC of the upper part of the spectrum, RMS, ZCR, and their slopes.

    Beside the zero-crossing rate of the whole stand those of `low_crossings`. In the spectrum what
    lies ``SPECTRUM_TOP_DB`` below the loudest band is levelled. From the MFCC that tell its shape
    their mean over the recording is subtracted [1]_: it is what microphone, room and throat do to
    all that is said. The slopes are first and second derivatives of a parabola that is fitted to
    ``DELTA_WIDTH`` frames [2]_.

    Parameters
    ----------
    mel : np.ndarray [shape=(n, n_frames, N_MELS), float32], dB
    others : np.ndarray [shape=(n, n_frames, 2), float32], RMS and zero-crossing rate
    lengths : np.ndarray of int [shape=(n,)], frames of each clip that are not padding

    Returns
    -------
    features : np.ndarray [shape=(n, n_frames, N_FEATURES), float32], zeros where padding is

    References
    ----------
    .. [1] B. S. Atal, "Effectiveness of linear prediction characteristics of the speech wave for
       automatic speaker identification and verification", J. Acoust. Soc. Am. 55(6), 1974
    .. [2] https://librosa.org/doc/latest/generated/librosa.feature.delta.html
    """
    from scipy.signal import savgol_filter

    is_speech = (np.arange(mel.shape[1]) < lengths[:, None])[..., None]
    loudest = np.where(is_speech, mel, -np.inf).max(axis=(1, 2), keepdims=True)
    mfcc = np.maximum(mel, loudest - SPECTRUM_TOP_DB) @ _cosines()[:, :N_MFCC]
    mean = (mfcc * is_speech).sum(axis=1, keepdims=True) / lengths[:, None, None]
    mean[..., :FIRST_CENTRED_MFCC] = 0
    frames = np.concatenate([mfcc - mean, others, low_crossings(mel)], axis=-1)
    # The last frame goes on, as if there were no padding to fit a slope to.
    frames = np.where(is_speech, frames, frames[np.arange(len(mel)), lengths - 1][:, None])
    slopes = [
        savgol_filter(frames, DELTA_WIDTH, polyorder=order, deriv=order, axis=1, mode="nearest")
        for order in (1, 2)
    ]
    return np.where(is_speech, np.concatenate([frames, *slopes], axis=-1), 0).astype(np.float32)


def features_of(clips, n_frames=MAX_FRAMES):
    """Padded features of some recordings.

    Parameters
    ----------
    clips : sequence of np.ndarray [shape=(n_i, N_STORED)], as `extract_frames` returns them
    n_frames : int > 0, of the longest at least

    Returns
    -------
    batch : np.ndarray [shape=(len(clips), n_frames, N_FEATURES), float32]
    """
    frames, lengths = pad(clips, n_frames)
    return make_features(to_mel(frames[..., :N_MELS]), frames[..., N_MELS:], lengths)


def extract_features(samples, name="recording"):
    """The whole chain for one recording: `clean`, `extract_frames` and `features_of`.

    Parameters
    ----------
    samples : np.ndarray [shape=(n,), float32], mono at ``SAMPLE_RATE``
    name : what error messages call the recording

    Returns
    -------
    batch : np.ndarray [shape=(1, MAX_FRAMES, N_FEATURES), float32]

    Raises
    ------
    SentimentalError
        As `clean` does.
    """
    return features_of([extract_frames(clean(samples, name))])


# Files ------------------------------------------------------------------------------------------


@contextlib.contextmanager
def whole_file(path):
    """Give a temporary name beside `path` that takes its place only when all went well.

    Raises
    ------
    SentimentalError
        When it cannot be written: no right to, no space left, ...
    """
    path = Path(path)
    # The end of the name stays, because matplotlib and soundfile choose the format by it.
    partial = path.with_name(f".{os.getpid()}.partial.{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        os.replace(partial, path)
    except OSError as error:
        raise SentimentalError(f"{path}: cannot be written ({error.strerror or error})") from None
    finally:
        partial.unlink(missing_ok=True)


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
    with whole_file(path) as partial, open(partial, "w", encoding="utf-8") as stream:
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
        _check_chain(path, content["chain"], "make it again with preprocess.py")
        recordings = content["recordings"]
        for recording in recordings:
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
    except FileNotFoundError:
        raise SentimentalError(f"{path}: no such file; make it with preprocess.py") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError) as error:
        raise SentimentalError(
            f"{path}: not a features file ({type(error).__name__}: {error}); "
            "make it again with preprocess.py"
        ) from None
    return recordings


def _check_chain(path, chain, remedy):
    """Refuse what was made with other constants than this module has now."""
    other = [
        f"{name} {chain.get(name)} instead of {CHAIN.get(name)}"
        for name in sorted({*CHAIN, *chain})
        if chain.get(name) != CHAIN.get(name)
    ]
    if other:
        raise SentimentalError(f"{path}: made with {', '.join(other)}; {remedy}")


# Model ------------------------------------------------------------------------------------------


def import_keras():
    """Import Keras and TensorFlow without the notes that their C++ part writes on start-up."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # for what comes after the import
    sys.stderr.flush()
    stderr = os.dup(2)
    with open(os.devnull, "wb") as null:
        os.dup2(null.fileno(), 2)
    try:
        import keras
        import tensorflow  # Keras would load it later, when its notes are heard

        tensorflow.get_logger().setLevel("ERROR")  # each network of a protocol is compiled anew
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
    return keras


def save_model(model, json_path, weights_path):
    """Write the architecture as JSON and the weights as HDF5.

    Keras 3 takes ``.weights.h5`` for its own layout and every other ``.h5`` for the older one,
    which it reads but writes for whole models only. The weights are written in that older layout,
    so that ``model_from_json(...)`` and ``model.load_weights("model8723_weights.h5")`` work as
    they always have. Beside what Keras reads, the JSON holds the emotions in the order of the
    outputs, the constants of the chain, and a checksum that ties the weights to it.

    Parameters
    ----------
    model : keras.Sequential
    json_path, weights_path : str or Path
    """
    import h5py

    keras = import_keras()

    def names(values):
        return np.array([value.encode() for value in values])

    with whole_file(weights_path) as partial, h5py.File(partial, "w") as file:
        file.attrs["backend"] = keras.backend.backend()
        file.attrs["keras_version"] = keras.__version__
        file.attrs["layer_names"] = names(layer.name for layer in model.layers)
        for layer in model.layers:
            group = file.create_group(layer.name)
            paths = [f"{layer.name}/{weight.name}" for weight in layer.weights]
            group.attrs["weight_names"] = names(paths) if paths else np.array([], "S1")
            for path, weight in zip(paths, layer.get_weights(), strict=True):
                group.create_dataset(path, data=weight)
    # An older Keras 3 refuses settings that it does not know; those that are null say nothing.
    content = json.loads(
        model.to_json(), object_hook=lambda d: {k: v for k, v in d.items() if v is not None}
    )
    content["emotions"] = EMOTIONS
    content["chain"] = CHAIN
    content["weights_checksum"] = weights_checksum(model)
    with whole_file(json_path) as partial:
        partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def weights_checksum(model):
    """Hexadecimal SHA-256 of all weights of a Keras model, as little-endian float32."""
    digest = hashlib.sha256()
    for weight in model.get_weights():
        digest.update(np.ascontiguousarray(weight, "<f4").tobytes())
    return digest.hexdigest()


def load_model(json_path, weights_path):
    """Read a model that `save_model` wrote.

    Parameters
    ----------
    json_path, weights_path : str or Path

    Returns
    -------
    model : keras.Sequential
        (n, MAX_FRAMES, N_FEATURES) features to (n, 8) probabilities, in the order of
        ``EMOTIONS``

    Raises
    ------
    SentimentalError
        When a file is missing, the two do not belong together, or they were made with other
        constants or other layers.
    """
    for path in (json_path, weights_path):
        if not Path(path).is_file():
            raise SentimentalError(f"{path}: no such file; train a model with train_model.py")
    try:
        text = Path(json_path).read_text(encoding="utf-8")
        content = json.loads(text)
        layers = [layer["class_name"] for layer in content["config"]["layers"]]
        emotions, checksum = content["emotions"], content["weights_checksum"]
        _check_chain(json_path, content["chain"], "train a model with these scripts")
    except (ValueError, KeyError, TypeError, AttributeError):
        raise SentimentalError(
            f"{json_path}: not a model of train_model.py; train it again"
        ) from None
    if [*emotions] != [*EMOTIONS] or not {*layers} <= {"InputLayer", "Masking", "LSTM", "Dense"}:
        raise SentimentalError(f"{json_path}: has other emotions or layers than these scripts use")
    keras = import_keras()  # takes seconds, so only when the files are worth it

    try:
        model = keras.models.model_from_json(text)  # Keras' safe mode: no code from the file runs
        model.load_weights(weights_path)
    except Exception as error:  # Keras raises many kinds for files that do not fit
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise SentimentalError(
            f"{json_path} and {weights_path}: Keras {keras.__version__} cannot load them ({reason})"
        ) from None
    if weights_checksum(model) != checksum:
        raise SentimentalError(
            f"{weights_path}: not the weights that {json_path} was saved with; "
            "take both files from the same training"
        )
    return model


def compile_predict(model):
    """A fast prediction function for one clip at a time.

    Parameters
    ----------
    model : keras.Sequential

    Returns
    -------
    predict : callable
        (1, MAX_FRAMES, N_FEATURES) features to (8,) probabilities in the order of
        ``EMOTIONS``. Compiled with XLA, already warm: a plain ``model.predict`` spends far
        more time on its set-up than on the network.

    References
    ----------
    .. [1] https://www.tensorflow.org/xla/tutorials/jit_compile
    """
    import tensorflow as tf

    run = tf.function(functools.partial(model, training=False), jit_compile=True)

    def predict(features):
        return run(tf.constant(features)).numpy()[0]

    predict(np.zeros((1, MAX_FRAMES, N_FEATURES), np.float32))
    return predict
