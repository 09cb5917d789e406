"""Speed and memory of preprocess.py beside the textbook chain, over the same files in one run.

    python benchmarks/classic_preprocess.py data/TESS data/RAVDESS
    python benchmarks/classic_preprocess.py data/TESS data/RAVDESS --sample 200

The textbook chain is what tutorials show: pydub to load and normalize, librosa to trim, zeros up to
173,056 samples, noisereduce with its defaults, librosa's MFCC, RMS and zero-crossing rate, one
process. preprocess.py runs as its user would start it, on all cores, imports included.
"""

import contextlib
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import common
import librosa
import noisereduce
import numpy as np
import psutil
from pydub import AudioSegment, effects
from tqdm import tqdm

from sentimental.files import find_files
from sentimental.scripts import SentimentalError, interruptible, run_script

# Samples: the longest clip of the textbook, its frames and the distance of these.
TOTAL_LENGTH, FRAME_LENGTH, HOP_LENGTH = 173_056, 2048, 512
# s between two looks at the memory, each of which halts the processes.
SAMPLING_PERIOD = 2.0


def classic_chain(path):
    """Features of one file, as the textbook computes them; shape (15, 339)."""
    sound = effects.normalize(AudioSegment.from_file(path), headroom=-5.0)
    sample_rate = sound.frame_rate
    samples = np.array(sound.get_array_of_samples(), dtype=np.float32)
    trimmed, _ = librosa.effects.trim(samples, top_db=30)
    padded = np.pad(trimmed[:TOTAL_LENGTH], (0, max(0, TOTAL_LENGTH - len(trimmed))))
    denoised = noisereduce.reduce_noise(padded, sr=sample_rate)
    frames = {"frame_length": FRAME_LENGTH, "hop_length": HOP_LENGTH}
    rms = librosa.feature.rms(y=denoised, **frames)
    zcr = librosa.feature.zero_crossing_rate(denoised, **frames)
    mfcc = librosa.feature.mfcc(y=denoised, sr=sample_rate, n_mfcc=13, hop_length=HOP_LENGTH)
    return np.concatenate([rms, zcr, mfcc])


def memory_of(process):
    """Memory of a process and its children in bytes, pages that they share counted once."""
    total = 0
    for member in [process, *process.children(recursive=True)]:
        try:
            total += member.memory_full_info().pss
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue  # it ended between the two calls, or has only just started
    return total


def run_preprocess(files, folder):
    """Run preprocess.py over `files`; returns seconds, peak memory in bytes, and its output."""
    output = Path(folder) / "features.json"
    command = [sys.executable, common.ROOT / "preprocess.py", *files, "--output", output]
    with open(Path(folder) / "log.txt", "w+") as log:
        start = time.perf_counter()
        process = psutil.Popen(command, stdout=log, stderr=subprocess.DEVNULL)
        peak = 0
        while process.is_running():
            peak = max(peak, memory_of(process))
            with contextlib.suppress(psutil.TimeoutExpired):
                process.wait(SAMPLING_PERIOD)
                break
        seconds = time.perf_counter() - start
        if process.returncode:
            raise SentimentalError("preprocess.py failed; run it alone with the same folders")
        log.seek(0)
        return seconds, peak, log.read()


@interruptible()
def main():
    """Time both chains over the same files and print the ratio."""
    parser = common.parser(__doc__, paths="folders of recordings")
    parser.add_argument("--sample", type=int, help="only so many files, chosen at random")
    arguments = parser.parse_args()

    files, _, _ = find_files(arguments.paths)
    if arguments.sample:
        files = sorted(random.Random(1).sample(files, min(arguments.sample, len(files))))
    if not files:
        paths = ", ".join(map(str, arguments.paths))
        raise SentimentalError(f"{paths}: no files there; give folders that hold recordings")
    classic_chain(files[0])  # imports and compiled functions, so that they do not count
    start = time.perf_counter()
    for path in tqdm(files, "Textbook chain", unit=" files", disable=None):
        classic_chain(path)
    classic = time.perf_counter() - start
    with tempfile.TemporaryDirectory() as folder:
        paths = files if arguments.sample else arguments.paths
        ours, peak, output = run_preprocess(paths, folder)
    print(output)
    print(f"{len(files)} files on {psutil.cpu_count()} cores")
    print(f"textbook chain  {classic:7.1f} s  {classic / len(files) * 1e3:6.1f} ms a file")
    print(f"preprocess.py   {ours:7.1f} s  {ours / len(files) * 1e3:6.1f} ms a file")
    print(f"ratio {classic / ours:.1f}; peak memory of preprocess.py {peak / 1e6:.0f} MB")


if __name__ == "__main__":
    sys.exit(run_script(main))
