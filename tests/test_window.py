"""The window: what it shows, its keys, the summary at its end; and what comes in its place."""

import os
import signal
import sys
import threading
from functools import partial
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.backend_bases import KeyEvent, ResizeEvent
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text
from sessions import ACQUAINTANCE, UTTERANCES, known_voice, session, sure

from sentimental import EMOTIONS
from sentimental.live import chart
from sentimental.live.chart import COLORS, to_rgb
from sentimental.live.terminal import Key, PlainLines
from sentimental.live.voices import SITUATIONS
from sentimental.live.window import Window, open_display
from sentimental.recognizer import Utterance


def open_window():
    return open_display(with_window=True, keys={}, session=session())


def test_without_a_screen_the_lines_are_plain(monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    assert type(open_window()) is PlainLines


@pytest.mark.parametrize("backend", ["agg", "svg", "pdf", "a screen that cannot be reached"])
def test_without_a_toolkit_or_its_screen_the_lines_are_plain(monkeypatch, capsys, backend):
    def fail(*arguments, **options):
        raise Exception("couldn't connect to\ndisplay")  # as Tk's TclError, which is no other

    if backend in ("agg", "svg", "pdf"):
        plt.switch_backend(backend)
        words = "no screen, or no toolkit"
    else:
        monkeypatch.setattr(plt, "figure", fail)
        words = "couldn't connect to display"
    monkeypatch.setenv("DISPLAY", ":987")
    assert type(open_window()) is PlainLines
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"no window ({words}")
    plt.close("all")


# The window -------------------------------------------------------------------------------------


@pytest.fixture
def window(monkeypatch):
    plt.switch_backend("agg")
    monkeypatch.setattr(FigureCanvasAgg, "required_interactive_framework", "any")
    monkeypatch.setattr(plt, "show", lambda block: None)
    presses = []
    keys = {name: Key(f"{name} acts", partial(presses.append, name)) for name in "q sn1"}
    window = Window(keys, session(voice=known_voice(0)))
    window.presses = presses
    yield window
    plt.close("all")


def figure():
    return plt.gcf()


def pixels(emotion, part=np.s_[:]):
    """How many pixels of a part of the window have an emotion's color, or the gray of meters."""
    color = to_rgb(COLORS.get(emotion, chart.GRAY))
    return int((np.asarray(figure().canvas.buffer_rgba())[part][..., :3] == color).all(2).sum())


def test_window_shows_the_probabilities_and_silence_as_silence(window):
    window.show(session(0, happy=0.7, disgust=0.3), [])
    assert pixels("happy") > 2 * pixels("disgust") > 1000
    assert pixels("calm") == 0
    window.show(session(0), [])
    assert pixels("happy") == pixels("disgust") == 0
    assert figure().texts[0].get_text() == "silence"


def test_window_keeps_the_last_seconds_in_its_strip(window):
    window.show(session(1, happy=1.0), [])
    window.show(session(5, happy=1.0), [])
    with_bar = pixels("happy")
    window.show(session(5.2), [])
    in_strip = pixels("happy")
    assert 0 < in_strip < with_bar
    window.show(session(45, calm=1.0), [])
    assert pixels("happy") == 0


def test_the_level_meter_moves_between_results(window):
    now = session(happy=1.0)
    window.show(now, [])
    before = pixels("gray")
    now.endpointer.level = -10.0
    window.show(now, [])
    assert pixels("gray") > 1.2 * before


def test_window_tells_how_well_the_voice_is_known(window):
    sizes = []
    for n, words in ACQUAINTANCE:
        window.show(session(voice=known_voice(n)), [])
        assert words in [text.get_text() for text in figure().texts]
        sizes.append(pixels("gray", np.s_[-50:, 150:330]))
    assert sizes == sorted({*sizes})
    assert sizes[0] == 0


def press(key):
    figure().canvas.callbacks.process(
        "key_press_event", KeyEvent("key_press_event", figure().canvas, key)
    )


def test_each_key_does_what_it_stands_for_and_matplotlib_nothing(window):
    window.show(session(voice=known_voice(3)), [])
    digits = [label.get_text() for label in figure().axes[0].get_xticklabels()]
    assert digits == [f"{number} {emotion}" for number, emotion in enumerate(EMOTIONS, 1)]
    before = np.array(figure().canvas.buffer_rgba())
    for key in ("a", None, "enter", "ctrl+s", "g", "l", "f", "ctrl+w"):
        press(key)
    window.show(session(voice=known_voice(3)), [])
    assert window.presses == []
    assert (before == np.asarray(figure().canvas.buffer_rgba())).all()
    for key in "snN q":
        press(key)
    assert window.presses == [*"snn q"]
    assert not window.closed


def test_the_window_says_in_large_letters_what_to_say(window):
    window.show(session(voice=known_voice(0), task="sad, 3 of 8: say anything, sadly"), [])
    title, other, *_ = figure().texts
    assert (title.get_text(), other.get_text()) == ("sad, 3 of 8", "say anything, sadly")
    check_texts(figure())
    for emotion, situation in SITUATIONS.items():
        task = f"{emotion}, 16 of 16: say anything, {situation}"
        window.show(session(voice=known_voice(0), task=task), [])
        check_texts(figure())
    window.show(session(voice=known_voice(0), task="sad, 3 of 8: …", end="q was pressed"), [])
    assert title.get_text() == "finishing"


def test_what_is_in_doubt_is_said_twice_without_overlap(window):
    doubtful = Utterance(0, 1, sure("sad"), "unlike speech?")
    now = session(sad=1.0, utterances=[doubtful])
    now.update = doubtful
    window.show(now, [])
    check_texts(figure())


