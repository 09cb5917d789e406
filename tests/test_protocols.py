"""What trains and what tests: nothing and nobody is on both sides."""

import hashlib
from dataclasses import replace

import pytest
from signals import make_corpora, make_recording

from sentimental.scripts import EMOTIONS, SentimentalError
from sentimental.training.histories import voice_of
from sentimental.training.protocols import (
    RAVDESS_SONG,
    fold_to_save,
    has_unseen_speakers,
    protocol_folds,
    split_random,
)
from sentimental.training.settings import Training


def make_recordings():
    """One recording of each speaker and emotion of TESS and RAVDESS, and one of nobody known."""
    return [*make_corpora(), make_recording("RAVDESS", "", "happy")]


def make_others():
    """Recordings of other corpora: a speaker called as an actor is, the actors' songs, others."""
    return [
        make_recording(corpus, speaker, emotion)
        for corpus, speakers in [
            ("BanglaSER", ("02", "03")),
            ("CREMA-D", ("1001", "1002")),
            (RAVDESS_SONG, ("02", "03", "24")),
            ("mine", ("A", "")),
        ]
        for speaker in speakers
        for emotion in ("happy", "sad")
    ]


def make_all():
    """As train_model.py has them: sorted by corpus."""
    return sorted([*make_recordings(), *make_others()], key=lambda recording: recording.corpus)


def make_folds(protocol, recordings, split_seed=1):
    return protocol_folds(protocol, recordings, Training(), split_seed)


def values(key, recordings):
    return {getattr(recording, key) for recording in recordings}


# Folds of made corpora, as a digest of their names in order, by protocol and seed.
PUBLISHED = {
    ("random", 1): "15f2ae0cab9c9abd",
    ("random", 2): "58aeefadcc5483e5",
    ("speaker", 1): "22cde3593cd23b4c",
    ("speaker", 2): "22cde3593cd23b4c",
    ("tess-speaker", 1): "04aad3e56bba4c8e",
    ("tess-speaker", 2): "d4bf6405c8bb8efe",
    ("corpus", 1): "ef8604042d7f8cee",
    ("corpus", 2): "aca5ea0e912156cb",
}


@pytest.mark.parametrize(("protocol", "seed"), PUBLISHED)
def test_the_splits_of_published_figures_stay(protocol, seed):
    speakers = [("RAVDESS", f"{actor:02}") for actor in range(1, 25)] + [(RAVDESS_SONG, "03")]
    speakers += [("TESS", "OAF"), ("TESS", "YAF")]
    speakers += [(c, s) for c in ("AESDD", "CREMA-D", "nEMO") for s in ("01", "02", "")]
    recordings = [
        make_recording(corpus, speaker, emotion, file=f"{corpus}/{speaker}/{emotion}/{n}.wav")
        for corpus, speaker in speakers
        for emotion in EMOTIONS
        if corpus != "TESS" or emotion != "calm"
        for n in range(3)
    ]
    recordings.sort(key=lambda r: (r.corpus, r.file))
    names = [
        [[recording.file for recording in part] for part in fold]
        for fold in make_folds(protocol, recordings, seed)
    ]
    digest = hashlib.sha256(repr(names).encode()).hexdigest()
    assert digest.startswith(PUBLISHED[protocol, seed])


def test_the_random_split_is_the_published_one_and_another_with_another_seed():
    train, validation, test = split_random(range(4240), Training(), 1)
    assert (len(train), len(validation), len(test)) == (3710, 368, 162)
    assert sorted([*train, *validation, *test]) == list(range(4240))
    assert (train[:3], test[:3]) == ([2707, 3959, 1534], [1742, 3595, 2779])
    assert len({*test} & {*split_random(range(4240), Training(), 2)[2]}) < 30


def test_protocol_random_holds_out_the_same_indices_whatever_else_trains():
    alone = sorted(make_recordings(), key=lambda recording: recording.corpus)
    for split_seed in (1, 2):
        train, *held_out = split_random(alone, Training(), split_seed)
        ((all_train, *all_held_out),) = make_folds("random", make_all(), split_seed)
        assert all_held_out == held_out
        assert all_train[: len(train)] == train
        assert sorted(map(repr, all_train)) == sorted(map(repr, [*train, *make_others()]))


# Recordings of one's own


def make_own(counts, speakers=("",)):
    """So many recordings of each of some emotions, by speakers in turn; "" is not known."""
    return [
        make_recording("my", speakers[n % len(speakers)], emotion, file=f"{emotion}{n}")
        for emotion, count in counts.items()
        for n in range(count)
    ]


