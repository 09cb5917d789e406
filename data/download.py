"""Fetch the corpora that the network is trained on, and unpack their recordings.

    python data/download.py                        all of them, into data/TESS, data/RAVDESS, ...
    python data/download.py RAVDESS nEMO           some of them
    python data/download.py --folder /big/disk     into another folder
    python data/download.py --archive ~/Downloads/Audio_Speech_Actors_01-24.zip
                                                   from an archive that you have already

Archives are checked by their MD5, or their recordings by SHA-256, and a corpus appears in its
folder whole or not at all. Run the same command again after an interruption: a corpus that is there
is left alone, and TESS, RAVDESS and CREMA-D go on where they stopped (where the server sends parts
of files). Each corpus has a license of its own, several of them non-commercial: see data/README.md.
"""

# ruff: noqa: E402

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from sentimental.scripts import end_at_once, on_end_signals, require, run_script

if __name__ == "__main__":
    on_end_signals(end_at_once)  # before the imports that take seconds
    require("pooch", "requests")

import argparse
import contextlib
import errno
import hashlib
import os
import re
import shlex
import shutil
import zipfile
from urllib.parse import urljoin

import pooch
import requests
from tqdm import tqdm
from tqdm.contrib.concurrent import thread_map

from sentimental.corpora import CORPORA
from sentimental.scripts import SentimentalError, check_stop, interruptible

# What can be had here, by corpus.
ARCHIVES = {name: corpus.archive for name, corpus in CORPORA.items() if corpus.archive}
CHUNK_SIZE = 1 << 16  # bytes that are written at once; pooch's 1 KiB would cost 200,000 writes
N_RETRIES = 2
N_THREADS = 8  # that fetch single recordings
MOST_FOLDERS = 20  # in the path of a recording; an archive with more of them wants to harm
# What a repository holds in place of a file that it keeps in Git LFS.
POINTER = re.compile(rb"version https://git-lfs\S+\noid sha256:([0-9a-f]{64})\nsize \d+\n")
pooch.get_logger().setLevel("ERROR")  # else it writes a line for every file


def is_recording(path):
    """Whether a path (str) is a recording's; a Mac's archives hold ``._x.wav`` as well."""
    return path.lower().endswith(".wav") and not Path(path).name.startswith("._")


# Download


def http_downloader(beginning=None, **options):
    """The downloader of pooch; of `beginning`, a file, it drops what it does not go on from."""

    def check(response, **_):
        target = urljoin(response.url, response.headers.get("Location", ""))
        if response.url.startswith("https:") and target.startswith("http:"):
            # Where anybody on the way may change the content.
            raise SentimentalError(f"{response.url}: leads to {target}, which is not encrypted")
        # 200 brings the whole file, and 416 says that there is more here than there.
        if beginning and response.status_code in (200, 416):
            os.truncate(beginning, 0)

    return pooch.HTTPDownloader(chunk_size=CHUNK_SIZE, hooks={"response": check}, **options)


def resuming_downloader(beginning, **options):
    """The same, but it keeps what came before an interruption in `beginning`."""

    def download(url, output, pooch):
        with open(beginning, "ab") as stream:
            headers = {"Range": f"bytes={stream.tell()}-", "Accept-Encoding": "identity"}
            http_downloader(beginning, headers=headers, **options)(url, stream, pooch)
        os.replace(beginning, output)

    return download


def fetch(name, source, file, downloader):
    """Fetch a file of a corpus, whole or not at all, unless it is there with the right checksum."""
    try:
        return source.fetch(file, downloader=downloader)
    except requests.RequestException as error:
        reason = type(error).__name__
        if error.response is not None:
            reason = f"HTTP {error.response.status_code} {error.response.reason}"
    except ValueError as error:  # the checksum
        reason = str(error).partition(". ")[0]
    raise SentimentalError(
        f"{name}: cannot download {source.get_url(file)} ({reason}); check the network and run "
        "this again; if it stays so, fetch an archive with a browser and pass it with --archive, "
        f"or get the corpus from {ARCHIVES[name].page}"
    )


