"""Corpus, speaker, emotion and take of a recording: by its name, or its folders' names."""

import difflib
import os
import re
from collections import defaultdict
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
    return re.sub(r"[\W_]+", " ", name.lower()).strip()


def unknown_emotion(name, names):
    """What is wrong with a word that names no emotion, and what to do."""
    near = "".join(difflib.get_close_matches(_plain(name), names, 1, NEAR))
    hint = f"; did you mean {near}?" if near else ","
    return (
        f"{name!r} is no known emotion{hint} known are {', '.join(names)}; "
        "what others mean, --map NAME=EMOTION says"
    )


def describe(path, neighbours=frozenset(), of_speakers=frozenset(), names=EMOTION_NAMES):
    """Tell corpus, speaker and emotion of a recording from its name, or its folder's.

    What folders are called tells a corpus only where the name leaves several: those of RAVDESS and
    BanglaSER are alike. Then the other names in the folder decide, then the nearest folder above
    that is called like one of them, and then it is RAVDESS.

    Parameters
    ----------
    path : Path
    neighbours : set of str, corpora that names in the same folder can only be of
    of_speakers : set of Path, as `folders_of_speakers` gives them
    names : dict of str, what emotions are called

    Returns
    -------
    recording : Recording
        Of no known corpus: the folder that holds the emotions' folders is the speaker, in the
        folder of a corpus, where that one is among `of_speakers`; else it is the corpus, and the
        speaker is "".

    Raises
    ------
    SentimentalError
        When the emotion cannot be told.
    """
    if matches := _fitting(path):
        corpus = CORPORA[_likeliest([*matches], path, neighbours)]
        match = matches[corpus.name]
        speaker = match["speaker"].upper()
        return Recording(
            file=path.as_posix(),
            corpus=corpus.name,
            speaker=corpus.speaker_aliases.get(speaker, speaker),
            emotion=corpus.emotion_codes[match["emotion"].lower()],
        )
    folder = absolute(path).parent
    emotion = emotion_named(folder.name, names)
    if not emotion:
        raise SentimentalError(
            f"{path}: its emotion cannot be told: {unknown_emotion(folder.name, names)}"
        )
    own, speaker = folder.parent, ""
    if own.parent in of_speakers:
        own, speaker = own.parent, own.name
    return Recording(path.as_posix(), own_corpus(own), speaker, emotion)


def absolute(path):
    """A path from the root on, without ``..``: what its folders are called."""
    return Path(os.path.abspath(path))


def own_corpus(folder):
    """What a corpus of somebody's own in a folder is called.

    Whatever that folder is called, it is neither a known corpus nor a group of the results.
    """
    is_taken = folder.name.lower() in {other.lower() for other in (*CORPORA, *SEXES)}
    return f"{folder.name} (own)" if is_taken else folder.name


def folders_of_speakers(files, given, neighbours, names=EMOTION_NAMES):
    """Which of the given folders hold a folder for each speaker, and these one for each emotion.

    None of them is called like an emotion or one of ``NOT_SPEAKERS``. In a folder that holds
    recordings of known corpora as well, such folders are corpora rather than speakers.

    Parameters
    ----------
    files : list of Path
    given : list of Path, what the user named
    neighbours : dict of set of str, as `corpora_by_folder` gives it
    names : dict of str, what emotions are called

    Returns
    -------
    folders : set of Path
    """
    speakers = {absolute(folder): set() for folder in given}
    for path in files:
        folder = absolute(path).parent
        speaker = folder.parent
        if speaker.parent in speakers and emotion_named(folder.name, names) and not _fitting(path):
            speakers[speaker.parent].add(speaker.name)
    collections = {
        parent
        for folder, corpora in neighbours.items()
        if corpora
        for parent in [absolute(folder), *absolute(folder).parents]
    }
    return {
        folder
        for folder, found in speakers.items()
        if found and folder not in collections
        if not any(emotion_named(n, names) or n.lower() in NOT_SPEAKERS for n in found)
    }


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
