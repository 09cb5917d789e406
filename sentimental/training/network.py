"""The network: its layers, how they learn, what its weights absorb, and its two files.

Weights are lists of np.ndarray in Keras' order: kernel, recurrent kernel and bias of each LSTM
layer, then kernel and bias of the dense layer. Importing this module loads TensorFlow, which takes
seconds.
"""

import json
import os
import sys

import h5py
import numpy as np

from sentimental.features import N_INPUTS, N_SUMMARY
from sentimental.files import atomic_write, write_json
from sentimental.model import model_checksum, read_model, weights_path_of
from sentimental.scripts import EMOTIONS, SentimentalError, open_streams
from sentimental.speaker import MODEL_CHAIN

# The logit of an emotion that did not train. It is finite, and at any temperature of the settings
# (0.01 to 1e6) so low that the softmax of float32 is exactly 0.
UNTRAINED_LOGIT = -1e9


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


keras = import_keras()
import tensorflow as tf  # noqa: E402  (after Keras, which silences it)

# Layers -----------------------------------------------------------------------------------------


def build_network(units=64):
    """The network that is saved, with random weights, and so many units in each LSTM layer.

    Frames (n, n_frames, N_INPUTS) and summaries (n, N_SUMMARY) become (n, 8) probabilities.
    """
    frames = keras.Input((None, N_INPUTS), name="frames")
    summary = keras.Input((N_SUMMARY,), name="summary")
    # A model of its own, because Keras would write the mask's arithmetic as layers into the JSON.
    recurrent = keras.Sequential(_recurrent_layers(units), name="recurrent")
    both = keras.layers.Concatenate(name="frames_and_summary")([recurrent(frames), summary])
    return keras.Model([frames, summary], _emotion_layer()(both))


def _recurrent_layers(units, every_frame=False, dropout=0.0):
    return [
        keras.Input((None, N_INPUTS)),
        keras.layers.Masking(name="masking"),
        keras.layers.LSTM(units, return_sequences=True, name="lstm_1"),
        keras.layers.LSTM(units, return_sequences=every_frame, dropout=dropout, name="lstm_2"),
    ]


def _emotion_layer(**options):
    return keras.layers.Dense(len(EMOTIONS), activation="softmax", name="emotions", **options)


