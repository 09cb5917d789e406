"""preprocess.py as its user meets it: odd files, conditions, a second run."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import json_tricks
import numpy as np
import pytest
import scripts
import soundfile
from signals import tone, voice

from preprocess import compute_frames, main
from sentimental.audio import clean_audio, load_audio
from sentimental.features import extract_frames
from sentimental.features_file import load_features
from sentimental.preprocessing.cache import Finished
from sentimental.spectrum import HOP_LENGTH, N_MELS, SAMPLE_RATE


def write_16_bit(path, seed):
    """Write samples that WAV, AIFF and FLAC keep alike."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.int16(voice(0.8, seed=seed) * 32_767), SAMPLE_RATE)


def preprocess(*arguments, folder=None):
    return scripts.run("preprocess.py", *arguments, folder=folder)


@pytest.fixture
def corpus(tmp_path):
    """A small folder with what is odd in the real ones."""
    folder = tmp_path / "corpus"
    folder.mkdir()

    def write(name, seed, **options):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        sample_rate = options.pop("sample_rate", SAMPLE_RATE)
        samples = voice(0.8, pitch=120 + 10 * seed, seed=seed, sample_rate=sample_rate)
        soundfile.write(path, samples, sample_rate, **options)

    write("TESS/OAF_back_angry.wav", 1)
    write("TESS/copy/TESS/OAF_back_angry.wav", 1)  # the common mirror
    write("TESS/YAF_germ_fear.wav", 2, format="AIFF")
    write("RAVDESS/03-01-02-01-01-01-01.flac", 3, sample_rate=48_000)
    write("mine/happy/one.wav", 4)
    write("mine/grumpy/two.wav", 5)
    write("mine/sad/three.wav", 6)
    write("mine/fear/four.wav", 6)  # the same recording, called otherwise
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
    path = corpus / "TESS/OAF_back_angry.wav"
    expected = extract_frames(clean_audio(load_audio(path)))
    np.testing.assert_allclose(recordings[1]["frames"], expected, rtol=1e-5, atol=1e-5)

    refused = [line for line in first.stdout.splitlines() if "refused:" in line]
    for name, reason in [
        ("nowhere", "no such file"),
        ("two.wav", "cannot be told"),
        ("three.wav", "several emotions"),
        ("four.wav", "several emotions"),
        ("broken.wav", "decoded"),
        ("silent.wav", "only silence"),
    ]:
        assert any(name in line and reason in line for line in refused), (name, refused)
    assert len(refused) == 6
    assert "4 recordings, 1 duplicates used once, 6 refused, 1 other files" in first.stdout

    second = preprocess(corpus, "--output", output)
    assert "0 computed, 4 taken from the last run" in second.stdout
    again = load_features(output)
    assert [recording.hash for recording in again] == [r["hash"] for r in recordings]


def test_a_changed_file_is_computed_again(corpus, tmp_path):
    output = tmp_path / "features.json"
    paths = [corpus / "TESS/OAF_back_angry.wav", corpus / "TESS/YAF_germ_fear.wav"]
    preprocess(*paths, "--output", output)
    soundfile.write(paths[0], voice(2.0), SAMPLE_RATE)
    done = preprocess(*paths, "--output", output)
    assert "1 computed, 1 taken from the last run" in done.stdout
    changed, same = load_features(output)
    assert len(changed.frames) > 1.8 * SAMPLE_RATE / HOP_LENGTH
    assert len(same.frames) < 0.9 * SAMPLE_RATE / HOP_LENGTH


# Runs that are stopped


def write_many(folder, n):
    folder.mkdir()
    for number in range(n):
        sound = voice(0.8, pitch=100 + number, seed=number)
        soundfile.write(folder / f"{number:03d}.wav", sound, SAMPLE_RATE)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGKILL"])
