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

import h5py
import numpy as np

from sentimental.features import N_INPUTS, N_SUMMARY, check_chain
from sentimental.files import atomic_write, checksum, write_json
from sentimental.scripts import EMOTIONS, SentimentalError, open_streams
from sentimental.speaker import MODEL_CHAIN, Usual

# The model that is shipped; its weights lie beside it.
SHIPPED_MODEL = Path(__file__).resolve().parent.parent / "model8723.json"

# Layers that a model may consist of.
LAYERS = {"InputLayer", "Sequential", "Masking", "LSTM", "Concatenate", "Dense"}


def weights_path_of(json_path):
    """The file of weights that belongs to a model's JSON file; model_weights.h5 to model.json."""
    json_path = Path(json_path)
    return json_path.with_name(f"{json_path.stem}_weights.h5")


def import_keras():
    """Import Keras and TensorFlow without the notes that their C++ part writes on start-up.

    What a keras.json or the environment says of another backend or precision is for other programs.
    """
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ["KERAS_HOME"] = os.devnull  # where no keras.json is, nor can be written
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # for what comes after the import
    # The network's matrices are so small that threads which share them wait more than they work;
    # in training, the second core makes the next batch.
    os.environ["TF_NUM_INTRAOP_THREADS"] = os.environ["TF_NUM_INTEROP_THREADS"] = "1"
    open_streams()
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
    if keras.backend.backend() != "tensorflow":
        raise SentimentalError(
            f"Keras was imported with the backend {keras.backend.backend()}; set "
            "KERAS_BACKEND=tensorflow, or use another process"
        )
    return keras


def build_network(units=64):
    """The network: two LSTM layers read the frames; the dense layer reads the summary as well.

    Parameters
    ----------
    units : int > 0, of each LSTM layer

    Returns
    -------
    network : keras.Model
        Frames (n, n_frames, N_INPUTS) and summaries (n, N_SUMMARY), as
        `sentimental.speaker.measure` gives them, to (n, 8) probabilities
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


def weights_checksum(weights):
    """Hexadecimal SHA-256 of a model's weights, in Keras' order, as little-endian float32."""
    digest = hashlib.sha256()
    for weight in weights:
        digest.update(np.ascontiguousarray(weight, "<f4").tobytes())
    return digest.hexdigest()


def model_checksum(content, weights):
    """Of all that the two files of a model hold: architecture, chain, usual, emotions, weights."""
    return checksum(content | {"weights": weights_checksum(weights)})


def save_model(network, usual, training, json_path):
    """Write the architecture as JSON and the weights, beside it, as HDF5.

    Keras 3 takes ``.weights.h5`` for its own layout and every other ``.h5`` for the older one,
    which it reads but writes for whole models only. The weights are written in that older layout,
    so that plain Keras loads both: ``model_from_json(...)``, then
    ``model.load_weights("model8723_weights.h5")``. Beside what Keras reads, the JSON holds the
    emotions in the order of the outputs, the constants of the chain, what is usual for a voice,
    what trained, and a checksum of all that and of the weights.

    Parameters
    ----------
    network : keras.Model
    usual : sentimental.speaker.Usual
    training : dict with ``corpora``, a list of those that trained, and ``held_out``, a fingerprint
        of the recordings of them that did not
    json_path : str or Path
    """
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
    content["checksum"] = model_checksum(content, network.get_weights())
    write_json(json_path, content)


def load_network(json_path):
    """Read a model that `save_model` wrote, as a Keras network.

    Parameters
    ----------
    json_path : str or Path

    Returns
    -------
    network : keras.Model, as `build_network` describes it
    content : dict, as `read_model` returns it

    Raises
    ------
    SentimentalError
        As `read_model` does, and when Keras cannot build it.
    """
    content, weights = read_model(json_path)
    keras = import_keras()  # takes seconds, so only when the files are worth it
    try:
        # Keras' safe mode: no code of the file runs.
        network = keras.saving.deserialize_keras_object(
            {name: content[name] for name in ("module", "class_name", "config")}
        )
        network.set_weights(weights)
    except Exception as error:  # Keras raises many kinds for files that do not fit
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise SentimentalError(
            f"{json_path}: Keras {keras.__version__} cannot load it ({reason})"
        ) from None
    return network, content


def read_model(json_path):
    """Read the two files of a model whose constants are ours, as `save_model` left them.

    Parameters
    ----------
    json_path : str or Path

    Returns
    -------
    content : dict, of the JSON file, in which ``usual`` is a `sentimental.speaker.Usual`
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
        layers = set(_layer_classes(content["config"]))
        emotions = [*content["emotions"]]
        trained = [*content["training"]["corpora"], content["training"]["held_out"]]
        if not all(isinstance(name, str) for name in trained):
            raise TypeError
        check_chain(json_path, content["chain"], "train a model with these scripts", MODEL_CHAIN)
        usual = Usual.parse(content["usual"])
        expected = content["checksum"]
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        raise SentimentalError(
            f"{json_path}: not a model of train_model.py; train it again"
        ) from None
    if emotions != [*EMOTIONS] or not layers <= LAYERS:
        raise SentimentalError(f"{json_path}: has other emotions or layers than these scripts use")
    weights = _read_weights(weights_path)
    if model_checksum(content, weights) != expected:
        raise SentimentalError(
            f"{json_path} and {weights_path}: not as they were saved together; take both files "
            "from the same training"
        )
    return content | {"usual": usual}, weights


