"""The scripts where a terminal, a home or the usual settings are missing."""

import csv
import json
import os

import pytest
from scripts import python
from signals import SAMPLES, write_voice

from sentimental.features_file import load_features

# What a notebook has for standard output: it is no file.
NOTEBOOK = """
import os, runpy, sys

class Stream:
    closed, text = False, ""

    def write(self, text):
        self.text += text

    def flush(self):
        pass

script, *sys.argv = sys.argv[1:]
sys.argv.insert(0, script)
shown, sys.stdout = sys.stdout, Stream()
sys.stderr = Stream()
try:
    runpy.run_path(script, run_name="__main__")
except SystemExit as end:
    print("status", end.code)
shown.write(sys.stdout.text + sys.stderr.text)
"""


@pytest.fixture
def happy(tmp_path):
    for number in range(2):
        write_voice(tmp_path / "mine" / "happy" / f"{number}.wav", number)
    return tmp_path / "mine" / "happy"


posix = pytest.mark.skipif(os.name == "nt", reason="needs a POSIX shell")


@posix
@pytest.mark.parametrize("redirect", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_without_standard_streams_the_scripts_work(redirect, happy, tmp_path):
    log, output = tmp_path / "log.csv", tmp_path / "features.json"
    arguments = "--input", SAMPLES[0], tmp_path / "nowhere.wav", "--log", log
    done = python("realtime_emotion_recognition.py", *arguments, redirect=redirect)
    assert done.returncode == 1  # one of the files is missing
    with open(log, newline="") as stream:
        sources = [row["source"] for row in csv.DictReader(stream)]
    assert sources == [str(path) for path in arguments[1:3]]
    done = python("preprocess.py", happy, "--output", output, redirect=redirect)
    assert done.returncode == 0
    assert len(load_features(output)) == 2


@posix
@pytest.mark.parametrize("floatx", ["float16", "none that there is"])
def test_keras_is_what_the_scripts_need_whatever_the_environment_says(tmp_path, floatx):
    settings = {"backend": "jax", "floatx": floatx, "epsilon": 0.01}
    (tmp_path / "keras.json").write_text(json.dumps(settings))
    code = (
        "from sentimental.training.network import build_network, keras; "
        "print(keras.backend.backend(), build_network(2).dtype, keras.config.epsilon())"
    )
    environment = os.environ | {"KERAS_HOME": str(tmp_path), "KERAS_BACKEND": "torch"}
    done = python("-c", code, redirect="2>&-", environment=environment)
    assert done.stdout.split() == ["tensorflow", "float32", "1e-07"]


def test_keras_that_was_imported_with_another_backend_is_told(tmp_path):
    code = (
        "import types, sys\n"
        "for name in ('keras', 'tensorflow'):\n"
        "    sys.modules[name] = types.ModuleType(name)\n"
        "sys.modules['keras'].backend = types.SimpleNamespace(backend=lambda: 'jax')\n"
        "sys.modules['tensorflow'].get_logger = lambda: types.SimpleNamespace(setLevel=print)\n"
        "import importlib\n"
        "from sentimental.scripts import run_script\n"
        "network = 'sentimental.training.network'\n"
        "sys.exit(run_script(lambda: importlib.import_module(network)))\n"
    )
    done = python("-c", code)
    assert done.returncode == 1
    assert done.stderr.startswith("error: Keras was imported with the backend jax; ")
    assert done.stderr.count("\n") == 1


def test_in_a_notebook_the_scripts_work(happy, tmp_path):
    output, missing = tmp_path / "features.json", tmp_path / "none.json"
    done = python("-c", NOTEBOOK, "realtime_emotion_recognition.py", "--input", SAMPLES[0])
    assert done.stderr == ""
    line, status = done.stdout.splitlines()
    assert line.startswith(str(SAMPLES[0]))
    assert status == "status 0"
    done = python("-c", NOTEBOOK, "preprocess.py", happy, "--output", output)
    assert "status 0" in done.stdout
    assert len(load_features(output)) == 2
    done = python("-c", NOTEBOOK, "train_model.py", missing)
    status, line = done.stdout.splitlines()
    assert status == "status 1"
    assert line.startswith(f"error: {missing}: no such file; make it with")


def test_nothing_that_starts_slowly_is_imported_where_it_is_not_needed():
    """Numba, which librosa needs, must write beside its modules; the others start slowly, too."""
    code = (
        "import sys\n"
        "names = 'numba', 'librosa', 'noisereduce', 'scipy', 'tensorflow', 'keras'\n"
        "sys.modules |= dict.fromkeys(names)\n"
        "import preprocess, realtime_emotion_recognition, sentimental\n"
        "from sentimental.features_file import Recording\n"
        f"path = {str(SAMPLES[0])!r}\n"
        "frames, line = preprocess.compute_frames(Recording(path, '', '', ''))\n"
        "assert line is None and len(frames) > 9, line\n"
        "assert len(sentimental.load_recognizer().predict(path)) == 8\n"
        "del sys.modules['scipy'], sys.modules['tensorflow'], sys.modules['keras']\n"
        "import train_model\n"
        "from sentimental.training import fit\n"
    )
    done = python("-c", code)
    assert done.returncode == 0, done.stderr
