"""Turn folders of recordings into the features that train_model.py learns from.

    python preprocess.py                         # every corpus below data/
    python preprocess.py data/TESS data/RAVDESS my_recordings --output mine.json
    python preprocess.py --labels my_recordings/labels.csv --output mine.json
    python preprocess.py data/RAVDESS --condition babble --output data/babble.json

The file name tells corpus, speaker and emotion for TESS, RAVDESS, CREMA-D, nEMO, ASED, BanglaSER,
TurEV, AESDD, SAVEE and EmoDB. Recordings of your own lie in folders called like the emotions, below
one for each speaker if you like (my/happy/1.wav, my/anna/happy/1.wav). A table decides before names
and folders: CSV with the columns file, emotion and, if known, speaker, start and end (in seconds,
where only a part of a file counts). data/README.md tells the rules. A recording whose emotion is
not known is reported, never guessed. Copies of a recording count once.

Each recording becomes mono at 16 kHz. Its peak is brought to +5 dBFS, its ends are trimmed, its
noise is reduced. Then MFCC, RMS, zero-crossing rate, pitch and harmonicity of each frame are
stored. Of more than 5 s, the 5 s with the most energy count.

A second run computes only what is new or changed. A run that was stopped goes on where it was: what
is computed lies in a folder features_unfinished until the features file is whole.
"""

from sentimental.files import check_outputs
from sentimental.scripts import end_at_once, on_end_signals, require, run_script

if __name__ == "__main__":
    on_end_signals(end_at_once)  # before the imports that take seconds
    require("json_tricks", "joblib")  # beyond requirements-live.txt

import argparse
import contextlib
import os
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
from tqdm import tqdm

from sentimental.audio import level, reduce_noise, trim
from sentimental.features import extract_frames
from sentimental.features_file import save_features
from sentimental.files import find_files
from sentimental.preprocessing.cache import FrameCache
from sentimental.preprocessing.conditions import (
    CONDITION_SNR,
    CONDITION_VOICES,
    CONDITIONS,
    apply_condition,
)
from sentimental.preprocessing.labels import read_names, read_table
from sentimental.preprocessing.recordings import (
    describe_files,
    drop_twins,
    find_corpora,
    load_recording,
    print_refused,
    print_summary,
)
from sentimental.scripts import SentimentalError, file_error, mute_libraries, shown
from sentimental.workers import run_jobs

# Where corpora lie and features are written, if nothing else is said.
DATA = Path("data")


def compute_frames(recording, condition="", voices=()):
    """Load, level, trim, denoise, frames; any failure becomes a line, so that the rest goes on.

    Returns
    -------
    frames : np.ndarray [shape=(n_frames, N_STORED), float32], or None when refused
    line : str or None; why it is refused, or what is missing of a recording that is used
    """
    name = recording.name
    try:
        samples, notes = load_recording(recording)
        if condition:
            rng = np.random.default_rng([int(recording.hash[:16], 16), CONDITIONS.index(condition)])
            others = [voice for voice in voices if voice != recording.file]
            samples = apply_condition(condition, samples, others, rng, name)
        samples = level(samples, name)
        speech = trim(samples, name)
        speech = reduce_noise(speech)
        return extract_frames(speech), "; ".join(notes) or None
    except Exception as error:
        return None, str(file_error(name, error))


def compute_all(recordings, cache, condition, voices):
    """Give recordings their frames, from the cache or on all cores; returns lines by name."""
    died = "the process that read it was killed; does it take more memory than there is?"
    for recording in recordings:
        recording.condition, recording.frames = condition, cache.load(recording.hash)
    new, lines = [recording for recording in recordings if recording.frames is None], {}
    jobs = ((recording, condition, voices) for recording in new)
    with (
        contextlib.closing(run_jobs(compute_frames, jobs)) as results,
        tqdm(results, "Computing", len(new), unit=" files", disable=None) as progress,
    ):
        for number, result in progress:
            recording = new[number]
            recording.frames, lines[recording.name] = result or (None, f"{recording.name}: {died}")
            if recording.frames is not None:
                cache.save(recording.hash, recording.frames)
    return lines


