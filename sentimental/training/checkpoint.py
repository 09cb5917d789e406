"""What a training writes while it runs, so that it can be stopped and resumed at any moment."""

import csv
import hashlib
import os
import re
import shutil

import numpy as np

from sentimental.files import atomic_write, set_aside
from sentimental.model import import_keras
from sentimental.scripts import SentimentalError
from sentimental.speaker import MODEL_CHAIN

keras = import_keras()

# Files of a checkpoint; the first tells whose it is.
FINGERPRINT, HISTORY, LATEST, BEST = (
    "fingerprint.txt",
    "history.csv",
    "latest.weights.h5",
    "best.weights.h5",
)
# Bytes at the end of each file of weights, which HDF5 does not read: a length, and a SHA-256.
N_LENGTH, N_DIGEST = 8, 32


class Checkpoint(keras.callbacks.Callback):
    """Keep the best averaged weights, and all that a resumed training needs, each file whole.

    Keras' `ModelCheckpoint` and `BackupAndRestore` write into the file itself: a training that is
    stopped at that moment leaves a file that is cut, or weights of another epoch than told beside
    them. Here the optimizer's count of steps, in the same file, tells the epoch, and a seal at its
    end tells whether it is whole and how much of the history goes with it.

    Parameters
    ----------
    best : Path, of the averaged weights with the lowest validation loss
    latest : Path, of the weights of both parts, of their average and of the optimizer's state
    past : list of float, validation losses of the epochs before
    """

    def __init__(self, best, latest, past):
        super().__init__()
        self.best, self.latest = best, latest
        self.lowest = np.nanmin([*past, np.inf])

    def on_epoch_end(self, epoch, logs=None):
        """Save what is to be kept."""
        if logs["val_loss"] < self.lowest:
            self.lowest = logs["val_loss"]
            with atomic_write(self.best) as partial:
                self.model.average.save_weights(partial)
                _seal(partial)
        with atomic_write(self.latest) as partial:
            self.model.save_weights(partial)
            _seal(partial, self.latest.with_name(HISTORY).stat().st_size)


def _seal(path, n_history=0):
    """Append to a file of weights what tells that it is whole, as `_read_seal` reads it."""
    content = path.read_bytes() + n_history.to_bytes(N_LENGTH, "little")
    path.write_bytes(content + _digest(content, path.parent, n_history))


def _read_seal(path):
    """Bytes of the history that go with a file of weights; None where either is damaged."""
    sealed = path.read_bytes()
    content, digest = sealed[:-N_DIGEST], sealed[-N_DIGEST:]
    n_history = int.from_bytes(content[-N_LENGTH:], "little")
    return n_history if digest == _digest(content, path.parent, n_history) else None


def _digest(content, folder, n_history):
    """SHA-256 of a file of weights, of whose it is, and of so many bytes of the history."""
    history = folder / HISTORY
    history = history.read_bytes()[:n_history] if history.exists() else b""
    return hashlib.sha256((folder / FINGERPRINT).read_bytes() + history + content).digest()


def fingerprint(recordings, *settings):
    """All that a training depends on, as a hexadecimal string."""
    content = [
        MODEL_CHAIN,
        *settings,
        *((r.file, r.hash, r.condition) for r in recordings),
    ]
    return hashlib.sha256(repr(content).encode()).hexdigest()


def prepare_checkpoint(folder, mark, name=""):
    """Keep what a stopped training of the same fingerprint left, and clear what any other left.

    What is damaged is set aside.

    Parameters
    ----------
    folder : Path
    mark : str, of `fingerprint`
    name : str, what the line that is printed begins with

    Raises
    ------
    SentimentalError
        When the folder is there and is no checkpoint.
    """
    mark_path = folder / FINGERPRINT
    if mark_path.exists():
        known = mark_path.read_bytes()
        if known == mark.encode() and _can_go_on(folder):
            return
        if known == mark.encode() or not re.fullmatch(b"[0-9a-f]{64}", known):
            set_aside(folder, name)
        else:
            print(f"{name}{folder}: of other recordings or settings; training starts anew")
            shutil.rmtree(folder)
    elif folder.exists() and not _is_begun(folder):
        raise SentimentalError(f"{folder}: not a checkpoint of a training; move it away")
    with atomic_write(mark_path) as partial:
        partial.write_text(mark)


def _is_begun(folder):
    """Was a training stopped when it had but begun to write its fingerprint?"""
    return folder.is_dir() and all(".partial." in path.name for path in folder.iterdir())


def _can_go_on(folder):
    """Is all there and undamaged? What was written after the weights is taken off before."""
    history, latest, best = (folder / name for name in (HISTORY, LATEST, BEST))
    if not latest.exists():  # stopped in the first epoch
        history.unlink(missing_ok=True)
        return True
    n_history = _read_seal(latest)
    if n_history is None or (best.exists() and _read_seal(best) is None):
        return False
    os.truncate(history, n_history)
    return best.exists() or bool(np.isnan(read_history(history)["val_loss"]).all())


def read_history(path):
    """What `keras.callbacks.CSVLogger` wrote, as a dict of lists with a value for each epoch."""
    with open(path, newline="") as stream:
        rows = [*csv.DictReader(stream)]
    names = ("loss", "accuracy", "val_loss", "val_accuracy", "seconds")
    return {name: [float(row[name]) for row in rows] for name in names}
