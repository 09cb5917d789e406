"""The sound card: which input is meant, and what is heard of a fake one."""

import contextlib
import itertools
import sys

import numpy as np
import pytest
from signals import tone

from sentimental import SentimentalError
from sentimental.audio import to_mono
from sentimental.live import microphone
from sentimental.live.microphone import BACKENDS, Backend, Input, Microphone, choose_input
from sentimental.spectrum import SAMPLE_RATE

INPUTS = [
    Input(0, "Built-in Microphone", "ALSA", 1, 44_100, False),
    Input(2, "USB Audio: front", "ALSA", 2, 48_000, True),
    Input(3, "USB Audio: rear", "ALSA", 2, 48_000, False),
]
# Windows has each of them once for each host API.
WINDOWS_INPUTS = [
    Input(0, "Headset", "MME", 1, 44_100, False),
    Input(1, "Webcam", "MME", 1, 44_100, True),
    Input(7, "Headset", "Windows WASAPI", 1, 48_000, False),
    Input(8, "Webcam", "Windows WASAPI", 1, 48_000, False),
    Input(9, "Line in", "Windows WDM-KS", 1, 48_000, False),
]


@pytest.mark.parametrize(
    ("inputs", "wanted", "number"),
    [
        (INPUTS, None, 2),
        (INPUTS, "3", 3),
        (INPUTS, "built", 0),
        (INPUTS, "usb audio: REAR", 3),
        (WINDOWS_INPUTS, "headset", 0),
        (WINDOWS_INPUTS, "7", 7),
        (WINDOWS_INPUTS, "line", 9),
    ],
)
def test_choose_input(inputs, wanted, number):
    assert choose_input(inputs, wanted).number == number


@pytest.mark.parametrize(
    ("inputs", "wanted", "words"),
    [
        ([], None, "no microphone found"),
        (INPUTS, "bluetooth", "no input device 'bluetooth'"),
        (INPUTS, "7", "no input device '7'"),
        (INPUTS, "usb", "several input devices"),
    ],
)
def test_no_such_input(inputs, wanted, words):
    with pytest.raises(SentimentalError, match=words) as error:
        choose_input(inputs, wanted)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ("OSError('PortAudio library not found')", "libportaudio2"),
        ("Exception('Internal error [code -9986]')", "PortAudio does not start .*9986"),
    ],
)
def test_no_portaudio(monkeypatch, tmp_path, error, words):
    (tmp_path / "sounddevice.py").write_text(f"raise {error}")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    with pytest.raises(SentimentalError, match=words):
        BACKENDS["sounddevice"].inputs()


@pytest.mark.parametrize("backend", BACKENDS)
def test_backend_that_is_not_installed(backend, monkeypatch):
    monkeypatch.setitem(sys.modules, backend, None)
    with pytest.raises(SentimentalError, match=f"pip install {backend}"):
        BACKENDS[backend].inputs()


# Streams ----------------------------------------------------------------------------------------


class FakeCard:
    """A backend with one input, whose sound card calls `put` with (samples, overflowed)."""

    def __init__(
        self, monkeypatch, channels=2, sample_rate=SAMPLE_RATE, refuses=lambda device: False
    ):
        self.device = Input(0, "fake", "ALSA", channels, sample_rate, True)
        self.refuses, self.opened, self.is_active, self.put = refuses, [], lambda: True, None
        backend = Backend(lambda: [self.device], self.open, lambda: None)
        monkeypatch.setitem(BACKENDS, "fake", backend)
        monkeypatch.setattr(microphone, "RETURN_SECONDS", 0.0)

    @contextlib.contextmanager
    def open(self, device, put):
        self.opened.append((device.sample_rate, device.channels))
        if self.refuses(device):
            raise OSError("-9997")
        self.put = put
        yield lambda: self.is_active()

    def hear(self, blocks, overflows=()):
        """All that a microphone hears of blocks, and then of its end; returns it and the rest."""
        heard, coming = [], enumerate(blocks)
        with Microphone(self.device, "fake") as stream:
            for original, samples in stream:  # the first is empty
                heard.append((original, samples))
                for number, block in itertools.islice(coming, 1):
                    self.put((block, number in overflows))
                    break
                else:
                    stream.close()
            self.n_overflows = stream.n_overflows
        originals, samples = zip(*heard, strict=True)
        return np.concatenate(originals), np.concatenate(samples)


