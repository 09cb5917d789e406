"""What several benchmarks need. Importing it lets them import the package one folder up."""

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))


def parser(description):
    """A parser of the command line, whose help is as it is written."""
    kind = argparse.RawDescriptionHelpFormatter
    return argparse.ArgumentParser(description=description, formatter_class=kind)


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
    _, *parts = split_random(len(recordings), training, training.split_seed)
    return [[recordings[index] for index in part] for part in parts]
