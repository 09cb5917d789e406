"""The voice of who speaks: kept between sessions, taught by keys, in a guided minute, by files."""

import os
import re
import shutil
import signal
import threading

import numpy as np
import pytest
import soundfile
from sessions import Counting, hear, known_voice
from signals import SAMPLES, noise, speech

import realtime_emotion_recognition as realtime
from sentimental import Voice
from sentimental.features import N_SUMMARY
from sentimental.live.session import Session
from sentimental.live.terminal import session_keys
from sentimental.live.voices import Guide, SavedVoice, how_it_helps
from sentimental.scripts import Stopped
from sentimental.spectrum import SAMPLE_RATE


def say(session, number=0):
    """Say something and pause; returns what was recognized."""
    return hear(session, np.concatenate([speech(number), noise(1)]), block=2048)


def taught(session):
    session._worker.submit(lambda: None).result()  # what was asked of it before is done
    return [emotion for emotion, _ in session.voice.lessons]


# Kept


def test_sessions_share_a_voice_and_one_waits_while_the_other_keeps_it(tmp_path, monkeypatch):
    path, load = str(tmp_path / "me.json"), Voice.load
    known_voice(5).save(path)
    first, second = SavedVoice(path), SavedVoice(path)
    for kept, n in ((first, 2), (second, 3)):
        kept.voice.statistics += known_voice(n).statistics
    other = threading.Thread(target=second.save)

    def load_while_the_other_saves(path):
        monkeypatch.setattr(Voice, "load", load)
        voice = load(path)
        other.start()
        other.join(0.5)  # long enough, if nothing held it up
        return voice

    monkeypatch.setattr(Voice, "load", load_while_the_other_saves)
    first.save()
    other.join()
    np.testing.assert_allclose(Voice.load(path).statistics, known_voice(10).statistics)


def test_a_voice_of_which_nothing_is_new_is_not_written(tmp_path):
    path = str(tmp_path / "me.json")
    SavedVoice(path).save()
    assert not os.path.exists(path)
    assert SavedVoice("none").voice is None
    assert SavedVoice(None).voice.n_recordings == 0


def test_lessons_are_kept_and_those_taken_back_are_forgotten(tmp_path):
    path = str(tmp_path / "me.json")
    for emotions in (["happy", "sad"], ["angry"]):
        kept = SavedVoice(path)
        for emotion in emotions:
            kept.voice.learn(Counting(), np.ones((60, 21), np.float32), emotion)
        kept.save()
    first, second = SavedVoice(path), SavedVoice(path)
    first.voice.take_back_lesson()
    second.voice.learn(Counting(), np.ones((60, 21), np.float32), "fear")
    for kept in (first, second):
        kept.save()
    assert [emotion for emotion, _ in Voice.load(path).lessons] == ["happy", "sad", "fear"]


# Keys


def test_digits_label_the_last_utterance_and_u_takes_the_label_back(capsys):
    session = Session(Counting(), Voice(), emotions=("happy", "sad", "angry"))
    keys = session_keys(session)
    keys["1"].act()
    assert taught(session) == []
    for digit in "31":
        say(session)
        keys[digit].act()
    assert taught(session) == ["angry", "happy"]
    assert session.voice.n_recordings == 2  # labels are not heard twice
    keys["u"].act()
    assert taught(session) == ["angry"]
    notes = capsys.readouterr().err.splitlines()
    nothing = "nothing to label: no utterance is over yet"
    assert notes == [nothing, "taught: angry", "taught: happy", "taken back: happy"]
    assert "4" not in keys


def test_after_a_new_voice_the_label_is_taken_from_the_one_that_learned_it(capsys):
    session = Session(Counting(), Voice())
    session.voice.learn(Counting(), np.ones((60, 21), np.float32), "fear")  # in another session
    first, keys = session.voice, session_keys(session)
    say(session)
    keys["n"].act()
    keys["1"].act()  # what was said is the first one's
    keys["u"].act()
    keys["u"].act()  # no other label was given, and the new voice has none
    taught(session)
    assert [emotion for emotion, _ in first.lessons] == ["fear"]
    notes = capsys.readouterr().err.splitlines()
    assert notes == ["taught: neutral", "taken back: neutral", "taken back: there is no label"]