class TwoBranchModel(keras.Model):
    """The network in training: frames and summary are two branches that learn from each other.

    The LSTM layers answer after each frame, and a linear layer answers from the summary. Their
    errors differ, so their mean is better than each, and shows how similar two emotions sound,
    which labels do not [1]_. The network that is saved adds their logits: the kernel of its dense
    layer is both of theirs, one below the other. What validates, and is saved, is `average`, the
    moving average of the weights.

    Few corpora have all emotions. Each branch is trained with the prior of the emotions in the
    recording's corpus added to its logits [2]_: the logits themselves say how much a recording
    speaks for an emotion, and need not learn by which sound, room or language a corpus that lacks
    it can be told. The average has the prior of all that is drawn, [shape=(8,)]; in what is saved,
    `Training.expected` takes its place.

    Keras' `SwapEMAWeights` is of no use for the average: it swaps by adding and subtracting, which
    rounds, so that a training that was stopped and resumed would end with other weights.

    References
    ----------
    .. [1] Y. Zhang et al., "Deep mutual learning", CVPR 2018
    .. [2] A. K. Menon et al., "Long-tail learning via logit adjustment", ICLR 2021
    """

    def __init__(self, network, training, prior):
        super().__init__()
        self.training = training
        # No emotion is thought to be so rare that a recording can hardly speak for it.
        self.prior = np.maximum(prior, training.least_prior).astype(np.float32)
        self.frames_branch = keras.Sequential(
            [
                *_recurrent_layers(training.units, True, training.layer_dropout),
                keras.layers.Dropout(training.output_dropout),
                _emotion_layer(),
            ]
        )
        self.summary_branch = keras.Sequential(
            [keras.Input((N_SUMMARY,)), _emotion_layer(kernel_initializer="zeros")]
        )
        self.average = network
        self.average.trainable = False
        self.average.set_weights(self.merged_weights())

    def merged_weights(self):
        """Weights of both branches as one network, as `build_network` has them."""
        *lstm_weights, frames_kernel, frames_bias = self.frames_branch.weights
        summary_kernel, summary_bias = self.summary_branch.weights
        kernel = keras.ops.concatenate([frames_kernel, summary_kernel], axis=0)
        bias = frames_bias + summary_bias + np.log(self.prior)
        return [*lstm_weights, kernel, bias]

    def start_from(self, weights):
        """Begin with the weights of a trained network instead of random ones.

        How its bias was shared by the branches is not known; each gets half of it. An emotion that
        did not train it begins with none.
        """
        *lstm_weights, kernel, bias = weights
        bias = np.where(kernel.any(axis=0), bias, 0)
        half = (bias - np.log(self.prior)) / 2
        self.frames_branch.set_weights([*lstm_weights, kernel[: self.training.units], half])
        self.summary_branch.set_weights([kernel[self.training.units :], half])
        self.average.set_weights(self.merged_weights())

    def seed_dropout(self, seed, epoch):
        """Let what dropout leaves out depend on seed and epoch alone.

        Keras does not save the state of its random generators, and a training that is resumed would
        draw otherwise.
        """
        states = [v for v in self.non_trainable_variables if "seed_generator" in v.path]
        for number, state in enumerate(states):
            state.assign([len(states) * seed + number, epoch << 16])  # and one more each time

    def call(self, inputs):
        """Probabilities [shape=(n, 8)] of the average."""
        return self.average(inputs)

    def train_step(self, batch):
        """One step of gradient descent; returns the metrics before it."""
        (inputs, summaries, priors), labels, frame_weights = batch
        answer = self.descend(inputs, summaries, priors, labels, frame_weights)
        loss, accuracy = self.metrics
        loss.update_state(self.compute_loss(y=labels, y_pred=answer))
        accuracy.update_state(labels, answer)
        return {metric.name: metric.result() for metric in self.metrics}

    # Keras does not compile a model with XLA where results must be the same each time; what is
    # compiled here has no operation that could make them differ.
    @tf.function(jit_compile=True)
    def descend(self, inputs, summaries, priors, labels, frame_weights):
        """Update all weights; returns the answers before that, [shape=(n, 8)]."""
        training = self.training
        smooth = (1 - training.label_smoothing) * labels + training.label_smoothing / len(EMOTIONS)
        with tf.GradientTape() as tape:
            # In halves: XLA makes of one recurrent loop a program that takes three times as long
            # as that of two loops over half of the clips each.
            halves = [self.frames_branch(half, training=True) for half in tf.split(inputs, 2)]
            of_frames = _apply_prior(tf.concat(halves, axis=0), priors[:, None])
            of_summary = _apply_prior(self.summary_branch(summaries, training=True), priors)
            mean = (of_frames[:, -1] + of_summary) / 2
            mutual = training.mutual_weight
            soft_targets = (1 - mutual) * smooth + mutual * tf.stop_gradient(mean)
            losses = _cross_entropy(soft_targets, of_summary)
            frame_losses = _cross_entropy(soft_targets[:, None], of_frames)
            losses += tf.reduce_sum(frame_weights * frame_losses, axis=1)
            loss = tf.reduce_mean(losses)
        variables = self.trainable_variables
        gradients = tape.gradient(loss, variables)
        self.optimizer.apply_gradients(zip(gradients, variables, strict=True))

        # In the first steps the average forgets faster, or the first weights would stay for long.
        step = tf.cast(self.optimizer.iterations, tf.float32)
        decay = tf.minimum(training.ema_decay, (1 + step) / (10 + step))
        for average, weight in zip(self.average.weights, self.merged_weights(), strict=True):
            average.assign(decay * average + (1 - decay) * weight)
        product = of_frames[:, -1] * of_summary / priors  # which both count
        return product / tf.reduce_sum(product, axis=1, keepdims=True)


def _apply_prior(answers, prior):
    """Answers as they are where emotions are as frequent as `prior` says."""
    weighted = answers * prior
    return weighted / tf.reduce_sum(weighted, axis=-1, keepdims=True)


