"""Files as people have them: what can be used is used, all else is one line."""

import os
import re
import shutil
import signal
import struct
import subprocess

import damage
import numpy as np
import pytest
import soundfile
from signals import voice, write

from sentimental import decoding
from sentimental.decoding import decode, decode_blocks
from sentimental.spectrum import SAMPLE_RATE

needs_ffmpeg = pytest.mark.skipif(not shutil.which("ffmpeg"), reason="ffmpeg is not installed")


def convert(path, *options):
    """A tone of 440 Hz and 1 s that ffmpeg writes."""
    source = ["-f", "lavfi", "-i", f"sine=frequency=440:sample_rate={SAMPLE_RATE}:duration=1"]
    command = ["ffmpeg", "-v", "error", "-nostdin", *source, *options, path]
    subprocess.run(command, check=True)
    return path


def patch(path, place, form, number):
    """Write a number into a file, `place` bytes after its start, or after bytes that it holds."""
    content = bytearray(path.read_bytes())
    if isinstance(place, bytes):
        place = content.index(place) + len(place)
    struct.pack_into(form, content, place, number)
    path.write_bytes(content)
    return path


def cut(path, share=0.5):
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    return path


def decode_noting(path):
    """Samples of the first channel, and the notes about it."""
    notes = []
    samples, sample_rate = decode(path, notes.append)
    assert sample_rate in (SAMPLE_RATE, 22_050)
    assert samples.dtype == np.float32
    assert all(str(path) in line and "\n" not in line for line in notes)
    return samples[:, 0], notes


def refusal(path):
    """The line that a file is refused with."""
    return damage.refusal(decode, path, words=f"^{re.escape(str(path))}: ")


# Good recordings


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3", "a.aiff", "a.au", "a.w64"])
def test_a_whole_recording_is_that_of_soundfile_without_a_note(tmp_path, name):
    path = write(tmp_path / name, voice(2.0))
    samples, notes = decode_noting(path)
    np.testing.assert_array_equal(samples, soundfile.read(path, dtype="float32")[0])
    assert notes == []


def test_a_whole_recording_with_wrong_bytes_a_second_gives_no_note(tmp_path):
    path = write(tmp_path / "a.wav", voice(2.0), subtype="IMA_ADPCM")
    assert decode_noting(patch(path, 28, "<I", 64_000))[1] == []  # as ffmpeg writes them


@pytest.mark.parametrize("name", [b"gl\xfccklich\n.wav", b"a.raw", b"a.flac"])
def test_the_content_decides_whatever_the_name(tmp_path, name):
    if os.name == "nt" and b"\xfc" in name:
        pytest.skip("names are text there")
    path = tmp_path / os.fsdecode(name)
    shutil.move(write(tmp_path / "a.wav"), path)
    assert decode(path)[0].shape == (SAMPLE_RATE, 1)


