"""The live script, which also writes down when it does what.

    python benchmarks/traced.py TRACE.jsonl --log log.csv ...    # the arguments of the script

Each line is [event, clock, seconds of the session's sound up to which it goes]:

    heard        a block has come from the sound card
    submitted    an update or utterance waits to be recognized
    recognized   it has been
    shown        what was recognized has been drawn
"""

import json
import os
import sys
import time
from pathlib import Path

os.environ |= {"OPENBLAS_NUM_THREADS": "1", "OMP_THREAD_LIMIT": "1"}  # as the script has it
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import realtime_emotion_recognition as script  # noqa: E402  (lies one folder up)
from sentimental.scripts import mute_libraries, run_script  # noqa: E402
from sentimental.spectrum import SAMPLE_RATE  # noqa: E402


class Traced(script.Session):
    """A session that writes down what it does."""

    trace = None
    n_heard = 0

    def write(self, event, place):
        print(json.dumps([event, time.time(), place]), file=self.trace, flush=True)

    def hear(self, samples):
        self.n_heard += len(samples)
        self.write("heard", self.n_heard / SAMPLE_RATE)
        super().hear(samples)

    def _submit(self, kind, speech):
        self.write("submitted", speech.end)
        super()._submit(kind, speech)
        self._pending[-1].future.add_done_callback(
            lambda future: self.write("recognized", speech.end)
        )


def open_display(*arguments):
    """The display, whose drawing is written down."""
    display = open_traced(*arguments)
    show = display.show

    def show_and_write(session, lines):
        show(session, lines)
        session.write("shown", session.endpointer.seconds)

    display.show = show_and_write
    return display


if __name__ == "__main__":
    Traced.trace = open(sys.argv[1], "w", encoding="utf-8")  # noqa: SIM115
    open_traced = script.open_display
    script.Session, script.open_display = Traced, open_display
    mute_libraries()
    sys.exit(run_script(lambda: script.main(sys.argv[2:])))
