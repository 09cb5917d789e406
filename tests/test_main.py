"""The program for recordings, as `python -m sentimental` and through the live script."""

import itertools
import json
import os
import re
import signal
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from scripts import ROOT, run
from sessions import read_log, sure, values
from signals import SAMPLES, speech, talk, tone

import realtime_emotion_recognition as realtime
import train_model
from sentimental import EMOTIONS, Voice
from sentimental import __main__ as program
from sentimental.features import N_FEATURES
from sentimental.recognizer import Utterance
from sentimental.spectrum import SAMPLE_RATE


def recognize(tmp_path, *options):
    """The probabilities of three recordings with --input, by the script."""
    log = tmp_path / "log.csv"
    program.main([*map(str, (*SAMPLES[:3], "--log", log, *options))])
    return [values(row) for row in read_log(log)]


def test_one_voice_compares_each_recording_with_those_before(tmp_path, recognizer, capsys):
    alone = [[*recognizer.predict(path).values()] for path in SAMPLES[:3]]
    path, voice = tmp_path / "voice.json", Voice()
    first, second = (
        [[*recognizer.predict(sample, voice=voice).values()] for sample in SAMPLES[:3]]
        for _ in range(2)
    )
    np.testing.assert_allclose(recognize(tmp_path), alone, atol=1e-4)
    for name, p, line in zip(SAMPLES, alone, capsys.readouterr().out.splitlines(), strict=False):
        assert line.startswith(str(name))
        assert re.search(f" {EMOTIONS[np.argmax(p)]} +{max(p):.2f} ", line)
    np.testing.assert_allclose(recognize(tmp_path, "--one-voice"), first, atol=1e-4)
    assert np.abs(np.subtract(first, alone)).max(axis=1)[1:].min() > 1e-2
    for answers in (first, second):  # the voice is kept for the next
        np.testing.assert_allclose(recognize(tmp_path, "--voice", path), answers, atol=1e-4)
    np.testing.assert_allclose(Voice.load(path).statistics, voice.statistics)


