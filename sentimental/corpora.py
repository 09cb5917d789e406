"""All that is known of each corpus.

A new corpus is one more entry of ``CORPORA``. No other module names its files, its codes, its
speakers or its archive.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from sentimental.base import EMOTIONS, SentimentalError

# Corpora ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Archive:
    """Where data/download.py gets a corpus.

    Attributes
    ----------
    url : str, of a ZIP archive
    md5 : str, hexadecimal, of the archive
    n_files : int, WAV files in it at least; a mirror may hold each file twice
    page : str, address where the corpus is published
    """

    url: str
    md5: str
    n_files: int
    page: str


@dataclass(frozen=True)
class Corpus:
    """How a corpus names its recordings.

    Attributes
    ----------
    name : str
    pattern : str
        Regular expression of the end of a recording's path, without extension, in any case of
        letters, with groups ``speaker`` and ``emotion``. The first corpus whose pattern fits is
        taken, so one whose names look like another's has a folder in its pattern, and stands
        before the other.
    emotion_codes : Mapping of str to str
        Group ``emotion`` in lower case, to one of ``EMOTIONS``.
    sex_of : callable
        Takes a speaker, returns "female", "male" or, where it is not known, None.
    speaker_aliases : Mapping of str to str
        Group ``speaker`` in upper case, to the name that other recordings of that speaker have.
    archive : Archive or None
        None where the user has to get the corpus.
    """

    name: str
    pattern: str
    emotion_codes: Mapping[str, str]
    sex_of: Callable[[str], str | None]
    speaker_aliases: Mapping[str, str] = field(default_factory=dict)
    archive: Archive | None = None


def _sex_of_actor(speaker):
    """RAVDESS gives odd numbers to men and even ones to women."""
    return "male" if int(speaker) % 2 else "female"


RAVDESS_CODES = {
    "01": "neutral",
    "02": "calm",
    "03": "happy",
    "04": "sad",
    "05": "angry",
    "06": "fear",
    "07": "disgust",
    "08": "surprise",
}

CORPORA = {
    corpus.name: corpus
    for corpus in (
        Corpus(
            name="TESS",
            pattern=r"(?P<speaker>OAF?|YAF)_\w+_(?P<emotion>[a-z]+)",
            emotion_codes={
                "neutral": "neutral",
                "happy": "happy",
                "sad": "sad",
                "angry": "angry",
                "fear": "fear",
                "disgust": "disgust",
                "ps": "surprise",  # "pleasant surprise"
            },
            sex_of=lambda speaker: "female",
            # One file, OA_bite_neutral.wav, has a shorter prefix.
            speaker_aliases={"OA": "OAF"},
            archive=Archive(
                url="https://bj.bcebos.com/paddleaudio/datasets/"
                "TESS_Toronto_emotional_speech_set.zip",
                md5="1465311b24d1de704c4c63e4ccc470c7",
                n_files=2800,
                page="https://doi.org/10.5683/SP2/E8H2MF",
            ),
        ),
        Corpus(
            name="RAVDESS",
            pattern=r"0[1-3]-01-(?P<emotion>\d\d)-\d\d-\d\d-\d\d-(?P<speaker>\d\d)",
            emotion_codes=RAVDESS_CODES,
            sex_of=_sex_of_actor,
            archive=Archive(
                url="https://zenodo.org/records/1188976/files/Audio_Speech_Actors_01-24.zip",
                md5="bc696df654c87fed845eb13823edef8a",
                n_files=1440,
                page="https://doi.org/10.5281/zenodo.1188976",
            ),
        ),
        Corpus(
            name="RAVDESS song",
            pattern=r"0[1-3]-02-(?P<emotion>\d\d)-\d\d-\d\d-\d\d-(?P<speaker>\d\d)",
            emotion_codes=RAVDESS_CODES,
            sex_of=_sex_of_actor,
        ),
        Corpus(
            name="CREMA-D",
            pattern=r"(?P<speaker>1\d{3})_[A-Z]{3}_(?P<emotion>[A-Z]{3})_[A-Z]{1,2}",
            emotion_codes={
                "neu": "neutral",
                "hap": "happy",
                "sad": "sad",
                "ang": "angry",
                "fea": "fear",
                "dis": "disgust",
            },
            sex_of=lambda speaker: None,  # a table beside the recordings tells it, no name does
        ),
        Corpus(
            name="SAVEE",
            pattern=r"(?P<speaker>DC|JE|JK|KL)[_/](?P<emotion>[a-z]+)\d\d",
            emotion_codes={
                "n": "neutral",
                "h": "happy",
                "sa": "sad",
                "a": "angry",
                "f": "fear",
                "d": "disgust",
                "su": "surprise",
            },
            sex_of=lambda speaker: "male",
        ),
    )
}


# Recordings -------------------------------------------------------------------------------------


def describe(path):
    """Tell corpus, speaker and emotion of a recording from its name, or its folder's.

    Parameters
    ----------
    path : Path

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
    location = path.absolute().with_suffix("").as_posix()
    for corpus in CORPORA.values():
        match = re.fullmatch(f"(?s:.*/){corpus.pattern}", location, re.IGNORECASE)
        if match and match["emotion"].lower() in corpus.emotion_codes:
            speaker = match["speaker"].upper()
            return recording | {
                "corpus": corpus.name,
                "speaker": corpus.speaker_aliases.get(speaker, speaker),
                "emotion": corpus.emotion_codes[match["emotion"].lower()],
            }
    folder = path.absolute().parent
    if folder.name.lower() not in EMOTIONS:
        raise SentimentalError(
            f"{path}: its emotion cannot be told; put it into a folder named by one of "
            f"{', '.join(EMOTIONS)}"
        )
    return recording | {
        "corpus": folder.parent.name,
        "speaker": "",
        "emotion": folder.name.lower(),
    }


def speaker_sex(recording):
    """Sex of the speaker of a recording, as far as its corpus tells it.

    Parameters
    ----------
    recording : dict with ``corpus`` and ``speaker``

    Returns
    -------
    sex : str, "female" or "male", or None
    """
    corpus = CORPORA.get(recording["corpus"])
    return corpus.sex_of(recording["speaker"]) if corpus and recording["speaker"] else None
