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
        [0.679683, 0.014712, 0.061594, 0.060202, 0.051978, 0.014013, 0.097693, 0.020124],
        [0.679683, 0.014712, 0.061594, 0.060202, 0.051978, 0.014013, 0.097693, 0.020124],
    ),
    "kitchen": (
        [0.682248, 0.013274, 0.057303, 0.045152, 0.070181, 0.012045, 0.106416, 0.013382],
        [0.541803, 0.014259, 0.088624, 0.051662, 0.139817, 0.021281, 0.118372, 0.024181],
    ),
    "news": (
        [0.095841, 0.021712, 0.330823, 0.061003, 0.254296, 0.141137, 0.040397, 0.05479],
        [0.029512, 0.018843, 0.224019, 0.08899, 0.119745, 0.421701, 0.020049, 0.077141],
    ),
    "river": (
        [0.334428, 0.01552, 0.103372, 0.040671, 0.07138, 0.008856, 0.402505, 0.023269],
        [0.186936, 0.015478, 0.130301, 0.057633, 0.094504, 0.019562, 0.440715, 0.054871],
    ),
    "window": (
        [0.592948, 0.024836, 0.060433, 0.027796, 0.047029, 0.008459, 0.218967, 0.019532],
        [0.450166, 0.030336, 0.113801, 0.057161, 0.073973, 0.037492, 0.178777, 0.058294],
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
