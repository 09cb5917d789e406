"""What README.md and results/README.md promise: commands, links, code, figures."""

import json
import re
import shutil
import subprocess
import sys

import pytest
from scripts import ROOT, run
from signals import SAMPLES

README = (ROOT / "README.md").read_text(encoding="utf-8")
RESULTS = (ROOT / "results" / "README.md").read_text(encoding="utf-8")
CARD = (ROOT / "MODEL_CARD.md").read_text(encoding="utf-8")
EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fear", "disgust", "surprise")


def load(name):
    return json.loads((ROOT / "results" / f"{name}.json").read_text())


def cells(text, start):
    """The cells of the one row of a table that begins with `start`."""
    (row,) = [line for line in text.splitlines() if line.startswith(f"| {start}")]
    return [cell.strip(" *") for cell in row.strip("| ").split("|")]


def recalls(metrics):
    return [f"{metrics['recall'][e]:.2f}" if e in metrics["recall"] else "–" for e in EMOTIONS]


# Commands, links, code


def test_ci_runs_the_test_command_of_the_readme():
    command = next(line for line in README.splitlines() if line.endswith("-m pytest"))
    assert command in (ROOT / ".ci" / "run").read_text().splitlines()


@pytest.mark.parametrize("file", ["README.md", "results/README.md", "MODEL_CARD.md"])
def test_links_to_files_lead_somewhere(file):
    path = ROOT / file
    targets = re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text(encoding="utf-8"))
    assert targets
    for target in targets:
        assert target.startswith("http") or (path.parent / target).exists(), target


def test_all_that_recognition_needs_is_in_the_whole_list():
    live, everything = (
        (ROOT / name).read_text().splitlines()[1:]
        for name in ("requirements-live.txt", "requirements.txt")
    )
    assert [line for line in everything if line in live] == live
    assert not {"tensorflow", "keras"} & {re.split(r"\W", line)[0] for line in live}


def test_the_program_in_the_readme_runs_as_it_stands(tmp_path):
    (program,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    shutil.copy(SAMPLES[0], tmp_path / "speech.wav")
    code = program.replace("recognizer.predict", "answer = recognizer.predict")
    code += "\nprint(*answer, sum(answer.values()))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    *emotions, total = done.stdout.split()
    assert tuple(emotions) == EMOTIONS
    assert float(total) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    "script",
    ["preprocess.py", "train_model.py", "realtime_emotion_recognition.py", "data/download.py"],
)
def test_help_teaches(script):
    done = run(script, "--help")
    assert done.returncode == 0
    assert f"python {script}" in done.stdout


def test_the_modules_import_only_what_the_package_lists_above_them():
    text = (ROOT / "sentimental" / "__init__.py").read_text()
    order = re.findall(r"^    (\w+)  +\S", text, re.MULTILINE)
    modules = {path.stem for path in (ROOT / "sentimental").glob("*.py")} - {"__init__"}
    assert sorted(order) == sorted(modules)
    for number, name in enumerate(order):
        source = (ROOT / "sentimental" / f"{name}.py").read_text()
        imported = set(re.findall(r"from sentimental\.(\w+) import", source))
        for names in re.findall(r"from sentimental import (.+)", source):
            imported |= set(names.split(", "))
        assert imported <= set(order[:number]), name


# Figures


@pytest.mark.parametrize("part", ["validation", "test"])
def test_the_figures_of_the_shipped_model_are_those_of_the_results(part):
    metrics = load("metrics")[part]
    _, n, accuracy, uar, *recall = cells(RESULTS, f"{part} |")
    assert int(n) == metrics["n"]
    assert (accuracy, uar) == (f"{metrics['accuracy']:.3f}", f"{metrics['uar']:.3f}")
    assert recall == recalls(metrics)


