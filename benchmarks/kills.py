"""Kill each script at random moments, and see that nothing is lost and the next run goes on.

    python benchmarks/kills.py                50 kills, in ten minutes
    python benchmarks/kills.py 200 --seed 2

A run is stopped by SIGTERM, SIGHUP, SIGINT or SIGKILL, at a moment drawn between the start of the
script (before, it is Python alone that hears a signal) and its end. Then there must be no process
of it, no file that is cut and no traceback, and all that it said to be finished must be there.
After a signal that it can hear of, its exit status is 128 and the number of the signal, and no
partial file is left but of worker processes. The same command, given again, must take up what was
finished and leave what an undisturbed run does. Live sessions are killed as well where there is
PulseAudio (see virtual_microphone.py).

All data are made here. Exit status: 0 when all is well, 1 with a line for each fault.
"""

import collections
import contextlib
import csv
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import common
import numpy as np
import psutil
import soundfile
from virtual_microphone import missing, virtual_microphone

from sentimental.live.writers import COLUMNS
from sentimental.preprocessing.cache import read_unfinished
from sentimental.scripts import SentimentalError, interruptible, run_script
from sentimental.spectrum import SAMPLE_RATE
from sentimental.voice import Voice

SIGNALS = [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGKILL]
N_ACTORS, N_INPUTS, N_EPOCHS = 24, 12, 4
# s in which the processes of a script that was killed must be gone.
GONE_SECONDS = 5.0
# s after which a script that was killed never ends.
HANGS_SECONDS = 60
# s in which Python has started and heeds signals.
STARTED_SECONDS = 0.3
# s of a live session that is not disturbed.
LIVE_SECONDS = 12.0
# s of audio at the end that a session may lose which is killed.
LOST_SECONDS = 1.0

TRAINING = [
    f"--set=training.epochs={N_EPOCHS}",
    "--set=training.steps_per_epoch=4",
    "--set=training.batch_size=8",
    "--set=training.units=8",
]
LIVE = ["--no-window", "--log", "log.csv", "--save-audio", "audio.flac", "--voice", "voice.json"]
COMMANDS = {
    "preprocess": ["preprocess.py", "RAVDESS", "--output", "out/features.json"],
    "input": [
        *("realtime_emotion_recognition.py", "--voice", "voice.json", "--log", "log.csv"),
        *("--save-plot", "chart.png", "--input", *(f"{n}.flac" for n in range(N_INPUTS))),
    ],
    "train": ["train_model.py", "features.json", "--model", "mine.json", *TRAINING],
    "folds": ["train_model.py", "features.json", "--seeds", "2", *TRAINING],
    "live": ["realtime_emotion_recognition.py", *LIVE],
}
# What is killed, in turns: trainings take longest, for TensorFlow is loaded twice.
TURNS = ["preprocess", "input", "live", "preprocess", "input", "train", "live"]
TURNS += ["preprocess", "input", "folds"]


def make_data(folder):
    """Recordings named as those of RAVDESS, their features, and clips of speech."""
    (folder / "RAVDESS").mkdir()
    rng = np.random.default_rng(0)
    times = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    for emotion in range(1, 9):
        for actor in range(1, N_ACTORS + 1):
            pitch = 90 + 20 * emotion + actor
            buzz = sum(np.sin(2 * np.pi * k * pitch * times) / k for k in range(1, 12))
            sound = 0.1 * buzz * (0.2 + np.sin(2 * np.pi * 2 * times) ** 2)
            sound += 1e-3 * rng.standard_normal(len(times))
            name = f"03-01-{emotion:02d}-01-01-01-{actor:02d}.wav"
            soundfile.write(folder / "RAVDESS" / name, sound, SAMPLE_RATE)
    for number in range(N_INPUTS):
        shutil.copy(common.SAMPLES[number % len(common.SAMPLES)], folder / f"{number}.flac")


@contextlib.contextmanager
def folder_with(data):
    """A folder with links to the data, for one run."""
    with tempfile.TemporaryDirectory(prefix="kills") as folder:
        for path in data.iterdir():
            os.symlink(path, Path(folder, path.name))
        yield Path(folder)


