"""Recognize emotions in speech: while it is spoken, or in recordings.

    python realtime_emotion_recognition.py                  # default microphone, live bars
    python realtime_emotion_recognition.py --list-devices
    python realtime_emotion_recognition.py --device usb --no-window
    python realtime_emotion_recognition.py --log session.csv --save-audio session.flac
    python realtime_emotion_recognition.py --voice me.json  # it knows you better each time
    python realtime_emotion_recognition.py --replay session.flac  # as if it were live
    python realtime_emotion_recognition.py --input a.wav b.mp3
    python realtime_emotion_recognition.py --input memos --one-voice          # a folder
    python realtime_emotion_recognition.py --input podcast.mp3 --save-plot podcast.png
    python realtime_emotion_recognition.py --input calls/*.wav --channels separate --format json
    python realtime_emotion_recognition.py --demo           # synthetic clips, no microphone

Live, a voice activity detector finds the speech. An utterance is what was said since the last
pause, up to 5 seconds; while it lasts, the bars follow several times a second, and when it is over,
a line remains: time, length, emotion and probability, runner-up. q, Ctrl-C, closing the window, or
a long silence ends the session with a summary; the first three again leave that. Without a display,
or with --no-window, the bars are drawn in the terminal. When the output is not a terminal, each
utterance is one plain line. --replay shows a recording in the same way, to its end.

Further keys, in the window or below the bars: space pauses, so that all is taken for silence until
it is pressed again; s saves the chart so far beside that of --save-plot, or in this folder, with
date and time in its name; n, when somebody else speaks, begins a new voice.

What tells an emotion is how differently from usual somebody sounds, so each utterance is compared
with those before it of the same voice; what is being said when n is pressed is still the last
one's. Voices are forgotten at the end, unless --voice names a file for the one that the session
begins with: one for each person and microphone; from the numbers in there no speech can be made.
Recordings of --input are compared with nothing, unless --one-voice or --voice FILE.json says that
all are of one person: then each is with those before it, in the order in which they are given.
Given again, they count again.

A recording of --input of at most 6 s is judged as a whole. A longer one is cut into utterances as a
session is, each with a line and a row as soon as it is found; --save-plot draws the time line then.
Folders are taken with all below them; patterns like *.wav need no shell. Where the strongest
emotion has less than 40 %, the line says "unsure" and names the two strongest.

--format json writes a line of JSON for each utterance or file to the standard output: file (and
channel, with --channels separate), start and end in seconds of the file, emotion, probabilities by
emotion; or file and error, so that every file has a line. --format csv writes the rows of --log.

What is said while the model is still loading is recognized as soon as it is ready. On a slow
machine the bars follow less often, but no audio is lost.

Columns of --log, which has one row for each update of the bars, utterance or file, written as it
comes:

    kind            update, utterance or file, which is judged as a whole or not at all
    source          the microphone, or the file, with its channel if each is taken by itself
    clock           seconds since 1970 when the row was written
    start_s, end_s  where the speech lies, in seconds of the session's audio, or of the file
    emotion         the strongest
    neutral ... surprise    the eight probabilities
    error           of a file, why it was not recognized; the columns from start_s on are empty then

--log - writes them to the standard output, and to the standard error what is printed there else.

Exit status: 0 when something was recognized; 1 when nothing was, when a file could not be read or
written, or when the microphone vanished; 2 for wrong options; 130 when Ctrl-C came before the end
of --input or before the microphone was open; 128 and its number when another signal ended it, so
143 for SIGTERM. Whatever ends a session, --log, --save-audio and --voice hold it up to there; the
first two do so even when it is killed.
"""

import os

from sentimental.scripts import end_at_once, on_end_signals

if __name__ == "__main__":
    on_end_signals(end_at_once)  # before the imports that take seconds
    # Matrices are so small that a second thread would only wait in a loop, at full load. Of the
    # voice activity detector, which begins four, that is 11 times the work.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    os.environ.setdefault("OMP_THREAD_LIMIT", "1")

