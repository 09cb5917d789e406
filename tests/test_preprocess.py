"""preprocess.py as its user meets it: names, odd files, conditions, a second run."""

import contextlib
import json
import subprocess
import sys
from pathlib import Path

import json_tricks
import numpy as np
import pytest
import soundfile
from signals import tone, voice

import preprocess
import sentimental
from sentimental import SAMPLE_RATE, SentimentalError

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize(
    ("name", "corpus", "speaker", "emotion"),
    [
        ("OAF_back_angry.wav", "TESS", "OAF", "angry"),
        ("YAF_pleasant_ps.wav", "TESS", "YAF", "surprise"),
        ("OA_bite_neutral.wav", "TESS", "OAF", "neutral"),
        ("03-01-02-01-01-02-13.wav", "RAVDESS", "13", "calm"),
        ("03-01-08-02-01-02-24.flac", "RAVDESS", "24", "surprise"),
        ("03-02-06-02-01-02-24.wav", "RAVDESS song", "24", "fear"),
        ("1001_DFA_ANG_XX.wav", "CREMA-D", "1001", "angry"),
        ("1091_WSI_HAP_HI.wav", "CREMA-D", "1091", "happy"),
        ("DC_sa01.wav", "SAVEE", "DC", "sad"),
        ("KL_su15.wav", "SAVEE", "KL", "surprise"),
        ("JE_a07.wav", "SAVEE", "JE", "angry"),
    ],
)
def test_the_file_name_tells_corpus_speaker_and_emotion(name, corpus, speaker, emotion):
    told = preprocess.describe(Path("happy") / name)  # the folder says otherwise and is not asked
    assert (told["corpus"], told["speaker"], told["emotion"]) == (corpus, speaker, emotion)


def test_other_recordings_are_told_by_their_folder():
    told = preprocess.describe(Path("mine/Disgust/monday.wav"))
    assert (told["corpus"], told["speaker"], told["emotion"]) == ("mine", "", "disgust")


@pytest.mark.parametrize("name", ["mine/joyful/a.wav", "a.wav", "03-01-09-01-01-02-13.wav"])
def test_an_emotion_that_cannot_be_told_is_not_guessed(name):
    with pytest.raises(SentimentalError, match="cannot be told"):
        preprocess.describe(Path(name))


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


