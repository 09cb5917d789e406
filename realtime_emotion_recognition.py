"""Recognise emotions in speech: while it is spoken, or in recordings.

    python realtime_emotion_recognition.py                  # default microphone, live bars
    python realtime_emotion_recognition.py --list-devices
    python realtime_emotion_recognition.py --device usb --no-window
    python realtime_emotion_recognition.py --log session.csv --save-audio session.flac
    python realtime_emotion_recognition.py --input a.wav b.mp3
    python realtime_emotion_recognition.py --demo           # synthetic clips, no microphone

Live, speech is found by its energy against the running noise floor. An utterance is what was said
since the last pause, up to 5 seconds; while it lasts, the bars follow several times a second, and
when it is over, a line remains: time, length, emotion and probability, runner-up. Ctrl-C, closing
the window, or a long silence ends the session with a summary; close its window, or press Ctrl-C
again, to leave. Without a display, or with --no-window, the bars are drawn in the terminal; where
the output is no terminal, it is one plain line an utterance.

The recogniser runs in a process of its own: loading TensorFlow takes seconds in which Python can
run nothing else, and no sound may be lost meanwhile. What is said before it is ready is recognised
as soon as it is. On a slow machine, updates of the bars are left out, never audio; the
summary counts them.

Columns of --log, one row an update of the bars, an utterance, or a file of --input:

    kind            update, utterance or file
    source          the microphone, or the file
    clock           seconds since 1970 when the row was written
    start_s, end_s  where the speech lies, in seconds of the session's audio
    emotion         the strongest
    neutral ... surprise    the eight probabilities

Exit status: 0 when something was recognised, 1 when nothing was, when a file could not be read or
when the microphone vanished, 2 for wrong options, 130 when Ctrl-C came before the end of --input.
"""

import signal

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C during the imports just ends
elif __name__ == "__mp_main__":  # the recogniser's process, which the session ends
    signal.signal(signal.SIGINT, signal.SIG_IGN)

import argparse
import collections
import concurrent.futures
import contextlib
import csv
import multiprocessing
import os
import queue
import shutil
import sys
import time
import traceback
from pathlib import Path

import numpy as np

import sentimental
from sentimental import EMOTIONS, SentimentalError

HERE = Path(__file__).resolve().parent
MODEL = HERE / "model8723.json"
SAMPLES = HERE / "data" / "samples"

# Audio
BLOCK_SECONDS = 0.02  # s of sound that the sound card hands over at once
BUFFER_SECONDS = 0.2  # s that it keeps for us while Python is busy
GONE_SECONDS = 5.0  # s without any sound, not even silence; Bluetooth may take 3 s to begin

# Speech
FRAME_SECONDS = 0.02  # s over which the level is measured
LOWEST_DBFS = -90.0  # dB re full scale; digital silence counts as this much
NOISE_SECONDS = 8.0  # s of sound that tell the noise floor,
NOISE_PERCENTILE = 10  # % of their frames being quieter: pauses, even while somebody speaks
START_DB = 9.0  # dB above the floor where speech starts
STAY_DB = 5.0  # dB above the floor where it goes on
MARGIN_SECONDS = 0.3  # s kept before and after, for soft beginnings and ends
PAUSE_SECONDS = 0.7  # s of silence that end an utterance
CUT_SECONDS = 0.4, 1.0  # s before its end between which an utterance that gets too long is cut
N_MARGIN = round(MARGIN_SECONDS / FRAME_SECONDS)
N_PAUSE = round(PAUSE_SECONDS / FRAME_SECONDS)
N_CUT_MIN, N_CUT_MAX = (round(seconds / FRAME_SECONDS) for seconds in CUT_SECONDS)

# Updates
UPDATE_SECONDS = 0.16  # s of sound between two updates of the bars while somebody speaks
BREATH_SECONDS = 0.04  # s of silence after which an update comes early: what was said is complete
DRAW_SECONDS = 0.1  # s between two movements of the level meter
STRIP_SECONDS = 30.0  # s of probabilities shown in the strip
END_SECONDS = 60.0  # s of silence that end a session, unless --end-after says otherwise

# Okabe and Ito's palette, made for colour-blind eyes: https://jfly.uni-koeln.de/color/
COLOURS = {
    "neutral": "#000000",
    "calm": "#56b4e9",
    "happy": "#f0e442",
    "sad": "#0072b2",
    "angry": "#d55e00",
    "fear": "#cc79a7",
    "disgust": "#009e73",
    "surprise": "#e69f00",
}

WINDOW_INCHES = 12, 7
SILENCE = "#f0f0f0"  # light grey, in the strip and in the time line

Input = collections.namedtuple("Input", "number name channels sample_rate is_default")
Utterance = collections.namedtuple("Utterance", "start end probabilities")  # start and end in s


def note(text):
    """Tell the user something that is not a result."""
    print(text, file=sys.stderr, flush=True)


# Microphone -------------------------------------------------------------------------------------
#
# For each backend, a function that lists the inputs and one that opens an input. The latter hands
# every block of sound to `put` as (samples [shape=(n, channels), float32], overflowed) from the
# audio thread, which must not wait: it only copies and enqueues. It gives a function that tells
# whether the input is still there.


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
    return [
        Input(
            number,
            device["name"],
            device["max_input_channels"],
            int(device["default_samplerate"]),
            number == sounddevice.default.device[0],
        )
        for number, device in enumerate(sounddevice.query_devices())
        if device["max_input_channels"] > 0
    ]


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
    try:
        yield lambda: stream.active
    finally:
        stream.close()


