"""The features file: what preprocess.py writes and train_model.py reads."""

import hashlib
import math
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from sentimental.features import CHAIN, MAX_FRAMES, N_STORED, check_chain
from sentimental.files import DAMAGED, atomic_write, checksum
from sentimental.scripts import EMOTIONS, SentimentalError

# Letters of the frames of a recording, in base 64, at most. Packed by gzip, as json_tricks does by
# itself, they may unpack to a thousand times as much: that is refused, and still is no burden.
MAX_PACKED = 2 * MAX_FRAMES * N_STORED * np.float32().nbytes


@dataclass
class Recording:
    """A recording that is known by name, and its frames once they are computed.

    Attributes
    ----------
    file : str, path with forward slashes
    corpus, speaker, emotion : str; the speaker is "" where nobody knows it
    hash : str, SHA-256 of the file, hexadecimal
    condition : str, how it was changed for a test; "" where it was not
    frames : np.ndarray [shape=(n_frames, N_STORED), float32], or None
    start, end : float, s, where only a part of the file counts; or None
    """

    file: str
    corpus: str
    speaker: str
    emotion: str
    hash: str = ""
    condition: str = ""
    frames: np.ndarray | None = field(default=None, compare=False, repr=False)
    start: float | None = None
    end: float | None = None

    @property
    def name(self):
        """What messages call it: its file and, where only a part of that counts, which."""
        if self.start is None and self.end is None:
            return self.file
        end = "end" if self.end is None else f"{self.end:g} s"
        return f"{self.file} ({self.start or 0:g} s to {end})"


def save_features(path, recordings):
    """Write recordings (list of Recording) as JSON that `json_tricks.load` reads."""
    import json_tricks

    recordings = [
        {name: value for name, value in vars(recording).items() if value is not None}
        for recording in recordings
    ]
    content = {"chain": CHAIN, "emotions": EMOTIONS, "recordings": recordings}
    content["checksum"] = _checksum(content)
    with atomic_write(path) as partial, open(partial, "w", encoding="utf-8") as stream:
        # gzip would take most of the time and make frames 6 % smaller. json_tricks leaves it out of
        # arrays when it is told that the whole file will be packed.
        properties = {"ndarray_compact": True, "compression": True}
        json_tricks.dump(content, stream, properties=properties)


def load_features(path):
    """Read what `save_features` wrote; refuse other constants, and a file with one wrong bit.

    Of json_tricks' hooks only NumPy's is used, for frames alone: the others import and build
    whatever class a file names, and a features file may come from a stranger.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    recordings : list of Recording

    Raises
    ------
    SentimentalError
        When the file is missing or damaged, is no features file, or was made with other constants.
    """
    import json_tricks

    try:
        content = json_tricks.loads(
            Path(path).read_text(encoding="utf-8"),
            preserve_order=False,
            ignore_comments=False,
            obj_pairs_hooks=[_unpack_frames],
        )
        check_chain(path, content["chain"], "make it again with preprocess.py")
        recordings = [Recording(**recording) for recording in content["recordings"]]
        for recording in recordings:
            _check_recording(recording)
        if content["checksum"] != _checksum(content):
            raise ValueError("its checksum is of other content")
    except FileNotFoundError:
        raise SentimentalError(f"{path}: no such file; make it with preprocess.py") from None
    except (*DAMAGED, OSError, AssertionError, EOFError, zlib.error) as error:
        raise SentimentalError(
            f"{path}: not a features file ({type(error).__name__}: {error}); "
            "make it again with preprocess.py"
        ) from None
    return recordings


def _unpack_frames(content):
    """json_tricks' hook for arrays; raise ValueError where one would be anything but frames."""
    from json_tricks.decoders import json_numpy_obj_hook

    if "__ndarray__" in content:
        packed, kind = content["__ndarray__"], (content["dtype"], content["endian"])
        is_packed = isinstance(packed, str) and len(packed) <= MAX_PACKED and content["shape"]
        if not is_packed or kind not in (("float32", "little"), ("float32", "big")):
            raise ValueError("an array that is no frames")
    return json_numpy_obj_hook(content)


def _checksum(content):
    """Of all that a features file tells, however it is written."""
    described = [
        recording | {"frames": hashlib.sha256(recording["frames"].tobytes()).hexdigest()}
        for recording in content["recordings"]
    ]
    return checksum(content | {"recordings": described})


def check_frames(frames):
    """Raise ValueError when an array holds no frames of a recording."""
    is_form = frames.shape[1:] == (N_STORED,) and frames.dtype == np.float32
    if not (is_form and 0 < len(frames) <= MAX_FRAMES and np.isfinite(frames).all()):
        raise ValueError(f"bad frames: {frames.dtype} of shape {frames.shape}, or not numbers")


def _check_recording(recording):
    """Raise ValueError, or what a wrong type leads to, when it is not as `save_features` has it."""
    check_frames(recording.frames)
    if recording.emotion not in EMOTIONS:
        raise ValueError(f"unknown emotion of {recording.file}")
    texts = ("file", "hash", "corpus", "speaker", "condition")
    if not all(isinstance(getattr(recording, name), str) for name in texts):
        raise ValueError(f"{', '.join(texts)} must be texts")
    if not all(s is None or 0 <= s < math.inf for s in (recording.start, recording.end)):
        raise ValueError(f"no part of {recording.file}")
