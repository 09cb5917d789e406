"""What was recognized of a session or of recordings: in a line, as a summary, as a time line."""

import os
from collections import namedtuple
from pathlib import Path

import numpy as np

from sentimental.files import atomic_write
from sentimental.recognizer import Utterance, mean_probabilities
from sentimental.scripts import shown
from sentimental.vad import LOWEST_DBFS

# Inches, of 100 pixels.
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
# Light gray, where nobody speaks; and a darker one.
SILENCE_COLOR, GRAY = "#f0f0f0", "#444444"
# Columns of the time line: one for each pixel.
N_COLUMNS = 1_000
# s between two labels of a time axis.
TICKS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 36_000)
# Inches of a time line: its width, and the height of each track and of what is around them.
TRACK_SIZE, AROUND = (12, 5), 2
# Letters of a file's name that fit into the whole width of a chart.
NAME_LETTERS = 110

# A channel, counted from 1, or None where all are mixed; list of Utterance; list of (start, end,
# power), which is 1.0 at full scale.
Track = namedtuple("Track", "channel utterances powers")


def strongest(probabilities):
    """The strongest emotion of a dict."""
    return max(probabilities, key=probabilities.get)


def answer(utterance):
    """The strongest emotion in two words; "unsure" where it says little."""
    emotion, doubt = strongest(utterance.probabilities), utterance.doubt
    if utterance.unsure:
        return f"unsure: {doubt}" if doubt else "unsure"
    return f"{emotion} {utterance.probabilities[emotion]:.0%}"


def result_line(name, utterance):
    start, end, p, doubt = utterance
    first, second = sorted(p, key=p.get, reverse=True)[:2]
    name = f"{name}  {end - start:4.1f} s"
    if utterance.unsure:
        why = f" ({doubt})" if doubt else ""
        return f"{name}  unsure{why}: {first} {p[first]:.2f} or {second} {p[second]:.2f}"
    return f"{name}  {first:8s} {p[first]:.2f}  ({second} {p[second]:.2f})"


def clock(seconds):
    """A place in a recording, as in "12:03.4" or "1:12:03.4"."""
    minutes, seconds = divmod(round(seconds, 1), 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02}:{seconds:04.1f}" if hours else f"{minutes}:{seconds:04.1f}"


def count_utterances(n):
    return "1 utterance" if n == 1 else f"{n} utterances"


def summary_line(utterances, seconds):
    """A session of so many seconds in one line."""
    speech = sum(utterance.end - utterance.start for utterance in utterances)
    means, count = mean_probabilities(utterances), count_utterances(len(utterances))
    most = strongest(means)
    return (
        f"{count}, {speech:.1f} s of speech in {seconds:.0f} s; on average {most} {means[most]:.0%}"
    )


def to_rgb(color):
    """Red, green and blue, 0 to 255, of a color like "#f0e442"."""
    return tuple(bytes.fromhex(color[1:]))


def own_style():
    """A ``with`` of Matplotlib as it comes, whatever style, backend or size of letters is set."""
    os.environ.pop("MPLBACKEND", None)  # of a notebook, for instance
    from matplotlib import style

    return style.context([], after_reset=True)


# Charts -----------------------------------------------------------------------------------------


def draw_summary(figure, utterances, seconds, files=()):
    """The session as a chart: mean probabilities above, the utterances over time below.

    Parameters
    ----------
    figure : matplotlib.figure.Figure, is cleared first
    utterances : list of Utterance, not empty
    seconds : float, of the whole session
    files : sequence of (start in s, name), when there are several
    """
    figure.clear()
    means = mean_probabilities(utterances)
    bars, line = figure.subplots(2, 1, height_ratios=[2, 1])
    colors = [COLORS[emotion] for emotion in means]
    drawn = bars.bar([*means], [*means.values()], color=colors, edgecolor="black")
    bars.bar_label(drawn, [f"{p:.0%}" for p in means.values()], fontsize=21, padding=2)
    bars.set(ylim=(0, 1.15), yticks=[])  # the space above is for the figure of 100 %
    bars.tick_params(length=0, labelsize=21)
    bars.set_title(summary_line(utterances, seconds), fontsize=20, loc="left", pad=14)
    starts, ends, probabilities, _ = zip(*utterances, strict=True)
    colors = [COLORS[strongest(p)] for p in probabilities]
    heights = [max(p.values()) for p in probabilities]
    # In a session of hours an utterance is less than a pixel wide; its edge can be seen.
    style = {"align": "edge", "color": colors, "edgecolor": colors, "linewidth": 0.7}
    line.bar(starts, heights, np.subtract(ends, starts), **style)
    line.set(ylim=(0, 1), facecolor=SILENCE_COLOR)
    line.set_yticks([0, 0.5, 1], ["0%", "50%", "100%"], fontsize=16)
    _label_time(line, seconds, fontsize=16)
    line.set_xlabel("time; each utterance has the color of its strongest emotion", fontsize=16)
    _draw_files([line], files, seconds)
    for axes in (bars, line):
        axes.spines[["top", "right", "left"]].set_visible(False)
    figure.set_layout_engine("tight")


