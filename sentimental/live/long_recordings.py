"""Recordings that are given by name: found, read in blocks, cut into utterances as a session is.

    find_recordings  files, folders, patterns  -> files, in natural order
    Recording        a file of any length      -> what is recognized of it, as soon as it is

A recording of at most ``WHOLE_SECONDS`` is one utterance, whatever pauses it has: it is judged as a
whole, as those are that train and test. Of a longer one memory holds the utterance in progress.
"""

import contextlib
import glob
import itertools
import os
import re
import sys
from collections import namedtuple
from pathlib import Path

import numpy as np
from tqdm import tqdm

from sentimental.audio import ToMono, to_mono
from sentimental.decoding import check_samples, decode_blocks
from sentimental.files import find_files
from sentimental.live.chart import Utterance, summary_line
from sentimental.live.session import Session
from sentimental.live.terminal import note
from sentimental.scripts import (
    EMOTIONS,
    SentimentalError,
    check_stop,
    program_error,
    shown,
)
from sentimental.spectrum import SAMPLE_RATE
from sentimental.utterances import WHOLE_SECONDS, as_file
from sentimental.vad import CHUNK_LENGTH, LOWEST_DBFS, check_speech
from sentimental.voice import Voice

# Of full scale. Digital silence counts as this much.
LOWEST_POWER = 10 ** (LOWEST_DBFS / 10)
# The name of the standard input.
STDIN = "-"
# dB. What another channel holds so much louder at the same moment is not this channel's: a phone
# hears the other caller, a microphone the other speaker. Two who speak at once differ by less.
LEAK_DB = 12.0
# Chunks (0.16 s) for which a channel's level counts: what leaks comes late, and rings on.
LEAK_CHUNKS = 5

# `channel` counts from 1, and is None where all are mixed; `kind` is "file", "utterance" or
# "error", and `result` an Utterance, whose times are those of the recording, or a SentimentalError.
Finding = namedtuple("Finding", "channel kind result")


# Names ------------------------------------------------------------------------------------------


def find_recordings(names, separate=False):
    """The recordings that are meant by names on the command line.

    Parameters
    ----------
    names : list of str
        Of files; of folders, whose subfolders count as well; or patterns, as of a shell, where no
        file is called so.
    separate : bool, as for `Recording`

    Returns
    -------
    recordings : list of Recording, in the order of the names; those of one folder or pattern are
        in natural order. What cannot be read is one as well, with its error.
    """
    recordings = []
    for name in names:
        is_pattern = re.search(r"[*?[]", name) and not os.path.lexists(name)
        matches = glob.glob(name, recursive=True) if is_pattern else []
        for path in sorted(matches, key=natural_order) or [name]:
            if not os.path.isdir(path):
                recordings.append(Recording(path, separate))
                continue
            files, _, errors = find_files([Path(path)])
            if not (files or errors):
                errors = [f"{path}: no recordings in this folder"]
            recordings += [
                Recording(file, separate) for file in sorted(map(str, files), key=natural_order)
            ]
            recordings += [Recording(path, error=SentimentalError(error)) for error in errors]
    return recordings


def natural_order(name):
    """A key to sort names by, as people do: 9 comes before 10, and A beside a."""
    parts = re.split(r"(\d+)", name)
    return [int(part) if number % 2 else part.casefold() for number, part in enumerate(parts)]


@contextlib.contextmanager
def _opened(name):
    """The path of a recording; the standard input is kept in a file as long as it is read."""
    if name != STDIN:
        yield name
        return
    if sys.stdin is None or sys.stdin.isatty():
        raise SentimentalError(f"{name}: nothing comes from the standard input; add: < FILE")
    with as_file(sys.stdin.buffer, name) as path:
        yield path


# Recognition ------------------------------------------------------------------------------------