def pyaudio_inputs():
    pyaudio = _import_pyaudio()
    portaudio = pyaudio.PyAudio()
    try:
        default = portaudio.get_default_input_device_info()["index"]
    except OSError:
        default = None
    devices = [
        portaudio.get_device_info_by_index(number) for number in range(portaudio.get_device_count())
    ]
    portaudio.terminate()
    return [
        Input(
            device["index"],
            device["name"],
            device["maxInputChannels"],
            int(device["defaultSampleRate"]),
            device["index"] == default,
        )
        for device in devices
        if device["maxInputChannels"] > 0
    ]


@contextlib.contextmanager
def open_pyaudio(device, put):
    pyaudio = _import_pyaudio()
    channels = min(device.channels, 2)

    def callback(data, n_frames, stream_time, status):
        block = np.frombuffer(data, np.float32).reshape(-1, channels)
        put((block, bool(status & pyaudio.paInputOverflow)))
        return None, pyaudio.paContinue

    portaudio = pyaudio.PyAudio()
    try:
        stream = portaudio.open(
            rate=device.sample_rate,
            frames_per_buffer=round(BLOCK_SECONDS * device.sample_rate),
            input_device_index=device.number,
            channels=channels,
            format=pyaudio.paFloat32,
            input=True,
            stream_callback=callback,
        )
    except OSError as error:
        portaudio.terminate()
        raise _cannot_open(device, error) from None
    try:
        yield stream.is_active
    finally:
        stream.close()
        portaudio.terminate()


def _import_pyaudio():
    try:
        import pyaudio
    except ImportError:
        raise SentimentalError(
            "PyAudio is not installed: pip install pyaudio (needs PortAudio's headers; Debian and "
            "Ubuntu: apt install portaudio19-dev, macOS: brew install portaudio), or use "
            "--backend sounddevice"
        ) from None
    return pyaudio


def _cannot_open(device, error):
    return SentimentalError(
        f"{device.name}: cannot be opened ({error}); does another program hold it? "
        "--list-devices shows the others"
    )


BACKENDS = {
    "sounddevice": (sounddevice_inputs, open_sounddevice),
    "pyaudio": (pyaudio_inputs, open_pyaudio),
}


def choose_input(inputs, wanted):
    """The input that the user means.

    Parameters
    ----------
    inputs : list of Input
    wanted : str or None
        Its number, its name or a part of it; None for the system's default.

    Returns
    -------
    device : Input

    Raises
    ------
    SentimentalError
        When there is no microphone at all, or not exactly one that fits.
    """
    if not inputs:
        raise SentimentalError(
            "no microphone found: plug one in or allow its use; --input and --demo work without"
        )
    if wanted is None:
        return next((device for device in inputs if device.is_default), inputs[0])
    name = wanted.casefold()
    found = (
        [device for device in inputs if str(device.number) == wanted]
        or [device for device in inputs if device.name.casefold() == name]
        or [device for device in inputs if name in device.name.casefold()]
    )
    if len(found) == 1:
        return found[0]
    if not found:
        raise SentimentalError(f"no input device {wanted!r}; --list-devices shows what there is")
    which = ", ".join(f"{device.number} {device.name}" for device in found)
    raise SentimentalError(f"{wanted!r} fits several input devices ({which}); give the number")


def list_devices(backend):
    inputs = BACKENDS[backend][0]()
    default = choose_input(inputs, None)
    for device in inputs:
        mark = "*" if device == default else " "
        print(f"{mark} {device.number:3d}  {device.name}  ({device.sample_rate} Hz)")


# Speech -----------------------------------------------------------------------------------------


