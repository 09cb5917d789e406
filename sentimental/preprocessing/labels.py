"""Corpus, speaker, emotion and take of a recording: by its name, its folders' names, or a table.

A table of labels is CSV with a line for each recording, or for each part of one.
"""

import codecs
import csv
import difflib
import os
import re
import unicodedata
from collections import Counter, defaultdict
from pathlib import Path

from sentimental.corpora import CORPORA
from sentimental.features_file import Recording
from sentimental.scripts import EMOTIONS, SentimentalError

# What people call the emotions, in names of folders and in tables. Plurals of them do, too.
EMOTION_NAMES = {
    name: emotion
    for emotion, names in {
        "neutral": "neutral",
        "calm": "calm, calmness",
        "happy": "happy, happiness, joy, joyful",
        "sad": "sad, sadness",
        "angry": "angry, anger",
        "fear": "fear, fearful, afraid, scared",
        "disgust": "disgust, disgusted",
        "surprise": "surprise, surprised, pleasant surprise, pleasant surprised, ps",
    }.items()
    for name in names.split(", ")
}
# What systems and browsers add to the name of a copy: "a (1)", "a - Copy (2)", "a copy 2".
COPY_SUFFIX = r"(?: ?\((?:\d+|copy)\)| (?:- )?copy(?: \d+)?)*"
# Share of letters that a misspelt name has in common with the one that was meant.
NEAR = 0.75
# Groups of the results beside corpora.
SEXES = ("female", "male")
# Names of folders that are no speaker's: groups of speakers, and parts of a split.
NOT_SPEAKERS = {
    *SEXES,
    *("women", "men", "train", "training", "test", "testing", "val", "valid", "validation", "dev"),
}
# Columns of a table; only the first two must be there.
COLUMNS = ("file", "emotion", "speaker", "start", "end")


def read_names(text):
    """Names of emotions with those of the user, as in "Freude=happy,boredom=neutral".

    Raises
    ------
    SentimentalError
        When it is written in another way, or names an emotion that nobody knows.
    """
    names = dict(EMOTION_NAMES)
    for pair in filter(None, text.split(",")):
        name, _, emotion = pair.partition("=")
        if not (_plain(name) and emotion.strip() in EMOTIONS):
            raise SentimentalError(
                f"--map {pair}: write NAME=EMOTION, with one of {', '.join(EMOTIONS)}"
            )
        names[_plain(name)] = emotion.strip()
    return names


def emotion_named(name, names=EMOTION_NAMES):
    """The emotion that a folder's or a person's word means; None where it is none of ours."""
    name = _plain(name)
    return names.get(name) or names.get(name.removesuffix("s"))


def _plain(name):
    name = unicodedata.normalize("NFC", name)  # macOS writes two characters for one
    return re.sub(r"[\W_]+", " ", name.lower()).strip()


def unknown_emotion(name, names):
    """What is wrong with a word that names no emotion, and what to do."""
    near = difflib.get_close_matches(_plain(name), names, 1, NEAR)
    hint = f"; did you mean {near[0]}?" if near else ","
    return (
        f"{name!r} is no known emotion{hint} known are {', '.join(names)}; "
        "what others mean, --map NAME=EMOTION says"
    )


def absolute(path):
    """A path from the root on, without ``..``: what its folders are called."""
    return Path(os.path.abspath(path))


def own_corpus(folder):
    """What a corpus of somebody's own in a folder is called: as no corpus and no group of ours."""
    is_taken = folder.name.lower() in {other.lower() for other in (*CORPORA, *SEXES)}
    return f"{folder.name} (own)" if is_taken else folder.name


