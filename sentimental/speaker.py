"""Speaker normalisation: a recording relative to what was heard of its voice before.

An emotion shows less in how somebody sounds than in how that differs from how they mostly sound.
With no history, a recording is compared with the mean of the training's voices; with every
recording the voice's own mean counts more. Its emotions need not be known.
"""

from dataclasses import dataclass

import numpy as np

from sentimental.features import (
    CHAIN,
    N_FEATURES,
    N_SUMMARY,
    add_slopes,
    frames_to_features,
    mark_speech,
    summarize,
)

# Pseudo-count of frames (4.8 s): the mean of n frames of a voice has the weight n / (n + this).
PSEUDO_FRAMES = 150
# Pseudo-count of recordings, the same for the mean of its summaries ...
PSEUDO_RECORDINGS = 2
# ... and for how much they vary.
PSEUDO_VARIANCES = 5
# Summaries further off, in standard deviations, are as far as this.
MAX_DEVIATIONS = 6.0

# Mean harmonicity below which speech is taken for whispered.
WHISPERED = 0.42
# Root mean square of the normalized summary from which on something is unlike what trained.
UNLIKE = 2.0

# What a model depends on: the chain, and the constants above.
MODEL_CHAIN = CHAIN | {
    "frames_of_doubt": PSEUDO_FRAMES,
    "recordings_of_doubt": PSEUDO_RECORDINGS,
    "variance_of_doubt": PSEUDO_VARIANCES,
    "max_deviations": MAX_DEVIATIONS,
}

# Recordings that are computed at once.
CHUNK = 512

# Sufficient statistics of a voice: sums over its recordings, one after the other in one array.
STATISTICS = {
    "n_frames": slice(0, 1),
    "features": slice(1, 1 + N_FEATURES),
    "n_recordings": slice(1 + N_FEATURES, 2 + N_FEATURES),
    "summaries": slice(2 + N_FEATURES, 2 + N_FEATURES + N_SUMMARY),
    "squares": slice(2 + N_FEATURES + N_SUMMARY, 2 + N_FEATURES + 2 * N_SUMMARY),
}
N_STATISTICS = 2 + N_FEATURES + 2 * N_SUMMARY


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
        """Make one of what a model's JSON file holds; raise ValueError where it cannot be one."""
        reference = cls(**{name: np.array(values, float) for name, values in content.items()})
        sizes = {"features": N_FEATURES, "summary": N_SUMMARY, "variance": N_SUMMARY}
        for name, values in vars(reference).items():
            if values.shape != (sizes[name],) or not np.isfinite(values).all():
                raise ValueError(f"{name}: {sizes[name]} finite numbers are needed")
        if (reference.variance <= 0).any():
            raise ValueError("variance: must be positive")
        return reference


def compute_statistics(features, lengths, summaries):
    """What each recording adds to the statistics of its voice.

    Parameters
    ----------
    features : np.ndarray [shape=(n, n_frames, N_FEATURES), float32]
    lengths : np.ndarray of int [shape=(n,)], frames of each clip that are not padding
    summaries : np.ndarray [shape=(n, N_SUMMARY), float32], as `summarize` gives them

    Returns
    -------
    statistics : np.ndarray [shape=(n, N_STATISTICS), float64]
    """
    is_speech = mark_speech(lengths, features.shape[1])[..., None]
    sums = (features * is_speech).sum(axis=1, dtype=np.float64)
    summaries = summaries.astype(np.float64)
    ones = np.ones((len(features), 1))
    return np.concatenate([lengths[:, None], sums, ones, summaries, summaries**2], axis=1)


