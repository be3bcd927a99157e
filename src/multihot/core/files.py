"""Files that are either complete or absent (write aside, flush, rename), and digests."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import tempfile
import tomllib
import weakref
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

from multihot.core.staging import staged_file
from multihot.core.text_tables import cut
from multihot.errors import ArtifactError, OptionError, StorageError, shown_path

__all__ = [
    "GuardedText",
    "TemporaryFolder",
    "as_path",
    "atomic_path",
    "atomic_text",
    "digest_64",
    "flush_file",
    "flush_folder",
    "make_folder_of",
    "read_json",
    "read_table",
    "required_value",
    "required_values",
    "sha256_of",
    "storage_errors",
    "write_bytes",
    "write_json",
    "write_text",
]

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextlib.contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn a failed write of `path`, safetensors' own included, into a `StorageError` with advice."""
    from safetensors import SafetensorError

    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            advice = "The disk is full: free some space, then run the same command again."
        elif error.errno == errno.ENAMETOOLONG:
            advice = "Choose a shorter name."
        else:
            advice = "Check that the folder exists and may be written to."
        raise StorageError(
            f"Cannot write {shown_path(path)}: {error.strerror or error}. {advice}"
        ) from error
    except SafetensorError as error:
        raise StorageError(
            f"Cannot write {path}: {error}. Free some space, then run the same command again; a "
            "training run continues with --resume."
        ) from error


def make_folder_of(path: Path) -> None:
    """Make the folder that a file is to be written into; raise `StorageError` where that fails."""
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)


def as_path(path: Any, name: str) -> Path:
    """Return the path that the argument `name` of a public function is; raise `OptionError` for no path."""
    if not isinstance(path, str | os.PathLike):
        raise OptionError(f"{name} is {cut(path)}; expected a path.")
    return Path(path)


class TemporaryFolder:
    """An empty folder that lives as long as this object; a forked process leaves it alone."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="multihot-"))
        weakref.finalize(self, _remove_own, self.path, os.getpid())


def _remove_own(folder: Path, owner: int) -> None:
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)


def flush_file(path: Path) -> None:
    """Force the content of `path` to the disk (fsync)."""
    with path.open("rb+") as handle:
        os.fsync(handle.fileno())


def flush_folder(path: Path) -> None:
    """Force the entries of the folder `path` to the disk (fsync); a no-op where unsupported."""
    if os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success flush it and rename it to `path`.

    On any error the temporary file is removed and `path` keeps its previous content.
    """
    with _beside(path) as temporary, storage_errors(path):
        yield temporary
        _rename(temporary, path)


class GuardedText:
    """A text file that is being written; what fails there is a `StorageError` naming `path`."""

    def __init__(self, handle: TextIO, path: Path) -> None:
        self._handle = handle
        self._path = path

    def write(self, text: str) -> int:
        """Write as a text file does; return the number of characters."""
        with storage_errors(self._path):
            return self._handle.write(text)


@contextlib.contextmanager
def atomic_text(path: Path) -> Iterator[GuardedText]:
    """Yield a UTF-8 text file that becomes `path` when the block ends without an error.

    Unlike in `atomic_path`, an `OSError` of the block that is not about this file passes unchanged,
    for blocks that read while they write.
    """
    with _beside(path) as temporary:
        with storage_errors(path):
            handle = temporary.open("w", encoding="utf-8", newline="")
        try:
            yield GuardedText(handle, path)
            with storage_errors(path):
                handle.close()
                _rename(temporary, path)
        finally:
            with contextlib.suppress(
                OSError
            ):  # when the block failed, its error is the one to report
                handle.close()


@contextlib.contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, and remove what is left there."""
    with contextlib.ExitStack() as stack:
        with storage_errors(path):
            temporary = stack.enter_context(staged_file(path))
        yield temporary


def _rename(temporary: Path, path: Path) -> None:
    flush_file(temporary)
    os.replace(temporary, path)
    flush_folder(path.parent)


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path`, complete or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    r"""Write `content` as UTF-8 to `path`, complete or not at all.

    What UTF-8 cannot hold, such as parts of names of files in another encoding, is written as `\udce9`.
    """
    write_bytes(path, content.encode("utf-8", "backslashreplace"))


def write_json(path: Path, content: Any) -> None:
    """Write `content` as strict JSON (no NaN) to `path`, complete or not at all."""
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    # Half a surrogate pair becomes the text of its code: a reader of JSON would not take it.
    write_text(path, re.sub("[\ud800-\udfff]", lambda half: rf"\\u{ord(half[0]):04x}", text))


def read_json(path: Path) -> Any:
    """Read strict UTF-8 JSON; raises `OSError` or `ValueError`, for the caller to explain."""
    try:
        return json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=unique_keys)
    except RecursionError:
        raise ValueError("lists or objects are nested too deeply") from None


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of JSON; raise `ValueError` where a key is repeated, which readers take differently."""
    record = dict(pairs)
    if len(record) < len(pairs):
        times = Counter(name for name, _ in pairs)
        repeated = next(name for name, number in times.items() if number > 1)
        raise ValueError(f"the key {cut(repeated)} occurs more than once in one object")
    return record


def read_table(path: Path, option: str) -> dict[str, Any]:
    """Read the table in the file of the option `option`: TOML, or JSON if it ends in `.json`.

    Raises `OptionError` when the file is missing or holds anything else.
    """
    try:
        is_json = path.suffix.lower() == ".json"
        table = read_json(path) if is_json else tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise OptionError(
            f"{option}={path}: the file cannot be read: {error.strerror or error}."
        ) from None
    except (ValueError, RecursionError) as error:
        kind = "JSON" if path.suffix.lower() == ".json" else "TOML"
        raise OptionError(f"{option}={path}: the file is not valid {kind}: {error}") from None
    if not isinstance(table, dict) or not table:
        raise OptionError(f"{option}={path}: the file holds no table with a value for each label.")
    return table


def required_value(content: Mapping[str, Any], key: str, expected: Any) -> Any:
    """Return `content[key]`; raise `ArtifactError` naming the key when it is missing or mistyped.

    `expected` is a type or a union of types, as for `isinstance`; a bool is not a number.
    """
    if not isinstance(content, Mapping):
        raise ArtifactError(f"It is {cut(content)}; expected a table.")
    if key not in content:
        raise ArtifactError(f"The key '{key}' is missing. Was the folder saved completely?")
    value = content[key]
    if not isinstance(value, expected) or (isinstance(value, bool) and expected is not bool):
        name = getattr(expected, "__name__", expected)
        raise ArtifactError(f"The key '{key}' is {cut(value)}; expected a value of type {name}.")
    return value


def digest_64(content: bytes) -> int:
    """Return the first 8 bytes of the SHA-256 as a number, in little-endian order."""
    return int.from_bytes(hashlib.sha256(content).digest()[:8], "little")


def required_values(content: Mapping[str, Any], kinds: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of all keys of `kinds`, each of the type there; see `required_value`."""
    return {key: required_value(content, key, kind) for key, kind in kinds.items()}


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's content as 64 hex digits."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
