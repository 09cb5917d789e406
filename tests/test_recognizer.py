"""Recognition without Keras: the same answers, from files and from samples."""

import io
import re

import numpy as np
import pytest
import signals
import soundfile
from sessions import WIDE, answer_to, answer_to_inputs, find_utterances
from signals import SAMPLES, make_reference, noise, speech, tone

import sentimental
from sentimental import EMOTIONS, Recognizer, SentimentalError, Voice, load_recognizer, model
from sentimental.features import MAX_FRAMES, N_FEATURES, N_INPUTS, N_SUMMARY
from sentimental.spectrum import SAMPLE_RATE
from sentimental.training import network as network_module


@pytest.fixture(scope="module")
def network():
    network_module.keras.utils.set_random_seed(1)
    return network_module.build_network()


@pytest.fixture(scope="module")
def recognizer(network):
    return Recognizer(network.get_weights(), WIDE)


def make_clip(n_frames):
    """Frames and summary of one recording, larger than usual."""
    rng = np.random.default_rng(n_frames)
    return [
        3 * rng.standard_normal(n).astype(np.float32) for n in ((n_frames, N_INPUTS), N_SUMMARY)
    ]


def probabilities(network, frames, summary):
    return np.asarray(network([frames[None], summary[None]]))[0]


def shipped(network):
    return network_module.load_network(model.SHIPPED_MODEL)[0]


def with_large_weights(network):
    """Gates far from their middle, where a wrong activation would show."""
    large = network_module.build_network()
    large.set_weights([4 * weight for weight in network.get_weights()])
    return large


@pytest.mark.parametrize("choose", [lambda network: network, with_large_weights, shipped])
@pytest.mark.parametrize("n_frames", [1, 2, 40, MAX_FRAMES])
def test_numpy_gives_the_probabilities_of_keras(network, choose, n_frames):
    chosen = choose(network)
    frames, summary = make_clip(n_frames)
    recognizer = Recognizer(chosen.get_weights(), make_reference())
    answer = answer_to_inputs(recognizer, frames, summary)
    np.testing.assert_allclose(answer, probabilities(chosen, frames, summary), atol=1e-5)
    padded = np.pad(frames, ((0, MAX_FRAMES - n_frames), (0, 0)))
    np.testing.assert_allclose(answer, probabilities(chosen, padded, summary), atol=1e-5)


def test_a_recording_in_whatever_form_gives_the_same(recognizer, tmp_path):
    expected = recognizer.predict(SAMPLES[0])
    assert list(expected) == list(EMOTIONS)
    assert recognizer.predict(speech(0), SAMPLE_RATE) == expected
    stereo = np.stack([speech(0)] * 2, axis=1)
    soundfile.write(tmp_path / "stereo.wav", stereo, SAMPLE_RATE, subtype="FLOAT")
    assert recognizer.predict(tmp_path / "stereo.wav") == expected
    assert recognizer.predict(io.BytesIO(SAMPLES[0].read_bytes())) == expected
    with open(SAMPLES[0], "rb") as file:
        assert recognizer.predict(file) == expected
        with pytest.raises(SentimentalError, match=f"^{re.escape(str(SAMPLES[0]))}: the file is"):
            recognizer.predict(file)  # it was read to its end


@pytest.mark.parametrize("sound", [tone(440, 2), noise(2, dbfs=-20), tone(440, 8)])
def test_where_nobody_speaks_there_is_no_emotion_and_no_voice_grows(recognizer, sound):
    voice = Voice()
    with pytest.raises(SentimentalError, match="recording: no speech"):
        recognizer.predict(sound, SAMPLE_RATE, voice)
    assert voice.n_recordings == 0


def test_a_recording_is_compared_with_its_voice_which_then_grows(recognizer, tmp_path):
    voice = Voice()
    first = recognizer.predict(SAMPLES[0], voice=voice)
    assert first == recognizer.predict(SAMPLES[0])  # nothing was heard before
    assert voice.n_recordings == 1
    voice.save(tmp_path / "voice.json")
    asked = recognizer.predict_features(recognizer.compute_features(speech(1)), voice)
    assert voice.n_recordings == 1  # asking leaves it as it is

    second = recognizer.predict(speech(1), SAMPLE_RATE, voice)
    assert second == pytest.approx(asked, rel=1e-9)
    alone = recognizer.predict(speech(1), SAMPLE_RATE)
    assert np.abs(np.subtract([*second.values()], [*alone.values()])).max() > 1e-3
    assert voice.n_recordings == 2
    afterwards = Voice.load(tmp_path / "voice.json")
    assert recognizer.predict(SAMPLES[1], voice=afterwards) == second
    np.testing.assert_array_equal(afterwards.statistics, voice.statistics)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.zeros(100),), "sample_rate"),
        (([0.0] * 100,), "a list is no recording"),
        ((None,), "a NoneType is no recording"),
        ((SAMPLES[0], None, "me.json"), "give a sentimental.Voice, not str"),
    ],
)
def test_what_is_no_recording_or_no_voice_is_a_clear_error(recognizer, arguments, message):
    with pytest.raises(TypeError, match=message):
        recognizer.predict(*arguments)


