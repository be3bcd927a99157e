"""Apply a table of corrected labels to a copy of the file that was audited."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from multihot.core.files import as_path, sha256_of
from multihot.core.options import DataOptions
from multihot.core.text_tables import cut, listed
from multihot.data.checked_file import CheckedFile
from multihot.data.correcting.copy import copy_corrected, corrected_ending, open_for_correction
from multihot.data.correcting.record import (
    Change,
    changes_path,
    now,
    read_record,
    text_mark,
    write_record,
)
from multihot.data.correcting.source import RowChanges
from multihot.data.correcting.table import Correction, read_correction_table, shown_value
from multihot.data.examples import Examples
from multihot.data.readers.table import nearest
from multihot.errors import DataError, OptionError
from multihot.evaluation.audit_report import CorrectionReport

__all__ = ["apply_corrections"]


def apply_corrections(
    path: str | Path,
    table: str | Path,
    output: str | Path,
    *,
    data: DataOptions | None = None,
    accept: float | None = None,
    force: bool = False,
) -> CorrectionReport:
    """Write a copy of a labelled file with the labels that a table of an audit corrects.

    The file itself is never written to. Beside the copy, `NAME.changes.jsonl` records every decision:
    those of the file's own record, then those of the table.

    Parameters
    ----------
    path
        The file that was audited, unchanged since.
    table
        The table, whose column `corrected` has been filled in where somebody has decided.
    output
        The copy, in the format of the file.
    data
        How to read the file, as it was for the audit.
    accept
        Cells that nobody filled are corrected as suggested if their score is at least this.
    force
        Whether `output` is replaced, as long as no decision in its record is lost.

    Raises
    ------
    OptionError
        An output is wrong, or nothing is filled in.
    DataError
        The table does not fit the file; the error names its line.
    StorageError
        A file cannot be written; then no file appears.
    """
    source, target = as_path(path, "path"), as_path(output, "output")
    place, data = as_path(table, "table"), data or DataOptions()
    if accept is not None and not 0 <= accept <= 1:
        raise OptionError(f"accept={accept}; expected a score between 0 and 1.")
    if not source.is_file():
        raise DataError("There is no such file.", path=source)
    _check_output(source, target, data, force=force)
    digest = sha256_of(source)
    corrections = read_correction_table(place, digest, accept=accept)
    if not corrections and accept is not None:
        raise OptionError(
            f"No suggestion of {place} has a score of {accept:g} or more, and no cell of its column 'corrected' "
            "is filled in, so there is nothing to apply: accept a lower score, or fill cells in."
        )
    if not corrections:
        raise OptionError(
            f"No cell of the column 'corrected' of {place} is filled in, so there is nothing to apply: write "
            "1, 0 or unknown there, or take suggestions with --accept SCORE."
        )
    file = open_for_correction(path, data)
    before, earlier = read_record(changes_path(source))
    changes = _changes(file, corrections, place, source, digest)
    _refuse_loss(
        target, {*earlier, *((c.text_sha256, c.label, c.to_json()["to"]) for c in changes)}
    )
    notes = copy_corrected(
        file,
        data,
        _by_row(changes, corrections, place),
        target,
        # First the record: a command that is killed leaves no copy whose decisions nobody knows.
        at_last=lambda: write_record(changes_path(target), before, changes),
    )
    kinds = [(each.label, _kind(each)) for each in changes if not _is_same(each.before, each.after)]
    labels: dict[str, dict[str, int]] = {}
    for (label, kind), number in sorted(Counter(kinds).items()):
        labels.setdefault(label, {})[kind] = number
    return CorrectionReport(
        source=str(path),
        output=str(target),
        record=str(changes_path(target)),
        changed=len(kinds),
        confirmed=len(changes) - len(kinds),
        labels=labels,
        earlier=before.count("\n"),
        notes=(*file.notes(), *notes),
    )


def _check_output(source: Path, target: Path, data: DataOptions, *, force: bool) -> None:
    ending = corrected_ending(source, data)
    if not target.name.lower().endswith(ending.lower()) or target.name == ending:
        raise OptionError(
            f"{target} would have the form of {source.name}: choose a name for it that ends in {ending}."
        )
    if target.is_dir() or (target.exists() and not target.is_file()):
        raise OptionError(f"{target} is no file. Choose another --output.")
    if target.exists() and target.samefile(source):
        raise OptionError(
            f"{target} is the file itself, which stays as it is. Choose another --output."
        )
    if target.exists() and not force:
        raise OptionError(
            f"{target} exists. Choose another --output, or add --force to replace it."
        )


def _refuse_loss(target: Path, kept: set[tuple[str, str, float | None]]) -> None:
    """Raise `OptionError` where the record of a file to replace has decisions that would be lost."""
    lost = [key for key in read_record(changes_path(target))[1] if key not in kept]
    if lost:
        labels = listed(sorted({label for _, label, _ in lost}))
        raise OptionError(
            f"{target} has decisions about {len(lost)} cells, by {changes_path(target).name}, that the table has "
            f"not (labels: {labels}). Fill them in there, choose another --output, or audit {target} and "
            "correct that."
        )


def _changes(
    file: CheckedFile,
    corrections: Sequence[Correction],
    table: Path,
    source: Path,
    digest: str,
) -> list[Change]:
    """Compare a table with the file, and return what it decides; raise `DataError` with its line."""
    assert file.plan is not None
    space, wanted = file.plan.space, dict[int, list[Correction]]()
    for each in corrections:
        if not 1 <= each.row <= file.num_rows:
            raise DataError(
                f"There is no row {each.row}: {source.name} has the rows 1 to {file.num_rows}.",
                path=table,
                line=each.place,
                column="row",
            )
        if each.label not in space.columns:
            raise DataError(
                f"The label '{each.label}' is unknown.{nearest(each.label, space.names)} The labels of "
                f"{source.name} are: {listed(space.names)}.",
                path=table,
                line=each.place,
                column="label",
            )
        wanted.setdefault(each.row - 1, []).append(each)
    time, marks = now(), sha256_of(table)
    found: dict[tuple[int, str], Change] = {}
    start = 0
    for chunk in file.chunks(1024):
        for row in range(start, start + len(chunk)):
            for each in wanted.get(row, ()):
                value = _given(chunk, row - start, each, table)
                found[each.row, each.label] = Change(
                    time=time,
                    file=source.name,
                    file_sha256=digest,
                    table=table.name,
                    table_sha256=marks,
                    row=each.row,
                    line=chunk.lines[row - start],
                    row_id=chunk.ids[row - start],
                    text_sha256=text_mark(chunk.texts[row - start]),
                    label=each.label,
                    before=value,
                    after=each.corrected,
                    suggested=each.suggested,
                    score=each.score,
                    reason=each.reason,
                )
        start += len(chunk)
    return [found[each.row, each.label] for each in corrections]


def _given(chunk: Examples, row: int, correction: Correction, table: Path) -> float:
    assert chunk.labels is not None
    if _is_another_row(correction, chunk.ids[row], chunk.texts[row]):
        raise DataError(
            f"Row {correction.row} of the file has another id, {cut(chunk.ids[row])}, and another text than the "
            "table says. The numbers of rows may have been sorted or filled without the other columns: take "
            "the table that was written, and sort whole rows.",
            path=table,
            line=correction.place,
            column="row",
        )
    value = float(chunk.labels.values[row, chunk.labels.space.index(correction.label)])
    if shown_value(value) != shown_value(correction.given):
        raise DataError(
            f"The table says that row {correction.row} has {shown_value(correction.given)} for "
            f"'{correction.label}', but the file has {shown_value(value)}. Rows may have been exchanged, or the "
            "file is read with other options than it was audited with.",
            path=table,
            line=correction.place,
            column="given",
        )
    return value


def _is_another_row(correction: Correction, row_id: str, text: str) -> bool:
    """Return whether a table shows neither the id nor the text of a row.

    One of them is enough: spreadsheets rewrite ids that look like numbers or dates.
    """
    if correction.row_id is None or correction.text is None:
        return False
    return correction.row_id.strip() != row_id.strip() and (correction.text.split() != text.split())


def _by_row(
    changes: Sequence[Change], corrections: Sequence[Correction], table: Path
) -> dict[int, RowChanges]:
    rows: dict[int, RowChanges] = {}
    for change, correction in zip(changes, corrections, strict=True):
        if _is_same(change.before, change.after):
            continue
        own = rows.setdefault(change.row - 1, RowChanges({}, table, correction.place))
        rows[change.row - 1] = replace(own, values={**own.values, change.label: change.after})
    return rows


def _is_same(one: float, other: float) -> bool:
    return bool(np.isclose(one, other, equal_nan=True))


def _kind(change: Change) -> str:
    if np.isnan(change.after):
        return "unknown"
    return {1.0: "added", 0.0: "removed"}.get(change.after, "other")
