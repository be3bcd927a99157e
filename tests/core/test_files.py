from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
from pathlib import Path

import pytest
from safetensors import SafetensorError

from multihot.core import files
from multihot.errors import ArtifactError, StorageError


def write_half(path: Path, fault: BaseException) -> None:
    with files.atomic_path(path) as temporary:
        temporary.write_text("half of the ne", "utf-8")
        raise fault


def write_half_as_text(path: Path, fault: BaseException) -> None:
    with files.atomic_text(path) as output:
        output.write("half of the ne")
        raise fault


def test_a_written_file_is_complete_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"

    files.write_text(path, "élan")
    files.write_bytes(path, b"second")

    assert path.read_bytes() == b"second"
    assert os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("kind", [RuntimeError, KeyboardInterrupt])
def test_an_interrupted_write_leaves_the_old_file(
    tmp_path: Path, kind: type[BaseException]
) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old", "utf-8")

    with pytest.raises(kind):
        write_half(path, kind())

    assert path.read_text("utf-8") == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_the_new_content_appears_only_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old", "utf-8")

    with files.atomic_path(path) as temporary:
        temporary.write_text("new", "utf-8")
        assert path.read_text("utf-8") == "old"
        assert temporary.parent == path.parent

    assert path.read_text("utf-8") == "new"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_explained(tmp_path: Path, number: int) -> None:
    path = tmp_path / "a.txt"

    with pytest.raises(StorageError, match=r"Cannot write .*a.txt: .*disk is full: free some"):
        write_half(path, OSError(number, os.strerror(number)))

    assert os.listdir(tmp_path) == []


def test_a_full_device_is_explained() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here")

    with (
        pytest.raises(StorageError, match=r"No space left on device.*free some space"),
        files.storage_errors(Path("x")),
        open("/dev/full", "w", encoding="utf-8") as handle,
    ):
        handle.write("a")


def test_a_file_that_is_being_written_tells_its_own_failures_from_others(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old", "utf-8")

    with pytest.raises(OSError, match="from elsewhere"):
        write_half_as_text(path, OSError("from elsewhere"))
    assert path.read_text("utf-8") == "old"
    with files.atomic_text(path) as output:
        assert output.write("n\u00e9w\r\n") == 5
        assert path.read_text("utf-8") == "old"
    assert path.read_bytes() == "n\u00e9w\r\n".encode()
    assert os.listdir(tmp_path) == ["a.txt"]
    with (
        pytest.raises(StorageError, match=r"Cannot write .*Check that the folder exists"),
        files.atomic_text(tmp_path / "no" / "a.txt"),
    ):
        pass


def test_a_full_device_is_explained_while_writing() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here")

    handle = open("/dev/full", "w", encoding="utf-8")  # noqa: SIM115 - closing it fails too
    with pytest.raises(StorageError, match=r"Cannot write x: No space left on device"):
        files.GuardedText(handle, Path("x")).write("a" * 1_000_000)
    with contextlib.suppress(OSError):
        handle.close()


def test_a_folder_that_does_not_exist_is_explained(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"Check that the folder exists and may be written to"):
        files.write_text(tmp_path / "no" / "a.txt", "a")


def test_an_error_without_words_still_says_something(tmp_path: Path) -> None:
    with (
        pytest.raises(StorageError, match=r"Cannot write .*: odd. Check"),
        files.storage_errors(tmp_path),
    ):
        raise OSError("odd")


def test_json_is_strict_readable_and_ends_with_a_newline(tmp_path: Path) -> None:
    path = tmp_path / "a.json"

    files.write_json(path, {"Freude": ["schön", 0.5, None]})

    assert files.read_json(path) == {"Freude": ["schön", 0.5, None]}
    assert "schön" in path.read_text("utf-8")
    assert path.read_text("utf-8").endswith("}\n")
    with pytest.raises(ValueError, match=r"not JSON compliant"):
        files.write_json(path, {"value": float("nan")})
    assert json.loads(path.read_text("utf-8")) == {"Freude": ["schön", 0.5, None]}


def test_a_repeated_key_is_no_json(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"a": {"b": 1, "b": 1}}', "utf-8")

    with pytest.raises(ValueError, match="the key 'b' occurs more than once in one object"):
        files.read_json(path)


def test_the_hash_is_that_of_the_content(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"abc" * 100_000)

    assert files.sha256_of(path) == hashlib.sha256(b"abc" * 100_000).hexdigest()


def test_a_64_bit_digest_never_changes() -> None:
    # Caches and the hashes of the rows that a decision was fitted on hold such numbers.
    assert files.digest_64(b"") == 0x141CFC9842C4B0E3


@pytest.mark.parametrize(
    ("content", "kind", "message"),
    [
        ({}, int, "The key 'rows' is missing"),
        ({"rows": "3"}, int, "The key 'rows' is '3'; expected a value of type int"),
        ({"rows": True}, int, "The key 'rows' is True"),
        ({"rows": 1}, dict | None, r"expected a value of type dict \| None"),
    ],
)
def test_a_stored_value_of_the_wrong_type_is_named(
    content: dict[str, object], kind: object, message: str
) -> None:
    with pytest.raises(ArtifactError, match=message):
        files.required_value(content, "rows", kind)


@pytest.mark.parametrize(
    ("value", "kind"), [(3, int), (None, dict | None), (True, bool), ([], list)]
)
def test_a_stored_value_of_the_right_type_is_returned(value: object, kind: object) -> None:
    assert files.required_value({"key": value}, "key", kind) == value


def test_a_table_of_types_reads_all_of_its_keys_and_no_others() -> None:
    content = {"rows": 3, "source": "a.csv", "other": None}

    assert files.required_values(content, {"rows": int, "source": str}) == {
        "rows": 3,
        "source": "a.csv",
    }
    with pytest.raises(ArtifactError, match="'source'"):
        files.required_values(content, {"rows": int, "source": int})


def test_files_get_the_usual_permissions(tmp_path: Path) -> None:
    (tmp_path / "usual").touch()

    files.write_text(tmp_path / "ours", "a")

    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_a_failed_write_of_safetensors_is_a_storage_error(tmp_path: Path) -> None:
    with (
        pytest.raises(StorageError, match=r"No space left.*--resume"),
        files.storage_errors(tmp_path / "a"),
    ):
        raise SafetensorError("I/O error: No space left on device")
