"""Speaker normalisation: a recording relative to what was heard of its voice before.

An emotion shows less in how somebody sounds than in how that differs from how they mostly sound.
With no history, a recording is compared with the mean of the training's voices; with every
recording the voice's own mean counts more. Its emotions need not be known. So are the answers: of
a voice that is called angry more often than others, anger says less.
"""

import itertools
from dataclasses import dataclass

import numpy as np

from sentimental.features import (
    CHAIN,
    N_FEATURES,
    N_MFCC,
    N_SUMMARY,
    VOICED,
    add_slopes,
    mark_speech,
    pad,
    summarize,
)
from sentimental.scripts import EMOTIONS

# Pseudo-count of frames (4.8 s): the mean of n frames of a voice has the weight n / (n + this).
PSEUDO_FRAMES = 150
# Pseudo-count of recordings, the same for the mean of its summaries ...
PSEUDO_RECORDINGS = 2
# ... and for how much they vary.
PSEUDO_VARIANCES = 5
# Pseudo-count of answers, the same for their mean.
PSEUDO_ANSWERS = 12
# Variance of the answers to a voice, summed over their logits, up to which their mean may be that
# of one emotion, and from which it is the voice's.
VARIED = 2.0, 4.0
# Share of each emotion that is expected of what is recognized: the mean over the 32 corpora of
# EmoBox (Z. Ma et al., Interspeech 2024), in each of which its emotions among these eight share
# evenly.
CLASS_PRIOR = {
    "neutral": 0.165,
    "calm": 0.012,
    "happy": 0.163,
    "sad": 0.163,
    "angry": 0.184,
    "fear": 0.117,
    "disgust": 0.105,
    "surprise": 0.091,
}
# The mean of the logits of many voices, but for a constant. As temperature and `prior_strength` of
# the training make it; of eight corpora left out it is the same within 0.3.
MEAN_LOGITS = 0.375 * np.log([CLASS_PRIOR[emotion] for emotion in EMOTIONS])
MEAN_LOGITS -= MEAN_LOGITS.mean()
# The logit of an emotion that is never answered, below that of the strongest.
LEAST_LOGIT = -14.0
# Summaries further off, in standard deviations, are as far as this.
MAX_DEVIATIONS = 6.0

# Numbers of a file that are higher come from damage.
HIGHEST = 1e12
# Mean harmonicity below which speech is taken for whispered.
WHISPERED = 0.42
# Root mean square of the normalized summary from which on something is unlike what trained; and
# frames (0.9 s) that this takes, because the summary of a short word is far from the mean anyway.
UNLIKE, MIN_FRAMES = 2.0, 28
# Bursts of voice that a laugh has at least, and how little they vary: the standard deviation of
# their MFCC times that of the intervals between them, which is a share of the mean.
MIN_BURSTS, LAUGHED = 4, 2.5

# What a model depends on: the chain, and the constants above.
MODEL_CHAIN = CHAIN | {
    "frames_of_doubt": PSEUDO_FRAMES,
    "recordings_of_doubt": PSEUDO_RECORDINGS,
    "variance_of_doubt": PSEUDO_VARIANCES,
    "max_deviations": MAX_DEVIATIONS,
}

# Sufficient statistics of a voice: sums over its recordings, one after the other in one array.
_SIZES = {
    "n_frames": 1,
    "features": N_FEATURES,
    "n_recordings": 1,
    "summaries": N_SUMMARY,
    "squares": N_SUMMARY,
    "n_answers": 1,
    "answers": len(EMOTIONS),
    "answer_squares": 1,
}
N_STATISTICS = sum(_SIZES.values())
_stops = itertools.accumulate(_SIZES.values())
STATISTICS = {
    part: slice(stop - n, stop) for (part, n), stop in zip(_SIZES.items(), _stops, strict=True)
}


@dataclass(frozen=True)
class Reference:
    """Reference statistics: of all voices of a training. A model is saved with them.

    Attributes
    ----------
    features : np.ndarray [shape=(N_FEATURES,)], mean over all frames
    summary : np.ndarray [shape=(N_SUMMARY,)], mean over all recordings
    variance : np.ndarray [shape=(N_SUMMARY,)], of the summaries within a voice
    """

    features: np.ndarray
    summary: np.ndarray
    variance: np.ndarray

    @classmethod
    def parse(cls, content):
        """Make one of what a model's JSON file holds; raise one of ``DAMAGED`` if it cannot be."""
        sizes = {"features": N_FEATURES, "summary": N_SUMMARY, "variance": N_SUMMARY}
        parts = {name: parse_numbers(values, sizes[name]) for name, values in content.items()}
        reference = cls(**parts)
        if (reference.variance <= 0).any():
            raise ValueError("variance: must be positive")
        return reference


def parse_numbers(values, n):
    """`n` numbers of a JSON file as np.ndarray; raise one of ``DAMAGED`` if they are none."""
    numbers = np.array(values, float)
    if numbers.shape != (n,) or not (np.abs(numbers) < HIGHEST).all():
        raise ValueError(f"{n} finite numbers are needed")
    return numbers


def compute_statistics(features, lengths, summaries):
    """What each recording adds to the statistics of its voice, without the answer to it.

    Parameters
    ----------
    features, lengths : as for `sentimental.features.summarize`
    summaries : np.ndarray [shape=(n, N_SUMMARY), float32], as that gives them

    Returns
    -------
    statistics : np.ndarray [shape=(n, N_STATISTICS), float64]
    """
    is_speech = mark_speech(lengths, features.shape[1])[..., None]
    sums = (features * is_speech).sum(axis=1, dtype=np.float64)
    summaries = summaries.astype(np.float64)
    ones, no_answers = np.ones((len(features), 1)), np.zeros((len(features), 2 + len(EMOTIONS)))
    parts = [lengths[:, None], sums, ones, summaries, summaries**2, no_answers]
    return np.concatenate(parts, axis=1)


