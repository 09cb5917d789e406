"""Settings of the training, and how the command line changes them for one run."""

import ast
import dataclasses
from dataclasses import dataclass, field

from sentimental.base import SentimentalError

# Endings of the names of settings that lie between 0 and 1.
SHARES = ("_share", "_prob", "_dropout", "_weight", "_smoothing", "_decay", "_frame")


@dataclass(frozen=True)
class Training:
    """How networks are trained; what is done to the recordings stands in `Augmentation`."""

    # Seed of the random split into training, validation and test recordings.
    split_seed: int = 1
    # Share of all recordings that are held out, in protocol "random".
    held_out_share: float = 0.125
    # Share of those held out that test; the others validate.
    test_share: float = 0.304
    # Share of the training side that validates where a protocol names no validation recordings.
    validation_share: float = 0.1

    # Units of each LSTM layer.
    units: int = 64
    # Share of the first layer's outputs that the second does not see.
    layer_dropout: float = 0.1
    # Share of the second layer's outputs that the dense layer does not see.
    output_dropout: float = 0.1

    # Epochs by protocol. More are of use to recognize known voices only.
    epochs: dict = field(
        default_factory=lambda: {"random": 110, "speaker": 40, "tess-speaker": 25, "corpus": 35}
    )
    # Share of a corpus that is drawn for an epoch, anew each time; 1 for those not named. TESS is
    # learnt very soon.
    epoch_share: dict = field(default_factory=lambda: {"TESS": 0.25, "RAVDESS": 1.0})
    # Clips of a batch.
    batch_size: int = 32
    # Learning rate at its highest, after the warm-up.
    learning_rate: float = 3e-3
    # Epochs in which the learning rate rises; then it falls along half a cosine.
    warmup_epochs: int = 1
    # Decay of the weights in AdamW.
    weight_decay: float = 1e-2
    # Longest gradient over all weights; a longer one is shortened to it.
    grad_clip: float = 1.0
    # Share of the soft targets that is spread evenly over all emotions.
    label_smoothing: float = 0.1
    # Networks that learn from each other; the first is the one that is saved.
    n_peers: int = 2
    # Share of the peers' mean answer in the soft targets; labels are the rest.
    mutual_weight: float = 0.5
    # Share of the answers before the last frame in the loss; the later, the more.
    frame_weight: float = 0.3
    # Share of a clip after which its answers count; before that nobody could tell.
    first_frame: float = 0.25
    # Decay, a step, of the exponential moving average over the weights. Of its state after each
    # epoch, the one with the lowest validation loss is saved.
    ema_decay: float = 0.995
    # Temperature that divides the logits where the voices that validate also train, and tell
    # nothing of unseen speakers: the mean of protocol "speaker", which fits it to its validation
    # actors.
    temperature: float = 0.73

    def __post_init__(self):
        check(self, at_least_1=("units", "epochs", "batch_size", "n_peers"))


def check(settings, at_least_1):
    """Refuse values with which no training is possible.

    Parameters
    ----------
    settings : dataclass
    at_least_1 : tuple of str, settings that count something of which there must be one

    Raises
    ------
    SentimentalError
        It names the setting and what it should be.
    """
    for name, value in vars(settings).items():
        values = value.values() if isinstance(value, dict) else [value]
        if name in at_least_1 and min(values) < 1:
            raise SentimentalError(f"{name} {value}: must be at least 1")
        if name.endswith(SHARES) and not all(0 <= one <= 1 for one in values):
            raise SentimentalError(f"{name} {value}: must lie between 0 and 1")
        if isinstance(value, tuple) and value[0] > value[1]:
            raise SentimentalError(f"{name} {value}: the lower limit comes first")


def change_settings(groups, texts):
    """Changed copies of settings, from texts such as ``training.batch_size=64``.

    Of a setting that is a dict, only the keys that are given change.

    Parameters
    ----------
    groups : dict of dataclasses, by the name that a text begins with
    texts : list of str

    Returns
    -------
    groups : dict of dataclasses

    Raises
    ------
    SentimentalError
        When there is no such setting, or the value is of another type or length, or impossible.
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
        except (ValueError, SyntaxError):
            raise SentimentalError(f"--set {text}: {value!r} is not a value") from None
        if not _is_like(new, old):
            raise SentimentalError(f"--set {text}: the value must be like {old!r}")
        if isinstance(old, dict):
            new = old | new
        try:
            groups[group] = dataclasses.replace(groups[group], **{name: new})
        except SentimentalError as error:
            raise SentimentalError(f"--set {text}: {error}") from None
        print(f"{path}: {new!r} instead of {old!r}")
    return groups


def _is_like(new, old):
    """Is `new` of the type of `old`, with as many parts, and without unknown keys?"""
    if isinstance(old, dict):
        return isinstance(new, dict) and all(
            key in old and _is_like(value, old[key]) for key, value in new.items()
        )
    if isinstance(old, tuple):
        return isinstance(new, tuple) and len(new) == len(old) and all(map(_is_like, new, old))
    if isinstance(old, float):
        return isinstance(new, int | float) and not isinstance(new, bool)
    return type(new) is type(old)
