"""Recognition: a recording in, eight probabilities out.

TensorFlow is not needed. Loading it takes seconds and a gigabyte, for a network whose forward pass
is a page of NumPy.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from sentimental.audio import clean_audio
from sentimental.features import pad, speech_to_features, summarize
from sentimental.model import SHIPPED_MODEL, check_probabilities, read_model, weights_checksum
from sentimental.scripts import (
    EMOTIONS,
    UNSURE_BELOW,
    SentimentalError,
    check_emotions,
    file_error,
)
from sentimental.speaker import find_doubt, normalize
from sentimental.utterances import Source, find_utterances
from sentimental.voice import Voice


class Utterance(NamedTuple):
    """What was said between two pauses: seconds from the start, and probabilities by emotion.

    What is unlike the speech that trained the model has a `doubt`: a word that says why.
    """

    start: float
    end: float
    probabilities: dict[str, float]
    doubt: str = ""

    @property
    def unsure(self) -> bool:
        """Whether the answer says little. Its probability counts as it is printed."""
        return bool(self.doubt) or round(max(self.probabilities.values()), 2) < UNSURE_BELOW


class FileResult(NamedTuple):
    """What was recognized of a file: its probabilities by emotion, or the error; the other None."""

    path: str | os.PathLike
    probabilities: dict[str, float] | None
    error: SentimentalError | None


def load_recognizer(json_path: str | os.PathLike = SHIPPED_MODEL) -> Recognizer:
    """Read a model that `save_model` wrote; TensorFlow is not needed.

    Parameters
    ----------
    json_path : str or Path; the weights lie beside it (default: the shipped model)

    Raises
    ------
    SentimentalError
        When a file is missing or damaged, or is of another network.
    """
    content, weights = read_model(json_path)
    return Recognizer(weights, content["usual"])


class Recognizer:
    """A trained network and the signal chain before it: recordings in, probabilities out.

    Parameters
    ----------
    weights : list of np.ndarray
        In Keras' order: kernel, recurrent kernel and bias of each LSTM layer, kernel and bias of
        the dense layer.
    reference : sentimental.speaker.Reference

    Attributes
    ----------
    emotions : tuple of str, those of ``EMOTIONS`` that trained it
    """

    def __init__(self, weights, reference):
        self.reference = reference
        self.checksum = weights_checksum(weights)
        *recurrent, self.kernel, self.bias = weights
        self.lstm_layers = [tuple(recurrent[i : i + 3]) for i in range(0, len(recurrent), 3)]
        columns = zip(EMOTIONS, self.kernel.T, strict=True)
        self.emotions = tuple(emotion for emotion, column in columns if column.any())

    def __repr__(self):
        units = " and ".join(str(len(kernel)) for _, kernel, _ in self.lstm_layers)
        return f"<Recognizer: LSTM layers of {units} units, {len(self.bias)} emotions>"

    def predict(
        self,
        recording: Source,
        sample_rate: int | None = None,
        voice: Voice | None = None,
        emotions: Sequence[str] = EMOTIONS,
    ) -> dict[str, float]:
        """The probabilities of the emotions in one recording.

        A recording of more than ``WHOLE_SECONDS`` is cut at its pauses; the answer is the mean of
        its utterances, weighted by their seconds.

        Parameters
        ----------
        recording : str, Path, open file, or np.ndarray [shape=(n,) or (n, channels)]
            A file of any format, or samples; full scale is 1.0.
        sample_rate : int > 0, Hz; needed for samples, while a file tells its own
        voice : sentimental.Voice or None
            What was heard before of the person who speaks: the recording is compared with it, and
            then it grows by the recording. None, when nothing was.
        emotions : sequence of str, two or more; only these are answered

        Returns
        -------
        probabilities : dict of float, by each of `emotions`

        Raises
        ------
        SentimentalError
            When it cannot be decoded, or no speech is in it; when an emotion is unknown; when the
            voice was taught with another model.
        TypeError
            When it is something else than a recording, or samples come without their rate.
        """
        return mean_probabilities([*self.utterances(recording, sample_rate, voice, emotions)])

    def utterances(
        self,
        recording: Source,
        sample_rate: int | None = None,
        voice: Voice | None = None,
        emotions: Sequence[str] = EMOTIONS,
    ) -> Iterator[Utterance]:
        """Recognize what is said in a recording, one utterance after the other.

        Of a recording that is cut, memory holds the utterance in progress.

        Parameters
        ----------
        recording, sample_rate, voice, emotions : as for `predict`, which raises the same errors

        Yields
        ------
        utterance : Utterance
        """
        if not isinstance(voice, Voice | None):
            raise TypeError(f"voice: give a sentimental.Voice, not {type(voice).__name__}")
        check_emotions(emotions)
        n_recognized, error = 0, None
        for name, speech in find_utterances(recording, sample_rate):
            try:
                utterance = self.recognize(speech, name, voice, emotions)
            except SentimentalError as refusal:  # too little is left when it is trimmed
                error = refusal
                continue
            n_recognized += 1
            yield utterance
        if not n_recognized:
            raise error

    def predict_files(
        self, paths: Iterable[str | os.PathLike], n_jobs: int = 1
    ) -> Iterator[FileResult]:
        """Recognize many files; what goes wrong with one costs that one only.

        Parameters
        ----------
        paths : iterable of str or Path
        n_jobs : int, processes; -1: one for each core

        Yields
        ------
        result : FileResult, in the order of the paths, as soon as it is there
        """
        from joblib import Parallel, delayed

        jobs = (delayed(_predict_file)(self, path) for path in paths)
        yield from Parallel(n_jobs=n_jobs, return_as="generator")(jobs)

    def recognize(self, speech, name="recording", voice=None, emotions=EMOTIONS, grow=True):
        """Recognize what was found in a recording or a stream; returns an Utterance.

        Parameters
        ----------
        speech : sentimental.vad.Speech
        name : what error messages call the recording
        voice, emotions : as for `predict`
        grow : bool, whether the voice grows by it; by what is in doubt it never does

        Raises
        ------
        SentimentalError
            As `sentimental.audio.clean_audio` does.
        """
        features = self.compute_features(speech.samples, name)
        probabilities = self.predict_features(features, voice, emotions)
        doubt = find_doubt(features, self.reference)
        if grow and voice is not None and not doubt:
            voice.add(features, self)
        return Utterance(speech.start, speech.end, probabilities, doubt)

    def compute_features(self, samples, name="recording"):
        """What tells the emotion in samples: the chain before the network.

        Parameters
        ----------
        samples : np.ndarray [shape=(n,), float32], mono at ``SAMPLE_RATE``
        name : what error messages call the recording

        Returns
        -------
        features : np.ndarray [shape=(n_frames, N_FEATURES), float32]
        """
        return speech_to_features(clean_audio(samples, name))

    def predict_features(self, features, voice=None, emotions=EMOTIONS):
        """The probabilities of features; the voice stays as it is.

        Parameters
        ----------
        features : np.ndarray [shape=(n_frames, N_FEATURES), float32]
        voice, emotions : as for `predict`

        Returns
        -------
        probabilities : dict of float, by each of `emotions`
        """
        voice = voice or Voice()
        kernel, bias = voice.layer_of(self)
        embedding = self.embed(features, voice)
        with np.errstate(over="ignore", invalid="ignore"):  # what comes of it is checked
            logits = np.where(np.isin(EMOTIONS, emotions), embedding @ kernel + bias, -np.inf)
            exponentials = np.exp(logits - logits.max())
            probabilities = exponentials / exponentials.sum()
        check_probabilities(probabilities)
        by_emotion = dict(zip(EMOTIONS, probabilities.tolist(), strict=True))
        return {emotion: by_emotion[emotion] for emotion in emotions}

    def embed(self, features, voice):
        """What the dense layer reads of a recording: the last state of the LSTM, and the summary.

        Parameters
        ----------
        features : as for `predict_features`
        voice : sentimental.Voice, with which the recording is compared

        Returns
        -------
        embedding : np.ndarray [shape=(units + N_SUMMARY,), float32]
        """
        clip = pad([features])
        inputs, summaries = normalize(
            *clip, summarize(*clip), voice.statistics[None], self.reference
        )
        sequence = inputs[0]
        with np.errstate(over="ignore", invalid="ignore"):
            for weights in self.lstm_layers:
                sequence = _run_lstm(sequence, *weights)
        return np.concatenate([sequence[-1], summaries[0]])


def mean_probabilities(utterances):
    """The mean over a list of Utterance, in which each second of speech counts alike."""
    seconds = [utterance.end - utterance.start for utterance in utterances]
    values = [[*utterance.probabilities.values()] for utterance in utterances]
    mean = np.average(values, axis=0, weights=seconds).tolist()
    return dict(zip(utterances[0].probabilities, mean, strict=True))


def _predict_file(recognizer, path):
    try:
        return FileResult(path, recognizer.predict(path), None)
    except Exception as error:
        return FileResult(path, None, file_error(path, error))


def _run_lstm(sequence, kernel, recurrent_kernel, bias):
    """Outputs of an LSTM layer [1]_ after each frame, np.ndarray [shape=(n_frames, units)].

    .. [1] S. Hochreiter, J. Schmidhuber, "Long short-term memory", Neural Computation 9(8), 1997;
       gates in the order of https://keras.io/api/layers/recurrent_layers/lstm/
    """
    units = len(recurrent_kernel)
    output = cell = np.zeros(units, np.float32)
    outputs = np.empty((len(sequence), units), np.float32)
    for number, projected in enumerate(sequence @ kernel + bias):
        gates = (projected + output @ recurrent_kernel).reshape(4, units)
        input_gate, forget_gate, _, output_gate = 1 / (1 + np.exp(-gates))
        cell = forget_gate * cell + input_gate * np.tanh(gates[2])
        output = outputs[number] = output_gate * np.tanh(cell)
    return outputs
