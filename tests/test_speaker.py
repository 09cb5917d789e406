"""Statistics of a voice, recordings relative to them, and what is unlike speech."""

import json
import os
from collections import Counter

import damage
import numpy as np
import pytest
from scipy.linalg import solve_toeplitz
from scipy.signal import lfilter
from signals import make_recording, make_recordings, make_reference, speech

from sentimental.features import (
    N_FEATURES,
    N_SUMMARY,
    add_slopes,
    frames_to_features,
    pad,
    summarize,
)
from sentimental.files import checksum
from sentimental.recognizer import load_recognizer
from sentimental.scripts import EMOTIONS
from sentimental.speaker import (
    MAX_DEVIATIONS,
    MEAN_LOGITS,
    N_STATISTICS,
    PSEUDO_ANSWERS,
    PSEUDO_FRAMES,
    PSEUDO_RECORDINGS,
    PSEUDO_VARIANCES,
    answer_offset,
    answer_statistics,
    compute_statistics,
    find_doubt,
    normalize,
)
from sentimental.spectrum import SAMPLE_RATE
from sentimental.training.histories import (
    draw_histories,
    find_reference,
)
from sentimental.voice import Voice


@pytest.fixture(scope="module")
def clips():
    """Features of eight recordings."""
    features, lengths = frames_to_features([r.frames for r in make_recordings(8)])
    return [clip[:length] for clip, length in zip(features, lengths, strict=True)]


def voice_that_said(clips):
    heard = Voice()
    for clip in clips:
        heard.add(clip)
    return heard


# The measure


@pytest.mark.parametrize("k", [0, 1, 2, 5])
@pytest.mark.parametrize("shifted", [False, True])
def test_recordings_are_compared_with_their_history_and_all_voices(k, shifted, clips):
    """Sums are taken apart here: the formulas are those of a mean and a variance with doubt."""
    rng, reference = np.random.default_rng(k), make_reference()
    shift = [
        rng.normal(0, 1, (1, n)) if shifted else np.zeros((1, n)) for n in (N_FEATURES, N_SUMMARY)
    ]
    clip, history = clips[0], clips[1 : 1 + k]
    told = np.tile(voice_that_said(history).statistics, (2, 1))
    both = pad([clip, np.tile(clip, (2, 1))])
    inputs, summaries = normalize(
        *both, summarize(*both), told, reference, shift if shifted else None
    )
    inputs, padding = np.split(inputs[0], [len(clip)])
    assert not padding.any()

    frames = np.concatenate([np.empty((0, N_FEATURES)), *history]) + shift[0]
    offset = (frames - reference.features).sum(axis=0) / (len(frames) + PSEUDO_FRAMES)
    with_slopes = add_slopes(*pad([clip]))[0]
    np.testing.assert_allclose(inputs[:, :N_FEATURES], clip - offset, atol=1e-5)
    np.testing.assert_array_equal(inputs[:, N_FEATURES:], with_slopes[:, N_FEATURES:])

    own, *earlier = (summarize(*pad([one]))[0].astype(float) for one in (clip, *history))
    center = reference.summary + sum(one + shift[1][0] - reference.summary for one in earlier) / (
        k + PSEUDO_RECORDINGS
    )
    spread = sum((one - np.mean(earlier, axis=0)) ** 2 for one in earlier)
    variance = (spread + PSEUDO_VARIANCES * reference.variance) / (k + PSEUDO_VARIANCES)
    deviations = (own - center) / np.sqrt(variance)
    assert deviations.min() < -MAX_DEVIATIONS < MAX_DEVIATIONS < deviations.max()
    expected = np.clip(deviations, -MAX_DEVIATIONS, MAX_DEVIATIONS)
    np.testing.assert_allclose(summaries[0], expected, atol=1e-3)


# Reference statistics


def test_the_reference_is_a_mean_and_how_much_one_voice_varies(clips):
    statistics = compute_statistics(*pad(clips), summarize(*pad(clips)))
    voices = ["a", "a", "a", "b", "b", "c", None, None]
    reference = find_reference(statistics, voices)
    np.testing.assert_allclose(reference.features, np.concatenate(clips).mean(axis=0), atol=1e-5)
    summaries = summarize(*pad(clips)).astype(float)
    np.testing.assert_allclose(reference.summary, summaries.mean(axis=0))
    expected = (summaries[:3].var(axis=0) + summaries[3:5].var(axis=0)) / 2
    np.testing.assert_allclose(reference.variance, np.maximum(expected, 1e-9))
    always_the_same = find_reference(statistics[[0, 0, 0]], ["a", "a", "a"])
    assert (always_the_same.variance > 0).all()
    nobody = find_reference(statistics, [None] * 8)
    np.testing.assert_allclose(nobody.variance, np.maximum(summaries.var(axis=0), 1e-9))