class Recording:
    """A recording of any length.

    Parameters
    ----------
    name : str or Path, of a file; ``STDIN`` for the standard input
    separate : bool, whether each channel is recognized on its own; else they are mixed
    error : SentimentalError or None, why it cannot be read, if that is known already

    Attributes
    ----------
    seconds : float, how much of it was heard
    utterances : dict of list of Utterance, by channel
    levels : list of (start, end, dB re full scale of each channel, or of all in one)
    is_cut : bool, whether it is longer than ``WHOLE_SECONDS``
    failed : bool, whether nothing was recognized of it, or it could not be read to its end
    """

    def __init__(self, name, separate=False, error=None):
        self.name, self.seconds, self.is_cut, self.failed = name, 0.0, False, True
        self.utterances, self.levels = {}, []
        self._separate, self._error = separate, error

    def recognize(self, recognizer, voices=None, emotions=EMOTIONS):
        """Hear it, and recognize each utterance as soon as it is over.

        Parameters
        ----------
        recognizer : sentimental.Recognizer
        voices : dict of sentimental.Voice or None
            Of the person who speaks, by channel; see `Recognizer.predict`. Who is missing is added.
        emotions : sequence of str, the only ones to be answered

        Yields
        ------
        finding : Finding
            A channel in which nothing is recognized has one that says why.

        Raises
        ------
        SentimentalError
            When the recording cannot be decoded, or not to its end.
        """
        if self._error:
            raise self._error
        with _opened(self.name) as path:
            blocks = self._read(path)
            head = []
            for block in blocks:
                head.append(block)
                if self.seconds > WHOLE_SECONDS:
                    self.is_cut = True
                    findings = self._recognize_utterances(
                        head, blocks, recognizer, voices, emotions
                    )
                    break
            else:
                findings = self._recognize_whole(head, recognizer, voices, emotions)
            for finding in findings:
                if finding.kind != "error":
                    self.utterances.setdefault(finding.channel, []).append(finding.result)
                yield finding

    def _read(self, path):
        """Blocks, whose level is kept."""

        def tell(line):
            with tqdm.external_write_mode(file=sys.stderr, nolock=True):
                note(f"note: {line.replace(str(path), str(self.name))}")

        for block in decode_blocks(path, tell):
            check_stop()
            check_samples(path, block.samples)
            powers = _powers(block.samples)
            if not self._separate:
                powers = powers.mean(keepdims=True)
            start = self.seconds
            self.seconds += len(block.samples) / block.sample_rate
            self.levels.append((start, self.seconds, 10 * np.log10(powers + LOWEST_POWER)))
            yield block

    def _channels(self, samples):
        """Samples of each channel by its number, or of all of them under None."""
        if self._separate and samples.shape[1] > 1:
            return {n: channel[:, None] for n, channel in enumerate(samples.T.copy(), 1)}
        return {None: samples}

    def _recognize_whole(self, blocks, recognizer, voices, emotions):
        whole = np.concatenate([block.samples for block in blocks])
        channels = {
            channel: to_mono(samples, blocks[0].sample_rate, self.name)
            for channel, samples in self._channels(whole).items()
        }
        own = [chunk * is_own for chunk, is_own in _Gate(len(channels)).chunks(channels.values())]
        for number, (channel, samples) in enumerate(channels.items()):
            try:
                check_speech(np.concatenate(own)[:, number] if own else samples, self.name)
                voice = _voice_of(channel, voices)
                probabilities = recognizer.predict_samples(samples, self.name, voice, emotions)
            except SentimentalError as error:
                yield Finding(channel, "error", error)
            else:
                utterance = Utterance(0.0, len(samples) / SAMPLE_RATE, probabilities)
                yield Finding(channel, "file", utterance)

    def _recognize_utterances(self, first, blocks, recognizer, voices, emotions):
        sessions = {
            channel: Session(recognizer, _voice_of(channel, voices), False, emotions)
            for channel in self._channels(first[0].samples)
        }
        mixers = [ToMono(first[0].sample_rate) for _ in sessions]
        gate = _Gate(len(sessions))
        n_declared, the_end = first[0].n_declared, first[0]._replace(samples=first[0].samples[:0])
        with tqdm(
            desc=shown(Path(self.name).name),
            total=n_declared and round(n_declared / first[0].sample_rate),
            unit=" s",
            unit_scale=True,
            leave=False,
            disable=None,  # where the standard error is no terminal
        ) as bar:
            for block in itertools.chain(first, blocks, [the_end]):
                bar.update(len(block.samples) / block.sample_rate)
                parts = zip(mixers, self._channels(block.samples).values(), strict=True)
                heard = [mixer.push(part, last=block is the_end) for mixer, part in parts]
                for chunk, is_own in gate.chunks(heard):
                    for session, samples, own in zip(
                        sessions.values(), chunk.T, is_own, strict=True
                    ):
                        session.hear(samples, own)
                for channel, session in sessions.items():
                    found = session.finish() if block is the_end else session.collect(wait=True)
                    yield from (Finding(channel, *one) for one in found)
        for channel, session in sessions.items():
            if not session.utterances:
                yield Finding(channel, "error", SentimentalError(f"{self.name}: {_lack(session)}"))


