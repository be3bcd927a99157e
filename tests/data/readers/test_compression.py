from __future__ import annotations

import gzip
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from multihot.data.readers.compression import compression_of, open_bytes
from multihot.errors import DataError, MissingExtraError

CONTENT = "Häuser.\n\nZwei.\n".encode() * 5000


def _zstd(content: bytes) -> bytes:
    return bytes(pa.Codec("zstd").compress(content, asbytes=True))


def _written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("packed", "kind"),
    [
        (CONTENT, None),
        (gzip.compress(CONTENT), "gzip"),
        (_zstd(CONTENT), "zstd"),
        (gzip.compress(CONTENT[:9]) + gzip.compress(CONTENT[9:]), "gzip"),
        (_zstd(CONTENT[:9]) + _zstd(CONTENT[9:]), "zstd"),
        (b"", None),
    ],
    ids=["plain", "gzip", "zstd", "two gzip members", "two zstd frames", "empty"],
)
def test_the_first_bytes_tell_the_compression_whatever_the_name(
    tmp_path: Path, packed: bytes, kind: str | None
) -> None:
    path = _written(tmp_path / "corpus.txt", packed)

    assert compression_of(path) == kind
    with open_bytes(path, kind) as handle:
        assert handle.read() == (CONTENT if packed else b"")


@pytest.mark.parametrize(("pack", "kind"), [(gzip.compress, "gzip"), (_zstd, "zstd")])
def test_a_file_that_is_cut_off_is_said_to_be(tmp_path: Path, pack: object, kind: str) -> None:
    path = _written(tmp_path / "corpus", pack(CONTENT)[:-9])  # type: ignore[operator]

    with (
        pytest.raises(DataError, match=f"corpus: The {kind} file is damaged or cut off"),
        open_bytes(path, kind) as handle,
    ):
        handle.read()


def test_a_missing_file_is_a_data_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        compression_of(tmp_path / "nothing")


def test_zstandard_without_pyarrow_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _written(tmp_path / "corpus", _zstd(CONTENT))
    monkeypatch.setitem(sys.modules, "pyarrow", None)

    with pytest.raises(MissingExtraError, match=r"multihot\[pretrain\]"), open_bytes(path, "zstd"):
        pass
