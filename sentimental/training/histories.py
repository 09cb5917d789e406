"""Voices of a training's recordings, and what was heard of each before a recording of it."""

import numpy as np

from sentimental.features import frames_to_features, summarize
from sentimental.speaker import STATISTICS, Reference, answer_statistics, compute_statistics

# Recordings that are computed at once.
CHUNK = 512
# Earlier recordings of a voice, in tests.
N_HISTORY = 10


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
    parts = (STATISTICS[name] for name in ("n_frames", "features", "summaries"))
    n_frames, sums, summaries = (statistics[:, part] for part in parts)
    groups = group_voices(voices)
    spread = [summaries[numbers].var(axis=0) for numbers in groups.values() if len(numbers) > 1]
    variance = np.mean(spread or [summaries.var(axis=0)], axis=0)
    return Reference(
        features=sums.sum(axis=0) / n_frames.sum(),
        summary=summaries.mean(axis=0),
        variance=np.maximum(variance, 1e-9),  # a feature that never changes tells nothing
    )


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
    """Up to `n` others of the recordings `same_voice`; np.ndarray of their numbers."""
    drawn = rng.choice(same_voice, min(n + 1, len(same_voice)), replace=False)
    return drawn[drawn != number][:n]


def recording_statistics(recordings, answers):
    """What each adds to the statistics of its voice; np.ndarray [shape=(n, N_STATISTICS)].

    `answers` are its probabilities as the first of a voice, np.ndarray [shape=(n, 8)].
    """
    chunks = feature_chunks(recordings)
    of_each = [compute_statistics(*some, summarize(*some)) for some in chunks]
    return np.concatenate(of_each) + answer_statistics(np.log(answers + 1e-12))


def feature_chunks(recordings):
    """Features and lengths, as `frames_to_features` has them, of ``CHUNK`` recordings at a time."""
    for start in range(0, len(recordings), CHUNK):
        yield frames_to_features([r.frames for r in recordings[start : start + CHUNK]])


def draw_histories(recordings, seed):
    """What was heard before of the voice of each recording, without labels.

    Parameters
    ----------
    recordings : list of Recording
    seed : int or list of int

    Returns
    -------
    histories : dict of list, by case, with the places of recordings for each, as np.ndarray
        "h10": ten others of the same voice, as far as there are so many; "h10, one emotion": ten
        that share an emotion, which is drawn at random of those of that voice
    """
    rng = np.random.default_rng(seed)
    emotions = np.array([recording.emotion for recording in recordings])
    same_voice = find_same_voice([voice_of(recording) for recording in recordings])
    drawn = [draw_history(*pair, N_HISTORY, rng) for pair in enumerate(same_voice)]
    of_one = []
    for number, others in enumerate(same_voice):
        if len(others):
            emotion = rng.choice(np.unique(emotions[others]))
            others = others[emotions[others] == emotion]
        of_one.append(draw_history(number, others, N_HISTORY, rng))
    return {f"h{N_HISTORY}": drawn, f"h{N_HISTORY}, one emotion": of_one}
