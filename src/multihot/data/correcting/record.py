"""What was corrected in a file, when, from what to what: JSON lines beside the file, never shortened."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from multihot.core.files import write_text
from multihot.core.text_tables import cut
from multihot.errors import DataError

__all__ = [
    "Change",
    "changes_path",
    "now",
    "read_record",
    "settled_key",
    "text_mark",
    "write_record",
]

_KEYS = ("text_sha256", "label", "to")


@dataclass(frozen=True)
class Change:
    """A cell that somebody decided about; where `before` equals `after`, what was given is right."""

    time: str
    """UTC, ISO 8601."""
    file: str
    file_sha256: str
    table: str
    table_sha256: str
    row: int
    line: int
    row_id: str
    text_sha256: str
    label: str
    before: float
    after: float
    suggested: float
    score: float | None
    reason: str

    def to_json(self) -> dict[str, Any]:
        """Return the object of its line; an unknown value is null."""
        return {
            "time": self.time,
            "file": self.file,
            "file_sha256": self.file_sha256,
            "table": self.table,
            "table_sha256": self.table_sha256,
            "row": self.row,
            "line": self.line,
            "id": self.row_id,
            "text_sha256": self.text_sha256,
            "label": self.label,
            "from": _plain(self.before),
            "to": _plain(self.after),
            "suggested": _plain(self.suggested),
            "score": self.score,
            "reason": self.reason,
        }


def _plain(value: float) -> float | int | None:
    if math.isnan(value):
        return None
    return int(value) if value in (0, 1) else round(value, 6)


def changes_path(path: Path) -> Path:
    """Return where the record of a file is: beside it, as `NAME.changes.jsonl`."""
    return path.with_name(f"{path.name}.changes.jsonl")


def now() -> str:
    """Return the time for a record."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def text_mark(text: str) -> str:
    """Return what stands for a text in a record, wherever its row goes."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def settled_key(mark: str, label: str, value: float) -> tuple[str, str, float | None]:
    """Return what finds a decision about a cell of a text with this mark again in `read_record(...)`."""
    return mark, label, _plain(value)


def read_record(path: Path) -> tuple[str, dict[tuple[str, str, float | None], int]]:
    """Return the lines of a record as they are, and the number of the line that settled each cell.

    An empty record where there is no file. Raises `DataError` for a line that is none of a record.
    """
    if not path.is_file():
        return "", {}
    try:
        content = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"The record of corrections cannot be read: {error}.", path=path) from None
    settled = {}
    for number, entry in _entries(content, path):
        settled[entry["text_sha256"], entry["label"], entry["to"]] = number
    return content if content.endswith("\n") or not content else f"{content}\n", settled


def _entries(content: str, path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(content.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            entry = None
        kinds = {"text_sha256": str, "label": str, "to": int | float | None}
        if not isinstance(entry, dict) or not all(
            key in entry and isinstance(entry[key], kind) for key, kind in kinds.items()
        ):
            raise DataError(
                f"{cut(line)} is no line of a record of corrections, which has the keys "
                f"{', '.join(_KEYS)} and others. Restore it, or move the record away: cells that it "
                "settled may then be suspected again.",
                path=path,
                line=number,
            )
        yield number, entry


def write_record(path: Path, before: str, changes: Iterable[Change]) -> None:
    """Write a record, complete or not at all: the lines it had, then the changes."""
    lines = (json.dumps(each.to_json(), ensure_ascii=False) for each in changes)
    write_text(path, before + "".join(f"{line}\n" for line in lines))
