"""What file names and folders tell of recordings."""

import re
from pathlib import Path

import pytest
from damage import refusal

from sentimental.corpora import CORPORA, speaker_sex
from sentimental.features_file import Recording
from sentimental.preprocessing.labels import EMOTION_NAMES, Labels, reason_left_out, take_of
from sentimental.scripts import EMOTIONS, SentimentalError


def describe(path, others=(), given=()):
    """What preprocess.py takes a file for, among others."""
    return Labels([path, *others], given).describe(path)


@pytest.mark.parametrize(
    ("name", "corpus", "speaker", "emotion", "sex"),
    [
        ("OAF_back_angry.wav", "TESS", "OAF", "angry", "female"),
        ("YAF_pleasant_ps.wav", "TESS", "YAF", "surprise", "female"),
        ("YAF_BACK_PS.WAV", "TESS", "YAF", "surprise", "female"),
        ("OA_bite_neutral.wav", "TESS", "OAF", "neutral", "female"),
        ("03-01-02-01-01-02-13.wav", "RAVDESS", "13", "calm", "male"),
        ("03-01-08-02-01-02-24.flac", "RAVDESS", "24", "surprise", "female"),
        ("03-02-06-02-01-02-24.wav", "RAVDESS song", "24", "fear", "female"),
        ("1091_WSI_HAP_HI.wav", "CREMA-D", "1091", "happy", None),
        ("1040_ITH_SAD_X.wav", "CREMA-D", "1040", "sad", None),
        ("WR0_surprised_64.wav", "nEMO", "WR0", "surprise", None),
        ("n1-01-01-01-05.wav", "ASED", "05", "neutral", "female"),
        ("01Neutral/f2-03-02-02-65.wav", "ASED", "65", "fear", "male"),
        ("S4-04-02-01-29.wav", "ASED", "29", "sad", "female"),
        ("n1-07-02-02-21.wav", "ASED", "21", "neutral", "female"),  # her other names say 01
        ("BanglaSER/03-01-04-02-03-02-15.wav", "BanglaSER", "15", "surprise", "male"),
        ("BanglaSER 5/Actor_02/03-01-03-02-01-03-02.wav", "BanglaSER", "02", "angry", "female"),
        ("TurEV/Sad/7895_hl_zeytin.wav", "TurEV", "7895", "sad", None),
        ("1234_sk_kemik.wav", "TurEV", "1234", "calm", None),
        ("fear/f10 (01).wav", "AESDD", "1", "fear", None),
        ("sadness/s05 (5)b.wav", "AESDD", "5", "sad", None),
        ("KL_su15.wav", "SAVEE", "KL", "surprise", "male"),
        ("DCa01.wav", "SAVEE", "DC", "angry", "male"),  # all of it in one folder
        ("AudioData/KL/n30.wav", "SAVEE", "KL", "neutral", "male"),
        ("14b02N.wav", "EmoDB", "14", "neutral", "female"),
        ("wav/16B10WB.WAV", "EmoDB", "16", "angry", "female"),
        ("mine/Disgust/monday.wav", "mine", "", "disgust", None),  # no corpus, so its folder does
        ("mine/sadness/a01 (2).wav", "mine", "", "sad", None),  # AESDD's are s01 there
        # Copies, as systems and browsers name them
        ("03-01-02-01-01-02-13 (1).wav", "RAVDESS", "13", "calm", "male"),
        ("03-01-02-01-01-02-13(12).wav", "RAVDESS", "13", "calm", "male"),
        ("03-01-02-01-01-02-13 - Copy (2).wav", "RAVDESS", "13", "calm", "male"),
        ("03-01-02-01-01-02-13 copy 2.wav", "RAVDESS", "13", "calm", "male"),
        ("1001_DFA_ANG_XX (copy).wav", "CREMA-D", "1001", "angry", None),
        ("DC/a01 (1).wav", "SAVEE", "DC", "angry", "male"),
        ("anger/a01 (2) (1).wav", "AESDD", "2", "angry", None),
    ],
)
def test_the_file_name_tells_corpus_speaker_and_emotion(name, corpus, speaker, emotion, sex):
    told = describe(Path("happy") / name)  # the folder says otherwise and is not asked
    assert told == Recording(f"happy/{name}", corpus, speaker, emotion)
    assert speaker_sex(told) == sex


