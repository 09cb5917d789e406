"""train_model.py as its user meets it: options, protocols, a second run, what is written."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from scripts import ROOT, run
from signals import make_recording, make_recordings

import train_model
from sentimental.features_file import save_features
from sentimental.files import lock_folder
from sentimental.scripts import EMOTIONS, SentimentalError
from sentimental.speaker import MODEL_CHAIN
from sentimental.training.inputs import load_conditions

SMALL = {"epochs": 2, "steps_per_epoch": 2, "batch_size": 8, "units": 8}
QUICK = [f"--set=training.{name}={value}" for name, value in SMALL.items()]
# What the model that is saved is measured with.
PARTS = ("validation", "test")


def write_features(folder, recordings):
    path = folder / "features.json"
    save_features(path, recordings)
    return path


def read(folder, name="headline"):
    return json.loads((folder / f"{name}.json").read_text())


def names_in(folder):
    return {path.name for path in folder.iterdir()}


def test_the_script_trains_and_evaluates_to_the_same_figures(tmp_path, monkeypatch):
    recordings = make_recordings(160)
    features = write_features(tmp_path, recordings)
    command = (features, "--model", "mine.json", "--set=training.split_seed=3", *QUICK)
    trained = run("train_model.py", *command, folder=tmp_path)
    assert trained.returncode == 0, trained.stderr
    assert "training.units: 8 instead of 64" in trained.stdout
    assert trained.stdout.count("epoch ") == 2
    monkeypatch.chdir(tmp_path)
    train_model.main([*map(str, command[:4]), "--evaluate"])  # leaves nothing
    assert names_in(tmp_path) == {"features.json", "mine.json", "mine_weights.h5", "results"}
    results = tmp_path / "results"
    plots = {"loss.png", "accuracy.png", "confusion_matrix.png"}
    assert names_in(results) == {"metrics.json", "headline.json"} | plots
    metrics = read(results, "metrics")
    assert metrics["command"].startswith("python ")
    assert metrics["sizes"] == {"train": 140, "validation": 13, "test": 7}
    assert metrics["settings"]["training"].items() >= SMALL.items()
    assert metrics["seeds"] == {"split": 3, "training": 1}
    assert metrics["chain"] == MODEL_CHAIN
    assert metrics["corpora"]["TESS"] == dict.fromkeys(EMOTIONS, 13) | {"happy": 14, "fear": 14}
    assert {"python", "numpy", "keras"} <= {*metrics["versions"]}
    figures = {f"random_{part}": round(metrics[part]["accuracy"], 6) for part in PARTS}
    assert read(results) == figures
    assert "strangers will be recognized less well" in trained.stdout
    assert trained.stdout.index("lstm_2") < trained.stdout.index("epoch ")

    other_split = run("train_model.py", *command[:3], "--evaluate", folder=tmp_path)
    assert other_split.returncode == 1
    assert other_split.stderr.startswith("error: RAVDESS, TESS: trained this model, and what it")
    moved = [replace(r, file=f"elsewhere/{r.file}") for r in recordings]
    strangers = [make_recording("mine", "A", "happy", file=f"{number}") for number in range(16)]
    unknown = [replace(r, corpus="theirs", speaker="") for r in strangers]
    write_features(tmp_path, moved + strangers + unknown)
    again = *command[:4], "--evaluate", "--results", "again"
    evaluated = run("train_model.py", *again, folder=tmp_path)
    assert evaluated.returncode == 0, evaluated.stderr
    evaluation = read(tmp_path / "again", "evaluation")
    assert {part: evaluation.pop(part) for part in PARTS} == {part: metrics[part] for part in PARTS}
    assert {*evaluation} == {"mine h0", "mine h10", "mine h10, one emotion", "theirs h0"}
    assert evaluation["theirs h0"] == evaluation["mine h0"] != evaluation["mine h10"]
    assert names_in(tmp_path / "again") == {"evaluation.json", "evaluation.png"}


def test_folds_run_in_processes_of_their_own_with_the_settings_of_the_command(tmp_path):
    write_features(tmp_path, make_recordings(160))
    done = run("train_model.py", "features.json", "--seeds", "2", *QUICK, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    results = tmp_path / "results"
    result = read(results, "random")
    assert result["pooled"]["h0"]["n"] == 2 * 20
    assert result["settings"]["training"]["batch_size"] == 8
    assert result["seeds"] == {"split": [1, 2], "training": [1, 2]}
    for seed in (1, 2):
        assert f"seed {seed}, fold 1: epoch   2/2" in done.stdout
    assert not [*results.glob("*/")]
    accuracy = result["mean_and_standard_deviation"]["h0"]["accuracy"][0]
    assert read(results) == {"splits_of_random": pytest.approx(accuracy, abs=1e-4)}


# What is refused


@pytest.mark.parametrize(
    ("conditions", "n_files", "reason"),
    [
        (["", ""], 1, "not made with"),
        (["white", "babble"], 1, "not made with"),
        (["white", "white"], 2, "another file of condition white"),
    ],
)
def test_files_that_are_not_of_one_condition_each_are_refused(
    tmp_path, conditions, n_files, reason
):
    recordings = make_recordings(2)
    changed = [replace(r, condition=c) for r, c in zip(recordings, conditions, strict=True)]
    with pytest.raises(SentimentalError, match=reason):
        load_conditions([write_features(tmp_path, changed)] * n_files)


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "no such file; make it with: python preprocess.py"), ("{}", "not a features file (")],
)
def test_without_arguments_it_takes_what_preprocess_writes_or_says_how(tmp_path, content, message):
    path = Path("data/features.json")
    if content:
        (tmp_path / "data").mkdir()
        (tmp_path / path).write_text(content)
    done = run("train_model.py", folder=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {path}: {message}")
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("recordings", "options", "reason"),
    [
        ([replace(r, condition="white") for r in make_recordings(40)], [], "for tests"),
        (make_recordings(9), [], "9 recordings are too few; give 10 at least"),
        (make_recordings(9), ["--evaluate"], "too few"),
        ([make_recording("my", "A", "sad")] * 40, [], "emotion train nothing; give others, too"),
    ],
)
def test_recordings_that_cannot_train_are_refused(tmp_path, recordings, options, reason):
    with pytest.raises(SentimentalError, match=reason):
        train_model.main([str(write_features(tmp_path, recordings)), *options])


@pytest.mark.parametrize(
    ("options", "folder"),
    [(["--model", "me.json"], "me_checkpoint"), (["--seeds", "1"], "results/random_unfinished")],
)
def test_a_second_training_says_who_holds_the_first(options, folder, tmp_path, monkeypatch):
    features = write_features(tmp_path, make_recordings(160))
    monkeypatch.chdir(tmp_path)
    (tmp_path / folder).parent.mkdir(exist_ok=True)
    lock = lock_folder(tmp_path / folder)
    with pytest.raises(SentimentalError, match=rf"{folder}: process {os.getpid()} .* is at work"):
        train_model.main([str(features), *options])
    lock.release()


@pytest.mark.parametrize(
    ("script", "missing"),
    [
        ("train_model.py", ("tensorflow", "json_tricks")),
        ("preprocess.py", ("json_tricks", "joblib")),
    ],
)
def test_what_is_not_installed_is_told_before_any_work(script, missing):
    code = (
        f"import runpy, sys; sys.modules |= dict.fromkeys({missing}); "
        f"sys.argv = [{script!r}]; runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    line = (
        f"error: {', '.join(missing)}: not installed; run python -m pip install -r requirements.txt"
    )
    assert done.stderr == f"{line}\n"
