"""Turn folders of recordings into the features that train_model.py learns from.

    python preprocess.py data/TESS data/RAVDESS
    python preprocess.py data/TESS data/RAVDESS my_recordings --output data/features.json
    python preprocess.py data/RAVDESS --condition babble --output data/babble.json

Folders are read recursively. Emotion, speaker and corpus are told by the file name for TESS,
RAVDESS, CREMA-D and SAVEE; for any other recording the emotion is the name of the folder that it
lies in (my_recordings/happy/monday.wav). A file whose emotion cannot be told is reported, never
guessed. A recording met twice is used once. A second run computes only what is new or changed.

Each recording is resampled to 16 kHz mono, brought to a peak of +5 dBFS, trimmed and denoised; then
MFCC, RMS and zero-crossing rate of each frame are stored. Of a recording longer than 5 s after
trimming, the 5 s with the most energy count. The constants stand in sentimental.py.

With --condition all recordings are changed in one way, to test how much a network loses by it.
"""

import argparse
import contextlib
import hashlib
import os
import re
import time
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed
from tqdm import tqdm

import sentimental
from sentimental import EMOTIONS, SAMPLE_RATE, SentimentalError

# Conditions: what tests change (--condition)
CONDITION_SNR = 10.0  # dB, speech against white noise or babble
SPEECH_TOP_DB = 30  # dB below the loudest frame; ends that are quieter do not count as speech there
BABBLE_VOICES = 6  # other recordings, spoken at once
TELEPHONE_BAND = (300, 3400)  # Hz
CONDITION_GAIN = (-20.0, 6.0)  # dB; what then exceeds full scale clips, as in a sound card
CONDITIONS = ("white", "babble", "telephone", "gain")

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
    n_duplicates : int, files that are the same recording as one that is used
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
        takes = {
            Path(copy["file"]).stem if copy["corpus"] in CORPORA else "": copy
            for copy in reversed(copies)
        }
        recordings += takes.values()
        n_duplicates += len(copies) - len(takes)
    recordings.sort(key=lambda recording: (recording["corpus"], Path(recording["file"]).name))
    return recordings, n_duplicates, refused


def add_noise(samples, noise):
    """Add noise ``CONDITION_SNR`` below the speech; silence around it does not count as speech."""
    import librosa

    speech, _ = librosa.effects.trim(samples, top_db=SPEECH_TOP_DB)
    power, noise_power = (np.mean(np.square(x, dtype=np.float64)) for x in (speech, noise))
    ratio = power / max(noise_power, 1e-20) * 10 ** (-CONDITION_SNR / 10)
    return samples + noise * np.sqrt(ratio)


def draw_babble(n, voices, rng, name="recording"):
    """Several other recordings at once, each as loud and at a random moment of it.

    Parameters
    ----------
    n : int, samples
    voices : list of str, files; one that cannot be read is left out
    rng : np.random.Generator
    name : what error messages call the recording that is to be among them

    Returns
    -------
    babble : np.ndarray [shape=(n,)]

    Raises
    ------
    SentimentalError
        When none of them can be read.
    """
    babble, n_voices = np.zeros(n), 0
    for path in rng.permutation(voices):
        with contextlib.suppress(SentimentalError):  # it is refused under its own name
            voice = sentimental.load_audio(path)
            voice = np.resize(np.roll(voice, rng.integers(len(voice))), n)
            babble += voice / max(np.sqrt(np.mean(voice**2)), 1e-9)
            n_voices += 1
        if n_voices == BABBLE_VOICES:
            break
    if not n_voices:
        raise SentimentalError(f"{name}: babble needs other recordings that can be read")
    return babble


