"""Which files are found, and which of them are used."""

import os
from pathlib import Path

import numpy as np
import pytest
from signals import voice, write_voice

from sentimental.features_file import Recording
from sentimental.files import find_files
from sentimental.preprocessing.labels import read_names
from sentimental.preprocessing.recordings import describe_files, load_recording
from sentimental.scripts import SentimentalError
from sentimental.spectrum import SAMPLE_RATE

links = pytest.mark.skipif(os.name == "nt", reason="Windows lets few users make links")


def takes_in(folder):
    """Names of the files of each take, and the lines of those that are refused."""
    takes, _, refused = describe_files(find_files([folder])[0])
    return [[Path(copy.file).name for copy in copies] for copies in takes], [*refused]


# Takes


def test_the_name_makes_a_take_of_a_corpus_and_the_sound_an_own_one(tmp_path):
    # Of the real RAVDESS these two are byte-identical.
    of_corpus = ["03-01-03-01-02-01-07.wav", "03-01-03-01-02-02-07.wav"]
    for name in of_corpus:
        write_voice(tmp_path / name, seed=3)
    for name in ("a/happy/monday.wav", "a/happy/tuesday.wav"):
        write_voice(tmp_path / name)
    for seed, folder in enumerate("bc", 1):
        write_voice(tmp_path / folder / "happy" / "wednesday.wav", seed)
    own = [["monday.wav", "tuesday.wav"], ["wednesday.wav"], ["wednesday.wav"]]
    assert takes_in(tmp_path) == ([*([name] for name in of_corpus), *own], [])


@pytest.mark.parametrize(
    "names",
    [
        ["1001_DFA_ANG_XX.wav", "1001_DFA_ANG_XX.mp3"],
        ["03-01-06-01-02-01-12.wav", "01-01-06-01-02-01-12.mp4", "02-01-06-01-02-01-12.mp4"],
        ["OAF_back_angry.flac", "OAF_back_angry.wav", "OAF_back_angry.mp3"],
        ["z/OAF_back_angry.aiff", "z/OAF_back_angry (1).wav", "a/OAF_BACK_ANGRY.mp3"],
    ],
)
def test_of_a_take_lossless_files_come_first_then_names_are_sorted(tmp_path, names):
    for seed, name in enumerate(names):
        write_voice(tmp_path / name, seed, format="MP3" if name[-1] in "34" else None)
    assert takes_in(tmp_path) == ([[Path(name).name for name in names]], [])


def test_what_a_file_holds_makes_it_lossless_and_not_its_name(tmp_path):
    (tmp_path / "OAF_back_angry.flac").write_bytes(b"ID3 as MP3 begins")
    (tmp_path / "OAF_back_angry (1).avi").write_bytes(b"RIFF    AVI LIST")  # as WAV begins
    write_voice(tmp_path / "OAF_back_angry.wav")
    names = [f"OAF_back_angry{end}" for end in (".wav", ".flac", " (1).avi")]
    assert takes_in(tmp_path) == ([names], [])


def test_long_files_that_begin_alike_are_two_recordings(tmp_path):
    (tmp_path / "sad").mkdir()
    for name in "ab":
        (tmp_path / "sad" / f"{name}.wav").write_bytes(bytes(3 << 20) + name.encode())
    assert takes_in(tmp_path) == ([["a.wav"], ["b.wav"]], [])


def test_the_name_of_a_corpus_comes_before_an_own_one(tmp_path):
    for name in ("a/happy/a.wav", "b/03-01-03-01-02-01-07.wav"):
        write_voice(tmp_path / name)
    (tmp_path / "c").mkdir()
    (tmp_path / "c/01-01-03-01-02-01-07.mp4").write_bytes(b"a video")
    names = ["03-01-03-01-02-01-07.wav", "01-01-03-01-02-01-07.mp4", "a.wav"]
    assert takes_in(tmp_path) == ([names], [])


