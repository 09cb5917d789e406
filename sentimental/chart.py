"""The summary of a session: its mean, in a line and as a chart."""

from collections import namedtuple

import numpy as np

from sentimental.base import EMOTIONS
from sentimental.files import atomic_write

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

# Start and end in s of the session; probabilities as np.ndarray [shape=(8,)].
Utterance = namedtuple("Utterance", "start end probabilities")


def strongest(probabilities):
    """Emotion, its probability, runner-up and its probability."""
    second, first = np.argsort(probabilities)[-2:]
    return EMOTIONS[first], probabilities[first], EMOTIONS[second], probabilities[second]


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


def save_plot(path, utterances, seconds):
    """Write the summary chart; the end of the name chooses the format."""
    from matplotlib.figure import Figure

    figure = Figure(WINDOW_SIZE)
    draw_summary(figure, utterances, seconds)
    with atomic_write(path) as partial:
        figure.savefig(partial)
