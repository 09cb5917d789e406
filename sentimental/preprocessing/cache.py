"""Frames of recordings that were computed before, so that they are not computed again."""

import contextlib
import hashlib
import os
import shutil
import struct

import numpy as np

from sentimental.features import CHAIN, N_STORED
from sentimental.features_file import check_frames, load_features
from sentimental.files import is_special, lock_folder, unwritable
from sentimental.scripts import SentimentalError, shown

# Before each entry: its SHA-256, and its bytes. It begins with what the frames depend on.
HEAD = struct.Struct("<32sQ")


class FrameCache(contextlib.AbstractContextManager):
    """Frames of recordings, from the features file of the last run and from a run that was stopped.

    Until the features file is whole, frames are added to a file in a folder beside it, which
    belongs to one process at a time; another raises SentimentalError. Of babble only that folder
    counts: it is made of the recordings of the run.

    Parameters
    ----------
    output : Path, the features file; where that is a device or a pipe, nothing is kept
    condition : str
    voices : dict of str, hashes of the files that babble is made of
    """

    def __init__(self, output, condition="", voices=None):
        made_with = repr((CHAIN, condition, [*(voices or {}).items()]))
        self._made_with = hashlib.sha256(made_with.encode())  # of babble it is long
        self._folder, self._known = None, {}  # frames by `_key`
        if is_special(output):
            return
        self._folder = output.with_name(f"{output.stem}_unfinished")
        self._lock = lock_folder(self._folder)
        path = self._folder / ".frames"  # hidden, so that nobody takes it for a recording
        if path.is_dir():  # in the way of frames
            shutil.rmtree(path)
        self._file = open(path, "a+b", buffering=0)  # noqa: SIM115 (a kill would empty a buffer)
        self._known = read_unfinished(self._file)
        self._file.truncate()  # what was cut
        if condition != "babble" and output.exists():
            try:
                for recording in load_features(output):
                    if recording.condition == condition:
                        self._known[self._key(recording.hash)] = recording.frames
            except SentimentalError as error:
                print(shown(f"Computing everything again: {error}"))

    def __exit__(self, kind, *_):
        # Let others use the folder; once all is written, remove it.
        if self._folder:
            self._file.close()
            self._lock.release()
            if kind is None:
                shutil.rmtree(self._folder)

    def _key(self, content_hash):
        """All that frames depend on, as 32 bytes."""
        key = self._made_with.copy()
        key.update(f" {content_hash}".encode())
        return key.digest()

    def load(self, content_hash):
        """Frames of a recording; None where they are not known, or damaged."""
        return self._known.get(self._key(content_hash))

    def save(self, content_hash, frames):
        """Keep the frames of a recording; raise SentimentalError where they cannot be written."""
        if self._folder:
            entry = self._key(content_hash) + frames.tobytes()
            try:
                self._file.write(HEAD.pack(hashlib.sha256(entry).digest(), len(entry)) + entry)
            except OSError as error:
                raise unwritable(self._folder, error) from None


def read_unfinished(file):
    """Frames that `FrameCache.save` wrote, by key, up to where a run was killed or a disk damaged.

    The place in the file is there afterwards.
    """
    known, end, size = {}, 0, os.fstat(file.fileno()).st_size
    file.seek(0)
    with contextlib.suppress(ValueError):  # no frames
        while len(head := file.read(HEAD.size)) == HEAD.size:
            digest, n_bytes = HEAD.unpack(head)
            entry = file.read(n_bytes) if n_bytes < size else b""
            if digest != hashlib.sha256(entry).digest():
                break
            frames = np.frombuffer(entry[32:], np.float32).reshape(-1, N_STORED)
            check_frames(frames)
            known[entry[:32]], end = frames, file.tell()
    file.seek(end)
    return known
