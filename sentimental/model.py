"""The network: built, saved and loaded with Keras.

The two files of a model load in plain Keras as well:

    model = keras.models.model_from_json(open("model8723.json").read())
    model.load_weights("model8723_weights.h5")
"""

import hashlib
import json
import os
import sys
from pathlib import Path

import numpy as np

from sentimental.base import EMOTIONS, SentimentalError, atomic_write, write_json
from sentimental.features import N_INPUTS, N_SUMMARY, check_chain
from sentimental.voice import MODEL_CHAIN, Usual

# The model that is shipped; its weights lie beside it.
SHIPPED_MODEL = Path(__file__).resolve().parent.parent / "model8723.json"

# Layers that a model may consist of.
LAYERS = {"InputLayer", "Sequential", "Masking", "LSTM", "Concatenate", "Dense"}


def weights_path_of(json_path):
    """The file of weights that belongs to a model's JSON file; model_weights.h5 to model.json."""
    json_path = Path(json_path)
    return json_path.with_name(f"{json_path.stem}_weights.h5")


def import_keras():
    """Import Keras and TensorFlow without the notes that their C++ part writes on start-up."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # for what comes after the import
    # The network's matrices are so small that threads which share them wait more than they work;
    # in training, the second core makes the next batch.
    os.environ["TF_NUM_INTRAOP_THREADS"] = os.environ["TF_NUM_INTEROP_THREADS"] = "1"
    sys.stderr.flush()
    stderr = os.dup(2)
    with open(os.devnull, "wb") as null:
        os.dup2(null.fileno(), 2)
    try:
        import keras
        import tensorflow  # Keras would load it later, when its notes are heard

        tensorflow.get_logger().setLevel("ERROR")  # each network of a protocol is compiled anew
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
    return keras


def build_network(units=64):
    """The network: two LSTM layers read the frames; the dense layer reads the summary as well.

    Parameters
    ----------
    units : int > 0, of each LSTM layer

    Returns
    -------
    network : keras.Model
        Frames (n, n_frames, N_INPUTS) and summaries (n, N_SUMMARY), as `sentimental.voice.measure`
        gives them, to (n, 8) probabilities
    """
    keras = import_keras()
    frames = keras.Input((None, N_INPUTS), name="frames")
    summary = keras.Input((N_SUMMARY,), name="summary")
    # A model of its own, because Keras would write the mask's arithmetic as layers into the JSON.
    recurrent = keras.Sequential(
        [
            keras.Input((None, N_INPUTS)),
            keras.layers.Masking(name="masking"),
            keras.layers.LSTM(units, return_sequences=True, name="lstm_1"),
            keras.layers.LSTM(units, name="lstm_2"),
        ],
        name="recurrent",
    )
    both = keras.layers.Concatenate(name="frames_and_summary")([recurrent(frames), summary])
    answer = keras.layers.Dense(len(EMOTIONS), activation="softmax", name="emotions")(both)
    return keras.Model([frames, summary], answer)


def fold_standardization(weights, mean, std):
    """Weights that read inputs as they are, from weights trained on standardized ones.

    ``((x - mean) / std) @ kernel + bias`` is ``x @ (kernel / std) + bias - (mean / std) @ kernel``.

    Parameters
    ----------
    weights : list of np.ndarray; the first is the kernel of the first layer, the third its bias
    mean, std : np.ndarray [shape=(N_INPUTS,)]

    Returns
    -------
    weights : list of np.ndarray
    """
    kernel, recurrent_kernel, bias, *others = weights
    return [kernel / std[:, None], recurrent_kernel, bias - (mean / std) @ kernel, *others]


def fold_temperature(weights, temperature):
    """Weights of a network whose logits are divided by `temperature`."""
    *others, kernel, bias = weights
    return [*others, kernel / temperature, bias / temperature]


def weights_checksum(weights):
    """Hexadecimal SHA-256 of a model's weights, in Keras' order, as little-endian float32."""
    digest = hashlib.sha256()
    for weight in weights:
        digest.update(np.ascontiguousarray(weight, "<f4").tobytes())
    return digest.hexdigest()


def save_model(network, usual, training, json_path):
    """Write the architecture as JSON and the weights, beside it, as HDF5.

    Keras 3 takes ``.weights.h5`` for its own layout and every other ``.h5`` for the older one,
    which it reads but writes for whole models only. The weights are written in that older layout,
    so that plain Keras loads both: ``model_from_json(...)``, then
    ``model.load_weights("model8723_weights.h5")``. Beside what Keras reads, the JSON holds the
    emotions in the order of the outputs, the constants of the chain, what is usual for a voice,
    what trained, and a checksum that ties the weights to it.

    Parameters
    ----------
    network : keras.Model
    usual : sentimental.voice.Usual
    training : dict with ``corpora``, a list of those that trained, and ``held_out``, a fingerprint
        of the recordings of them that did not
    json_path : str or Path
    """
    import h5py

    keras = import_keras()

    def names(values):
        return np.array([value.encode() for value in values])

    weights_path = weights_path_of(json_path)
    with atomic_write(weights_path) as partial, h5py.File(partial, "w") as file:
        file.attrs["backend"] = keras.backend.backend()
        file.attrs["keras_version"] = keras.__version__
        file.attrs["layer_names"] = names(layer.name for layer in network.layers)
        for layer in network.layers:
            group = file.create_group(layer.name)
            paths = [f"{layer.name}/{weight.path}" for weight in layer.weights]
            group.attrs["weight_names"] = names(paths) if paths else np.array([], "S1")
            for path, weight in zip(paths, layer.get_weights(), strict=True):
                group.create_dataset(path, data=weight)
    # An older Keras 3 refuses settings that it does not know; those that are null say nothing.
    content = json.loads(
        network.to_json(), object_hook=lambda d: {k: v for k, v in d.items() if v is not None}
    )
    content["emotions"] = EMOTIONS
    content["chain"] = MODEL_CHAIN
    content["usual"] = {name: values.tolist() for name, values in vars(usual).items()}
    content["training"] = training
    content["weights_checksum"] = weights_checksum(network.get_weights())
    write_json(json_path, content)


def load_network(json_path):
    """Read a model that `save_model` wrote, as a Keras network.

    Parameters
    ----------
    json_path : str or Path

    Returns
    -------
    network : keras.Model, as `build_network` describes it
    content : dict, as `read_architecture` returns it

    Raises
    ------
    SentimentalError
        When a file is missing, the two do not belong together, or they were made with other
        constants or other layers.
    """
    text, content = read_architecture(json_path)
    weights_path = weights_path_of(json_path)
    keras = import_keras()  # takes seconds, so only when the files are worth it
    try:
        network = keras.models.model_from_json(text)  # Keras' safe mode: no code of the file runs
        network.load_weights(weights_path)
    except Exception as error:  # Keras raises many kinds for files that do not fit
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise SentimentalError(
            f"{json_path} and {weights_path}: Keras {keras.__version__} cannot load them ({reason})"
        ) from None
    check_weights(json_path, content, network.get_weights())
    return network, content


def read_architecture(json_path):
    """Read the JSON file of a model whose weights exist and whose constants are ours.

    Parameters
    ----------
    json_path : str or Path

    Returns
    -------
    text : str
    content : dict, in which ``usual`` is a `sentimental.voice.Usual`

    Raises
    ------
    SentimentalError
        When it is not so.
    """
    for path in (Path(json_path), weights_path_of(json_path)):
        if not path.is_file():
            raise SentimentalError(f"{path}: no such file; train a model with train_model.py")
    try:
        text = Path(json_path).read_text(encoding="utf-8")
        content = json.loads(text)
        layers = set(_layer_classes(content["config"]))
        emotions, _ = [*content["emotions"]], content["weights_checksum"]
        trained = [*content["training"]["corpora"], content["training"]["held_out"]]
        if not all(isinstance(name, str) for name in trained):
            raise TypeError
        check_chain(json_path, content["chain"], "train a model with these scripts", MODEL_CHAIN)
        content["usual"] = Usual.parse(content["usual"])
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        raise SentimentalError(
            f"{json_path}: not a model of train_model.py; train it again"
        ) from None
    if emotions != [*EMOTIONS] or not layers <= LAYERS:
        raise SentimentalError(f"{json_path}: has other emotions or layers than these scripts use")
    return text, content


def _layer_classes(config):
    """Class of each layer of a model, and of the models in it."""
    for layer in config["layers"]:
        yield layer["class_name"]
        if "layers" in layer["config"]:
            yield from _layer_classes(layer["config"])


def check_weights(json_path, content, weights):
    """Refuse weights of another training than the JSON file's content.

    Raises
    ------
    SentimentalError
    """
    if weights_checksum(weights) != content["weights_checksum"]:
        raise SentimentalError(
            f"{weights_path_of(json_path)}: not the weights that {json_path} was saved with; "
            "take both files from the same training"
        )
