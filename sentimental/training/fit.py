"""The fit of a network, what a stopped one leaves to go on with, and answers to recordings.

Importing this module loads TensorFlow, which takes seconds.
"""

import hashlib
import io
import time

import numpy as np

from sentimental.features import frames_to_features, summarize
from sentimental.files import atomic_write, set_aside
from sentimental.scripts import SentimentalError, check_stop
from sentimental.speaker import MODEL_CHAIN, N_STATISTICS, normalize
from sentimental.training.augment import standardize
from sentimental.training.dataset import AugmentedBatches
from sentimental.training.metrics import fit_temperature, one_hot
from sentimental.training.network import (
    TwoBranchModel,
    keras,
    merge_prior,
    merge_standardization,
    merge_temperature,
    silence_untrained,
    tf,
    unmerge_standardization,
)

# Clips that are recognized at once.
PREDICTION_BATCH = 512
# What is noted of each epoch.
HISTORY = ("loss", "accuracy", "val_loss", "val_accuracy", "seconds")


def fit(
    network,
    recordings,
    validation,
    settings,
    seed,
    checkpoint,
    name="",
    temperature=None,
    start=None,
):
    """Train a network, or go on with a training that was stopped.

    Emotions of which there is no recording are never answered by it.

    Parameters
    ----------
    network : keras.Model, of `build_network`; its weights become the trained ones
    recordings, validation : list of Recording
    settings : dict with ``training`` and ``augmentation``
    seed : int, of first weights, dropout and augmentation
    checkpoint : Path, of the file that a stopped training goes on with; a complete one leaves it
    name : str, what the progress lines begin with
    temperature : float or None; None fits it to the validation recordings
    start : dict or None, of `load_network`: the model whose weights it begins with

    Returns
    -------
    reference : sentimental.speaker.Reference
    history : dict with the lists ``loss``, ``accuracy``, ``val_loss`` and ``val_accuracy``, a value
        for each epoch; ``epoch_saved``, counted from 1; ``temperature``; ``seconds`` of training
    """
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
    training, augmentation = settings["training"], settings["augmentation"]
    reference = start and start["usual"]
    batches = AugmentedBatches(recordings, training, augmentation, seed, reference)
    nothing_heard = np.zeros((len(validation), N_STATISTICS))
    frames, summaries = recordings_to_inputs(validation, batches.reference, nothing_heard)
    inputs = [standardize(frames, batches.mean, batches.std), summaries]
    model = _compile_model(network, batches, training, start)
    model([part[:1] for part in inputs])  # builds it, so that its weights can be set
    options = settings, seed, [tuple(w.shape) for w in model.weights], start and start["checksum"]
    key = fingerprint([*recordings, *validation], *options)
    progress = Progress(model, checkpoint, key, batches, name)
    progress.run(training.epochs, (inputs, one_hot(validation)))
    if not progress.best:
        raise SentimentalError(f"{name}the loss was never a number; lower training.learning_rate")
    network.trainable = True
    weights = merge_prior(progress.best, training.expected() / model.prior)
    network.set_weights(silence_untrained(weights, batches.labels.any(axis=0)))
    if temperature is None:
        probabilities = network.predict(inputs, PREDICTION_BATCH, verbose=0)
        temperature = fit_temperature(validation, probabilities)
    weights = merge_standardization(network.get_weights(), batches.mean, batches.std)
    network.set_weights(merge_temperature(weights, temperature))
    history = progress.history | {"temperature": temperature}
    history["epoch_saved"] = int(np.nanargmin(history["val_loss"])) + 1
    return batches.reference, history | {"seconds": sum(history["seconds"])}


def _compile_model(network, batches, training, start):
    """The network as two branches, with optimizer and loss."""
    model = TwoBranchModel(network, training, batches.prior)
    if start:
        # Until something is learned it answers as that model does, but for the temperature.
        weights = unmerge_standardization(start["weights"], batches.mean, batches.std)
        weights = merge_temperature(weights, 1 / training.temperature)
        model.start_from(merge_prior(weights, model.prior / training.expected()))
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0,
        warmup_target=training.learning_rate,
        warmup_steps=training.warmup_epochs * len(batches),
        decay_steps=max(1, training.epochs - training.warmup_epochs) * len(batches),
    )
    model.compile(
        keras.optimizers.AdamW(
            schedule, weight_decay=training.weight_decay, global_clipnorm=training.grad_clip
        ),
        loss=keras.losses.CategoricalCrossentropy(label_smoothing=training.label_smoothing),
        metrics=["accuracy"],
    )
    model.optimizer.build(model.trainable_variables)
    return model