def test_ased_has_as_many_women_and_men_as_it_was_published_with():
    sexes = [CORPORA["ASED"].sex_of(f"{speaker:02}") for speaker in range(1, 66)]
    assert (sexes.count("female"), sexes.count("male")) == (25, 40)


# Once more, as people name their folders: the test fails when the table changes.
FOLDERS = {
    "neutral": ["neutral", "Neutral", "NEUTRAL ", "neutrals"],
    "calm": ["calm", "calmness"],
    "happy": ["happy", "Happy ", "happiness", "joy", "Joys", "joyful"],
    "sad": ["sad", " SAD", "sadness"],
    "angry": ["angry", "anger", "Angry_"],
    "fear": ["fear", "fears", "fearful", "afraid", "scared"],
    "disgust": ["disgust", "disgusted", "Disgusts"],
    "surprise": [
        *("surprise", "surprises", "surprised", "ps", "PS", "pleasant_surprise"),
        *("Pleasant Surprises", "pleasant-surprised", "pleasant_surprised"),
    ],
}


def test_folders_of_emotions_may_be_called_in_many_ways():
    tested = set()
    for emotion, names in FOLDERS.items():
        for name in names:
            told = describe(Path("mine", name, "monday.wav"))
            assert (told.emotion, told.corpus) == (emotion, "mine"), name
            tested.add(name.lower().replace("_", " "))
    assert {*EMOTION_NAMES} <= tested
    assert {*FOLDERS} == {*EMOTIONS}


def test_the_folder_that_a_user_stands_in_counts(tmp_path, monkeypatch):
    folder = tmp_path / "mine" / "fear"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    assert describe(Path("monday.wav")) == Recording("monday.wav", "mine", "", "fear")


@pytest.mark.parametrize(
    "name",
    [
        *(f"mine/{folder}/a.wav" for folder in ("grumpy", "unhappy", "not happy", "happy sad")),
        *(f"mine/{folder}/a.wav" for folder in ("ss", "s", "_")),
        "a.wav",
        "03-01-09-01-01-02-13.wav",
        "OAF_back_bored.wav",
        "DC_x01.wav",
        "03-01-08-01-03-02-13.wav",  # a sentence of BanglaSER, an emotion of RAVDESS
        "03-01-04-02-01-02-35.wav",
        "songs/s01 (2).wav",
        "DC/a31.wav",
        "2024_mt_fuji.wav",
        "07a01Fa.wav",
        "a01 (2).wav",  # a second download of anything
        "AB1_bored_1.wav",
        "my_1001_DFA_ANG_XX.wav",
    ],
)
def test_an_emotion_that_cannot_be_told_is_not_guessed_but_listed(name):
    line = refusal(describe, Path(name), words=f"^{re.escape(name)}: its emotion cannot be told: ")
    assert all(known in line for known in ("angry, anger", "joy", "ps", *EMOTIONS))


@pytest.mark.parametrize("folder", [*CORPORA, "female", "Male", "tess"])
def test_own_recordings_are_no_known_corpus_and_no_group_of_the_results(folder):
    told = describe(Path(folder, "happy", "monday.wav"))
    assert (told.corpus, told.speaker, speaker_sex(told)) == (f"{folder} (own)", "", None)


# Speakers of own recordings


def speakers_told(names, *given):
    """Corpus and speaker of each of some files, as preprocess.py tells them."""
    files = [Path(name) for name in names]
    told = [describe(path, files, map(Path, given)) for path in files]
    return [(recording.corpus, recording.speaker) for recording in told]


TWO = ["my/anna/happy/1.wav", "my/anna/sad/2.wav", "my/ben/Happiness/1.wav"]


def test_folders_beside_each_other_in_the_given_one_are_speakers():
    expected = [("my", "anna"), ("my", "anna"), ("my", "ben")]
    for given in (["my"], ["my/"], ["other", "./x/../my"]):
        assert speakers_told(TWO, *given) == expected
    assert speakers_told([*TWO, "my/calm/3.wav"], "my")[-1] == ("my", "")
    assert speakers_told(["held/José María/happy/x.wav"], "held") == [("held", "José María")]
    in_table = [name.replace("my/", "TESS/") for name in TWO]
    assert speakers_told(in_table, "TESS")[0] == ("TESS (own)", "anna")


