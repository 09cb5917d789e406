"""The sound card: which inputs there are, and what one of them hears.

PortAudio reaches it, by way of sounddevice or, where that does not work, of PyAudio. Its thread
copies each block into a queue and does nothing else; the main thread takes the blocks from there.
"""

import contextlib
import itertools
import queue
import time
from collections import namedtuple

import numpy as np

from sentimental.live.session import BLOCK_SECONDS, Stream
from sentimental.live.terminal import note
from sentimental.scripts import SentimentalError

# s of sound that it keeps for us while Python can run nothing else, as during some imports. More
# would be safer, but then blocks come late, and several at once.
BUFFER_SECONDS = 0.2
# s without any sound, not even silence, after which it is gone. Bluetooth may take 3 s to begin.
GONE_SECONDS = 5.0
# s in which a sound card that is gone may come back, as after a sound server began anew; and
# between two trials.
RETURN_SECONDS, RETRY_SECONDS = 10.0, 0.5
# Channels. A device that has more is no sound card but a server's, with copies of one microphone.
MAX_INPUTS = 24
# Hz, beside the device's own rate.
OTHER_RATES = (48_000, 44_100, 16_000)
# Of many channels the loudest is heard, until another is so many times as powerful.
LOUDER = 4.0
# Factor by which the power of a block counts less with each block that follows.
FADE = 0.99

Input = namedtuple("Input", "number name host_api channels sample_rate is_default")


# A backend lists the inputs, and opens one: every block is handed to `put` as (samples
# [shape=(n, channels), float32], overflowed), and it gives a function that tells whether the input
# is still there. `restart` has PortAudio look for devices anew; it knows those of its start.
Backend = namedtuple("Backend", "inputs open restart")


def sounddevice_inputs():
    try:
        import sounddevice
    except ImportError:
        raise SentimentalError("sounddevice is not installed: pip install sounddevice") from None
    except OSError:
        raise SentimentalError(
            "no PortAudio library, so no microphone: install it (Debian and Ubuntu: "
            "apt install libportaudio2); --input and --demo work without it"
        ) from None
    except Exception as error:  # a PortAudioError, of the module that cannot be imported
        raise _cannot_start(error) from None
    apis = sounddevice.query_hostapis()
    keys = ("hostapi", "max_input_channels", "default_samplerate")
    return _inputs(sounddevice.query_devices(), apis, keys, sounddevice.default.device[0])


@contextlib.contextmanager
def open_sounddevice(device, put):
    import sounddevice

    def callback(block, n_frames, stream_time, status):
        put((block.copy(), status.input_overflow))

    with sounddevice.InputStream(
        samplerate=device.sample_rate,
        blocksize=round(BLOCK_SECONDS * device.sample_rate),
        device=device.number,
        channels=device.channels,
        dtype="float32",
        latency=BUFFER_SECONDS,
        callback=callback,
    ) as stream:
        yield lambda: stream.active


def restart_sounddevice():
    import sounddevice

    sounddevice._terminate()
    sounddevice._initialize()


@contextlib.contextmanager
def _pyaudio():
    try:
        import pyaudio
    except ImportError:
        raise SentimentalError(
            "PyAudio is not installed: pip install pyaudio (it is built from source, which needs "
            "PortAudio's headers; Debian and Ubuntu: apt install portaudio19-dev)"
        ) from None
    try:
        portaudio = pyaudio.PyAudio()
    except OSError as error:
        raise _cannot_start(error) from None
    try:
        yield pyaudio, portaudio
    finally:
        portaudio.terminate()


def pyaudio_inputs():
    with _pyaudio() as (_, portaudio):
        n_apis, n_devices = portaudio.get_host_api_count(), portaudio.get_device_count()
        apis = [portaudio.get_host_api_info_by_index(i) for i in range(n_apis)]
        devices = [portaudio.get_device_info_by_index(i) for i in range(n_devices)]
        default = portaudio.get_default_host_api_info()["defaultInputDevice"]
    return _inputs(devices, apis, ("hostApi", "maxInputChannels", "defaultSampleRate"), default)


@contextlib.contextmanager
def open_pyaudio(device, put):
    with _pyaudio() as (pyaudio, portaudio):

        def callback(block, n_frames, stream_time, status):
            samples = np.frombuffer(block, np.float32).reshape(n_frames, -1)
            put((samples, bool(status & pyaudio.paInputOverflow)))
            return None, pyaudio.paContinue

        stream = portaudio.open(
            device.sample_rate,
            device.channels,
            pyaudio.paFloat32,
            input=True,
            input_device_index=device.number,
            frames_per_buffer=round(BUFFER_SECONDS / 2 * device.sample_rate),  # it keeps two
            stream_callback=callback,
        )
        yield stream.is_active


def _inputs(devices, apis, keys, default):
    inputs = []
    for number, device in enumerate(devices):
        api, channels, rate = (device[key] for key in keys)
        if channels > 0:
            names = device["name"], apis[api]["name"]
            inputs.append(Input(number, *names, channels, int(rate), number == default))
    return inputs


def _cannot_start(error):
    return SentimentalError(
        f"PortAudio does not start ({error}); does the system's sound work? --input and --demo "
        "work without it"
    )


