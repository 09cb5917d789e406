"""The live script: with fake microphones everywhere, with a virtual one where there is PulseAudio.

The fake ones deliver all their sound at once, so that nothing here takes the time it would take to
say it.
"""

import contextlib
import csv
import os
import re
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import soundfile
from scripts import ROOT, run
from signals import SAMPLES, noise, speech, tone

import realtime_emotion_recognition as realtime
from benchmarks.virtual_microphone import missing, virtual_microphone
from sentimental import EMOTIONS, SentimentalError, display, load_recognizer, microphone
from sentimental.audio import load_audio, to_mono
from sentimental.base import run_script
from sentimental.microphone import BACKENDS, Input
from sentimental.spectrum import SAMPLE_RATE

SCRIPT = ROOT / "realtime_emotion_recognition.py"


@pytest.fixture(scope="session")
def recognizer():
    return load_recognizer()


def read_log(path):
    with open(path, newline="") as stream:
        return list(csv.DictReader(stream))


def shares(row):
    """The probabilities in a row of --log."""
    return [float(row[name]) for name in EMOTIONS]


# A session with a fake microphone ---------------------------------------------------------------


class Session:
    """Runs the script with a microphone that hears `samples`, and keeps what came of it."""

    def __init__(self, monkeypatch, capsys, tmp_path):
        self.monkeypatch, self.capsys, self.tmp_path = monkeypatch, capsys, tmp_path

    def run(self, samples, *options, sample_rate=SAMPLE_RATE, overflows=(), at_end=None):
        """`at_end` is called when all is heard; without it, the microphone is then unplugged."""
        device = Input(0, "fake", "a host API", 2, sample_rate, True)
        alive = [True]

        @contextlib.contextmanager
        def open_fake(device, put):
            def talk():
                block = round(0.02 * sample_rate)
                for number, start in enumerate(range(0, len(samples), block)):
                    mono = samples[start : start + block]
                    put((np.stack([mono, mono], axis=1), number in overflows))
                (at_end or alive.clear)()

            talker = threading.Thread(target=talk)
            talker.start()
            yield lambda: bool(alive)
            talker.join()

        self.monkeypatch.setitem(BACKENDS, "sounddevice", (lambda: [device], open_fake))
        self.capsys.readouterr()
        log, audio = self.tmp_path / "log.csv", self.tmp_path / "audio.wav"
        options = ["--log", str(log), "--save-audio", str(audio), *options]
        self.status = run_script(lambda: realtime.main(options))
        self.out, self.err = self.capsys.readouterr()
        self.rows = read_log(log)
        self.utterances = [row for row in self.rows if row["kind"] == "utterance"]
        self.audio, self.sample_rate = soundfile.read(audio, dtype="float32")
        return self


@pytest.fixture
def session(monkeypatch, capsys, tmp_path):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    before = signal.getsignal(signal.SIGINT)
    yield Session(monkeypatch, capsys, tmp_path)
    signal.signal(signal.SIGINT, before)


def press_ctrl_c():
    os.kill(os.getpid(), signal.SIGINT)


def test_each_utterance_leaves_a_line_and_a_row(session):
    sound = [noise(1), speech(0), noise(1.5), speech(2), noise(3)]
    session.run(np.concatenate(sound), "--end-after", "2")
    assert session.status == 0
    assert len(session.utterances) == 2
    lines = session.out.splitlines()
    assert len(lines) == 2
    for line, row in zip(lines, session.utterances, strict=True):
        emotion, probability = re.fullmatch(
            r"\d\d:\d\d:\d\d +[\d.]+ s  (\w+) +([\d.]+)  \(\w+ [\d.]+\)", line
        ).groups()
        assert emotion == row["emotion"]
        assert float(row[emotion]) == max(shares(row))
        assert float(probability) == pytest.approx(float(row[emotion]), abs=0.006)
    assert "2 utterances" in session.err
    assert "Ended: 2 s of silence" in session.err


@pytest.mark.parametrize("sample_rate", [16_000, 44_100])
def test_live_probabilities_are_those_of_the_chain(session, recognizer, sample_rate):
    import soxr

    sound = np.concatenate([noise(1), speech(1), noise(2)])
    session.run(
        soxr.resample(sound, SAMPLE_RATE, sample_rate),
        *("--end-after", "1"),
        sample_rate=sample_rate,
    )
    (row,) = session.utterances
    assert session.sample_rate == sample_rate
    start, end = (round(float(row[name]) * sample_rate) for name in ("start_s", "end_s"))
    expected = recognizer.predict_samples(to_mono(session.audio[start:end], sample_rate))
    # The saved audio has 16 bits, and resampled alone, the utterance has other edges.
    np.testing.assert_allclose(shares(row), expected, atol=0.02)


def test_no_audio_is_lost_and_overflows_are_counted(session):
    sound = np.concatenate([noise(1), speech(2)[: 2 * SAMPLE_RATE], noise(3.005)])
    session.run(sound, "--end-after", "2", overflows={3, 50})
    assert len(session.audio) == len(sound)
    np.testing.assert_allclose(session.audio, sound, atol=1e-4)
    assert "2 overflows" in session.err


