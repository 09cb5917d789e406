"""Train the emotion network on the features that preprocess.py wrote.

    python train_model.py data/features.json              train, and write model8723 and results/
    python train_model.py data/features.json --evaluate   the figures of the saved model again
    python train_model.py data/features.json --protocol speaker --seeds 5

The network: masking of the padding, two LSTM layers of 64 units, a dense softmax over the eight
emotions. What trains and what tests is the protocol:

    random        recordings held out at random, 8.7 % to validate and 3.8 % to test; the model that
                  is saved is of this protocol. Its speakers are trained on, so the figures flatter.
                  With --seeds N: N such splits, validation and test pooled
    speaker       RAVDESS in 5 folds of actors: a voice never heard
    tess-speaker  one TESS actress and RAVDESS train, the other actress tests, both ways
    corpus        RAVDESS trains and TESS tests, and the other way, without calm: another room,
                  another microphone, other voices

Protocol random writes model8723.json (architecture) and model8723_weights.h5 (weights), and in
results/ metrics.json, loss.png, accuracy.png and confusion_matrix.png. The others, and random with
--seeds, train one network for each fold and seed, side by side on all cores, and write
results/PROTOCOL.json, PROTOCOL.png (confusion matrix) and PROTOCOL_reliability.png. A training that
was stopped goes on where it was when the same command is given again.

How much noise costs is measured with features that preprocess.py --condition made of the same
recordings:

    python preprocess.py data/RAVDESS --condition babble --output data/babble.json
    python train_model.py data/features.json --protocol speaker --conditions data/babble.json
"""

import argparse
import ast
import hashlib
import importlib
import json
import os
import platform
import shlex
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed

import sentimental
from sentimental import EMOTIONS, N_FEATURES, N_MELS, SAMPLE_RATE, SentimentalError

# The network's matrices are so small that threads which share them wait more than they work.
# TensorFlow reads this when it starts.
os.environ["TF_NUM_INTRAOP_THREADS"] = os.environ["TF_NUM_INTEROP_THREADS"] = "1"

# Split (protocol "random")
HELD_OUT_SHARE = 0.125  # of all recordings
TEST_SHARE = 0.304  # of those held out; the others validate
SPLIT_SEED = 1

# Folds (protocol "speaker"): actors of RAVDESS that test, and actors that validate
ACTOR_FOLDS = [
    ({2, 5, 14, 15, 16}, {3, 6}),
    ({3, 6, 7, 13, 18}, {10, 11}),
    ({10, 11, 12, 19, 20}, {8, 17}),
    ({8, 17, 21, 23, 24}, {1, 14}),
    ({1, 4, 9, 22}, {2, 5}),
]
VALIDATION_SHARE = 0.1  # of the training side, where the protocol names no validation recordings

# Network
UNITS = 64  # of each LSTM layer
LAYER_DROPOUT = 0.1  # share of the first layer's outputs that the second does not see
OUTPUT_DROPOUT = 0.1  # the same before the dense layer

# Training
# More are of use to recognise known voices only.
EPOCHS = {"random": 110, "speaker": 40, "tess-speaker": 25, "corpus": 35}
BATCH_SIZE = 32  # clips
CROP_FRAMES = 80  # of a longer clip, a part of this length is drawn; one length, so one compilation
LEARNING_RATE = 3e-3  # at its highest, after the warm-up
WARMUP_EPOCHS = 1
WEIGHT_DECAY = 1e-2
GRADIENT_NORM = 1.0  # longer gradients are shortened to it
LABEL_SMOOTHING = 0.1
N_COMMITTEE = 2  # networks that learn together; the first is the one that is saved
COMMITTEE_WEIGHT = 0.5  # of their mean answer in what each of them learns; labels are the rest
FRAME_WEIGHT = 0.3  # of the answers before the last frame in the loss, the later the more,
FIRST_FRAME = 0.25  # from this share of a clip on; before that nobody could tell
# Of the moving average over the weights. Of its state after each epoch, the one with the lowest
# validation loss is saved.
AVERAGE_MOMENTUM = 0.995
EPOCH_SHARE = {"TESS": 0.25}  # of a corpus, drawn anew for each epoch; TESS is learnt very soon

# Probabilities. In protocol "speaker" a temperature that divides the logits is fitted to the
# validation actors. Elsewhere the voices that validate also train, and tell nothing of strangers;
# there the mean of protocol "speaker" is used:
TEMPERATURE = 0.73
N_BINS = 15  # of the calibration error

# Augmentation, drawn anew for each clip and epoch
END_FRAMES = 5  # at either end are left out, at most
STRETCH = 0.2  # speech gets up to so much faster or slower
WARP = 0.1  # and unevenly so, by up to this share of its length
VOCAL_TRACT = 0.2  # pitch and formants move up or down by a factor of up to e to this power
OCTAVES = 62.5 * 2.0 ** np.arange(8)  # Hz; the octaves that a microphone colours:
OCTAVE_DB = 3.0  # dB; standard deviation of its gain in each
TILT_DB = 1.5  # dB an octave, at most, by which the whole spectrum leans to one side
CONTRAST = 0.3  # louder and softer get up to e to this power as far from each other, or as close
TELEPHONE_SHARE = 0.15  # of the clips go through a telephone,
TELEPHONE_LOW, TELEPHONE_HIGH = (150, 400), (3000, 4500)  # Hz, where its band begins and ends
TELEPHONE_DB = 24  # dB an octave beyond that
ROOM_SHARE = 0.3  # of the clips are echoed by a room,
REVERBERATION = (0.1, 0.6)  # s until the echo has lost 60 dB
ECHO_DB = (-12.0, 0.0)  # dB, all of the echo against the direct sound
NOISE_SHARE = 0.3  # of the clips have steady noise,
NOISE_TILT_DB = (-6.0, 0.0)  # dB an octave: brown to white
BABBLE_SHARE = 0.4  # of the clips, other than those, have other voices (with them, 1 at most),
BABBLE_VOICES = (2, 7)  # at least so many, and fewer than so many
SNR = (3.0, 25.0)  # dB, of noise and of other voices
GAIN_DB = 2.0  # dB, standard deviation of the level: how high its peak is, is chance
JITTER = 0.1  # standard deviations of noise on each feature, on average over the clips
N_TIME_MASKS, TIME_MASK = 2, 10  # gaps, frames at most

ALMOST_ZERO = 1e-3  # what a gap is filled with: zeros would be masked as padding
CHECKPOINT_SECONDS = 10  # s between two checkpoints at least


# Data -------------------------------------------------------------------------------------------


def split_random(n_recordings, seed=SPLIT_SEED):
    """Indices of the training, validation and test recordings of protocol "random".

    Parameters
    ----------
    n_recordings : int, recordings sorted by corpus and file name
    seed : int

    Returns
    -------
    train, validation, test : np.ndarray of int; 3,710, 368 and 162 of the 4,240 of both corpora
    """
    from sklearn.model_selection import train_test_split

    train, held_out = train_test_split(
        np.arange(n_recordings), test_size=HELD_OUT_SHARE, random_state=seed
    )
    validation, test = train_test_split(held_out, test_size=TEST_SHARE, random_state=seed)
    return train, validation, test


