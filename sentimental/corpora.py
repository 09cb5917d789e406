"""All that is known of each corpus.

A new corpus is one more entry of ``CORPORA``. No other module names its files, its codes, its
speakers or its archive.
"""

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Archive:
    """Where data/download.py gets a corpus.

    Attributes
    ----------
    url : str, of a ZIP archive
    n_files : int, WAV files in it at least; a mirror may hold each file twice
    megabytes : int, of the unpacked recordings
    page : str, address where the corpus is published
    md5 : str, hexadecimal, of the archive; "" where its bytes may change
    root : str, how the archive's names of recordings begin; this is left out of their path
    sha256 : str, of what ``sha256sum`` prints of the recordings, sorted by path; "" beside an MD5
    media : str, address of recordings of which the archive holds pointers of Git LFS, less path
    """

    url: str
    n_files: int
    megabytes: int
    page: str
    md5: str = ""
    root: str = ""
    sha256: str = ""
    media: str = ""


def _github(repository, commit, folder="", **known):
    """Archive of one commit on GitHub. GitHub makes it anew when asked, so it has no MD5."""
    return Archive(
        url=f"https://github.com/{repository}/archive/{commit}.zip",
        root=f"{repository.split('/')[1]}-{commit}/{folder}",
        media=f"https://media.githubusercontent.com/media/{repository}/{commit}/{folder}",
        **{"page": f"https://github.com/{repository}"} | known,
    )


@dataclass(frozen=True)
class Corpus:
    """How a corpus names its recordings.

    Attributes
    ----------
    name : str
    pattern : str
        Regular expression of the end of a recording's path, without extension, in any case of
        letters, with groups ``speaker`` and ``emotion``, and ``take`` where another part of the
        name may differ between files of one take. Where the patterns of several corpora fit, and
        nothing else tells them apart, the last is taken.
    emotion_codes : dict, group ``emotion`` in lower case to an emotion; others are left out
    sex_of : callable, a speaker to "female", "male" or, where it is not known, None
    speaker_aliases : dict, group ``speaker`` in upper case to the name in other recordings
    left_out : dict, regular expression of names, without extension, to why they must not be used
    archive : Archive, or None where the user has to get the corpus
    """

    name: str
    pattern: str
    emotion_codes: dict[str, str]
    sex_of: Callable[[str], str | None] = lambda speaker: None
    speaker_aliases: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    archive: Archive | None = None


def _codes(text):
    """Codes and what they stand for, as in "a=angry s=sad fear"; `fear` stands for itself."""
    pairs = (pair.partition("=") for pair in text.split())
    return {code: emotion or code for code, _, emotion in pairs}


def _sex_of_actor(speaker):
    """RAVDESS and BanglaSER give odd numbers to men and even ones to women."""
    return "male" if speaker[-1:] in "13579" else "female"


RAVDESS_CODES = _codes("01=neutral 02=calm 03=happy 04=sad 05=angry 06=fear 07=disgust 08=surprise")

# ASED writes the sex into every name (01 is a woman), 5 times wrongly; these are its 25 women.
ASED_WOMEN = {f"{number:02}" for number in (*range(1, 38, 2), 43, 47, 48, 49, 58, 62)}
EMODB_WOMEN = {"08", "09", "13", "14", "16"}