@needs_ffmpeg
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.avi", ["-c:a", "adpcm_ms"]),
        ("a.mov", ["-c:a", "adpcm_ima_qt"]),
        ("a.mkv", ["-c:a", "adpcm_ima_wav"]),
        ("a.flv", ["-c:a", "adpcm_swf", "-ar", "22050"]),
        ("a.wav", ["-c:a", "adpcm_g722"]),
        ("a.m4a", []),
        ("12:30.m4a", []),
        ("-y.m4a", []),
    ],
)
def test_what_ffmpeg_reads(tmp_path, name, options):
    if os.name == "nt" and ":" in name:
        pytest.skip("no name on Windows")
    path = tmp_path / name
    shutil.move(convert(tmp_path / f"made{path.suffix}", *options), path)
    samples, notes = decode_noting(path)
    middle = samples[len(samples) // 4 : -len(samples) // 4]
    assert np.sqrt(np.mean(middle**2)) == pytest.approx(1 / 8 / np.sqrt(2), rel=0.05)
    assert notes == []


# Block by block


@pytest.mark.parametrize(
    ("name", "is_declared"),
    [("a.wav", True), ("a.mp3", True), pytest.param("a.m4a", False, marks=needs_ffmpeg)],
)
def test_blocks_are_small_and_are_all_that_decode_gives(tmp_path, name, is_declared):
    path = tmp_path / name
    convert(path) if name == "a.m4a" else write(path)
    whole, sample_rate = decode(path)
    blocks = [*decode_blocks(path)]
    assert len(blocks) > 3
    assert max(len(block.samples) for block in blocks) <= 4096
    assert {block.sample_rate for block in blocks} == {sample_rate}
    assert {block.n_declared for block in blocks} == {len(whole) if is_declared else None}
    np.testing.assert_array_equal(np.concatenate([block.samples for block in blocks]), whole)


@needs_ffmpeg
def test_what_comes_after_damage_is_found_once_and_in_its_place(tmp_path):
    path = write(tmp_path / "a.flac", voice(8.0))
    whole = decode_noting(path)[0]
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 3000] = bytes(3000)
    path.write_bytes(content)
    samples, _ = decode_noting(path)
    assert 0.6 * len(whole) < len(samples) <= len(whole)
    np.testing.assert_array_equal(samples[:32_000], whole[:32_000])
    np.testing.assert_array_equal(samples[-32_000:], whole[-32_000:])


# Recordings that are longer than libsndfile believes


def join(path, *parts):
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


@pytest.mark.parametrize("end", ["wav", "flac", "ogg", "opus", "aiff", "au", "caf", "w64", "rf64"])
def test_recordings_that_were_joined_are_all_heard(tmp_path, end):
    options = {"format": "OGG", "subtype": "OPUS"} if end == "opus" else {}
    parts = [write(tmp_path / f"{n}.{end}", voice(0.5 + n, seed=n), **options) for n in range(3)]
    expected = np.concatenate([decode_noting(part)[0] for part in parts])
    samples, notes = decode_noting(join(tmp_path / f"joined.{end}", *parts))
    np.testing.assert_array_equal(samples, expected)
    assert notes == []


@needs_ffmpeg
@pytest.mark.parametrize("end", ["m4a", "webm", "wma", "mp3"])
def test_the_same_of_what_ffmpeg_reads(tmp_path, end):
    part = convert(tmp_path / f"a.{end}", *(["-ar", "48000"] if end == "webm" else []))
    notes = []
    samples, sample_rate = decode(join(tmp_path / f"joined.{end}", part, part), notes.append)
    assert 1.9 * sample_rate < len(samples) < 2.2 * sample_rate
    assert notes == []


def test_a_joint_is_found_across_the_border_of_what_is_searched_at_once(tmp_path, monkeypatch):
    parts = [write(tmp_path / f"{n}.wav", voice(seed=n)) for n in range(2)]
    joined = join(tmp_path / "joined.wav", *parts)
    joint = len(parts[0].read_bytes())
    for place in (joint - 1024 - 4, joint - 1024):
        monkeypatch.setattr(decoding.containers, "SEARCHED", place)
        assert len(decode_noting(joined)[0]) == 2 * SAMPLE_RATE


@pytest.mark.parametrize(
    ("sample_rate", "share", "words"),
    [
        (8_000, 1, "holds 2 recordings; 0.0 MB from byte 32044 on are not used (the sample rate"),
        (SAMPLE_RATE, 0.04, "that can be read are used"),
    ],
)
def test_what_was_joined_and_does_not_fit_is_told(tmp_path, sample_rate, share, words):
    first = write(tmp_path / "a.wav")
    other = cut(write(tmp_path / "b.wav", sample_rate=sample_rate), share)
    samples, (note,) = decode_noting(join(tmp_path / "joined.wav", first, other))
    np.testing.assert_array_equal(samples[:SAMPLE_RATE], decode_noting(first)[0])
    assert words in note


