"""The model files, and what padding must do to the network."""

import json
import re

import damage
import h5py
import numpy as np
import pytest
from scripts import ROOT, python
from sessions import answer_to_inputs
from signals import make_reference

from sentimental import EMOTIONS, load_recognizer, model
from sentimental.corpora import CORPORA
from sentimental.features import N_INPUTS, N_SUMMARY
from sentimental.speaker import MODEL_CHAIN
from sentimental.training import network as network_module

# What trained a model, as the model tells it.
TRAINING = {"corpora": ["TESS", "mine"], "held_out": "0"}


@pytest.fixture(scope="module")
def network():
    network_module.keras.utils.set_random_seed(1)
    network, rng = network_module.build_network(), np.random.default_rng(1)
    network.set_weights([w + rng.normal(0, 0.1, w.shape) for w in network.get_weights()])
    return network


@pytest.fixture
def saved(network, tmp_path):
    path = tmp_path / "m.json"
    network_module.save_model(network, make_reference(), TRAINING, path)
    return path


@pytest.fixture(scope="module")
def clip():
    """Frames and summary of one recording."""
    rng = np.random.default_rng(0)
    shapes = (1, 40, N_INPUTS), (1, N_SUMMARY)
    return [rng.standard_normal(shape).astype(np.float32) for shape in shapes]


def refusal(path):
    """The line that a model is refused with, by Keras' loader and by ours."""
    loaders = network_module.load_network, load_recognizer
    return " ".join({damage.refusal(load, path) for load in loaders})


def rewrite(path, change, network=None):
    """Change what a JSON file holds; with a checksum that fits, if the `network` is given."""
    content = json.loads(path.read_text())
    change(content)
    if network:
        content["checksum"] = model.model_checksum(content, network.get_weights())
    path.write_text(json.dumps(content))


def probabilities(network, frames, summary):
    return np.asarray(network([frames, summary]))


def test_the_network_is_the_one_described(network):
    inside = network.get_layer("recurrent").layers
    layers = {layer.name: type(layer).__name__ for layer in [*network.layers, *inside]}
    assert layers == {
        "frames": "InputLayer",
        "recurrent": "Sequential",
        "masking": "Masking",
        "lstm_1": "LSTM",
        "lstm_2": "LSTM",
        "summary": "InputLayer",
        "frames_and_summary": "Concatenate",
        "emotions": "Dense",
    }
    assert [layer.units for layer in inside[1:]] == [64, 64]
    shapes = [tensor.shape for tensor in network.inputs]
    assert shapes == [(None, None, N_INPUTS), (None, N_SUMMARY)]
    assert network.output_shape == (None, len(EMOTIONS))


# The files


def test_a_reloaded_model_gives_the_same_probabilities(network, saved, clip):
    loaded, content = network_module.load_network(saved)
    np.testing.assert_array_equal(probabilities(loaded, *clip), probabilities(network, *clip))
    assert content["training"] == TRAINING
    for reference in (content["usual"], load_recognizer(saved).reference):
        for name, values in vars(make_reference()).items():
            np.testing.assert_array_equal(getattr(reference, name), values)


def test_the_files_load_in_a_fresh_process_with_keras_alone(network, saved, clip, tmp_path):
    np.savez(tmp_path / "clip.npz", *clip)
    code = (
        "import keras, numpy as np\n"
        f"model = keras.models.model_from_json(open({str(saved)!r}).read())\n"
        f"model.load_weights({str(model.weights_path_of(saved))!r})\n"
        f"clip = [*np.load({str(tmp_path / 'clip.npz')!r}).values()]\n"
        f"np.save({str(tmp_path / 'out.npy')!r}, model(clip))\n"
    )
    python("-c", code).check_returncode()
    np.testing.assert_allclose(
        np.load(tmp_path / "out.npy"), probabilities(network, *clip), atol=1e-6
    )


REFERENCE = {name: values.tolist() for name, values in vars(make_reference()).items()}
LAMBDA = {"class_name": "Lambda", "config": {}}


def layer(content, name):
    """The settings of a layer in a model's JSON file."""
    return next(
        config
        for outer in content["config"]["layers"]
        for config in (one["config"] for one in [outer, *outer["config"].get("layers", [])])
        if config["name"] == name
    )


