"""Sessions that nobody had: what displays show, and recognizers whose answer is known."""

import csv
import time
from types import SimpleNamespace
from unittest import mock

import numpy as np

from sentimental import EMOTIONS, SentimentalError, Voice
from sentimental.features import N_FEATURES, N_SUMMARY
from sentimental.recognizer import Recognizer, Utterance
from sentimental.speaker import Reference
from sentimental.spectrum import SAMPLE_RATE
from sentimental.vad import Endpointer, Speech

# How a voice is described after so many utterances of 1.9 s.
ACQUAINTANCE = [
    (0, "new"),
    (1, "getting to know it: 1 utterance"),
    (3, "getting to know it: 3 utterances"),
    (12, "known: 12 utterances"),
    (1234, "known: 1234 utterances"),
]


def sure(emotion, p=1.0):
    """Probabilities of which one is `p`, and the others are alike."""
    return {name: p if name == emotion else (1 - p) / 7 for name in EMOTIONS}


UTTERANCES = [Utterance(0, 1, sure("surprise"))]


def known_voice(n):
    """A voice of which `n` utterances of 1.9 s were heard."""
    voice = Voice()
    for _ in range(n):
        voice.add(np.ones((60, N_FEATURES), np.float32))
    return voice


def session(seconds=1.0, voice=None, **others):
    """A session in which the named probabilities are shown, without any silence; or attributes."""
    shown = {name: others.pop(name, 0.0) for name in EMOTIONS}
    is_silent = not any(shown.values())
    shown = {name: shown[name] for name in others.get("emotions", EMOTIONS)}
    defaults = {"utterances": (), "paused": False, "end": "", "is_ready": True, "task": ""}
    return SimpleNamespace(
        update=None if is_silent else Utterance(0, seconds, shown),
        voice=voice,
        endpointer=SimpleNamespace(level=-30.0, speaking=not is_silent, seconds=seconds),
        **{"emotions": EMOTIONS} | defaults | others,
    )


# So wide that nothing is unlike it.
WIDE = Reference(np.zeros(N_FEATURES), np.zeros(N_SUMMARY), np.full(N_SUMMARY, 1e6))


class Counting:
    """A recognizer whose answer is how many utterances were heard before: that emotion is sure."""

    emotions = EMOTIONS
    reference = WIDE
    recognize = Recognizer.recognize
    checksum = "a model"
    kernel, bias = np.zeros((8 + N_SUMMARY, 8), np.float32), np.zeros(8, np.float32)

    def compute_features(self, samples, name=""):
        return np.ones((len(samples) // 512, N_FEATURES), np.float32)

    def predict_features(self, features, voice, emotions):
        return sure(EMOTIONS[voice.n_recordings if voice else 0])

    def embed(self, features, voice):
        return np.concatenate([np.eye(8)[voice.n_recordings % 2], np.zeros(N_SUMMARY)])


class Refusing(Counting):
    """A recognizer that finds nothing but noise."""

    def compute_features(self, samples, name=""):
        raise SentimentalError("too little")


def answer_to_inputs(recognizer, inputs, summary):
    """The probabilities, as an array, of what `normalize` gives."""
    normalized = inputs[None], summary[None]
    with mock.patch("sentimental.recognizer.normalize", return_value=normalized):
        answer = recognizer.predict_features(np.ones((1, N_FEATURES), np.float32))
    return np.array([*answer.values()])


def wait_for_answers(session):
    """Wait until a session has recognized what it has heard."""
    while session._pending and not session._pending[0].future.done():
        time.sleep(0.001)


def hear(session, sound, block=320):
    """Let a session hear all of a sound; returns results, recognized before more is heard."""
    results = []
    for start in range(0, len(sound), block):
        session.hear(sound[start : start + block])
        wait_for_answers(session)
        results += session.collect()
    return results


def answer_to(recognizer, samples, voice=None):
    """The probabilities of samples."""
    speech = Speech(0.0, len(samples) / SAMPLE_RATE, samples)
    return recognizer.recognize(speech, voice=voice).probabilities


def find_utterances(samples, block=320):
    """The utterances of a stream, as list of `sentimental.vad.Speech`."""
    endpointer, found = Endpointer(), []
    for start in range(0, len(samples), block):
        found += endpointer.feed(samples[start : start + block].astype(np.float32))
    return found + [*filter(None, [endpointer.utterance()])]


def read_log(path):
    with open(path, newline="", encoding="utf-8", errors="surrogateescape") as stream:
        return list(csv.DictReader(stream))


def values(row):
    """The probabilities in a row of --log."""
    return [float(row[name]) for name in EMOTIONS]