def answer_statistics(logits):
    """What answers, np.ndarray [shape=(n, 8)] of logits, add to the statistics of their voices."""
    logits = logits.astype(np.float64)  # in float32 a single answer would vary
    logits = np.maximum(logits - logits.max(axis=1, keepdims=True), LEAST_LOGIT)
    logits -= logits.mean(axis=1, keepdims=True)
    statistics = np.zeros((len(logits), N_STATISTICS))
    statistics[:, STATISTICS["n_answers"]] = 1
    statistics[:, STATISTICS["answers"]] = logits
    statistics[:, STATISTICS["answer_squares"]] = (logits**2).sum(axis=1, keepdims=True)
    return statistics


def answer_offset(statistics):
    """What is to be subtracted from the logits of voices, so that their mean is that of others.

    Where the answers to a voice are all alike, it may have spoken in one mood only: then nothing.

    Parameters
    ----------
    statistics : np.ndarray [shape=(n, N_STATISTICS)]

    Returns
    -------
    offset : np.ndarray [shape=(n, 8)]
    """
    parts = (STATISTICS[name] for name in ("n_answers", "answers", "answer_squares"))
    n, sums, squares = (statistics[:, part] for part in parts)
    spread = squares - (sums**2).sum(axis=1, keepdims=True) / np.maximum(n, 1)
    low, high = VARIED
    weight = np.clip((spread / np.maximum(n - 1, 1) - low) / (high - low), 0, 1)
    return weight * (sums - n * MEAN_LOGITS) / (n + PSEUDO_ANSWERS)


def normalize(features, lengths, summaries, statistics, reference, shift=None):
    """Normalize recordings by the statistics of their voices.

    From each frame is subtracted how the mean of the voice's earlier frames differs from that of
    all voices, as far as it is known. The summary is divided by the deviation of the voice's
    earlier recordings; the fewer they are, the more the mean and variance of all voices count.

    Parameters
    ----------
    features, lengths, summaries : as for `compute_statistics`
    statistics : np.ndarray [shape=(n, N_STATISTICS)], of earlier recordings; or zeros
    reference : Reference
    shift : (features, summaries) or None
        What to add to the earlier recordings, [shape=(n, N_FEATURES)] and [shape=(n, N_SUMMARY)]

    Returns
    -------
    inputs : np.ndarray [shape=(n, n_frames, N_INPUTS), float32], zeros where padding is
    summaries : np.ndarray [shape=(n, N_SUMMARY), float32]
    """
    n_frames, sums = (statistics[:, STATISTICS[part]] for part in ("n_frames", "features"))
    frame_shift, summary_shift = shift or (0, 0)
    unlike = sums - n_frames * (reference.features - frame_shift)
    is_speech = mark_speech(lengths, features.shape[1])[..., None]
    offset = (unlike / (n_frames + PSEUDO_FRAMES)).astype(np.float32)
    inputs = add_slopes(features, lengths)
    inputs[..., :N_FEATURES] -= offset[:, None] * is_speech
    return inputs, normalize_summaries(summaries, statistics, reference, summary_shift)


def normalize_summaries(summaries, statistics, reference, shift=0):
    """The summaries that `normalize` gives; `shift` is added to those of earlier recordings."""
    k, earlier, squares = (
        statistics[:, STATISTICS[part]] for part in ("n_recordings", "summaries", "squares")
    )
    spread = np.maximum(squares - earlier**2 / np.maximum(k, 1), 0)  # k times the variance
    unlike = earlier - k * (reference.summary - shift)
    deviation = summaries - reference.summary - unlike / (k + PSEUDO_RECORDINGS)
    scale = np.sqrt((spread + PSEUDO_VARIANCES * reference.variance) / (k + PSEUDO_VARIANCES))
    return np.clip(deviation / scale, -MAX_DEVIATIONS, MAX_DEVIATIONS).astype(np.float32)


def find_doubt(features, reference):
    """Why speech is unlike that which trained a model, in a word or two; empty where it is not.

    Parameters
    ----------
    features : np.ndarray [shape=(n_frames, N_FEATURES), float32]
    reference : Reference, of the model
    """
    summary = summarize(*pad([features]))
    mean_harmonicity = summary[0, N_FEATURES - 1]
    if mean_harmonicity < WHISPERED:
        return "whispered?"
    if _is_laughter(features):
        return "laughter?"
    normalized = normalize_summaries(summary, np.zeros((1, N_STATISTICS)), reference)
    is_unlike = len(features) >= MIN_FRAMES and (normalized**2).mean() > UNLIKE**2
    return "unlike speech?" if is_unlike else ""


def _is_laughter(features):
    """Whether one sound comes again and again, evenly."""
    is_voiced = np.pad(features[:, -1] >= VOICED, 1)
    starts, ends = np.flatnonzero(np.diff(is_voiced)).reshape(-1, 2).T
    if len(starts) < MIN_BURSTS:
        return False
    sounds = [features[a:b, 1:N_MFCC].mean(axis=0) for a, b in zip(starts, ends, strict=True)]
    intervals = np.diff(starts)
    unevenness = intervals.std() / intervals.mean()
    return np.sqrt(np.var(sounds, axis=0).sum()) * unevenness <= LAUGHED
