"""How files are written, and how scripts end."""

import json
import os
import signal
import sys
import threading

import pytest
from scripts import ROOT, python, start

from sentimental.files import atomic_write, check_outputs, write_json
from sentimental.scripts import (
    END_SIGNALS,
    SentimentalError,
    Stopped,
    check_stop,
    interruptible,
    run_script,
    stop_signal,
)


def raiser(error):
    def main():
        raise error

    return main


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (Stopped(15), 143, "stopped"),
        (KeyboardInterrupt(), 130, "stopped"),
        (SentimentalError("a\nb\udcfc.wav: is empty"), 1, r"error: a\nb\xfc.wav: is empty"),
        (SentimentalError("\x1b[31m\u202e.wav: no"), 1, r"error: \x1b[31m\u202e.wav: no"),
        (SentimentalError("glücklich 幸せ.wav: no"), 1, "error: glücklich 幸せ.wav: no"),
        (PermissionError(13, "no right", "a\nb.wav"), 1, r"error: a\nb.wav: no right"),
        (OSError(28, "No space left on device"), 1, "error: system: No space left on device"),
    ],
)
def test_what_a_user_can_mend_ends_a_script_with_one_line(capsys, error, status, line):
    assert run_script(raiser(error)) == status
    assert capsys.readouterr().err.strip() == line


def test_a_status_is_passed_on_and_an_error_of_the_program_is_not_hidden():
    assert [run_script(lambda: None), run_script(lambda: 3)] == [0, 3]
    with pytest.raises(ZeroDivisionError):
        run_script(raiser(ZeroDivisionError()))


def start_main(main, **options):
    """Start a script with this `main`, an expression."""
    code = f"import sys; from sentimental.scripts import run_script; sys.exit(run_script({main}))"
    return start("-c", code, env=os.environ | {"PYTHONUNBUFFERED": ""}, **options)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no pipes that break")
def test_a_reader_that_has_left_ends_a_script_quietly():
    writer = start_main("lambda: [print(n) for n in range(100_000)] and None")
    assert writer.stdout.readline() == b"0\n"
    writer.stdout.close()
    assert writer.stderr.read() == b""
    assert writer.wait(30) == 1


@pytest.mark.parametrize("number", END_SIGNALS)
def test_a_signal_ends_a_script_where_it_looks_and_a_second_one_is_the_same_wish(
    capsys, monkeypatch, number
):
    monkeypatch.setattr("sentimental.scripts.SAME_WISH_SECONDS", 300)  # however busy the machine is
    saved = []
    before = {number: signal.getsignal(number) for number in END_SIGNALS}

    def main():
        signal.raise_signal(number)
        signal.raise_signal(signal.SIGTERM)
        saved.append(stop_signal())
        check_stop()
        saved.append("too late")

    assert run_script(main) == 128 + number
    assert saved == [number]
    assert stop_signal() is None
    assert capsys.readouterr().err.strip() == "stopped"
    assert {number: signal.getsignal(number) for number in END_SIGNALS} == before


def test_a_later_second_signal_ends_the_process_at_once(capsys, monkeypatch):
    monkeypatch.setattr("sentimental.scripts.SAME_WISH_SECONDS", 0)
    monkeypatch.setattr(os, "_exit", sys.exit)

    def main():
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
        raise AssertionError("too late")

    with pytest.raises(SystemExit) as caught:
        run_script(main)
    assert (caught.value.code, capsys.readouterr().err.strip()) == (130, "stopped")