def test_the_readme_pools_validation_and_test():
    parts = [load("metrics")[part] for part in ("validation", "test")]
    n = sum(part["n"] for part in parts)
    hits = sum(part["accuracy"] * part["n"] for part in parts)
    confusion = [
        [sum(part["confusion"][row][column] for part in parts) for column in range(8)]
        for row in range(8)
    ]
    uar = sum(row[number] / sum(row) for number, row in enumerate(confusion)) / 8
    assert cells(README, "recordings held out")[2:] == [str(n), f"{hits / n:.3f}", f"{uar:.3f}"]


@pytest.mark.parametrize(
    ("protocol", "row"), [("speaker", "**unseen speakers**"), ("corpus", "**another corpus**")]
)
def test_the_figures_over_seeds_are_those_of_the_results(protocol, row):
    result = load(protocol)
    told, name, n, *figures = cells(README, row)
    assert name == f"`{protocol}`"
    assert int(n) * len(result["each_seed"]) == result["pooled"]["clean"]["n"]
    assert f"{len(result['each_seed'])} seeds" in told
    spread = result["mean_and_standard_deviation"]
    expected = [spread["accuracy"], spread["uar"]]
    assert figures == [f"{mean:.3f} ± {deviation:.3f}" for mean, deviation in expected]


@pytest.mark.parametrize("protocol", ["corpus", "tess-speaker"])
def test_the_figures_of_both_ways_are_those_of_the_results(protocol):
    result = load(protocol)
    _, seeds, uar, *ways = cells(RESULTS, f"`{protocol}`")
    mean, deviation = result["mean_and_standard_deviation"]["uar"]
    assert int(seeds) == len(result["each_seed"])
    assert uar == f"{mean:.3f} ± {deviation:.3f}"
    for way, told in enumerate(ways):
        folds = [metrics["uar_of_folds"][way] for metrics in result["each_seed"].values()]
        assert told.endswith(f" {sum(folds) / len(folds):.3f}")


@pytest.mark.parametrize(
    ("condition", "row"),
    [
        ("clean", "as recorded"),
        ("white", "white noise"),
        ("babble", "babble"),
        ("telephone", "telephone band"),
        ("gain", "gain"),
    ],
)
def test_the_figures_under_conditions_are_those_of_the_results(condition, row):
    metrics = load("speaker")["pooled"][condition]
    assert cells(RESULTS, row)[1:] == [f"{metrics['uar']:.3f}", *recalls(metrics)]


@pytest.mark.parametrize("group", ["female", "male"])
def test_the_card_tells_how_women_and_men_fare(group):
    metrics = load("speaker")["groups"][group]
    told = cells(CARD, {"female": "women", "male": "men"}[group])
    assert told[1:] == [f"{metrics['accuracy']:.3f}", f"{metrics['uar']:.3f}", *recalls(metrics)]


def test_live_figures_are_those_of_the_results():
    live = load("live")
    assert live["complete"]
    speech, files = live["speech"], live["files"]
    assert f"{speech['latency_ms_p95']:.0f} ms" in cells(RESULTS, "end of a sound")[1]
    assert cells(RESULTS, "updates")[1] == f"{speech['updates_per_s']:.1f}"
    assert cells(RESULTS, "first answer")[1] == f"{speech['first_answer_s']:.1f} s"
    assert f"{files['memory_most_mb']:.0f} MB" in cells(RESULTS, "memory")[1]
    assert cells(RESULTS, "accuracy")[1:] == [
        f"{files['accuracy_disk']:.3f} / {files['accuracy_live']:.3f}"
    ]


def test_the_readme_is_short():
    assert len(README.splitlines()) <= 130


def test_scripts_and_modules_stay_short():
    limits = {"preprocess": 300, "train_model": 450, "realtime_emotion_recognition": 400}
    for path in [*ROOT.glob("*.py"), *(ROOT / "sentimental").glob("*.py")]:
        assert len(path.read_text().splitlines()) <= limits.get(path.stem, 350), path.name
