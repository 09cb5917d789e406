"""Files that something happened to, and the lines with which they are refused."""

import numpy as np
import pytest

from sentimental import SentimentalError


def refusal(load, *arguments, words=None):
    """The line with which a function refuses what it is given; that `words` are found in (`re`)."""
    with pytest.raises(SentimentalError, match=words) as caught:
        load(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def flipped(path, n):
    """Have a file hold one wrong bit, `n` times another; then it is whole again."""
    whole, rng = path.read_bytes(), np.random.default_rng(1)
    for place, bit in zip(rng.integers(0, len(whole), n), rng.integers(0, 8, n), strict=True):
        content = bytearray(whole)
        content[place] ^= 1 << bit
        path.write_bytes(content)
        yield
    path.write_bytes(whole)


def count_refused(path, n, load, words=None):
    """How many of `n` wrong bits are refused in a line with `words`; the others change nothing."""
    expected, refused = load(), 0
    for _ in flipped(path, n):
        try:
            loaded = load()
        except SentimentalError:
            refusal(load, words=words)
            refused += 1
        else:
            np.testing.assert_equal(loaded, expected)
    return refused