class SpeechFinder:
    """Cuts a stream of samples into utterances by their level above the running noise floor.

    Parameters
    ----------
    sample_rate : int > 0, Hz, of the stream

    Attributes
    ----------
    level, floor : float, dB re full scale, of the last frame and of the noise
    speaking : bool
    loud_seconds : float, of the utterance in progress
    seconds : float, of all that was heard
    last_speech : float, s; where in the stream the last loud frame ended
    """

    def __init__(self, sample_rate):
        self.sample_rate = sample_rate
        self.frame_length = round(FRAME_SECONDS * sample_rate)
        self.frame_seconds = self.frame_length / sample_rate  # FRAME_SECONDS, or nearly (11,025 Hz)
        self.rest = np.empty(0, np.float32)  # less than a frame
        self.levels = collections.deque(maxlen=round(NOISE_SECONDS / FRAME_SECONDS))
        self.level = self.floor = LOWEST_DBFS
        self.n_frames = 0  # heard so far,
        self.n_speech = 0  # and until the last loud one
        self.speaking = False
        self._start([], [])

    def _start(self, frames, are_loud):
        """Begin an utterance, or what may become one, with the last frames that were heard."""
        self.frames, self.are_loud = frames, are_loud
        self.n_before = self.n_frames - len(frames)

    @property
    def seconds(self):
        return self.n_frames * self.frame_seconds

    @property
    def last_speech(self):
        return self.n_speech * self.frame_seconds

    @property
    def loud_seconds(self):
        return sum(self.are_loud) * self.frame_seconds

    def feed(self, samples):
        """Hear more of the stream.

        Parameters
        ----------
        samples : np.ndarray [shape=(n,), float32], n >= 0

        Returns
        -------
        finished : list of (start in s, samples), the utterances that ended meanwhile
        """
        samples = np.concatenate([self.rest, samples])
        n = len(samples) // self.frame_length
        self.rest = samples[n * self.frame_length :]
        finished = []
        for frame in samples[: n * self.frame_length].reshape(n, self.frame_length):
            finished += self._hear(frame)
        return finished

    def _hear(self, frame):
        # The variance, not the mean square: a constant offset is no sound.
        self.level = 10 * np.log10(frame.var() + 10 ** (LOWEST_DBFS / 10))
        self.levels.append(self.level)
        self.floor = np.percentile(self.levels, NOISE_PERCENTILE)
        is_loud = self.level > self.floor + (STAY_DB if self.speaking else START_DB)
        self.frames.append(frame)
        self.are_loud.append(is_loud)
        self.n_frames += 1
        if is_loud:
            self.speaking = True
            self.n_speech = self.n_frames
        finished = []
        if self.n_frames - self.n_speech >= N_PAUSE:
            finished = self.utterance()
            self.speaking = False
        elif len(self.frames) * self.frame_length >= sentimental.MAX_SECONDS * self.sample_rate:
            # Not in the middle of a word, but where it is quietest.
            n_rest = N_CUT_MAX - int(np.argmin(list(self.levels)[-N_CUT_MAX:-N_CUT_MIN]))
            rest = self.frames[-n_rest:], self.are_loud[-n_rest:]
            del self.frames[-n_rest:], self.are_loud[-n_rest:]
            finished = self.utterance()
            self._start(*rest)
        if not self.speaking:
            self._start(self.frames[-N_MARGIN:], self.are_loud[-N_MARGIN:])
        return finished

    def utterance(self):
        """The utterance in progress, as a list of one (start in s, samples).

        Empty when there is none, or none yet that is long enough to be more than a click.
        """
        if self.loud_seconds < sentimental.MIN_SECONDS:
            return []
        n_used = len(self.frames) - self.are_loud[::-1].index(True) + N_MARGIN
        return [(self.n_before * self.frame_seconds, np.concatenate(self.frames[:n_used]))]


# Recognition ------------------------------------------------------------------------------------


def load_predict(model_path):
    """Load a model and make it and the chain ready, so that the first utterance need not wait."""
    weights_path = model_path.with_name(f"{model_path.stem}_weights.h5")
    model = sentimental.load_model(model_path, weights_path)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        predict = pool.submit(sentimental.compile_predict, model)
        noise = np.random.default_rng(0).standard_normal(2 * sentimental.SAMPLE_RATE, np.float32)
        sentimental.extract_features(sentimental.to_mono(noise, 2 * sentimental.SAMPLE_RATE))
        return predict.result()


def recognise(predict, samples, sample_rate, name="utterance"):
    """The probabilities of one utterance or recording, by the chain of training.

    Parameters
    ----------
    predict : callable, of `sentimental.compile_predict`
    samples : np.ndarray [shape=(n,), float32]
    sample_rate : int > 0, Hz
    name : what error messages call the recording

    Returns
    -------
    probabilities : np.ndarray [shape=(8,), float32], in the order of ``EMOTIONS``

    Raises
    ------
    SentimentalError
        When there is no sound in it, or too little.
    """
    samples = sentimental.to_mono(samples, sample_rate, name)
    return predict(sentimental.extract_features(samples, name))


def serve(connection, model_path):
    """Answer each (samples, sample rate) with probabilities, or None where there was no speech.

    The first answer says that the model is loaded. An exception is an answer too, and the last.
    """
    try:
        predict = load_predict(model_path)
        connection.send("ready")
        while True:
            samples, sample_rate = connection.recv()
            try:
                answer = recognise(predict, samples, sample_rate)
            except SentimentalError:
                answer = None  # what was louder than the noise was no speech: a click, a hum
            connection.send(answer)
    except (EOFError, ConnectionError):
        pass  # the session is over
    except SentimentalError as error:
        connection.send(error)
    except Exception:  # a fault of ours: the session's process shows where it happened
        connection.send(RuntimeError(traceback.format_exc()))


@contextlib.contextmanager
def recogniser(model_path):
    """Run `serve` in a process of its own; gives the connection to it."""
    # Its matrices are so small that a second thread would only wait in a loop, at full load.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs, model_path), daemon=True)
    # Until its first line runs, Ctrl-C would end it; what is ignored here, it ignores as well.
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    process.start()
    signal.signal(signal.SIGINT, handler)
    theirs.close()
    try:
        yield ours
    finally:
        process.kill()
        process.join()


