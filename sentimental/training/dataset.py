"""The batches of a training: recordings drawn and augmented, and what each answer counts."""

from collections import defaultdict

import numpy as np

from sentimental.features import add_slopes, pad, summarize
from sentimental.scripts import SentimentalError
from sentimental.speaker import STATISTICS, compute_statistics, normalize
from sentimental.spectrum import N_MELS, mfcc_to_mel
from sentimental.training.augment import add_jitter, augment, mask_time, standardize
from sentimental.training.histories import (
    draw_history,
    feature_chunks,
    find_reference,
    find_same_voice,
    voice_of,
)
from sentimental.training.metrics import one_hot
from sentimental.training.network import keras


class AugmentedBatches(keras.utils.PyDataset):
    """The batches of an epoch: recordings drawn, and changed anew each time they are drawn.

    Every batch depends on seed, epoch and its number alone, so a training that is resumed goes on
    with the batches that it would have had.

    Parameters
    ----------
    recordings : list of Recording
    training : Training
    augmentation : Augmentation
    seed : int
    reference : sentimental.speaker.Reference or None; None finds that of the recordings

    Attributes
    ----------
    reference : sentimental.speaker.Reference
    mean, std : np.ndarray [shape=(N_INPUTS,)], over all frames of the recordings
    prior : np.ndarray [shape=(8,)], share of each emotion in what is drawn
    priors : np.ndarray [shape=(n, 8), float32], what is expected of each recording
    """

    def __init__(self, recordings, training, augmentation, seed, reference=None):
        super().__init__(workers=2)  # with one worker, batches and steps take turns here
        self.recordings, self.seed = recordings, seed
        self.training, self.augmentation = training, augmentation
        self.labels = one_hot(recordings)
        clips = (recording.frames for recording in recordings)
        self.clips = [np.hstack([mfcc_to_mel(c[:, :N_MELS]), c[:, N_MELS:]]) for c in clips]
        statistics, moments = [], []
        for features, lengths in feature_chunks(recordings):
            statistics.append(compute_statistics(features, lengths, summarize(features, lengths)))
            inputs = add_slopes(features, lengths).astype(np.float64)
            moments.append([inputs.sum(axis=(0, 1)), (inputs**2).sum(axis=(0, 1))])
        self.statistics = np.concatenate(statistics)
        n_frames = self.statistics[:, STATISTICS["n_frames"]].sum()
        self.mean, mean_square = np.sum(moments, axis=0) / n_frames
        self.std = np.sqrt(np.maximum(mean_square - self.mean**2, 1e-9))
        voices = [voice_of(recording) for recording in recordings]
        self.same_voice = find_same_voice(voices)
        self.reference = reference or find_reference(self.statistics, voices)
        self.draw_epoch(0)
        self.prior = self.labels[self.batches.ravel()].mean(axis=0)
        names, corpus = np.unique([r.corpus for r in recordings], return_inverse=True)
        has = np.stack([self.labels[corpus == n].any(axis=0) for n in range(len(names))])
        own = has / has.sum(axis=1, keepdims=True)  # `draw_epoch` draws them so
        priors = training.shared_prior * self.prior + (1 - training.shared_prior) * own
        self.priors = np.maximum(priors, training.least_prior)[corpus].astype(np.float32)

    def draw_epoch(self, epoch):
        """Draw the recordings of an epoch: of each corpus its share, every emotion as often.

        Where there are fewer recordings than are drawn, they come more than once.
        """
        rng = np.random.default_rng([self.seed, epoch])
        groups = defaultdict(list)
        for number, recording in enumerate(self.recordings):
            groups[recording.corpus, recording.emotion].append(number)
        corpora = [corpus for corpus, _ in groups]
        odds = self.training.corpus_odds
        shares = {
            (corpus, emotion): odds.get(corpus, 1.0) / corpora.count(corpus)
            for corpus, emotion in sorted(groups)
        }
        n_drawn = self.training.steps_per_epoch * self.training.batch_size
        if not sum(shares.values()):
            raise SentimentalError("training.corpus_odds leaves no recording to train on")
        per_share = n_drawn / sum(shares.values())
        drawn = [
            np.resize(rng.permutation(groups[group]), int(np.ceil(share * per_share)))
            for group, share in shares.items()
        ]
        indices = rng.permutation(np.concatenate(drawn))[:n_drawn]
        self.batches = indices.reshape(-1, self.training.batch_size)
        self.epoch = epoch

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, number):
        """One batch: (inputs, summaries, priors), labels, weights of frames, all of float32."""
        batch = self.batches[number]
        # The epoch's own stream is that of number 0: NumPy pads a seed with zeros.
        rng = np.random.default_rng([self.seed, self.epoch, number + 1])
        clips, lengths = pad([self.clips[index] for index in batch])
        features, lengths = augment(clips, lengths, self.augmentation, rng)
        # The voice's earlier recordings went through the same voice, microphone and room.
        summaries = summarize(features, lengths)
        changed, before = compute_statistics(features, lengths, summaries), self.statistics[batch]
        frame_shift = _mean_features(changed) - _mean_features(before)
        shift = frame_shift, summaries - before[:, STATISTICS["summaries"]]
        histories = np.stack([self._draw_history(index, rng) for index in batch])
        inputs, summaries = normalize(
            features, lengths, summaries, histories, self.reference, shift
        )
        inputs = add_jitter(standardize(inputs, self.mean, self.std), self.augmentation, rng)
        inputs = mask_time(inputs, lengths, self.augmentation, rng)
        weights = frame_weights(lengths, inputs.shape[1], self.training)
        return (inputs, summaries, self.priors[batch]), self.labels[batch], weights

    def _draw_history(self, number, rng):
        """Statistics of earlier recordings of the voice; of none in a share of the cases."""
        n = int(rng.integers(1, self.training.max_history, endpoint=True))
        if rng.random() < self.training.no_history_prob:
            n = 0
        return self.statistics[draw_history(number, self.same_voice[number], n, rng)].sum(axis=0)


def _mean_features(statistics):
    return statistics[:, STATISTICS["features"]] / statistics[:, STATISTICS["n_frames"]]


def frame_weights(lengths, n_frames, training):
    """What the answer after each frame counts in the loss, [shape=(n, n_frames), float32].

    The sum over a clip is 1. Early answers learn, too, but count less than the one after the last
    frame, for which the network is asked.
    """
    share = (np.arange(n_frames) + 1) / lengths[:, None]
    weights = np.where((share >= training.first_frame_share) & (share <= 1), share, 0)
    weights *= training.frame_weight / weights.sum(axis=1, keepdims=True)
    weights[np.arange(len(lengths)), lengths - 1] += 1 - training.frame_weight
    return weights.astype(np.float32)
