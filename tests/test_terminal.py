"""Bars in the terminal, as a terminal shows them; keys typed there; notes."""

import contextlib
import io
import os
import re
import sys
from types import SimpleNamespace

import pytest
from sessions import ACQUAINTANCE, UTTERANCES, known_voice, session

from sentimental import EMOTIONS
from sentimental.live import terminal
from sentimental.live.terminal import PlainLines, TerminalBars, headline, note, typed_keys
from sentimental.recognizer import Utterance

posix_only = pytest.mark.skipif(not hasattr(os, "openpty"), reason="no pseudo-terminals here")


class Screen:
    """A terminal of some columns and rows: what is written to it, it shows.

    It knows the escape codes that are written here, and no others.
    """

    def __init__(self, columns, rows):
        self.columns, self.rows = columns, rows
        self.lines, self.row, self.column, self.wraps = [""], 0, 0, True
        self.top = 0  # the first line that is seen
        self.style = ""

    def isatty(self):
        return True

    def flush(self):
        pass

    def write(self, text):
        for code in re.findall(r"\x1b\[\??[\d;]*[A-Za-z]|.", text, re.DOTALL):
            if code == "\n":
                self._next_line()
            elif code == "\r":
                self.column = 0
            elif not code.startswith("\x1b"):
                self._put(code)
            elif code.endswith("A"):
                self.row = max(self.top, self.row - int(code[2:-1]))
            elif code in ("\x1b[K", "\x1b[J"):
                self.lines[self.row] = self.lines[self.row][: self.column]
                if code.endswith("J"):
                    del self.lines[self.row + 1 :]
            elif code in ("\x1b[?7l", "\x1b[?7h"):
                self.wraps = code.endswith("h")
            else:
                assert code.endswith("m")  # a color, or bold
                self.style = "" if code == "\x1b[0m" else code

    def _put(self, character):
        if self.column == self.columns and self.wraps:
            self._next_line()
        column = min(self.column, self.columns - 1)
        line = self.lines[self.row].ljust(column)
        self.lines[self.row] = line[:column] + character + line[column + 1 :]
        self.column = column + 1

    def _next_line(self):
        self.row, self.column = self.row + 1, 0
        if self.row == len(self.lines):
            self.lines.append("")
        self.top = max(self.top, self.row - self.rows + 1)

    def resize(self, columns, rows):
        """Get another size; as most terminals do, it breaks lines anew, and the cursor stays."""
        cut = [
            [line[i : i + columns] for i in range(0, max(1, len(line)), columns)]
            for line in self.lines
        ]
        self.row = sum(len(parts) for parts in cut[: self.row])
        self.lines = [part for parts in cut for part in parts]
        self.columns, self.rows = columns, rows
        self.top = max(0, len(self.lines) - rows)


@pytest.fixture
def screen(monkeypatch):
    screen = Screen(80, 24)
    monkeypatch.setattr(terminal, "terminal_size", lambda: (screen.columns, screen.rows))
    monkeypatch.setenv("TERM", "xterm")
    return screen


@contextlib.contextmanager
def printing_on(screen):
    """Have all that is printed meanwhile shown on a screen."""
    with contextlib.redirect_stdout(screen), contextlib.redirect_stderr(screen):
        yield


def check_bars(screen, *before, headline):
    """The lines before, an empty one in which the cursor rests, the bars once, and nothing else."""
    lines = [line.rstrip() for line in screen.lines]
    assert lines[: len(before)] == [*before]
    assert lines[len(before)] == ""
    assert (screen.row, screen.column) == (len(before), 0)
    bars = lines[len(before) + 1 :]
    assert [line.split()[0] for line in bars] == [*EMOTIONS, "level"]
    assert bars[-1].endswith(headline)
    assert all(len(line) < screen.columns for line in bars)


@pytest.mark.skipif(os.name == "nt", reason="a note does not clear there")
def test_bars_stay_in_place_below_lines_and_notes(screen):
    with printing_on(screen), TerminalBars({}) as bars:
        bars.show(session(sad=0.75, fear=0.25), [])
        check_bars(screen, headline="sad 75%")
        assert re.search(r"sad +75% █{45}", screen.lines[4])
        bars.show(session(), ["an utterance"])
        check_bars(screen, "an utterance", headline="silence")
        assert "█" not in "".join(screen.lines)
        bars.show(session(neutral=1.0), [])
        for text in ("error: " + 90 * "a", "short"):
            note(text)
        bars.show(session(sad=1.0), ["another"])
        said = ["an utterance", "error: " + 73 * "a", 17 * "a", "short", "another"]
        check_bars(screen, *said, headline="sad 100%")
    assert [line.rstrip() for line in screen.lines] == [*said, ""]


@pytest.mark.parametrize("columns", [30, 45, 79, 120])
def test_bars_survive_another_width(screen, columns):
    with printing_on(screen), TerminalBars({}) as bars:
        bars.show(session(sad=0.9, fear=0.1), ["an utterance"])
        screen.resize(columns, 24)
        for _ in range(2):
            bars.show(session(sad=0.9, fear=0.1), [])
        check_bars(screen, "an utterance", headline="sad 90%")


def test_what_to_say_is_cut_in_a_narrow_terminal(screen):
    screen.resize(30, 24)
    with printing_on(screen), TerminalBars({}) as bars:
        bars.show(session(task="angry, 4 of 8: say anything, as if you were"), [])
        assert screen.lines[1] == "  angry, 4 of 8: say anything"
        assert screen.style == ""


