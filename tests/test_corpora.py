"""What file names tell of recordings."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from sentimental import corpora
from sentimental.base import EMOTIONS, SentimentalError
from sentimental.corpora import CORPORA, describe, reason_left_out, speaker_sex


@pytest.mark.parametrize(
    ("name", "corpus", "speaker", "emotion", "sex"),
    [
        ("OAF_back_angry.wav", "TESS", "OAF", "angry", "female"),
        ("YAF_pleasant_ps.wav", "TESS", "YAF", "surprise", "female"),
        ("yaf_back_Disgust.WAV", "TESS", "YAF", "disgust", "female"),
        ("OA_bite_neutral.wav", "TESS", "OAF", "neutral", "female"),
        ("03-01-02-01-01-02-13.wav", "RAVDESS", "13", "calm", "male"),
        ("03-01-08-02-01-02-24.flac", "RAVDESS", "24", "surprise", "female"),
        ("03-02-06-02-01-02-24.wav", "RAVDESS song", "24", "fear", "female"),
        ("1001_DFA_ANG_XX.wav", "CREMA-D", "1001", "angry", None),
        ("1091_WSI_HAP_HI.wav", "CREMA-D", "1091", "happy", None),
        ("1040_ITH_SAD_X.wav", "CREMA-D", "1040", "sad", None),
        ("DC/a01.wav", "SAVEE", "DC", "angry", "male"),
        ("DC_sa01.wav", "SAVEE", "DC", "sad", "male"),
        ("KL_su15.wav", "SAVEE", "KL", "surprise", "male"),
        ("EB0_anger_1.wav", "nEMO", "EB0", "angry", None),
        ("WR0_surprised_64.wav", "nEMO", "WR0", "surprise", None),
        ("n1-01-01-01-05.wav", "ASED", "05", "neutral", "female"),
        ("01Neutral/f2-03-02-02-65.wav", "ASED", "65", "fear", "male"),
        ("S4-04-02-01-29.wav", "ASED", "29", "sad", "female"),
        ("n1-07-02-02-21.wav", "ASED", "21", "neutral", "female"),  # her other names say 01
        ("BanglaSER/03-01-04-02-03-02-15.wav", "BanglaSER", "15", "surprise", "male"),
        ("BanglaSER 5/Actor_02/03-01-03-02-01-03-02.wav", "BanglaSER", "02", "angry", "female"),
        ("TurEV/Sad/7895_hl_zeytin.wav", "TurEV", "7895", "sad", None),
        ("1234_sk_kemik.wav", "TurEV", "1234", "calm", None),
        ("anger/a01 (2).wav", "AESDD", "2", "angry", None),
        ("fear/f10 (01).wav", "AESDD", "1", "fear", None),
        ("sadness/s05 (5)b.wav", "AESDD", "5", "sad", None),
        ("JE_a07.wav", "SAVEE", "JE", "angry", "male"),
    ],
)
def test_the_file_name_tells_corpus_speaker_and_emotion(name, corpus, speaker, emotion, sex):
    told = describe(Path("happy") / name)  # the folder says otherwise and is not asked
    assert told == {
        "file": f"happy/{name}",
        "corpus": corpus,
        "speaker": speaker,
        "emotion": emotion,
    }
    assert speaker_sex(told) == sex


def test_other_recordings_are_told_by_their_folder():
    told = describe(Path("mine/Disgust/monday.wav"))
    assert (told["corpus"], told["speaker"], told["emotion"]) == ("mine", "", "disgust")
    assert speaker_sex(told) is None


def test_the_folder_that_a_user_stands_in_counts(tmp_path, monkeypatch):
    folder = tmp_path / "mine" / "fear"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    assert describe(Path("monday.wav")) == {
        "file": "monday.wav",
        "corpus": "mine",
        "speaker": "",
        "emotion": "fear",
    }


@pytest.mark.parametrize(
    "name",
    [
        "mine/joyful/a.wav",
        "a.wav",
        "03-01-09-01-01-02-13.wav",
        "OAF_back_bored.wav",
        "DC_x01.wav",
        "03-01-04-02-03-02-15.wav",  # BanglaSER's, outside a folder of that name
        "03-01-04-02-01-02-34.wav",
        "BanglaSER/03-01-08-01-03-02-13.wav",
        "a01 (2).wav",  # a second download of anything
        "AB1_bored_1.wav",
        "my_1001_DFA_ANG_XX.wav",
    ],
)
def test_an_emotion_that_cannot_be_told_is_not_guessed(name):
    with pytest.raises(SentimentalError, match="cannot be told") as caught:
        describe(Path(name))
    assert str(caught.value).startswith(f"{name}: ")


@pytest.mark.parametrize("corpus", CORPORA)
def test_own_recordings_in_a_folder_called_like_a_corpus_have_no_speaker(corpus):
    told = describe(Path(corpus, "happy", "monday.wav"))
    assert (told["speaker"], speaker_sex(told)) == ("", None)


def test_ased_has_as_many_women_and_men_as_it_was_published_with():
    sexes = [CORPORA["ASED"].sex_of(f"{speaker:02}") for speaker in range(1, 66)]
    assert (sexes.count("female"), sexes.count("male")) == (25, 40)


@pytest.mark.parametrize("corpus", CORPORA.values(), ids=CORPORA)
def test_codes_stand_for_emotions_that_the_network_knows(corpus):
    assert {*corpus.emotion_codes.values()} <= {*EMOTIONS}
    assert all(code == code.lower() for code in corpus.emotion_codes)


def test_a_corpus_named_like_another_is_told_by_its_folder(monkeypatch):
    other = replace(
        CORPORA["RAVDESS"],
        name="other",
        pattern=rf"other/{CORPORA['RAVDESS'].pattern}",
        emotion_codes={"01": "happy"},
    )
    monkeypatch.setattr(corpora, "CORPORA", {"other": other} | CORPORA)
    for folder, corpus, emotion in (("other", "other", "happy"), ("x", "RAVDESS", "neutral")):
        told = describe(Path(folder, "03-01-01-01-01-02-13.wav"))
        assert (told["corpus"], told["emotion"]) == (corpus, emotion)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("CREMA-D/1006_TIE_HAP_XX.wav", "two emotions"),
        ("CREMA-D/1017_IWW_FEA_XX.mp3", "two emotions"),
        ("CREMA-D/1017_IWW_SAD_XX.wav", None),
        ("CREMA-D/1076_mti_sad_xx.flac", "silent"),
        ("BanglaSER/03-01-05-01-01-01-01.wav", "another session"),
        ("BanglaSER/03-01-01-01-01-01-05.wav", None),
        ("RAVDESS/03-01-05-01-01-01-01.wav", None),
        ("TurEV/Angry/1358_kz_beste.wav", "noise gate"),
        ("TurEV/Calm/1984_sk_beste.wav", "noise gate"),
        ("TurEV/Calm/1234_sk_beste.wav", None),
        ("AESDD/sadness/s05 (3).wav", "WAV file"),
        ("AESDD/sadness/s05 (4).wav", None),
        ("mine/happy/1076_MTI_SAD_XX copy.wav", None),
    ],
)
def test_faulty_recordings_are_left_out_for_a_reason(name, reason):
    found = reason_left_out(describe(Path(name)))
    assert (reason in found) if reason else found is None


@pytest.mark.parametrize("corpus", [c for c in CORPORA.values() if c.archive], ids=lambda c: c.name)
def test_what_is_downloaded_can_be_checked(corpus):
    archive = corpus.archive
    assert bool(re.fullmatch("[0-9a-f]{32}", archive.md5)) != bool(
        re.fullmatch("[0-9a-f]{64}", archive.sha256)
    )
    if archive.sha256:  # a fixed commit, in the archive's address as in that of single files
        commit = re.search("[0-9a-f]{40}", archive.url)[0]
        assert commit in archive.root
        assert commit in archive.media
        assert archive.root.endswith("/")
        assert archive.media.endswith("/")


# Names of each corpus, and what each of its codes stands for as its makers publish them.
PUBLISHED = {
    "TESS": (
        "OAF_back_{}",
        {code: code for code in ("neutral", "happy", "sad", "angry", "fear", "disgust")}
        | {"ps": "surprise"},
    ),
    "RAVDESS": (
        "03-01-{}-01-01-01-05",
        {
            **{"01": "neutral", "02": "calm", "03": "happy", "04": "sad"},
            **{"05": "angry", "06": "fear", "07": "disgust", "08": "surprise"},
        },
    ),
    "RAVDESS song": (
        "03-02-{}-01-01-01-05",
        {
            **{"01": "neutral", "02": "calm", "03": "happy", "04": "sad"},
            **{"05": "angry", "06": "fear", "07": "disgust", "08": "surprise"},
        },
    ),
    "BanglaSER": (
        "BanglaSER/03-01-{}-02-03-02-15",
        {"01": "happy", "02": "sad", "03": "angry", "04": "surprise", "05": "neutral"},
    ),
    "CREMA-D": (
        "1002_DFA_{}_XX",
        {
            **{"NEU": "neutral", "HAP": "happy", "SAD": "sad"},
            **{"ANG": "angry", "FEA": "fear", "DIS": "disgust"},
        },
    ),
    "nEMO": (
        "EB0_{}_1",
        {
            **{"neutral": "neutral", "happiness": "happy", "sadness": "sad"},
            **{"anger": "angry", "fear": "fear", "surprised": "surprise"},
        },
    ),
    "ASED": (
        "{}-01-01-01-05",
        {"n1": "neutral", "f2": "fear", "h3": "happy", "s4": "sad", "a5": "angry"},
    ),
    "TurEV": ("1234_{}_kemik", {"sk": "calm", "mt": "happy", "hl": "sad", "kz": "angry"}),
    "AESDD": (
        "{}/a01 (2)",
        {
            **{"happiness": "happy", "sadness": "sad", "anger": "angry"},
            **{"fear": "fear", "disgust": "disgust"},
        },
    ),
    "SAVEE": (
        "DC/{}01",
        {
            **{"n": "neutral", "h": "happy", "sa": "sad", "a": "angry"},
            **{"f": "fear", "d": "disgust", "su": "surprise"},
        },
    ),
}


@pytest.mark.parametrize("corpus", PUBLISHED)
def test_each_code_of_a_corpus_stands_for_what_its_makers_say(corpus):
    name, codes = PUBLISHED[corpus]
    told = {code: describe(Path(f"{name.format(code)}.wav")) for code in codes}
    assert {code: recording["emotion"] for code, recording in told.items()} == codes
    assert {recording["corpus"] for recording in told.values()} == {corpus}
    assert {code.lower() for code in codes} == {*CORPORA[corpus].emotion_codes}


def test_the_codes_of_every_corpus_are_tested():
    assert {*PUBLISHED} == {*CORPORA}
