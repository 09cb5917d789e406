"""Turn folders of recordings into the features that train_model.py learns from.

    python preprocess.py data/TESS data/RAVDESS
    python preprocess.py data/TESS data/RAVDESS my_recordings --output data/features.json

Folders are read recursively. Emotion, speaker and corpus are told by the file name for TESS,
RAVDESS, CREMA-D and SAVEE; for any other recording the emotion is the name of the folder that it
lies in (my_recordings/happy/monday.wav). A file whose emotion cannot be told is reported, never
guessed. A recording met twice is used once. A second run computes only what is new or changed.

Each recording is resampled to 16 kHz mono, brought to a peak of +5 dBFS, trimmed and denoised; then
MFCC, RMS and zero-crossing rate of each frame are stored. Of a recording longer than 5 s after
trimming, the 5 s with the most energy count. The constants stand in sentimental.py.
"""

import argparse
import hashlib
import os
import re
import time
from collections import Counter, defaultdict
from pathlib import Path

from joblib import Parallel, delayed
from tqdm import tqdm

import sentimental
from sentimental import EMOTIONS, SentimentalError

# How each corpus names its files, without the extension.
CORPORA = {
    "TESS": r"(?P<speaker>OAF?|YAF)_\w+_(?P<emotion>angry|disgust|fear|happy|neutral|ps|sad)",
    "RAVDESS": r"0[1-3]-01-(?P<emotion>0[1-8])-\d\d-\d\d-\d\d-(?P<speaker>\d\d)",
    "RAVDESS song": r"0[1-3]-02-(?P<emotion>0[1-8])-\d\d-\d\d-\d\d-(?P<speaker>\d\d)",
    "CREMA-D": r"(?P<speaker>1\d{3})_[A-Z]{3}_(?P<emotion>ANG|DIS|FEA|HAP|NEU|SAD)_[A-Z]{2}",
    "SAVEE": r"(?P<speaker>DC|JE|JK|KL)_(?P<emotion>sa|su|[adfhn])\d\d",
}
EMOTION_CODES = {
    "neutral": {"neutral", "01", "neu", "n"},
    "calm": {"calm", "02"},
    "happy": {"happy", "03", "hap", "h"},
    "sad": {"sad", "04", "sa"},
    "angry": {"angry", "05", "ang", "a"},
    "fear": {"fear", "06", "fea", "f"},
    "disgust": {"disgust", "07", "dis", "d"},
    "surprise": {"surprise", "08", "ps", "su"},  # ps: TESS's pleasant surprise
}
SPEAKER_ALIASES = {"OA": "OAF"}  # one TESS file, OA_bite_neutral.wav, has a shorter prefix
# glibc gives the memory of every freed array back to the system, and the next array gets it anew,
# page by page: a third of the chain's time. With these it is kept. Other systems ignore them.
MALLOC_SETTINGS = {"MALLOC_TRIM_THRESHOLD_": "268435456", "MALLOC_MMAP_THRESHOLD_": "268435456"}
NOT_SOUND = {".csv", ".html", ".json", ".md", ".pdf", ".py", ".txt", ".zip"}  # lie beside corpora


def describe(path):
    """Tell corpus, speaker and emotion of a recording from its name, or its folder's.

    Parameters
    ----------
    path : Path

    Returns
    -------
    recording : dict with ``file``, ``corpus``, ``speaker`` and ``emotion``
        For a recording of no known corpus: the corpus is the name of the folder that holds the
        emotions' folders, and the speaker is "".

    Raises
    ------
    SentimentalError
        When the emotion cannot be told.
    """
    recording = {"file": path.as_posix()}
    for corpus, pattern in CORPORA.items():
        match = re.fullmatch(pattern, path.stem, re.IGNORECASE)
        if match:
            speaker = match["speaker"].upper()
            return recording | {
                "corpus": corpus,
                "speaker": SPEAKER_ALIASES.get(speaker, speaker),
                "emotion": _emotion_of(match["emotion"].lower()),
            }
    folder = path.absolute().parent
    if folder.name.lower() not in EMOTIONS:
        raise SentimentalError(
            f"{path}: its emotion cannot be told; put it into a folder named by one of "
            f"{', '.join(EMOTIONS)}"
        )
    return recording | {
        "corpus": folder.parent.name,
        "speaker": "",
        "emotion": folder.name.lower(),
    }


def _emotion_of(code):
    return next(emotion for emotion, codes in EMOTION_CODES.items() if code in codes)


def find_files(paths):
    """List the files below the given folders, and what cannot be found.

    Parameters
    ----------
    paths : list of Path, folders or files

    Returns
    -------
    files : list of Path, sorted, each once
    passed_over : int, hidden files and files that are no sound by their extension
    refused : list of str, a line for each path that does not exist
    """
    files, refused, passed_over = set(), [], 0
    for path in paths:
        if path.is_dir():
            for file in path.rglob("*"):
                if file.name.startswith(".") or file.suffix.lower() in NOT_SOUND:
                    passed_over += file.is_file()
                elif file.is_file():
                    files.add(file)
        elif path.is_file():
            files.add(path)
        else:
            refused.append(f"{path}: no such file or folder")
    return sorted(files), passed_over, refused


