"""What trains, validates and tests in each protocol; `train_model.py` describes them.

scikit-learn is imported where it is used: benchmarks of recognition do without it.
"""

import warnings
from collections import Counter

from sentimental.scripts import SentimentalError
from sentimental.training.histories import voice_of

PROTOCOLS = ("random", "speaker", "tess-speaker", "corpus")
# Actors of RAVDESS that test, and those that validate, in each fold of protocol "speaker".
ACTOR_FOLDS = (
    ({"02", "05", "14", "15", "16"}, {"03", "06"}),
    ({"03", "06", "07", "13", "18"}, {"10", "11"}),
    ({"10", "11", "12", "19", "20"}, {"08", "17"}),
    ({"08", "17", "21", "23", "24"}, {"01", "14"}),
    ({"01", "04", "09", "22"}, {"02", "05"}),
)
# Speakers of TESS. Each tests one fold of protocol "tess-speaker".
ACTRESSES = ("OAF", "YAF")
# Corpora of which recordings are held out in protocol "random".
HELD_OUT = ("RAVDESS", "TESS")
# Of fewer recordings of those, none would be left to validate or to test.
LEAST_TO_SPLIT = 16
# Of an emotion in fewer files a split would test so few that its figure says nothing.
LEAST_OF_EMOTION = 30
# From fewer recordings of other speakers nothing is learned about a speaker.
LEAST_OF_OTHERS = 4
# Folds of recordings, or of speakers, where there is no published split.
N_FOLDS = 5
# Corpora that protocol "corpus" leaves out, one in each fold.
LEFT_OUT = ("TESS", "RAVDESS", "CREMA-D", "nEMO", "ASED", "BanglaSER", "TurEV", "AESDD")
# The same actors sing in it.
RAVDESS_SONG = "RAVDESS song"


def split_random(recordings, training, split_seed):
    """Those of a list, sorted by corpus and file name, that train, validate and test.

    With the default settings they are 3,710, 368 and 162 of the 4,240 of TESS and RAVDESS.
    """
    from sklearn.model_selection import train_test_split

    train, held_out = train_test_split(
        recordings, test_size=training.held_out_share, random_state=split_seed
    )
    return train, *train_test_split(
        held_out, test_size=training.test_share, random_state=split_seed
    )


def protocol_folds(protocol, recordings, training, split_seed):
    """What trains, validates and tests in each fold of a protocol.

    Parameters
    ----------
    protocol : str, one of ``PROTOCOLS``
    recordings : list of Recording, sorted by corpus and file name
    training : Training, of which the shares count
    split_seed : int, of what is drawn

    Returns
    -------
    folds : list of (train, validation, test), each a list of Recording

    Raises
    ------
    SentimentalError
        When corpora or speakers are missing, without which there is no such protocol.
    """
    from sklearn.model_selection import train_test_split

    if protocol == "random":
        pool = [r for r in recordings if r.corpus in HELD_OUT]
        if len(pool) < LEAST_TO_SPLIT:
            return _own_folds(recordings, training, split_seed)
        train, *held_out = split_random(pool, training, split_seed)
        return [(train + [r for r in recordings if r.corpus not in HELD_OUT], *held_out)]

    # A speaker who is not known may be one of those that test.
    recordings = [recording for recording in recordings if recording.speaker]
    if protocol == "speaker":
        if any(recording.corpus == "RAVDESS" for recording in recordings):
            return _actor_folds(recordings)
        return _speaker_folds(recordings, training, split_seed)
    sides = _actress_sides(recordings) if protocol == "tess-speaker" else _corpus_sides(recordings)
    options = {"test_size": training.validation_share, "random_state": split_seed}
    return [(*train_test_split(side, **options), test) for side, test in sides]


def fold_to_save(recordings, training):
    """What trains, validates and tests the model that is saved: the fold of protocol "random".

    Where that protocol has several folds, which measure such a model, none tests this one: all but
    those that validate it train.
    """
    folds = protocol_folds("random", recordings, training, training.split_seed)
    if len(folds) == 1:
        return folds[0]
    return (*_hold_out(recordings, training.held_out_share, training.split_seed), [])


def count_parts(fold):
    """How many recordings train, validate and test, as a dict."""
    return dict(zip(("train", "validation", "test"), map(len, fold), strict=True))


def has_unseen_speakers(fold):
    """Whether all who test are known, and none of them trains or validates."""
    train, validation, test = fold
    tested = {voice_of(recording) for recording in test}
    return None not in tested and not tested & {voice_of(r) for r in train + validation}


# Own recordings ---------------------------------------------------------------------------------


