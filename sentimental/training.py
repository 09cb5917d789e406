"""Training by Keras: what is trained, and the fit of it.

Importing this module loads TensorFlow, which takes seconds.
"""

import time

import numpy as np

from sentimental.augment import standardize
from sentimental.base import EMOTIONS, SentimentalError
from sentimental.batches import AugmentedBatches
from sentimental.checkpoint import (
    BEST,
    HISTORY,
    LATEST,
    Checkpoint,
    fingerprint,
    prepare_checkpoint,
    read_history,
)
from sentimental.evaluate import fit_temperature, one_hot
from sentimental.features import N_INPUTS, N_SUMMARY, frames_to_features, summarize
from sentimental.model import build_network, fold_standardization, fold_temperature, import_keras
from sentimental.voice import N_TALLY, measure

keras = import_keras()
import tensorflow as tf  # noqa: E402  (after Keras, which silences it)

# Clips that are recognized at once.
PREDICTION_BATCH = 512


# What is trained --------------------------------------------------------------------------------


class Learner(keras.Model):
    """The network in its training: frames and summary answer apart, and learn from each other.

    The LSTM layers answer after each frame, and a linear layer answers from the summary. Their
    errors differ, so their mean is better than each, and it tells how similar two emotions sound,
    which labels do not [1]_. The network that is saved adds their logits: its dense layer is both
    of theirs, side by side. What validates, and is saved, is the moving average of the weights.

    Some emotions are rare in what is drawn, because few corpora have them. Each part is trained
    with the frequency of the emotions added to its logits [2]_, so that the logits themselves say
    how much a recording speaks for an emotion; in the network that is saved the frequency counts
    once, and not once for each part.

    Keras' `SwapEMAWeights` is of no use for the latter: it swaps by adding and subtracting, which
    rounds, so that a training that was stopped and resumed would end with other weights.

    Parameters
    ----------
    training : Training
    prior : np.ndarray [shape=(8,)], share of each emotion in what is drawn

    Attributes
    ----------
    frames_part, summary_part : keras.Sequential
    average : keras.Model

    References
    ----------
    .. [1] Y. Zhang et al., "Deep mutual learning", CVPR 2018
    .. [2] A. K. Menon et al., "Long-tail learning via logit adjustment", ICLR 2021
    """

    def __init__(self, training, prior):
        super().__init__()
        self.training = training
        # No emotion is thought to be so rare that a recording can hardly speak for it.
        self.prior = np.maximum(prior, training.least_prior).astype(np.float32)
        self.frames_part = keras.Sequential(
            [
                keras.Input((None, N_INPUTS)),
                keras.layers.Masking(),
                keras.layers.LSTM(training.units, return_sequences=True),
                keras.layers.LSTM(
                    training.units, return_sequences=True, dropout=training.layer_dropout
                ),
                keras.layers.Dropout(training.output_dropout),
                keras.layers.Dense(len(EMOTIONS), activation="softmax"),
            ]
        )
        self.summary_part = keras.Sequential(
            [
                keras.Input((N_SUMMARY,)),
                keras.layers.Dropout(training.summary_dropout),
                keras.layers.Dense(len(EMOTIONS), activation="softmax", kernel_initializer="zeros"),
            ]
        )
        self.average = build_network(training.units)
        self.average.trainable = False
        self.average.set_weights(self.joined_weights())

    def joined_weights(self):
        """Weights of both parts as one network, as `build_network` has them."""
        *lstm_weights, frames_kernel, frames_bias = self.frames_part.weights
        summary_kernel, summary_bias = self.summary_part.weights
        kernel = keras.ops.concatenate([frames_kernel, summary_kernel], axis=0)
        bias = frames_bias + summary_bias + np.log(self.prior)
        return [*lstm_weights, kernel, bias]

    def seed_dropout(self, seed, epoch):
        """Let what dropout leaves out depend on seed and epoch alone.

        Keras does not save where its random generators stand, and a training that is resumed would
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
        (inputs, summaries), labels, frame_weights = batch
        answer = self.descend(inputs, summaries, labels, frame_weights)
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(self.compute_loss(y=labels, y_pred=answer))
            else:
                metric.update_state(labels, answer)
        return {metric.name: metric.result() for metric in self.metrics}

    # Keras does not compile a model with XLA where results must be the same each time; what is
    # compiled here has no operation that could make them differ.
    @tf.function(jit_compile=True)
    def descend(self, inputs, summaries, labels, frame_weights):
        """Update all weights; returns the answers before that, [shape=(n, 8)]."""
        training = self.training
        smooth = (1 - training.label_smoothing) * labels + training.label_smoothing / len(EMOTIONS)
        with tf.GradientTape() as tape:
            # In halves: XLA makes of one recurrent loop a program that takes three times as long
            # as that of two loops over half of the clips each.
            halves = [self.frames_part(half, training=True) for half in tf.split(inputs, 2)]
            of_frames = tf.concat(halves, axis=0)
            of_frames = _expect(of_frames, self.prior)
            of_summary = _expect(self.summary_part(summaries, training=True), self.prior)
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
        for average, weight in zip(self.average.weights, self.joined_weights(), strict=True):
            average.assign(decay * average + (1 - decay) * weight)
        joined = of_frames[:, -1] * of_summary / self.prior  # which both count
        return joined / tf.reduce_sum(joined, axis=1, keepdims=True)


def _expect(answers, prior):
    """Answers as they are where emotions are as frequent as `prior` says."""
    weighted = answers * prior
    return weighted / tf.reduce_sum(weighted, axis=-1, keepdims=True)


def _cross_entropy(targets, answers):
    return -tf.reduce_sum(targets * tf.math.log(answers + 1e-7), axis=-1)


# Training ---------------------------------------------------------------------------------------


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
):
    """Train the network, or go on with a training that was stopped.

    Parameters
    ----------
    recordings, validation : list of dict, as `sentimental.storage.load_features` returns them
    training : Training
    augmentation : Augmentation
    epochs : int > 0
    seed : int, of first weights, dropout and augmentation
    checkpoint : Path
        Folder that a stopped training is resumed from. A finished training leaves it in place.
    name : str, what the progress lines begin with
    temperature : float or None; None fits it to the validation recordings

    Returns
    -------
    network : keras.Model
    usual : sentimental.voice.Usual
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

    batches = AugmentedBatches(recordings, training, augmentation, seed)
    inputs, summaries = recordings_to_inputs(validation, batches.usual)
    validation_inputs = [standardize(inputs, batches.mean, batches.std), summaries]
    learner = Learner(training, batches.prior)
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
    options = training, augmentation, epochs, seed, shapes
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
            keras.callbacks.LambdaCallback(on_epoch_begin=begin_epoch),
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
    if temperature is None:
        probabilities = network.predict(validation_inputs, PREDICTION_BATCH, verbose=0)
        temperature = fit_temperature(validation, probabilities)
    history["temperature"] = temperature
    weights = fold_standardization(network.get_weights(), batches.mean, batches.std)
    network.set_weights(fold_temperature(weights, temperature))
    return network, batches.usual, history


