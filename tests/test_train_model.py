"""train_model.py as its user meets it: options, protocols, a second run, what is written."""

import json

import numpy as np
import pytest
from scripts import run
from signals import make_corpora, make_recordings

import sentimental.training
import train_model
from sentimental.base import EMOTIONS, SentimentalError
from sentimental.features import save_features

QUICK = (
    "--set=training.epochs={'random': 2}",
    "--set=training.batch_size=16",
    "--set=training.units=8",
)


def write_features(folder, recordings):
    path = folder / "features.json"
    save_features(path, recordings)
    return path


def test_the_script_trains_and_evaluates_to_the_same_figures(tmp_path):
    features = write_features(tmp_path, make_recordings(160))
    command = (features, "--model", "mine", "--set=training.split_seed=3", *QUICK)
    trained = run("train_model.py", *command, folder=tmp_path)
    assert trained.returncode == 0, trained.stderr
    assert "training.units: 8 instead of 64" in trained.stdout
    assert trained.stdout.count("epoch ") == 2
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"features.json", "mine.json", "mine_weights.h5", "results"}
    names = {path.name for path in (tmp_path / "results").iterdir()}
    assert names == {"metrics.json", "loss.png", "accuracy.png", "confusion_matrix.png"}
    metrics = json.loads((tmp_path / "results" / "metrics.json").read_text())
    assert metrics["command"].startswith("python ")
    assert metrics["sizes"] == {"train": 140, "validation": 13, "test": 7}
    assert metrics["settings"]["training"]["units"] == 8
    assert metrics["settings"]["training"]["epochs"]["random"] == 2
    assert metrics["seeds"] == {"split": 3, "training": 1}

    evaluated = run("train_model.py", *command[:4], "--evaluate", folder=tmp_path)
    assert evaluated.returncode == 0, evaluated.stderr
    for part in ("validation", "test"):
        (line,) = [x for x in evaluated.stdout.splitlines() if x.startswith(part)]
        assert line in trained.stdout


def test_folds_run_in_processes_of_their_own_with_the_settings_of_the_command(tmp_path):
    write_features(tmp_path, make_recordings(160))
    done = run("train_model.py", "features.json", "--seeds", "2", *QUICK, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "results" / "random.json").read_text())
    assert result["pooled"]["clean"]["n"] == 2 * 20
    assert result["settings"]["training"]["batch_size"] == 16
    assert result["seeds"] == {"split": [1, 2], "training": [1, 2]}
    for seed in (1, 2):
        assert f"seed {seed}, fold 1: epoch   2/2" in done.stdout
    assert not list((tmp_path / "results" / "folds").iterdir())


def answer(emotions):
    return np.eye(len(EMOTIONS))[[EMOTIONS.index(emotion) for emotion in emotions]]


@pytest.fixture
def in_this_process(monkeypatch):
    monkeypatch.setattr(train_model, "Parallel", lambda n_jobs: list)
    monkeypatch.setattr(train_model, "delayed", lambda function: function)


SETTINGS = {"training": train_model.Training(), "augmentation": train_model.Augmentation()}


def test_finished_folds_are_not_trained_again(tmp_path, monkeypatch, in_this_process):
    trained = []

    def fake_train(
        recordings, validation, training, augmentation, epochs, seed, checkpoint, **more
    ):
        assert more["temperature"] is None  # fitted to speakers that were not trained on
        checkpoint.mkdir(parents=True, exist_ok=True)
        if len(trained) == stop_at:
            raise KeyboardInterrupt
        trained.append(more["name"])
        return None, {"temperature": 2.0, "seconds": 1.0}

    def predict_neutral_or_sad(network, tested):
        return answer("sad" if recording["condition"] else "neutral" for recording in tested)

    monkeypatch.setattr(sentimental.training, "train", fake_train)
    monkeypatch.setattr(sentimental.training, "predict_recordings", predict_neutral_or_sad)
    noisy = {"white": [r | {"condition": "white"} for r in reversed(make_corpora())]}
    stop_at = 7
    with pytest.raises(KeyboardInterrupt):
        train_model.run_protocol("speaker", make_corpora(), noisy, 2, tmp_path, SETTINGS)
    stop_at = None
    train_model.run_protocol("speaker", make_corpora(), noisy, 2, tmp_path, SETTINGS)
    assert len(trained) == len(set(trained)) == 10
    result = json.loads((tmp_path / "speaker.json").read_text())
    assert result["mean_and_standard_deviation"]["uar"] == pytest.approx([1 / 8, 0])
    assert result["pooled"]["clean"]["recall"]["neutral"] == 1
    assert result["pooled"]["white"]["recall"]["sad"] == 1
    assert result["pooled"]["clean"]["n"] == result["pooled"]["white"]["n"] == 2 * 24 * 8
    assert result["temperature"] == pytest.approx(2)
    assert result["seeds"] == {"split": [1, 1], "training": [1, 2]}
    assert (tmp_path / "speaker.png").exists()
    assert (tmp_path / "speaker_calibration.png").exists()
    assert not list((tmp_path / "folds").iterdir())


