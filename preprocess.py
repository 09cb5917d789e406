"""Turn folders of recordings into the features that train_model.py learns from.

    python preprocess.py data/TESS data/RAVDESS
    python preprocess.py data/TESS data/RAVDESS my_recordings --output data/features.json
    python preprocess.py --labels my_recordings/labels.csv --output mine.json
    python preprocess.py data/RAVDESS --condition babble --output data/babble.json

Folders are read recursively, linked ones as well. Emotion, speaker and corpus are told by the file
name for TESS, RAVDESS, CREMA-D, nEMO, ASED, BanglaSER, TurEV, AESDD, SAVEE and EmoDB; for any other
recording the emotion is the name of the folder that it lies in (my_recordings/happy/monday.wav).
Folders between the one given and those of the emotions are speakers when there are several
(my_recordings/anna/happy/monday.wav). A table, CSV with the columns file, emotion and, if known,
speaker, decides before names and folders. data/README.md tells the rules. A file whose emotion
cannot be told is reported, never guessed.
Recordings that are known to be faulty are left out, with the reason. A take that lies there in
several files is used once. A second run computes only what is new or changed, and a
run that was stopped, by whatever, goes on where it was: until the features file is whole, finished
recordings lie beside it in a folder features_unfinished.

Each recording is resampled to 16 kHz mono, brought to a peak of +5 dBFS, trimmed and denoised; then
MFCC, RMS, zero-crossing rate, pitch and harmonicity of each frame are stored. Of a recording longer
than 5 s after trimming, the 5 s with the most energy count. The constants stand in spectrum.py,
audio.py and features.py of sentimental/.

With --condition all recordings are changed in one way, to test how much a network loses by it.
"""

from dataclasses import replace

from sentimental.files import check_outputs, is_special
from sentimental.scripts import end_at_once, on_end_signals, run_script

if __name__ == "__main__":
    on_end_signals(end_at_once)  # before the imports that take seconds

import argparse
import contextlib
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
from tqdm import tqdm

from sentimental.audio import clean_audio, load_audio
from sentimental.features import extract_frames
from sentimental.features_file import load_features, save_features
from sentimental.files import find_files
from sentimental.preprocessing.cache import Finished
from sentimental.preprocessing.conditions import (
    CONDITION_SNR,
    CONDITION_VOICES,
    CONDITIONS,
    apply_condition,
)
from sentimental.preprocessing.labels import read_table
from sentimental.preprocessing.recordings import describe_files, drop_twins, next_copies
from sentimental.scripts import EMOTIONS, SentimentalError, mute_libraries, program_error, shown
from sentimental.workers import run_jobs


def compute_frames(path, content_hash, condition="", voices=()):
    """Run the signal chain over one file; any failure becomes a line, so that the rest goes on.

    Parameters
    ----------
    path : str
    content_hash : str, hexadecimal, of the file; seeds what is drawn
    condition : str, one of ``CONDITIONS`` or ""
    voices : list of str, files that babble is made of

    Returns
    -------
    frames : np.ndarray [shape=(n_frames, N_STORED), float32], or None when refused
    line : str or None; why it is refused, or what is missing of a recording that is used
    """
    notes = []
    try:
        samples = load_audio(path, notes.append)
        if condition:
            rng = np.random.default_rng([int(content_hash[:16], 16), CONDITIONS.index(condition)])
            others = [voice for voice in voices if voice != path]
            samples = apply_condition(condition, samples, others, rng, name=path)
        return extract_frames(clean_audio(samples, name=path)), "; ".join(notes) or None
    except SentimentalError as error:
        return None, str(error)
    except Exception as error:
        return None, str(program_error(path, error))


def known_frames(output, condition):
    """Frames that an earlier run left in `output`, by the hash of the recording.

    Those of another condition are computed anew, and babble always: it is made of the recordings of
    the run.
    """
    if condition == "babble" or is_special(output) or not output.exists():
        return {}
    try:
        return {
            recording.hash: recording.frames
            for recording in load_features(output)
            if recording.condition == condition
        }
    except SentimentalError as error:
        print(f"Computing everything again: {error}")
        return {}


def compute_all(recordings, kept, condition, voices):
    """Run the signal chain over many recordings, on all cores.

    Parameters
    ----------
    recordings : list of Recording
    kept : Finished
    condition, voices : as for `compute_frames`

    Returns
    -------
    computed : dict of (frames, refusal), as `compute_frames` gives them, by the recording's file
    """
    computed = {}
    jobs = ((recording.file, recording.hash, condition, voices) for recording in recordings)
    died = "the process that read it was killed; does it take more memory than there is?"
    with (
        contextlib.closing(run_jobs(compute_frames, jobs)) as results,
        tqdm(results, "Computing", len(recordings), unit=" files", disable=None) as progress,
    ):
        for number, result in progress:
            recording = recordings[number]
            result = frames, _ = result or (None, f"{recording.file}: {died}")
            computed[recording.file] = result
            if frames is not None:
                kept.save(recording.hash, frames)
    return computed