@pytest.fixture(scope="module")
def talk(tmp_path_factory):
    """A file of four sentences with pauses, and its samples."""
    path = tmp_path_factory.mktemp("talk") / "talk.wav"
    samples = signals.talk(0, 1, 2, 3, pause=1.2)
    soundfile.write(path, samples, SAMPLE_RATE, subtype="FLOAT")
    return path, samples


def test_utterances_of_a_long_recording_are_those_of_the_endpointer(recognizer, talk):
    path, samples = talk
    expected, voice = find_utterances(samples), Voice()
    found = [*recognizer.utterances(path, voice=voice)]
    assert len(found) == len(expected) == voice.n_recordings == 4
    for one, speech_of in zip(found, expected, strict=True):
        assert (one.start, one.end) == pytest.approx((speech_of.start, speech_of.end))
    alone = answer_to(recognizer, expected[0].samples)
    assert found[0].probabilities == pytest.approx(alone, abs=1e-5)
    from_array = [*recognizer.utterances(samples, SAMPLE_RATE)]
    assert [one.start for one in from_array] == pytest.approx([one.start for one in found])
    seconds = [one.end - one.start for one in from_array]
    mean = np.average([[*one.probabilities.values()] for one in from_array], 0, seconds)
    np.testing.assert_allclose([*recognizer.predict(path).values()], mean, atol=1e-6)


def test_a_long_recording_is_recognized_while_it_is_read(recognizer, talk, monkeypatch):
    read = []
    blocks = sentimental.utterances.decode_blocks

    def counting(path):
        for block in blocks(path):
            read.append(len(block.samples))
            yield block

    monkeypatch.setattr(sentimental.utterances, "decode_blocks", counting)
    next(recognizer.utterances(talk[0]))
    assert sum(read) < len(talk[1]) * 0.7


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_many_files_come_in_order_and_each_with_its_error(n_jobs, tmp_path):
    recognizer = load_recognizer()
    (tmp_path / "empty.wav").touch()
    paths = [SAMPLES[0], tmp_path / "empty.wav", SAMPLES[1]]
    results = [*recognizer.predict_files(paths, n_jobs=n_jobs)]
    assert [result.path for result in results] == paths
    assert [result.error is None for result in results] == [True, False, True]
    assert "the file is empty" in str(results[1].error)
    assert results[1].probabilities is None
    assert results[2].probabilities == pytest.approx(recognizer.predict(SAMPLES[1]), abs=1e-5)


def test_a_fault_of_the_program_costs_one_of_many_files(recognizer, monkeypatch):
    monkeypatch.setattr(recognizer, "predict", lambda path: 1 // 0)
    (result,) = recognizer.predict_files([SAMPLES[0]])
    assert "a fault of this program" in str(result.error)


def test_what_there_is_is_shown():
    assert {"Voice", "load_recognizer", "__version__"} <= {*dir(sentimental)}
    assert "64 and 64 units" in repr(load_recognizer())
    voice = Voice()
    voice.add(np.ones((150, N_FEATURES), np.float32))
    assert repr(voice) == "<Voice: 1 recordings, known to 50%>"


def test_emotions_that_did_not_train_are_not_answered(network):
    *weights, kernel, bias = network.get_weights()
    kernel = kernel * (np.arange(len(EMOTIONS)) != EMOTIONS.index("calm"))
    recognizer = Recognizer([*weights, kernel, bias], make_reference())
    assert recognizer.emotions == tuple(name for name in EMOTIONS if name != "calm")
    assert load_recognizer().emotions == EMOTIONS


@pytest.mark.parametrize("value", [np.nan, 1e38])
def test_answers_that_are_no_probabilities_are_an_error(network, value):
    weights = network.get_weights()
    weights[-2] = np.full_like(weights[-2], value)
    recognizer = Recognizer(weights, make_reference())
    with pytest.raises(SentimentalError, match="no probabilities; train it again"):
        recognizer.predict(SAMPLES[0])
