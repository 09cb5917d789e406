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
    path = tmp_path / "figures.json"
    path.mkdir()
    with pytest.raises(SentimentalError, match="cannot be written") as caught:
        write_json(path, {})
    assert str(caught.value).startswith(f"{path}: ")
    assert list(tmp_path.iterdir()) == [path]
