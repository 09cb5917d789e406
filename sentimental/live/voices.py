"""The voice of who speaks: kept between sessions, and taught in a guided minute or from files."""

import contextlib
import copy
import os
from pathlib import Path

import numpy as np

from sentimental.live.terminal import Key, attempt, note
from sentimental.scripts import check_stop
from sentimental.voice import Voice, adapt_layer, add_lesson

# What --voice takes for a history that is not wanted.
NO_VOICE = "none"
# Emotions that are asked for, unless --emotions says others, and how often each is.
TAUGHT, N_ROUNDS = ("neutral", "happy", "sad", "angry"), 2
# s for which a session waits at most until another has written the voice.
LOCK_SECONDS = 10.0
# Lessons from which on it is said how much they help.
MIN_LESSONS = 8
# What is asked for: words of one's own, and a situation.
SITUATIONS = {
    "neutral": "as you always speak",
    "calm": "as if nothing could disturb you",
    "happy": "as if you had just won",
    "sad": "as if you had lost a friend",
    "angry": "as if somebody had cheated you",
    "fear": "as if somebody followed you",
    "disgust": "as if it smelled foul",
    "surprise": "as if you had not expected it",
}


class SavedVoice:
    """The `voice` of who speaks first, which is kept between sessions.

    Its file need not be there yet. ``NO_VOICE`` compares with nothing: there is no voice. None is a
    voice that is not stored.
    """

    def __init__(self, path):
        self._path = path
        self.voice = None if path == NO_VOICE else _load_or_begin(path)
        self._before = copy.deepcopy(self.voice)

    def save(self):
        """Add what is new of the voice to its file, which others may have written meanwhile."""
        path, voice, before = self._path, self.voice, self._before
        if not path or path == NO_VOICE:
            return
        new = [lesson for lesson in voice.lessons if not _is_among(lesson, before.lessons)]
        forgotten = [lesson for lesson in before.lessons if not _is_among(lesson, voice.lessons)]
        if np.array_equal(voice.statistics, before.statistics) and not (new or forgotten):
            return
        from filelock import FileLock

        place = Path(os.path.realpath(path))
        lock = FileLock(place.with_name(f".{place.name}.lock"), timeout=LOCK_SECONDS)
        with contextlib.ExitStack() as opened:
            # Where there can be no lock, as on some network drives, or another session holds it for
            # too long, what was heard is worth more than the order.
            with contextlib.suppress(OSError, NotImplementedError):
                opened.enter_context(lock)
            saved = _load_or_begin(path)
            saved.statistics += voice.statistics - before.statistics
            saved.lessons = [lesson for lesson in saved.lessons if not _is_among(lesson, forgotten)]
            for lesson in new:
                saved.lessons = add_lesson(saved.lessons, *lesson)
            saved.taught_with = voice.taught_with
            saved.save(path)


def _load_or_begin(path):
    return Voice.load(path) if path and os.path.exists(path) else Voice()


def _is_among(lesson, lessons):
    emotion, heard = lesson
    return any(emotion == other and np.array_equal(heard, them) for other, them in lessons)


class Guide:
    """Asks for one sentence of each emotion, several times round, and teaches a session's voice.

    What is asked for is the session's `task`.
    """

    def __init__(self, session, emotions=None):
        self._session, self._asked = session, [*(emotions or TAUGHT)] * N_ROUNDS
        self._taught = []  # places that were taught
        self._ask(0)

    def _ask(self, place):
        self._place, n = place, len(self._asked)
        if place < n:
            emotion = self._asked[place]
            what = f"say anything, {SITUATIONS[emotion]}"
            self._session.task = f"{emotion}, {place + 1} of {n}: {what}"
        else:
            self._session.end = self._session.end or "all was taught"

    def hear(self, results):
        """Take what was said, as `Session.collect` gives it, for what was asked for."""
        is_said = any(kind == "utterance" for kind, _ in results)
        if is_said and self._place < len(self._asked):
            if error := self._session.label(self._asked[self._place]).result():
                note(error)
            else:
                self._taught.append(self._place)
                self._ask(self._place + 1)

    def _take_back(self):
        """Forget the last sentence and ask for it again."""
        if self._taught:
            self._session.take_label_back().result()
            self._ask(self._taught.pop())

    def keys(self):
        """The keys that are heeded meanwhile, as of `sentimental.live.terminal.session_keys`."""
        return {
            "q": Key("q quit", self._session.quit),
            " ": Key("space skip", lambda: self._ask(self._place + 1)),
            "backspace": Key("backspace take back", self._take_back),
            # As terminals have it.
            "\x7f": Key("", self._take_back),
            "\b": Key("", self._take_back),
        }


def how_it_helps(recognizer, voice):
    """What lessons bring, in words; each is left out of those that adapt the network to it."""
    n = len(voice.lessons)
    if n < MIN_LESSONS:
        return f"{n} sentences taught: too few to tell how much they help"
    heard, labels = voice.lesson_inputs(recognizer.reference)
    taught, layer, n_right = np.unique(labels), (recognizer.kernel, recognizer.bias), [0, 0]
    for number in range(n):
        others = np.arange(n) != number
        adapted = adapt_layer(*layer, heard[others], labels[others])
        for place, (kernel, bias) in enumerate([layer, adapted]):
            answer = taught[np.argmax((heard[number] @ kernel + bias)[taught])]
            n_right[place] += answer == labels[number]
    before, now = n_right
    return f"recognized {before} of {n} before, {now} of {n} now, each by the others' lessons"


def teach_from_files(recognizer, voice, takes):
    """Teach a voice by the first Recording of each take; returns how many could be used."""
    n = 0
    for recording, *_ in takes:
        check_stop()
        n += attempt(voice.teach, recognizer, recording.file, recording.emotion)
    return n