# Histories


def make_told():
    """Recordings of three known speakers and of nobody known, four each, one after the other."""
    speakers = [("TESS", "OAF"), ("TESS", "YAF"), ("mine", "OAF"), ("mine", "")]
    return [
        make_recording(corpus, speaker, emotion)
        for corpus, speaker in speakers
        for emotion in ("sad", "sad", "happy", "angry")
    ]


@pytest.mark.parametrize("n", [0, 1, 2, 3, 9])
def test_histories_that_are_drawn_are_of_others_of_one_voice_each_as_likely(monkeypatch, n):
    monkeypatch.setattr("sentimental.training.histories.N_HISTORY", n)
    counts = Counter()
    for seed in range(40):
        for number, history in enumerate(draw_histories(make_told(), seed)[f"h{n}"]):
            first = number // 4 * 4
            others = [other for other in range(first, first + 4) if other != number]
            others = others if number < 12 else []  # of nobody known
            assert {*history} <= {*others}
            assert len({*history}) == len(history) == min(n, len(others))
            counts.update(others.index(other) for other in history)
    expected = 40 * 12 * min(n, 3) / 3
    np.testing.assert_allclose([counts[place] for place in range(3)], expected, atol=50)


def test_histories_of_one_emotion():
    seen = {number: set() for number in range(16)}
    for seed in range(30):
        for number, history in enumerate(draw_histories(make_told(), seed)["h10, one emotion"]):
            seen[number].add(frozenset(history))
    assert seen[0] == {frozenset({1}), frozenset({2}), frozenset({3})}
    assert seen[6] == {frozenset({4, 5}), frozenset({7}), frozenset()}  # the only happy one
    assert seen[12] == {frozenset()}


# Answers


def told(*answers):
    """Statistics of a voice after such answers, each a dict of probabilities; others are even."""
    rest = [(1 - sum(answer.values())) / (8 - len(answer)) for answer in answers]
    answers = [
        [answer.get(e, even) for e in EMOTIONS] for answer, even in zip(answers, rest, strict=True)
    ]
    return answer_statistics(np.log(answers)).sum(axis=0, keepdims=True)


def test_an_emotion_that_a_voice_is_always_near_counts_less():
    """Anger comes next to whatever is the strongest; of sad and calm that is true once."""
    varied = [{"angry": 0.3, e: 0.6} for e in ("happy", "fear", "neutral", "disgust", "surprise")]
    few, many = (answer_offset(told(*varied * n))[0] for n in (1, 4))
    angry = EMOTIONS.index("angry")
    assert few.argmax() == many.argmax() == angry
    assert 0.3 < few[angry] < many[angry]
    logits = np.log([[answer.get(e, 0.1 / 6) for e in EMOTIONS] for answer in varied])
    mean = logits.mean(axis=0) - logits.mean() - MEAN_LOGITS
    np.testing.assert_allclose(many, mean * 20 / (20 + PSEUDO_ANSWERS), atol=1e-6)


@pytest.mark.parametrize("answers", [[], [{"angry": 0.9}], [{"angry": 0.9}, {"angry": 0.6}] * 9])
def test_a_voice_that_spoke_in_one_mood_is_not_taken_for_its_usual_one(answers):
    statistics = told(*answers) if answers else np.zeros((1, N_STATISTICS))
    assert not answer_offset(statistics).any()


def test_an_emotion_that_is_never_answered_stays_so_and_the_others_do_not_mind():
    logits = np.log([[0.7, 0.2, 0.1], [0.1, 0.2, 0.7], [0.2, 0.7, 0.1]] * 4)
    offsets = [
        answer_offset(answer_statistics(np.hstack([logits, np.full((12, 5), lowest)])).sum(0)[None])
        for lowest in (-1e9, -100.0)
    ]
    np.testing.assert_allclose(*offsets)
    assert np.isfinite(offsets[0]).all()


# One voice


def test_a_voice_grows_and_the_order_does_not_matter(clips):
    heard, backwards = voice_that_said(clips), voice_that_said(clips[::-1])
    np.testing.assert_allclose(heard.statistics, backwards.statistics, rtol=1e-12)
    assert heard.n_recordings == 8
    n_frames = sum(map(len, clips))
    assert heard.known == pytest.approx(n_frames / (n_frames + PSEUDO_FRAMES))
    assert (Voice().n_recordings, Voice().known) == (0, 0)


REFUSED = r"anna\.json: .*; begin a new voice$"


