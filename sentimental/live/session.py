"""A stream of sound, and the session that hears it: what is found there, and what recognized."""

import contextlib
import itertools
import time
from collections import deque, namedtuple
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from sentimental.audio import ToMono
from sentimental.decoding import check_samples, decode_blocks
from sentimental.live.terminal import note
from sentimental.scripts import SentimentalError, shown
from sentimental.spectrum import SAMPLE_RATE
from sentimental.vad import Endpointer, Speech
from sentimental.voice import Voice

# s of sound that a stream hands over at once.
BLOCK_SECONDS = 0.02
# s of sound between two updates of the bars while somebody speaks.
UPDATE_SECONDS = 0.09
# s after the speech has died away, when an update comes early: what was said is complete. The
# detector notices it later, but it ends utterances.
BREATH_SECONDS = 0.03

# What waits to be recognized: "update" or "utterance", and a Future.
Pending = namedtuple("Pending", "kind future")


class Stream(contextlib.AbstractContextManager):
    """Sound in blocks, mixed to one channel, as it comes; open until the end of a ``with``."""

    n_overflows = 0  # how often the sound card's buffer was full

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
    """A recording (str or Path) that is heard in the time that it takes, and decoded meanwhile.

    One that cannot be read raises SentimentalError; of damage further on, when it is heard.
    """

    def __init__(self, path):
        blocks = decode_blocks(path, lambda line: note(f"note: {line}"))
        first = next(blocks)
        super().__init__(shown(path), first.sample_rate)
        self._path, self._decoded = path, itertools.chain([first], blocks)

    def _blocks(self):
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
    emotions : sequence of str or None, the only ones to be answered
    """

    def __init__(self, recognizer, voice=None, emotions=None):
        self.end = ""  # why the session ends; empty while it goes on
        self.task = ""  # what the user is asked to say, when the voice is taught
        self.endpointer = Endpointer()
        self.update = None  # the Utterance in progress as it is recognized by now; None in silence
        self.utterances = []  # that are over
        self.emotions = emotions or recognizer.emotions  # that can be answered
        self.is_ready = True  # all is loaded that recognition needs
        self.paused = False  # silence is heard in place of what comes
        self.n_updates = 0  # of the bars
        self.n_refused = 0  # utterances of which the chain left too little
        self.peak = 0.0  # of all that was heard; full scale is 1.0
        self.voice = voice  # of who speaks now
        self.when_recognized = lambda: None  # called when there is something to collect
        self._went_on = 0.0  # s of the stream at the end of the last pause
        self._speaker = voice  # of the utterance in progress, or else of the next
        self._last_heard = None  # voice, samples of the last utterance, whether it knows them
        self._taught = []  # voices, one for each label
        self._recognizer = recognizer
        self._updated = 0.0  # s of the stream when the last update was submitted,
        self._update_end = 0.0  # and where its speech ended: what follows may prove to be speech
        self._pending = deque()  # of Pending, oldest first
        self._worker = ThreadPoolExecutor(1)

    def warm_up(self):
        """Import the chain's libraries, which takes a second, by recognizing a second of noise."""

        def warm_up():
            noise = np.random.default_rng(0).standard_normal(SAMPLE_RATE, np.float32)
            self._recognize("update", Speech(0.0, 1.0, noise), None)
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
        if speech := self.endpointer.end_utterance():
            self._submit("utterance", speech)

    def new_voice(self):
        """Somebody else speaks from now on; what began before is still the last one's."""
        if self.voice is not None:
            self.voice = Voice()

    def hear(self, samples):
        """Take more of the stream, and have recognized what is said; `collect` gives the answers.

        Parameters
        ----------
        samples : np.ndarray [shape=(n,), float32], mono at ``SAMPLE_RATE``
        """
        self.peak = max(self.peak, float(np.abs(samples).max(initial=0.0)))
        if self.paused:
            samples = np.zeros_like(samples)  # time goes on
            self._went_on = self.endpointer.seconds
        if not self.endpointer.speaking:
            self._speaker = self.voice
        for speech in self.endpointer.feed(samples):
            self._submit("utterance", speech)
            self._speaker = self.voice
        speech = None if self._pending else self.endpointer.utterance()
        if speech and self._update_is_due(speech.end):
            self._submit("update", speech)
            self._updated, self._update_end = self.endpointer.seconds, speech.end

    def _update_is_due(self, end):
        """Was something said since the last update, and is that long ago, or has it died away?"""
        now, last_speech = self.endpointer.seconds, self.endpointer.last_speech
        is_long_ago = last_speech > self._updated and now >= self._updated + UPDATE_SECONDS
        return is_long_ago or self._update_end < end <= now - BREATH_SECONDS

    def _submit(self, kind, speech):
        future = self._worker.submit(self._recognize, kind, speech, self._speaker)
        self._pending.append(Pending(kind, future))
        future.add_done_callback(lambda future: self.when_recognized())

    def _recognize(self, kind, speech, voice):
        is_over = kind == "utterance"
        try:
            utterance = self._recognizer.recognize(
                speech, voice=voice, emotions=self.emotions, grow=is_over
            )
        except SentimentalError:
            return None  # a voice among noise as loud as it: too little is left when it is trimmed
        if is_over and voice is not None:
            self._last_heard = voice, speech.samples, not utterance.doubt
        return utterance

    def label(self, emotion):
        """Teach the voice what the last utterance was; a Future of an error, empty without one."""
        return self._worker.submit(self._label, emotion)

    def _label(self, emotion):
        if self._last_heard is None:
            return "nothing to label: no utterance is over yet"
        voice, samples, is_heard = self._last_heard
        try:
            features = self._recognizer.compute_features(samples)
            voice.learn(self._recognizer, features, emotion, is_heard)
        except SentimentalError as error:
            return f"error: {error}"
        self._taught.append(voice)
        return ""

    def take_label_back(self):
        """Forget what was taught last; returns a Future of its emotion, or of None."""
        return self._worker.submit(
            lambda: (self._taught.pop() if self._taught else self.voice).take_back_lesson()
        )

    def collect(self, wait=False):
        """Take what was recognized since the last call; `wait` for what is still to be recognized.

        Returns
        -------
        results : list of (kind, Utterance), "update" being the kind of an utterance that goes on,
            and "utterance" of one that is over
        """
        results = []
        while self._pending and (wait or self._pending[0].future.done()):
            kind, future = self._pending.popleft()
            utterance = future.result()
            if kind == "update":
                self.update = utterance
                self.n_updates += utterance is not None
            elif utterance:
                self.utterances.append(utterance)
            else:
                self.n_refused += 1
            if utterance:
                results.append((kind, utterance))
        if self.paused or not (self._pending or self.endpointer.speaking):
            self.update = None
        return results

    def finish(self):
        """No more sound will come: recognize what is being said; returns what `collect` does."""
        self._end_utterance()
        return self.collect(wait=True)
