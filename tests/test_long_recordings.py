"""Recordings by name: which are meant, and what is recognized of long ones and of two channels."""

import io
import itertools
import os
import weakref
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
from sentimental.live.long_recordings import Recording, find_recordings
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
    return recording, [*recording.recognize(recognizer or Loudness())]


def spans(findings, channel=None):
    return [(f.result.start, f.result.end) for f in findings if f.channel == channel]


def write(path, *channels, sample_rate=SAMPLE_RATE):
    """Write a recording, each channel of which gets as long as the longest; returns the path."""
    n = max(map(len, channels))
    sound = np.stack([np.pad(one, (0, n - len(one))) for one in channels], axis=1)
    soundfile.write(path, sound, sample_rate, subtype="FLOAT")
    return path


@pytest.fixture
def long_file(tmp_path):
    return write(tmp_path / "long.wav", CONVERSATION)


# Names


def test_a_folder_gives_its_recordings_in_natural_order(tmp_path):
    for name in ("take10.wav", "take9.flac", "Take1.wav", "b/2.wav", ".hidden.wav", "chart.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = names(find_recordings([str(tmp_path)]))
    assert [os.path.relpath(name, tmp_path) for name in found] == [
        *(os.path.join("b", "2.wav"), "Take1.wav", "take9.flac", "take10.wav")
    ]


def test_names_keep_their_order_and_only_a_pattern_that_is_no_name_is_expanded(tmp_path):
    pattern, literal = str(tmp_path / "*.wav"), str(tmp_path / "[ac]9.flac")
    for name in ("a10.wav", "a9.wav", "a9.flac", "[ac]9.flac"):
        (tmp_path / name).touch()
    found = names(find_recordings([literal, pattern, literal]))
    assert found == [literal, *(str(tmp_path / f"a{n}.wav") for n in (9, 10)), literal]


@pytest.mark.parametrize("name", ["*.wav", ""])
def test_what_holds_no_recordings_is_one_error(tmp_path, name):
    (recording,) = find_recordings([str(tmp_path / name)])
    (finding,) = recording.recognize(Loudness())
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
    sound = np.concatenate([speech(0)[:24_000], noise(1), speech(2)[:24_000]])
    path = write(tmp_path / "a.wav", sound)
    assert len(find_utterances(sound)) == 2
    recognizer = load_recognizer()
    recording, (finding,) = recognize(path, recognizer=recognizer)
    assert finding.kind == "file"
    assert spans([finding]) == [(0.0, len(sound) / SAMPLE_RATE)]
    expected = answer_to(recognizer, load_audio(path))
    assert finding.result.probabilities == expected
    assert not recording.failed


# Long recordings


@pytest.mark.parametrize("separate", [False, True])  # of one channel there is nothing to separate
def test_a_long_recording_is_cut_as_a_session_is(long_file, separate):
    recording, findings = recognize(long_file, separate)
    expected = find_utterances(CONVERSATION)
    assert len(expected) == 4
    assert {finding.kind for finding in findings} == {"utterance"}
    assert spans(findings) == [(start, end) for start, end, _ in expected]
    for finding, (*_, samples) in zip(findings, expected, strict=True):
        assert finding.result.probabilities == pytest.approx(answer_to(Loudness(), samples))
    assert recording.seconds == pytest.approx(len(CONVERSATION) / SAMPLE_RATE)
    assert recording.is_cut
    assert not recording.failed


def test_a_long_recording_of_any_rate_has_the_same_utterances(tmp_path, long_file):
    sound = soxr.resample(CONVERSATION, SAMPLE_RATE, 44_100)
    path = write(tmp_path / "a.wav", sound, sample_rate=44_100)
    (_, findings), (_, expected) = recognize(path), recognize(long_file)
    np.testing.assert_allclose(spans(findings), spans(expected), atol=0.1)


def test_channels_that_cancel_each_other_are_heard(tmp_path, long_file):
    path = write(tmp_path / "upside_down.wav", CONVERSATION, -CONVERSATION)
    assert spans(recognize(path)[1]) == spans(recognize(long_file)[1])


def test_a_long_recording_without_speech_is_told_from_one_that_the_chain_refuses(
    tmp_path, long_file
):
    path = write(tmp_path / "hiss.wav", noise(8, dbfs=-40))
    for name, recognizer, words in (
        (path, Loudness(), "no speech in it"),
        (long_file, Refusing(), "there is speech in it, but too little of it stands out"),
    ):
        recording, (finding,) = recognize(name, recognizer=recognizer)
        assert str(finding.result).startswith(f"{name}: {words}")
        assert recording.failed


def test_what_comes_before_the_damage_is_kept(tmp_path):
    sound = CONVERSATION.copy()
    sound[-32_000:] = np.nan
    path = write(tmp_path / "nan.wav", sound)
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
    return write(tmp_path / "call.wav", first, second), first, second


def test_each_channel_is_heard_by_itself_and_has_a_voice_and_a_summary(call, capsys):
    path, *channels = call
    voices, recording = {}, Recording(path, separate=True)
    findings = [*recording.recognize(load_recognizer(), voices)]
    lines = capsys.readouterr().err.splitlines()
    for number, (sound, line) in enumerate(zip(channels, lines, strict=True), 1):
        expected = [start for start, *_ in find_utterances(sound)]
        assert [start for start, _ in spans(findings, number)] == pytest.approx(expected)
        assert voices[number].n_recordings == len(expected) > 1
        assert line.startswith(f"{path}, channel {number}: {len(expected)} utterances")
    ends = [finding.result.end for finding in findings]
    assert ends == pytest.approx(sorted(ends), abs=3)  # as they come, not one channel after another
    assert sorted(recording.utterances) == [1, 2]


@pytest.mark.parametrize(
    "channels",
    [
        (noise(len(CONVERSATION) / SAMPLE_RATE, -80), CONVERSATION),
        (noise(2, -80), speech(0)),
        (0.1 * speech(0), speech(0)),  # which only leaks
    ],
)
def test_a_channel_without_speech_of_its_own_is_told_and_is_no_failure(tmp_path, channels):
    recording, findings = recognize(write(tmp_path / "call.wav", *channels), separate=True)
    assert {(f.channel, f.kind == "error") for f in findings} == {(1, True), (2, False)}
    assert not recording.failed


LATE = np.concatenate([np.zeros(18 * SAMPLE_RATE, np.float32), speech(4)])
TOGETHER = np.concatenate([CONVERSATION[SAMPLE_RATE:], noise(1)])


@pytest.mark.parametrize(
    ("second", "gain", "leak", "delay"),
    [(LATE, 1.0, 0.1, 800), (TOGETHER, 0.7, 0.05, 0)],  # 50 ms later; two who speak at once
)
def test_what_leaks_from_the_other_channel_is_not_heard_there(tmp_path, second, gain, leak, delay):
    n = max(len(CONVERSATION), len(second))
    own = [np.pad(one, (0, n - len(one))) for one in (CONVERSATION, gain * second)]
    mixed = [own[0] + leak / gain * np.roll(own[1], delay), own[1] + leak * np.roll(own[0], delay)]
    _, findings = recognize(write(tmp_path / "call.wav", *mixed), separate=True)
    for channel, samples in enumerate(own, 1):
        expected = [start for start, *_ in find_utterances(samples)]
        assert [start for start, _ in spans(findings, channel)] == pytest.approx(expected, abs=0.5)


# The chart


def test_a_chart_of_recordings_one_after_the_other(monkeypatch, long_file, call):
    drawn = []
    monkeypatch.setattr(chart, "_save", lambda path, size, *what: drawn.append(what))
    recordings = [Recording(path, separate=True) for path in (SAMPLES[0], long_file, call[0])]
    for recording in recordings:
        assert all(recording.recognize(Loudness()))
    save_chart("a.png", recordings)
    save_chart("a.png", recordings[:1])
    (draw, tracks, seconds, files), (draw_short, utterances, *_) = drawn
    assert (draw, draw_short) == (chart.draw_timeline, chart.draw_summary)
    assert utterances == recordings[0].utterances[None]
    lengths = [recording.seconds for recording in recordings]
    starts = [0, *itertools.accumulate(lengths)]
    assert seconds == pytest.approx(sum(lengths))
    assert [start for start, _ in files] == pytest.approx(starts[:3])
    assert [track.channel for track in tracks] == [1, 2, None]
    first, second, mixed = tracks
    assert len(mixed.utterances) == 1 + 4
    first_of_long = recordings[1].utterances[None][0].start
    assert mixed.utterances[1].start == pytest.approx(starts[1] + first_of_long)
    assert first.utterances[0].start >= starts[2]
    for track in (first, second):
        assert track.powers[0][0] == pytest.approx(starts[2])
        assert track.powers[-1][1] == pytest.approx(seconds)
    assert not np.allclose([x[2] for x in first.powers], [x[2] for x in second.powers])