def fetch_archive(name, folder):
    """Fetch the archive of a corpus into `folder`; return its path."""
    known, file = ARCHIVES[name], "archive.zip"
    # pooch sets the total; until then it must not be unknown, or the bar has no truth value
    with tqdm(desc=name, total=1, unit="B", unit_scale=True, disable=None) as bar:
        downloader, checksum = http_downloader(progressbar=bar), None
        if known.md5:  # else its bytes may be others today
            downloader = resuming_downloader(folder / "beginning", progressbar=bar)
            checksum = f"md5:{known.md5}"
        options = {"urls": {file: known.url}, "retry_if_failed": N_RETRIES}
        source = pooch.create(folder, "", registry={file: checksum}, **options)
        return Path(fetch(name, source, file, downloader))


def fetch_recordings(name, pointers, folder):
    """Fetch the recordings of `pointers`, path to SHA-256, that `folder` does not hold yet."""
    media = ARCHIVES[name].media
    source = pooch.create(folder, media, registry=pointers, retry_if_failed=N_RETRIES)

    def fetch_one(path):
        check_stop()
        fetch(name, source, path, http_downloader())

    bar = {"desc": f"{name}, fetching", "unit": " files", "disable": None, "tqdm_class": tqdm}
    thread_map(fetch_one, pointers, max_workers=N_THREADS, **bar)


# Archives


def recognize(archive):
    """The name of the corpus that an archive holds, by its MD5 or the folder in it."""
    if not archive.is_file():
        raise SentimentalError(f"{archive}: no such file; check the name")
    md5, paths = pooch.file_hash(archive, "md5"), []
    with contextlib.suppress(Exception), zipfile.ZipFile(archive) as content:  # or it is none
        paths = content.namelist()
    for name, known in ARCHIVES.items():
        if known.md5 == md5 or (known.root and any(path.startswith(known.root) for path in paths)):
            return name
    raise SentimentalError(
        f"{archive}: MD5 {md5}, not a known archive of {' or '.join(ARCHIVES)}; download it "
        "again if it was cut short, or unpack it yourself: preprocess.py reads any folder"
    )


def read_recordings(name, archive):
    """Yield path, from the corpus' folder on, and content of each recording in an archive.

    One that would write out of its folder, or more than the corpus has, is refused before.
    """
    root, expected, harm = ARCHIVES[name].root, ARCHIVES[name].megabytes, ""
    try:
        with zipfile.ZipFile(archive) as content:
            members = [info for info in content.infolist() if info.filename.startswith(root)]
            infos = {m.filename.removeprefix(root): m for m in members if is_recording(m.filename)}
            if (megabytes := sum(info.file_size for info in infos.values()) / 1e6) > 1.1 * expected:
                harm = f"would become {megabytes:.0f} MB instead of {expected}"
            for path in infos:
                is_inside = (ROOT / path).resolve().is_relative_to(ROOT)
                if not is_inside or path.count("/") > MOST_FOLDERS:
                    harm = f"holds the path {path[:80]}, which leads out of the folder or too deep"
            if harm:
                raise SentimentalError(f"{archive}: {harm}; nothing was unpacked, do not trust it")
            for path, info in tqdm(infos.items(), "Unpacking", unit=" files", disable=None):
                yield path, content.read(info)
    except SentimentalError:
        raise
    except Exception as error:  # zipfile, and what unpacks for it, raise a dozen kinds
        raise SentimentalError(
            f"{archive}: damaged, encrypted or packed in an unknown way ({error}); delete it and "
            "download it again"
        ) from None


def unpack(name, archive, folder, work):
    """Put the recordings of an archive into a new folder, all or none; `work` is for the rest."""
    known, fetched, unpacked = ARCHIVES[name], work / "fetched", work / "unpacked"
    hashes, pointers = {}, {}  # of each path, the SHA-256; pointers stand for a recording
    shutil.rmtree(unpacked, ignore_errors=True)  # of a run that was killed
    try:
        for path, content in read_recordings(name, archive):
            (unpacked / path).parent.mkdir(parents=True, exist_ok=True)
            if pointer := POINTER.fullmatch(content):
                hashes[path] = pointers[path] = pointer[1].decode()
            else:
                (unpacked / path).write_bytes(content)
                hashes[path] = hashlib.sha256(content).hexdigest()
        listing = "".join(f"{hashes[path]}  {path}\n" for path in sorted(hashes))
        if known.sha256 and hashlib.sha256(listing.encode()).hexdigest() != known.sha256:
            raise SentimentalError(
                f"{archive}: its {len(hashes)} recordings are not those that {name} was published "
                f"with; delete it and run this again, or get the corpus from {known.page}"
            )
        fetch_recordings(name, pointers, fetched)
        for path in pointers:
            (fetched / path).replace(unpacked / path)
        unpacked.rename(folder)
    finally:
        shutil.rmtree(unpacked, ignore_errors=True)


