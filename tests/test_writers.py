"""Log and audio as they are while a session still writes them."""

import contextlib
import io
import json
import os
import shutil
import sys
import threading

import numpy as np
import pytest
import soundfile
from sessions import read_log, sure
from signals import tone

from sentimental import EMOTIONS, SentimentalError
from sentimental.live import writers
from sentimental.live.writers import Audio, Log, Report
from sentimental.recognizer import Utterance
from sentimental.spectrum import SAMPLE_RATE

UTTERANCE = Utterance(1.0, 2.5, sure("sad"))


# The log


def test_each_row_is_there_as_soon_as_it_is_written(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("an old one\n" * 1000)
    with Log(str(path)) as log:
        assert read_log(path) == []
        log.write("utterance", "a microphone", UTTERANCE)
        log.write("error", "b\udcfc.wav", "b.wav: no speech")  # a name that is not UTF-8
        of_speech, of_error = read_log(path)
    assert of_speech["source"] == "a microphone"
    assert (of_speech["start_s"], of_speech["end_s"]) == ("1.000", "2.500")
    assert (of_speech["emotion"], of_speech["sad"], of_speech["error"]) == ("sad", "1.0000", "")
    assert (of_error["source"], of_error["error"]) == ("b\udcfc.wav", "b.wav: no speech")
    assert of_speech["unsure"] == "false"
    assert [of_error[name] for name in ("start_s", "emotion", "unsure", *EMOTIONS)] == [""] * 11
    assert not log.failed


@contextlib.contextmanager
def room_for(n_bytes):
    """No file may get longer than that, as on a disk that is nearly full."""
    resource = pytest.importorskip("resource", reason="no such limit here")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_an_old_log_stays_where_there_is_no_room_for_a_new_one(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("an old one")
    with room_for(0), pytest.raises(SentimentalError, match="cannot be written"):
        Log(str(path))
    assert path.read_text() == "an old one"


@pytest.mark.parametrize("form", writers.FORMATS)
def test_a_reader_of_the_output_has_each_result_at_once(monkeypatch, form):
    arrived = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(arrived, "utf-8"))
    with Report(None, form, ["a.wav"]) as report:
        before = len(arrived.getvalue())
        report.tell("a.wav", None, "utterance", UTTERANCE)
        assert b"sad" in arrived.getvalue()[before:]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no such pipes here")
def test_a_log_goes_through_a_pipe_and_a_link(tmp_path):
    pipe, link, read = tmp_path / "pipe", tmp_path / "link.csv", []
    os.mkfifo(pipe)
    link.symlink_to(tmp_path / "real.csv")
    reader = threading.Thread(target=lambda: read.extend(read_log(pipe)))
    reader.start()
    for path in (pipe, link):
        with Log(str(path)) as log:
            log.write("utterance", "a microphone", UTTERANCE)
    reader.join(10)
    assert len(read) == len(read_log(tmp_path / "real.csv")) == 1
    assert pipe.is_fifo()
    assert link.is_symlink()


@pytest.mark.skipif(os.name == "nt", reason="no /dev/stdout there")
def test_telling_takes_no_lock_that_a_signal_could_leave_taken(capsys, monkeypatch):
    lock = threading.RLock()
    monkeypatch.setattr("tqdm.tqdm.get_lock", lambda: lock)
    lock.acquire()
    told = threading.Thread(
        target=Report(None, "text", ["a"]).tell, args=("a", None, "file", UTTERANCE)
    )
    told.daemon = True
    told.start()
    told.join(10)
    lock.release()
    assert not told.is_alive()
    assert capsys.readouterr().out.startswith("a   ")


@pytest.mark.parametrize("name", ["-", "/dev/fd/{}"])
def test_a_log_in_the_standard_output_is_alone_there(tmp_path, monkeypatch, capsys, name):
    path = tmp_path / "output"
    with open(path, "w") as output:
        monkeypatch.setattr(sys, "stdout", output)
        print("before")
        with Log(name.format(output.fileno())) as log:
            print("a line")
            log.write("utterance", "a microphone", UTTERANCE)
        print("after")
    assert [line[:20] for line in path.read_text().splitlines()] == [
        *("before", "kind,source,clock,st", "utterance,a micropho", "after")
    ]
    assert capsys.readouterr().err == "a line\n"


def test_a_full_disk_costs_the_log_what_comes_and_not_what_came(tmp_path, capsys):
    path = tmp_path / "log.csv"
    with Log(str(path)) as log:
        log.write("utterance", "a microphone", UTTERANCE)
        with room_for(path.stat().st_size + 20):  # less than a row
            log.write("utterance", "a microphone", UTTERANCE)
        log.write("utterance", "a microphone", UTTERANCE)
    assert log.failed
    assert len(path.read_bytes().splitlines()) == 2
    assert len(read_log(path)) == 1
    assert capsys.readouterr().err == (
        f"error: {path}: cannot be written (File too large); it holds what came before\n"
    )


@pytest.mark.parametrize("make", [Log, lambda path: Audio(path, SAMPLE_RATE)])
def test_what_cannot_be_opened_is_one_line(tmp_path, make):
    path = tmp_path / ("a" * 300 + ".wav")
    with pytest.raises(SentimentalError, match="cannot be written") as caught:
        make(str(path))
    assert str(caught.value).startswith(f"{path}: ")


# The audio


@pytest.mark.parametrize("sample_rate", [16_000, 44_100])
@pytest.mark.parametrize("ending", ["flac", "wav"])
def test_audio_can_be_read_while_it_is_written(tmp_path, ending, sample_rate):
    path, copy = tmp_path / f"a.{ending}", tmp_path / f"copy.{ending}"
    sound = tone(440, 3, sample_rate=sample_rate)
    n_block = sample_rate // 50
    with Audio(str(path), sample_rate) as audio:
        for start in range(0, len(sound), n_block):
            audio.write(sound[start : start + n_block])
            if start / sample_rate in (1.0, 2.5):
                shutil.copy(path, copy)  # what a session leaves that is killed now
                heard, rate = soundfile.read(copy, dtype="float32")
                assert rate == sample_rate
                assert len(heard) > start - sample_rate
                np.testing.assert_allclose(heard, sound[: len(heard)], atol=1e-4)
                if ending == "wav":  # what other players go by
                    size = int.from_bytes(copy.read_bytes()[4:8], "little")
                    assert size == 36 + 2 * len(heard)
    expected = tmp_path / f"b.{ending}"
    soundfile.write(expected, sound, sample_rate, subtype="PCM_16")
    assert path.read_bytes() == expected.read_bytes()


@pytest.mark.parametrize("error", [AssertionError(), soundfile.LibsndfileError(2)])
def test_a_full_disk_costs_the_audio_what_comes_and_not_what_came(tmp_path, capsys, error):
    def fail(samples):
        raise error

    path, sound = tmp_path / "a.flac", tone(440, 3)
    with Audio(str(path), SAMPLE_RATE) as audio:
        audio.write(sound)
        audio._file.write = fail
        audio.write(sound)
        audio.write(sound)
    assert audio.failed
    assert len(soundfile.read(path)[0]) == len(sound)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {path}: cannot be written (")


# Subtitles and JSON


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("srt", "1\n00:00:01,000 --> 00:00:02,500\nsad 100%\n\n"),
        ("vtt", "WEBVTT\n\n1\n00:00:01.000 --> 00:00:02.500\nsad 100%\n\n"),
    ],
)
def test_subtitles(capsys, form, expected):
    last = Utterance(3723.4567, 3724.0, sure("sad", 1 / 8))
    with Report(None, form, ["film.mp4"]) as report:
        report.tell("film.mp4", None, "utterance", UTTERANCE)
        report.tell("film.mp4", 2, "utterance", last)
        report.tell("film.mp4", None, "error", "film.mp4: cut off")
    out, err = capsys.readouterr()
    point = "," if form == "srt" else "."
    times = f"01:02:03{point}457 --> 01:02:04{point}000"
    assert out == f"{expected}2\n{times}\n2: unsure\n\n"
    assert err == "error: film.mp4: cut off\n"