def normalize(features, lengths, summaries, statistics, reference, shift=None):
    """Normalize recordings by the statistics of their voices.

    From each frame is subtracted how the mean of the voice's earlier frames differs from that of
    all voices, as far as it is known. The summary is divided by the deviation of the voice's
    earlier recordings; the fewer they are, the more the mean and variance of all voices count.

    Parameters
    ----------
    features : np.ndarray [shape=(n, n_frames, N_FEATURES), float32]
    lengths : np.ndarray of int [shape=(n,)], frames of each clip that are not padding
    summaries : np.ndarray [shape=(n, N_SUMMARY), float32], as `summarize` gives them
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
    """Normalize summaries by the statistics of their voices, as `normalize` does.

    Parameters
    ----------
    summaries, statistics, reference : as for `normalize`
    shift : np.ndarray [shape=(n, N_SUMMARY)] or 0, what to add to the earlier recordings

    Returns
    -------
    summaries : np.ndarray [shape=(n, N_SUMMARY), float32]
    """
    k, earlier, squares = (
        statistics[:, STATISTICS[part]] for part in ("n_recordings", "summaries", "squares")
    )
    spread = np.maximum(squares - earlier**2 / np.maximum(k, 1), 0)  # k times the variance
    unlike = earlier - k * (reference.summary - shift)
    deviation = summaries - reference.summary - unlike / (k + PSEUDO_RECORDINGS)
    scale = np.sqrt((spread + PSEUDO_VARIANCES * reference.variance) / (k + PSEUDO_VARIANCES))
    return np.clip(deviation / scale, -MAX_DEVIATIONS, MAX_DEVIATIONS).astype(np.float32)


def find_doubt(features, reference):
    """Why speech is not like that which trained a model, in a word or two; empty where it is.

    Parameters
    ----------
    features : np.ndarray [shape=(n_frames, N_FEATURES)]
    reference : Reference
    """
    summary = summarize(features[None], np.array([len(features)]))
    mean_harmonicity = summary[0, N_FEATURES - 1]
    if mean_harmonicity < WHISPERED:
        return "whispered?"
    normalized = normalize_summaries(summary, np.zeros((1, N_STATISTICS)), reference)
    return "unlike speech?" if (normalized**2).mean() > UNLIKE**2 else ""


def find_reference(statistics, voices):
    """The reference statistics of a training.

    Parameters
    ----------
    statistics : np.ndarray [shape=(n, N_STATISTICS)], of each recording
    voices : list of n hashable; equal where the voice is the same, None where it is not known

    Returns
    -------
    reference : Reference
    """
    n_frames, sums, _, summaries, _ = (statistics[:, part] for part in STATISTICS.values())
    groups = group_voices(voices)
    spread = [summaries[numbers].var(axis=0) for numbers in groups.values() if len(numbers) > 1]
    variance = np.mean(spread or [summaries.var(axis=0)], axis=0)
    return Reference(
        features=sums.sum(axis=0) / n_frames.sum(),
        summary=summaries.mean(axis=0),
        variance=np.maximum(variance, 1e-9),  # a feature that never changes tells nothing
    )


# Histories of voices ----------------------------------------------------------------------------


def voice_of(recording):
    """What tells the voice of a recording from others: corpus and speaker, or None."""
    return (recording.corpus, recording.speaker) if recording.speaker else None


def group_voices(voices):
    """Indices of the recordings of each voice that is known, as a dict of np.ndarray."""
    groups = {}
    for number, voice in enumerate(voices):
        if voice is not None:
            groups.setdefault(voice, []).append(number)
    return {voice: np.array(numbers) for voice, numbers in groups.items()}


def find_same_voice(voices):
    """For each recording, the indices of all of its voice; none where the voice is not known."""
    groups, nobody = group_voices(voices), np.array([], int)
    return [groups.get(voice, nobody) for voice in voices]


def draw_history(number, same_voice, n, rng):
    """Other recordings of the same voice, as many as there are up to `n`.

    Parameters
    ----------
    number : int, of the recording
    same_voice : np.ndarray of int, recordings of its voice
    n : int
    rng : np.random.Generator

    Returns
    -------
    history : np.ndarray of int [shape=(<= n,)]
    """
    drawn = rng.choice(same_voice, min(n + 1, len(same_voice)), replace=False)
    return drawn[drawn != number][:n]


def recording_statistics(recordings):
    """What each recording adds to the statistics of its voice.

    Parameters
    ----------
    recordings : list of Recording

    Returns
    -------
    statistics : np.ndarray [shape=(len(recordings), N_STATISTICS)]
    """
    frames = [recording.frames for recording in recordings]
    chunks = [frames[start : start + CHUNK] for start in range(0, len(frames), CHUNK)]
    features = map(frames_to_features, chunks)
    return np.concatenate([compute_statistics(*some, summarize(*some)) for some in features])


def draw_statistics(recordings, n, rng, one_emotion=False):
    """For each recording, the statistics of others of the same voice, without their labels.

    Parameters
    ----------
    recordings : list of Recording
    n : int, others as far as there are so many
    rng : np.random.Generator
    one_emotion : bool, whether all others are of one emotion of that voice, drawn at random

    Returns
    -------
    statistics : np.ndarray [shape=(len(recordings), N_STATISTICS)]
    """
    statistics = recording_statistics(recordings)
    voices = [voice_of(recording) for recording in recordings]
    emotions = np.array([recording.emotion for recording in recordings])
    drawn = np.zeros_like(statistics)
    for number, same_voice in enumerate(find_same_voice(voices)):
        if one_emotion and len(same_voice):
            emotion = rng.choice(np.unique(emotions[same_voice]))
            same_voice = same_voice[emotions[same_voice] == emotion]
        drawn[number] = statistics[draw_history(number, same_voice, n, rng)].sum(axis=0)
    return drawn
