"""The live script: with fake microphones everywhere, with a virtual one where there is PulseAudio.

The fake ones deliver all their sound at once, so that nothing here takes the time it would take to
say it.
"""

import contextlib
import csv
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

import realtime_emotion_recognition as realtime
import sentimental
from benchmarks.virtual_microphone import missing, virtual_microphone
from sentimental import EMOTIONS, SAMPLE_RATE

SCRIPT = Path(realtime.__file__)


# Sound ------------------------------------------------------------------------------------------


def voice(seconds, sample_rate=SAMPLE_RATE, pitch=140.0, seed=0):
    """Buzzing syllables: a harmonic tone that swells four times a second."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * sample_rate)) / sample_rate
    phase = 2 * np.pi * np.cumsum(pitch * (1 + 0.1 * np.sin(2 * np.pi * 1.3 * t))) / sample_rate
    tone = sum(np.sin(k * phase + rng.uniform(0, 6)) / k for k in range(1, 16))
    syllables = 0.15 + 0.85 * np.sin(np.pi * 4 * t) ** 2
    return (0.08 * tone * syllables).astype(np.float32)


def hush(seconds, sample_rate=SAMPLE_RATE, dbfs=-70.0):
    """The noise of a quiet room."""
    noise = np.random.default_rng(1).standard_normal(round(seconds * sample_rate))
    return (10 ** (dbfs / 20) * noise).astype(np.float32)


def find(samples, sample_rate=SAMPLE_RATE, block=320):
    """Where the utterances lie, (start, end) in s; the last may be unfinished."""
    finder = realtime.SpeechFinder(sample_rate)
    found = []
    for i in range(0, len(samples), block):
        found += finder.feed(samples[i : i + block])
    found += finder.utterance()
    return [(start, start + len(heard) / sample_rate) for start, heard in found]


# A session with a fake microphone ---------------------------------------------------------------


@pytest.fixture(scope="session")
def model_path(tmp_path_factory):
    keras = sentimental.import_keras()
    keras.utils.set_random_seed(3)
    model = keras.Sequential(
        [
            keras.layers.Input((None, sentimental.N_FEATURES)),
            keras.layers.Masking(),
            keras.layers.LSTM(4),
            keras.layers.Dense(8, activation="softmax"),
        ]
    )
    folder = tmp_path_factory.mktemp("model")
    sentimental.save_model(model, folder / "tiny.json", folder / "tiny_weights.h5")
    return folder / "tiny.json"


@pytest.fixture(scope="session")
def predict(model_path):
    return realtime.load_predict(model_path)


class Session:
    """Runs the script with a microphone that hears `samples`, and keeps what came of it."""

    def __init__(self, monkeypatch, capsys, tmp_path, predict):
        self.monkeypatch, self.capsys, self.tmp_path = monkeypatch, capsys, tmp_path
        self.load_predict = lambda path: predict

    def run(self, samples, *options, sample_rate=SAMPLE_RATE, overflows=(), at_end=None):
        """`at_end` is called when all is heard; without it, the microphone is then unplugged."""
        device = realtime.Input(0, "fake", 2, sample_rate, True)
        alive = [True]

        @contextlib.contextmanager
        def open_fake(device, put):
            def talk():
                block = round(0.02 * sample_rate)
                for number, start in enumerate(range(0, len(samples), block)):
                    mono = samples[start : start + block]
                    put((np.stack([mono, mono], axis=1), number in overflows))
                (at_end or alive.clear)()

            threading.Thread(target=talk).start()
            yield lambda: bool(alive)

        @contextlib.contextmanager
        def thread_recogniser(model_path):
            ours, theirs = multiprocessing.Pipe()

            def serve():
                with theirs:  # which closes like a process that ends
                    realtime.serve(theirs, model_path)

            thread = threading.Thread(target=serve)
            thread.start()
            yield ours
            ours.close()
            thread.join()

        self.monkeypatch.setitem(realtime.BACKENDS, "sounddevice", (lambda: [device], open_fake))
        self.monkeypatch.setattr(realtime, "recogniser", thread_recogniser)
        self.monkeypatch.setattr(realtime, "load_predict", self.load_predict)
        self.capsys.readouterr()
        log, audio = self.tmp_path / "log.csv", self.tmp_path / "audio.wav"
        self.status = realtime.main(["--log", str(log), "--save-audio", str(audio), *options])
        self.out, self.err = self.capsys.readouterr()
        with open(log, newline="") as stream:
            self.rows = list(csv.DictReader(stream))
        self.audio, self.sample_rate = soundfile.read(audio, dtype="float32")
        return self

    @property
    def utterances(self):
        return [row for row in self.rows if row["kind"] == "utterance"]


@pytest.fixture
def session(monkeypatch, capsys, tmp_path, predict):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    before = signal.getsignal(signal.SIGINT)
    yield Session(monkeypatch, capsys, tmp_path, predict)
    signal.signal(signal.SIGINT, before)


def press_ctrl_c():
    os.kill(os.getpid(), signal.SIGINT)


def test_each_utterance_leaves_a_line_and_a_row(session):
    sound = [hush(1), voice(1.5), hush(1.5), voice(2), hush(3)]
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
        assert float(row[emotion]) == max(float(row[name]) for name in EMOTIONS)
        assert float(probability) == pytest.approx(float(row[emotion]), abs=0.006)
    assert "2 utterances" in session.err
    assert "Ended: 2 s of silence" in session.err


@pytest.mark.parametrize("sample_rate", [8_000, 11_025, 16_000, 44_100, 48_000])
def test_live_probabilities_are_those_of_the_chain(session, predict, sample_rate):
    sound = [hush(1, sample_rate), voice(2, sample_rate), hush(2, sample_rate)]
    session.run(np.concatenate(sound), "--end-after", "1", sample_rate=sample_rate)
    (row,) = session.utterances
    assert float(row["start_s"]) < 1.05
    assert float(row["end_s"]) > 2.95
    start, end = (round(float(row[name]) * sample_rate) for name in ("start_s", "end_s"))
    samples = sentimental.to_mono(session.audio[start:end], session.sample_rate)
    expected = predict(sentimental.extract_features(samples))
    # The saved audio has 16 bits, the stream had more.
    np.testing.assert_allclose([float(row[name]) for name in EMOTIONS], expected, atol=0.01)


def test_no_audio_is_lost_and_overflows_are_counted(session):
    sound = np.concatenate([hush(1), voice(1), hush(3.005)])
    session.run(sound, "--end-after", "2", overflows={3, 50})
    assert len(session.audio) == len(sound)
    np.testing.assert_allclose(session.audio, sound, atol=1e-4)
    assert "2 overflows" in session.err


def test_unplugged_microphone_still_gives_the_summary(session):
    session.run(np.concatenate([hush(1), voice(1.5)]))
    assert session.status == 1
    assert len(session.utterances) == 1
    assert "1 utterance," in session.err
    assert session.err.count("error: fake is gone") == 1


def test_stuck_microphone_ends_the_session(session, monkeypatch):
    monkeypatch.setattr(realtime, "GONE_SECONDS", 0.2)
    session.run(np.concatenate([hush(1), voice(1)]), at_end=lambda: None)
    assert session.status == 1
    assert "error: fake is gone" in session.err


def test_microphone_that_vanishes_before_anything_was_said_gives_the_summary_too(session):
    session.run(hush(1))
    assert session.status == 1
    assert session.err.splitlines()[1] == "error: fake is gone; was it unplugged?"
    assert "1.0 s of audio" in session.err


def test_ctrl_c_ends_with_what_was_being_said(session):
    session.run(np.concatenate([hush(1), voice(1.5)]), at_end=press_ctrl_c)
    assert session.status == 0
    assert len(session.utterances) == 1
    assert "Ended: Ctrl-C" in session.err
    assert "1 utterance," in session.err


@pytest.mark.parametrize(
    ("sound", "words"),
    [(hush(3), "no speech was heard"), (np.zeros(48_000, np.float32), "only zeros")],
)
def test_silence_only(session, sound, words):
    session.run(sound, "--end-after", "2")
    assert session.status == 1
    assert session.out == ""
    assert words in session.err.splitlines()[-1]


def test_speech_is_recognised_though_the_model_was_still_loading(session, predict):
    ended = threading.Event()

    def load_slowly(path):
        assert ended.wait(timeout=20)
        return predict

    session.load_predict = load_slowly
    sound = np.concatenate([hush(1), voice(1), hush(1), voice(1.5), hush(1), voice(1)])
    session.run(sound, at_end=lambda: (press_ctrl_c(), time.sleep(0.2), ended.set()))
    assert session.status == 0
    assert len(session.utterances) == 3


def test_second_ctrl_c_does_not_wait_for_the_model(session, predict):
    ended = threading.Event()

    def load_slowly(path):
        assert ended.wait(timeout=20)
        return predict

    def press_twice():
        press_ctrl_c()
        time.sleep(0.5)
        press_ctrl_c()
        time.sleep(0.5)
        ended.set()

    session.load_predict = load_slowly
    session.run(np.concatenate([hush(1), voice(1)]), at_end=press_twice)
    assert session.status == 1
    assert len(session.audio) == 2 * SAMPLE_RATE
    assert "the model was not loaded yet" in session.err


def test_ctrl_c_while_the_files_are_closed_costs_nothing(session, monkeypatch):
    replace = os.replace
    monkeypatch.setattr(os, "replace", lambda *names: (press_ctrl_c(), replace(*names)))
    session.run(np.concatenate([hush(1), voice(1.5)]), at_end=press_ctrl_c)
    assert session.status == 0
    assert len(session.audio) == 2.5 * SAMPLE_RATE
    assert len(session.utterances) == 1
    assert "1 utterance," in session.err


@pytest.mark.skipif(os.name == "nt", reason="there, Ctrl-C reaches the processes another way")
def test_ctrl_c_does_not_end_the_recogniser(model_path, predict):
    """A terminal sends it to all processes, and what was said may still have to be recognised."""
    with realtime.recogniser(model_path) as connection:
        (process,) = multiprocessing.active_children()
        os.kill(process.pid, signal.SIGINT)
        assert connection.recv() == "ready"
        os.kill(process.pid, signal.SIGINT)
        sound = np.concatenate([hush(0.5), voice(1), hush(0.5)])
        connection.send((sound, SAMPLE_RATE))
        expected = predict(sentimental.extract_features(sound))
        np.testing.assert_allclose(connection.recv(), expected, atol=1e-3)


def test_recogniser_that_dies_leaves_what_was_recognised(session, predict):
    n_asked = 0

    def predict_once(features):
        nonlocal n_asked
        n_asked += 1
        if n_asked == 2:
            raise EOFError  # the process is gone
        return predict(features)

    session.load_predict = lambda path: predict_once
    sound = [hush(1), voice(1), hush(1), voice(1), hush(3)]
    session.run(np.concatenate(sound), "--end-after", "2")
    assert session.status == 1
    assert len(session.utterances) == 1
    assert "error: the recogniser's process was ended" in session.err
    assert len(session.audio) == 7 * SAMPLE_RATE


def test_model_that_cannot_be_loaded(session):
    def fail(path):
        raise sentimental.SentimentalError("tiny.json: not a model")

    session.load_predict = fail
    session.run(hush(1), at_end=lambda: None)
    assert session.status == 1
    assert session.err.splitlines()[-1] == "error: tiny.json: not a model"


def test_very_long_speech_is_cut_at_the_longest_window():
    found = find(np.concatenate([hush(1), voice(13), hush(1)]))
    assert len(found) in (3, 4)
    assert all(end - start <= sentimental.MAX_SECONDS + 1e-6 for start, end in found)
    for (_, end), (start, _) in zip(found[:-1], found[1:], strict=True):
        assert start == pytest.approx(end)  # nothing between them is left out
    assert found[0][0] < 1
    assert found[-1][1] > 14


class Connection:
    """To a recogniser that answers when it is told to."""

    def __init__(self, predict):
        self.predict, self.asked, self.answers = predict, [], ["ready"]
        self.send, self.recv = self.asked.append, lambda: self.answers.pop(0)

    def poll(self):
        return bool(self.answers)

    def answer(self):
        while self.asked:
            self.answers.append(realtime.recognise(self.predict, *self.asked.pop(0)))


def test_updates_come_while_somebody_speaks_and_not_in_silence(predict):
    connection = Connection(predict)
    session = realtime.Session(SAMPLE_RATE, connection)
    sound = np.concatenate([hush(2), voice(3), hush(2)])
    updates = []
    for start in range(0, len(sound), 320):
        session.hear(sound[start : start + 320])
        updates += [u for kind, u in session.answers() if kind == "update"]
        if not 2 <= session.seconds <= 5.8:
            assert session.probabilities is None
        session.ask()
        connection.answer()
    assert len(updates) >= 4 * 2.5
    assert session.n_dropped == 0
    assert [u.start for u in updates] == [updates[0].start] * len(updates)
    assert len(session.utterances) == 1


def test_updates_are_dropped_when_the_recogniser_is_slow(predict):
    connection = Connection(predict)
    session = realtime.Session(SAMPLE_RATE, connection)
    sound = np.concatenate([hush(1), voice(4), hush(4)])
    for number, start in enumerate(range(0, len(sound), 320)):
        session.hear(sound[start : start + 320])
        session.answers()
        session.ask()
        if number % 50 == 0:  # once a second
            connection.answer()
    assert session.n_dropped >= 15  # of about 25
    ((start, end, _),) = session.utterances  # the whole of it, in spite of all
    assert start < 1
    assert end > 5


def test_updates_that_an_utterance_never_got_are_dropped_too(predict):
    connection = Connection(predict)
    session = realtime.Session(SAMPLE_RATE, connection)
    sound = np.concatenate([hush(1), voice(1.5), hush(2)])
    for start in range(0, len(sound), 320):
        session.hear(sound[start : start + 320])
        session.answers()
        session.ask()  # one update; its answer comes when the utterance is long over
    connection.answer()
    assert [kind for kind, _ in session.answers()] == ["update"]
    assert session.n_dropped >= 5


# Speech -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("gain_db", [-30, -20, 0, 15])
@pytest.mark.parametrize("offset", [0.0, 0.1])
def test_speech_is_found_at_any_level(gain_db, offset):
    sound = np.concatenate([hush(2), voice(1.5), hush(2), voice(2), hush(2)])
    found = find(10 ** (gain_db / 20) * sound + np.float32(offset))
    assert len(found) == 2
    for (start, end), (true_start, true_end) in zip(found, [(2, 3.5), (5.5, 7.5)], strict=True):
        assert true_start - 0.5 < start < true_start + 0.05
        assert true_end - 0.05 < end < true_end + 0.5


def test_speech_is_found_in_noise_and_noise_is_no_speech():
    noise = hush(30, dbfs=-45)
    assert find(noise) == []
    noise[10 * SAMPLE_RATE : 12 * SAMPLE_RATE] += voice(2)
    assert len(find(noise)) == 1


def test_a_fan_that_starts_is_noise_after_a_while():
    found = find(np.concatenate([hush(5), hush(40, dbfs=-40)]))
    assert all(end < 20 for _, end in found)


def test_a_click_is_no_utterance():
    sound = hush(4)
    sound[2 * SAMPLE_RATE : 2 * SAMPLE_RATE + 800] += 0.5
    assert find(sound) == []


def test_speech_from_the_very_first_sample():
    found = find(np.concatenate([voice(2), hush(1)]))
    assert len(found) == 1
    assert found[0][0] < 0.3


def test_places_stay_true_at_a_rate_that_frames_do_not_divide():
    sound = [hush(300, 11_025), voice(2, 11_025), hush(2, 11_025)]
    ((start, end),) = find(np.concatenate(sound), 11_025, block=220)
    assert 299.5 < start < 300.05
    assert 301.95 < end < 302.5


# Files ------------------------------------------------------------------------------------------


@pytest.fixture
def clip(tmp_path):
    path = tmp_path / "clip.wav"
    soundfile.write(path, np.concatenate([hush(0.5), voice(2), hush(0.5)]), SAMPLE_RATE)
    return path


def test_input_gives_the_results_of_the_chain(clip, tmp_path, model_path, predict, capsys):
    log = tmp_path / "log.csv"
    options = ["--model", str(model_path), "--log", str(log)]
    assert realtime.main(["--input", str(clip), *options]) == 0
    expected = predict(sentimental.extract_features(sentimental.load_audio(clip)))
    with open(log, newline="") as stream:
        (row,) = csv.DictReader(stream)
    np.testing.assert_allclose([float(row[name]) for name in EMOTIONS], expected, atol=1e-4)
    (line,) = capsys.readouterr().out.splitlines()
    strongest = EMOTIONS[expected.argmax()]
    assert line.startswith(str(clip))
    assert f"{strongest:8s} {expected.max():.2f}" in line


def test_a_bad_file_does_not_stop_the_others(clip, tmp_path, model_path, capsys):
    text = tmp_path / "text.wav"
    text.write_text("no sound")
    silent = tmp_path / "silent.wav"
    soundfile.write(silent, np.zeros(SAMPLE_RATE), SAMPLE_RATE)
    files = [tmp_path / "missing.wav", text, clip, silent, clip]
    status = realtime.main(["--model", str(model_path), "--input", *map(str, files)])
    out, err = capsys.readouterr()
    assert status == 1
    assert len(out.splitlines()) == 2
    for bad in (files[0], text, silent):
        assert sum(line.startswith(f"error: {bad}") for line in err.splitlines()) == 1
    assert "3 of 5 files" in err


def test_demo_needs_no_audio_library_and_no_display(model_path, monkeypatch, capsys, tmp_path):
    for module in ("sounddevice", "pyaudio", "tkinter"):
        monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.chdir(tmp_path)
    assert realtime.main(["--demo", "--model", str(model_path)]) == 0
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == len(list(realtime.SAMPLES.glob("*.flac"))) >= 4
    assert "synthesiser" in err


def test_missing_model(clip, tmp_path, capsys):
    assert realtime.main(["--input", str(clip), "--model", str(tmp_path / "none.json")]) == 1
    assert "none.json: no such file" in capsys.readouterr().err


# Devices ----------------------------------------------------------------------------------------

INPUTS = [
    realtime.Input(0, "Built-in Microphone", 1, 44_100, False),
    realtime.Input(2, "USB Audio: front", 2, 48_000, True),
    realtime.Input(3, "USB Audio: rear", 2, 48_000, False),
]


@pytest.mark.parametrize(
    ("wanted", "number"), [(None, 2), ("3", 3), ("built", 0), ("usb audio: REAR", 3)]
)
def test_choose_input(wanted, number):
    assert realtime.choose_input(INPUTS, wanted).number == number


@pytest.mark.parametrize(
    ("inputs", "wanted", "words"),
    [
        ([], None, "no microphone found"),
        (INPUTS, "bluetooth", "no input device 'bluetooth'"),
        (INPUTS, "7", "no input device '7'"),
        (INPUTS, "usb", "several input devices"),
    ],
)
def test_no_such_input(inputs, wanted, words, monkeypatch, capsys):
    monkeypatch.setitem(realtime.BACKENDS, "sounddevice", (lambda: inputs, None))
    assert realtime.main(["--device", wanted] if wanted else []) == 1
    err = capsys.readouterr().err
    assert words in err
    assert len(err.splitlines()) == 1


def test_list_devices(monkeypatch, capsys):
    monkeypatch.setitem(realtime.BACKENDS, "sounddevice", (lambda: INPUTS, None))
    assert realtime.main(["--list-devices"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert re.search(r"\* +2 +USB Audio: front +\(48000 Hz\)", lines[1])


def test_no_portaudio(monkeypatch, capsys, tmp_path):
    (tmp_path / "sounddevice.py").write_text("raise OSError('PortAudio library not found')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    assert realtime.main([]) == 1
    err = capsys.readouterr().err
    assert "libportaudio2" in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("backend", ["sounddevice", "pyaudio"])
def test_backend_that_is_not_installed(backend, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, backend, None)
    assert realtime.main(["--backend", backend]) == 1
    assert f"pip install {backend}" in capsys.readouterr().err


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


# What the user sees -----------------------------------------------------------------------------


def heard(**probabilities):
    """A session in which these probabilities are shown; without any, in silence."""
    ours, theirs = multiprocessing.Pipe()
    session = realtime.Session(SAMPLE_RATE, ours)
    theirs.send("ready")
    session.answers()
    if probabilities:
        session.probabilities = np.array([probabilities.get(name, 0.0) for name in EMOTIONS])
    return session


def test_terminal_bars_stay_in_place(capsys):
    show = realtime.open_terminal_bars()
    show(heard(sad=0.75, fear=0.25), [])
    first = capsys.readouterr().out
    assert re.search(r"sad +75% .*█████", first)
    assert "sad 75%" in first.splitlines()[-1]
    show(heard(), ["12:00:00  an utterance"])
    second = capsys.readouterr().out
    assert second.startswith(f"\x1b[{first.count(chr(10))}A\r12:00:00  an utterance")
    assert "█" not in second
    assert "silence" in second.splitlines()[-1]


@pytest.fixture
def window(monkeypatch):
    plt = pytest.importorskip("matplotlib.pyplot")
    plt.switch_backend("agg")
    monkeypatch.setattr(plt, "get_backend", lambda: "a window system")
    monkeypatch.setattr(plt, "show", lambda block: None)
    reasons = []
    show, show_summary = realtime.open_window(reasons)
    yield plt.gcf(), reasons, show, show_summary
    plt.close("all")


def pixels(figure, emotion):
    """How many pixels have an emotion's colour."""
    colour = [int(realtime.COLOURS[emotion][i : i + 2], 16) for i in (1, 3, 5)]
    return int((np.asarray(figure.canvas.buffer_rgba())[..., :3] == colour).all(axis=2).sum())


