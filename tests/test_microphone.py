"""The sound card: fake ones everywhere, a virtual one where there is PulseAudio."""

import queue
import subprocess
import sys
import time
from collections import namedtuple

import librosa
import numpy as np
import pytest
import soundfile
from scripts import ROOT
from signals import speech, tone

from benchmarks import virtual_microphone as air
from sentimental import SentimentalError
from sentimental.audio import to_mono
from sentimental.live import microphone
from sentimental.live.microphone import BACKENDS, Input, Microphone, choose_input
from sentimental.spectrum import SAMPLE_RATE

# Where a sound lies in the file that is played, in samples.
Clip = namedtuple("Clip", "start stop")

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


def test_no_portaudio(monkeypatch, tmp_path):
    (tmp_path / "sounddevice.py").write_text("raise OSError('PortAudio library not found')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    with pytest.raises(SentimentalError, match="libportaudio2"):
        BACKENDS["sounddevice"][0]()


def test_portaudio_that_does_not_start(monkeypatch, tmp_path):
    (tmp_path / "sounddevice.py").write_text("raise Exception('Internal error [code -9986]')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    with pytest.raises(SentimentalError, match="PortAudio does not start .*9986"):
        BACKENDS["sounddevice"][0]()


@pytest.mark.parametrize("backend", BACKENDS)
def test_backend_that_is_not_installed(backend, monkeypatch):
    monkeypatch.setitem(sys.modules, backend, None)
    with pytest.raises(SentimentalError, match=f"pip install {backend}"):
        BACKENDS[backend][0]()


# What it hears ----------------------------------------------------------------------------------


def fake_microphone(sample_rate=SAMPLE_RATE, is_active=lambda: True):
    """An open microphone, and what its sound card calls with (samples, overflowed)."""
    blocks = queue.Queue()
    device = Input(0, "fake", "ALSA", 2, sample_rate, True)
    return Microphone(device, blocks, is_active), blocks.put


@pytest.mark.parametrize("sample_rate", [8_000, 11_025, 16_000, 44_100, 48_000])
def test_blocks_are_resampled_as_a_file_is(sample_rate):
    sound = tone(300, 1.0, 0.3, sample_rate) + tone(1_234, 1.0, 0.2, sample_rate)
    blocks = np.array_split(np.stack([sound, 0.5 * sound], axis=1), 50)
    heard, put = fake_microphone(sample_rate)
    taken = []
    for block in blocks[:30]:
        put((block, False))
        taken.append(heard.read(0))
    for block in blocks[30:]:
        put((block, False))
    originals, samples = zip(*taken, heard.read_rest(), strict=True)
    np.testing.assert_allclose(np.concatenate(originals), 0.75 * sound, atol=1e-6)
    expected = to_mono(0.75 * sound, sample_rate)
    samples = np.concatenate(samples)
    assert abs(len(samples) - len(expected)) <= 1
    n = min(len(samples), len(expected))
    np.testing.assert_allclose(samples[:n], expected[:n], atol=1e-3)


def test_overflows_are_counted():
    heard, put = fake_microphone()
    for overflowed in (False, True, True):
        put((np.zeros((320, 1), np.float32), overflowed))
    heard.read(0)
    assert heard.n_overflows == 2


def test_microphone_that_vanishes_is_gone_when_all_is_heard():
    heard, put = fake_microphone(is_active=lambda: False)
    put((np.ones((320, 1), np.float32), False))
    assert len(heard.read(0)[0]) == 320
    with pytest.raises(SentimentalError, match="fake is gone; was it unplugged"):
        heard.read(0)


def test_microphone_whose_state_cannot_be_told_is_gone():
    def fail():
        raise OSError(-9988, "Stream closed")

    heard, _ = fake_microphone(is_active=fail)
    with pytest.raises(SentimentalError, match="fake is gone"):
        heard.read(0)


def test_microphone_that_hangs_is_gone(monkeypatch):
    heard, _ = fake_microphone()
    heard.read(0)
    monkeypatch.setattr(microphone, "GONE_SECONDS", 0.05)
    time.sleep(0.1)
    with pytest.raises(SentimentalError, match="fake is gone"):
        heard.read(0)


# A virtual one ----------------------------------------------------------------------------------

# Listens until its input ends. Every half second all of Python stalls: a C function keeps its lock.
STALLING_LISTENER = """
import ctypes, select, sys
import numpy as np, soundfile
from sentimental.live.microphone import BACKENDS, choose_input, open_microphone

heard = []
with open_microphone(choose_input(BACKENDS["sounddevice"][0]())) as microphone:
    print("listening", flush=True)
    while not select.select([sys.stdin], [], [], 0)[0]:
        heard.append(microphone.read(0.02)[0])
        if len(heard) % 25 == 0:
            ctypes.PyDLL(None).usleep(200_000)
heard.append(microphone.read_rest()[0])
soundfile.write(sys.argv[1], np.concatenate(heard), 44_100)
print(microphone.n_overflows)
"""


@pytest.mark.skipif(bool(air.missing()), reason=f"no virtual microphone: {air.missing()}")
def test_nothing_is_lost_while_python_stalls(tmp_path):
    played, heard = tmp_path / "played.wav", tmp_path / "heard.wav"
    sound = librosa.resample(speech(3), orig_sr=SAMPLE_RATE, target_sr=air.SAMPLE_RATE)
    soundfile.write(played, sound, air.SAMPLE_RATE)
    with air.virtual_microphone() as environment:
        # On a busy machine the sound server itself may stumble while it plays; not thrice in a row.
        for _ in range(3):
            listener = subprocess.Popen(
                [sys.executable, "-c", STALLING_LISTENER, heard],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            assert listener.stdout.readline() == "listening\n"
            subprocess.run(["paplay", played], env=environment, check=True)
            time.sleep(1)  # the end of the sound is still on its way
            n_overflows, _ = listener.communicate(timeout=30)  # ends its input
            (place,) = air.find_clips([Clip(0, len(sound))], played, heard)
            if place is not None and int(n_overflows) == 0:
                break
        assert int(n_overflows) == 0
        assert place is not None  # it is there whole


def test_channels_that_cancel_each_other_leave_one_for_the_whole_session():
    blocks = queue.Queue()
    hears = Microphone(INPUTS[1], blocks, is_active=lambda: True)
    left, right = tone(440, 1.0, 0.5, 48_000), tone(440, 1.0, -0.4, 48_000)
    right[24_000:] = -1.2 * left[24_000:]  # now this is the stronger one
    for start in range(0, 48_000, 960):
        blocks.put((np.stack([left, right], axis=1)[start : start + 960], False))
    original, _ = hears.read(timeout=1)
    np.testing.assert_array_equal(original, left)
