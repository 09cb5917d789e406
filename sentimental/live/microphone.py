"""The sound card: which inputs there are, and what one of them hears.

PortAudio reaches it, by way of sounddevice or, where that does not work, of PyAudio. Its thread
copies each block into a queue and does nothing else; the main thread takes the blocks from there.
"""

import contextlib
import queue
import time
from collections import namedtuple

import numpy as np

from sentimental.audio import ToMono
from sentimental.scripts import SentimentalError

# s of sound that the sound card hands over at once.
BLOCK_SECONDS = 0.02
# s of sound that it keeps for us while Python can run nothing else, as during some imports. More
# would be safer, but then blocks come late, and several at once.
BUFFER_SECONDS = 0.2
# s without any sound, not even silence, after which it is gone. Bluetooth may take 3 s to begin.
GONE_SECONDS = 5.0

Input = namedtuple("Input", "number name host_api channels sample_rate is_default")


# Backends: one function lists the inputs, one opens an input. The latter hands every block to `put`
# as (samples [shape=(n, channels), float32], overflowed), and gives a function that tells whether
# the input is still there.


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
    apis = [api["name"] for api in sounddevice.query_hostapis()]
    keys = ("name", "hostapi", "max_input_channels", "default_samplerate")
    return _inputs(sounddevice.query_devices(), keys, apis, sounddevice.default.device[0])


@contextlib.contextmanager
def open_sounddevice(device, put):
    import sounddevice

    def callback(block, n_frames, stream_time, status):
        put((block.copy(), status.input_overflow))

    try:
        stream = sounddevice.InputStream(
            samplerate=device.sample_rate,
            blocksize=round(BLOCK_SECONDS * device.sample_rate),
            device=device.number,
            channels=min(device.channels, 2),
            dtype="float32",
            latency=BUFFER_SECONDS,
            callback=callback,
        )
        stream.start()
    except sounddevice.PortAudioError as error:
        raise _cannot_open(device, error) from None
    with stream:
        yield lambda: stream.active


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
        apis = [portaudio.get_host_api_info_by_index(i)["name"] for i in range(n_apis)]
        devices = [portaudio.get_device_info_by_index(i) for i in range(n_devices)]
        default = portaudio.get_default_host_api_info()["defaultInputDevice"]
    keys = ("name", "hostApi", "maxInputChannels", "defaultSampleRate")
    return _inputs(devices, keys, apis, default)


@contextlib.contextmanager
def open_pyaudio(device, put):
    with _pyaudio() as (pyaudio, portaudio):

        def callback(block, n_frames, stream_time, status):
            samples = np.frombuffer(block, np.float32).reshape(n_frames, -1)
            put((samples, bool(status & pyaudio.paInputOverflow)))
            return None, pyaudio.paContinue

        try:
            stream = portaudio.open(
                device.sample_rate,
                min(device.channels, 2),
                pyaudio.paFloat32,
                input=True,
                input_device_index=device.number,
                frames_per_buffer=round(BUFFER_SECONDS / 2 * device.sample_rate),  # it keeps two
                stream_callback=callback,
            )
        except OSError as error:
            raise _cannot_open(device, error) from None
        yield stream.is_active


def _inputs(devices, keys, apis, default):
    """The inputs among PortAudio's devices, whose name, host API, ... are under these keys."""
    values = [[device[key] for key in keys] for device in devices]
    return [
        Input(number, name, apis[api], channels, int(rate), number == default)
        for number, (name, api, channels, rate) in enumerate(values)
        if channels > 0
    ]


def _cannot_start(error):
    return SentimentalError(
        f"PortAudio does not start ({error}); does the system's sound work? --input and --demo "
        "work without it"
    )


def _cannot_open(device, error):
    return SentimentalError(
        f"{device.name}: cannot be opened ({error}); does another program hold it? "
        "--list-devices shows the others"
    )


BACKENDS = {
    "sounddevice": (sounddevice_inputs, open_sounddevice),
    "pyaudio": (pyaudio_inputs, open_pyaudio),
}


# Which input ------------------------------------------------------------------------------------


def choose_input(inputs, wanted=None):
    """The input that the user means.

    Parameters
    ----------
    inputs : list of Input
    wanted : str or None
        Its number, its name or a part of it; None for the system's default. Windows has one
        microphone once for each host API; of several that fit, that of the default's API is meant.

    Returns
    -------
    device : Input

    Raises
    ------
    SentimentalError
        When none fits, or several do.
    """
    if not inputs:
        raise SentimentalError(
            "no microphone found: plug one in or allow its use; --input and --demo work without"
        )
    default = next((device for device in inputs if device.is_default), inputs[0])
    if wanted is None:
        return default
    name = wanted.casefold()
    found = (
        [device for device in inputs if str(device.number) == wanted]
        or [device for device in inputs if device.name.casefold() == name]
        or [device for device in inputs if name in device.name.casefold()]
    )
    if not found:
        raise SentimentalError(f"no input device {wanted!r}; --list-devices shows what there is")
    found = [device for device in found if device.host_api == default.host_api] or found
    if len(found) > 1:
        which = ", ".join(f"{device.number} {device.name}" for device in found)
        raise SentimentalError(f"{wanted!r} fits several input devices ({which}); give the number")
    return found[0]


# What it hears ----------------------------------------------------------------------------------


@contextlib.contextmanager
def open_microphone(device, backend="sounddevice"):
    """Open an Input, by a backend of ``BACKENDS``; gives a Microphone, which hears until the end.

    Raises
    ------
    SentimentalError
        When it cannot be opened.
    """
    _, open_input = BACKENDS[backend]
    blocks = queue.Queue()
    with open_input(device, blocks.put) as is_active:
        yield Microphone(device, blocks, is_active)


class Microphone:
    """An open input; `n_overflows` counts how often the sound card's buffer was full."""

    is_over = False  # as recordings can be (`sentimental.live.replay`)

    def __init__(self, device, blocks, is_active):
        self.n_overflows = 0
        self._device, self._blocks, self._is_active = device, blocks, is_active
        self._to_mono = ToMono(device.sample_rate)
        self._last_sound = time.monotonic()  # when it came

    def read(self, timeout):
        """Take all the sound that has come, mixed to one channel.

        Parameters
        ----------
        timeout : float, s to wait for some

        Returns
        -------
        original : np.ndarray [shape=(n,), float32], at the input's own rate
        samples : np.ndarray [shape=(m,), float32], the same sound at ``SAMPLE_RATE``

        Raises
        ------
        SentimentalError
            When the input is gone.
        """
        original = self._take(timeout)
        if original.size:
            self._last_sound = time.monotonic()
        elif not self._is_there() or time.monotonic() - self._last_sound > GONE_SECONDS:
            raise SentimentalError(f"{self._device.name} is gone; was it unplugged?")
        return original, self._to_mono.push(original)

    def read_rest(self):
        """The same of what came before the input was closed; to be called once."""
        original = self._take(timeout=0)
        return original, self._to_mono.push(original, last=True)

    def _is_there(self):
        try:
            return self._is_active()
        except Exception:  # each backend has errors of its own for a device that vanished
            return False

    def _take(self, timeout):
        taken = [np.empty(0, np.float32)]
        with contextlib.suppress(queue.Empty):
            while True:
                block, overflowed = self._blocks.get(timeout=timeout)
                taken.append(self._to_mono.mix(block))
                self.n_overflows += overflowed
                timeout = 0
        return np.concatenate(taken)
