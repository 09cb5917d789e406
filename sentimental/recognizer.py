"""Recognition: a recording in, eight probabilities out.

TensorFlow is not needed. Loading it takes seconds and a gigabyte, for a network whose forward pass
is a page of NumPy.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from typing import BinaryIO, NamedTuple

import numpy as np

from sentimental.audio import MAX_SECONDS, ToMono, clean_audio, to_mono
from sentimental.decoding import check_samples, decode_blocks
from sentimental.features import speech_to_features, summarize
from sentimental.model import SHIPPED_MODEL, check_probabilities, read_model
from sentimental.scripts import EMOTIONS, SentimentalError, program_error
from sentimental.speaker import Voice, measure
from sentimental.spectrum import SAMPLE_RATE
from sentimental.vad import Endpointer, check_speech

# s. A longer recording is cut at its pauses. That is what an utterance can have, and some silence
# around it; none of the clips that the model was trained and tested on is longer.
WHOLE_SECONDS = MAX_SECONDS + 1.0

Source = str | os.PathLike | BinaryIO | np.ndarray


class Utterance(NamedTuple):
    """What was said between two pauses: seconds from the start, and probabilities by emotion."""

    start: float
    end: float
    probabilities: dict[str, float]


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

    Returns
    -------
    recognizer : Recognizer

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
    usual : sentimental.speaker.Usual
    """

    def __init__(self, weights, usual):
        self.usual = usual
        *recurrent, self.kernel, self.bias = weights
        self.lstm_layers = [tuple(recurrent[i : i + 3]) for i in range(0, len(recurrent), 3)]

    def __repr__(self):
        units = " and ".join(str(len(kernel)) for _, kernel, _ in self.lstm_layers)
        return f"<Recognizer: LSTM layers of {units} units, {len(self.bias)} emotions>"

    def predict(
        self, recording: Source, sample_rate: int | None = None, voice: Voice | None = None
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

        Returns
        -------
        probabilities : dict of float, by emotion

        Raises
        ------
        SentimentalError
            When it cannot be decoded, or no speech is in it.
        TypeError
            When it is something else than a recording, or samples come without their rate.
        """
        utterances = [*self.utterances(recording, sample_rate, voice)]
        seconds = [utterance.end - utterance.start for utterance in utterances]
        values = [[*utterance.probabilities.values()] for utterance in utterances]
        return _by_emotion(np.average(values, axis=0, weights=seconds))

    def utterances(
        self, recording: Source, sample_rate: int | None = None, voice: Voice | None = None
    ) -> Iterator[Utterance]:
        """Recognize what is said in a recording, one utterance after the other.

        A recording of at most ``WHOLE_SECONDS`` is one utterance, whatever pauses it has. Of a
        longer one memory holds the utterance in progress.

        Parameters
        ----------
        recording, sample_rate, voice : as for `predict`

        Yields
        ------
        utterance : Utterance

        Raises
        ------
        SentimentalError, TypeError
            As `predict` does.
        """
        if not isinstance(voice, Voice | None):
            raise TypeError(f"voice: give a sentimental.Voice, not {type(voice).__name__}")
        with _opened(recording, sample_rate) as (name, blocks):
            head, n_seconds = [], 0.0
            for samples, rate in blocks:
                head.append((samples, rate))
                n_seconds += len(samples) / rate
                if n_seconds > WHOLE_SECONDS:
                    yield from self._cut(name, rate, itertools.chain(head, blocks), voice)
                    return
            samples = to_mono(np.concatenate([samples for samples, _ in head]), head[0][1], name)
            check_speech(samples, name)
            probabilities = _by_emotion(self.predict_samples(samples, name, voice))
            yield Utterance(0.0, len(samples) / SAMPLE_RATE, probabilities)

    def _cut(self, name, sample_rate, blocks, voice):
        """The utterances of a recording that is longer than ``WHOLE_SECONDS``."""
        mixer, endpointer, n_recognized, error = ToMono(sample_rate), Endpointer(), 0, None
        the_end = np.zeros(0, np.float32), sample_rate
        for samples, _ in itertools.chain(blocks, [the_end]):
            check_samples(name, samples)
            found = endpointer.feed(mixer.push(samples, last=samples is the_end[0]))
            if samples is the_end[0]:
                found += filter(None, [endpointer.utterance()])
            for speech in found:
                try:
                    probabilities = self.predict_samples(speech.samples, name, voice)
                except SentimentalError as refusal:  # too little is left when it is trimmed
                    error = refusal
                    continue
                n_recognized += 1
                yield Utterance(speech.start, speech.end, _by_emotion(probabilities))
        if not n_recognized:
            raise error or SentimentalError(f"{name}: no speech in it; record it again")

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

    def predict_samples(self, samples, name="recording", voice=None):
        """The probabilities of samples that are decoded already.

        Parameters
        ----------
        samples : np.ndarray [shape=(n,), float32], mono at ``SAMPLE_RATE``
        name : what error messages call the recording
        voice : sentimental.Voice or None, as for `predict`

        Returns
        -------
        probabilities : np.ndarray [shape=(8,), float32], in the order of ``EMOTIONS``

        Raises
        ------
        SentimentalError
            As `sentimental.audio.clean_audio` does.
        """
        features = self.compute_features(samples, name)
        probabilities = self.predict_features(features, voice)
        if voice is not None:
            voice.add(features)
        return probabilities

    def compute_features(self, samples, name="recording"):
        """What tells the emotion in samples: the chain before the network.

        Parameters
        ----------
        samples, name : as for `predict_samples`

        Returns
        -------
        features : np.ndarray [shape=(n_frames, N_FEATURES), float32]
        """
        return speech_to_features(clean_audio(samples, name))

    def predict_features(self, features, voice=None):
        """The probabilities of features; the voice stays as it is.

        Parameters
        ----------
        features : np.ndarray [shape=(n_frames, N_FEATURES), float32]
        voice : sentimental.Voice or None; None is a voice of which nothing is known

        Returns
        -------
        probabilities : np.ndarray [shape=(8,), float32]
        """
        voice = voice or Voice()
        clip = features[None], np.array([len(features)])
        inputs, summaries = measure(*clip, summarize(*clip), voice.tally[None], self.usual)
        return self.predict_inputs(inputs[0], summaries[0])

    def predict_inputs(self, inputs, summary):
        """The network alone.

        Parameters
        ----------
        inputs : np.ndarray [shape=(n_frames, N_INPUTS), float32]; frames of zeros are skipped
        summary : np.ndarray [shape=(N_SUMMARY,), float32]

        Returns
        -------
        probabilities : np.ndarray [shape=(8,), float32]

        Raises
        ------
        SentimentalError
            When the weights are such that there are none.
        """
        sequence = inputs[inputs.any(axis=1)]
        with np.errstate(over="ignore", invalid="ignore"):  # what comes of it is checked
            for weights in self.lstm_layers:
                sequence = _run_lstm(sequence, *weights)
            logits = np.concatenate([sequence[-1], summary]) @ self.kernel + self.bias
            exponentials = np.exp(logits - logits.max())
            probabilities = exponentials / exponentials.sum()
        check_probabilities(probabilities)
        return probabilities


@contextlib.contextmanager
def _opened(recording, sample_rate):
    """The name of a recording, and its blocks: (samples, rate in Hz) after each other."""
    if isinstance(recording, np.ndarray):
        if sample_rate is None:
            raise TypeError("samples: give their sample_rate as well, in Hz")
        yield "recording", iter([(recording, sample_rate)])
    elif isinstance(recording, str | os.PathLike):
        yield recording, ((samples, rate) for samples, rate, _ in decode_blocks(recording))
    elif hasattr(recording, "read"):
        name = getattr(recording, "name", "recording")
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "recording")
            with open(path, "wb") as file:
                shutil.copyfileobj(recording, file)
            try:
                yield name, ((samples, rate) for samples, rate, _ in decode_blocks(path))
            except SentimentalError as error:
                raise SentimentalError(str(error).replace(path, str(name))) from None
    else:
        raise TypeError(
            f"a {type(recording).__name__} is no recording; give a path, an open file, or samples "
            "as np.ndarray"
        )


def _by_emotion(probabilities):
    return dict(zip(EMOTIONS, map(float, probabilities), strict=True))


def _predict_file(recognizer, path):
    try:
        return FileResult(path, recognizer.predict(path), None)
    except SentimentalError as error:
        return FileResult(path, None, error)
    except Exception as error:
        return FileResult(path, None, program_error(path, error))


def _run_lstm(sequence, kernel, recurrent_kernel, bias):
    """Outputs of an LSTM layer [1]_ after each frame.

    Parameters
    ----------
    sequence : np.ndarray [shape=(n_frames, d), float32]
    kernel : np.ndarray [shape=(d, 4 * units)]; of input, forget, cell and output gate
    recurrent_kernel : np.ndarray [shape=(units, 4 * units)]
    bias : np.ndarray [shape=(4 * units,)]

    Returns
    -------
    outputs : np.ndarray [shape=(n_frames, units), float32]

    References
    ----------
    .. [1] S. Hochreiter, J. Schmidhuber, "Long short-term memory", Neural Computation 9(8), 1997;
       gates in the order of https://keras.io/api/layers/recurrent_layers/lstm/
    """
    from scipy.special import expit

    units = len(recurrent_kernel)
    output = cell = np.zeros(units, np.float32)
    outputs = np.empty((len(sequence), units), np.float32)
    for number, projected in enumerate(sequence @ kernel + bias):
        gates = (projected + output @ recurrent_kernel).reshape(4, units)
        input_gate, forget_gate, output_gate = expit(gates[[0, 1, 3]])
        cell = forget_gate * cell + input_gate * np.tanh(gates[2])
        output = output_gate * np.tanh(cell)
        outputs[number] = output
    return outputs