_ALL = [
    Corpus(
        "TESS",
        pattern=r"(?P<speaker>OAF?|YAF)_(?P<take>\w+_(?P<emotion>[a-z]+))",
        # "ps" is "pleasant surprise".
        emotion_codes=_codes("neutral happy sad angry fear disgust ps=surprise"),
        sex_of=lambda speaker: "female",
        # One file, OA_bite_neutral.wav, has a shorter prefix.
        speaker_aliases={"OA": "OAF"},
        archive=Archive(
            url="https://bj.bcebos.com/paddleaudio/datasets/TESS_Toronto_emotional_speech_set.zip",
            md5="1465311b24d1de704c4c63e4ccc470c7",
            n_files=2800,
            megabytes=563,  # twice what one reads, because every file is in it twice
            page="https://doi.org/10.5683/SP2/E8H2MF",
        ),
    ),
    Corpus(
        "BanglaSER",
        # Named like RAVDESS, with more sentences, repetitions and speakers, and other codes.
        pattern=r"0[1-3]-01-(?P<emotion>\d\d)-0[12]-0[1-3]-0[1-3]-(?P<speaker>[0-2]\d|3[0-4])",
        emotion_codes=_codes("01=happy 02=sad 03=angry 04=surprise 05=neutral"),
        sex_of=_sex_of_actor,
        left_out={
            r".{6}05-.*": "neutral speech is of another session than the other emotions, which "
            "a network would learn instead",
        },
        archive=_github(
            "pritam-banik-roy/Bengali-Speech-Emotion-Recognition-App",
            "ae8b06ba5862ea54480ce3dd958e7536f56614f9",
            "dataset/",
            n_files=1466,
            megabytes=814,
            sha256="1fc3f34c3dc455a2a0ebdd9eb3fa98dc61a078a0829377d6fa3e1afb6c5d20fc",
            page="https://doi.org/10.17632/t9h6p943xy",
        ),
    ),
    Corpus(
        "RAVDESS",
        # A take was published as sound (03) and as video with sound (01).
        pattern=r"0[1-3]-(?P<take>01-(?P<emotion>\d\d)-\d\d-0[12]-0[12]-"
        r"(?P<speaker>[01]\d|2[0-4]))",
        emotion_codes=RAVDESS_CODES,
        sex_of=_sex_of_actor,
        archive=Archive(
            url="https://zenodo.org/records/1188976/files/Audio_Speech_Actors_01-24.zip",
            md5="bc696df654c87fed845eb13823edef8a",
            n_files=1440,
            megabytes=515,
            page="https://doi.org/10.5281/zenodo.1188976",
        ),
    ),
    Corpus(
        "RAVDESS song",
        pattern=r"0[1-3]-(?P<take>02-(?P<emotion>\d\d)-\d\d-\d\d-\d\d-(?P<speaker>\d\d))",
        emotion_codes=RAVDESS_CODES,
        sex_of=_sex_of_actor,
    ),
    Corpus(
        "CREMA-D",
        pattern=r"(?P<speaker>1\d{3})_[A-Z]{3}_(?P<emotion>[A-Z]{3})_[A-Z]{1,2}",
        emotion_codes=_codes("neu=neutral hap=happy sad=sad ang=angry fea=fear dis=disgust"),
        left_out={
            r"1006_TIE_(HAP|NEU)_XX|1013_WSI_(DIS|SAD)_XX|1017_IWW_(ANG|FEA)_XX": "one "
            "recording under the names of two emotions",
            r"1076_MTI_SAD_XX": "silent",
        },
        archive=_github(
            "CheyneyComputerScience/CREMA-D",
            "1658cd342dff90010aa843eaeebd53610a08b1dc",
            "AudioWAV/",
            n_files=7442,
            megabytes=606,
            sha256="5a926e03e9801b41a6de63f156e29b5630dad7e71ac5fe83c75f04438b6401ea",
        ),
    ),
    Corpus(
        "nEMO",
        pattern=r"(?P<speaker>[A-Z]{2}0)_(?P<emotion>[a-z]+)_\d+",
        emotion_codes=_codes(
            "neutral happiness=happy sadness=sad anger=angry fear surprised=surprise"
        ),
        archive=_github(
            "amu-cai/nEMO",
            "66de9999a8f2f605eb5f64841790aa5cb0877782",
            "samples/",
            n_files=4481,
            megabytes=531,
            sha256="87c7a9609c32db76615eb61925d260bc921a64f903bd1f0644cd122df56844c1",
        ),
    ),
    Corpus(
        "ASED",
        pattern=r"(?P<emotion>[a-z]\d)-\d\d-\d\d-\d\d-(?P<speaker>\d\d)",
        emotion_codes=_codes("n1=neutral f2=fear h3=happy s4=sad a5=angry"),
        sex_of=lambda speaker: "female" if speaker in ASED_WOMEN else "male",
        archive=_github(
            "Ethio2021/ASED_V1",
            "30fee0345cbd37e12dd725fbe69f90522cffb046",
            n_files=2474,
            megabytes=243,
            sha256="824ac27ab08a4cf5da377d38a8d1168430c8f60adebc9880a6ae6f52d898b5fb",
        ),
    ),
    Corpus(
        "TurEV",
        pattern=r"(?P<speaker>1157|1234|1358|1984|6783|7895)_(?P<emotion>[a-z]{2})_\w+",
        emotion_codes=_codes("sk=calm mt=happy hl=sad kz=angry"),
        left_out={
            r"(1358|1984)_.*": "a noise gate has emptied the pauses of these two speakers "
            "in some emotions alone, which a network would learn instead",
        },
        archive=_github(
            "Xeonen/TurEV-DB",
            "be9873eccbc40538acbeb5e67c718bda96763cf3",
            "Sound Source/",
            n_files=1735,
            megabytes=147,
            sha256="7569ab7c9aa9dbcbf6700e02a04c20b23b74309e60de84c3a391f097ef3cf3d0",
        ),
    ),
    Corpus(
        "AESDD",
        # The first letter would tell it too, but "s01 (2).wav" may be anyone's second download.
        pattern=r"(?P<emotion>(?P<letter>[adfhs])[a-z]+)/(?P=letter)\d\d "
        r"\(0?(?P<speaker>[1-6])\)[ab]?",
        emotion_codes=_codes("happiness=happy sadness=sad anger=angry fear disgust"),
        left_out={r"s05 \(3\)": "nothing but the head of a WAV file"},
        archive=_github(
            "Jimlibo/Speech-Emotion-Classifier",
            "1dfee3de8c07f5fbc8d62de2dc099d994be03a4c",
            "data/",
            n_files=604,
            megabytes=408,
            sha256="84414f01bf45d67014e36c214b501aac82c3ec1f3b00d0279e727f185926d8da",
            page="http://m3c.web.auth.gr/research/aesdd-speech-emotion-recognition/",
        ),
    ),
    Corpus(
        "SAVEE",
        # Published as DC/a01.wav; copies in one folder are called DC_a01.wav or DCa01.wav.
        pattern=r"(?P<speaker>DC|JE|JK|KL)[_/]?"
        r"(?P<take>(?P<emotion>[a-z]+)(?:0[1-9]|[12]\d|30))",
        emotion_codes=_codes("n=neutral h=happy sa=sad a=angry f=fear d=disgust su=surprise"),
        sex_of=lambda speaker: "male",
    ),
    Corpus(
        "EmoDB",
        pattern=r"(?P<speaker>0[389]|1[0-6])[ab]\d\d(?P<emotion>[a-z])[a-z]?",
        emotion_codes=_codes("n=neutral f=happy t=sad w=angry a=fear e=disgust l=boredom"),
        sex_of=lambda speaker: "female" if speaker in EMODB_WOMEN else "male",
        left_out={".{5}L.*": "boredom, which is none of the emotions that are recognized"},
    ),
]
CORPORA = {corpus.name: corpus for corpus in _ALL}


def speaker_sex(recording):
    """Sex of the speaker of a recording, "female" or "male"; None where its corpus tells none."""
    corpus = CORPORA.get(recording.corpus)
    return corpus.sex_of(recording.speaker) if corpus and recording.speaker else None
