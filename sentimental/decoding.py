"""From a file of any format to samples, whatever its header says.

    decode         file     -> samples of each channel, and their rate
    decode_blocks  file     -> the same, block by block: memory does not grow with the recording

People's files are cut off, damaged, or no recordings at all. Nothing that a header says is taken on
trust: memory grows with the samples that are there, not with those that are declared. No constant
here changes the features of a sound recording, so they are not compared with a model's.
"""

import io
import os
import re
import shutil
import stat
import warnings
from collections import namedtuple

import numpy as np
import soundfile

from sentimental import ffmpeg
from sentimental.scripts import SentimentalError

# Hz. A header that says less or more is damaged, and would cost: resampling 1 Hz to 16 kHz takes
# tens of gigabytes.
MIN_RATE, MAX_RATE = 2_000, 384_000
# Channels. No recording of speech has more.
MAX_CHANNELS = 64
# Frames that are read at once. So many are lost where damage begins.
BLOCK_FRAMES = 4096
# Samples in a byte of a file. FLAC packs silence most densely: 546, two channels of 4096 in 15.
SAMPLES_PER_BYTE = 600
# Share of the declared length from which nothing is missing. libmpg123 estimates the length where
# none is declared, and some programs count the header or a byte of padding wrongly.
WHOLE = 0.95
# Frames. libsndfile says so of FLAC that was written into a pipe, so that nobody knew its length.
UNKNOWN_FRAMES = 2**63 - 1
# Bytes. The same in WAV: programs write this, 0xFFFFFFFF or something between.
UNKNOWN_BYTES = 0x7FFF0000
# Full scale is 1.0. More is no sound; 32-bit samples that nobody scaled are less.
MAX_SAMPLE = 1e10

# What is taken for a recording and is none: its first bytes in lower case, and what to do.
NO_RECORDINGS = {
    b"version https://git-lfs": "a pointer of Git LFS, not the recording; get that by git lfs pull",
    b"<!doctype html": "a web page, not a recording; download it again",
    b"<html": "a web page, not a recording; download it again",
    b"#extm3u": "a playlist, not a recording; give the files in it",
}


class _RefusedError(Exception):
    """libsndfile cannot read it, and why; ffmpeg may know more."""


class _Stream(soundfile.SoundFile):
    """A sound file that is read on and on.

    soundfile would seek after each block, which FLAC of unknown length cannot do.
    """

    def seekable(self):
        return False


# Samples as np.ndarray [shape=(n, channels), float32], their rate in Hz, and how many frames the
# header says that the recording has; None where it does not say so.
Block = namedtuple("Block", "samples sample_rate n_declared")


def decode(path, note=warnings.warn):
    """Read a recording of any format.

    libsndfile looks at the content, not at the name (WAV, AIFF, FLAC, OGG, MP3); what it does not
    know goes to ffmpeg (M4A, WebM, video files).

    Parameters
    ----------
    path : str or Path, of any bytes
    note : callable
        Takes a line that says what is missing of a recording that is used nevertheless.

    Returns
    -------
    samples : np.ndarray [shape=(n, channels), float32], full scale is 1.0
    sample_rate : int, Hz

    Raises
    ------
    SentimentalError
        When it cannot be read or is no recording; carries the decoder's words.
    """
    samples, (sample_rate, *_), _ = zip(*decode_blocks(path, note), strict=True)
    return np.concatenate(samples), sample_rate


def decode_blocks(path, note=warnings.warn):
    """Read a recording of any format, block by block, as `decode` does; gives Block after Block.

    All are of one rate and as many channels. There is at least one, or SentimentalError is raised.
    """
    block, n_read = None, 0
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise SentimentalError(f"{path}: a folder or a device, not a file; give recordings")
        with open(path, "rb", buffering=0) as file:
            head = file.read(1024)
            _check_head(path, head)
            file.seek(0)
            for block in _decode_with_libsndfile(path, file, note):
                n_read += len(block.samples)
                yield block
            return
    except FileNotFoundError:
        raise SentimentalError(f"{path}: no such file") from None
    except OSError as error:
        raise SentimentalError(f"{path}: cannot be read ({error.strerror or error})") from None
    except _RefusedError as error:
        reason = str(error)
    n_most = SAMPLES_PER_BYTE * os.path.getsize(path)
    # ffmpeg begins anew: what libsndfile could read before the damage is passed over.
    for samples, sample_rate in ffmpeg.decode(path, reason, n_most, note):
        form = sample_rate, samples.shape[1]
        check_format(path, *form)
        if block and form != (block.sample_rate, block.samples.shape[1]):
            raise SentimentalError(f"{path}: damaged, its channels change; export it again")
        if n_read < len(samples):
            yield Block(samples[n_read:], sample_rate, None)
        n_read = max(0, n_read - len(samples))