class Session:
    """What is heard of a stream, and what is recognised of it.

    Parameters
    ----------
    sample_rate : int > 0, Hz, of the stream
    connection : to `serve`

    Attributes
    ----------
    probabilities : np.ndarray [shape=(8,)], of the utterance in progress; None in silence
    utterances : list of Utterance, the finished ones
    seconds : float, of all that was heard
    pending : bool, is there speech that is not recognised yet?
    failure : str, what happened to the recogniser; empty while all is well
    """

    def __init__(self, sample_rate, connection):
        self.connection = connection
        self.finder = SpeechFinder(sample_rate)
        self.ready = False  # is the model loaded?
        self.waiting = collections.deque()  # finished utterances that are not recognised yet
        self.asked = None  # kind, start and end of the speech that is being recognised
        self.updated = 0.0  # s of the stream up to which the last update went,
        self.updated_loud = 0.0  # and s of speech that it had
        self.probabilities = None
        self.utterances = []
        self.failure = ""
        self.n_samples = self.n_overflows = self.n_updates = self.n_dropped = 0
        self.peak = 0.0  # full scale is 1.0

    @property
    def seconds(self):
        return self.n_samples / self.finder.sample_rate

    @property
    def pending(self):
        return bool(self.waiting or self.asked)

    def hear(self, samples):
        """Take more of the stream.

        Parameters
        ----------
        samples : np.ndarray [shape=(n,), float32]
        """
        self.n_samples += len(samples)
        self.peak = max(self.peak, float(np.abs(samples).max(initial=0.0)))
        loud_seconds = self.finder.loud_seconds
        finished = self.finder.feed(samples)
        if finished:
            self._count_dropped(loud_seconds)
            self.waiting.extend(finished)
            self.updated_loud = self.finder.loud_seconds

    def finish(self):
        """Take what is being said as finished: no more sound will come."""
        self.waiting.extend(self.finder.utterance())

    def ask(self):
        """Have the next piece of speech recognised, unless the recogniser is busy."""
        if not self.ready or self.asked:
            return
        if self.waiting:
            kind, (start, samples) = "utterance", self.waiting.popleft()
        elif self._update_is_due():
            kind, (start, samples) = "update", self.finder.utterance()[0]
            self._count_dropped(self.finder.loud_seconds)
            self.updated = self.finder.seconds
            self.updated_loud = self.finder.loud_seconds
        else:
            return
        try:
            self.connection.send((samples, self.finder.sample_rate))
        except ConnectionError:
            self._fail("the recogniser's process was ended; is the memory too small?")
            return
        self.asked = kind, start, start + len(samples) / self.finder.sample_rate

    def _update_is_due(self):
        """Is there something new in the utterance in progress, and was the last update long ago?"""
        finder = self.finder
        return (
            finder.last_speech > self.updated
            and (
                finder.seconds >= self.updated + UPDATE_SECONDS
                or finder.seconds >= finder.last_speech + BREATH_SECONDS
            )
            and bool(finder.utterance())
        )

    def _count_dropped(self, loud_seconds):
        """Count the updates for which an utterance of this length had new speech, but no time.

        One of those that are due comes now: an update, or the answer to the whole utterance.
        """
        if self.ready:  # still loading is not too slow
            n_due = int((loud_seconds - self.updated_loud) / UPDATE_SECONDS)
            self.n_dropped += max(0, n_due - 1)

    def answers(self):
        """Take what the recogniser has answered.

        Returns
        -------
        results : list of (kind, Utterance), kind being "update" or "utterance"
        """
        results = []
        while self.connection.poll():
            try:
                answer = self.connection.recv()
            except (EOFError, ConnectionError):
                self._fail("the recogniser's process was ended; is the memory too small?")
                break
            if isinstance(answer, SentimentalError):
                self._fail(answer)
                break
            if isinstance(answer, Exception):
                raise answer
            if not self.ready:
                self.ready = True
                self.updated_loud = self.finder.loud_seconds
                continue
            (kind, start, end), self.asked = self.asked, None
            self.probabilities = answer if kind == "update" or self.finder.speaking else None
            if answer is not None:
                results.append((kind, Utterance(start, end, answer)))
        self.n_updates += sum(kind == "update" for kind, _ in results)
        self.utterances += [utterance for kind, utterance in results if kind == "utterance"]
        return results

    def _fail(self, reason):
        """Give up recognition, and with it the session; what was recognised stays."""
        self.failure = f"error: {reason}"
        self.waiting.clear()
        self.asked = None


# What the user sees -----------------------------------------------------------------------------


def strongest(probabilities):
    """Emotion, its probability, runner-up and its probability."""
    second, first = np.argsort(probabilities)[-2:]
    return EMOTIONS[first], probabilities[first], EMOTIONS[second], probabilities[second]


def result_line(name, utterance):
    """One line for an utterance or a file."""
    first, p_first, second, p_second = strongest(utterance.probabilities)
    seconds = utterance.end - utterance.start
    return f"{name}  {seconds:4.1f} s  {first:8s} {p_first:.2f}  ({second} {p_second:.2f})"


def mean_probabilities(utterances):
    """The mean over a session; a long utterance counts for more than a short one.

    Parameters
    ----------
    utterances : list of Utterance, not empty

    Returns
    -------
    probabilities : np.ndarray [shape=(8,)]
    """
    return np.average(
        [utterance.probabilities for utterance in utterances],
        axis=0,
        weights=[utterance.end - utterance.start for utterance in utterances],
    )


def to_rgb(colour):
    """Red, green and blue, 0 to 255, of a colour like "#f0e442"."""
    return tuple(bytes.fromhex(colour[1:]))


def bar_lines(probabilities, width):
    """Eight bars as text."""
    n_bar = max(10, min(60, width - 18))
    lines = []
    for emotion, p in zip(EMOTIONS, probabilities, strict=True):
        bar = "█" * round(p * n_bar)
        if emotion != "neutral":  # whose black would be invisible on black
            red, green, blue = (round(x / 51) for x in to_rgb(COLOURS[emotion]))
            colour = 16 + 36 * red + 6 * green + blue
            bar = f"\x1b[38;5;{colour}m{bar}\x1b[0m"
        lines.append(f"{emotion:>9s} {p:4.0%} {bar}")
    return lines