def protocol_folds(protocol, recordings, seed=SPLIT_SEED):
    """What trains, validates and tests in each fold of a protocol.

    Parameters
    ----------
    protocol : str, "random", "speaker", "tess-speaker" or "corpus"
    recordings : list of dict, as `sentimental.load_features` returns them, sorted by corpus and
        file name
    seed : int, of the split of protocol "random"; the folds of the others are always the same

    Returns
    -------
    folds : list of (train, validation, test), each a list of dict

    Raises
    ------
    SentimentalError
        When a protocol other than "random" lacks a corpus or some of its speakers.
    """
    from sklearn.model_selection import train_test_split

    if protocol == "random":
        parts = split_random(len(recordings), seed)
        return [tuple([recordings[index] for index in part] for part in parts)]

    tess = [recording for recording in recordings if recording["corpus"] == "TESS"]
    ravdess = [recording for recording in recordings if recording["corpus"] == "RAVDESS"]
    if not ravdess or (not tess and protocol != "speaker"):
        lacking = "TESS" if ravdess else "RAVDESS"
        raise SentimentalError(f"protocol {protocol} needs recordings of {lacking}")
    if protocol == "speaker":

        def of(actors):
            return [recording for recording in ravdess if int(recording["speaker"]) in actors]

        everyone = {int(recording["speaker"]) for recording in ravdess}
        folds = [
            (of(everyone - test - validation), of(validation), of(test))
            for test, validation in ACTOR_FOLDS
        ]
        if not all(part for fold in folds for part in fold):
            raise SentimentalError(f"protocol {protocol} needs all 24 actors of RAVDESS")
        return folds
    if protocol == "tess-speaker":
        actresses = ("OAF", "YAF")
        if {recording["speaker"] for recording in tess} != {*actresses}:
            raise SentimentalError(f"protocol {protocol} needs both actresses of TESS")
        sides = [
            (
                ravdess + [recording for recording in tess if recording["speaker"] != actress],
                [recording for recording in tess if recording["speaker"] == actress],
            )
            for actress in actresses
        ]
    else:
        shared = [recording for recording in ravdess if recording["emotion"] != "calm"]
        sides = [(shared, tess), (tess, shared)]
    return [
        (*train_test_split(side, test_size=VALIDATION_SHARE, random_state=SPLIT_SEED), test)
        for side, test in sides
    ]


def features_of(recordings):
    """What the network reads; np.ndarray [shape=(n, n_frames, N_FEATURES)] of the longest."""
    clips = [recording["frames"] for recording in recordings]
    return sentimental.features_of(clips, max(map(len, clips)))


def one_hot(recordings):
    """Emotions as np.ndarray [shape=(n, 8), float32]."""
    numbers = [EMOTIONS.index(recording["emotion"]) for recording in recordings]
    return np.eye(len(EMOTIONS), dtype=np.float32)[numbers]


# Augmentation -----------------------------------------------------------------------------------