def test_window_shows_the_probabilities_and_silence_as_silence(window):
    figure, _, show, _ = window
    session = heard(happy=0.7, disgust=0.3)
    show(session, [])
    assert pixels(figure, "happy") > 2 * pixels(figure, "disgust") > 1000
    assert pixels(figure, "calm") == 0
    show(heard(), [])
    assert pixels(figure, "happy") == pixels(figure, "disgust") == 0


def test_window_keeps_the_last_seconds_in_its_strip(window):
    figure, _, show, _ = window
    session = heard(happy=1.0)
    show(session, [])
    session.hear(hush(4))
    session.probabilities = np.eye(8)[EMOTIONS.index("happy")]
    show(session, [])
    with_bar = pixels(figure, "happy")
    session.probabilities = None
    show(session, [])
    in_strip = pixels(figure, "happy")
    assert 0 < in_strip < with_bar
    session.hear(hush(40))
    session.probabilities = np.eye(8)[EMOTIONS.index("calm")]
    show(session, [])
    assert pixels(figure, "happy") == 0


def check_texts(figure):
    """None lies on another, none is cut off by the window's edge."""
    from matplotlib.text import Text

    texts = [t for t in figure.findobj(Text) if t.get_visible() and t.get_text()]
    boxes = [(t.get_window_extent(), t.get_text()) for t in texts]
    assert len(boxes) > 10
    for number, (box, text) in enumerate(boxes):
        assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1, text
        assert figure.bbox.y0 <= box.y0 < box.y1 <= figure.bbox.y1, text
        for other_box, other in boxes[:number]:
            assert not box.overlaps(other_box), (text, other)


