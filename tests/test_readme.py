"""What README.md and results/README.md promise: commands, links, code, figures."""

import ast
import json
import re
import shutil
import sys

import pytest
from scripts import ROOT, python, run
from signals import SAMPLES

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pytest brings it

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


def with_interval(metrics, name):
    """A figure as the tables tell it."""
    low, high = metrics["intervals"][name]
    return f"{metrics[name]:.3f} ({low:.2f}–{high:.2f})"


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


def test_what_is_installed_is_what_the_requirements_say():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    live, everything = (
        [line for line in (ROOT / name).read_text().splitlines() if not line.startswith("#")]
        for name in ("requirements-live.txt", "requirements.txt")
    )
    assert project["dependencies"] == live
    assert ["-r requirements-live.txt", *project["optional-dependencies"]["train"]] == everything
    assert not {"tensorflow", "keras"} & {re.split(r"\W", line)[0] for line in live}


def test_an_installed_package_brings_model_and_demo(tmp_path):
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    shutil.copytree(ROOT / "sentimental", tmp_path / "sentimental")
    for source, target in build["targets"]["wheel"]["force-include"].items():
        copy = shutil.copytree if (ROOT / source).is_dir() else shutil.copy
        copy(ROOT / source, tmp_path / target)
    done = python("-m", "sentimental", "--demo", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == len(SAMPLES)


def test_the_program_in_the_readme_runs_as_it_stands(tmp_path):
    (program,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    shutil.copy(SAMPLES[0], tmp_path / "speech.wav")
    code = program.replace("recognizer.predict", "answer = recognizer.predict")
    code += "\nprint(*answer, sum(answer.values()))"
    environment = {"PYTHONPATH": str(ROOT), "PATH": ""}
    done = python("-c", code, folder=tmp_path, environment=environment)
    assert done.returncode == 0, done.stderr
    *emotions, total = done.stdout.split()
    assert tuple(emotions) == EMOTIONS
    assert float(total) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    "script",
    ["preprocess.py", "train_model.py", "realtime_emotion_recognition.py", "data/download.py"],
)
def test_help_teaches_in_any_folder(script, tmp_path):
    done = run(script, "--help", folder=tmp_path)
    assert done.returncode == 0
    assert f"python {script}" in done.stdout


# A voice is taught by recordings whose labels are read as preprocess.py reads them.
WINGS = {
    "preprocessing": ("preprocess", "realtime"),
    "training": "train_model",
    "live": ("realtime", "__main__"),
}


def imports_of(path):
    """Names of the modules of the package that a file imports, wherever it does."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_imports_run_from_a_script_to_its_wing_to_the_common_room():
    for path in [*ROOT.glob("*.py"), *(ROOT / "sentimental").rglob("*.py")]:
        room = path.parent.name
        for name in imports_of(path):
            package, _, rest = name.partition(".")
            wing = rest.partition(".")[0]
            if package == "sentimental" and wing in WINGS:
                assert room == wing or path.stem.startswith(WINGS[wing]), (path, name)


# Figures


PARTS = ("validation", "test")
HEADLINE = load("headline")
CORPORA = ("TESS", "RAVDESS", "CREMA-D", "nEMO", "ASED", "BanglaSER", "TurEV", "AESDD")
WAYS = {"h0": "h0", "h10": "h10", "h10_one_emotion": "h10, one emotion"}
LESSONS = [f"{way}{n}" for way in ("heard", "taught") for n in (1, 2, 3)]


def test_the_headline_is_what_the_runs_recorded():
    expected = {f"random_{part}": load("metrics")[part]["accuracy"] for part in PARTS}
    speaker, corpora = load("speaker")["pooled"], load("corpus")
    parts = {"mean": corpora["pooled"]} | {corpus: corpora["folds"][corpus] for corpus in CORPORA}
    for name, way in (WAYS | dict(zip(LESSONS, LESSONS, strict=True))).items():
        expected[f"speaker_{name}"] = speaker[way]["uar"]
        expected |= {f"corpus_{part}_{name}": ways[way]["uar"] for part, ways in parts.items()}
    for condition in ("white", "babble", "telephone", "gain"):
        expected[f"speaker_{condition}"] = speaker[condition]["uar"]
    assert {name: round(value, 6) for name, value in expected.items()} == HEADLINE


@pytest.mark.parametrize("text", [README, CARD], ids=["README", "card"])
def test_readme_and_card_lead_with_the_headline(text):
    for row, name in (("**another corpus**", "corpus_mean"), ("**unseen speakers**", "speaker")):
        *figures, taught = cells(text, row)[-3:]
        expected = [f"{HEADLINE[f'{name}_taught{n}']:.3f}" for n in (1, 2, 3)]
        assert taught.strip("*").split(" / ") == expected
        for figure, way in zip(figures, ("h0", "h10"), strict=True):
            assert figure.split()[0].strip("*") == f"{HEADLINE[f'{name}_{way}']:.3f}"
            protocol = name.partition("_")[0]
            metrics = load(protocol)["pooled"][way]
            assert figure.endswith(with_interval(metrics, "uar").partition(" ")[2])
    accuracies = [with_interval(load("metrics")[part], "accuracy") for part in PARTS]
    assert cells(text, "recordings held out")[-3:] == [" / ".join(accuracies), "–", "–"]


# How the row of each condition begins that unseen speakers were heard in.
CONDITIONS = {"h0": "first recording |", "h10": "after ten |", "gain": "gain"}
CONDITIONS |= {"h10, one emotion": "after ten of one emotion |", "telephone": "telephone band |"}
CONDITIONS |= {"white": "white noise, 10 dB |", "babble": "babble, 10 dB |"}


def intervals(metrics, *names):
    return [with_interval(metrics, name) for name in names]


def rows():
    """Rows of the tables of results: the text, how a row begins, what its last cells must be."""
    for part in PARTS:
        metrics = load("metrics")[part]
        figures = [str(metrics["n"]), *intervals(metrics, "accuracy", "uar")]
        yield RESULTS, f"{part} |", figures + recalls(metrics)
    folds = load("corpus")["folds"]
    for corpus in CORPORA:
        ways = [folds[corpus][way] for way in WAYS.values()]
        emotion, share = max(ways[0]["answers"].items(), key=lambda item: item[1])
        figures = [str(ways[0]["n"]), *(with_interval(way, "uar") for way in ways)]
        figures.append(" / ".join(with_interval(way, "uar_own") for way in ways[:2]))
        figures.append(f"{emotion} {share:.0%}")
        figures.append(" / ".join(f"{way['calibration_error']:.2f}" for way in ways[:2]))
        yield RESULTS, f"{corpus} |", figures
    for corpus, ways in (folds | {"mean": load("corpus")["pooled"]}).items():
        heard = " / ".join(f"{ways[f'heard{n}']['uar']:.3f}" for n in (1, 2, 3))
        taught = [with_interval(ways[f"taught{n}"], "uar") for n in (1, 2, 3)]
        yield RESULTS, f"{corpus}, lessons |", [heard, *taught]
    for way, row in CONDITIONS.items():
        metrics = load("speaker")["pooled"][way]
        yield RESULTS, row, intervals(metrics, "uar") + recalls(metrics)
    for limit in (0.0, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8):
        figures = []
        for protocol in ("speaker", "corpus"):
            ((_, share, accuracy),) = [p for p in load(protocol)["risk_coverage"] if p[0] == limit]
            figures += [f"{share:.0%}", f"{accuracy:.3f}"]
        yield RESULTS, f"{limit:.2f} |", figures
    few = load("few_nEMO")
    for name in ["the start", *(name for name in few if " an emotion, " in name)]:
        yield RESULTS, f"{name} |", intervals(few[name], "uar_own", "uar", "accuracy")
    for row, group in (("women", "female"), ("men", "male")):
        metrics = load("speaker")["groups"][group]
        yield CARD, row, intervals(metrics, "accuracy", "uar") + recalls(metrics)


ROWS = [*rows()]


@pytest.mark.parametrize(("text", "row", "figures"), ROWS, ids=[row for _, row, _ in ROWS])
def test_a_row_of_results_is_what_the_runs_recorded(text, row, figures):
    assert cells(text, row)[-len(figures) :] == figures


def test_live_figures_are_those_of_the_results():
    live = load("live")
    assert live["complete"]
    speech, files = live["speech"], live["files"]
    assert f"{speech['latency_ms_p95']:.0f} ms" in cells(RESULTS, "end of a sound")[1]
    assert cells(RESULTS, "updates")[1] == f"{speech['updates_per_s']:.1f}"
    assert cells(RESULTS, "first answer")[1] == f"{speech['first_answer_s']:.1f} s"
    assert f"{files['memory_most_mb']:.0f} MB" in cells(RESULTS, "memory")[1]
    accuracies = f"{files['accuracy_disk']:.3f} / {files['accuracy_live']:.3f}"
    assert cells(RESULTS, "accuracy")[1:] == [accuracies]


def test_readme_scripts_modules_and_functions_stay_short():
    assert len(README.splitlines()) <= 130
    limits = {"preprocess": 200, "train_model": 250, "realtime_emotion_recognition": 330}
    for path in [*ROOT.glob("*.py"), *(ROOT / "sentimental").rglob("*.py")]:
        source = path.read_text(encoding="utf-8")
        assert len(source.splitlines()) <= limits.get(path.stem, 350), path.name
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef):
                assert node.end_lineno - node.lineno < 60, (path.name, node.name)
