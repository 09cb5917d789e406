"""What a live session shows in a terminal: notes, lines, bars below them; and the keys there."""

import contextlib
import functools
import os
import select
import sys
import time
from collections import namedtuple
from pathlib import Path

from sentimental.live.chart import COLORS, answer, count_utterances, save_plot, summary_line, to_rgb
from sentimental.recognizer import mean_probabilities
from sentimental.scripts import SentimentalError, shown
from sentimental.vad import LOWEST_DBFS

# Share, of what there is to know of a voice, from which it is called known: 14 s of speech.
KNOWN = 0.75
# Columns of a whole bar, at most, and of a whole meter.
MAX_BAR, MAX_METER = 60, 20
# Columns beside them: words, and one at the end that stays free.
BAR_MARGIN, METER_MARGIN = 17, 32

# Where the chart goes, with date and time in its name, when no other was named.
CHART_PATH = "emotions.png"

# What a key is called on the screen, and a callable without arguments.
Key = namedtuple("Key", "words act")

# Escape codes.
CLEAR_LINE, CLEAR_BELOW = "\x1b[K", "\x1b[J"  # right of the cursor, and all lines below as well
NO_WRAP, WRAP = "\x1b[?7l", "\x1b[?7h"
BOLD, DIM, PLAIN = "\x1b[1m", "\x1b[2m", "\x1b[0m"


def note(text):
    """Tell the user something that is not a result; names in it are escaped."""
    with contextlib.suppress(OSError):  # the terminal may have been closed
        # Bars that the terminal shows are below, and come again.
        clear = CLEAR_BELOW if os.name == "posix" and knows_escapes(sys.stderr) else ""
        print(f"{clear}{shown(text)}", file=sys.stderr, flush=True)


def attempt(act, *arguments):
    """Do something; a SentimentalError is told, and costs nothing else. Returns whether it went."""
    try:
        act(*arguments)
    except SentimentalError as error:
        note(f"error: {error}")
        return False
    return True