def test_with_one_seed_there_is_no_deviation_and_other_seeds_keep_their_folds(
    tmp_path, monkeypatch, in_this_process, capsys
):
    other = tmp_path / "folds" / "corpus_seed3_fold1"
    other.mkdir(parents=True)
    monkeypatch.setattr(
        train_model,
        "run_fold",
        lambda protocol, seed, number, fold, parts, folder, settings: (
            (folder / f"{protocol}_seed{seed}_fold{number}.json").write_text("{}")
            and {
                "temperature": 1.0,
                "seconds": 1.0,
                "probabilities": {"clean": answer(r["emotion"] for r in parts["clean"])},
            }
        ),
    )
    train_model.run_protocol("corpus", make_corpora(), {}, 1, tmp_path, SETTINGS)
    result = json.loads((tmp_path / "corpus.json").read_text())
    assert result["mean_and_standard_deviation"]["uar"] == [1.0, None]
    assert "uar 1.0000 with one seed" in capsys.readouterr().out
    assert [path.name for path in (tmp_path / "folds").iterdir()] == [other.name]


def test_a_condition_without_a_tested_recording_is_refused():
    recordings = make_corpora()
    with pytest.raises(SentimentalError, match=r"condition white: .* is not among"):
        train_model.match_conditions(recordings, {"white": recordings[1:]})


@pytest.mark.parametrize(
    ("conditions", "reason"),
    [([""], "not made with"), (["white", "babble"], "not made with")],
)
def test_a_file_that_is_not_of_one_condition_is_refused(tmp_path, conditions, reason):
    recordings = make_recordings(len(conditions))
    changed = [r | {"condition": c} for r, c in zip(recordings, conditions, strict=True)]
    with pytest.raises(SentimentalError, match=reason):
        train_model.load_conditions([write_features(tmp_path, changed)])


def test_two_files_of_one_condition_are_refused(tmp_path):
    path = write_features(tmp_path, [r | {"condition": "white"} for r in make_recordings(2)])
    assert set(train_model.load_conditions([path])) == {"white"}
    with pytest.raises(SentimentalError, match="another file of condition white"):
        train_model.load_conditions([path, path])


def test_the_seeds_of_random_are_splits_that_begin_with_the_setting(
    tmp_path, monkeypatch, in_this_process
):
    def files_tested(split_seed, n_seeds):
        seen = []

        def fake_fold(protocol, seed, number, fold, parts, folder, settings):
            seen.append([recording["file"] for recording in fold[2]])
            if len(seen) == n_seeds:
                raise KeyboardInterrupt

        monkeypatch.setattr(train_model, "run_fold", fake_fold)
        settings = {"training": train_model.Training(split_seed=split_seed)}
        with pytest.raises(KeyboardInterrupt):
            train_model.run_protocol("random", make_recordings(160), {}, 2, tmp_path, settings)
        return seen

    first, second = files_tested(1, 2)
    assert first != second
    assert files_tested(2, 1) == [second]


@pytest.mark.parametrize(
    ("content", "message"), [(None, "make it with preprocess.py"), ("{}", "not a features file")]
)
def test_bad_features_end_with_one_line(tmp_path, content, message):
    path = tmp_path / "features.json"
    if content:
        path.write_text(content)
    done = run("train_model.py", path, folder=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "options",
    [
        ("--seeds", "0"),
        ("--evaluate", "--protocol", "speaker"),
        ("--evaluate", "--seeds", "2"),
        ("--protocol", "best"),
        ("--conditions", "noise.json"),
        ("--protocol", "speaker", "--seed", "3"),
        ("--evaluate", "--seed", "3"),
        ("--seed", "-1"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, capsys):
    with pytest.raises(SystemExit) as caught:
        train_model.main(["features.json", *options])
    assert caught.value.code == 2
    assert "error: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("recordings", "reason"),
    [
        ([r | {"condition": "white"} for r in make_recordings(40)], "for tests"),
        (make_recordings(9), "too few"),
    ],
)
def test_recordings_that_cannot_train_are_refused(tmp_path, recordings, reason):
    with pytest.raises(SentimentalError, match=reason):
        train_model.main([str(write_features(tmp_path, recordings))])
