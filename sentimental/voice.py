"""One voice that is listened to: what was heard of it, and what it was taught.

How a stranger sounds in anger cannot be known from other people alone, but it can be asked: some
recordings of a voice with their labels adapt the last layer of the network to it. That takes
milliseconds, and few lessons are enough.
"""

import json
import os
from pathlib import Path

import numpy as np

from sentimental.features import CHAIN, N_SUMMARY, check_chain, pad, summarize
from sentimental.files import DAMAGED, checksum, write_json
from sentimental.scripts import EMOTIONS, SentimentalError
from sentimental.speaker import (
    N_STATISTICS,
    PSEUDO_FRAMES,
    STATISTICS,
    answer_offset,
    answer_statistics,
    compute_statistics,
    normalize_summaries,
    parse_numbers,
)
from sentimental.utterances import Source, find_utterances

# Lessons of an emotion that are kept; the newest count.
MAX_LESSONS = 64
# How strongly the layer is held back where there is one lesson of each emotion; it falls as their
# number grows, but not below the second.
PENALTY, LEAST_PENALTY = 20.0, 1.0
# The optimization ends when a step lowers the loss by less than this share of it.
TOLERANCE = 1e-5


class Voice:
    """What was heard of one person so far, without the sound itself.

    Attributes
    ----------
    statistics : np.ndarray [shape=(N_STATISTICS,)], sums over the recordings; see ``STATISTICS``
    lessons : list of (emotion, lesson), the oldest first, at most ``MAX_LESSONS`` an emotion; of
        each recording the last state of the LSTM, and the summary
    taught_with : str, checksum of the model that lessons and answers are of
    adapted : (kernel, bias) or None, what these make of the model's last layer
    """

    def __init__(self):
        self.statistics = np.zeros(N_STATISTICS)
        self.lessons, self.taught_with, self.adapted = [], "", None

    def __repr__(self):
        return f"<Voice: {self.n_recordings} recordings, known to {self.known:.0%}>"

    @property
    def n_recordings(self) -> int:
        """How many recordings were added."""
        return int(self.statistics[STATISTICS["n_recordings"]][0])

    @property
    def known(self) -> float:
        """How far the voice is known, from 0 (nothing was heard) towards 1."""
        n_frames = self.statistics[STATISTICS["n_frames"]][0]
        return float(n_frames / (n_frames + PSEUDO_FRAMES))

    def add(self, features: np.ndarray, recognizer=None) -> None:
        """Add a recording: its features, and how it is answered as the first of a voice.

        Parameters
        ----------
        features : as `Recognizer.compute_features` returns them
        recognizer : Recognizer or None, which answers; None: no answer is added
        """
        clip = pad([features])
        self.statistics += compute_statistics(*clip, summarize(*clip))[0]
        if recognizer is not None:
            self._check_model(recognizer)
            logits = recognizer.embed(features, Voice()) @ recognizer.kernel + recognizer.bias
            self.statistics += answer_statistics(logits[None])[0]
        self.adapted = None

    def teach(
        self, recognizer, recording: Source, emotion: str, sample_rate: int | None = None
    ) -> None:
        """Learn from a recording of this voice how it sounds in an emotion.

        Parameters
        ----------
        recognizer : Recognizer
        recording, sample_rate : as for `Recognizer.predict`; each utterance of it is a lesson
        emotion : str, one of ``EMOTIONS``

        Raises
        ------
        SentimentalError
            As `Recognizer.predict` does, and when the emotion is unknown, or other lessons are of
            another model.
        """
        for name, speech in find_utterances(recording, sample_rate):
            self.learn(recognizer, recognizer.compute_features(speech.samples, name), emotion)

    def learn(self, recognizer, features, emotion, heard=False):
        """Learn as `teach` does, from features; `heard` says that `add` was called with them."""
        if emotion not in EMOTIONS:
            raise SentimentalError(f"emotion {emotion}: it is none of {', '.join(EMOTIONS)}")
        self._check_model(recognizer)
        embedding = recognizer.embed(features, self)
        (summary,) = summarize(*pad([features]))
        lesson = np.concatenate([embedding[:-N_SUMMARY], summary])
        self.lessons, self.adapted = add_lesson(self.lessons, emotion, lesson), None
        if not heard:
            self.add(features, recognizer)

    def _check_model(self, recognizer):
        """Refuse lessons of another model, and forget its answers."""
        if self.taught_with == recognizer.checksum:
            return
        if self.lessons:
            raise SentimentalError("the voice was taught with another model; begin a new voice")
        self.statistics[STATISTICS["n_answers"].start :] = 0
        self.taught_with, self.adapted = recognizer.checksum, None

    def lesson_inputs(self, reference):
        """What the dense layer reads of the lessons, and their labels, as for `adapt_layer`."""
        labels = np.array([EMOTIONS.index(emotion) for emotion, _ in self.lessons])
        lessons = np.stack([lesson for _, lesson in self.lessons])
        return lessons_to_inputs(lessons, self.statistics, reference), labels

    def layer_of(self, recognizer):
        """Kernel and bias of a recognizer's dense layer, adapted to the answers and lessons."""
        self._check_model(recognizer)
        if self.adapted is None:
            offset = answer_offset(self.statistics[None])[0].astype(np.float32)
            self.adapted = recognizer.kernel, recognizer.bias - offset
            if self.lessons:
                lessons = self.lesson_inputs(recognizer.reference)
                self.adapted = adapt_layer(*self.adapted, *lessons)
        return self.adapted

    def take_back_lesson(self) -> str | None:
        """Forget the newest lesson; returns its emotion, or None where there is none."""
        if not self.lessons:
            return None
        emotion, _ = self.lessons.pop()
        self.adapted = None
        return emotion

    def save(self, path: str | os.PathLike) -> None:
        """Write the voice as JSON: numbers from which no speech can be made."""
        parts = {name: self.statistics[part].tolist() for name, part in STATISTICS.items()}
        lessons = [[emotion, lesson.tolist()] for emotion, lesson in self.lessons]
        content = {"chain": CHAIN, "voice": parts}
        content |= {"taught_with": self.taught_with, "lessons": lessons}
        write_json(path, content | {"checksum": checksum(content)}, mode=0o600)

    @classmethod
    def load(cls, path: str | os.PathLike) -> "Voice":
        """Read what `save` wrote.

        Raises
        ------
        SentimentalError
            When the file is missing or damaged, is no voice, or was made with other constants.
        """
        remedy = "begin a new voice"
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
            # An older chain that lacks a constant is of the same features all the same.
            check_chain(path, CHAIN | content["chain"], remedy)
            if content["checksum"] != checksum(content):
                raise ValueError("checksum")
            voice = cls()
            voice._parse(content)
        except OSError as error:
            raise SentimentalError(f"{path}: cannot be read ({error.strerror}); {remedy}") from None
        except DAMAGED:
            raise SentimentalError(f"{path}: not a voice that was saved; {remedy}") from None
        return voice

    def _parse(self, content):
        # Voices of older versions have no answers, and lessons only where they were taught.
        of_voice = {"n_answers": [0], "answers": [0] * 8, "answer_squares": [0]} | content["voice"]
        for name, part in STATISTICS.items():
            self.statistics[part] = parse_numbers(of_voice[name], part.stop - part.start)
        n_frames, n_answers = (of_voice[name][0] for name in ("n_frames", "n_answers"))
        lessons = content.get("lessons", [])
        if not 0 <= max(n_answers, len(lessons)) <= self.n_recordings <= n_frames:
            raise ValueError("n_recordings")
        if not {emotion for emotion, _ in lessons} <= {*EMOTIONS}:
            raise ValueError("lessons")
        for emotion, lesson in lessons:  # all alike, with a state before the summary
            size = max(len(lessons[0][1]), N_SUMMARY + 1)
            self.lessons.append((emotion, parse_numbers(lesson, size).astype(np.float32)))
        self.taught_with = str(content.get("taught_with", ""))