@pytest.mark.parametrize("sample_rate", [8_000, 11_025, 16_000, 44_100, 48_000])
def test_blocks_are_resampled_as_a_file_is(monkeypatch, sample_rate):
    sound = tone(300, 1.0, 0.3, sample_rate) + tone(1_234, 1.0, 0.2, sample_rate)
    blocks = np.array_split(np.stack([sound, 0.5 * sound], axis=1), 50)
    card = FakeCard(monkeypatch, sample_rate=sample_rate)
    originals, samples = card.hear(blocks, overflows={3, 30})
    assert card.n_overflows == 2
    np.testing.assert_allclose(originals, 0.75 * sound, atol=1e-6)
    expected = to_mono(0.75 * sound, sample_rate)
    assert abs(len(samples) - len(expected)) <= 1
    n = min(len(samples), len(expected))
    np.testing.assert_allclose(samples[:n], expected[:n], atol=1e-3)


def fail():
    raise OSError(-9988, "Stream closed")


@pytest.mark.parametrize("is_active", [lambda: False, fail, lambda: True])
def test_microphone_that_vanishes_or_hangs_is_gone_when_all_is_heard(monkeypatch, is_active):
    card = FakeCard(monkeypatch)
    monkeypatch.setattr(microphone, "GONE_SECONDS", 0.05)
    with Microphone(card.device, "fake") as stream:
        card.put((np.ones((320, 1), np.float32), False))
        card.is_active, heard = is_active, iter(stream)
        assert len(next(heard)[0]) == 320
        with pytest.raises(SentimentalError, match="fake is gone; was it unplugged"):
            assert all(original.size == 0 for original, _ in heard)


def test_a_microphone_that_comes_back_is_heard_again(monkeypatch, capsys):
    card = FakeCard(monkeypatch)
    monkeypatch.setattr(microphone, "RETURN_SECONDS", 60.0)
    monkeypatch.setattr(microphone, "RETRY_SECONDS", 0.1)
    sound, originals = tone(300, 0.5), []
    with Microphone(card.device, "fake") as stream:
        card.put((sound[:, None], False))
        card.is_active = lambda: len(card.opened) > 2  # it can be opened, and is not there yet
        for original, _ in stream:
            originals.append(original)
            if len(card.opened) > 2 and len(originals) < 1000:
                card.put((sound[:, None], False))
                originals += 1000 * [original[:0]]
            elif len(originals) > 1000 and original.any():
                stream.close()
    heard = np.concatenate(originals)
    missed = len(heard) - 2 * len(sound)  # silence takes the place of what was missed
    assert missed >= 0.2 * SAMPLE_RATE
    np.testing.assert_array_equal(heard, np.concatenate([sound, np.zeros(missed), sound]))
    notes = capsys.readouterr().err.splitlines()
    assert notes == ["fake is gone; waiting 60 s for it to come back", "fake is back"]


def test_a_device_that_refuses_its_own_rate_and_channels_is_asked_for_others(monkeypatch):
    card = FakeCard(monkeypatch, 2, 44_100, refuses=lambda d: d[3:5] != (1, 48_000))
    with Microphone(card.device, "fake") as stream:
        assert stream.sample_rate == 48_000
    assert card.opened[0] == (44_100, 2)
    card.refuses = lambda device: True
    with pytest.raises(SentimentalError, match="-9997"):
        Microphone(card.device, "fake")


def test_a_microphone_among_empty_inputs_is_found(monkeypatch):
    rng = np.random.default_rng(0)
    sound = 1e-4 * rng.standard_normal((2 * SAMPLE_RATE, 8)).astype(np.float32)
    sound[8_000:, 2] += tone(300, 1.5)
    card = FakeCard(monkeypatch, channels=8)
    originals, _ = card.hear(np.split(sound, 100))
    assert card.opened == [(SAMPLE_RATE, 8)]
    np.testing.assert_array_equal(originals[9_600:], sound[9_600:, 2])


def test_a_server_with_copies_of_one_microphone_is_opened_with_two_channels(monkeypatch):
    card = FakeCard(monkeypatch, channels=64)
    Microphone(card.device, "fake")
    assert card.opened == [(SAMPLE_RATE, 2)]
