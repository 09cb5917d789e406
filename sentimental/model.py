"""The two files of a model, read without Keras; `sentimental.training.network` writes them."""

import hashlib
import json
from pathlib import Path

import h5py
import numpy as np

from sentimental.features import N_INPUTS, N_SUMMARY, check_chain
from sentimental.files import DAMAGED, checksum, shipped
from sentimental.scripts import EMOTIONS, SentimentalError
from sentimental.speaker import MODEL_CHAIN, Reference

# The model that is shipped; its weights lie beside it.
SHIPPED_MODEL = shipped("model8723.json")


def weights_path_of(json_path):
    """The file of weights that belongs to a model's JSON file; model_weights.h5 to model.json."""
    json_path = Path(json_path)
    return json_path.with_name(f"{json_path.stem}_weights.h5")


def weights_checksum(weights):
    """Hexadecimal SHA-256 of a model's weights, in Keras' order, as little-endian float32."""
    digest = hashlib.sha256()
    for weight in weights:
        digest.update(np.ascontiguousarray(weight, "<f4").tobytes())
    return digest.hexdigest()


def model_checksum(content, weights):
    """Checksum of all that the two files of a model hold."""
    return checksum(content | {"weights": weights_checksum(weights)})


def read_model(json_path):
    """Read the two files of a model whose constants are ours, as `save_model` left them.

    Parameters
    ----------
    json_path : str or Path

    Returns
    -------
    content : dict, of the JSON file, in which ``usual`` is a `sentimental.speaker.Reference`
    weights : list of np.ndarray of float32, in Keras' order

    Raises
    ------
    SentimentalError
        When a file is missing or damaged, the two do not belong together, or they were made with
        other constants or other layers.
    """
    weights_path = weights_path_of(json_path)
    for path in (Path(json_path), weights_path):
        if not path.is_file():
            raise SentimentalError(f"{path}: no such file; train a model with train_model.py")
    try:
        content = json.loads(Path(json_path).read_text(encoding="utf-8"))
        expected = content["checksum"]
        weights = _read_weights(weights_path)
        if model_checksum(content, weights) != expected:
            raise SentimentalError(
                f"{json_path} and {weights_path}: not as they were saved together; take both files "
                "from the same training"
            )
        check_chain(json_path, content["chain"], "train a model with these scripts", MODEL_CHAIN)
        reference = Reference.parse(content["usual"])
        trained = [*content["training"]["corpora"], content["training"]["held_out"]]
        if not all(isinstance(name, str) for name in trained):
            raise TypeError
        units = len(weights[1]) if len(weights) == 8 else 0
        if [weight.shape for weight in weights] != _our_shapes(units):
            raise SentimentalError(
                f"{weights_path}: not the weights of this network; train it again"
            )
        if content["emotions"] != [*EMOTIONS] or not _are_ours(content["config"], units):
            raise SentimentalError(
                f"{json_path}: has other emotions or layers than these scripts use"
            )
    except DAMAGED:
        raise SentimentalError(
            f"{json_path}: not a model of train_model.py; train it again"
        ) from None
    return content | {"usual": reference}, weights


def _our_shapes(units):
    """Shapes of the weights of the network that is built for training, with so many units."""
    gates = [(units, 4 * units), (4 * units,)]
    dense = [(units + N_SUMMARY, len(EMOTIONS)), (len(EMOTIONS),)]
    return [(N_INPUTS, 4 * units), *gates, (units, 4 * units), *gates, *dense]


def _our_layers(units):
    """Class of each layer of that network, and what is set in it, in the order of its file.

    Keras heeds other settings; the forward pass in NumPy would not, and one file would have two
    answers.
    """
    lstm = {"units": units, "activation": "tanh", "recurrent_activation": "sigmoid"}
    lstm |= {"use_bias": True, "return_state": False, "go_backwards": False, "stateful": False}
    lstm |= {"zero_output_for_mask": False}
    return [
        ("InputLayer", {}),
        ("Sequential", {}),
        ("InputLayer", {}),
        ("Masking", {"mask_value": 0.0}),
        ("LSTM", lstm | {"return_sequences": True}),
        ("LSTM", lstm | {"return_sequences": False}),
        ("InputLayer", {}),
        ("Concatenate", {"axis": -1}),
        ("Dense", {"activation": "softmax", "use_bias": True, "units": len(EMOTIONS)}),
    ]


def _are_ours(config, units):
    """Whether the layers of a model are those of `_our_layers`."""
    layers, ours = [*_layers(config)], _our_layers(units)
    return [name for name, _ in layers] == [name for name, _ in ours] and all(
        given.get(name, value) == value
        for (_, settings), (_, given) in zip(ours, layers, strict=True)
        for name, value in settings.items()
    )


def _layers(config):
    """Class and settings of each layer of a model, and of the models in it."""
    for layer in config["layers"]:
        yield layer["class_name"], layer["config"]
        if "layers" in layer["config"]:
            yield from _layers(layer["config"])


def _read_weights(path):
    """The weights in an HDF5 file, in Keras' order."""
    try:
        with h5py.File(path, "r") as file:
            weights = [
                file[layer][weight]
                for layer in file.attrs["layer_names"]
                for weight in file[layer].attrs["weight_names"]
            ]
            if sum(weight.nbytes for weight in weights) > path.stat().st_size:
                raise ValueError("it tells of more weights than it can hold")
            weights = [np.asarray(weight, np.float32) for weight in weights]
            if not all(np.isfinite(weight).all() for weight in weights):
                raise ValueError("some weights are not finite")
            return weights
    except (*DAMAGED, OSError, RuntimeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SentimentalError(f"{path}: cannot be read ({reason}); train it again") from None


def check_probabilities(probabilities):
    """Refuse probabilities that are none: weights that are not numbers, or too large, give them."""
    # A sum with a number that is not finite is not near 1.
    is_one = np.abs(np.sum(probabilities, axis=-1) - 1) < 1e-3
    if not (is_one.all() and np.min(probabilities, initial=0) >= 0):
        raise SentimentalError(
            "the model's answers are no probabilities; train it again, or take another"
        )
