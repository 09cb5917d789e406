"""Tables of labels, as people and their spreadsheets write them."""

from unicodedata import normalize

import pytest
from damage import refusal

from sentimental.features_file import Recording
from sentimental.preprocessing.labels import read_names, read_table
from sentimental.scripts import SentimentalError


def write_table(folder, text, encoding="utf-8"):
    for name in ("1.wav", "2.wav", "3.wav", "deep/4.wav", "1001_DFA_ANG_XX.wav"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    (folder / "table.csv").write_bytes(text.encode(encoding))
    return folder / "table.csv"


@pytest.mark.parametrize(
    ("separator", "encoding", "end", "start"),
    [
        (",", "utf-8", "\n", ""),
        (";", "utf-8-sig", "\r\n", ""),
        ("\t", "utf-8", "\n", ""),
        ("\t", "utf-16", "\r\n", ""),  # "Unicode text" of Excel
        (";", "cp1252", "\r\n", ""),  # "CSV" of Excel in Europe
        ("|", "utf-8", "\n", "sep=|\n"),
    ],
)
def test_a_table_tells_emotion_and_speaker_as_programs_write_it(
    tmp_path, separator, encoding, end, start
):
    rows = [
        "File,Emotion,comment,Speaker",
        "1.wav,Joy,,J\u00fcrgen",
        '"2.wav",sadness,"ok",',
        "3.wav,ps",
        r"deep\4.wav,FEARFUL,,cem",
    ]
    text = end.join([*rows, "1001_DFA_ANG_XX.wav,calm,a copy,ben", ""]).replace(",", separator)
    table, refused = read_table(write_table(tmp_path, start + text, encoding))
    assert not refused
    assert [(r.emotion, r.speaker, r.corpus) for (r,) in table.values()] == [
        ("happy", "J\u00fcrgen", tmp_path.name),
        ("sad", "", tmp_path.name),
        ("surprise", "", tmp_path.name),
        ("fear", "cem", tmp_path.name),
        ("calm", "ben", tmp_path.name),
    ]
    assert [*table][::3] == [tmp_path / "1.wav", tmp_path / "deep/4.wav"]


def test_each_bad_line_of_a_table_is_told_and_costs_its_file_alone(tmp_path):
    text = "file,emotion\n1.wav,happy\n2.wav,hapy\n\ngone.wav,sad\n1.wav,happy\n3.wav,sad\n"
    text += (
        "3.wav,calm\n3.wav,sad\n,sad\n1001_DFA_ANG_XX.wav\ndeep/4.wav,hapy\n"  # hapy is told once
    )
    path = write_table(tmp_path, text)
    table, refused = read_table(path)
    assert {file.name for file, recordings in table.items() if recordings} == {"1.wav"}
    assert table[tmp_path / "2.wav"] == table[tmp_path / "3.wav"] == []
    starts = [
        "line 3: 'hapy' is no known emotion; did you mean happy? known are neutral, calm",
        f"line 5: {tmp_path}/gone.wav: no such file",
        "line 6: 1.wav stands in line 2 already",
        "line 8: 3.wav stands in line 7 already, with other labels; none of them is used",
        "line 9: 3.wav stands in line 7 already, with other labels",
        "line 10: names no file",
        "line 11: '' is no known emotion, known are neutral, calm",
    ]
    assert [*refused.values()] == [2, 1, 1, 1, 1, 1, 1]
    for line, start in zip(refused, starts, strict=True):
        assert line.startswith(f"{path}, {start}"), line


def test_own_names_of_emotions_are_read_from_the_command_line(tmp_path):
    names = read_names("Freude=happy, pure_boredom = neutral,sad=calm")
    rows = ["1.wav,freude", "2.wav,Pure Boredom", "3.wav,sad", "deep/4.wav,anger"]
    table, refused = read_table(write_table(tmp_path, "\n".join(["file,emotion", *rows])), names)
    assert not refused
    assert [r.emotion for (r,) in table.values()] == ["happy", "neutral", "calm", "angry"]
    for text in ("Freude", "Freude=joyous", "=happy"):
        with pytest.raises(SentimentalError, match=f"^--map {text}: write NAME=EMOTION"):
            read_names(text)


@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC")])
def test_accents_may_be_written_as_on_another_system(tmp_path, forms):
    on_disk, typed = (normalize(form, "trist\u00e8.wav") for form in forms)
    names = read_names(normalize(forms[0], "trist\u00e8=sad"))
    path = write_table(tmp_path, f"file,emotion\n{typed},{typed[:-4]}\n")
    (tmp_path / on_disk).touch()
    table, refused = read_table(path, names)
    assert not refused
    assert [(r.file, r.emotion) for (r,) in table.values()] == [(f"{tmp_path}/{on_disk}", "sad")]


def test_parts_of_a_file_are_recordings_of_their_own(tmp_path):
    rows = ["1.wav,sad,,1.5", "1.wav,happy,1.5,3", "2.wav,calm,2,", "3.wav,fear,,"]
    rows += ["1.wav,sad,0,1.5", "1.wav,happy,1.5,3", "1.wav,calm,3,2", "1.wav,calm,soon,4"]
    rows += ["1.wav,calm,4,-5", "1.wav,calm,nan,inf"]
    path = write_table(tmp_path, "\n".join(["file,emotion,start,end", *rows]))
    table, refused = read_table(path)
    place = path.parent.as_posix()
    assert [r for recordings in table.values() for r in recordings] == [
        Recording(f"{place}/1.wav", tmp_path.name, "", "sad", start=None, end=1.5),
        Recording(f"{place}/1.wav", tmp_path.name, "", "happy", start=1.5, end=3.0),
        Recording(f"{place}/1.wav", tmp_path.name, "", "sad", start=0.0, end=1.5),
        Recording(f"{place}/2.wav", tmp_path.name, "", "calm", start=2.0, end=None),
        Recording(f"{place}/3.wav", tmp_path.name, "", "fear"),
    ]
    ends = [line.removeprefix(f"{path}, line ") for line in refused]
    assert ends == [
        "7: 1.wav stands in line 3 already",
        "8: start '3' and end '2' of 1.wav are no seconds",
        "9: start 'soon' and end '4' of 1.wav are no seconds",
        "10: start '4' and end '-5' of 1.wav are no seconds",
        "11: start 'nan' and end 'inf' of 1.wav are no seconds",
    ]
    path = write_table(tmp_path, "file;emotion;start;end\n1.wav;sad;0,5;1,25\n")
    ((recording,),) = read_table(path)[0].values()
    assert (recording.start, recording.end) == (0.5, 1.25)


@pytest.mark.parametrize(
    ("text", "encoding", "reason"),
    [
        ("", "utf-8", "has no column file and no column emotion, but none at all"),
        ("1.wav,happy\n", "utf-8", "no column emotion, but 1.wav, happy; its first line must"),
        ("path;emotion\n1.wav;sad", "utf-8", "has no column file, but path, emotion; "),
        ("file,emotion\n" + "x" * 200_000, "utf-8", "not a CSV table"),
        ("PK\3\4\0\0 a workbook", "utf-8", "not a CSV table"),
        ("file,emotion\n\x81.wav,sad", "latin-1", "not a CSV table"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path, text, encoding, reason):
    path = write_table(tmp_path, text, encoding)
    assert reason in refusal(read_table, path, words=f"^{path}: ")
    path.unlink()
    with pytest.raises(SentimentalError, match=f"^{path}: cannot be read"):
        read_table(path)
