"""What every other module needs: the emotions, the one error, whole files, the end of a script."""

import contextlib
import json
import os
import shutil
import signal
import stat
import sys
import threading
import time
from pathlib import Path

EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fear", "disgust", "surprise")

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
# Bytes that are written to see whether a disk has room.
PROBE_SIZE = 4096


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


def end_at_once(number):
    """End the process by a signal, with one line: where there is nothing to save, as in imports."""
    _tell("\nstopped")
    os._exit(128 + number)


def shown(text):
    """A line as it can be printed: control characters and undecodable bytes of names escaped."""
    escaped = (c if c.isprintable() else ascii(c)[1:-1] for c in str(text))
    return "".join(escaped).replace("\\udc", "\\x")  # Python has the byte 0xFC as U+DCFC


def keep_terminal():
    """Have nothing on the terminal but what this program says, and no text that cannot be printed.

    PortAudio, ALSA and libmpg123 write notes straight to file descriptor 2. What the user needs to
    know comes through Python, which keeps a way of its own to the terminal.
    """
    if hasattr(sys.stdout, "reconfigure"):  # not in Jupyter, for one
        sys.stdout.reconfigure(errors="replace")
    if sys.stderr is not sys.__stderr__:
        return
    if sys.stderr is not None:  # as it is when it was closed
        sys.stderr = os.fdopen(os.dup(2), "w", encoding="utf-8", errors="replace", buffering=1)
    null = os.open(os.devnull, os.O_WRONLY)
    if null != 2:
        os.dup2(null, 2)
        os.close(null)


def run_script(main):
    """Call a script's `main`; every error that a user can mend becomes one line.

    Each of ``END_SIGNALS`` is raised in it as Stopped, so that files are closed on the way out.
    During an import it waits: modules turn what is raised in them into errors of their own.

    Parameters
    ----------
    main : callable
        Takes nothing, returns an exit status or None.

    Returns
    -------
    status : int, for `sys.exit`
    """
    before = {number: signal.getsignal(number) for number in END_SIGNALS}
    last = -SAME_WISH_SECONDS

    def stop(number):
        nonlocal last
        if _is_importing():
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


# Files that are written -------------------------------------------------------------------------


def is_special(path):
    """Whether a path is of a device, a pipe or the like, into which is written as it is.

    Parameters
    ----------
    path : str or Path
    """
    if os.path.abspath(path).startswith(("/dev/std", "/dev/fd/", "/proc/self/fd/")):
        return True  # names of what is open already, even where that is a file
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def check_outputs(outputs, inputs=()):
    """Refuse, before the work, outputs that could not be written after it.

    Parameters
    ----------
    outputs : list of str or Path; folders that are missing are made
    inputs : iterable of str or Path, what must not be replaced

    Raises
    ------
    SentimentalError
        When one cannot be written (no right to, a folder, no space left, ...), two are the same
        file, or one is an input.
    """
    read, written = {os.path.realpath(path) for path in inputs}, set()
    for path in outputs:
        if is_special(path):
            if not os.access(path, os.W_OK):
                raise SentimentalError(f"{path}: cannot be written (no such file, or no right to)")
            continue
        place = os.path.realpath(path)
        if place in read:
            raise SentimentalError(f"{path}: is read as well; give what is written another name")
        if place in written:
            raise SentimentalError(f"{path}: two outputs have this name; give each its own")
        written.add(place)
        with _naming(path, partial := _partial(path)):
            Path(place).parent.mkdir(parents=True, exist_ok=True)
            if os.path.isdir(place):
                raise IsADirectoryError(None, "it is a folder")
            if os.path.exists(place) and not os.access(place, os.W_OK):
                raise PermissionError(None, "it is protected from writing")
            _remove_dead_partials(path)
            try:
                partial.write_bytes(bytes(PROBE_SIZE))
                _sync(partial)
            finally:
                partial.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_write(path):
    """Give a temporary name beside `path` that takes its place only when all went well.

    A link stays one: what it leads to is replaced. Devices and pipes are no files that could be
    replaced, so they are written themselves.

    Parameters
    ----------
    path : str or Path

    Yields
    ------
    partial : Path, to be written

    Raises
    ------
    SentimentalError
        When it cannot be written: no right to, no space left, ... Errors that have to do with
        another file, or with a reader who has left, go through as they are.
    """
    if is_special(path):
        with _naming(path, path):
            yield Path(path)
        return
    place, partial = Path(os.path.realpath(path)), _partial(path)
    with _naming(path, place.parent):
        place.parent.mkdir(parents=True, exist_ok=True)
        _remove_dead_partials(path)
    try:
        with _naming(path, partial):
            yield partial
            _sync(partial)
    except BaseException:
        with contextlib.suppress(OSError):  # the error that is raised here says more
            partial.unlink()
        raise
    with _naming(path, partial, f"; it is kept as {partial}"):
        if place.is_file():
            shutil.copymode(place, partial)
        os.replace(partial, place)


def _partial(path):
    """Where a file is written until it is whole.

    The end of the name is that of the file, because matplotlib chooses the format by it.
    """
    name = f".{os.getpid()}.partial.{Path(path).name}"
    return Path(os.path.realpath(path)).with_name(name)


def _remove_dead_partials(path):
    """Remove what processes left that were killed while they wrote this file."""
    end = f".partial.{Path(path).name}"
    for entry in os.scandir(Path(os.path.realpath(path)).parent):
        number = entry.name.removesuffix(end).removeprefix(".")
        if entry.name == f".{number}{end}" and number.isdecimal() and not _is_running(int(number)):
            if entry.is_dir():
                shutil.rmtree(entry.path, ignore_errors=True)
            else:
                with contextlib.suppress(OSError):
                    os.unlink(entry.path)


def _is_running(number):
    """Whether there is a process of this number."""
    if os.name == "nt":  # where nobody can remove a file that is being written
        return False
    try:
        os.kill(number, 0)  # sends nothing
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True  # somebody else's
    return True


def _sync(path):
    """Have the system write a file to the disk, of which it may have told us too early."""
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


@contextlib.contextmanager
def _naming(path, partial, rest=""):
    """Turn the OSErrors of a file into one that names the path that the user gave.

    A full disk names no file. A reader who has left is no file.
    """
    try:
        yield
    except OSError as error:
        names = {str(partial), str(Path(partial).parent), os.path.realpath(path), None}
        if isinstance(error, BrokenPipeError) or error.filename not in names:
            raise
        raise SentimentalError(
            f"{path}: cannot be written ({error.strerror or error}){rest}"
        ) from None


def remove_folder(path):
    """Remove a folder that is there whole or not at all, whenever this is stopped."""
    _remove_dead_partials(path)
    partial = _partial(path)
    os.replace(path, partial)
    shutil.rmtree(partial)


def write_json(path, content):
    """Write a dict as indented JSON, whole or not at all."""
    with atomic_write(path) as partial:
        partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