def provide(name, folder, archive):
    """Unpack a corpus into `folder` if it is not there; download it unless `archive` is given."""
    if not folder.exists():
        work = folder.with_name(f".{name}.partial")
        work.mkdir(exist_ok=True)
        try:
            unpack(name, archive or fetch_archive(name, work), folder, work)
            shutil.rmtree(work)
        finally:
            with contextlib.suppress(OSError):  # what is in there is for the next run
                work.rmdir()
    n_files = sum(is_recording(str(path)) for path in folder.rglob("*"))
    expected = ARCHIVES[name].n_files
    if n_files < expected:  # no work of `unpack`, so the user's own: hands off
        raise SentimentalError(
            f"{folder}: holds {n_files} WAV files, {name} has {expected}; move this folder away "
            "or delete it, then run this again"
        )
    print(f"{name}: {n_files} files in {folder}")


def relative(path):
    """A path as seen from the current folder, when it lies in there."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def next_command(corpora, folder):
    """The command that makes features of corpora (list of Path), as any shell understands it."""
    command = ["python", relative(ROOT / "preprocess.py").as_posix()]
    if folder.as_posix() != "data":  # where preprocess.py looks by itself
        command += [path.as_posix() for path in corpora]
        command += ["--output", (folder / "features.json").as_posix()]
    return shlex.join(command)


def read_arguments(argv):
    """Read the command line; what does not fit ends the script with a line."""
    known = {name.lower(): name for name in ARCHIVES}
    sizes = ", ".join(f"{name} {archive.megabytes}" for name, archive in ARCHIVES.items())
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    what = f"with megabytes of recordings, beside which the archive needs room: {sizes}"
    to_name = {"type": lambda name: known.get(name.lower(), name), "metavar": "CORPUS"}
    add("corpora", nargs="*", help=f"{what} (default: all of them)", **to_name)
    where = {"type": Path, "default": relative(ROOT / "data")}
    add("--folder", help="where to put them (default: data)", **where)
    several = {"type": Path, "nargs": "+", "action": "extend", "metavar": "FILE"}
    add("--archive", help="unpack these, download nothing", **several)
    arguments = parser.parse_args(argv)
    if unknown := ", ".join(sorted({*arguments.corpora} - {*ARCHIVES})):
        parser.error(f"unknown corpus {unknown}; choose from {', '.join(ARCHIVES)}")
    if arguments.archive and arguments.corpora:
        parser.error("--archive tells by itself which corpus it is; leave the names out")
    return arguments


@interruptible()
def main(argv=None):
    """Provide one corpus after the other."""
    arguments = read_arguments(argv)
    folder, failed = arguments.folder, False
    folder.mkdir(parents=True, exist_ok=True)
    jobs = [("", archive) for archive in arguments.archive or ()]
    jobs = jobs or [(name, None) for name in arguments.corpora or ARCHIVES]
    if missing := [name for name, _ in jobs if name and not (folder / name).exists()]:
        gigabytes = sum(ARCHIVES[name].megabytes for name in missing) / 1000
        print(f"To fetch: {', '.join(missing)}; {gigabytes:.1f} GB of recordings")
    for name, archive in jobs:
        try:
            name = name or recognize(archive)
            provide(name, folder / name, archive)
        except SentimentalError as error:  # another corpus may still be had
            print(f"error: {error}", file=sys.stderr)
            failed = True
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            raise SentimentalError(
                f"{folder}: the disk is full ({name}'s recordings take "
                f"{ARCHIVES[name].megabytes} MB, and its archive needs room beside them); free "
                "some, or choose another place with --folder, and run this again"
            ) from None
    if failed:
        return 1
    print("Next:", next_command([folder / n for n in ARCHIVES if (folder / n).is_dir()], folder))
    return 0


if __name__ == "__main__":
    sys.exit(run_script(main))
