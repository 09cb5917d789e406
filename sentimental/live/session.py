"""A stream of sound, and the session that hears it: what is recognized, and the keys it heeds.

The microphone, a replay and each channel of a long recording have a session.
"""

import collections
import contextlib
import itertools
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from sentimental.audio import ToMono
from sentimental.decoding import check_samples, decode_blocks
from sentimental.live.chart import Utterance, save_plot
from sentimental.live.terminal import note
from sentimental.scripts import EMOTIONS, SentimentalError, shown
from sentimental.spectrum import SAMPLE_RATE
from sentimental.vad import SPEECH_PAD, Endpointer
from sentimental.voice import Voice

# s of sound that a stream hands over at once.
BLOCK_SECONDS = 0.02
# s of sound between two updates of the bars while somebody speaks.
UPDATE_SECONDS = 0.09
# s of silence after which an update comes early: what was said is complete.
BREATH_SECONDS = 0.03
# Where the chart goes, with date and time in its name, when no other was named.
CHART_PATH = "emotions.png"

# What --voice takes for a history that is not wanted.
NO_VOICE = "none"

# What waits to be recognized: "update" or "utterance", its place in s, and a Future.
Pending = collections.namedtuple("Pending", "kind start end future")
# What a key is called on the screen, and a callable without arguments.
Key = collections.namedtuple("Key", "words act")


class Stream(contextlib.AbstractContextManager):
    """Sound in blocks, mixed to one channel, as it comes; it is open until the end of a ``with``.

    Attributes
    ----------
    name : str
    sample_rate : int > 0, Hz
    n_overflows : int, how often the sound card's buffer was full
    """

    n_overflows = 0

    def __init__(self, name, sample_rate):
        self.name, self.sample_rate = name, sample_rate
        self._is_closed = False

    def __exit__(self, *error):
        pass

    def close(self):
        """Let no more come than has come already."""
        self._is_closed = True

    def wake(self):
        """Let an empty block come at once, where the next one is waited for; of any thread."""

    def __iter__(self):
        """Give each block as (samples at the own rate, the same at ``SAMPLE_RATE``)."""
        to_mono = ToMono(self.sample_rate)
        for block in self._blocks():
            yield to_mono.mix(block), to_mono.push(block)
        yield np.empty(0, np.float32), to_mono.push(np.empty(0, np.float32), last=True)


class Replay(Stream):
    """A recording that is heard in the time that it takes, and decoded meanwhile.

    Parameters
    ----------
    path : str or Path

    Raises
    ------
    SentimentalError
        When it cannot be read; of damage further on, when it is heard.
    """

    def __init__(self, path):
        blocks = decode_blocks(path, lambda line: note(f"note: {line}"))
        first = next(blocks)
        super().__init__(shown(path), first.sample_rate)
        self._path, self._decoded = path, itertools.chain([first], blocks)

    def _blocks(self):
        """Pieces as short as those of a sound card, each when it is due."""
        began, n_heard, n = time.monotonic(), 0, round(BLOCK_SECONDS * self.sample_rate)
        for samples, *_ in self._decoded:
            check_samples(self._path, samples)
            for piece in np.split(samples, range(n, len(samples), n)):
                n_heard += len(piece)
                time.sleep(max(0.0, began + n_heard / self.sample_rate - time.monotonic()))
                if self._is_closed:
                    return
                yield piece


