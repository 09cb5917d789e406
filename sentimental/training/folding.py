"""What is folded into the weights of a network, so that any reader of them needs nothing else.

Weights are lists of np.ndarray in Keras' order, as `sentimental.model.build_network` has them: the
first is the kernel of the first layer, the third its bias; the last two are kernel and bias of the
dense layer.
"""

import numpy as np

from sentimental.scripts import EMOTIONS

# The logit of an emotion that did not train. It is finite, and at any temperature of the settings
# (0.01 to 1e6) so low that the softmax of float32 is exactly 0.
UNTRAINED_LOGIT = -1e9


def fold_standardization(weights, mean, std):
    """Weights that read inputs as they are, from weights trained on standardized ones.

    ``((x - mean) / std) @ kernel + bias`` is ``x @ (kernel / std) + bias - (mean / std) @ kernel``.

    Parameters
    ----------
    weights : list of np.ndarray; the first is the kernel of the first layer, the third its bias
    mean, std : np.ndarray [shape=(N_INPUTS,)]

    Returns
    -------
    weights : list of np.ndarray
    """
    kernel, recurrent_kernel, bias, *others = weights
    return [kernel / std[:, None], recurrent_kernel, bias - (mean / std) @ kernel, *others]


def unfold_standardization(weights, mean, std):
    """Weights that read standardized inputs, from weights that read them as they are.

    The reverse of `fold_standardization`; any `mean` and `std` will do.

    Parameters
    ----------
    weights : list of np.ndarray
    mean, std : np.ndarray [shape=(N_INPUTS,)]

    Returns
    -------
    weights : list of np.ndarray
    """
    kernel, recurrent_kernel, bias, *others = weights
    return [kernel * std[:, None], recurrent_kernel, bias + mean @ kernel, *others]


def fold_temperature(weights, temperature):
    """Weights of a network whose logits are divided by `temperature`."""
    *others, kernel, bias = weights
    return [*others, kernel / temperature, bias / temperature]


def fold_prior(weights, prior):
    """Weights of a network to whose logits is added the logarithm of `prior`.

    Parameters
    ----------
    weights : list of np.ndarray
    prior : np.ndarray [shape=(8,)], how many times as often as now each emotion is expected

    Returns
    -------
    weights : list of np.ndarray
    """
    *others, bias = weights
    return [*others, bias + np.log(prior).astype(np.float32)]


def silence_untrained(weights, is_trained):
    """Weights of a network that answers some emotions with probability 0, whatever it reads.

    Parameters
    ----------
    weights : list of np.ndarray; the last are kernel and bias of the dense layer
    is_trained : np.ndarray of bool [shape=(8,)], of those emotions that it still answers

    Returns
    -------
    weights : list of np.ndarray
    """
    *others, kernel, bias = weights
    return [*others, np.where(is_trained, kernel, 0), np.where(is_trained, bias, UNTRAINED_LOGIT)]


def find_untrained(weights):
    """The emotions that `silence_untrained` has silenced: their outputs read nothing."""
    *_, kernel, _ = weights
    return [emotion for emotion, column in zip(EMOTIONS, kernel.T, strict=True) if not column.any()]