def headline(session):
    """What is going on, in two or three words."""
    if not session.ready:
        return "loading the model ..."
    if session.probabilities is not None:
        emotion, p, *_ = strongest(session.probabilities)
        return f"{emotion} {p:.0%}"
    return "listening" if session.finder.speaking else "silence"


def show_plain(session, lines):
    """The display where the output is no terminal: finished utterances, a line each."""
    for line in lines:
        print(line, flush=True)


def open_terminal_bars():
    """A display of live bars in place.

    Returns
    -------
    show : callable
        ``show(session, lines)`` leaves the lines of finished utterances and draws the bars below.
    """
    if os.name == "nt":
        os.system("")  # switches escape codes on
    n_drawn = 0

    def show(session, lines):
        nonlocal n_drawn
        width = shutil.get_terminal_size().columns
        finder = session.finder
        meter = round((finder.level - LOWEST_DBFS) / -LOWEST_DBFS * 20)
        probabilities = np.zeros(8) if session.probabilities is None else session.probabilities
        drawing = [
            *bar_lines(probabilities, width),
            f"    level {'▮' * meter:20s} {headline(session)}"[: width - 1],
        ]
        up = f"\x1b[{n_drawn}A\r" if n_drawn else ""
        # Each line clears what was right of it; the screen is never empty in between.
        print(up + "".join(f"{line}\x1b[K\n" for line in [*lines, *drawing]), end="", flush=True)
        n_drawn = len(drawing)

    return show


def open_window(reasons):
    """A window with live bars.

    Parameters
    ----------
    reasons : list of str
        Why the session ends; closing the window appends to it.

    Returns
    -------
    show : callable
        ``show(session, lines)`` prints the lines of finished utterances and redraws what moves.
    show_summary : callable
        ``show_summary(utterances, seconds)`` replaces the bars, until the window is closed or
        there is another reason to end; returns at once when the window is closed already.

    Raises
    ------
    SentimentalError
        When matplotlib finds no window system.
    """
    import matplotlib.pyplot as plt
    from matplotlib.text import Text

    plt.rcParams["toolbar"] = "None"
    try:
        figure = plt.figure("Emotions in speech", figsize=WINDOW_INCHES, facecolor="white")
    except ImportError as error:  # a window system was named in MPLBACKEND and is not there
        raise SentimentalError(f"no window ({error})") from None
    if plt.get_backend().lower() == "agg":
        raise SentimentalError(
            "no window: the screen cannot be reached, or Python has no window toolkit "
            "(apt install python3-tk)"
        )
    canvas = figure.canvas
    canvas.mpl_connect("close_event", lambda event: reasons.append("the window was closed"))

    bars, meter, strip = _lay_out(figure)
    colours = [COLOURS[emotion] for emotion in EMOTIONS]
    rectangles = bars.bar(range(8), np.zeros(8), color=colours, edgecolor="black", animated=True)
    values = [
        bars.text(i, 0, "", ha="center", va="bottom", fontsize=20, animated=True) for i in range(8)
    ]
    title = figure.text(0.03, 0.905, "", fontsize=38, weight="bold", animated=True)
    last = figure.text(0.97, 0.915, "", fontsize=24, ha="right", color="#444444", animated=True)
    (level,) = meter.bar(0, 0, bottom=LOWEST_DBFS, width=1, color="#444444", animated=True)
    floor = meter.axhline(LOWEST_DBFS, color="#d55e00", linewidth=3, animated=True)
    n_columns = round(STRIP_SECONDS / UPDATE_SECONDS)
    history = np.full((60, n_columns, 3), to_rgb(SILENCE), np.uint8)
    image = strip.imshow(
        history,
        extent=(-STRIP_SECONDS, 0, 0, 1),
        aspect="auto",
        interpolation="nearest",  # five times as fast as the default
        origin="lower",
        animated=True,
    )
    meter_artists = [level, floor]
    everything = [*meter_artists, *rectangles, *values, title, last, image]
    background = meter_background = None

    def on_draw(event):  # the first time, and whenever the window got another size
        nonlocal background, meter_background
        background = canvas.copy_from_bbox(figure.bbox)
        meter_background = canvas.copy_from_bbox(meter.bbox)
        for artist in everything:
            figure.draw_artist(artist)

    on_draw_id = canvas.mpl_connect("draw_event", on_draw)
    scale = 1.0  # of the letters, which grow with the window

    def on_resize(event=None):
        nonlocal scale
        before, scale = scale, min(figure.get_size_inches() / WINDOW_INCHES)
        for text in figure.findobj(Text):
            text.set_fontsize(text.get_fontsize() * scale / before)

    canvas.mpl_connect("resize_event", on_resize)
    rgb = np.array([to_rgb(colour) for colour in colours], np.uint8)
    column = 0  # the strip's last, counted from the start of the session
    shown = None  # probabilities in the bars
    drawn = 0.0  # when

    def show(session, lines):
        nonlocal shown, drawn
        show_plain(session, lines)
        if not plt.fignum_exists(figure.number):  # closed; the last utterances are still to come
            return
        level.set_height(max(0.0, session.finder.level - LOWEST_DBFS))
        floor.set_ydata([session.finder.floor] * 2)
        if background is None:
            canvas.draw()
        new = session.probabilities is not shown or title.get_text() != headline(session)
        if new or time.monotonic() - drawn > UPDATE_SECONDS:
            shown, drawn = session.probabilities, time.monotonic()
            set_results(session)
            redraw(everything, background, figure.bbox)
        else:
            redraw(meter_artists, meter_background, meter.bbox)
        canvas.flush_events()

    def redraw(artists, background, area):
        canvas.restore_region(background)
        for artist in artists:
            figure.draw_artist(artist)
        canvas.blit(area)

    def set_results(session):
        nonlocal column
        probabilities = np.zeros(8) if session.probabilities is None else session.probabilities
        for rectangle, value, p in zip(rectangles, values, probabilities, strict=True):
            rectangle.set_height(p)
            value.set_y(p + 0.01)
            value.set_text("" if session.probabilities is None else f"{p:.0%}")
        title.set_text(headline(session))
        title.set_color("#777777" if session.probabilities is None else "black")
        if session.utterances:
            emotion, p, *_ = strongest(session.utterances[-1].probabilities)
            last.set_text(f"last: {emotion} {p:.0%}")
        else:
            last.set_text("" if session.ready else "please speak, it is recorded")
        n_new = min(int(session.seconds / UPDATE_SECONDS) - column, n_columns)
        if n_new > 0:
            column = int(session.seconds / UPDATE_SECONDS)
            history[:, :-n_new] = history[:, n_new:]
            history[:, -n_new:] = to_rgb(SILENCE)
            if session.probabilities is not None:
                # One column: the eight colours on top of each other, each as high as it is likely.
                rows = (np.arange(60) + 0.5) / 60
                which = np.searchsorted(np.cumsum(probabilities), rows).clip(max=7)
                history[:, -n_new:] = rgb[which][:, None]
            image.set_data(history)

    def show_summary(utterances, seconds):
        nonlocal scale
        if not plt.fignum_exists(figure.number):
            return
        note("Close the window, or press Ctrl-C, to leave.")
        n_reasons = len(reasons)
        canvas.mpl_disconnect(on_draw_id)
        draw_summary(figure, utterances, seconds)
        scale = 1.0
        on_resize()
        canvas.draw()
        while len(reasons) == n_reasons:
            canvas.flush_events()
            time.sleep(DRAW_SECONDS)

    plt.show(block=False)
    return show, show_summary


