"""What trains, validates and tests in each protocol.

There are four, from the most optimistic to the hardest:

    random        recordings of TESS and RAVDESS held out at random; their speakers are trained on
    speaker       RAVDESS in 5 folds of actors: unseen speakers; all other corpora train, too;
                  without RAVDESS all speakers in up to 5 folds
    tess-speaker  one actress of TESS and RAVDESS train, the other actress tests, both ways
    corpus        each corpus is tested by a network that all the others trained
"""

from collections import Counter

import numpy as np

from sentimental.scripts import SentimentalError
from sentimental.speaker import voice_of

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
# Of fewer recordings of an emotion a split would test so few that its figure says nothing.
LEAST_OF_EMOTION = 30
# Folds of recordings, or of speakers, where there is no published split.
N_FOLDS = 5
# Corpora that protocol "corpus" leaves out, one in each fold.
LEFT_OUT = ("TESS", "RAVDESS", "CREMA-D", "nEMO", "ASED", "BanglaSER", "TurEV", "AESDD")
# The same actors sing in it.
RAVDESS_SONG = "RAVDESS song"


def split_random(n_recordings, training, split_seed):
    """Indices of the training, validation and test recordings of protocol "random".

    Parameters
    ----------
    n_recordings : int, recordings sorted by corpus and file name
    training : Training, whose ``held_out_share`` and ``test_share`` count
    split_seed : int

    Returns
    -------
    train, validation, test : np.ndarray of int
        With the default settings 3,710, 368 and 162 of the 4,240 of TESS and RAVDESS.
    """
    from sklearn.model_selection import train_test_split  # recognition does without scikit-learn

    train, held_out = train_test_split(
        np.arange(n_recordings), test_size=training.held_out_share, random_state=split_seed
    )
    validation, test = train_test_split(
        held_out, test_size=training.test_share, random_state=split_seed
    )
    return train, validation, test


def protocol_folds(protocol, recordings, training, split_seed):
    """What trains, validates and tests in each fold of a protocol.

    Parameters
    ----------
    protocol : str, "random", "speaker", "tess-speaker" or "corpus"
    recordings : list of Recording
        As `load_features` returns them, sorted by corpus and file name. One
        whose speaker is not known takes part in protocol "random" only. Where there are
        hardly any of TESS and RAVDESS, that protocol holds out of all recordings, of each emotion
        its share; and where an emotion has few, each recording tests in one of several folds.
    training : Training
        Its ``held_out_share`` and ``test_share`` count in protocol "random", its
        ``validation_share``, of what does not test, in "tess-speaker" and "corpus".
    split_seed : int, of what is drawn; of RAVDESS' actors nothing is

    Returns
    -------
    folds : list of (train, validation, test), each a list of Recording

    Raises
    ------
    SentimentalError
        When a protocol other than "random" lacks corpora or speakers.
    """
    from sklearn.model_selection import train_test_split

    if protocol == "random":
        pool = _select(recordings, "corpus", HELD_OUT)
        if len(pool) < LEAST_TO_SPLIT:
            return _own_folds(recordings, training, split_seed)
        parts = split_random(len(pool), training, split_seed)
        train, *held_out = ([pool[index] for index in part] for part in parts)
        return [(train + _without(recordings, "corpus", HELD_OUT), *held_out)]

    # A speaker who is not known may be one of those that test.
    recordings = [recording for recording in recordings if recording.speaker]
    if protocol == "speaker":
        if any(recording.corpus == "RAVDESS" for recording in recordings):
            return _actor_folds(recordings)
        return _voice_folds(recordings, training, split_seed)
    sides = _actress_sides(recordings) if protocol == "tess-speaker" else _corpus_sides(recordings)
    return [
        (
            *train_test_split(side, test_size=training.validation_share, random_state=split_seed),
            test,
        )
        for side, test in sides
    ]


def fold_to_save(recordings, training):
    """What trains, validates and tests the model that is saved: the fold of protocol "random".

    Where that protocol has several folds, which tell how good such a model is, all recordings train
    this one but for those that validate it, and none tests.

    Parameters
    ----------
    recordings : list of Recording
    training : Training

    Returns
    -------
    train, validation, test : list of Recording
    """
    folds = protocol_folds("random", recordings, training, training.split_seed)
    if len(folds) == 1:
        return folds[0]
    return (*_hold_out(recordings, training.held_out_share, training.split_seed), [])


