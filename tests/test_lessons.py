"""A voice that was taught is recognized as it was taught; only some emotions may be allowed."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from signals import make_recording, make_reference, make_weights, speech, tone

from sentimental import EMOTIONS, SentimentalError, Voice
from sentimental.features import CHAIN, N_FEATURES, N_SUMMARY, pad, summarize
from sentimental.files import checksum, write_json
from sentimental.recognizer import Recognizer
from sentimental.speaker import STATISTICS, normalize_summaries
from sentimental.spectrum import SAMPLE_RATE
from sentimental.training.histories import recording_statistics
from sentimental.training.lessons import draw_lessons, measure_lessons
from sentimental.voice import (
    LEAST_PENALTY,
    MAX_LESSONS,
    PENALTY,
    adapt_layer,
    add_lesson,
    lessons_to_inputs,
    penalty_of,
)


def make_recognizer(seed=0):
    """A network of random weights."""
    return Recognizer(make_weights(0.05, seed), make_reference())


def clips(n, seed=1):
    """Features of recordings that differ."""
    rng = np.random.default_rng(seed)
    return [rng.normal(rng.normal(0, 2, N_FEATURES), 1, (30, N_FEATURES)) for _ in range(n)]


def answer(recognizer, features, taught, emotions=EMOTIONS):
    probabilities = recognizer.predict_features(features, taught, emotions)
    return max(probabilities, key=probabilities.get)


def teach(recognizer, lessons):
    taught = Voice()
    for features, emotion in lessons:
        taught.learn(recognizer, features, emotion)
    return taught


# The layer --------------------------------------------------------------------------------------


def some_lessons(n):
    rng = np.random.default_rng(0)
    kernel, bias = rng.normal(0, 0.2, (20, 8)), rng.normal(0, 0.2, 8)
    return kernel, bias, rng.normal(0, 1, (n, 20)), rng.integers(0, 4, n)


@pytest.mark.parametrize("n", [3, 12, 60])  # fewer and more than there are inputs
def test_the_layer_is_the_most_probable_one(n):
    kernel, bias, inputs, labels = some_lessons(n)

    def loss(kernel_now, bias_now):
        logits = inputs @ kernel_now + bias_now
        logits -= np.log(np.exp(logits).sum(axis=1, keepdims=True))
        change = ((kernel_now - kernel) ** 2).sum() + ((bias_now - bias) ** 2).sum()
        return -logits[np.arange(n), labels].sum() + penalty_of(labels) / 2 * change

    found = adapt_layer(kernel, bias, inputs, labels)
    rng = np.random.default_rng(1)
    assert loss(*found) < loss(kernel, bias)
    for _ in range(20):
        other = [part + rng.normal(0, 0.01, part.shape) for part in found]
        assert loss(*found) < loss(*other)


def test_an_emotion_without_a_lesson_can_still_be_answered():
    each = np.eye(8)  # a network that answers each emotion where it reads its number
    lessons = np.repeat(each[:3], 9, axis=0), np.repeat([1, 2, 0], 9)
    kernel, bias = adapt_layer(2 * each, np.zeros(8), *lessons)
    assert (each @ kernel + bias).argmax(axis=1).tolist() == [1, 2, 0, 3, 4, 5, 6, 7]


def test_the_more_lessons_the_less_is_held_back():
    penalties = [penalty_of(np.repeat([0, 1, 2], n)) for n in (1, 2, 4, 64)]
    assert penalties == [PENALTY, PENALTY / 2, PENALTY / 4, LEAST_PENALTY]


def test_the_newest_lessons_of_an_emotion_are_kept():
    lessons = []
    for number in range(MAX_LESSONS + 5):
        lessons = add_lesson(lessons, "happy", number)
    lessons = add_lesson(lessons, "sad", 1000)
    assert lessons == [("happy", number) for number in range(5, MAX_LESSONS + 5)] + [("sad", 1000)]


# The voice --------------------------------------------------------------------------------------


def test_what_was_taught_is_recognized():
    recognizer, heard = make_recognizer(), clips(6)
    before = [answer(recognizer, features, None) for features in heard]
    told = [EMOTIONS[(EMOTIONS.index(emotion) + 3) % 8] for emotion in before]
    taught = teach(recognizer, [*zip(heard, told, strict=True)] * 3)
    assert [answer(recognizer, features, taught) for features in heard] == told
    assert [answer(recognizer, features, None) for features in heard] == before


def test_a_recording_is_a_lesson_and_heard():
    recognizer, taught = make_recognizer(), Voice()
    taught.teach(recognizer, speech(1), "angry", SAMPLE_RATE)
    assert taught.n_recordings == 1
    assert [emotion for emotion, _ in taught.lessons] == ["angry"]
    only_heard = Voice()
    features = recognizer.compute_features(speech(1))
    only_heard.add(features, recognizer)
    np.testing.assert_array_equal(taught.statistics, only_heard.statistics)
    taught.learn(recognizer, recognizer.compute_features(speech(2)), "sad", heard=True)
    assert taught.n_recordings == 1
    taught.take_back_lesson()
    before = recognizer.predict(speech(1), SAMPLE_RATE, voice=only_heard)
    assert recognizer.predict(speech(1), SAMPLE_RATE, voice=taught)["angry"] > before["angry"]


@pytest.mark.parametrize(("recording", "emotion"), [(speech(1), "jealous"), (tone(440, 2), "sad")])
def test_what_cannot_be_taught_changes_nothing(recording, emotion):
    taught = Voice()
    with pytest.raises(SentimentalError, match="jealous|no speech"):
        taught.teach(make_recognizer(), recording, emotion, SAMPLE_RATE)
    assert not taught.lessons
    assert taught.n_recordings == 0


def test_the_newest_lesson_is_taken_back():
    recognizer, heard = make_recognizer(), clips(3)
    taught, only_heard = teach(recognizer, [(heard[0], "happy"), (heard[1], "sad")]), Voice()
    taught.add(heard[2])
    before = recognizer.predict_features(heard[2], taught)
    taught.learn(recognizer, heard[2], "fear", heard=True)
    assert taught.take_back_lesson() == "fear"
    assert recognizer.predict_features(heard[2], taught) == before
    assert [taught.take_back_lesson() for _ in range(3)] == ["sad", "happy", None]
    only_heard.statistics, only_heard.taught_with = taught.statistics, recognizer.checksum
    taught, only_heard = (recognizer.predict_features(heard[2], v) for v in (taught, only_heard))
    assert taught == only_heard


def test_lessons_are_of_one_model():
    taught = teach(make_recognizer(), [(clips(1)[0], "happy")])
    with pytest.raises(SentimentalError, match="another model"):
        make_recognizer(seed=1).predict_features(clips(1)[0], taught)
    with pytest.raises(SentimentalError, match="another model"):
        taught.learn(make_recognizer(seed=1), clips(1)[0], "sad")


def test_a_voice_file_keeps_the_lessons_and_one_of_an_older_chain_loads(tmp_path, monkeypatch):
    recognizer, heard = make_recognizer(), clips(4)
    taught = teach(recognizer, [(heard[0], "happy"), (heard[1], "sad"), (heard[2], "happy")])
    taught.add(heard[0])
    older = {name: value for name, value in CHAIN.items() if not name.startswith("island")}
    for chain in (CHAIN, older):
        with monkeypatch.context() as patch:
            patch.setattr("sentimental.voice.CHAIN", chain)
            taught.save(tmp_path / "me.json")
        loaded = Voice.load(tmp_path / "me.json")
        answers = [recognizer.predict_features(heard[3], one) for one in (loaded, taught)]
        assert answers[0] == answers[1]


def test_answers_are_of_one_model_and_older_voices_have_none(tmp_path, monkeypatch):
    monkeypatch.setattr("sentimental.speaker.VARIED", (0.0, 1e-6))  # they vary enough
    recognizer, other, path = make_recognizer(), make_recognizer(seed=1), tmp_path / "me.json"
    asked, *heard = clips(9)
    voice, without_answers = Voice(), Voice()
    for features in heard:
        voice.add(features, recognizer)
        without_answers.add(features)
    voice.save(path)
    content = json.loads(path.read_text())
    statistics = {n: values for n, values in content["voice"].items() if "answer" not in n}
    older = {"chain": content["chain"], "voice": statistics}
    path.write_text(json.dumps(older | {"checksum": checksum(older)}))

    def answers(recognizer, *voices):
        return [recognizer.predict_features(asked, one) for one in voices]

    with_them, without, of_older = answers(recognizer, voice, without_answers, Voice.load(path))
    assert max(abs(with_them[e] - without[e]) for e in EMOTIONS) > 0.01
    assert of_older == without
    assert len({*map(str, answers(other, voice, without_answers))}) == 1


@pytest.mark.parametrize(
    "lessons",
    [
        [["jealous", [0.5] * 200]],
        [["sad", [0.5] * 200], ["sad", [0.5] * 201]],
        [["sad", [0.5] * N_SUMMARY]],  # nothing beside the summary
        [["sad", [0.5] * 200]] * 3,  # more than recordings
        [["sad", "x"]],
        7,
    ],
)
def test_damaged_lessons_are_refused(tmp_path, lessons):
    heard = Voice()
    for features in clips(2):
        heard.add(features)
    heard.save(tmp_path / "me.json")
    content = json.loads((tmp_path / "me.json").read_text()) | {"lessons": lessons}
    write_json(tmp_path / "me.json", content | {"checksum": checksum(content)})
    with pytest.raises(SentimentalError, match=r"me.json: not a voice"):
        Voice.load(tmp_path / "me.json")


def test_a_lesson_is_compared_with_the_other_recordings_of_its_voice():
    features = clips(4)
    added = []
    for one in features:
        alone = Voice()
        alone.add(one)
        added.append(alone.statistics)
    summaries = np.stack([summarize(*pad([one]))[0] for one in features])
    lessons = np.hstack([np.zeros((4, 3)), summaries])
    inputs = lessons_to_inputs(lessons, sum(added), make_reference())
    others = np.stack([sum(added) - own for own in added])
    expected = normalize_summaries(summaries, others, make_reference())
    np.testing.assert_allclose(inputs[:, 3:], expected, atol=1e-4)


# Some emotions alone ----------------------------------------------------------------------------


def test_only_some_emotions_are_answered():
    recognizer, own = make_recognizer(), ("sad", "happy", "angry")
    every = recognizer.predict(speech(1), SAMPLE_RATE)
    some = recognizer.predict(speech(1), SAMPLE_RATE, emotions=own)
    assert (*some,) == own
    total = sum(every[emotion] for emotion in own)
    for emotion in own:
        assert some[emotion] == pytest.approx(every[emotion] / total, rel=1e-4)


@pytest.mark.parametrize("emotions", [("sad", "jealous"), ("sad",), ("sad", "sad"), ()])
def test_emotions_that_cannot_be_allowed_are_refused(emotions):
    with pytest.raises(SentimentalError, match="give two or more of"):
        make_recognizer().predict(speech(1), SAMPLE_RATE, emotions=emotions)


# How they are measured --------------------------------------------------------------------------


def test_lessons_are_of_each_emotion_of_a_speaker_and_not_tested():
    recordings = [
        make_recording("TESS", speaker, emotion)
        for speaker, emotions in [("anna", 4), ("bert", 3), ("carl", 2), ("", 8)]
        for emotion in EMOTIONS[:emotions]
        for _ in range(5 if speaker != "bert" else 2)
    ]
    for n, speakers in [(1, {"anna", "bert"}), (2, {"anna"}), (5, set())]:
        drawn = draw_lessons(recordings, n, np.random.default_rng(0))
        assert {recordings[lessons[0]].speaker for lessons, _ in drawn} == speakers
        for lessons, tested in drawn:
            taught = [recordings[number] for number in lessons]
            assert sorted(r.emotion for r in taught) == sorted(n * [*{r.emotion for r in taught}])
            of_speaker = [r for r in recordings if r.speaker == taught[0].speaker]
            assert len({*lessons, *tested}) == len(lessons) + len(tested) == len(of_speaker)


def test_a_lesson_is_heard_after_those_before_it(monkeypatch):
    heard = []

    def embed(network, reference, recordings, before):
        heard.append(before[:, STATISTICS["n_recordings"]].ravel())
        return np.zeros((len(recordings), 8 + N_SUMMARY))

    monkeypatch.setattr("sentimental.training.fit.embed", embed)
    network = SimpleNamespace(get_weights=lambda: make_weights(0.05, 0))
    recordings = [make_recording("TESS", "anna", e) for e in EMOTIONS[:3] for _ in range(5)]
    statistics = recording_statistics(recordings, np.full((15, 8), 1 / 8))
    measure_lessons(network, make_reference(), recordings, statistics, seed=0)
    for n, before in enumerate(heard, 1):
        assert sorted(before) == [*range(3 * n), *[3 * n] * (15 - 3 * n)]
