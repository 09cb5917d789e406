"""What README.md promises: its commands, its links, its figures."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_ci_runs_the_test_command_of_the_readme():
    command = next(line for line in README.splitlines() if line.endswith("-m pytest"))
    assert command in (ROOT / ".ci" / "run").read_text().splitlines()


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([^)#]+)\)", README))))
def test_links_to_files_lead_somewhere(target):
    if not target.startswith("http"):
        assert (ROOT / target).exists()


@pytest.mark.parametrize("part", ["validation", "test"])
def test_the_figures_are_those_of_the_results(part):
    metrics = json.loads((ROOT / "results" / "metrics.json").read_text())[part]
    row = next(line for line in README.splitlines() if f"`random`, {part}" in line)
    _, clips, accuracy, uar = [cell.strip(" *") for cell in row.strip("| ").split("|")]
    assert int(clips) == metrics["n"]
    assert accuracy == f"{metrics['accuracy']:.3f}"
    assert uar == f"{metrics['uar']:.3f}"


@pytest.mark.parametrize("protocol", ["speaker", "corpus", "random"])
def test_the_figures_over_seeds_are_those_of_the_results(protocol):
    result = json.loads((ROOT / "results" / f"{protocol}.json").read_text())
    row = next(line for line in README.splitlines() if line.startswith(f"| protocol `{protocol}`"))
    *_, accuracy, uar = [cell.strip(" *") for cell in row.strip("| ").split("|")]
    figures = result["mean_and_standard_deviation"]
    for cell, name in ((accuracy, "accuracy"), (uar, "uar")):
        mean, deviation = figures[name]
        assert cell == f"{mean:.3f} ± {deviation:.3f}"
    assert f"{len(result['each_seed'])} seeds" in row


@pytest.mark.parametrize("condition", ["white", "babble", "telephone", "gain"])
def test_the_figures_under_conditions_are_those_of_the_results(condition):
    figures = json.loads((ROOT / "results" / "speaker.json").read_text())["pooled"][condition]
    row = next(line for line in README.splitlines() if re.match(rf"\| {condition}\b", line))
    cells = [cell.strip() for cell in row.strip("| ").split("|")][1:]
    assert cells == [f"{value:.3f}" for value in [figures["uar"]]] + [
        f"{value:.2f}" for value in figures["recall"].values()
    ]


@pytest.mark.parametrize(
    "script",
    ["preprocess.py", "train_model.py", "realtime_emotion_recognition.py", "data/download.py"],
)
def test_help_teaches(script):
    done = subprocess.run([sys.executable, ROOT / script, "--help"], capture_output=True, text=True)
    assert done.returncode == 0
    assert f"python {script}" in done.stdout
