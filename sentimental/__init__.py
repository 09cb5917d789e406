"""Speech emotion recognition: recordings or a live microphone in, eight probabilities out.

import sentimental

recognizer = sentimental.load_recognizer()
recognizer.predict("speech.wav")  # {'neutral': 0.02, 'calm': 0.01, ..., 'surprise': 0.01}

The common room, which more than one script needs:

    scripts        the emotions, the one error, the beginning and end of a script
    files          files found, files written whole, outputs checked before the work
    workers        jobs on all cores, each of which costs itself alone
    audio          level, trim, denoise: samples in, samples out
    spectrum       frames of samples; their spectrum, pitch, level and zero crossings
    decoding       a file of any format, damaged or not: file in, samples out
    containers     what the bytes of a file tell about its length
    features       MFCC, RMS, ZCR, pitch, their slopes, a recording's summary
    vad            where speech lies in a recording or a stream
    utterances     what is said in a recording, short or long
    speaker        a recording relative to what was heard of its voice before
    voice          one voice that is listened to, and taught
    model          the network's two files
    recognizer     the network in NumPy: speech in, probabilities out
    corpora        file names, codes, speakers, archives: all that is known of a corpus
    features_file  frames and labels in one JSON file

Below it the wings, each of one script: preprocessing, training, live.
"""

import importlib
from typing import TYPE_CHECKING

__version__ = "1.0.0"
__all__ = ["EMOTIONS", "Recognizer", "SentimentalError", "Voice", "load_recognizer"]

if TYPE_CHECKING:  # for editors and type checkers, which run nothing
    from sentimental.recognizer import Recognizer, load_recognizer
    from sentimental.scripts import EMOTIONS, SentimentalError
    from sentimental.voice import Voice

_MODULES = {
    "EMOTIONS": "scripts",
    "Recognizer": "recognizer",
    "SentimentalError": "scripts",
    "Voice": "voice",
    "load_recognizer": "recognizer",
}


def __getattr__(name):
    """Import what is asked for: a script that needs a module waits for nothing else."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__():
    return [*__all__, "__version__"]