@pytest.mark.parametrize(
    ("names", "given"),
    [
        (TWO, ["my/anna", "my/ben"]),  # two corpora, as they are given
        (TWO, ["."]),
        ([*TWO, "my/OAF/OAF_back_angry.wav"], ["my"]),  # a folder of corpora
        ([*TWO, "my/test/sad/1.wav"], ["my"]),
        ([*TWO, "my/Female/sad/1.wav"], ["my"]),
        ([*TWO, "my/calm/sad/1.wav"], ["my"]),
    ],
)
def test_other_folders_are_not_taken_for_speakers(names, given):
    told = speakers_told(names, *given)
    assert told[:2] == [("anna", "")] * 2
    assert {speaker for corpus, speaker in told if corpus not in CORPORA} == {""}


@pytest.mark.parametrize("folder", ["RAVDESS", "BanglaSER", "TESS", "DC", "anger"])
def test_a_folder_does_not_tell_the_corpus_of_a_name_that_does(folder):
    for name, corpus, emotion in [
        ("03-01-06-01-01-01-01.wav", "RAVDESS", "fear"),
        ("03-01-04-01-03-01-01.wav", "BanglaSER", "surprise"),
        ("03-01-04-01-01-03-01.wav", "BanglaSER", "surprise"),
        ("03-01-04-01-01-01-34.wav", "BanglaSER", "surprise"),
        ("1001_DFA_ANG_XX.wav", "CREMA-D", "angry"),
        ("s4-03-02-02-65.wav", "ASED", "sad"),
        ("03a01Ta.wav", "EmoDB", "sad"),
    ]:
        told = describe(Path(folder, name))
        assert (told.corpus, told.emotion) == (corpus, emotion)


BOTH = "03-01-01-01-01-01-02.wav"  # happy in BanglaSER, neutral in RAVDESS
ONLY_BANGLASER, ONLY_RAVDESS = "03-01-01-01-03-01-02.wav", "03-01-06-01-01-01-02.wav"


@pytest.mark.parametrize(
    ("folder", "others", "corpus"),
    [
        ("x", [], "RAVDESS"),
        ("bangla", [ONLY_BANGLASER], "BanglaSER"),
        ("BanglaSER-tools/speech", [ONLY_RAVDESS], "RAVDESS"),
        ("BanglaSER/Actor_02", [], "BanglaSER"),
        ("BanglaSER-tools/RAVDESS/Actor_02", [], "RAVDESS"),
        ("RAVDESS/BanglaSER 5", [ONLY_BANGLASER, ONLY_RAVDESS], "BanglaSER"),
    ],
)
def test_names_of_two_corpora_are_told_by_their_neighbours_then_by_folders(folder, others, corpus):
    path = Path(folder, BOTH)
    files = [*(Path(folder, other) for other in others), Path("y/03-01-07-01-01-01-01.wav")]
    told = describe(path, files)
    assert told.corpus == corpus
    assert told.emotion == {"RAVDESS": "neutral", "BanglaSER": "happy"}[corpus]


def test_names_of_two_corpora_in_one_folder_are_not_guessed():
    files = [Path("x", name) for name in (BOTH, ONLY_BANGLASER, ONLY_RAVDESS)]
    with pytest.raises(SentimentalError, match="holds recordings of BanglaSER and RAVDESS"):
        describe(files[0], files)


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
        ("mine/happy/1076_MTI_SAD_XX copy.wav", "silent"),
        ("mine/happy/my_1076_MTI_SAD_XX.wav", None),
        ("EmoDB/wav/16b10Lb.wav", "boredom"),
        ("EmoDB/wav/16b10Wb.wav", None),
        *((f"{name}_XX.wav", "two emotions") for name in ("1006_TIE_NEU", "1013_WSI_DIS")),
        *((f"{name}_XX.wav", "two emotions") for name in ("1013_WSI_SAD", "1017_IWW_ANG")),
    ],
)
def test_faulty_recordings_are_left_out_for_a_reason(name, reason):
    found = reason_left_out(describe(Path(name)))
    assert (reason in found) if reason else found is None


