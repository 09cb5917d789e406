"""Files that are found; files written whole or not at all; damaged ones set aside."""

import contextlib
import glob
import hashlib
import json
import os
import platform
import shutil
from pathlib import Path

from sentimental.scripts import SentimentalError

# Extensions of files that lie beside the recordings of corpora: texts, tables, pictures, archives,
# annotations, and what systems leave in every folder (desktop.ini, Thumbs.db).
NOT_SOUND = {".csv", ".html", ".json", ".md", ".npy", ".pdf", ".py", ".txt", ".zip", ".xml"}
NOT_SOUND |= {".doc", ".docx", ".odt", ".ods", ".rtf", ".tsv", ".xls", ".xlsx", ".yaml", ".yml"}
NOT_SOUND |= {".gif", ".jpeg", ".jpg", ".png", ".svg", ".7z", ".gz", ".rar", ".tar", ".tgz"}
NOT_SOUND |= {".ass", ".eaf", ".lab", ".log", ".lrc", ".srt", ".sub", ".textgrid", ".vtt"}
NOT_SOUND |= {".db", ".ini", ".lnk", ".url"}
# What the content of a damaged file may lead to.
DAMAGED = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)
# Bytes that are written to see whether a disk has room.
PROBE_SIZE = 4096


def shipped(name):
    """Where a file or folder lies that comes with the package: within it where it was installed."""
    package = Path(__file__).resolve().parent
    inside = package / name
    return inside if inside.exists() else package.parent / name  # in a clone, beside it


def is_special(path):
    """Whether a path is of a device, a pipe or the like, into which is written as it is."""
    if os.path.abspath(path).startswith(("/dev/std", "/dev/fd/", "/proc/self/fd/")):
        return True  # names of what is open already, even where that is a file
    return os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path))


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
    words = "is read as well; give what is written another name"
    taken = {os.path.realpath(path): words for path in inputs}
    for path in outputs:
        if is_special(path):
            if not os.access(path, os.W_OK):
                raise SentimentalError(f"{path}: cannot be written (no such file, or no right to)")
            continue
        place = os.path.realpath(path)
        if place in taken:
            raise SentimentalError(f"{path}: {taken[place]}")
        taken[place] = "two outputs have this name; give each its own"
        with _partial_file(path) as partial:
            if os.path.isdir(place):
                raise IsADirectoryError(None, "it is a folder")
            if os.path.exists(place) and not os.access(place, os.W_OK):
                raise PermissionError(None, "it is protected from writing")
            partial.write_bytes(bytes(PROBE_SIZE))
        partial.unlink()


@contextlib.contextmanager
def atomic_write(path, mode=0o666):
    """Give a temporary name beside `path` that takes its place only when all went well.

    A link stays one: what it leads to is replaced. Devices and pipes are no files that could be
    replaced, so they are written themselves.

    Parameters
    ----------
    path : str or Path
    mode : int, rights of a file that is new, less those that the system's umask takes away

    Yields
    ------
    partial : Path, of an empty file, to be written

    Raises
    ------
    SentimentalError
        When it cannot be written. Errors of another file, or of a reader who has left, stay theirs.
    """
    if is_special(path):
        with _naming(path):
            yield Path(path)
        return
    with _partial_file(path, mode) as partial:
        yield partial
    place = os.path.realpath(path)
    with _naming(path, f"; it is kept as {partial}"):
        if os.path.isfile(place):
            shutil.copymode(place, partial)
        os.replace(partial, place)


@contextlib.contextmanager
def _partial_file(path, mode=0o666):
    """An empty file beside `path`, to be written: it is on the disk in the end, or removed."""
    partial = _partial(path)
    with _naming(path):
        partial.parent.mkdir(parents=True, exist_ok=True)
        _remove_dead_partials(path)
        try:
            partial.unlink(missing_ok=True)  # a link that somebody put there is not followed
            partial.touch(mode, exist_ok=False)
            yield partial
            with open(partial, "rb+") as file:  # the system may have said so too early
                os.fsync(file.fileno())
        except BaseException:
            with contextlib.suppress(OSError):  # the error that is raised here says more
                partial.unlink()
            raise


def _partial(path):
    """Where a file is written until it is whole; matplotlib chooses the format by its end."""
    name = f".{os.getpid()}.partial.{Path(path).name}"
    return Path(os.path.realpath(path)).with_name(name)


def _remove_dead_partials(path):
    """Remove what processes left that were killed while they wrote this file."""
    for partial in _partial(path).parent.glob(f".*.partial.{glob.escape(Path(path).name)}"):
        number = partial.name.split(".")[1]
        if number.isdecimal() and not _is_running(int(number)):
            with contextlib.suppress(OSError):
                partial.unlink()


