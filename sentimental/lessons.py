"""What a voice is taught: some recordings of it with their labels adapt the last layer to it.

How a stranger sounds in anger cannot be known from other people alone, but it can be asked. Only
the dense layer is adapted, to what it reads of the lessons: that takes milliseconds, and few
lessons are enough.
"""

import numpy as np

from sentimental.scripts import EMOTIONS

# Lessons of an emotion that are kept; the newest count.
MAX_LESSONS = 64
# How strongly the layer is held back where there is one lesson of each emotion; it falls with the
# square of their number ...
PENALTY = 3.0
# ... to this.
LEAST_PENALTY = 0.3
# Steps of the optimization at most.
MAX_STEPS = 100


def add_lesson(lessons, emotion, inputs):
    """Lessons with one more, which is the newest; of its emotion at most ``MAX_LESSONS`` are kept.

    Parameters
    ----------
    lessons : list of (emotion, inputs), the oldest first
    emotion : str
    inputs : np.ndarray [shape=(d,)], what the dense layer reads of the recording

    Returns
    -------
    lessons : list of (emotion, inputs)
    """
    lessons = [*lessons, (emotion, inputs)]
    alike = [number for number, (other, _) in enumerate(lessons) if other == emotion]
    too_old = {*alike[:-MAX_LESSONS]}
    return [lesson for number, lesson in enumerate(lessons) if number not in too_old]


def penalty_of(labels):
    """What holds a layer back: the less, the more lessons there are of each emotion taught.

    Parameters
    ----------
    labels : np.ndarray of int [shape=(n,)]
    """
    per_emotion = len(labels) / len(np.unique(labels))
    return max(PENALTY / per_emotion**2, LEAST_PENALTY)


def adapt_layer(kernel, bias, inputs, labels):
    """The dense layer that explains some lessons, as near as possible to what it was.

    It is the most probable layer given the lessons (MAP) [1]_: their cross entropy, and beside it
    half of the penalty times the squared change of each weight.

    Parameters
    ----------
    kernel : np.ndarray [shape=(d, 8)]
    bias : np.ndarray [shape=(8,)]
    inputs : np.ndarray [shape=(n, d)], what the layer reads of each lesson
    labels : np.ndarray of int [shape=(n,)], places in ``EMOTIONS``

    Returns
    -------
    kernel, bias : np.ndarray of the same shapes

    References
    ----------
    .. [1] C. Chelba, A. Acero, "Adaptation of maximum entropy capitalizer: little data can help a
       lot", EMNLP 2004
    """
    from scipy.optimize import minimize
    from scipy.special import log_softmax

    inputs = np.column_stack([inputs, np.ones(len(inputs))])
    before = inputs @ np.vstack([kernel, bias])
    # The best change is a sum of the lessons, so it is looked for among these alone.
    basis, lessons = np.linalg.qr(inputs.T)
    is_true = np.eye(len(EMOTIONS))[labels]
    penalty = penalty_of(labels)

    def loss(change):
        change = change.reshape(-1, len(EMOTIONS))
        answers = log_softmax(before + lessons.T @ change, axis=1)
        gradient = lessons @ (np.exp(answers) - is_true) + penalty * change
        return penalty / 2 * (change**2).sum() - answers[is_true > 0].sum(), gradient.ravel()

    start = np.zeros(len(lessons) * len(EMOTIONS))
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": MAX_STEPS})
    change = (basis @ found.x.reshape(-1, len(EMOTIONS))).astype(np.float32)
    return kernel + change[:-1], bias + change[-1]
