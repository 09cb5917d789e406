"""What every other module needs: the emotions, the one error, whole files, the end of a script."""

import contextlib
import json
import os
import sys
from pathlib import Path

EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fear", "disgust", "surprise")

# Bytes; for the environment of worker processes. glibc gives the memory of every freed array back
# to the system, and the next array gets it anew, page by page: a third of the time. With these it
# is kept. Other systems ignore them.
WORKER_MEMORY = {
    "MALLOC_TRIM_THRESHOLD_": "268435456",
    "MALLOC_MMAP_THRESHOLD_": "268435456",
    "MALLOC_TOP_PAD_": "67108864",
}


class SentimentalError(Exception):
    """Something is wrong that the user can mend; the message is one line that says how."""


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

    Parameters
    ----------
    main : callable
        Takes nothing, returns an exit status or None.

    Returns
    -------
    status : int, for `sys.exit`
    """
    try:
        status = main() or 0
        sys.stdout.flush()  # here, where it can still be told that nobody reads it
        return status
    except SentimentalError as error:
        print(shown(f"error: {error}"), file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader of our output has left, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        name = shown(error.filename or "system")
        print(f"error: {name}: {error.strerror or error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130  # 128 + SIGINT, as shells expect


@contextlib.contextmanager
def atomic_write(path, keep=False):
    """Give a temporary name beside `path` that takes its place only when all went well.

    Parameters
    ----------
    path : str or Path
    keep : bool
        Whether it takes the place also when an error ends the writing, as far as it was written.

    Yields
    ------
    partial : Path, to be written

    Raises
    ------
    SentimentalError
        When it cannot be written: no right to, no space left, ... Errors that have to do with
        another file, or with a reader who has left, go through as they are.
    """
    path = Path(path)
    # The end of the name stays, because matplotlib and soundfile choose the format by it.
    partial = path.with_name(f".{os.getpid()}.partial.{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _cannot_write(path, error) from None
    try:
        yield partial
    except BaseException as error:
        if keep and os.path.exists(partial):
            _put_in_place(partial, path)
        with contextlib.suppress(OSError):  # the error that is raised here says more
            partial.unlink()
        if _is_about(partial, error):
            raise _cannot_write(path, error) from None
        raise
    _put_in_place(partial, path)


def _is_about(partial, error):
    """Did writing this file fail? A full disk names no file; a reader who has left is no file."""
    if not isinstance(error, OSError) or isinstance(error, BrokenPipeError):
        return False
    return error.filename is None or str(error.filename) == str(partial)


def _put_in_place(partial, path):
    try:
        os.replace(partial, path)
    except OSError as error:
        raise _cannot_write(path, error, f"; it is kept as {partial}") from None


def _cannot_write(path, error, rest=""):
    return SentimentalError(f"{path}: cannot be written ({error.strerror or error}){rest}")


def write_json(path, content):
    """Write a dict as indented JSON, whole or not at all."""
    with atomic_write(path) as partial:
        partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
