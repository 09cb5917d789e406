"""Settings of the training, and how the command line changes them for one run."""

import ast
import dataclasses
from dataclasses import dataclass, field

import numpy as np

from sentimental.scripts import EMOTIONS, SentimentalError
from sentimental.speaker import CLASS_PRIOR

# Endings of the names of settings that lie between 0 and 1.
SHARES = ("_share", "_prior", "_prob", "_dropout", "_weight", "_smoothing", "_decay")
# What else is so large is a mistake.
HIGHEST = 1e6


@dataclass(frozen=True)
class Training:
    """How networks are trained; what is done to the recordings stands in `Augmentation`."""

    # Seed of the random split into training, validation and test recordings.
    split_seed: int = 1
    # Share of the recordings of TESS and RAVDESS that are held out, in protocol "random".
    held_out_share: float = 0.125
    # Share of the held-out recordings that test; the rest validate.
    test_share: float = 0.304
    # Share of the training side that validates where a protocol names no validation recordings.
    validation_share: float = 0.05

    # Units of each LSTM layer.
    units: int = 64
    # Share of the first layer's outputs that the second does not see.
    layer_dropout: float = 0.1
    # Share of the second layer's outputs that the dense layer does not see.
    output_dropout: float = 0.1

    # Epochs of every training.
    epochs: int = 36
    # Batches of an epoch.
    steps_per_epoch: int = 200
    # Clips of a batch.
    batch_size: int = 64
    # How often a corpus is drawn, against one that is not named here. RAVDESS is the one with all
    # emotions, and slow to learn; with 12.0 new voices of it are recognized better, and every other
    # corpus worse. CREMA-D has many speakers, and two of three recordings that protocol "random"
    # holds out are of TESS.
    corpus_odds: dict = field(
        default_factory=lambda: (
            {"RAVDESS": 4.0, "CREMA-D": 2.0, "TESS": 2.0}
            | dict.fromkeys(("nEMO", "ASED", "BanglaSER", "TurEV", "AESDD"), 1.0)
        )
    )
    # Chance that nothing was heard before of the voice of a clip.
    no_history_prob: float = 0.35
    # Earlier recordings of the same voice, at most.
    max_history: int = 15
    # Learning rate at its highest, after the warm-up.
    learning_rate: float = 3e-3
    # Epochs in which the learning rate rises; then it falls along half a cosine.
    warmup_epochs: int = 1
    # The same in a training that starts from another model, whose weights are good already, and its
    # epochs: so few recordings are soon learned by heart.
    fine_tuning_rate: float = 5e-4
    fine_tuning_epochs: int = 4
    # Decay of the weights in AdamW.
    weight_decay: float = 1e-2
    # Limit of the global norm of the gradient.
    grad_clip: float = 1.0
    # Share of the soft targets that is spread evenly over all emotions.
    label_smoothing: float = 0.1
    # Share of the mean answer of frames and summary in the soft targets; labels are the rest.
    mutual_weight: float = 0.5
    # How often an emotion is expected of a recording in training: in this share as often as it is
    # drawn of all corpora, and else of the recording's own. With 1.0, networks learn by which sound
    # a corpus that lacks an emotion is told; with 0.0, never that it is none of these.
    shared_prior: float = 0.5
    # Share that every emotion is taken to have at least of what is drawn.
    least_prior: float = 0.01
    # Share of each emotion that is expected of what is recognized, whatever was drawn in training.
    class_prior: dict = field(default_factory=CLASS_PRIOR.copy)
    # How often the logarithm of that counts, beside two answers (of frames and of the summary).
    # With 1, the UAR of corpora left out is 0.001 (h0) and 0.003 (h10) higher, and 0.003 (both)
    # lower where only their own emotions are allowed; the most frequent answer is more frequent.
    prior_strength: float = 0.75
    # Share of the loss that falls on frames before the last; later frames weigh more.
    frame_weight: float = 0.3
    # Position in a clip, as a share of its length, from which its frames count in the loss.
    first_frame_share: float = 0.25
    # Decay per step of the exponential moving average of the weights. The average of the epoch with
    # the lowest validation loss is saved.
    ema_decay: float = 0.998
    # Softmax temperature of the model that is saved: about the mean (2.1) of those that protocol
    # "corpus" fits to corpora that did not train. On speakers that trained it promises less than it
    # holds.
    temperature: float = 2.0

    def __post_init__(self):
        ones = "units", "epochs", "fine_tuning_epochs", "steps_per_epoch", "max_history"
        least = dict.fromkeys(ones, 1) | {"batch_size": 2, "temperature": 0.01}
        check(self, least | dict.fromkeys(("least_prior", "class_prior", "grad_clip"), 1e-6))
        if self.batch_size % 2:
            raise SentimentalError("batch_size: must be even")
        for name in ("held_out_share", "test_share", "validation_share"):
            if getattr(self, name) in (0, 1):
                raise SentimentalError(f"{name}: must lie between 0 and 1, and be neither")

    def expected(self):
        """What each emotion's probability is multiplied by; np.ndarray [shape=(8,)]."""
        return np.array([self.class_prior[e] for e in EMOTIONS]) ** self.prior_strength

    def for_fine_tuning(self, units):
        """The settings of a training that starts from a network of so many units."""
        rate, epochs = self.fine_tuning_rate, self.fine_tuning_epochs
        return dataclasses.replace(self, units=units, learning_rate=rate, epochs=epochs)


