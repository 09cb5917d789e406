"""What every other module needs: the emotions, the one error, the beginning and end of a script."""

import contextlib
import logging
import os
import signal
import sys
import threading
import time

EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fear", "disgust", "surprise")

# Probability of the strongest emotion below which an answer is called unsure. Of actors that no
# network was trained on (protocol "speaker"), 29 % of the answers below 0.4 are right, and 42 % of
# those from 0.4 to 0.5: where fewer than one in three is right, the two strongest say more.
UNSURE_BELOW = 0.4

# Signals that ask a script to end, where the system has them.
END_SIGNALS = [
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT")
    if hasattr(signal, name)
]
# s in which a second signal is the same wish: shells and terminals send several, as do people.
SAME_WISH_SECONDS = 2.0
# s after which a signal that came during an import is heeded, if that is over.
RETRY_SECONDS = 0.05
# Signals that came while they are held (`hold_signals`); None where they are not.
_held = None


class SentimentalError(Exception):
    """Something is wrong that the user can mend; the message is one line that says how."""


class Stopped(KeyboardInterrupt):
    """One of ``END_SIGNALS`` has come; its number is the argument."""


def on_end_signals(act):
    """Have `act` called with the number of each of ``END_SIGNALS`` that comes.

    What `nohup` has the system ignore stays ignored, but not Ctrl-C, as shells have it for jobs in
    the background: whoever sends it there means it.
    """
    for number in END_SIGNALS:
        if number == signal.SIGINT or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda number, _: act(number))


@contextlib.contextmanager
def hold_signals():
    """Let signals that end a script wait until this is over.

    They are raised as Stopped wherever the main thread is. There are libraries which that leaves
    with a lock taken, for whose release others wait, or which make another error of it.
    """
    global _held
    before, _held = _held, []
    try:
        yield
    finally:
        came, _held = _held, before
        for number in came:
            signal.raise_signal(number)


def end_at_once(number):
    """End the process by a signal, with one line: where there is nothing to save, as in imports."""
    _tell("\nstopped")
    os._exit(128 + number)


def shown(text):
    """A line as it can be printed: control characters and undecodable bytes of names escaped."""
    escaped = (c if c.isprintable() else ascii(c)[1:-1] for c in str(text))
    return "".join(escaped).replace("\\udc", "\\x")  # Python has the byte 0xFC as U+DCFC


def run_script(main):
    """Call a script's `main`; every error that a user can mend becomes one line.

    Each of ``END_SIGNALS`` is raised in it as Stopped, so that files are closed on the way out.
    During an import it waits, as modules turn what is raised in them into errors of their own, and
    where it is held (`hold_signals`).

    Parameters
    ----------
    main : callable
        Takes nothing, returns an exit status or None.

    Returns
    -------
    status : int, for `sys.exit`
    """
    open_streams()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a notebook's has not
            stream.reconfigure(errors="replace")
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # without a home, it works and says so
    before = {number: signal.getsignal(number) for number in END_SIGNALS}
    last = -SAME_WISH_SECONDS

    def stop(number):
        nonlocal last
        if _held is not None:
            _held.append(number)
        elif _is_importing():
            retry = threading.Timer(RETRY_SECONDS, _send_to_main_thread, [number])
            retry.daemon = True
            retry.start()
        elif time.monotonic() - last >= SAME_WISH_SECONDS:
            last = time.monotonic()
            raise Stopped(number)

    try:
        on_end_signals(stop)
        status = _run(main)
    except KeyboardInterrupt as stopped:
        _tell("\nstopped")
        status = 128 + (stopped.args or [signal.SIGINT])[0]  # as shells expect
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    try:
        sys.stdout.flush()  # here, where it can still be told that nobody reads it
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not (status or isinstance(error, BrokenPipeError)):
            _tell(f"error: standard output: {error.strerror}")
        status = status or 1
    return status


def _is_importing():
    """Whether a module is being imported where a signal has come."""
    frame = sys._getframe()
    while frame and frame.f_code.co_filename != "<frozen importlib._bootstrap>":
        frame = frame.f_back
    return frame is not None


def _send_to_main_thread(number):
    """Send a signal to where it ends a wait."""
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident, number)
    else:
        signal.raise_signal(number)


def _run(main):
    try:
        return main() or 0
    except SentimentalError as error:
        _tell(shown(f"error: {error}"))
    except BrokenPipeError:
        pass  # the reader of our output has left, as `head` does
    except OSError as error:
        _tell(shown(f"error: {error.filename or 'system'}: {error.strerror or error}"))
    return 1


def _tell(line):
    with contextlib.suppress(OSError):  # the terminal may have been closed
        print(line, file=sys.stderr, flush=True)


def open_streams():
    """Let standard output and error go nowhere if the program has none.

    Python has None for a stream that was closed, or that a program without a console never had.
    Its file descriptor would go to the next file that is opened, and what libraries write to the
    descriptor would end up in that file.
    """
    descriptor = os.open(os.devnull, os.O_RDWR)
    while descriptor <= 2:
        os.set_inheritable(descriptor, True)  # workers need them as well
        descriptor = os.open(os.devnull, os.O_RDWR)
    os.close(descriptor)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None or stream.closed:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115


def mute_libraries():
    """Send to nowhere what libraries in C write to file descriptor 2; Python keeps its own way."""
    try:
        is_shared = sys.stderr.fileno() == 2
    except (AttributeError, OSError):  # a notebook's, or one of no console
        is_shared = False
    if is_shared:
        sys.stderr = os.fdopen(os.dup(2), "w", encoding="utf-8", errors="replace", buffering=1)
        with open(os.devnull, "wb") as null:
            os.dup2(null.fileno(), 2)
