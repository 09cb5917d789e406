"""The window of a live session, and the choice between it and what the terminal can show."""

import contextlib
import os
import sys

import numpy as np

from sentimental.live import chart, terminal
from sentimental.live.terminal import PlainLines, note
from sentimental.scripts import SentimentalError, on_end_signals
from sentimental.vad import LOWEST_DBFS

# s of sound in a column of the strip.
COLUMN_SECONDS = 0.16
# s of sound in the strip.
STRIP_SECONDS = 30.0
# Pixels of the strip's image, from 0 to 100 %.
STRIP_ROWS = 60
# Points of the smallest letters, in a window of whatever size.
MIN_FONT_SIZE = 3.0
# Share of the screen that the window takes, at most: title bar and task bar need some.
SCREEN_SHARE = 0.9


def open_display(with_window, keys, session):
    """The best display of a Session: a Window, if wanted, else TerminalBars or PlainLines.

    `keys` are those of `sentimental.live.terminal.session_keys`.
    """
    has_screen = sys.platform in ("win32", "darwin") or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")
    )
    if has_screen and with_window:
        try:
            return Window(keys, session)
        except Exception as error:  # each toolkit has errors of its own
            note(f"no window ({' '.join(str(error).split())}); the bars come in the terminal")
    return terminal.TerminalBars(keys) if terminal.knows_escapes(sys.stdout) else PlainLines()


class Window(PlainLines):
    """Live bars, meters, and the last seconds as a strip; at the end the summary chart.

    Only the parts in which something moved are drawn again, on top of a copy of what does not move
    (blitting). Where there can be no window, it raises what matplotlib or the toolkit does, or
    SentimentalError.
    """

    def __init__(self, keys, session):
        self._style = contextlib.ExitStack()  # for as long as the process lives
        self._style.enter_context(chart.own_style())
        import matplotlib.pyplot as plt

        plt.rcParams["toolbar"] = "None"
        self._figure = plt.figure("Emotions in speech", chart.WINDOW_SIZE, facecolor="white")
        self._plt, self._canvas = plt, self._figure.canvas
        if self._canvas.required_interactive_framework is None:  # it draws into files only
            raise SentimentalError("no screen, or no toolkit: apt install python3-tk")
        self._fit_screen()
        self._emotions, self._keys = session.emotions, dict(keys)
        self._lay_out(with_voice=session.voice is not None)
        self._font_sizes = {}  # points of each text in a window of the usual size
        self._fit_fonts()
        connect = self._canvas.mpl_connect
        connect("resize_event", lambda event: self._fit_fonts())
        # Matplotlib's own keys would close the window, or give its axes a grid.
        self._canvas.mpl_disconnect(self._canvas.manager.key_press_handler_id)
        connect("key_press_event", lambda event: terminal.press(self._keys, event.key))
        self._column = 0  # the last one of the strip, counted from the start of the session
        plt.show(block=False)
        self._canvas.draw()

    def _fit_screen(self):
        window = getattr(self._canvas.manager, "window", None)
        with contextlib.suppress(Exception):  # only Tk has these methods
            screen = np.array([window.winfo_screenwidth(), window.winfo_screenheight()])
            scale = min(1.0, *(SCREEN_SHARE * screen / self._figure.bbox.size))
            self._figure.set_size_inches(scale * np.array(chart.WINDOW_SIZE))

    def _lay_out(self, with_voice):
        figure, n = self._figure, len(self._emotions)
        bars = figure.add_axes((0.065, 0.41, 0.85, 0.45))
        bars.set(xlim=(-0.6, n - 0.4), ylim=(0, 1.08))
        bars.set_yticks([0, 0.5, 1], ["0%", "50%", "100%"], fontsize=16)
        names, with_digits = self._emotions, "1" in self._keys
        if with_digits:
            names = [f"{number} {emotion}" for number, emotion in enumerate(names, 1)]
        bars.set_xticks(range(n), names, fontsize=17 if with_digits and n > 6 else 21)
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

        style = {"animated": True}
        colors = [chart.COLORS[emotion] for emotion in self._emotions]
        self._bars = bars.bar(range(n), np.zeros(n), color=colors, edgecolor="black", **style)
        centered = style | {"ha": "center", "va": "bottom", "fontsize": 20}
        self._percents = [bars.text(i, 0, "", **centered) for i in range(n)]
        self._title = figure.text(0.03, 0.905, "", fontsize=38, weight="bold", **style)
        right = style | {"fontsize": 18, "ha": "right", "color": chart.GRAY}
        self._last = figure.text(0.97, 0.915, "", **right)
        (self._level,) = meter.bar(0, 0, 0.9, bottom=LOWEST_DBFS, color=chart.GRAY, **style)
        n_columns = round(STRIP_SECONDS / COLUMN_SECONDS)
        silence = np.full((STRIP_ROWS, n_columns), _rgba(chart.SILENCE_COLOR))
        self._strip = _Strip(strip, silence)
        parts = [  # each of which is drawn by itself
            ((0.0, 0.88, 1.0, 1.0), [self._title, self._last]),
            ((0.065, 0.405, 0.93, 0.88), [*self._bars, *self._percents]),
            ((0.935, 0.40, 0.98, 0.87), [self._level]),
            ((0.06, 0.15, 0.98, 0.33), [self._strip]),
        ]
        words = terminal.legend(self._keys)
        figure.text(0.97, 0.012, words, fontsize=13, ha="right", color=chart.GRAY)
        if with_voice:
            axes = figure.add_axes((0.13, 0.05, 0.15, 0.03))
            axes.set(xlim=(0, 1), ylim=(-0.5, 0.5), xticks=[], yticks=[])
            figure.text(0.065, 0.05, "voice", fontsize=18)
            (self._known,) = axes.barh(0, 0, color=chart.GRAY, animated=True)
            self._acquaintance = figure.text(0.295, 0.05, "", fontsize=18, animated=True)
            parts.append(((0.125, 0.035, 0.75, 0.1), [self._known, self._acquaintance]))
        self._parts = [_Part(figure, *part) for part in parts]

    def _fit_fonts(self):
        """Let what is written grow and shrink with the window, so that nothing overlaps."""
        scale = min(self._figure.get_size_inches() / chart.WINDOW_SIZE)
        for text in self._figure.findobj(lambda artist: hasattr(artist, "set_fontsize")):
            size = self._font_sizes.setdefault(text, text.get_fontsize())
            text.set_fontsize(max(MIN_FONT_SIZE, scale * size))

    @property
    def closed(self):
        return not self._plt.fignum_exists(self._figure.number)

    def show(self, session, lines):
        super().show(session, lines)
        if self.closed:  # the last utterances may still come
            return
        for part, shown in zip(self._parts, self._set_results(session), strict=False):
            part.draw(shown)
        self._canvas.flush_events()

    def _set_results(self, session):
        """Set what is to be drawn; returns of each part what tells whether it has changed."""
        probabilities = session.update.probabilities if session.update else None
        is_silent = probabilities is None
        color = "#777777" if is_silent else "black"
        words, last = terminal.headline(session), ""
        if session.utterances:
            last = f"last: {chart.answer(session.utterances[-1])}"
        if session.task and not session.end:
            color, (words, _, last) = "black", session.task.partition(": ")
        self._title.set(text=words, color=color)
        self._last.set_text(last)
        heights = [0.0] * len(self._emotions) if is_silent else [*probabilities.values()]
        for p, bar, percent in zip(heights, self._bars, self._percents, strict=True):
            bar.set_height(p)
            percent.set(y=p + 0.01, text="" if is_silent else f"{p:.0%}")
        self._level.set_height(session.endpointer.level - LOWEST_DBFS)
        self._move_strip(session.endpointer.seconds, probabilities)
        title, bars = (words, color, last), (is_silent, heights)
        shown = [title, bars, round(session.endpointer.level), self._column]
        if session.voice is not None:
            self._known.set_width(session.voice.known)
            self._acquaintance.set_text(terminal.acquaintance(session.voice))
            shown.append(self._acquaintance.get_text())
        return shown

    def _move_strip(self, seconds, probabilities):
        """Add the columns since last time: all colors, each as high as its emotion is likely."""
        strip = self._strip.colors
        n_new = min(int(seconds / COLUMN_SECONDS) - self._column, strip.shape[1])
        if n_new == 0:
            return
        self._column = int(seconds / COLUMN_SECONDS)
        strip[:, :-n_new] = strip[:, n_new:]
        strip[:, -n_new:] = _rgba(chart.SILENCE_COLOR)
        if probabilities is not None:
            rows = (np.arange(STRIP_ROWS) + 0.5) / STRIP_ROWS
            which = np.searchsorted(np.cumsum([*probabilities.values()]), rows)
            colors = np.array([_rgba(chart.COLORS[emotion]) for emotion in probabilities])
            strip[:, -n_new:] = colors[which.clip(max=len(colors) - 1)][:, None]

    def show_summary(self, session):
        """Replace the bars by the summary chart until the user closes it or a signal comes."""
        super().show_summary(session)
        if self.closed:
            return
        chart.draw_summary(self._figure, session.utterances, session.endpointer.seconds)
        self._fit_fonts()
        self._canvas.draw()
        self._keys["q"] = terminal.Key("q leave", lambda: self._plt.close(self._figure))
        on_end_signals(lambda number: self._plt.close(self._figure))
        timer = self._canvas.new_timer(100)  # Python hears of signals only when something happens
        timer.start()
        note("Close the window, or press q in it or Ctrl-C, to leave.")
        self._plt.show(block=True)


