"""The keys of a live session: what they do, and how they come from a terminal.

A window gets them from its toolkit.
"""

import contextlib
import os
import select
import sys
import time
from collections import namedtuple
from pathlib import Path

from sentimental.live.chart import save_plot
from sentimental.live.display import note
from sentimental.scripts import SentimentalError, shown

# Where the chart goes, with date and time in its name, when no other was named.
CHART_PATH = "emotions.png"

# What a key is called on the screen, and a callable without arguments.
Key = namedtuple("Key", "words act")


def session_keys(session, plot_path=None):
    """The keys that a session (`sentimental.live.session.Session`) heeds.

    Parameters
    ----------
    session : Session
    plot_path : str or None, beside which charts are saved

    Returns
    -------
    keys : dict of Key, by the character that is typed
    """
    keys = {
        "q": Key("q quit", session.quit),
        " ": Key("space pause", session.pause),
        "s": Key("s save chart", lambda: save_chart(session, plot_path or CHART_PATH)),
    }
    if session.voice is not None:
        keys["n"] = Key("n new voice", session.new_voice)
    return keys


def press(keys, name):
    """Do what a key stands for, if anything; its name is a character, another str, or None."""
    if name and name.lower() in keys:
        keys[name.lower()].act()


def legend(keys):
    """All keys in a line."""
    return "   ".join(key.words for key in keys.values())


def save_chart(session, plot_path):
    """Save the chart so far beside `plot_path`, with date and time in its name, and say so."""
    if not session.utterances:
        note("no chart saved: no utterance is over yet")
        return
    path = Path(plot_path)
    path = path.with_stem(f"{path.stem}_{time.strftime('%Y-%m-%d_%H-%M-%S')}")
    try:
        save_plot(path, session.utterances, session.endpointer.seconds)
    except SentimentalError as error:
        note(shown(f"error: {error}"))
    else:
        note(shown(f"saved: {path}"))


# From a terminal --------------------------------------------------------------------------------


@contextlib.contextmanager
def typed_keys():
    """Have what is typed come at once, and not appear; at the end, the terminal is as it was.

    Yields
    ------
    read : callable
        Returns the characters (str) typed since its last call. None where nobody can type: the
        standard input is no terminal.
    """
    if sys.stdin is None or sys.stdin.closed or not sys.stdin.isatty():
        yield None
    elif os.name == "nt":
        yield _read_console
    else:
        with _unbuffered(sys.stdin.fileno()) as read:
            yield read


@contextlib.contextmanager
def _unbuffered(terminal):
    """`typed_keys` of a POSIX terminal, by its file descriptor."""
    import termios
    import tty

    def read():
        if not _is_ours(terminal):
            return ""
        try:
            # Again each time: the shell may have had it meanwhile, after Ctrl-Z.
            tty.setcbreak(terminal, termios.TCSANOW)
            if not select.select([terminal], [], [], 0)[0]:
                return ""
            typed = os.read(terminal, 1024)
        except (OSError, termios.error):  # it was closed
            return ""
        # Arrows and the like send a sequence of characters that begins with Escape.
        return "" if typed.startswith(b"\x1b") else typed.decode("ascii", "ignore")

    before = termios.tcgetattr(terminal)
    try:
        yield read
    finally:
        if _is_ours(terminal):
            with contextlib.suppress(termios.error):
                termios.tcsetattr(terminal, termios.TCSANOW, before)


def _is_ours(terminal):
    """Whether we run in its foreground; who uses it in the background is stopped by the system."""
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return True  # it has no background, as it is not of a shell


def _read_console():
    """What was typed in a console of Windows."""
    import msvcrt

    typed = ""
    while msvcrt.kbhit():
        character = msvcrt.getwch()
        if character in "\x00\xe0":  # of a function or arrow key; its number follows
            msvcrt.getwch()
        else:
            typed += character
    return typed
