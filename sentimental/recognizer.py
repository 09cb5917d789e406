"""Recognition: a recording in, eight probabilities out.

TensorFlow is not needed. Loading it takes seconds and a gigabyte, for a network whose forward pass
is a page of NumPy.
"""

import numpy as np

from sentimental.audio import clean_audio, load_audio, to_mono
from sentimental.features import speech_to_features, summarize
from sentimental.model import (
    SHIPPED_MODEL,
    check_probabilities,
    check_shapes,
    read_model,
    weights_checksum,
)
from sentimental.scripts import EMOTIONS, SentimentalError
from sentimental.speaker import measure
from sentimental.spectrum import SAMPLE_RATE
from sentimental.vad import check_speech
from sentimental.voice import Voice, adapt_layer, lessons_to_inputs


def load_recognizer(json_path=SHIPPED_MODEL):
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
        As `load_network` does.
    """
    content, weights = read_model(json_path)
    check_shapes(weights, json_path)
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
        self.checksum = weights_checksum(weights)
        *recurrent, self.kernel, self.bias = weights
        self.lstm_layers = [tuple(recurrent[i : i + 3]) for i in range(0, len(recurrent), 3)]

    def predict(self, recording, sample_rate=SAMPLE_RATE, voice=None, emotions=EMOTIONS):
        """The probabilities of the emotions in one recording.

        Parameters
        ----------
        recording : str or Path, or np.ndarray [shape=(n,) or (n, channels), float]
            A file of any format, or samples; full scale is 1.0.
        sample_rate : int > 0, Hz, of samples; a file tells its own
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
        """
        samples, name = self.load_speech(recording, sample_rate)
        probabilities = self.predict_samples(samples, name, voice, emotions)
        return {emotion: float(probabilities[EMOTIONS.index(emotion)]) for emotion in emotions}

    def load_speech(self, recording, sample_rate=SAMPLE_RATE):
        """Samples of a recording in which somebody speaks, and its name in error messages.

        Parameters
        ----------
        recording, sample_rate : as for `predict`

        Returns
        -------
        samples : np.ndarray [shape=(n,), float32], mono at ``SAMPLE_RATE``
        name : str or Path
        """
        if isinstance(recording, np.ndarray):
            samples, name = to_mono(recording, sample_rate), "recording"
        else:
            samples, name = load_audio(recording), recording
        check_speech(samples, name)
        return samples, name

    def predict_samples(self, samples, name="recording", voice=None, emotions=EMOTIONS):
        """The probabilities of samples that are decoded already.

        Parameters
        ----------
        samples : np.ndarray [shape=(n,), float32], mono at ``SAMPLE_RATE``
        name : what error messages call the recording
        voice, emotions : as for `predict`

        Returns
        -------
        probabilities : np.ndarray [shape=(8,), float32], in the order of ``EMOTIONS``; 0 for what
            is not among `emotions`

        Raises
        ------
        SentimentalError
            As `sentimental.audio.clean_audio` does.
        """
        features = self.compute_features(samples, name)
        probabilities = self.predict_features(features, voice, emotions)
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

    def predict_features(self, features, voice=None, emotions=EMOTIONS):
        """The probabilities of features; the voice stays as it is.

        Parameters
        ----------
        features : np.ndarray [shape=(n_frames, N_FEATURES), float32]
        voice : sentimental.Voice or None; None is a voice of which nothing is known
        emotions : as for `predict`

        Returns
        -------
        probabilities : np.ndarray [shape=(8,), float32], as for `predict_samples`
        """
        kernel, bias = self._layer_for(voice)
        return self._answer(self.embed(features, voice), kernel, bias, emotions)

    def embed(self, features, voice=None):
        """What the dense layer reads of a recording: the last state of the LSTM, and the summary.

        Parameters
        ----------
        features, voice : as for `predict_features`

        Returns
        -------
        embedding : np.ndarray [shape=(units + N_SUMMARY,), float32]
        """
        voice = voice or Voice()
        clip = features[None], np.array([len(features)])
        inputs, summaries = measure(*clip, summarize(*clip), voice.tally[None], self.usual)
        return self._embed_inputs(inputs[0], summaries[0])

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
        return self._answer(self._embed_inputs(inputs, summary), self.kernel, self.bias)

    def _embed_inputs(self, inputs, summary):
        sequence = inputs[inputs.any(axis=1)]
        with np.errstate(over="ignore", invalid="ignore"):  # what comes of it is checked
            for weights in self.lstm_layers:
                sequence = _run_lstm(sequence, *weights)
        return np.concatenate([sequence[-1], summary])

    def _layer_for(self, voice):
        """Kernel and bias of the dense layer, adapted to a voice that was taught."""
        if voice is None or not voice.lessons:
            return self.kernel, self.bias
        if voice.taught_with != self.checksum:
            raise SentimentalError("the voice was taught with another model; teach it again")
        if voice.adapted is None:
            labels = np.array([EMOTIONS.index(emotion) for emotion, _ in voice.lessons])
            lessons = np.stack([lesson for _, lesson in voice.lessons])
            inputs = lessons_to_inputs(lessons, voice.tally, self.usual)
            voice.adapted = adapt_layer(self.kernel, self.bias, inputs, labels)
        return voice.adapted

    def _answer(self, embedding, kernel, bias, emotions=EMOTIONS):
        is_allowed = np.isin(EMOTIONS, check_emotions(emotions))
        with np.errstate(over="ignore", invalid="ignore"):
            logits = np.where(is_allowed, embedding @ kernel + bias, -np.inf)
            exponentials = np.exp(logits - logits.max())
            probabilities = exponentials / exponentials.sum()
        check_probabilities(probabilities)
        return probabilities


def check_emotions(emotions):
    """The emotions that are allowed, as a list.

    Raises
    ------
    SentimentalError
        When one is unknown, or there are fewer than two.
    """
    emotions = [*emotions]
    unknown = [str(emotion) for emotion in emotions if emotion not in EMOTIONS]
    if unknown or len({*emotions}) < 2:
        raise SentimentalError(
            f"emotions {', '.join(map(str, emotions))}: give two or more of {', '.join(EMOTIONS)}"
        )
    return emotions


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