import argparse
import contextlib
import signal
import sys
import time
from pathlib import Path

from sentimental.files import check_outputs
from sentimental.live.chart import save_plot
from sentimental.live.display import DRAW_SECONDS, PlainLines, note, note_of_decoder, result_line
from sentimental.live.keyboard import session_keys
from sentimental.live.long_recordings import (
    STDIN,
    Recording,
    find_recordings,
    recognize_all,
    save_chart,
)
from sentimental.live.microphone import BACKENDS, BLOCK_SECONDS, choose_input, open_microphone
from sentimental.live.replay import Replay
from sentimental.live.session import Session
from sentimental.live.window import open_display
from sentimental.live.writers import STDOUT, Audio, Log, Report
from sentimental.model import SHIPPED_MODEL, weights_path_of
from sentimental.recognizer import load_recognizer
from sentimental.scripts import (
    SentimentalError,
    check_stop,
    mute_libraries,
    run_script,
    shown,
    stop_signal,
)
from sentimental.voice import Voice

SAMPLES = Path(__file__).resolve().parent / "data" / "samples"

# s of silence that end a session, unless --end-after says otherwise.
END_SECONDS = 60.0
# What --voice takes for a history that is not wanted.
NO_VOICE = "none"
# Signals that end a session and are told by other words than their names.
SIGNAL_WORDS = {"SIGINT": "Ctrl-C", "SIGHUP": "the terminal was closed"}


def list_devices(args):
    """One line an input device; a star marks the default."""
    list_inputs, _ = BACKENDS[args.backend]
    inputs = list_inputs()
    default = choose_input(inputs)
    for device in inputs:
        mark = "*" if device == default else " "
        print(f"{mark} {device.number:3d}  {device.name}  ", end="")
        print(f"({device.host_api}, {device.sample_rate} Hz)")


def load_voice(path):
    """What was heard before of who will speak, as --voice says; None to compare with nothing."""
    if path == NO_VOICE:
        return None
    return Voice.load(path) if path and Path(path).exists() else Voice()


def try_to_save(path, save, *arguments):
    """Save what is wanted if its path is given; an error costs this file only. Returns a status."""
    try:
        if path:
            save(path, *arguments)
    except SentimentalError as error:
        note(shown(f"error: {error}"))
        return 1
    return 0


def recognize_files(args, recordings):
    """One line a file, or utterance of a long one; returns a status."""
    voice = load_voice(args.voice) if args.voice or args.one_voice else None
    recognizer, status = load_recognizer(args.model), 0
    try:
        with Report(args.log, args.format, [recording.name for recording in recordings]) as report:
            for recording, finding in recognize_all(recordings, recognizer, voice):
                report.tell(recording.name, *finding)
    finally:  # a signal leaves voice and chart of what was recognized before
        heard = [recording for recording in recordings if recording.utterances]
        if heard:
            if voice:
                status = try_to_save(args.voice, voice.save)
            status |= try_to_save(args.save_plot, save_chart, heard)
    n_bad = sum(recording.failed for recording in recordings)
    if n_bad:
        raise SentimentalError(f"{n_bad} of {len(recordings)} files could not be recognized")
    return status | report.failed


def recognize_live(args):
    """A session until a signal, a key, a closed window or silence ends it; returns a status."""
    if args.replay:
        device = Replay(args.replay, note_of_decoder)
    else:
        device = choose_input(BACKENDS[args.backend][0](), args.device)
    session = Session(load_recognizer(args.model), load_voice(args.voice))
    with Log(args.log) as log, Audio(args.save_audio, device.sample_rate) as audio:
        try:
            display, microphone, failure = listen(args, device, session, log, audio)
        finally:  # whatever ended it
            status = try_to_save(args.voice, session.save_voice)
    seconds = session.endpointer.seconds
    note(f"error: {failure}" if failure else f"Ended: {session.end}.")
    note(
        f"{seconds:.1f} s of audio, {session.n_updates} updates of the bars, "
        f"{microphone.n_overflows} overflows of the sound card"
    )
    status |= bool(failure) | log.failed | audio.failed
    number = stop_signal()
    if number and (number != signal.SIGINT or seconds == 0):
        status = 128 + number
        display = PlainLines()  # nobody is there to close a window
    if session.utterances:
        status |= try_to_save(args.save_plot, save_plot, session.utterances, seconds)
        display.show_summary(session.utterances, seconds)
    elif not (failure or status > 128):
        raise nothing_heard(session, args.replay)
    return status


