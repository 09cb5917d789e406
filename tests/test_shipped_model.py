"""The shipped model and the chain before it are pinned: code that moves must not move answers."""

import json

import numpy as np
import pytest
from scripts import ROOT

from sentimental import EMOTIONS, Voice, load_recognizer
from sentimental.speaker import MODEL_CHAIN

SAMPLES = ROOT / "data" / "samples"
# Probabilities of each clip: heard as the first of its speaker, and after the clips above it.
ANSWERS = {
    "evening": (
        [0.651777, 0.012152, 0.057348, 0.066993, 0.05702, 0.015255, 0.122257, 0.0172],
        [0.651777, 0.012152, 0.057348, 0.066993, 0.05702, 0.015255, 0.122257, 0.0172],
    ),
    "kitchen": (
        [0.67722, 0.011381, 0.074121, 0.046791, 0.080244, 0.012462, 0.085629, 0.012152],
        [0.562811, 0.013635, 0.102615, 0.052999, 0.134663, 0.021309, 0.090983, 0.020985],
    ),
    "news": (
        [0.105194, 0.020063, 0.325917, 0.067413, 0.223112, 0.15021, 0.054748, 0.053343],
        [0.030952, 0.019416, 0.232068, 0.093147, 0.106654, 0.424486, 0.021341, 0.071936],
    ),
    "river": (
        [0.293638, 0.012673, 0.078155, 0.036145, 0.071604, 0.008097, 0.482292, 0.017397],
        [0.164096, 0.013732, 0.093817, 0.04928, 0.098314, 0.017657, 0.519703, 0.0434],
    ),
    "window": (
        [0.520966, 0.017061, 0.061702, 0.04421, 0.061454, 0.010606, 0.266185, 0.017817],
        [0.3563, 0.025075, 0.108214, 0.082511, 0.098911, 0.042362, 0.229199, 0.057428],
    ),
}


def test_the_chain_is_that_of_the_shipped_model():
    stored = json.loads((ROOT / "model8723.json").read_text())["chain"]
    assert stored == MODEL_CHAIN


@pytest.mark.parametrize("known", [False, True])
def test_answers_for_the_samples_stay(known):
    recognizer, voice = load_recognizer(), Voice()
    for name, answers in ANSWERS.items():
        path = SAMPLES / f"{name}.flac"
        answer = recognizer.predict(path, voice=voice if known else None)
        assert [*answer] == [*EMOTIONS]
        np.testing.assert_allclose([*answer.values()], answers[known], atol=1e-4)
