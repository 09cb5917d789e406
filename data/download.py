"""Fetch the TESS and RAVDESS (speech) recordings and unpack them.

    python data/download.py                        both, into data/TESS and data/RAVDESS
    python data/download.py RAVDESS                one of them
    python data/download.py --folder /big/disk     into another folder
    python data/download.py --archive ~/Downloads/Audio_Speech_Actors_01-24.zip
                                                   from an archive that you have already

Every archive is checked by its MD5, and a corpus appears in its folder whole or not at all. Run
the same command again after an interruption: the download goes on where it stopped (where the
server sends parts of files; else it starts again), and a corpus that is there already is left
alone. Both licences are non-commercial; see data/README.md.
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

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from sentimental import SentimentalError  # noqa: E402

CORPORA = {
    "TESS": {
        "url": "https://bj.bcebos.com/paddleaudio/datasets/TESS_Toronto_emotional_speech_set.zip",
        "md5": "1465311b24d1de704c4c63e4ccc470c7",
        "files": 2800,  # at least: a mirror may hold each file twice
        "page": "https://doi.org/10.5683/SP2/E8H2MF",
    },
    "RAVDESS": {
        "url": "https://zenodo.org/records/1188976/files/Audio_Speech_Actors_01-24.zip",
        "md5": "bc696df654c87fed845eb13823edef8a",
        "files": 1440,
        "page": "https://doi.org/10.5281/zenodo.1188976",
    },
}
ROOT = Path(__file__).resolve().parent.parent


def recordings(names):
    """Those of some file names that are recordings; a Mac's archives hold ``._x.wav`` as well."""
    return [n for n in names if n.lower().endswith(".wav") and not Path(n).name.startswith("._")]


def count_recordings(folder):
    """The number of WAV files in a folder, at any depth."""
    return len(recordings(str(path) for path in folder.rglob("*")))


def download(name, archive):
    """Download the archive of a corpus, or what is missing of it, and check its MD5.

    Parameters
    ----------
    name : str, a key of ``CORPORA``
    archive : Path
        Where to write; what an earlier run left there is taken for the archive's beginning.

    Raises
    ------
    SentimentalError
        When the server cannot be reached or stops (what came so far stays for the next run), or
        the MD5 is wrong (the file is deleted).
    """
    url, md5 = CORPORA[name]["url"], CORPORA[name]["md5"]
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
            chunk_size=1 << 16,  # bytes; pooch's 1 KiB would cost 200,000 writes
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
            f"this again, and if it stays so, get the corpus from {CORPORA[name]['page']}"
        )


def recognise(archive):
    """The name of the corpus that an archive holds, told by its MD5.

    Raises
    ------
    SentimentalError
        When the file is missing, or none of those in ``CORPORA``.
    """
    if not archive.is_file():
        raise SentimentalError(f"{archive}: no such file")
    found = pooch.file_hash(archive, "md5")
    for name, corpus in CORPORA.items():
        if corpus["md5"] == found:
            return name
    raise SentimentalError(
        f"{archive}: MD5 {found}, not a known archive of {' or '.join(CORPORA)}; download it "
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
            names = recordings(content.namelist())
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
    """Unpack a corpus into `folder` if it is not there; download it unless `archive` is given."""
    expected = CORPORA[name]["files"]
    if not folder.exists():
        if archive:
            unpack(archive, folder)
        else:
            downloaded = folder.with_name(f".{name}.partial.zip")
            download(name, downloaded)
            unpack(downloaded, folder)
            downloaded.unlink()
    n_files = count_recordings(folder)
    if n_files < expected:  # no work of `unpack`, so the user's own: hands off
        raise SentimentalError(
            f"{folder}: holds {n_files} WAV files, {name} has {expected}; move this folder away "
            "or delete it, then run this again"
        )
    print(f"{name}: {n_files} files in {folder}")


def relative(path):
    """A path as seen from the current folder, when it lies in there."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def main(argv=None):
    """Run the script; returns its exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "corpora", nargs="*", type=str.upper, metavar="CORPUS", help="TESS, RAVDESS (default: both)"
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
    args = parser.parse_args(argv)
    if unknown := {*args.corpora} - {*CORPORA}:
        parser.error(
            f"unknown corpus {', '.join(sorted(unknown))}; choose from {', '.join(CORPORA)}"
        )
    if args.archive and args.corpora:
        parser.error("--archive tells by itself which corpus it is; leave the names out")
    folder = args.folder or relative(ROOT / "data")

    failed = False
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for item in args.archive or args.corpora or CORPORA:
            try:
                archive = item if args.archive else None
                name = recognise(archive) if archive else item
                provide(name, folder / name, archive)
            except SentimentalError as error:  # the other corpus may still be had
                print(error, file=sys.stderr)
                failed = True
    except KeyboardInterrupt:
        print("interrupted; run this again to go on", file=sys.stderr)
        return 130
    except OSError as error:
        message = f"{error.filename or folder}: {error.strerror or error}"
        if error.errno == errno.ENOSPC:
            message = (
                f"{folder}: the disk is full (both corpora take up to 1.5 GB on the way); free "
                "some, or choose another place with --folder, and run this again"
            )
        print(message, file=sys.stderr)
        return 1
    if failed:
        return 1
    present = [str(folder / name) for name in CORPORA if (folder / name).is_dir()]
    command = ["python", str(relative(ROOT / "preprocess.py")), *present, "--output"]
    print(f"Next: {shlex.join([*command, str(folder / 'features.json')])}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