def _own_folds(recordings, training, seed):
    """The folds of protocol "random" where there are hardly any of TESS and RAVDESS.

    Speakers who are known test in folds of their own. Else recordings are held out of each emotion;
    where one is in few files, each recording tests once.
    """
    known = [recording for recording in recordings if recording.speaker]
    if _can_test_speakers(known):
        return _speaker_folds(known, training, seed)
    n_files = Counter(emotion for emotion, _ in {(r.emotion, r.file) for r in recordings})
    if min(n_files.values()) >= LEAST_OF_EMOTION:
        train, held_out = _hold_out(recordings, training.held_out_share, seed)
        return [(train, *_hold_out(held_out, training.test_share, seed))]
    return _with_validation(_emotion_folds(recordings, N_FOLDS, seed), training, seed)


def _can_test_speakers(recordings):
    """Whether something trains whichever speaker tests."""
    counts = Counter(map(voice_of, recordings)).values()
    return sum(counts) - max(counts, default=0) >= LEAST_OF_OTHERS


def _speaker_folds(recordings, training, seed):
    """Each speaker tests once, in folds of about one size."""
    from sklearn.model_selection import GroupKFold

    if not _can_test_speakers(recordings):
        raise SentimentalError(
            f"protocol speaker needs two speakers at least, and {LEAST_OF_OTHERS} recordings "
            "beside those of each; let preprocess.py know them by folders, "
            "MY_RECORDINGS/SPEAKER/EMOTION, or by --labels TABLE.csv"
        )
    voices = [repr(voice_of(recording)) for recording in recordings]
    folds = GroupKFold(min(N_FOLDS, len({*voices}))).split(recordings, groups=voices)
    return _with_validation(_take(recordings, folds), training, seed)


def _with_validation(folds, training, seed):
    """Folds of what trains, validates and tests, where what does not test is not split yet."""
    return [(*_hold_out(others, training.held_out_share, seed), test) for others, test in folds]


def _hold_out(recordings, share, seed):
    """All but about a share of the recordings, and that share, of each emotion as much."""
    return _emotion_folds(recordings, round(1 / share), seed)[0]


def _emotion_folds(recordings, n_folds, seed):
    """What is left of each of so many parts, and the part, with as much of every emotion.

    Several recordings of one file, whose voice and room are the same, are in one part, where that
    leaves two others at least.
    """
    from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold

    emotions, files = [r.emotion for r in recordings], [r.file for r in recordings]
    most = max(Counter(emotions).values())  # more folds than that cannot be stratified
    of_one_file = max(Counter(files).values())
    if of_one_file == 1 or len(files) - of_one_file < 2:
        kind = StratifiedKFold if most > 1 else KFold
        splitter = kind(max(2, min(n_folds, most)), shuffle=True, random_state=seed)
    elif most > 1:
        n_folds = max(2, min(n_folds, most, len({*files})))
        splitter = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)
    else:
        splitter = GroupKFold(2)
    with warnings.catch_warnings():  # that an emotion with fewer recordings is not in each of them
        warnings.simplefilter("ignore", UserWarning)
        return _take(recordings, splitter.split(recordings, emotions, files))


def _take(recordings, folds):
    """The recordings of indices, as `split` of scikit-learn yields them."""
    return [[[recordings[index] for index in part] for part in fold] for fold in folds]


# Published splits -------------------------------------------------------------------------------


def _actor_folds(recordings):
    """The folds of protocol "speaker"."""
    ravdess = [r for r in recordings if r.corpus == "RAVDESS"]
    others = [r for r in recordings if r.corpus not in ("RAVDESS", RAVDESS_SONG)]
    everyone = {r.speaker for r in ravdess}
    folds = []
    for test, validation in ACTOR_FOLDS:
        sides = everyone - test - validation, validation, test
        fold = [[r for r in ravdess if r.speaker in actors] for actors in sides]
        if not all(fold):
            raise SentimentalError(
                "protocol speaker needs all 24 actors of RAVDESS; give them to preprocess.py, too"
            )
        folds.append((fold[0] + others, *fold[1:]))
    return folds


def _actress_sides(recordings):
    """Protocol "tess-speaker": what trains and validates, and the actress who tests."""
    tess, ravdess = ([r for r in recordings if r.corpus == one] for one in ("TESS", "RAVDESS"))
    if {r.speaker for r in tess} != {*ACTRESSES} or not ravdess:
        raise SentimentalError(
            "protocol tess-speaker needs RAVDESS and both actresses of TESS; give them to "
            "preprocess.py, too"
        )
    of_each = [[r for r in tess if r.speaker == actress] for actress in ACTRESSES]
    return [(ravdess + other, one) for one, other in zip(of_each, of_each[::-1], strict=True)]


def _corpus_sides(recordings):
    """Protocol "corpus": what trains and validates, and the corpus that tests."""
    present = {r.corpus for r in recordings}
    tested = [corpus for corpus in LEFT_OUT if corpus in present]
    if len(tested) < 2:
        raise SentimentalError(
            f"protocol corpus needs two of {', '.join(LEFT_OUT)} at least; give them to "
            "preprocess.py, too"
        )
    return [
        (
            [r for r in recordings if r.corpus not in (one, RAVDESS_SONG)],
            [r for r in recordings if r.corpus == one],
        )
        for one in tested
    ]
