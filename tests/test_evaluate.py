"""Metrics and calibration, on answers whose quality is known."""

import numpy as np
import pytest
from signals import make_corpora, make_recordings

from sentimental.base import EMOTIONS
from sentimental.evaluate import (
    calibration,
    compute_group_metrics,
    compute_metrics,
    fit_temperature,
    one_hot,
)


def always(emotion, n):
    """Probabilities of one who is sure that every recording is `emotion`."""
    return np.tile(np.eye(len(EMOTIONS))[emotion], (n, 1))


def test_uar_counts_every_emotion_the_same():
    recordings = [r for r in make_recordings(24) if r["emotion"] in ("neutral", "sad")]
    recordings += [recordings[0]] * 10  # neutral
    metrics = compute_metrics(recordings, always(0, len(recordings)))
    assert metrics["uar"] == pytest.approx(0.5)
    assert metrics["accuracy"] == pytest.approx(13 / 16)
    assert metrics["recall"] == {"neutral": 1.0, "sad": 0.0}
    assert metrics["calibration_error"] == pytest.approx(3 / 16)  # sure of all, right in 13
    assert np.sum(metrics["confusion"]) == metrics["n"] == 16
    assert metrics["confusion"][EMOTIONS.index("sad")][0] == 3


def test_calibration_error_is_the_distance_of_confidence_from_hits():
    recordings = make_recordings(80)
    rng = np.random.default_rng(0)
    true = one_hot(recordings)
    wrong = np.roll(true, 1, axis=1)
    hit = (np.arange(80) % 10 < 7)[:, None]  # right in seven of ten
    for confidence, expected in [(0.7, 0.0), (0.9, 0.2)]:
        other = (1 - confidence) / 7
        probabilities = other + (confidence - other) * np.where(hit, true, wrong)
        bins, error = calibration(recordings, probabilities)
        assert error == pytest.approx(expected, abs=1e-6)
        assert bins == [(80, pytest.approx(confidence), pytest.approx(0.7))]
    order = rng.permutation(80)
    shuffled = calibration([recordings[i] for i in order], probabilities[order])
    assert shuffled[1] == pytest.approx(error)


def test_the_fitted_temperature_undoes_too_much_confidence():
    recordings = make_recordings(4000)
    rng = np.random.default_rng(0)
    logits = 2 * rng.standard_normal((4000, 8))
    honest = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    for recording, p in zip(recordings, honest, strict=True):
        recording["emotion"] = EMOTIONS[rng.choice(8, p=p)]
    sure = honest**1.6 / (honest**1.6).sum(axis=1, keepdims=True)
    assert fit_temperature(recordings, sure) == pytest.approx(1.6, rel=0.05)
    errors = [calibration(recordings, answers)[1] for answers in (honest, sure)]
    assert errors[0] < 0.04 < 0.06 < errors[1]


def test_groups_are_corpora_and_sexes():
    recordings = make_corpora()
    true = one_hot(recordings)
    women = [r["corpus"] == "TESS" or int(r["speaker"]) % 2 == 0 for r in recordings]
    wrong_for_men = np.where(np.array(women)[:, None], true, np.roll(true, 1, axis=1))
    groups = compute_group_metrics(recordings, wrong_for_men)
    assert groups["female"]["accuracy"] == groups["TESS"]["accuracy"] == 1
    assert groups["male"]["accuracy"] == 0
    assert (groups["male"]["n"], groups["female"]["n"]) == (12 * 8, 12 * 8 + 2 * 7)
    assert groups["RAVDESS"]["uar"] == pytest.approx(0.5)


def test_a_speaker_of_unknown_sex_is_in_no_group_of_a_sex():
    recordings = [r | {"corpus": "mine", "speaker": ""} for r in make_recordings(8)]
    assert set(compute_group_metrics(recordings, one_hot(recordings))) == {"mine"}
