"""Training by Keras: networks that learn from each other, and the fit of them.

Importing this module loads TensorFlow, which takes seconds.
"""

import time

import numpy as np

from sentimental.augment import standardize
from sentimental.base import EMOTIONS, SentimentalError
from sentimental.batches import AugmentedBatches
from sentimental.checkpoint import Checkpoint, fingerprint, prepare_checkpoint, read_history
from sentimental.evaluate import fit_temperature, one_hot
from sentimental.features import frames_to_inputs
from sentimental.model import build_network, fold_standardization, fold_temperature, import_keras

keras = import_keras()
import tensorflow as tf  # noqa: E402  (after Keras, which silences it)

# Clips that are recognized at once.
PREDICTION_BATCH = 512


# Networks that learn from each other ------------------------------------------------------------


class MutualLearning(keras.Model):
    """Networks that learn from the labels and from what all of them say on average.

    Each hears the recording augmented in its own way. Their errors differ, so their mean is better
    than each, and it tells how similar two emotions sound, which labels do not. What validates, and
    is saved, is the moving average of the first one's weights.

    Keras' `SwapEMAWeights` is of no use for the latter: it swaps by adding and subtracting, which
    rounds, so that a training that was stopped and resumed would end with other weights.

    Parameters
    ----------
    training : Training

    Attributes
    ----------
    peers : list of keras.Sequential
    average : keras.Sequential

    References
    ----------
    .. [1] Y. Zhang et al., "Deep mutual learning", CVPR 2018
    .. [2] R. Anil et al., "Large scale distributed neural network training through online
       distillation", ICLR 2018
    """

    def __init__(self, training):
        super().__init__()
        self.training = training
        self.peers = [
            build_network(training.units, True, training.layer_dropout, training.output_dropout)
            for _ in range(training.n_peers)
        ]
        self.average = build_network(training.units)
        self.average.set_weights(self.peers[0].get_weights())
        self.average.trainable = False

    def seed_dropout(self, seed, epoch):
        """Let what dropout leaves out depend on seed and epoch alone.

        Keras does not save where its random generators stand, and a training that is resumed would
        draw otherwise.
        """
        states = [v for v in self.non_trainable_variables if "seed_generator" in v.path]
        for number, state in enumerate(states):
            state.assign([len(states) * seed + number, epoch << 16])  # and one more each time

    def call(self, inputs):
        """Probabilities [shape=(n, 8)] of the average, which hears the first view."""
        return self.average(inputs[:, 0])

    def train_step(self, batch):
        """One step of gradient descent; returns the metrics of the first peer before it."""
        inputs, labels, frame_weights = batch
        answer = self.descend(inputs, labels, frame_weights)
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(self.compute_loss(y=labels, y_pred=answer))
            else:
                metric.update_state(labels, answer)
        return {metric.name: metric.result() for metric in self.metrics}

    # Keras does not compile a model with XLA where results must be the same each time; what is
    # compiled here has no operation that could make them differ.
    @tf.function(jit_compile=True)
    def descend(self, inputs, labels, frame_weights):
        """Update all weights; returns the first peer's answers before that, [shape=(n, 8)]."""
        training = self.training
        smooth = (1 - training.label_smoothing) * labels + training.label_smoothing / len(EMOTIONS)
        with tf.GradientTape() as tape:
            answers = [peer(inputs[:, i], training=True) for i, peer in enumerate(self.peers)]
            mean = tf.add_n([answer[:, -1] for answer in answers]) / len(self.peers)
            mutual = training.mutual_weight
            soft_targets = (1 - mutual) * smooth + mutual * tf.stop_gradient(mean)
            loss = 0.0
            for i, answer in enumerate(answers):
                losses = -tf.reduce_sum(soft_targets[:, None] * tf.math.log(answer + 1e-7), axis=2)
                loss += tf.reduce_mean(tf.reduce_sum(frame_weights[:, i] * losses, axis=1))
        variables = self.trainable_variables
        gradients = tape.gradient(loss, variables)
        self.optimizer.apply_gradients(zip(gradients, variables, strict=True))

        # In the first steps the average forgets faster, or the first weights would stay for long.
        step = tf.cast(self.optimizer.iterations, tf.float32)
        decay = tf.minimum(training.ema_decay, (1 + step) / (10 + step))
        for average, weight in zip(self.average.weights, self.peers[0].weights, strict=True):
            average.assign(decay * average + (1 - decay) * weight)
        return answers[0][:, -1]


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
    recordings, validation : list of dict, as `sentimental.features.load_features` returns them
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
    network : keras.Sequential, reads inputs as `sentimental.features.frames_to_inputs` makes them
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
    validation_inputs = standardize(recordings_to_inputs(validation), batches.mean, batches.std)
    learner = MutualLearning(training)
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
    learner(validation_inputs[:1, None])  # builds it, so that its weights can be restored
    learner.optimizer.build(learner.trainable_variables)

    mark = fingerprint([*recordings, *validation], training, augmentation, epochs, seed)
    prepare_checkpoint(checkpoint, mark, name)
    log, latest, best = (
        checkpoint / file for file in ("history.csv", "latest.weights.h5", "best.weights.h5")
    )
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
        validation_data=(validation_inputs[:, None], one_hot(validation)),
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
    return network, history


def recordings_to_inputs(recordings):
    """What the network reads, as long as the longest; [shape=(n, n_frames, N_INPUTS)]."""
    clips = [recording["frames"] for recording in recordings]
    return frames_to_inputs(clips, max(map(len, clips)))


def predict_recordings(network, recordings):
    """Probabilities of the emotions in recordings; returns np.ndarray [shape=(n, 8)]."""
    return network.predict(recordings_to_inputs(recordings), PREDICTION_BATCH, verbose=0)
