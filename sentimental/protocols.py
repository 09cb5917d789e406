"""What trains, validates and tests in each protocol.

There are four, from the most optimistic to the hardest:

    random        recordings of TESS and RAVDESS held out at random; their speakers are trained on
    speaker       RAVDESS in 5 folds of actors: unseen speakers; all other corpora train, too
    tess-speaker  one actress of TESS and RAVDESS train, the other actress tests, both ways
    corpus        each corpus is tested by a network that all the others trained
"""

import numpy as np

from sentimental.base import SentimentalError

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
    recordings : list of dict
        As `sentimental.storage.load_features` returns them, sorted by corpus and file name. One
        whose speaker is not known takes part in protocol "random" only. Where there are
        hardly any of TESS and RAVDESS, that protocol holds out of all recordings.
    training : Training
        Its ``held_out_share`` and ``test_share`` count in protocol "random", its
        ``validation_share``, of what does not test, in "tess-speaker" and "corpus".
    split_seed : int, of what is drawn; in protocol "speaker" nothing is

    Returns
    -------
    folds : list of (train, validation, test), each a list of dict

    Raises
    ------
    SentimentalError
        When a protocol other than "random" lacks corpora or speakers.
    """
    from sklearn.model_selection import train_test_split

    if protocol == "random":
        pool = _select(recordings, "corpus", HELD_OUT)
        if len(pool) < LEAST_TO_SPLIT:
            pool = recordings
        parts = split_random(len(pool), training, split_seed)
        train, *held_out = ([pool[index] for index in part] for part in parts)
        others = [] if pool is recordings else _without(recordings, "corpus", HELD_OUT)
        return [(train + others, *held_out)]

    # A speaker who is not known may be one of those that test.
    recordings = [recording for recording in recordings if recording["speaker"]]
    if protocol == "speaker":
        return _actor_folds(recordings)
    sides = _actress_sides(recordings) if protocol == "tess-speaker" else _corpus_sides(recordings)
    return [
        (
            *train_test_split(side, test_size=training.validation_share, random_state=split_seed),
            test,
        )
        for side, test in sides
    ]


def count_parts(fold):
    """How many recordings train, validate and test, as a dict."""
    return dict(zip(("train", "validation", "test"), map(len, fold), strict=True))


def _select(recordings, key, values):
    """Those recordings whose value of `key` is among `values`."""
    return [recording for recording in recordings if recording[key] in values]


def _without(recordings, key, values):
    """Those recordings whose value of `key` is not among `values`."""
    return [recording for recording in recordings if recording[key] not in values]


def _actor_folds(recordings):
    """The folds of protocol "speaker"."""
    ravdess = _select(recordings, "corpus", {"RAVDESS"})
    others = _without(recordings, "corpus", {"RAVDESS", RAVDESS_SONG})
    everyone = {recording["speaker"] for recording in ravdess}
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
    if {recording["speaker"] for recording in tess} != {*ACTRESSES} or not ravdess:
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
    present = {recording["corpus"] for recording in recordings}
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
