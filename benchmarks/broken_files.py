"""Damage recordings in every way: each must be used, or refused in one line, soon and in bounds.

    python benchmarks/broken_files.py 200          # a minute; not on Windows
    python benchmarks/broken_files.py 10000 --keep broken

A clip is written in the formats that people have. Of each of N copies some bits are turned, some
numbers of its header are replaced, the end or a part in the middle is lost. Then each copy goes
through what preprocess.py and --input do to a recording, in a process of its own whose time and
memory are measured, and all of them through the two scripts, which must come to the end.

Exit status 1 when one copy raises anything but a SentimentalError, or takes more than MAX_SECONDS
or MAX_MEGABYTES, or a script does not come to its end.
"""

import contextlib
import os
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter, namedtuple
from pathlib import Path

import common
import numpy as np
import soundfile

from sentimental import SentimentalError, load_recognizer
from sentimental.audio import clean_audio, load_audio
from sentimental.features import extract_frames
from sentimental.scripts import interruptible, run_script
from sentimental.vad import Speech, check_speech

CLIP = common.ROOT / "data" / "samples" / "news.flac"
# s and MB (memory of the libraries included) that a copy may take.
MAX_SECONDS = 5.0
MAX_MEGABYTES = 500.0
# What stops a copy that would take the machine down: s of wall time and bytes of address space.
STOP_SECONDS = 60
STOP_BYTES = 8 << 30

# Extension, and what soundfile or ffmpeg is told.
WITH_SOUNDFILE = [
    ("wav", {"subtype": "PCM_16"}),
    ("wav", {"subtype": "PCM_U8"}),
    ("wav", {"subtype": "FLOAT"}),
    ("wav", {"subtype": "IMA_ADPCM"}),
    ("wav", {"format": "RF64"}),
    ("w64", {}),
    ("aiff", {"subtype": "PCM_24"}),
    ("au", {"subtype": "ULAW"}),
    ("caf", {"subtype": "ALAC_16"}),
    ("flac", {}),
    ("ogg", {"subtype": "VORBIS"}),
    ("ogg", {"subtype": "OPUS"}),
    ("mp3", {}),
]
WITH_FFMPEG = [
    ("flac", "-f flac -"),  # into a pipe, so without its length
    ("wav", "-c:a adpcm_g722"),
    ("m4a", "-c:a aac"),
    ("mp4", "-f lavfi -i testsrc=d=1:s=64x64:r=5 -c:a aac -movflags +faststart"),
    ("webm", "-c:a libopus"),
    ("mkv", "-c:a pcm_s16le"),
    ("avi", "-c:a adpcm_ms"),
    ("mov", "-c:a adpcm_ima_qt"),
    ("flv", "-c:a adpcm_swf -ar 22050"),
    ("wma", "-c:a wmav2"),
    ("mp3", "-c:a libmp3lame -q:a 5 -ac 2"),
]
# Numbers that headers are known to lie with.
LIES = [0, 1, 2, 3, 255, 1 << 15, (1 << 16) - 1, 7_626_176, (1 << 31) - 1, 1 << 31, (1 << 32) - 1]

Result = namedtuple("Result", "name outcome seconds megabytes words")


def make_originals(folder):
    """The clip in each format; dict of bytes by a name that ends with the extension."""
    originals = {}
    samples, sample_rate = soundfile.read(CLIP)
    for extension, options in WITH_SOUNDFILE:
        path = folder / f"{len(originals):02}.{extension}"
        soundfile.write(path, samples, sample_rate, **options)
        originals[path.name] = path.read_bytes()
    for extension, options in WITH_FFMPEG if shutil.which("ffmpeg") else ():
        path = folder / f"{len(originals):02}.{extension}"
        command = ["ffmpeg", "-v", "error", "-nostdin", "-i", CLIP, *options.split()]
        command += [] if options.endswith(" -") else [path]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
        originals[path.name] = done.stdout or path.read_bytes()
    return originals