def listen(args, device, session, log, audio):
    """Let a session hear a microphone until it ends.

    Returns display, microphone and failure (SentimentalError or None).
    """
    failure = None
    check_stop()
    with contextlib.ExitStack() as opened:
        if args.replay:
            microphone = device
            note(f"Replaying {device.name}; Ctrl-C ends.")
        else:
            microphone = opened.enter_context(open_microphone(device, args.backend))
            note(f"Listening to {device.name} at {device.sample_rate} Hz; Ctrl-C ends.")
        began = time.time()
        session.warm_up()
        keys = session_keys(session, args.save_plot)
        display = opened.enter_context(open_display(with_window=not args.no_window, keys=keys))

        def report(results):
            """Show results, old and new, and log the new ones."""
            lines = [
                result_line(time.strftime("%H:%M:%S", time.localtime(began + u.start)), u)
                for kind, u in results
                if kind == "utterance"
            ]
            try:
                display.show(session, lines)
            except OSError:
                if not (
                    session.end or failure or stop_signal()
                ):  # else the terminal may have been closed
                    raise
            finally:
                for kind, utterance in results:
                    log.write(kind, device.name, utterance)

        drawn = 0.0
        while not session.end:
            try:
                original, samples = microphone.read(BLOCK_SECONDS)
            except SentimentalError as error:
                failure = error
                break
            audio.write(original * (not session.paused))  # the times in it stay right
            session.hear(samples)
            results = session.collect()
            if results or time.monotonic() - drawn >= DRAW_SECONDS:
                report(results)
                drawn = time.monotonic()
            if number := stop_signal():
                name = signal.Signals(number).name
                session.end = SIGNAL_WORDS.get(name, name)
            elif display.closed:
                session.end = "the window was closed"
            elif 0 < args.end_after < session.silence:
                session.end = f"{args.end_after:g} s of silence"
            elif microphone.is_over:
                session.end = "the recording is over"
    original, samples = microphone.read_rest()
    audio.write(original * (not session.paused))
    session.hear(samples)
    session.finish()
    report(session.collect())
    return display, microphone, failure


def nothing_heard(session, replayed):
    """Why nothing was recognized, as a SentimentalError; `replayed` is a path or None."""
    if replayed:
        return SentimentalError(f"{replayed}: no speech was recognized in what was heard of it")
    if session.endpointer.seconds and session.peak == 0.0:
        return SentimentalError(
            "only zeros came from the microphone; is it muted, or this program not allowed to use "
            "it? --list-devices shows the others"
        )
    if session.n_refused:
        return SentimentalError(
            "speech was heard, but too little of it stood out of the noise; speak closer to the "
            "microphone, or try another --device"
        )
    return SentimentalError("no speech was heard; speak louder, or try another --device")


