"""Recognize emotions in speech: while it is spoken, or in recordings.

    python realtime_emotion_recognition.py                  # default microphone, live bars
    python realtime_emotion_recognition.py --list-devices
    python realtime_emotion_recognition.py --device usb --no-window
    python realtime_emotion_recognition.py --log session.csv --save-audio session.flac
    python realtime_emotion_recognition.py --input a.wav b.mp3
    python realtime_emotion_recognition.py --demo           # synthetic clips, no microphone

Live, a voice activity detector finds the speech. An utterance is what was said since the last
pause, up to 5 seconds; while it lasts, the bars follow several times a second, and when it is over,
a line remains: time, length, emotion and probability, runner-up. Ctrl-C, closing the window, or a
long silence ends the session with a summary; close its window, or press Ctrl-C again, to leave.
Without a display, or with --no-window, the bars are drawn in the terminal; where the output is no
terminal, it is one plain line an utterance.

What is said while the model is still loading is recognized as soon as it is ready. On a slow
machine the bars follow less often, but no audio is lost.

Columns of --log, one row an update of the bars, an utterance, or a file of --input:

    kind            update, utterance or file
    source          the microphone, or the file
    clock           seconds since 1970 when the row was written
    start_s, end_s  where the speech lies, in seconds of the session's audio
    emotion         the strongest
    neutral ... surprise    the eight probabilities

Exit status: 0 when something was recognized; 1 when nothing was, when a file could not be read or
when the microphone vanished; 2 for wrong options; 130 when Ctrl-C came before the end of --input.
"""

import os
import signal

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C during the imports just ends
    # The matrices are so small that a second thread would only wait in a loop, at full load.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import collections
import contextlib
import csv
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from sentimental.audio import load_audio
from sentimental.base import EMOTIONS, SentimentalError, atomic_write, run_script
from sentimental.display import (
    DRAW_SECONDS,
    Utterance,
    note,
    open_display,
    result_line,
    save_plot,
    strongest,
)
from sentimental.microphone import BACKENDS, BLOCK_SECONDS, choose_input, open_microphone
from sentimental.model import SHIPPED_MODEL, load_recognizer
from sentimental.spectrum import SAMPLE_RATE
from sentimental.speech import Endpointer, check_speech

SAMPLES = Path(__file__).resolve().parent / "data" / "samples"

# s of sound between two updates of the bars while somebody speaks.
UPDATE_SECONDS = 0.15
# s of silence after which an update comes early: what was said is complete.
BREATH_SECONDS = 0.03
# s of silence that end a session, unless --end-after says otherwise.
END_SECONDS = 60.0


# What is heard, and what is recognized ----------------------------------------------------------


