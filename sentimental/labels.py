"""Corpus, speaker, emotion and take of a recording, told by its name, or by its folder's."""

import re
from collections import defaultdict
from pathlib import Path

from sentimental.base import SentimentalError
from sentimental.corpora import CORPORA

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


def describe(path, neighbours=frozenset()):
    """Tell corpus, speaker and emotion of a recording from its name, or its folder's.

    What folders are called tells a corpus only where the name leaves several: those of RAVDESS and
    BanglaSER are alike. Then the other names in the folder decide, then the nearest folder above
    that is called like one of them, and then it is RAVDESS.

    Parameters
    ----------
    path : Path
    neighbours : set of str, corpora that names in the same folder can only be of

    Returns
    -------
    recording : dict with ``file``, ``corpus``, ``speaker`` and ``emotion``
        For a recording of no known corpus: the corpus is the name of the folder that holds the
        emotions' folders, and the speaker is "".

    Raises
    ------
    SentimentalError
        When the emotion cannot be told.
    """
    recording = {"file": path.as_posix()}
    if matches := _fitting(path):
        corpus = CORPORA[_likeliest([*matches], path, neighbours)]
        match = matches[corpus.name]
        speaker = match["speaker"].upper()
        return recording | {
            "corpus": corpus.name,
            "speaker": corpus.speaker_aliases.get(speaker, speaker),
            "emotion": corpus.emotion_codes[match["emotion"].lower()],
        }
    folder = path.absolute().parent
    name = re.sub(r"[\W_]+", " ", folder.name.lower()).strip()
    emotion = FOLDER_NAMES.get(name) or FOLDER_NAMES.get(name.removesuffix("s"))
    if not emotion:
        raise SentimentalError(
            f"{path}: its emotion cannot be told; put it into a folder named by one of "
            f"{', '.join(FOLDER_NAMES)}"
        )
    own = folder.parent.name
    # Whatever it is called, it is neither that corpus nor one of the groups of the results.
    if own.lower() in {other.lower() for other in (*CORPORA, *SEXES)}:
        own += " (own)"
    return recording | {"corpus": own, "speaker": "", "emotion": emotion}


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
    recording : dict with ``file``, ``corpus`` and ``speaker``

    Returns
    -------
    take : tuple of str, or None for a recording of no known corpus, whose name tells nothing
    """
    if recording["corpus"] not in CORPORA:
        return None
    match = _match(CORPORA[recording["corpus"]], _location(Path(recording["file"])))
    name = match.groupdict().get("take") or match["name"]
    return recording["corpus"], recording["speaker"], name.lower()


def reason_left_out(recording):
    """Why a recording of a known corpus must not be used.

    Parameters
    ----------
    recording : dict with ``file`` and ``corpus``

    Returns
    -------
    reason : str, or None when nothing speaks against it
    """
    corpus = CORPORA.get(recording["corpus"])
    name = Path(recording["file"]).stem
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