def refusal(path):
    """The line that a voice file is refused with."""
    return damage.refusal(Voice.load, path, words=REFUSED)


@pytest.mark.parametrize(
    "parts",
    [
        {"n_frames": [float("nan")]},
        {"n_recordings": [1e9]},
        {"n_recordings": [-1.0]},
        {"features": [1.0] * (N_FEATURES - 1)},
        {"features": 3},
        {"summaries": ["loud"] * N_SUMMARY},
        {"squares": [float("inf")] * N_SUMMARY},
        {"summaries": [1e200] * N_SUMMARY},
        {"squares": [10**400] * N_SUMMARY},
        {"squares": None},
    ],
)
def test_a_damaged_voice_is_refused_in_one_line(parts, clips, tmp_path):
    path = tmp_path / "anna.json"
    voice_that_said(clips).save(path)
    content = json.loads(path.read_text())
    content["voice"] |= parts
    path.write_text(json.dumps(content | {"checksum": checksum(content)}))
    assert "not a voice" in refusal(path)


def test_no_wrong_bit_is_taken_for_a_voice(clips, tmp_path):
    path = tmp_path / "anna.json"
    voice_that_said(clips).save(path)
    assert damage.count_refused(path, 300, lambda: Voice.load(path).statistics, words=REFUSED) > 200


def test_what_is_no_voice_of_these_constants_is_refused(tmp_path):
    path = tmp_path / "anna.json"
    assert "cannot be read" in refusal(path)
    Voice().save(path)
    assert Voice.load(path).n_recordings == 0
    content = json.loads(path.read_text())
    without = {name: value for name, value in content.items() if name != "checksum"}
    texts = ["", "{", "[]", "3", '{"voice": {}}', '{"voice": 3, "chain": 3}', "\0\xff"]
    for text in [*texts, "[" * 100_000, json.dumps(without)]:
        path.write_text(text, encoding="latin-1")
        assert "not a voice" in refusal(path)
    content["chain"]["n_mfcc"] = 13
    path.write_text(json.dumps(content))
    assert "n_mfcc 13 instead of" in refusal(path)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such rights")
def test_only_its_owner_reads_a_voice(tmp_path):
    Voice().save(tmp_path / "voice.json")
    assert (tmp_path / "voice.json").stat().st_mode & 0o777 == 0o600


# What is unlike speech


def whisper(samples, n=512, hop=128, order=20):
    """Speech whose vocal cords are noise: each frame's all-pole filter, fed with noise."""
    window, noise = np.hanning(n), np.random.default_rng(1).standard_normal(len(samples) + n)
    whispered = np.zeros(len(samples))
    for start in range(0, len(samples) - n, hop):
        frame = samples[start : start + n] * window
        r = np.correlate(frame, frame, "full")[n - 1 : n + order] + 1e-9
        poles = solve_toeplitz(r[:-1] + 1e-4 * r[0] * (np.arange(order) == 0), r[1:])
        gain = np.sqrt(max(r[0] - poles @ r[1:], 0))
        piece = lfilter([gain], np.r_[1, -poles], noise[start : start + n])
        whispered[start : start + n] += piece * window
    return whispered.astype(np.float32)


def cry():
    """A baby's cry: 1.2 s of a harmonic sound about 500 Hz."""
    seconds = np.arange(19_200) / SAMPLE_RATE
    phase = 2 * np.pi * np.cumsum(480 + 60 * np.sin(np.pi * seconds / 1.2)) / SAMPLE_RATE
    samples = sum(np.cos(n * phase) / n**0.7 for n in range(1, 12)) * np.hanning(len(seconds))
    return samples.astype(np.float32)


def laugh():
    """Seven times the same 0.1 s of a voice, nearly every 0.2 s, softer each time."""
    rng, burst = np.random.default_rng(1), speech(0)[8000:9600] * np.hanning(1600)
    silence = np.zeros(3200)
    bursts = [0.9**n * np.pad(burst, (0, rng.integers(1400, 1800))) for n in range(7)]
    return np.concatenate([silence, *bursts, silence]).astype(np.float32)


def test_what_is_unlike_speech_is_in_doubt():
    recognizer, sounds = load_recognizer(), [(cry(), "unlike speech?"), (laugh(), "laughter?")]
    for number in range(4):
        sounds += [(speech(number), ""), (whisper(speech(number)), "whispered?")]
        sounds.append((speech(number)[: SAMPLE_RATE // 2], ""))  # a short word
    for samples, doubt in sounds:
        features = recognizer.compute_features(samples)
        assert find_doubt(features, recognizer.reference) == doubt
