"""The model files, and what the network must do with padding and standardisation."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from signals import voice

import sentimental
import train_model
from sentimental import EMOTIONS, MAX_FRAMES, N_FEATURES, SentimentalError

ROOT = Path(__file__).resolve().parent.parent
SHIPPED = (ROOT / "model8723.json", ROOT / "model8723_weights.h5")


@pytest.fixture(scope="module")
def network():
    sentimental.import_keras().utils.set_random_seed(1)
    return train_model.build_network()


@pytest.fixture
def saved(network, tmp_path):
    paths = tmp_path / "m.json", tmp_path / "m_weights.h5"
    sentimental.save_model(network, *paths)
    return paths


@pytest.fixture(scope="module")
def clip():
    rng = np.random.default_rng(0)
    return rng.standard_normal((1, 40, N_FEATURES)).astype(np.float32)


def probabilities(network, clip):
    return np.asarray(network(clip))


def test_the_network_is_the_one_described(network):
    layers = [type(layer).__name__ for layer in network.layers]
    assert layers == ["Masking", "LSTM", "LSTM", "Dense"]
    assert [layer.units for layer in network.layers[1:]] == [64, 64, 8]


def test_padding_is_not_speech(network, clip):
    alone = probabilities(network, clip)
    for n_frames in (41, 80, MAX_FRAMES):
        padded = probabilities(network, sentimental.pad(clip, n_frames)[0])
        np.testing.assert_allclose(padded, alone, atol=1e-6)
    assert not np.allclose(probabilities(network, clip[:, :20]), alone, atol=1e-4)


def test_folding_the_standardisation_changes_no_probability(network, clip):
    rng = np.random.default_rng(1)
    mean = 30 * rng.standard_normal(N_FEATURES).astype(np.float32)
    std = rng.uniform(0.01, 40, N_FEATURES).astype(np.float32)
    expected = probabilities(network, clip)
    folded = train_model.build_network()
    folded.set_weights(train_model.fold_standardisation(network.get_weights(), mean, std))
    np.testing.assert_allclose(probabilities(folded, clip * std + mean), expected, atol=1e-5)


def test_a_reloaded_model_gives_the_same_probabilities(network, saved, clip):
    loaded = sentimental.load_model(*saved)
    np.testing.assert_array_equal(probabilities(loaded, clip), probabilities(network, clip))
    predict = sentimental.compile_predict(loaded)
    padded = sentimental.pad(clip)[0]
    np.testing.assert_allclose(predict(padded), probabilities(network, padded)[0], atol=1e-6)


def test_the_files_load_in_a_fresh_process_with_keras_alone(network, saved, clip, tmp_path):
    np.save(tmp_path / "clip.npy", clip)
    code = (
        "import keras, numpy as np\n"
        f"model = keras.models.model_from_json(open({str(saved[0])!r}).read())\n"
        f"model.load_weights({str(saved[1])!r})\n"
        f"np.save({str(tmp_path / 'out.npy')!r}, model(np.load({str(tmp_path / 'clip.npy')!r})))\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    np.testing.assert_allclose(
        np.load(tmp_path / "out.npy"), probabilities(network, clip), atol=1e-6
    )


def test_weights_of_another_training_are_refused(saved, tmp_path):
    other = tmp_path / "other.json", tmp_path / "other_weights.h5"
    sentimental.save_model(train_model.build_network(), *other)
    with pytest.raises(SentimentalError, match="not the weights"):
        sentimental.load_model(saved[0], other[1])


def change(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"emotions": EMOTIONS[::-1]}, "other emotions"),
        ({"chain": sentimental.CHAIN | {"hop_length": 256}}, "hop_length 256 instead of 512"),
        ({"config": {"layers": [{"class_name": "Lambda"}]}}, "other emotions or layers"),
        ({"config": 3}, "not a model"),
        ({"class_name": "os.system"}, "cannot load them"),
    ],
)
def test_a_model_that_does_not_fit_is_one_clear_line(saved, changes, message):
    change(saved[0], **changes)
    with pytest.raises(SentimentalError, match=message) as caught:
        sentimental.load_model(*saved)
    assert "\n" not in str(caught.value)


def test_a_model_file_cannot_name_a_function_to_run(saved, tmp_path):
    content = json.loads(saved[0].read_text())
    marker = tmp_path / "was_run"
    content["config"]["layers"][-1]["config"]["activation"] = {
        "class_name": "__lambda__",
        "config": {"value": f"open({str(marker)!r}, 'w')"},
    }
    saved[0].write_text(json.dumps(content))
    with pytest.raises(SentimentalError, match="cannot load them"):
        sentimental.load_model(*saved)
    assert not marker.exists()


def test_damaged_or_missing_weights_are_one_clear_line(saved):
    saved[1].write_bytes(saved[1].read_bytes()[:2000])
    with pytest.raises(SentimentalError, match="cannot load them") as caught:
        sentimental.load_model(*saved)
    assert "\n" not in str(caught.value)
    saved[1].unlink()
    with pytest.raises(SentimentalError, match="no such file"):
        sentimental.load_model(*saved)


# The files that are shipped


def test_the_shipped_model_loads_and_answers():
    model = sentimental.load_model(*SHIPPED)
    answer = probabilities(model, sentimental.extract_features(voice(1.5)))
    assert answer.shape == (1, 8)
    assert answer.sum() == pytest.approx(1, abs=1e-5)


def test_the_shipped_model_is_of_the_promised_size():
    assert sentimental.load_model(*SHIPPED).count_params() <= 65_000


def test_the_figures_in_results_are_of_the_shipped_model():
    metrics = json.loads((ROOT / "results" / "metrics.json").read_text())
    assert metrics["protocol"] == "random"
    assert metrics["chain"] == sentimental.CHAIN
    assert metrics["weights_checksum"] == json.loads(SHIPPED[0].read_text())["weights_checksum"]
    for part, n in (("validation", 368), ("test", 162)):
        confusion = np.array(metrics[part]["confusion"])
        assert confusion.sum() == n
        assert np.trace(confusion) / n == pytest.approx(metrics[part]["accuracy"])


def test_the_shipped_model_hears_more_than_one_emotion():
    model = sentimental.load_model(*SHIPPED)
    samples = sorted((ROOT / "data" / "samples").glob("*.flac"))
    samples += sorted((ROOT / "data" / "samples").glob("*.wav"))
    answers = [
        probabilities(model, sentimental.extract_features(sentimental.load_audio(path)))[0]
        for path in samples
    ]
    assert len({int(answer.argmax()) for answer in answers}) > 1
