"""What trains, validates and tests in each protocol.

There are four, from the most optimistic to the hardest:

    random        recordings held out at random; their speakers are trained on
    speaker       RAVDESS in 5 folds of actors: unseen speakers
    tess-speaker  one actress of TESS and RAVDESS train, the other actress tests, both ways
    corpus        RAVDESS trains and TESS tests, and the other way
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
        As `sentimental.features.load_features` returns them, sorted by corpus and file name. One
        whose speaker is not known takes part in protocol "random" only.
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
        When a protocol other than "random" lacks a corpus or some of its speakers.
    """
    from sklearn.model_selection import train_test_split

    if protocol == "random":
        parts = split_random(len(recordings), training, split_seed)
        return [tuple([recordings[index] for index in part] for part in parts)]

    # A speaker who is not known may be one of those that test.
    recordings = [recording for recording in recordings if recording["speaker"]]
    tess, ravdess = (_select(recordings, "corpus", {name}) for name in ("TESS", "RAVDESS"))
    if not ravdess or (not tess and protocol != "speaker"):
        lacking = "TESS" if ravdess else "RAVDESS"
        raise SentimentalError(
            f"protocol {protocol} needs recordings of {lacking}; give them to preprocess.py, too"
        )
    if protocol == "speaker":
        return _actor_folds(ravdess)
    sides = _actress_sides(tess, ravdess) if protocol == "tess-speaker" else _sides(tess, ravdess)
    return [
        (
            *train_test_split(side, test_size=training.validation_share, random_state=split_seed),
            test,
        )
        for side, test in sides
    ]


def _select(recordings, key, values):
    """Those recordings whose value of `key` is among `values`."""
    return [recording for recording in recordings if recording[key] in values]


def _actor_folds(ravdess):
    """The folds of protocol "speaker"."""
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
            "protocol speaker needs all 24 actors of RAVDESS; give them to preprocess.py"
        )
    return folds


def _actress_sides(tess, ravdess):
    """Protocol "tess-speaker": what trains and validates, and the actress who tests."""
    if {recording["speaker"] for recording in tess} != {*ACTRESSES}:
        raise SentimentalError(
            "protocol tess-speaker needs both actresses of TESS; give them to preprocess.py"
        )
    return [
        (
            ravdess + _select(tess, "speaker", {*ACTRESSES} - {actress}),
            _select(tess, "speaker", {actress}),
        )
        for actress in ACTRESSES
    ]


def _sides(tess, ravdess):
    """Protocol "corpus": what trains and validates, and what tests; TESS has no calm."""
    shared = [recording for recording in ravdess if recording["emotion"] != "calm"]
    return [(shared, tess), (tess, shared)]
