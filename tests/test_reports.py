"""What is told of runs: tables, records, the headline, the report of a protocol."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import matplotlib.figure
import matplotlib.image
import numpy as np
import pytest
from scripts import ROOT
from signals import make_corpora, make_recording, make_recordings

from sentimental.scripts import EMOTIONS
from sentimental.training.metrics import calibration, compute_metrics, one_hot
from sentimental.training.protocols import count_parts, protocol_folds
from sentimental.training.reports import (
    plot_calibration,
    plot_confusion,
    plot_history,
    plot_risk_coverage,
    print_metrics,
    report_runs,
    update_headline,
)
from sentimental.training.settings import Training


def read(folder, name="headline"):
    return json.loads((folder / f"{name}.json").read_text())


# Tables and records


def test_a_table_has_three_lines_for_each_part(capsys):
    recordings = [r for r in make_recordings(16) if r.emotion in ("happy", "sad")]
    recordings = [replace(r, speaker="") for r in recordings]
    metrics = compute_metrics(recordings, one_hot([make_recording("", "", "neutral")] * 4))
    print_metrics({"a name": metrics, "short": metrics})
    _, head, *lines, foot = capsys.readouterr().out.splitlines()
    assert head.split()[:5] == ["clips", "accuracy", "UAR", "own", "ECE"]
    for name, part in (("a name", lines[:3]), ("short", lines[3:])):
        figures, intervals, recall = part
        assert figures.startswith(name)
        told = figures.removeprefix(name).split()
        assert told == ["4", "0.0000", "0.0000", "0.5000", "1.0000", "neutral", "100%"]
        assert intervals.startswith("  95 % over clips")
        assert intervals.index("0.00-0.49") == figures.index("0.0000")
        assert recall == "  recall happy 0% sad 0%"
    assert "calibration error" in foot


@pytest.mark.parametrize(
    ("corpus", "told"),
    [
        ("BanglaSER", "BanglaSER h10"),
        ("a corpus that was given a name of many words", "a corpus that w…"),
        ("\x1b[2Jmine\udcfc", "\\x1b[2Jmine\\xfc"),  # what a terminal would obey
    ],
)
def test_tables_are_100_columns_wide_and_names_printable(corpus, told, capsys):
    recordings = [make_recording("my", "", emotion) for emotion in EMOTIONS]
    print_metrics({f"{corpus} h10, one emotion": compute_metrics(recordings, one_hot(recordings))})
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].startswith(told[:15])
    assert "one emotion " in lines[2]
    assert 90 < max(map(len, lines)) <= 100


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
            "sizes": count_parts(fold),
            "tested": fold[2],
            "unseen_speakers": True,
            "temperature": 0.5 * number,
            "seconds": 2.0 * seed,
            "probabilities": {
                way: one_hot([make_recording("", "", answer(r, seed)) for r in fold[2]])
                for way, answer in answers.items()
            },
        }
        for seed in range(1, n_seeds + 1)
        for number, fold in enumerate(folds, 1)
    ]


def report(folder, protocol, answers, n_seeds):
    """Report the runs of a protocol, which are made up; the record of them."""
    runs = make_runs(protocol, answers, n_seeds)
    report_runs(protocol, runs, make_corpora(), folder, {"training": Training()})
    for name in (f"{protocol}.png", f"{protocol}_calibration.png"):
        assert (folder / name).exists()
    return read(folder, protocol)


# What is answered to a recording, by a network of a seed.
def truth(recording, seed):
    return recording.emotion


def neutral(recording, seed):
    return "neutral"


def test_what_is_written_of_protocol_speaker(tmp_path, capsys):
    def neutral_at_first(recording, seed):
        return "neutral" if seed == 1 else recording.emotion

    ways = {"h0": neutral_at_first, "h10": truth, "h10, one emotion": neutral, "white": neutral}
    result = report(tmp_path, "speaker", ways, 2)
    told = result["mean_and_standard_deviation"]["h0"]["uar"]
    assert told == pytest.approx([9 / 16, np.std([1 / 8, 1], ddof=1)])
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
    assert "speaker h0: 0.5625 ± 0.6187 over 2 seeds; 95 % over speakers: 0.562" in out


def test_the_uar_of_protocol_corpus_is_the_mean_of_corpora(tmp_path, capsys):
    def right_of_tess(recording, seed):
        return recording.emotion if recording.corpus == "TESS" else "neutral"

    result = report(tmp_path, "corpus", {"h0": right_of_tess, "h10": truth}, 1)
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
    assert "corpus h0: 0.3750 with one seed; 95 % over speakers: " in capsys.readouterr().out


# Plots


@pytest.fixture
def figures(monkeypatch):
    """Figures as they are when they are saved, by the name of their file."""
    seen, save = {}, matplotlib.figure.Figure.savefig

    def keep(figure, path, **options):
        seen[path.name.rpartition("partial.")[2]] = figure
        save(figure, path, **options)

    monkeypatch.setattr(matplotlib.figure.Figure, "savefig", keep)
    return seen


def labels(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_a_history_shows_training_validation_and_what_was_saved(figures, tmp_path):
    history = {"loss": [3, 2, 1], "val_loss": [2.5, 1.5, 2], "epoch_saved": 2}
    plot_history(history, "loss", tmp_path / "loss.png")
    (axes,) = figures["loss.png"].axes
    training, validation, saved = axes.get_lines()
    np.testing.assert_array_equal(training.get_xydata(), [[1, 3], [2, 2], [3, 1]])
    np.testing.assert_array_equal(validation.get_ydata(), [2.5, 1.5, 2])
    assert set(saved.get_xdata()) == {2}
    assert labels(axes)[2] == "saved: epoch 2"


def test_a_confusion_matrix_has_counts_recall_and_no_emotion_without_recordings(figures, tmp_path):
    recordings = [r for r in make_corpora() if r.corpus == "TESS"]  # nobody is calm
    answers = one_hot(recordings)
    answers[0] = answers[1]
    metrics = compute_metrics(recordings, answers)
    answers[0] = one_hot([make_recording("TESS", "OAF", "calm")])
    calm = compute_metrics(recordings, answers)
    plot_confusion({"h0": metrics, "$x_$ \n": calm}, tmp_path / "c.png")
    first, second, _ = figures["c.png"].axes  # and the colors
    assert f"h0: accuracy {(len(recordings) - 1) / len(recordings):.3f}" in first.get_title()
    assert second.get_title().startswith("\\$x_\\$ \\n: ")
    others = [emotion for emotion in EMOTIONS if emotion != "calm"]
    for axes, answered in ((first, others), (second, EMOTIONS)):
        told = [text.get_text() for text in axes.get_yticklabels()]
        assert told == ["neutral 0.50", *(f"{emotion} 1.00" for emotion in others[1:])]
        assert [text.get_text() for text in axes.get_xticklabels()] == [*answered]
        boxes = [label.get_window_extent() for label in axes.get_yticklabels()]
        assert all(above.y0 >= below.y1 for above, below in zip(boxes, boxes[1:], strict=False))
    counts = np.array([int(text.get_text()) for text in first.texts]).reshape(7, 7)
    np.testing.assert_array_equal(counts, np.delete(np.delete(metrics["confusion"], 1, 0), 1, 1))
    colors = np.array(first.collections[0].get_array()).reshape(7, 7)
    np.testing.assert_allclose(colors, counts / counts.sum(axis=1)[:, None])


def test_calibration_shows_accuracy_over_confidence(figures, tmp_path):
    recordings = make_recordings(8)
    probabilities = np.full((8, 8), 0.05)
    probabilities[:, 0] = 0.65
    plot_calibration(*calibration(recordings, probabilities), "A title", tmp_path / "c.png")
    (axes,) = figures["c.png"].axes
    assert axes.get_title() == "A title: calibration error 0.525"
    _, (points, (low, high), _) = axes.containers
    np.testing.assert_allclose(points.get_xydata(), [[0.65, 0.125]])
    assert [low.get_ydata()[0], high.get_ydata()[0]] == pytest.approx([0.0224, 0.4709], abs=1e-4)
    (bar,) = axes.patches
    assert (bar.get_x(), bar.get_height()) == pytest.approx((9 / 15, 1))


def test_risk_coverage_shows_what_the_unsure_answers_cost_if_some_are_sure(figures, tmp_path):
    curve = [(0.0, 0.0, 0.6), (0.4, 0.2, 0.7), (0.6, 0.5, 0.9)]
    plot_risk_coverage(curve, "A title", tmp_path / "r.png")
    (axes,) = figures["r.png"].axes
    line, point = axes.get_lines()
    np.testing.assert_allclose(line.get_xydata(), [[0, 0.6], [0.2, 0.7], [0.5, 0.9]])
    np.testing.assert_allclose(point.get_xydata(), [[0.2, 0.7]])
    assert point.get_label() == "without those below 40%"
    plot_risk_coverage(curve[:1], "A title", tmp_path / "r.png")
    assert len(figures["r.png"].axes[0].get_lines()) == 1


HOSTILE = """
text.usetex: True
figure.dpi: 300
savefig.dpi: 30
savefig.facecolor: black
font.size: 40
axes.facecolor: black
"""


def test_plots_look_the_same_whatever_the_user_has_set(tmp_path):
    history, other = {"loss": [3, 2], "val_loss": [2, 1], "epoch_saved": 2}, tmp_path / "other.png"
    plot_history(history, "loss", tmp_path / "usual.png")
    (tmp_path / "matplotlibrc").write_text(HOSTILE)
    code = (
        "from pathlib import Path; from sentimental.training.reports import plot_history; "
        f"plot_history({history}, 'loss', Path({str(other)!r}))"
    )
    settings = {"MATPLOTLIBRC": str(tmp_path), "MPLBACKEND": "inline"}
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=os.environ | settings, check=True)
    pictures = [matplotlib.image.imread(path) for path in (tmp_path / "usual.png", other)]
    assert pictures[0].std() > 0
    np.testing.assert_array_equal(*pictures)