class Session:
    """What is heard of a stream, and what is recognized of it, on a thread of its own.

    Parameters
    ----------
    recognizer : sentimental.Recognizer
    voice : sentimental.Voice or None
        What was heard before of who speaks: utterances, and the updates while they last, are
        compared with it. It grows by each utterance that is over. None: with nothing.
    with_updates : bool, whether utterances in progress are recognized as well

    Attributes
    ----------
    end : str, why the session ends; empty while it goes on
    endpointer : sentimental.vad.Endpointer
    probabilities : np.ndarray [shape=(8,)], of the utterance in progress; None in silence
    utterances : list of Utterance, those that are over
    emotions : tuple of str, those that the network answers
    is_ready : bool, whether all is loaded that recognition needs
    n_updates : int, of the bars
    n_refused : int, utterances of which the chain left too little
    peak : float, of all that was heard; full scale is 1.0
    voice : sentimental.Voice or None, of who speaks now
    paused : bool, whether silence is heard in place of what comes
    when_recognized : callable, which the thread calls when there is something to collect
    """

    def __init__(self, recognizer, voice=None, with_updates=True):
        self.end = ""
        self.endpointer = Endpointer()
        self.probabilities = None
        self.utterances = []
        self.emotions = emotions_of(recognizer)
        self.is_ready = True
        self.n_updates = 0
        self.n_refused = 0
        self.peak = 0.0
        self.voice = voice
        self.paused = False
        self.when_recognized = lambda: None
        self._with_updates = with_updates
        self._went_on = 0.0  # s of the stream at the end of the last pause
        self._first_voice = voice  # that was begun with, and may be saved
        self._last_voice, self._new_voice_from = None, 0.0  # s of the stream
        self._recognizer = recognizer
        self._updated = 0.0  # s of the stream up to which the last update went
        self._pending = collections.deque()  # of Pending, oldest first
        self._worker = ThreadPoolExecutor(1)

    def warm_up(self):
        """Import the chain's libraries, which takes a second, by recognizing a second of noise."""

        def warm_up():
            noise = np.random.default_rng(0).standard_normal(SAMPLE_RATE, np.float32)
            self._recognize("update", noise, None)
            self.is_ready = True

        self.is_ready = False
        self._worker.submit(warm_up)

    @property
    def silence(self):
        """Seconds since the last speech in which somebody could have spoken."""
        return self.endpointer.seconds - max(self.endpointer.last_speech, self._went_on)

    def quit(self):
        """End, because the user wants it."""
        self.end = self.end or "q was pressed"

    def pause(self):
        """Pause or go on. What was being said until then is recognized."""
        self._end_utterance()
        self.paused = not self.paused

    def _end_utterance(self):
        utterance = self.endpointer.end_utterance()
        if utterance:
            self._submit("utterance", *utterance)

    def new_voice(self):
        """Somebody else speaks from now on; what began before is still the last one's."""
        is_pressed_again = self.voice is not self._first_voice and not self.voice.n_recordings
        if self.voice is None or is_pressed_again:
            return
        # What begins now is found with some of the silence before it.
        padding = 0 if self.endpointer.speaking else SPEECH_PAD
        self._last_voice, self._new_voice_from = self.voice, self.endpointer.seconds - padding
        self.voice = Voice()

    def hear(self, samples, is_own=True):
        """Take more of the stream, and have recognized what is new of it.

        Parameters
        ----------
        samples : np.ndarray [shape=(n,), float32], mono at ``SAMPLE_RATE``
        is_own : bool, as for `Endpointer.feed`
        """
        self.peak = max(self.peak, float(np.abs(samples).max(initial=0.0)))
        if self.paused:
            samples = np.zeros_like(samples)  # time goes on
            self._went_on = self.endpointer.seconds
        for utterance in self.endpointer.feed(samples, is_own):
            self._submit("utterance", *utterance)
        if self._with_updates and not self._pending and self._update_is_due():
            utterance = self.endpointer.utterance()
            if utterance:
                self._submit("update", *utterance)
                self._updated = self.endpointer.seconds

    def _update_is_due(self):
        """Was something said since the last update, and is that long ago or complete?"""
        endpointer = self.endpointer
        return endpointer.last_speech > self._updated and (
            endpointer.seconds >= self._updated + UPDATE_SECONDS
            or endpointer.seconds >= endpointer.last_speech + BREATH_SECONDS
        )

    def _submit(self, kind, start, end, samples):
        voice = self.voice if start >= self._new_voice_from else self._last_voice
        future = self._worker.submit(self._recognize, kind, samples, voice)
        self._pending.append(Pending(kind, start, end, future))
        future.add_done_callback(lambda future: self.when_recognized())

    def _recognize(self, kind, samples, voice):
        try:
            features = self._recognizer.compute_features(samples)
        except SentimentalError:
            return None  # a voice among noise as loud as it: too little is left when it is trimmed
        probabilities = self._recognizer.predict_features(features, voice)
        if kind == "utterance" and voice is not None:
            voice.add(features)
        return probabilities

    def collect(self, wait=False):
        """Take what was recognized since the last call; `wait` for what is still to be recognized.

        Returns
        -------
        results : list of (kind, Utterance), kind being "update" or "utterance"
        """
        results = []
        while self._pending and (wait or self._pending[0].future.done()):
            kind, start, end, future = self._pending.popleft()
            probabilities = future.result()
            if kind == "update":
                self.probabilities = probabilities
            if probabilities is not None:
                results.append((kind, Utterance(start, end, probabilities)))
            elif kind == "utterance":
                self.n_refused += 1
        if self.paused or not (self._pending or self.endpointer.speaking):
            self.probabilities = None
        self.n_updates += sum(kind == "update" for kind, _ in results)
        self.utterances += [utterance for kind, utterance in results if kind == "utterance"]
        return results

    def finish(self):
        """No more sound will come: recognize what is being said; returns what `collect` does."""
        self._end_utterance()
        return self.collect(wait=True)