class Session:
    """What is heard of a stream, and what is recognized of it, on a thread of its own.

    Parameters
    ----------
    recognizer : sentimental.Recognizer

    Attributes
    ----------
    end : str, why the session ends; empty while it goes on
    endpointer : sentimental.speech.Endpointer
    probabilities : np.ndarray [shape=(8,)], of the utterance in progress; None in silence
    utterances : list of Utterance, the finished ones
    n_updates : int, of the bars
    peak : float, of all that was heard; full scale is 1.0
    """

    def __init__(self, recognizer):
        self.end = ""
        self.endpointer = Endpointer()
        self.probabilities = None
        self.utterances = []
        self.n_updates = 0
        self.peak = 0.0
        self._recognizer = recognizer
        self._updated = 0.0  # s of the stream up to which the last update went
        self._asked = collections.deque()  # (kind, start, end, future), oldest first
        self._worker = ThreadPoolExecutor(1)

    def warm_up(self):
        """Have the libraries of the chain imported, which takes a second, by a first recording."""
        noise = np.random.default_rng(0).standard_normal(SAMPLE_RATE, np.float32)
        self._worker.submit(self._recognize, noise)

    def hear(self, samples):
        """Take more of the stream, and have recognized what is new of it.

        Parameters
        ----------
        samples : np.ndarray [shape=(n,), float32], mono at ``SAMPLE_RATE``
        """
        self.peak = max(self.peak, float(np.abs(samples).max(initial=0.0)))
        for utterance in self.endpointer.feed(samples):
            self._ask("utterance", *utterance)
        if not self._asked and self._update_is_due():
            self._ask("update", *self.endpointer.utterance()[0])
            self._updated = self.endpointer.seconds

    def _update_is_due(self):
        """Is there something new in the utterance in progress, and was the last update long ago?"""
        endpointer = self.endpointer
        return (
            endpointer.last_speech > self._updated
            and (
                endpointer.seconds >= self._updated + UPDATE_SECONDS
                or endpointer.seconds >= endpointer.last_speech + BREATH_SECONDS
            )
            and bool(endpointer.utterance())
        )

    def _ask(self, kind, start, samples):
        end = start + len(samples) / SAMPLE_RATE
        future = self._worker.submit(self._recognize, samples)
        self._asked.append((kind, start, end, future))

    def _recognize(self, samples):
        try:
            return self._recognizer.predict_samples(samples)
        except SentimentalError:
            return None  # a voice among noise as loud as it: too little is left when it is trimmed

    def answers(self):
        """Take what was recognized since the last call.

        Returns
        -------
        results : list of (kind, Utterance), kind being "update" or "utterance"
        """
        results = []
        while self._asked and self._asked[0][-1].done():
            kind, start, end, future = self._asked.popleft()
            probabilities = future.result()
            is_over = kind == "utterance" and not self.endpointer.speaking
            self.probabilities = None if is_over else probabilities
            if probabilities is not None:
                results.append((kind, Utterance(start, end, probabilities)))
        self.n_updates += sum(kind == "update" for kind, _ in results)
        self.utterances += [utterance for kind, utterance in results if kind == "utterance"]
        return results

    def finish(self):
        """No more sound will come: recognize what is being said, and wait for all answers."""
        for utterance in self.endpointer.utterance():
            self._ask("utterance", *utterance)
        self._worker.shutdown()


# Files that a session leaves --------------------------------------------------------------------


@contextlib.contextmanager
def open_log(path):
    """Gives ``write_row(kind, source, utterance)``; without a path, it is idle."""
    if path is None:
        yield lambda *row: None
        return
    with atomic_write(path) as partial, open(partial, "w", newline="", encoding="utf-8") as stream:
        rows = csv.writer(stream)
        rows.writerow(["kind", "source", "clock", "start_s", "end_s", "emotion", *EMOTIONS])

        def write_row(kind, source, utterance):
            start, end, probabilities = utterance
            times = [f"{seconds:.3f}" for seconds in (time.time(), start, end)]
            shares = [f"{p:.4f}" for p in probabilities]
            rows.writerow([kind, source, *times, strongest(probabilities)[0], *shares])

        yield write_row


@contextlib.contextmanager
def open_audio(path, sample_rate):
    """Gives ``write(samples)``; without a path, it is idle."""
    if path is None:
        yield lambda samples: None
        return
    import soundfile

    with (
        atomic_write(path) as partial,
        soundfile.SoundFile(partial, "w", sample_rate, channels=1, subtype="PCM_16") as file,
    ):
        yield file.write


# The ways to run --------------------------------------------------------------------------------


def list_devices(args):
    """One line an input device; a star marks the default."""
    list_inputs, _ = BACKENDS[args.backend]
    inputs = list_inputs()
    default = choose_input(inputs)
    for device in inputs:
        mark = "*" if device == default else " "
        print(f"{mark} {device.number:3d}  {device.name}  ", end="")
        print(f"({device.host_api}, {device.sample_rate} Hz)")


def recognize_files(args, paths):
    """One line a file."""
    recognizer = load_recognizer(args.model)
    utterances, seconds = [], 0.0
    width = max(len(str(path)) for path in paths)
    with open_log(args.log) as write_row:
        for path in paths:
            try:
                samples = load_audio(path)
                check_speech(samples, path)
                probabilities = recognizer.predict_samples(samples, path)
            except SentimentalError as error:
                note(f"error: {error}")
                continue
            end = seconds + len(samples) / SAMPLE_RATE
            utterances.append(Utterance(seconds, end, probabilities))
            write_row("file", path, utterances[-1])
            print(result_line(f"{str(path):{width}s}", utterances[-1]), flush=True)
            seconds = end
    if utterances and args.save_plot:
        save_plot(args.save_plot, utterances, seconds)
    n_bad = len(paths) - len(utterances)
    if n_bad:
        raise SentimentalError(f"{n_bad} of {len(paths)} files could not be recognized")