def knows_escapes(stream):
    """Whether a stream is a terminal in which the cursor can be moved."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def headline(session):
    """What is going on, in two or three words."""
    if not session.is_ready:
        return "loading the model"
    if session.end:
        return "finishing"
    if session.paused:
        return "paused"
    if session.update:
        return answer(session.update)
    return "listening" if session.endpointer.speaking else "silence"


def acquaintance(voice):
    """How well a voice (`sentimental.Voice`) is known, in words."""
    if voice.n_recordings == 0:
        return "new"
    what = "known" if voice.known >= KNOWN else "getting to know it"
    lessons = f", {len(voice.lessons)} taught" if voice.lessons else ""
    return f"{what}: {count_utterances(voice.n_recordings)}{lessons}"


# Plain lines and bars ---------------------------------------------------------------------------


class PlainLines(contextlib.AbstractContextManager):
    """The display where the output is no terminal: a line for each utterance that is over.

    After its ``with``, a display heeds no keys; last lines and the summary may still come.
    """

    closed = False  # only a window can be
    _task = ""  # what the user was asked to say last

    def __exit__(self, *error):
        pass

    def show(self, session, lines):
        """Leave the lines of utterances that are over, and draw the state of a Session."""
        for line in lines:
            print(line, flush=True)
        if session.task != self._task:  # asked for after what was just said
            self._task = session.task
            note(self._task)

    def show_summary(self, session):
        """Show the mean of a session; a window stays until the user leaves."""
        note(summary_line(session.utterances, session.endpointer.seconds))
        means = mean_probabilities(session.utterances)
        note(", ".join(f"{emotion} {p:.0%}" for emotion, p in means.items()))


class TerminalBars(PlainLines):
    """Bars that stay in place below the lines of utterances that are over.

    Between two drawings, the cursor rests in an empty line above the bars. So what others print
    comes above them, and it need not be known how many lines they take when the terminal was made
    narrower meanwhile. Its `keys` are those of `sentimental.live.terminal.session_keys`.
    """

    def __init__(self, keys):
        self._keys, self._is_open = keys, True
        self._typing = contextlib.ExitStack()
        self._read_keys = self._typing.enter_context(typed_keys())
        if os.name == "nt":
            os.system("")  # switches escape codes on

    def __exit__(self, *error):
        self._is_open = False
        self._typing.close()
        with contextlib.suppress(OSError):  # the terminal may have been closed
            print(CLEAR_BELOW, end="", flush=True)

    def show(self, session, lines):
        if not self._is_open:
            super().show(session, lines)
            return
        for character in self._read_keys() if self._read_keys else "":
            press(self._keys, character)
        width, height = terminal_size()
        silence = dict.fromkeys(session.emotions, 0.0)
        probabilities = session.update.probabilities if session.update else silence
        bars = bar_lines(probabilities, width, with_digits="1" in self._keys)
        level = 1 - session.endpointer.level / LOWEST_DBFS
        meters = [_meter("level", level, headline(session), width)]
        if session.voice is not None:
            meters.append(_meter("voice", session.voice.known, acquaintance(session.voice), width))
        if self._read_keys:
            meters.append(f"{DIM}{f'     keys {legend(self._keys)}'[: width - 1]}{PLAIN}")
        if session.task:
            bars.insert(0, f"{BOLD}{f'  {session.task}'[: width - 1]}{PLAIN}")
        block = ["", *bars, *meters]
        if len(block) > height:
            block = ["", *meters][: max(2, height)]
        # Each line clears what was right of it; the screen is never empty in between.
        text = "".join(f"{line}{CLEAR_LINE}\n" for line in lines)
        text += NO_WRAP + f"{CLEAR_LINE}\n".join(block) + CLEAR_BELOW + WRAP
        print(f"{text}\x1b[{len(block) - 1}A\r", end="", flush=True)

    def show_summary(self, session):
        note(summary_line(session.utterances, session.endpointer.seconds))
        width, _ = terminal_size()
        means = mean_probabilities(session.utterances)
        print("\n".join(bar_lines(means, width)), file=sys.stderr, flush=True)


def terminal_size():
    """Columns and rows; of a terminal that does not tell them, as many as most have."""
    width, height = 0, 0
    with contextlib.suppress(OSError):
        width, height = os.get_terminal_size(sys.stdout.fileno())
    return width or 80, height or 24


def bar_lines(probabilities, width, with_digits=False):
    """Bars of a dict as lines of less than `width` columns; digits are keys that label."""
    n_bar = max(0, min(MAX_BAR, width - BAR_MARGIN))
    lines = []
    for number, (emotion, p) in enumerate(probabilities.items(), 1):
        name = f"{number} {emotion}" if with_digits else emotion
        bar = "█" * round(p * n_bar)
        # Black would be invisible on black.
        if emotion != "neutral" and not os.environ.get("NO_COLOR"):
            red, green, blue = (round(x / 51) for x in to_rgb(COLORS[emotion]))
            bar = f"\x1b[38;5;{16 + 36 * red + 6 * green + blue}m{bar}{PLAIN}"
        lines.append(f"{name:>10s} {p:4.0%} "[: width - 1] + bar)
    return lines


def _meter(name, share, words, width):
    """A short bar with words beside it, as text of less than `width` columns."""
    n_bar = max(0, min(MAX_METER, width - METER_MARGIN))
    return f"    {name} {'▮' * round(share * n_bar):{n_bar}s} {words}"[: width - 1]


# Keys -------------------------------------------------------------------------------------------


def session_keys(session, plot_path=None):
    """The keys that a session heeds, as dict of Key by character; charts go beside `plot_path`."""
    keys = {
        "q": Key("q quit", session.quit),
        " ": Key("space pause", session.pause),
        "s": Key("s save chart", lambda: save_chart_so_far(session, plot_path or CHART_PATH)),
    }
    if session.voice is not None:
        keys["n"] = Key("n new voice", session.new_voice)
        words = f"1-{len(session.emotions)} label the last"
        for number, emotion in enumerate(session.emotions, 1):
            keys[str(number)] = Key(words, functools.partial(label_last, session, emotion))
            words = ""  # once for all
        keys["u"] = Key("u take back", lambda: take_label_back(session))
    return keys


def label_last(session, emotion):
    session.label(emotion).add_done_callback(
        lambda done: note(done.result() or f"taught: {emotion}")
    )


def take_label_back(session):
    session.take_label_back().add_done_callback(
        lambda done: note(f"taken back: {done.result() or 'there is no label'}")
    )


def save_chart_so_far(session, plot_path):
    """Save the chart so far beside `plot_path`, with date and time in its name, and say so."""
    if not session.utterances:
        note("no chart saved: no utterance is over yet")
        return
    path = Path(plot_path)
    path = path.with_stem(f"{path.stem}_{time.strftime('%Y-%m-%d_%H-%M-%S')}")
    if attempt(save_plot, path, session.utterances, session.endpointer.seconds):
        note(f"saved: {path}")


def press(keys, name):
    """Do what a key stands for, if anything; its name is a character, another str, or None."""
    if name and name.lower() in keys:
        keys[name.lower()].act()


def legend(keys):
    return "   ".join(key.words for key in keys.values() if key.words)


@contextlib.contextmanager
def typed_keys():
    """Have what is typed come at once, and not appear; at the end, the terminal is as it was.

    Gives a function of the characters typed since its last call; None where nobody can type.
    """
    if sys.stdin is None or sys.stdin.closed or not sys.stdin.isatty():
        yield None
    elif os.name == "nt":
        yield _read_console
    else:
        # Blessed has it in fewer lines, but a process in the background, after Ctrl-Z and `bg`,
        # would be stopped by the system when it ends.
        import termios

        terminal = sys.stdin.fileno()
        before = termios.tcgetattr(terminal)
        try:
            yield functools.partial(_read_terminal, terminal)
        finally:
            with contextlib.suppress(termios.error):
                if _is_ours(terminal):
                    termios.tcsetattr(terminal, termios.TCSANOW, before)


def _read_terminal(terminal):
    import termios
    import tty

    typed = b""
    with contextlib.suppress(OSError, termios.error):  # it was closed
        if _is_ours(terminal):
            # Again each time: the shell may have had it meanwhile, after Ctrl-Z.
            tty.setcbreak(terminal, termios.TCSANOW)
            if select.select([terminal], [], [], 0)[0]:
                typed = os.read(terminal, 1024)
    # Arrows and the like send a sequence of characters that begins with Escape.
    return "" if typed.startswith(b"\x1b") else typed.decode("ascii", "ignore")


def _is_ours(terminal):
    """Whether we run in its foreground; who uses it in the background is stopped by the system."""
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return True  # it has no background, as it is not of a shell


def _read_console():
    import msvcrt

    typed = ""
    while msvcrt.kbhit():
        character = msvcrt.getwch()
        if character in "\x00\xe0":  # of a function or arrow key; its number follows
            msvcrt.getwch()
        else:
            typed += character
    return typed
