"""preprocess.py as its user meets it: odd files, conditions, a second run."""

import hashlib
import os
import signal
import time
from pathlib import Path

import json_tricks
import numpy as np
import pytest
import scripts
import soundfile
from signals import tone, voice, write_voice

from preprocess import compute_frames, main
from sentimental.audio import clean_audio, load_audio
from sentimental.features import extract_frames
from sentimental.features_file import Recording, load_features
from sentimental.files import lock_folder
from sentimental.preprocessing.cache import read_unfinished
from sentimental.scripts import SentimentalError
from sentimental.spectrum import HOP_LENGTH, N_MELS, SAMPLE_RATE


def preprocess(*arguments, folder=None):
    return scripts.run("preprocess.py", *arguments, folder=folder)


@pytest.fixture
def here(monkeypatch, capsys):
    """Run preprocess.py in this process; what it prints."""
    monkeypatch.setattr("preprocess.run_jobs", scripts.run_jobs_here)

    def here(*arguments):
        monkeypatch.setattr("sys.argv", ["preprocess.py", *map(str, arguments)])
        main()
        return capsys.readouterr().out

    return here


@pytest.fixture
def corpus(tmp_path):
    """A small folder with what is odd in the real ones."""
    folder = tmp_path / "corpus"
    for name, seed, options in [
        ("TESS/OAF_back_angry.wav", 1, {}),
        ("TESS/YAF_germ_fear.wav", 2, {"format": "AIFF"}),
        ("RAVDESS/03-01-02-01-01-01-01.flac", 3, {"sample_rate": 48_000}),
        ("mine/happy/one.wav", 4, {}),
        ("mine/grumpy/two.wav", 5, {}),
    ]:
        write_voice(folder / name, seed, **options)
    (folder / "mine/happy/broken.wav").write_bytes(b"RIFF nonsense")
    (folder / "mine/happy/README.txt").write_text("not sound")
    soundfile.write(folder / "mine/happy/silent.wav", np.zeros(SAMPLE_RATE), SAMPLE_RATE)
    return folder


def test_a_folder_becomes_features_and_odd_files_become_lines(corpus, tmp_path):
    output = tmp_path / "features.json"
    first = preprocess(corpus, tmp_path / "nowhere", "--output", output)
    assert first.returncode == 0
    assert first.stderr == ""  # a log gets no progress bars

    recordings = json_tricks.load(str(output))["recordings"]  # as any reader of the file would
    names = [Path(recording["file"]).name for recording in recordings]
    assert names == [
        "03-01-02-01-01-01-01.flac",
        "OAF_back_angry.wav",
        "YAF_germ_fear.wav",
        "one.wav",
    ]
    assert [r["emotion"] for r in recordings] == ["calm", "angry", "fear", "happy"]
    assert "start" not in recordings[0]
    path = corpus / "TESS/OAF_back_angry.wav"
    expected = extract_frames(clean_audio(load_audio(path)))
    np.testing.assert_allclose(recordings[1]["frames"], expected, rtol=1e-5, atol=1e-5)
    assert recordings[1]["hash"] == hashlib.sha256(path.read_bytes()).hexdigest()

    refused = [line for line in first.stdout.splitlines() if "refused:" in line]
    for name, reason in [
        ("nowhere", "no such file"),
        ("two.wav", "cannot be told"),
        ("broken.wav", "decoded"),
        ("silent.wav", "only silence"),
    ]:
        assert any(name in line and reason in line for line in refused), (name, refused)
    assert len(refused) == 4
    assert "4 recordings, 0 duplicates used once, 4 refused, 1 other files" in first.stdout

    write_voice(corpus / "mine/happy/one.wav", 4, seconds=2)
    second = preprocess(corpus, "--output", output)
    assert "1 computed, 3 taken from the last run" in second.stdout
    *again, changed = load_features(output)
    assert [recording.hash for recording in again] == [r["hash"] for r in recordings[:3]]
    assert changed.hash != recordings[3]["hash"]
    assert len(changed.frames) > 1.8 * SAMPLE_RATE / HOP_LENGTH > 1.7 * len(again[0].frames)


