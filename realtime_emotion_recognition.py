"""Recognize emotions in speech while it is spoken.

    python realtime_emotion_recognition.py                      # default microphone, live bars
    python realtime_emotion_recognition.py --device usb --no-window      # see --list-devices
    python realtime_emotion_recognition.py --log session.csv --save-audio session.flac
    python realtime_emotion_recognition.py --voice me.json      # it knows you better each time
    python realtime_emotion_recognition.py --teach --voice me.json      # how you sound, in a minute
    python realtime_emotion_recognition.py --replay talk.flac   # a recording, as if it were live

For recordings there is python -m sentimental; --input and --demo, with its options, lead there.
Columns of --log, keys and rules: docs/recognition.md.

Exit status: 0 when something was recognized; 1 when nothing was, when the microphone vanished or a
file could not be read or written; 2 for wrong options; 128 and its number when a signal ended it
(143 for SIGTERM). Ctrl-C is a normal end. Whatever ends a session, --log, --save-audio and --voice
are complete up to that moment; the first two even when it is killed.
"""

import os

from sentimental.scripts import end_at_once, on_end_signals

if __name__ == "__main__":
    on_end_signals(end_at_once)  # before the imports that take seconds
    # Matrices are so small that a second thread would only wait in a loop, at full load.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import shlex
import signal
import sys
import time
from pathlib import Path

from sentimental.files import find_files
from sentimental.live.chart import result_line, save_plot
from sentimental.live.microphone import BACKENDS, Microphone, choose_input
from sentimental.live.options import add_options, check_files, check_options
from sentimental.live.session import Replay, Session
from sentimental.live.terminal import PlainLines, attempt, note, session_keys
from sentimental.live.voices import NO_VOICE, Guide, SavedVoice, how_it_helps, teach_from_files
from sentimental.live.window import open_display
from sentimental.live.writers import Audio, Log
from sentimental.recognizer import load_recognizer
from sentimental.scripts import SentimentalError, mute_libraries, run_script, shown, stop_signal

# s of silence that end a session, unless --end-after says otherwise.
END_SECONDS = 60.0
# s between two drawings, unless something new was recognized; more than between two updates.
DRAW_SECONDS = 0.16
# Signals that end a session, and the words for them where their names say little.
SIGNAL_WORDS = {"SIGINT": "Ctrl-C", "SIGHUP": "the terminal was closed"}


def main(argv=None):
    argv = sys.argv[1:] if argv is None else argv
    if any(word.partition("=")[0] in ("--input", "--demo") for word in argv):
        from sentimental.__main__ import main as recognize_files

        return recognize_files(argv)
    args = parse_args(argv)
    if args.list_devices:
        return list_devices(args.backend)
    check_files(args, [args.replay] if args.replay else [])
    return teach_folder(args) if args.teach else recognize_live(args)


def teach_folder(args):
    """Teach a voice by recordings whose labels preprocess.py would read; returns a status."""
    from sentimental.preprocessing.recordings import describe_files

    files, _, refused = find_files([Path(args.teach)])
    takes, _, unlabelled = describe_files(files, [Path(args.teach)])
    for line in (*refused, *unlabelled):
        note(f"error: {line}")
    saved, recognizer = SavedVoice(args.voice), load_recognizer(args.model)
    try:
        n_taught = teach_from_files(recognizer, saved.voice, takes)
    finally:  # a signal leaves what was taught before
        saved.save()
    if not n_taught:
        raise SentimentalError(f"{args.teach}: no recording there has an emotion in its name")
    note(f"{n_taught} recordings taught. {how_it_helps(recognizer, saved.voice)}")
    return int(n_taught < len(takes))


def list_devices(backend):
    inputs = BACKENDS[backend].inputs()
    default = choose_input(inputs)
    for device in inputs:
        star = "*" if device == default else " "
        name = shown(f"{device.name}  ({device.host_api}, {device.sample_rate} Hz)")
        print(f"{star} {device.number:3d}  {name}")


