"""Plots: each is drawn, with what it should say."""

import matplotlib.image
import numpy as np
import pytest
from signals import make_corpora, make_recordings

from sentimental.scripts import EMOTIONS
from sentimental.training import plots
from sentimental.training.metrics import calibration, compute_metrics, one_hot


@pytest.fixture
def figures(monkeypatch):
    """Figures as they are when they are saved, by the name of their file."""
    seen, save = {}, plots._save_figure

    def keep(figure, path):
        seen[path.name] = figure
        save(figure, path)

    monkeypatch.setattr(plots, "_save_figure", keep)
    return seen


def labels(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_a_history_shows_training_validation_and_what_was_saved(figures, tmp_path):
    history = {"loss": [3, 2, 1], "val_loss": [2.5, 1.5, 2], "epoch_saved": 2}
    plots.plot_history(history, "loss", tmp_path / "loss.png")
    (axes,) = figures["loss.png"].axes
    training, validation, saved = axes.get_lines()
    np.testing.assert_array_equal(training.get_xydata(), [[1, 3], [2, 2], [3, 1]])
    np.testing.assert_array_equal(validation.get_ydata(), [2.5, 1.5, 2])
    assert set(saved.get_xdata()) == {2}
    assert labels(axes)[2] == "saved: epoch 2"
    assert matplotlib.image.imread(tmp_path / "loss.png").std() > 0


def test_a_confusion_matrix_has_counts_recall_and_what_was_not_tested(figures, tmp_path):
    recordings = [r for r in make_corpora() if r.corpus == "TESS"]  # nobody is calm
    answers = one_hot(recordings)
    answers[0] = answers[1]
    metrics = compute_metrics(recordings, answers)
    n_right = len(recordings) - 1
    plots.plot_confusion({"h0": metrics, "h10": metrics}, tmp_path / "c.png")
    first, second, _ = figures["c.png"].axes  # and the colors
    assert f"h0: accuracy {n_right / len(recordings):.3f}" in first.get_title()
    assert "h10" in second.get_title()
    told = [text.get_text() for text in first.get_yticklabels()]
    assert told == ["neutral 0.50", "calm –", *(f"{emotion} 1.00" for emotion in EMOTIONS[2:])]
    counts = np.array([int(text.get_text()) for text in first.texts]).reshape(8, 8)
    np.testing.assert_array_equal(counts, metrics["confusion"])
    colors = np.array(first.collections[0].get_array()).reshape(8, 8)
    np.testing.assert_allclose(colors, counts / np.maximum(counts.sum(axis=1), 1)[:, None])
    assert matplotlib.image.imread(tmp_path / "c.png").std() > 0


def test_calibration_shows_accuracy_over_confidence(figures, tmp_path):
    recordings = make_recordings(8)
    probabilities = np.full((8, 8), 0.05)
    probabilities[:, 0] = 0.65
    plots.plot_calibration(*calibration(recordings, probabilities), "A title", tmp_path / "c.png")
    (axes,) = figures["c.png"].axes
    assert axes.get_title() == "A title: calibration error 0.525"
    np.testing.assert_allclose(axes.get_lines()[1].get_xydata(), [[0.65, 0.125]])
    (bar,) = axes.patches
    assert (bar.get_x(), bar.get_height()) == pytest.approx((9 / 15, 1))
    assert matplotlib.image.imread(tmp_path / "c.png").std() > 0


def test_risk_coverage_is_drawn_where_all_are_unsure(figures, tmp_path):
    plots.plot_risk_coverage([(0.0, 0.0, 0.2), (0.2, 0.5, 0.3)], "A title", tmp_path / "r.png")
    (axes,) = figures["r.png"].axes
    assert len(axes.get_lines()) == 1


def test_risk_coverage_shows_what_the_unsure_answers_cost(figures, tmp_path):
    curve = [(0.0, 0.0, 0.6), (0.4, 0.2, 0.7), (0.6, 0.5, 0.9)]
    plots.plot_risk_coverage(curve, "A title", tmp_path / "r.png")
    (axes,) = figures["r.png"].axes
    line, point = axes.get_lines()
    np.testing.assert_allclose(line.get_xydata(), [[0, 0.6], [0.2, 0.7], [0.5, 0.9]])
    np.testing.assert_allclose(point.get_xydata(), [[0.2, 0.7]])
    assert point.get_label() == "without those below 40%"
    assert matplotlib.image.imread(tmp_path / "r.png").std() > 0
