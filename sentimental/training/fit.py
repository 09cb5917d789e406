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
from sentimental.speaker import MODEL_CHAIN, N_STATISTICS, answer_offset, normalize
from sentimental.training.augment import standardize
from sentimental.training.dataset import AugmentedBatches
from sentimental.training.metrics import one_hot
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


def fit(network, recordings, validation, settings, seed, checkpoint, name="", start=None):
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
    start : dict or None, of `load_network`: the model whose weights it begins with

    Returns
    -------
    reference : sentimental.speaker.Reference
    history : dict with the lists ``loss``, ``accuracy``, ``val_loss`` and ``val_accuracy``, a value
        for each epoch; ``epoch_saved``, counted from 1; ``seconds`` of training
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
    validated = inputs, one_hot(validation)
    model = _compile_model(network, batches, training, start)
    model([part[:1] for part in inputs])  # builds it, so that its weights can be set
    options = settings, seed, [tuple(w.shape) for w in model.weights], start and start["checksum"]
    key = fingerprint([*recordings, *validation], *options)
    history, best = _run_epochs(model, batches, validated, checkpoint, key, name)
    if not best:
        raise SentimentalError(f"{name}the loss was never a number; lower training.learning_rate")
    network.trainable = True
    weights = merge_prior(best, training.expected() / model.prior)
    weights = silence_untrained(weights, batches.labels.any(axis=0))
    weights = merge_standardization(weights, batches.mean, batches.std)
    network.set_weights(merge_temperature(weights, training.temperature))
    history["seconds"] = sum(history["seconds"])
    history["epoch_saved"] = int(np.nanargmin(history["val_loss"])) + 1
    return batches.reference, history


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


def _run_epochs(model, batches, validation, path, key, name):
    """Fit a model for the epochs that are left; after each, save all that a resumed one needs.

    Keras' `ModelCheckpoint` and `BackupAndRestore` write into the file itself: a training that is
    stopped at that moment leaves a file that is cut, or weights of another epoch than noted beside
    them. Here everything is one file, which is whole or not at all, with a checksum at its end.

    Returns
    -------
    history : dict of list, a value of each epoch for each of ``HISTORY``
    best : list of np.ndarray, the averaged weights with the lowest validation loss; empty where
        that was never a number
    """
    history, best, epochs = {figure: [] for figure in HISTORY}, [], model.training.epochs
    variables = [*model.weights, *model.optimizer.variables]
    if state := load_state(path, key, name):
        for number, variable in enumerate(variables):
            variable.assign(state[f"variable_{number}"])
        history = {figure: state[figure].tolist() for figure in HISTORY}
        best = [state[part] for part in state if part.startswith("best_")]
        print(f"{name}going on after epoch {len(history['loss'])}")
    stopping = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: check_stop())
    for epoch in range(len(history["loss"]), epochs):
        begin = time.monotonic()
        batches.draw_epoch(epoch)  # from seed and epoch alone, as what dropout leaves out
        model.seed_dropout(batches.seed, epoch)
        fitted = model.fit(
            batches,
            shuffle=False,  # they are drawn in random order
            validation_data=validation,
            validation_batch_size=PREDICTION_BATCH,
            verbose=0,
            callbacks=[stopping],
        )
        figures = {figure: values[0] for figure, values in fitted.history.items()}
        figures["seconds"] = time.monotonic() - begin
        minutes, seconds = divmod(round(figures["seconds"] * (epochs - epoch - 1)), 60)
        print(
            f"{name}epoch {epoch + 1:3}/{epochs}  loss {figures['loss']:.3f}  validation: "
            f"loss {figures['val_loss']:.3f}, accuracy {figures['val_accuracy']:.3f}  "
            f"{minutes} min {seconds:02} s left",
            flush=True,
        )
        if figures["val_loss"] < np.nanmin([*history["val_loss"], np.inf]):
            best = model.average.get_weights()
        for figure, values in history.items():
            values.append(float(figures[figure]))
        state = {f"variable_{n}": variable.numpy() for n, variable in enumerate(variables)}
        state |= {f"best_{n}": weight for n, weight in enumerate(best)}
        save_state(path, key, state | history)
    return history, best


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


def predict_after(network, reference, recordings, statistics, histories):
    """The same after others of each voice were heard.

    `statistics` are of each recording, as of `recording_statistics`, and `histories` have the
    places of these others, as of `draw_histories`.
    """
    heard = np.stack([statistics[history].sum(axis=0) for history in histories])
    answers = predict(network, reference, recordings, heard) * np.exp(-answer_offset(heard))
    return answers / answers.sum(axis=1, keepdims=True)


def embed(network, reference, recordings, statistics):
    """What the dense layer reads of them, as `predict`; [shape=(n, units + N_SUMMARY)]."""
    read = network.get_layer("frames_and_summary").output
    return predict(keras.Model(network.inputs, read), reference, recordings, statistics)