BACKENDS = {
    "sounddevice": Backend(sounddevice_inputs, open_sounddevice, restart_sounddevice),
    "pyaudio": Backend(pyaudio_inputs, open_pyaudio, lambda: None),
}


# Which input ------------------------------------------------------------------------------------


def choose_input(inputs, wanted=None):
    """The Input that the user means; SentimentalError when none fits, or several do.

    `wanted` is its number, its name or a part of it; None for the system's default. Windows has one
    microphone once for each host API; of several that fit, that of the default's API is meant.
    """
    if not inputs:
        raise SentimentalError(
            "no microphone found: plug one in or allow its use; --input and --demo work without"
        )
    default = max(inputs, key=lambda device: device.is_default)  # else the first
    if wanted is None:
        return default
    name = wanted.casefold()
    found = (
        [device for device in inputs if str(device.number) == wanted]
        or [device for device in inputs if device.name.casefold() == name]
        or [device for device in inputs if name in device.name.casefold()]
    )
    found = [device for device in found if device.host_api == default.host_api] or found
    if not found:
        raise SentimentalError(f"no input device {wanted!r}; --list-devices shows what there is")
    if len(found) > 1:
        which = ", ".join(f"{device.number} {device.name}" for device in found)
        raise SentimentalError(f"{wanted!r} fits several input devices ({which}); give the number")
    return found[0]


# What it hears ----------------------------------------------------------------------------------


class Microphone(Stream):
    """An Input of the sound card, by one of ``BACKENDS``.

    Raises
    ------
    SentimentalError
        When it cannot be opened; while it is heard, when it is gone.
    """

    def __init__(self, device, backend="sounddevice"):
        self._backend, self._queue = BACKENDS[backend], queue.Queue()
        self._opened, self._is_active = contextlib.ExitStack(), None
        self._loudest, self._powers = 0, 0.0  # of many channels
        self._device = self._open(device, (device.sample_rate, *OTHER_RATES))
        super().__init__(device.name, self._device.sample_rate)

    def __exit__(self, *error):
        self._opened.close()

    def wake(self):
        self._queue.put((np.empty((0, 1), np.float32), False))

    def _open(self, device, rates):
        """Open with as many channels as there are, or fewer, at one of these rates."""
        most, refused = device.channels if device.channels <= MAX_INPUTS else 2, None
        for sample_rate, channels in itertools.product(rates, (most, min(most, 2), 1)):
            tried = device._replace(channels=channels, sample_rate=sample_rate)
            try:
                opened = self._backend.open(tried, self._queue.put)
                self._is_active = self._opened.enter_context(opened)
                return tried
            except Exception as error:  # each backend has errors of its own
                refused = refused or error
        raise SentimentalError(
            f"{device.name}: cannot be opened ({refused}); does another program hold it? "
            "--list-devices shows the others"
        ) from refused

    def _blocks(self):
        last_sound, gone = time.monotonic(), None  # when it was found to be gone
        while not self._is_closed:
            block, now = self._take(BLOCK_SECONDS), time.monotonic()
            if len(block):
                if gone:
                    note(f"{self.name} is back")
                    missed = np.zeros((round((now - last_sound) * self.sample_rate), 1), np.float32)
                    yield missed  # the times in the session stay right
                last_sound, gone = now, None
            elif not (gone or self._is_there() and now - last_sound <= GONE_SECONDS):
                gone = now
                note(f"{self.name} is gone; waiting {RETURN_SECONDS:g} s for it to come back")
            if gone and now - gone >= RETURN_SECONDS:
                raise SentimentalError(f"{self.name} is gone; was it unplugged?")
            if gone and not self._is_there():
                self._open_again()
            yield block
        self._opened.close()
        yield self._take(timeout=0)

    def _open_again(self):
        """Open the input again, as after a sleep, or when the sound server begins anew."""
        time.sleep(RETRY_SECONDS)
        self._opened.close()
        self._is_active = lambda: False
        with contextlib.suppress(SentimentalError):
            self._backend.restart()
            for found in self._backend.inputs():
                if found[1:3] == self._device[1:3]:  # name and host API
                    self._open(found, (self.sample_rate,))
                    return

    def _is_there(self):
        try:
            return self._is_active()
        except Exception:  # as above; the device vanished
            return False

    def _take(self, timeout):
        """All blocks that have come in one, np.ndarray [shape=(n, channels)]."""
        taken = []
        with contextlib.suppress(queue.Empty):
            while True:
                block, overflowed = self._queue.get(timeout=timeout)
                if len(block):
                    taken.append(self._pick(block))
                self.n_overflows += overflowed
                timeout = 0
        return np.concatenate(taken) if taken else np.empty((0, 1), np.float32)

    def _pick(self, block):
        """Of more channels than two, the loudest: a microphone among inputs that are empty."""
        if block.shape[1] <= 2:
            return block
        self._powers = np.maximum(FADE * self._powers, block.var(axis=0))
        if self._powers.max() > LOUDER * self._powers[self._loudest]:
            self._loudest = int(self._powers.argmax())
        return block[:, [self._loudest]]
