"""A session: its utterances and updates, voices, and keys."""

import os
import re
import subprocess
import sys
import threading
from types import SimpleNamespace

import numpy as np
import pytest
from scripts import ROOT
from sessions import UTTERANCES, Counting, hear, session
from signals import noise, speech, talk

from sentimental import EMOTIONS, Voice, load_recognizer
from sentimental.live.chart import strongest
from sentimental.live.session import Session
from sentimental.live.terminal import session_keys
from sentimental.speaker import WHISPERED
from sentimental.spectrum import SAMPLE_RATE
from sentimental.vad import CHUNK_LENGTH, CHUNK_SECONDS


def n_known(results):
    """Kind of each result, and how many utterances it was compared with, by ``Counting``."""
    return {
        (kind, EMOTIONS.index(strongest(utterance.probabilities))) for kind, utterance in results
    }


# Updates ----------------------------------------------------------------------------------------


def test_updates_come_while_somebody_speaks_and_not_in_silence():
    session = Session(load_recognizer())
    silence = hear(session, noise(2))
    assert session.update is None
    updates = [u for kind, u in hear(session, speech(2)) if kind == "update"]
    (*more, (kind, last)) = hear(session, noise(1.5))
    assert silence == []
    assert session.update is None
    assert len(updates) >= 8
    assert kind == "utterance"
    assert {u.start for u in updates} | {u.start for _, u in more} == {last.start}
    assert session.finish() == []
    assert session.utterances == [last]


def hear_chunks(monkeypatch, session, judged, loud):
    """Let a session hear chunks that are speech to the detector or not, silent (0) to loud (1).

    Returns
    -------
    shown : list of (results, update), after each chunk
    """
    judged, shown = iter(judged), []
    detector = SimpleNamespace(process_samples=lambda samples: next(judged))
    monkeypatch.setattr(session.endpointer, "_detector", detector)
    for number, loudness in enumerate(loud):
        chunk = noise(CHUNK_SECONDS, dbfs=60 * loudness - 80, seed=number)
        shown.append((hear(session, chunk, CHUNK_LENGTH), session.update))
    return shown


def test_bars_are_empty_in_silence_though_a_cough_came_after_the_cut(monkeypatch):
    chunks = [0] * 20 + [1] * 125 + [0] * 15 + [1] * 5 + [0] * 100
    shown = hear_chunks(monkeypatch, Session(Counting()), chunks, chunks)
    has_bars = [update is not None for _, update in shown]
    assert not any(has_bars[:25])
    assert all(has_bars[30:145])
    assert not any(has_bars[190:])


def test_a_soft_end_that_the_detector_does_not_hear_is_in_the_bars_at_once(monkeypatch):
    judged, loud = [0] * 20 + [1] * 20 + [0] * 20, [0] * 20 + [1] * 25 + [0] * 5
    shown = hear_chunks(monkeypatch, Session(Counting()), judged, loud)
    ends = [utterance.end for results, _ in shown for _, utterance in results]
    assert max(ends) >= 45 * CHUNK_SECONDS


def test_a_softer_end_that_only_the_silence_after_it_tells_is_in_the_bars(monkeypatch):
    """As long as there is more noise than silence beside the speech, it may be noise."""
    judged = [0] * 20 + [1] * 20 + [0] * 20
    loud = [0] * 15 + [0.8] * 5 + [1] * 20 + [0.8] + [0] * 19
    shown = hear_chunks(monkeypatch, Session(Counting()), judged, loud)
    ends = [utterance.end for results, _ in shown for _, utterance in results]
    assert max(ends) >= 42 * CHUNK_SECONDS