def describe_files(files):
    """Describe every file, and take each recording once.

    Parameters
    ----------
    files : list of Path

    Returns
    -------
    recordings : list of dict, as `describe` gives them, and ``hash``; sorted by corpus and name
    n_copies : int, files that are the same recording as one that is used
    refused : list of str, a line for each file that is not used
    """
    same, refused = defaultdict(list), []
    for path in tqdm(files, desc="Looking", unit=" files", leave=False):
        try:
            recording = describe(path)
            recording["hash"] = hashlib.sha256(path.read_bytes()).hexdigest()
        except SentimentalError as error:
            refused.append(str(error))
        except OSError as error:
            refused.append(f"{path}: cannot be read ({error.strerror})")
        else:
            same[recording["hash"]].append(recording)
    recordings, n_copies = [], 0
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
        takes = {
            Path(copy["file"]).stem if copy["corpus"] in CORPORA else "": copy
            for copy in reversed(copies)
        }
        recordings += takes.values()
        n_copies += len(copies) - len(takes)
    recordings.sort(key=lambda recording: (recording["corpus"], Path(recording["file"]).name))
    return recordings, n_copies, refused


def compute_frames(path):
    """Run the signal chain over one file; any failure becomes a line, so that the rest goes on.

    Parameters
    ----------
    path : str

    Returns
    -------
    frames : np.ndarray [shape=(n_frames, N_FEATURES), float32], or None when refused
    refusal : str, or None
    """
    try:
        samples = sentimental.load_audio(path)
        return sentimental.extract_frames(sentimental.clean(samples, name=path)), None
    except SentimentalError as error:
        return None, str(error)
    except Exception as error:
        return None, f"{path}: {type(error).__name__}: {error}"


def known_frames(output):
    """Frames that an earlier run left in `output`, by the hash of the recording."""
    if not output.exists():
        return {}
    try:
        return {r["hash"]: r["frames"] for r in sentimental.load_features(output)}
    except SentimentalError as error:
        print(f"Computing everything again: {error}")
        return {}


def print_summary(recordings, n_copies, passed_over, refused):
    """Print files per corpus and emotion, and what was refused and why."""
    corpora = sorted({recording["corpus"] for recording in recordings})
    count = Counter((recording["corpus"], recording["emotion"]) for recording in recordings)
    width = max(len(corpus) for corpus in [*corpora, "corpus"])
    print(f"\n{'corpus':{width}}" + "".join(f"{name:>9}" for name in (*EMOTIONS, "all")))
    for corpus in corpora:
        row = [count[corpus, emotion] for emotion in EMOTIONS]
        print(f"{corpus:{width}}" + "".join(f"{number:9}" for number in (*row, sum(row))))
    print(
        f"\n{len(recordings)} recordings, {n_copies} copies used once, {len(refused)} refused",
        end="",
    )
    print(f", {passed_over} other files passed over" if passed_over else "")
    for line in refused:
        print(f"  refused: {line}")


def main():
    """Read the command line and write the features file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("paths", nargs="+", type=Path, help="folders or files of recordings")
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("data/features.json"),
        help="features file to write (default: %(default)s)",
    )
    arguments = parser.parse_args()
    start = time.monotonic()

    files, passed_over, refused = find_files(arguments.paths)
    recordings, n_copies, refused_names = describe_files(files)
    refused += refused_names

    known = known_frames(arguments.output)
    new = [recording["file"] for recording in recordings if recording["hash"] not in known]
    os.environ.update(MALLOC_SETTINGS)  # for the processes that are started now
    results = Parallel(n_jobs=-1, return_as="generator")(delayed(compute_frames)(f) for f in new)
    computed = dict(zip(new, tqdm(results, "Computing", len(new), unit=" files"), strict=True))

    finished = []
    for recording in recordings:
        frames, refusal = computed.get(recording["file"]) or (known[recording["hash"]], None)
        if refusal:
            refused.append(refusal)
        else:
            finished.append(recording | {"frames": frames})
    if not finished:
        for line in refused:
            print(f"  refused: {line}")
        raise SentimentalError("no recording could be used, nothing was written")
    sentimental.save_features(arguments.output, finished)
    print_summary(finished, n_copies, passed_over, refused)
    size = arguments.output.stat().st_size / 1e6
    print(
        f"{len(new)} computed, {len(recordings) - len(new)} taken from the last run, "
        f"in {time.monotonic() - start:.1f} s; {arguments.output} has {size:.1f} MB"
    )


if __name__ == "__main__":
    sentimental.run(main)
