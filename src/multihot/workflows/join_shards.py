"""Put the shards of an output together, complete or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from multihot.core.block_output import (
    RECORD_ENDING,
    BlockRecord,
    differences,
    read_block_record,
)
from multihot.core.files import atomic_path, sha256_of
from multihot.core.shards import Shard, shard_path, shards_beside
from multihot.core.text_tables import listed
from multihot.errors import DataError, OptionError

__all__ = ["Joined", "join_shards"]

_COPIED_BYTES = 1 << 20


@dataclass(frozen=True)
class Joined:
    """What was put together."""

    num_rows: int
    num_shards: int
    notes: tuple[str, ...] = ()


def join_shards(output: Path) -> Joined:
    """Write `output` from its shards, which stay; header lines are those of the first shard.

    Raises
    ------
    OptionError
        Shards are missing or unfinished, or were made differently.
    DataError
        A shard was changed since it was written.
    StorageError
        The output cannot be written.
    """
    records = _records(output)
    paths = [shard_path(output, shard) for shard in records]
    for path, record in zip(paths, records.values(), strict=True):
        if not path.is_file() or sha256_of(path) != record.sha256:
            raise DataError(
                "This shard was changed or removed since it was written. Write it again with --force.",
                path=path,
            )
    num_rows = sum(record.num_rows for record in records.values())
    if output.suffix.lower() == ".xlsx":
        return Joined(num_rows, len(paths), _join_workbooks(output, paths))
    with atomic_path(output) as temporary, temporary.open("wb") as joined:
        for path, record in zip(paths, records.values(), strict=True):
            with path.open("rb") as part:
                part.seek(record.header_bytes if joined.tell() else 0)
                shutil.copyfileobj(part, joined, _COPIED_BYTES)
    return Joined(num_rows, len(paths))


def _records(output: Path) -> dict[Shard, BlockRecord]:
    """Return the records of all shards in order; raise `OptionError` where one cannot be joined."""
    records = {
        shard: read_block_record(place)
        for shard, place in shards_beside(output, RECORD_ENDING).items()
    }
    counts = sorted({shard.count for shard in records})
    if not counts:
        example = shard_path(output, Shard(1, 16))
        raise OptionError(
            f"{output} has no shards: there is no file such as {example}{RECORD_ENDING} beside it. Name "
            "the --output that the shards were given, and copy the records of shards along with them."
        )
    if len(counts) > 1:
        raise OptionError(
            f"{output} has shards of {listed(counts)}. Remove those that do not belong to it."
        )
    _refuse_others(output, records)
    missing = [str(n) for n in range(1, counts[0] + 1) if Shard(n, counts[0]) not in records]
    unfinished = [
        f"{shard.number} ({record.done_rows} of {record.num_rows} rows)"
        for shard, record in records.items()
        if not record.finished
    ]
    if missing or unfinished:
        kinds = ((missing, "missing"), (unfinished, "unfinished"))
        said = "; ".join(f"{kind}: {listed(names)}" for names, kind in kinds if names)
        raise OptionError(f"{output} has not all of its {counts[0]} shards. {said}.")
    _refuse_gaps(output, records)
    return records


def _refuse_others(output: Path, records: Mapping[Shard, BlockRecord]) -> None:
    """Raise `OptionError` for a shard that was made differently from most."""
    found = [record.made_of for record in records.values()]
    usual = max(found, key=found.count)
    like = next(shard for shard, record in records.items() if record.made_of == usual)
    for shard, record in records.items():
        if different := differences(record.made_of, usual, "", f" in {shard_path(output, like)}"):
            raise OptionError(
                f"{shard_path(output, shard)} was made differently from other shards: {different}. "
                "Write the one that is wrong again, by predict with its --shard and --force."
            )


def _refuse_gaps(output: Path, records: dict[Shard, BlockRecord]) -> None:
    """Raise `OptionError` unless every row is in exactly one shard."""
    expected = 0
    for shard, record in records.items():
        if record.first_row != expected:
            raise OptionError(
                f"{shard_path(output, shard)} begins with row {record.first_row + 1}; expected "
                f"{expected + 1}."
            )
        expected += record.num_rows
    total = next(iter(records.values())).made_of.get("rows")
    if expected != total:
        raise OptionError(f"The shards of {output} have {expected} rows; the input has {total}.")


def _join_workbooks(output: Path, paths: Sequence[Path]) -> tuple[str, ...]:
    """Write one workbook with the rows of several; return what could not be kept."""
    import openpyxl

    from multihot.data.workbook_writer import WorkbookWriter

    with closing(WorkbookWriter(output)) as writer:
        for number, path in enumerate(paths):
            with path.open("rb") as handle:
                book = openpyxl.load_workbook(handle, read_only=True)
                for row, cells in enumerate(book.worksheets[0].iter_rows()):
                    if row or not number:
                        writer.append([writer.copied(cell) for cell in cells])
                book.close()
        with atomic_path(output) as temporary:
            writer.save(temporary)
        return tuple(writer.notes())
