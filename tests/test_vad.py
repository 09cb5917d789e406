"""Speech is found at any level and in any blocks; other sounds are no speech."""

import numpy as np
import pytest
from signals import noise, speech, tone, voice

from sentimental import SentimentalError, load_recognizer
from sentimental import vad as endpointing
from sentimental.audio import MAX_SECONDS
from sentimental.spectrum import SAMPLE_RATE
from sentimental.vad import CHUNK_SECONDS, MIN_SILENCE, Endpointer, check_speech


def find(samples, block=320):
    """Where the utterances lie, (start, end) in s; the last may be unfinished."""
    endpointer = Endpointer()
    found = []
    for i in range(0, len(samples), block):
        found += endpointer.feed(samples[i : i + block].astype(np.float32))
    found += filter(None, [endpointer.utterance()])
    return [(start, start + len(heard) / SAMPLE_RATE) for start, heard in found]


@pytest.mark.parametrize(("gain_db", "offset"), [(-40, 0), (-30, 0.1), (0, 0), (0, 0.1), (15, 0)])
def test_speech_is_found_at_any_level(gain_db, offset):
    first, second = speech(0), speech(2)
    sound = np.concatenate([noise(2), first, noise(2), second, noise(2)])
    found = find(10 ** (gain_db / 20) * sound + offset)
    edges = np.cumsum([2, len(first) / SAMPLE_RATE, 2, len(second) / SAMPLE_RATE])
    assert len(found) == 2
    for (start, end), (true_start, true_end) in zip(found, edges.reshape(2, 2), strict=True):
        assert true_start - 0.5 < start < true_start + 0.1
        assert true_end - 0.3 < end < true_end + 0.5


def test_soft_speech_after_loud_speech_is_found():
    sound = np.concatenate([speech(0), noise(1), speech(1) * 10 ** (-25 / 20), noise(1)])
    assert len(find(sound)) == 2


def test_speech_is_found_in_noise():
    clip = speech(1)
    snr_20_db = 20 * np.log10(np.std(clip)) - 20
    sound = noise(len(clip) / SAMPLE_RATE + 6, dbfs=snr_20_db)
    sound[3 * SAMPLE_RATE :][: len(clip)] += clip
    assert len(find(sound)) == 1


def dial_tone(seconds):
    return tone(350, seconds, 0.2) + tone(440, seconds, 0.2)


def clicks(seconds):
    sound = noise(seconds)
    for i in range(50):
        sound[i::SAMPLE_RATE] += 0.5
    return sound


def hum(seconds):
    return sum(tone(50 * k, seconds, 0.3 / k) for k in range(1, 8))


OTHER_SOUNDS = {
    "silence": np.zeros(5 * SAMPLE_RATE, np.float32),
    "tone": tone(440, 5),
    "hum": hum(5),
    "dial tone": dial_tone(5),
    "hiss": noise(5, dbfs=-30),
    "clicks": clicks(5),
    "buzz": voice(5),
}


@pytest.mark.parametrize("name", OTHER_SOUNDS)
def test_other_sounds_are_no_speech(name):
    assert find(OTHER_SOUNDS[name]) == []
    with pytest.raises(SentimentalError, match="thing.wav: no speech"):
        check_speech(OTHER_SOUNDS[name], "thing.wav")


@pytest.mark.parametrize("gain_db", [-50, -30, 0])
def test_recordings_of_speech_are_accepted(gain_db):
    for number in range(5):
        check_speech(speech(number) * 10 ** (gain_db / 20) + 0.01)


def test_a_shout_too_high_for_the_detector_is_speech(monkeypatch):
    """Played faster, a voice is as high as one that shouts; it is heard again slower."""
    import soxr

    shout = soxr.resample(speech(2), 2.6, 1)
    check_speech(shout)
    monkeypatch.setattr(endpointing, "SLOWDOWN", 1)
    with pytest.raises(SentimentalError):
        check_speech(shout)


def test_predict_refuses_what_is_no_speech():
    with pytest.raises(SentimentalError, match="no speech"):
        load_recognizer().predict(tone(440, 2))


def test_a_pause_ends_an_utterance_and_a_breath_does_not():
    first, second = speech(0)[SAMPLE_RATE // 2 : 2 * SAMPLE_RATE], speech(2)[:SAMPLE_RATE]
    for pause, n_utterances in [(MIN_SILENCE - 0.3, 1), (MIN_SILENCE + 0.3, 2)]:
        sound = np.concatenate([noise(1), first, noise(pause), second, noise(1)])
        assert len(find(sound)) == n_utterances


def test_long_speech_is_cut_before_it_is_too_long_and_nothing_between_is_lost():
    without_pauses = [speech(number)[6_000:32_000] for number in range(5)]
    sound = np.concatenate([noise(1), *without_pauses, *without_pauses, noise(1)])
    found = find(sound)
    assert len(found) >= 4
    assert all(end - start <= MAX_SECONDS for start, end in found)
    for (_, end), (start, _) in zip(found[:-1], found[1:], strict=True):
        assert start == pytest.approx(end)
    assert found[0][0] < 1.1
    assert found[-1][1] > len(sound) / SAMPLE_RATE - 1.1


def test_a_cut_is_where_it_is_quietest():
    loud = np.concatenate([speech(2)[4_000:32_000]] * 4)
    cut = round(4.4 * SAMPLE_RATE)
    loud[cut : cut + 1600] = 0
    (_, end), *_ = find(loud)
    assert 4.4 - CHUNK_SECONDS < end < 4.5 + CHUNK_SECONDS


def test_speech_from_the_very_first_sample_is_whole():
    assert find(np.concatenate([speech(2), noise(1)]))[0][0] == 0


def test_places_stay_true_after_a_long_silence():
    ((start, end),) = find(np.concatenate([noise(40), speech(2), noise(2)]))
    assert 39.5 < start < 40.1
    assert 42 < end < 43


@pytest.mark.parametrize("block", [1, 512, 4_000, 100_000])
def test_blocks_may_have_any_size(block):
    sound = np.concatenate([noise(0.5), speech(2)[:24_000], noise(1)])
    assert find(sound, block) == find(sound)


def test_the_state_of_the_stream():
    endpointer = Endpointer()
    endpointer.feed(noise(1))
    assert not endpointer.speaking
    assert endpointer.level == pytest.approx(-70, abs=2)
    endpointer.feed(speech(2)[: SAMPLE_RATE * 3 // 2])
    assert endpointer.speaking
    assert endpointer.level > -50
    start, samples = endpointer.utterance()
    assert start == pytest.approx(0.7, abs=0.2)
    assert 1.4 < len(samples) / SAMPLE_RATE < 1.9
    endpointer.feed(noise(1))
    assert not endpointer.speaking
    assert endpointer.utterance() is None
    assert endpointer.silence == pytest.approx(1, abs=0.3)
