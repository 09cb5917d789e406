"""The downloader, against a server on this machine that serves small archives."""

import errno
import hashlib
import http.server
import io
import os
import random
import signal
import subprocess
import sys
import threading
import time
import zipfile
from dataclasses import replace
from pathlib import PureWindowsPath

import pytest
import scripts
from scripts import ROOT

from data import download
from sentimental.base import run_script
from sentimental.corpora import Archive

N_FILES = 6


def make_zip(names, seed=0):
    """An archive in memory; its contents do not compress, so its size is known roughly."""
    rng = random.Random(seed)
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, rng.randbytes(50_000))
    return content.getvalue()


ARCHIVES = {
    "TESS": make_zip([f"TESS set/OAF_sad/OAF_{i}_sad.wav" for i in range(N_FILES)], seed=1),
    "RAVDESS": make_zip([f"Actor_01/03-01-0{i}-01.wav" for i in range(N_FILES)], seed=2),
}


class Server(http.server.ThreadingHTTPServer):
    """Serves ``files``; can ignore ranges, and can stall or hang up in the middle of a file."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = {f"/{name}.zip": content for name, content in ARCHIVES.items()}
        self.ranges = True
        self.in_the_middle = None  # what to do there
        self.first_bytes = []  # where each answer began

    def url(self, name):
        return f"http://127.0.0.1:{self.server_address[1]}/{name}.zip"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        content, first = self.server.files.get(self.path), 0
        if content is None:
            self.send_error(404)
            return
        if self.server.ranges:
            first = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
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
    monkeypatch.setattr(
        download,
        "ARCHIVES",
        {
            name: Archive(
                url=server.url(name),
                md5=hashlib.md5(content).hexdigest(),
                n_files=N_FILES,
                page="https://example.org",
            )
            for name, content in ARCHIVES.items()
        },
    )
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def change_tess(**changes):
    """Change what the script knows of TESS; only while ``server`` stands in for the real one."""
    download.ARCHIVES["TESS"] = replace(download.ARCHIVES["TESS"], **changes)


def content_of(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def expected_content(*names):
    """What the folder must hold when these corpora, and nothing else, were unpacked into it."""
    expected = {}
    for name in names:
        with zipfile.ZipFile(io.BytesIO(ARCHIVES[name])) as archive:
            expected |= {f"{name}/{member}": archive.read(member) for member in archive.namelist()}
    return expected


def run(folder, *arguments):
    return run_script(lambda: download.main(["--folder", str(folder), *map(str, arguments)]))


def only_line(capsys):
    """What was written to stderr, which must be a single line; an error without "error: "."""
    (line,) = capsys.readouterr().err.strip().splitlines()
    return line.removeprefix("error: ")


def test_both_corpora_then_nothing_left_to_do(server, tmp_path, capsys):
    folder = tmp_path / "new" / "data"
    assert run(folder) == 0
    assert content_of(folder) == expected_content("TESS", "RAVDESS")
    captured = capsys.readouterr()
    assert captured.err == ""
    assert captured.out.splitlines() == [
        f"TESS: {N_FILES} files in {folder / 'TESS'}",
        f"RAVDESS: {N_FILES} files in {folder / 'RAVDESS'}",
        f"Next: {download.next_command([folder / 'TESS', folder / 'RAVDESS'], folder)}",
    ]
    written = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    server.first_bytes.clear()
    assert run(folder) == 0
    assert server.first_bytes == []
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == written


def test_the_next_command_is_one_for_any_shell(monkeypatch):
    monkeypatch.chdir(ROOT)
    folder = PureWindowsPath("my data")
    command = download.next_command([folder / "TESS"], folder)
    assert command == ("python preprocess.py 'my data/TESS' --output 'my data/features.json'")


def test_one_corpus(server, tmp_path):
    assert run(tmp_path, "ravdess") == 0
    assert content_of(tmp_path) == expected_content("RAVDESS")


def test_broken_connection_then_the_rest_only(server, tmp_path, capsys):
    server.in_the_middle = lambda: "hang up"
    assert run(tmp_path, "TESS") == 1
    assert "cannot download" in only_line(capsys)
    assert not (tmp_path / "TESS").exists()
    server.in_the_middle = None
    assert run(tmp_path, "TESS") == 0
    assert content_of(tmp_path) == expected_content("TESS")
    assert server.first_bytes[0] == 0
    assert server.first_bytes[1] > 0


def test_broken_connection_to_a_server_without_ranges(server, tmp_path):
    server.ranges = False
    server.in_the_middle = lambda: "hang up"
    assert run(tmp_path, "TESS") == 1
    server.in_the_middle = None
    assert run(tmp_path, "TESS") == 0
    assert content_of(tmp_path) == expected_content("TESS")


def test_more_bytes_here_than_there_is_mended_by_another_run(server, tmp_path):
    (tmp_path / ".TESS.partial.zip").write_bytes(ARCHIVES["TESS"] + b"too much")
    assert run(tmp_path, "TESS") == 1
    assert run(tmp_path, "TESS") == 0
    assert content_of(tmp_path) == expected_content("TESS")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT to send to one process")
def test_ctrl_c_then_the_rest_only(server, tmp_path, capfd):
    go_on = threading.Event()
    server.in_the_middle = lambda: go_on.wait(30) and "hang up"
    code = (
        # a test run in the background of a shell passes on that Ctrl-C is to be ignored
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "import sys; from data import download; from sentimental.base import run_script; "
        "from sentimental.corpora import Archive; "
        f"download.ARCHIVES = {download.ARCHIVES}; sys.exit(run_script(download.main))"
    )
    process = subprocess.Popen([sys.executable, "-c", code, "TESS", "--folder", tmp_path], cwd=ROOT)
    archive = tmp_path / ".TESS.partial.zip"
    while not archive.exists() or not archive.stat().st_size:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    go_on.set()
    assert only_line(capfd) == "stopped"
    assert not (tmp_path / "TESS").exists()
    server.in_the_middle = None
    assert run(tmp_path, "TESS") == 0
    assert content_of(tmp_path) == expected_content("TESS")
    assert server.first_bytes[1] > 0


def test_interrupted_unpacking_leaves_nothing_half(server, tmp_path, capsys, monkeypatch):
    extract, calls = zipfile.ZipFile.extract, []

    def interrupted_extract(*arguments):
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return extract(*arguments)

    monkeypatch.setattr(zipfile.ZipFile, "extract", interrupted_extract)
    assert run(tmp_path, "TESS") == 130
    assert only_line(capsys) == "stopped"
    assert [path.name for path in tmp_path.iterdir()] == [".TESS.partial.zip"]
    assert run(tmp_path, "TESS") == 0
    assert len(server.first_bytes) == 1  # what was downloaded is not downloaded again
    assert content_of(tmp_path) == expected_content("TESS")


def test_wrong_checksum(server, tmp_path, capsys):
    server.files["/TESS.zip"] = make_zip(["other.wav"])
    assert run(tmp_path, "TESS") == 1
    line = only_line(capsys)
    assert line.startswith("TESS: ")
    assert download.ARCHIVES["TESS"].md5 in line
    assert "run this again" in line
    assert list(tmp_path.iterdir()) == []


def test_no_network_hinders_one_corpus_only(server, tmp_path, capsys):
    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as closed:
        port = closed.server_address[1]
    change_tess(url=f"http://127.0.0.1:{port}/TESS.zip")
    assert run(tmp_path) == 1
    line = only_line(capsys)
    assert download.ARCHIVES["TESS"].url in line
    assert "check the network" in line
    assert not (tmp_path / "TESS").exists()
    assert len(content_of(tmp_path / "RAVDESS")) == N_FILES


def test_file_gone_from_the_server(server, tmp_path, capsys):
    server.files.clear()
    assert run(tmp_path, "TESS") == 1
    assert "HTTP 404" in only_line(capsys)


def test_archive_from_disk_is_told_by_its_checksum(server, tmp_path):
    archive = tmp_path / "some name.zip"
    archive.write_bytes(ARCHIVES["RAVDESS"])
    assert run(tmp_path / "data", "--archive", archive) == 0
    assert content_of(tmp_path / "data") == expected_content("RAVDESS")
    assert archive.read_bytes() == ARCHIVES["RAVDESS"]
    assert server.first_bytes == []


@pytest.mark.parametrize("content", [None, b"half a file"])
def test_unknown_archive(server, tmp_path, capsys, content):
    archive = tmp_path / "x.zip"
    if content:
        archive.write_bytes(content)
    assert run(tmp_path / "data", "--archive", archive) == 1
    line = only_line(capsys)
    assert line.startswith(f"{archive}: ")
    assert ("not a known archive" if content else "no such file") in line
    assert list((tmp_path / "data").iterdir()) == []


def use_archive(path, content):
    """Write an archive and make it the one that TESS is known by."""
    path.write_bytes(content)
    change_tess(md5=hashlib.md5(content).hexdigest())
    return path


@pytest.mark.parametrize("where", ["middle", "end"])
def test_damaged_archive(server, tmp_path, capsys, where):
    content = bytearray(ARCHIVES["TESS"])
    if where == "middle":
        content[len(content) // 2] ^= 0xFF
    else:
        del content[-1000:]
    archive = use_archive(tmp_path / "x.zip", bytes(content))
    assert run(tmp_path / "data", "--archive", archive) == 1
    assert only_line(capsys).startswith(f"{archive}: damaged")
    assert list((tmp_path / "data").iterdir()) == []


@pytest.mark.parametrize("evil", ["../../evil.wav", "TESS/../../evil.wav", "/evil.wav"])
def test_path_out_of_the_folder_is_refused(server, tmp_path, capsys, evil):
    names = [f"{i}.wav" for i in range(N_FILES)]
    archive = use_archive(tmp_path / "x.zip", make_zip([*names, evil]))
    assert run(tmp_path / "data", "--archive", archive) == 1
    assert evil in only_line(capsys)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["data", "x.zip"]


def test_only_recordings_are_unpacked(server, tmp_path):
    names = [f"set/{i}.WAV" for i in range(N_FILES)]
    others = ["__MACOSX/set/._0.WAV", "set/.DS_Store", "set/viewer.exe"]
    archive = use_archive(tmp_path / "x.zip", make_zip([*names, *others]))
    assert run(tmp_path / "data", "--archive", archive) == 0
    assert sorted(content_of(tmp_path / "data" / "TESS")) == names


def test_folder_of_the_user_is_left_alone(server, tmp_path, capsys):
    (tmp_path / "TESS").mkdir()
    (tmp_path / "TESS" / "own.wav").write_bytes(b"own")
    assert run(tmp_path, "TESS") == 1
    line = only_line(capsys)
    assert line.startswith(str(tmp_path / "TESS"))
    assert "holds 1 WAV files" in line
    assert content_of(tmp_path) == {"TESS/own.wav": b"own"}


def test_disk_full(server, tmp_path, capsys, monkeypatch):
    def extract(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "extract", extract)
    assert run(tmp_path) == 1
    assert "the disk is full" in only_line(capsys)
    assert not (tmp_path / "TESS").exists()


def test_help_from_any_folder(tmp_path):
    done = scripts.run("data/download.py", "--help", folder=tmp_path)
    assert done.returncode == 0
    for word in ("python data/download.py", "--folder", "--archive", "TESS", "RAVDESS", "MD5"):
        assert word in done.stdout


def test_unknown_corpus(server, capsys):
    with pytest.raises(SystemExit) as ended:
        download.main(["IEMOCAP"])
    assert ended.value.code == 2
    assert "choose from TESS, RAVDESS" in capsys.readouterr().err
