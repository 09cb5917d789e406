"""Speech emotion recognition: recordings or a live microphone in, eight probabilities out.

import sentimental

recognizer = sentimental.load_recognizer()
recognizer.predict("speech.wav")  # {'neutral': 0.02, 'calm': 0.01, ..., 'surprise': 0.01}

The modules, each importing only what stands above it:

    base        the emotions, the one error, files written whole, the end of a script
    settings    settings of the training, and --set
    spectrum    frames of samples; their spectrum, pitch, level and zero crossings
    decoding    a file of any format, damaged or not: file in, samples out
    audio       level, trim, denoise: samples in, samples out
    features    MFCC, RMS, ZCR, pitch, their slopes, a recording's summary
    storage     the features file
    voice       what is usual for a voice, and a recording compared with it
    speech      where speech lies in a recording or a stream
    corpora     file names, codes, speakers, archives: all that is known of a corpus
    protocols   what trains, validates and tests
    conditions  noise, babble, telephone, gain: what tests do to a recording
    augment     what training does to a recording
    model       the network: build, save, load
    recognizer  the network in NumPy: speech in, probabilities out
    evaluate    metrics, calibration, tables, the record of a run
    plots       history, confusion matrix, calibration
    batches     recordings drawn and augmented, as training reads them
    checkpoint  what a stopped training is resumed from
    training    what is trained, and the fit of it
    runs        all folds of a protocol, with several seeds
    microphone  sound card to samples
    chart       the summary of a session: its mean, in a line and as a chart
    display     plain lines, terminal bars, window, summary chart
    session     what is heard of a stream, and what is recognized of it
"""

from sentimental.base import EMOTIONS, SentimentalError
from sentimental.recognizer import Recognizer, load_recognizer
from sentimental.voice import Voice

__all__ = ["EMOTIONS", "Recognizer", "SentimentalError", "Voice", "load_recognizer"]
