"""The model files, and what padding must do to the network."""

import json
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from sentimental import EMOTIONS, SentimentalError, load_recognizer, model
from sentimental.features import CHAIN, MAX_FRAMES, N_INPUTS, pad

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def network():
    model.import_keras().utils.set_random_seed(1)
    return model.build_network()


@pytest.fixture
def saved(network, tmp_path):
    path = tmp_path / "m.json"
    model.save_model(network, path)
    return path


@pytest.fixture(scope="module")
def clip():
    rng = np.random.default_rng(0)
    return rng.standard_normal((1, 40, N_INPUTS)).astype(np.float32)


def probabilities(network, inputs):
    return np.asarray(network(inputs))


def test_the_network_is_the_one_described(network):
    layers = [type(layer).__name__ for layer in network.layers]
    assert layers == ["Masking", "LSTM", "LSTM", "Dense"]
    assert [layer.units for layer in network.layers[1:]] == [64, 64, 8]


def test_padding_is_not_speech(network, clip):
    alone = probabilities(network, clip)
    for n_frames in (41, 80, MAX_FRAMES):
        padded = probabilities(network, pad(clip, n_frames)[0])
        np.testing.assert_allclose(padded, alone, atol=1e-6)
    assert not np.allclose(probabilities(network, clip[:, :20]), alone, atol=1e-4)


def test_a_network_in_training_answers_after_each_frame_as_the_saved_one_does_at_the_end():
    trained = model.build_network(training=True, layer_dropout=0.1, output_dropout=0.1)
    saved = model.build_network()
    saved.set_weights(trained.get_weights())
    inputs = np.random.default_rng(0).standard_normal((2, 9, N_INPUTS)).astype(np.float32)
    inputs[1, 6:] = 0  # padding
    answers = np.array(trained(inputs))
    assert answers.shape == (2, 9, len(EMOTIONS))
    np.testing.assert_allclose(answers[:, -1], saved(inputs), atol=1e-5)
    np.testing.assert_allclose(answers[1, 5], saved(inputs)[1], atol=1e-5)


def test_folding_the_standardization_changes_no_probability(network, clip):
    rng = np.random.default_rng(1)
    mean = 30 * rng.standard_normal(N_INPUTS).astype(np.float32)
    std = rng.uniform(0.01, 40, N_INPUTS).astype(np.float32)
    expected = probabilities(network, clip)
    folded = model.build_network()
    folded.set_weights(model.fold_standardization(network.get_weights(), mean, std))
    np.testing.assert_allclose(probabilities(folded, clip * std + mean), expected, atol=1e-5)


def test_a_folded_temperature_divides_the_logits(network, clip):
    softened = model.build_network()
    softened.set_weights(model.fold_temperature(network.get_weights(), 2.0))
    expected = np.sqrt(probabilities(network, clip))
    expected /= expected.sum()
    np.testing.assert_allclose(probabilities(softened, clip), expected, atol=1e-6)


# The files


def test_a_reloaded_model_gives_the_same_probabilities(network, saved, clip):
    loaded = model.load_network(saved)
    np.testing.assert_array_equal(probabilities(loaded, clip), probabilities(network, clip))


def test_the_files_load_in_a_fresh_process_with_keras_alone(network, saved, clip, tmp_path):
    np.save(tmp_path / "clip.npy", clip)
    code = (
        "import keras, numpy as np\n"
        f"model = keras.models.model_from_json(open({str(saved)!r}).read())\n"
        f"model.load_weights({str(model.weights_path_of(saved))!r})\n"
        f"np.save({str(tmp_path / 'out.npy')!r}, model(np.load({str(tmp_path / 'clip.npy')!r})))\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    np.testing.assert_allclose(
        np.load(tmp_path / "out.npy"), probabilities(network, clip), atol=1e-6
    )


LOADERS = [model.load_network, load_recognizer]


@pytest.mark.parametrize("load", LOADERS)
def test_weights_of_another_training_are_refused(saved, tmp_path, load):
    other = tmp_path / "other.json"
    model.save_model(model.build_network(), other)
    model.weights_path_of(other).replace(model.weights_path_of(saved))
    with pytest.raises(SentimentalError, match="not the weights"):
        load(saved)


@pytest.mark.parametrize("load", LOADERS)
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"emotions": EMOTIONS[::-1]}, "other emotions"),
        ({"chain": CHAIN | {"hop_length": 256}}, "hop_length 256 instead of 512"),
        ({"config": {"layers": [{"class_name": "Lambda"}]}}, "other emotions or layers"),
        ({"config": 3}, "not a model"),
        ({"emotions": 3}, "not a model"),
    ],
)
def test_a_model_that_does_not_fit_is_one_clear_line(saved, changes, message, load):
    saved.write_text(json.dumps(json.loads(saved.read_text()) | changes))
    with pytest.raises(SentimentalError, match=message) as caught:
        load(saved)
    assert "\n" not in str(caught.value)


def test_a_model_file_cannot_name_a_function_to_run(saved, tmp_path):
    content = json.loads(saved.read_text())
    marker = tmp_path / "was_run"
    content["config"]["layers"][-1]["config"]["activation"] = {
        "class_name": "__lambda__",
        "config": {"value": f"open({str(marker)!r}, 'w')"},
    }
    saved.write_text(json.dumps(content))
    with pytest.raises(SentimentalError, match="cannot load them"):
        model.load_network(saved)
    assert not marker.exists()


@pytest.mark.parametrize("load", LOADERS)
def test_damaged_or_missing_weights_are_one_clear_line(saved, load):
    path = model.weights_path_of(saved)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(SentimentalError, match="cannot (load|be read)") as caught:
        load(saved)
    assert "\n" not in str(caught.value)
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = np.array([b"lstm_1"])
    with pytest.raises(SentimentalError, match="cannot (load|be read)"):
        load(saved)
    path.unlink()
    with pytest.raises(SentimentalError, match="no such file"):
        load(saved)


# The files that are shipped


def test_the_shipped_model_is_of_the_promised_size():
    assert model.load_network(model.SHIPPED_MODEL).count_params() <= 65_000


def test_the_metrics_in_results_are_of_the_shipped_model():
    metrics = json.loads((ROOT / "results" / "metrics.json").read_text())
    assert metrics["protocol"] == "random"
    assert metrics["chain"] == CHAIN
    content = json.loads(model.SHIPPED_MODEL.read_text())
    assert metrics["weights_checksum"] == content["weights_checksum"]
    for part, n in (("validation", 368), ("test", 162)):
        confusion = np.array(metrics[part]["confusion"])
        assert confusion.sum() == n
        assert np.trace(confusion) / n == pytest.approx(metrics[part]["accuracy"])