def _deal(recordings, n_parts, seed):
    """Deal recordings to parts, so that each has as many of every emotion, and as many in all."""
    order = np.random.default_rng(seed).permutation(len(recordings))
    order = sorted(order, key=lambda index: recordings[index].emotion)
    return [[recordings[index] for index in order[n::n_parts]] for n in range(n_parts)]


def _hold_out(recordings, share, seed):
    """All but about a share of the recordings, and that share, of each emotion as much."""
    held_out, *others = _deal(recordings, max(2, round(1 / share)), seed)
    return sum(others, []), held_out


def _own_folds(recordings, training, seed):
    """The folds of protocol "random" where there are hardly any of TESS and RAVDESS."""
    counts = Counter(recording.emotion for recording in recordings)
    if min(counts.values()) >= LEAST_OF_EMOTION:
        train, held_out = _hold_out(recordings, training.held_out_share, seed)
        return [(train, *_hold_out(held_out, training.test_share, seed))]
    parts = _deal(recordings, N_FOLDS, seed)
    return _folds_of_parts(parts, training, seed)


def _folds_of_parts(parts, training, seed):
    """Each part tests what all others train and validate."""
    folds = []
    for number, test in enumerate(parts):
        others = sum(parts[:number] + parts[number + 1 :], [])
        folds.append((*_hold_out(others, training.held_out_share, seed), test))
    return folds


def _voice_folds(recordings, training, seed):
    """The folds of protocol "speaker" without RAVDESS: speakers in parts of about one size."""
    voices = Counter(map(voice_of, recordings))
    if len(voices) < 2:
        raise SentimentalError(
            "protocol speaker needs two speakers at least; let preprocess.py know them by folders, "
            "MY_RECORDINGS/SPEAKER/EMOTION, or by --labels TABLE.csv"
        )
    parts = [[] for _ in range(min(N_FOLDS, len(voices)))]
    for voice, _ in voices.most_common():
        smallest = min(parts, key=len)
        smallest += [recording for recording in recordings if voice_of(recording) == voice]
    return _folds_of_parts(parts, training, seed)


def count_parts(fold):
    """How many recordings train, validate and test, as a dict."""
    return dict(zip(("train", "validation", "test"), map(len, fold), strict=True))


def _select(recordings, key, values):
    """Those recordings whose value of `key` is among `values`."""
    return [recording for recording in recordings if getattr(recording, key) in values]


def _without(recordings, key, values):
    """Those recordings whose value of `key` is not among `values`."""
    return [recording for recording in recordings if getattr(recording, key) not in values]


def _actor_folds(recordings):
    """The folds of protocol "speaker"."""
    ravdess = _select(recordings, "corpus", {"RAVDESS"})
    others = _without(recordings, "corpus", {"RAVDESS", RAVDESS_SONG})
    everyone = {recording.speaker for recording in ravdess}
    folds = [
        tuple(
            _select(ravdess, "speaker", actors)
            for actors in (everyone - test - validation, validation, test)
        )
        for test, validation in ACTOR_FOLDS
    ]
    if not all(part for fold in folds for part in fold):
        raise SentimentalError(
            "protocol speaker needs all 24 actors of RAVDESS; give them to preprocess.py, too"
        )
    return [(train + others, validation, test) for train, validation, test in folds]


def _actress_sides(recordings):
    """Protocol "tess-speaker": what trains and validates, and the actress who tests."""
    tess, ravdess = (_select(recordings, "corpus", {name}) for name in ("TESS", "RAVDESS"))
    if {recording.speaker for recording in tess} != {*ACTRESSES} or not ravdess:
        raise SentimentalError(
            "protocol tess-speaker needs RAVDESS and both actresses of TESS; give them to "
            "preprocess.py, too"
        )
    return [
        (
            ravdess + _select(tess, "speaker", {*ACTRESSES} - {actress}),
            _select(tess, "speaker", {actress}),
        )
        for actress in ACTRESSES
    ]


def _corpus_sides(recordings):
    """Protocol "corpus": what trains and validates, and the corpus that tests."""
    present = {recording.corpus for recording in recordings}
    tested = [corpus for corpus in LEFT_OUT if corpus in present]
    if len(tested) < 2:
        raise SentimentalError(
            f"protocol corpus needs two of {', '.join(LEFT_OUT)} at least; give them to "
            "preprocess.py, too"
        )
    return [
        (
            _without(recordings, "corpus", {corpus, RAVDESS_SONG}),
            _select(recordings, "corpus", {corpus}),
        )
        for corpus in tested
    ]