def test_names_are_data_and_escaped_on_the_terminal_alone(tmp_path, capsys):
    name = "Screen\u202frecording\t1\xa0\udcfc.wav"
    with Report(str(tmp_path / "log.csv"), "json", [name]) as report:
        report.tell(name, None, "utterance", UTTERANCE)
        report.tell(name, None, "error", f"{name}: no such file")
    of_speech, of_error = map(json.loads, capsys.readouterr().out.splitlines())
    assert (of_speech["file"], of_error["file"]) == (name, name)
    assert [row["source"] for row in read_log(tmp_path / "log.csv")] == [name, name]
    with Report(None, "text", [name]) as report:
        report.tell(name, None, "utterance", UTTERANCE)
        report.tell(name, None, "error", f"{name}: no such file")
    out, err = capsys.readouterr()
    shown = r"Screen\u202frecording\t1\xa0\xfc.wav"
    assert out.startswith(shown)
    assert err == f"error: {shown}: no such file\n"


def test_an_answer_that_is_printed_as_the_limit_is_sure(capsys):
    for p, is_unsure in ((0.396, False), (0.394, True)):
        probabilities = {"neutral": p, "calm": 0.3, "happy": 0.3}
        for form in ("json", "text"):
            with Report(None, form, ["a"]) as report:
                report.tell("a", None, "file", Utterance(0.0, 1.0, probabilities))
        line, text = capsys.readouterr().out.splitlines()
        assert json.loads(line)["unsure"] == is_unsure == ("unsure" in text)