@contextlib.contextmanager
def started(name, folder, environment):
    """Start a script, as a terminal would: in a session of its own, which Ctrl-C does not skip."""
    script, *options = COMMANDS[name]
    process = subprocess.Popen(
        [sys.executable, common.ROOT / script, *options],
        cwd=folder,
        env=(environment or os.environ) | {"PYTHONFAULTHANDLER": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def wait_until_gone(session):
    """Wait for the processes of a session; returns how many are still there, having ended them."""
    end = time.monotonic() + GONE_SECONDS
    while True:
        left = []
        for process in psutil.process_iter(["pid", "status"]):
            with contextlib.suppress(ProcessLookupError):
                if process.info["status"] != psutil.STATUS_ZOMBIE:
                    left += [process] if os.getsid(process.info["pid"]) == session else []
        if not left or time.monotonic() > end:
            for process in left:
                process.kill()
            return len(left)
        time.sleep(0.05)


# What must hold ---------------------------------------------------------------------------------


def cut_files(folder):
    """Names of the files that are not whole."""
    cut = []
    for path in folder.rglob("*"):
        if ".partial." in path.name or not path.is_file():
            continue
        try:
            if path.suffix == ".json":
                json.loads(path.read_text())
            elif path.suffix == ".csv" and path.parent == folder:
                content = path.read_text()
                rows = list(csv.reader(content.splitlines()))
                if not content.endswith("\n") or {len(row) for row in rows} != {len(COLUMNS)}:
                    raise ValueError
        except ValueError:
            cut.append(path.name)
    return cut


def names_in(folder):
    """Names of the files that a run has written; the data are links."""
    paths = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return {str(path.relative_to(folder)) for path in paths}


def read_log(folder):
    path = folder / "log.csv"
    return common.read_rows(path) if path.exists() else []


def n_heard(folder):
    """How many utterances the voice that was kept has."""
    path = folder / "voice.json"
    return Voice.load(path).n_recordings if path.exists() else 0


def finished_epochs(output):
    """Epochs that trainings said to be finished, as (name, number); a name has seed and fold."""
    found = re.findall(r"^(.*?)epoch +(\d+)/", output, re.MULTILINE)
    return [(name, int(number)) for name, number in found]


def check_stopped(name, folder, number, output):
    """Faults of what a run left that was stopped."""
    faults = [f"{cut} is cut" for cut in cut_files(folder)]
    if name == "input":
        rows = read_log(folder)
        sources = [row["source"] for row in rows]
        if sources != [f"{n}.flac" for n in range(len(rows))]:
            faults.append(f"the log has rows of {sources}")
        if len(rows) < len(output.splitlines()):
            faults.append(f"{len(output.splitlines())} files were told, {len(rows)} are logged")
        if number != signal.SIGKILL and abs(n_heard(folder) - len(rows)) > 1:
            faults.append(f"{len(rows)} files are logged, the voice has {n_heard(folder)}")
    if name == "live":
        rows = [row for row in read_log(folder) if row["kind"] == "utterance"]
        if len(rows) < len(output.splitlines()):
            faults.append("an utterance was told and not logged")
        n_known = len(rows) - output.count("unsure (")  # a voice learns nothing from these
        if number != signal.SIGKILL and n_heard(folder) != n_known:
            faults.append(f"{len(rows)} utterances are logged, the voice has {n_heard(folder)}")
        if rows:
            heard = soundfile.info(folder / "audio.flac").duration
            if heard < float(rows[-1]["end_s"]) - LOST_SECONDS:
                faults.append(f"{heard} s of audio, but speech up to {rows[-1]['end_s']} s")
    return faults


def count_frames(path):
    """How many recordings a stopped preprocess.py has left there."""
    with open(path, "rb") as file:
        return len(read_unfinished(file))


def check_resumed(name, folder, stopped, again, n_kept):
    """Faults of the run after the one that was stopped; outputs of both, and what was kept."""
    faults = []
    if name == "preprocess":
        taken = int(re.search(r"(\d+) taken", again)[1])
        if taken != n_kept:
            faults.append(f"{n_kept} recordings were kept, {taken} taken up")
    if name in ("train", "folds"):
        began = dict(reversed(finished_epochs(again)))
        for training, epoch in dict(finished_epochs(stopped)).items():
            if began.get(training, epoch + 1) < epoch:
                faults.append(f"{training}epoch {epoch} was finished, {began[training]} came again")
    if name == "input" and len(read_log(folder)) != N_INPUTS:
        faults.append("the log is not whole")
    return faults


def kill(name, number, moment, data, undisturbed, environment):
    """Stop one run, and let it go on; returns the faults."""
    with folder_with(data) as folder:
        with started(name, folder, environment) as script:
            with contextlib.suppress(subprocess.TimeoutExpired):
                script.wait(moment)
            ended_before = script.poll() is not None
            script.send_signal(number)
            try:
                stopped, notes = script.communicate(timeout=HANGS_SECONDS)
            except subprocess.TimeoutExpired:
                script.send_signal(signal.SIGABRT)  # for the handler to say where
                _, notes = script.communicate()
                return [f"does not end: {notes.strip()}"]
        faults = [f"{n} processes are left"] if (n := wait_until_gone(script.pid)) else []
        expected = -number if number == signal.SIGKILL else 128 + number
        allowed = {expected, 0}
        if name == "live" and number == signal.SIGINT:
            allowed |= {1}  # nothing was heard
        if names_in(folder) == undisturbed:
            allowed |= {-number}  # all is written, and Python about to leave
        if script.returncode not in allowed and not ended_before:
            faults.append(f"exit status {script.returncode}: {notes.strip()[-300:]}")
        if number != signal.SIGKILL:
            if re.search("Traceback|Exception ignored|Warning", notes):
                faults.append(notes.strip())
            # Workers are ended at once; what one of them leaves, the next run removes.
            partials = {n for n in names_in(folder) if ".partial." in n and "_unfinished" not in n}
            faults += [f"{partial} is left" for partial in partials]
        faults += check_stopped(name, folder, number, stopped)
        is_over = names_in(folder) == undisturbed
        n_kept = sum(map(count_frames, folder.rglob(".frames")))
        if name != "live":
            with started(name, folder, environment) as script:
                again, notes = script.communicate(timeout=300)
            if script.returncode:
                return [*faults, f"the next run ends with {script.returncode}: {notes.strip()}"]
            if not is_over:
                faults += check_resumed(name, folder, stopped, again, n_kept)
            faults += [f"{cut} is cut in the end" for cut in cut_files(folder)]
            if differing := names_in(folder) ^ undisturbed:
                faults.append(f"other files than without a kill: {', '.join(differing)}")
        return faults


def measure(name, data, environment):
    """Let a run end; returns its seconds and the names of what it leaves."""
    with folder_with(data) as folder:
        began = time.monotonic()
        with started(name, folder, environment) as script:
            if name == "live":
                time.sleep(LIVE_SECONDS)
                script.send_signal(signal.SIGTERM)
            _, notes = script.communicate(timeout=300)
        if script.returncode != (143 if name == "live" else 0):
            raise SentimentalError(f"{name}: ends with {script.returncode}: {notes.strip()}")
        seconds = time.monotonic() - began
        if name == "preprocess" and not (data / "features.json").exists():
            shutil.copy(folder / "out" / "features.json", data / "features.json")
        return seconds, names_in(folder)


@contextlib.contextmanager
def speaking():
    """A microphone before which somebody speaks without end; None where there can be none."""
    if missing():
        yield None
        return
    with virtual_microphone() as environment:
        clips = " ".join(map(str, common.SAMPLES))
        loop = f"while true; do for clip in {clips}; do paplay $clip; sleep 1; done; done"
        speaker = subprocess.Popen(
            ["bash", "-c", loop], env=environment, stderr=subprocess.DEVNULL, start_new_session=True
        )
        try:
            yield environment
        finally:
            os.killpg(speaker.pid, signal.SIGKILL)
            speaker.wait()


@interruptible()
def main():
    parser = common.parser(__doc__)
    parser.add_argument("n", type=int, nargs="?", default=50, help="kills (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the moments (default: 1)")
    parser.add_argument("--only", choices=COMMANDS, nargs="+", default=[*COMMANDS])
    arguments = parser.parse_args()
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup has it ignored, also in what is started
    rng = random.Random(arguments.seed)
    faults, counts = [], collections.Counter()
    with tempfile.TemporaryDirectory(prefix="kills") as data, speaking() as microphone:
        data = Path(data)
        make_data(data)
        runs = {}
        for name in COMMANDS:
            if (name in arguments.only or name == "preprocess") and (name != "live" or microphone):
                runs[name] = measure(name, data, microphone if name == "live" else None)
                print(f"{name}: {runs[name][0]:.1f} s undisturbed", flush=True)
        names = [name for name in TURNS if name in runs and name in arguments.only]
        for index in range(arguments.n):
            name = names[index % len(names)]
            number = SIGNALS[(index + index // len(names)) % len(SIGNALS)]
            seconds, undisturbed = runs[name]
            moment = rng.uniform(STARTED_SECONDS, 1.05 * seconds)
            environment = microphone if name == "live" else None
            found = kill(name, number, moment, data, undisturbed, environment)
            told = f"{name}, {signal.Signals(number).name} after {moment:.2f} s"
            print(f"{told}: {'; '.join(found) or 'well'}", flush=True)
            faults += [f"{told}: {fault}" for fault in found]
            counts[name] += 1
    print(", ".join(f"{name} {count}" for name, count in counts.items()))
    if faults:
        raise SentimentalError(f"{len(faults)} faults in {arguments.n} kills")


if __name__ == "__main__":
    sys.exit(run_script(main))
