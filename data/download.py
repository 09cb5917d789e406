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
from sentimental.scripts import (
    SentimentalError,
    end_at_once,
    interruptible,
    on_end_signals,
    run_script,
)

if __name__ == "__main__":
    on_end_signals(end_at_once)  # before the imports that take seconds

import argparse
import errno
import hashlib
import re
import shlex
import shutil
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor

import pooch
import requests
from tqdm import tqdm

from sentimental.corpora import CORPORA

# What can be had here, by corpus.
ARCHIVES = {name: corpus.archive for name, corpus in CORPORA.items() if corpus.archive}
# Bytes that are written at once; pooch's 1 KiB would cost 200,000 writes.
CHUNK_SIZE = 1 << 16
N_THREADS = 8  # that fetch single recordings
# What a repository holds in place of a file that it keeps in Git LFS.
POINTER = re.compile(rb"version https://git-lfs\S+\noid sha256:([0-9a-f]{64})\nsize \d+\n")
pooch.get_logger().setLevel("ERROR")  # else it writes a line for every file


def is_recording(path):
    """Whether a path (str) is a recording's; a Mac's archives hold ``._x.wav`` as well."""
    return path.lower().endswith(".wav") and not Path(path).name.startswith("._")


def cannot_download(name, url, error, advice):
    """Make one line of what `requests` raised."""
    reason = type(error).__name__
    if error.response is not None:
        reason = f"HTTP {error.response.status_code} {error.response.reason}"
    return SentimentalError(
        f"{name}: cannot download {url} ({reason}); check the network and run this again, {advice}"
    )


def download(name, archive):
    """Download the archive of a corpus, or what is missing of it, and check its MD5 if it has one.

    Parameters
    ----------
    name : str, a key of ``ARCHIVES``
    archive : Path
        Where to write; what an earlier run left there is taken for the archive's beginning, if it
        has an MD5. If not, its bytes may be others today.

    Raises
    ------
    SentimentalError
        When the server cannot be reached or stops (what came so far stays for the next run), or
        the MD5 is wrong (the file is deleted).
    """
    url, md5 = ARCHIVES[name].url, ARCHIVES[name].md5
    # A ZIP archive ends with its list of files, so half of one is none.
    if zipfile.is_zipfile(archive) and (not md5 or pooch.file_hash(archive, "md5") == md5):
        return  # an earlier run was stopped between the download and the end
    with (
        open(archive, "ab" if md5 else "wb") as stream,
        # pooch sets the total; until then it must not be unknown, or the bar has no truth value
        tqdm(desc=name, total=1, unit="B", unit_scale=True, disable=None) as progress,
    ):

        def drop_unusable_beginning(response, **_):
            # 200 brings the whole file, and 416 says that there is more here than there.
            if response.status_code in (200, 416):
                stream.truncate(0)

        fetch = pooch.HTTPDownloader(
            progressbar=progress,
            chunk_size=CHUNK_SIZE,
            headers={"Range": f"bytes={stream.tell()}-", "Accept-Encoding": "identity"},
            hooks={"response": drop_unusable_beginning},
        )
        try:
            fetch(url, stream, None)
        except requests.RequestException as error:
            advice = "or fetch the address with a browser and pass the file with --archive"
            raise cannot_download(name, url, error, advice) from None
    if md5 and (found := pooch.file_hash(archive, "md5")) != md5:
        archive.unlink()
        raise SentimentalError(
            f"{name}: what {url} sent has the MD5 {found} instead of {md5} and was deleted; run "
            f"this again, and if it stays so, get the corpus from {ARCHIVES[name].page}"
        )


def recognize(archive):
    """The name of the corpus that an archive holds, told by its MD5 or the folder in it.

    Raises
    ------
    SentimentalError
        When the file is missing, or none of those in ``ARCHIVES``.
    """
    if not archive.is_file():
        raise SentimentalError(f"{archive}: no such file; check the name")
    md5, paths = pooch.file_hash(archive, "md5"), []
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as content:
            paths = content.namelist()
    for name, known in ARCHIVES.items():
        if known.md5 == md5 or (known.root and any(path.startswith(known.root) for path in paths)):
            return name
    raise SentimentalError(
        f"{archive}: MD5 {md5}, not a known archive of {' or '.join(ARCHIVES)}; download it "
        "again if it was cut short, or unpack it yourself: preprocess.py reads any folder"
    )


def extract(archive, root, folder):
    """Extract the recordings of an archive whose names begin with `root`, which is left out.

    Raises
    ------
    SentimentalError
        When the archive is damaged, or holds a path that leads out of the folder.
    """
    try:
        with zipfile.ZipFile(archive) as content:
            members = [m for m in content.infolist() if m.filename.startswith(root)]
            members = [m for m in members if is_recording(m.filename)]
            for member in members:
                member.filename = member.filename.removeprefix(root)
                if not (folder / member.filename).resolve().is_relative_to(folder.resolve()):
                    raise SentimentalError(
                        f"{archive}: holds the path {member.filename}, which leads out of the "
                        "folder; nothing was unpacked, do not trust this archive"
                    )
            for member in tqdm(members, "Unpacking", unit=" files", disable=None):
                content.extract(member, folder)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise SentimentalError(
            f"{archive}: damaged ({error}); delete it and download it again"
        ) from None


