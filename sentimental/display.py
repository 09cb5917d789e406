"""What the user of a live session sees: plain lines, bars in the terminal, or a window.

All have the methods ``show`` and, for the end, ``show_summary``; `open_display` chooses one.
"""

import contextlib
import os
import shutil
import sys

import numpy as np

from sentimental.base import EMOTIONS, SentimentalError, on_end_signals
from sentimental.chart import (
    COLORS,
    SILENCE_COLOR,
    WINDOW_SIZE,
    count_utterances,
    draw_summary,
    is_unsure,
    mean_probabilities,
    strongest,
    summary_line,
)
from sentimental.speech import LOWEST_DBFS

# s between two drawings, unless something new was recognized; more than between two updates.
DRAW_SECONDS = 0.16
# s of sound in a column of the strip.
COLUMN_SECONDS = 0.16
# s of sound in the strip.
STRIP_SECONDS = 30.0
# Pixels of the strip's image, from 0 to 100 %.
STRIP_ROWS = 60
# Share, of what there is to know of a voice, from which it is called known: 14 s of speech.
KNOWN = 0.75


def note(text):
    """Tell the user something that is not a result."""
    with contextlib.suppress(OSError):  # the terminal may have been closed
        print(text, file=sys.stderr, flush=True)


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


# Displays ---------------------------------------------------------------------------------------


def open_display(with_window, new_voice=None):
    """The best display that there is: a window, bars in the terminal, or lines.

    Parameters
    ----------
    with_window : bool, whether one is wanted
    new_voice : callable or None, what the window's key n calls; None: there is no such key
    """
    has_screen = sys.platform in ("win32", "darwin") or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")
    )
    if has_screen and with_window:
        try:
            return Window(new_voice)
        except Exception as error:  # each toolkit has errors of its own
            note(f"no window ({' '.join(str(error).split())}); the bars come in the terminal")
    if sys.stdout.isatty() and os.environ.get("TERM") != "dumb":
        return TerminalBars()
    return PlainLines()


class PlainLines:
    """The display where the output is no terminal: finished utterances, a line each."""

    # Only a window can be closed by the user.
    closed = False

    def show(self, session, lines):
        """Leave the lines (list of str) of finished utterances and draw the present state.

        `session` has ``probabilities`` (np.ndarray [shape=(8,)], None in silence), ``endpointer``
        (`sentimental.speech.Endpointer`), ``utterances`` (list of Utterance) and ``voice``
        (`sentimental.Voice`, or None where none is compared with).
        """
        for line in lines:
            print(line, flush=True)

    def show_summary(self, utterances, seconds):
        """Show the mean of a session of so many seconds; a window stays until the user leaves."""
        note(summary_line(utterances, seconds))
        means = zip(EMOTIONS, mean_probabilities(utterances), strict=True)
        note(", ".join(f"{emotion} {p:.0%}" for emotion, p in means))


class TerminalBars(PlainLines):
    """Bars that stay in place below the lines of finished utterances."""

    def __init__(self):
        self._n_drawn = 0
        if os.name == "nt":
            os.system("")  # switches escape codes on

    def show(self, session, lines):
        """Leave the lines and draw the bars below; see `PlainLines.show`."""
        width = shutil.get_terminal_size().columns
        meter = round((session.endpointer.level / LOWEST_DBFS - 1) * -20)
        probabilities = np.zeros(8) if session.probabilities is None else session.probabilities
        bars = bar_lines(probabilities, width)
        bars.append(f"    level {'▮' * meter:20s} {headline(session)}"[: width - 1])
        if session.voice is not None:
            meter = round(session.voice.known * 20)
            bars.append(f"    voice {'▮' * meter:20s} {acquaintance(session.voice)}"[: width - 1])
        up = f"\x1b[{self._n_drawn}A\r" if self._n_drawn else ""
        # Each line clears what was right of it; the screen is never empty in between.
        print(up + "".join(f"{line}\x1b[K\n" for line in [*lines, *bars]), end="", flush=True)
        self._n_drawn = len(bars)

    def show_summary(self, utterances, seconds):
        """Leave bars of the mean; see `PlainLines.show_summary`."""
        note(summary_line(utterances, seconds))
        width = shutil.get_terminal_size().columns
        note("\n".join(bar_lines(mean_probabilities(utterances), width)))