@pytest.mark.parametrize("rows", [1, 2, 3, 6, 11])
def test_of_a_low_terminal_only_what_has_room_is_taken(screen, rows):
    screen.resize(80, rows)
    with printing_on(screen), TerminalBars({}) as bars:
        for _ in range(5):
            bars.show(session(sad=0.9, fear=0.1), [])
    assert len(screen.lines) <= max(rows, 6)


def test_what_follows_the_end_is_lines_alone(screen):
    with printing_on(screen):
        with TerminalBars({}) as bars:
            bars.show(session(sad=1.0), [])
        bars.show(session(), ["the last utterance"])
        bars.show_summary(session(5, utterances=UTTERANCES))
    lines = [line.rstrip() for line in screen.lines]
    assert lines[0] == "the last utterance"
    assert "surprise 100%" in lines[1]
    assert [line.split()[0] for line in lines[2:-1]] == [*EMOTIONS]


def test_terminal_tells_how_well_the_voice_is_known(screen):
    n_full = []
    with printing_on(screen), TerminalBars({}) as bars:
        for n, words in ACQUAINTANCE:
            bars.show(session(voice=known_voice(n)), [])
            line = screen.lines[-1].rstrip()
            assert re.fullmatch(rf" +voice ▮* +{words}", line)
            n_full.append(line.count("▮"))
        bars.show(session(voice=None), [])
    assert n_full == sorted({*n_full})
    assert n_full[0] == 0
    assert "voice" not in "".join(screen.lines)


@pytest.mark.parametrize("width", [1, 5, 16, 20, 40, 80, 200])
def test_bars_fit_into_the_terminal_and_may_have_no_color(monkeypatch, width):
    colored = terminal.bar_lines(dict.fromkeys(EMOTIONS, 1.0), width)
    monkeypatch.setenv("NO_COLOR", "1")
    plain = terminal.bar_lines(dict.fromkeys(EMOTIONS, 1.0), width)
    for line, without in zip(colored, plain, strict=True):
        assert re.sub(r"\x1b\[[\d;]*m", "", line) == without
        assert len(without) < width
    assert "\x1b" in "".join(colored)


@posix_only
def test_the_size_is_that_of_the_terminal_and_not_of_the_environment(monkeypatch):
    import fcntl
    import struct
    import termios

    outside, inside = os.openpty()
    monkeypatch.setenv("COLUMNS", "200")
    with open(inside, "w") as stream, open(outside, "rb", buffering=0):
        monkeypatch.setattr(sys, "stdout", stream)
        assert terminal.terminal_size() == (80, 24)  # it tells none
        fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", 11, 33, 0, 0))
        assert terminal.terminal_size() == (33, 11)


def test_only_emotions_that_can_be_answered_have_bars(screen):
    with printing_on(screen), TerminalBars({}) as bars:
        bars.show(session(emotions=("happy", "sad"), sad=1.0), [])
        assert [line.split()[0] for line in screen.lines[1:]] == ["happy", "sad", "level"]


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({"is_ready": False, "sad": 1.0}, "loading the model"),
        ({"end": "q was pressed", "sad": 1.0}, "finishing"),
        ({"paused": True, "sad": 1.0}, "paused"),
        ({"happy": 0.35, "sad": 0.3}, "unsure"),
        ({"happy": 0.5}, "happy 50%"),
        ({}, "silence"),
    ],
)
def test_what_is_going_on_is_told_in_two_words(state, words):
    assert headline(session(**state)) == words


def test_plain_lines_are_nothing_else(capsys):
    lines = PlainLines()
    lines.show(session(happy=1.0), ["12:00:00  an utterance"])
    lines.show(session(), [])
    assert capsys.readouterr().out == "12:00:00  an utterance\n"
    lines.show_summary(session(5, utterances=[Utterance(0, 1, {"sad": 0.0, "surprise": 1.0})]))
    out, err = capsys.readouterr()
    assert out == ""
    assert "1 utterance, 1.0 s of speech in 5 s; on average surprise 100%" in err
    assert err.endswith("\nsad 0%, surprise 100%\n")


def test_a_terminal_that_is_gone_does_not_end_the_program(monkeypatch):
    class Gone(io.StringIO):
        def write(self, text):
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(sys, "stderr", Gone())
    note("nobody reads this")


# Keys -----------------------------------------------------------------------------------------


@pytest.fixture
def typing(monkeypatch):
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
def test_keys_come_at_once_and_the_terminal_is_as_before(typing):
    import termios

    before = typing.mode()
    with contextlib.suppress(ZeroDivisionError), typed_keys() as read:
        assert read() == ""
        assert not typing.mode()[3] & (termios.ECHO | termios.ICANON)
        assert typing.mode()[3] & termios.ISIG  # Ctrl-C still works
        typing.type(b"q s")
        assert read() == "q s"
        typing.type(b"\x1b[A")  # an arrow
        assert read() == ""
        typing.type("ä".encode())
        assert read() == ""
        raise ZeroDivisionError
    assert typing.mode() == before


@posix_only
def test_a_terminal_that_was_closed_has_no_keys(typing):
    with typed_keys() as read:
        read()
        typing.close()
        assert read() == ""


@posix_only
def test_in_the_background_the_terminal_is_the_shells(typing, monkeypatch):
    before = typing.mode()
    monkeypatch.setattr(os, "tcgetpgrp", lambda descriptor: os.getpgrp() + 1)
    with typed_keys() as read:
        typing.type(b"q\n")
        assert read() == ""
        assert typing.mode() == before
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
    monkeypatch.setattr(terminal, "os", SimpleNamespace(name="nt"))
    with typed_keys() as read:
        assert read() == "qs"
        assert read() == ""