def recognize_live(args):
    """A session until a signal, a key, a closed window or silence ends it; returns a status."""
    device = None if args.replay else choose_input(BACKENDS[args.backend].inputs(), args.device)
    saved = SavedVoice(args.voice)
    recognizer = load_recognizer(args.model)
    session = Session(recognizer, saved.voice, emotions=args.emotions)
    guide = Guide(session, args.emotions) if args.teach is not None else None
    with (
        Log(args.log) as log,
        Replay(args.replay) if args.replay else Microphone(device, args.backend) as stream,
        Audio(args.save_audio, stream.sample_rate) as audio,
    ):
        try:
            display, failure = listen(args, stream, session, guide, log, audio)
        finally:  # whatever ended it
            status = not attempt(saved.save)
    seconds, number = session.endpointer.seconds, stop_signal()
    note(f"error: {failure}" if failure else f"Ended: {session.end}.")
    note(
        f"{seconds:.1f} s of audio, {session.n_updates} updates of the bars, "
        f"{stream.n_overflows} overflows of the sound card"
    )
    status |= bool(failure) | log.failed | audio.failed
    if number and (number != signal.SIGINT or seconds == 0):
        status = 128 + number
        display = PlainLines()  # nobody is there to close a window
    if guide:
        note(how_it_helps(recognizer, saved.voice))
    if session.utterances:
        if args.save_plot:
            status |= not attempt(save_plot, args.save_plot, session.utterances, seconds)
        display.show_summary(session)
    elif not (failure or status > 128):
        raise nothing_heard(session, args.replay)
    return status


def listen(args, stream, session, guide, log, audio):
    """Hear a stream to its end, recognize what is said and show it; returns display and failure.

    The failure is a SentimentalError, as of a microphone that was unplugged, or None.
    """
    note(
        f"{'Replaying' if args.replay else 'Listening to'} {stream.name} at "
        f"{stream.sample_rate} Hz; Ctrl-C ends."
    )
    began, drawn, failure = time.time(), 0.0, None
    session.when_recognized = stream.wake
    session.warm_up()
    keys = guide.keys() if guide else session_keys(session, args.save_plot)
    with open_display(not args.no_window, keys, session) as display:

        def tell(results):
            if guide:
                guide.hear(results)
            lines = []
            for kind, utterance in results:
                if kind == "utterance":
                    clock = time.localtime(began + utterance.start)
                    lines.append(result_line(time.strftime("%H:%M:%S", clock), utterance))
            try:
                display.show(session, lines)
            except OSError:
                if not session.end:  # else the terminal may have been closed
                    raise
            finally:
                for kind, utterance in results:
                    log.write(kind, stream.name, utterance)

        try:
            for original, samples in stream:
                audio.write(original * (not session.paused))  # the times in it stay right
                session.hear(samples)
                results = session.collect()
                if results or time.monotonic() - drawn >= DRAW_SECONDS:
                    tell(results)
                    drawn = time.monotonic()
                session.end = session.end or why_end(args, session, display)
                if session.end:
                    stream.close()
        except SentimentalError as error:
            failure = error
        session.end = session.end or "the recording is over"
        tell([])
    tell(session.finish())
    return display, failure


def why_end(args, session, display):
    """Why a session ends now; empty while it goes on."""
    number = stop_signal()
    if number:
        name = signal.Signals(number).name
        return SIGNAL_WORDS.get(name, name)
    if display.closed:
        return "the window was closed"
    return f"{args.end_after:g} s of silence" if 0 < args.end_after < session.silence else ""


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
    parser.add_argument("recordings", nargs="*", help=argparse.SUPPRESS)
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--device", help="number or part of the name of an input device")
    source.add_argument("--list-devices", action="store_true", help="show the input devices")
    source.add_argument("--replay", metavar="FILE", help="a recording, as if it were live")
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
    parser.add_argument("--save-audio", metavar="FILE.flac", help="what the microphone heard")
    parser.add_argument(
        "--teach",
        nargs="?",
        const="",
        metavar="FOLDER",
        help="ask for one sentence of each emotion, and teach the --voice; or teach it by files",
    )
    add_options(parser)
    args = parser.parse_args(argv)
    if args.recordings:
        parser.error(
            f"to recognize recordings, type: python -m sentimental {shlex.join(args.recordings)}"
        )
    if args.end_after is None:
        args.end_after = 0.0 if args.replay else END_SECONDS
    if not args.end_after >= 0:
        parser.error(f"--end-after {args.end_after:g}: give 0 or more seconds")
    if args.save_audio and args.replay:
        parser.error("--save-audio keeps what the microphone hears; this is a recording already")
    if args.teach is not None and args.voice in (None, NO_VOICE):
        parser.error("--teach goes with --voice FILE.json, which keeps what was taught")
    check_options(parser, args)
    return args


if __name__ == "__main__":
    mute_libraries()  # PortAudio and ALSA write notes there
    sys.exit(run_script(main))
