"""A table of labels: CSV with a line for each recording, or for each part of one."""

import codecs
import csv
import os
import re
import unicodedata
from collections import Counter, defaultdict

from sentimental.features_file import Recording
from sentimental.preprocessing.labels import (
    EMOTION_NAMES,
    absolute,
    emotion_named,
    own_corpus,
    unknown_emotion,
)
from sentimental.scripts import SentimentalError

# Columns of a table; only the first two must be there.
COLUMNS = ("file", "emotion", "speaker", "start", "end")


def read_table(path, names=EMOTION_NAMES):
    """Read a table of labels.

    Parameters
    ----------
    path : Path
        Its first line names the columns ``file`` (relative to the table), ``emotion`` and, where
        they are known, ``speaker``, ``start`` and ``end`` (s; only this part of the file counts).
    names : as for `labels.Labels`

    Returns
    -------
    recordings : dict of list of Recording, by `absolute` path, empty for a file that must not be
        used; their corpus is the folder that the table lies in
    refused : Counter of str, a line for what is not used, and how often it happened

    Raises
    ------
    SentimentalError
        When it cannot be read, or is no such table.
    """
    corpus = own_corpus(absolute(path).parent)
    table, lines, unknown, refused = defaultdict(dict), {}, {}, Counter()
    for number, row in _read_rows(path):
        name, emotion, reason = row["file"], emotion_named(row["emotion"], names), None
        file = _find(path.parent, name)
        recording = Recording(file.as_posix(), corpus, row["speaker"], emotion or "")
        try:
            recording.start, recording.end = _read_part(row["start"], row["end"])
            part = recording.start, recording.end
        except ValueError:
            reason = f"start {row['start']!r} and end {row['end']!r} of {name} are no seconds"
            part = number  # of its own
        parts = table[absolute(file)]
        before = lines.setdefault((absolute(file), part), number)
        if before != number:
            reason = f"{name} stands in line {before} already"
            if parts[part] != recording:
                parts[part] = None
                reason += ", with other labels; none of them is used"
        elif not (name and os.path.isfile(file)):
            reason = f"{file}: no such file" if name else "names no file"
        elif not emotion:
            reason = unknown_emotion(row["emotion"], names)
            number = unknown.setdefault(reason, number)  # once for each word
        if reason:
            refused[f"{path}, line {number}: {reason}"] += 1
        parts.setdefault(part, None if reason else recording)
    return {file: [r for r in parts.values() if r] for file, parts in table.items()}, refused


def _read_rows(path):
    """Numbers of the lines of a table, and their cells by column, as spreadsheets write them."""
    try:
        text = _decode(path.read_bytes())
        if "\0" in text:
            raise ValueError("not a text")
        lines = text.splitlines() or [""]
        named = re.fullmatch("sep=(.)", lines[0])  # Excel's own
        separator, n_before = (named[1], 1) if named else (max(",;\t", key=lines[0].count), 0)
        rows = csv.DictReader(lines[n_before:], delimiter=separator, restval="")
        rows.fieldnames = [name.strip().lower() for name in rows.fieldnames or []]
        cells = [
            (n_before + rows.line_num, {name: row.get(name, "").strip() for name in COLUMNS})
            for row in rows
        ]
    except OSError as error:
        raise SentimentalError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, csv.Error):
        raise SentimentalError(f"{path}: not a CSV table; save it as one, in UTF-8") from None
    if missing := [name for name in COLUMNS[:2] if name not in rows.fieldnames]:
        raise SentimentalError(
            f"{path}: has no column {' and no column '.join(missing)}, but "
            f"{', '.join(filter(None, rows.fieldnames)) or 'none at all'}; its first line must "
            "name file and emotion, and may name speaker, start and end"
        )
    return cells


def _decode(content):
    """The text of a table, as Excel writes it: UTF-16 with a mark, UTF-8, or Windows-1252."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252")


def _find(folder, name):
    """The file that a table names, with backslashes or letters as other systems write them."""
    path = name.replace("\\", "/")
    others = [unicodedata.normalize(form, path) for form in ("NFC", "NFD")]
    files = [folder / spelling for spelling in (name, path, *others)]
    return next(filter(os.path.isfile, files), files[1])


def _read_part(start, end):
    """Seconds as people write them; None where the recording begins or ends."""
    for text in (start, end):
        if not re.fullmatch(r"(\d+([.,]\d*)?)?", text):
            raise ValueError("no seconds")
    start, end = (float(text.replace(",", ".")) if text else None for text in (start, end))
    if end is not None and end <= (start or 0):
        raise ValueError("no part of a recording")
    return start, end