# Lessons ----------------------------------------------------------------------------------------


def add_lesson(lessons, emotion, lesson):
    """Lessons with one more, the newest; of its emotion at most ``MAX_LESSONS`` are kept."""
    lessons = [*lessons, (emotion, lesson)]
    alike = [number for number, (other, _) in enumerate(lessons) if other == emotion]
    if len(alike) > MAX_LESSONS:
        del lessons[alike[0]]
    return lessons


def lessons_to_inputs(lessons, heard, reference):
    """What the dense layer reads of lessons, by all that is known of the voice by now.

    Parameters
    ----------
    lessons : np.ndarray [shape=(n, units + N_SUMMARY)]
    heard : np.ndarray [shape=(N_STATISTICS,)], statistics of the voice, lessons included
    reference : sentimental.speaker.Reference

    Returns
    -------
    inputs : np.ndarray of the same shape; each summary is compared with the other recordings
    """
    states, summaries = np.split(lessons, [-N_SUMMARY], axis=1)
    others = np.tile(heard, (len(lessons), 1))
    others[:, STATISTICS["n_recordings"]] -= 1
    others[:, STATISTICS["summaries"]] -= summaries
    others[:, STATISTICS["squares"]] -= summaries.astype(np.float64) ** 2
    return np.hstack([states, normalize_summaries(summaries, others, reference)])


def penalty_of(labels):
    """What holds a layer back: the less, the more lessons there are of each emotion taught."""
    per_emotion = len(labels) / len(np.unique(labels))
    return max(PENALTY / per_emotion, LEAST_PENALTY)


def adapt_layer(kernel, bias, inputs, labels):
    """The dense layer that explains some lessons, as near as possible to what it was.

    It is the most probable layer given the lessons (MAP) [1]_: their cross entropy, and beside it
    half of the penalty times the squared change of each weight.

    Parameters
    ----------
    kernel : np.ndarray [shape=(d, 8)]
    bias : np.ndarray [shape=(8,)]
    inputs : np.ndarray [shape=(n, d)], what the layer reads of each lesson
    labels : np.ndarray of int [shape=(n,)], places in ``EMOTIONS``

    Returns
    -------
    kernel, bias : np.ndarray of the same shapes

    References
    ----------
    .. [1] C. Chelba, A. Acero, "Adaptation of maximum entropy capitalizer: little data can help a
       lot", EMNLP 2004
    """
    from scipy.optimize import minimize
    from scipy.special import log_softmax

    inputs = np.column_stack([inputs, np.ones(len(inputs))])
    before = inputs @ np.vstack([kernel, bias])
    # The best change is a sum of the lessons, so it is looked for among these alone.
    basis, lessons = np.linalg.qr(inputs.T)
    is_true = np.eye(len(EMOTIONS))[labels]
    penalty = penalty_of(labels)

    def loss(change):
        change = change.reshape(-1, len(EMOTIONS))
        answers = log_softmax(before + lessons.T @ change, axis=1)
        gradient = lessons @ (np.exp(answers) - is_true) + penalty * change
        return penalty / 2 * (change**2).sum() - answers[is_true > 0].sum(), gradient.ravel()

    start = np.zeros(len(lessons) * len(EMOTIONS))
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"ftol": TOLERANCE})
    change = (basis @ found.x.reshape(-1, len(EMOTIONS))).astype(np.float32)
    return kernel + change[:-1], bias + change[-1]