def test_the_first_answer_waits_for_no_library_that_it_does_not_need():
    code = (
        "import sys; from sentimental import load_recognizer\n"
        "from sentimental.live.session import Session\n"
        "session = Session(load_recognizer())\nsession.warm_up()\n"
        "session._worker.submit(lambda: None).result()\n"
        "assert session.is_ready and 'scipy' not in sys.modules\n"
        "import numpy, scipy.signal\n"
        "peak = numpy.exp(-numpy.linspace(-3, 3, 60) ** 2)\n"
        "assert abs(scipy.signal.find_peaks_cwt(peak, [5])[0] - 30) < 5\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_what_is_said_while_the_chain_is_loading_is_recognized_afterwards():
    may_begin = threading.Event()

    class Slow(Counting):
        def compute_features(self, samples, name=""):
            assert may_begin.wait(timeout=20)
            return super().compute_features(samples)

    session = Session(Slow())
    session.warm_up()
    for block in np.array_split(talk(0, 1, 2), 500):
        session.hear(block)
        assert session.collect() == []
    assert not session.is_ready
    may_begin.set()
    assert [kind for kind, _ in session.finish()].count("utterance") == 3


# Voices -----------------------------------------------------------------------------------------


def test_what_is_being_said_when_a_new_voice_begins_is_the_last_ones():
    session = Session(Counting(), Voice())
    hear(session, np.concatenate([noise(1), speech(0), noise(1), speech(1)[:SAMPLE_RATE]]))
    for _ in range(2):  # twice is as once
        session.new_voice()
    results = hear(session, np.concatenate([speech(1)[SAMPLE_RATE:], noise(1)]))
    assert n_known(results) == {("update", 1), ("utterance", 1)}
    assert session.voice.n_recordings == 0
    results = hear(session, np.concatenate([speech(2), noise(1)]))
    assert ("utterance", 0) in n_known(results)


def test_what_begins_with_the_click_of_the_key_is_of_the_new_voice():
    session = Session(Counting(), Voice())
    hear(session, np.concatenate([talk(0), noise(1)]))
    session.new_voice()
    results = hear(session, np.concatenate([speech(1), noise(1)]))
    assert n_known(results) == {("update", 0), ("utterance", 0)}
    assert session.voice.n_recordings == 1


# Keys -------------------------------------------------------------------------------------------


def keys_of(plot_path=None, **attributes):
    actions = dict.fromkeys(("quit", "pause", "new_voice"))
    return session_keys(session(5, **actions | attributes), plot_path)


def test_without_a_voice_there_is_no_key_for_a_new_one():
    assert [*keys_of()] == ["q", " ", "s"]
    assert [*keys_of(voice="somebody's")] == ["q", " ", "s", "n", *"12345678", "u"]


@pytest.mark.parametrize("plot_path", [None, "plots/today.svg"])
def test_s_saves_the_chart_with_date_and_time_in_its_name(tmp_path, monkeypatch, capsys, plot_path):
    monkeypatch.chdir(tmp_path)
    keys_of(plot_path, utterances=UTTERANCES)["s"].act()
    pattern = r"saved: (plots.today_{}\.svg|emotions_{}\.png)\n"
    date = r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d"
    name = re.fullmatch(pattern.replace("{}", date), capsys.readouterr().err)[1]
    assert (tmp_path / name).stat().st_size > 1000
    assert name.endswith("svg") == bool(plot_path)


def test_a_chart_that_cannot_be_saved_is_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    keys_of("file/chart.png", utterances=UTTERANCES)["s"].act()
    (line,) = capsys.readouterr().err.splitlines()
    assert re.match(r"error: file.chart_.*\.png: cannot be written", line)
    assert os.listdir() == ["file"]


def test_a_voice_learns_nothing_from_what_is_unlike_speech():
    class Whispering(Counting):
        def compute_features(self, samples, name=""):
            features = super().compute_features(samples)
            features[:, -1] = WHISPERED - 0.01  # harmonicity
            return features

    session = Session(Whispering(), Voice())
    (utterance,) = [utterance for kind, utterance in hear(session, talk(0)) if kind == "utterance"]
    assert (utterance.doubt, utterance.unsure) == ("whispered?", True)
    assert session.voice.n_recordings == 0
    assert session.label("sad").result() == ""
    assert session.voice.n_recordings == 1
