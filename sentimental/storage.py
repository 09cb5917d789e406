"""The features file: what preprocess.py writes and train_model.py reads."""

import zlib

import numpy as np

from sentimental.base import EMOTIONS, SentimentalError, atomic_write
from sentimental.features import CHAIN, MAX_FRAMES, N_STORED, check_chain


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
        recordings = [*content["recordings"]]
        for recording in recordings:
            _check_recording(recording)
    except FileNotFoundError:
        raise SentimentalError(f"{path}: no such file; make it with preprocess.py") from None
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        EOFError,
        OverflowError,
        RecursionError,
        zlib.error,
    ) as error:
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
