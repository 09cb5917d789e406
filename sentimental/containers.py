"""What the bytes of a file tell about its length, where libsndfile believes a header or guesses.

    find_beginnings  where recordings were joined to one file; copy_part copies one of them
    repaired_wav     a WAV file with a true header
    count_mp3        how long an MP3 file is

Nothing is decoded here, and nothing of the file is kept in memory.
"""

import contextlib
import io
import os
import re
import struct
import tempfile

from sentimental.scripts import SentimentalError

# Share of the declared length from which nothing is missing. Some programs count the header or a
# byte of padding wrongly.
WHOLE = 0.95
# What is taken for a recording and is none: its first bytes in lower case, and what to do.
NO_RECORDINGS = {
    b"version https://git-lfs": "a pointer of Git LFS, not the recording; get that by git lfs pull",
    b"<!doctype html": "a web page, not a recording; download it again",
    b"<html": "a web page, not a recording; download it again",
    b"#extm3u": "a playlist, not a recording; give the files in it",
}
# How recordings begin. Where one begins inside of a file, recordings were joined.
BEGINNINGS = [
    rb"RIFF....WAVE",
    rb"RF64....WAVE",
    rb"riff\x2e\x91\xcf\x11",  # W64
    rb"FORM....AIF[FC]",
    rb"\.snd\0\0..[\0-\xff]{4}\0\0\0[\x01-\x1b]\0[\0-\x05]..\0\0\0",  # AU
    rb"caff\0\x01\0\0",
    rb"fLaC[\0\x80]\0\0\x22",
    rb"OggS\0\x02\0{8}",
    rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11",  # WMA
    rb"\x1a\x45\xdf\xa3.{1,12}\x42\x86\x81\x01",  # WebM, Matroska
    rb"\0\0\0.ftyp[ -~]{4}",  # M4A
    rb"#!AMR(-WB)?\n",
]
# Bytes after which another recording can begin; a video begins each of its tracks before.
FIRST_JOINT = 1024
# Bytes that are searched, or copied, at once.
SEARCHED = 1 << 20
# Of MP3, in kbit/s by what its header says, of MPEG 2 and of MPEG 1; Hz, of MPEG 1; and what tells
# how many frames there are.
MP3_BIT_RATES = [
    (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0),
    (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0),
]
MP3_RATES, MP3_LENGTH = (44_100, 48_000, 32_000), re.compile(b"Xing|Info|VBRI")
# Frames of an MP3, at most, that are no sound.
MP3_PADDING = 5 * 1152


def find_beginnings(path, file):
    """Where in a file, opened without a buffer, recordings begin: at 0, and at joints of several.

    Raises
    ------
    SentimentalError
        When it is empty, or something else that people take for a recording.
    """
    head, starts = _head(file, FIRST_JOINT), [0]
    if not head:
        raise SentimentalError(f"{path}: the file is empty; record or download it again")
    for beginning, what in NO_RECORDINGS.items():
        if head.lstrip().lower().startswith(beginning):
            raise SentimentalError(f"{path}: {what}")
    for pattern in (re.compile(beginning, re.DOTALL) for beginning in BEGINNINGS):
        if pattern.match(head):
            for place in range(FIRST_JOINT, size_of(file), SEARCHED):
                file.seek(place)
                found = pattern.finditer(file.read(SEARCHED + 32))  # one may lie across the border
                starts += [place + one.start() for one in found if one.start() < SEARCHED]
    return starts


def copy_part(file, start, end, copy):
    """Copy the bytes of an open file from `start` to `end` into another."""
    file.seek(start)
    for place in range(start, end, SEARCHED):
        copy.write(file.read(min(SEARCHED, end - place)))


def _find_wav_samples(file):
    """Where the samples of a WAV file are, and whether the last length was never completed.

    They are in chunks, a list of (start, end); there are none in other files.
    """
    size = size_of(file)
    chunks, place = [], 12 if _head(file, 4) == b"RIFF" else size
    while place + 8 <= size:
        file.seek(place)
        name, n_bytes = struct.unpack("<4sI", file.read(8))
        place += 8
        if name == b"data":
            chunks.append((place, min(place + n_bytes, size)))
            if n_bytes == 0 and place < size:
                return [(place, size)], True
        elif chunks and not (re.fullmatch(rb"[ -~]{4}", name) and place + n_bytes <= size):
            # No chunk, but more samples: the length is that of an earlier moment.
            if size - place > (1 - WHOLE) * size:
                return [*chunks[:-1], (chunks[-1][0], size)], True
            break
        place += n_bytes + n_bytes % 2
    return chunks, False


@contextlib.contextmanager
def repaired_wav(file, note):
    """Give an open file, or of a WAV file whose header is wrong a copy whose header is right."""
    chunks, is_unfinished = _find_wav_samples(file)
    if is_unfinished:
        note("its header was never completed; all that follows it is used")
    elif len(chunks) <= 1:
        yield file
        return
    start = chunks[0][0]
    n_bytes = min(sum(end - begin for begin, end in chunks), 2**32 - 1 - start)
    with tempfile.TemporaryFile(buffering=0) as copy:
        for part in [(0, start), *chunks]:
            copy_part(file, *part, copy)
        for place, number in ((4, start - 8 + n_bytes), (start - 4, n_bytes)):
            copy.seek(place)
            copy.write(struct.pack("<I", number))
        yield copy


def count_mp3(file):
    """Frames of samples in an MP3 file, by walking through it, or 0; and whether it has a length.

    Where it has none, libmpg123 only guesses how long it is.
    """
    n_frames, has_length = 0, True
    if not re.match(rb"ID3|\xff[\xe2-\xfb]", _head(file, 3)):
        return n_frames, has_length
    file.seek(0)
    with open(file.fileno(), "rb", closefd=False) as content:
        while len(header := content.read(4)) == 4:
            sync, form, kind, _ = header
            version, rate = form >> 3 & 3, kind >> 2 & 3
            bit_rate = MP3_BIT_RATES[version == 3][kind >> 4]
            if header[:3] == b"ID3":  # seven bits of each byte are its size
                size = sum(byte << 7 * (3 - i) for i, byte in enumerate(content.read(6)[2:]))
                content.seek(size, io.SEEK_CUR)
            elif sync == 255 and form & 0xE6 == 0xE2 and version != 1 and bit_rate and rate < 3:
                has_length &= n_frames > 0 or bool(MP3_LENGTH.search(content.peek(64)[:64]))
                n_samples = 1152 if version == 3 else 576
                sample_rate = MP3_RATES[rate] >> {3: 0, 2: 1, 0: 2}[version]
                n_frames += n_samples
                size = 125 * n_samples * bit_rate // sample_rate + (kind >> 1 & 1)
                content.seek(size - 4, io.SEEK_CUR)
            else:
                content.seek(-3, io.SEEK_CUR)
                ahead = content.peek()
                content.seek(ahead.find(b"\xff") if b"\xff" in ahead else len(ahead), io.SEEK_CUR)
    return n_frames, has_length


def _head(file, n_bytes):
    file.seek(0)
    return file.read(n_bytes)


def size_of(file):
    """Bytes of an open file."""
    return os.fstat(file.fileno()).st_size
