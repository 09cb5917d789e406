"""Options that the live script and `python -m sentimental` share."""

import argparse
from pathlib import Path

from sentimental import __version__
from sentimental.files import check_outputs
from sentimental.live.voices import NO_VOICE
from sentimental.live.writers import STDOUT
from sentimental.model import SHIPPED_MODEL, weights_path_of
from sentimental.scripts import EMOTIONS, SentimentalError, check_emotions

# How names of other files end, by the option without its dashes.
ENDINGS = {
    "save_audio": (".flac", ".wav"),
    "save_plot": (".png", ".pdf", ".svg"),
    "voice": (".json",),
}


def add_options(parser):
    parser.add_argument(
        "--voice",
        metavar="FILE.json",
        help="file that keeps a speaker's statistics between sessions; none: compare with nothing",
    )
    parser.add_argument(
        "--emotions", type=_emotions, metavar="LIST", help="answer only these: happy,sad,angry"
    )
    parser.add_argument(
        "--log", metavar="FILE.csv", help=f"one row for each result; {STDOUT}: standard output"
    )
    parser.add_argument("--save-plot", metavar="FILE.png", help="the summary chart")
    parser.add_argument(
        "--model",
        type=Path,
        metavar="FILE.json",
        default=SHIPPED_MODEL,
        help="with its weights in FILE_weights.h5 (default: the shipped model)",
    )
    parser.add_argument("--version", action="version", version=f"Sentimental {__version__}")


def _emotions(text):
    allowed = text.split(",")
    try:
        check_emotions(allowed)
    except SentimentalError as error:
        raise argparse.ArgumentTypeError(error) from None
    return tuple(emotion for emotion in EMOTIONS if emotion in allowed)


def check_options(parser, args):
    """Refuse names that do not end as what is written there."""
    for option, endings in ENDINGS.items():
        path = getattr(args, option, None)
        if path not in (None, NO_VOICE) and not path.lower().endswith(endings):
            name = option.replace("_", "-")
            parser.error(f"--{name} {path}: the name must end with {' or '.join(endings)}")


def check_files(args, inputs):
    """Raise SentimentalError where a file cannot be written, or is one of the inputs."""
    paths = [getattr(args, option, None) for option in ("log", *ENDINGS)]
    paths = [path for path in paths if path not in (None, STDOUT, NO_VOICE)]
    for path in paths:
        if not Path(path).absolute().parent.is_dir():
            raise SentimentalError(f"{path}: cannot be written (there is no such folder)")
    check_outputs(paths, [*inputs, args.model, weights_path_of(args.model)])
