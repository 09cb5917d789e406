"""Fixtures of several test files."""

import os

import pytest

os.environ.setdefault("OMP_THREAD_LIMIT", "1")  # as realtime_emotion_recognition.py does


@pytest.fixture
def eagerly():
    """Run every training step without compiling it, which would take longer than a few steps."""
    from sentimental.training.fit import tf

    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)