def draw_timeline(figure, tracks, seconds, files=()):
    """Recordings over time: of each track the probabilities, stacked, and the level below them.

    The stack is as high as the share of the time in which somebody speaks.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    tracks : list of Track, with utterances
    seconds, files : as for `draw_summary`
    """
    rows = figure.subplots(2 * len(tracks), 1, sharex=True, height_ratios=[3, 1] * len(tracks))
    edges = np.linspace(0, seconds, N_COLUMNS + 1)
    everything = [one for track in tracks for one in track.utterances]
    emotions = [*everything[0].probabilities]
    style = {"colors": [COLORS[emotion] for emotion in emotions], "labels": emotions}
    for track, (stack, level) in zip(tracks, rows.reshape(-1, 2), strict=True):
        starts, ends, probabilities, _ = zip(*track.utterances, strict=True)
        values = [[*p.values()] for p in probabilities]
        shares = _sum_columns(edges, starts, ends, values) / np.diff(edges)[:, None]
        heights = np.vstack([shares, shares[-1:]]).T  # the last column ends at the edge
        stack.stackplot(edges, heights, step="post", **style)
        stack.set(ylim=(0, 1), facecolor=SILENCE_COLOR)
        stack.set_yticks([0, 0.5, 1], ["0%", "50%", "100%"], fontsize=14)
        if track.channel:
            stack.set_ylabel(f"channel {track.channel}", fontsize=16)
        starts, ends, powers = zip(*track.powers, strict=True)
        powers = _sum_columns(edges, starts, ends, np.array(powers)[:, None])[:, 0]
        dbfs = 10 * np.log10(powers / np.diff(edges) + 10 ** (LOWEST_DBFS / 10))
        level.stairs(dbfs, edges, baseline=LOWEST_DBFS, fill=True, color=GRAY)
        level.set(ylim=(LOWEST_DBFS, 0))
        level.set_yticks([-80, -40, 0], ["−80 dB", "−40", "0"], fontsize=14)
        for axes in (stack, level):
            axes.spines[["top", "right", "left"]].set_visible(False)
    _label_time(level, seconds, fontsize=14)
    _draw_files(rows, files, seconds)
    figure.suptitle(summary_line(everything, seconds), fontsize=20)
    handles, labels = stack.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=8, fontsize=14, frameon=False)
    figure.set_layout_engine("constrained")


def _label_time(axes, seconds, fontsize):
    step = next((step for step in TICKS if seconds <= 12 * step), TICKS[-1])
    ticks = np.arange(0, seconds, step)
    axes.set_xlim(0, seconds)
    axes.tick_params(axis="x", pad=10)
    axes.set_xticks(ticks, [clock(tick).removesuffix(".0") for tick in ticks], fontsize=fontsize)


def _draw_files(rows, files, seconds):
    """A line where each file begins, and as much of its name as has room."""
    ends = [start for start, _ in files[1:]] + [seconds]
    for (start, name), end in zip(files, ends, strict=True) if len(files) > 1 else ():
        for axes in rows:
            axes.axvline(start, color=GRAY, linewidth=0.7)
        room = int(NAME_LETTERS * (end - start) / seconds)
        if room >= 3:
            name = shown(name) if len(shown(name)) <= room else f"…{shown(name)[1 - room :]}"
            rows[0].text(start, 1.0, f" {name}", fontsize=11, va="bottom", parse_math=False)


def _sum_columns(edges, starts, ends, values):
    """Sums, between each two edges (in s), of values that spans have; between them it is 0."""
    places = np.column_stack([starts, ends]).ravel()
    seconds = np.subtract(ends, starts)[:, None]
    sums = np.cumsum(seconds * values, axis=0)
    sums = np.repeat(np.vstack([0 * sums[:1], sums]), 2, axis=0)[1:-1]  # at each of the places
    return np.diff([np.interp(edges, places, column) for column in sums.T]).T


def save_chart(path, recordings):
    """Write a chart of some Recordings, in each of which something was recognized.

    It is drawn as if they followed each other: the summary, or the time line if one was cut into
    utterances. The end of the name chooses the format.
    """
    files, tracks, seconds = [], {}, 0.0
    for recording in recordings:
        files.append((seconds, Path(recording.name).name))
        for channel, utterances in recording.utterances.items():
            track = tracks.setdefault(channel, Track(channel, [], []))
            for start, end, *what in utterances:
                track.utterances.append(Utterance(seconds + start, seconds + end, *what))
            for start, end, powers in recording.powers:
                track.powers.append((seconds + start, seconds + end, powers[(channel or 1) - 1]))
        seconds += recording.seconds
    if any(recording.is_cut for recording in recordings):
        tracks = [tracks[channel] for channel in sorted(tracks, key=str)]
        width, height = TRACK_SIZE
        size = width, AROUND + height * len(tracks)
        _save(path, size, draw_timeline, tracks, seconds, files)
    else:
        everything = [one for track in tracks.values() for one in track.utterances]
        save_plot(path, everything, seconds, files)


def save_plot(path, utterances, seconds, files=()):
    """Write the summary chart; the end of the name chooses the format."""
    _save(path, WINDOW_SIZE, draw_summary, utterances, seconds, files)


def _save(path, size, draw, *drawn):
    from matplotlib.figure import Figure

    with own_style():
        figure = Figure(size)
        draw(figure, *drawn)
        with atomic_write(path) as partial:
            figure.savefig(partial)
