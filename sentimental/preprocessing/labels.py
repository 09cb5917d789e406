"""Corpus, speaker, emotion and take of a recording: by a table, its name, or its folders' names."""

import csv
import os
import re
from collections import defaultdict
from pathlib import Path

from sentimental.corpora import CORPORA
from sentimental.features_file import Recording
from sentimental.scripts import SentimentalError

# Names of folders of recordings that no corpus names. Plurals of them do, too.
FOLDER_NAMES = {
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
COPY_MARK = r"(?: ?\((?:\d+|copy)\)| (?:- )?copy(?: \d+)?)*"
# Groups of the results beside corpora.
SEXES = ("female", "male")
# Names of folders that are no speaker's: groups of speakers, and parts of a split.
NOT_SPEAKERS = {
    *SEXES,
    *("women", "men", "train", "training", "test", "testing", "val", "valid", "validation", "dev"),
}
# Columns of a table of labels; the last may be missing.
COLUMNS = ("file", "emotion", "speaker")


def describe(path, neighbours=frozenset(), of_speakers=frozenset()):
    """Tell corpus, speaker and emotion of a recording from its name, or its folder's.

    What folders are called tells a corpus only where the name leaves several: those of RAVDESS and
    BanglaSER are alike. Then the other names in the folder decide, then the nearest folder above
    that is called like one of them, and then it is RAVDESS.

    Parameters
    ----------
    path : Path
    neighbours : set of str, corpora that names in the same folder can only be of
    of_speakers : set of Path, as `folders_of_speakers` gives them

    Returns
    -------
    recording : Recording
        For a recording of no known corpus: the folder that holds the emotions' folders is the
        speaker in the folder of a corpus where that one is among `of_speakers`; else it is the
        corpus, and the speaker is "".

    Raises
    ------
    SentimentalError
        When the emotion cannot be told.
    """
    if matches := _fitting(path):
        corpus = CORPORA[_likeliest([*matches], path, neighbours)]
        match = matches[corpus.name]
        speaker = match["speaker"].upper()
        speaker = corpus.speaker_aliases.get(speaker, speaker)
        emotion = corpus.emotion_codes[match["emotion"].lower()]
        return Recording(path.as_posix(), corpus.name, speaker, emotion)
    folder = absolute(path).parent
    emotion = emotion_named(folder.name)
    if not emotion:
        raise SentimentalError(
            f"{path}: its emotion cannot be told; put it into a folder named by one of "
            f"{', '.join(FOLDER_NAMES)}"
        )
    own, speaker = folder.parent, ""
    if own.parent in of_speakers:
        own, speaker = own.parent, own.name
    return Recording(path.as_posix(), _own_corpus(own), speaker, emotion)


def absolute(path):
    """A path from the root on, without ``..``: what its folders are called."""
    return Path(os.path.abspath(path))


def emotion_named(name):
    """The emotion that a folder's or a person's word means; None where it is none of ours."""
    name = re.sub(r"[\W_]+", " ", name.lower()).strip()
    return FOLDER_NAMES.get(name) or FOLDER_NAMES.get(name.removesuffix("s"))


def _own_corpus(folder):
    """What a corpus of somebody's own in a folder is called.

    Whatever that folder is called, it is neither a known corpus nor a group of the results.
    """
    is_taken = folder.name.lower() in {other.lower() for other in (*CORPORA, *SEXES)}
    return f"{folder.name} (own)" if is_taken else folder.name


def folders_of_speakers(files, given, neighbours):
    """Which of the given folders hold a folder for each speaker, and these one for each emotion.

    Two such folders at least lie beside each other, and none is called like an emotion or one of
    ``NOT_SPEAKERS``. In a folder that holds recordings of known corpora as well, such folders are
    corpora rather than speakers.

    Parameters
    ----------
    files : list of Path
    given : list of Path, what the user named
    neighbours : dict of set of str, as `corpora_by_folder` gives it

    Returns
    -------
    folders : set of Path
    """
    speakers = {absolute(folder): set() for folder in given}
    for path in files:
        folder = absolute(path).parent
        speaker = folder.parent
        if speaker.parent in speakers and emotion_named(folder.name) and not _fitting(path):
            speakers[speaker.parent].add(speaker.name)
    collections = {
        parent
        for folder, corpora in neighbours.items()
        if corpora
        for parent in [absolute(folder), *absolute(folder).parents]
    }
    return {
        folder
        for folder, names in speakers.items()
        if len(names) > 1 and folder not in collections
        if not any(emotion_named(name) or name.lower() in NOT_SPEAKERS for name in names)
    }


def read_table(path):
    """Read a table of labels: CSV with a line for each file, its emotion and, if known, speaker.

    Parameters
    ----------
    path : Path
        Its first line names the columns ``file`` (relative to the table), ``emotion`` and, where
        speakers are known, ``speaker``. Commas, semicolons or tabs may lie between them.

    Returns
    -------
    recordings : dict of Recording, as `describe` returns them, by `absolute` path; None for a file
        that must not be used. The corpus is the folder that the table lies in.
    refused : list of str, a line for each line of the table that is not used

    Raises
    ------
    SentimentalError
        When it cannot be read, or is no such table.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
        head = lines[0] if lines else ""
        rows = csv.DictReader(lines, delimiter=max(",;\t", key=head.count), restval="")
        rows.fieldnames = [name.strip().lower() for name in rows.fieldnames or []]
        table = [(rows.line_num, row) for row in rows]
    except OSError as error:
        raise SentimentalError(f"{path}: cannot be read ({error.strerror})") from None
    except (UnicodeDecodeError, csv.Error):
        raise SentimentalError(f"{path}: not a CSV table in UTF-8; save it as one") from None
    if not {*COLUMNS[:2]} <= {*rows.fieldnames}:
        raise SentimentalError(
            f"{path}: its first line must name the columns file, emotion and, if known, speaker"
        )
    recordings, lines_of, refused = {}, {}, []
    for number, row in table:
        name, emotion, speaker = (row.get(column, "").strip() for column in COLUMNS)
        file = path.parent / name
        corpus = _own_corpus(absolute(path).parent)
        recording = Recording(file.as_posix(), corpus, speaker, emotion_named(emotion))
        place, before = absolute(file), lines_of.setdefault(absolute(file), number)
        reason = None
        if before != number:
            reason = f"{name} stands in line {before} already"
            if recordings[place] != recording:
                recordings[place] = None
                reason += ", with other labels; none of them is used"
        elif not (name and file.is_file()):
            reason = f"{file}: no such file" if name else "names no file"
        elif not recording.emotion:
            reason = f"{emotion!r} of {name} is none of {', '.join(FOLDER_NAMES)}"
        if reason:
            refused.append(f"{path}, line {number}: {reason}")
        if before == number:
            recordings[place] = None if reason else recording
    return recordings, refused


def corpora_by_folder(files):
    """The corpora that some name in a folder can only be of.

    Parameters
    ----------
    files : list of Path

    Returns
    -------
    corpora : defaultdict of set of str, by folder
    """
    corpora = defaultdict(set)
    for path in files:
        matches = _fitting(path)
        if len(matches) == 1:
            corpora[path.parent] |= {*matches}
    return corpora


def take_of(recording):
    """What all files of one take have in common, however they are called and coded.

    Parameters
    ----------
    recording : Recording

    Returns
    -------
    take : tuple of str, or None for a recording of no known corpus, whose name tells nothing
    """
    if recording.corpus not in CORPORA:
        return None
    match = _match(CORPORA[recording.corpus], _location(Path(recording.file)))
    name = match.groupdict().get("take") or match["name"]
    return recording.corpus, recording.speaker, name.lower()


def reason_left_out(recording):
    """Why a recording of a known corpus must not be used.

    Parameters
    ----------
    recording : Recording

    Returns
    -------
    reason : str, or None when nothing speaks against it
    """
    corpus = CORPORA.get(recording.corpus)
    name = Path(recording.file).stem
    for pattern, reason in corpus.left_out.items() if corpus else ():
        if re.fullmatch(f"(?:{pattern}){COPY_MARK}", name, re.IGNORECASE):
            return reason
    return None


def _location(path):
    """What the patterns of corpora are compared with."""
    return f"{path.absolute().parent.as_posix()}/{path.stem}"


def _match(corpus, location):
    """What a corpus's pattern finds in a location, or None."""
    pattern = f"(?s:.*/)(?P<name>{corpus.pattern}){COPY_MARK}"
    return re.fullmatch(pattern, location, re.IGNORECASE)


def _fitting(path):
    """The corpora that a path fits, as a dict of matches by name."""
    location = _location(path)
    matches = {name: _match(corpus, location) for name, corpus in CORPORA.items()}
    return {
        name: match
        for name, match in matches.items()
        if match and match["emotion"].lower() in CORPORA[name].emotion_codes
    }


def _likeliest(corpora, path, neighbours):
    """Which of the corpora that its name fits a recording is of; see `describe`."""
    if len(corpora) == 1:
        return corpora[0]
    near = [corpus for corpus in corpora if corpus in neighbours]
    if len(near) == 1:
        return near[0]
    for folder in path.absolute().parents:
        named = [corpus for corpus in corpora if corpus.lower() in folder.name.lower()]
        if len(named) == 1:
            return named[0]
    if near:
        raise SentimentalError(
            f"{path}: its emotion cannot be told; its folder holds recordings of "
            f"{' and '.join(near)}, whose names are alike; give each a folder called like it"
        )
    return corpora[-1]