def test_all_that_is_written_can_be_read(window):
    figure, _, show, _ = window
    session = heard(surprise=1.0)
    session.utterances = [realtime.Utterance(0, 1, np.eye(8)[-1])]
    show(session, [])
    check_texts(figure)
    show(heard(**dict.fromkeys(EMOTIONS, 1 / 8)), [])
    check_texts(figure)


@pytest.mark.parametrize("probabilities", [np.eye(8)[-1], np.full(8, 1 / 8)])
def test_all_of_the_summary_can_be_read(probabilities):
    figures = pytest.importorskip("matplotlib.figure")
    figure = figures.Figure(figsize=realtime.WINDOW_INCHES)
    utterances = [realtime.Utterance(i, i + 3, probabilities) for i in range(0, 3_600, 4)]
    realtime.draw_summary(figure, utterances, 4_000)
    figure.draw_without_rendering()
    check_texts(figure)


def test_letters_grow_with_the_window(window):
    from matplotlib.backend_bases import ResizeEvent
    from matplotlib.text import Text

    figure, _, show, _ = window
    show(heard(happy=1.0), [])
    before = [text.get_fontsize() for text in figure.findobj(Text)]
    for size in [(18, 14), (24, 14)]:
        figure.set_size_inches(size)
        figure.canvas.callbacks.process("resize_event", ResizeEvent("resize_event", figure.canvas))
        show(heard(happy=1.0), [])
    after = [text.get_fontsize() for text in figure.findobj(Text)]
    np.testing.assert_allclose(after, 2 * np.array(before))