def _is_running(number):
    """Whether there is a process of this number."""
    if os.name == "nt":  # where nobody can remove a file that is being written
        return False
    try:
        os.kill(number, 0)  # sends nothing
    except PermissionError:
        return True  # somebody else's
    except (ProcessLookupError, OverflowError):
        return False
    return True


@contextlib.contextmanager
def _naming(path, rest=""):
    """Let the OSErrors of a file name the path that the user gave; a full disk names no file."""
    try:
        yield
    except OSError as error:
        partial = _partial(path)
        names = {str(path), str(partial), str(partial.parent), os.path.realpath(path), None}
        if isinstance(error, BrokenPipeError) or error.filename not in names:
            raise
        raise unwritable(path, error, rest) from None


def unwritable(path, error, rest=""):
    """The error of a file or folder that the system does not let us write."""
    return SentimentalError(f"{path}: cannot be written ({error.strerror or error}){rest}")


def lock_folder(folder):
    """Make a folder of unfinished work, and keep other processes out of it.

    Returns
    -------
    lock : filelock.FileLock; the end of the process releases it as well

    Raises
    ------
    SentimentalError
        When another process uses the folder, or it cannot be made.
    """
    from filelock import FileLock, Timeout

    holder = folder / ".holder"  # hidden, so that nobody takes them for recordings
    try:
        folder.mkdir(exist_ok=True)
        lock = FileLock(folder / ".lock", timeout=0)
        with contextlib.suppress(NotImplementedError):  # some network drives know no locks
            lock.acquire()
        holder.write_text(f"process {os.getpid()} on {platform.node()}", encoding="utf-8")
    except Timeout:
        name = holder.read_text(encoding="utf-8") if holder.exists() else "another process"
        raise SentimentalError(
            f"{folder}: {name} is at work there; wait for its end, or write something else"
        ) from None
    except OSError as error:
        raise unwritable(folder, error) from None
    return lock


def write_json(path, content, mode=0o666):
    """Write a dict as indented JSON, whole or not at all; `mode` as for `atomic_write`."""
    with atomic_write(path, mode) as partial:
        partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def checksum(content):
    """Hexadecimal SHA-256 of a dict as JSON, whatever its ``checksum`` says."""
    others = {name: value for name, value in content.items() if name != "checksum"}
    return hashlib.sha256(json.dumps(others, sort_keys=True).encode()).hexdigest()


def set_aside(path, name=""):
    """Rename a damaged file of an earlier run; say so in a line that `name` begins."""
    aside = path.with_name(f"{path.name}.damaged")
    os.replace(path, aside)
    print(f"{name}{path}: damaged, kept as {aside.name}; this part starts anew", flush=True)


def find_files(paths):
    """List the files below the given folders, and what cannot be found or read.

    Links to folders are followed, but not to one that the link lies in.

    Parameters
    ----------
    paths : list of Path, folders or files

    Returns
    -------
    files : list of Path, sorted, each once
    n_passed_over : int, hidden files and files that are no sound by their extension
    refused : list of str, a line for each path that does not exist or cannot be read
    """
    files, refused, n_passed_over = set(), [], 0

    def refuse(error):
        refused.append(unreadable(error.filename, error))

    def add(file, otherwise):
        try:
            if file.is_file():
                files.add(file)
            else:
                refused.append(f"{file}: {otherwise}")
        except OSError as error:  # of its folder only the names may be read, or it is too long
            refuse(error)

    for path in paths:
        if not os.path.isdir(path):
            add(path, "no such file or folder; check the name")
            continue
        for folder, subfolders, names in os.walk(path, onerror=refuse, followlinks=True):
            subfolders[:] = [name for name in subfolders if not _leads_back(folder, name)]
            for file in (Path(folder, name) for name in names):
                if file.name.startswith(".") or file.suffix.lower() in NOT_SOUND:
                    n_passed_over += 1
                else:
                    add(file, "no file that can be read; is it a broken link?")
    return sorted(files), n_passed_over, refused


def _leads_back(folder, name):
    """Whether this is a link to a folder that it lies in, by the way that was walked to it."""
    link = Path(folder, name)
    return link.is_symlink() and os.path.realpath(link) in map(
        os.path.realpath, link.absolute().parents
    )


def unreadable(path, error):
    """The line for a file or folder that the system does not let us read."""
    return f"{path}: cannot be read ({error.strerror}); check its name and rights"