def warp_time(clips, lengths, rng):
    """Cut the ends, and resample every clip on a time axis that runs otherwise, and unevenly.

    Parameters
    ----------
    clips : np.ndarray [shape=(n, n_frames, d)]
    lengths : np.ndarray of int [shape=(n,)], frames of each clip that are not padding
    rng : np.random.Generator

    Returns
    -------
    warped : np.ndarray [shape=(n, CROP_FRAMES, d)]; after its end, a clip's last frame goes on
    lengths : np.ndarray of int [shape=(n,)]
    """
    n = len(clips)
    most = np.minimum(END_FRAMES, lengths // 8)
    first, last = rng.integers(0, most + 1), lengths - 1 - rng.integers(0, most + 1)
    speed = np.log1p(STRETCH)
    stretched = np.round((last - first + 1) * np.exp(rng.uniform(-speed, speed, n)))
    new_lengths = np.clip(stretched, 2, CROP_FRAMES).astype(int)
    share = np.minimum(1, CROP_FRAMES / stretched)  # of a long clip that is used,
    start = rng.random(n) * (1 - share)  # and where it begins
    place = np.minimum(np.arange(CROP_FRAMES) / (new_lengths - 1)[:, None], 1)
    for waves in (1, 2):
        place = place + rng.uniform(-WARP, WARP, (n, 1)) / 2 * np.sin(waves * np.pi * place)
    place = np.clip(place, 0, 1) * share[:, None] + start[:, None]
    place = first[:, None] + place * (last - first)[:, None]
    before = np.minimum(place.astype(int), (lengths - 2)[:, None])
    weight = (place - before)[..., None].astype(np.float32)
    rows = np.arange(n)[:, None]
    return clips[rows, before] * (1 - weight) + clips[rows, before + 1] * weight, new_lengths


def vocal_tract_matrices(n_factors=33):
    """Matrices that turn a speaker's mel spectrum into that of a higher or a lower voice.

    Returns
    -------
    matrices : np.ndarray [shape=(n_factors, N_MELS, N_MELS), float32]; mel @ matrix

    References
    ----------
    .. [1] N. Jaitly, G. E. Hinton, "Vocal Tract Length Perturbation (VTLP) improves speech
       recognition", ICML Workshop on Deep Learning for Audio, Speech and Language, 2013
    """
    centres, _ = sentimental.mel_bands()
    bands = np.arange(N_MELS)
    matrices = np.zeros((n_factors, N_MELS, N_MELS), np.float32)
    factors = np.exp(np.linspace(-VOCAL_TRACT, VOCAL_TRACT, n_factors))
    for matrix, factor in zip(matrices, factors, strict=True):
        source = np.interp(centres * factor, centres, bands)
        before = np.minimum(source.astype(int), N_MELS - 2)
        matrix[before, bands] = 1 - (source - before)
        matrix[before + 1, bands] = source - before
    return matrices


def draw_colours(n, octave_db, tilt_db, rng):
    """Random smooth curves over the mel bands; np.ndarray [shape=(n, 1, N_MELS), float32], dB."""
    centres, _ = sentimental.mel_bands()
    octave = np.arange(len(OCTAVES))
    gains = rng.normal(0, octave_db, (n, len(OCTAVES)))
    gains += rng.uniform(*tilt_db, (n, 1)) * (octave - len(octave) / 2)
    place = np.interp(np.log(centres), np.log(OCTAVES), octave)
    gains_to_mel = np.maximum(0, 1 - np.abs(place - octave[:, None]))  # linear between octaves
    return (gains @ gains_to_mel)[:, None].astype(np.float32)


def through_telephone(mel, rng):
    """Lower what lies outside of a telephone's band; mel in dB."""
    centres, _ = sentimental.mel_bands()
    low, high = (rng.uniform(*limits, (len(mel), 1)) for limits in (TELEPHONE_LOW, TELEPHONE_HIGH))
    octaves = np.log2(np.maximum(low / centres, 1)) + np.log2(np.maximum(centres / high, 1))
    return mel - (TELEPHONE_DB * octaves)[:, None].astype(np.float32)


def add_echo(power, rng):
    """Let the power of each frame die away as a room does, instead of ending."""
    n = len(power)
    hop_seconds = sentimental.HOP_LENGTH / SAMPLE_RATE
    decay = 10 ** (-6 * hop_seconds / rng.uniform(*REVERBERATION, (n, 1)))
    strength = 10 ** (rng.uniform(*ECHO_DB, (n, 1)) / 10) * (1 - decay)
    echoed, echo = power.copy(), np.zeros_like(power[:, 0])
    for frame in range(1, power.shape[1]):
        echo = decay * echo + strength * power[:, frame - 1]
        echoed[:, frame] += echo
    return echoed


def draw_noise(n, n_frames, rng):
    """Steady noise of random colours; np.ndarray [shape=(n, n_frames, N_MELS)], power."""
    colour = 10 ** (draw_colours(n, OCTAVE_DB, NOISE_TILT_DB, rng) / 10)
    chance = rng.standard_gamma(4, (n, n_frames, N_MELS), np.float32) / 4  # in each band and frame
    return colour * chance


def draw_babble(n, power, lengths, rng):
    """Several clips of the batch at once, each at a random moment of it; as `draw_noise`."""
    _, widths = sentimental.mel_bands()
    babble = np.zeros((n, *power.shape[1:]), np.float32)
    n_voices = rng.integers(*BABBLE_VOICES, n)
    for voice in range(BABBLE_VOICES[1] - 1):
        other = rng.integers(0, len(power), n)
        frame = np.arange(power.shape[1]) + rng.integers(0, power.shape[1], (n, 1))
        heard = power[other[:, None], frame % lengths[other, None]]
        heard /= np.maximum((heard @ widths).sum(axis=1), 1e-9)[:, None, None]  # all as loud
        babble += heard * (voice < n_voices)[:, None, None]
    return babble


def change_recording(mel, others, lengths, matrices, rng):
    """Clips as other speakers, microphones and rooms would have made them, in noise or babble.

    All of it happens in the mel spectrum, where powers add: what is heard of two sounds at once
    is nearly the sum of their powers.

    Parameters
    ----------
    mel : np.ndarray [shape=(n, n_frames, N_MELS), float32], dB
    others : np.ndarray [shape=(n, n_frames, 2), float32], RMS and zero-crossing rate
    lengths : np.ndarray of int [shape=(n,)], frames of each clip that are not padding
    matrices : np.ndarray, as `vocal_tract_matrices` returns them
    rng : np.random.Generator

    Returns
    -------
    mel, others : np.ndarray of the same shapes

    References
    ----------
    .. [1] S. O. Rice, "Mathematical analysis of random noise", Bell System Technical Journal 24,
       1945: squares of zero-crossing rates add, weighted by power
    """
    n, n_frames, _ = mel.shape
    centres, widths = sentimental.mel_bands()
    crossings = widths * (2 * centres / SAMPLE_RATE) ** 2  # power @ crossings = level * ZCR^2
    is_speech = (np.arange(n_frames) < lengths[:, None])[..., None]
    before = 10 ** (mel / 10) * is_speech
    level_before = np.maximum(before @ widths, 1e-10)

    mel = mel @ matrices[rng.integers(0, len(matrices), n)]
    mel = mel + draw_colours(n, OCTAVE_DB, (-TILT_DB, TILT_DB), rng)
    loudest = np.where(is_speech, mel, -np.inf).max(axis=(1, 2), keepdims=True)
    contrast = np.exp(rng.uniform(-CONTRAST, CONTRAST, (n, 1, 1))).astype(np.float32)
    mel = loudest + contrast * (mel - loudest)
    called = rng.random(n) < TELEPHONE_SHARE
    mel[called] = through_telephone(mel[called], rng)
    speech = 10 ** (mel / 10) * is_speech
    echoes = rng.random(n) < ROOM_SHARE
    speech[echoes] = add_echo(speech[echoes], rng) * is_speech[echoes]

    kind = rng.random(n)
    noisy, among_others = kind < NOISE_SHARE, kind > 1 - BABBLE_SHARE
    noise = np.zeros_like(speech)
    noise[noisy] = draw_noise(noisy.sum(), n_frames, rng)
    noise[among_others] = draw_babble(among_others.sum(), speech, lengths, rng)
    noise *= is_speech
    speech_level = speech @ widths
    ratio = 10 ** (-rng.uniform(*SNR, n) / 10) * speech_level.sum(axis=1)
    noise *= (ratio / np.maximum((noise @ widths).sum(axis=1), 1e-12))[:, None, None]

    power = speech + noise
    level = power @ widths
    rms, zcr = np.moveaxis(others, -1, 0)
    # The square of RMS gains as much power as the mel spectrum, whose scale is another.
    scale = (rms**2 * is_speech[..., 0]).sum(axis=1) / level_before.sum(axis=1)
    rms = np.sqrt(rms**2 * speech_level / level_before + scale[:, None] * (noise @ widths))
    speech_crossings = zcr**2 * level_before
    speech_crossings *= (speech @ crossings) / np.maximum(before @ crossings, 1e-12)
    zcr = np.sqrt((speech_crossings + noise @ crossings) / np.maximum(level, 1e-10))
    # The chain levels the peak after all that.
    gain = 10 * np.log10(level_before.max(axis=1) / level.max(axis=1))
    gain = (gain + rng.normal(0, GAIN_DB, n))[:, None]
    mel = 10 * np.log10(np.maximum(power, 1e-10)) + gain[..., None]
    others = np.stack([rms * 10 ** (gain / 20), np.minimum(zcr, 1)], axis=-1)
    return mel.astype(np.float32), others


def hide(features, lengths, rng):
    """Replace a few gaps in time by the mean of all frames (SpecAugment's time masks).

    Parameters
    ----------
    features : np.ndarray [shape=(n, n_frames, d), float32], standardised: the mean is zero
    lengths : np.ndarray of int [shape=(n,)], frames of each clip that are not padding
    rng : np.random.Generator

    References
    ----------
    .. [1] D. S. Park et al., "SpecAugment: A Simple Data Augmentation Method for Automatic Speech
       Recognition", Interspeech 2019
    """
    n, n_frames, _ = features.shape
    frame = np.arange(n_frames)
    for _ in range(N_TIME_MASKS):
        width = rng.integers(0, TIME_MASK + 1, n)
        start = (rng.random(n) * np.maximum(lengths - width, 1)).astype(int)
        hidden = (frame >= start[:, None]) & (frame < np.minimum(start + width, lengths)[:, None])
        features = np.where(hidden[..., None], np.float32(ALMOST_ZERO), features)
    return features


def augment(clips, lengths, mean, std, matrices, rng):
    """Features of a batch of clips as other speakers and recordings would give them.

    Parameters
    ----------
    clips : np.ndarray [shape=(n, n_frames, N_MELS + 2), float32], mel spectrum, RMS and ZCR
    lengths : np.ndarray of int [shape=(n,)], frames of each clip that are not padding
    mean, std : np.ndarray [shape=(N_FEATURES,)], over all frames of training
    matrices : np.ndarray, as `vocal_tract_matrices` returns them
    rng : np.random.Generator

    Returns
    -------
    features : np.ndarray [shape=(n, CROP_FRAMES, N_FEATURES), float32], standardised, zeros after
        each clip
    lengths : np.ndarray of int [shape=(n,)]
    """
    clips, lengths = warp_time(clips, lengths, rng)
    mel, others = np.ascontiguousarray(clips[..., :N_MELS]), clips[..., N_MELS:]
    mel, others = change_recording(mel, others, lengths, matrices, rng)
    features = standardise(sentimental.make_features(mel, others, lengths), mean, std)
    strength = 2 * JITTER * rng.random((len(clips), 1, 1), np.float32)
    noise = strength * rng.standard_normal(features.shape, np.float32)
    features += noise * features.any(axis=-1, keepdims=True)
    return hide(features, lengths, rng), lengths


# Network ----------------------------------------------------------------------------------------


def build_network(training=False):
    """The network: (n, n_frames, N_FEATURES) features to (n, 8) probabilities.

    While it is trained it answers after each frame, (n, n_frames, 8), and has dropout. Its weights
    are the same, so that the one that is saved holds nothing but the layers of prediction.
    """
    keras = sentimental.import_keras()
    layers = [
        keras.Input((None, N_FEATURES)),
        keras.layers.Masking(name="masking"),
        keras.layers.LSTM(UNITS, return_sequences=True, name="lstm_1"),
        keras.layers.LSTM(
            UNITS,
            dropout=LAYER_DROPOUT if training else 0.0,
            return_sequences=training,
            name="lstm_2",
        ),
    ]
    if training:
        layers.append(keras.layers.Dropout(OUTPUT_DROPOUT))
    layers.append(keras.layers.Dense(len(EMOTIONS), activation="softmax", name="emotions"))
    return keras.Sequential(layers)


def fold_standardisation(weights, mean, std):
    """Weights that read features as they are, from weights trained on standardised ones.

    ``((x - mean) / std) @ kernel + bias`` is ``x @ (kernel / std) + bias - (mean / std) @ kernel``.

    Parameters
    ----------
    weights : list of np.ndarray; the first is the kernel of the first layer, the third its bias
    mean, std : np.ndarray [shape=(N_FEATURES,)]

    Returns
    -------
    weights : list of np.ndarray
    """
    kernel, recurrent_kernel, bias, *others = weights
    return [kernel / std[:, None], recurrent_kernel, bias - (mean / std) @ kernel, *others]


def fit_temperature(probabilities, recordings):
    """The temperature of the softmax that makes the true emotions of `recordings` most probable.

    Parameters
    ----------
    probabilities : np.ndarray [shape=(n, 8)], at temperature 1
    recordings : list of dict

    Returns
    -------
    temperature : float; above 1 the network was too sure of itself

    References
    ----------
    .. [1] C. Guo et al., "On calibration of modern neural networks", ICML 2017
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    logits = np.log(np.maximum(probabilities, 1e-12))
    true = one_hot(recordings).astype(bool)
    fitted = minimize_scalar(
        lambda log_t: -np.mean(log_softmax(logits / np.exp(log_t), axis=1)[true]),
        bounds=(-1.5, 1.5),
        method="bounded",
    )
    return float(np.exp(fitted.x))


def standardise(features, mean, std):
    """Standardised features; padding stays zero."""
    speech = features.any(axis=-1, keepdims=True)
    return np.where(speech, (features - np.float32(mean)) / np.float32(std), np.float32(0))


# Training ---------------------------------------------------------------------------------------


def fingerprint(recordings, epochs, seed):
    """What a training depends on, as a string: a checkpoint of another training is not used."""
    settings = {k: v for k, v in globals().items() if k.isupper() and k != "TEMPERATURE"}
    content = [sorted(settings.items(), key=lambda item: item[0]), sentimental.CHAIN, epochs, seed]
    content += [(r["file"], r["hash"], r["condition"]) for r in recordings]
    return hashlib.sha256(repr(content).encode()).hexdigest()


def save_checkpoint(path, state, arrays):
    """Write the state of a training in one file, whole or not at all."""
    with sentimental.whole_file(path) as partial, open(partial, "wb") as stream:
        numbered = {f"array_{number:03}": array for number, array in enumerate(arrays)}
        np.savez(stream, state=json.dumps(state), **numbered)


def load_checkpoint(path, expected_fingerprint):
    """State and arrays of a training that was stopped, or None when there is none to go on with."""
    try:
        with np.load(path, allow_pickle=False) as file:
            state = json.loads(str(file["state"]))
            arrays = [file[name] for name in sorted(file.files) if name != "state"]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError) as error:
        print(f"{path}: cannot be read ({error}); training starts anew")
        return None
    if state["fingerprint"] != expected_fingerprint:
        print(f"{path}: of a training with other recordings or settings; training starts anew")
        return None
    return state, arrays


def epoch_batches(recordings, rng):
    """Draw the recordings of one epoch: of each corpus, every emotion as often.

    Where an emotion has fewer recordings than another, they come more than once.

    Returns
    -------
    batches : np.ndarray of int [shape=(n_batches, BATCH_SIZE)]
    """
    groups = defaultdict(list)
    for number, recording in enumerate(recordings):
        groups[recording["corpus"], recording["emotion"]].append(number)
    largest = Counter()
    for (corpus, _), members in groups.items():
        largest[corpus] = max(largest[corpus], len(members))
    drawn = [
        np.resize(rng.permutation(members), round(EPOCH_SHARE.get(corpus, 1.0) * largest[corpus]))
        for (corpus, _), members in sorted(groups.items())
    ]
    drawn = rng.permutation(np.concatenate(drawn))
    n_batches = max(1, len(drawn) // BATCH_SIZE)
    return np.resize(drawn, (n_batches, BATCH_SIZE))


def frame_weights(lengths):
    """What the answer after each frame counts in the loss; np.ndarray [shape=(n, CROP_FRAMES)].

    An answer that is early learns, too, but counts less; the network is asked after the last frame.
    """
    share = (np.arange(CROP_FRAMES) + 1) / lengths[:, None]
    weights = np.where((share >= FIRST_FRAME) & (share <= 1), share, 0)
    weights *= FRAME_WEIGHT / weights.sum(axis=1, keepdims=True)
    weights[np.arange(len(lengths)), lengths - 1] += 1 - FRAME_WEIGHT
    return weights.astype(np.float32)


def compile_step(committee, optimizers):
    """One step of gradient descent as a compiled function of (features, frame weights, emotions).

    Each network learns from the labels and from what all of them say on average, each hearing the
    recording in another way. They make different mistakes, so their mean is better than any of
    them, and it tells how much an emotion sounds like another, which labels do not.

    Parameters
    ----------
    committee : list of keras.Sequential
    optimizers : list of keras.optimizers.Optimizer, one for each

    Returns
    -------
    step : callable
        Features are an array [shape=(len(committee), n, CROP_FRAMES, N_FEATURES)], the weights of
        their frames too. It returns loss and accuracy of the first network before the step.

    References
    ----------
    .. [1] Y. Zhang et al., "Deep mutual learning", CVPR 2018
    .. [2] R. Anil et al., "Large scale distributed neural network training through online
       distillation", ICLR 2018
    """
    import tensorflow as tf

    @tf.function(jit_compile=True)
    def step(inputs, frame_weights, targets):
        smooth = (1 - LABEL_SMOOTHING) * targets + LABEL_SMOOTHING / len(EMOTIONS)
        weights = [network.trainable_variables for network in committee]
        with tf.GradientTape() as tape:
            answers = [network(inputs[i], training=True) for i, network in enumerate(committee)]
            mean = tf.add_n([answer[:, -1] for answer in answers]) / len(committee)
            goal = (1 - COMMITTEE_WEIGHT) * smooth + COMMITTEE_WEIGHT * tf.stop_gradient(mean)
            total = 0.0
            for i, answer in enumerate(answers):
                losses = -tf.reduce_sum(goal[:, None] * tf.math.log(answer + 1e-7), axis=2)
                total += tf.reduce_mean(tf.reduce_sum(frame_weights[i] * losses, axis=1))
        for gradients, optimizer, own in zip(
            tape.gradient(total, weights), optimizers, weights, strict=True
        ):
            optimizer.apply_gradients(zip(gradients, own, strict=True))
        last = answers[0][:, -1]
        loss = tf.reduce_mean(-tf.reduce_sum(smooth * tf.math.log(last + 1e-7), axis=1))
        hits = tf.equal(tf.argmax(last, axis=1), tf.argmax(targets, axis=1))
        return loss, tf.reduce_mean(tf.cast(hits, tf.float32))

    return step


def train(recordings, validation, epochs, seed, checkpoint, name="", temperature=None):
    """Train the network, or go on with a training that was stopped.

    Parameters
    ----------
    recordings, validation : list of dict, as `sentimental.load_features` returns them
    epochs : int > 0
    seed : int, of first weights, dropout and of augmentation
    checkpoint : Path, file that a stopped training leaves
    name : str, what the progress lines begin with
    temperature : float or None; None fits it to the validation recordings

    Returns
    -------
    network : keras.Sequential, reads features as `sentimental.extract_features` returns them
    history : dict with the lists ``loss``, ``accuracy``, ``val_loss`` and ``val_accuracy``, a value
        for each epoch; ``epoch_saved``, counted from 1; ``temperature``; ``seconds``, what the
        training took
    """
    keras = sentimental.import_keras()
    import tensorflow as tf

    tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(seed)

    clips, lengths = sentimental.pad([recording["frames"] for recording in recordings])
    clips[..., :N_MELS] = sentimental.to_mel(clips[..., :N_MELS])
    features = sentimental.make_features(clips[..., :N_MELS], clips[..., N_MELS:], lengths)
    features = features[features.any(axis=-1)]
    mean, std = features.mean(axis=0, dtype=np.float64), features.std(axis=0, dtype=np.float64)
    del features
    matrices = vocal_tract_matrices()
    emotions = one_hot(recordings)
    validation_features = standardise(features_of(validation), mean, std)
    validation_emotions = one_hot(validation)

    loss = keras.losses.CategoricalCrossentropy(label_smoothing=LABEL_SMOOTHING)
    n_batches = len(epoch_batches(recordings, np.random.default_rng(0)))
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0,
        warmup_target=LEARNING_RATE,
        warmup_steps=WARMUP_EPOCHS * n_batches,
        decay_steps=max(1, epochs - WARMUP_EPOCHS) * n_batches,
    )
    committee, optimizers = [], []
    for _ in range(N_COMMITTEE):
        committee.append(build_network(training=True))
        optimizers.append(
            keras.optimizers.AdamW(
                schedule, weight_decay=WEIGHT_DECAY, global_clipnorm=GRADIENT_NORM
            )
        )
        optimizers[-1].build(committee[-1].trainable_variables)
    learner = committee[0]
    network = build_network()  # holds the moving average of the learner's weights
    network.compile(loss=loss, metrics=["accuracy"])

    step = compile_step(committee, optimizers)
    average = best = learner.get_weights()
    history = {name: [] for name in ("loss", "accuracy", "val_loss", "val_accuracy")}

    # all that a resumed training needs
    variables = [variable for one in (*committee, *optimizers) for variable in one.variables]
    mark = fingerprint([*recordings, *validation], epochs, seed)
    first_epoch, n_steps, seconds_before = 0, 0, 0.0
    resumed = load_checkpoint(checkpoint, mark)
    if resumed:
        state, arrays = resumed
        for variable, array in zip(variables, arrays, strict=False):
            variable.assign(array)
        average, best = arrays[-2 * len(average) : -len(average)], arrays[-len(average) :]
        history, n_steps, seconds_before = state["history"], state["n_steps"], state["seconds"]
        first_epoch = len(history["loss"])
        print(f"{name}going on after epoch {first_epoch}")

    start = saved = time.monotonic()
    for epoch in range(first_epoch, epochs):
        rng = np.random.default_rng([seed, epoch])
        figures = []
        for batch in epoch_batches(recordings, rng):
            views = [
                augment(clips[batch], lengths[batch], mean, std, matrices, rng)
                for _ in range(N_COMMITTEE)
            ]
            inputs = np.stack([features for features, _ in views])
            weights = np.stack([frame_weights(drawn_lengths) for _, drawn_lengths in views])
            figures.append(step(inputs, weights, emotions[batch]))
            n_steps += 1
            momentum = min(AVERAGE_MOMENTUM, (1 + n_steps) / (10 + n_steps))
            average = [
                momentum * old + (1 - momentum) * new
                for old, new in zip(average, learner.get_weights(), strict=True)
            ]
        network.set_weights(average)
        figures_validation = network.evaluate(
            validation_features, validation_emotions, batch_size=512, verbose=0
        )
        values = (*np.mean(figures, axis=0), *figures_validation)
        for quantity, value in zip(history, values, strict=True):
            history[quantity].append(float(value))
        if history["val_loss"][-1] == min(history["val_loss"]):
            best = average
        seconds = time.monotonic() - start
        left = seconds / (epoch + 1 - first_epoch) * (epochs - epoch - 1)
        print(
            f"{name}epoch {epoch + 1:3}/{epochs}  loss {history['loss'][-1]:.3f}  validation: "
            f"loss {history['val_loss'][-1]:.3f}, accuracy {history['val_accuracy'][-1]:.3f}  "
            f"{left // 60:.0f} min {left % 60:02.0f} s left",
            flush=True,
        )
        if time.monotonic() - saved > CHECKPOINT_SECONDS:
            state = {
                "fingerprint": mark,
                "history": history,
                "n_steps": n_steps,
                "seconds": seconds_before + seconds,
            }
            save_checkpoint(checkpoint, state, [*(v.numpy() for v in variables), *average, *best])
            saved = time.monotonic()
    history["epoch_saved"] = int(np.argmin(history["val_loss"])) + 1
    history["seconds"] = seconds_before + time.monotonic() - start
    network.set_weights(best)
    if temperature is None:
        found = network.predict(validation_features, batch_size=512, verbose=0)
        temperature = fit_temperature(found, validation)
    history["temperature"] = temperature
    *others, kernel, bias = fold_standardisation(best, mean, std)
    network.set_weights([*others, kernel / temperature, bias / temperature])
    return network, history


# Figures ----------------------------------------------------------------------------------------


def recognise(network, recordings):
    """Probabilities of the emotions in recordings; returns np.ndarray [shape=(n, 8)]."""
    return network.predict(features_of(recordings), batch_size=512, verbose=0)


def reliability(recordings, probabilities):
    """How often the most probable emotion is the true one, by how probable it is.

    Returns
    -------
    bins : list of (n, confidence, accuracy), for each of the ``N_BINS`` equal parts of 0 to 1 that
        is not empty
    error : float, expected calibration error: mean distance of the two over all clips

    References
    ----------
    .. [1] C. Guo et al., "On calibration of modern neural networks", ICML 2017
    """
    confidence = probabilities.max(axis=1)
    hit = probabilities.argmax(axis=1) == one_hot(recordings).argmax(axis=1)
    number = np.minimum((confidence * N_BINS).astype(int), N_BINS - 1)
    bins = [
        (int(here.sum()), float(confidence[here].mean()), float(hit[here].mean()))
        for here in (number == one for one in np.unique(number))
    ]
    error = sum(n * abs(sure - right) for n, sure, right in bins) / len(recordings)
    return bins, error


def measure(recordings, probabilities):
    """Accuracy, unweighted average recall, recall of each emotion and calibration error.

    Parameters
    ----------
    recordings : list of dict
    probabilities : np.ndarray [shape=(len(recordings), 8)], as `recognise` returns them

    Returns
    -------
    figures : dict with ``n``, ``accuracy``, ``uar``, ``recall`` (dict by emotion),
        ``calibration_error`` and ``confusion`` (8 rows of counts: row is the true emotion, column
        the recognised one)
    """
    from sklearn.metrics import confusion_matrix

    true, found = one_hot(recordings).argmax(axis=1), np.argmax(probabilities, axis=1)
    confusion = confusion_matrix(true, found, labels=range(len(EMOTIONS)))
    recall = {
        emotion: float(confusion[number, number] / confusion[number].sum())
        for number, emotion in enumerate(EMOTIONS)
        if confusion[number].any()
    }
    return {
        "n": len(recordings),
        "accuracy": float(np.mean(true == found)),
        "uar": float(np.mean(list(recall.values()))),
        "recall": recall,
        "calibration_error": float(reliability(recordings, probabilities)[1]),
        "confusion": confusion.tolist(),
    }


def measure_groups(recordings, probabilities):
    """Figures of each corpus and of each sex; returns a dict of what `measure` returns."""
    groups = {}
    for number, recording in enumerate(recordings):
        groups.setdefault(recording["corpus"], []).append(number)
        if recording["corpus"] in ("TESS", "RAVDESS"):  # actresses of TESS; RAVDESS: odd is male
            male = recording["corpus"] == "RAVDESS" and int(recording["speaker"]) % 2
            groups.setdefault("male" if male else "female", []).append(number)
    return {
        name: measure([recordings[number] for number in numbers], probabilities[numbers])
        for name, numbers in sorted(groups.items())
    }


def print_figures(parts):
    """Print a table: one row for each part of the split, or seed, or condition."""
    print(f"\n{'':12}{'clips':>6}{'accuracy':>10}{'UAR':>8}{'ECE':>7}   recall of each emotion")
    for name, figures in parts.items():
        recall = "  ".join(f"{emotion} {value:.2f}" for emotion, value in figures["recall"].items())
        print(
            f"{name:12}{figures['n']:6}{figures['accuracy']:10.4f}{figures['uar']:8.4f}"
            f"{figures['calibration_error']:7.3f}   {recall}"
        )


def plot_history(history, name, label, path):
    """Draw one quantity over the epochs, training beside validation."""
    plt = import_pyplot()
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    epochs = np.arange(1, len(history[name]) + 1)
    axes.plot(epochs, history[name], label="training (augmented, with dropout)")
    axes.plot(epochs, history[f"val_{name}"], label="validation (averaged weights)")
    saved = history["epoch_saved"]
    axes.axvline(saved, color="grey", linestyle=":", label=f"saved: epoch {saved}")
    axes.set(xlabel="epoch", ylabel=label, title=f"{label.capitalize()}, protocol random")
    axes.grid(alpha=0.3)
    axes.legend()
    with sentimental.whole_file(path) as partial:
        figure.savefig(partial, dpi=150)
    plt.close(figure)


def plot_confusion(parts, path):
    """Draw the confusion matrix of each part: counts as numbers, recall as colour."""
    import seaborn

    plt = import_pyplot()
    figure, all_axes = plt.subplots(
        1, len(parts), figsize=(7 * len(parts), 6), layout="constrained", squeeze=False
    )
    all_axes = all_axes[0]
    for axes, (name, figures) in zip(all_axes, parts.items(), strict=True):
        counts = np.array(figures["confusion"])
        recall = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        seaborn.heatmap(
            recall,
            annot=counts,
            fmt="d",
            vmin=0,
            vmax=1,
            cmap="Blues",
            square=True,
            xticklabels=EMOTIONS,
            yticklabels=[
                f"{emotion} {figures['recall'][emotion]:.2f}"
                if emotion in figures["recall"]
                else f"{emotion} –"  # not among what was tested
                for emotion in EMOTIONS
            ],
            cbar=False,
            ax=axes,
        )
        axes.set(
            title=f"{name}: accuracy {figures['accuracy']:.3f}, UAR {figures['uar']:.3f}",
            xlabel="recognised",
        )
        axes.tick_params(axis="x", rotation=45)
    all_axes[0].set_ylabel("true emotion and its recall")
    figure.colorbar(all_axes[0].collections[0], ax=all_axes, label="share of the true emotion")
    with sentimental.whole_file(path) as partial:
        figure.savefig(partial, dpi=110)
    plt.close(figure)


def plot_reliability(bins, error, title, path):
    """Draw accuracy over confidence, and how many clips have it."""
    plt = import_pyplot()
    n, confidence, accuracy = np.array(bins).T
    figure, axes = plt.subplots(figsize=(5.5, 5), layout="constrained")
    axes.plot([0, 1], [0, 1], color="grey", linestyle=":", label="as sure as right")
    axes.bar(
        np.floor(confidence * N_BINS) / N_BINS,
        n / n.sum(),
        1 / N_BINS,
        align="edge",
        color="lightsteelblue",
        label="share of all clips",
    )
    axes.plot(confidence, accuracy, "o-", label="share that is right")
    axes.set(
        xlim=(0, 1),
        ylim=(0, 1),
        xlabel="probability of the strongest emotion",
        title=f"{title}: calibration error {error:.3f}",
    )
    axes.legend()
    with sentimental.whole_file(path) as partial:
        figure.savefig(partial, dpi=110)
    plt.close(figure)


def import_pyplot():
    """Matplotlib's pyplot, set to draw into files, which works without a display."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    return plt


def describe_run(protocol, recordings, sizes, seeds):
    """All that a reader needs to trust a figure, as a dict."""
    sentimental.import_keras()  # quietly
    packages = ("numpy", "librosa", "sklearn", "tensorflow", "keras")
    corpora = {}
    for corpus in sorted({recording["corpus"] for recording in recordings}):
        emotions = Counter(r["emotion"] for r in recordings if r["corpus"] == corpus)
        corpora[corpus] = {emotion: emotions[emotion] for emotion in EMOTIONS}
    return {
        "protocol": protocol,
        "command": shlex.join(["python", *sys.argv]),
        "corpora": corpora,
        "sizes": sizes,
        "seeds": seeds,
        "settings": {
            name: value
            for name, value in globals().items()
            if name.isupper() and name not in vars(sentimental)
            if isinstance(value, int | float | tuple | dict)
        },
        "chain": sentimental.CHAIN,
        "versions": {"python": platform.python_version()}
        | {name: importlib.import_module(name).__version__ for name in packages},
    }


def write_json(path, content):
    """Write a dict as indented JSON, whole or not at all."""
    with sentimental.whole_file(path) as partial:
        partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def under_conditions(tested, conditions):
    """The same recordings as they are under each condition, in the same order.

    Parameters
    ----------
    tested : list of dict
    conditions : dict of list of dict; recordings by the name of the condition

    Returns
    -------
    parts : dict of list of dict; "clean" is `tested` itself

    Raises
    ------
    SentimentalError
        When one of them is missing.
    """
    parts = {"clean": tested}
    for name, recordings in conditions.items():
        changed = {(r["hash"], Path(r["file"]).name): r for r in recordings}
        try:
            parts[name] = [changed[r["hash"], Path(r["file"]).name] for r in tested]
        except KeyError as missing:
            raise SentimentalError(
                f"condition {name}: {missing.args[0][1]} is not among its recordings; "
                "let preprocess.py make it of all recordings that this protocol tests"
            ) from None
    return parts


def run_fold(protocol, seed, number, fold, parts, folder, settings):
    """Train one fold and recognise what it tests, unless a run that was stopped has done so.

    Parameters
    ----------
    protocol : str
    seed, number : int, of the training and of the fold
    fold : (train, validation, test), each a list of dict
    parts : dict of list of dict; what is tested, as `under_conditions` returns it
    folder : Path, where what is finished waits for the rest
    settings : dict, as `parse_settings` returns it; this may be another process

    Returns
    -------
    result : dict with ``temperature``, ``seconds`` and ``found``: a dict of the probabilities in
        each of `parts`
    """
    globals().update(settings)
    training, validation, _ = fold
    path = folder / f"{protocol}_seed{seed}_fold{number}.json"
    everything = [*training, *validation, *(r for part in parts.values() for r in part)]
    mark = f"{fingerprint(everything, EPOCHS[protocol], seed)} {TEMPERATURE} {[*parts]}"
    if path.exists():
        result = json.loads(path.read_text())
        if result["fingerprint"] == mark:
            return result
    network, history = train(
        training,
        validation,
        EPOCHS[protocol],
        seed,
        path.with_suffix(".npz"),
        name=f"seed {seed}, fold {number}: ",
        temperature=None if protocol == "speaker" else TEMPERATURE,
    )
    result = {"fingerprint": mark} | {name: history[name] for name in ("temperature", "seconds")}
    result["found"] = {name: recognise(network, part).tolist() for name, part in parts.items()}
    write_json(path, result)
    path.with_suffix(".npz").unlink(missing_ok=True)
    return result


def run_protocol(protocol, recordings, conditions, n_seeds, folder, settings):
    """Train and test all folds with several seeds, and write the figures and two plots.

    Parameters
    ----------
    protocol : str
    recordings : list of dict
    conditions : dict of list of dict; recordings as they are under other conditions, by its name
    n_seeds : int > 0
    folder : Path
    settings : dict, as `parse_settings` returns it
    """
    waiting = folder / "folds"
    jobs = []
    for seed in range(1, n_seeds + 1):
        for number, fold in enumerate(protocol_folds(protocol, recordings, seed), 1):
            tested = fold[1] + fold[2] if protocol == "random" else fold[2]
            jobs.append((seed, number, fold, under_conditions(tested, conditions)))
    results = Parallel(n_jobs=-1)(
        delayed(run_fold)(protocol, *job, waiting, settings) for job in jobs
    )
    runs = [*zip(jobs, results, strict=True)]

    def pooled(name, runs):
        tested = [recording for (*_, parts), _ in runs for recording in parts[name]]
        return tested, np.concatenate([result["found"][name] for _, result in runs])

    seeds = {}
    for seed in range(1, n_seeds + 1):
        of_seed = [run for run in runs if run[0][0] == seed]
        figures = measure(*pooled("clean", of_seed))
        of_folds = [measure(*pooled("clean", [run]))["uar"] for run in of_seed]
        if protocol in ("tess-speaker", "corpus"):  # mean of both ways; folds of actors are pooled
            figures["uar"] = float(np.mean(of_folds))
        seeds[f"seed {seed}"] = figures | {"uar_of_folds": of_folds}
    spread = {}
    for name in ("accuracy", "uar"):
        values = [figures[name] for figures in seeds.values()]
        deviation = np.std(values, ddof=1) if n_seeds > 1 else 0.0
        spread[name] = [float(np.mean(values)), float(deviation)]
    pooled_figures = {name: measure(*pooled(name, runs)) for name in ("clean", *conditions)}
    groups = measure_groups(*pooled("clean", runs))
    bins, error = reliability(*pooled("clean", runs))

    first_folds = [fold for seed, _, fold, _ in jobs if seed == 1]
    summary = describe_run(
        protocol,
        recordings,
        [dict(zip(("train", "validation", "test"), map(len, f), strict=True)) for f in first_folds],
        {"split" if protocol == "random" else "training": [*range(1, n_seeds + 1)]},
    )
    temperatures = [result["temperature"] for result in results]
    summary |= {
        "mean_and_standard_deviation": spread,
        "pooled": pooled_figures,
        "groups": groups,
        "reliability": bins,
        "temperature": float(np.exp(np.mean(np.log(temperatures)))),
        "training_seconds": float(np.mean([result["seconds"] for result in results])),
        "each_seed": seeds,
    }
    write_json(folder / f"{protocol}.json", summary)
    headline = pooled_figures["clean"] | {"uar": spread["uar"][0]}  # the figure of the protocol
    plot_confusion({f"protocol {protocol}": headline}, folder / f"{protocol}.png")
    plot_reliability(bins, error, f"Protocol {protocol}", folder / f"{protocol}_reliability.png")
    print_figures(seeds | pooled_figures | groups)
    for name, (mean, deviation) in spread.items():
        print(f"{protocol}: {name} {mean:.4f} ± {deviation:.4f} over {n_seeds} seeds")
    print(f"temperature {summary['temperature']:.2f}; written: {folder}/{protocol}.json and plots")
    for path in waiting.glob(f"{protocol}_*"):
        path.unlink()


def parse_settings(texts):
    """Other values for settings at the top of this script, from NAME=VALUE.

    Raises
    ------
    SentimentalError
        When there is no such setting, or the value is none or of another kind.
    """
    settings = {}
    for text in texts:
        name, _, value = text.partition("=")
        if not name.isupper() or name not in globals() or hasattr(sentimental, name):
            raise SentimentalError(f"--set {text}: this script has no setting {name}")
        try:
            new = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            raise SentimentalError(f"--set {text}: {value} is not a value") from None
        old = globals()[name]
        if not isinstance(new, int | float if isinstance(old, int | float) else type(old)):
            raise SentimentalError(f"--set {text}: the value should be like {old!r}")
        settings[name] = old | new if isinstance(old, dict) else new
    return settings


def main():
    """Read the command line, then train or evaluate."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("features", type=Path, help="what preprocess.py wrote")
    parser.add_argument(
        "--evaluate", action="store_true", help="do not train: measure the saved model"
    )
    parser.add_argument(
        "--protocol",
        choices=("random", "speaker", "tess-speaker", "corpus"),
        default="random",
        help="what trains and what tests (default: %(default)s)",
    )
    parser.add_argument(
        "--seeds",
        type=int,
        metavar="N",
        help="train with the seeds 1 to N, write figures alone (default: 1, but protocol random "
        "trains the model that is saved)",
    )
    parser.add_argument(
        "--conditions",
        type=Path,
        nargs="+",
        default=[],
        metavar="FEATURES",
        help="test under these conditions as well: what preprocess.py --condition wrote",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="another value for a setting at the top of this script, to see what it brings: "
        "--set NOISE_SHARE=0",
    )
    parser.add_argument(
        "--model",
        default="model8723",
        metavar="NAME",
        help="write or read NAME.json and NAME_weights.h5 (default: %(default)s)",
    )
    parser.add_argument(
        "--results",
        type=Path,
        default=Path("results"),
        metavar="FOLDER",
        help="where the figures go (default: %(default)s)",
    )
    parser.add_argument(
        "--seed", type=int, default=1, help="of weights and augmentation (default: %(default)s)"
    )
    arguments = parser.parse_args()
    one_model = arguments.protocol == "random" and arguments.seeds is None
    if arguments.seeds is not None and arguments.seeds < 1:
        parser.error("--seeds must be at least 1")
    if arguments.evaluate and not one_model:
        parser.error("--evaluate is of the saved model, which is of protocol random")
    if arguments.conditions and one_model:
        parser.error("--conditions is for the other protocols, or for random with --seeds")
    settings = parse_settings(arguments.set)
    globals().update(settings)
    json_path, weights_path = f"{arguments.model}.json", f"{arguments.model}_weights.h5"

    recordings = sentimental.load_features(arguments.features)
    recordings.sort(key=lambda recording: (recording["corpus"], Path(recording["file"]).name))
    if any(recording["condition"] for recording in recordings):
        raise SentimentalError(f"{arguments.features}: made with --condition, which is for tests")
    if len(recordings) < 4 * len(EMOTIONS):
        raise SentimentalError(
            f"{arguments.features}: {len(recordings)} recordings are too few to train on"
        )
    if not one_model:
        conditions = {}
        for path in arguments.conditions:
            if path.stem == "clean":
                raise SentimentalError(
                    f"{path}: a condition cannot be called clean; rename the file"
                )
            conditions[path.stem] = sentimental.load_features(path)
        run_protocol(
            arguments.protocol,
            recordings,
            conditions,
            arguments.seeds or 1,
            arguments.results,
            settings,
        )
        return
    ((train_part, validation_part, test_part),) = protocol_folds("random", recordings)
    sizes = {"train": len(train_part), "validation": len(validation_part), "test": len(test_part)}
    print(", ".join(f"{name} {size}" for name, size in sizes.items()), "recordings")

    if arguments.evaluate:
        network = sentimental.load_model(json_path, weights_path)
    else:
        checkpoint = Path(f"{arguments.model}_checkpoint.npz")
        network, history = train(
            train_part,
            validation_part,
            EPOCHS["random"],
            arguments.seed,
            checkpoint,
            temperature=TEMPERATURE,
        )
        sentimental.save_model(network, json_path, weights_path)
    found = [recognise(network, part) for part in (validation_part, test_part)]
    parts = {"validation": measure(validation_part, found[0]), "test": measure(test_part, found[1])}
    print_figures(parts)
    if not arguments.evaluate:
        folder = arguments.results
        seeds = {"split": SPLIT_SEED, "training": arguments.seed}
        metrics = describe_run("random", recordings, sizes, seeds) | parts
        metrics["groups"] = measure_groups(validation_part + test_part, np.concatenate(found))
        metrics["epoch_saved"] = history["epoch_saved"]
        metrics["parameters"] = network.count_params()
        metrics["weights_checksum"] = sentimental.weights_checksum(network)
        metrics["training_seconds"] = round(history["seconds"], 1)
        write_json(folder / "metrics.json", metrics)
        plot_history(history, "loss", "loss", folder / "loss.png")
        plot_history(history, "accuracy", "accuracy", folder / "accuracy.png")
        plot_confusion(parts, folder / "confusion_matrix.png")
        checkpoint.unlink(missing_ok=True)
        print(f"\nWritten: {json_path}, {weights_path}, and figures in {folder}/")


if __name__ == "__main__":
    sentimental.run(main)
