"""The frames of recordings that are finished, while a run of preprocess.py is not."""

import hashlib

import numpy as np

from sentimental.features import CHAIN
from sentimental.files import remove_folder
from sentimental.scripts import SentimentalError


class Finished:
    """A folder of frames, a file for each recording, which a run that was stopped leaves.

    Parameters
    ----------
    folder : Path or None; without one, nothing is kept
    *made_with : what the frames depend on beside the recording and the chain; its `repr` tells it

    Raises
    ------
    SentimentalError
        When the folder cannot be made.
    """

    def __init__(self, folder, *made_with):
        self.folder, self._made_with = folder, made_with
        if folder:
            try:
                folder.mkdir(exist_ok=True)
            except OSError as error:
                raise self._cannot_write(error) from None

    def _path(self, content_hash):
        # The name tells all that the frames depend on.
        told = repr((CHAIN, self._made_with, content_hash))
        return self.folder / f"{hashlib.sha256(told.encode()).hexdigest()}.npy"

    def save(self, content_hash, frames):
        """Keep the frames of a recording; raise SentimentalError where they cannot be written."""
        if self.folder:
            try:
                np.save(self._path(content_hash), frames)
            except OSError as error:
                raise self._cannot_write(error) from None

    def load(self, content_hash):
        """Frames of a recording; None where there are none, or not all of them."""
        try:
            return np.load(self._path(content_hash)) if self.folder else None
        except (OSError, ValueError, EOFError):  # killed while it was written
            return None

    def clear(self):
        """Remove the folder, once all is written."""
        if self.folder:
            remove_folder(self.folder)

    def _cannot_write(self, error):
        return SentimentalError(f"{self.folder}: cannot be written ({error.strerror or error})")