def share_of(emotion, recordings):
    return sum(recording.emotion == emotion for recording in recordings)


def test_many_own_recordings_are_split_once_and_of_each_emotion_the_same_share():
    recordings = make_own(counts := {"happy": 400, "sad": 30, "calm": 100})
    few = [make_recording("RAVDESS", "01", "happy"), make_recording("TESS", "OAF", "sad")]
    for some in (recordings, recordings + few):
        ((train, validation, test),) = make_folds("random", some)
        assert sorted(values("file", train + validation + test)) == sorted(values("file", some))
        assert len(train + validation + test) == len(some)
        for emotion, count in counts.items():
            assert share_of(emotion, validation + test) == pytest.approx(count / 8, abs=1.5)
            assert share_of(emotion, test) == pytest.approx(count / 24, abs=1.5)
        assert fold_to_save(some, Training()) == (train, validation, test)


def test_where_an_emotion_has_few_each_recording_tests_once():
    recordings = make_own(counts := {"happy": 29, "sad": 27, "calm": 40})
    folds = make_folds("random", recordings)
    tested = [r.file for _, _, test in folds for r in test]
    assert sorted(tested) == sorted(values("file", recordings))
    for train, validation, test in folds:
        assert len(values("file", train + validation + test)) == 96
        for emotion, count in counts.items():
            assert share_of(emotion, test) == pytest.approx(count / 5, abs=1)
            assert share_of(emotion, validation) == pytest.approx(count / 10, abs=1)
    train, validation, test = fold_to_save(recordings, Training())
    assert (len(train + validation), len(validation), test) == (96, 12, [])
    assert make_folds("random", recordings) == folds
    assert make_folds("random", recordings, split_seed=2) != folds


@pytest.mark.parametrize("n_files", [1, 2, 3, 100])
@pytest.mark.parametrize("speakers", [("",), ("A",), ("A", "B"), ("A", "B", "")])
@pytest.mark.parametrize(
    "counts", [{"happy": 1, "sad": 14}, dict.fromkeys(EMOTIONS, 2), {"happy": 9, "sad": 1}]
)
def test_hardly_any_recordings_are_split_all_the_same(counts, speakers, n_files):
    recordings = [
        replace(r, file=f"{n % n_files}.wav", start=n, end=n + 1)
        for n, r in enumerate(make_own(counts, speakers))
    ]
    for fold in make_folds("random", recordings):
        assert all(fold)


@pytest.mark.parametrize(("happy", "sad", "n_parts"), [(29, 27, 3), (200, 80, 40), (400, 90, 2)])
def test_parts_of_one_file_are_on_one_side(happy, sad, n_parts):
    recordings = [
        replace(r, file=f"{number // n_parts}.wav", start=number % n_parts)
        for number, r in enumerate(make_own({"happy": happy, "sad": sad}))
    ]
    folds = make_folds("random", recordings)
    assert len(folds) == (1 if n_parts == 2 else 5)
    for fold in [*folds, fold_to_save(recordings, Training())]:
        train, validation, test = (values("file", part) for part in fold)
        assert not train & validation
        assert not (train | validation) & test
        assert sum(map(len, fold)) == len(recordings)


@pytest.mark.parametrize("protocol", ["random", "speaker"])
@pytest.mark.parametrize(("n_speakers", "n_folds"), [(2, 2), (4, 4), (9, 5)])
def test_own_speakers_test_in_folds_of_about_one_size(n_speakers, n_folds, protocol):
    voices = [("my", "A"), ("your", "A"), *(("my", letter) for letter in "BCDEFGH")]
    recordings = [
        make_recording(corpus, name, emotion, file=f"{corpus}{name}{emotion}{n}")
        for number, (corpus, name) in enumerate(voices[:n_speakers], 1)
        for emotion in ("happy", "sad")
        for n in range(10 * number)
    ]
    nobody = make_recording("my", "", "happy")
    folds = make_folds(protocol, [*recordings, nobody])
    assert len(folds) == n_folds
    tested = [r.file for _, _, test in folds for r in test]
    assert sorted(tested) == sorted(values("file", recordings))
    sizes = [len(test) for _, _, test in folds]
    if n_speakers == 9:
        assert max(sizes) - min(sizes) <= 40  # of 180
    for train, validation, test in folds:
        assert not {*map(voice_of, train + validation)} & {*map(voice_of, test)}
        assert validation
        assert len(train + validation + test) == len(recordings)
        assert has_unseen_speakers((train, validation, test))
        assert not has_unseen_speakers((train, validation, [*test, nobody]))
        assert not has_unseen_speakers((train, [*validation, test[0]], test))
    train, validation, test = fold_to_save([*recordings, nobody], Training())
    assert (len(train + validation), test) == (len(recordings) + 1, [])


