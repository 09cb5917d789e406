"""How files are written, and how scripts end."""

import json
import os
import subprocess
import sys

import pytest
from scripts import ROOT

from sentimental.base import SentimentalError, atomic_write, run_script, write_json


def raiser(error):
    def main():
        raise error

    return main


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (SentimentalError("a.wav: is empty; delete it"), 1, "error: a.wav: is empty; delete it"),
        (
            PermissionError(13, "Permission denied", "a.wav"),
            1,
            "error: a.wav: Permission denied",
        ),
        (OSError(28, "No space left on device"), 1, "error: system: No space left on device"),
        (KeyboardInterrupt(), 130, "stopped"),
    ],
)
def test_what_a_user_can_mend_ends_a_script_with_one_line(capsys, error, status, line):
    assert run_script(raiser(error)) == status
    assert capsys.readouterr().err.strip() == line


def test_the_status_of_a_script_is_passed_on():
    assert run_script(lambda: None) == 0
    assert run_script(lambda: 3) == 3


def test_an_error_of_the_program_is_not_hidden():
    with pytest.raises(ZeroDivisionError):
        run_script(raiser(ZeroDivisionError()))


@pytest.mark.skipif(os.name == "nt", reason="Windows has no pipes that break")
def test_a_reader_that_has_left_ends_a_script_quietly():
    code = (
        "import sys; from sentimental.base import run_script; "
        "sys.exit(run_script(lambda: [print(n) for n in range(100_000)] and None))"
    )
    writer = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert writer.stdout.readline() == b"0\n"
    writer.stdout.close()
    assert writer.stderr.read() == b""
    assert writer.wait(30) == 1


def test_a_write_that_fails_leaves_the_old_file_whole(tmp_path):
    path = tmp_path / "features.json"
    path.write_text("old")

    def write():
        with atomic_write(path) as partial:
            partial.write_text("new")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_is_synced_whole_before_it_takes_its_place(tmp_path, monkeypatch):
    events, replace = [], os.replace
    monkeypatch.setattr(os, "fsync", lambda number: events.append(os.fstat(number).st_size))
    monkeypatch.setattr(os, "replace", lambda *paths: events.append("replace") or replace(*paths))
    write_json(tmp_path / "figures.json", {"uar": 0.1})
    assert events == [(tmp_path / "figures.json").stat().st_size, "replace"]


def test_a_write_that_succeeds_makes_its_folder_and_takes_the_place_of_the_old_file(tmp_path):
    path = tmp_path / "new" / "figures.json"
    for content in ({"uar": 0.1}, {"uar": 0.2}):
        write_json(path, content)
        assert json.loads(path.read_text()) == content
    assert list(path.parent.iterdir()) == [path]


def test_a_partial_file_keeps_its_extension(tmp_path):
    with atomic_write(tmp_path / "plot.png") as partial:
        assert partial.suffix == ".png"
        partial.touch()


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    path = tmp_path / "folder"
    path.mkdir()
    (path / "file").touch()
    with pytest.raises(SentimentalError, match="cannot be written") as caught:
        write_json(path / "file" / "figures.json", {})
    assert str(caught.value).startswith(f"{path / 'file' / 'figures.json'}: ")
    assert list(path.iterdir()) == [path / "file"]


def test_what_cannot_take_its_place_is_kept_and_named(tmp_path):
    path = tmp_path / "figures.json"
    path.mkdir()
    with pytest.raises(SentimentalError, match="it is kept as") as caught:
        write_json(path, {"uar": 0.1})
    (partial,) = {*tmp_path.iterdir()} - {path}
    assert str(caught.value).endswith(str(partial))
    assert json.loads(partial.read_text()) == {"uar": 0.1}


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, BrokenPipeError])
def test_what_was_written_before_an_error_is_kept_where_that_is_wanted(tmp_path, error):
    path = tmp_path / "log.csv"

    def write():
        with atomic_write(path, keep=True) as partial:
            partial.write_text("a row")
            raise error

    with pytest.raises(error):
        write()
    assert path.read_text() == "a row"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "error", [BrokenPipeError(32, "Broken pipe"), PermissionError(13, "no right", "another.wav")]
)
def test_an_error_of_something_else_is_not_blamed_on_the_file(tmp_path, error):
    with pytest.raises(type(error)) as caught, atomic_write(tmp_path / "log.csv"):
        raise error
    assert caught.value is error
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_blamed_on_the_file(tmp_path):
    with (
        pytest.raises(SentimentalError, match=r"log.csv: cannot be written \(No space left\)"),
        atomic_write(tmp_path / "log.csv"),
    ):
        raise OSError(28, "No space left")
