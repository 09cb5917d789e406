"""From a file of any format to samples, whatever its header says.

    decode         file  -> samples of each channel, and their rate
    decode_blocks  file  -> the same, block by block: memory does not grow with the recording

libsndfile reads what it knows (WAV, AIFF, FLAC, OGG, MP3); all else goes to ffmpeg (M4A, WebM,
video files). People's files are cut off, damaged, joined, or no recordings at all. Nothing that a
header says is taken on trust: memory grows with the samples that are there, not with those that are
declared.
"""

import itertools
import os
import re
import shutil
import stat
import struct
import subprocess
import tempfile
import threading
import time
import warnings
from collections import namedtuple

import numpy as np
import soundfile

from sentimental import containers
from sentimental.scripts import SentimentalError, interruptible

# Hz. A header that says less or more is damaged, and would cost: resampling 1 Hz to 16 kHz takes
# tens of gigabytes.
MIN_RATE, MAX_RATE = 2_000, 384_000
# Channels. No recording of speech has more.
MAX_CHANNELS = 64
# Frames that are read at once. So many are lost where damage begins.
BLOCK_FRAMES = 4096
# Samples in a byte of a file. FLAC packs silence most densely: 546, two channels of 4096 in 15.
SAMPLES_PER_BYTE = 600
# Frames. libsndfile says so of FLAC that was written into a pipe, so that nobody knew its length.
UNKNOWN_FRAMES = 2**63 - 1
# Bytes. The same in WAV: programs write this, 0xFFFFFFFF or something between.
UNKNOWN_BYTES = 0x7FFF0000
# Full scale is 1.0. More is no sound; 32-bit samples that nobody scaled are less.
MAX_SAMPLE = 1e10
# Full scale is 1.0. The peak of a track in which nothing was recorded.
SILENT_PEAK = 1e-5
# s, and s for each byte of the file. When ffmpeg says nothing for so long, it never ends; on a
# machine that is busy with something else it may take 10 s to begin.
FFMPEG_SECONDS, FFMPEG_SECONDS_PER_BYTE = 30.0, 4e-6
# Bytes that ffmpeg may ask for at once.
FFMPEG_ALLOCATION = 100_000_000
# Bytes of the header of AU, up to an annotation.
AU_HEADER = 24


class _UnusableError(Exception):
    """What is wrong with a file; of libsndfile also how many frames are there, or 0: unknown."""


class _Stream(soundfile.SoundFile):
    """A sound file without the seek after each block, which FLAC of unknown length cannot do."""

    def seekable(self):
        return False


# Samples as np.ndarray [shape=(n, channels), float32], their rate in Hz, and how many frames the
# header says that the recording has; None where it does not say so.
Block = namedtuple("Block", "samples sample_rate n_declared")


def decode(path, note=warnings.warn):
    """Read a recording of any format.

    Parameters
    ----------
    path : str or Path, of any bytes
    note : callable, which takes a line that says what is missing of what is used nevertheless

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
    """Read a recording as `decode` does, in Blocks of one form; at least one, or it raises."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise SentimentalError(f"{path}: a folder or a device, not a file; give recordings")
        with open(path, "rb", buffering=0) as file:
            yield from _decode_parts(path, file, lambda line: note(f"{path}: {line}"))
    except _UnusableError as error:
        raise SentimentalError(f"{path}: {error}") from None
    except OSError as error:
        if not os.path.lexists(path):
            raise SentimentalError(f"{path}: no such file") from None
        raise SentimentalError(f"{path}: cannot be read ({error.strerror or error})") from None


def _decode_parts(path, file, note):
    """Blocks of all recordings in an open file, of one form and no more than it can hold."""
    form = None
    for part, opened, where in _parts(path, file):
        n_left = SAMPLES_PER_BYTE * containers.size_of(opened)
        try:
            for block in _decode_one(part, opened, note):
                form_here = block.sample_rate, block.samples.shape[1]
                form = form or form_here
                check_format(path, *form)
                if form_here != form:
                    raise _UnusableError("the sample rate or number of channels changes in it")
                n_left -= block.samples.size
                if n_left <= 0:
                    raise _UnusableError("more samples than it can hold; is it damaged?")
                yield block._replace(n_declared=None) if where else block
        except _UnusableError as error:
            if not (form and where):
                raise
            note(f"{where} are not used ({error})")


