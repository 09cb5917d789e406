"""Recordings by name: which are meant, and what is recognized of long ones and of two channels."""

import io
import itertools
import os
import shutil
import subprocess
import weakref
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import soxr
from sessions import Refusing, answer_to, find_utterances, sure
from signals import SAMPLES, noise, speech, talk

from sentimental import load_recognizer
from sentimental.audio import load_audio
from sentimental.decoding import Block
from sentimental.live import chart
from sentimental.live import long_recordings as inputs
from sentimental.live.chart import save_chart
from sentimental.live.long_recordings import Recording, find_recordings, recognize_all
from sentimental.recognizer import Utterance
from sentimental.spectrum import SAMPLE_RATE

# Four sentences with pauses.
CONVERSATION = talk(0, 1, 2, 3, pause=1.2)


class Loudness:
    """A recognizer whose answer depends on nothing but the samples; quick."""

    def recognize(self, speech, name="", voice=None, emotions=None):
        loudness = float(np.sqrt(np.mean(speech.samples**2)))
        return Utterance(speech.start, speech.end, sure("neutral", loudness))


def names(found):
    return [str(recording.name) for recording in found]


def recognize(path, separate=False, recognizer=None):
    """A recording and its findings."""
    recording = Recording(path, separate)
    return recording, [one for _, one in recognize_all([recording], recognizer or Loudness())]


def spans(findings, channel=None):
    return [(f.result.start, f.result.end) for f in findings if f.channel == channel]


@pytest.fixture
def long_file(tmp_path):
    path = tmp_path / "long.wav"
    soundfile.write(path, CONVERSATION, SAMPLE_RATE, subtype="FLOAT")
    return path


# Names


