"""Fetch the TESS and RAVDESS (speech) recordings and unpack them.

    python data/download.py                        both, into data/TESS and data/RAVDESS
    python data/download.py RAVDESS                one of them
    python data/download.py --folder /big/disk     into another folder
    python data/download.py --archive ~/Downloads/Audio_Speech_Actors_01-24.zip
                                                   from an archive that you have already

Every archive is checked by its MD5, and a corpus appears in its folder whole or not at all. Run
the same command again after an interruption: the download goes on where it stopped (where the
server sends parts of files; else it starts again), and a corpus that is there already is left
alone. Both licenses are non-commercial; see data/README.md.
"""

import argparse
import errno
import shlex
import shutil
import sys
import zipfile
import zlib
from pathlib import Path

import pooch
import requests
from tqdm import tqdm

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from sentimental.base import SentimentalError, run_script  # noqa: E402
from sentimental.corpora import CORPORA  # noqa: E402

# What can be had here, by corpus.
ARCHIVES = {name: corpus.archive for name, corpus in CORPORA.items() if corpus.archive}
# Bytes that are written at once; pooch's 1 KiB would cost 200,000 writes.
CHUNK_SIZE = 1 << 16


def select_recordings(names):
    """Those of some file names that are recordings; a Mac's archives hold ``._x.wav`` as well."""
    return [n for n in names if n.lower().endswith(".wav") and not Path(n).name.startswith("._")]


def download(name, archive):
    """Download the archive of a corpus, or what is missing of it, and check its MD5.

    Parameters
    ----------
    name : str, a key of ``ARCHIVES``
    archive : Path
        Where to write; what an earlier run left there is taken for the archive's beginning.

    Raises
    ------
    SentimentalError
        When the server cannot be reached or stops (what came so far stays for the next run), or
        the MD5 is wrong (the file is deleted).
    """
    url, md5 = ARCHIVES[name].url, ARCHIVES[name].md5
    if archive.exists() and pooch.file_hash(archive, "md5") == md5:
        return  # an earlier run was stopped between the download and the unpacking
    with (
        open(archive, "ab") as stream,
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
            reason = type(error).__name__
            if error.response is not None:
                reason = f"HTTP {error.response.status_code} {error.response.reason}"
            raise SentimentalError(
                f"{name}: cannot download {url} ({reason}); check the network and run this "
                "again, or fetch the address with a browser and pass the file with --archive"
            ) from None
    found = pooch.file_hash(archive, "md5")
    if found != md5:
        archive.unlink()
        raise SentimentalError(
            f"{name}: what {url} sent has the MD5 {found} instead of {md5} and was deleted; run "
            f"this again, and if it stays so, get the corpus from {ARCHIVES[name].page}"
        )


def recognize(archive):
    """The name of the corpus that an archive holds, told by its MD5.

    Raises
    ------
    SentimentalError
        When the file is missing, or none of those in ``ARCHIVES``.
    """
    if not archive.is_file():
        raise SentimentalError(f"{archive}: no such file; check the name")
    found = pooch.file_hash(archive, "md5")
    for name, known in ARCHIVES.items():
        if known.md5 == found:
            return name
    raise SentimentalError(
        f"{archive}: MD5 {found}, not a known archive of {' or '.join(ARCHIVES)}; download it "
        "again if it was cut short, or unpack it yourself: preprocess.py reads any folder"
    )


def unpack(archive, folder):
    """Unpack the recordings of an archive into a new folder, all of them or none.

    Raises
    ------
    SentimentalError
        When the archive is damaged, or holds a path that leads out of the folder.
    """
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)  # of a run that was killed
    partial.mkdir()
    try:
        with zipfile.ZipFile(archive) as content:
            names = select_recordings(content.namelist())
            for name in names:
                if not (partial / name).resolve().is_relative_to(partial.resolve()):
                    raise SentimentalError(
                        f"{archive}: holds the path {name}, which leads out of the folder; "
                        "nothing was unpacked, do not trust this archive"
                    )
            for name in tqdm(names, f"{folder.name}, unpacking", unit=" files", disable=None):
                content.extract(name, partial)
        partial.rename(folder)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise SentimentalError(
            f"{archive}: damaged ({error}); delete it and download it again"
        ) from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def provide(name, folder, archive):
    """Unpack a corpus into `folder` if it is not there; download it unless `archive` is given.

    Raises
    ------
    SentimentalError
        As `download` and `unpack` do, or when `folder` holds less than the corpus.
    """
    if not folder.exists():
        if archive:
            unpack(archive, folder)
        else:
            downloaded = folder.with_name(f".{name}.partial.zip")
            download(name, downloaded)
            unpack(downloaded, folder)
            downloaded.unlink()
    n_files = len(select_recordings(str(path) for path in folder.rglob("*")))
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


def main(argv=None):
    """Read the command line and provide one corpus after the other."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "corpora",
        nargs="*",
        type=str.upper,
        metavar="CORPUS",
        help=f"{', '.join(ARCHIVES)} (default: all of them)",
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
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for item in arguments.archive or arguments.corpora or ARCHIVES:
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
            f"{folder}: the disk is full (both corpora take up to 1.5 GB on the way); free "
            "some, or choose another place with --folder, and run this again"
        ) from None
    if failed:
        return 1
    present = [folder / name for name in ARCHIVES if (folder / name).is_dir()]
    print(f"Next: {next_command(present, folder)}")
    return 0


if __name__ == "__main__":
    sys.exit(run_script(main))
