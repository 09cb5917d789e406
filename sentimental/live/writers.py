"""What is written as it comes: log, audio, JSON Lines. Whatever ends the work, what came is there.

When one cannot be written any more, that is said once, and the rest goes on.
"""

import contextlib
import csv
import functools
import json
import os
import sys
import time
from types import SimpleNamespace

from tqdm import tqdm

from sentimental.files import is_special
from sentimental.live.chart import answer, clock, result_line, strongest
from sentimental.live.terminal import note
from sentimental.scripts import EMOTIONS, SentimentalError, shown

# The path of a log that is the standard output.
STDOUT = "-"
COLUMNS = ("kind", "source", "clock", "start_s", "end_s", "emotion", "unsure", *EMOTIONS, "error")
# Subtitles, and what stands in their times before the milliseconds.
SUBTITLES = {"srt": ",", "vtt": "."}
# What the standard output can be.
FORMATS = ("text", "json", "csv", *SUBTITLES)
# Samples that are encoded to FLAC at once, and after which a header says how many there are.
AUDIO_BLOCK = 4096


class Output(contextlib.AbstractContextManager):
    """A file that is written as it comes; it is closed at the end of a ``with``.

    Without a path (str or None) it is idle. ``failed`` says whether something could not be written;
    where nothing can be, SentimentalError is raised at once.
    """

    _errors = OSError

    def __init__(self, path):
        self._path, self.failed = path, False
        self._closing = contextlib.ExitStack()
        if path:
            try:
                self._open()
            except self._errors as error:
                raise SentimentalError(self._cannot_write(error)) from None

    def __exit__(self, *error):
        self._attempt(self._closing.close)

    def _attempt(self, act, *arguments):
        """Write something, unless the file is idle or has failed before."""
        if self.failed or not self._path:
            return
        try:
            act(*arguments)
        except self._errors as error:
            self.failed = True
            note(f"error: {self._cannot_write(error)}; it holds what came before")
            with contextlib.suppress(self._errors):
                self._closing.close()

    def _cannot_write(self, error):
        reason = getattr(error, "strerror", None) or getattr(error, "error_string", None)
        return f"{self._path}: cannot be written ({(reason or 'is the disk full?').rstrip('.')})"


class Log(Output):
    """Rows of CSV. While they go to the standard output, all else is printed to standard error."""

    def _open(self):
        if self._path == STDOUT or _is_stdout(self._path):
            self._errors = ()  # fails as all that is printed does
            if hasattr(sys.stdout, "reconfigure"):  # names of files as they are, whatever bytes
                sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")
            write = functools.partial(print, end="", file=sys.stdout, flush=True)
            self._closing.enter_context(contextlib.redirect_stdout(sys.stderr))
        else:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o666)  # not emptied yet
            file = open(descriptor, "wb", buffering=0)  # noqa: SIM115
            self._file, self._size = self._closing.enter_context(file), 0
            write = self._append
        self._rows = csv.DictWriter(SimpleNamespace(write=write), COLUMNS, lineterminator="\n")
        self._rows.writeheader()

    def write(self, kind, source, result):
        """Add a row for an Utterance, or for the error of a file if that is the `kind`."""
        row = {"kind": kind, "source": source, "clock": f"{time.time():.3f}"}
        if kind == "error":
            row |= {"kind": "file", "error": result}
        else:
            start, end, probabilities, _ = result
            row |= {"start_s": f"{start:.3f}", "end_s": f"{end:.3f}"}
            row |= {"emotion": strongest(probabilities), "unsure": str(result.unsure).lower()}
            row |= {emotion: f"{probabilities.get(emotion, 0.0):.4f}" for emotion in EMOTIONS}
        self._attempt(lambda: self._rows.writerow(row))

    def _append(self, text):
        """Add a row to the file, or nothing. What the file held before goes with the first row."""
        content = rest = text.encode("utf-8", "surrogateescape")
        try:
            while rest:  # a full disk takes a part
                rest = rest[self._file.write(rest) :]
            self._size += len(content)
        finally:
            if self._size and not is_special(self._path):
                self._file.truncate(self._size)