def run(*arguments):
    return subprocess.run(
        [sys.executable, ROOT / "preprocess.py", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_a_folder_becomes_features_and_odd_files_become_lines(corpus, tmp_path):
    output = tmp_path / "features.json"
    first = run(corpus, tmp_path / "nowhere", "--output", output)
    assert first.returncode == 0, first.stderr
    assert "Traceback" not in first.stdout + first.stderr

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
    expected = sentimental.extract_frames(sentimental.clean(sentimental.load_audio(path)))
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

    second = run(corpus, "--output", output)
    assert "0 computed" not in first.stdout
    assert "4 taken from the last run" in second.stdout
    again = sentimental.load_features(output)
    assert [recording["hash"] for recording in again] == [r["hash"] for r in recordings]


def test_a_changed_file_is_computed_again(corpus, tmp_path):
    output = tmp_path / "features.json"
    run(corpus / "TESS", "--output", output)
    soundfile.write(corpus / "TESS/OAF_back_angry.wav", voice(2.0), SAMPLE_RATE)
    run(corpus / "TESS/OAF_back_angry.wav", corpus / "TESS/YAF_germ_fear.wav", "--output", output)
    changed, same = sentimental.load_features(output)
    assert len(changed["frames"]) > 1.8 * SAMPLE_RATE / sentimental.HOP_LENGTH
    assert len(same["frames"]) < 0.9 * SAMPLE_RATE / sentimental.HOP_LENGTH


# Conditions


def level(samples):
    return 10 * np.log10(np.mean(np.square(samples, dtype=np.float64)))


def test_noise_is_so_far_below_the_speech_whatever_the_silence_around():
    speech, gap = tone(440, 1.0), np.zeros(3 * SAMPLE_RATE, np.float32)
    rng = np.random.default_rng(0)
    for samples in (speech, np.concatenate([gap, speech, gap])):
        added = preprocess.add_noise(samples, rng.standard_normal(len(samples))) - samples
        assert level(speech) - level(added) == pytest.approx(10, abs=0.5)


def test_conditions_do_what_they_say():
    rng = np.random.default_rng(0)
    low, middle = tone(100, 1.0), tone(1000, 1.0)
    through = [preprocess.put_under("telephone", x, [], rng) for x in (low, middle)]
    assert level(through[0]) < level(low) - 30
    assert level(through[1]) == pytest.approx(level(middle), abs=0.5)
    gains = [
        level(preprocess.put_under("gain", middle, [], rng)) - level(middle) for _ in range(99)
    ]
    assert -20 <= min(gains) < -18
    assert 3 < max(gains) <= 6
    loud = preprocess.put_under("gain", tone(1000, 1.0, amplitude=1.0), [], rng)
    assert np.abs(loud).max() <= 1
    noisy = preprocess.put_under("white", middle, [], rng)
    assert level(middle) - level(noisy - middle) == pytest.approx(10, abs=0.5)


def test_babble_is_other_recordings(tmp_path):
    path = tmp_path / "other.wav"
    soundfile.write(path, tone(2000, 0.7), SAMPLE_RATE)
    samples = tone(500, 1.0)
    rng = np.random.default_rng(0)
    babble = preprocess.put_under("babble", samples, [str(path)], rng) - samples
    assert level(samples) - level(babble) == pytest.approx(10, abs=0.5)
    assert np.abs(np.fft.rfft(babble)).argmax() == pytest.approx(2000, abs=20)


def test_a_voice_that_cannot_be_read_is_left_out_of_the_babble(tmp_path):
    good, broken = str(tmp_path / "good.wav"), str(tmp_path / "broken.wav")
    soundfile.write(good, tone(2000, 0.7), SAMPLE_RATE)
    Path(broken).write_bytes(b"no sound")
    babble = preprocess.draw_babble(SAMPLE_RATE, [broken, good], np.random.default_rng(0))
    assert np.abs(np.fft.rfft(babble)).argmax() == pytest.approx(2000, abs=20)


def test_babble_of_nobody_is_refused(tmp_path):
    path = str(tmp_path / "only.wav")
    soundfile.write(path, voice(), SAMPLE_RATE)
    frames, refusal = preprocess.compute_frames(path, "0" * 16, "babble", [path])
    assert frames is None
    assert refusal == f"{path}: babble needs other recordings that can be read"


def test_a_recording_is_not_in_its_own_babble(tmp_path):
    own, other = str(tmp_path / "own.wav"), str(tmp_path / "other.wav")
    soundfile.write(own, voice(), SAMPLE_RATE)
    soundfile.write(other, tone(3000, 0.7), SAMPLE_RATE)
    alone, _ = preprocess.compute_frames(own, "0" * 16, "babble", [other])
    among, _ = preprocess.compute_frames(own, "0" * 16, "babble", [own, other])
    np.testing.assert_allclose(among, alone, atol=1e-4)


def test_a_condition_changes_every_recording(corpus, tmp_path):
    plain, noisy = tmp_path / "features.json", tmp_path / "white.json"
    run(corpus / "TESS", "--output", plain)
    done = run(corpus / "TESS", "--output", noisy, "--condition", "white")
    assert done.returncode == 0, done.stderr
    for before, after in zip(*map(sentimental.load_features, (plain, noisy)), strict=True):
        assert (before["condition"], after["condition"]) == ("", "white")
        assert before["hash"] == after["hash"]
        assert after["frames"][:, -1].mean() > before["frames"][:, -1].mean()  # more crossings
    mixed = run(corpus / "TESS", "--output", noisy, "--condition", "babble")
    assert "2 computed" in mixed.stdout


def test_a_condition_leaves_the_training_features_alone(corpus, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for options in ([], ["--condition", "white"]):
        done = run(corpus / "TESS", *options)
        assert done.returncode == 0, done.stderr
    for name, condition in (("features", ""), ("white", "white")):
        written = sentimental.load_features(tmp_path / "data" / f"{name}.json")
        assert {recording["condition"] for recording in written} == {condition}


def test_two_takes_of_a_corpus_stay_two_even_when_their_sound_is_one(tmp_path):
    # 03-01-03-01-02-01-07.wav and 03-01-03-01-02-02-07.wav of the real RAVDESS are byte-identical.
    for name in ("03-01-03-01-02-01-07.wav", "03-01-03-01-02-02-07.wav"):
        soundfile.write(tmp_path / name, voice(), SAMPLE_RATE)
    recordings, n_duplicates, refused = preprocess.describe_files(sorted(tmp_path.iterdir()))
    assert (len(recordings), n_duplicates, refused) == (2, 0, [])


def test_nothing_usable_ends_with_one_line_and_leaves_no_file(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"")
    done = run(tmp_path, "--output", tmp_path / "features.json")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: no recording could be used")
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "features.json").exists()


def test_a_write_that_fails_leaves_the_old_file_whole(tmp_path):
    path = tmp_path / "features.json"
    path.write_text("old")
    with contextlib.suppress(RuntimeError), sentimental.whole_file(path) as partial:
        partial.write_text("new")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


# The features file


def recording(**changes):
    frames = np.ones((5, sentimental.N_STORED), np.float32)
    return {"file": "a.wav", "hash": "0", "corpus": "TESS", "speaker": "OAF"} | {
        "emotion": "sad",
        "condition": "",
        "frames": frames,
        **changes,
    }


def test_features_made_with_other_constants_are_refused(tmp_path):
    path = tmp_path / "features.json"
    sentimental.save_features(path, [recording()])
    content = json.loads(path.read_text())
    content["chain"]["max_top_db"] = 60
    path.write_text(json.dumps(content))
    with pytest.raises(SentimentalError, match="max_top_db 60 instead of 30"):
        sentimental.load_features(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"emotion": "bored"},
        {"frames": np.full((5, sentimental.N_STORED), np.nan, np.float32)},
        {"frames": np.ones(7, np.float32)},
        {"frames": "no array"},
        {"frames": np.ones((5, 19), np.float32)},
        {"condition": 3},
        {"file": None},
    ],
)
def test_a_damaged_features_file_is_refused(tmp_path, changes):
    path = tmp_path / "features.json"
    sentimental.save_features(path, [recording(**changes)])
    with pytest.raises(SentimentalError, match="not a features file"):
        sentimental.load_features(path)


def test_a_features_file_cannot_run_code(tmp_path):
    path = tmp_path / "features.json"
    sentimental.save_features(path, [recording()])
    content = json.loads(path.read_text())
    content["recordings"][0]["emotion"] = {
        "__instance_type__": ["pathlib", "PurePosixPath"],
        "attributes": {},
    }
    path.write_text(json.dumps(content))
    with pytest.raises(SentimentalError, match="not a features file"):
        sentimental.load_features(path)


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"recordings": 3}', '{"recordings": [], "chain": []}']
)
def test_what_is_no_features_file_is_one_clear_line(tmp_path, content):
    path = tmp_path / "features.json"
    path.write_text(content)
    with pytest.raises(SentimentalError, match=r"preprocess\.py") as caught:
        sentimental.load_features(path)
    assert "\n" not in str(caught.value)