def print_summary(recordings, n_duplicates, n_passed_over, left_out, refused):
    """Print files per corpus and emotion, known speakers, and what was left out or refused."""
    corpora = sorted({recording.corpus for recording in recordings})
    count = Counter((recording.corpus, recording.emotion) for recording in recordings)
    width = max(len(shown(corpus)) for corpus in [*corpora, "corpus"])
    columns = (*EMOTIONS, "all", "speakers")
    print(f"\n{'corpus':{width}}" + "".join(f"{name:>9}" for name in columns))
    for corpus in corpora:
        row = [count[corpus, emotion] for emotion in EMOTIONS]
        row += [sum(row), len({r.speaker for r in recordings if r.corpus == corpus} - {""})]
        print(f"{shown(corpus):{width}}" + "".join(f"{number or '-':>9}" for number in row))
    counts = [f"{len(recordings)} recordings", f"{n_duplicates} duplicates used once"]
    counts += [f"{left_out.total()} left out"] if left_out else []
    counts += [f"{len(refused)} refused"]
    counts += [f"{n_passed_over} other files passed over"] if n_passed_over else []
    print(f"\n{', '.join(counts)}")
    for (corpus, reason), number in left_out.items():
        print(f"  left out: {number} of {corpus}, {reason}")
    for line in refused:
        print(shown(f"  refused: {line}"))


def main():
    """Read the command line and write the features file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("paths", nargs="*", type=Path, help="folders or files of recordings")
    parser.add_argument(
        "--labels",
        type=Path,
        metavar="TABLE.csv",
        help="recordings and their labels: columns file (relative to the table), emotion, speaker",
    )
    parser.add_argument(
        "--output",
        type=Path,
        help="features file to write (default: data/features.json, or data/CONDITION.json)",
    )
    parser.add_argument(
        "--condition",
        choices=CONDITIONS,
        default="",
        help=f"change all recordings, for tests: white noise or babble of {CONDITION_VOICES} other "
        f"recordings at {CONDITION_SNR:.0f} dB SNR, a telephone's band, or another gain",
    )
    arguments = parser.parse_args()
    if not (arguments.paths or arguments.labels):
        parser.error("give folders of recordings, or --labels TABLE.csv")
    condition = arguments.condition
    output = arguments.output or Path("data", f"{condition or 'features'}.json")
    start = time.monotonic()

    files, n_passed_over, refused = find_files(arguments.paths)
    table, refused_lines = read_table(arguments.labels) if arguments.labels else ({}, [])
    labels = [arguments.labels] if arguments.labels else []
    check_outputs([output], [*files, *table, *labels])
    takes, left_out, refused_files = describe_files(files, arguments.paths, table)
    refused += refused_lines + refused_files

    known = known_frames(output, condition)
    voices = [copies[0].file for copies in takes] if condition == "babble" else []
    folder = None if is_special(output) else output.with_name(f"{output.stem}_unfinished")
    kept = Finished(folder, condition, voices)
    computed, taken = {}, set()
    while recordings := next_copies(takes, computed):
        for recording in recordings:
            frames = known.get(recording.hash)
            if frames is None:
                frames = kept.load(recording.hash)
            if frames is not None:
                computed[recording.file] = frames, None
                taken.add(recording.file)
        new = [recording for recording in recordings if recording.file not in taken]
        computed |= compute_all(new, kept, condition, voices)

    finished, refusals, notes = [], [], []
    for recording in (copy for copies in takes for copy in copies if copy.file in computed):
        frames, line = computed[recording.file]
        if line:
            (refusals if frames is None else notes).append(line)
        if frames is not None:
            finished.append(replace(recording, condition=condition, frames=frames))
    finished, contradictions = drop_twins(finished)
    refusals += contradictions
    refused += refusals
    n_duplicates = sum(map(len, takes)) - len(finished) - len(refusals)
    n_known = sum(recording.file in taken for recording in finished)
    if not finished:
        kept.clear()
        for line in refused:
            print(shown(f"  refused: {line}"))
        given = ", ".join(map(str, arguments.paths + labels))
        raise SentimentalError(
            f"{given}: no recording could be used, nothing was written; give folders that hold "
            "recordings"
        )
    save_features(output, finished)
    kept.clear()
    print_summary(finished, n_duplicates, n_passed_over, left_out, refused)
    for line in notes:
        print(shown(f"  note: {line}"))
    size = output.stat().st_size / 1e6
    print(
        f"{len(finished) - n_known} computed, {n_known} taken from the last run, "
        f"in {time.monotonic() - start:.1f} s; {output} has {size:.1f} MB"
    )


if __name__ == "__main__":
    mute_libraries()
    sys.exit(run_script(main))