def check_recordings(name, archive, folder):
    """Check that the recordings of an archive, which lie in a folder now, are the published ones.

    Returns
    -------
    pointers : dict of path to SHA-256, of the files that stand for a recording in Git LFS

    Raises
    ------
    SentimentalError
        When a recording is missing or differs.
    """
    hashes, pointers = {}, {}
    for file in (file for file in folder.rglob("*") if file.is_file()):
        path, content = file.relative_to(folder).as_posix(), file.read_bytes()
        if pointer := POINTER.fullmatch(content):
            pointers[path] = pointer[1].decode()
        hashes[path] = pointers.get(path) or hashlib.sha256(content).hexdigest()
    listing = "".join(f"{hashes[path]}  {path}\n" for path in sorted(hashes))
    if hashlib.sha256(listing.encode()).hexdigest() != ARCHIVES[name].sha256:
        raise SentimentalError(
            f"{archive}: its {len(hashes)} recordings are not those that {name} was published "
            f"with; delete it and run this again, or get the corpus from {ARCHIVES[name].page}"
        )
    return pointers


def fetch_recordings(name, pointers, folder):
    """Fetch recordings from Git LFS, as far as they are not in `folder` since an earlier run.

    Raises
    ------
    SentimentalError
        When one cannot be fetched, or has another SHA-256; those that came stay.
    """
    source = pooch.create(
        path=folder,
        base_url=ARCHIVES[name].media,
        registry={path: f"sha256:{sha256}" for path, sha256 in pointers.items()},
        retry_if_failed=2,
    )

    def fetch(path):
        url = source.get_url(path)
        try:
            source.fetch(path, downloader=pooch.HTTPDownloader(chunk_size=CHUNK_SIZE))
        except requests.RequestException as error:
            raise cannot_download(name, url, error, "what came so far is kept") from None
        except ValueError:
            raise SentimentalError(
                f"{name}: what {url} sent has not the SHA-256 {pointers[path]}; run this again, "
                f"and if it stays so, get the corpus from {ARCHIVES[name].page}"
            ) from None

    pool = ThreadPoolExecutor(N_THREADS)
    try:
        fetched = pool.map(fetch, pointers)
        # A list, because going through it raises what a thread raised.
        list(tqdm(fetched, f"{name}, fetching", len(pointers), unit=" files", disable=None))
    finally:
        pool.shutdown(cancel_futures=True)


def unpack(name, archive, folder):
    """Put the recordings of an archive into a new folder, all of them or none.

    Raises
    ------
    SentimentalError
        As `extract`, `check_recordings` and `fetch_recordings` do.
    """
    partial, fetched = (folder.with_name(f".{name}.{what}") for what in ("partial", "fetched"))
    shutil.rmtree(partial, ignore_errors=True)  # of a run that was killed
    partial.mkdir()
    try:
        extract(archive, ARCHIVES[name].root, partial)
        if ARCHIVES[name].sha256:
            if pointers := check_recordings(name, archive, partial):
                fetch_recordings(name, pointers, fetched)
            for path in pointers:
                (fetched / path).replace(partial / path)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    shutil.rmtree(fetched, ignore_errors=True)


def provide(name, folder, archive):
    """Unpack a corpus into `folder` if it is not there; download it unless `archive` is given.

    Raises
    ------
    SentimentalError
        As `download` and `unpack` do, or when `folder` holds less than the corpus.
    """
    if not folder.exists():
        downloaded = folder.with_name(f".{name}.partial.zip")
        if not archive:
            download(name, downloaded)
        unpack(name, archive or downloaded, folder)
        downloaded.unlink(missing_ok=True)
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
    command += [path.as_posix() for path in corpora]
    return shlex.join([*command, "--output", (folder / "features.json").as_posix()])


@interruptible()
def main(argv=None):
    """Read the command line and provide one corpus after the other."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "corpora",
        nargs="*",
        type=lambda name: {known.lower(): known for known in ARCHIVES}.get(name.lower(), name),
        metavar="CORPUS",
        help="with megabytes of recordings, beside which the archive needs room: "
        + ", ".join(f"{name} {known.megabytes}" for name, known in ARCHIVES.items())
        + " (default: all of them)",
    )
    parser.add_argument("--folder", type=Path, help="where to put them (default: data)")
    parser.add_argument(
        "--archive",
        type=Path,
        nargs="+",
        action="extend",
        metavar="FILE",
        help="unpack these, download nothing",
    )
    arguments = parser.parse_args(argv)
    if unknown := {*arguments.corpora} - {*ARCHIVES}:
        parser.error(
            f"unknown corpus {', '.join(sorted(unknown))}; choose from {', '.join(ARCHIVES)}"
        )
    if arguments.archive and arguments.corpora:
        parser.error("--archive tells by itself which corpus it is; leave the names out")
    folder = arguments.folder or relative(ROOT / "data")

    failed = False
    folder.mkdir(parents=True, exist_ok=True)
    corpora = [] if arguments.archive else arguments.corpora or [*ARCHIVES]
    if missing := [name for name in corpora if not (folder / name).exists()]:
        gigabytes = sum(ARCHIVES[name].megabytes for name in missing) / 1000
        print(f"To fetch: {', '.join(missing)}; {gigabytes:.1f} GB of recordings")
    for item in arguments.archive or corpora:
        try:
            archive = item if arguments.archive else None
            name = recognize(archive) if archive else item
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
    present = [folder / name for name in ARCHIVES if (folder / name).is_dir()]
    print(f"Next: {next_command(present, folder)}")
    return 0


if __name__ == "__main__":
    sys.exit(run_script(main))
