"""What is trained: two parts that answer apart and learn from each other.

Importing this module loads TensorFlow, which takes seconds.
"""

import numpy as np

from sentimental.features import N_INPUTS, N_SUMMARY
from sentimental.model import build_network, import_keras
from sentimental.scripts import EMOTIONS

keras = import_keras()
import tensorflow as tf  # noqa: E402  (after Keras, which silences it)


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

    def start_from(self, weights):
        """Begin with a network that was joined of both parts, in the place of random weights.

        How its bias was shared by the two cannot be told; each gets half of it. An emotion that did
        not train it begins with none.
        """
        *lstm_weights, kernel, bias = weights
        bias = np.where(kernel.any(axis=0), bias, 0)
        half = (bias - np.log(self.prior)) / 2
        self.frames_part.set_weights([*lstm_weights, kernel[: self.training.units], half])
        self.summary_part.set_weights([kernel[self.training.units :], half])
        self.average.set_weights(self.joined_weights())

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