def _rgba(color):
    """A color like "#f0e442" as one number, in whose bytes are red, green, blue and opacity."""
    return np.array([*chart.to_rgb(color), 255], np.uint8).view(np.uint32)[0]


class _Strip:
    """Draws `colors`, `_rgba` [shape=(rows, columns)], all over some axes.

    Matplotlib's own image takes several times as long.
    """

    def __init__(self, axes, colors):
        self._axes, self.colors = axes, colors

    def draw(self, renderer):
        (left, bottom), (right, top) = self._axes.bbox.get_points().round().astype(int)
        rows, columns = self.colors.shape
        rows = np.arange(top - bottom) * rows // (top - bottom)
        columns = np.arange(right - left) * columns // (right - left)
        image = self.colors[rows[:, None], columns].view(np.uint8)
        image = image.reshape(len(rows), len(columns), 4)
        renderer.draw_image(renderer.new_gc(), left, bottom, image)


class _Part:
    """A part of the window: its place (left, bottom, right, top, as shares), and what moves."""

    def __init__(self, figure, place, artists):
        self._figure, self._place, self._artists = figure, place, artists
        # All else is drawn the first time, and when the window got another size.
        figure.canvas.mpl_connect("draw_event", self._copy_background)

    def _copy_background(self, event):
        from matplotlib.transforms import Bbox

        corners = np.reshape(self._place, (2, 2)) * self._figure.bbox.size
        self._box = Bbox(corners.round())
        self._background = event.canvas.copy_from_bbox(self._box)
        self._shown = None

    def draw(self, shown):
        """Draw it, unless `shown` says that nothing has changed."""
        if shown == self._shown:
            return
        self._shown = shown
        self._figure.canvas.restore_region(self._background)
        for artist in self._artists:
            self._figure.draw_artist(artist)
        self._figure.canvas.blit(self._box)
