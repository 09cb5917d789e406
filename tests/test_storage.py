"""The features file: what is saved is loaded, and nothing else is."""

import json
import re
import sys

import numpy as np
import pytest

from sentimental.base import SentimentalError
from sentimental.features import CHAIN, MAX_FRAMES, N_STORED
from sentimental.storage import load_features, save_features


def recording(**changes):
    return {
        "file": "a.wav",
        "hash": "0",
        "corpus": "TESS",
        "speaker": "OAF",
        "emotion": "sad",
        "condition": "",
        "frames": np.arange(5 * N_STORED, dtype=np.float32).reshape(5, N_STORED) / 7,
        **changes,
    }


def test_what_is_saved_is_loaded_bit_by_bit(tmp_path):
    path = tmp_path / "features.json"
    save_features(path, [recording(), recording(file="b.wav", speaker="YAF")])
    first, second = load_features(path)
    assert (first["file"], second["file"], second["speaker"]) == ("a.wav", "b.wav", "YAF")
    assert first["frames"].dtype == np.float32
    np.testing.assert_array_equal(first["frames"], recording()["frames"])


def test_features_made_with_other_constants_are_refused(tmp_path):
    path = tmp_path / "features.json"
    save_features(path, [recording()])
    content = json.loads(path.read_text())
    content["chain"] |= {"max_top_db": 60, "pitch_range": [50, 60]}
    path.write_text(json.dumps(content))
    differences = f"max_top_db 60 instead of {CHAIN['max_top_db']}, "
    differences += f"pitch_range [50, 60] instead of {CHAIN['pitch_range']}; make it again"
    with pytest.raises(SentimentalError, match=re.escape(differences)):
        load_features(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"emotion": "bored"},
        {"frames": np.full((5, N_STORED), np.nan, np.float32)},
        {"frames": np.ones(7, np.float32)},
        {"frames": "no array"},
        {"frames": np.ones((5, 19), np.float32)},
        {"frames": np.ones((5, N_STORED))},
        {"frames": np.ones((0, N_STORED), np.float32)},
        {"frames": np.ones((MAX_FRAMES + 1, N_STORED), np.float32)},
        {"condition": 3},
        {"file": None},
    ],
)
def test_a_damaged_features_file_is_refused(tmp_path, changes):
    path = tmp_path / "features.json"
    save_features(path, [recording(**changes)])
    with pytest.raises(SentimentalError, match="not a features file"):
        load_features(path)


def test_a_features_file_cannot_run_code(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "named_by_the_file.py").write_text("class Emotion:\n    pass\n")
    path = tmp_path / "features.json"
    save_features(path, [recording()])
    content = json.loads(path.read_text())
    content["recordings"][0]["emotion"] = {
        "__instance_type__": ["named_by_the_file", "Emotion"],
        "attributes": {},
    }
    path.write_text(json.dumps(content))
    with pytest.raises(SentimentalError, match="not a features file"):
        load_features(path)
    assert "named_by_the_file" not in sys.modules


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", '{"recordings": 3}', '{"recordings": [], "chain": []}', "[" * 100_000],
    ids=range(6),
)
def test_what_is_no_features_file_is_one_clear_line(tmp_path, content):
    path = tmp_path / "features.json"
    path.write_text(content)
    with pytest.raises(SentimentalError, match=r"preprocess\.py") as caught:
        load_features(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("recordings", [3, None, [3], [[]]])
def test_what_is_no_recordings_is_refused(tmp_path, recordings):
    path = tmp_path / "features.json"
    path.write_text(json.dumps({"chain": CHAIN, "recordings": recordings}))
    with pytest.raises(SentimentalError, match="not a features file"):
        load_features(path)


def test_frames_that_cannot_be_unpacked_are_refused(tmp_path):
    path = tmp_path / "features.json"
    save_features(path, [recording()])
    content = json.loads(path.read_text())
    packed = content["recordings"][0]["frames"]["__ndarray__"]
    assert packed.startswith("b64")
    content["recordings"][0]["frames"]["__ndarray__"] = packed[:20] + "AAAA" + packed[24:]
    path.write_text(json.dumps(content))
    with pytest.raises(SentimentalError, match="not a features file"):
        load_features(path)