def recognize_live(args):
    """A session with a microphone until Ctrl-C, a closed window or silence; returns a status."""
    list_inputs, _ = BACKENDS[args.backend]
    device = choose_input(list_inputs(), args.device)
    session = Session(load_recognizer(args.model))
    signal.signal(signal.SIGINT, lambda *_: setattr(session, "end", "Ctrl-C"))
    failure = None
    with contextlib.ExitStack() as files:
        write_row = files.enter_context(open_log(args.log))
        write_audio = files.enter_context(open_audio(args.save_audio, device.sample_rate))
        with open_microphone(device, args.backend) as microphone:
            began = time.time()
            note(f"Listening to {device.name} at {device.sample_rate} Hz; Ctrl-C ends.")
            session.warm_up()
            display = open_display(with_window=not args.no_window)

            def report(results):
                """Show results, old and new, and log the new ones."""
                lines = [
                    result_line(time.strftime("%H:%M:%S", time.localtime(began + u.start)), u)
                    for kind, u in results
                    if kind == "utterance"
                ]
                display.show(session, lines)
                for kind, utterance in results:
                    write_row(kind, device.name, utterance)

            drawn = 0.0
            while not session.end:
                try:
                    original, samples = microphone.read(BLOCK_SECONDS)
                except SentimentalError as error:
                    failure = error
                    break
                write_audio(original)
                session.hear(samples)
                results = session.answers()
                if results or time.monotonic() - drawn >= DRAW_SECONDS:
                    report(results)
                    drawn = time.monotonic()
                if display.closed:
                    session.end = "the window was closed"
                elif 0 < args.end_after < session.endpointer.silence:
                    session.end = f"{args.end_after:g} s of silence"
        original, samples = microphone.read_rest()
        write_audio(original)
        session.hear(samples)
        session.finish()
        report(session.answers())
    note(f"error: {failure}" if failure else f"Ended: {session.end}.")
    note(
        f"{session.endpointer.seconds:.1f} s of audio, {session.n_updates} updates of the bars, "
        f"{microphone.n_overflows} overflows of the sound card"
    )
    if session.utterances:
        if args.save_plot:
            save_plot(args.save_plot, session.utterances, session.endpointer.seconds)
        display.show_summary(session.utterances, session.endpointer.seconds)
    elif not failure:
        raise nothing_heard(session)
    return 1 if failure else 0


def nothing_heard(session):
    """Why nothing was recognized, as a SentimentalError."""
    if session.endpointer.seconds and session.peak == 0.0:
        return SentimentalError(
            "only zeros came from the microphone; is it muted, or this program not allowed to use "
            "it? --list-devices shows the others"
        )
    return SentimentalError("no speech was heard; speak louder, or try another --device")


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
        default=SHIPPED_MODEL,
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
    if args.list_devices:
        list_devices(args)
    elif args.demo:
        paths = sorted(os.path.relpath(path) for path in SAMPLES.glob("*.flac"))
        if not paths:
            raise SentimentalError(f"{SAMPLES}: holds no clips; is the copy complete?")
        note("Clips of a speech synthesizer: they show that the installation works, not how good")
        note("the model is.")
        recognize_files(args, paths)
    elif args.input:
        recognize_files(args, args.input)
    else:
        return recognize_live(args)
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # PortAudio and ALSA write notes straight to file descriptor 2. What the user needs to know
    # comes through Python, which keeps a way of its own to the terminal.
    sys.stdout.reconfigure(errors="replace")
    sys.stderr = os.fdopen(os.dup(2), "w", encoding="utf-8", errors="replace", buffering=1)
    with open(os.devnull, "wb") as null:
        os.dup2(null.fileno(), 2)
    sys.exit(run_script(main))
