from __future__ import annotations

import io
from pathlib import Path

import pytest

from multihot.data.readers import text_encoding
from multihot.data.readers.text_encoding import (
    declared_encoding,
    detect_encoding,
    file_encoding,
    read_lines,
    stream_lines,
)
from multihot.errors import DataError, OptionError

CHINESE = "编号,内容,标签\n1,这辆车的动力很好，油耗也不高。,动力\n"
FRENCH = "id,text\n1,Déjà vu à l’été\n"


def written(folder: Path, content: bytes) -> Path:
    path = folder / "file.csv"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("codec", "expected", "word"),
    [
        ("utf-8", "utf-8", ""),
        ("utf-8-sig", "utf-8-sig", "UTF-8, from the byte order mark"),
        ("utf-16", "utf-16", "UTF-16, from the byte order mark"),
        ("utf-32", "utf-32", "UTF-32, from the byte order mark"),
        ("utf-16-le", "utf-16-le", "UTF-16-LE, from the offsets of the zero bytes"),
        ("utf-16-be", "utf-16-be", "UTF-16-BE, from the offsets of the zero bytes"),
        ("gb18030", "gb18030", "GB18030"),
    ],
)
def test_chinese_is_detected_in_every_encoding(
    tmp_path: Path, codec: str, expected: str, word: str
) -> None:
    path = written(tmp_path, CHINESE.encode(codec))

    found = detect_encoding(path)

    assert expected == found.name
    assert word in found.note
    assert "".join(read_lines(path, found.name)) == CHINESE


def test_big_endian_utf16_with_a_mark_is_read(tmp_path: Path) -> None:
    path = written(tmp_path, b"\xfe\xff" + CHINESE.encode("utf-16-be"))

    assert "".join(read_lines(path, detect_encoding(path).name)) == CHINESE


@pytest.mark.parametrize("text", [FRENCH, "id,text\n1,“Straße”\n", "a,b\nGrüße,naïve café\n"])
def test_western_text_is_taken_as_cp1252_and_said(tmp_path: Path, text: str) -> None:
    path = written(tmp_path, text.encode("cp1252"))

    found = detect_encoding(path)

    assert found.name == "cp1252"
    assert "data.encoding" in found.note
    assert text == "".join(read_lines(path, found.name))


def test_no_fitting_encoding_names_offset_line_and_option(tmp_path: Path) -> None:
    path = written(tmp_path, b"id,text\n1,good\n2,bad \x81\x20 byte\n")

    with pytest.raises(
        DataError, match=r"0x81 at offset 21 does not fit the encoding UTF-8"
    ) as error:
        detect_encoding(path)
    assert error.value.line == 3
    assert "data.encoding" in str(error.value)


@pytest.mark.parametrize("codec", ["utf-8", "gb18030", "ascii"])
def test_declared_encoding_that_does_not_fit_names_the_place(tmp_path: Path, codec: str) -> None:
    path = written(tmp_path, b"id,text\r\n1,a\r2,\xff\xff b\n")

    with pytest.raises(DataError, match="0xFF at offset 15") as error:
        list(read_lines(path, file_encoding(path, codec).name))
    assert error.value.line == 3


def test_position_is_right_beyond_the_first_chunk(tmp_path: Path) -> None:
    lines = b"0123456789\r\n" * 200_000
    path = written(tmp_path, lines + b"x\xff\x81")

    with pytest.raises(DataError, match=f"offset {len(lines) + 1} ") as error:
        detect_encoding(path)
    assert error.value.line == 200_001


def test_utf16_without_its_mark_and_odd_length_is_explained(tmp_path: Path) -> None:
    path = written(tmp_path, "id,text\n".encode("utf-16") + b"x")

    with pytest.raises(DataError, match="utf-16"):
        list(read_lines(path, "utf-16"))


def test_utf16_declared_for_other_text_is_explained(tmp_path: Path) -> None:
    path = written(tmp_path, b"id,text\n")

    with pytest.raises(DataError, match=r"Cannot be read as utf-16: .*BOM.*data.encoding"):
        list(read_lines(path, "utf-16"))


@pytest.mark.parametrize("name", ["utf-99", "hex", "base64", "idna"])
def test_unknown_encoding_is_an_option_error(name: str) -> None:
    with pytest.raises(OptionError, match=f"data.encoding={name}"):
        declared_encoding(name)


def test_declared_utf8_also_removes_a_mark(tmp_path: Path) -> None:
    path = written(tmp_path, CHINESE.encode("utf-8-sig"))

    assert "".join(read_lines(path, file_encoding(path, "UTF8").name)) == CHINESE


def test_nul_characters_are_refused_with_their_line(tmp_path: Path) -> None:
    path = written(tmp_path, b"id,text\n1,a\x00b\n")

    with pytest.raises(DataError, match="NUL character at position 4") as error:
        list(read_lines(path, detect_encoding(path).name))
    assert error.value.line == 2


@pytest.mark.parametrize("codec", ["utf-8", "utf-16", "gb18030"])
def test_a_byte_stream_gives_the_same_lines(codec: str) -> None:
    lines = list(stream_lines(io.BytesIO(("一\n二\r\n" + "三").encode(codec)), codec, "input"))

    assert lines == ["一\n", "二\r\n", "三"]


def test_a_byte_stream_names_the_line_that_cannot_be_decoded() -> None:
    with pytest.raises(DataError, match=r"input:3: These bytes do not fit the encoding utf-8"):
        list(stream_lines(io.BytesIO(b"a\nb\n\xff\n"), "utf-8", "input"))


@pytest.mark.parametrize(
    ("row", "codec"),
    [("naïve", "cp1252"), ("“so”", "cp1252"), ("动力", "gb18030"), ("naïve", "utf-16-le")],
)
def test_a_row_in_another_encoding_than_the_rest_is_refused(
    tmp_path: Path, row: str, codec: str
) -> None:
    lines = ["id,text", *[f"{number},caf\u00e9 {number} \u65e5\u672c" for number in range(100)]]
    content = "\n".join(lines).encode() + b"\n7," + row.encode(codec) + b"\nlast,line\n"
    path = tmp_path / "t.csv"
    path.write_bytes(content)

    with pytest.raises(DataError, match=r"data.encoding") as error:
        detect_encoding(path)

    assert (error.value.path, error.value.line) == (str(path), 102)
    assert file_encoding(path, "cp1252").name == "cp1252"


def test_a_byte_stream_without_line_ends_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_encoding, "MAX_LINE_CHARACTERS", 1000)
    lines = stream_lines(io.BytesIO(b"ok\n" + b"x" * 5000), "utf-8", "standard input")

    assert next(lines) == "ok\n"
    with pytest.raises(DataError, match="more than 1,000 characters and does not end") as error:
        next(lines)
    assert error.value.line == 2