def test_a_table_decides_before_names_and_folders_and_names_more_files(tmp_path):
    names = ["in/sad/a.wav", "in/sad/b.wav", "in/1001_DFA_ANG_XX.wav", "out/c.wav", "in/sad/d.wav"]
    for seed, name in enumerate(names):
        write_voice(tmp_path / name, seed)
    table = {
        tmp_path / name: [Recording(f"{tmp_path}/in/../{name}", "my", "anna", "happy")]
        for name in (names[0], names[2], names[3])
    } | {tmp_path / names[4]: []}
    files = find_files([tmp_path / "in"])[0]
    takes, left_out, refused = describe_files(files, [tmp_path / "in"], table)
    told = {Path(r.file).name: (r.corpus, r.speaker, r.emotion) for (r,) in takes}
    assert told == dict.fromkeys(
        ("a.wav", "1001_DFA_ANG_XX.wav", "c.wav"), ("my", "anna", "happy")
    ) | {"b.wav": ("in", "", "sad")}
    assert not left_out
    assert not refused


def test_a_folder_that_names_no_emotion_is_told_once(tmp_path):
    for seed, name in enumerate(("hapy/a.wav", "hapy/b.wav", "grumpy/c.wav", "hapy/d.wav")):
        write_voice(tmp_path / name, seed)
    refused = describe_files(find_files([tmp_path])[0])[2]
    assert [*refused.values()] == [1, 3]
    grumpy, happy = refused
    assert grumpy.startswith(f"{tmp_path}/grumpy/c.wav: its emotion cannot be told: 'grumpy' is")
    assert happy.startswith(f"{tmp_path}/hapy/a.wav: ")
    assert "did you mean happy?" in happy
    names = read_names("hapy=happy,grumpy=sad")
    takes = describe_files(find_files([tmp_path])[0], [tmp_path], names=names)[0]
    assert [take.emotion for (take,) in takes] == ["happy", "happy", "sad", "happy"]


# Parts of files


def test_parts_of_a_file_are_takes_of_their_own(tmp_path):
    write_voice(tmp_path / "talk.wav")
    write_voice(tmp_path / "copy.wav")
    parts = [(None, 0.5), (0.25, None), (None, None), (9.0, 9.5)]
    table = {
        tmp_path / name: [
            Recording((tmp_path / name).as_posix(), "my", "", "happy", start=start, end=end)
            for start, end in parts
        ]
        for name in ("talk.wav", "copy.wav")
    }
    takes, _, refused = describe_files([], table=table)
    assert not refused
    assert [[copy.name for copy in copies] for copies in takes] == [
        [f"{tmp_path}/{name}{part}" for name in ("copy.wav", "talk.wav")]
        for part in (" (0 s to 0.5 s)", "", " (0.25 s to end)", " (9 s to 9.5 s)")
    ]


@pytest.mark.parametrize(
    ("start", "end", "seconds", "n_notes"),
    [
        (None, None, (0, 0.8), 0),
        (0.25, 0.5, (0.25, 0.5), 0),
        (None, 0.5, (0, 0.5), 0),
        (0.5, None, (0.5, 0.8), 0),
        (0.5, 0.85, (0.5, 0.8), 0),  # rounded
        (0.5, 3.0, (0.5, 0.8), 1),
    ],
)
def test_a_part_of_a_file_is_what_the_table_says(tmp_path, start, end, seconds, n_notes):
    write_voice(path := tmp_path / "talk.wav")
    samples, notes = load_recording(Recording(str(path), "my", "", "sad", start=start, end=end))
    first, stop = (round(second * SAMPLE_RATE) for second in seconds)
    np.testing.assert_allclose(samples, voice(0.8, 120)[first:stop], atol=1e-4)
    assert len(notes) == n_notes
    with pytest.raises(SentimentalError, match=r"talk\.wav \(0.8 s to 2 s\): the file has 0.80 s"):
        load_recording(Recording(str(path), "my", "", "sad", start=0.8, end=2.0))


# Files