@pytest.mark.skipif(os.name == "nt", reason="names are text there")
def test_files_of_any_name_and_content_are_tried_one_after_the_other(tmp_path):
    names = [b"beep.wav", b"cut.wav", b"gl\xfccklich.wav", b"a" * 300, b"last.wav"]
    soundfile.write(tmp_path / "beep.wav", tone(440, 2), SAMPLE_RATE)
    soundfile.write(tmp_path / "last.wav", speech(0), SAMPLE_RATE)
    clip = (tmp_path / "last.wav").read_bytes()
    (tmp_path / "cut.wav").write_bytes(clip[: 3 * len(clip) // 4])
    (tmp_path / os.fsdecode(names[2])).write_bytes(clip)
    done = subprocess.run(
        [sys.executable, "-m", "sentimental", "--log", "log.csv", *names],
        cwd=tmp_path,
        env=os.environ | {"PYTHONIOENCODING": "utf-8:strict", "PYTHONPATH": str(ROOT)},
        capture_output=True,
    )
    starts = ["cut.wav", r"gl\xfccklich.wav", "last.wav"]
    lines = done.stdout.decode().splitlines()
    assert [line.split()[0] for line in lines] == starts
    errors = done.stderr.decode().splitlines()
    expected = ["error: beep.wav: no speech", "note: cut.wav: cut off", "error: aaa"]
    expected.append("error: 2 of 5 files could not be recognized")
    assert [e[: len(x)] for e, x in zip(errors, expected, strict=True)] == expected
    rows = [row for row in read_log(tmp_path / "log.csv") if row["emotion"]]
    assert [os.fsencode(row["source"]) for row in rows] == [names[1], names[2], names[4]]
    assert done.returncode == 1


@pytest.fixture
def long_file(tmp_path):
    """A recording of three utterances with pauses."""
    soundfile.write(tmp_path / "long.wav", talk(0, 1, 2), SAMPLE_RATE)
    return tmp_path / "long.wav"


def test_a_long_recording_has_a_line_and_a_row_for_each_utterance(long_file, tmp_path, capsys):
    log = tmp_path / "log.csv"
    program.main([str(long_file), str(SAMPLES[0]), "--log", str(log)])
    *rows, last = read_log(log)
    out, err = capsys.readouterr()
    *lines, of_short = out.splitlines()
    assert [row["kind"] for row in (*rows, last)] == ["utterance"] * 3 + ["file"]
    assert last["start_s"] == "0.000"  # times are those of the file
    for line, row in zip(lines, rows, strict=True):
        place = re.match(rf"{re.escape(str(long_file))} +0:(\d\d\.\d) +", line)[1]
        assert float(place) == pytest.approx(float(row["start_s"]), abs=0.06)
        assert row["emotion"] in line
    assert of_short.startswith(str(SAMPLES[0]))
    assert err.startswith(f"{long_file}: 3 utterances, ")


def test_json_has_a_line_for_each_result_and_for_each_file_without(long_file, tmp_path, capsys):
    missing, log = tmp_path / "no.wav", tmp_path / "log.csv"
    files = [str(long_file), str(missing), str(SAMPLES[0])]
    assert program.main([*files, "--format", "json", "--log", str(log)]) == 1
    out, err = capsys.readouterr()
    lines, rows = [json.loads(line) for line in out.splitlines()], read_log(log)
    assert [line["file"] for line in lines] == [files[0]] * 3 + files[1:]
    assert lines[3] == {"file": files[1], "error": f"{missing}: no such file"}
    assert f"error: {missing}: no such file\n" in err
    for line, row in zip(lines, rows, strict=True):
        if "error" in line:
            assert row["error"] == line["error"]
            continue
        assert [line["start"], line["end"]] == [float(row["start_s"]), float(row["end_s"])]
        assert (line["emotion"], [*line["probabilities"]]) == (row["emotion"], [*EMOTIONS])
        assert [*line["probabilities"].values()] == pytest.approx(values(row))


def test_only_the_emotions_that_are_asked_for_are_answered(recognizer, capsys):
    options = [str(SAMPLES[0]), "--emotions", "sad,happy", "--format", "json"]
    assert program.main(options) == 0
    probabilities = json.loads(capsys.readouterr().out)["probabilities"]
    expected = recognizer.predict(SAMPLES[0], emotions=("happy", "sad"))
    assert [*probabilities] == ["happy", "sad"]
    assert probabilities == pytest.approx(expected, abs=1e-4)


def test_channels_are_told_apart(tmp_path, capsys):
    path, log = tmp_path / "call.wav", tmp_path / "log.csv"
    left, right = speech(0), np.zeros(len(speech(0)), np.float32)
    right[: len(speech(2))] = speech(2)[: len(right)]
    soundfile.write(path, np.stack([left, right], axis=1), SAMPLE_RATE)
    options = [str(path), "--channels", "separate", "--log", str(log)]
    program.main(options)
    assert [row["source"] for row in read_log(log)] == [f"{path}, channel {n}" for n in (1, 2)]
    lines = capsys.readouterr().out.splitlines()
    assert all(line.startswith(f"{path}, channel {n}") for n, line in enumerate(lines, 1))
    program.main([*options, "--format", "json"])
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(one["file"], one["channel"]) for one in found] == [(str(path), 1), (str(path), 2)]


@pytest.fixture
def interrupted(monkeypatch, tmp_path):
    """Recognizes files, all of one voice and sad, after `act` has its way with the second answer.

    Returns status and log.
    """

    def run(act, files, *options):
        n_heard = itertools.count()

        def recognize(speech, path, voice, emotions):
            if next(n_heard) == 1:
                act()
            voice.add(np.ones((60, N_FEATURES), np.float32))
            return Utterance(speech.start, speech.end, sure("sad"))

        recognizer = SimpleNamespace(recognize=recognize, emotions=EMOTIONS)
        monkeypatch.setattr(program, "load_recognizer", lambda path: recognizer)
        names = {"--log": "log.csv", "--save-plot": "chart.png", "--voice": "voice.json"}
        outputs = [f"{option}={tmp_path / name}" for option, name in names.items()]
        return program.main([*map(str, files), *outputs, *options]), read_log(tmp_path / "log.csv")

    return run


@pytest.mark.parametrize("kind", ["file", "utterance"])
def test_ctrl_c_leaves_all_that_was_recognized_before(
    interrupted, kind, long_file, tmp_path, capsys
):
    files = SAMPLES[:3] if kind == "file" else [long_file]
    # What was recognized when it comes is kept.
    status, rows = interrupted(lambda: signal.raise_signal(signal.SIGINT), files)
    assert status == 130
    assert [row["kind"] for row in rows] == [kind] * 2
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert (tmp_path / "chart.png").read_bytes().startswith(b"\x89PNG")
    assert Voice.load(tmp_path / "voice.json").n_recordings == 2


@pytest.mark.parametrize("options", [[], ["--debug"]])
def test_an_error_of_the_program_costs_one_file_only(interrupted, monkeypatch, capsys, options):
    monkeypatch.setenv("SENTIMENTAL_DEBUG", "")
    status, rows = interrupted(lambda: 1 / 0, SAMPLES[:3], *options)
    assert status == 1
    assert [row["source"] for row in rows] == [str(path) for path in SAMPLES[:3]]
    error = rows[1]["error"]
    assert error.startswith(f"{SAMPLES[1]}: a fault of this program")
    assert "ZeroDivisionError: division by zero" in error
    assert [bool(row["error"]) for row in rows] == [False, True, False]
    assert [bool(row["emotion"]) for row in rows] == [True, False, True]
    notes = capsys.readouterr().err
    assert f"error: {error}\n" in notes
    assert ("Traceback" in notes) == bool(options)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no pipes that break")
def test_a_reader_that_has_left_does_not_cost_the_log(tmp_path):
    log = tmp_path / "log.csv"
    script = subprocess.Popen(
        [sys.executable, "-m", "sentimental", "--log", log, *SAMPLES],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    script.stdout.readline()
    script.stdout.close()
    assert script.stderr.read() == b""
    assert script.wait(30) == 1
    assert 1 < len(read_log(log)) <= len(SAMPLES)


def test_demo_needs_neither_tensorflow_nor_a_sound_card_nor_a_display(tmp_path):
    for module in ("tensorflow", "keras", "sounddevice", "pyaudio", "tkinter"):
        (tmp_path / f"{module}.py").write_text(f"raise RuntimeError('{module} is not needed')")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = run(
        "realtime_emotion_recognition.py", "--demo", folder=tmp_path, environment=environment
    )
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == len(SAMPLES) >= 4
    assert "synthesizer" in done.stderr


def test_what_is_missing_is_one_line_and_no_folder_is_made(tmp_path, capsys):
    path = tmp_path / "missing" / "none.json"
    for option, words in (
        ("--model", "no such file"),
        ("--log", "cannot be written (there is no such folder)"),
    ):
        assert program.main([str(SAMPLES[0]), option, str(path)]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"error: {path}: {words}")
    assert not path.parent.exists()


WRONG_OPTIONS = """
sentimental
sentimental --demo a.wav
sentimental a.wav --format xml
sentimental a.wav --voice me
sentimental a.wav --emotions happy
sentimental a.wav --emotions happy,glad
sentimental a.wav --voice me.json --channels separate
sentimental --voice me.json --demo
sentimental a.wav --one-voice --voice none
sentimental a.wav --format csv --log -
realtime --save-plot chart
realtime --save-audio a.mp3
realtime --save-audio a.flac --demo
realtime --save-audio a.flac --replay session.flac
realtime --demo --input a.wav
realtime --replay session.flac --device usb
realtime --replay session.flac --demo
realtime --device usb --input a.wav
realtime --end-after -1
realtime --end-after nan
realtime --voice me
realtime --one-voice
realtime --channels separate
realtime a.wav b.wav
train_model --seeds=0
train_model --evaluate --protocol=speaker
train_model --evaluate --seeds=2
train_model --protocol=best
train_model --conditions noise.json
train_model --protocol=speaker --seed=3
train_model --evaluate --seed=3
train_model --seed=-1
train_model --seed=65536
train_model --evaluate --start-from=model8723.json
train_model --model=mine.h5
"""


@pytest.mark.parametrize("command", WRONG_OPTIONS.strip().splitlines())
def test_options_that_make_no_sense_are_refused(command, capsys):
    script, *options = command.split()
    main = {"sentimental": program, "realtime": realtime, "train_model": train_model}[script].main
    with pytest.raises(SystemExit) as stop:
        main(options)
    assert stop.value.code == 2
    assert re.search("^usage: .*: error: ", capsys.readouterr().err, re.DOTALL)


@pytest.mark.parametrize("script", ["realtime_emotion_recognition.py", "sentimental/__main__.py"])
def test_help_fits_a_screen_and_a_half_and_both_tell_their_version(script):
    environment = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "80"}
    done = run(script, "--help", environment=environment)
    assert len(done.stdout.splitlines()) <= 60
    assert done.stdout.count("    python ") >= 5
    assert "Exit status: 0 when" in done.stdout
    done = run(script, "--version", environment=environment)
    assert re.fullmatch(r"Sentimental \d+\.\d+\.\d+\n", done.stdout)