@pytest.mark.parametrize("sound", [tone(440, 4), noise(4, dbfs=-40)])
def test_a_tone_is_no_emotion(session, sound):
    session.run(np.concatenate([noise(0.5), sound, noise(1)]), "--end-after", "4")
    assert session.status == 1
    assert session.rows == []
    assert session.err.splitlines()[-1].startswith("error: no speech was heard")


def test_unplugged_microphone_still_gives_the_summary(session):
    session.run(np.concatenate([noise(1), speech(0)]))
    assert session.status == 1
    assert len(session.utterances) == 1
    assert "1 utterance," in session.err
    assert session.err.splitlines()[1] == "error: fake is gone; was it unplugged?"
    assert session.err.count("error: ") == 1


def test_stuck_microphone_ends_the_session(session, monkeypatch):
    monkeypatch.setattr(microphone, "GONE_SECONDS", 0.2)
    session.run(np.concatenate([noise(1), speech(0)]), at_end=lambda: None)
    assert session.status == 1
    assert "error: fake is gone" in session.err


def test_microphone_that_vanishes_before_anything_was_said(session):
    session.run(noise(1))
    assert session.status == 1
    assert "1.0 s of audio" in session.err
    assert session.err.splitlines()[1] == "error: fake is gone; was it unplugged?"
    assert session.err.count("error: ") == 1


def test_ctrl_c_ends_with_what_was_being_said(session):
    session.run(np.concatenate([noise(1), speech(0)[:32_000]]), at_end=press_ctrl_c)
    assert session.status == 0
    assert len(session.utterances) == 1
    assert "Ended: Ctrl-C" in session.err
    assert "1 utterance," in session.err


def test_ctrl_c_while_the_files_are_closed_costs_nothing(session, monkeypatch):
    replace = os.replace
    monkeypatch.setattr(os, "replace", lambda *names: (press_ctrl_c(), replace(*names)))
    session.run(np.concatenate([noise(1), speech(0)]), at_end=press_ctrl_c)
    assert session.status == 0
    assert len(session.audio) == SAMPLE_RATE + len(speech(0))
    assert "1 utterance," in session.err


def test_only_zeros(session):
    session.run(np.zeros(3 * SAMPLE_RATE, np.float32), "--end-after", "2")
    assert session.status == 1
    assert session.out == ""
    assert session.err.splitlines()[-1].startswith("error: only zeros")


def test_speech_is_recognized_though_the_chain_was_still_loading(session, monkeypatch, recognizer):
    may_begin = threading.Event()

    class Slow:
        def predict_samples(self, samples):
            assert may_begin.wait(timeout=20)
            return recognizer.predict_samples(samples)

    def end():
        press_ctrl_c()
        time.sleep(0.2)
        may_begin.set()

    monkeypatch.setattr(realtime, "load_recognizer", lambda path: Slow())
    sound = [noise(1), speech(0), noise(1), speech(1), noise(1), speech(2)]
    session.run(np.concatenate(sound), at_end=end)
    assert session.status == 0
    assert len(session.utterances) == 3


def test_updates_come_while_somebody_speaks_and_not_in_silence(recognizer):
    session = realtime.Session(recognizer)
    sound = np.concatenate([noise(2), speech(2), noise(2)])
    updates = []
    for start in range(0, len(sound), 320):
        session.hear(sound[start : start + 320])
        while session._asked and not session._asked[0][-1].done():
            time.sleep(0.001)
        updates += [u for kind, u in session.answers() if kind == "update"]
        if not 2 <= session.endpointer.seconds <= 5.2:
            assert session.probabilities is None
    session.finish()
    assert len(updates) >= 8
    assert {u.start for u in updates} == {session.utterances[0].start}
    assert len(session.utterances) == 1


def test_closing_the_window_ends_the_session(session, monkeypatch):
    class Closing(display.PlainLines):
        """Is closed while it is drawn, as windows are."""

        def show(self, session, lines):
            super().show(session, lines)
            self.closed = session.endpointer.seconds > 3

    monkeypatch.setattr(realtime, "open_display", lambda with_window: Closing())
    session.run(np.concatenate([noise(1), speech(0)]), at_end=lambda: None)
    assert session.status == 0
    assert "Ended: the window was closed" in session.err
    assert "1 utterance," in session.err


def test_summary_chart(session, tmp_path):
    plot = tmp_path / "summary.png"
    sound = np.concatenate([noise(1), speech(0), noise(3)])
    session.run(sound, "--end-after", "2", "--save-plot", str(plot))
    assert plot.read_bytes().startswith(b"\x89PNG")


# Files ------------------------------------------------------------------------------------------