def _parts(path, file):
    """Each recording in an open file: its path, the file opened, and where it is one of several.

    Recordings that were joined are copied out of their file.
    """
    starts = containers.find_beginnings(path, file)
    if len(starts) == 1:
        yield path, file, ""
        return
    with tempfile.TemporaryDirectory() as folder:
        for start, end in itertools.pairwise([*starts, containers.size_of(file)]):
            with open(os.path.join(folder, "part"), "w+b", buffering=0) as copy:
                containers.copy_part(file, start, end, copy)
                size = f"{(end - start) / 1e6:.1f} MB from byte {start} on"
                yield copy.name, copy, f"holds {len(starts)} recordings; {size}"


def _decode_one(path, file, note):
    """Blocks of one recording, an open file: by libsndfile; what that cannot read, by ffmpeg."""
    n_read = 0
    try:
        with containers.repaired_wav(file, note) as file:
            for block in _decode_with_libsndfile(file, note):
                n_read += len(block.samples)
                yield block
        return
    except _UnusableError as error:
        reason, n_there = error.args
    # ffmpeg begins anew: what libsndfile could read before the damage is passed over.
    for samples, sample_rate in _decode_with_ffmpeg(path, reason, n_there, note):
        if n_read < len(samples):
            yield Block(samples[n_read:], sample_rate, None)
        n_read = max(0, n_read - len(samples))


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


def _decode_with_libsndfile(file, note):
    """Blocks of an open file; _UnusableError when libsndfile cannot read it."""
    n_there, has_length = containers.count_mp3(file)
    file.seek(0)
    # Not by its name, which soundfile takes for UTF-8, and .raw for samples without a header. On
    # Windows the numbers of Python's open files mean nothing to libsndfile.
    source = file if os.name == "nt" else file.fileno()
    try:
        with _Stream(source, closefd=False) as stream:
            yield from _read(stream, n_there, has_length, note)
    except soundfile.LibsndfileError as error:
        raise _UnusableError(error.error_string.strip().rstrip("."), 0) from None


def _read(stream, n_there, has_length, note):
    """Blocks of a stream; `n_there` and `has_length` as `containers.count_mp3` has them."""
    n_declared = stream.frames if has_length else n_there
    n_declared = n_declared if n_declared < UNKNOWN_FRAMES else None
    if stream.format == "MP3":  # as soundfile.read does; its last bits depend on it
        stream.seek(0)
    is_short = stream.frames + containers.MP3_PADDING < n_there
    if is_short and shutil.which("ffmpeg"):
        raise _UnusableError("longer than its header says", n_there)
    n_frames, is_damaged = 0, False
    try:
        while len(block := stream.read(BLOCK_FRAMES, "float32", always_2d=True)):
            n_frames += len(block)
            yield Block(block, stream.samplerate, n_declared)
    except soundfile.LibsndfileError:
        if not n_frames or shutil.which("ffmpeg"):  # which finds what comes after the damage
            raise
        is_damaged = True
    if not n_frames:
        raise _UnusableError("no samples", n_there)
    seconds = n_frames / stream.samplerate
    if is_short:
        rest = (n_there - n_frames) / stream.samplerate
        note(f"only its first {seconds:.1f} s are used; install ffmpeg for {rest:.1f} more")
    elif is_damaged or _is_cut_off(stream, n_declared, n_frames):
        note(f"cut off or damaged; the {seconds:.1f} s that can be read are used")


def _is_cut_off(stream, n_declared, n_frames):
    """Is there less of a recording than its header says?"""
    # Not bytes a second, nor of a block, of which some programs have ideas of their own.
    stated = re.findall(r"(?m)^(?!  B).* (\d+) \(should be (\d+)\)", stream.extra_info)
    lengths = [(int(n), int(there)) for n, there in stated if int(n) < UNKNOWN_BYTES]
    lengths.append((n_declared or 0, n_frames))
    is_short = any(there < containers.WHOLE * n for n, there in lengths)
    return is_short or "lacks an end-of-stream bit" in stream.extra_info  # that is OGG


# ffmpeg -----------------------------------------------------------------------------------------