@pytest.mark.parametrize(
    "between",
    [
        b"",
        struct.pack("<4sI", b"LIST", 4) + b"INFO",
        struct.pack("<4sI", b"LIST", 5) + b"INFO1\0",  # padded to an even length
    ],
)
@pytest.mark.parametrize("subtype", ["PCM_16", "IMA_ADPCM"])
def test_a_second_chunk_of_samples_is_heard(tmp_path, between, subtype):
    path = write(tmp_path / "a.wav", voice(2.0), subtype=subtype)
    whole, _ = decode_noting(path)
    content = path.read_bytes()
    start = content.index(b"data") + 8
    half = start + (len(content) - start) // 2048 * 1024
    second = between + struct.pack("<4sI", b"data", len(content) - half)
    path.write_bytes(content[:half] + second + content[half:])
    heard, notes = decode_noting(patch(path, b"data", "<I", half - start))
    np.testing.assert_array_equal(heard, whole)
    assert notes == []


@needs_ffmpeg
@pytest.mark.parametrize("has_ffmpeg", [False, True])
@pytest.mark.parametrize("first", ["anullsrc=d=3", "anoisesrc=a=0.4:d=3"])
def test_mp3_of_variable_bit_rate_without_a_header_that_tells_its_length(
    tmp_path, monkeypatch, first, has_ffmpeg
):
    path = tmp_path / "a.mp3"
    other = "anoisesrc=a=0.4:d=3" if "null" in first else "anullsrc=d=3"
    graph = ["-filter_complex", "[0][1]concat=v=0:a=1", "-ar", "22050", "-q:a", "9"]
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", first, "-f", "lavfi", "-i", other]
    subprocess.run([*command, *graph, "-write_xing", "0", path], check=True)
    if not has_ffmpeg:
        monkeypatch.setenv("PATH", "")
    samples, notes = decode_noting(path)
    seconds = len(samples) / 22_050
    if has_ffmpeg or "null" in first:
        assert 5.9 < seconds < 6.2
        assert notes == []
    else:
        assert f"its first {seconds:.1f} s are used; install ffmpeg for " in notes[0]
        missing = float(re.search(r"for ([\d.]+) more", notes[0])[1])
        assert 5.9 < seconds + missing < 6.2


@needs_ffmpeg
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_of_a_film_the_first_track_with_sound_is_heard(tmp_path, name):
    silence = ["-f", "lavfi", "-i", "anullsrc=d=2:cl=stereo:r=16000"]
    peaks = []
    for tracks in ([*silence, "-map", "1"], [*silence, "-map", "1", "-map", "0"]):
        (tmp_path / name).unlink(missing_ok=True)
        samples, notes = decode_noting(convert(tmp_path / name, *tracks))
        peaks.append(np.abs(samples).max())
        assert notes == []
        assert len(samples) > 15_000
    assert peaks[0] == 0
    assert peaks[1] == pytest.approx(1 / 8, rel=0.1)


# Recordings of which something is missing


UNFINISHED = "never completed"