# Codes of each corpus, as its makers explain them, with a name that they are part of.
EIGHT = "01=neutral 02=calm 03=happy 04=sad 05=angry 06=fear 07=disgust 08=surprise"
CODES = {
    "TESS": "OAF_back_{}.wav neutral happy sad angry fear disgust ps=surprise",
    "BanglaSER": "03-01-{}-01-03-01-01.wav 01=happy 02=sad 03=angry 04=surprise 05=neutral",
    "RAVDESS": f"03-01-{{}}-01-01-01-01.wav {EIGHT}",
    "RAVDESS song": f"03-02-{{}}-01-01-01-01.wav {EIGHT}",
    "CREMA-D": "1001_DFA_{}_XX.wav NEU=neutral HAP=happy SAD=sad ANG=angry FEA=fear DIS=disgust",
    "nEMO": "EB0_{}_1.wav neutral happiness=happy sadness=sad anger=angry fear surprised=surprise",
    "ASED": "{}-01-01-01-05.wav n1=neutral f2=fear h3=happy s4=sad a5=angry",
    "TurEV": "7895_{}_zeytin.wav sk=calm mt=happy hl=sad kz=angry",
    "AESDD": "{0}/{0[0]}01(1).wav happiness=happy sadness=sad anger=angry fear disgust",
    "SAVEE": "DC/{}01.wav n=neutral h=happy sa=sad a=angry f=fear d=disgust su=surprise",
    "EmoDB": "03a01{}a.wav N=neutral F=happy T=sad W=angry A=fear E=disgust L=boredom",
}


@pytest.mark.parametrize("corpus", CORPORA)
def test_every_code_of_every_corpus(corpus):
    template, *codes = CODES[corpus].split()
    template = template.replace("(", " (")  # of AESDD
    pairs = {code.partition("=")[0]: code.rpartition("=")[2] for code in codes}
    assert {code.lower() for code in pairs} == {*CORPORA[corpus].emotion_codes}
    for code, emotion in pairs.items():
        told = describe(Path("x", template.format(code)))
        assert (told.corpus, told.emotion) == (corpus, emotion)


@pytest.mark.parametrize(
    ("n_takes", "names"),
    [
        (1, ["a/1001_DFA_ANG_XX.wav", "b/1001_dfa_ang_xx.mp3", "b/1001_DFA_ANG_XX (1).wav"]),
        (1, ["03-01-06-01-02-01-12.wav", "01-01-06-01-02-01-12.mp4", "02-01-06-01-02-01-12.mp4"]),
        (1, ["03-02-06-01-02-01-12.wav", "01-02-06-01-02-01-12.mp4"]),
        (1, ["TESS/OAF_back_angry.wav", "OAF_BACK_ANGRY.flac", "oaf_back_angry copy.wav"]),
        (1, ["OA_bite_neutral.wav", "OAF_bite_neutral.flac"]),
        (1, ["AudioData/DC/a01.wav", "ALL/DC_a01.wav", "DCa01.wav"]),
        (2, ["03-01-06-01-02-01-12.wav", "03-02-06-01-02-01-12.wav"]),
        (2, ["03-01-06-01-02-01-12.wav", "03-01-06-01-02-02-12.wav"]),
        (2, ["03-01-04-01-03-01-12.wav", "01-01-04-01-03-01-12.wav"]),  # BanglaSER's numbers
        (2, ["DC/a01.wav", "JK/a01.wav"]),
        (2, ["OAF_back_angry.wav", "YAF_back_angry.wav"]),
        (2, ["anger/a01 (1).wav", "anger/a01 (2).wav"]),
        (2, ["sadness/s01 (5)a.wav", "sadness/s01 (5)b.wav"]),
        (2, ["03a01Wa.wav", "03a01Wb.wav"]),
        (2, ["1040_ITH_SAD_X.wav", "1040_ITH_SAD_XX.wav"]),
    ],
)
def test_names_of_a_corpus_tell_which_files_are_one_take(n_takes, names):
    takes = {take_of(describe(Path(name))) for name in names}
    assert len(takes) == n_takes
    assert all(take[0] in CORPORA for take in takes)
    assert take_of(describe(Path("mine/happy/monday.wav"))) is None
