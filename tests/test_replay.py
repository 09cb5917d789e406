"""Recordings that are shown as if they were live, with keys pressed; the clock is a fast one."""

import re
import time

import numpy as np
import pytest
import soundfile
from sessions import Counting, known_voice, read_log, sure, wait_for_answers
from signals import noise, speech, talk
from test_window import press
from test_window import window as _window  # noqa: F401

import realtime_emotion_recognition as realtime
from sentimental import Voice
from sentimental.audio import load_audio
from sentimental.live import session as sessions_module
from sentimental.live import window as displays
from sentimental.live.session import Replay, Session
from sentimental.scripts import run_script
from sentimental.spectrum import SAMPLE_RATE


class Clock:
    """Stands for the module `time`: who sleeps waits for nothing but what is being recognized."""

    def __init__(self):
        self.now, self.session = 0.0, None

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        if self.session:
            wait_for_answers(self.session)
        self.now += seconds

    def __getattr__(self, name):
        return getattr(time, name)


@pytest.fixture
def clock(monkeypatch):
    """The clock of replays, sessions of which know it; recognized is always happy."""
    clock = Clock()

    def listen(*arguments, **options):
        clock.session = Session(*arguments, **options)
        return clock.session

    class Happy(Counting):
        def predict_features(self, features, voice, emotions):
            return sure("happy")

    monkeypatch.setattr(sessions_module, "time", clock)
    monkeypatch.setattr(realtime, "time", clock)
    monkeypatch.setattr(realtime, "Session", listen)
    monkeypatch.setattr(realtime, "load_recognizer", lambda path: Happy())
    return clock


def save(path, *parts):
    soundfile.write(path, np.concatenate(parts), SAMPLE_RATE)
    return path


def run_replay(capsys, *options):
    """Run the script; returns status, lines of output and of notes."""
    capsys.readouterr()
    status = run_script(lambda: realtime.main([*map(str, options)]))
    out, err = capsys.readouterr()
    return status, out.splitlines(), err.splitlines()


def test_a_recording_comes_in_the_time_that_it_takes(tmp_path, monkeypatch):
    clock, path = Clock(), tmp_path / "stereo.wav"
    monkeypatch.setattr(sessions_module, "time", clock)
    sound = np.stack([noise(1.005, sample_rate=44_100), noise(1.005, sample_rate=44_100)], axis=1)
    soundfile.write(path, sound, 44_100)
    stream, heard = Replay(path), []
    clock.now = 100.0  # it begins when it is first listened to
    for original, samples in stream:
        heard.append((original, samples))
        n = sum(len(original) for original, _ in heard)
        assert n == pytest.approx((clock.now - 100) * 44_100, abs=1)
    originals, samples = (np.concatenate(parts) for parts in zip(*heard, strict=True))
    np.testing.assert_allclose(originals, sound[:, 0], atol=1e-4)
    np.testing.assert_allclose(samples, load_audio(path), atol=1e-4)


def test_what_is_no_sound_ends_a_session_with_what_came_before(tmp_path, capsys, clock):
    sound, path = talk(0), tmp_path / "damaged.wav"
    sound[-100] = np.nan
    soundfile.write(path, sound, SAMPLE_RATE, "FLOAT")
    status, lines, notes = run_replay(capsys, "--no-window", "--replay", path)
    assert status == 1
    assert len(lines) == 1
    assert f"error: {path}: holds samples that are not numbers; export it again" in notes


def test_a_replay_is_logged_as_a_session_and_no_silence_ends_it(
    tmp_path, capsys, clock, monkeypatch
):
    monkeypatch.setattr(realtime, "END_SECONDS", 1.0)
    path = save(tmp_path / "session.flac", noise(1), speech(0), noise(3), speech(1))
    log = tmp_path / "log.csv"
    status, lines, notes = run_replay(capsys, "--no-window", "--replay", path, "--log", log)
    assert (status, len(lines)) == (0, 2)
    assert notes[:2] == [
        f"Replaying {path} at 16000 Hz; Ctrl-C ends.",
        "Ended: the recording is over.",
    ]
    rows = [row for row in read_log(log) if row["kind"] == "utterance"]
    assert {row["source"] for row in rows} == {str(path)}
    second = 1 + len(speech(0)) / SAMPLE_RATE + 3
    assert [float(row["start_s"]) for row in rows] == pytest.approx([1, second], abs=0.5)


