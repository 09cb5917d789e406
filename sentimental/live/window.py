"""The window of a live session, and the choice between it and what the terminal can show."""

import os
import sys

import numpy as np

from sentimental.live.chart import COLORS, SILENCE_COLOR, WINDOW_SIZE, draw_summary, strongest
from sentimental.live.display import PlainLines, acquaintance, headline, knows_escapes, note, to_rgb
from sentimental.live.keyboard import Key, legend, press
from sentimental.live.terminal import TerminalBars
from sentimental.scripts import EMOTIONS, SentimentalError, on_end_signals
from sentimental.vad import LOWEST_DBFS

# s of sound in a column of the strip.
COLUMN_SECONDS = 0.16
# s of sound in the strip.
STRIP_SECONDS = 30.0
# Pixels of the strip's image, from 0 to 100 %.
STRIP_ROWS = 60
# Points of the smallest letters, in a window of whatever size.
MIN_FONT_SIZE = 3.0


def open_display(with_window, keys):
    """The best display that there is: a window, bars in the terminal, or lines.

    Parameters
    ----------
    with_window : bool, whether one is wanted
    keys : dict, as of `sentimental.live.keyboard.session_keys`

    Returns
    -------
    display : Window, TerminalBars or PlainLines
    """
    has_screen = sys.platform in ("win32", "darwin") or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")
    )
    if has_screen and with_window:
        try:
            return Window(keys)
        except Exception as error:  # each toolkit has errors of its own
            note(f"no window ({' '.join(str(error).split())}); the bars come in the terminal")
    return TerminalBars(keys) if knows_escapes(sys.stdout) else PlainLines()


class Window(PlainLines):
    """Live bars, meters, and the last seconds as a strip; at the end the summary chart.

    Only what moves is drawn again, on top of a copy of what does not (blitting). Where there can
    be no window, it raises what matplotlib or the toolkit does, or SentimentalError.

    Parameters
    ----------
    keys : dict, as of `sentimental.live.keyboard.session_keys`
    """

    def __init__(self, keys):
        import matplotlib.pyplot as plt

        plt.rcParams["toolbar"] = "None"
        self._figure = plt.figure("Emotions in speech", WINDOW_SIZE, facecolor="white")
        if self._figure.canvas.required_interactive_framework is None:  # it draws into files only
            raise SentimentalError("no screen, or no toolkit: apt install python3-tk")
        self._plt, self._canvas = plt, self._figure.canvas
        self._add_animated(*_lay_out(self._figure))
        if "n" in keys:
            self._add_voice()
        self._figure.text(0.97, 0.012, legend(keys), fontsize=13, ha="right", color="#444444")
        self._keys = dict(keys)
        self._font_sizes = self._find_font_sizes()
        self._background = None
        connect = self._canvas.mpl_connect
        self._on_draw_id = connect("draw_event", self._on_draw)
        connect("resize_event", lambda event: self._fit_fonts())
        # Matplotlib's own keys would close the window, or give its axes a grid.
        self._canvas.mpl_disconnect(self._canvas.manager.key_press_handler_id)
        connect("key_press_event", lambda event: press(self._keys, event.key))
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

    def _add_voice(self):
        axes = self._figure.add_axes((0.13, 0.05, 0.15, 0.03))
        axes.set(xlim=(0, 1), ylim=(-0.5, 0.5), xticks=[], yticks=[])
        self._figure.text(0.065, 0.05, "voice", fontsize=18)
        (self._known,) = axes.barh(0, 0, color="#444444", animated=True)
        self._acquaintance = self._figure.text(0.295, 0.05, "", fontsize=18, animated=True)
        self._animated += [self._known, self._acquaintance]

    def _find_font_sizes(self):
        """The size, in points, of each text in a window of the usual size."""
        texts = self._figure.findobj(lambda artist: hasattr(artist, "set_fontsize"))
        return {text: text.get_fontsize() for text in texts}

    def _fit_fonts(self):
        """Let what is written grow and shrink with the window, so that nothing overlaps."""
        scale = min(self._figure.get_size_inches() / WINDOW_SIZE)
        for text, size in self._font_sizes.items():
            text.set_fontsize(max(MIN_FONT_SIZE, scale * size))

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
        note("Close the window, or press q in it or Ctrl-C, to leave.")
        self._canvas.mpl_disconnect(self._on_draw_id)
        draw_summary(self._figure, utterances, seconds)
        self._font_sizes = self._find_font_sizes()
        self._fit_fonts()
        self._canvas.draw()
        self._keys["q"] = Key("q leave", lambda: self._plt.close(self._figure))
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
