"""The live script: with fake microphones everywhere, with a virtual one where there is PulseAudio.

The fake ones deliver all their sound at once, so that nothing here takes the time it would take to
say it.
"""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from scripts import ROOT
from sessions import Counting, Refusing, answer_to, find_utterances, read_log, values
from signals import SAMPLES, noise, speech, talk, tone

import realtime_emotion_recognition as realtime
from benchmarks.virtual_microphone import missing, virtual_microphone
from sentimental import EMOTIONS, Voice
from sentimental.audio import load_audio, to_mono
from sentimental.live import microphone
from sentimental.live.microphone import BACKENDS, Backend, Input
from sentimental.live.terminal import PlainLines
from sentimental.live.writers import Audio
from sentimental.scripts import END_SIGNALS, run_script
from sentimental.spectrum import SAMPLE_RATE

SCRIPT = ROOT / "realtime_emotion_recognition.py"


# A session with a fake microphone ---------------------------------------------------------------


class LiveRun:
    """Runs the script with a microphone that hears `samples`, and keeps what came of it."""

    def __init__(self, monkeypatch, capsys, tmp_path):
        self.monkeypatch, self.capsys = monkeypatch, capsys
        self.log_path, self.audio_path = tmp_path / "log.csv", tmp_path / "audio.wav"

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

        self.monkeypatch.setitem(
            BACKENDS, "sounddevice", Backend(lambda: [device], open_fake, lambda: None)
        )
        self.capsys.readouterr()
        files = ["--log", str(self.log_path), "--save-audio", str(self.audio_path)]
        options = ["--no-window", *files, *options]
        self.status = run_script(lambda: realtime.main(options))
        self.out, self.err = self.capsys.readouterr()
        self.rows = read_log(self.log_path)
        self.utterances = [row for row in self.rows if row["kind"] == "utterance"]
        self.audio, self.sample_rate = soundfile.read(self.audio_path, dtype="float32")
        return self


@pytest.fixture
def live_run(monkeypatch, capsys, tmp_path):
    # On a busy machine the thread that talks may wait for long.
    monkeypatch.setattr(microphone, "GONE_SECONDS", 60.0)
    monkeypatch.setattr(microphone, "RETURN_SECONDS", 0.0)
    monkeypatch.setattr("sentimental.scripts.SAME_WISH_SECONDS", 300.0)
    return LiveRun(monkeypatch, capsys, tmp_path)


def press_ctrl_c():
    signal.raise_signal(signal.SIGINT)


def test_each_utterance_leaves_a_line_and_a_row_and_the_session_a_chart(live_run, tmp_path):
    chart = tmp_path / "summary.png"
    live_run.run(talk(0, 2, pause=1.5, end=3), "--end-after", "2", "--save-plot", str(chart))
    assert live_run.status == 0
    assert len(live_run.utterances) == 2
    for line, row in zip(live_run.out.splitlines(), live_run.utterances, strict=True):
        emotion, probability = re.fullmatch(
            r"\d\d:\d\d:\d\d +[\d.]+ s  (?:unsure: )?(\w+) +([\d.]+) .+", line
        ).groups()
        assert emotion == row["emotion"]
        assert float(row[emotion]) == max(values(row))
        assert float(probability) == pytest.approx(float(row[emotion]), abs=0.006)
    assert "2 utterances" in live_run.err
    assert "Ended: 2 s of silence" in live_run.err
    assert chart.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("sample_rate", [16_000, 44_100])
def test_all_is_kept_and_live_probabilities_are_those_of_the_chain(
    live_run, recognizer, sample_rate
):
    sound = soxr.resample(talk(1, end=2.005), SAMPLE_RATE, sample_rate)
    live_run.run(sound, "--end-after", "1", sample_rate=sample_rate, overflows={3, 50})
    assert "2 overflows" in live_run.err
    assert live_run.sample_rate == sample_rate
    assert len(live_run.audio) == len(sound)
    np.testing.assert_allclose(live_run.audio, sound, atol=1e-4)
    (row,) = live_run.utterances
    (heard,) = find_utterances(to_mono(live_run.audio, sample_rate))
    assert [float(row[name]) for name in ("start_s", "end_s")] == pytest.approx(heard[:2], abs=0.05)
    # The saved audio has 16 bits.
    expected = answer_to(recognizer, heard.samples)
    assert values(row) == pytest.approx([*expected.values()], abs=0.02)


