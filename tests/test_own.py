"""Recordings of one's own, from files to answers: 80 clips of 3 emotions by 4 speakers."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from scripts import run_jobs_here
from signals import SAMPLES, speech

import preprocess
import train_model
from sentimental.features_file import load_features, save_features
from sentimental.recognizer import load_recognizer
from sentimental.scripts import EMOTIONS, SentimentalError
from sentimental.spectrum import SAMPLE_RATE

SPEAKERS = ("anna", "ben", "cem", "dana")
# Pitch and speed of each emotion.
EMOTIONS_HERE = {"happy": 1.2, "sad": 0.85, "angry": 1.0}
UNTRAINED = [emotion for emotion in EMOTIONS if emotion not in EMOTIONS_HERE]
SMALL = {"epochs": 1, "fine_tuning_epochs": 1, "steps_per_epoch": 1, "batch_size": 4, "units": 4}
QUICK = [f"--set=training.{name}={value}" for name, value in SMALL.items()]
QUICK += ["--set=augmentation.crop_frames=20"]


def make_clips():
    """Parts of synthetic speech; the speaker, the emotion and the samples of each of 80."""
    clips = []
    for number in range(80):
        speaker, emotion = number % len(SPEAKERS), [*EMOTIONS_HERE][number % len(EMOTIONS_HERE)]
        samples = speech(speaker % len(SAMPLES))
        start = 400 * (number // len(SPEAKERS))
        samples = samples[start : start + SAMPLE_RATE]
        time = np.arange(0, len(samples) - 1, EMOTIONS_HERE[emotion])
        samples = np.interp(time, np.arange(len(samples)), samples).astype(np.float32)
        clips.append((SPEAKERS[speaker], emotion, samples))
    return clips


def lay_out(layout, folder):
    """Write the clips in one of the three ways; the arguments of preprocess.py for them."""
    names = {
        "speakers": "my/{speaker}/{emotion}/{number}.wav",
        "emotions": "my/{emotion}/{number}.wav",
        "table": "my/recordings/{number}.wav",
    }
    rows = []
    for number, (speaker, emotion, samples) in enumerate(make_clips()):
        name = names[layout].format(speaker=speaker, emotion=emotion, number=number)
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / name, samples, SAMPLE_RATE)
        rows.append([name.removeprefix("my/"), emotion, speaker])
    if layout != "table":
        return [folder / "my"]
    with open(folder / "my" / "labels.csv", "w", newline="") as stream:
        csv.writer(stream).writerows([["file", "emotion", "speaker"], *rows])
    return ["--labels", folder / "my" / "labels.csv"]


@pytest.fixture
def make_features(tmp_path, monkeypatch, capsys):
    """Run preprocess.py in this process; the path of the features of a layout."""

    def make_features(layout, name="features.json"):
        arguments = [*lay_out(layout, tmp_path), "--output", tmp_path / name]
        monkeypatch.setattr("preprocess.run_jobs", run_jobs_here)
        monkeypatch.setattr("sys.argv", ["preprocess.py", *map(str, arguments)])
        preprocess.main()
        recordings = load_features(tmp_path / name)
        speakers = ("",) if layout == "emotions" else SPEAKERS
        told = {(r.corpus, r.emotion, r.speaker) for r in recordings}
        assert told == {("my", e, speaker) for e in EMOTIONS_HERE for speaker in speakers}
        assert len(recordings) == 80
        (row,) = [x for x in capsys.readouterr().out.splitlines() if x.startswith("my ")]
        assert row.split()[-2:] == ["80", "-" if layout == "emotions" else "4"]
        return tmp_path / name

    return make_features


@pytest.fixture
def train(tmp_path, monkeypatch, eagerly):
    """Run train_model.py in this process."""
    monkeypatch.setattr("sentimental.training.cross_validation.run_jobs", run_jobs_here)
    monkeypatch.chdir(tmp_path)

    def train(*arguments):
        train_model.main([*QUICK, *map(str, arguments)])

    return train


def read(path):
    return json.loads(path.read_text())


@pytest.mark.filterwarnings("ignore:Even though")  # tf.data is compiled all the same
def test_own_recordings_train_are_measured_and_recognized(make_features, train, tmp_path, capsys):
    features = make_features("emotions")
    train(features, "--model", "me.json")
    never = f"never answered, as no recordings of it trained: {', '.join(UNTRAINED)}\n"
    out = capsys.readouterr().out
    assert never in out
    assert "strangers will be recognized less well" in out
    metrics = read(tmp_path / "results" / "metrics.json")
    assert metrics["untrained"] == UNTRAINED
    assert metrics["sizes"] == {"train": 70, "validation": 10, "test": 0}
    tested = metrics["cross-validation"]
    assert (tested["n"], tested["intervals"]["over"]) == (80, "clips")
    low, high = tested["intervals"]["accuracy"]
    assert low < tested["accuracy"] < high
    assert {e for e in EMOTIONS if tested["answers"][e]} <= {*EMOTIONS_HERE}
    assert not [*tmp_path.glob("*_checkpoint"), *tmp_path.glob("results/*/")]

    train(features, "--model", "me.json", "--evaluate", "--results", "again")
    assert never in capsys.readouterr().out
    evaluation = read(tmp_path / "again" / "evaluation.json")
    assert evaluation == {"validation": metrics["validation"]}
    assert (tmp_path / "again" / "evaluation.png").exists()

    answer = load_recognizer(tmp_path / "me.json").predict(SAMPLES[0])
    assert [emotion for emotion, p in answer.items() if p == 0] == UNTRAINED
    assert sum(answer.values()) == pytest.approx(1)


@pytest.mark.filterwarnings("ignore:Even though")
def test_own_speakers_are_folds_and_a_model_is_a_start_for_others(
    make_features, train, tmp_path, capsys
):
    features = make_features("speakers")
    train(features, "--model", "me.json")
    out = capsys.readouterr().out
    assert out.index("seed 1, fold 4: epoch") < out.index("unseen speakers ") < out.index("\nvalid")
    assert "strangers" not in out
    metrics = read(tmp_path / "results" / "metrics.json")
    measured = metrics["unseen speakers"]
    assert (measured["n"], measured["intervals"]["over"]) == (80, "speakers")
    assert metrics["groups"]["my"]["accuracy"] == measured["accuracy"]
    headline = read(tmp_path / "results" / "headline.json")
    assert {*headline} == {"random_unseen_speakers", "random_validation"}

    (tmp_path / "my").rename(tmp_path / "old")
    other = make_features("table", "other.json")
    with pytest.raises(SentimentalError, match="was trained with my, so testing on them would"):
        train(other, "--start-from", "me.json", "--model", "you.json")
    recordings = load_features(other)
    save_features(other, [replace(recording, corpus="your") for recording in recordings])
    with pytest.raises(SentimentalError, match="is read as well"):
        train(other, "--start-from", "me.json", "--model", "me.json")
    train(other, "--start-from", "me.json", "--model", "you.json", "--set=training.units=8")
    recognizer = load_recognizer(tmp_path / "you.json")
    assert len(recognizer.lstm_layers[0][1]) == 4  # as the start has
    content = read(tmp_path / "you.json")
    assert content["training"]["corpora"] == ["my", "your"]
    assert content["usual"] == read(tmp_path / "me.json")["usual"]