def _is_stdout(path):
    """Whether a path leads where the standard output goes, as /dev/stdout does."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(sys.stdout.fileno()))
    except (OSError, ValueError):
        return False


class Report(contextlib.ExitStack):
    """What is recognized of recordings, in a `Log` and as one of ``FORMATS`` on standard output.

    Lines leave room for the longest of the `names`.
    """

    def __init__(self, log, form, names):
        super().__init__()
        self._form, self._several = form, len(names) > 1
        self._width = max((len(shown(name)) for name in names), default=0)
        self._n_subtitles = 0
        self.log = self.enter_context(Log(log))
        self._rows = self.enter_context(Log(STDOUT if form == "csv" else None))
        if form == "vtt":
            print("WEBVTT\n", flush=True)

    def tell(self, name, channel, kind, result):
        """Tell what was found of a recording, as of `sentimental.live.long_recordings.Finding`."""
        source = f"{name}, channel {channel}" if channel else str(name)
        with tqdm.external_write_mode(nolock=True):  # a signal may come while one is taken
            self.log.write(kind, source, result)
            self._rows.write(kind, source, result)
            if self._form == "json":
                print(_json_line(name, channel, kind, result), flush=True)
            if kind == "error":
                note(f"error: {result}")
            elif self._form == "text":
                place = f"  {clock(result.start):>7s}" if kind == "utterance" else ""
                print(result_line(f"{shown(source):{self._width}s}{place}", result), flush=True)
            elif self._form in SUBTITLES:
                self._n_subtitles += 1
                who = f"{source}: " if self._several else f"{channel}: " if channel else ""
                print(_subtitle(self._form, self._n_subtitles, who, result), flush=True)


def _json_line(name, channel, kind, result):
    line = {"file": str(name)} | ({"channel": channel} if channel else {})
    if kind == "error":
        return json.dumps(line | {"error": str(result)})
    start, end, probabilities, doubt = result
    line |= {"start": round(start, 3), "end": round(end, 3)}
    line |= {"emotion": strongest(probabilities), "unsure": result.unsure}
    line |= {"doubt": doubt} if doubt else {}
    rounded = {emotion: round(p, 4) for emotion, p in probabilities.items()}
    return json.dumps(line | {"probabilities": rounded})


def _subtitle(form, number, who, utterance):
    times = []
    for seconds in (utterance.start, utterance.end):
        minutes, milliseconds = divmod(round(1000 * seconds), 60_000)
        seconds = f"{milliseconds // 1000:02}{SUBTITLES[form]}{milliseconds % 1000:03}"
        times.append(f"{minutes // 60:02}:{minutes % 60:02}:{seconds}")
    return f"{number}\n{' --> '.join(times)}\n{who}{answer(utterance)}\n"


class Audio(Output):
    """Samples of 16 bits as FLAC or WAV, which can be read at any moment up to the last second."""

    def __init__(self, path, sample_rate):
        self._sample_rate, self._n, self._n_in_header = sample_rate, 0, 0
        super().__init__(path)

    def _open(self):
        import soundfile

        # The second is soundfile's for a write that the system cut short.
        self._errors = (OSError, AssertionError, soundfile.LibsndfileError)
        file = soundfile.SoundFile(self._path, "w", self._sample_rate, 1, "PCM_16")
        self._file = self._closing.enter_context(file)

    def write(self, samples):
        """Add samples, np.ndarray [shape=(n,), float32]."""
        self._attempt(self._add, samples)

    def _add(self, samples):
        self._file.write(samples)
        self._n += len(samples)
        if self._n > self._n_in_header + AUDIO_BLOCK:
            self._write_length()

    def _write_length(self):
        """Write into the header how many samples there are, which libsndfile does at the end.

        FLAC has the 36 bits from byte 21.5 on for it, WAV the sizes of file and data at bytes 4 and
        40; see https://www.rfc-editor.org/rfc/rfc9639.html#name-streaminfo
        """
        self._n_in_header = self._n
        with open(self._path, "rb+") as file:
            if self._file.format == "FLAC":
                n_encoded = (self._n - 1) // AUDIO_BLOCK * AUDIO_BLOCK
                file.seek(21)
                others = file.read(1)[0] & 0xF0
                file.seek(21)
                file.write(((others << 32) | n_encoded).to_bytes(5, "big"))
            else:
                n_bytes = min(2 * self._n, 0xFFFFFFFF - 36)  # more than a WAV can tell
                for place, size in ((4, 36 + n_bytes), (40, n_bytes)):
                    file.seek(place)
                    file.write(size.to_bytes(4, "little"))
