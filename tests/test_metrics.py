"""Metrics and calibration, on answers whose quality is known."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binomtest
from signals import make_corpora, make_recording, make_recordings

from sentimental.scripts import EMOTIONS, SentimentalError
from sentimental.training.metrics import (
    bootstrap,
    calibration,
    compute_group_metrics,
    compute_metrics,
    fit_temperature,
    interval,
    mean_of_shares,
    one_hot,
    risk_coverage,
)


def always(emotion, n):
    """Probabilities of one who is sure that every recording is `emotion`."""
    return np.tile(np.eye(len(EMOTIONS))[emotion], (n, 1))


def test_uar_counts_every_emotion_the_same():
    recordings = [r for r in make_recordings(24) if r.emotion in ("neutral", "sad")]
    recordings += [recordings[0]] * 10  # neutral
    metrics = compute_metrics(recordings, always(0, len(recordings)))
    assert metrics["uar"] == pytest.approx(0.5)
    assert metrics["accuracy"] == pytest.approx(13 / 16)
    assert metrics["recall"] == {"neutral": 1.0, "sad": 0.0}
    assert metrics["calibration_error"] == pytest.approx(3 / 16)  # sure of all, right in 13
    assert np.sum(metrics["confusion"]) == metrics["n"] == 16
    assert metrics["confusion"][EMOTIONS.index("sad")][0] == 3
    assert metrics["answers"] == {emotion: float(emotion == "neutral") for emotion in EMOTIONS}


def test_among_its_own_emotions_what_does_not_occur_is_no_answer():
    recordings = [make_recording("TESS", "OAF", emotion) for emotion in ("sad", "sad", "happy")]
    told = [make_recording("", "", emotion) for emotion in ("sad", "happy", "happy")]
    calm = one_hot([make_recording("", "", "calm")])
    metrics = compute_metrics(recordings, 0.4 * one_hot(told) + 0.6 * calm)
    assert (metrics["uar"], metrics["accuracy"]) == (0, 0)
    assert metrics["answers"]["calm"] == 1
    assert metrics["uar_own"] == pytest.approx(0.75)  # both happy, and one of two sad ones


@pytest.mark.parametrize("answer", [[np.nan] * 8, [np.inf] + [0] * 7, [0.3] * 8, [2, -1] + [0] * 6])
def test_what_is_no_probabilities_is_measured_by_no_figure(answer):
    recordings = [make_recording("TESS", "OAF", "sad")] * 2
    probabilities = np.array([[1.0] + [0.0] * 7, answer])
    with pytest.raises(SentimentalError, match="no probabilities; train it again"):
        compute_metrics(recordings, probabilities)


# Intervals


def bootstrap_uar(recordings, probabilities):
    figures, unit = bootstrap(recordings, probabilities)
    assert unit == "speakers"
    return figures["uar"]


def make_speakers(shares, n=40, corpus="TESS"):
    """Recordings by several speakers, of whom such a share of sad and half of it of happy ones is
    recognized; so the UAR of each is 3/4 of the share.
    """
    recordings, answers = [], []
    for number, share in enumerate(shares):
        for emotion, wrong, known in (("sad", "happy", share), ("happy", "sad", share / 2)):
            recordings += [make_recording(corpus, str(number), emotion)] * n
            n_right = round(known * n)
            answers += [emotion] * n_right + [wrong] * (n - n_right)
    return recordings, one_hot([make_recording("", "", answer) for answer in answers])


def test_the_uar_of_other_speakers_spreads_as_the_mean_of_theirs():
    np.testing.assert_allclose(bootstrap_uar(*make_speakers([0.8] * 5)), 0.6)  # they are all alike
    shares = np.random.default_rng(1).uniform(0.2, 0.9, 20)
    uars = bootstrap_uar(*make_speakers(shares, 200))
    assert uars.shape == (1000,)
    assert uars.mean() == pytest.approx(0.75 * shares.mean(), abs=0.01)
    assert uars.std() == pytest.approx(0.75 * shares.std() / np.sqrt(20), rel=0.1)
    low, high = np.percentile(uars, (2.5, 97.5))
    assert low < compute_metrics(*make_speakers(shares, 200))["uar"] < high


def test_a_speaker_of_another_corpus_is_another_and_an_emotion_not_drawn_does_not_count():
    one, other = make_speakers([0.8]), make_speakers([0.0], corpus="mine")
    both = one[0] + other[0], np.concatenate([one[1], other[1]])
    uars = bootstrap_uar(*both)
    assert set(uars.round(6)) == {0.0, 0.3, 0.6}
    assert np.mean(uars.round(6) == 0.3) == pytest.approx(0.5, abs=0.05)
    recordings = [make_recording("TESS", "a", "sad"), make_recording("TESS", "b", "happy")]
    np.testing.assert_array_equal(bootstrap_uar(recordings, one_hot(recordings)), 1.0)


@pytest.mark.parametrize("over", ["speakers", "clips"])
def test_every_figure_is_within_its_interval_and_says_over_what(over):
    speakers = np.random.default_rng(2).uniform(0.2, 0.9, 12)
    recordings, probabilities = make_speakers(speakers)
    metrics = compute_metrics(recordings, 0.7 * probabilities + 0.3 / 8, over == "speakers")
    intervals = metrics["intervals"]
    assert intervals["over"] == over
    for name in ("accuracy", "uar", "uar_own", "calibration_error"):
        low, high = intervals[name]
        assert low < metrics[name] < high, name
    assert {*intervals["recall"]} == {*metrics["recall"]} == {"happy", "sad"}
    for emotion, (low, high) in intervals["recall"].items():
        assert low < metrics["recall"][emotion] < high


@pytest.mark.parametrize("speakers", [("a",), ("a", ""), ("",)])
def test_where_speakers_are_not_known_or_one_clips_are_drawn(speakers):
    recordings = [
        make_recording("my", speakers[n % len(speakers)], "sad", file=str(n)) for n in range(60)
    ]
    answers = one_hot([make_recording("", "", "sad" if n % 3 else "happy") for n in range(60)])
    intervals = compute_metrics(recordings, answers)["intervals"]
    assert intervals["over"] == "clips"
    expected = binomtest(40, 60).proportion_ci(method="wilson")
    for figure in (intervals["accuracy"], intervals["recall"]["sad"], intervals["uar"]):
        np.testing.assert_allclose(figure, expected)


def test_a_clip_that_several_networks_recognized_counts_once_in_an_interval():
    recordings = [make_recording("my", "", "sad", file=str(n)) for n in range(40)]
    answers = one_hot([make_recording("", "", "sad" if n % 2 else "happy") for n in range(40)])
    once = compute_metrics(recordings, answers)
    thrice = compute_metrics(recordings * 3, np.tile(answers, (3, 1)))
    assert (once["n"], thrice["n"]) == (40, 120)
    for name, expected in once["intervals"].items():
        assert thrice["intervals"][name] == expected, name


def test_the_interval_of_a_mean_of_shares_holds_it_as_often_as_told():
    rng, true, counts = np.random.default_rng(0), np.array([0.9, 0.5, 0.97]), [20, 40, 8]
    drawn = rng.binomial(counts, true, (1000, 3)) / counts
    intervals = np.array([mean_of_shares(shares, counts) for shares in drawn])
    inside = (intervals[:, 0] < true.mean()) & (true.mean() < intervals[:, 1])
    assert np.mean(inside) == pytest.approx(0.95, abs=0.02)
    low, high = mean_of_shares([1.0, 1.0], [5, 5])
    assert (low < 0.8, high) == (True, pytest.approx(1))
    assert interval(np.arange(1001)) == pytest.approx([25, 975])


# Calibration


def test_calibration_error_is_the_distance_of_confidence_from_hits():
    recordings = make_recordings(80)
    true = one_hot(recordings)
    hit = (np.arange(80) % 10 < 7)[:, None]  # right in seven of ten
    answers = np.where(hit, true, np.roll(true, 1, axis=1))
    for confidence, expected in [(0.7, 0.0), (0.9, 0.2)]:
        other = (1 - confidence) / 7
        probabilities = other + (confidence - other) * answers
        bins, error = calibration(recordings, probabilities)
        assert error == pytest.approx(expected, abs=1e-6)
        assert bins == [(80, pytest.approx(confidence), pytest.approx(0.7))]
    order = np.random.default_rng(0).permutation(80)
    shuffled = calibration([recordings[i] for i in order], probabilities[order])
    assert shuffled[1] == pytest.approx(error)


def test_the_fitted_temperature_undoes_too_much_confidence():
    recordings = make_recordings(4000)
    rng = np.random.default_rng(0)
    logits = 2 * rng.standard_normal((4000, 8))
    honest = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    for recording, p in zip(recordings, honest, strict=True):
        recording.emotion = EMOTIONS[rng.choice(8, p=p)]
    sure = honest**1.6 / (honest**1.6).sum(axis=1, keepdims=True)
    assert fit_temperature(recordings, sure) == pytest.approx(1.6, rel=0.05)
    assert calibration(recordings, honest)[1] < 0.04 < 0.06 < calibration(recordings, sure)[1]


def test_groups_are_corpora_and_sexes():
    recordings = make_corpora()
    true = one_hot(recordings)
    women = [r.corpus == "TESS" or int(r.speaker) % 2 == 0 for r in recordings]
    wrong_for_men = np.where(np.array(women)[:, None], true, np.roll(true, 1, axis=1))
    groups = compute_group_metrics(recordings, wrong_for_men)
    assert groups["female"]["accuracy"] == groups["TESS"]["accuracy"] == 1
    assert groups["male"]["accuracy"] == 0
    assert (groups["male"]["n"], groups["female"]["n"]) == (12 * 8, 12 * 8 + 2 * 7)
    assert groups["RAVDESS"]["uar"] == pytest.approx(0.5)
    recordings = [replace(r, corpus="mine", speaker="") for r in make_recordings(8)]
    assert set(compute_group_metrics(recordings, one_hot(recordings))) == {"mine"}


# What is left out


def test_the_least_sure_answers_are_left_out_first():
    recordings = [make_recording("TESS", "OAF", emotion) for emotion in ("sad", "sad", "happy")]
    probabilities = np.zeros((3, 8))
    for row, (answer, p) in enumerate([("sad", 0.9), ("angry", 0.42), ("calm", 0.3)]):
        probabilities[row] = (1 - p) / 7
        probabilities[row, EMOTIONS.index(answer)] = p
    curve = {limit: figures for limit, *figures in risk_coverage(recordings, probabilities)}
    assert curve[0.0] == curve[0.3] == pytest.approx([0, 1 / 3])
    assert curve[0.4] == pytest.approx([1 / 3, 1 / 2])
    assert curve[0.45] == curve[0.9] == pytest.approx([2 / 3, 1])
    assert 0.95 not in curve  # nothing is left
