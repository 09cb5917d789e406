"""What only ffmpeg reads (M4A, WebM, video files): its output, as it comes.

No constant here changes the features of a sound recording, so they are not compared with a model's.
"""

import os
import re
import struct
import subprocess
import tempfile
import threading
import time

import numpy as np

from sentimental.scripts import SentimentalError

# s, and s for each byte of the file. When ffmpeg was waited for so long in all, it never ends; on a
# machine that is busy with something else it may take 10 s to begin.
FFMPEG_SECONDS, FFMPEG_SECONDS_PER_BYTE = 30.0, 4e-6
# Bytes that ffmpeg may ask for at once.
FFMPEG_ALLOCATION = 100_000_000
# Frames that are read at once.
BLOCK_FRAMES = 4096
# Bytes of the header of AU, up to an annotation.
AU_HEADER = 24


def decode(path, reason, n_most, note):
    """Read a recording that libsndfile refused.

    Parameters
    ----------
    path : str or Path
    reason : str, libsndfile's
    n_most : int, samples of all channels; so many make it a damaged one
    note : callable, as for `sentimental.decoding.decode`

    Yields
    ------
    samples : np.ndarray [shape=(n, channels), float32], n > 0
    sample_rate : int, Hz

    Raises
    ------
    SentimentalError
        When ffmpeg is not there, finds no sound or does not end; carries its words.
    """
    n_frames = 0
    with tempfile.TemporaryFile() as stderr, _start(path, reason, n_most, stderr) as process:
        try:
            for samples, sample_rate in _read_au(_Pipe(path, process)):
                n_frames += len(samples)
                if n_frames * samples.shape[1] >= n_most:
                    raise SentimentalError(f"{path}: more samples than it can hold; is it damaged?")
                yield samples, sample_rate
            process.wait()
        finally:
            process.kill()
        stderr.seek(0)
        words = _first_line(path, stderr.read())
    if "does not contain any stream" in words:
        raise SentimentalError(f"{path}: there is no sound in it, only pictures")
    if n_frames == 0:
        raise SentimentalError(
            f"{path}: not a recording that can be decoded (libsndfile: {reason}; ffmpeg: "
            f"{words or 'no samples'}); is it damaged, or no sound file?"
        )
    if words:
        seconds = n_frames / sample_rate
        note(f"{path}: damaged ({words}); the {seconds:.1f} s that can be read are used")


def _start(path, reason, n_most, stderr):
    """A process that writes AU of float samples into a pipe."""
    # "file:", because a name may look like an address; no other protocol, because nothing that is
    # called a recording shall reach into the network.
    command = ["ffmpeg", "-nostdin", "-v", "error", "-max_alloc", str(FFMPEG_ALLOCATION)]
    command += ["-protocol_whitelist", "file", "-i", f"file:{path}", "-vn"]
    command += ["-f", "au", "-c:a", "pcm_f32be", "-fs", str(4 * n_most + AU_HEADER), "pipe:"]
    try:
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr)
    except OSError as error:
        raise SentimentalError(
            f"{path}: not a format that libsndfile reads ({reason}), and ffmpeg does not start "
            f"({error.strerror}); install ffmpeg, or convert the file to WAV or FLAC"
        ) from None


class _Pipe:
    """What a process writes. It is killed when it was waited for too long, in all."""

    def __init__(self, path, process):
        self._path, self._process = path, process
        self._limit = FFMPEG_SECONDS + FFMPEG_SECONDS_PER_BYTE * os.path.getsize(path)
        self._waited = 0.0

    def read(self, n):
        """The next `n` bytes, or those that are left."""
        begin = time.monotonic()
        timer = threading.Timer(self._limit - self._waited, self._process.kill)
        timer.start()
        try:
            content = self._process.stdout.read(n)
        finally:
            timer.cancel()
        self._waited += time.monotonic() - begin
        if self._waited >= self._limit:
            raise SentimentalError(
                f"{self._path}: ffmpeg found no end of it in {self._limit:.0f} s; is it damaged?"
            )
        return content


def _read_au(pipe):
    """Blocks of float samples, and their rate, in AU, whose header is the simplest of all [1]_.

    References
    ----------
    .. [1] http://soundfile.sapp.org/doc/NextFormat/
    """
    header = pipe.read(AU_HEADER)
    if len(header) < AU_HEADER:
        return
    _, offset, _, _, sample_rate, channels = struct.unpack(">6I", header)
    pipe.read(offset - AU_HEADER)
    while n := len(content := pipe.read(4 * BLOCK_FRAMES * channels)) // (4 * channels):
        samples = np.frombuffer(content, ">f4", n * channels).astype(np.float32)
        yield samples.reshape(n, channels), sample_rate


def _first_line(path, stderr):
    """What ffmpeg said first, without the names of its parts and of the file."""
    words = stderr.decode(errors="replace").strip().partition("\n")[0]
    return re.sub(r"^\[.*? @ \w+\] ", "", words).replace(f"file:{path}: ", "")