def parse_args(argv):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--input",
        metavar="NAME",
        nargs="+",
        help=f"recordings: files, folders, patterns, or {STDIN} for the standard input",
    )
    what.add_argument("--replay", metavar="FILE", help="a recording, as if it were live")
    what.add_argument("--demo", action="store_true", help=f"the recordings in {SAMPLES}")
    what.add_argument("--list-devices", action="store_true", help="show the input devices")
    what.add_argument("--device", help="number or part of the name of an input device")
    parser.add_argument(
        "--one-voice", action="store_true", help="compare each of --input with those before it"
    )
    parser.add_argument(
        "--channels",
        choices=("mix", "separate"),
        default="mix",
        help="of --input; separate: each by itself, as of a phone call (default: %(default)s)",
    )
    parser.add_argument(
        "--format",
        choices=("text", "json", "csv"),
        default="text",
        help="of the standard output of --input (default: %(default)s)",
    )
    parser.add_argument(
        "--voice",
        metavar="FILE.json",
        help=f"where what was heard of a voice is kept for the next time; {NO_VOICE}: compare with "
        "nothing (default: live, with the utterances of this session; of --input, with nothing)",
    )
    parser.add_argument(
        "--backend", choices=BACKENDS, default="sounddevice", help="default: %(default)s"
    )
    parser.add_argument("--no-window", action="store_true", help="bars in the terminal")
    parser.add_argument(
        "--end-after",
        type=float,
        metavar="SECONDS",
        help=f"end after so much silence; 0: never (default: {END_SECONDS:g}; of --replay, 0)",
    )
    parser.add_argument(
        "--log",
        metavar="FILE.csv",
        help=f"one row for each update, utterance or file; {STDOUT}: to the standard output",
    )
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
    if args.end_after is None:
        args.end_after = 0.0 if args.replay else END_SECONDS
    for option, path, endings in [
        ("--save-audio", args.save_audio, (".flac", ".wav")),
        ("--save-plot", args.save_plot, (".png", ".pdf", ".svg")),
        ("--voice", args.voice if args.voice != NO_VOICE else None, (".json",)),
    ]:
        if path and not path.lower().endswith(endings):
            parser.error(f"{option} {path}: the name must end with {' or '.join(endings)}")
    if not args.end_after >= 0:
        parser.error(f"--end-after {args.end_after:g}: give 0 or more seconds")
    if args.save_audio and (args.input or args.replay or args.demo):
        parser.error("--save-audio keeps what the microphone hears; these are recordings already")
    if args.one_voice and not args.input:
        parser.error("--one-voice goes with --input; live, it is one voice until you press n")
    if args.one_voice and args.voice == NO_VOICE:
        parser.error(f"--one-voice compares each with those before it, --voice {NO_VOICE} does not")
    if not args.input and (args.channels, args.format) != ("mix", "text"):
        parser.error("--channels and --format go with --input; live, --log - writes CSV")
    if args.channels == "separate" and (args.voice or args.one_voice):
        parser.error("--channels separate is for several persons, a voice is of one")
    if args.format != "text" and args.log == STDOUT:
        parser.error(f"--log {STDOUT} and --format {args.format} go to the standard output both")
    if args.voice and args.demo:
        parser.error("--voice is for the voice of a person; --demo has a synthesizer's")
    return args


def main(argv=None):
    args = parse_args(argv)
    if args.list_devices:
        return list_devices(args)
    log, voice = (None if path in (STDOUT, NO_VOICE) else path for path in (args.log, args.voice))
    outputs = [path for path in (log, args.save_audio, args.save_plot, voice) if path]
    recordings = find_recordings(args.input or [], args.channels == "separate")
    inputs = [recording.name for recording in recordings] + ([args.replay] if args.replay else [])
    check_outputs(outputs, [*inputs, args.model, weights_path_of(args.model)])
    if args.demo:
        here = Path.cwd()
        samples = SAMPLES.relative_to(here) if SAMPLES.is_relative_to(here) else SAMPLES
        recordings = [Recording(path) for path in sorted(samples.glob("*.flac"))]
        if not recordings:
            raise SentimentalError(f"{SAMPLES}: holds no clips; is the copy complete?")
        note("Clips of a speech synthesizer: they show that the installation works, not how good")
        note("the model is.")
    if recordings:
        return recognize_files(args, recordings)
    return recognize_live(args)


if __name__ == "__main__":
    mute_libraries()  # PortAudio and ALSA write notes there
    sys.exit(run_script(main))
