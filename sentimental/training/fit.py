"""Training by Keras: the fit of a network, and its answers to recordings.

Importing this module loads TensorFlow, which takes seconds.
"""

import time

import numpy as np

from sentimental.features import frames_to_features, summarize
from sentimental.model import build_network, import_keras
from sentimental.scripts import EMOTIONS, SentimentalError, check_stop
from sentimental.speaker import N_TALLY, measure
from sentimental.training.augment import standardize
from sentimental.training.checkpoint import (
    BEST,
    HISTORY,
    LATEST,
    Checkpoint,
    fingerprint,
    prepare_checkpoint,
    read_history,
)
from sentimental.training.dataset import AugmentedBatches
from sentimental.training.folding import (
    fold_prior,
    fold_standardization,
    fold_temperature,
    silence_untrained,
    unfold_standardization,
)
from sentimental.training.metrics import fit_temperature, one_hot
from sentimental.training.network import Learner

keras = import_keras()
import tensorflow as tf  # noqa: E402  (after Keras, which silences it)

# Clips that are recognized at once.
PREDICTION_BATCH = 512


class EpochLine(keras.callbacks.Callback):
    """Print one line an epoch, and note what the epoch took, in s.

    Parameters
    ----------
    name : str, what the line begins with
    """

    def __init__(self, name):
        super().__init__()
        self.name = name

    def on_epoch_begin(self, epoch, logs=None):
        """Start the clock."""
        self.start = time.monotonic()

    def on_epoch_end(self, epoch, logs=None):
        """Print the line."""
        logs["seconds"] = time.monotonic() - self.start
        epochs = self.params["epochs"]
        minutes, seconds = divmod(round(logs["seconds"] * (epochs - epoch - 1)), 60)
        print(
            f"{self.name}epoch {epoch + 1:3}/{epochs}  loss {logs['loss']:.3f}  validation: "
            f"loss {logs['val_loss']:.3f}, accuracy {logs['val_accuracy']:.3f}  "
            f"{minutes} min {seconds:02} s left",
            flush=True,
        )


