"""What was recognized of a session or of recordings: in a line, as a summary, as a time line."""

from collections import namedtuple

import numpy as np

from sentimental.files import atomic_write
from sentimental.scripts import EMOTIONS, UNSURE_BELOW
from sentimental.vad import LOWEST_DBFS

# Inches.
WINDOW_SIZE = (12, 7)
# Okabe and Ito's palette, made for color-blind eyes: https://jfly.uni-koeln.de/color/
COLORS = {
    "neutral": "#000000",
    "calm": "#56b4e9",
    "happy": "#f0e442",
    "sad": "#0072b2",
    "angry": "#d55e00",
    "fear": "#cc79a7",
    "disgust": "#009e73",
    "surprise": "#e69f00",
}
# Light gray, where nobody speaks.
SILENCE_COLOR = "#f0f0f0"
# Columns of the time line. In more of them, an hour would be too restless to read.
N_COLUMNS = 200
# s between two labels of it.
TICKS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 36_000)
# Inches of a time line: its width, and the height of each track and of what is around them.
TRACK_SIZE, AROUND = (12, 5), 2

# Start and end in s of the session; probabilities as np.ndarray [shape=(8,)].
Utterance = namedtuple("Utterance", "start end probabilities")
# A channel, counted from 1, or None where all are mixed; list of Utterance; levels as a list of
# (start, end, dB re full scale).
Track = namedtuple("Track", "channel utterances levels")


def strongest(probabilities):
    """Emotion, its probability, runner-up and its probability."""
    second, first = np.argsort(probabilities)[-2:]
    return EMOTIONS[first], probabilities[first], EMOTIONS[second], probabilities[second]


def is_unsure(probabilities):
    """Does the strongest emotion say little?"""
    return np.max(probabilities) < UNSURE_BELOW


def clock(seconds):
    """A place in a recording, as in "12:03.4" or "1:12:03.4"."""
    minutes, seconds = divmod(round(seconds, 1), 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02}:{seconds:04.1f}" if hours else f"{minutes}:{seconds:04.1f}"


def count_utterances(n):
    """Their number in words."""
    return "1 utterance" if n == 1 else f"{n} utterances"


def mean_probabilities(utterances):
    """The mean over a list of Utterance, in which each second of speech counts alike."""
    starts, ends, probabilities = zip(*utterances, strict=True)
    return np.average(probabilities, axis=0, weights=np.subtract(ends, starts))


def summary_line(utterances, seconds):
    """A session of so many seconds in one line."""
    speech = sum(utterance.end - utterance.start for utterance in utterances)
    emotion, p, *_ = strongest(mean_probabilities(utterances))
    count = count_utterances(len(utterances))
    return f"{count}, {speech:.1f} s of speech in {seconds:.0f} s; on average {emotion} {p:.0%}"


def draw_summary(figure, utterances, seconds):
    """The session as a chart: mean probabilities above, the utterances over time below.

    Parameters
    ----------
    figure : matplotlib.figure.Figure, is cleared first
    utterances : list of Utterance, not empty
    seconds : float, of the whole session
    """
    figure.clear()
    means = mean_probabilities(utterances)
    bars, line = figure.subplots(2, 1, height_ratios=[2, 1])
    drawn = bars.bar(range(8), means, color=COLORS.values(), edgecolor="black")
    bars.bar_label(drawn, [f"{p:.0%}" for p in means], fontsize=21, padding=2)
    bars.set(ylim=(0, means.max() * 1.15), yticks=[])  # the space above is for its figure
    bars.set_xticks(range(8), EMOTIONS, fontsize=21)
    bars.tick_params(length=0)
    bars.set_title(summary_line(utterances, seconds), fontsize=20, loc="left", pad=14)
    starts, ends, probabilities = zip(*utterances, strict=True)
    heights = np.max(probabilities, axis=1)
    colors = [COLORS[strongest(p)[0]] for p in probabilities]
    line.bar(starts, heights, np.subtract(ends, starts), align="edge", color=colors)
    line.set(xlim=(0, seconds), ylim=(0, 1), facecolor=SILENCE_COLOR)
    line.set_yticks([0, 0.5, 1], ["0%", "50%", "100%"])
    line.tick_params(labelsize=16)
    line.set_xlabel("seconds; each utterance has the color of its strongest emotion", fontsize=16)
    for axes in (bars, line):
        axes.spines[["top", "right", "left"]].set_visible(False)
    figure.set_layout_engine("tight")


