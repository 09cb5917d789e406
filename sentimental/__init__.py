"""Speech emotion recognition: recordings or a live microphone in, eight probabilities out.

import sentimental

recognizer = sentimental.load_recognizer()
recognizer.predict("speech.wav")  # {'neutral': 0.02, 'calm': 0.01, ..., 'surprise': 0.01}

The modules, each importing only what stands above it:

    base        the emotions, the one error, files written whole, the end of a script
    settings    settings of the training, and --set
    spectrum    frames of samples; their spectrum, level and zero crossings
    audio       decode, level, trim, denoise: samples in, samples out
    features    MFCC, RMS, ZCR, their slopes; the features file
    speech      where speech lies in a recording or a stream
    corpora     file names, codes, speakers, archives: all that is known of a corpus
    protocols   what trains, validates and tests
    conditions  noise, babble, telephone, gain: what tests do to a recording
    augment     what training does to a recording
    model       the network: build, save, load
    recognizer  the network in NumPy: speech in, probabilities out
    evaluate    metrics, calibration, tables, plots, the record of a run
    batches     recordings drawn and augmented, as training reads them
    checkpoint  what a stopped training is resumed from
    training    networks that learn from each other
    microphone  sound card to samples
    display     plain lines, terminal bars, window, summary chart
    session     what is heard of a stream, and what is recognized of it
"""

from sentimental.base import EMOTIONS, SentimentalError
from sentimental.recognizer import Recognizer, load_recognizer

__all__ = ["EMOTIONS", "Recognizer", "SentimentalError", "load_recognizer"]
