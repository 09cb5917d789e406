"""Recognition without Keras: the same answers, from files and from samples."""

import subprocess
import sys

import numpy as np
import pytest
import soundfile
from scripts import ROOT
from signals import SAMPLES, noise, speech, tone

from sentimental import EMOTIONS, Recognizer, SentimentalError, load_recognizer, model
from sentimental.features import MAX_FRAMES, N_INPUTS, pad
from sentimental.spectrum import SAMPLE_RATE


@pytest.fixture(scope="module")
def network():
    model.import_keras().utils.set_random_seed(1)
    return model.build_network()


def probabilities(network, inputs):
    return np.asarray(network(inputs))


def shipped(network):
    return model.load_network(model.SHIPPED_MODEL)


def with_large_weights(network):
    """Gates far from their middle, where a wrong activation would show."""
    large = model.build_network()
    large.set_weights([4 * weight for weight in network.get_weights()])
    return large


@pytest.mark.parametrize("choose", [lambda network: network, with_large_weights, shipped])
@pytest.mark.parametrize("n_frames", [1, 2, 40, MAX_FRAMES])
def test_numpy_gives_the_probabilities_of_keras(network, choose, n_frames):
    chosen = choose(network)
    inputs = 3 * np.random.default_rng(n_frames).standard_normal((n_frames, N_INPUTS))
    inputs = inputs.astype(np.float32)
    recognizer = Recognizer(chosen.get_weights())
    answer = recognizer.predict_inputs(inputs)
    np.testing.assert_allclose(answer, probabilities(chosen, inputs[None])[0], atol=1e-5)
    padded = pad([inputs])[0]
    np.testing.assert_allclose(recognizer.predict_inputs(padded[0]), answer, atol=1e-6)
    np.testing.assert_allclose(answer, probabilities(chosen, padded)[0], atol=1e-5)


def test_a_loaded_recognizer_answers_as_the_network_that_was_saved(network, tmp_path):
    model.save_model(network, tmp_path / "m.json")
    inputs = np.random.default_rng(0).standard_normal((1, 40, N_INPUTS)).astype(np.float32)
    answer = load_recognizer(tmp_path / "m.json").predict_inputs(inputs[0])
    np.testing.assert_allclose(answer, probabilities(network, inputs)[0], atol=1e-5)


def test_recognition_needs_no_tensorflow(tmp_path):
    code = (
        "import sys\n"
        "sys.modules['tensorflow'] = sys.modules['keras'] = None\n"
        "import sentimental\n"
        f"print(sum(sentimental.load_recognizer().predict({str(SAMPLES[0])!r}).values()))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert float(done.stdout) == pytest.approx(1, abs=1e-5)


def test_a_file_its_samples_and_two_channels_of_them_give_the_same(tmp_path):
    recognizer = load_recognizer()
    expected = recognizer.predict(SAMPLES[0])
    assert list(expected) == list(EMOTIONS)
    assert recognizer.predict(speech(0), SAMPLE_RATE) == expected
    stereo = np.stack([speech(0)] * 2, axis=1)
    soundfile.write(tmp_path / "stereo.wav", stereo, SAMPLE_RATE, subtype="FLOAT")
    assert recognizer.predict(tmp_path / "stereo.wav") == expected


@pytest.mark.parametrize("sound", [tone(440, 2), noise(2, dbfs=-20)])
def test_where_nobody_speaks_there_is_no_emotion(sound):
    with pytest.raises(SentimentalError, match="recording: no speech"):
        load_recognizer().predict(sound, SAMPLE_RATE)


def test_the_shipped_model_hears_more_than_one_emotion():
    recognizer = load_recognizer()
    answers = [recognizer.predict(path) for path in SAMPLES]
    assert len({max(answer, key=answer.get) for answer in answers}) > 1