def compute_takes(takes, cache, condition, voices):
    """The same of the first file of each take, and of the next where one is refused.

    Returns
    -------
    recordings : list of Recording, those that are used
    refused, notes : list of str, lines about recordings that are not used, and that are
    """
    lines, rest = {}, takes
    while rest:
        lines |= compute_all([first for first, *_ in rest], cache, condition, voices)
        rest = [others for first, *others in rest if others and first.frames is None]
    recordings, refused, notes = [], [], []
    for copy in (copy for copies in takes for copy in copies):
        if copy.frames is not None:
            recordings.append(copy)
        if line := lines.get(copy.name):
            (refused if copy.frames is None else notes).append(line)
    recordings, contradictions = drop_twins(recordings)
    return recordings, refused + contradictions, notes


def parse_arguments():
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("paths", nargs="*", type=Path, help="folders or files (default: every corpus below data/)")
    words = "columns file (relative to the table), emotion, speaker, start, end"
    add("--labels", type=Path, metavar="TABLE.csv", help=words)
    words = "your own names of emotions: Freude=happy,boredom=neutral"
    add("--map", type=read_names, default="", metavar="NAME=EMOTION,...", help=words)
    words = "features file to write (default: data/features.json, or data/CONDITION.json)"
    add("--output", type=Path, help=words)
    words = "change all recordings, to test a network: white noise or babble of "
    words += f"{CONDITION_VOICES} others at {CONDITION_SNR:.0f} dB SNR, a telephone's band, "
    add("--condition", choices=CONDITIONS, default="", help=f"{words}other gains")
    add("--debug", action="store_true", help="show the traceback of a fault")
    arguments = parser.parse_args()
    arguments.output = arguments.output or DATA / f"{arguments.condition or 'features'}.json"
    return arguments


def main():
    """Find the recordings, compute their frames, write the features file."""
    arguments = parse_arguments()
    if arguments.debug:
        os.environ["SENTIMENTAL_DEBUG"] = "1"  # workers inherit it
    start = time.monotonic()
    condition, output, labels = arguments.condition, arguments.output, arguments.labels
    given = arguments.paths if arguments.paths or labels else find_corpora(DATA)

    files, n_passed_over, lines = find_files(given)
    refused = Counter(lines)
    table, lines = read_table(labels, arguments.map) if labels else ({}, [])
    refused.update(lines)
    sources = [*given, labels] if labels else given
    check_outputs([output], [*files, *table, *sources])
    takes, left_out, lines = describe_files(files, given, table, arguments.map)
    refused.update(lines)

    voices = {first.file: first.hash for first, *_ in takes} if condition == "babble" else {}
    with FrameCache(output, condition, voices) as cache:
        recordings, lines, notes = compute_takes(takes, cache, condition, [*voices])
        if recordings:
            save_features(output, recordings)
    refused.update(lines)
    if not recordings:
        print_refused(refused)
        raise SentimentalError(
            f"{', '.join(map(str, sources))}: no recording could be used, nothing was written; "
            "give folders that hold recordings"
        )
    n_duplicates = sum(map(len, takes)) - len(recordings) - len(lines)
    print_summary(recordings, n_duplicates, n_passed_over, left_out, refused)
    for line in notes:
        print(shown(f"  note: {line}"))
    n_known = sum(cache.load(recording.hash) is not None for recording in recordings)
    print(
        f"{len(recordings) - n_known} computed, {n_known} taken from the last run, "
        f"in {time.monotonic() - start:.1f} s; "
        f"{shown(output)} has {output.stat().st_size / 1e6:.1f} MB"
    )


if __name__ == "__main__":
    if "--debug" not in sys.argv:  # tracebacks of workers go the way of such notes
        mute_libraries()
    sys.exit(run_script(main))
