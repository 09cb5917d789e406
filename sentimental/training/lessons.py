"""How well speakers are recognized who taught the network some recordings of theirs.

    taught1 ... taught3   one to three recordings of each emotion of a speaker were labeled
    heard1 ... heard3     the same recordings were heard without their labels

Only the emotions of the speaker are allowed. What was taught or heard is not tested, nor are
speakers with fewer recordings, or fewer than three emotions.
"""

import numpy as np

from sentimental.features import N_SUMMARY
from sentimental.scripts import EMOTIONS
from sentimental.speaker import N_STATISTICS, STATISTICS, answer_offset
from sentimental.training.histories import group_voices, voice_of
from sentimental.training.metrics import one_hot
from sentimental.voice import adapt_layer, lessons_to_inputs

# Lessons of each emotion.
N_LESSONS = (1, 2, 3)
# The cases that are tested.
LESSONS = [f"{case}{n}" for n in N_LESSONS for case in ("heard", "taught")]
# Fewer emotions of a speaker measure nothing.
LEAST_EMOTIONS = 3


def draw_lessons(recordings, n, rng):
    """Lessons of each speaker, in the order in which they are given, and what tests them.

    Parameters
    ----------
    recordings : list of Recording
    n : int > 0, lessons of each emotion
    rng : np.random.Generator

    Returns
    -------
    drawn : list of (lessons, tested), each np.ndarray of int, places in `recordings`
    """
    labels, drawn = one_hot(recordings).argmax(axis=1), []
    for numbers in group_voices([voice_of(recording) for recording in recordings]).values():
        emotions, counts = np.unique(labels[numbers], return_counts=True)
        if len(emotions) < LEAST_EMOTIONS or counts.min() <= n:
            continue
        lessons = [rng.permutation(numbers[labels[numbers] == e])[:n] for e in emotions]
        lessons = rng.permutation(np.concatenate(lessons))
        drawn.append((lessons, np.setdiff1d(numbers, lessons)))
    return drawn


def measure_lessons(network, reference, recordings, statistics, seed):
    """Probabilities of recordings, after lessons and after the same recordings without labels.

    Parameters
    ----------
    network, reference, recordings, statistics : as for `sentimental.training.fit.predict_after`
    seed : int or list of int, of what is drawn

    Returns
    -------
    probabilities : dict of np.ndarray [shape=(len(recordings), 8)], by case; NaN where a recording
        is not tested
    """
    from scipy.special import softmax

    from sentimental.training.fit import embed

    *_, kernel, bias = network.get_weights()
    labels, summaries = one_hot(recordings).argmax(axis=1), statistics[:, STATISTICS["summaries"]]
    answers, rng = {}, np.random.default_rng(seed)
    for n in N_LESSONS:
        drawn, before = draw_lessons(recordings, n, rng), np.zeros((len(recordings), N_STATISTICS))
        for lessons, tested in drawn:
            # A lesson is heard after those before it, what is tested after all of them.
            sums = np.cumsum(statistics[lessons], axis=0)
            before[lessons], before[tested] = sums - statistics[lessons], sums[-1]
        read = embed(network, reference, recordings, before)
        heard, taught = np.full((2, len(recordings), len(EMOTIONS)), np.nan)
        for lessons, tested in drawn:
            given = np.hstack([read[lessons, :-N_SUMMARY], summaries[lessons]])
            given = lessons_to_inputs(given, before[tested[0]], reference)
            of_voice = kernel, bias - answer_offset(before[tested[:1]])[0]
            adapted = adapt_layer(*of_voice, given, labels[lessons])
            own = np.isin(range(len(EMOTIONS)), labels[lessons])
            for answer, layer in ((heard, of_voice), (taught, adapted)):
                logits = np.where(own, read[tested] @ layer[0] + layer[1], -np.inf)
                answer[tested] = softmax(logits, axis=1)
        answers |= {f"heard{n}": heard, f"taught{n}": taught}
    return answers