def _decode_with_ffmpeg(path, reason, n_there, note):
    """Samples, at least one, and their rate, of the first track in which anything is recorded."""
    for track in itertools.count(-1):  # -1 is the one that ffmpeg takes by itself
        blocks = _run_ffmpeg(path, reason, n_there, note, track)
        try:
            beginning, is_silent = _read_silence(blocks)
        except _UnusableError:
            if track < 0:
                raise
            break  # there is no other track, and all are silent
        if not is_silent:
            break
    yield from beginning
    yield from blocks


def _read_silence(blocks):
    """The blocks up to the first in which anything is recorded, and whether there is none."""
    beginning = []
    for samples, sample_rate in blocks:
        if np.abs(samples).max() >= SILENT_PEAK:
            return [*beginning, (samples, sample_rate)], False
        # One zero stands for all: silence may last for hours.
        beginning.append((np.broadcast_to(np.float32(0), samples.shape), sample_rate))
    return beginning, True


def _run_ffmpeg(path, reason, n_there, note, track):
    """Blocks of one track; _UnusableError when ffmpeg is not there, finds none, never ends."""
    n_frames, size = 0, os.path.getsize(path)
    # "file:", because a name may look like an address; no other protocol, because nothing that is
    # called a recording shall reach into the network.
    command = ["ffmpeg", "-nostdin", "-v", "error", "-max_alloc", str(FFMPEG_ALLOCATION)]
    command += ["-protocol_whitelist", "file", "-i", f"file:{path}", "-vn"]
    command += ["-map", f"0:a:{track}"] if track >= 0 else []
    limit = f"{4 * SAMPLES_PER_BYTE * size + AU_HEADER:.0f}"
    command += ["-f", "au", "-c:a", "pcm_f32be", "-fs", limit, "pipe:"]
    with tempfile.TemporaryFile() as stderr:
        try:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr)
        except OSError as error:
            raise _UnusableError(
                f"not a format that libsndfile reads ({reason}), and ffmpeg does not start "
                f"({error.strerror}); install ffmpeg, or convert the file to WAV or FLAC"
            ) from None
        with process:
            try:
                for samples, sample_rate in _read_au(process, size):
                    n_frames += len(samples)
                    yield samples, sample_rate
                process.wait()
            finally:
                process.kill()
        stderr.seek(0)
        words = stderr.read().decode(errors="replace").strip().partition("\n")[0]
    words = re.sub(r"^\[.*? @ \w+\] ", "", words).replace(f"file:{path}: ", "")
    if "does not contain any stream" in words:
        raise _UnusableError("there is no sound in it, only pictures")
    if n_frames == 0:
        raise _UnusableError(
            f"not a recording that can be decoded (libsndfile: {reason}; ffmpeg: "
            f"{words or 'no samples'}); is it damaged, or no sound file?"
        )
    is_whole = 0 < n_there <= n_frames + containers.MP3_PADDING  # joints are no damage
    if words and not is_whole:
        note(f"damaged ({words}); the {n_frames / sample_rate:.1f} s that can be read are used")


def _read_au(process, size):
    """Blocks of float samples, and their rate, in AU, whose header is the simplest of all."""
    limit = FFMPEG_SECONDS + FFMPEG_SECONDS_PER_BYTE * size
    header = _read_pipe(process, AU_HEADER, limit)
    if len(header) < AU_HEADER:
        return
    _, offset, _, _, sample_rate, channels = struct.unpack(">6I", header)
    _read_pipe(process, offset - AU_HEADER, limit)
    n_bytes = 4 * channels * BLOCK_FRAMES
    while n := len(content := _read_pipe(process, n_bytes, limit)) // (4 * channels):
        samples = np.frombuffer(content, ">f4", n * channels).astype(np.float32)
        yield samples.reshape(n, channels), sample_rate


def _read_pipe(process, n_bytes, limit):
    """The next bytes, or those that are left; a process that gives none for too long is killed."""
    begin, timer = time.monotonic(), threading.Timer(limit, process.kill)
    timer.start()
    try:
        with interruptible():
            content = process.stdout.read(n_bytes)
    finally:
        timer.cancel()
    if time.monotonic() - begin >= limit:
        raise _UnusableError(f"ffmpeg found no end of it in {limit:.0f} s; is it damaged?")
    return content