def close(figure):
    """As a user does."""
    import matplotlib.pyplot as plt
    from matplotlib.backend_bases import CloseEvent

    figure.canvas.callbacks.process("close_event", CloseEvent("close_event", figure.canvas))
    plt.close(figure)


def test_what_was_said_last_still_comes_when_the_window_is_closed(window, capsys):
    figure, reasons, show, show_summary = window
    show(heard(happy=1.0), [])
    close(figure)
    assert reasons == ["the window was closed"]
    show(heard(sad=1.0), ["12:00:00  an utterance"])
    assert capsys.readouterr().out == "12:00:00  an utterance\n"
    show_summary([realtime.Utterance(0, 1, np.full(8, 1 / 8))], 2)


@pytest.mark.parametrize("how", ["Ctrl-C", "close"])
def test_summary_stays_until_there_is_a_reason_to_leave(window, how):
    figure, reasons, _, show_summary = window
    timer = threading.Timer(0.3, lambda: close(figure) if how == "close" else reasons.append(how))
    timer.start()
    show_summary([realtime.Utterance(0, 1, np.full(8, 1 / 8))], 2)
    assert len(reasons) == 1


def test_closing_the_window_ends_the_session(session, window, monkeypatch):
    figure, reasons, show, show_summary = window
    heard_all = threading.Event()

    def open_display(args, session_reasons):
        def show_and_close(session, lines):  # as a window system does: while it is drawn
            show(session, lines)
            if heard_all.is_set() and not reasons:
                close(figure)
                session_reasons.extend(reasons)

        return show_and_close, show_summary

    monkeypatch.setattr(realtime, "open_display", open_display)
    session.run(np.concatenate([hush(1), voice(1.5)]), at_end=heard_all.set)
    assert session.status == 0
    assert "Ended: the window was closed" in session.err
    assert "1 utterance," in session.err