class Progress(keras.callbacks.Callback):
    """Draw the batches of each epoch; after it, print a line and save all that a resumed one needs.

    Keras' `ModelCheckpoint` and `BackupAndRestore` write into the file itself: a training that is
    stopped at that moment leaves a file that is cut, or weights of another epoch than noted beside
    them. Here everything is one file, which is whole or not at all, with a checksum at its end.
    """

    def __init__(self, model, path, fingerprint, batches, name):
        super().__init__()
        self.set_model(model)
        self.path, self.fingerprint, self.batches, self.name = path, fingerprint, batches, name
        # A value of each epoch, and the averaged weights with the lowest validation loss.
        self.history, self.best = {key: [] for key in HISTORY}, None

    def run(self, epochs, validation):
        """Fit the model for the epochs that are left."""
        self.model.fit(
            self.batches,
            shuffle=False,  # they are drawn in random order
            validation_data=validation,
            validation_batch_size=PREDICTION_BATCH,
            initial_epoch=self._resume(),
            epochs=epochs,
            verbose=0,
            callbacks=[self],
        )

    def _variables(self):
        variables = [*self.model.weights, *self.model.optimizer.variables]
        return {f"variable_{number}": variable for number, variable in enumerate(variables)}

    def _resume(self):
        """Set the weights that a stopped training left; returns how many epochs it had done."""
        if not (state := load_state(self.path, self.fingerprint, self.name)):
            return 0
        for key, variable in self._variables().items():
            variable.assign(state[key])
        self.history = {key: state[key].tolist() for key in HISTORY}
        if "best_0" in state:
            self.best = [state[f"best_{n}"] for n in range(len(self.model.average.weights))]
        n_done = len(self.history["loss"])
        print(f"{self.name}going on after epoch {n_done}")
        return n_done

    def on_epoch_begin(self, epoch, logs=None):
        """Draw what the epoch depends on from seed and epoch alone."""
        self.begin = time.monotonic()
        self.batches.draw_epoch(epoch)
        self.model.seed_dropout(self.batches.seed, epoch)

    def on_train_batch_end(self, batch, logs=None):
        """End here if a signal asks for it."""
        check_stop()

    def on_epoch_end(self, epoch, logs=None):
        """Print the line and save the state."""
        logs["seconds"] = time.monotonic() - self.begin
        epochs = self.params["epochs"]
        minutes, seconds = divmod(round(logs["seconds"] * (epochs - epoch - 1)), 60)
        print(
            f"{self.name}epoch {epoch + 1:3}/{epochs}  loss {logs['loss']:.3f}  validation: "
            f"loss {logs['val_loss']:.3f}, accuracy {logs['val_accuracy']:.3f}  "
            f"{minutes} min {seconds:02} s left",
            flush=True,
        )
        if logs["val_loss"] < np.nanmin([*self.history["val_loss"], np.inf]):
            self.best = self.model.average.get_weights()
        for key, values in self.history.items():
            values.append(float(logs[key]))
        values = {k: keras.ops.convert_to_numpy(v) for k, v in self._variables().items()}
        values |= {f"best_{n}": weight for n, weight in enumerate(self.best or [])}
        save_state(self.path, self.fingerprint, values | self.history)


def save_state(path, fingerprint, state):
    """Write a dict of arrays that a stopped run needs again, whole or not at all."""
    stream = io.BytesIO()
    np.savez(stream, fingerprint=fingerprint, **state)
    content = stream.getvalue()
    with atomic_write(path) as partial:
        partial.write_bytes(content + hashlib.sha256(content).digest())


def load_state(path, fingerprint, name=""):
    """What `save_state` wrote, or None; a file that is damaged is set aside, with a line."""
    if not path.exists():
        return None
    sealed = path.read_bytes()
    content, digest = sealed[:-32], sealed[-32:]
    if hashlib.sha256(content).digest() != digest:
        set_aside(path, name)
        return None
    state = dict(np.load(io.BytesIO(content)))
    if state["fingerprint"] != fingerprint:
        print(f"{name}{path}: of other recordings or settings; training starts anew")
        return None
    return state


def fingerprint(recordings, *settings):
    """All that a training depends on, as a hexadecimal string."""
    content = [MODEL_CHAIN, *settings, *((r.name, r.hash, r.condition) for r in recordings)]
    return hashlib.sha256(repr(content).encode()).hexdigest()


def recordings_to_inputs(recordings, reference, statistics):
    """What the network reads of recordings; frames are as long as the longest."""
    features, lengths = frames_to_features([recording.frames for recording in recordings])
    return normalize(features, lengths, summarize(features, lengths), statistics, reference)


def predict(network, reference, recordings, statistics=None):
    """Probabilities of the emotions in recordings, np.ndarray [shape=(n, 8)].

    `network` and `reference` are as `fit` leaves them; `statistics` [shape=(n, N_STATISTICS)] are
    of each voice's history; None: nothing.
    """
    if statistics is None:
        statistics = np.zeros((len(recordings), N_STATISTICS))
    order = np.argsort([len(recording.frames) for recording in recordings], kind="stable")
    probabilities = np.empty((len(recordings), network.output_shape[-1]))
    for start in range(0, len(order), PREDICTION_BATCH):  # of about the same length
        check_stop()
        chunk = order[start : start + PREDICTION_BATCH]
        inputs = recordings_to_inputs([recordings[i] for i in chunk], reference, statistics[chunk])
        probabilities[chunk] = network.predict([*inputs], PREDICTION_BATCH, verbose=0)
    return probabilities


def embed(network, reference, recordings, statistics):
    """What the dense layer reads of them, as `predict`; [shape=(n, units + N_SUMMARY)]."""
    read = network.get_layer("frames_and_summary").output
    return predict(keras.Model(network.inputs, read), reference, recordings, statistics)
