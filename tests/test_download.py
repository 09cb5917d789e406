"""The downloader, against a server on this machine that serves small archives."""

import errno
import hashlib
import http.server
import io
import os
import random
import re
import signal
import threading
import time
import zipfile
from dataclasses import replace
from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest
import requests
from scripts import ROOT

from data import download
from sentimental.corpora import Archive
from sentimental.scripts import run_script

N_FILES = 6
N_SINGLE_FILES = 20  # more than are fetched at a time


def make_zip(files, method=zipfile.ZIP_DEFLATED):
    """An archive in memory, of a dict of names and contents."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return content.getvalue()


def make_recordings(names, seed=0):
    """Names and contents, which do not compress, so that an archive's size is known roughly."""
    rng = random.Random(seed)
    return {name: rng.randbytes(50_000) for name in names}


def make_repository(top, recordings):
    """The archive of a repository: recordings in a folder of it, and what must be left there."""
    others = make_recordings(["README.md", "old.zip", "augmented/EB0_fear_1.wav", "anger.wav"])
    others["old.zip"] = make_zip(make_recordings(["EB0_anger_9.wav"]))
    files = {f"samples/{name}": content for name, content in recordings.items()} | others
    return make_zip({f"{top}/{name}": content for name, content in files.items()})


def make_pointer(content):
    """What a repository holds in place of a file that it keeps in Git LFS."""
    return (
        "version https://git-lfs.github.com/spec/v1\n"
        f"oid sha256:{hashlib.sha256(content).hexdigest()}\nsize {len(content)}\n"
    ).encode()


# What the folder of each corpus must hold.
RECORDINGS = {
    "TESS": make_recordings([f"TESS set/OAF_sad/OAF_{i}_sad.WAV" for i in range(N_FILES)], 1),
    "RAVDESS": make_recordings([f"Actor_01/03-01-0{i}-01.wav" for i in range(N_FILES)], 2),
    "nEMO": make_recordings([f"EB0/EB0_anger_{i}.wav" for i in range(N_FILES)], 3),
    "CREMA-D": make_recordings([f"{1000 + i}_DFA_ANG_XX.wav" for i in range(N_SINGLE_FILES)], 4),
}
NO_RECORDINGS = make_recordings(["__MACOSX/._OAF_0_sad.wav", "TESS set/.DS_Store", "viewer.exe"])
ARCHIVES = {
    "TESS": make_zip(RECORDINGS["TESS"] | NO_RECORDINGS),
    "RAVDESS": make_zip(RECORDINGS["RAVDESS"]),
    "nEMO": make_repository("nEMO-c0ffee", RECORDINGS["nEMO"]),
    "CREMA-D": make_repository(
        "CREMA-D-decade",
        {name: make_pointer(content) for name, content in RECORDINGS["CREMA-D"].items()},
    ),
}
SINGLE_FILES = {f"/media/{name}": content for name, content in RECORDINGS["CREMA-D"].items()}


