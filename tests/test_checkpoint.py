"""What a stopped training leaves is used for the same training alone, and only when it is whole."""

from dataclasses import replace

import pytest
from signals import make_recordings

from sentimental.scripts import SentimentalError
from sentimental.training import checkpoint
from sentimental.training.augment import Augmentation
from sentimental.training.checkpoint import (
    BEST,
    FINGERPRINT,
    HISTORY,
    LATEST,
    Checkpoint,
    fingerprint,
    prepare_checkpoint,
    read_history,
)
from sentimental.training.settings import Training

ONE, TWO = "1" * 64, "2" * 64


def test_what_a_training_depends_on_changes_its_fingerprint(monkeypatch):
    recordings = make_recordings(8)
    marks = {
        fingerprint(recordings, Training(), Augmentation(), 4, 1),
        fingerprint(recordings, Training(), Augmentation(), 4, 2),
        fingerprint(recordings, Training(), Augmentation(), 5, 1),
        fingerprint(recordings[1:], Training(), Augmentation(), 4, 1),
        fingerprint(
            [replace(recordings[0], hash="other"), *recordings[1:]],
            Training(),
            Augmentation(),
            4,
            1,
        ),
        fingerprint(recordings, Training(batch_size=16), Augmentation(), 4, 1),
        fingerprint(recordings, Training(), Augmentation(jitter=0.2), 4, 1),
    }
    monkeypatch.setitem(checkpoint.MODEL_CHAIN, "octave_cost", 0.5)
    marks.add(fingerprint(recordings, Training(), Augmentation(), 4, 1))
    assert len(marks) == 8


def test_a_checkpoint_is_kept_for_the_same_training_only(tmp_path, capsys):
    folder = tmp_path / "checkpoint"
    prepare_checkpoint(folder, ONE)
    (folder / "something").write_text("kept")
    prepare_checkpoint(folder, ONE)
    assert (folder / "something").exists()
    assert not capsys.readouterr().out
    prepare_checkpoint(folder, TWO)
    assert not (folder / "something").exists()
    assert "of other recordings or settings; training starts anew" in capsys.readouterr().out


def test_a_folder_of_the_user_is_left_alone(tmp_path):
    (tmp_path / "photo.jpg").write_text("mine")
    with pytest.raises(SentimentalError, match="not a checkpoint of a training"):
        prepare_checkpoint(tmp_path, ONE)
    with pytest.raises(SentimentalError, match="not a checkpoint of a training"):
        prepare_checkpoint(tmp_path / "photo.jpg", ONE)
    assert (tmp_path / "photo.jpg").exists()


# Damage


class Weights:
    """Stands for a network and for its average."""

    def __init__(self, text):
        self.text, self.average = text, self

    def save_weights(self, path):
        path.write_text(self.text)


NAMES = ["epoch", "loss", "accuracy", "val_loss", "val_accuracy", "seconds"]
ROWS = ["0,2.0,0.1,2.1,0.2,5.0", "1,1.5,0.3,1.6,0.4,4.0"]


def leave_two_epochs(folder, text="weights", mark=ONE):
    """What a training that was stopped after its second epoch leaves."""
    prepare_checkpoint(folder, mark)
    saver = Checkpoint(folder / BEST, folder / LATEST, [])
    saver.set_model(Weights(text))
    with open(folder / HISTORY, "w") as history:
        for epoch, row in enumerate([",".join(NAMES), *ROWS], -1):
            history.write(f"{row}\n")
            history.flush()
            if epoch >= 0:
                saver.on_epoch_end(epoch, {"val_loss": float(row.split(",")[3])})


def flip(content):
    """One bit is another."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize("damage", [lambda content: b"", lambda content: content[:-5], flip])
@pytest.mark.parametrize("name", [LATEST, BEST, HISTORY])
def test_a_damaged_checkpoint_is_set_aside_and_the_training_starts_anew(
    name, damage, tmp_path, capsys
):
    folder = tmp_path / "checkpoint"
    leave_two_epochs(folder)
    damaged = damage((folder / name).read_bytes())
    (folder / name).write_bytes(damaged)
    prepare_checkpoint(folder, ONE, "fold 3: ")
    line = f"fold 3: {folder}: damaged, kept as checkpoint.damaged; this part starts anew\n"
    assert capsys.readouterr().out == line
    assert [path.name for path in folder.iterdir()] == [FINGERPRINT]
    assert (tmp_path / "checkpoint.damaged" / name).read_bytes() == damaged

    leave_two_epochs(folder)  # a second time, it takes the place of the first
    (folder / name).write_text("other damage")
    prepare_checkpoint(folder, ONE)
    assert "damaged" in capsys.readouterr().out
    assert (tmp_path / "checkpoint.damaged" / name).read_text() == "other damage"


@pytest.mark.parametrize("name", [LATEST, BEST])
def test_weights_of_another_training_are_damage(name, tmp_path, capsys):
    leave_two_epochs(tmp_path / "other", "of another shape", TWO)
    leave_two_epochs(tmp_path / "checkpoint")
    (tmp_path / "other" / name).replace(tmp_path / "checkpoint" / name)
    prepare_checkpoint(tmp_path / "checkpoint", ONE)
    assert "damaged, kept as" in capsys.readouterr().out


@pytest.mark.parametrize("mark", [b"", b"1" * 40, b"\xff\0"])
def test_a_checkpoint_of_which_nobody_knows_whose_it_is_is_not_deleted(mark, tmp_path, capsys):
    folder = tmp_path / "checkpoint"
    leave_two_epochs(folder)
    (folder / FINGERPRINT).write_bytes(mark)
    prepare_checkpoint(folder, ONE)
    assert "damaged, kept as" in capsys.readouterr().out
    assert (tmp_path / "checkpoint.damaged" / LATEST).exists()


@pytest.mark.parametrize("more", ["", "2,1.0,0.5,1.1,0.6,4.0\n", "2,1.0,0", "\0" * 40])
def test_what_was_noted_of_an_epoch_that_was_not_saved_is_taken_off(more, tmp_path, capsys):
    folder = tmp_path / "checkpoint"
    leave_two_epochs(folder)
    with open(folder / HISTORY, "a") as history:
        history.write(more)
    prepare_checkpoint(folder, ONE)
    assert not capsys.readouterr().out
    history = read_history(folder / HISTORY)
    assert history["val_loss"] == [2.1, 1.6]
    assert history["seconds"] == [5.0, 4.0]


def test_of_a_training_that_was_stopped_in_its_first_epoch_nothing_is_taken(tmp_path):
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    (folder / ".1.partial.fingerprint.txt").touch()  # it was killed at once
    prepare_checkpoint(folder, ONE)
    (folder / HISTORY).write_text("epoch,lo")
    prepare_checkpoint(folder, ONE)
    assert not (folder / HISTORY).exists()


def test_without_a_best_epoch_a_training_goes_on_only_if_no_loss_was_a_number(tmp_path, capsys):
    folder = tmp_path / "checkpoint"
    prepare_checkpoint(folder, ONE)
    saver = Checkpoint(folder / BEST, folder / LATEST, [])
    saver.set_model(Weights("weights"))
    (folder / HISTORY).write_text(",".join(NAMES) + "\n0,nan,0.1,nan,0.2,5.0\n")
    saver.on_epoch_end(0, {"val_loss": float("nan")})
    prepare_checkpoint(folder, ONE)
    assert (folder / LATEST).exists()
    assert not capsys.readouterr().out