def bar_lines(probabilities, width):
    """Eight bars as text of at most `width` columns."""
    n_bar = max(10, min(60, width - 18))
    lines = []
    for emotion, p in zip(EMOTIONS, probabilities, strict=True):
        bar = "█" * round(p * n_bar)
        if emotion != "neutral":  # whose black would be invisible on black
            red, green, blue = (round(x / 51) for x in to_rgb(COLORS[emotion]))
            bar = f"\x1b[38;5;{16 + 36 * red + 6 * green + blue}m{bar}\x1b[0m"
        lines.append(f"{emotion:>9s} {p:4.0%} {bar}")
    return lines


def to_rgb(color):
    """Red, green and blue, 0 to 255, of a color like "#f0e442"."""
    return tuple(bytes.fromhex(color[1:]))


class Window(PlainLines):
    """Live bars, meters, and the last seconds as a strip; at the end the summary chart.

    Only what moves is drawn again, on top of a copy of what does not (blitting). Where there can
    be no window, it raises what matplotlib or the toolkit does, or SentimentalError. For
    `new_voice` see `open_display`; without it, nothing tells how well the voice is known.
    """

    def __init__(self, new_voice=None):
        import matplotlib.pyplot as plt

        plt.rcParams["toolbar"] = "None"
        self._figure = plt.figure("Emotions in speech", WINDOW_SIZE, facecolor="white")
        if self._figure.canvas.required_interactive_framework is None:  # it draws into files only
            raise SentimentalError("no screen, or no toolkit: apt install python3-tk")
        self._plt, self._canvas = plt, self._figure.canvas
        self._add_animated(*_lay_out(self._figure))
        if new_voice:
            self._add_voice(new_voice)
        self._background = None
        self._on_draw_id = self._canvas.mpl_connect("draw_event", self._on_draw)
        self._column = 0  # the last one of the strip, counted from the start of the session
        plt.show(block=False)

    def _add_animated(self, bars, meter, strip):
        style = {"color": COLORS.values(), "edgecolor": "black", "animated": True}
        self._bars = bars.bar(range(8), np.zeros(8), **style)
        style = {"ha": "center", "va": "bottom", "fontsize": 20, "animated": True}
        self._percents = [bars.text(i, 0, "", **style) for i in range(8)]
        text = self._figure.text
        self._title = text(0.03, 0.905, "", fontsize=38, weight="bold", animated=True)
        self._last = text(0.97, 0.915, "", fontsize=24, ha="right", color="#444444", animated=True)
        style = {"width": 0.9, "color": "#444444", "animated": True}
        (self._level,) = meter.bar(0, 0, bottom=LOWEST_DBFS, **style)
        n_columns = round(STRIP_SECONDS / COLUMN_SECONDS)
        self._history = np.full((STRIP_ROWS, n_columns, 3), to_rgb(SILENCE_COLOR), np.uint8)
        self._strip = strip.imshow(
            self._history,
            extent=(-STRIP_SECONDS, 0, 0, 1),
            aspect="auto",
            interpolation="nearest",  # five times as fast as the default
            origin="lower",
            animated=True,
        )
        self._animated = [*self._bars, *self._percents, self._title, self._last]
        self._animated += [self._level, self._strip]

    def _add_voice(self, new_voice):
        axes = self._figure.add_axes((0.13, 0.025, 0.15, 0.03))
        axes.set(xlim=(0, 1), ylim=(-0.5, 0.5), xticks=[], yticks=[])
        self._figure.text(0.065, 0.025, "voice", fontsize=18)
        self._figure.text(0.97, 0.025, "press n for a new voice", fontsize=18, ha="right")
        (self._known,) = axes.barh(0, 0, color="#444444", animated=True)
        self._acquaintance = self._figure.text(0.295, 0.025, "", fontsize=18, animated=True)
        self._animated += [self._known, self._acquaintance]
        self._canvas.mpl_connect(
            "key_press_event", lambda event: event.key in ("n", "N") and new_voice()
        )

    @property
    def closed(self):
        return not self._plt.fignum_exists(self._figure.number)

    def show(self, session, lines):
        """Print the lines and redraw what moves; see `PlainLines.show`."""
        super().show(session, lines)
        if self.closed:  # the last utterances may still come
            return
        if self._background is None:
            self._canvas.draw()
        self._set_results(session)
        self._canvas.restore_region(self._background)
        self._draw_animated()
        self._canvas.blit(self._figure.bbox)
        self._canvas.flush_events()

    def _on_draw(self, event):
        """Copy what does not move: the first time, and whenever the window got another size."""
        self._background = self._canvas.copy_from_bbox(self._figure.bbox)
        self._draw_animated()

    def _draw_animated(self):
        for artist in self._animated:
            self._figure.draw_artist(artist)

    def _set_results(self, session):
        is_silent = session.probabilities is None
        probabilities = np.zeros(8) if is_silent else session.probabilities
        for bar, percent, p in zip(self._bars, self._percents, probabilities, strict=True):
            bar.set_height(p)
            percent.set(y=p + 0.01, text="" if is_silent else f"{p:.0%}")
        self._title.set(text=headline(session), color="#777777" if is_silent else "black")
        if session.utterances:
            emotion, p, *_ = strongest(session.utterances[-1].probabilities)
            self._last.set_text(f"last: {emotion} {p:.0%}")
        self._level.set_height(session.endpointer.level - LOWEST_DBFS)
        if session.voice is not None:
            self._known.set_width(session.voice.known)
            self._acquaintance.set_text(acquaintance(session.voice))
        self._move_strip(session.endpointer.seconds, session.probabilities)

    def _move_strip(self, seconds, probabilities):
        """Add the columns since last time: all colors, each as high as its emotion is likely."""
        n_new = min(int(seconds / COLUMN_SECONDS) - self._column, self._history.shape[1])
        if n_new == 0:
            return
        self._column = int(seconds / COLUMN_SECONDS)
        self._history[:, :-n_new] = self._history[:, n_new:]
        self._history[:, -n_new:] = to_rgb(SILENCE_COLOR)
        if probabilities is not None:
            rows = (np.arange(STRIP_ROWS) + 0.5) / STRIP_ROWS
            which = np.searchsorted(np.cumsum(probabilities), rows).clip(max=7)
            colors = np.array([to_rgb(color) for color in COLORS.values()], np.uint8)
            self._history[:, -n_new:] = colors[which][:, None]
        self._strip.set_data(self._history)

    def show_summary(self, utterances, seconds):
        """Replace the bars by the summary chart until the user closes it or a signal comes."""
        super().show_summary(utterances, seconds)
        if self.closed:
            return
        note("Close the window, or press Ctrl-C, to leave.")
        self._canvas.mpl_disconnect(self._on_draw_id)
        draw_summary(self._figure, utterances, seconds)
        self._canvas.draw()
        on_end_signals(lambda number: self._plt.close(self._figure))
        timer = self._canvas.new_timer(100)  # Python hears of signals only when something happens
        timer.start()
        self._plt.show(block=True)