def sha256_of(recordings):
    """What `sha256sum FILE ... | sha256sum` prints."""
    lines = [f"{hashlib.sha256(recordings[name]).hexdigest()}  {name}\n" for name in recordings]
    return hashlib.sha256("".join(sorted(lines, key=lambda line: line[66:])).encode()).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    """Serves ``files``; can ignore ranges, and can stall or hang up in the middle of a file."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = {f"/{name}.zip": content for name, content in ARCHIVES.items()}
        self.files |= SINGLE_FILES
        self.ranges = True
        self.in_the_middle = None  # what to do there
        self.first_bytes = []  # where each answer that sent an archive began
        self.single_files = []  # the addresses of the others

    def url(self, name):
        return f"http://127.0.0.1:{self.server_address[1]}/{name}"

    def handle_error(self, request, client_address):
        """Print nothing: a client that leaves in the middle is what some tests want."""


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        content, first = self.server.files.get(self.path), 0
        if isinstance(content, list):  # one answer after the other
            content = content.pop(0)
        if content is None:
            self.send_error(404)
            return
        if self.server.ranges and "Range" in self.headers:
            first = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
        if self.path in SINGLE_FILES:
            self.server.single_files.append(self.path)
        else:
            self.server.first_bytes.append(first)
        if first >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if first else 200)
        self.send_header("Content-Length", str(len(content) - first))
        self.end_headers()
        half = (first + len(content)) // 2
        self.wfile.write(content[first:half])
        if self.server.in_the_middle and self.server.in_the_middle() == "hang up":
            return
        self.wfile.write(content[half:])

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    for variable in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(variable, "127.0.0.1")
    server = Server()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    known = {}
    for name in ARCHIVES:
        address, page = server.url(f"{name}.zip"), "https://example.org"
        known[name] = Archive(address, len(RECORDINGS[name]), megabytes=1, page=page)
    monkeypatch.setattr(download, "ARCHIVES", known)
    for name in ("TESS", "RAVDESS"):
        change(name, md5=hashlib.md5(ARCHIVES[name]).hexdigest())
    for name, commit in (("nEMO", "c0ffee"), ("CREMA-D", "decade")):
        sha256, media = sha256_of(RECORDINGS[name]), server.url("media/")
        change(name, root=f"{name}-{commit}/samples/", sha256=sha256, media=media)
    monkeypatch.setattr("pooch.core.time.sleep", lambda seconds: None)  # try again at once
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def change(name, **changes):
    """Change what the script knows of a corpus; only while ``server`` stands in for the real."""
    download.ARCHIVES[name] = replace(download.ARCHIVES[name], **changes)


def content_of(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def expected_content(*names):
    """What the folder must hold when these corpora, and nothing else, were unpacked into it."""
    return {
        f"{name}/{path}": content for name in names for path, content in RECORDINGS[name].items()
    }


def run(folder, *arguments):
    return run_script(lambda: download.main(["--folder", str(folder), *map(str, arguments)]))


def only_line(capsys):
    """The only line of stderr, without "error: "."""
    (line,) = capsys.readouterr().err.strip().splitlines()
    return line.removeprefix("error: ")


def error_of(capsys, *arguments):
    """The line with which a run ends that fails."""
    assert run(*arguments) == 1
    return only_line(capsys)


def assert_provided(folder, name):
    """Run it for one corpus, which then is there, and nothing else."""
    assert run(folder, name) == 0
    (name,) = [known for known in ARCHIVES if known.lower() == name.lower()]
    assert content_of(folder) == expected_content(name)
    assert [path.name for path in folder.iterdir()] == [name]


@pytest.mark.parametrize("archive", download.ARCHIVES.values(), ids=download.ARCHIVES)
def test_what_is_downloaded_can_be_checked(archive):
    assert bool(re.fullmatch("[0-9a-f]{32}", archive.md5)) != bool(
        re.fullmatch("[0-9a-f]{64}", archive.sha256)
    )
    if archive.sha256:  # a fixed commit, in the archive's address as in that of single files
        commit = re.search("[0-9a-f]{40}", archive.url)[0]
        assert commit in archive.root
        assert commit in archive.media
        assert archive.root.endswith("/")
        assert archive.media.endswith("/")


def test_all_corpora_then_nothing_left_to_do(server, tmp_path, capsys):
    folder = tmp_path / "new" / "data"
    assert run(folder) == 0
    assert content_of(folder) == expected_content(*ARCHIVES)
    captured = capsys.readouterr()
    assert captured.err == ""
    assert captured.out.splitlines() == [
        "To fetch: TESS, RAVDESS, nEMO, CREMA-D; 0.0 GB of recordings",
        *(f"{name}: {len(RECORDINGS[name])} files in {folder / name}" for name in ARCHIVES),
        f"Next: {download.next_command([folder / name for name in ARCHIVES], folder)}",
    ]
    written = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    server.first_bytes.clear()
    server.single_files.clear()
    assert run(folder) == 0
    assert server.first_bytes == server.single_files == []
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == written
    assert "To fetch" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("folder", "arguments"),
    [
        (PurePosixPath("data"), ""),
        (PureWindowsPath("my data"), " 'my data/TESS' --output 'my data/features.json'"),
    ],
)
def test_the_next_command_is_one_for_any_shell(monkeypatch, folder, arguments):
    monkeypatch.chdir(ROOT)
    command = download.next_command([folder / "TESS"], folder)
    assert command == f"python preprocess.py{arguments}"


@pytest.mark.parametrize("ranges", [True, False])
def test_broken_connection_then_the_rest_only(server, tmp_path, capsys, ranges):
    server.ranges = ranges
    server.in_the_middle = lambda: "hang up"
    assert "cannot download" in error_of(capsys, tmp_path, "TESS")
    assert not (tmp_path / "TESS").exists()
    server.first_bytes.clear()
    server.in_the_middle = None
    assert_provided(tmp_path, "TESS")
    assert (server.first_bytes[0] > 0) == ranges


@pytest.mark.parametrize("name", ["TESS", "nEMO"])
def test_a_connection_that_breaks_once_costs_nothing(server, tmp_path, name):
    breaks = ["hang up"]
    server.in_the_middle = lambda: breaks and breaks.pop()
    assert_provided(tmp_path, name.swapcase())
    first, second = server.first_bytes
    assert first == 0
    assert (second > 0) == (name == "TESS")  # an archive without MD5 may be another today


@pytest.mark.parametrize(
    ("name", "file", "more", "n_downloads"),
    [("TESS", "beginning", b"too much", 2), ("nEMO", "archive.zip", b"", 0)],
)
def test_what_is_whole_is_used_and_what_is_too_much_is_dropped(
    server, tmp_path, name, file, more, n_downloads
):
    (tmp_path / f".{name}.partial").mkdir()
    (tmp_path / f".{name}.partial" / file).write_bytes(ARCHIVES[name] + more)
    assert_provided(tmp_path, name)
    assert len(server.first_bytes) == n_downloads


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT to send to one process")
@pytest.mark.parametrize("name", ["TESS", "CREMA-D"])
def test_ctrl_c_then_the_rest_only(server, tmp_path, capsys, name):
    beginning = tmp_path / ".TESS.partial" / "beginning"

    def press():
        while name == "TESS" and not beginning.stat().st_size:
            time.sleep(0.01)
        if name == "TESS" or len(server.single_files) > 8:
            server.in_the_middle = None
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    server.in_the_middle = press
    assert run(tmp_path, name) == 130
    assert only_line(capsys) == "stopped"
    assert not (tmp_path / name).exists()
    n_fetched = len(server.single_files)
    assert_provided(tmp_path, name)
    if name == "TESS":
        assert server.first_bytes[-1] > 0
    else:
        assert n_fetched < N_SINGLE_FILES
        assert server.first_bytes == [0]


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (KeyboardInterrupt(), 130, "stopped"),
        (OSError(errno.ENOSPC, ""), 1, "the disk is full (TESS's recordings take 531 MB"),
    ],
)
def test_unpacking_that_ends_early_leaves_nothing_half(
    server, tmp_path, capsys, monkeypatch, error, status, words
):
    def write_bytes(path, content, write=Path.write_bytes):
        write(path, content)
        if path.name == "OAF_3_sad.WAV":
            raise error

    change("TESS", megabytes=531)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", write_bytes)
        assert run(tmp_path, "TESS", "nEMO") == status
    assert words in only_line(capsys)
    assert sorted(path.name for path in tmp_path.rglob("*")) == [".TESS.partial", "archive.zip"]
    assert_provided(tmp_path, "TESS")
    assert len(server.first_bytes) == 1  # what was downloaded is not downloaded again


def test_wrong_checksum(server, tmp_path, capsys):
    server.files["/TESS.zip"] = make_zip(make_recordings(["other.wav"]))
    line = error_of(capsys, tmp_path, "TESS")
    assert line.startswith("TESS: ")
    assert download.ARCHIVES["TESS"].md5 in line
    assert hashlib.md5(server.files["/TESS.zip"]).hexdigest() in line
    assert "run this again" in line
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_had_hinders_one_corpus_only(server, tmp_path, capsys):
    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as closed:
        port = closed.server_address[1]
    change("TESS", url=f"http://127.0.0.1:{port}/TESS.zip", megabytes=2040)
    assert run(tmp_path) == 1
    captured = capsys.readouterr()
    assert f"{download.ARCHIVES['TESS'].url} (ConnectionError); check the network" in captured.err
    assert captured.out.startswith("To fetch: TESS, RAVDESS, nEMO, CREMA-D; 2.0 GB of recordings\n")
    assert not (tmp_path / "TESS").exists()
    for name in ("RAVDESS", "nEMO", "CREMA-D"):
        assert content_of(tmp_path / name) == RECORDINGS[name]
    change("TESS", url=server.url("gone.zip"))
    assert "(HTTP 404" in error_of(capsys, tmp_path, "TESS", "nEMO")


@pytest.mark.parametrize("name", ARCHIVES)
def test_an_archive_from_disk_is_told_by_what_it_holds(server, tmp_path, name):
    archive = tmp_path / "some name.zip"
    archive.write_bytes(ARCHIVES[name])
    assert run(tmp_path / "data", "--archive", archive) == 0
    assert content_of(tmp_path / "data") == expected_content(name)
    assert archive.read_bytes() == ARCHIVES[name]
    assert server.first_bytes == []


@pytest.mark.parametrize(
    "content", [None, b"half a file", make_repository("nEMO-0ddba11", RECORDINGS["nEMO"])]
)
def test_an_unknown_archive(server, tmp_path, capsys, content):
    archive = tmp_path / "x.zip"
    if content:
        archive.write_bytes(content)
    line = error_of(capsys, tmp_path / "data", "--archive", archive)
    assert line.startswith(f"{archive}: ")
    assert ("not a known archive" if content else "no such file") in line
    assert list((tmp_path / "data").iterdir()) == []


def damaged(content, method=zipfile.ZIP_DEFLATED):
    """An archive with other bytes in the middle."""
    archive = bytearray(make_zip(content, method))
    archive[len(archive) // 2 : len(archive) // 2 + 9] = bytes(9)
    return bytes(archive)


def with_header(content, offset, value):
    """An archive whose members' headers (both of each) tell something else."""
    archive = make_zip(content)
    for signature, start in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        parts = archive.split(signature)
        at = start + offset - 4
        parts[1:] = [part[:at] + value + part[at + len(value) :] for part in parts[1:]]
        archive = signature.join(parts)
    return archive