def read_start(json_path, recordings):
    """Read a model that another training begins with.

    Parameters
    ----------
    json_path : str or Path
    recordings : list of Recording, those to train and to test with

    Returns
    -------
    start : dict, the content that `read_model` returns, and ``weights``

    Raises
    ------
    SentimentalError
        As `read_model` does; and when a corpus of the recordings trained that model, which
        would know what is to be tested.
    """
    content, weights = read_model(json_path)
    check_shapes(weights, json_path)
    known = sorted({*content["training"]["corpora"]} & {r.corpus for r in recordings})
    if known:
        raise SentimentalError(
            f"{json_path}: was trained with {', '.join(known)}, so no figure of it would be true; "
            "begin with a model that was not, or give features of other recordings"
        )
    return content | {"weights": weights}


def check_shapes(weights, json_path):
    """Refuse weights of another network than `build_network` makes, with any number of units."""
    units = len(weights[1]) if len(weights) == 8 else 0
    gates = [(units, 4 * units), (4 * units,)]
    shapes = [(N_INPUTS, 4 * units), *gates, (units, 4 * units), *gates]
    shapes += [(units + N_SUMMARY, len(EMOTIONS)), (len(EMOTIONS),)]
    if [weight.shape for weight in weights] != shapes:
        raise SentimentalError(
            f"{weights_path_of(json_path)}: not the weights of this network; train it again"
        )


def _layer_classes(config):
    """Class of each layer of a model, and of the models in it."""
    for layer in config["layers"]:
        yield layer["class_name"]
        if "layers" in layer["config"]:
            yield from _layer_classes(layer["config"])


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
    except (OSError, KeyError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SentimentalError(f"{path}: cannot be read ({reason}); train it again") from None


def check_probabilities(probabilities):
    """Refuse an answer that is none: weights that are not numbers give it, or far too large ones.

    Parameters
    ----------
    probabilities : np.ndarray [shape=(..., 8)]

    Raises
    ------
    SentimentalError
    """
    # A sum with a number that is not finite is not near 1.
    is_one = np.abs(np.sum(probabilities, axis=-1) - 1) < 1e-3
    if not (is_one.all() and np.min(probabilities, initial=0) >= 0):
        raise SentimentalError(
            "the model's answers are no probabilities; train it again, or take another"
        )
