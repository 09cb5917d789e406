"""Turn folders of recordings into the features that train_model.py learns from.

    python preprocess.py data/TESS data/RAVDESS
    python preprocess.py data/TESS data/RAVDESS my_recordings --output data/features.json
    python preprocess.py data/RAVDESS --condition babble --output data/babble.json

Folders are read recursively. Emotion, speaker and corpus are told by the file name for TESS,
RAVDESS, CREMA-D, nEMO, ASED, BanglaSER, TurEV, AESDD and SAVEE (BanglaSER's is told from RAVDESS's
by a folder BanglaSER above it, AESDD's lie in a folder per emotion); for any other recording the
emotion is the name of the folder that it lies in (my_recordings/happy/monday.wav). A file whose
emotion cannot be told is reported, never guessed. Recordings that are known to be faulty are left
out, with the reason. A recording met twice is used once. A second run computes only what is new or
changed.

Each recording is resampled to 16 kHz mono, brought to a peak of +5 dBFS, trimmed and denoised; then
MFCC, RMS, zero-crossing rate, pitch and harmonicity of each frame are stored. Of a recording longer
than 5 s after trimming, the 5 s with the most energy count. The constants stand in spectrum.py,
audio.py and features.py of sentimental/.

With --condition all recordings are changed in one way, to test how much a network loses by it.
"""

import argparse
import hashlib
import os
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed
from tqdm import tqdm

from sentimental.audio import clean_audio, load_audio
from sentimental.base import (
    EMOTIONS,
    WORKER_MEMORY,
    SentimentalError,
    keep_terminal,
    run_script,
    shown,
)
from sentimental.conditions import (
    CONDITION_SNR,
    CONDITION_VOICES,
    CONDITIONS,
    apply_condition,
)
from sentimental.corpora import CORPORA, describe, reason_left_out
from sentimental.features import extract_frames
from sentimental.storage import load_features, save_features

# Extensions of files that lie beside the recordings of corpora.
NOT_SOUND = {".csv", ".html", ".json", ".md", ".pdf", ".py", ".txt", ".zip"}


def find_files(paths):
    """List the files below the given folders, and what cannot be found or read.

    Parameters
    ----------
    paths : list of Path, folders or files

    Returns
    -------
    files : list of Path, sorted, each once
    n_passed_over : int, hidden files and files that are no sound by their extension
    refused : list of str, a line for each path that does not exist or cannot be read
    """
    files, refused, n_passed_over = set(), [], 0

    def refuse_folder(error):
        refused.append(f"{error.filename}: cannot be read ({error.strerror}); check its rights")

    for path in paths:
        if path.is_file():
            files.add(path)
            continue
        if not path.is_dir():
            refused.append(f"{path}: no such file or folder; check the name")
            continue
        for folder, _, names in os.walk(path, onerror=refuse_folder):
            for file in (Path(folder, name) for name in names):
                if file.name.startswith(".") or file.suffix.lower() in NOT_SOUND:
                    n_passed_over += 1
                elif file.is_file():
                    files.add(file)
                else:
                    refused.append(f"{file}: no file that can be read; is it a broken link?")
    return sorted(files), n_passed_over, refused