def test_files_are_found_once_at_any_depth_and_what_is_no_sound_is_counted(tmp_path):
    passed_over = ["a/b/notes.TXT", "a/.hidden.wav", "a/one.TextGrid", "a/one.srt", "a/one.docx"]
    passed_over += ["a/desktop.ini", "a/Thumbs.db"]
    for name in ("a/b/one.wav", "a/two.flac", *passed_over):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    files, n_passed_over, refused = find_files([tmp_path, tmp_path / "a" / "two.flac"])
    assert files == [tmp_path / "a/b/one.wav", tmp_path / "a/two.flac"]
    assert (n_passed_over, refused) == (len(passed_over), [])


@pytest.mark.parametrize(
    ("place", "function", "refused"),
    [(os, "scandir", [""]), (Path, "is_file", ["/a.wav", "/b.wav"])],  # no right to list; to enter
)
def test_what_cannot_be_read_is_a_line_and_the_others_are_read(
    tmp_path, monkeypatch, place, function, refused
):
    for name in ("closed/a.wav", "closed/b.wav", "open/c.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    original = getattr(place, function)

    def refuse(path):
        if f"{path}" in {f"{tmp_path}/closed{name}" for name in refused}:
            raise PermissionError(13, "Permission denied", str(path))
        return original(path)

    monkeypatch.setattr(place, function, refuse)
    files, _, lines = find_files([tmp_path])
    assert files == [tmp_path / "open" / "c.wav"]
    reason = "cannot be read (Permission denied); check its name and rights"
    assert sorted(lines) == [f"{tmp_path}/closed{name}: {reason}" for name in refused]


@links
def test_a_broken_link_and_a_name_that_the_system_does_not_take_are_lines(tmp_path):
    (tmp_path / "a.wav").symlink_to(tmp_path / "nowhere.wav")
    files, _, (link, long) = find_files([tmp_path, tmp_path / ("a" * 300 + ".wav")])
    assert files == []
    assert link.startswith(f"{tmp_path / 'a.wav'}: ")
    assert long.startswith(f"{tmp_path}/aaa")


def test_a_file_that_cannot_be_read_is_a_line_and_the_others_are_described(tmp_path):
    write_voice(tmp_path / "happy" / "monday.wav")
    takes, _, (refused,) = describe_files(
        [tmp_path / "happy" / name for name in ("gone.wav", "monday.wav")]
    )
    assert len(takes) == 1
    assert refused.startswith(f"{tmp_path}/happy/gone.wav: cannot be read (No such file")


@links
def test_a_linked_folder_is_read_under_the_name_of_the_link(tmp_path):
    write_voice(tmp_path / "disk" / "grumpy" / "a.wav")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "angry").symlink_to(tmp_path / "disk" / "grumpy")
    files, _, refused = find_files([tmp_path / "mine"])
    assert (files, refused) == ([tmp_path / "mine" / "angry" / "a.wav"], [])
    (((recording,),), _, _) = describe_files(files)
    assert (recording.corpus, recording.emotion) == ("mine", "angry")
    (tmp_path / "mine" / "sad").symlink_to(tmp_path / "disk" / "grumpy")  # as well
    takes, refused = takes_in(tmp_path / "mine")
    assert (takes, len(refused)) == ([], 2)
    assert "several emotions" in refused[0]


@links
@pytest.mark.parametrize("relative", [True, False])
@pytest.mark.parametrize(
    ("circle", "found"),
    [
        ([("one/self", "../one")], ["happy/a.wav"]),
        ([("one/up", "..")], ["happy/a.wav"]),
        ([("one/happy/up", "../../..")], ["happy/a.wav"]),
        ([("one/to", "../two"), ("two/to", "../one")], ["happy/a.wav", "to/sad/b.wav"]),
    ],
)
def test_links_in_a_circle_come_to_an_end(tmp_path, monkeypatch, circle, found, relative):
    base = tmp_path / "base"
    for name in ("one/happy/a.wav", "two/sad/b.wav"):
        write_voice(base / name)
    for link, target in circle:
        (base / link).symlink_to(target)
    monkeypatch.chdir(base)
    folder = Path("one") if relative else base / "one"
    assert find_files([folder]) == ([folder / name for name in found], 0, [])
