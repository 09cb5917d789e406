"""preprocess.py as its user meets it: odd files, conditions, a second run."""

import os
from pathlib import Path

import json_tricks
import numpy as np
import pytest
import scripts
import soundfile
from signals import tone, voice

from preprocess import compute_frames, describe_files, find_files
from sentimental.audio import clean_audio, load_audio
from sentimental.features import extract_frames
from sentimental.spectrum import HOP_LENGTH, N_MELS, SAMPLE_RATE
from sentimental.storage import load_features


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
    assert [recording["hash"] for recording in again] == [r["hash"] for r in recordings]


def test_a_changed_file_is_computed_again(corpus, tmp_path):
    output = tmp_path / "features.json"
    paths = [corpus / "TESS/OAF_back_angry.wav", corpus / "TESS/YAF_germ_fear.wav"]
    preprocess(*paths, "--output", output)
    soundfile.write(paths[0], voice(2.0), SAMPLE_RATE)
    done = preprocess(*paths, "--output", output)
    assert "1 computed, 1 taken from the last run" in done.stdout
    changed, same = load_features(output)
    assert len(changed["frames"]) > 1.8 * SAMPLE_RATE / HOP_LENGTH
    assert len(same["frames"]) < 0.9 * SAMPLE_RATE / HOP_LENGTH


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
    assert compute_frames(path, "0") == (None, f"{path}: ZeroDivisionError: by zero")


def test_a_condition_changes_every_recording_and_leaves_the_training_features_alone(
    corpus, tmp_path
):
    for options in ([], ["--condition", "white"]):
        done = preprocess(corpus / "TESS", *options, folder=tmp_path)
        assert done.returncode == 0, done.stderr
    plain, white = (tmp_path / "data" / name for name in ("features.json", "white.json"))
    for before, after in zip(load_features(plain), load_features(white), strict=True):
        assert (before["condition"], after["condition"]) == ("", "white")
        assert before["hash"] == after["hash"]
        crossings = [recording["frames"][:, N_MELS + 1].mean() for recording in (before, after)]
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
    used = [Path(recording["file"]).name for recording in load_features(tmp_path / "features.json")]
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


def test_two_takes_of_a_corpus_stay_two_even_when_their_sound_is_one(tmp_path):
    # 03-01-03-01-02-01-07.wav and 03-01-03-01-02-02-07.wav of the real RAVDESS are byte-identical.
    for name in ("03-01-03-01-02-01-07.wav", "03-01-03-01-02-02-07.wav"):
        soundfile.write(tmp_path / name, voice(), SAMPLE_RATE)
    recordings, n_duplicates, _, refused = describe_files(sorted(tmp_path.iterdir()))
    assert (len(recordings), n_duplicates, refused) == (2, 0, [])


def test_a_copy_in_an_own_folder_of_a_corpus_recording_is_used_once(tmp_path):
    for name in ("a/happy/monday.wav", "b/03-01-03-01-02-01-07.wav"):
        (tmp_path / name).parent.mkdir(parents=True)
        soundfile.write(tmp_path / name, voice(), SAMPLE_RATE)
    recordings, n_duplicates, _, refused = describe_files(sorted(tmp_path.rglob("*.wav")))
    assert [recording["corpus"] for recording in recordings] == ["RAVDESS"]
    assert (n_duplicates, refused) == (1, [])


def test_own_recordings_met_twice_are_used_once_whatever_their_names(tmp_path):
    (tmp_path / "happy").mkdir()
    for name in ("monday.wav", "tuesday.wav"):
        soundfile.write(tmp_path / "happy" / name, voice(), SAMPLE_RATE)
    recordings, n_duplicates, _, refused = describe_files(sorted(tmp_path.rglob("*.wav")))
    assert [Path(recording["file"]).name for recording in recordings] == ["monday.wav"]
    assert (n_duplicates, refused) == (1, [])


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


def test_files_are_found_once_at_any_depth_and_what_is_no_sound_is_counted(tmp_path):
    for name in ("a/b/one.wav", "a/two.flac", "a/b/notes.TXT", "a/.hidden.wav"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    files, n_passed_over, refused = find_files([tmp_path, tmp_path / "a" / "two.flac"])
    assert files == [tmp_path / "a/b/one.wav", tmp_path / "a/two.flac"]
    assert (n_passed_over, refused) == (2, [])


def test_a_folder_that_cannot_be_read_is_a_line_and_the_others_are_read(tmp_path, monkeypatch):
    for name in ("closed", "open"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.wav").touch()
    scandir = os.scandir

    def refuse(path):
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    files, _, refused = find_files([tmp_path])
    assert files == [tmp_path / "open" / "a.wav"]
    assert refused == [
        f"{tmp_path / 'closed'}: cannot be read (Permission denied); check its rights"
    ]


@pytest.mark.skipif(os.name == "nt", reason="Windows lets few users make links")
def test_a_broken_link_is_a_line(tmp_path):
    (tmp_path / "a.wav").symlink_to(tmp_path / "nowhere.wav")
    files, _, (refused,) = find_files([tmp_path])
    assert files == []
    assert refused.startswith(f"{tmp_path / 'a.wav'}: ")


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
