"""Fixtures of several test files."""

import signal

import pytest

# What `nohup` or a shell's background job ignores, a script that a test starts would ignore, too;
# what is handled here, however it is handled, is as usual there.
for name in ("SIGHUP", "SIGINT", "SIGQUIT"):
    number = getattr(signal, name, None)
    if number and signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, lambda *_: None)


@pytest.fixture(scope="session")
def recognizer():
    """The one that is shipped."""
    from sentimental import load_recognizer

    return load_recognizer()


@pytest.fixture(scope="module")
def eagerly():
    """Run every training step without compiling it, which would take longer than a few steps."""
    from sentimental.training.fit import tf

    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)