def draw_timeline(figure, tracks, seconds):
    """Recordings over time: of each track the probabilities, stacked, and the level below them.

    Parameters
    ----------
    figure : matplotlib.figure.Figure, is cleared first
    tracks : list of Track, with utterances
    seconds : float, of the whole
    """
    figure.clear()
    rows = figure.subplots(2 * len(tracks), 1, sharex=True, height_ratios=[3, 1] * len(tracks))
    edges = np.linspace(0, seconds, N_COLUMNS + 1)
    for track, (stack, level) in zip(tracks, rows.reshape(-1, 2), strict=True):
        sums = _sum_columns(edges, *zip(*track.utterances, strict=True))
        speech = sums.sum(axis=1, keepdims=True)  # in s
        means = sums / np.where(speech > 0, speech, np.inf)
        heights = np.vstack([means, means[-1:]]).T  # the last column ends where no other begins
        stack.stackplot(edges, heights, step="post", colors=COLORS.values(), labels=EMOTIONS)
        stack.set(ylim=(0, 1), facecolor=SILENCE_COLOR)
        stack.set_yticks([0, 0.5, 1], ["0%", "50%", "100%"], fontsize=14)
        if track.channel:
            stack.set_ylabel(f"channel {track.channel}", fontsize=16)
        starts, ends, levels = zip(*track.levels, strict=True)
        powers = _sum_columns(edges, starts, ends, 10 ** (np.array(levels)[:, None] / 10))[:, 0]
        dbfs = 10 * np.log10(powers / np.diff(edges) + 10 ** (LOWEST_DBFS / 10))
        level.stairs(dbfs, edges, baseline=LOWEST_DBFS, fill=True, color="#444444")
        level.set(ylim=(LOWEST_DBFS, 0))
        level.set_yticks([-80, -40, 0], ["−80 dB", "−40", "0"], fontsize=14)
        for axes in (stack, level):
            axes.spines[["top", "right", "left"]].set_visible(False)
    level.set(xlim=(0, seconds))
    step = next((step for step in TICKS if seconds <= 12 * step), TICKS[-1])
    ticks = np.arange(0, seconds, step)
    level.set_xticks(ticks, [clock(tick).removesuffix(".0") for tick in ticks], fontsize=14)
    everything = [one for track in tracks for one in track.utterances]
    figure.suptitle(summary_line(everything, seconds), fontsize=20)
    handles, labels = stack.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=8, fontsize=14, frameon=False)
    figure.set_layout_engine("constrained")


def _sum_columns(edges, starts, ends, values):
    """Sum values over time, between each two edges.

    Parameters
    ----------
    edges : np.ndarray [shape=(n + 1,)], s
    starts, ends : sequences of float, s; of spans, each of which begins after the last one
    values : sequence [shape=(len(starts), k)], of the spans; between them it is 0

    Returns
    -------
    sums : np.ndarray [shape=(n, k)], in units of the values times s
    """
    places = np.column_stack([starts, ends]).ravel()
    seconds = np.subtract(ends, starts)[:, None]
    sums = np.cumsum(seconds * values, axis=0)
    sums = np.repeat(np.vstack([0 * sums[:1], sums]), 2, axis=0)[1:-1]  # at each of the places
    return np.diff([np.interp(edges, places, column) for column in sums.T]).T


def save_plot(path, utterances, seconds):
    """Write the summary chart; the end of the name chooses the format."""
    _save(path, WINDOW_SIZE, draw_summary, utterances, seconds)


def save_timeline(path, tracks, seconds):
    """Write the time line; the end of the name chooses the format."""
    width, height = TRACK_SIZE
    size = width, AROUND + height * len(tracks)
    _save(path, size, draw_timeline, tracks, seconds)


def _save(path, size, draw, *drawn):
    from matplotlib.figure import Figure

    figure = Figure(size)
    draw(figure, *drawn)
    with atomic_write(path) as partial:
        figure.savefig(partial)
