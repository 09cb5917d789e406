"""Keys: what they do in a session, and how they come from a terminal that is as before at the end.

The terminals are pseudo-terminals: what is written to their outer end is what somebody types.
"""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from scripts import ROOT
from signals import noise

from sentimental.live import keyboard
from sentimental.live.chart import Utterance
from sentimental.live.keyboard import session_keys, typed_keys
from sentimental.spectrum import SAMPLE_RATE

posix_only = pytest.mark.skipif(not hasattr(os, "openpty"), reason="no pseudo-terminals here")


def session_of(utterances, voice=None):
    return SimpleNamespace(
        utterances=utterances,
        voice=voice,
        endpointer=SimpleNamespace(seconds=5.0),
        quit=None,
        pause=None,
        new_voice=None,
    )


def test_without_a_voice_there_is_no_key_for_a_new_one():
    assert [*session_keys(session_of([]))] == ["q", " ", "s"]
    assert [*session_keys(session_of([], voice="somebody's"))] == ["q", " ", "s", "n"]


@pytest.mark.parametrize("plot_path", [None, "plots/today.svg"])
def test_s_saves_the_chart_with_date_and_time_in_its_name(tmp_path, monkeypatch, capsys, plot_path):
    monkeypatch.chdir(tmp_path)
    keys = session_keys(session_of([Utterance(0, 1, np.eye(8)[2])]), plot_path)
    keys["s"].act()
    pattern = r"saved: (plots.today_{}\.svg|emotions_{}\.png)\n"
    date = r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d"
    name = re.fullmatch(pattern.replace("{}", date), capsys.readouterr().err)[1]
    assert (tmp_path / name).stat().st_size > 1000
    assert name.endswith("svg") == bool(plot_path)


def test_there_may_be_no_chart_to_save(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    session_keys(session_of([]))["s"].act()
    assert capsys.readouterr().err == "no chart saved: no utterance is over yet\n"
    (tmp_path / "file").touch()
    session_keys(session_of([Utterance(0, 1, np.eye(8)[2])]), "file/chart.png")["s"].act()
    (line,) = capsys.readouterr().err.splitlines()
    assert re.match(r"error: file.chart_.*\.png: cannot be written", line)
    assert os.listdir() == ["file"]


# From a terminal --------------------------------------------------------------------------------


@pytest.fixture
def terminal(monkeypatch):
    """A terminal as standard input: `type`, `mode` and `close` it."""
    import termios

    outside, inside = os.openpty()
    with open(inside) as stream:
        monkeypatch.setattr(sys, "stdin", stream)
        yield SimpleNamespace(
            type=lambda text: os.write(outside, text),
            mode=lambda: termios.tcgetattr(inside),
            close=lambda: os.close(outside),
        )
    with contextlib.suppress(OSError):
        os.close(outside)


@posix_only
def test_keys_come_at_once_and_the_terminal_is_as_before(terminal):
    import termios

    before = terminal.mode()
    with typed_keys() as read:
        assert read() == ""
        assert not terminal.mode()[3] & (termios.ECHO | termios.ICANON)
        assert terminal.mode()[3] & termios.ISIG  # Ctrl-C still works
        terminal.type(b"q s")
        assert read() == "q s"
        terminal.type(b"\x1b[A")  # an arrow
        assert read() == ""
        terminal.type("ä".encode())
        assert read() == ""
    assert terminal.mode() == before


@posix_only
def test_after_an_error_the_terminal_is_as_before(terminal):
    before = terminal.mode()
    with contextlib.suppress(ZeroDivisionError), typed_keys() as read:
        read()
        raise ZeroDivisionError
    assert terminal.mode() == before


@posix_only
def test_a_terminal_that_was_closed_has_no_keys(terminal):
    with typed_keys() as read:
        read()
        terminal.close()
        assert read() == ""


@posix_only
def test_in_the_background_the_terminal_is_the_shells(terminal, monkeypatch):
    before = terminal.mode()
    monkeypatch.setattr(os, "tcgetpgrp", lambda descriptor: os.getpgrp() + 1)
    with typed_keys() as read:
        terminal.type(b"q\n")
        assert read() == ""
        assert terminal.mode() == before
        monkeypatch.setattr(os, "tcgetpgrp", lambda descriptor: os.getpgrp())
        assert read() == "q\n"  # in the foreground again


def test_without_a_terminal_nobody_can_type(monkeypatch):
    with open(os.devnull) as null:
        for stream in (None, null):
            monkeypatch.setattr(sys, "stdin", stream)
            with typed_keys() as read:
                assert read is None


def test_keys_of_a_windows_console(monkeypatch):
    typed = [*"q\xe0H\x00;s"]  # with an arrow and a function key
    console = SimpleNamespace(kbhit=lambda: bool(typed), getwch=lambda: typed.pop(0))
    monkeypatch.setitem(sys.modules, "msvcrt", console)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(closed=False, isatty=lambda: True))
    monkeypatch.setattr(keyboard, "os", SimpleNamespace(name="nt"))
    with typed_keys() as read:
        assert read() == "qs"
        assert read() == ""


@posix_only
def test_whatever_ends_a_session_its_terminal_is_as_before(tmp_path):
    import termios

    soundfile.write(tmp_path / "room.wav", noise(30), SAMPLE_RATE)
    ends = [b"q", b"\x03", signal.SIGTERM]
    with contextlib.ExitStack() as closing:
        sessions = [closing.enter_context(session_in_a_terminal(tmp_path)) for _ in ends]
        for (script, outside, before), end in zip(sessions, ends, strict=True):
            wait_for(outside, "q quit")
            assert termios.tcgetattr(outside) != before
            if isinstance(end, bytes):
                os.write(outside, end)
            else:
                script.send_signal(end)
        words = ["q was pressed", "Ctrl-C", "SIGTERM"]
        for (script, outside, before), word in zip(sessions, words, strict=True):
            wait_for(outside, f"Ended: {word}")
            script.wait(60)
            assert termios.tcgetattr(outside) == before


# The live script, without the second that it takes to load what recognizes.
SCRIPT = """
import sys, types
import realtime_emotion_recognition as live
nothing = types.SimpleNamespace(compute_features=len, predict_features=lambda *heard: None)
live.load_recognizer = lambda path: nothing
sys.exit(live.run_script(live.main))
"""


@contextlib.contextmanager
def session_in_a_terminal(folder):
    """Replay a recording; gives the process, the terminal's outer end, and its mode before."""
    import termios

    outside, inside = os.openpty()
    before = termios.tcgetattr(outside)
    script = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, "--no-window", "--replay", folder / "room.wav"],
        cwd=ROOT,
        stdin=inside,
        stdout=inside,
        stderr=inside,
        env=os.environ | {"TERM": "xterm"},
        # Else Ctrl-C in the terminal would be meant for nobody.
        preexec_fn=lambda: (os.setsid(), os.close(os.open(os.ttyname(0), os.O_RDWR))),
    )
    try:
        yield script, outside, before
    finally:
        script.kill()
        script.wait()
        os.close(inside)
        os.close(outside)


def wait_for(outside, words):
    """Read what appears in a terminal until it holds these words."""
    shown, end = b"", time.monotonic() + 60
    while words.encode() not in shown:
        assert time.monotonic() < end, shown[-1000:].decode()
        shown += os.read(outside, 4096)
