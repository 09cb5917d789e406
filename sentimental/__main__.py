"""Recognize emotions in recordings.

    python -m sentimental a.wav b.mp3                       # short files are judged as a whole
    python -m sentimental memos --one-voice                 # a folder; all are of one person
    python -m sentimental podcast.mp3 --save-plot podcast.png    # utterances, and their time line
    python -m sentimental call.wav --channels separate --format json
    python -m sentimental film.mp4 --format srt > film.srt  # subtitles

Folders are taken with all below them; patterns like *.wav need no shell; - is the standard input.
Fields of --format and --log, and the rules: docs/recognition.md.

Exit status: 0 when all was recognized; 1 when a file could not be read, recognized or written; 2
for wrong options; 128 and its number when a signal ended it (130 for Ctrl-C). Whatever ends it,
the output, --log, --save-plot and --voice are complete up to that moment.
"""

import os
import sys

from sentimental.scripts import end_at_once, on_end_signals

if "numpy" not in sys.modules:  # else another script hands its arguments on
    on_end_signals(end_at_once)  # before the imports that take seconds
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
from pathlib import Path

from sentimental.files import shipped
from sentimental.live.chart import save_chart
from sentimental.live.long_recordings import Recording, find_recordings
from sentimental.live.options import add_options, check_files, check_options
from sentimental.live.terminal import attempt, note
from sentimental.live.voices import NO_VOICE, SavedVoice
from sentimental.live.writers import FORMATS, STDOUT, Report
from sentimental.recognizer import load_recognizer
from sentimental.scripts import SentimentalError, run_script

# The recordings of --demo.
SAMPLES = shipped("data/samples")


def main(argv=None):
    args = parse_args(argv)
    return run_script(lambda: recognize(args))


def demo_recordings():
    """Clips of a speech synthesizer, named as seen from here."""
    here = Path.cwd()
    samples = SAMPLES.relative_to(here) if SAMPLES.is_relative_to(here) else SAMPLES
    recordings = [Recording(path) for path in sorted(samples.glob("*.flac"))]
    if not recordings:
        raise SentimentalError(f"{SAMPLES}: holds no clips; is the copy complete?")
    note("Clips of a speech synthesizer: they show that the installation works, not how good")
    note("the model is.")
    return recordings


def recognize(args):
    """One line a file, or utterance of a long one; returns a status."""
    separate = args.channels == "separate"
    recordings = demo_recordings() if args.demo else find_recordings(args.names, separate)
    names = [recording.name for recording in recordings]
    check_files(args, names)
    saved = SavedVoice(args.voice)
    voices = {None: saved.voice} if args.one_voice or args.voice not in (None, NO_VOICE) else None
    recognizer, status = load_recognizer(args.model), 0
    emotions = args.emotions or recognizer.emotions
    try:
        with Report(args.log, args.format, names) as report:
            for recording in recordings:
                for finding in recording.recognize(recognizer, voices, emotions):
                    report.tell(recording.name, *finding)
    finally:  # a signal leaves voice and chart of what was recognized before
        heard = [recording for recording in recordings if recording.utterances]
        if heard:
            status = not attempt(saved.save)
            if args.save_plot:
                status |= not attempt(save_chart, args.save_plot, heard)
    n_bad = sum(recording.failed for recording in recordings)
    if n_bad:
        raise SentimentalError(f"{n_bad} of {len(recordings)} files could not be recognized")
    return status | report.log.failed


def parse_args(argv):
    parser = argparse.ArgumentParser(
        prog="python -m sentimental",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", help="recordings: files, folders, patterns, or -")
    parser.add_argument("--input", nargs="+", default=[], help=argparse.SUPPRESS)
    parser.add_argument("--no-window", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--demo", action="store_true", help="clips of a speech synthesizer")
    parser.add_argument(
        "--one-voice", action="store_true", help="all are of one person: compare with those before"
    )
    parser.add_argument(
        "--channels",
        choices=("mix", "separate"),
        default="mix",
        help="separate: recognize each channel on its own (one caller per channel)",
    )
    parser.add_argument("--format", choices=FORMATS, default="text", help="of the standard output")
    parser.add_argument(
        "--debug", action="store_true", help="show the traceback of a fault of the program"
    )
    add_options(parser)
    args = parser.parse_args(argv)
    args.names += args.input
    if args.demo == bool(args.names):
        parser.error("give recordings, or --demo")
    if args.one_voice and args.voice == NO_VOICE:
        parser.error(f"--one-voice compares each with those before it, --voice {NO_VOICE} does not")
    if args.voice and (args.demo or args.channels == "separate"):
        parser.error("--voice is of one person; not for --demo or --channels separate")
    if args.format != "text" and args.log == STDOUT:
        parser.error(f"--log {STDOUT} and --format {args.format} go to the standard output both")
    check_options(parser, args)
    if args.debug:
        os.environ["SENTIMENTAL_DEBUG"] = "1"
    return args


if __name__ == "__main__":
    sys.exit(main())