def under_root(name, content=b""):
    return {f"TESS set/{name}": content}


TESS = RECORDINGS["TESS"]
HOSTILE = {
    "middle": (damaged(TESS), "damaged"),
    "lzma": (damaged(TESS, zipfile.ZIP_LZMA), "damaged"),
    "bzip2": (damaged(TESS, zipfile.ZIP_BZIP2), "damaged"),
    "end": (ARCHIVES["TESS"][:-1000], "damaged"),
    "encrypted": (with_header(TESS, 0, b"\1\0"), "damaged, encrypted"),
    "method": (with_header(TESS, 2, b"\x63\0"), "packed in an unknown way"),
    "out": (make_zip(under_root("../evil.wav")), "holds the path ../evil.wav"),
    "in and out": (make_zip(under_root("x/../../evil.wav")), "holds the path x/../../evil.wav"),
    "root": (make_zip(under_root("/evil.wav")), "holds the path /evil.wav"),
    "deep": (make_zip(under_root("x/" * 2000 + "evil.wav")), "too deep"),
    "bomb": (make_zip(under_root("a.wav", bytes(4_000_000))), "would become 4 MB"),
}


@pytest.mark.parametrize(("content", "reason"), HOSTILE.values(), ids=HOSTILE)
def test_an_archive_that_is_damaged_or_does_harm(server, tmp_path, capsys, content, reason):
    archive = tmp_path / "x.zip"
    archive.write_bytes(content)
    change("TESS", md5=hashlib.md5(content).hexdigest(), root="TESS set/")
    line = error_of(capsys, tmp_path / "data", "--archive", archive)
    assert line.startswith(f"{archive}: ")
    assert reason in line
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["data", "x.zip"]