@pytest.mark.parametrize(
    ("name", "subtype", "length", "words"),
    [
        ("a.wav", "PCM_16", 0xFFFFFFFF, ""),  # into a pipe, so that nobody knew it
        ("a.wav", "PCM_16", 0x7FFFF000, ""),
        ("a.flac", "PCM_16", 0, ""),
        ("a.flac", "PCM_16", 2**36 - 1, "2.0 s"),  # 256 GiB
        ("a.wav", "PCM_16", 0, UNFINISHED),  # a recorder that was stopped
        ("a.wav", "PCM_24", 0, UNFINISHED),
        ("a.wav", "FLOAT", 0, UNFINISHED),
        ("a.wav", "ULAW", 0, UNFINISHED),
        ("a.wav", "PCM_16", 20_000, UNFINISHED),  # that is of an earlier moment
        pytest.param("a.au", "PCM_16", 0, "", marks=needs_ffmpeg),
    ],
)
def test_whatever_length_the_header_tells_all_samples_are_used(
    tmp_path, name, subtype, length, words
):
    path = write(tmp_path / name, voice(2.0), subtype=subtype)
    whole, _ = decode_noting(path)
    if name == "a.flac":  # which has it in the last 36 bits of these 8 bytes
        (fields,) = struct.unpack_from(">Q", path.read_bytes(), 18)
        patch(path, 18, ">Q", fields >> 36 << 36 | length)
    else:
        patch(path, *((b"data", "<I") if name == "a.wav" else (8, ">I")), length)
    samples, notes = decode_noting(path)
    np.testing.assert_array_equal(samples[: len(whole)], whole)
    assert len(samples) - len(whole) < 100  # a chunk that stands behind the samples
    assert len(notes) == bool(words)
    assert all(words in note for note in notes)


@pytest.mark.parametrize("ffmpeg", [False, pytest.param(True, marks=needs_ffmpeg)])
@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3", "a.aiff", "a.au", "a.w64"])
def test_of_a_recording_that_was_cut_off_the_rest_is_used(tmp_path, monkeypatch, name, ffmpeg):
    if not ffmpeg:
        monkeypatch.setenv("PATH", "")
    path = write(tmp_path / name, voice(4.0))
    whole, _ = decode_noting(path)
    samples, (note,) = decode_noting(cut(path))
    assert 0.2 < len(samples) / len(whole) < 0.6
    np.testing.assert_allclose(samples[:15_000], whole[:15_000], atol=1e-3)
    assert f"{len(samples) / SAMPLE_RATE:.1f} s" in note


# Files that are refused


@pytest.mark.parametrize("sample_rate", [0, 1, 2, 1999, 384_001, 7_626_176, 2**31 - 1])
def test_sample_rates_that_no_recording_has(tmp_path, sample_rate):
    path = patch(write(tmp_path / "a.wav"), 24, "<I", sample_rate)
    assert re.search("sample rate|decoded", refusal(path))


@pytest.mark.parametrize(("n_channels", "is_used"), [(64, True), (65, False), (106, False)])
def test_channels_that_no_recording_has(tmp_path, n_channels, is_used):
    path = write(tmp_path / "a.aiff", np.zeros((100, n_channels)))
    if is_used:
        assert decode(path)[0].shape == (100, n_channels)
    else:
        assert f"{n_channels} channels" in refusal(path)


@pytest.mark.parametrize(
    "name",
    ["a.flac", "a.wav", *(pytest.param(f"a.{end}", marks=needs_ffmpeg) for end in ("m4a", "mka"))],
)
def test_more_samples_than_a_file_can_hold(tmp_path, monkeypatch, name):
    """Those of all channels count: here there are half as many again as can be."""
    path, samples = tmp_path / name, np.tile(voice()[:, None], 2)
    if name in ("a.flac", "a.wav"):
        write(path, samples)
    else:
        source = write(tmp_path / "b.wav", samples)
        command = ["ffmpeg", "-v", "error", "-i", source, "-c:a", "alac", path]
        subprocess.run(command, check=True)
    assert decode(path)[0].shape == samples.shape
    monkeypatch.setattr(decoding, "SAMPLES_PER_BYTE", samples.size / path.stat().st_size / 1.5)
    assert "more samples than it can hold" in refusal(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 1\n", "git lfs pull"),
        (b"\n<!DOCTYPE html><title>404</title>", "web page"),
        (b"#EXTM3U\nhttp://127.0.0.1:9/a.mp3\n", "playlist"),
        (b"", "empty"),
        (b"RIFF nonsense", "decoded"),
        (b"\0\0\0\x20ftypM4A " + bytes(500), "install ffmpeg"),
    ],
)
def test_what_is_no_recording_is_called_what_it_is(tmp_path, monkeypatch, content, words):
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    if "ffmpeg" in words:
        monkeypatch.setenv("PATH", "")
    assert words in refusal(path)


