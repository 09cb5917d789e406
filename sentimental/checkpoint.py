"""What a training writes while it runs, so that it can be stopped and resumed at any moment."""

import csv
import hashlib
import shutil

import numpy as np

from sentimental.base import SentimentalError, atomic_write
from sentimental.model import import_keras
from sentimental.voice import MODEL_CHAIN

keras = import_keras()


class Checkpoint(keras.callbacks.Callback):
    """Keep the best averaged weights, and all that a resumed training needs, each file whole.

    Keras' `ModelCheckpoint` and `BackupAndRestore` write into the file itself: a training that is
    stopped at that moment leaves a file that is cut, or weights of another epoch than told beside
    them. Here the optimizer's count of steps, in the same file, tells the epoch.

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
        with atomic_write(self.latest) as partial:
            self.model.save_weights(partial)


def fingerprint(recordings, *settings):
    """All that a training depends on, as a hexadecimal string."""
    content = [
        MODEL_CHAIN,
        *settings,
        *((r["file"], r["hash"], r["condition"]) for r in recordings),
    ]
    return hashlib.sha256(repr(content).encode()).hexdigest()


def prepare_checkpoint(folder, mark, name=""):
    """Keep what a stopped training of the same fingerprint left, and clear what any other left.

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
    mark_path = folder / "fingerprint.txt"
    if folder.exists():
        if not mark_path.exists():
            raise SentimentalError(f"{folder}: not a checkpoint of a training; move it away")
        if mark_path.read_text() == mark:
            return
        print(f"{name}{folder}: of other recordings or settings; training starts anew")
        shutil.rmtree(folder)
    with atomic_write(mark_path) as partial:
        partial.write_text(mark)


def read_history(path):
    """What `keras.callbacks.CSVLogger` wrote, as a dict of lists with a value for each epoch."""
    with open(path, newline="") as stream:
        # An epoch whose backup did not come to an end is there twice, and is the same both times.
        rows = {int(row["epoch"]): row for row in csv.DictReader(stream)}
    names = ("loss", "accuracy", "val_loss", "val_accuracy", "seconds")
    return {name: [float(row[name]) for row in rows.values()] for name in names}
