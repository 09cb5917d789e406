"""Frames of recordings that were computed before, so that they are not computed again."""

import contextlib
import hashlib
import io
import shutil

import numpy as np

from sentimental.features import CHAIN
from sentimental.features_file import check_frames, load_features
from sentimental.files import is_special, lock_folder
from sentimental.scripts import SentimentalError, shown


class FrameCache:
    """Frames of recordings, from the features file of the last run and from a run that was stopped.

    Until the features file is whole, the frames of each recording lie beside it in a folder, which
    belongs to one process at a time; another raises SentimentalError. Of babble only that folder
    counts: it is made of the recordings of the run.

    Parameters
    ----------
    output : Path, the features file; where that is a device or a pipe, nothing is kept
    condition : str
    voices : dict of str, hashes of the files that babble is made of
    """

    def __init__(self, output, condition="", voices=None):
        self.found = set()  # hashes of recordings whose frames were known
        self._made_with = CHAIN, condition, [*(voices or {}).items()]
        self._folder, self._known = None, {}
        if is_special(output):
            return
        self._folder = output.with_name(f"{output.stem}_unfinished")
        self._lock = lock_folder(self._folder)
        if condition != "babble" and output.exists():
            try:
                recordings = [r for r in load_features(output) if r.condition == condition]
                self._known = {recording.hash: recording.frames for recording in recordings}
            except SentimentalError as error:
                print(shown(f"Computing everything again: {error}"))

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        # Let others use the folder; once all is written, remove it.
        if self._folder:
            self._lock.release()
            if kind is None:
                shutil.rmtree(self._folder)

    def _path(self, content_hash):
        """Where frames lie: the name tells all that they depend on."""
        key = repr((*self._made_with, content_hash))
        return self._folder / f"{hashlib.sha256(key.encode()).hexdigest()}.npy"

    def load(self, content_hash):
        """Frames of a recording; None where they are not known, or damaged."""
        frames = self._known.get(content_hash)
        if frames is None and self._folder:
            frames = _read(self._path(content_hash))
        if frames is not None:
            self.found.add(content_hash)
        return frames

    def save(self, content_hash, frames):
        """Keep the frames of a recording; raise SentimentalError where they cannot be written."""
        if not self._folder:
            return
        path, content = self._path(content_hash), io.BytesIO()
        np.save(content, frames)
        try:
            path.write_bytes(content.getvalue() + _digest(path, content.getvalue()))
        except OSError as error:
            line = f"{self._folder}: cannot be written ({error.strerror or error})"
            raise SentimentalError(line) from None


def _read(path):
    """Frames that `save` wrote; None where there are none, a run was killed or a disk damaged."""
    if path.is_dir():  # in the way of frames
        shutil.rmtree(path)
    with contextlib.suppress(OSError, ValueError, EOFError, MemoryError):
        content = path.read_bytes()
        if content[-32:] == _digest(path, content[:-32]):
            frames = np.load(io.BytesIO(content))
            check_frames(frames)
            return frames
    return None


def _digest(path, content):
    return hashlib.sha256(path.name.encode() + content).digest()
