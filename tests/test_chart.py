"""Answers in words, places in time, and the time line."""

import functools

import matplotlib.image
import numpy as np
import pytest
import sessions
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from sentimental import EMOTIONS
from sentimental.live import chart
from sentimental.live.chart import Track, clock, draw_timeline
from sentimental.recognizer import Utterance

sure = functools.partial(sessions.sure, p=0.86)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0:00.0"),
        (63.44, "1:03.4"),
        (59.96, "1:00.0"),
        (3599.96, "1:00:00.0"),
        (4323.4, "1:12:03.4"),
    ],
)
def test_a_place_in_a_recording(seconds, words):
    assert clock(seconds) == words


def tracks():
    powers = [(second, second + 1, 1e-6 if second < 10 else 0.01) for second in range(100)]
    first = [Utterance(10, 30, sure("happy")), Utterance(50, 60, sure("sad"))]
    return [Track(1, first, powers), Track(2, [Utterance(0, 100, sure("angry"))], powers)]


def heights(axes, emotion, second):
    """From where to where an emotion is drawn."""
    (area,) = [area for area in axes.collections if area.get_label() == emotion]
    assert tuple(area.get_facecolor()[0][:3]) == to_rgb(chart.COLORS[emotion])
    (path,) = area.get_paths()
    # All edges that lie left and right of the place belong to the column there.
    x, y = path.vertices.T
    column = np.unique(y[np.abs(x - second) < 0.2].round(6))
    return column[0], column[-1]


def test_the_time_line_stacks_the_probabilities_where_they_were_found():
    figure = Figure((12, 12))
    draw_timeline(figure, tracks(), 100.0)
    stack, level, other, _ = figure.axes
    assert heights(stack, "happy", 20) == pytest.approx((0.04, 0.9))
    assert heights(stack, "sad", 55) == pytest.approx((0.06, 0.92))
    assert heights(stack, "surprise", 20)[1] == pytest.approx(1)
    assert heights(stack, "surprise", 40) == pytest.approx((0, 0))  # nobody speaks
    assert heights(other, "angry", 40)[1] - heights(other, "angry", 40)[0] == pytest.approx(0.86)
    assert (stack.get_ylabel(), other.get_ylabel()) == ("channel 1", "channel 2")
    values = level.patches[0].get_data().values
    np.testing.assert_allclose(values[[10, 100]], [-60, -20], atol=0.1)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [*EMOTIONS]
    assert "3 utterances" in figure.get_suptitle()


def test_the_time_line_is_as_high_as_the_share_that_is_spoken():
    spoken = [Utterance(n, n + 0.5, sure("sad")) for n in range(3600)]  # half of an hour
    figure = Figure((12, 7))
    draw_timeline(figure, [Track(None, spoken, [(0, 3600, 0.001)])], 3600.0)
    top = [heights(figure.axes[0], "surprise", second)[1] for second in (900, 1800, 2700)]
    assert top == pytest.approx([0.5] * 3, abs=0.1)


@pytest.mark.parametrize("draw", ["summary", "timeline"])
def test_files_have_names_and_borders_and_emotions_that_are_never_answered_do_not_appear(draw):
    figure, one = Figure((12, 7)), [Utterance(0, 100, {"happy": 0.1, "sad": 0.9})]
    files = [(0.0, "a.wav"), (20.0, "$x_$.wav"), (90.0, "a_long_name_that_has_no_room.wav")]
    if draw == "summary":
        chart.draw_summary(figure, one, 100.0, files)
        assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["happy", "sad"]
        assert figure.axes[0].get_ylim()[1] > 1  # bars do not grow with the panel
    else:
        draw_timeline(figure, [Track(None, one, [(0, 100, 0.001)])], 100.0, files)
        assert [text.get_text() for text in figure.legends[0].get_texts()] == ["happy", "sad"]
    figure.canvas.draw()
    axes = figure.axes[1 if draw == "summary" else 0]
    assert [line.get_xdata()[0] for line in axes.lines] == [0.0, 20.0, 90.0]
    assert [text.get_text() for text in axes.texts] == [" a.wav", " $x_$.wav", " …o_room.wav"]


def test_a_session_of_ten_hours_can_be_read():
    figure, spoken = Figure((12, 7)), [Utterance(n, n + 1, sure("sad")) for n in (0, 20_000)]
    canvas = FigureCanvasAgg(figure)
    chart.draw_summary(figure, spoken, 36_000.0)
    canvas.draw()
    line = figure.axes[1]
    assert "5:00:00" in [label.get_text() for label in line.get_xticklabels()]
    pixels = np.asarray(canvas.buffer_rgba())[..., :3] / 255
    left, bottom, right, top = (line.get_window_extent().extents).round().astype(int)
    inside = pixels[700 - top : 700 - bottom, left + 100 : right]
    assert (np.abs(inside - to_rgb(chart.COLORS["sad"])).sum(axis=2) < 0.6).any()


def test_pictures_have_their_own_style(tmp_path):
    with matplotlib.rc_context({"figure.dpi": 30, "savefig.dpi": 30, "text.color": "white"}):
        chart.save_plot(tmp_path / "a.png", tracks()[0].utterances, 100.0)
        assert matplotlib.rcParams["figure.dpi"] == 30
    picture = matplotlib.image.imread(tmp_path / "a.png")
    assert picture.shape[:2] == (700, 1200)
    assert picture.std() > 0


@pytest.mark.parametrize("seconds", [8, 300, 3600, 100_000])
def test_places_can_be_read_at_any_length(seconds):
    figure = Figure((12, 7))
    one = Track(None, [Utterance(0, seconds, sure("sad"))], [(0, seconds, 0.001)])
    draw_timeline(figure, [one], seconds)
    figure.canvas.draw()
    labels = [text.get_window_extent() for text in figure.axes[-1].get_xticklabels()]
    assert len(labels) >= 4
    assert all(left.x1 < right.x0 for left, right in zip(labels[:-1], labels[1:], strict=True))