TOO_SOFT = "speech was heard, but too little of it stood out of the noise"


@pytest.mark.parametrize(
    ("sound", "words"),
    [
        (tone(440, 4), "no speech was heard"),
        (noise(4, dbfs=-40), "no speech was heard"),
        (np.zeros(5 * SAMPLE_RATE, np.float32), "only zeros came from the microphone"),
        (speech(0), TOO_SOFT),
    ],
)
def test_why_nothing_was_recognized_is_told(live_run, monkeypatch, sound, words):
    if words == TOO_SOFT:
        monkeypatch.setattr(realtime, "load_recognizer", lambda path: Refusing())
    silence = np.zeros_like(sound[:SAMPLE_RATE]) if "zeros" in words else noise(3)
    live_run.run(np.concatenate([sound, silence]), "--end-after", "2.5")
    assert (live_run.status, live_run.out, live_run.rows) == (1, "", [])
    assert live_run.err.splitlines()[-1].startswith(f"error: {words}")


def test_a_microphone_that_is_gone_ends_the_session(live_run):
    live_run.run(noise(1), "--end-after", "0")
    assert (live_run.status, live_run.rows) == (1, [])
    _, waiting, gone, heard = live_run.err.splitlines()
    assert waiting == "fake is gone; waiting 0 s for it to come back"
    assert gone == "error: fake is gone; was it unplugged?"
    assert heard.startswith("1.0 s of audio")


@pytest.mark.parametrize(("owner", "name"), [(Audio, "__exit__"), (Path, "write_text")])
def test_ctrl_c_while_files_are_written_costs_nothing(live_run, monkeypatch, tmp_path, owner, name):
    path, act = tmp_path / "voice.json", getattr(owner, name)
    monkeypatch.setattr(owner, name, lambda *how, **more: (press_ctrl_c(), act(*how, **more)))
    live_run.run(talk(0), "--voice", str(path), at_end=press_ctrl_c)
    assert live_run.status == 0
    assert len(live_run.audio) == len(talk(0))
    assert "1 utterance," in live_run.err
    assert Voice.load(path).n_recordings == 1


@pytest.mark.parametrize("option", ["--save-plot", "--voice"])
def test_a_chart_or_voice_that_cannot_be_written_costs_nothing_else(
    live_run, monkeypatch, tmp_path, option
):
    def fail(descriptor):
        raise OSError(28, "No space left on device")

    path = tmp_path / {"--save-plot": "chart.png", "--voice": "voice.json"}[option]
    monkeypatch.setattr(realtime, "check_files", lambda *paths: None)
    monkeypatch.setattr(os, "fsync", fail)
    live_run.run(talk(0, end=3), "--end-after", "2", option, str(path))
    assert live_run.status == 1
    assert live_run.err.count("error: ") == 1
    assert f"error: {path}: cannot be written (No space left" in live_run.err
    assert "1 utterance," in live_run.err


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="no SIGHUP here")
def test_what_nohup_ignores_does_not_end_a_session(live_run):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    live_run.run(noise(1), at_end=lambda: (signal.raise_signal(signal.SIGHUP), press_ctrl_c()))
    signal.signal(signal.SIGHUP, before)
    assert "Ended: Ctrl-C" in live_run.err


@pytest.mark.parametrize("at_fault", ["recognizer", "display"])
@pytest.mark.parametrize("error", [RuntimeError, BrokenPipeError])
def test_a_fault_of_the_program_costs_neither_log_nor_audio(live_run, monkeypatch, at_fault, error):
    class Broken(PlainLines):
        def show(self, session, lines):
            if lines and at_fault == "display":
                raise error

    class Failing(Counting):
        def compute_features(self, samples, name):
            if at_fault == "recognizer":
                raise error
            return super().compute_features(samples)

    monkeypatch.setattr(realtime, "open_display", lambda *options: Broken())
    monkeypatch.setattr(realtime, "load_recognizer", lambda path: Failing())
    monkeypatch.setattr(sys.modules[__name__], "run_script", lambda main: main())
    with pytest.raises(error):
        live_run.run(talk(0), at_end=lambda: None)
    assert soundfile.info(live_run.audio_path).duration > 1
    assert {*live_run.log_path.parent.iterdir()} == {live_run.log_path, live_run.audio_path}
    kinds = [row["kind"] for row in read_log(live_run.log_path)]
    assert kinds.count("utterance") == (at_fault == "display")


