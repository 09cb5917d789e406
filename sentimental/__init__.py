"""Speech emotion recognition: recordings or a live microphone in, eight probabilities out.

import sentimental

recognizer = sentimental.load_recognizer()
recognizer.predict("speech.wav")  # {'neutral': 0.02, 'calm': 0.01, ..., 'surprise': 0.01}

The modules, each importing only what stands above it:

    base        the emotions, the one error, the beginning and end of a script
    files       files written whole, outputs checked before the work
    workers     jobs on all cores, each of which costs itself alone
    settings    settings of the training, and --set
    spectrum    frames of samples; their spectrum, pitch, level and zero crossings
    ffmpeg      what only ffmpeg reads, as it comes
    decoding    a file of any format, damaged or not: file in, samples out
    audio       level, trim, denoise: samples in, samples out
    features    MFCC, RMS, ZCR, pitch, their slopes, a recording's summary
    storage     the features file
    finished    frames, while a run of preprocess.py is not over
    voice       what is usual for a voice, and a recording compared with it
    speech      where speech lies in a recording or a stream
    corpora     file names, codes, speakers, archives: all that is known of a corpus
    labels      corpus, speaker, emotion and take: by a table, a file's name or its folders
    recordings  the recordings below some folders, each take once
    protocols   what trains, validates and tests
    conditions  noise, babble, telephone, gain: what tests do to a recording
    augment     what training does to a recording
    model       the network: build, save, load
    folding     what is folded into its weights, and out again
    recognizer  the network in NumPy: speech in, probabilities out
    evaluate    metrics, their intervals, calibration
    plots       history, confusion matrix, calibration
    batches     recordings drawn and augmented, as training reads them
    checkpoint  what a stopped training is resumed from
    learner     what is trained
    training    the fit of it, and its answers to recordings
    runs        all folds of a protocol, with several seeds
    reports     tables, the record of a run, the headline, the report of a protocol
    microphone  sound card to samples
    chart       what was recognized: in a line, as a summary, as a time line
    display     what a session says, in words and plain lines
    keyboard    what keys do, and how they come from a terminal
    terminal    live bars in the terminal
    window      live bars, meters and strip in a window, and the choice of a display
    replay      a recording, heard in the time that it takes
    session     what is heard of a stream, and what is recognized of it
    outputs     log, audio and JSON Lines, each written as it comes
    inputs      recordings by name, read in blocks, cut into utterances as live
"""

import importlib

__all__ = ["EMOTIONS", "Recognizer", "SentimentalError", "Voice", "load_recognizer"]

_MODULES = {
    "EMOTIONS": "base",
    "Recognizer": "recognizer",
    "SentimentalError": "base",
    "Voice": "voice",
    "load_recognizer": "recognizer",
}


def __getattr__(name):
    """Import what is asked for: a script that needs `sentimental.base` waits for nothing else."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
