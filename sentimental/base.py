"""What every other module needs: the emotions, the one error, whole files, a script's frame."""

import contextlib
import hashlib
import json
import logging
import os
import shutil
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
    open_streams()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a notebook's has not
            stream.reconfigure(errors="replace")
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # without a home, it works and says so
    try:
        status = main() or 0
        sys.stdout.flush()  # here, where it can still be told that nobody reads it
        return status
    except SentimentalError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader of our output has left, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        print(f"error: {error.filename or 'system'}: {error.strerror or error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130  # 128 + SIGINT, as shells expect


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


# Files ------------------------------------------------------------------------------------------


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
        with open(partial, "rb+") as stream:
            os.fsync(stream.fileno())  # else a power cut may leave the new name with no content
        os.replace(partial, path)
    except OSError as error:
        raise _cannot_write(path, error, f"; it is kept as {partial}") from None


def _cannot_write(path, error, rest=""):
    return SentimentalError(f"{path}: cannot be written ({error.strerror or error}){rest}")


def write_json(path, content):
    """Write a dict as indented JSON, whole or not at all."""
    with atomic_write(path) as partial:
        partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def checksum(content):
    """Hexadecimal SHA-256 of a dict as JSON, whatever its ``checksum`` says."""
    others = {name: value for name, value in content.items() if name != "checksum"}
    return hashlib.sha256(json.dumps(others, sort_keys=True).encode()).hexdigest()


def set_aside(path, name=""):
    """Rename a damaged file or folder of an earlier run, and say so in a line.

    Parameters
    ----------
    path : Path
    name : str, what the line begins with
    """
    aside = path.with_name(f"{path.name}.damaged")
    if aside.is_dir():
        shutil.rmtree(aside)
    os.replace(path, aside)
    print(f"{name}{path}: damaged, kept as {aside.name}; this part starts anew", flush=True)