# The voice of who speaks ------------------------------------------------------------------------


@pytest.mark.parametrize(("options", "n_heard"), [([], (0, 1)), (["--voice", "none"], (0, 0))])
def test_utterances_are_compared_with_those_before(live_run, monkeypatch, options, n_heard):
    monkeypatch.setattr(realtime, "load_recognizer", lambda path: Counting())
    live_run.run(talk(1, 2, pause=1.5, end=2), "--end-after", "1.6", *options)
    assert [row["emotion"] for row in live_run.utterances] == [EMOTIONS[n] for n in n_heard]


STATUSES = {number.name: 128 + number for number in END_SIGNALS}
STATUSES |= {"SIGINT": 0, "closed": 0, "unplugged": 1, "broken": 1}


@pytest.mark.parametrize("end", STATUSES)
def test_voice_log_and_audio_are_kept_whatever_ends_the_session(
    live_run, monkeypatch, tmp_path, end
):
    path = tmp_path / "voice.json"

    class Ending(PlainLines):
        def show(self, session, lines):
            self.closed = end == "closed" and bool(lines)
            if (end == "broken" and lines) or (end == "SIGHUP" and session.end):
                raise OSError(5, "Input/output error")  # the terminal was closed

        def show_summary(self, session):
            assert STATUSES[end] < 128, "it would wait for somebody who closes it"
            super().show_summary(session)

    monkeypatch.setattr(realtime, "open_display", lambda *options: Ending())
    monkeypatch.setattr(realtime, "load_recognizer", lambda path: Counting())
    at_end = {"unplugged": None, "closed": lambda: None, "broken": lambda: None}
    if end.startswith("SIG"):
        at_end[end] = lambda: signal.raise_signal(getattr(signal, end))
    for number in range(2):
        is_over = end in ("closed", "broken")  # what is said, when the session ends
        sound = talk(number)[: None if is_over else 48_000]
        live_run.run(sound, "--voice", str(path), at_end=at_end[end])
        assert live_run.status == STATUSES[end]
        assert ("Ended: the window was closed" in live_run.err) == (end == "closed")
        assert ("Ended: Ctrl-C" in live_run.err) == (end == "SIGINT")
        assert ("1 utterance," in live_run.err) == (end != "broken")
        assert live_run.err.count("error: ") == (STATUSES[end] == 1)
        assert Voice.load(path).n_recordings == number + 1
        assert live_run.utterances[0]["emotion"] == EMOTIONS[number]
        assert len(live_run.audio) == len(sound) or is_over
    files = {path.name for path in tmp_path.iterdir()}
    assert files == {"log.csv", "audio.wav", "voice.json", ".voice.json.lock"}


@pytest.mark.parametrize("options", [[], ["--input", str(SAMPLES[0])]])
def test_a_damaged_voice_is_one_line(monkeypatch, tmp_path, capsys, options):
    path = tmp_path / "voice.json"
    path.write_text('{"voice": 3}')
    monkeypatch.setitem(
        BACKENDS, "sounddevice", Backend(lambda: [Input(0, "", "", 1, 8, True)], None, None)
    )
    assert run_script(lambda: realtime.main(["--voice", str(path), *options])) == 1
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    assert line.startswith(f"error: {path}: ")
    assert line.endswith("begin a new voice")


# Options and devices ----------------------------------------------------------------------------


def test_recordings_are_told_where_they_go(capsys):
    with pytest.raises(SystemExit):
        realtime.main(["a b.wav"])
    assert "type: python -m sentimental 'a b.wav'" in capsys.readouterr().err


def test_list_devices(monkeypatch, capsys):
    inputs = [
        Input(0, "Built-in Microphone", "MME", 1, 44_100, False),
        Input(2, "USB\x1b[31m Audio", "Windows WASAPI", 2, 48_000, True),
    ]
    monkeypatch.setitem(BACKENDS, "sounddevice", Backend(lambda: inputs, None, None))
    realtime.main(["--list-devices"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert re.search(r"\* +2 +USB\\x1b\[31m Audio +\(Windows WASAPI, 48000 Hz\)", lines[1])


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
    expected = answer_to(recognizer, load_audio(clip))
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
            # Cut at its pauses, the speech has other edges than in the file.
            assert values(row) == pytest.approx([*expected.values()], abs=0.25)