def train(
    recordings,
    validation,
    training,
    augmentation,
    epochs,
    seed,
    checkpoint,
    name="",
    temperature=None,
    start=None,
):
    """Train the network, or go on with a training that was stopped.

    Emotions of which there is no recording are never answered by it.

    Parameters
    ----------
    recordings, validation : list of Recording
    training : Training
    augmentation : Augmentation
    epochs : int > 0
    seed : int, of first weights, dropout and augmentation
    checkpoint : Path
        Folder that a stopped training is resumed from. A finished training leaves it in place.
    name : str, what the progress lines begin with
    temperature : float or None; None fits it to the validation recordings
    start : dict or None
        The model whose weights it begins with, as `read_start` returns it; None: random ones.

    Returns
    -------
    network : keras.Model
    usual : sentimental.speaker.Usual
    history : dict with the lists ``loss``, ``accuracy``, ``val_loss`` and ``val_accuracy``, a value
        for each epoch; ``epoch_saved``, counted from 1; ``temperature``; ``seconds``, what the
        training took

    Raises
    ------
    SentimentalError
        When the loss was never a number, or there is another folder in the checkpoint's place.
    """
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()

    usual = start and start["usual"]
    batches = AugmentedBatches(recordings, training, augmentation, seed, usual)
    inputs, summaries = recordings_to_inputs(validation, batches.usual)
    validation_inputs = [standardize(inputs, batches.mean, batches.std), summaries]
    learner = Learner(training, batches.prior)
    expected = np.array([training.class_prior[emotion] for emotion in EMOTIONS])
    expected = expected**training.prior_strength
    if start:
        # Until something is learned it answers as that model does, but for the temperature.
        weights = unfold_standardization(start["weights"], batches.mean, batches.std)
        weights = fold_temperature(weights, 1 / training.temperature)
        learner.start_from(fold_prior(weights, learner.prior / expected))
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0,
        warmup_target=training.learning_rate,
        warmup_steps=training.warmup_epochs * len(batches),
        decay_steps=max(1, epochs - training.warmup_epochs) * len(batches),
    )
    learner.compile(
        keras.optimizers.AdamW(
            schedule, weight_decay=training.weight_decay, global_clipnorm=training.grad_clip
        ),
        loss=keras.losses.CategoricalCrossentropy(label_smoothing=training.label_smoothing),
        metrics=["accuracy"],
    )
    # This builds it, so that its weights can be restored.
    learner([part[:1] for part in validation_inputs])
    learner.optimizer.build(learner.trainable_variables)

    shapes = [tuple(weight.shape) for weight in learner.weights]
    options = training, augmentation, epochs, seed, shapes, start and start["checksum"]
    mark = fingerprint([*recordings, *validation], *options)
    prepare_checkpoint(checkpoint, mark, name)
    log, latest, best = (checkpoint / file for file in (HISTORY, LATEST, BEST))
    n_done, past = 0, []
    if latest.exists():
        learner.load_weights(latest)
        n_done = int(learner.optimizer.iterations) // len(batches)
        past = read_history(log)["val_loss"][:n_done]
        print(f"{name}going on after epoch {n_done}")

    def begin_epoch(epoch, logs):
        batches.draw_epoch(epoch)
        learner.seed_dropout(seed, epoch)

    learner.fit(
        batches,
        shuffle=False,  # they are drawn in random order
        validation_data=(validation_inputs, one_hot(validation)),
        validation_batch_size=PREDICTION_BATCH,
        initial_epoch=n_done,
        epochs=epochs,
        verbose=0,
        callbacks=[
            keras.callbacks.LambdaCallback(
                on_epoch_begin=begin_epoch, on_train_batch_end=lambda batch, logs: check_stop()
            ),
            EpochLine(name),
            keras.callbacks.CSVLogger(log, append=True),
            Checkpoint(best, latest, past),
        ],
    )

    if not best.exists():
        raise SentimentalError(f"{name}the loss was never a number; lower training.learning_rate")
    history = read_history(log)
    history["epoch_saved"] = int(np.nanargmin(history["val_loss"])) + 1
    history["seconds"] = sum(history["seconds"])
    network = build_network(training.units)
    network.load_weights(best)
    is_trained = one_hot(recordings).any(axis=0)
    weights = fold_prior(network.get_weights(), expected / learner.prior)
    network.set_weights(silence_untrained(weights, is_trained))
    if temperature is None:
        probabilities = network.predict(validation_inputs, PREDICTION_BATCH, verbose=0)
        temperature = fit_temperature(validation, probabilities)
    history["temperature"] = temperature
    weights = fold_standardization(network.get_weights(), batches.mean, batches.std)
    network.set_weights(fold_temperature(weights, temperature))
    return network, batches.usual, history


def recordings_to_inputs(recordings, usual, tallies=None):
    """What the network reads of recordings; frames are as long as the longest."""
    features, lengths = frames_to_features([recording.frames for recording in recordings])
    if tallies is None:
        tallies = np.zeros((len(recordings), N_TALLY))
    return measure(features, lengths, summarize(features, lengths), tallies, usual)


def predict_recordings(network, usual, recordings, tallies=None):
    """Probabilities of the emotions in recordings.

    Parameters
    ----------
    network : keras.Model
    usual : sentimental.speaker.Usual
    recordings : list of Recording
    tallies : np.ndarray [shape=(n, N_TALLY)], of what was heard before of each voice; None: nothing

    Returns
    -------
    probabilities : np.ndarray [shape=(n, 8)]
    """
    order = np.argsort([len(recording.frames) for recording in recordings], kind="stable")
    probabilities = np.empty((len(recordings), network.output_shape[-1]))
    for start in range(0, len(order), PREDICTION_BATCH):  # of about the same length
        check_stop()
        chunk = order[start : start + PREDICTION_BATCH]
        told = None if tallies is None else tallies[chunk]
        inputs = recordings_to_inputs([recordings[i] for i in chunk], usual, told)
        probabilities[chunk] = network.predict([*inputs], PREDICTION_BATCH, verbose=0)
    return probabilities


def embed_recordings(network, usual, recordings, tallies):
    """What the dense layer reads of recordings; np.ndarray [shape=(n, units + N_SUMMARY)].

    Parameters
    ----------
    network, usual, recordings, tallies : as for `predict_recordings`
    """
    read = network.get_layer("frames_and_summary").output
    return predict_recordings(keras.Model(network.inputs, read), usual, recordings, tallies)