def recordings_to_inputs(recordings, usual, tallies=None):
    """What the network reads of recordings; frames are as long as the longest."""
    features, lengths = frames_to_features([recording["frames"] for recording in recordings])
    if tallies is None:
        tallies = np.zeros((len(recordings), N_TALLY))
    return measure(features, lengths, summarize(features, lengths), tallies, usual)


def predict_recordings(network, usual, recordings, tallies=None):
    """Probabilities of the emotions in recordings.

    Parameters
    ----------
    network : keras.Model
    usual : sentimental.voice.Usual
    recordings : list of dict
    tallies : np.ndarray [shape=(n, N_TALLY)], of what was heard before of each voice; None: nothing

    Returns
    -------
    probabilities : np.ndarray [shape=(n, 8)]
    """
    order = np.argsort([len(recording["frames"]) for recording in recordings], kind="stable")
    probabilities = np.empty((len(recordings), len(EMOTIONS)))
    for start in range(0, len(order), PREDICTION_BATCH):  # of about the same length
        chunk = order[start : start + PREDICTION_BATCH]
        told = None if tallies is None else tallies[chunk]
        inputs = recordings_to_inputs([recordings[i] for i in chunk], usual, told)
        probabilities[chunk] = network.predict([*inputs], PREDICTION_BATCH, verbose=0)
    return probabilities