@dataclass(frozen=True)
class Augmentation:
    """How strongly each clip of a batch is changed; all of it is drawn anew each time."""

    # Frames of a clip. Of a longer one, a part of this length is drawn.
    crop_frames: int = 80
    # Frames left out at either end, at most.
    end_frames: int = 5
    # Share by which speech gets faster or slower, at most.
    stretch: float = 0.2
    # Share of a clip's length by which a moment of it comes sooner or later, at most.
    warp: float = 0.1

    # Vocal tract length perturbation: pitch and formants move by a factor of up to e to this power.
    vtlp: float = 0.2
    # dB. Standard deviation of a microphone's gain in each octave.
    octave_db: float = 3.0
    # dB an octave by which the whole spectrum leans to one side, at most.
    tilt_db: float = 1.5
    # Chance of a microphone with more or less bass.
    bass_prob: float = 0.3
    # dB by which it raises or lowers what lies below the shelf.
    bass_db: tuple = (-10.0, 10.0)
    # Hz between which the shelf ends.
    bass_hz: tuple = (150.0, 300.0)
    # Louder and softer get up to e to this power as far from each other, or as close.
    contrast: float = 0.3
    # Chance of a telephone.
    telephone_prob: float = 0.2
    # Hz between which a telephone's band begins.
    telephone_low: tuple = (150.0, 400.0)
    # Hz between which a telephone's band ends.
    telephone_high: tuple = (3000.0, 4500.0)
    # dB an octave by which a telephone lowers what lies outside of its band.
    telephone_slope_db: float = 24.0
    # Chance of reverberation.
    reverb_prob: float = 0.3
    # s until the reverberation has lost 60 dB.
    rt60: tuple = (0.1, 0.6)
    # dB of all of the reverberation against the direct sound.
    reverb_db: tuple = (-12.0, 0.0)
    # Chance of steady noise.
    noise_prob: float = 0.3
    # dB an octave by which noise leans: brown to white.
    noise_tilt_db: tuple = (-6.0, 0.0)
    # Chance of other voices, in clips without steady noise; both chances together are 1 at most.
    babble_prob: float = 0.4
    # Voices of a babble, fewest and most.
    babble_voices: tuple = (2, 6)
    # dB of speech against noise or other voices.
    snr_db: tuple = (3.0, 25.0)
    # dB. Standard deviation of a random gain on the whole clip.
    gain_db: float = 2.0

    # Mean standard deviation of the noise that is added to each standardized input.
    jitter: float = 0.1
    # Gaps in time.
    n_time_masks: int = 2
    # Frames of a gap, at most.
    time_mask_frames: int = 10

    def __post_init__(self):
        least = {"crop_frames": 2, "rt60": 0.01, "babble_voices": 1}
        least |= dict.fromkeys(("telephone_low", "telephone_high", "bass_hz"), 1)
        least |= dict.fromkeys(("bass_db", "reverb_db", "noise_tilt_db", "snr_db"), -100)
        check(self, least)
        if self.noise_prob + self.babble_prob > 1:
            raise SentimentalError("noise_prob and babble_prob: both together must be 1 at most")


def check(settings, least):
    """Refuse values with which no training is possible; `least` has the lowest that are not 0."""
    for name, value in vars(settings).items():
        values = np.array([*value.values()] if isinstance(value, dict) else value)
        lowest, highest = least.get(name, 0), 1 if name.endswith(SHARES) else HIGHEST
        if not ((lowest <= values) & (values <= highest)).all():
            raise SentimentalError(f"{name} {value}: must lie between {lowest} and {highest:g}")
        if isinstance(value, tuple) and value[0] > value[1]:
            raise SentimentalError(f"{name} {value}: the lower limit comes first")


def change_settings(groups, texts):
    """Changed copies of settings, from texts such as ``training.batch_size=64``.

    Of a setting that is a dict, only the keys that are given change.

    Parameters
    ----------
    groups : dict of dataclasses, by the name that a text begins with
    texts : list of str; one of another name or type, or impossible, raises SentimentalError
    """
    groups = dict(groups)
    for text in texts:
        path, _, value = text.partition("=")
        group, _, name = path.partition(".")
        if group not in groups or name not in vars(groups[group]):
            raise SentimentalError(f"--set {text}: there is no setting {path}")
        old = getattr(groups[group], name)
        try:
            new = ast.literal_eval(value)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            raise SentimentalError(f"--set {text}: {value!r} is not a value") from None
        try:
            new = _convert(new, old)
        except (TypeError, KeyError, ValueError, OverflowError):
            raise SentimentalError(f"--set {text}: the value must be like {old!r}") from None
        try:
            groups[group] = dataclasses.replace(groups[group], **{name: new})
        except SentimentalError as error:
            raise SentimentalError(f"--set {text}: {error}") from None
        print(f"{path}: {new!r} instead of {old!r}")
    return groups


def _convert(new, old):
    """`new` with the floats and keys of `old`; an error where types, keys or sizes are others."""
    if isinstance(old, float) and type(new) is int:
        return float(new)
    if type(new) is not type(old):
        raise TypeError
    if isinstance(old, dict):
        return old | {key: _convert(value, old[key]) for key, value in new.items()}
    if isinstance(old, tuple):
        return tuple(_convert(*pair) for pair in zip(new, old, strict=True))
    return new