def test_a_speaker_beside_whom_there_is_hardly_anybody_does_not_test():
    recordings = make_own({"happy": 12, "sad": 12}, ("A", "A", "A", "A", "A", "A", "A", "B"))
    assert not any(map(has_unseen_speakers, make_folds("random", recordings)))


@pytest.mark.parametrize("speakers", [("",), ("A", "")])
def test_one_speaker_alone_is_refused_with_what_to_do(speakers):
    with pytest.raises(SentimentalError, match="needs two speakers at least, and .*; let"):
        make_folds("speaker", make_own({"happy": 20, "sad": 20}, speakers))


@pytest.mark.parametrize("protocol", ["speaker", "tess-speaker", "corpus"])
def test_no_recording_and_no_tested_speaker_is_on_both_sides(protocol):
    for training, validation, test in make_folds(protocol, make_all()):
        assert not values("file", training) & values("file", validation)
        voices, tested = ({voice_of(r) for r in part} for part in (training + validation, test))
        assert not voices & tested
        assert None not in voices | tested


def test_the_folds_of_actors_test_each_actor_once():
    folds = make_folds("speaker", make_all())
    tested = [name for _, _, test in folds for name in values("speaker", test)]
    assert sorted(tested) == [f"{actor:02}" for actor in range(1, 25)]
    for training, validation, test in folds:
        assert values("corpus", validation + test) == {"RAVDESS"}
        ravdess = [r for r in training if r.corpus == "RAVDESS"]
        assert not values("speaker", ravdess) & values("speaker", validation)
        assert len(values("speaker", ravdess + validation + test)) == 24
        # All other corpora train, but for what is sung by those who test.
        assert values("corpus", training) == {"RAVDESS", "TESS", "BanglaSER", "CREMA-D", "mine"}
    assert values("speaker", folds[0][2]) == {"02", "05", "14", "15", "16"}  # as published
    assert values("speaker", folds[0][1]) == {"03", "06"}


def test_each_actress_tests_what_the_other_and_ravdess_trained():
    folds = make_folds("tess-speaker", make_all())
    assert [values("speaker", test) for _, _, test in folds] == [{"OAF"}, {"YAF"}]
    for training, validation, test in folds:
        assert values("corpus", training + validation) == {"TESS", "RAVDESS"}
        assert (len(training + validation), len(test)) == (24 * 8 + 7, 7)


def test_protocol_corpus_tests_each_corpus_with_a_network_of_all_others():
    folds = make_folds("corpus", make_all())
    tested = [values("corpus", test) for _, _, test in folds]
    assert tested == [{"TESS"}, {"RAVDESS"}, {"CREMA-D"}, {"BanglaSER"}]
    everything = {"TESS", "RAVDESS", "CREMA-D", "BanglaSER", "mine"}
    n_known = sum(r.speaker != "" and r.corpus != RAVDESS_SONG for r in make_all())
    for training, validation, test in folds:
        assert values("corpus", training + validation) == everything - values("corpus", test)
        assert len(training + validation + test) == n_known
        assert validation


def test_a_protocol_without_its_corpora_is_refused():
    tess, ravdess = (
        [recording for recording in make_recordings() if recording.corpus == corpus]
        for corpus in ("TESS", "RAVDESS")
    )
    assert len(make_folds("speaker", tess)) == 2  # its speakers take the place of actors
    with pytest.raises(SentimentalError, match="needs RAVDESS and both actresses"):
        make_folds("tess-speaker", tess)
    with pytest.raises(SentimentalError, match="needs two of TESS, RAVDESS"):
        make_folds("corpus", ravdess)
    assert len(make_folds("speaker", ravdess)) == 5

    def without(*speakers):
        return [r for r in make_recordings() if r.speaker not in speakers]

    assert len(make_folds("speaker", without("03"))) == 5  # the fold has other actors
    with pytest.raises(SentimentalError, match="all 24 actors"):
        make_folds("speaker", without("03", "06"))
    with pytest.raises(SentimentalError, match="both actresses"):
        make_folds("tess-speaker", without("YAF"))
