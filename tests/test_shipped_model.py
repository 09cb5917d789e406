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
        [0.438243, 0.040692, 0.109298, 0.140298, 0.067465, 0.021061, 0.166852, 0.016092],
        [0.438243, 0.040692, 0.109298, 0.140298, 0.067465, 0.021061, 0.166852, 0.016092],
    ),
    "kitchen": (
        [0.526544, 0.033688, 0.09223, 0.071281, 0.109951, 0.018756, 0.135816, 0.011734],
        [0.408341, 0.036728, 0.110914, 0.072807, 0.181938, 0.033482, 0.137326, 0.018463],
    ),
    "news": (
        [0.112638, 0.044634, 0.36764, 0.070614, 0.188931, 0.143817, 0.037666, 0.034061],
        [0.028271, 0.026645, 0.169433, 0.064722, 0.084086, 0.557008, 0.015703, 0.054132],
    ),
    "river": (
        [0.359844, 0.037947, 0.127133, 0.08938, 0.085044, 0.014908, 0.270187, 0.015557],
        [0.189492, 0.033758, 0.126321, 0.106764, 0.111123, 0.033765, 0.35975, 0.039027],
    ),
    "window": (
        [0.564639, 0.047782, 0.066419, 0.079106, 0.059149, 0.015096, 0.152595, 0.015213],
        [0.351994, 0.048604, 0.098422, 0.129816, 0.087322, 0.071387, 0.153949, 0.058507],
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
