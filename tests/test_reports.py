"""What is told of runs: tables, records, the headline, the report of a protocol."""

import json
from dataclasses import replace

import numpy as np
import pytest
from signals import make_corpora, make_recording, make_recordings

from sentimental.scripts import EMOTIONS
from sentimental.speaker import MODEL_CHAIN
from sentimental.training.augment import Augmentation
from sentimental.training.metrics import compute_metrics, one_hot
from sentimental.training.protocols import protocol_folds
from sentimental.training.reports import print_metrics, report_runs, run_record, update_headline
from sentimental.training.settings import Training


def read(folder, name="headline"):
    return json.loads((folder / f"{name}.json").read_text())


# Tables and records


def test_a_table_has_a_line_for_each_part(capsys):
    recordings = [r for r in make_recordings(16) if r.emotion in ("happy", "sad")]
    recordings = [replace(r, speaker="") for r in recordings]
    metrics = compute_metrics(recordings, one_hot([make_recording("", "", "neutral")] * 4))
    print_metrics({"a name that is long": metrics, "short": metrics})
    _, head, *lines, foot = capsys.readouterr().out.splitlines()
    assert head.split()[:6] == ["clips", "over", "accuracy", "UAR", "own", "ECE"]
    assert [line.split("  ")[0] for line in lines] == ["a name that is long", "short"]
    assert len({len(line) for line in lines}) == 1
    for line in lines:
        for figure in ("4  clips", "0.0000 (0.00 to 0.49)", "0.5000 (", "1.0000 ("):
            assert figure in line
        assert "neutral 100%; happy 0.00 (0.00 to 0.66)  sad 0.00 (0.00 to 0.66)" in line
    assert "95 % intervals" in foot


def test_a_record_tells_what_trained_and_with_what():
    record = run_record("random", make_corpora(), [1], {"split": 1}, {})
    assert record["corpora"]["TESS"] == dict.fromkeys(EMOTIONS, 2) | {"calm": 0}
    assert record["corpora"]["RAVDESS"] == dict.fromkeys(EMOTIONS, 24)
    assert record["chain"] == MODEL_CHAIN
    assert (record["protocol"], record["sizes"], record["seeds"]) == ("random", [1], {"split": 1})
    assert {"python", "numpy", "keras"} <= {*record["versions"]}


# Headline


def test_the_headline_keeps_what_other_runs_found(tmp_path):
    update_headline(tmp_path, {"speaker_h0": 0.5, "speaker_white": 0.3})
    update_headline(tmp_path, {"tess-speaker_h0": 0.12345, "corpus_TESS_h0": 1})
    update_headline(tmp_path, {"speaker_h0": np.float64(0.6)})
    assert read(tmp_path) == {"corpus_TESS_h0": 1, "speaker_h0": 0.6, "tess-speaker_h0": 0.12345}


@pytest.mark.parametrize("content", ["", "{", "[]", "3", "\xff", "[" * 100_000])
def test_a_damaged_headline_costs_no_figures(content, tmp_path, capsys):
    path = tmp_path / "headline.json"
    path.write_text(content, encoding="latin-1")
    update_headline(tmp_path, {"speaker_h0": 0.5})
    assert read(tmp_path) == {"speaker_h0": 0.5}
    assert f"{path}: damaged, kept as headline.json.damaged" in capsys.readouterr().out


# What is written of the runs of a protocol


def make_runs(protocol, answers, n_seeds):
    """Runs whose answer in each way is that of `answers`, a function of recording and seed."""
    recordings = [*make_corpora(), make_recording("CREMA-D", "1001", "sad")]
    folds = protocol_folds(protocol, recordings, Training(), 1)
    return [
        {
            "seed": seed,
            "fold": number,
            "split_seed": 1,
            "sizes": {"train": len(train), "validation": len(validation), "test": len(test)},
            "tested": test,
            "temperature": 0.5 * number,
            "seconds": 2.0 * seed,
            "probabilities": {
                way: one_hot([make_recording("", "", answer(r, seed)) for r in test])
                for way, answer in answers.items()
            },
        }
        for seed in range(1, n_seeds + 1)
        for number, (train, validation, test) in enumerate(folds, 1)
    ]


