"""What the user of a live session sees, in words and plain lines.

Bars in the terminal and the window build on it.
"""

import contextlib
import os
import sys

from sentimental.live.chart import (
    count_utterances,
    is_unsure,
    mean_probabilities,
    strongest,
    summary_line,
)
from sentimental.scripts import EMOTIONS, shown

# s between two drawings, unless something new was recognized; more than between two updates.
DRAW_SECONDS = 0.16
# Share, of what there is to know of a voice, from which it is called known: 14 s of speech.
KNOWN = 0.75


def note(text):
    """Tell the user something that is not a result."""
    with contextlib.suppress(OSError):  # the terminal may have been closed
        # Bars that the terminal shows are below, and come again (`sentimental.live.terminal`).
        clear = "\x1b[J" if os.name == "posix" and knows_escapes(sys.stderr) else ""
        print(f"{clear}{text}", file=sys.stderr, flush=True)


def note_of_decoder(line):
    """Tell what is missing of a recording that is used nevertheless."""
    note(shown(f"note: {line}"))


def knows_escapes(stream):
    """Whether a stream is a terminal in which the cursor can be moved."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


# Words ------------------------------------------------------------------------------------------


def result_line(name, utterance):
    """One line for an utterance or a file."""
    first, p_first, second, p_second = strongest(utterance.probabilities)
    name = f"{name}  {utterance.end - utterance.start:4.1f} s"
    if is_unsure(utterance.probabilities):
        return f"{name}  unsure: {first} {p_first:.2f} or {second} {p_second:.2f}"
    return f"{name}  {first:8s} {p_first:.2f}  ({second} {p_second:.2f})"


def headline(session):
    """What is going on, in two or three words."""
    if session.paused:
        return "paused"
    if session.probabilities is not None:
        emotion, p, *_ = strongest(session.probabilities)
        return "unsure" if is_unsure(session.probabilities) else f"{emotion} {p:.0%}"
    return "listening" if session.endpointer.speaking else "silence"


def acquaintance(voice):
    """How well a voice (`sentimental.Voice`) is known, in words."""
    if voice.n_recordings == 0:
        return "new"
    what = "known" if voice.known >= KNOWN else "getting to know it"
    return f"{what}: {count_utterances(voice.n_recordings)}"


def to_rgb(color):
    """Red, green and blue, 0 to 255, of a color like "#f0e442"."""
    return tuple(bytes.fromhex(color[1:]))


# Plain lines -----------------------------------------------------------------------------------


class PlainLines(contextlib.AbstractContextManager):
    """The display where the output is no terminal: finished utterances, a line each.

    After its ``with``, a display heeds no keys; last lines and the summary may still come.
    """

    # Only a window can be closed by the user.
    closed = False

    def __exit__(self, *error):
        pass

    def show(self, session, lines):
        """Leave the lines (list of str) of finished utterances and draw the present state.

        `session` has ``probabilities`` (np.ndarray [shape=(8,)], None in silence), ``endpointer``
        (`sentimental.vad.Endpointer`), ``utterances`` (list of Utterance), ``voice``
        (`sentimental.Voice`, or None where none is compared with) and ``paused`` (bool).
        """
        for line in lines:
            print(line, flush=True)

    def show_summary(self, utterances, seconds):
        """Show the mean of a session of so many seconds; a window stays until the user leaves."""
        note(summary_line(utterances, seconds))
        means = zip(EMOTIONS, mean_probabilities(utterances), strict=True)
        note(", ".join(f"{emotion} {p:.0%}" for emotion, p in means))
