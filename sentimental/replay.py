"""A recording that is heard in the time that it takes, as a microphone hears."""

import time

from sentimental.audio import load_audio
from sentimental.base import shown
from sentimental.spectrum import SAMPLE_RATE


class Replay:
    """A recording in place of an Input and its Microphone (`sentimental.microphone`).

    Parameters
    ----------
    path, note : as for `sentimental.audio.load_audio`

    Raises
    ------
    SentimentalError
        When it cannot be read.
    """

    sample_rate = SAMPLE_RATE
    n_overflows = 0

    def __init__(self, path, note):
        self.name = shown(path)
        self._samples = load_audio(path, note)
        self._n_taken = 0
        self._began = None  # when it was first listened to

    @property
    def is_over(self):
        return self._n_taken == len(self._samples)

    def read(self, timeout):
        """Wait so many s and take what came meanwhile, as `Microphone.read` does."""
        if self._began is None:
            self._began = time.monotonic()
        time.sleep(timeout)
        n_due = round((time.monotonic() - self._began) * SAMPLE_RATE)
        samples = self._samples[self._n_taken : n_due]
        self._n_taken += len(samples)
        return samples, samples

    def read_rest(self):
        """Take what came since the last `read`."""
        return self.read(timeout=0)
