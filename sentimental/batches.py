"""The batches of a training: recordings drawn and augmented, and what each answer counts."""

from collections import Counter, defaultdict

import numpy as np

from sentimental.augment import augment, vtlp_matrices
from sentimental.base import SentimentalError
from sentimental.evaluate import one_hot
from sentimental.features import compute_inputs, pad
from sentimental.model import import_keras
from sentimental.spectrum import N_MELS, mfcc_to_mel

keras = import_keras()


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
        super().__init__(workers=2)  # with one worker, batches and steps take turns here
        self.recordings, self.seed = recordings, seed
        self.training, self.augmentation = training, augmentation
        self.labels = one_hot(recordings)
        self.clips, self.lengths = pad([recording["frames"] for recording in recordings])
        self.clips[..., :N_MELS] = mfcc_to_mel(self.clips[..., :N_MELS])
        inputs = compute_inputs(self.clips[..., :N_MELS], self.clips[..., N_MELS:], self.lengths)
        inputs = inputs[inputs.any(axis=-1)]
        self.mean = inputs.mean(axis=0, dtype=np.float64)
        self.std = inputs.std(axis=0, dtype=np.float64)
        self.matrices = vtlp_matrices(augmentation.vtlp)
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
        indices = rng.permutation(np.concatenate(drawn))
        if not len(indices):
            raise SentimentalError("training.epoch_share leaves no recording to train on")
        batch_size = self.training.batch_size
        self.batches = np.resize(indices, (max(1, len(indices) // batch_size), batch_size))
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
        # The epoch's own stream is that of number 0: NumPy pads a seed with zeros.
        rng = np.random.default_rng([self.seed, self.epoch, number + 1])
        inputs, weights = [], []
        for _ in range(self.training.n_peers):
            view, lengths = augment(
                self.clips[batch],
                self.lengths[batch],
                self.mean,
                self.std,
                self.matrices,
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
    weights = np.where((share >= training.first_frame_share) & (share <= 1), share, 0)
    weights *= training.frame_weight / weights.sum(axis=1, keepdims=True)
    weights[np.arange(len(lengths)), lengths - 1] += 1 - training.frame_weight
    return weights.astype(np.float32)
