"""What is said in a recording, one utterance after the other, before it is recognized.

A recording of at most ``WHOLE_SECONDS`` is one utterance, whatever pauses it has: it is judged as a
whole, as those are that train and test. Of a longer one memory holds the utterance in progress.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from sentimental.audio import MAX_SECONDS, ToMono, to_mono
from sentimental.decoding import check_samples, decode_blocks
from sentimental.scripts import SentimentalError, interruptible
from sentimental.spectrum import SAMPLE_RATE
from sentimental.vad import CHUNK_LENGTH, Endpointer, Speech, check_speech, split_chunks

# s. A longer recording is cut at its pauses. That is what an utterance can have, and some silence
# around it; none of the clips that the model was trained and tested on is longer.
WHOLE_SECONDS = MAX_SECONDS + 1.0
# dB. What another channel holds so much louder at the same moment is not this channel's: a phone
# hears the other caller, a microphone the other speaker. Two who speak at once differ by less.
LEAK_DB = 12.0
# Chunks (0.16 s) for which a channel's level counts: what leaks comes late, and rings on.
LEAK_CHUNKS = 5

Source = str | os.PathLike | BinaryIO | np.ndarray


def find_utterances(
    recording: Source, sample_rate: int | None = None
) -> Iterator[tuple[str | os.PathLike, Speech]]:
    """The utterances of a recording before they are recognized.

    Parameters
    ----------
    recording, sample_rate : as for `Recognizer.predict`

    Yields
    ------
    name : str or Path, what error messages call the recording
    speech : sentimental.vad.Speech
    """
    with contextlib.ExitStack() as stack:
        if isinstance(recording, np.ndarray):
            if sample_rate is None:
                raise TypeError("samples: give their sample_rate as well, in Hz")
            name, blocks = "recording", iter([(recording, sample_rate)])
        elif isinstance(recording, str | os.PathLike):
            name, blocks = recording, decode_blocks(recording)
        elif hasattr(recording, "read"):
            name = getattr(recording, "name", "recording")
            blocks = decode_blocks(stack.enter_context(as_file(recording, name)))
        else:
            raise TypeError(
                f"a {type(recording).__name__} is no recording; give a path, an open file, or "
                "samples as np.ndarray"
            )
        for _, speech in cut(name, blocks):
            if isinstance(speech, SentimentalError):
                raise speech
            yield name, speech


def cut(name, blocks, separate=False):
    """Cut a recording into utterances while it is read.

    Parameters
    ----------
    name : str or Path, what error messages call the recording
    blocks : iterator of (samples [shape=(n,) or (n, channels), float32], rate in Hz, ...)
    separate : bool, whether each channel is cut by itself; else they are mixed

    Yields
    ------
    channel : int, counted from 1; None where all are mixed
    speech : Speech, or the SentimentalError of a channel in which nobody speaks
    """
    head, n_seconds = [], 0.0
    for samples, rate, *_ in blocks:
        head.append(samples)
        n_seconds += len(samples) / rate
        if n_seconds > WHOLE_SECONDS:
            break
    several = separate and samples.shape[1] > 1
    channels = [*range(1, samples.shape[1] + 1)] if several else [None]
    if n_seconds > WHOLE_SECONDS:
        rest = (samples for samples, *_ in blocks)
        yield from _cut_long(name, itertools.chain(head, rest), rate, channels)
    else:
        yield from _judge_whole(name, np.concatenate(head), rate, channels)


def _split(samples, channels):
    return [samples] if channels == [None] else samples.T.copy()


def _judge_whole(name, samples, rate, channels):
    own = heard = [to_mono(one, rate, name) for one in _split(samples, channels)]
    if len(channels) > 1 and len(heard[0]) >= CHUNK_LENGTH:
        chunks, is_own = _Gate(len(channels)).push(np.stack(heard, axis=1))
        own = (chunks * is_own[:, None]).reshape(-1, len(channels)).T
    for channel, samples, judged in zip(channels, heard, own, strict=True):
        speech = Speech(0.0, len(samples) / SAMPLE_RATE, samples)
        try:
            check_speech(judged, name)
        except SentimentalError as error:
            speech = error
        yield channel, speech


def _cut_long(name, blocks, rate, channels):
    mixers = [ToMono(rate) for _ in channels]
    endpointers = [Endpointer() for _ in channels]
    gate, silent = _Gate(len(channels)), {*channels}
    the_end = np.empty((0, len(channels)), np.float32)
    for samples in itertools.chain(blocks, [the_end]):
        check_samples(name, samples)
        parts = zip(mixers, _split(samples, channels), strict=True)
        heard = [mixer.push(part, last=samples is the_end) for mixer, part in parts]
        for chunk, is_own in zip(*gate.push(np.stack(heard, axis=1)), strict=True):
            for place, channel in enumerate(channels):
                for speech in endpointers[place].feed(chunk[:, place], is_own[place]):
                    silent.discard(channel)
                    yield channel, speech
    for channel, endpointer in zip(channels, endpointers, strict=True):
        if speech := endpointer.utterance():
            yield channel, speech
        elif channel in silent:
            words = "no speech in it; record it again, or leave it out"
            yield channel, SentimentalError(f"{name}: {words}")


class _Gate:
    """Tells what of each channel is its own, and what another channel holds far louder."""

    def __init__(self, n_channels):
        self._rest = np.empty((0, n_channels), np.float32)
        self._powers = np.zeros((LEAK_CHUNKS, n_channels))  # of the last chunks

    def push(self, samples):
        """Cut samples [shape=(m, n_channels)] into chunks, and judge them.

        Returns
        -------
        chunks : np.ndarray [shape=(n, CHUNK_LENGTH, n_channels)]
        is_own : np.ndarray of bool [shape=(n, n_channels)]
        """
        chunks, self._rest = split_chunks(np.concatenate([self._rest, samples]))
        powers = np.concatenate([self._powers, chunks.var(axis=1)])
        self._powers = powers[len(chunks) :]
        powers = np.lib.stride_tricks.sliding_window_view(powers, LEAK_CHUNKS, axis=0)[1:]
        powers = powers.max(axis=-1)
        return chunks, powers >= powers.max(axis=1, keepdims=True) * 10 ** (-LEAK_DB / 10)


@contextlib.contextmanager
def as_file(stream, name):
    """The path of a temporary file with all bytes of a stream; errors call it by its `name`."""
    with contextlib.ExitStack() as opened:
        try:
            if os.path.exists("/proc/self/fd"):  # where no name of it is left by a kill
                file = opened.enter_context(tempfile.TemporaryFile())
                path = f"/proc/{os.getpid()}/fd/{file.fileno()}"
            else:
                path = os.path.join(opened.enter_context(tempfile.TemporaryDirectory()), "file")
                file = opened.enter_context(open(path, "wb"))
            with interruptible():
                shutil.copyfileobj(stream, file)
            file.flush()
        except OSError as error:
            raise SentimentalError(
                f"{name}: cannot be kept below {tempfile.gettempdir()} ({error.strerror})"
            ) from None
        try:
            yield path
        except SentimentalError as error:
            raise SentimentalError(str(error).replace(path, str(name))) from None
