"""Frames that an interrupted run leaves: taken up where they are what they were, else not."""

import contextlib
import hashlib

import numpy as np
import pytest
from damage import flipped

from sentimental.features import CHAIN, MAX_FRAMES, N_STORED
from sentimental.files import find_files
from sentimental.preprocessing.cache import HEAD, FrameCache

FRAMES = np.random.default_rng(0).standard_normal((20, N_STORED), np.float32)


class Interrupted(Exception):
    """Ends a run before its features file is written."""


@contextlib.contextmanager
def interrupted(*made_with):
    """The cache of a run that is interrupted."""
    with contextlib.suppress(Interrupted), FrameCache(*made_with) as cache:
        yield cache
        raise Interrupted


@pytest.fixture
def unfinished(tmp_path):
    """The file in which an interrupted run has left the frames of a recording."""
    with interrupted(tmp_path / "features.json") as cache:
        cache.save("hash", FRAMES)
    return tmp_path / "features_unfinished" / ".frames"


def load(*made_with):
    """Frames of that recording that the next run takes up."""
    with interrupted(*made_with) as cache:
        return cache.load("hash")


def test_no_flipped_bit_of_unfinished_frames_is_taken_for_frames(unfinished, tmp_path):
    output, content = tmp_path / "features.json", unfinished.read_bytes()
    np.testing.assert_array_equal(load(output), FRAMES)
    assert find_files([tmp_path])[:2] == ([], 3)  # nothing that would be taken for a recording
    for _ in flipped(unfinished, 200):
        assert load(output) is None
    for n in (0, 20, len(content) - 1):  # a run was killed while it wrote
        unfinished.write_bytes(content[:n])
        assert load(output) is None
    with interrupted(output) as cache:
        cache.save("another", FRAMES + 1)
    unfinished.write_bytes(content + unfinished.read_bytes()[:-1])  # killed at the second
    np.testing.assert_array_equal(load(output), FRAMES)
    assert unfinished.read_bytes() == content
    unfinished.unlink()
    (unfinished / "file").mkdir(parents=True)  # a folder in their place costs them alone
    assert load(output) is None


@pytest.mark.parametrize(
    "content",
    [
        bytes(80 * N_STORED - 4),
        np.full((20, N_STORED), np.nan, np.float32).tobytes(),
        bytes(4 * N_STORED * (MAX_FRAMES + 1)),
        b"",
    ],
    ids=range(4),
)
def test_what_are_no_frames_are_not_taken_though_their_checksum_is_right(
    unfinished, tmp_path, content
):
    entry = unfinished.read_bytes()[HEAD.size :][:32] + content
    unfinished.write_bytes(HEAD.pack(hashlib.sha256(entry).digest(), len(entry)) + entry)
    assert load(tmp_path / "features.json") is None


def test_unfinished_frames_are_taken_only_where_they_would_come_out_the_same(
    unfinished, tmp_path, monkeypatch
):
    output = tmp_path / "features.json"
    assert load(output, "white") is None
    anna, ben = {"a.wav": "hash"}, {"a.wav": "another"}
    assert load(output, "babble", anna) is None
    with interrupted(output, "babble", anna) as cache:
        cache.save("hash", FRAMES)
    assert load(output, "babble", anna) is not None
    assert load(output, "babble", ben) is None
    assert load(output) is not None
    monkeypatch.setitem(CHAIN, "peak_dbfs", 6.0)
    assert load(output) is None
