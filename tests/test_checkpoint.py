"""What a stopped training leaves is used for the same training alone."""

import pytest
from signals import make_recordings

from sentimental import checkpoint
from sentimental.augment import Augmentation
from sentimental.base import SentimentalError
from sentimental.checkpoint import fingerprint, prepare_checkpoint, read_history
from sentimental.settings import Training


def test_what_a_training_depends_on_changes_its_fingerprint(monkeypatch):
    recordings = make_recordings(8)
    marks = {
        fingerprint(recordings, Training(), Augmentation(), 4, 1),
        fingerprint(recordings, Training(), Augmentation(), 4, 2),
        fingerprint(recordings, Training(), Augmentation(), 5, 1),
        fingerprint(recordings[1:], Training(), Augmentation(), 4, 1),
        fingerprint(recordings, Training(batch_size=16), Augmentation(), 4, 1),
        fingerprint(recordings, Training(), Augmentation(jitter=0.2), 4, 1),
    }
    monkeypatch.setitem(checkpoint.MODEL_CHAIN, "octave_cost", 0.5)
    marks.add(fingerprint(recordings, Training(), Augmentation(), 4, 1))
    assert len(marks) == 7


def test_a_checkpoint_is_kept_for_the_same_training_only(tmp_path, capsys):
    folder = tmp_path / "checkpoint"
    prepare_checkpoint(folder, "one")
    (folder / "something").write_text("kept")
    prepare_checkpoint(folder, "one")
    assert (folder / "something").exists()
    assert not capsys.readouterr().out
    prepare_checkpoint(folder, "two")
    assert not (folder / "something").exists()
    assert "of other recordings or settings; training starts anew" in capsys.readouterr().out


def test_a_folder_of_the_user_is_left_alone(tmp_path):
    (tmp_path / "photo.jpg").write_text("mine")
    with pytest.raises(SentimentalError, match="not a checkpoint of a training"):
        prepare_checkpoint(tmp_path, "one")
    assert (tmp_path / "photo.jpg").exists()


def test_an_epoch_that_was_done_twice_counts_once(tmp_path):
    path = tmp_path / "history.csv"
    names = ["epoch", "loss", "accuracy", "val_loss", "val_accuracy", "seconds"]
    rows = [
        [0, 2.0, 0.1, 2.1, 0.2, 5.0],
        [1, 1.5, 0.3, 1.6, 0.4, 4.0],
        [1, 1.5, 0.3, 1.6, 0.4, 6.0],
    ]
    path.write_text("\n".join(",".join(map(str, row)) for row in [names, *rows]) + "\n")
    history = read_history(path)
    assert history["val_loss"] == [2.1, 1.6]
    assert history["seconds"] == [5.0, 6.0]