def test_waiting_is_interrupted_once_and_what_follows_it_is_not(monkeypatch):
    monkeypatch.setattr("sentimental.scripts.SAME_WISH_SECONDS", 300)
    saved = []

    def main():
        with interruptible():
            try:
                with interruptible():
                    pass
                signal.raise_signal(signal.SIGTERM)
                saved.append("too late")
            finally:
                signal.raise_signal(signal.SIGTERM)
                saved.append("result")

    assert run_script(main) == 143
    assert saved == ["result"]
    assert run_script(lambda: (signal.raise_signal(signal.SIGTERM), interruptible()(main)())) == 143
    assert saved == ["result"]


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="no SIGHUP here")
def test_what_nohup_ignores_does_not_end_a_script():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert run_script(lambda: (signal.raise_signal(signal.SIGHUP), check_stop())[1]) == 0
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
@pytest.mark.parametrize(
    "script", ["preprocess.py", "train_model.py", "realtime_emotion_recognition.py"]
)
def test_ctrl_c_during_the_imports_is_one_line(tmp_path, script):
    (tmp_path / "numpy.py").write_text("print('importing', flush=True)\nwhile True: pass")
    started = start(ROOT / script, "x", env=os.environ | {"PYTHONPATH": str(tmp_path)})
    assert started.stdout.readline() == b"importing\n"
    started.send_signal(signal.SIGINT)
    _, notes = started.communicate(timeout=30)
    assert (notes.strip(), started.returncode) == (b"stopped", 130)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
@pytest.mark.parametrize("n_lines", [1, 100_000])  # told when it ends, and while it prints
def test_a_full_disk_under_the_standard_output_is_one_line(n_lines):
    with open("/dev/full", "w") as full:
        script = start_main(f"lambda: [print(n) for n in range({n_lines})] and None", stdout=full)
    _, notes = script.communicate(timeout=30)
    assert notes.splitlines() == [b"error: system: No space left on device"]
    assert script.returncode == 1


def test_a_write_makes_its_folder_and_replaces_the_old_file_once_it_is_on_the_disk(
    tmp_path, monkeypatch
):
    path, events, replace = tmp_path / "new" / "figures.json", [], os.replace
    monkeypatch.setattr(os, "fsync", lambda number: events.append(os.fstat(number).st_size))
    monkeypatch.setattr(os, "replace", lambda *paths: events.append(paths[0]) or replace(*paths))
    for content in ({"uar": 0.1}, {"uar": 0.25}):
        write_json(path, content)
        assert json.loads(path.read_text()) == content
        size, partial = events[-2:]
        assert size == path.stat().st_size
        assert partial.suffix == ".json"  # by which matplotlib chooses the format of a picture
        assert list(path.parent.iterdir()) == [path]
        if os.name != "nt":
            path.chmod(0o600)  # what only its owner may read stays so
            write_json(path, content)
            assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(os.name == "nt", reason="Windows lets few users make links")
def test_a_link_stays_a_link(tmp_path):
    real, link = tmp_path / "real.json", tmp_path / "link.json"
    link.symlink_to(real)
    for content in ({"uar": 0.1}, {"uar": 0.2}):  # a broken link first
        write_json(link, content)
        assert json.loads(real.read_text()) == content
    assert link.is_symlink()
    assert {*tmp_path.iterdir()} == {real, link}


@pytest.mark.skipif(os.name == "nt", reason="Windows lets few users make links")
@pytest.mark.parametrize(
    "write", [lambda path: write_json(path, {}), lambda path: check_outputs([path])]
)
def test_a_link_in_place_of_a_partial_file_is_not_followed(tmp_path, write):
    other = tmp_path / "other"
    other.write_text("somebody's")
    (tmp_path / f".{os.getpid()}.partial.a.json").symlink_to(other)
    write(tmp_path / "a.json")
    assert other.read_text() == "somebody's"
    assert not (tmp_path / "a.json").is_symlink()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no such pipes here")
def test_a_pipe_is_written_and_not_replaced(tmp_path):
    path, read = tmp_path / "pipe.json", []
    os.mkfifo(path)
    reader = threading.Thread(target=lambda: read.append(path.read_text()))
    reader.start()
    check_outputs([path])
    write_json(path, {"uar": 0.1})
    reader.join(10)
    assert json.loads(read[0]) == {"uar": 0.1}
    assert path.is_fifo()


