"""Live bars in the terminal."""

import contextlib
import os
import sys

import numpy as np

from sentimental.live.chart import COLORS, mean_probabilities, summary_line
from sentimental.live.display import PlainLines, acquaintance, headline, note, to_rgb
from sentimental.live.keyboard import legend, press, typed_keys
from sentimental.scripts import EMOTIONS
from sentimental.vad import LOWEST_DBFS

# Columns and rows of a terminal that does not tell them.
USUAL_SIZE = (80, 24)
# Columns of a whole bar, at most, and of a whole meter.
MAX_BAR, MAX_METER = 60, 20
# Columns beside them: words, and one at the end that stays free.
BAR_MARGIN, METER_MARGIN = 16, 32

# Escape codes.
CLEAR_LINE, CLEAR_BELOW = "\x1b[K", "\x1b[J"  # right of the cursor, and all lines below as well
NO_WRAP, WRAP = "\x1b[?7l", "\x1b[?7h"
DIM, PLAIN = "\x1b[2m", "\x1b[0m"


class TerminalBars(PlainLines):
    """Bars that stay in place below the lines of finished utterances.

    Between two drawings, the cursor rests in an empty line above the bars. So what others print
    comes above them, and it need not be known how many lines they take when the terminal was made
    narrower meanwhile.

    Parameters
    ----------
    keys : dict, as of `sentimental.live.keyboard.session_keys`
    """

    def __init__(self, keys):
        self._keys = keys
        self._read_keys = None  # where keys can be typed
        self._is_open = True
        self._closing = contextlib.ExitStack()
        if os.name == "nt":
            os.system("")  # switches escape codes on

    def __enter__(self):
        self._read_keys = self._closing.enter_context(typed_keys())
        return self

    def __exit__(self, *error):
        self._is_open = False
        self._closing.close()
        with contextlib.suppress(OSError):  # the terminal may have been closed
            print(CLEAR_BELOW, end="", flush=True)

    def show(self, session, lines):
        """Do what keys ask for, leave the lines, draw the bars below; see `PlainLines.show`."""
        if not self._is_open:
            super().show(session, lines)
            return
        if self._read_keys:
            for character in self._read_keys():
                press(self._keys, character)
        width, height = terminal_size()
        probabilities = np.zeros(8) if session.probabilities is None else session.probabilities
        bars = bar_lines(probabilities, width)
        level = 1 - session.endpointer.level / LOWEST_DBFS
        meters = [_meter("level", level, headline(session), width)]
        if session.voice is not None:
            meters.append(_meter("voice", session.voice.known, acquaintance(session.voice), width))
        if self._read_keys:
            meters.append(f"{DIM}{f'     keys {legend(self._keys)}'[: width - 1]}{PLAIN}")
        block = ["", *bars, *meters]
        if len(block) > height:
            block = ["", *meters][: max(2, height)]
        # Each line clears what was right of it; the screen is never empty in between.
        text = "".join(f"{line}{CLEAR_LINE}\n" for line in lines)
        text += NO_WRAP + f"{CLEAR_LINE}\n".join(block) + CLEAR_BELOW + WRAP
        print(f"{text}\x1b[{len(block) - 1}A\r", end="", flush=True)

    def show_summary(self, utterances, seconds):
        """Leave bars of the mean; see `PlainLines.show_summary`."""
        note(summary_line(utterances, seconds))
        width, _ = terminal_size()
        note("\n".join(bar_lines(mean_probabilities(utterances), width)))


def terminal_size():
    """Columns and rows of the terminal into which is printed."""
    try:
        size = os.get_terminal_size(sys.stdout.fileno())
    except OSError:
        size = (0, 0)
    return tuple(n or usual for n, usual in zip(size, USUAL_SIZE, strict=True))


def bar_lines(probabilities, width):
    """Eight bars as text of less than `width` columns."""
    n_bar = max(0, min(MAX_BAR, width - BAR_MARGIN))
    lines = []
    for emotion, p in zip(EMOTIONS, probabilities, strict=True):
        bar = "█" * round(p * n_bar)
        if emotion != "neutral":  # whose black would be invisible on black
            red, green, blue = (round(x / 51) for x in to_rgb(COLORS[emotion]))
            bar = f"\x1b[38;5;{16 + 36 * red + 6 * green + blue}m{bar}{PLAIN}"
        lines.append(f"{emotion:>9s} {p:4.0%} "[: width - 1] + bar)
    return lines


def _meter(name, share, words, width):
    """A short bar with words beside it, as text of less than `width` columns."""
    n_bar = max(0, min(MAX_METER, width - METER_MARGIN))
    return f"    {name} {'▮' * round(share * n_bar):{n_bar}s} {words}"[: width - 1]