class Labels:
    """What names of files and folders say of recordings.

    Parameters
    ----------
    files : iterable of Path, all of them
    given : iterable of Path, the folders that the user named
    names : dict of str, what emotions are called
    """

    def __init__(self, files=(), given=(), names=EMOTION_NAMES):
        self._names = names
        # Folders, and the corpora that some name in them can only be of.
        self._corpora = defaultdict(set)
        # Given folders, and the names of folders in them that hold emotions' folders.
        speakers = {absolute(folder): set() for folder in given}
        for path in files:
            matches, folder = _fitting(path), absolute(path).parent
            if len(matches) == 1:
                self._corpora[folder] |= {*matches}
            elif matches or folder.parent.parent not in speakers:
                continue
            elif emotion_named(folder.name, names):
                speakers[folder.parent.parent].add(folder.parent.name)
        # Where recordings of known corpora lie as well, such folders are corpora.
        collections = {parent for folder in self._corpora for parent in [folder, *folder.parents]}
        self._of_speakers = {
            folder
            for folder, found in speakers.items()
            if folder not in collections
            if not any(emotion_named(n, names) or n.lower() in NOT_SPEAKERS for n in found)
        }

    def describe(self, path):
        """Corpus, speaker and emotion of a recording, by its name or its folder's.

        Names of RAVDESS and BanglaSER are alike. Of one that fits both, the other names in the
        folder decide, then the nearest folder above that is called like one of them, and then it is
        RAVDESS.

        Of a recording of no known corpus, the folder is the emotion. The folder above that one is
        the corpus; or the speaker, where it lies in a given folder, which is the corpus then.

        Raises
        ------
        SentimentalError
            When the emotion is not known.
        """
        folder = absolute(path).parent
        if matches := _fitting(path):
            name = _likeliest([*matches], path, self._corpora.get(folder, ()))
            match, corpus = matches[name], CORPORA[name]
            speaker = match["speaker"].upper()
            speaker = corpus.speaker_aliases.get(speaker, speaker)
            emotion = corpus.emotion_codes[match["emotion"].lower()]
            return Recording(path.as_posix(), name, speaker, emotion)
        emotion = emotion_named(folder.name, self._names)
        if not emotion:
            raise SentimentalError(
                f"{path}: its emotion cannot be told: {unknown_emotion(folder.name, self._names)}"
            )
        own, speaker = folder.parent, ""
        if own.parent in self._of_speakers:
            own, speaker = own.parent, own.name
        return Recording(path.as_posix(), own_corpus(own), speaker, emotion)


def take_of(recording):
    """What all files of one take have in common, a tuple of str, however they are coded.

    None for a recording of no known corpus, whose name tells nothing.
    """
    if recording.corpus not in CORPORA:
        return None
    match = _match(CORPORA[recording.corpus], _location(Path(recording.file)))
    name = match.groupdict().get("take") or match["name"]
    return recording.corpus, recording.speaker, name.lower()


def reason_left_out(recording):
    """Why a recording of a known corpus must not be used; None when nothing speaks against it."""
    corpus, name = CORPORA.get(recording.corpus), Path(recording.file).stem
    for pattern, reason in corpus.left_out.items() if corpus else ():
        if re.fullmatch(f"(?:{pattern}){COPY_SUFFIX}", name, re.IGNORECASE):
            return reason
    return None


def _location(path):
    """What the patterns of corpora are compared with."""
    return f"{path.absolute().parent.as_posix()}/{path.stem}"


def _match(corpus, location):
    pattern = f"(?s:.*/)(?P<name>{corpus.pattern}){COPY_SUFFIX}"
    return re.fullmatch(pattern, location, re.IGNORECASE)


def _fitting(path):
    """The corpora that a path fits, as a dict of matches by name."""
    at = _location(path)
    return {
        name: match
        for name, corpus in CORPORA.items()
        if (match := _match(corpus, at)) and match["emotion"].lower() in corpus.emotion_codes
    }


def _likeliest(corpora, path, neighbours):
    """Which of the corpora that its name fits a recording is of; see `describe`."""
    near = [corpus for corpus in corpora if corpus in neighbours]
    above = path.absolute().parents
    named = ([c for c in corpora if c.lower() in folder.name.lower()] for folder in above)
    for found in (corpora, near, *named):
        if len(found) == 1:
            return found[0]
    if near:
        raise SentimentalError(
            f"{path}: its emotion cannot be told; its folder holds recordings of "
            f"{' and '.join(near)}, whose names are alike; give each a folder called like it"
        )
    return corpora[-1]


# A table ------------------------------------------------------------------------------------------


def read_table(path, names=EMOTION_NAMES):
    """Read a table of labels.

    Parameters
    ----------
    path : Path
        Its first line names the columns ``file`` (relative to the table), ``emotion`` and, where
        they are known, ``speaker``, ``start`` and ``end`` (s; only this part of the file counts).
    names : as for `Labels`

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