class KeptVoice:
    """The voice of who speaks first, which is kept between sessions.

    Parameters
    ----------
    path : str or None
        The voice's file, which need not be there yet; ``NO_VOICE``: compare with nothing; None: a
        voice that is not kept.

    Attributes
    ----------
    voice : sentimental.Voice or None
    """

    def __init__(self, path):
        self.voice = None
        if path != NO_VOICE:
            self.voice = Voice.load(path) if path and os.path.exists(path) else Voice()
            self._before = self.voice.tally.copy()

    def save(self, path):
        """Add what is new of the voice to its file, which others may have written meanwhile."""
        if self.voice is None or np.array_equal(self.voice.tally, self._before):
            return
        kept = Voice.load(path) if os.path.exists(path) else Voice()
        kept.tally += self.voice.tally - self._before
        kept.save(path)


def emotions_of(recognizer):
    """The emotions that a recognizer answers: all but those that did not train it."""
    kernel = getattr(recognizer, "kernel", np.ones((1, len(EMOTIONS))))
    return tuple(e for e, weights in zip(EMOTIONS, kernel.T, strict=True) if weights.any())


# Keys -------------------------------------------------------------------------------------------


def session_keys(session, plot_path=None):
    """The keys that a session heeds.

    Parameters
    ----------
    session : Session
    plot_path : str or None, beside which charts are saved

    Returns
    -------
    keys : dict of Key, by the character that is typed
    """
    keys = {
        "q": Key("q quit", session.quit),
        " ": Key("space pause", session.pause),
        "s": Key("s save chart", lambda: save_chart_so_far(session, plot_path or CHART_PATH)),
    }
    if session.voice is not None:
        keys["n"] = Key("n new voice", session.new_voice)
    return keys


def save_chart_so_far(session, plot_path):
    """Save the chart so far beside `plot_path`, with date and time in its name, and say so."""
    if not session.utterances:
        note("no chart saved: no utterance is over yet")
        return
    path = Path(plot_path)
    path = path.with_stem(f"{path.stem}_{time.strftime('%Y-%m-%d_%H-%M-%S')}")
    try:
        save_plot(path, session.utterances, session.endpointer.seconds, session.emotions)
    except SentimentalError as error:
        note(f"error: {error}")
    else:
        note(f"saved: {path}")
