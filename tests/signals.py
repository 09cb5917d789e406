"""Sounds with known properties, for the tests; nothing here is a recording of a person."""

from pathlib import Path

import numpy as np
import soundfile

from sentimental.features import N_FEATURES, N_INPUTS, N_STORED, N_SUMMARY
from sentimental.features_file import Recording
from sentimental.scripts import EMOTIONS
from sentimental.speaker import Reference
from sentimental.spectrum import N_MELS, SAMPLE_RATE

# Clips of a speech synthesizer, at SAMPLE_RATE: what a voice activity detector takes for speech.
SAMPLES = sorted((Path(__file__).resolve().parent.parent / "data" / "samples").glob("*.flac"))


def tone(frequency, seconds, amplitude=0.5, sample_rate=SAMPLE_RATE):
    """A sine of `frequency` Hz."""
    time = np.arange(int(seconds * sample_rate)) / sample_rate
    return (amplitude * np.sin(2 * np.pi * frequency * time)).astype(np.float32)


def voice(seconds=1.0, pitch=150, seed=0, sample_rate=SAMPLE_RATE):
    """A buzz with harmonics whose loudness goes up and down like syllables, in faint noise."""
    rng = np.random.default_rng(seed)
    time = np.arange(int(seconds * sample_rate)) / sample_rate
    glide = pitch * (time + 0.05 * np.sin(2 * np.pi * 0.7 * time))
    buzz = sum(np.sin(2 * np.pi * k * glide) / k for k in range(1, 12))
    syllables = 0.15 + np.sin(2 * np.pi * 2 * time) ** 2
    noise = 1e-3 * rng.standard_normal(len(time))
    return (0.1 * buzz * syllables + noise).astype(np.float32)


def noise(seconds, dbfs=-70.0, seed=1, sample_rate=SAMPLE_RATE):
    """White noise, as of a quiet room."""
    samples = np.random.default_rng(seed).standard_normal(round(seconds * sample_rate))
    return (10 ** (dbfs / 20) * samples).astype(np.float32)


def write(path, samples=None, sample_rate=SAMPLE_RATE, **options):
    """Write samples, else a `voice`, as a recording; returns its path."""
    soundfile.write(path, voice() if samples is None else samples, sample_rate, **options)
    return path


def write_voice(path, seed=0, seconds=0.8, sample_rate=SAMPLE_RATE, **options):
    """Write a `voice` of its own for each seed; 16 bits, which WAV, AIFF and FLAC keep alike."""
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = voice(seconds, 120 + 10 * seed, seed, sample_rate)
    soundfile.write(path, np.int16(samples * 32_767), sample_rate, **options)


def speech(number=0):
    """One of ``SAMPLES``, np.ndarray [shape=(n,), float32]."""
    samples, _ = soundfile.read(SAMPLES[number], dtype="float32")
    return samples


def talk(*numbers, pause=1.0, end=1.0):
    """Some of ``SAMPLES`` after each other, a pause before each of them, and silence at the end."""
    parts = [np.concatenate([noise(pause), speech(number)]) for number in numbers]
    return np.concatenate([*parts, noise(end)])


def make_recordings(n=96, seed=0):
    """Recordings of a features file whose emotion shows in RMS and zero-crossing rate.

    The eight emotions are eight points on a circle; what the other features say is noise.
    """
    rng = np.random.default_rng(seed)
    recordings = []
    for number in range(n):
        emotion = number % len(EMOTIONS)
        n_frames = rng.integers(12, 40)
        frames = rng.standard_normal((n_frames, N_STORED))
        angle = 2 * np.pi * emotion / len(EMOTIONS)
        center = [0.3 + 0.2 * np.cos(angle), 0.3 + 0.2 * np.sin(angle), 7.5, 0.6]
        frames[:, N_MELS:] = center + frames[:, N_MELS:] * [0.01, 0.01, 0.3, 0.1]
        recordings.append(
            make_recording(
                "TESS" if number % 3 else "RAVDESS",
                str(number % 5),
                EMOTIONS[emotion],
                file=f"{number:03}.wav",
                hash=f"{number}",
                frames=frames.astype(np.float32),
            )
        )
    return recordings


def make_recording(corpus, speaker, emotion, **others):
    """A recording of a features file, with hardly any frames."""
    fields = {
        "file": f"{corpus}_{speaker}_{emotion}",
        "frames": np.ones((2, N_STORED), np.float32),
    }
    return Recording(corpus=corpus, speaker=speaker, emotion=emotion, **fields | others)


def make_corpora():
    """One recording of each speaker and emotion of TESS and RAVDESS."""
    speakers = [("RAVDESS", f"{actor:02}") for actor in range(1, 25)]
    speakers += [("TESS", "OAF"), ("TESS", "YAF")]
    return [
        make_recording(corpus, speaker, emotion)
        for corpus, speaker in speakers
        for emotion in EMOTIONS
        if corpus == "RAVDESS" or emotion != "calm"
    ]


def make_reference(seed=0):
    """Reference statistics of voices that nobody has."""
    rng = np.random.default_rng(seed)
    return Reference(
        features=rng.normal(0, 1, N_FEATURES),
        summary=rng.normal(0, 30, N_SUMMARY),
        variance=rng.uniform(0.5, 20, N_SUMMARY),
    )


def make_weights(deviation, seed, units=8):
    """Random weights of a network, as `build_network` has them."""
    rng = np.random.default_rng(seed)
    gates = [(units, 4 * units), (4 * units,)]
    shapes = [(N_INPUTS, 4 * units), *gates, (units, 4 * units), *gates]
    shapes += [(units + N_SUMMARY, len(EMOTIONS)), (len(EMOTIONS),)]
    return [rng.normal(0, deviation, shape).astype(np.float32) for shape in shapes]