def _lay_out(figure):
    """The parts of the window that do not move; returns the axes of bars, meter and strip."""
    bars = figure.add_axes((0.065, 0.36, 0.85, 0.50))
    bars.set(xlim=(-0.6, 7.6), ylim=(0, 1.08))
    bars.set_yticks([0, 0.5, 1], ["0%", "50%", "100%"], fontsize=16)
    bars.set_xticks(range(8), EMOTIONS, fontsize=21)
    bars.tick_params(length=0)
    meter = figure.add_axes((0.94, 0.36, 0.03, 0.50))
    meter.set(xlim=(-0.5, 0.5), ylim=(LOWEST_DBFS, 0), xticks=[], yticks=[])
    meter.set_xlabel("level", fontsize=18)
    strip = figure.add_axes((0.065, 0.08, 0.905, 0.19))
    strip.set(xlim=(-STRIP_SECONDS, 0), ylim=(0, 1), yticks=[])
    strip.set_xticks([-30, -20, -10, 0], ["30 s ago", "20", "10", "now"], fontsize=18)
    for axes in (bars, strip):
        axes.spines[["top", "right", "left"]].set_visible(False)
    return bars, meter, strip


def draw_summary(figure, utterances, seconds):
    """The session as a chart: mean probabilities above, the utterances over time below.

    Parameters
    ----------
    figure : matplotlib.figure.Figure, is cleared first
    utterances : list of Utterance, not empty
    seconds : float, of the whole session
    """
    figure.clear()
    means = mean_probabilities(utterances)
    colours = [COLOURS[emotion] for emotion in EMOTIONS]
    bars, line = figure.subplots(2, 1, height_ratios=[2, 1])
    drawn = bars.bar(range(8), means, color=colours, edgecolor="black")
    bars.bar_label(drawn, [f"{p:.0%}" for p in means], fontsize=21, padding=2)
    bars.set(ylim=(0, means.max() * 1.15), yticks=[])  # the space above is for its figure
    bars.set_xticks(range(8), EMOTIONS, fontsize=21)
    bars.tick_params(length=0)
    bars.set_title(summary_line(utterances, seconds), fontsize=20, loc="left", pad=14)
    line.bar(
        [utterance.start for utterance in utterances],
        [utterance.probabilities.max() for utterance in utterances],
        [utterance.end - utterance.start for utterance in utterances],
        align="edge",
        color=[colours[utterance.probabilities.argmax()] for utterance in utterances],
    )
    line.set(xlim=(0, seconds), ylim=(0, 1), facecolor=SILENCE)
    line.set_yticks([0, 0.5, 1], ["0%", "50%", "100%"])
    line.tick_params(labelsize=16)
    text = "seconds since the start; each utterance has the colour of its strongest emotion"
    line.set_xlabel(text, fontsize=16)
    for axes in (bars, line):
        axes.spines[["top", "right", "left"]].set_visible(False)
    figure.set_layout_engine("tight")