@pytest.fixture
def report(tmp_path):
    """Report the runs of a protocol, which are made up; the record of them."""

    def report(protocol, answers, n_seeds):
        runs = make_runs(protocol, answers, n_seeds)
        settings = {"training": Training(), "augmentation": Augmentation()}
        report_runs(protocol, runs, make_corpora(), tmp_path, settings)
        for name in (f"{protocol}.png", f"{protocol}_calibration.png"):
            assert (tmp_path / name).exists()
        return read(tmp_path, protocol)

    return report


def truth(recording, seed):
    return recording.emotion


def neutral(recording, seed):
    return "neutral"


def test_what_is_written_of_protocol_speaker(report, tmp_path, capsys):
    def neutral_at_first(recording, seed):
        return "neutral" if seed == 1 else recording.emotion

    ways = {"h0": neutral_at_first, "h10": truth, "h10, one emotion": neutral, "white": neutral}
    result = report("speaker", ways, 2)
    mean, deviation = result["mean_and_standard_deviation"]["h0"]["uar"]
    assert (mean, deviation) == pytest.approx((9 / 16, np.std([1 / 8, 1], ddof=1)))
    assert result["pooled"]["h0"]["n"] == 2 * 24 * 8
    assert result["pooled"]["h0"]["recall"]["sad"] == 0.5
    assert {*result["folds"]} == {f"fold {number}" for number in range(1, 6)}
    assert result["folds"]["fold 1"]["h0"]["n"] == 2 * 5 * 8
    np.testing.assert_allclose(result["pooled"]["h0"]["intervals"]["uar"], 9 / 16)
    assert result["groups"]["male"]["uar"] == pytest.approx(9 / 16)
    assert result["temperatures"] == [0.5, 1.0, 1.5, 2.0, 2.5] * 2
    assert result["mean_training_seconds"] == pytest.approx(3)
    assert result["seeds"] == {"split": [1, 1], "training": [1, 2]}
    assert len(result["sizes"]) == 5
    figures = {"h0": 9 / 16, "h10": 1, "h10_one_emotion": 1 / 8, "white": 1 / 8}
    expected = {f"speaker_{way}": pytest.approx(value, abs=1e-4) for way, value in figures.items()}
    assert read(tmp_path) == expected
    out = capsys.readouterr().out
    assert "speaker h0: 0.5625 ± 0.6187 over 2 seeds; with as many other speakers 0.562" in out


def test_the_uar_of_protocol_corpus_is_the_mean_of_corpora(report, tmp_path, capsys):
    def right_of_tess(recording, seed):
        return recording.emotion if recording.corpus == "TESS" else "neutral"

    result = report("corpus", {"h0": right_of_tess, "h10": truth}, 1)
    assert {*result["folds"]} == {"TESS", "RAVDESS", "CREMA-D"}
    mean = (1 + 1 / 8 + 0) / 3
    assert result["mean_and_standard_deviation"]["h0"]["uar"] == [pytest.approx(mean), None]
    assert result["pooled"]["h0"]["uar"] == pytest.approx(mean)
    own = (1 + 1 / 8 + 1) / 3  # of CREMA-D there is but one emotion
    assert result["mean_and_standard_deviation"]["h0"]["uar_own"][0] == pytest.approx(own)
    np.testing.assert_allclose(result["pooled"]["h0"]["intervals"]["uar"], mean)
    assert result["folds"]["RAVDESS"]["h0"]["intervals"]["uar"] == pytest.approx([1 / 8, 1 / 8])
    headline = read(tmp_path)
    assert headline["corpus_mean_h0"] == pytest.approx(mean, abs=1e-4)
    assert headline["corpus_RAVDESS_h0"] == 0.125
    assert headline["corpus_CREMA-D_h10"] == 1
    assert "corpus h0: 0.3750 with one seed; with as many" in capsys.readouterr().out
