"""What several benchmarks need. Importing it lets them import the package one folder up."""

import argparse
import csv
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

# Clips of a speech synthesizer.
SAMPLES = sorted((ROOT / "data" / "samples").glob("*.flac"))


def parser(description, paths=""):
    """A parser of the command line, whose help is as it is written; `paths` says what they are."""
    kind = argparse.RawDescriptionHelpFormatter
    made = argparse.ArgumentParser(description=description, formatter_class=kind)
    if paths:
        made.add_argument("paths", nargs="+", type=Path, help=paths)
    return made


def recognize(*arguments, **options):
    """Run ``python -m sentimental``; a subprocess.CompletedProcess, its standard output bytes."""
    command = [sys.executable, "-m", "sentimental", *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, env=environment, stdout=subprocess.PIPE, **options)


def read_rows(path):
    """The rows of a file of --log, dicts of str."""
    return list(csv.DictReader(path.read_text().splitlines()))


def mean_emotion(answers, weights):
    """The strongest emotion of the weighted mean of answers, dicts of probabilities."""
    from sentimental.scripts import EMOTIONS

    probabilities = [[answer[name] for name in EMOTIONS] for answer in answers]
    return EMOTIONS[int(np.average(probabilities, axis=0, weights=weights).argmax())]


def held_out(folders):
    """The recordings of TESS and RAVDESS that validate, and that test, in protocol `random`."""
    from sentimental.files import find_files
    from sentimental.preprocessing.recordings import describe_files
    from sentimental.scripts import SentimentalError
    from sentimental.training.protocols import split_random
    from sentimental.training.settings import Training

    files, _, refused = find_files(folders)
    recordings = [copies[0] for copies in describe_files(files)[0]]
    if refused or len(recordings) < 100:
        raise SentimentalError([*refused, "too few recordings there; take both corpora whole"][0])
    training = Training()
    _, *parts = split_random(recordings, training, training.split_seed)
    return parts