def test_a_folder_gives_its_recordings_in_natural_order(tmp_path):
    for name in ("take10.wav", "take9.flac", "Take1.wav", "b/2.wav", ".hidden.wav", "chart.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = names(find_recordings([str(tmp_path)]))
    assert [os.path.relpath(name, tmp_path) for name in found] == [
        *(os.path.join("b", "2.wav"), "Take1.wav", "take9.flac", "take10.wav")
    ]


def test_a_pattern_is_expanded_and_a_name_that_looks_like_one_is_not(tmp_path):
    pattern, literal = str(tmp_path / "*.wav"), str(tmp_path / "[ac]9.flac")
    for name in ("a10.wav", "a9.wav", "a9.flac", "[ac]9.flac"):
        (tmp_path / name).touch()
    assert names(find_recordings([pattern])) == [str(tmp_path / f"a{n}.wav") for n in (9, 10)]
    assert names(find_recordings([literal])) == [literal]


def test_names_keep_their_order_and_may_come_twice(tmp_path):
    given = [str(tmp_path / "z.wav"), str(tmp_path / "a.wav"), str(tmp_path / "z.wav")]
    assert names(find_recordings(given)) == given


@pytest.mark.parametrize("name", ["*.wav", ""])
def test_what_holds_no_recordings_is_one_error(tmp_path, name):
    found = find_recordings([str(tmp_path / name)])
    ((recording, finding),) = recognize_all(found, Loudness())
    assert finding.kind == "error"
    assert recording.failed
    assert str(finding.result).startswith(str(tmp_path))


@pytest.mark.parametrize(
    ("content", "is_terminal", "words"),
    [(SAMPLES[0].read_bytes(), False, ""), (b"", False, "empty"), (b"", True, "add: < FILE")],
)
def test_the_standard_input_is_a_recording(monkeypatch, content, is_terminal, words):
    stream = SimpleNamespace(buffer=io.BytesIO(content), isatty=lambda: is_terminal)
    monkeypatch.setattr("sys.stdin", stream)
    _, (finding,) = recognize("-")
    if content:
        assert finding == recognize(SAMPLES[0])[1][0]
    else:
        assert str(finding.result).startswith("-: ")
        assert words in str(finding.result)


# Short recordings


def test_a_short_recording_is_judged_as_a_whole_though_it_has_a_pause(tmp_path):
    path = tmp_path / "a.wav"
    sound = np.concatenate([speech(0)[:24_000], noise(1), speech(2)[:24_000]])
    soundfile.write(path, sound, SAMPLE_RATE)
    assert len(find_utterances(sound)) == 2
    recognizer = load_recognizer()
    recording, (finding,) = recognize(path, recognizer=recognizer)
    assert finding.kind == "file"
    assert spans([finding]) == [(0.0, len(sound) / SAMPLE_RATE)]
    expected = answer_to(recognizer, load_audio(path))
    assert finding.result.probabilities == expected
    assert not recording.failed


# Long recordings


def test_a_long_recording_is_cut_as_a_session_is(long_file):
    sound, _ = soundfile.read(long_file, dtype="float32")
    recording, findings = recognize(long_file)
    expected = find_utterances(sound)
    assert len(expected) == 4
    assert {finding.kind for finding in findings} == {"utterance"}
    assert spans(findings) == [(start, end) for start, end, _ in expected]
    for finding, (*_, samples) in zip(findings, expected, strict=True):
        assert finding.result.probabilities == pytest.approx(answer_to(Loudness(), samples))
    assert recording.seconds == pytest.approx(len(sound) / SAMPLE_RATE)
    assert recording.is_cut
    assert not recording.failed


@pytest.mark.parametrize("name", ["a.flac", "a.mp3", "a.m4a"])
def test_any_rate_and_format_has_the_same_utterances(tmp_path, long_file, name):
    _, expected = recognize(long_file)
    path = tmp_path / name
    if name == "a.m4a":
        if not shutil.which("ffmpeg"):
            pytest.skip("ffmpeg is not installed")
        subprocess.run(["ffmpeg", "-v", "error", "-i", long_file, path], check=True)
    else:
        sound, _ = soundfile.read(long_file)
        soundfile.write(path, soxr.resample(sound, SAMPLE_RATE, 44_100), 44_100)
    _, findings = recognize(path)
    np.testing.assert_allclose(spans(findings), spans(expected), atol=0.1)


def test_channels_that_cancel_each_other_are_heard(tmp_path, long_file):
    sound, _ = soundfile.read(long_file)
    path = tmp_path / "upside_down.wav"
    soundfile.write(path, np.stack([sound, -sound], axis=1), SAMPLE_RATE)
    assert spans(recognize(path)[1]) == spans(recognize(long_file)[1])


def test_a_long_recording_without_speech_is_told_from_one_that_the_chain_refuses(
    tmp_path, long_file
):
    path = tmp_path / "hiss.wav"
    soundfile.write(path, noise(8, dbfs=-40), SAMPLE_RATE)
    for name, recognizer, words in (
        (path, Loudness(), "no speech in it"),
        (long_file, Refusing(), "there is speech in it, but too little of it stands out"),
    ):
        recording, (finding,) = recognize(name, recognizer=recognizer)
        assert str(finding.result).startswith(f"{name}: {words}")
        assert recording.failed


def test_what_comes_before_the_damage_is_kept(tmp_path, long_file):
    sound, _ = soundfile.read(long_file, dtype="float32")
    sound[-32_000:] = np.nan
    path = tmp_path / "nan.wav"
    soundfile.write(path, sound, SAMPLE_RATE, subtype="FLOAT")
    recording, findings = recognize(path)
    assert [finding.kind for finding in findings] == ["utterance"] * 3 + ["error"]
    assert "not numbers" in str(findings[-1].result)
    assert recording.failed


def test_memory_holds_the_last_seconds_alone(monkeypatch):
    blocks, most = [], 0

    def read(path, note):
        nonlocal most
        for _ in range(400):
            samples = np.zeros((4096, 1), np.float32)
            blocks.append(weakref.ref(samples))
            most = max(most, sum(block() is not None for block in blocks))
            yield Block(samples, SAMPLE_RATE, None)

    monkeypatch.setattr(inputs, "decode_blocks", read)
    recording, _ = recognize("long.wav")
    assert recording.seconds > 100
    assert most * 4096 / SAMPLE_RATE < 8


# Two channels


@pytest.fixture
def call(tmp_path):
    """A phone call of two who speak in turn."""
    first, second = CONVERSATION, np.concatenate([noise(3), talk(0, 1, pause=5.0)])
    n = max(len(first), len(second))
    sound = np.stack([np.pad(one, (0, n - len(one))) for one in (first, second)], axis=1)
    path = tmp_path / "call.wav"
    soundfile.write(path, sound, SAMPLE_RATE, subtype="FLOAT")
    return path, first, second


def test_each_channel_by_itself(call):
    path, *channels = call
    recording, findings = recognize(path, separate=True)
    for number, sound in enumerate(channels, 1):
        expected = [start for start, *_ in find_utterances(sound)]
        assert [start for start, _ in spans(findings, number)] == pytest.approx(expected)
    ends = [finding.result.end for finding in findings]
    assert ends == pytest.approx(sorted(ends), abs=3)  # as they come, not one channel after another
    assert sorted(recording.utterances) == [1, 2]


def test_a_silent_channel_is_told_and_is_no_failure(tmp_path):
    path = tmp_path / "call.wav"
    for sound in (CONVERSATION, speech(0)):  # a long and a short one
        soundfile.write(path, np.stack([noise(len(sound) / 16_000, -80), sound], 1), SAMPLE_RATE)
        recording, findings = recognize(path, separate=True)
        assert {(f.channel, f.kind == "error") for f in findings} == {(1, True), (2, False)}
        assert not recording.failed


def test_what_leaks_from_the_other_channel_is_not_heard_there(tmp_path):
    first, second = CONVERSATION, np.concatenate([np.zeros(18 * SAMPLE_RATE), speech(4)])
    first, second = (np.pad(one, (0, 22 * SAMPLE_RATE - len(one))) for one in (first, second))
    leak = np.roll(second, 800), np.roll(first, 800)  # 50 ms later
    sound = np.stack([first + 0.1 * leak[0], second + 0.1 * leak[1]], axis=1)
    path = tmp_path / "call.wav"
    soundfile.write(path, sound, SAMPLE_RATE, subtype="FLOAT")
    _, findings = recognize(path, separate=True)
    heard = {channel: spans(findings, channel) for channel in (1, 2)}
    assert [start for start, _ in heard[1]] == [start for start, *_ in find_utterances(first)]
    ((start, _),) = heard[2]
    assert start == pytest.approx(18, abs=0.5)


def test_a_short_call_has_no_speech_on_the_channel_that_only_leaks(tmp_path):
    path = tmp_path / "call.wav"
    soundfile.write(path, np.stack([speech(0), 0.1 * speech(0)], axis=1), SAMPLE_RATE)
    _, findings = recognize(path, separate=True)
    assert [(f.channel, f.kind) for f in findings] == [(1, "file"), (2, "error")]


def test_two_who_speak_at_once_are_both_heard(tmp_path):
    path = tmp_path / "call.wav"
    first, second = CONVERSATION, np.concatenate([CONVERSATION[SAMPLE_RATE:], noise(1)])
    sound = np.stack([first + 0.05 * second, 0.7 * second + 0.05 * first], axis=1)
    soundfile.write(path, sound, SAMPLE_RATE, subtype="FLOAT")
    _, findings = recognize(path, separate=True)
    for channel, samples in ((1, first), (2, second)):
        expected = [start for start, *_ in find_utterances(samples)]
        assert [start for start, _ in spans(findings, channel)] == pytest.approx(expected, abs=0.5)


def test_each_channel_has_a_voice_and_a_summary_of_its_own(call, capsys):
    voices = {}
    recordings = [Recording(call[0], separate=True)]
    findings = [one for _, one in recognize_all(recordings, load_recognizer(), voices)]
    for channel in (1, 2):
        assert voices[channel].n_recordings == len(spans(findings, channel)) > 1
    lines = capsys.readouterr().err.splitlines()
    for n, line in zip((1, 2), lines, strict=True):
        assert line.startswith(f"{call[0]}, channel {n}: {voices[n].n_recordings} utterances")


def test_one_channel_is_not_called_the_first(long_file):
    assert {finding.channel for finding in recognize(long_file, separate=True)[1]} == {None}


# The chart


def test_a_chart_of_recordings_one_after_the_other(monkeypatch, tmp_path, long_file, call):
    seen = []
    monkeypatch.setattr(chart, "save_timeline", lambda *drawn: seen.append(drawn))
    recordings = [Recording(path, separate=True) for path in (SAMPLES[0], long_file, call[0])]
    all(recognize_all(recordings, Loudness()))
    save_chart("a.png", recordings)
    ((_, tracks, seconds, *_),) = seen
    lengths = [recording.seconds for recording in recordings]
    starts = [0, *itertools.accumulate(lengths)]
    assert seconds == pytest.approx(sum(lengths))
    assert [track.channel for track in tracks] == [1, 2, None]
    first, second, mixed = tracks
    assert len(mixed.utterances) == 1 + 4
    assert mixed.utterances[1].start == pytest.approx(starts[1] + spans_of(recordings[1])[0][0])
    assert first.utterances[0].start >= starts[2]
    for track in (first, second):
        assert track.levels[0][0] == pytest.approx(starts[2])
        assert track.levels[-1][1] == pytest.approx(seconds)
    assert not np.allclose([x[2] for x in first.levels], [x[2] for x in second.levels])


def spans_of(recording, channel=None):
    return [(one.start, one.end) for one in recording.utterances[channel]]


def test_short_recordings_have_the_summary(monkeypatch, tmp_path):
    path = Path(tmp_path, "a.png")
    monkeypatch.setattr(chart, "save_timeline", None)
    recordings = [Recording(sample) for sample in SAMPLES[:2]]
    all(recognize_all(recordings, Loudness()))
    save_chart(path, recordings)
    assert path.exists()