# The guided minute


def test_each_emotion_is_asked_for_twice_and_what_is_said_teaches_it():
    session = Session(Counting(), Voice())
    guide = Guide(session, ("happy", "sad"))
    asked = []
    while not session.end:
        asked.append(session.task.partition(":")[0])
        guide.hear(say(session))
    assert asked == ["happy, 1 of 4", "sad, 2 of 4", "happy, 3 of 4", "sad, 4 of 4"]
    assert taught(session) == ["happy", "sad"] * 2
    assert session.end == "all was taught"


def test_a_sentence_may_be_skipped_taken_back_and_the_end_may_come_early():
    session = Session(Counting(), Voice())
    guide = Guide(session)
    keys = guide.keys()
    assert session.task.startswith("neutral, 1 of 8: say anything, ")
    keys[" "].act()
    guide.hear(say(session))
    assert taught(session) == ["happy"]
    assert session.task.startswith("sad, 3 of 8")
    keys["backspace"].act()
    assert taught(session) == []
    assert session.task.startswith("happy, 2 of 8")
    keys["\x7f"].act()  # there is no other to take back
    assert session.task.startswith("happy, 2 of 8")
    keys["q"].act()
    assert session.end == "q was pressed"


def test_how_it_helps_is_told_only_where_it_can_be():
    recognizer, voice = Counting(), Voice()
    for number in range(8):
        assert how_it_helps(recognizer, voice).startswith(f"{number} sentences taught: too few")
        emotion = ("happy", "sad")[number % 2]
        voice.learn(recognizer, np.ones((60, 21), np.float32), emotion)
    # What is read tells the two apart; the layer that was not taught takes all for the first.
    words = how_it_helps(recognizer, voice)
    assert re.match("recognized 4 of 8 before, 8 of 8 now", words)


def test_a_lesson_does_not_help_to_recognize_itself():
    recognizer, voice, rng = Counting(), Voice(), np.random.default_rng(0)
    for number in range(8):  # what is read of them tells nothing
        lesson = np.concatenate([10 * rng.standard_normal(8), np.zeros(N_SUMMARY)])
        voice.lessons.append((("happy", "sad")[number % 2], lesson))
    words = how_it_helps(recognizer, voice)
    assert "8 of 8 now" not in words


@pytest.fixture
def folder(tmp_path):
    """Recordings of two emotions, and one that nobody speaks in."""
    for number, emotion in enumerate(("happy", "sad")):
        (tmp_path / "anna" / emotion).mkdir(parents=True)
        shutil.copy(SAMPLES[number], tmp_path / "anna" / emotion)
    soundfile.write(tmp_path / "anna" / "sad" / "z.wav", noise(1), SAMPLE_RATE)
    return tmp_path / "anna"


def test_a_folder_teaches_a_voice(folder, tmp_path, capsys):
    path = tmp_path / "anna.json"
    assert realtime.main(["--teach", str(folder), "--voice", str(path)]) == 1  # not all were used
    err = capsys.readouterr().err
    assert "z.wav: no speech in it" in err
    assert "2 recordings taught. 2 sentences taught: too few to tell how much they help" in err
    assert sorted(emotion for emotion, _ in Voice.load(path).lessons) == ["happy", "sad"]


def test_what_a_folder_taught_before_a_signal_is_kept(folder, tmp_path, monkeypatch):
    path, calls = tmp_path / "anna.json", []

    def stop_after_one():
        calls.append(None)
        if len(calls) > 1:
            raise Stopped(signal.SIGINT)

    monkeypatch.setattr("sentimental.live.voices.check_stop", stop_after_one)
    with pytest.raises(Stopped):
        realtime.main(["--teach", str(folder), "--voice", str(path)])
    assert len(Voice.load(path).lessons) == 1
