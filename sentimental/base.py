"""What every other module needs: the emotions, the one error, whole files, the end of a script."""

import contextlib
import json
import os
import sys
from pathlib import Path

EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fear", "disgust", "surprise")


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


@contextlib.contextmanager
def atomic_write(path):
    """Give a temporary name beside `path` that takes its place only when all went well.

    Parameters
    ----------
    path : str or Path

    Yields
    ------
    partial : Path, to be written

    Raises
    ------
    SentimentalError
        When it cannot be written: no right to, no space left, ...
    """
    path = Path(path)
    # The end of the name stays, because matplotlib and soundfile choose the format by it.
    partial = path.with_name(f".{os.getpid()}.partial.{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        os.replace(partial, path)
    except OSError as error:
        raise SentimentalError(f"{path}: cannot be written ({error.strerror or error})") from None
    finally:
        with contextlib.suppress(OSError):  # the error that was raised above says more
            partial.unlink()


def write_json(path, content):
    """Write a dict as indented JSON, whole or not at all."""
    with atomic_write(path) as partial:
        partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
