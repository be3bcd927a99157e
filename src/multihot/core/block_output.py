"""A file that is written block by block, so that a killed run continues with the next block.

NAME.partial        the blocks so far; renamed to NAME behind the last one
NAME.record.json    what the file is made from, and how much of NAME.partial is certain

A block is appended and flushed before the record counts it; what a kill left behind it is cut off.
Whoever writes holds a lock on NAME.partial.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

from multihot.core.files import (
    flush_folder,
    read_json,
    required_values,
    sha256_of,
    storage_errors,
    write_json,
)
from multihot.core.staging import lock_descriptor
from multihot.core.text_tables import cut, cut_digest
from multihot.errors import ArtifactError, OptionError, UserError

__all__ = [
    "RECORD_ENDING",
    "BlockOutput",
    "BlockRecord",
    "check_beginning",
    "forget_blocks",
    "partial_path",
    "read_block_record",
    "record_path",
    "refuse_difference",
]

RECORD_ENDING = ".record.json"
"""What the name of an output has added in that of its record."""

_FORMAT_VERSION = 1
_HASHED_BYTES = 1 << 20


@dataclass(frozen=True)
class BlockRecord:
    """How much of an output is written, and from what it is made."""

    made_of: dict[str, Any]
    """What has to be equal where a run continues, and in all shards."""
    first_row: int
    """The first row of the input, counted from 0."""
    num_rows: int
    """The rows that the output has when it is complete."""
    done_rows: int = 0
    done_bytes: int = 0
    header_bytes: int = 0
    """How much of the beginning is the header of a table."""
    sha256: str = ""
    """Of the first `done_bytes` of the blocks, or of the finished file."""
    num_truncated: int = 0
    finished: bool = False


def record_path(path: Path) -> Path:
    """Return the place of the record of an output."""
    return path.with_name(path.name + RECORD_ENDING)


def partial_path(path: Path) -> Path:
    """Return the place of the blocks of an output that is not complete."""
    return path.with_name(path.name + ".partial")


def read_block_record(path: Path) -> BlockRecord:
    """Return the record in a file; raise `OptionError` where it is none."""
    kinds = {
        "made_of": dict,
        "first_row": int,
        "num_rows": int,
        "done_rows": int,
        "done_bytes": int,
        "header_bytes": int,
        "sha256": str,
        "num_truncated": int,
        "finished": bool,
    }
    try:
        content = read_json(path)
        version = content.get("format_version") if isinstance(content, dict) else None
        if version != _FORMAT_VERSION:
            raise ArtifactError(
                f"its format_version is {cut(version)}; expected {_FORMAT_VERSION}."
            )
        return BlockRecord(**required_values(content, kinds))
    except (OSError, ValueError) as error:
        raise OptionError(
            f"{path} is no record of an output: {str(error).rstrip('.')}. Write its file again with --force."
        ) from None


def check_beginning(path: Path, flag: str, *, resume: bool, force: bool) -> None:
    """Raise `OptionError` where an output may not be begun or continued."""
    record, partial = record_path(path), partial_path(path)
    if resume and force:
        raise OptionError("--resume keeps what is done, and --force begins anew: give one of them.")
    for each in (path, record, partial):
        if os.path.exists(each) and not each.is_file():
            raise OptionError(f"{flag} {each} is no file.")
    if resume and path.exists() and not os.path.exists(record):
        raise OptionError(
            f"{path} exists without {record.name}, so nothing says what it was made from. Choose another "
            f"{flag}, or replace --resume by --force."
        )
    if resume or force:
        return
    if path.exists():
        raise OptionError(
            f"{path} exists. Choose another {flag}, or add --force to replace it, or --resume to keep it "
            "if it is complete."
        )
    if os.path.exists(partial) and os.path.exists(record):
        known = read_block_record(record)
        raise OptionError(
            f"{path} is unfinished: {known.done_rows} of {known.num_rows} rows are written. Add --resume "
            "to continue, or --force to begin anew."
        )


def forget_blocks(path: Path) -> None:
    """Remove the record of an output that was written anew in one go, and blocks that an earlier run left."""
    with storage_errors(path):
        for each in (record_path(path), partial_path(path)):
            if os.path.lexists(each):  # not where the name is too long, so that there is none
                each.unlink()


def refuse_difference(path: Path, there: Mapping[str, Any], here: Mapping[str, Any]) -> None:
    """Raise `OptionError` where an output was made from something else."""
    if different := differences(there, here, " there", " here"):
        raise OptionError(
            f"{path} was made differently: {different}. Use what it was made with, or choose another "
            "--output, or add --force to write this one all the same."
        )


def differences(
    one: Mapping[str, Any], other: Mapping[str, Any], of_one: str, of_other: str
) -> str:
    """Say in what two outputs were made differently; nothing where they were not."""
    different = [key for key in {**one, **other} if one.get(key) != other.get(key)]
    names = {"model": "the model folder", "input": "the input", "rows": "the number of rows"}
    names |= {"shards": "the number of shards", "multihot_version": "the version of multihot"}
    return "; ".join(
        f"{names.get(key, key)} is {cut_digest(one.get(key))}{of_one} and "
        f"{cut_digest(other.get(key))}{of_other}"
        for key in different[:3]
    )


class BlockOutput:
    """An output that is being written; a context manager that keeps what is done.

    Parameters
    ----------
    path
        The output.
    fresh
        What it is made from.
    resume
        Continue what is there; otherwise it is begun anew.

    Raises
    ------
    OptionError
        Another process writes it, or what is there was made differently or changed since.
    StorageError
        It cannot be written.
    """

    def __init__(self, path: Path, fresh: BlockRecord, *, resume: bool) -> None:
        self.path = path
        self.record = fresh
        self._partial = partial_path(path)
        self._digest = hashlib.sha256()
        self._pending: list[str] = []
        self._is_locked = False
        with storage_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._handle: BinaryIO | None = self._partial.open("ab+")
        try:
            self._is_locked = lock_descriptor(self._handle.fileno())
            if not self._is_locked:
                raise OptionError(f"{path} is being written by another process.")
            self._begin(resume=resume)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> BlockOutput:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Let other processes continue the file."""
        if self._handle is None:
            return
        is_left_over = (
            self._is_locked
            and os.fstat(self._handle.fileno()).st_size == 0
            and (self.record.finished or not record_path(self.path).exists())
        )
        self._handle.close()
        self._handle = None
        if is_left_over:
            self._partial.unlink(missing_ok=True)

    def _begin(self, *, resume: bool) -> None:
        place = record_path(self.path)
        if not resume or not place.exists():
            with storage_errors(self.path):
                self._file.truncate(0)
            self._write_record(self.record)
            return
        known = read_block_record(place)
        refuse_difference(self.path, known.made_of, self.record.made_of)
        # Without blocks, a kill may have come between the output's renaming and the record of that.
        may_be_complete = known.finished or os.fstat(self._file.fileno()).st_size == 0
        is_there = known.sha256 and self.path.is_file() and may_be_complete
        if is_there and sha256_of(self.path) == known.sha256:
            self._file.truncate(0)
            self._write_record(replace(known, finished=True))
        elif known.finished:
            raise self._changed()
        else:
            self._keep(known)

    def _keep(self, known: BlockRecord) -> None:
        """Continue behind what the record says is certain."""
        self._file.seek(0)
        left = known.done_bytes
        while left and (piece := self._file.read(min(left, _HASHED_BYTES))):
            self._digest.update(piece)
            left -= len(piece)
        if left or (known.sha256 and self._digest.hexdigest() != known.sha256):
            raise self._changed()
        with storage_errors(self.path):
            self._file.truncate(known.done_bytes)
        self.record = known

    def _changed(self) -> UserError:
        return OptionError(
            f"{self.path} or its blocks were changed or removed since they were written. Replace --resume by "
            "--force to begin anew."
        )

    @property
    def _file(self) -> BinaryIO:
        assert self._handle is not None
        return self._handle

    def _write_record(self, record: BlockRecord) -> None:
        write_json(record_path(self.path), {"format_version": _FORMAT_VERSION, **asdict(record)})
        self.record = record

    def write(self, text: str) -> int:
        """Take a part of the current block; return the number of characters."""
        self._pending.append(text)
        return len(text)

    def end_header(self) -> None:
        """Say that what was written so far is the header."""
        header = len("".join(self._pending).encode("utf-8"))
        self.record = replace(self.record, header_bytes=header)

    def commit(self, num_rows: int, *, num_truncated: int = 0) -> None:
        """Add the current block, which has so many rows, to what a later run keeps."""
        content = "".join(self._pending).encode("utf-8")
        self._pending.clear()
        with storage_errors(self.path):
            self._file.write(content)
            self._file.flush()
            os.fsync(self._file.fileno())
        self._digest.update(content)
        self._write_record(
            replace(
                self.record,
                done_rows=self.record.done_rows + num_rows,
                done_bytes=self.record.done_bytes + len(content),
                sha256=self._digest.hexdigest(),
                num_truncated=self.record.num_truncated + num_truncated,
            )
        )

    def finish(self, convert: Callable[[Path], None] | None = None) -> None:
        """Give the output its name; `convert` writes it from the blocks where it is no plain file of them."""
        if convert is not None:
            convert(self._partial)
            self._write_record(replace(self.record, sha256=sha256_of(self.path), finished=True))
            with storage_errors(self.path):
                self._file.truncate(0)
            return
        with storage_errors(self.path):
            if os.name == "nt":  # where an open file cannot be renamed
                self._file.close()
                self._handle = None
            os.replace(self._partial, self.path)
            flush_folder(self.path.parent)
        if self._handle is not None:
            self._handle.close()
            self._handle = None
        self._write_record(replace(self.record, finished=True))