def test_input_gives_the_results_of_the_chain(tmp_path, recognizer, capsys):
    log, clip = tmp_path / "log.csv", SAMPLES[0]
    realtime.main(["--input", str(clip), "--log", str(log)])
    expected = recognizer.predict_samples(load_audio(clip))
    (row,) = read_log(log)
    np.testing.assert_allclose(shares(row), expected, atol=1e-4)
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(str(clip))
    assert f"{EMOTIONS[expected.argmax()]:8s} {expected.max():.2f}" in line


def test_a_bad_file_does_not_stop_the_others(tmp_path, capsys):
    text, silent, beep = (tmp_path / f"{name}.wav" for name in ("text", "silent", "beep"))
    text.write_text("no sound")
    soundfile.write(silent, np.zeros(SAMPLE_RATE), SAMPLE_RATE)
    soundfile.write(beep, tone(440, 2), SAMPLE_RATE)
    clip = SAMPLES[0]
    files = [tmp_path / "missing.wav", text, clip, silent, beep, clip]
    status = run_script(lambda: realtime.main(["--input", *map(str, files)]))
    out, err = capsys.readouterr()
    assert status == 1
    assert len(out.splitlines()) == 2
    for bad in (files[0], text, silent, beep):
        assert sum(line.startswith(f"error: {bad}") for line in err.splitlines()) == 1
    assert f"{beep}: no speech" in err
    assert err.splitlines()[-1] == "error: 4 of 6 files could not be recognized"


def test_demo_needs_neither_tensorflow_nor_a_sound_card_nor_a_display(tmp_path):
    for module in ("tensorflow", "keras", "sounddevice", "pyaudio", "tkinter"):
        (tmp_path / f"{module}.py").write_text(f"raise RuntimeError('{module} is not needed')")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = run(SCRIPT, "--demo", folder=tmp_path, environment=environment)
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == len(SAMPLES) >= 4
    assert "synthesizer" in done.stderr


def test_missing_model(tmp_path, capsys):
    options = ["--input", str(SAMPLES[0]), "--model", str(tmp_path / "none.json")]
    assert run_script(lambda: realtime.main(options)) == 1
    assert "none.json: no such file" in capsys.readouterr().err


def test_list_devices(monkeypatch, capsys):
    inputs = [
        Input(0, "Built-in Microphone", "MME", 1, 44_100, False),
        Input(2, "USB Audio", "Windows WASAPI", 2, 48_000, True),
    ]
    monkeypatch.setitem(BACKENDS, "sounddevice", (lambda: inputs, None))
    realtime.main(["--list-devices"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert re.search(r"\* +2 +USB Audio +\(Windows WASAPI, 48000 Hz\)", lines[1])


def test_no_microphone(monkeypatch):
    monkeypatch.setitem(BACKENDS, "sounddevice", (lambda: [], None))
    with pytest.raises(SentimentalError, match="no microphone found"):
        realtime.main([])


@pytest.mark.parametrize(
    "options",
    [
        ["--save-plot", "chart"],
        ["--save-audio", "a.mp3"],
        ["--save-audio", "a.flac", "--demo"],
        ["--demo", "--input", "a.wav"],
    ],
)
def test_wrong_options(options, capsys):
    with pytest.raises(SystemExit) as stop:
        realtime.main(options)
    assert stop.value.code == 2
    assert options[0] in capsys.readouterr().err


# A virtual microphone ---------------------------------------------------------------------------


@pytest.mark.skipif(bool(missing()), reason=f"no virtual microphone: {missing()}")
def test_virtual_microphone(tmp_path, recognizer):
    """All backends hear the same clip, from their start on, and agree with the file."""
    backends = ["sounddevice"]
    with contextlib.suppress(ImportError):
        import pyaudio  # noqa: F401

        backends.append("pyaudio")
    clip = tmp_path / "clip.wav"
    soundfile.write(clip, np.concatenate([noise(0.5), speech(1), noise(0.5)]), SAMPLE_RATE)
    expected = recognizer.predict_samples(load_audio(clip))
    with virtual_microphone() as environment:
        listed = subprocess.run(
            [sys.executable, SCRIPT, "--list-devices"], env=environment, capture_output=True
        )
        if listed.returncode:
            pytest.skip(f"no virtual microphone: {listed.stderr.decode().strip()}")
        scripts = [
            subprocess.Popen(
                [
                    *(sys.executable, SCRIPT, "--no-window"),
                    *("--backend", backend, "--log", tmp_path / f"{backend}.csv"),
                ],
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for backend in backends
        ]
        for script in scripts:
            assert script.stderr.readline().startswith("Listening to ")
        subprocess.run(["paplay", clip], env=environment, check=True)
        for script, backend in zip(scripts, backends, strict=True):
            line = script.stdout.readline()
            script.send_signal(signal.SIGINT)
            rest, notes = script.communicate(timeout=20)
            assert script.returncode == 0
            assert re.match(r"\d\d:\d\d:\d\d +\d\.\d s  ", line)
            assert rest == ""
            assert " 0 overflows" in notes
            rows = read_log(tmp_path / f"{backend}.csv")
            (row,) = [row for row in rows if row["kind"] == "utterance"]
            np.testing.assert_allclose(shares(row), expected, atol=0.1)