def summary_line(utterances, seconds):
    speech = sum(utterance.end - utterance.start for utterance in utterances)
    emotion, p, *_ = strongest(mean_probabilities(utterances))
    count = "1 utterance" if len(utterances) == 1 else f"{len(utterances)} utterances"
    return f"{count}, {speech:.1f} s of speech in {seconds:.0f} s; on average {emotion} {p:.0%}"


def print_summary(utterances, seconds):
    """The session's mean in the terminal."""
    note(summary_line(utterances, seconds))
    means = mean_probabilities(utterances)
    if sys.stderr.isatty():
        note("\n".join(bar_lines(means, shutil.get_terminal_size().columns)))
    else:
        note(", ".join(f"{emotion} {p:.0%}" for emotion, p in zip(EMOTIONS, means, strict=True)))


def save_plot(path, utterances, seconds):
    from matplotlib.figure import Figure

    figure = Figure(figsize=WINDOW_INCHES)
    draw_summary(figure, utterances, seconds)
    with sentimental.whole_file(path) as partial:
        figure.savefig(partial)
    note(f"{path}: the session's chart")


# Files that a session leaves --------------------------------------------------------------------


@contextlib.contextmanager
def open_log(path):
    """Gives ``write_row(kind, source, start, end, probabilities)``; without a path, it is idle."""
    if path is None:
        yield lambda *row: None
        return
    with (
        sentimental.whole_file(path) as partial,
        open(partial, "w", newline="", encoding="utf-8") as stream,
    ):
        rows = csv.writer(stream)
        rows.writerow(["kind", "source", "clock", "start_s", "end_s", "emotion", *EMOTIONS])

        def write_row(kind, source, start, end, probabilities):
            clock, start, end = (f"{seconds:.3f}" for seconds in (time.time(), start, end))
            emotion = strongest(probabilities)[0]
            shares = [f"{p:.4f}" for p in probabilities]
            rows.writerow([kind, source, clock, start, end, emotion, *shares])

        yield write_row


@contextlib.contextmanager
def open_audio(path, sample_rate):
    """Gives ``write(samples)``; without a path, it is idle."""
    if path is None:
        yield lambda samples: None
        return
    import soundfile

    with (
        sentimental.whole_file(path) as partial,
        soundfile.SoundFile(partial, "w", sample_rate, channels=1, subtype="PCM_16") as file,
    ):
        yield file.write


# The three ways to run --------------------------------------------------------------------------


def recognise_files(args, paths):
    """One line a file; returns the exit status."""
    note("Loading the model ...")
    predict = load_predict(args.model)
    utterances, seconds = [], 0.0
    width = max(len(str(path)) for path in paths)
    with open_log(args.log) as write_row:
        for path in paths:
            try:
                samples = sentimental.load_audio(path)
                probabilities = recognise(predict, samples, sentimental.SAMPLE_RATE, path)
            except SentimentalError as error:
                note(f"error: {error}")
                continue
            end = seconds + len(samples) / sentimental.SAMPLE_RATE
            utterances.append(Utterance(seconds, end, probabilities))
            write_row("file", path, seconds, end, probabilities)
            print(result_line(f"{str(path):{width}s}", utterances[-1]), flush=True)
            seconds = end
    n_bad = len(paths) - len(utterances)
    if utterances and args.save_plot:
        save_plot(args.save_plot, utterances, seconds)
    if n_bad:
        note(f"{n_bad} of {len(paths)} files could not be recognised")
    return 1 if n_bad else 0


def listen(args):
    """The live session; returns the exit status."""
    reasons = []  # why the session ends
    signal.signal(signal.SIGINT, lambda *_: reasons.append("Ctrl-C"))
    blocks = queue.Queue()  # in Python 3.10, SimpleQueue.get(timeout) can wait for ever
    list_inputs, open_input = BACKENDS[args.backend]
    device = choose_input(list_inputs(), args.device)
    with contextlib.ExitStack() as stack:
        write_row = stack.enter_context(open_log(args.log))
        write_audio = stack.enter_context(open_audio(args.save_audio, device.sample_rate))
        with open_input(device, blocks.put) as is_active:
            began = time.time()
            note(f"Listening to {device.name} at {device.sample_rate} Hz; Ctrl-C ends.")
            connection = stack.enter_context(recogniser(args.model))
            session = Session(device.sample_rate, connection)
            show, show_summary = open_display(args, reasons)

            def report(results):
                """Show results, old and new, and log the new ones."""
                lines = [
                    result_line(time.strftime("%H:%M:%S", time.localtime(began + u.start)), u)
                    for kind, u in results
                    if kind == "utterance"
                ]
                show(session, lines)
                for kind, utterance in results:
                    write_row(kind, device.name, *utterance)

            came = time.monotonic()  # when the last sound came
            drawn = 0.0
            while not reasons and not session.failure:
                now = time.monotonic()
                if hear(session, blocks, write_audio, timeout=BLOCK_SECONDS):
                    came = now
                elif not is_active() or now - came > GONE_SECONDS:
                    reasons.append(f"error: {device.name} is gone; was it unplugged?")
                results = session.answers()
                session.ask()
                if results or now - drawn >= DRAW_SECONDS:
                    report(results)
                    drawn = now
                silence = session.finder.seconds - session.finder.last_speech
                if args.end_after and silence > args.end_after:
                    reasons.append(f"{args.end_after:g} s of silence")
        hear(session, blocks, write_audio)
        session.finish()
        finish_recognition(session, report, reasons)
    return end_session(args, session, session.failure or reasons[0], show_summary)


