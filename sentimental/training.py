"""Training by Keras: batches, networks that learn from each other, callbacks.

Importing this module loads TensorFlow, which takes seconds.
"""

import csv
import hashlib
import os
import shutil
import time
from collections import Counter, defaultdict

import h5py
import numpy as np

from sentimental.augment import augment, standardize, vtlp_matrices
from sentimental.base import EMOTIONS, SentimentalError
from sentimental.evaluate import fit_temperature, one_hot
from sentimental.features import CHAIN, compute_inputs, frames_to_inputs, pad
from sentimental.model import build_network, fold_standardization, fold_temperature, import_keras
from sentimental.spectrum import N_MELS, mfcc_to_mel

# The network's matrices are so small that threads which share them wait more than they work; the
# second core augments the next batch. TensorFlow reads this when it starts.
os.environ["TF_NUM_INTRAOP_THREADS"] = os.environ["TF_NUM_INTEROP_THREADS"] = "1"

keras = import_keras()
import tensorflow as tf  # noqa: E402  (after Keras, which silences it)

# Clips that are recognized at once.
PREDICTION_BATCH = 512


# Batches ----------------------------------------------------------------------------------------


class AugmentedBatches(keras.utils.PyDataset):
    """The batches of an epoch: recordings drawn, and changed anew each time they are drawn.

    Every batch depends on seed, epoch and its number alone, so a training that is resumed goes on
    with the batches that it would have had. Keras asks for the next one while a step is computed.

    Parameters
    ----------
    recordings : list of dict, as `sentimental.features.load_features` returns them
    training : Training
    augmentation : Augmentation
    seed : int

    Attributes
    ----------
    mean, std : np.ndarray [shape=(N_INPUTS,)], over all frames of the recordings
    """

    def __init__(self, recordings, training, augmentation, seed):
        super().__init__(workers=2)  # with one, Keras would draw and step by turns
        self.recordings, self.seed = recordings, seed
        self.training, self.augmentation = training, augmentation
        self.labels = one_hot(recordings)
        self.clips, self.lengths = pad([recording["frames"] for recording in recordings])
        self.clips[..., :N_MELS] = mfcc_to_mel(self.clips[..., :N_MELS])
        inputs = compute_inputs(self.clips[..., :N_MELS], self.clips[..., N_MELS:], self.lengths)
        inputs = inputs[inputs.any(axis=-1)]
        self.mean = inputs.mean(axis=0, dtype=np.float64)
        self.std = inputs.std(axis=0, dtype=np.float64)
        self.voices = vtlp_matrices(augmentation.vtlp)
        self.draw_epoch(0)

    def draw_epoch(self, epoch):
        """Draw the recordings of an epoch: of each corpus, every emotion as often.

        Where an emotion has fewer recordings than another, they come more than once.
        """
        rng = np.random.default_rng([self.seed, epoch])
        groups = defaultdict(list)
        for number, recording in enumerate(self.recordings):
            groups[recording["corpus"], recording["emotion"]].append(number)
        largest = Counter()
        for (corpus, _), members in groups.items():
            largest[corpus] = max(largest[corpus], len(members))
        share = self.training.epoch_share
        drawn = [
            np.resize(rng.permutation(members), round(share.get(corpus, 1.0) * largest[corpus]))
            for (corpus, _), members in sorted(groups.items())
        ]
        drawn = rng.permutation(np.concatenate(drawn))
        if not len(drawn):
            raise SentimentalError("training.epoch_share leaves no recording to train on")
        batch_size = self.training.batch_size
        self.batches = np.resize(drawn, (max(1, len(drawn) // batch_size), batch_size))
        self.epoch = epoch

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, number):
        """One batch, of which each peer has a view of its own.

        Returns
        -------
        inputs : np.ndarray [shape=(batch_size, n_peers, crop_frames, N_INPUTS), float32]
        labels : np.ndarray [shape=(batch_size, 8), float32]
        frame_weights : np.ndarray [shape=(batch_size, n_peers, crop_frames), float32]
        """
        batch = self.batches[number]
        rng = np.random.default_rng([self.seed, self.epoch, number])
        inputs, weights = [], []
        for _ in range(self.training.n_peers):
            view, lengths = augment(
                self.clips[batch],
                self.lengths[batch],
                self.mean,
                self.std,
                self.voices,
                self.augmentation,
                rng,
            )
            inputs.append(view)
            weights.append(frame_weights(lengths, view.shape[1], self.training))
        return np.stack(inputs, axis=1), self.labels[batch], np.stack(weights, axis=1)


def frame_weights(lengths, n_frames, training):
    """What the answer after each frame counts in the loss.

    An answer that is early learns, too, but counts less; the network is asked after the last frame.

    Parameters
    ----------
    lengths : np.ndarray of int [shape=(n,)], frames of each clip that are not padding
    n_frames : int
    training : Training

    Returns
    -------
    weights : np.ndarray [shape=(n, n_frames), float32]; the sum over a clip is 1
    """
    share = (np.arange(n_frames) + 1) / lengths[:, None]
    weights = np.where((share >= training.first_frame) & (share <= 1), share, 0)
    weights *= training.frame_weight / weights.sum(axis=1, keepdims=True)
    weights[np.arange(len(lengths)), lengths - 1] += 1 - training.frame_weight
    return weights.astype(np.float32)


# Networks that learn from each other ------------------------------------------------------------


class MutualLearning(keras.Model):
    """Networks that learn from the labels and from what all of them say on average.

    Each hears the recording in another way. They make different mistakes, so their mean is better
    than any of them, and it tells how much an emotion sounds like another, which labels do not.
    What validates, and is saved, is the moving average of the first one's weights.

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
        left = logs["seconds"] * (epochs - epoch - 1)
        print(
            f"{self.name}epoch {epoch + 1:3}/{epochs}  loss {logs['loss']:.3f}  validation: "
            f"loss {logs['val_loss']:.3f}, accuracy {logs['val_accuracy']:.3f}  "
            f"{left // 60:.0f} min {left % 60:02.0f} s left",
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
    checkpoint : Path, folder that a stopped training leaves, and a finished one as well
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
        When the loss was never a number.
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

    mark = fingerprint([*recordings, *validation], training, augmentation, epochs, seed)
    prepare_checkpoint(checkpoint, mark, name)
    log, best = checkpoint / "history.csv", checkpoint / "best.weights.h5"
    past = read_history(log)["val_loss"] if log.exists() else []
    if past:
        print(f"{name}going on after epoch {len(past)}")

    def begin_epoch(epoch, logs):
        batches.draw_epoch(epoch)
        learner.seed_dropout(seed, epoch)

    learner.fit(
        batches,
        shuffle=False,  # they are drawn in random order
        validation_data=(validation_inputs[:, None], one_hot(validation)),
        validation_batch_size=PREDICTION_BATCH,
        epochs=epochs,
        verbose=0,
        callbacks=[
            keras.callbacks.LambdaCallback(on_epoch_begin=begin_epoch),
            EpochLine(name),
            keras.callbacks.CSVLogger(log, append=True),
            keras.callbacks.ModelCheckpoint(
                best,
                monitor="val_loss",
                save_best_only=True,
                save_weights_only=True,
                initial_value_threshold=np.nanmin([*past, np.inf]),
            ),
            # The last one: what it has saved is not done again.
            keras.callbacks.BackupAndRestore(checkpoint / "backup", delete_checkpoint=False),
        ],
    )

    if not best.exists():
        raise SentimentalError("the loss was never a number; lower training.learning_rate")
    learner.load_weights(best)
    history = read_history(log)
    history["epoch_saved"] = int(np.nanargmin(history["val_loss"])) + 1
    history["seconds"] = sum(history["seconds"])
    network = build_network(training.units)
    network.set_weights(learner.average.get_weights())
    if temperature is None:
        probabilities = network.predict(validation_inputs, PREDICTION_BATCH, verbose=0)
        temperature = fit_temperature(probabilities, validation)
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


# What a stopped training leaves -----------------------------------------------------------------


def fingerprint(recordings, *settings):
    """All that a training depends on, as a hexadecimal string."""
    content = [CHAIN, *settings, *((r["file"], r["hash"], r["condition"]) for r in recordings)]
    return hashlib.sha256(repr(content).encode()).hexdigest()


def prepare_checkpoint(folder, mark, name=""):
    """Keep what a stopped training of the same fingerprint left, and clear what any other left.

    Parameters
    ----------
    folder : Path
    mark : str, of `fingerprint`
    name : str, what the line that is printed begins with
    """
    told = folder / "fingerprint.txt"
    if folder.exists():
        try:
            if told.read_text() != mark:
                raise ValueError("of other recordings or settings")
            for path in folder.rglob("*.h5"):
                h5py.File(path).close()
            return
        except (OSError, ValueError) as error:
            print(f"{name}{folder}: {error}; training starts anew")
            shutil.rmtree(folder)
    folder.mkdir(parents=True)
    told.write_text(mark)


def read_history(path):
    """What `keras.callbacks.CSVLogger` wrote, as a dict of lists with a value for each epoch."""
    with open(path, newline="") as stream:
        # An epoch whose backup did not come to an end is there twice, and is the same both times.
        rows = {int(row["epoch"]): row for row in csv.DictReader(stream)}
    names = ("loss", "accuracy", "val_loss", "val_accuracy", "seconds")
    return {name: [float(row[name]) for row in rows.values()] for name in names}