def _lack(session):
    """Why nothing was recognized."""
    if session.n_refused:
        return "there is speech in it, but too little of it stands out of the noise"
    return "no speech in it; record it again, or leave it out"


def _voice_of(channel, voices):
    """The voice of who speaks on a channel, for `Recording.recognize`."""
    return None if voices is None else voices.setdefault(channel, Voice())


def _powers(samples):
    """The variance of each channel; np.var takes five times as long where they are few."""
    means = np.ones(len(samples), np.float32) @ samples / len(samples)
    return np.maximum(np.einsum("nc,nc->c", samples, samples) / len(samples) - means**2, 0)


class _Gate:
    """Tells what of each channel is its own, and what another channel holds far louder."""

    def __init__(self, n_channels):
        self._rest = np.empty((0, n_channels), np.float32)
        self._powers = np.zeros((LEAK_CHUNKS, n_channels))  # of the last chunks

    def chunks(self, channels):
        """Cut samples of all channels, an iterable of np.ndarray [shape=(n,)], and judge them.

        Yields
        ------
        chunk : np.ndarray [shape=(CHUNK_LENGTH, n_channels)]
        is_own : np.ndarray of bool [shape=(n_channels,)]
        """
        samples = np.concatenate([self._rest, np.stack([*channels], axis=1)])
        n = len(samples) // CHUNK_LENGTH * CHUNK_LENGTH
        self._rest = samples[n:]
        for start in range(0, n, CHUNK_LENGTH):
            chunk = samples[start : start + CHUNK_LENGTH]
            self._powers = np.vstack([self._powers[1:], _powers(chunk)])
            power = self._powers.max(axis=0)
            yield chunk, power >= power.max() * 10 ** (-LEAK_DB / 10)


def recognize_all(recordings, recognizer, voices=None, emotions=EMOTIONS):
    """Recognize one recording after the other; what goes wrong with one costs that one only.

    Parameters
    ----------
    recordings : list of Recording
    recognizer, voices, emotions : as for `Recording.recognize`

    Yields
    ------
    recording : Recording
    finding : Finding
    """
    for recording in recordings:
        check_stop()
        name = recording.name
        try:
            for finding in recording.recognize(recognizer, voices, emotions):
                yield recording, finding
        except SentimentalError as error:
            yield recording, Finding(None, "error", error)
        except Exception as error:
            yield recording, Finding(None, "error", program_error(name, error))
        else:
            recording.failed = not recording.utterances
        for channel, utterances in sorted(recording.utterances.items()) if recording.is_cut else ():
            source = f"{name}, channel {channel}" if channel else name
            note(f"{source}: {summary_line(utterances, recording.seconds)}")