def describe_files(files):
    """Describe every file, and take each recording once.

    Parameters
    ----------
    files : list of Path

    Returns
    -------
    recordings : list of dict, as `describe` gives them, and ``hash``; sorted by corpus and name
    n_duplicates : int, files that are the same recording as one that is used
    left_out : Counter of files by (corpus, reason), as `reason_left_out` gives it
    refused : list of str, a line for each file that is not used
    """
    same, left_out, refused = defaultdict(list), Counter(), []
    for path in tqdm(files, "Looking", unit=" files", leave=False, disable=None):
        try:
            recording = describe(path)
            if reason := reason_left_out(recording):
                left_out[recording["corpus"], reason] += 1
                continue
            recording["hash"] = hashlib.sha256(path.read_bytes()).hexdigest()
        except SentimentalError as error:
            refused.append(str(error))
        except OSError as error:
            refused.append(f"{path}: cannot be read ({error.strerror}); check its rights")
        else:
            same[recording["hash"]].append(recording)
    recordings, n_duplicates = [], 0
    for copies in same.values():
        if len({copy["emotion"] for copy in copies}) > 1:
            told = ", ".join(f"{copy['file']} as {copy['emotion']}" for copy in copies)
            refused += [
                f"{copy['file']}: one recording with several emotions ({told}); keep the right one"
                for copy in copies
            ]
            continue
        # RAVDESS was published with one recording under the names of two takes (actor 07, happy).
        # Every split of it counts both, so within a corpus only the same name makes a copy.
        known = [copy for copy in copies if copy["corpus"] in CORPORA]
        takes = {Path(copy["file"]).stem: copy for copy in reversed(known)} or {"": copies[0]}
        recordings += takes.values()
        n_duplicates += len(copies) - len(takes)
    recordings.sort(key=lambda recording: (recording["corpus"], Path(recording["file"]).name))
    return recordings, n_duplicates, left_out, refused


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
        return None, f"{path}: {type(error).__name__}: {error}"


def known_frames(output, condition):
    """Frames that an earlier run left in `output`, by the hash of the recording.

    Those of another condition are computed anew, and babble always: it is made of the recordings of
    the run.
    """
    if condition == "babble" or not output.exists():
        return {}
    try:
        return {
            recording["hash"]: recording["frames"]
            for recording in load_features(output)
            if recording["condition"] == condition
        }
    except SentimentalError as error:
        print(f"Computing everything again: {error}")
        return {}


def print_summary(recordings, n_duplicates, n_passed_over, left_out, refused):
    """Print files per corpus and emotion, and what was left out or refused and why."""
    corpora = sorted({recording["corpus"] for recording in recordings})
    count = Counter((recording["corpus"], recording["emotion"]) for recording in recordings)
    width = max(len(corpus) for corpus in [*corpora, "corpus"])
    print(f"\n{'corpus':{width}}" + "".join(f"{name:>9}" for name in (*EMOTIONS, "all")))
    for corpus in corpora:
        row = [count[corpus, emotion] for emotion in EMOTIONS]
        print(f"{corpus:{width}}" + "".join(f"{number:9}" for number in (*row, sum(row))))
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
    parser.add_argument("paths", nargs="+", type=Path, help="folders or files of recordings")
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
    condition = arguments.condition
    output = arguments.output or Path("data", f"{condition or 'features'}.json")
    start = time.monotonic()

    files, n_passed_over, refused = find_files(arguments.paths)
    recordings, n_duplicates, left_out, refused_files = describe_files(files)
    refused += refused_files

    known = known_frames(output, condition)
    new = [recording for recording in recordings if recording["hash"] not in known]
    n_known = len(recordings) - len(new)
    voices = [recording["file"] for recording in recordings] if condition == "babble" else []
    os.environ.update(WORKER_MEMORY)
    results = Parallel(n_jobs=-1, return_as="generator")(
        delayed(compute_frames)(r["file"], r["hash"], condition, voices) for r in new
    )
    results = tqdm(results, "Computing", len(new), unit=" files", disable=None)
    computed = dict(zip((r["file"] for r in new), results, strict=True))

    finished, notes = [], []
    for recording in recordings:
        frames, line = computed.get(recording["file"]) or (known[recording["hash"]], None)
        if line:
            (refused if frames is None else notes).append(line)
        if frames is not None:
            finished.append(recording | {"condition": condition, "frames": frames})
    if not finished:
        for line in refused:
            print(shown(f"  refused: {line}"))
        raise SentimentalError(
            f"{', '.join(map(str, arguments.paths))}: no recording could be used, nothing was "
            "written; give folders that hold recordings"
        )
    save_features(output, finished)
    print_summary(finished, n_duplicates, n_passed_over, left_out, refused)
    for line in notes:
        print(shown(f"  note: {line}"))
    size = output.stat().st_size / 1e6
    print(
        f"{len(finished) - n_known} computed, {n_known} taken from the last run, "
        f"in {time.monotonic() - start:.1f} s; {output} has {size:.1f} MB"
    )


if __name__ == "__main__":
    keep_terminal()
    sys.exit(run_script(main))