def test_a_run_that_is_stopped_goes_on_where_it_was(tmp_path, name):
    write_many(tmp_path / "happy", 60)
    output, unfinished = tmp_path / "features.json", tmp_path / "features_unfinished"
    script = subprocess.Popen(
        [sys.executable, scripts.ROOT / "preprocess.py", tmp_path / "happy", "--output", output],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    while not list(unfinished.glob("*.npy")):
        assert script.poll() is None
        time.sleep(0.001)
    script.send_signal(number := getattr(signal, name))
    _, notes = script.communicate(timeout=30)
    if name != "SIGKILL":
        assert (script.returncode, notes.strip()) == (128 + number, b"stopped")
    kept = len(list(unfinished.glob("*.npy")))
    assert 0 < kept < 60
    assert [path.name for path in tmp_path.iterdir()] != [output.name]
    done = preprocess(tmp_path / "happy", "--output", output)
    n_taken = int(done.stdout.split(" computed, ")[1].split()[0])
    assert kept - 1 <= n_taken <= kept  # the last one may be cut
    assert {path.name for path in tmp_path.iterdir()} == {"happy", output.name}
    path = tmp_path / "happy" / "000.wav"
    frames = {Path(r.file).name: r.frames for r in load_features(output)}
    assert len(frames) == 60
    expected = extract_frames(clean_audio(load_audio(path)))
    np.testing.assert_allclose(frames[path.name], expected, rtol=1e-5, atol=1e-5)


def test_what_is_kept_is_of_the_same_condition_and_whole(tmp_path):
    kept, frames = Finished(tmp_path / "a", "white"), np.ones((3, 2), np.float32)
    kept.save("hash", frames)
    np.testing.assert_array_equal(Finished(tmp_path / "a", "white").load("hash"), frames)
    assert kept.load("other") is None
    assert Finished(tmp_path / "a", "gain").load("hash") is None
    (path,) = kept.folder.iterdir()
    for size in (len(path.read_bytes()) - 1, 50, 0):
        os.truncate(path, size)
        assert kept.load("hash") is None
    kept.clear()
    assert not [*tmp_path.iterdir()]


def test_an_output_that_cannot_be_written_is_told_before_the_work(tmp_path):
    write_many(tmp_path / "happy", 1)
    (tmp_path / "file").touch()
    for output in (tmp_path / "file" / "f.json", tmp_path / "happy" / "000.wav", tmp_path):
        done = preprocess(tmp_path / "happy", "--output", output)
        (line,) = done.stderr.splitlines()
        assert line.startswith(f"error: {output}: ")
        assert (done.returncode, done.stdout) == (1, "")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
def test_a_worker_that_dies_costs_its_own_file(tmp_path, monkeypatch, capsys):
    write_many(tmp_path / "happy", 3)

    def kill_second(function, jobs):
        for number, job in enumerate(jobs):
            yield number, function(*job) if number != 1 else None

    monkeypatch.setattr("preprocess.run_jobs", kill_second)
    arguments = ["preprocess.py", str(tmp_path / "happy"), "--output", str(tmp_path / "f.json")]
    monkeypatch.setattr(sys, "argv", arguments)
    main()
    assert len(load_features(tmp_path / "f.json")) == 2
    lines = [line for line in capsys.readouterr().out.splitlines() if "refused: " in line]
    assert len(lines) == 1
    assert f"{tmp_path / 'happy' / '001.wav'}: the process that read it was killed" in lines[0]


# Conditions


def test_babble_of_nobody_is_refused(tmp_path):
    path = str(tmp_path / "only.wav")
    soundfile.write(path, voice(), SAMPLE_RATE)
    frames, refusal = compute_frames(path, "0" * 16, "babble", [path])
    assert frames is None
    assert refusal.startswith(f"{path}: babble needs other recordings")


def test_a_recording_is_not_in_its_own_babble(tmp_path):
    own, other = str(tmp_path / "own.wav"), str(tmp_path / "other.wav")
    soundfile.write(own, voice(), SAMPLE_RATE)
    soundfile.write(other, tone(3000, 0.7), SAMPLE_RATE)
    alone, _ = compute_frames(own, "0" * 16, "babble", [other])
    among, _ = compute_frames(own, "0" * 16, "babble", [own, other])
    np.testing.assert_allclose(among, alone, atol=1e-4)


def test_what_is_drawn_is_told_by_the_content_and_not_by_the_run(tmp_path):
    path = str(tmp_path / "a.wav")
    soundfile.write(path, voice(), SAMPLE_RATE)
    first, again, other = (
        compute_frames(path, content_hash, "white")[0]
        for content_hash in ("0" * 64, "0" * 64, "1" * 64)
    )
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.1


def test_an_error_of_the_program_costs_one_recording_only(tmp_path, monkeypatch):
    def fail(*arguments, **options):
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr("preprocess.clean_audio", fail)
    path = str(tmp_path / "a.wav")
    soundfile.write(path, voice(), SAMPLE_RATE)
    frames, line = compute_frames(path, "0")
    assert frames is None
    assert line.startswith(f"{path}: a fault of this program")


def test_a_condition_changes_every_recording_and_leaves_the_training_features_alone(
    corpus, tmp_path
):
    for options in ([], ["--condition", "white"]):
        done = preprocess(corpus / "TESS", *options, folder=tmp_path)
        assert done.returncode == 0, done.stderr
    plain, white = (tmp_path / "data" / name for name in ("features.json", "white.json"))
    for before, after in zip(load_features(plain), load_features(white), strict=True):
        assert (before.condition, after.condition) == ("", "white")
        assert before.hash == after.hash
        crossings = [recording.frames[:, N_MELS + 1].mean() for recording in (before, after)]
        assert crossings[0] < crossings[1]
    for _ in range(2):  # babble is anew each time: it is made of the recordings of the run
        mixed = preprocess(corpus / "TESS", "--output", white, "--condition", "babble")
        assert "2 computed" in mixed.stdout


@pytest.mark.skipif(os.name == "nt", reason="names are text there")
def test_odd_files_of_any_name_stop_nothing_in_a_strict_terminal(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONIOENCODING", "utf-8:strict")
    folder = tmp_path / "happy"
    folder.mkdir()
    names = [b"1.wav", b"cut.wav", b"gl\xfccklich.wav", b"bad\n\xff.wav", b"1hz.wav"]
    for seed, name in enumerate(names):
        samples = voice(2.0, seed=seed)
        soundfile.write(folder / "new.wav", samples, SAMPLE_RATE)
        content = (folder / "new.wav").read_bytes()
        content = content[:40_000] if name == b"cut.wav" else content
        content = b"no sound" if name.startswith(b"bad") else content
        content = content[:24] + bytes([1, 0, 0, 0]) + content[28:] if b"hz" in name else content
        (folder / os.fsdecode(name)).write_bytes(content)
    (folder / "new.wav").unlink()
    done = preprocess(folder, "--output", tmp_path / "features.json")
    assert (done.returncode, done.stderr) == (0, "")
    lines = sorted(line for line in done.stdout.splitlines() if line.startswith("  "))
    starts = [
        f"  note: {folder}/cut.wav: cut off",
        f"  refused: {folder}/1hz.wav: has a sample rate",
    ]
    starts.append(f"  refused: {folder}/bad\\n\\xff.wav: not a recording")
    assert [line[: len(start)] for line, start in zip(lines, starts, strict=True)] == starts
    used = [Path(recording.file).name for recording in load_features(tmp_path / "features.json")]
    assert sorted(used) == sorted(map(os.fsdecode, names[:3]))


@pytest.mark.skipif(os.name == "nt", reason="file descriptors are its own there")
def test_notes_of_the_mp3_decoder_do_not_reach_the_terminal(tmp_path):
    folder = tmp_path / "happy"
    folder.mkdir()
    soundfile.write(folder / "a.mp3", voice(4.0), SAMPLE_RATE)
    content = bytearray((folder / "a.mp3").read_bytes())
    content[2000:2400] = bytes(400)
    (folder / "a.mp3").write_bytes(content[: len(content) // 2])
    done = preprocess(folder, "--output", tmp_path / "features.json")
    assert (done.returncode, done.stderr) == (0, "")
    assert "  note: " in done.stdout


# Which files are used


def test_a_take_counts_once_however_it_is_coded(tmp_path):
    output = tmp_path / "features.json"
    folder = tmp_path / "recordings"
    names = ["OAF_back_angry.wav", "OAF_back_angry (1).flac"]
    names += ["1001_DFA_ANG_XX.mp3", "1001_DFA_ANG_XX.wav"]
    for seed, name in enumerate(names):  # names tell it, and what is in the files need not
        write_16_bit(folder / name, seed)
    for name in ("monday.wav", "monday.flac", "tuesday.aiff"):  # here the samples tell it
        write_16_bit(folder / "happy" / name, seed=9)
    for counts in ("3 computed, 0 taken", "0 computed, 3 taken"):
        done = preprocess(folder, "--output", output)
        assert "\n3 recordings, 4 duplicates used once, 0 refused\n" in done.stdout
        assert counts in done.stdout
        assert [Path(recording.file).name for recording in load_features(output)] == [
            "1001_DFA_ANG_XX.wav",
            "OAF_back_angry.wav",
            "monday.flac",
        ]


def test_of_a_take_the_next_file_is_used_when_one_cannot_be_read(tmp_path):
    folder = tmp_path / "happy"
    folder.mkdir()
    (folder / "OAF_back_sad.wav").write_bytes(b"RIFF    WAVE damaged")
    soundfile.write(folder / "OAF_back_sad.mp3", voice(), SAMPLE_RATE)
    (folder / "1001_DFA_ANG_XX.wav").write_bytes(b"RIFF    WAVE damaged, too")
    (folder / "1001_DFA_ANG_XX.mp3").write_bytes(b"damaged")
    soundfile.write(folder / "monday.wav", voice(seed=1), SAMPLE_RATE)
    done = preprocess(folder, "--output", tmp_path / "features.json")
    names = [Path(r.file).name for r in load_features(tmp_path / "features.json")]
    assert names == ["OAF_back_sad.mp3", "monday.wav"]
    assert "\n2 recordings, 0 duplicates used once, 3 refused\n" in done.stdout
    for name in ("OAF_back_sad.wav", "1001_DFA_ANG_XX.wav", "1001_DFA_ANG_XX.mp3"):
        assert done.stdout.count(f"refused: {folder / name}: ") == 1


def test_of_copies_one_with_a_name_that_can_be_read_is_used(tmp_path):
    output = tmp_path / "features.json"
    for name in ("monday.raw", "tuesday.wav"):  # one file, and a name that says it has no header
        (tmp_path / "happy").mkdir(exist_ok=True)
        soundfile.write(tmp_path / "happy" / name, voice(), SAMPLE_RATE, format="WAV")
    preprocess(tmp_path / "happy", "--output", output)
    assert len(load_features(output)) == 1


def test_one_sound_with_two_emotions_is_refused_however_it_is_coded(tmp_path):
    for name, seed in (("happy/a.wav", 1), ("sad/a.flac", 1), ("sad/b.wav", 2)):
        write_16_bit(tmp_path / name, seed)
    done = preprocess(tmp_path, "--output", tmp_path / "features.json")
    assert "\n1 recordings, 0 duplicates used once, 2 refused\n" in done.stdout
    assert done.stdout.count("one recording with several emotions") == 2


def test_faulty_recordings_of_a_corpus_are_left_out_with_one_line_for_a_reason(tmp_path):
    names = [
        "1006_TIE_HAP_XX.wav",
        "1006_TIE_NEU_XX.wav",
        "1013_WSI_DIS_XX.wav",
        "1001_DFA_ANG_XX.wav",
    ]
    for name in names:  # two of them are one recording, which is no other error then
        soundfile.write(tmp_path / name, voice(seed=int(name[:4])), SAMPLE_RATE)
    soundfile.write(tmp_path / "1076_MTI_SAD_XX.wav", np.zeros(SAMPLE_RATE), SAMPLE_RATE)
    done = preprocess(tmp_path, "--output", tmp_path / "features.json")
    assert "\n1 recordings, 0 duplicates used once, 4 left out, 0 refused\n" in done.stdout
    assert [line for line in done.stdout.splitlines() if line.startswith("  ")] == [
        "  left out: 3 of CREMA-D, one recording under the names of two emotions",
        "  left out: 1 of CREMA-D, silent",
    ]


def test_a_table_alone_tells_which_recordings_are_used_and_which_not(tmp_path):
    write_16_bit(tmp_path / "my" / "a.wav", 1)
    table = tmp_path / "my" / "labels.csv"
    table.write_text("file,emotion,speaker\na.wav,joy,anna\nb.wav,sad,anna\n")
    done = preprocess("--labels", table, "--output", tmp_path / "features.json")
    (recording,) = load_features(tmp_path / "features.json")
    labels = (recording.corpus, recording.speaker, recording.emotion)
    assert labels == ("my", "anna", "happy")
    assert f"  refused: {table}, line 3: {tmp_path}/my/b.wav: no such file" in done.stdout
    assert "\n1 recordings, 0 duplicates used once, 1 refused\n" in done.stdout
    table.write_text("file,emotion\nb.wav,sad\n")
    done = preprocess("--labels", table, "--output", tmp_path / "features.json")
    assert done.stderr.startswith(f"error: {table}: no recording could be used")
    done = preprocess()
    assert (done.returncode, "--labels TABLE.csv" in done.stderr) == (2, True)


@pytest.mark.parametrize("content", [None, b""])
def test_nothing_usable_ends_with_one_line_and_leaves_no_file(tmp_path, content):
    folder = tmp_path / "recordings"
    folder.mkdir()
    if content is not None:
        (folder / "OAF_back_sad.wav").write_bytes(content)
    done = preprocess(folder, "--output", tmp_path / "features.json")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {folder}: no recording could be used")
    assert ("refused: " in done.stdout) == (content is not None)
    assert not (tmp_path / "features.json").exists()
