"""How much another microphone, room or line changes what a model answers.

    python benchmarks/conditions.py data/nEMO --model results/base_nEMO.json   # needs ffmpeg

Of each emotion of a corpus equally many clips are drawn, 66 in all. Each is recognised as it is,
and changed in each of the ways below. For each condition the table has the share of clips whose
strongest emotion changes, the same among those of which the model was sure, the mean total
variation (half the sum of the differences of all probabilities), and UAR over the emotions of the
corpus. A clip in which no speech is found any more counts as changed and wrong. A corpus that did
not train the model shows what a stranger gets; few_recordings.py trains one on all corpora but one.
"""

import subprocess
from pathlib import Path

import common
import numpy as np
from scipy.signal import fftconvolve
from sklearn.metrics import recall_score

from sentimental import SentimentalError, load_recognizer
from sentimental.audio import load_audio
from sentimental.files import find_files
from sentimental.model import SHIPPED_MODEL
from sentimental.preprocessing.recordings import describe_files
from sentimental.scripts import EMOTIONS, UNSURE_BELOW, check_stop, run_script
from sentimental.spectrum import SAMPLE_RATE

RAW = ["-f", "f32le", "-ar", str(SAMPLE_RATE), "-ac", "1"]  # samples, as ffmpeg calls them
N_CLIPS = 66
SNR = 10  # dB, of speech against noise or music
REVERBERATION = 0.6  # s until a sound has decayed by 60 dB
# What ffmpeg does: filters on the samples, or a codec that they go through at 8 kHz.
FILTERS = {
    "bass +8 dB": "bass=g=8:f=250",
    "without bass": "highpass=f=250:p=2,highpass=f=250:p=2",
    "300 to 3,400 Hz": "highpass=f=300,highpass=f=300,lowpass=f=3400,lowpass=f=3400",
    "compressor": "acompressor=threshold=-30dB:ratio=8:attack=5:release=50:makeup=8",
}
CODECS = {"G.711": ["-c:a", "pcm_mulaw", "-f", "wav"], "GSM": ["-c:a", "libgsm", "-f", "gsm"]}


def ffmpeg(samples, *arguments):
    """Send samples (or bytes) through ffmpeg; return the bytes that it writes."""
    source = samples if isinstance(samples, bytes) else samples.astype("<f4").tobytes()
    command = ["ffmpeg", "-v", "error", *arguments, "-"]
    return subprocess.run(command, input=source, capture_output=True, check=True).stdout


def apply_filter(samples, chain):
    """Samples after a chain of ffmpeg's filters; half as loud, so that nothing clips."""
    return np.frombuffer(ffmpeg(samples / 2, *RAW, "-i", "-", "-af", chain, *RAW), "<f4")


def apply_codec(samples, codec):
    """Samples after a codec of telephones."""
    coded = ffmpeg(samples, *RAW, "-i", "-", "-ar", "8000", *codec)
    return np.frombuffer(ffmpeg(coded, "-f", codec[-1], "-i", "-", *RAW), "<f4")


def reverberate(samples, rng):
    """Samples in a room: noise that decays exponentially follows each sound, as loud as itself."""
    time = np.arange(int(REVERBERATION * SAMPLE_RATE)) / SAMPLE_RATE
    room = rng.standard_normal(len(time)) * 10 ** (-3 * time / REVERBERATION)
    room /= np.sqrt(np.sum(room**2))
    room[0] += 1
    return fftconvolve(samples, room)


def clip_peaks(samples):
    """Samples, recorded 6 dB too loud."""
    limit = np.abs(samples).max() / 2
    return np.clip(samples, -limit, limit)


def music(n):
    """A synthetic piano: a chord of decaying harmonics every half second."""
    time = np.arange(n) / SAMPLE_RATE
    chords = [(262, 330, 392), (220, 262, 330), (175, 220, 262), (196, 247, 294)]
    beat, since = np.divmod(time, 0.5)
    frequencies = np.array(chords)[beat.astype(int) % len(chords)].T
    notes = [np.sin(2 * np.pi * k * f * time) / k for f in frequencies for k in (1, 2, 3, 4)]
    return np.sum(notes, axis=0) * np.exp(-4 * since)


def mix(samples, other):
    """Samples with another sound, ``SNR`` below them."""
    power, other_power = np.mean(samples**2), np.mean(other**2)
    return samples + other * np.sqrt(power / other_power * 10 ** (-SNR / 10))


def conditions(samples, rng):
    """Yield the name of each condition, and samples that it has changed."""
    yield "none", samples
    for name, chain in FILTERS.items():
        yield name, apply_filter(samples, chain)
    for name, codec in CODECS.items():
        yield name, apply_codec(samples, codec)
    yield f"reverberation, {REVERBERATION} s", reverberate(samples, rng)
    yield "clipped by 6 dB", clip_peaks(samples)
    yield f"white noise, {SNR} dB", mix(samples, rng.standard_normal(len(samples)))
    yield f"music, {SNR} dB", mix(samples, music(len(samples)))


def draw_clips(folder, rng):
    """Recordings of a corpus, equally many of each of its emotions."""
    takes, *_ = describe_files(find_files([folder])[0], [folder])
    drawn = [takes[number][0] for number in rng.permutation(len(takes))]
    emotions = {clip.emotion for clip in drawn}
    for emotion in sorted(emotions):
        of_emotion = [clip for clip in drawn if clip.emotion == emotion]
        yield from of_emotion[: N_CLIPS // len(emotions)]


def main():
    """Recognise each clip under each condition, and print the table."""
    parser = common.parser(__doc__)
    parser.add_argument("corpus", type=Path, help="a folder of recordings")
    parser.add_argument("--model", type=Path, default=SHIPPED_MODEL, help="its JSON file")
    arguments = parser.parse_args()
    recognizer, rng = load_recognizer(arguments.model), np.random.default_rng(1)
    truth, answers = [], {}
    for clip in draw_clips(arguments.corpus, rng):
        truth.append(clip.emotion)
        for name, samples in conditions(load_audio(clip.file), rng):
            check_stop()
            try:
                answer = recognizer.predict(samples.astype(np.float32), sample_rate=SAMPLE_RATE)
            except SentimentalError:  # no speech is found any more
                answer = dict.fromkeys(EMOTIONS, 0.0)
            answers.setdefault(name, []).append([answer[emotion] for emotion in EMOTIONS])
    before = np.array(answers["none"])
    sure = before.max(axis=1) >= UNSURE_BELOW
    print(f"{len(truth)} clips, {sure.sum()} of them sure\n")
    print("| condition | flips | flips among the sure | mean total variation | UAR |")
    print("| --- | --- | --- | --- | --- |")
    for name, after in ((name, np.array(rows)) for name, rows in answers.items()):
        flips = before.argmax(axis=1) != np.where(after.any(axis=1), after.argmax(axis=1), -1)
        variation = np.abs(before - after).sum(axis=1).mean() / 2
        told = np.where(after.any(axis=1), np.array(EMOTIONS)[after.argmax(axis=1)], "")
        uar = recall_score(truth, told, labels=sorted({*truth}), average="macro")
        cells = f"{flips.mean():.0%}", f"{flips[sure].mean():.0%}", f"{variation:.2f}", f"{uar:.3f}"
        print(f"| {' | '.join([name, *cells])} |")


if __name__ == "__main__":
    raise SystemExit(run_script(main))
