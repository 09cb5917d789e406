"""What trains and what tests: nothing and nobody is on both sides."""

import pytest
from signals import make_corpora, make_recording

from sentimental.base import SentimentalError
from sentimental.protocols import RAVDESS_SONG, protocol_folds, split_random
from sentimental.settings import Training
from sentimental.voice import voice_of


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
    return sorted([*make_recordings(), *make_others()], key=lambda recording: recording["corpus"])


def make_folds(protocol, recordings, split_seed=1, **settings):
    return protocol_folds(protocol, recordings, Training(**settings), split_seed)


def values(key, recordings):
    return {recording[key] for recording in recordings}


def test_the_random_split_is_the_protocols():
    train, validation, test = split_random(4240, Training(), 1)
    assert (len(train), len(validation), len(test)) == (3710, 368, 162)
    assert sorted([*train, *validation, *test]) == list(range(4240))
    assert (list(train[:3]), list(test[:3])) == ([2707, 3959, 1534], [1742, 3595, 2779])


def test_another_seed_is_another_split():
    first, second = (set(split_random(4240, Training(), split_seed)[2]) for split_seed in (1, 2))
    assert len(first & second) < 30


def test_the_shares_of_a_split_can_be_set():
    shares = {"held_out_share": 0.4, "test_share": 0.25}
    assert [len(part) for part in split_random(100, Training(**shares), 1)] == [60, 30, 10]
    ((train, validation, test),) = make_folds("random", make_recordings()[:100], **shares)
    assert (len(train), len(validation), len(test)) == (60, 30, 10)


def test_protocol_random_splits_all_recordings_by_their_indices():
    recordings = make_recordings()
    for split_seed in (1, 2):
        (fold,) = make_folds("random", recordings, split_seed=split_seed)
        indices = split_random(len(recordings), Training(), split_seed)
        assert fold == tuple([recordings[index] for index in part] for part in indices)


def test_protocol_random_holds_out_the_same_whatever_else_trains():
    def files(*parts):
        return [[recording["file"] for recording in part] for part in parts]

    ((train, *held_out),) = make_folds("random", make_all())
    alone = sorted(make_recordings(), key=lambda recording: recording["corpus"])
    ((train_alone, *held_out_alone),) = make_folds("random", alone)
    assert files(*held_out) == files(*held_out_alone)
    assert sorted(*files(train)) == sorted(*files([*train_alone, *make_others()]))
    # Where there are neither TESS nor RAVDESS, it holds out of all.
    ((train, validation, test),) = make_folds("random", make_others())
    assert validation
    assert sorted(*files([*train, *validation, *test])) == sorted(*files(make_others()))


def test_few_recordings_of_tess_and_ravdess_are_split_with_the_others():
    few = [make_recording("RAVDESS", "01", "happy"), make_recording("TESS", "OAF", "sad")]
    recordings = [*make_others(), *few]
    ((train, *held_out),) = make_folds("random", recordings)
    assert all(held_out)
    assert len(train) + sum(map(len, held_out)) == len(recordings)


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
        ravdess = [r for r in training if r["corpus"] == "RAVDESS"]
        assert not values("speaker", ravdess) & values("speaker", validation)
        assert len(values("speaker", ravdess + validation + test)) == 24
        # All other corpora train, but for what is sung by those who test.
        assert values("corpus", training) == {"RAVDESS", "TESS", "BanglaSER", "CREMA-D", "mine"}


def test_the_first_fold_of_actors_is_the_published_one():
    _, validation, test = make_folds("speaker", make_recordings())[0]
    assert values("speaker", test) == {"02", "05", "14", "15", "16"}
    assert values("speaker", validation) == {"03", "06"}


def test_each_actress_tests_what_the_other_and_ravdess_trained():
    folds = make_folds("tess-speaker", make_all())
    assert [values("speaker", test) for _, _, test in folds] == [{"OAF"}, {"YAF"}]
    for training, validation, test in folds:
        assert values("corpus", training + validation) == {"TESS", "RAVDESS"}
        assert len(training + validation) == 24 * 8 + 7
        assert len(test) == 7


def test_protocol_corpus_tests_each_corpus_with_a_network_of_all_others():
    folds = make_folds("corpus", make_all())
    tested = [values("corpus", test) for _, _, test in folds]
    assert tested == [{"TESS"}, {"RAVDESS"}, {"CREMA-D"}, {"BanglaSER"}]
    everything = {"TESS", "RAVDESS", "CREMA-D", "BanglaSER", "mine"}
    n_known = sum(r["speaker"] != "" and r["corpus"] != RAVDESS_SONG for r in make_all())
    for training, validation, test in folds:
        assert values("corpus", training + validation) == everything - values("corpus", test)
        assert len(training + validation + test) == n_known
        assert validation


@pytest.mark.parametrize("protocol", ["tess-speaker", "corpus"])
def test_share_and_seed_of_the_validation_part_can_be_set(protocol):
    def validation_files(**settings):
        folds = make_folds(protocol, make_recordings(), **settings)
        return [[r["file"] for r in validation] for _, validation, _ in folds]

    share = Training().validation_share
    assert validation_files() == validation_files(split_seed=1, validation_share=share)
    assert validation_files() != validation_files(split_seed=2)
    for few, many in zip(validation_files(), validation_files(validation_share=0.5), strict=True):
        assert len(many) > 3 * len(few)


def test_a_protocol_without_its_corpora_is_refused():
    tess, ravdess = (
        [recording for recording in make_recordings() if recording["corpus"] == corpus]
        for corpus in ("TESS", "RAVDESS")
    )
    with pytest.raises(SentimentalError, match="needs all 24 actors of RAVDESS"):
        make_folds("speaker", tess)
    with pytest.raises(SentimentalError, match="needs RAVDESS and both actresses"):
        make_folds("tess-speaker", tess)
    with pytest.raises(SentimentalError, match="needs two of TESS, RAVDESS"):
        make_folds("corpus", ravdess)
    assert len(make_folds("speaker", ravdess)) == 5


def test_a_protocol_without_some_of_its_speakers_is_refused():
    def without(*speakers):
        return [r for r in make_recordings() if r["speaker"] not in speakers]

    assert len(make_folds("speaker", without("03"))) == 5  # the fold has other actors
    with pytest.raises(SentimentalError, match="all 24 actors"):
        make_folds("speaker", without("03", "06"))
    with pytest.raises(SentimentalError, match="both actresses"):
        make_folds("tess-speaker", without("YAF"))
