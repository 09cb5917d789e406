"""A recording that is heard in the time that it takes, as by a microphone."""

import itertools
import queue
import time

from sentimental.decoding import check_samples, decode_blocks
from sentimental.live.microphone import BLOCK_SECONDS, Microphone
from sentimental.scripts import shown


class Replay(Microphone):
    """A recording in place of an Input, and of the open one. It is decoded while it is heard.

    Parameters
    ----------
    path, note : as for `sentimental.decoding.decode`

    Attributes
    ----------
    name, sample_rate : as of an Input

    Raises
    ------
    SentimentalError
        When it cannot be read; of damage further on, when it is heard.
    """

    def __init__(self, path, note):
        blocks = decode_blocks(path, note)
        first = next(blocks)
        self.name, self.sample_rate = shown(path), first.sample_rate
        super().__init__(self, queue.Queue(), is_active=lambda: True)
        self._pieces = _cut(path, first, blocks)
        self._n_heard = 0  # samples
        self._began = None  # when it was first listened to

    def read(self, timeout):
        """Wait so many s and take the sound that came meanwhile; see `Microphone.read`."""
        if self._began is None:
            self._began = time.monotonic()
        time.sleep(timeout)
        n_due = (time.monotonic() - self._began) * self.sample_rate
        while self._n_heard < n_due and not self.is_over:
            piece = next(self._pieces, None)
            if piece is None:
                self.is_over = True
            else:
                self._n_heard += len(piece)
                self._blocks.put((piece, False))
        return super().read(timeout=0)


def _cut(path, first, others):
    """Cut a Block and others into pieces as short as those of a sound card."""
    n = round(BLOCK_SECONDS * first.sample_rate)
    for block in itertools.chain([first], others):
        check_samples(path, block.samples)
        yield from (block.samples[i : i + n] for i in range(0, len(block.samples), n))
