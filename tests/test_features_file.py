"""The features file: what is saved is loaded, and nothing else is."""

import base64
import gzip
import json
import sys
import tracemalloc
import zlib
from dataclasses import replace

import damage
import numpy as np
import pytest

from sentimental.features import CHAIN, MAX_FRAMES, N_STORED
from sentimental.features_file import Recording, load_features, save_features


def recording(**changes):
    frames = np.arange(5 * N_STORED, dtype=np.float32).reshape(5, N_STORED) / 7
    return replace(Recording("a.wav", "TESS", "OAF", "sad", hash="0", frames=frames), **changes)


@pytest.fixture
def path(tmp_path):
    """A features file of one recording."""
    save_features(tmp_path / "features.json", [recording()])
    return tmp_path / "features.json"


def rewrite(path, change):
    """Change the content of a features file by a function of it."""
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def refusal(path):
    """The line that a file is refused with."""
    return damage.refusal(load_features, path, words=r"preprocess\.py")


def test_what_is_saved_is_loaded_bit_by_bit(tmp_path):
    path = tmp_path / "features.json"
    saved = [recording(start=1.5, end=3.0), recording(start=1.5), recording(file="b.wav")]
    save_features(path, saved)
    loaded = load_features(path)
    assert loaded == saved
    assert [one.name for one in loaded] == ["a.wav (1.5 s to 3 s)", "a.wav (1.5 s to end)", "b.wav"]
    assert {one.frames.dtype for one in loaded} == {np.dtype(np.float32)}
    np.testing.assert_array_equal(loaded[0].frames, recording().frames)


def test_features_made_with_other_constants_are_refused(path):
    other = {"max_top_db": 60, "pitch_range": [50, 60]}
    rewrite(path, lambda content: content["chain"].update(other))
    differences = f"max_top_db 60 instead of {CHAIN['max_top_db']}, "
    differences += f"pitch_range [50, 60] instead of {CHAIN['pitch_range']}; make it again"
    assert differences in refusal(path)


@pytest.mark.parametrize("recordings", [3, None, [3], [[]], [{"frames": "no array"}]])
def test_without_recordings_or_a_checksum_it_is_no_features_file(path, recordings):
    rewrite(path, lambda content: content.pop("checksum"))
    assert "KeyError: 'checksum'" in refusal(path)
    rewrite(path, lambda content: content.update(recordings=recordings))
    assert "not a features file" in refusal(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"emotion": "bored"},
        {"frames": np.full((5, N_STORED), np.nan, np.float32)},
        {"frames": np.ones(7, np.float32)},
        {"frames": np.ones((5, 19), np.float32)},
        {"frames": np.ones((5, N_STORED))},
        {"frames": np.ones((0, N_STORED), np.float32)},
        {"frames": np.ones((MAX_FRAMES + 1, N_STORED), np.float32)},
        {"condition": 3},
        {"start": -1.0},
        {"end": "9"},
        {"file": None},
    ],
)
def test_a_damaged_features_file_is_refused(tmp_path, changes):
    save_features(tmp_path / "features.json", [recording(**changes)])
    assert "not a features file" in refusal(tmp_path / "features.json")


def test_a_features_file_cannot_run_code(path, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "named_by_the_file.py").write_text("class Emotion:\n    pass\n")
    named = {"__instance_type__": ["named_by_the_file", "Emotion"], "attributes": {}}
    rewrite(path, lambda content: content["recordings"][0].update(emotion=named))
    assert "not a features file" in refusal(path)
    assert "named_by_the_file" not in sys.modules


@pytest.mark.parametrize(
    "content",
    [
        *("", "{", "[]", '{"recordings": 3}', '{"recordings": [], "chain": []}', "\0\xff"),
        *("[" * 100_000, '{"a":' * 100_000, "9" * 5000),
        f'{{"chain": {{"max_top_db": 1{"0" * 400}}}}}',
    ],
    ids=range(10),
)
def test_what_is_no_features_file_is_one_clear_line(tmp_path, content):
    path = tmp_path / "features.json"
    path.write_text(content, encoding="latin-1")
    refusal(path)


def pack(text=b"", header="b64", **changes):
    """Frames as json_tricks writes them."""
    packed = f"{header}:{base64.b64encode(text).decode()}"
    array = {"__ndarray__": packed, "dtype": "float32", "shape": [5, N_STORED], "Corder": True}
    return array | {"endian": "little"} | changes


@pytest.mark.parametrize(
    "frames",
    [
        pack(gzip.compress(bytes(5 * N_STORED * 4))[:-12], "b64.gz"),
        pack(gzip.compress(b"abc")[:10] + b"\xff" * 40, "b64.gz"),
        pack(b"no gzip at all", "b64.gz"),
        pack(b"too short"),
        pack(bytes(5 * N_STORED * 4), header="b65"),
        pack(bytes(5 * N_STORED * 4), dtype="object"),
        pack(bytes(5 * N_STORED * 4), dtype="S9999999999"),
        pack(bytes(5 * N_STORED * 4), shape=[10**400, N_STORED]),
        pack(bytes(5 * N_STORED * 4), shape=["many", N_STORED]),
        pack(bytes(5 * N_STORED * 4), shape=[]),
        pack(bytes(5 * N_STORED * 4), shape=3),
        pack(bytes(5 * N_STORED * 4), Corder=False),
        pack(bytes(5 * N_STORED * 4), endian="neither"),
        pack(__ndarray__=[[1.0] * N_STORED] * 5),
        pack(__ndarray__=[[10**400] * N_STORED] * 5),
        pack(__ndarray__="b64:\u00fc"),
    ],
    ids=range(16),
)
def test_frames_that_cannot_be_unpacked_are_one_clear_line(path, frames):
    rewrite(path, lambda content: content["recordings"][0].update(frames=frames))
    assert "not a features file" in refusal(path)


def test_frames_that_unpack_to_far_more_than_frames_are_not_unpacked(path):
    """500 MB, of which gzip makes 0.5 MB; and what is short enough to be tried stays small."""
    for n_bytes, limit in ((500_000_000, 10_000_000), (50_000_000, 200_000_000)):
        squeeze = zlib.compressobj(wbits=31)
        squeezed = [squeeze.compress(bytes(1_000_000)) for _ in range(n_bytes // 1_000_000)]
        bomb = pack(b"".join(squeezed) + squeeze.flush(), "b64.gz")
        rewrite(path, lambda content, bomb=bomb: content["recordings"][0].update(frames=bomb))
        tracemalloc.start()
        assert "not a features file" in refusal(path)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert most < limit


def test_no_wrong_bit_is_taken_for_features(tmp_path):
    """Each is refused in a line, or changes nothing: what lies between two values."""
    path = tmp_path / "features.json"
    noise = np.random.default_rng(0).standard_normal((3, N_STORED), np.float32)
    save_features(path, [recording(frames=noise), recording(file="b.wav")])

    def load():
        return [(recording, recording.frames) for recording in load_features(path)]

    assert damage.count_refused(path, 400, load, words=r"preprocess\.py") > 380