def _cross_entropy(targets, answers):
    return -tf.reduce_sum(targets * tf.math.log(answers + 1e-7), axis=-1)


# What the weights absorb, so that any reader of them needs nothing else --------------------------


def merge_standardization(weights, mean, std):
    """Weights that read inputs as they are, from weights trained on standardized ones.

    ``((x - mean) / std) @ kernel + bias`` is ``x @ (kernel / std) + bias - (mean / std) @ kernel``;
    `mean` and `std` are np.ndarray [shape=(N_INPUTS,)].
    """
    kernel, recurrent_kernel, bias, *others = weights
    return [kernel / std[:, None], recurrent_kernel, bias - (mean / std) @ kernel, *others]


def unmerge_standardization(weights, mean, std):
    """The reverse of `merge_standardization`; any `mean` and `std` will do."""
    kernel, recurrent_kernel, bias, *others = weights
    return [kernel * std[:, None], recurrent_kernel, bias + mean @ kernel, *others]


def merge_temperature(weights, temperature):
    """Weights of a network whose logits are divided by `temperature`."""
    *others, kernel, bias = weights
    return [*others, kernel / temperature, bias / temperature]


def merge_prior(weights, prior):
    """Weights of a network to whose logits the logarithm of `prior`, [shape=(8,)], is added."""
    return [*weights[:-1], weights[-1] + np.log(prior).astype(np.float32)]


def silence_untrained(weights, is_trained):
    """Weights of a network that never answers what did not train; `is_trained` has [shape=(8,)]."""
    *others, kernel, bias = weights
    return [*others, np.where(is_trained, kernel, 0), np.where(is_trained, bias, UNTRAINED_LOGIT)]


def find_untrained(weights):
    """The emotions that `silence_untrained` has silenced: their outputs read nothing."""
    *_, kernel, _ = weights
    return [emotion for emotion, column in zip(EMOTIONS, kernel.T, strict=True) if not column.any()]


# Files ------------------------------------------------------------------------------------------


def save_model(network, reference, training, json_path):
    """Write the architecture as JSON and the weights, beside it, as HDF5.

    Keras 3 takes ``.weights.h5`` for its own layout and every other ``.h5`` for the older one,
    which it reads but writes for whole models only. The weights are written in that older layout,
    so that plain Keras loads both files.

    Parameters
    ----------
    network : keras.Model
    reference : sentimental.speaker.Reference
    training : dict with ``corpora``, a list of those that trained, and ``held_out``, a fingerprint
        of the recordings of them that did not
    json_path : str or Path
    """
    with atomic_write(weights_path_of(json_path)) as partial, h5py.File(partial, "w") as file:
        file.attrs["backend"] = keras.backend.backend()
        file.attrs["keras_version"] = keras.__version__
        file.attrs["layer_names"] = np.array([layer.name for layer in network.layers], "S")
        for layer in network.layers:
            group = file.create_group(layer.name)
            paths = [f"{layer.name}/{weight.path}" for weight in layer.weights]
            group.attrs["weight_names"] = np.array(paths, "S")
            for path, weight in zip(paths, layer.get_weights(), strict=True):
                group.create_dataset(path, data=weight)
    # An older Keras 3 refuses settings that it does not know; those that are null say nothing.
    content = json.loads(
        network.to_json(), object_hook=lambda d: {k: v for k, v in d.items() if v is not None}
    )
    content["emotions"] = EMOTIONS
    content["chain"] = MODEL_CHAIN
    content["usual"] = {name: values.tolist() for name, values in vars(reference).items()}
    content["training"] = training
    content["checksum"] = model_checksum(content, network.get_weights())
    write_json(json_path, content)


def load_network(json_path):
    """The network that `save_model` wrote, and a dict as `read_model` returns it, with ``weights``.

    Its layers are built anew: what the JSON says of layers is for plain Keras, and not trusted.
    """
    content, weights = read_model(json_path)
    network = build_network(units=len(weights[1]))
    network.set_weights(weights)
    return network, content | {"weights": weights}
