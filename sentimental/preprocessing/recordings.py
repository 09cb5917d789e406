"""The recordings below some folders, each take of them once."""

import hashlib
import re
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from sentimental.corpora import CORPORA
from sentimental.files import unreadable
from sentimental.preprocessing.labels import (
    absolute,
    corpora_by_folder,
    describe,
    folders_of_speakers,
    reason_left_out,
    take_of,
)
from sentimental.scripts import SentimentalError, check_stop

# How files begin that keep every sample: WAV, AIFF and FLAC.
LOSSLESS = rb"(?s)(?:RIFF|RF64)....WAVE|FORM....AIF|fLaC"
# Bytes that are read at once.
BLOCK = 1 << 20


def describe_files(files, given=(), table=None):
    """Describe every file, and tell which of them are the same take.

    Files of a known corpus are the same take when they have the same name, but for extension, marks
    of copies, and RAVDESS's number of the modality; all others when they have the same bytes.

    Parameters
    ----------
    files : list of Path, sorted
    given : list of Path, the folders that they were found in
    table : dict or None
        As `read_table` gives it: it decides before names and folders, and names more files.

    Returns
    -------
    takes : list of list of Recording; sorted by corpus and name
        The files of each take, as `describe` gives them, with their hash. The first is to be used,
        the others if it cannot be read: files named by a corpus come before others, lossless ones
        before others, and then the names are sorted.
    left_out : Counter of files by (corpus, reason), as `reason_left_out` gives it
    refused : list of str, a line for each file that is not used
    """
    same, lossless, left_out, refused = defaultdict(list), set(), Counter(), []
    found, neighbours = {*map(absolute, files)}, corpora_by_folder(files)
    of_speakers = folders_of_speakers(files, given, neighbours)
    table = table or {}
    files = files + [Path(r.file) for place, r in table.items() if r and place not in found]
    for path in tqdm(files, "Looking", unit=" files", leave=False, disable=None):
        check_stop()
        try:
            if absolute(path) not in table:
                recording = describe(path, neighbours[path.parent], of_speakers)
            elif recording := table[absolute(path)]:
                recording = replace(recording, file=path.as_posix())
            else:  # what speaks against it is told already
                continue
            if reason := reason_left_out(recording):
                left_out[recording.corpus, reason] += 1
                continue
            recording.hash, head = _read(path)
        except SentimentalError as error:
            refused.append(str(error))
        except OSError as error:
            refused.append(unreadable(path, error))
        else:
            same[recording.hash].append(recording)
            if re.match(LOSSLESS, head):
                lossless.add(recording.file)

    takes = defaultdict(list)
    for content_hash, copies in same.items():
        if lines := _contradiction(copies):
            refused += lines
            continue
        # RAVDESS was published with one recording under the names of two takes (actor 07, happy).
        # Every split of it counts both, so within a corpus only the same name makes a copy.
        named = [take_of(copy) for copy in copies]
        known = next(filter(None, named), content_hash)
        for take, copy in zip(named, copies, strict=True):
            takes[take or known].append(copy)
    for copies in takes.values():
        copies.sort(
            key=lambda copy: (
                copy.corpus not in CORPORA,
                copy.file not in lossless,
                Path(copy.file).stem,
                Path(copy.file),
            )
        )
    by_name = sorted(takes.values(), key=lambda copies: _corpus_and_name(copies[0]))
    return by_name, left_out, refused


def _read(path):
    """SHA-256 of a file, hexadecimal, and how it begins."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        head = block = stream.read(BLOCK)
        while block:
            digest.update(block)
            block = stream.read(BLOCK)
    return digest.hexdigest(), head


def _contradiction(copies):
    """A line for each file when one recording was told to have several emotions; or none."""
    if len({copy.emotion for copy in copies}) == 1:
        return []
    told = ", ".join(f"{copy.file} as {copy.emotion}" for copy in copies)
    return [
        f"{copy.file}: one recording with several emotions ({told}); keep the right one"
        for copy in copies
    ]


def _corpus_and_name(recording):
    return recording.corpus, Path(recording.file).name


def next_copies(takes, computed):
    """Of each take, the first file; or the next, where those before it were refused.

    Parameters
    ----------
    takes : list of list of Recording, as `describe_files` gives them
    computed : dict of (frames, line) by file; frames is None when it was refused

    Returns
    -------
    recordings : list of Recording, files to compute
    """
    recordings = []
    for copies in takes:
        left = [copy for copy in copies if copy.file not in computed]
        if left and all(computed[copy.file][0] is None for copy in copies if copy not in left):
            recordings.append(left[0])
    return recordings


def drop_twins(recordings):
    """Keep one of those recordings whose frames are the same: they were so when decoded.

    Takes of a known corpus are all kept, as in `describe_files`, and others beside them are not.

    Parameters
    ----------
    recordings : list of Recording with ``file``, ``corpus``, ``emotion`` and ``frames``

    Returns
    -------
    kept : list of Recording
    refused : list of str, a line for each of those with the same frames and several emotions
    """
    same = defaultdict(list)
    for recording in recordings:
        same[hashlib.sha256(recording.frames.tobytes()).digest()].append(recording)
    kept, refused = set(), []
    for copies in same.values():
        if lines := _contradiction(copies):
            refused += lines
            continue
        known = [copy for copy in copies if copy.corpus in CORPORA]
        kept |= {copy.file for copy in known or copies[:1]}
    return [recording for recording in recordings if recording.file in kept], refused