@needs_ffmpeg
def test_a_video_without_sound(tmp_path):
    video = tmp_path / "a.mp4"
    convert(video, "-f", "lavfi", "-i", "color=s=64x64:d=1", "-map", "1:v")
    assert "no sound in it" in refusal(video)


@pytest.fixture
def fake_ffmpeg(tmp_path, monkeypatch):
    """Have a shell script run in place of ffmpeg; returns the path of a file that it is for."""

    def make(script):
        if os.name == "nt":
            pytest.skip("a shell script")
        program = tmp_path / "ffmpeg"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
        path = tmp_path / "a.m4a"
        path.write_bytes(b"\0\0\0\x20ftypM4A " + bytes(1000))
        return path

    return make


def test_ffmpeg_that_does_not_end(fake_ffmpeg, monkeypatch):
    monkeypatch.setattr(decoding, "FFMPEG_SECONDS", 0.1)
    monkeypatch.setattr(decoding, "FFMPEG_SECONDS_PER_BYTE", 9e-4)  # of 1012 bytes
    assert "found no end of it in 1 s" in refusal(fake_ffmpeg("exec sleep 60"))


@pytest.mark.parametrize("end", ["sleep 600", "true"])
def test_ffmpeg_ends_with_its_reader(fake_ffmpeg, tmp_path, monkeypatch, end):
    started, popen = [], subprocess.Popen
    monkeypatch.setattr(
        subprocess, "Popen", lambda *a, **o: started.append(popen(*a, **o)) or started[0]
    )
    soundfile.write(tmp_path / "a.au", np.ones(400_000), SAMPLE_RATE, "FLOAT", format="AU")
    blocks = decode_blocks(fake_ffmpeg(f"cat {tmp_path}/a.au; exec {end}"))
    assert len(next(blocks).samples) == 4096
    blocks.close()
    assert started[0].returncode == -signal.SIGKILL
    assert started[0].stdout.closed


def test_ffmpeg_reads_nothing_but_files(fake_ffmpeg, tmp_path):
    refusal(fake_ffmpeg(f'echo "$@" > {tmp_path}/arguments'))
    arguments = (tmp_path / "arguments").read_text()
    assert "-protocol_whitelist file -i file:" in arguments


def test_what_is_no_file_that_can_be_read(tmp_path, monkeypatch):
    def refuse(path, *arguments, **options):
        raise PermissionError(13, "Permission denied", path)

    assert "no such file" in refusal(tmp_path / "nowhere.wav")
    assert refusal(tmp_path / f"{'a' * 300}.wav")
    assert "a folder" in refusal(tmp_path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.wav")  # which is not waited for
        assert "not a file" in refusal(tmp_path / "pipe.wav")
    assert "no samples" in refusal(write(tmp_path / "head.wav", np.zeros(0)))
    path = write(tmp_path / "a.wav")
    monkeypatch.setattr("builtins.open", refuse)  # the administrator may read everything
    assert "cannot be read (Permission denied)" in refusal(path)


def test_without_a_temporary_folder_only_what_needs_one_is_refused(
    fake_ffmpeg, monkeypatch, tmp_path
):
    def refuse(**options):
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr(decoding.tempfile, "TemporaryFile", refuse)
    assert len(decode_noting(write(tmp_path / "a.wav"))[0]) == SAMPLE_RATE
    assert "No usable temporary directory" in refusal(fake_ffmpeg(""))


def test_a_note_is_a_warning_where_nobody_takes_it(tmp_path):
    path = cut(write(tmp_path / "a.wav"))
    with pytest.warns(UserWarning, match=f"^{re.escape(str(path))}: ") as caught:
        decode(path)
    assert len(caught) == 1