# Runs that are stopped


def write_many(folder, n, sample_rate=SAMPLE_RATE):
    for number in range(n):
        write_voice(folder / f"{number:03d}.wav", number, sample_rate=sample_rate)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
@pytest.mark.parametrize("name", ["SIGINT", "SIGKILL"])
def test_a_run_that_is_stopped_goes_on_where_it_was(tmp_path, name):
    write_many(tmp_path / "happy", 60)
    output, unfinished = tmp_path / "features.json", tmp_path / "features_unfinished" / ".frames"
    script = scripts.start("preprocess.py", tmp_path / "happy", "--output", output)
    while not (unfinished.exists() and unfinished.stat().st_size):
        assert script.poll() is None
        time.sleep(0.001)
    script.send_signal(number := getattr(signal, name))
    _, notes = script.communicate(timeout=30)
    if name != "SIGKILL":
        assert (script.returncode, notes.strip()) == (128 + number, b"stopped")
    with open(unfinished, "rb") as file:
        kept = len(read_unfinished(file))
    assert 0 < kept < 60
    assert not output.exists()
    done = preprocess(tmp_path / "happy", "--output", output)
    n_taken = int(done.stdout.split(" computed, ")[1].split()[0])
    assert n_taken == kept
    assert {path.name for path in tmp_path.iterdir()} == {"happy", output.name}
    path = tmp_path / "happy" / "000.wav"
    frames = {Path(r.file).name: r.frames for r in load_features(output)}
    assert len(frames) == 60
    expected = extract_frames(clean_audio(load_audio(path)))
    np.testing.assert_allclose(frames[path.name], expected, rtol=1e-5, atol=1e-5)


def test_two_runs_do_not_write_one_output(tmp_path, here):
    write_many(tmp_path / "happy", 1)
    output = tmp_path / "features.json"
    lock = lock_folder(tmp_path / "features_unfinished")
    with pytest.raises(SentimentalError, match=f"process {os.getpid()} on .* is at work there"):
        here(tmp_path / "happy", "--output", output)
    assert "1 computed" in here(tmp_path / "happy", "--output", tmp_path / "other.json")
    lock.release()
    assert "1 computed" in here(tmp_path / "happy", "--output", output)
    assert {path.name for path in tmp_path.iterdir()} == {"happy", "features.json", "other.json"}


def test_an_output_that_cannot_be_written_is_told_before_the_work(tmp_path, here, monkeypatch):
    write_many(tmp_path / "happy", 1)
    (tmp_path / "file").touch()
    monkeypatch.setattr("preprocess.describe_files", None)
    for output in (tmp_path / "file" / "f.json", tmp_path / "happy" / "000.wav", tmp_path):
        with pytest.raises(SentimentalError, match=f"^{output}: "):
            here(tmp_path / "happy", "--output", output)


def test_a_worker_that_dies_costs_its_own_file(tmp_path, monkeypatch, here):
    write_many(tmp_path / "happy", 3)

    def kill_second(function, jobs):
        for number, job in enumerate(jobs):
            yield number, function(*job) if number != 1 else None

    monkeypatch.setattr("preprocess.run_jobs", kill_second)
    lines = here(tmp_path / "happy", "--output", tmp_path / "f.json").splitlines()
    assert len(load_features(tmp_path / "f.json")) == 2
    (line,) = [line for line in lines if "refused: " in line]
    assert f"{tmp_path / 'happy' / '001.wav'}: the process that read it was killed" in line