def test_a_redirect_from_https_to_http_is_refused(server, tmp_path, capsys, monkeypatch):
    asked = []

    def redirect(_, request, **__):
        asked.append(request.url)
        response = requests.Response()
        response.status_code, response.url, response.request = 302, request.url, request
        response.headers["Location"] = server.url("TESS.zip")
        return response

    monkeypatch.setattr("requests.adapters.HTTPAdapter.send", redirect)
    change("TESS", url="https://example.org/TESS.zip")
    assert error_of(capsys, tmp_path, "TESS").endswith(
        f"leads to {server.url('TESS.zip')}, which is not encrypted"
    )
    assert asked == ["https://example.org/TESS.zip"]


def test_folder_of_the_user_is_left_alone(server, tmp_path, capsys):
    (tmp_path / "TESS").mkdir()
    (tmp_path / "TESS" / "own.wav").write_bytes(b"own")
    line = error_of(capsys, tmp_path, "TESS")
    assert line.startswith(str(tmp_path / "TESS"))
    assert "holds 1 WAV files" in line
    assert content_of(tmp_path) == {"TESS/own.wav": b"own"}


# Archives of repositories


FIRST, *OTHERS = RECORDINGS["nEMO"].items()


@pytest.mark.parametrize(
    "recordings",
    [
        dict(OTHERS),
        dict([(FIRST[0], b"other"), *OTHERS]),
        dict([("EB0/EB0_fear_0.wav", FIRST[1]), *OTHERS]),
        dict([FIRST, *OTHERS, ("EB0/EB0_fear_0.wav", b"more")]),
    ],
    ids=["one missing", "one changed", "one renamed", "one more"],
)
def test_recordings_other_than_the_published(server, tmp_path, capsys, recordings):
    server.files["/nEMO.zip"] = make_repository("nEMO-c0ffee", recordings)
    line = error_of(capsys, tmp_path, "nEMO")
    archive = tmp_path / ".nEMO.partial" / "archive.zip"
    assert line.startswith(f"{archive}: its {len(recordings)} recordings are not those that nEMO")
    assert "delete it and run this again" in line
    assert sorted(tmp_path.rglob("*")) == [archive.parent, archive]