CHANGES = {
    "activation": lambda content: layer(content, "emotions").update(activation="linear"),
    "mask": lambda content: layer(content, "masking").update(mask_value=1.0),
    "usual": lambda content: content["usual"]["summary"].reverse(),
    "corpora": lambda content: content["training"]["corpora"].append("nEMO"),
    "checksum": lambda content: content.update(checksum="0" * 64),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_whatever_is_changed_in_a_model_is_noticed(saved, change):
    rewrite(saved, change)
    assert "not as they were saved together" in refusal(saved)


def test_weights_of_another_training_are_refused(saved, tmp_path):
    other = tmp_path / "other.json"
    network_module.save_model(network_module.build_network(), make_reference(), TRAINING, other)
    model.weights_path_of(other).replace(model.weights_path_of(saved))
    assert "not as they were saved together" in refusal(saved)
    rewrite(saved, lambda content: content.pop("checksum"))
    assert "not a model of" in refusal(saved)


def test_no_wrong_bit_in_the_files_of_a_model_changes_an_answer(tmp_path, clip):
    path = tmp_path / "m.json"
    small = network_module.build_network(4)
    network_module.save_model(small, make_reference(), TRAINING, path)
    (frames,), (summary,) = clip
    for file in (path, model.weights_path_of(path)):
        damage.count_refused(
            file, 150, lambda: answer_to_inputs(load_recognizer(path), frames, summary)
        )


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_numbers_are_refused(tmp_path, value):
    network = network_module.build_network(4)
    network.set_weights([np.full_like(weight, value) for weight in network.get_weights()])
    network_module.save_model(network, make_reference(), TRAINING, tmp_path / "m.json")
    assert re.search(r"m_weights\.h5: .*not finite", refusal(tmp_path / "m.json"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"emotions": EMOTIONS[::-1]}, "other emotions"),
        ({"chain": MODEL_CHAIN | {"hop_length": 256}}, "hop_length 256 instead of 512"),
        (
            {"config": {"layers": [{"class_name": "Sequential", "config": {"layers": [LAMBDA]}}]}},
            "other emotions or layers",
        ),
        ({"chain": MODEL_CHAIN | {"frames_of_doubt": 3}}, "frames_of_doubt 3 instead of"),
        ({"config": 3}, "not a model"),
        ({"emotions": 3}, "other emotions"),
        ({"training": 3}, "not a model"),
        ({"training": TRAINING | {"corpora": 3}}, "not a model"),
        ({"training": TRAINING | {"corpora": [3]}}, "not a model"),
        ({"training": TRAINING | {"held_out": 3}}, "not a model"),
        ({"chain": 3}, "not a model"),
        ({"usual": 3}, "not a model"),
        ({"usual": REFERENCE | {"features": [0]}}, "not a model"),
        ({"usual": REFERENCE | {"summary": ["loud"] * N_SUMMARY}}, "not a model"),
        ({"usual": REFERENCE | {"summary": [float("nan")] * N_SUMMARY}}, "not a model"),
        ({"usual": REFERENCE | {"variance": [0.0] * N_SUMMARY}}, "not a model"),
        ({"usual": REFERENCE | {"other": [0.0]}}, "not a model"),
    ],
)
def test_a_model_that_does_not_fit_is_one_clear_line(saved, network, changes, message):
    rewrite(saved, lambda content: content.update(changes), network)
    assert message in refusal(saved)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("lstm_1", {"units": 10**9}),
        ("lstm_1", {"go_backwards": True}),
        ("lstm_2", {"activation": "relu"}),
        ("emotions", {"activation": {"class_name": "__lambda__", "config": {"value": "print"}}}),
        ("masking", {"mask_value": 1.0}),
    ],
)
def test_what_keras_would_do_otherwise_is_refused(saved, network, name, settings):
    rewrite(saved, lambda content: layer(content, name).update(settings), network)
    assert "other emotions or layers" in refusal(saved)


def test_damaged_or_missing_weights_are_one_clear_line(saved):
    path = model.weights_path_of(saved)
    path.write_bytes(path.read_bytes()[:2000])
    assert re.search("cannot (load|be read)", refusal(saved))
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = np.array([b"lstm_1"])
    assert re.search("cannot (load|be read)", refusal(saved))
    with h5py.File(path, "w") as file:  # more than the file has room for
        file.attrs["layer_names"] = np.array([b"lstm"])
        file.create_group("lstm").attrs["weight_names"] = np.array([b"kernel"])
        file["lstm"].create_dataset("kernel", (10**6, 10**6), "f4", chunks=True, compression="gzip")
    assert "m_weights.h5: cannot be read" in refusal(saved)
    path.unlink()
    assert "no such file" in refusal(saved)


def test_weights_of_another_shape_are_refused(tmp_path):
    path = tmp_path / "m.json"
    network_module.save_model(network_module.build_network(8), make_reference(), TRAINING, path)
    assert load_recognizer(path)
    keras = network_module.keras
    frames, summary = keras.Input((None, N_INPUTS)), keras.Input((N_SUMMARY,))
    both = keras.layers.Concatenate()([keras.layers.LSTM(8)(frames), summary])
    other = keras.Model([frames, summary], keras.layers.Dense(8, activation="softmax")(both))
    network_module.save_model(other, make_reference(), TRAINING, path)
    assert "not the weights of this network" in refusal(path)


# The files that are shipped


def test_the_shipped_model_is_small_and_tells_what_trained_it():
    network, content = network_module.load_network(model.SHIPPED_MODEL)
    assert network.count_params() <= 70_000
    assert {"TESS", "RAVDESS"} <= {*content["training"]["corpora"]} <= {*CORPORA}


def test_the_metrics_in_results_are_of_the_shipped_model():
    metrics = json.loads((ROOT / "results" / "metrics.json").read_text())
    assert metrics["protocol"] == "random"
    assert metrics["chain"] == MODEL_CHAIN
    _, weights = model.read_model(model.SHIPPED_MODEL)
    assert metrics["weights_checksum"] == model.weights_checksum(weights)
    for part, n in (("validation", 368), ("test", 162)):
        confusion = np.array(metrics[part]["confusion"])
        assert confusion.sum() == n
        assert np.trace(confusion) / n == pytest.approx(metrics[part]["accuracy"])
