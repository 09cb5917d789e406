"""Sounds with known properties, for the tests; nothing here is a recording."""

import numpy as np

from sentimental import SAMPLE_RATE


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
