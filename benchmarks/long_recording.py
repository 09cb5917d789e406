"""A long recording, made of corpus clips: are its utterances found, recognized, and fast enough?

    python benchmarks/long_recording.py data/TESS data/RAVDESS               # 60 minutes of sound
    python benchmarks/long_recording.py data/TESS data/RAVDESS --minutes 5   # a glance

Clips that protocol `random` holds out are written one after the other, as they are, with pauses of
faint noise between them; where they are too few, they come again. python -m sentimental hears them
on one core, in the long recording and one by one. Single clips are judged as a whole, so what is
compared is what it costs to find them. Told are:

- Borders: of the speech in each clip, and how far the nearest border of an utterance is. No corpus
  tells where a clip has speech; taken is its first and last sound within 20 dB of its loudest, and
  within 30 dB, where breaths count as well.
- Accuracy: of a clip, the mean probabilities of the utterances that overlap its speech, weighted by
  how much; a clip without any counts as wrong. Beside it, the same clips one by one.
- Memory and speed of the script, its start included.
"""

import itertools
import json
import os
import resource
import tempfile
import time
from collections import namedtuple
from pathlib import Path

import common
import librosa
import numpy as np
import soundfile

from sentimental.audio import load_audio
from sentimental.scripts import interruptible, run_script
from sentimental.spectrum import SAMPLE_RATE

# s between two clips: drawn between these, so that all are longer than what ends an utterance.
PAUSES_SECONDS = (1.0, 3.0)
# dB re full scale, of the noise in the pauses.
NOISE_DBFS = -70.0
# dB below the loudest sound of a clip, where its speech begins and ends: two ways to tell it.
SPEECH_TOP_DBS = (20, 30)
# s that a border may be off.
TOLERANCE = 0.3

# A clip in the long recording; where its speech begins and ends, (start, end) in s for each way.
Clip = namedtuple("Clip", "path emotion spans")


def write_recording(path, folders, minutes, rng):
    """Write the long recording; returns its clips and seconds."""
    held_out = sum(common.held_out(folders), [])
    clips, n_written = [], 0
    with soundfile.SoundFile(path, "w", SAMPLE_RATE, channels=1, subtype="PCM_16") as sound:
        for index in itertools.cycle(rng.permutation(len(held_out))):
            if n_written >= 60 * minutes * SAMPLE_RATE:
                break
            pause = rng.standard_normal(int(rng.uniform(*PAUSES_SECONDS) * SAMPLE_RATE))
            samples = load_audio(held_out[index].file)
            begin = n_written + len(pause)
            spans = [
                (begin + librosa.effects.trim(samples, top_db=top_db)[1]) / SAMPLE_RATE
                for top_db in SPEECH_TOP_DBS
            ]
            clips.append(Clip(held_out[index].file, held_out[index].emotion, spans))
            sound.write(10 ** (NOISE_DBFS / 20) * pause)
            sound.write(samples)
            n_written = begin + len(samples)
    return clips, n_written / SAMPLE_RATE


def recognize(paths):
    """What the script says of files, on one core; rows of its JSON, and seconds."""

    def take_one_core():
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

    begin = time.monotonic()
    done = common.recognize("--format", "json", *paths, preexec_fn=take_one_core)
    seconds = time.monotonic() - begin
    return [json.loads(line) for line in done.stdout.splitlines()], seconds


def answer_long(clip, utterances):
    """The emotion that the long recording gives a clip, or None."""
    start, end = clip.spans[-1]
    shares = [max(0.0, min(one["end"], end) - max(one["start"], start)) for one in utterances]
    if not any(shares):
        return None
    return common.mean_emotion([one["probabilities"] for one in utterances], shares)


@interruptible()
def main():
    """Measure and print."""
    parser = common.parser(__doc__, paths="folders of corpora")
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

    emotions = [clip.emotion for clip in clips]
    in_long = [answer_long(clip, utterances) for clip in clips]
    alone = [row.get("emotion") for row in singles]
    accuracies = [
        np.mean([a == e for a, e in zip(answers, emotions, strict=True)])
        for answers in (in_long, alone)
    ]
    print(f"{len(clips)} clips in {length / 60:.1f} min; {len(utterances)} utterances found")
    edges = np.array([(one["start"], one["end"]) for one in utterances])
    for number, top_db in enumerate(SPEECH_TOP_DBS):
        true = np.array([clip.spans[number] for clip in clips])
        distances = np.abs(true[:, None] - edges).min(axis=1)
        start, end = np.mean(distances <= TOLERANCE, axis=0)
        print(f"borders within {TOLERANCE} s, of speech to {top_db} dB below its loudest: ", end="")
        print(f"{(start + end) / 2:.3f} (starts {start:.3f}, ends {end:.3f})")
    print(f"clips in which nothing is found: {in_long.count(None)}")
    print(f"accuracy: {accuracies[0]:.3f}, of the single clips {accuracies[1]:.3f}")
    print(f"memory: {used.ru_maxrss / 1024:.0f} MB at most")
    print(f"speed: {seconds:.1f} s, {length / seconds:.0f} × real time ({cpu:.1f} s of processor)")


if __name__ == "__main__":
    raise SystemExit(run_script(main))