def test_partial_files_of_the_dead_are_removed_and_of_the_living_kept(tmp_path, monkeypatch):
    def kill(number, signal_number):
        if number == 1:
            raise PermissionError(1, "of another user")
        original(number, signal_number)

    original = os.kill
    monkeypatch.setattr(os, "kill", kill)
    dead = start("-c", "")
    dead.wait()
    names = [f".{number}.partial.a.json" for number in (dead.pid, os.getppid(), 1, "x")]
    names += [f".{dead.pid}.partial.b.json", "b.json"]
    for name in names:
        (tmp_path / name).touch()
    for write in (check_outputs, lambda paths: write_json(*paths, {})):
        (tmp_path / names[0]).touch()
        write([tmp_path / "a.json"])
        assert {path.name for path in tmp_path.iterdir()} - {"a.json"} == {*names[1:]}


@pytest.mark.parametrize(
    ("write", "name", "is_kept"),
    [
        (check_outputs, "file/a.json", False),
        (check_outputs, "folder", False),
        (lambda paths: write_json(paths[-1], {"uar": 0.1}), "file/a.json", False),
        (lambda paths: write_json(paths[-1], {"uar": 0.1}), "folder", True),
    ],
)
def test_what_cannot_be_written_is_named_before_the_work_and_at_its_end(
    tmp_path, write, name, is_kept
):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(SentimentalError, match="cannot be written") as caught:
        write([tmp_path / "new" / "a.json", tmp_path / name])
    assert str(caught.value).startswith(f"{tmp_path / name}: ")
    left = [path for path in tmp_path.rglob("*") if "partial" in path.name]
    assert len(left) == is_kept
    for path in left:
        assert str(caught.value).endswith(f"; it is kept as {path}")
        assert json.loads(path.read_text()) == {"uar": 0.1}


@pytest.mark.parametrize("words", ["No space left on device", "it is protected from writing"])
def test_a_full_disk_or_a_protected_file_is_told_before_the_work(tmp_path, monkeypatch, words):
    def fail(*arguments):
        raise OSError(28, "No space left on device")

    path = tmp_path / "a.json"
    path.write_text("old")
    if "space" in words:
        monkeypatch.setattr(os, "fsync", fail)
    else:
        monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may do everything
    with pytest.raises(SentimentalError, match=rf"a.json: cannot be written \({words}"):
        check_outputs([path])
    assert [*tmp_path.iterdir()] == [path]
    assert path.read_text() == "old"


def test_two_outputs_or_an_input_of_one_name_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.wav").touch()
    with pytest.raises(SentimentalError, match="two outputs have this name"):
        check_outputs(["b.csv", tmp_path / "b.csv"])
    with pytest.raises(SentimentalError, match="is read as well"):
        check_outputs(["a.wav"], [tmp_path / "a.wav"])
    if os.name != "nt":
        check_outputs([os.devnull, os.devnull])
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (BrokenPipeError(32, "Broken pipe"), BrokenPipeError),
        (PermissionError(13, "no right", "another.wav"), PermissionError),
        (OSError(28, "No space left"), SentimentalError),
        (RuntimeError(), RuntimeError),
    ],
)
def test_a_write_that_fails_leaves_the_old_file_whole_and_is_told_by_its_name(
    tmp_path, error, kind
):
    path = tmp_path / "log.csv"
    path.write_text("old")
    with pytest.raises(kind) as caught, atomic_write(path):
        raise error
    told = f"{path}: cannot be written (No space left)"
    assert caught.value is error or str(caught.value) == told
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(os.name == "nt", reason="file descriptors are its own there")
@pytest.mark.parametrize("closed", ["", "1>&-", "2>&-", "1>&- 2>&-"])
def test_notes_of_libraries_do_not_reach_the_terminal(closed):
    code = (
        "import os; from sentimental.scripts import mute_libraries, run_script; mute_libraries(); "
        "run_script(lambda: os.write(2, b'note of a library') and print('line \\udcfc'))"
    )
    strict = os.environ | {"PYTHONIOENCODING": "utf-8:strict"}
    done = python("-c", code, redirect=closed, environment=strict)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == ("" if "1>" in closed else "line ?\n")