def test_pointers_are_checked_before_anything_is_fetched(server, tmp_path, capsys):
    pointers = {name: make_pointer(name.encode()) for name in RECORDINGS["CREMA-D"]}
    server.files["/CREMA-D.zip"] = make_repository("CREMA-D-decade", pointers)
    assert "are not those that CREMA-D was published with" in error_of(capsys, tmp_path, "CREMA-D")
    assert server.single_files == []


# Recordings in Git LFS


def test_a_recording_that_cannot_be_had_and_later_no_other_is_fetched(server, tmp_path, capsys):
    address, content = list(SINGLE_FILES.items())[-1]
    del server.files[address]
    line = error_of(capsys, tmp_path, "CREMA-D")
    assert line.startswith(f"CREMA-D: cannot download {server.url(address[1:])} (HTTP 404")
    assert not (tmp_path / "CREMA-D").exists()
    assert len(server.single_files) == N_SINGLE_FILES - 1
    server.files[address] = content
    server.single_files.clear()
    assert run(tmp_path, "CREMA-D") == 0
    assert server.single_files == [address]
    assert server.first_bytes == [0]  # nor the archive
    assert content_of(tmp_path) == expected_content("CREMA-D")


@pytest.mark.parametrize("wrong", [b"other", b"version https://git-lfs.github.com/spec/v1\n"])
def test_a_recording_that_is_not_the_published_one(server, tmp_path, capsys, wrong):
    address, content = list(SINGLE_FILES.items())[3]
    server.files[address] = wrong
    line = error_of(capsys, tmp_path, "CREMA-D")
    sha256 = hashlib.sha256(content).hexdigest()
    assert line.startswith(f"CREMA-D: cannot download {server.url(address[1:])} (SHA256 hash of")
    assert sha256 in line
    assert "https://example.org" in line
    assert not (tmp_path / "CREMA-D").exists()
    server.files[address] = [None, content[:100], content]  # a server that stumbles is asked again
    assert_provided(tmp_path, "CREMA-D")


def test_half_a_recording_is_fetched_again(server, tmp_path, capsys):
    server.in_the_middle = lambda: server.single_files and "hang up"
    assert "cannot download" in error_of(capsys, tmp_path, "CREMA-D")
    assert not (tmp_path / "CREMA-D").exists()
    server.in_the_middle = None
    # A killed run may leave any file half, whatever `run` cleans up.
    name, content = next(iter(RECORDINGS["CREMA-D"].items()))
    half = tmp_path / ".CREMA-D.partial" / "fetched" / name
    half.parent.mkdir(exist_ok=True)
    half.write_bytes(content[:100])
    (tmp_path / ".CREMA-D.partial" / "unpacked").mkdir()
    (tmp_path / ".CREMA-D.partial" / "unpacked" / "another.wav").write_bytes(content)
    assert_provided(tmp_path, "CREMA-D")


def test_several_recordings_are_fetched_at_a_time(server, tmp_path):
    together = threading.Barrier(4)
    server.in_the_middle = lambda: server.single_files and together.wait(30)
    assert run(tmp_path, "CREMA-D") == 0
    assert not together.broken


def test_unknown_corpus(server, capsys):
    with pytest.raises(SystemExit) as ended:
        download.main(["IEMOCAP"])
    assert ended.value.code == 2
    assert "choose from TESS, RAVDESS, nEMO, CREMA-D" in capsys.readouterr().err