def test_what_cannot_be_recognized_is_one_line_and_stays_as_it_is(tmp_path, capsys, clock):
    (tmp_path / "empty.wav").touch()
    quiet = save(tmp_path / "quiet.wav", noise(2))
    before = quiet.read_bytes()
    for path, words, *options in [
        (tmp_path / "missing.wav", "no such file"),
        (tmp_path / "empty.wav", "the file is empty"),
        (quiet, "no speech was recognized in what was heard of it"),
        (quiet, "is read as well", "--log", quiet),
    ]:
        status, lines, notes = run_replay(capsys, "--no-window", "--replay", path, *options)
        assert (status, lines) == (1, [])
        assert re.match(f"error: {path}: {words}", notes[-1])
    assert quiet.read_bytes() == before


# With keys --------------------------------------------------------------------------------------


class Fingers:
    """Press keys in a window, each when the session is so many seconds old."""

    def __init__(self, clock, *presses):
        self.clock, self.presses, self.titles = clock, [*presses], []

    def flush_events(self, canvas):
        """Where a toolkit tells of keys, in place of its method."""
        seconds = self.clock.session.endpointer.seconds
        self.titles.append((seconds, canvas.figure.texts[0].get_text()))
        while self.presses and seconds >= self.presses[0][0]:
            press(self.presses.pop(0)[1])


@pytest.fixture
def replay_in_window(_window, monkeypatch, tmp_path, capsys, clock):  # noqa: F811
    """Replays a sound in a window while keys are pressed; returns titles, rows and notes."""
    _window._plt.close("all")  # of it, only what it made possible is needed

    def run(sound, presses, *options):
        fingers = Fingers(clock, *presses)
        monkeypatch.setattr(realtime, "DRAW_SECONDS", 0.32)  # half as often as else
        monkeypatch.setenv("DISPLAY", ":987")
        monkeypatch.setattr(
            type(_window._canvas), "flush_events", lambda c: fingers.flush_events(c)
        )
        monkeypatch.setattr(displays.Window, "show_summary", lambda *arguments: None)
        path, log = save(tmp_path / "session.wav", *sound), tmp_path / "log.csv"
        status, _, notes = run_replay(capsys, "--replay", path, "--log", log, *options)
        assert status == 0
        assert fingers.presses == []
        return fingers.titles, read_log(log), notes

    return run


def test_q_ends_the_session(replay_in_window):
    titles, rows, notes = replay_in_window([noise(1), speech(0), noise(9)], [(6, "q")])
    assert "Ended: q was pressed." in notes
    assert titles[-1][0] < 6.5
    assert {title for _, title in titles} >= {"silence", "happy 100%"}
    assert [row["kind"] for row in rows].count("utterance") == 1


def test_what_is_said_in_a_pause_is_neither_recognized_nor_learned(replay_in_window, tmp_path):
    sound = [noise(1), speech(0)[:32_000], noise(1), speech(1), noise(1), speech(2)[:32_000]]
    begin = 1 + 2 + 1
    end = begin + len(speech(1)) / SAMPLE_RATE + 0.5
    voice = tmp_path / "me.json"
    titles, rows, _ = replay_in_window(
        sound, [(begin - 0.2, " "), (end, " ")], "--end-after", "2", "--voice", voice
    )
    paused = [title for seconds, title in titles if begin < seconds < end]
    assert {*paused} == {"paused"}
    assert len(paused) > 5
    assert [row for row in rows if begin < float(row["end_s"]) < end] == []
    assert [row["kind"] for row in rows].count("utterance") == 2
    assert max(float(row["end_s"]) for row in rows) == pytest.approx(end + 2.5, abs=0.5)
    assert Voice.load(voice).n_recordings == 2


def test_a_pause_in_a_word_ends_the_utterance_there(replay_in_window):
    titles, rows, _ = replay_in_window([noise(1), speech(0), noise(1)], [(2.5, " ")])
    (row,) = [row for row in rows if row["kind"] == "utterance"]
    assert float(row["end_s"]) == pytest.approx(2.6, abs=0.2)
    assert {title for seconds, title in titles if seconds > 3} == {"paused", "finishing"}


def test_s_saves_the_chart_so_far_and_n_begins_a_voice_that_is_not_kept(
    replay_in_window, tmp_path, clock
):
    sound, voice = [noise(1), speech(0), noise(4), speech(1), noise(1)], tmp_path / "me.json"
    known_voice(5).save(voice)
    presses = [(0.5, "s"), (6, "s"), (6, "n"), (6, "n")]
    options = "--save-plot", tmp_path / "chart.png", "--voice", voice
    _, _, notes = replay_in_window(sound, presses, *options)
    assert "no chart saved: no utterance is over yet" in notes
    (saved,) = [line.removeprefix("saved: ") for line in notes if line.startswith("saved: ")]
    assert {path.name for path in tmp_path.glob("*.png")} == {"chart.png", saved.split("/")[-1]}
    assert clock.session.voice.n_recordings == 1
    assert Voice.load(voice).n_recordings == 6
