"""What every other module needs: the emotions, the one error, the beginning and end of a script."""

import contextlib
import importlib.util
import logging
import os
import signal
import sys
import time
import traceback

EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fear", "disgust", "surprise")

# Probability of the strongest emotion below which an answer is called unsure. Of actors that no
# network was trained on (protocol "speaker"), 32 % of the answers below 0.4 are right, and 42 % of
# those from 0.4 to 0.5: where fewer than one in three is right, the two strongest say more.
UNSURE_BELOW = 0.4

# Signals that ask a script to end, where the system has them.
END_SIGNALS = [
    number for number in signal.Signals if number.name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT")
]
# s in which further signals are the same wish: terminals and supervisors send several at once.
SAME_WISH_SECONDS = 1.0
# Of the signal that has come: its number, and the time at which it came.
_stop_number = _stop_time = None
# Whether a signal is to be raised where it comes (`interruptible`).
_is_interruptible = False


class SentimentalError(Exception):
    """Something is wrong that the user can mend; the message is one line that says how."""


def check_emotions(emotions):
    """Make sure that each is one of ``EMOTIONS``, and that there are two; or SentimentalError."""
    if len({*emotions}) < 2 or not {*emotions} <= {*EMOTIONS}:
        raise SentimentalError(
            f"emotions {', '.join(map(str, emotions))}: give two or more of {', '.join(EMOTIONS)}"
        )


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


def stop_signal():
    """The number of the signal that asks the script to end; None while there is none."""
    return _stop_number


def check_stop():
    """Raise Stopped if a signal asks the script to end; for between two jobs, batches or blocks."""
    if _stop_number is not None:
        raise Stopped(_stop_number)


@contextlib.contextmanager
def interruptible():
    """Raise Stopped here as soon as a signal comes: for waiting, where nothing can be left half."""
    global _is_interruptible
    before, _is_interruptible = _is_interruptible, True
    try:
        check_stop()
        yield
    finally:
        _is_interruptible = before


def _note_signal(number):
    """Note that a signal has come; a later second one ends the process."""
    global _stop_number, _stop_time
    if _stop_number is None:
        _stop_number, _stop_time = number, time.monotonic()
        if _is_interruptible:
            raise Stopped(number)
    elif time.monotonic() - _stop_time >= SAME_WISH_SECONDS:
        end_at_once(number)


def end_at_once(number):
    """End the process with one line, as during imports, where there is nothing to save."""
    _tell("\nstopped")
    os._exit(128 + number)


def file_error(name, error):
    """What went wrong with one file, `name`, as SentimentalError: the rest of a batch goes on.

    Of a fault of the program the traceback is printed with SENTIMENTAL_DEBUG=1 in the environment.
    """
    if isinstance(error, SentimentalError):
        return error
    if _is_debugged():
        # In one piece: workers share the stream.
        sys.stderr.write("".join(traceback.format_exception(error)))
    return SentimentalError(
        f"{name}: a fault of this program, not of the file ({type(error).__name__}: {error}); "
        "please report what SENTIMENTAL_DEBUG=1 shows"
    )


def _is_debugged():
    return os.environ.get("SENTIMENTAL_DEBUG", "0") not in ("", "0")


def require(*packages):
    """End a script with one line, before the work, where packages (names) are missing."""
    if missing := [name for name in packages if importlib.util.find_spec(name) is None]:
        _tell(
            f"error: {', '.join(missing)}: not installed; "
            "run python -m pip install -r requirements.txt"
        )
        sys.exit(1)


def shown(text):
    """A line as it can be printed: control characters and undecodable bytes of names escaped."""
    escaped = (c if c.isprintable() else ascii(c)[1:-1] for c in str(text))
    return "".join(escaped).replace("\\udc", "\\x")  # Python has the byte 0xFC as U+DCFC


def run_script(main):
    """Call a script's `main`, which takes nothing; every error that a user can mend is one line.

    The first of ``END_SIGNALS`` is only noted: `main` looks for it (`check_stop`) where it can end.
    The second ends the process at once.

    Returns
    -------
    status : int, for `sys.exit`; that of `main` where it ends by itself, None being 0
    """
    global _stop_number
    open_streams()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a notebook's has not
            stream.reconfigure(errors="replace")
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # without a home, it works and says so
    before = {number: signal.getsignal(number) for number in END_SIGNALS}
    _stop_number = None
    on_end_signals(_note_signal)
    try:
        return _run(main)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _stop_number = None
        try:
            sys.stdout.flush()
        except OSError:  # is reported already; Python would try again, and say so in many lines
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(main):
    try:
        status = main() or 0
        sys.stdout.flush()  # here, where it can still be said that nobody reads it
        return status
    except KeyboardInterrupt as stopped:
        _tell("\nstopped")
        return 128 + (stopped.args or [signal.SIGINT])[0]  # as shells expect
    except SentimentalError as error:
        _tell(shown(f"error: {error}"))
    except BrokenPipeError:
        pass  # the reader of our output has left, as `head` does
    except OSError as error:
        _tell(shown(f"error: {error.filename or 'system'}: {error.strerror or error}"))
    return 1


def _tell(line):
    with contextlib.suppress(OSError, RuntimeError):  # closed, or in the middle of another line
        print(line, file=sys.stderr, flush=True)


def open_streams():
    """Let standard output and error go nowhere if the program has none.

    Python has None for a stream that was closed, or that a program without a console never had.
    Its file descriptor would go to the next file that is opened, and what libraries write to the
    descriptor would end up in that file.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)  # workers need them as well
    os.close(descriptor)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None or stream.closed:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115


def mute_libraries():
    """Send to nowhere what libraries in C write to file descriptor 2; Python keeps its own way.

    Not where faults of the program are looked for: workers have that file descriptor alone.
    """
    if _is_debugged():
        return
    with contextlib.suppress(AttributeError, OSError):  # a notebook's stream, or one of no console
        if sys.stderr.fileno() == 2:
            sys.stderr = os.fdopen(os.dup(2), "w", encoding="utf-8", errors="replace", buffering=1)
            with open(os.devnull, "wb") as null:
                os.dup2(null.fileno(), 2)