def open_display(args, reasons):
    """The best display that there is: ``show`` and, for a window, ``show_summary``."""
    has_display = sys.platform in ("win32", "darwin") or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")
    )
    if has_display and not args.no_window:
        try:
            return open_window(reasons)
        except SentimentalError as error:
            note(f"{error}; the bars come in the terminal")
    if sys.stdout.isatty() and os.environ.get("TERM") != "dumb":
        return open_terminal_bars(), None
    return show_plain, None


def hear(session, blocks, write_audio, timeout=0.0):
    """Take all the sound that has come, mixed to one channel.

    Waits at most `timeout` s for some; returns whether there was any.
    """
    came = False
    with contextlib.suppress(queue.Empty):
        while True:
            block, overflowed = blocks.get(timeout=timeout)
            came, timeout = True, 0.0
            samples = block.mean(axis=1)
            session.hear(samples)
            session.n_overflows += overflowed
            write_audio(samples)
    return came


def finish_recognition(session, report, reasons):
    """Recognise what is still waiting, until there is one more reason to end."""
    n_reasons = len(reasons)
    if session.pending and not session.ready:
        note("Waiting for the model, to recognise what was said; Ctrl-C leaves at once.")
    while session.pending and len(reasons) == n_reasons:
        session.ask()
        session.connection.poll(0.05)
        report(session.answers())


def end_session(args, session, reason, show_summary):
    """Say why it ended and what was heard; returns the exit status."""
    failed = reason.startswith("error: ")
    note(reason if failed else f"Ended: {reason}.")
    if session.failure and not session.utterances:
        return 1
    note(
        f"{session.seconds:.1f} s of audio, {session.n_updates} updates of the bars, "
        f"{session.n_dropped} dropped, {session.n_overflows} overflows of the sound card"
    )
    if not session.utterances:
        if session.pending:
            note("error: nothing was recognised: the model was not loaded yet")
        elif session.n_samples and session.peak == 0.0:
            note(
                "error: only zeros came from the microphone; is it muted, or this program not "
                "allowed to use it? --list-devices shows the others"
            )
        else:
            note("error: no speech was heard; speak louder, or try another --device")
        return 1
    print_summary(session.utterances, session.seconds)
    if args.save_plot:
        save_plot(args.save_plot, session.utterances, session.seconds)
    if show_summary:
        show_summary(session.utterances, session.seconds)
    return 1 if failed else 0


def parse_args(argv):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--input", metavar="FILE", nargs="+", help="recordings instead of a microphone"
    )
    what.add_argument("--demo", action="store_true", help=f"the recordings in {SAMPLES}")
    what.add_argument("--list-devices", action="store_true", help="show the input devices")
    parser.add_argument("--device", help="number or part of the name of an input device")
    parser.add_argument(
        "--backend", choices=BACKENDS, default="sounddevice", help="default: %(default)s"
    )
    parser.add_argument("--no-window", action="store_true", help="bars in the terminal")
    parser.add_argument(
        "--end-after",
        type=float,
        metavar="SECONDS",
        default=END_SECONDS,
        help="end after so much silence; 0: never (default: %(default)g)",
    )
    parser.add_argument("--log", metavar="FILE.csv", help="probabilities of each update")
    parser.add_argument("--save-audio", metavar="FILE.flac", help="what the microphone heard")
    parser.add_argument("--save-plot", metavar="FILE.png", help="the summary chart")
    parser.add_argument(
        "--model",
        type=Path,
        metavar="FILE.json",
        default=MODEL,
        help="with its weights in FILE_weights.h5 (default: %(default)s)",
    )
    args = parser.parse_args(argv)
    for option, path, endings in [
        ("--save-audio", args.save_audio, (".flac", ".wav")),
        ("--save-plot", args.save_plot, (".png", ".pdf", ".svg")),
    ]:
        if path and not path.lower().endswith(endings):
            parser.error(f"{option} {path}: the name must end with {' or '.join(endings)}")
    if args.save_audio and (args.input or args.demo):
        parser.error("--save-audio keeps what the microphone hears; these are recordings already")
    return args


def main(argv=None):
    args = parse_args(argv)
    try:
        if args.list_devices:
            list_devices(args.backend)
            return 0
        if args.demo:
            paths = sorted(os.path.relpath(path) for path in SAMPLES.glob("*.flac"))
            if not paths:
                raise SentimentalError(f"{SAMPLES}: holds no clips; is the copy complete?")
            note("Clips of a speech synthesiser: they show that the installation works, not how")
            note("good the model is.")
            return recognise_files(args, paths)
        if args.input:
            return recognise_files(args, args.input)
        return listen(args)
    except SentimentalError as error:
        note(f"error: {error}")
        return 1
    except BrokenPipeError:  # who read our output has left, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:  # a file that cannot be written
        note(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        note("Interrupted.")
        return 130


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # PortAudio, ALSA and TensorFlow write notes straight to file descriptor 2. What the user needs
    # to know comes through Python, which keeps a way of its own to the terminal.
    sys.stdout.reconfigure(errors="replace")
    sys.stderr = os.fdopen(os.dup(2), "w", encoding="utf-8", errors="replace", buffering=1)
    with open(os.devnull, "wb") as null:
        os.dup2(null.fileno(), 2)
    sys.exit(main())