def _lay_out(figure):
    """The parts of the window that do not move; returns the axes of bars, meter and strip."""
    bars = figure.add_axes((0.065, 0.41, 0.85, 0.45))
    bars.set(xlim=(-0.6, 7.6), ylim=(0, 1.08))
    bars.set_yticks([0, 0.5, 1], ["0%", "50%", "100%"], fontsize=16)
    bars.set_xticks(range(8), EMOTIONS, fontsize=21)
    bars.tick_params(length=0)
    meter = figure.add_axes((0.94, 0.41, 0.03, 0.45))
    meter.set(xlim=(-0.5, 0.5), ylim=(LOWEST_DBFS, 0), xticks=[], yticks=[])
    meter.set_xlabel("level", fontsize=18)
    strip = figure.add_axes((0.065, 0.155, 0.905, 0.17))
    strip.set(xlim=(-STRIP_SECONDS, 0), ylim=(0, 1), yticks=[])
    ticks = np.linspace(STRIP_SECONDS, 0, 4)
    names = [f"{ticks[0]:.0f} s ago", f"{ticks[1]:.0f}", f"{ticks[2]:.0f}", "now"]
    strip.set_xticks(-ticks, names, fontsize=18)
    for axes in (bars, strip):
        axes.spines[["top", "right", "left"]].set_visible(False)
    return bars, meter, strip