def _check_head(path, head):
    if not head:
        raise SentimentalError(f"{path}: the file is empty; record or download it again")
    for beginning, what in NO_RECORDINGS.items():
        if head.lstrip().lower().startswith(beginning):
            raise SentimentalError(f"{path}: {what}")


def check_format(name, sample_rate, channels):
    """Refuse what no recording has: a rate outside ``MIN_RATE`` to ``MAX_RATE``, many channels."""
    if not MIN_RATE <= sample_rate <= MAX_RATE:
        raise SentimentalError(
            f"{name}: has a sample rate of {sample_rate} Hz, which must be {MIN_RATE} to "
            f"{MAX_RATE}; is its header damaged?"
        )
    if not 1 <= channels <= MAX_CHANNELS:
        raise SentimentalError(
            f"{name}: has {channels} channels, which must be 1 to {MAX_CHANNELS}; is its header "
            "damaged, or an array not of the shape (samples, channels)?"
        )


def check_samples(name, samples):
    """Refuse samples that are no numbers, or too large to be sound."""
    if not np.abs(samples).max(initial=0) < MAX_SAMPLE:  # nor are NaN
        raise SentimentalError(f"{name}: holds samples that are not numbers; export it again")


# libsndfile -------------------------------------------------------------------------------------


def _decode_with_libsndfile(path, file, note):
    """Decode an open file, as `decode_blocks` does; _RefusedError when libsndfile cannot."""
    # Not by its name, which soundfile takes for UTF-8, and .raw for samples without a header. On
    # Windows the numbers of Python's open files mean nothing to libsndfile.
    source = file if os.name == "nt" else file.fileno()
    size = os.fstat(file.fileno()).st_size
    try:
        with _Stream(source, closefd=False) as stream:
            check_format(path, stream.samplerate, stream.channels)
            if stream.frames:
                yield from _read(path, stream, size, note)
                return
            if stream.format not in ("WAV", "WAVEX"):
                raise _RefusedError("no samples")
            kind = {"channels": stream.channels, "subtype": stream.subtype}
            sample_rate = stream.samplerate
        file.seek(0)
        yield from _read_unfinished(path, file.read(), note, samplerate=sample_rate, **kind)
    except soundfile.LibsndfileError as error:
        raise _RefusedError(error.error_string.strip().rstrip(".")) from None


def _read_unfinished(path, content, note, **kind):
    """Blocks of a WAV file whose recorder was stopped before it wrote their length."""
    _, _, samples = content.partition(b"data" + bytes(4))
    if not samples or not soundfile.check_format("RAW", kind["subtype"]):
        raise _RefusedError("no samples")
    note(f"{path}: its header was never completed; all that follows it is used")
    with _Stream(io.BytesIO(samples), format="RAW", endian="LITTLE", **kind) as stream:
        yield from _read(path, stream, len(content), note)


def _read(path, stream, size, note):
    """Blocks of a stream from a file of `size` bytes."""
    if stream.format == "MP3":  # as soundfile.read does; its last bits depend on it
        stream.seek(0)
    n_frames, is_damaged = 0, False
    n_declared = stream.frames if stream.frames < UNKNOWN_FRAMES else None
    try:
        while len(block := stream.read(BLOCK_FRAMES, "float32", always_2d=True)):
            n_frames += len(block)
            if n_frames * stream.channels > size * SAMPLES_PER_BYTE:
                raise SentimentalError(f"{path}: more samples than it can hold; is it damaged?")
            yield Block(block, stream.samplerate, n_declared)
    except soundfile.LibsndfileError:
        if not n_frames or shutil.which("ffmpeg"):  # which finds what comes after the damage
            raise
        is_damaged = True
    if not n_frames:
        raise _RefusedError("no samples")
    if is_damaged or _is_cut_off(stream, n_frames):
        seconds = n_frames / stream.samplerate
        note(f"{path}: cut off or damaged; the {seconds:.1f} s that can be read are used")


def _is_cut_off(stream, n_frames):
    """Is there less of a recording than its header says?"""
    told = re.findall(r"(\d+) \(should be (\d+)\)", stream.extra_info)
    lengths = [(int(declared), int(there)) for declared, there in told]
    lengths = [pair for pair in lengths if pair[0] < UNKNOWN_BYTES]
    if stream.frames < UNKNOWN_FRAMES:
        lengths.append((stream.frames, n_frames))
    is_short = any(there < WHOLE * declared for declared, there in lengths)
    return is_short or "lacks an end-of-stream bit" in stream.extra_info  # that is OGG