def test_without_a_history_the_window_does_not_speak_of_a_voice(window):
    plt.close("all")
    Window({}, session()).show(session(happy=1.0), [])
    assert not [text for text in figure().texts if "voice" in text.get_text()]
    press("n")


def check_texts(figure):
    """None lies on another, none is cut off by the window's edge."""
    texts = [t for t in figure.findobj(Text) if t.get_visible() and t.get_text()]
    boxes = [(t.get_window_extent(), t.get_text()) for t in texts]
    assert len(boxes) > 10
    for number, (box, text) in enumerate(boxes):
        assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1, text
        assert figure.bbox.y0 <= box.y0 < box.y1 <= figure.bbox.y1, text
        for other_box, other in boxes[:number]:
            assert not box.overlaps(other_box), (text, other)


def check_parts(window):
    """What is drawn by itself lies in its part of the window, else its end is not seen."""
    boxes = []
    for part in window._parts:
        boxes += [part._box]
        for artist in part._artists:
            if getattr(artist, "get_text", lambda: True)() and artist is not window._strip:
                left, bottom, right, top = artist.get_window_extent().extents
                assert part._box.x0 <= left <= right <= part._box.x1, artist
                assert part._box.y0 <= bottom <= top <= part._box.y1, artist
    for number, box in enumerate(boxes):
        assert not any(box.shrunk(0.99, 0.99).overlaps(other) for other in boxes[:number])


@pytest.mark.parametrize("screen", [(800, 480), (1024, 600), (1920, 1080)])
def test_the_window_fits_the_screen(window, screen):
    width, height = screen
    sizes = {"winfo_screenwidth": lambda: width, "winfo_screenheight": lambda: height}
    window._canvas.manager.window = SimpleNamespace(**sizes)
    window._fit_screen()
    size = figure().bbox.size
    assert (size <= [width, height]).all()
    assert size[0] / size[1] == pytest.approx(12 / 7)
    assert (size == [1200, 700]).all() == (width == 1920)
    resize(size / 100)
    window.show(session(voice=known_voice(3), surprise=1.0), [])
    check_texts(figure())


def test_the_window_has_its_own_style(monkeypatch, window):
    plt.close("all")
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    with plt.rc_context({"text.color": "white", "figure.dpi": 300, "axes.facecolor": "black"}):
        Window({}, session())
        assert figure().dpi == 100
        assert {text.get_color() for text in figure().axes[0].get_xticklabels()} == {"black"}
    assert "MPLBACKEND" not in os.environ


@pytest.mark.parametrize("shown", [{"surprise": 1.0}, dict.fromkeys(EMOTIONS, 1 / 8), {}])
@pytest.mark.parametrize("n", [0, 3, 1234])
@pytest.mark.parametrize("size", [(12, 7), (5, 3), (16, 8)])
def test_all_that_is_written_can_be_read(window, shown, n, size):
    resize(size)
    window.show(session(utterances=UTTERANCES, voice=known_voice(n), **shown), [])
    check_texts(figure())
    check_parts(window)
    frames = [axes.get_window_extent() for axes in figure().axes]
    for text in figure().texts:
        assert not any(text.get_window_extent().overlaps(frame) for frame in frames), text


def resize(size):
    """Give the window another size in inches, as a toolkit does."""
    figure().set_size_inches(size)
    canvas = figure().canvas
    canvas.callbacks.process("resize_event", ResizeEvent("resize_event", canvas))
    canvas.draw()


@pytest.mark.parametrize("probabilities", [sure("surprise"), sure("sad", 1 / 8)])
def test_all_of_the_summary_can_be_read(window, monkeypatch, probabilities):
    def show(block):
        check_texts(figure())
        resize((12, 7))
        check_texts(figure())
        plt.close("all")

    monkeypatch.setattr(plt, "show", show)
    resize((5, 3))
    utterances = [Utterance(i, i + 3, probabilities) for i in range(0, 3_600, 4)]
    window.show_summary(session(4_000, utterances=utterances))
    assert window.closed


def test_the_summary_has_each_emotion_in_its_color():
    figure = Figure()
    spoken = ["sad", "happy", "surprise"]
    utterances = [Utterance(n, n + 1, sure(name, 0.9)) for n, name in enumerate(spoken)]
    chart.draw_summary(figure, utterances, 3)
    bars, line = figure.axes
    for axes, names in ((bars, EMOTIONS), (line, spoken)):
        shown = [to_hex(bar.get_facecolor()) for bar in axes.patches]
        assert shown == [COLORS[name] for name in names]
    assert [label.get_text() for label in bars.get_xticklabels()] == [*EMOTIONS]


def test_what_was_said_last_still_comes_when_the_window_is_closed(window, capsys):
    window.show(session(happy=1.0), [])
    assert not window.closed
    plt.close(figure())
    assert window.closed
    window.show(session(sad=1.0), ["12:00:00  an utterance"])
    assert capsys.readouterr().out == "12:00:00  an utterance\n"
    window.show_summary(session(2, utterances=UTTERANCES))


@pytest.mark.parametrize("end", ["q", "Ctrl-C"])
def test_the_summary_stays_until_the_user_leaves_it(window, monkeypatch, end):
    def show(block):
        if end == "q":
            press("q")
        else:
            threading.Timer(0.2, lambda: signal.raise_signal(signal.SIGINT)).start()
        while plt.get_fignums():
            threading.Event().wait(0.02)

    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(plt, "show", show)
    window.show_summary(session(2, utterances=UTTERANCES))
    assert window.closed
    assert window.presses == []
    signal.signal(signal.SIGINT, before)