@pytest.mark.parametrize("options", [[], ["--debug"]])
def test_a_fault_of_the_program_costs_one_recording_and_says_so(tmp_path, options):
    """A module in the place of soxr, which workers import as well, has the fault."""
    write_many(tmp_path / "happy", 2, sample_rate=8_000)
    (tmp_path / "soxr.py").write_text("def resample(*given):\n    1 / 0")
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "SENTIMENTAL_DEBUG": "0"}
    command = ["preprocess.py", "happy", "--output", "f.json", *options]
    done = scripts.run(*command, folder=tmp_path, environment=environment)
    (first, _) = [line for line in done.stdout.splitlines() if "refused: " in line]
    start = (
        "  refused: happy/000.wav: a fault of this program, not of the file (ZeroDivisionError: "
    )
    assert first.startswith(start)
    assert done.returncode == 1
    assert ("ZeroDivisionError: division by zero\nTraceback" in done.stderr) == bool(options)
    assert done.stderr.splitlines()[-1].startswith("error: happy: no recording could be used")


# Without arguments


def test_without_arguments_every_corpus_below_data_is_taken(tmp_path):
    for seed, name in enumerate(
        ["TESS/OAF_back_angry.wav", "RAVDESS/Actor_01/03-01-02-01-01-01-01.wav"]
        + ["my/anna/happy/1.wav", "samples/news.wav", "babble_unfinished/0.wav"]
    ):
        write_voice(tmp_path / "data" / name, seed)
    (tmp_path / "data" / "README.md").touch()
    done = preprocess(folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Found in data: RAVDESS, TESS, my\n")
    recordings = load_features(tmp_path / "data" / "features.json")
    assert [(r.corpus, r.speaker, r.emotion) for r in recordings] == [
        ("RAVDESS", "01", "calm"),
        ("TESS", "OAF", "angry"),
        ("my", "anna", "happy"),
    ]


@pytest.mark.parametrize("folder", ["", "data/samples"])
def test_without_a_corpus_below_data_one_line_tells_how_to_get_one(
    tmp_path, folder, here, monkeypatch
):
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    monkeypatch.chdir(tmp_path)
    line = "^data: holds no corpus; python data/download.py fetches TESS, .*--labels TABLE.csv$"
    with pytest.raises(SentimentalError, match=line):
        here()


# Conditions


def write(path, samples, content_hash="0" * 64):
    """A recording, as it is handed to workers."""
    soundfile.write(path, samples, SAMPLE_RATE)
    return Recording(str(path), "", "", "happy", content_hash)


def test_a_recording_is_not_in_its_own_babble_and_that_of_nobody_is_refused(tmp_path):
    own, other = write(tmp_path / "own.wav", voice()), write(tmp_path / "b.wav", tone(3000, 0.7))
    alone, _ = compute_frames(own, "babble", [other.file])
    among, _ = compute_frames(own, "babble", [own.file, other.file])
    np.testing.assert_allclose(among, alone, atol=1e-4)
    frames, refusal = compute_frames(own, "babble", [own.file])
    assert frames is None
    assert refusal.startswith(f"{own.file}: babble needs other recordings")


def test_what_is_drawn_is_told_by_the_content_and_not_by_the_run(tmp_path):
    first, again, other = (
        compute_frames(write(tmp_path / "a.wav", voice(), content_hash), "white")[0]
        for content_hash in ("0" * 64, "0" * 64, "1" * 64)
    )
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.1


def test_a_condition_changes_every_recording_and_leaves_the_training_features_alone(
    corpus, tmp_path, here, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    here(corpus / "TESS")
    here(corpus / "TESS", "--condition", "white")
    plain, white = (tmp_path / "data" / name for name in ("features.json", "white.json"))
    for before, after in zip(load_features(plain), load_features(white), strict=True):
        assert (before.condition, after.condition) == ("", "white")
        assert before.hash == after.hash
        crossings = [recording.frames[:, N_MELS + 1].mean() for recording in (before, after)]
        assert crossings[0] < crossings[1]
    # Babble is anew each time: it is made of the recordings of the run.
    for condition in ("white", "babble", "babble"):
        done = here(corpus / "TESS", "--output", plain, "--condition", condition)
        assert "2 computed, 0 taken" in done


@pytest.mark.skipif(os.name == "nt", reason="names are text there")
def test_odd_files_of_any_name_stop_nothing_in_a_strict_terminal(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONIOENCODING", "utf-8:strict")
    folder = tmp_path / "happy"
    for number, name in enumerate(["1.wav", "2.wav", "a.mp3"]):
        write_voice(folder / name, number, seconds=3)
    one = (folder / "1.wav").read_bytes()
    mp3 = (folder / "a.mp3").read_bytes()
    contents = {
        b"cut.wav": one[:40_000],
        b"gl\xfccklich.wav": (folder / "2.wav").read_bytes(),
        b"bad\n\xff.wav": b"no sound",
        b"a.mp3": mp3[:2000] + bytes(400) + mp3[2400 : len(mp3) // 2],
    }
    (folder / "2.wav").unlink()
    for name, content in contents.items():
        (folder / os.fsdecode(name)).write_bytes(content)
    done = preprocess(folder, "--output", tmp_path / "features.json")
    assert (done.returncode, done.stderr) == (0, "")  # nor notes of the decoder of MP3
    lines = sorted(line for line in done.stdout.splitlines() if line.startswith("  "))
    starts = [
        f"  note: {folder}/a.mp3: ",
        f"  note: {folder}/cut.wav: cut off",
        f"  refused: {folder}/bad\\n\\xff.wav: not a recording",
    ]
    assert all(map(str.startswith, lines, starts))
    assert len(lines) == len(starts)
    used = [Path(recording.file).name for recording in load_features(tmp_path / "features.json")]
    assert sorted(used) == ["1.wav", "a.mp3", "cut.wav", os.fsdecode(b"gl\xfccklich.wav")]


# Which files are used


def test_a_take_counts_once_however_it_is_coded(tmp_path, here):
    folder, output = tmp_path / "recordings", tmp_path / "features.json"
    for name, seed in [
        ("OAF_back_angry.wav", 1),  # names tell it, and what is in the files need not
        ("copy/TESS/OAF_back_angry.flac", 2),
        ("1001_DFA_ANG_XX.mp3", 3),
        ("1001_DFA_ANG_XX.wav", 4),
        ("happy/monday.wav", 5),  # here the samples tell it
        ("happy/monday.flac", 5),
        ("happy/tuesday.aiff", 5),
        ("sad/a.wav", 6),  # two emotions
        ("happy/a.flac", 6),
        ("happy/a copy.aiff", 7),
        ("03-01-03-01-02-01-07.wav", 7),  # published with two names
        ("03-01-03-01-02-02-07.flac", 7),
    ]:
        write_voice(folder / name, seed)
    for counts in ("5 computed, 0 taken", "0 computed, 5 taken"):
        done = here(folder, "--output", output)
        assert "\n5 recordings, 5 duplicates used once, 2 refused\n" in done
        assert done.count("one recording with several emotions") == 2
        assert f"{folder}/happy/a.flac as happy, {folder}/sad/a.wav as sad" in done
        assert counts in done
        assert [Path(recording.file).name for recording in load_features(output)] == [
            "1001_DFA_ANG_XX.wav",
            "03-01-03-01-02-01-07.wav",
            "03-01-03-01-02-02-07.flac",
            "OAF_back_angry.wav",
            "monday.flac",
        ]


def test_of_a_take_the_next_file_is_used_when_one_cannot_be_read(tmp_path, here):
    folder = tmp_path / "happy"
    write_voice(folder / "OAF_back_sad (1).mp3")
    for name in ("monday.raw", "tuesday.wav"):  # one file, and a name that says it has no header
        write_voice(folder / name, 1, format="WAV")
    bad = ["OAF_back_sad.wav", "OAF_back_sad.mp3", "1001_DFA_ANG_XX.wav", "1001_DFA_ANG_XX.mp3"]
    for name in bad:
        (folder / name).write_bytes(b"damaged " + name.encode())
    done = here(folder, "--output", tmp_path / "features.json")
    names = [Path(r.file).name for r in load_features(tmp_path / "features.json")]
    assert names[0] == "OAF_back_sad (1).mp3"
    assert len(names) == 2
    assert "\n2 recordings, " in done
    for name in bad:
        assert done.count(f"refused: {folder / name}: ") == 1


def test_faulty_recordings_of_a_corpus_are_left_out_with_one_line_for_a_reason(tmp_path, here):
    # Two of them are one recording, which is no other error then.
    names = {"1006_TIE_HAP": 0, "1006_TIE_NEU": 0, "1013_WSI_DIS": 1, "1001_DFA_ANG": 2}
    for name, seed in names.items():
        write_voice(tmp_path / f"{name}_XX.wav", seed)
    soundfile.write(tmp_path / "1076_MTI_SAD_XX.wav", np.zeros(SAMPLE_RATE), SAMPLE_RATE)
    done = here(tmp_path, "--output", tmp_path / "features.json")
    assert "\n1 recordings, 0 duplicates used once, 4 left out, 0 refused\n" in done
    assert [line for line in done.splitlines() if line.startswith("  ")] == [
        "  left out: 3 of CREMA-D, one recording under the names of two emotions",
        "  left out: 1 of CREMA-D, silent",
    ]


def test_parts_of_a_file_train_with_the_labels_that_a_table_gives_them(tmp_path, here):
    low, high = tone(200, 1.5, amplitude=0.3), tone(1000, 1.5, amplitude=0.3)
    soundfile.write(tmp_path / "talk.wav", np.concatenate([low, high]), SAMPLE_RATE)
    table, output = tmp_path / "labels.csv", tmp_path / "features.json"
    rows = ["talk.wav,Trauer,0,1.5", "talk.wav,Freude,1.5,3", "talk.wav,Freude,3,4"]
    table.write_text("\n".join(["file,emotion,start,end", *rows, "talk.wav,Unsinn,0,1"]))
    options = ["--labels", table, "--output", output, "--map", "Trauer=sad,Freude=happy"]
    done = here(*options)
    sad, happy = load_features(output)
    assert [(r.file, r.emotion, r.start, r.end) for r in (sad, happy)] == [
        (f"{tmp_path}/talk.wav", "sad", 0, 1.5),
        (f"{tmp_path}/talk.wav", "happy", 1.5, 3),
    ]
    crossings = [recording.frames[5:-5, N_MELS + 1].mean() for recording in (sad, happy)]
    np.testing.assert_allclose(crossings, [400 / SAMPLE_RATE, 2000 / SAMPLE_RATE], rtol=0.1)
    assert f"refused: {tmp_path}/talk.wav (3 s to 4 s): the file has 3.00 s only" in done
    assert "'Unsinn' is no known emotion" in done
    table.write_text("\n".join(["file,emotion,start,end", rows[0], "talk.wav,Freude,1,3"]))
    assert "1 computed, 1 taken from the last run" in here(*options)
    table.write_text("file,emotion\ngone.wav,sad\n")
    with pytest.raises(SentimentalError, match=f"^{table}: no recording could be used"):
        here(*options)


@pytest.mark.parametrize("names", [[], ["OAF_back_sad.wav"]])
def test_nothing_usable_ends_with_one_line_and_leaves_no_file(tmp_path, names, here, capsys):
    (folder := tmp_path / "recordings").mkdir()
    for name in names:
        (folder / name).touch()
    with pytest.raises(SentimentalError, match=f"^{folder}: no recording could be used"):
        here(folder, "--output", tmp_path / "features.json")
    assert capsys.readouterr().out.count("refused: ") == len(names)
    assert not (tmp_path / "features.json").exists()
