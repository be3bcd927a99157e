"""Packed tables are read as what they hold, in constant memory; archives that do not fit are explained."""

from __future__ import annotations

import gzip
import json
import tracemalloc
import zipfile
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from multihot.core.options import DataOptions
from multihot.data.labelled_file import open_labelled, read_examples
from multihot.data.readers import json_documents, text_encoding
from multihot.data.readers.open_table import open_table
from multihot.data.text_stream import stream_texts
from multihot.errors import DataError

CSV = "id,text,labels\n1,say hi,a|b\n2,hé,\n"
JSONL = (
    '{"id": "1", "text": "say hi", "labels": ["a", "b"]}\n{"id": "2", "text": "hé", "labels": []}\n'
)
ARRAY = json.dumps([json.loads(line) for line in JSONL.splitlines()])


def zipped(path: Path, members: dict[str, str | bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def zstandard(path: Path, content: str) -> Path:
    with pyarrow.CompressedOutputStream(str(path), "zstd") as stream:
        stream.write(content.encode())
    return path


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv.gz", CSV),
        ("t.tsv.gz", CSV.replace(",", "\t")),
        ("t.jsonl.gz", JSONL),
        ("t.json.gz", ARRAY),
        ("t.txt.gz", CSV),
        ("t.gz", CSV),
        ("packed-but-named.csv", CSV),
        ("t.csv.zst", CSV),
        ("t.zip", CSV),
    ],
)
def test_a_packed_table_is_read_as_what_it_holds(tmp_path: Path, name: str, content: str) -> None:
    path = tmp_path / name
    if name.endswith(".zip"):
        zipped(path, {"folder/t.csv": content, "__MACOSX/folder/._t.csv": b"\0", "folder/": ""})
    elif name.endswith(".zst"):
        zstandard(path, content)
    else:
        path.write_bytes(gzip.compress(content.encode()))

    examples = read_examples(path)
    chunks = list(open_labelled(path).chunks(1))
    texts = [row.text for row in stream_texts(path).rows]

    assert examples.notes[0].startswith("Unpacked from")
    assert examples.labels is not None
    assert examples.labels.values.tolist() == [[1, 1], [0, 0]]
    assert examples.texts == ["say hi", "hé"] == texts == [text for c in chunks for text in c.texts]


def test_the_name_inside_decides_the_format(tmp_path: Path) -> None:
    path = zipped(tmp_path / "t.csv.zip", {"t.jsonl": CSV})

    with pytest.raises(DataError, match=r"By the ending .jsonl this should be JSON lines"):
        open_table(path, DataOptions())


def test_a_wrong_line_has_its_number_in_the_unpacked_file(tmp_path: Path) -> None:
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(b"text,a\nx,1\ny\n"))

    with pytest.raises(DataError) as error:
        read_examples(path)

    assert (error.value.path, error.value.line) == (str(path), 3)


def parquet_bytes(folder: Path) -> bytes:
    pyarrow.parquet.write_table(pyarrow.table({"text": ["x"]}), folder / "made")
    return (folder / "made").read_bytes()


def test_archives_that_cannot_be_read_are_explained(tmp_path: Path) -> None:
    several = zipped(tmp_path / "several.zip", {f"{number}.csv": CSV for number in range(100)})
    none = zipped(tmp_path / "none.zip", {})
    method = zipped(tmp_path / "method.zip", {"t.csv": CSV}, zipfile.ZIP_LZMA)
    parquet = tmp_path / "t.parquet.gz"
    parquet.write_bytes(gzip.compress(parquet_bytes(tmp_path)))
    tar = tmp_path / "t.tar.gz"
    tar.write_bytes(gzip.compress(b"t.csv" + bytes(252) + b"ustar" + bytes(300)))
    encrypted = zipped(tmp_path / "encrypted.zip", {"t.csv": CSV})
    content = bytearray(encrypted.read_bytes())
    content[6] |= 1
    content[content.rindex(b"PK\x01\x02") + 8] |= 1
    encrypted.write_bytes(content)

    for path, words in (
        (several, "has 100: 0.csv, 1.csv, .* and 92 more"),
        (none, "has 0: nothing"),
        (method, "a method that cannot be read here"),
        (encrypted, "'t.csv' in this zip archive is encrypted"),
        (parquet, "This is a Parquet file packed with gzip. Unpack it first"),
        (tar, "This looks like a tar archive"),
    ):
        with pytest.raises(DataError, match=words) as error:
            open_table(path, DataOptions())
        assert error.value.path == str(path)


@pytest.mark.parametrize("kind", ["gzip", "zip"])
def test_damaged_archives_are_named(tmp_path: Path, kind: str) -> None:
    rows = "text,labels\n" + "".join(f"text {number},a\n" for number in range(5000))
    path = tmp_path / ("t.csv.gz" if kind == "gzip" else "t.zip")
    if kind == "gzip":
        path.write_bytes(gzip.compress(rows.encode()))
    else:
        zipped(path, {"t.csv": rows})
    whole = path.read_bytes()
    changed = bytearray(whole)
    changed[len(whole) // 2] ^= 0xFF

    for content in (whole[:-30], bytes(changed)):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"damaged|fit the encoding|NUL") as error:
            read_examples(path)
        assert error.value.path == str(path)


@pytest.mark.parametrize("content", [b"text,a\n", b"", b'[{"text": "'])
def test_a_small_archive_does_not_fill_memory(
    tmp_path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (text_encoding, json_documents):
        monkeypatch.setattr(module, "MAX_LINE_CHARACTERS", 1 << 20)
    path = tmp_path / ("t.json.gz" if content.startswith(b"[") else "t.csv.gz")
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(content)
        for _ in range(64):
            file.write(b"x" * (1 << 20))

    tracemalloc.start()
    with pytest.raises(DataError, match="has more than 1,048,576 characters"):
        read_examples(path)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak_bytes < 32 << 20
