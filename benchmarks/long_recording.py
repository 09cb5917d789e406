"""A long recording, made of corpus clips: are its utterances found, recognized, and fast enough?

    python benchmarks/long_recording.py data/TESS data/RAVDESS               # 60 minutes of sound
    python benchmarks/long_recording.py data/TESS data/RAVDESS --minutes 5   # a glance

Clips that protocol `random` holds out are written one after the other, as they are, with pauses of
faint noise between them; where they are too few, they come again. realtime_emotion_recognition.py
--input hears them on one core, in the long recording and one by one. Single clips are judged as a
whole, so what is compared is what it costs to find them. Told are:

- Borders: of the speech in each clip, its first and last sound within 30 dB of its loudest, and how
  far the nearest border of an utterance is, without the padding that an utterance is given.
- Accuracy: of a clip, the mean probabilities of the utterances that overlap its speech, weighted by
  how much; a clip without any counts as wrong. Beside it, the same clips one by one.
- Memory and speed of the script, its start included.
"""

import argparse
import itertools
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import namedtuple
from pathlib import Path

import librosa
import numpy as np
import soundfile

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from sentimental.audio import load_audio  # noqa: E402
from sentimental.base import EMOTIONS, SentimentalError, run_script  # noqa: E402
from sentimental.protocols import split_random  # noqa: E402
from sentimental.recordings import describe_files, find_files  # noqa: E402
from sentimental.settings import Training  # noqa: E402
from sentimental.spectrum import SAMPLE_RATE  # noqa: E402
from sentimental.speech import SPEECH_PAD  # noqa: E402

SCRIPT = ROOT / "realtime_emotion_recognition.py"
# s between two clips: drawn between these, so that all are longer than what ends an utterance.
PAUSES_SECONDS = (1.0, 3.0)
# dB re full scale, of the noise in the pauses.
NOISE_DBFS = -70.0
# dB below the loudest sound of a clip, where its speech begins and ends.
SPEECH_TOP_DB = 30
# s that a border may be off.
TOLERANCE = 0.3

# A clip in the long recording; where its speech begins and ends, in s.
Clip = namedtuple("Clip", "path emotion start end")


def write_recording(path, folders, minutes, rng):
    """Write the long recording; returns its clips and seconds."""
    files, _, refused = find_files(folders)
    if refused:
        raise SentimentalError(refused[0])
    recordings = [copies[0] for copies in describe_files(files)[0]]
    training = Training()
    _, *held_out = split_random(len(recordings), training, training.split_seed)
    held_out = rng.permutation(np.concatenate(held_out))
    clips, n_written = [], 0
    with soundfile.SoundFile(path, "w", SAMPLE_RATE, channels=1, subtype="PCM_16") as sound:
        for index in itertools.cycle(held_out):
            if n_written >= 60 * minutes * SAMPLE_RATE:
                break
            pause = rng.standard_normal(int(rng.uniform(*PAUSES_SECONDS) * SAMPLE_RATE))
            samples = load_audio(recordings[index]["file"])
            _, (start, end) = librosa.effects.trim(samples, top_db=SPEECH_TOP_DB)
            begin = n_written + len(pause)
            place = ((begin + start) / SAMPLE_RATE, (begin + end) / SAMPLE_RATE)
            clips.append(Clip(recordings[index]["file"], recordings[index]["emotion"], *place))
            sound.write(10 ** (NOISE_DBFS / 20) * pause)
            sound.write(samples)
            n_written = begin + len(samples)
    return clips, n_written / SAMPLE_RATE


def recognize(paths):
    """What the script says of files, on one core; rows of its JSON, and seconds."""

    def take_one_core():
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

    command = [sys.executable, SCRIPT, "--format", "json", "--input", *paths]
    begin = time.monotonic()
    done = subprocess.run(command, stdout=subprocess.PIPE, preexec_fn=take_one_core)
    seconds = time.monotonic() - begin
    return [json.loads(line) for line in done.stdout.splitlines()], seconds


def answer_long(clip, utterances):
    """The emotion that the long recording gives a clip, or None."""
    shares = [
        max(0.0, min(one["end"], clip.end) - max(one["start"], clip.start)) for one in utterances
    ]
    if not any(shares):
        return None
    probabilities = [[one["probabilities"][name] for name in EMOTIONS] for one in utterances]
    return EMOTIONS[int(np.average(probabilities, axis=0, weights=shares).argmax())]


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("paths", nargs="+", type=Path, help="folders of corpora")
    parser.add_argument("--minutes", type=float, default=60.0, help="default: %(default)g")
    args = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "long.wav")
        clips, length = write_recording(path, args.paths, args.minutes, np.random.default_rng(0))
        cpu = resource.getrusage(resource.RUSAGE_CHILDREN)
        rows, seconds = recognize([path])
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = used.ru_utime + used.ru_stime - cpu.ru_utime - cpu.ru_stime
    utterances = [row for row in rows if "error" not in row]
    singles, _ = recognize([clip.path for clip in clips])

    starts = np.array([one["start"] for one in utterances]) + SPEECH_PAD
    ends = np.array([one["end"] for one in utterances]) - SPEECH_PAD
    late = [np.abs(starts - clip.start).min() for clip in clips]
    early = [np.abs(ends - clip.end).min() for clip in clips]
    borders = np.array(late + early)
    emotions = [clip.emotion for clip in clips]
    in_long = [answer_long(clip, utterances) for clip in clips]
    alone = [row.get("emotion") for row in singles]
    accuracies = [
        np.mean([a == e for a, e in zip(answers, emotions, strict=True)])
        for answers in (in_long, alone)
    ]
    print(f"{len(clips)} clips in {length / 60:.1f} min; {len(utterances)} utterances found")
    print(f"borders within {TOLERANCE} s: {np.mean(borders <= TOLERANCE):.3f}", end="")
    print(f" (starts {np.mean(np.array(late) <= TOLERANCE):.3f}", end="")
    print(f", ends {np.mean(np.array(early) <= TOLERANCE):.3f})")
    print(f"clips in which nothing is found: {in_long.count(None)}")
    print(f"accuracy: {accuracies[0]:.3f}, of the single clips {accuracies[1]:.3f}")
    print(f"memory: {used.ru_maxrss / 1024:.0f} MB at most")
    print(f"speed: {seconds:.1f} s, {length / seconds:.0f} × real time ({cpu:.1f} s of processor)")


if __name__ == "__main__":
    raise SystemExit(run_script(main))
