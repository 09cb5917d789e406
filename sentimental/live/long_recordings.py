"""Recordings that are given by name: found, and what is said in them recognized."""

import contextlib
import glob
import os
import re
import sys
from collections import namedtuple
from pathlib import Path

from tqdm import tqdm

from sentimental.decoding import decode_blocks
from sentimental.files import find_files
from sentimental.live.chart import summary_line
from sentimental.live.terminal import note
from sentimental.scripts import EMOTIONS, SentimentalError, check_stop, file_error, shown
from sentimental.utterances import WHOLE_SECONDS, as_file, cut
from sentimental.voice import Voice

# The name of the standard input.
STDIN = "-"

# `channel` counts from 1, and is None where all are mixed; `kind` is "file", "utterance" or
# "error", and `result` an Utterance, whose times are those of the recording, or a SentimentalError.
Finding = namedtuple("Finding", "channel kind result")


def find_recordings(names, separate=False):
    """The recordings that are meant by names on the command line.

    Parameters
    ----------
    names : list of str, of files; of folders, whose subfolders count as well; or patterns, as of a
        shell, where no file is called so
    separate : as for `Recording`

    Returns
    -------
    recordings : list of Recording, those of one folder or pattern in natural order; what cannot be
        read is one as well, with its error
    """
    recordings = []
    for name in names:
        is_pattern = re.search(r"[*?[]", name) and not os.path.lexists(name)
        matches = glob.glob(name, recursive=True) if is_pattern else []
        for path in sorted(matches, key=_natural_order) or [name]:
            files, errors = [path], []
            if os.path.isdir(path):
                files, _, errors = find_files([Path(path)])
                if not (files or errors):
                    errors = [f"{path}: no recordings in this folder"]
            files = sorted(map(str, files), key=_natural_order)
            recordings += [Recording(file, separate) for file in files]
            recordings += [Recording(path, error=SentimentalError(error)) for error in errors]
    return recordings


def _natural_order(name):
    """A key to sort names by, as people do: 9 comes before 10, and A beside a."""
    parts = re.split(r"(\d+)", name)
    return [int(part) if number % 2 else part.casefold() for number, part in enumerate(parts)]


def _opened(name):
    """A ``with`` of the path of a recording; the standard input is kept in a file meanwhile."""
    if name != STDIN:
        return contextlib.nullcontext(name)
    if sys.stdin is None or sys.stdin.isatty():
        raise SentimentalError(f"{name}: nothing comes from the standard input; add: < FILE")
    return as_file(sys.stdin.buffer, name)


class Recording:
    """A recording of any length.

    Parameters
    ----------
    name : str or Path, of a file; ``STDIN`` for the standard input
    separate : bool, whether each channel is recognized on its own; else they are mixed
    error : SentimentalError or None, why it cannot be read, if that is known already
    """

    def __init__(self, name, separate=False, error=None):
        self.name, self._separate, self._error = name, separate, error
        self.seconds = 0.0  # how much of it was heard
        self.utterances = {}  # list of Utterance, by channel
        self.powers = []  # (start, end, power of each channel, or of all in one)
        self.failed = True  # nothing was recognized of it, or it could not be read to its end

    @property
    def is_cut(self):
        """Whether it is so long that it is cut into utterances."""
        return self.seconds > WHOLE_SECONDS

    def recognize(self, recognizer, voices=None, emotions=EMOTIONS):
        """Hear it, and recognize each utterance as soon as it is over.

        What goes wrong costs this recording alone.

        Parameters
        ----------
        recognizer : sentimental.Recognizer
        voices : dict of sentimental.Voice, by channel, or None; who is missing is added
        emotions : as for `Recognizer.predict`

        Yields
        ------
        finding : Finding; a channel in which nothing is recognized has one that says why, and so
            has a recording that cannot be decoded, or not to its end
        """
        check_stop()
        try:
            yield from self._hear(recognizer, voices, emotions)
            self.failed = not self.utterances
        except Exception as error:
            yield Finding(None, "error", file_error(self.name, error))
        if self.is_cut:
            for channel, utterances in sorted(self.utterances.items()):
                source = f"{self.name}, channel {channel}" if channel else self.name
                note(f"{source}: {summary_line(utterances, self.seconds)}")

    def _hear(self, recognizer, voices, emotions):
        if self._error:
            raise self._error
        refused = set()  # channels
        with _opened(self.name) as path:
            for channel, speech in cut(self.name, self._read(path), self._separate):
                if isinstance(speech, SentimentalError):
                    yield Finding(channel, "error", speech)
                    continue
                voice = None if voices is None else voices.setdefault(channel, Voice())
                try:
                    utterance = recognizer.recognize(speech, self.name, voice, emotions)
                except SentimentalError as error:  # too little is left when it is trimmed
                    if self.is_cut:
                        refused.add(channel)
                    else:
                        yield Finding(channel, "error", error)
                    continue
                self.utterances.setdefault(channel, []).append(utterance)
                yield Finding(channel, "utterance" if self.is_cut else "file", utterance)
        for channel in refused - self.utterances.keys():
            words = "there is speech in it, but too little of it stands out of the noise"
            yield Finding(channel, "error", SentimentalError(f"{self.name}: {words}"))

    def _read(self, path):
        """Blocks, whose power is kept; what takes longer than a second shows how far it is."""

        def tell(line):
            with tqdm.external_write_mode(file=sys.stderr, nolock=True):
                note(f"note: {line.replace(str(path), str(self.name))}")

        with tqdm(
            desc=shown(Path(self.name).name),
            unit=" s",
            unit_scale=True,
            leave=False,
            delay=1,
            disable=None,  # where the standard error is no terminal
        ) as bar:
            for samples, rate, n_declared in decode_blocks(path, tell):
                check_stop()
                powers = samples.var(axis=0)
                if not self._separate:
                    powers = powers.mean(keepdims=True)
                start, self.seconds = self.seconds, self.seconds + len(samples) / rate
                self.powers.append((start, self.seconds, powers))
                bar.total = n_declared and round(n_declared / rate)
                bar.update(len(samples) / rate)
                yield samples, rate
