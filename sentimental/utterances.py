"""What is said in a recording, one utterance after the other, before it is recognized."""

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
from sentimental.vad import Endpointer, Speech, check_speech

# s. A longer recording is cut at its pauses. That is what an utterance can have, and some silence
# around it; none of the clips that the model was trained and tested on is longer.
WHOLE_SECONDS = MAX_SECONDS + 1.0

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
    with _opened(recording, sample_rate) as (name, blocks):
        head, n_seconds = [], 0.0
        for samples, rate in blocks:
            head.append((samples, rate))
            n_seconds += len(samples) / rate
            if n_seconds > WHOLE_SECONDS:
                yield from _cut(name, rate, itertools.chain(head, blocks))
                return
        samples = to_mono(np.concatenate([samples for samples, _ in head]), head[0][1], name)
        check_speech(samples, name)
        yield name, Speech(0.0, len(samples) / SAMPLE_RATE, samples)


@contextlib.contextmanager
def _opened(recording, sample_rate):
    """The name of a recording, and its blocks: (samples, rate in Hz) after each other."""
    if isinstance(recording, np.ndarray):
        if sample_rate is None:
            raise TypeError("samples: give their sample_rate as well, in Hz")
        yield "recording", iter([(recording, sample_rate)])
    elif isinstance(recording, str | os.PathLike):
        yield recording, ((samples, rate) for samples, rate, _ in decode_blocks(recording))
    elif hasattr(recording, "read"):
        name = getattr(recording, "name", "recording")
        with as_file(recording, name) as path:
            yield name, ((samples, rate) for samples, rate, _ in decode_blocks(path))
    else:
        raise TypeError(
            f"a {type(recording).__name__} is no recording; give a path, an open file, or samples "
            "as np.ndarray"
        )


@contextlib.contextmanager
def as_file(stream, name):
    """The path of a temporary file with all bytes of a stream; errors call it by its `name`."""
    with contextlib.ExitStack() as opened:
        try:
            path, file = opened.enter_context(_unnamed_file())
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


@contextlib.contextmanager
def _unnamed_file():
    """A temporary file and its path. Where the system can, no name of it is left by a kill."""
    if os.path.exists("/proc/self/fd"):
        with tempfile.TemporaryFile() as file:
            yield f"/proc/{os.getpid()}/fd/{file.fileno()}", file
    else:
        with tempfile.TemporaryDirectory() as folder, open(f"{folder}/recording", "wb") as file:
            yield file.name, file


def _cut(name, sample_rate, blocks):
    """The utterances of a recording that is longer than ``WHOLE_SECONDS``; each with its name."""
    mixer, endpointer, n_found = ToMono(sample_rate), Endpointer(), 0
    the_end = np.zeros(0, np.float32), sample_rate
    for samples, _ in itertools.chain(blocks, [the_end]):
        check_samples(name, samples)
        found = endpointer.feed(mixer.push(samples, last=samples is the_end[0]))
        if samples is the_end[0]:
            found += filter(None, [endpointer.utterance()])
        n_found += len(found)
        yield from ((name, speech) for speech in found)
    if not n_found:
        raise SentimentalError(f"{name}: no speech in it; record it again")
