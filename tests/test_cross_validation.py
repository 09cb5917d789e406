"""The runs of a protocol: what is trained once, what each fold is tested with, temperatures."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from scripts import run_jobs_here
from signals import make_corpora, make_recording, make_recordings

from sentimental.scripts import EMOTIONS, SentimentalError
from sentimental.speaker import N_STATISTICS
from sentimental.training import cross_validation as module
from sentimental.training.cross_validation import match_conditions, run_folds, set_temperatures
from sentimental.training.histories import N_HISTORY
from sentimental.training.metrics import one_hot
from sentimental.training.protocols import protocol_folds
from sentimental.training.settings import Augmentation, Training

SETTINGS = {"training": Training(), "augmentation": Augmentation()}
ONE_EMOTION = f"h{N_HISTORY}, one emotion"
PARTS = ("train", "validation", "test")
# What recordings of `make_recordings`, and others, come to a network with.
FRAMES = {recording.file: recording.frames for recording in make_recordings(160)}
ONES = make_recording("", "", "sad").frames


@pytest.fixture
def fake(monkeypatch):
    """Trainings that only note what they were asked for, and sure answers that tell it.

    With nothing heard before, the answer is neutral; after some recordings happy; under a
    condition sad.
    """
    fake = SimpleNamespace(trained=[], stop_at=None, heard=[], sure=1.0, factor=1.0, fitted=[])

    def fit(network, recordings, validation, settings, seed, checkpoint, name, start):
        checkpoint.touch()
        if len(fake.trained) == fake.stop_at:
            raise KeyboardInterrupt
        fake.trained.append({"seed": seed, "checkpoint": checkpoint, "settings": settings})
        return "usual", {"seconds": 1.5}

    def predict(network, reference, tested, histories=None):
        assert reference == "usual"
        for recording in tested:
            np.testing.assert_array_equal(recording.frames, FRAMES.get(recording.file, ONES))
        fake.heard.append(histories and [history.tolist() for history in histories])
        answer = "happy" if histories else "neutral"
        answers = [make_recording("", "", "sad" if r.condition else answer) for r in tested]
        return np.where(one_hot(answers), fake.sure, (1 - fake.sure) / 7)

    def predict_after(network, reference, tested, statistics, histories):
        assert statistics.shape == (len(tested), N_STATISTICS)
        return predict(network, reference, tested, histories)

    def fit_temperature(recordings, probabilities):
        assert len(recordings) == len(probabilities)
        fake.fitted.append([recording.file for recording in recordings])
        return fake.factor

    monkeypatch.setattr(module, "run_jobs", run_jobs_here)
    monkeypatch.setattr(module, "fit_temperature", fit_temperature)
    monkeypatch.setattr("sentimental.training.network.build_network", lambda units: None)
    monkeypatch.setattr("sentimental.training.fit.fit", fit)
    monkeypatch.setattr("sentimental.training.fit.predict", predict)
    monkeypatch.setattr("sentimental.training.fit.predict_after", predict_after)
    monkeypatch.setattr(module, "measure_lessons", lambda *_: {})
    return fake


def test_finished_folds_are_not_trained_again(tmp_path, fake):
    noisy = {"white": [replace(r, condition="white") for r in reversed(make_corpora())]}
    arguments = "speaker", make_corpora(), noisy, 2, tmp_path, SETTINGS
    fake.stop_at = 7
    with pytest.raises(KeyboardInterrupt):
        run_folds(*arguments)
    fake.stop_at = None
    runs = run_folds(*arguments)
    assert len(fake.trained) == len({str(one["checkpoint"]) for one in fake.trained}) == 10
    numbers = [(run["seed"], run["fold"]) for run in runs]
    assert numbers == [(seed, fold) for seed in (1, 2) for fold in range(1, 6)]
    assert [training["seed"] for training in fake.trained] == [1] * 5 + [2] * 5
    answers = {"h0": "neutral", "h10": "happy", ONE_EMOTION: "happy", "white": "sad"}
    folds = protocol_folds("speaker", make_corpora(), Training(), 1)
    for run in runs:
        assert {*run["probabilities"]} == {*answers}
        for way, answer in answers.items():
            expected = np.tile(np.eye(8)[EMOTIONS.index(answer)], (len(run["tested"]), 1))
            np.testing.assert_array_equal(run["probabilities"][way], expected)
        fold = folds[run["fold"] - 1]
        assert [r.file for r in run["tested"]] == [r.file for r in fold[2]]
        assert [*run["sizes"].items()] == [*zip(PARTS, map(len, fold), strict=True)]
        assert (run["temperature"], run["seconds"], run["split_seed"]) == (2.0, 1.5, 1)
    assert not [*tmp_path.glob("*_checkpoint*")]

    # Of other settings nothing is taken up.
    other = SETTINGS | {"training": Training(units=32)}
    run_folds(*arguments[:-1], other)
    assert len(fake.trained) == 20
    assert {*tmp_path.iterdir()} == {run["path"] for run in runs}  # for the caller to delete


def test_a_training_that_is_killed_is_one_line_and_the_others_are_kept(tmp_path, fake, monkeypatch):
    def kill_second(function, jobs):
        for number, job in enumerate(jobs):
            yield number, function(*job) if number != 1 else None

    arguments = "speaker", make_corpora(), {}, 1, tmp_path, SETTINGS
    with monkeypatch.context() as killing:
        killing.setattr(module, "run_jobs", kill_second)
        with pytest.raises(SentimentalError, match="^seed 1, fold 2: killed"):
            run_folds(*arguments)
    assert len(fake.trained) == 4
    assert len(run_folds(*arguments)) == len(fake.trained) == 5


@pytest.mark.parametrize("protocol", ["speaker", "corpus", "random", "tess-speaker"])
def test_each_protocol_has_its_temperature_and_ways(protocol, tmp_path, fake):
    training, fake.sure, fake.factor = Training(temperature=0.6), 0.8, 2.0
    settings = {"training": training, "augmentation": Augmentation(jitter=0.3)}
    runs = run_folds(protocol, make_corpora(), {}, 1, tmp_path, settings)
    assert all(training["settings"] == settings for training in fake.trained)
    validated = [fold[1] for fold in protocol_folds(protocol, make_corpora(), training, 1)]
    fitted = {"speaker": validated, "corpus": [run["tested"] * 2 for run in runs]}
    fitted = fitted.get(protocol, [])
    assert fake.fitted == [[recording.file for recording in part] for part in fitted]
    assert {*runs[0]["probabilities"]} == ({"h0", "h10", ONE_EMOTION} if fitted else {"h0"})
    expected = [1.2 if fitted else 0.6] * len(runs)
    assert [run["temperature"] for run in runs] == pytest.approx(expected)
    ratio = 0.8 / (0.2 / 7)
    for answers in runs[0]["probabilities"].values():
        ratios = answers.max(axis=1) / answers.min(axis=1)
        np.testing.assert_allclose(ratios, np.sqrt(ratio) if fitted else ratio)


def test_the_seeds_of_random_are_splits_that_begin_with_the_setting(tmp_path, fake):
    def files_tested(split_seed, n_seeds):
        settings = SETTINGS | {"training": Training(split_seed=split_seed)}
        runs = run_folds("random", make_recordings(160), {}, n_seeds, tmp_path, settings)
        return [[recording.file for recording in run["tested"]] for run in runs]

    first, second = files_tested(1, 2)
    assert first != second
    assert len(first) == 20  # those that validate, too
    assert files_tested(2, 1) == [second]


# Histories


def test_ten_others_were_heard_before_any_or_of_one_emotion(tmp_path, fake):
    recordings = [
        make_recording(corpus, speaker, emotion, file=f"{corpus}{speaker}{emotion}{number}")
        for corpus in ("TESS", "RAVDESS", "CREMA-D")
        for speaker in ("1", "")
        for emotion in ("sad", "happy")
        for number in range(9)
    ]
    for name in ("one", "again"):
        run_folds("corpus", recordings, {}, 1, tmp_path / name, SETTINGS)
    (h0, h10, one_emotion), again = fake.heard[:3], fake.heard[len(fake.heard) // 2 :]
    assert h0 is None
    assert {*map(len, h10)} == {10}
    assert {*map(len, one_emotion)} == {8, 9}  # all of the emotion but itself
    assert again[1:3] == [h10, one_emotion]


# Conditions and frames


def test_conditions_are_matched_by_content_and_name():
    recordings = [replace(r, file=f"here/{r.file}") for r in make_recordings(6)]
    white = [replace(r, file=r.file.replace("here", "there")) for r in reversed(recordings)]
    matched = match_conditions(recordings[:3], {"white": white})["white"]
    assert [r.file for r in matched] == ["there/000.wav", "there/001.wav", "there/002.wav"]
    with pytest.raises(SentimentalError, match=r"condition white: 000\.wav is not among"):
        match_conditions(recordings, {"white": recordings[1:]})


def test_a_protocol_that_cannot_run_leaves_nothing(tmp_path, fake):
    with pytest.raises(SentimentalError, match="needs two of TESS"):
        run_folds("corpus", make_recordings(8)[1:2], {}, 1, tmp_path, SETTINGS)
    assert not [*tmp_path.iterdir()]


# Temperatures


def make_run(fold, sureness, n=1500):
    """A run whose answers are honest at a temperature of `sureness`."""
    rng = np.random.default_rng(fold)
    recordings = [make_recording("", "", EMOTIONS[0]) for _ in range(n)]
    honest = np.exp(2 * rng.standard_normal((n, 8)))
    honest /= honest.sum(axis=1, keepdims=True)
    for recording, p in zip(recordings, honest, strict=True):
        recording.emotion = EMOTIONS[rng.choice(8, p=p)]
    sure = honest**sureness / (honest**sureness).sum(axis=1, keepdims=True)
    ways = {"h0": sure, "h10": sure, "white": sure}
    run = {"fold": fold, "seed": 1, "tested": recordings, "probabilities": ways}
    return run | {"temperature": 1.0}, honest


def test_a_corpus_has_the_temperature_of_the_others():
    (one, _), (two, honest), (three, _) = make_run(1, 1.5), make_run(2, 0.5), make_run(3, 2.0)
    runs = [one, two, three]
    set_temperatures(runs)
    expected = [np.sqrt(0.5 * 2.0), np.sqrt(1.5 * 2.0), np.sqrt(1.5 * 0.5)]
    temperatures = [run["temperature"] for run in runs]
    np.testing.assert_allclose(temperatures, expected, rtol=0.07)
    for probabilities in two["probabilities"].values():
        heated = honest ** (0.5 / temperatures[1])
        heated /= heated.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(probabilities, heated, atol=1e-6)

    # The same corpus with another seed does not count either.
    (one, _), (two, _) = make_run(1, 1.5), make_run(2, 0.5)
    again = make_run(1, 4.0)[0] | {"seed": 2}
    set_temperatures([one, again, two])
    assert (one["temperature"], again["temperature"]) == pytest.approx((0.5, 0.5), rel=0.07)
    assert two["temperature"] == pytest.approx(np.sqrt(1.5 * 4.0), rel=0.07)