def put_under(condition, samples, voices, rng, name="recording"):
    """A recording under one of ``CONDITIONS``.

    Parameters
    ----------
    condition : str
    samples : np.ndarray [shape=(n,), float32], mono at ``SAMPLE_RATE``
    voices : list of str, files that babble is made of
    rng : np.random.Generator
    name : what error messages call the recording

    Returns
    -------
    samples : np.ndarray [shape=(n,), float32]
    """
    from scipy.signal import butter, sosfilt

    if condition == "gain":
        gain = 10 ** (rng.uniform(*CONDITION_GAIN) / 20)
        samples = np.clip(samples * gain, -1, 1)
    elif condition == "telephone":
        samples = sosfilt(butter(4, TELEPHONE_BAND, "band", fs=SAMPLE_RATE, output="sos"), samples)
    elif condition == "white":
        samples = add_noise(samples, rng.standard_normal(len(samples)))
    else:
        samples = add_noise(samples, draw_babble(len(samples), voices, rng, name))
    return samples.astype(np.float32)


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
    refusal : str, or None
    """
    try:
        samples = sentimental.load_audio(path)
        if condition:
            rng = np.random.default_rng([int(content_hash[:16], 16), CONDITIONS.index(condition)])
            others = [voice for voice in voices if voice != path]
            samples = put_under(condition, samples, others, rng, name=path)
        return sentimental.extract_frames(sentimental.clean(samples, name=path)), None
    except SentimentalError as error:
        return None, str(error)
    except Exception as error:
        return None, f"{path}: {type(error).__name__}: {error}"


def known_frames(output, condition):
    """Frames that an earlier run left in `output`, by the hash of the recording.

    Those of another condition are computed anew.
    """
    if not output.exists():
        return {}
    try:
        return {
            recording["hash"]: recording["frames"]
            for recording in sentimental.load_features(output)
            if recording["condition"] == condition
        }
    except SentimentalError as error:
        print(f"Computing everything again: {error}")
        return {}


def print_summary(recordings, n_duplicates, passed_over, refused):
    """Print files per corpus and emotion, and what was refused and why."""
    corpora = sorted({recording["corpus"] for recording in recordings})
    count = Counter((recording["corpus"], recording["emotion"]) for recording in recordings)
    width = max(len(corpus) for corpus in [*corpora, "corpus"])
    print(f"\n{'corpus':{width}}" + "".join(f"{name:>9}" for name in (*EMOTIONS, "all")))
    for corpus in corpora:
        row = [count[corpus, emotion] for emotion in EMOTIONS]
        print(f"{corpus:{width}}" + "".join(f"{number:9}" for number in (*row, sum(row))))
    counts = f"{n_duplicates} duplicates used once, {len(refused)} refused"
    print(f"\n{len(recordings)} recordings, {counts}", end="")
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
        help="features file to write (default: data/features.json, or data/CONDITION.json)",
    )
    parser.add_argument(
        "--condition",
        choices=CONDITIONS,
        default="",
        help=f"change all recordings, for tests: white noise or babble of {BABBLE_VOICES} other "
        f"recordings at {CONDITION_SNR:.0f} dB SNR, a telephone's band, or another gain",
    )
    arguments = parser.parse_args()
    output = arguments.output or Path("data", f"{arguments.condition or 'features'}.json")
    start = time.monotonic()

    files, passed_over, refused = find_files(arguments.paths)
    recordings, n_duplicates, refused_names = describe_files(files)
    refused += refused_names

    known = known_frames(output, arguments.condition)
    new = [recording for recording in recordings if recording["hash"] not in known]
    babbles = arguments.condition == "babble"
    voices = [recording["file"] for recording in recordings] if babbles else []
    os.environ.update(MALLOC_SETTINGS)  # for the processes that are started now
    results = Parallel(n_jobs=-1, return_as="generator")(
        delayed(compute_frames)(r["file"], r["hash"], arguments.condition, voices) for r in new
    )
    results = tqdm(results, "Computing", len(new), unit=" files")
    computed = dict(zip((r["file"] for r in new), results, strict=True))

    finished = []
    for recording in recordings:
        frames, refusal = computed.get(recording["file"]) or (known[recording["hash"]], None)
        if refusal:
            refused.append(refusal)
        else:
            finished.append(recording | {"condition": arguments.condition, "frames": frames})
    if not finished:
        for line in refused:
            print(f"  refused: {line}")
        raise SentimentalError("no recording could be used, nothing was written")
    sentimental.save_features(output, finished)
    print_summary(finished, n_duplicates, passed_over, refused)
    size = output.stat().st_size / 1e6
    print(
        f"{len(new)} computed, {len(recordings) - len(new)} taken from the last run, "
        f"in {time.monotonic() - start:.1f} s; {output} has {size:.1f} MB"
    )


if __name__ == "__main__":
    sentimental.run(main)