def damage(content, rng):
    """A copy of bytes with one to three kinds of damage."""
    content = bytearray(content)
    for kind in rng.choice(["bits", "header", "cut", "hole"], rng.integers(1, 4)):
        size = len(content)
        if kind == "bits":
            for place in rng.integers(0, size, rng.integers(1, 50)):
                content[place] ^= 1 << rng.integers(8)
        elif kind == "header":  # whose rate and lengths come first; some formats have it at the end
            span = min(size, rng.choice([48, 300])) - 8
            for place in rng.integers(0, span, rng.integers(1, 5)):
                if rng.random() < 0.2:
                    place = size - 8 - place
                form = rng.choice(["<H", ">H", "<I", ">I", "<Q", ">Q"])
                number = rng.choice(LIES) if rng.random() < 0.7 else rng.integers(1 << 32)
                number = int(number) % (1 << 8 * struct.calcsize(form))
                struct.pack_into(form, content, max(0, place), number)
        elif kind == "cut":
            del content[max(308, int(size * rng.random())) :]
        else:
            start, length = rng.integers(0, size), rng.integers(1, size // 4)
            content[start : start + length] = bytes(len(content[start : start + length]))
    return bytes(content)


def attempt(path, recognizer):
    """What the scripts do with a recording; returns an outcome and its words."""
    try:
        notes = []
        samples = load_audio(path, notes.append)
        extract_frames(clean_audio(samples, path))
        check_speech(samples, path)
        probabilities = recognizer.recognize(Speech(0, 1, samples), path).probabilities
        if not np.isclose(sum(probabilities.values()), 1):
            return "TRACEBACK", f"probabilities {probabilities}"
        return "used, with a note" if notes else "used", ""
    except SentimentalError as error:
        return "refused", str(error)
    except BaseException:
        return "TRACEBACK", traceback.format_exc()


def start_attempt(path, recognizer):
    """Let a new process attempt a recording, and write outcome and words beside it."""
    pid = os.fork()
    if pid:
        return pid
    with open(os.devnull, "wb") as null:  # a script has no notes of libraries on its terminal
        os.dup2(null.fileno(), 2)
    signal.alarm(STOP_SECONDS)
    resource.setrlimit(resource.RLIMIT_AS, (STOP_BYTES, STOP_BYTES))
    path.with_suffix(".said").write_text("\n".join(attempt(path, recognizer)))
    os._exit(0)


def end_attempt(running):
    """Wait for one of the processes in `running`, which it leaves; returns its Result."""
    pid, status, usage = os.wait4(-1, 0)
    path, start = running.pop(pid)
    outcome, words = "TRACEBACK", f"ended with status {status}"
    said = path.with_suffix(".said")
    with contextlib.suppress(FileNotFoundError):
        outcome, _, words = said.read_text().partition("\n")
        said.unlink()
    unit = 1 if sys.platform == "darwin" else 1024
    seconds, megabytes = time.monotonic() - start, usage.ru_maxrss * unit / 1e6
    return Result(path.name, outcome, seconds, megabytes, words)


def run_scripts(folder):
    """Give all files of a folder to both scripts; returns a line for each that fails."""
    failed = []
    names = sorted(path.name for path in folder.iterdir())
    for script, arguments, expected in [
        ("preprocess.py", [".", "--output", folder.parent / "features.json"], {0}),
        ("realtime_emotion_recognition.py", ["--input", *names], {0, 1}),
    ]:
        command = [sys.executable, common.ROOT / script, *arguments]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        n_lines = len(done.stdout.splitlines()) + done.stderr.count("error: ")
        is_whole = script == "preprocess.py" or n_lines >= len(names)
        if done.returncode not in expected or "Traceback" in done.stderr or not is_whole:
            end = (done.stderr or done.stdout).strip().rpartition("\n")[2]
            failed.append(f"{script}: status {done.returncode}, {n_lines} lines: {end}")
    return failed


@interruptible()
def main():
    """Damage, measure, and print."""
    parser = common.parser(__doc__)
    parser.add_argument("n", type=int, help="damaged copies")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="where the copies shall stay")
    args = parser.parse_args()

    recognizer = load_recognizer()
    with tempfile.TemporaryDirectory() as temporary:
        originals = make_originals(Path(temporary))
        folder = Path(args.keep or temporary, "happy")  # whose name is an emotion
        folder.mkdir(parents=True)
        results, running = [], {}
        for number in range(-len(originals), args.n):  # the originals first, as they are
            name = list(originals)[number % len(originals)]
            content = originals[name]
            if number >= 0:
                rng = np.random.default_rng([0, number])
                content, name = damage(content, rng), f"{number:05}_{name}"
            path = folder / name
            path.write_bytes(content)
            running[start_attempt(path, recognizer)] = path, time.monotonic()
            if len(running) == os.cpu_count():
                results.append(end_attempt(running))
        while running:
            results.append(end_attempt(running))
        outcomes = Counter(result.outcome for result in results)
        print(", ".join(f"{number} {outcome}" for outcome, number in sorted(outcomes.items())))
        slowest = max(results, key=lambda result: result.seconds)
        largest = max(results, key=lambda result: result.megabytes)
        print(f"slowest: {slowest.seconds:.1f} s, {slowest.name}")
        print(f"largest: {largest.megabytes:.0f} MB, {largest.name}", flush=True)
        failed = run_scripts(folder)

    for result in results:
        is_undamaged = result.name in originals
        if (
            result.outcome == "TRACEBACK"
            or result.seconds > MAX_SECONDS
            or result.megabytes > MAX_MEGABYTES
            or (is_undamaged and result.outcome != "used")
        ):
            failed.append(" ".join(map(str, result)))
    for line in failed:
        print(f"FAILED: {line}")
    return bool(failed)


if __name__ == "__main__":
    raise SystemExit(run_script(main))