def test_summary_chart(session, tmp_path):
    plot = tmp_path / "summary.png"
    sound = np.concatenate([hush(1), voice(1.5), hush(3)])
    session.run(sound, "--end-after", "2", "--save-plot", str(plot))
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_mean_counts_each_second_alike():
    happy, sad = (np.eye(8)[EMOTIONS.index(name)] for name in ("happy", "sad"))
    utterances = [realtime.Utterance(0, 3, happy), realtime.Utterance(5, 6, sad)]
    np.testing.assert_allclose(realtime.mean_probabilities(utterances), 0.75 * happy + 0.25 * sad)


# A virtual microphone ---------------------------------------------------------------------------


@pytest.mark.skipif(bool(missing()), reason=f"no virtual microphone: {missing()}")
def test_virtual_microphone(clip, tmp_path, model_path, predict):
    """Both backends hear the same clip, from their start on, and agree with the file."""
    backends = ["sounddevice"]
    with contextlib.suppress(ImportError):
        import pyaudio  # noqa: F401

        backends.append("pyaudio")
    expected = predict(sentimental.extract_features(sentimental.load_audio(clip)))
    with virtual_microphone() as environment:
        listed = subprocess.run(
            [sys.executable, SCRIPT, "--list-devices"], env=environment, capture_output=True
        )
        if listed.returncode:
            pytest.skip(f"no virtual microphone: {listed.stderr.decode().strip()}")
        scripts = [
            subprocess.Popen(
                [
                    *(sys.executable, SCRIPT, "--no-window", "--model", model_path),
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
            with open(tmp_path / f"{backend}.csv", newline="") as stream:
                row = [row for row in csv.DictReader(stream) if row["kind"] == "utterance"][0]
            measured = [float(row[name]) for name in EMOTIONS]
            np.testing.assert_allclose(measured, expected, atol=0.1)
