"""Read the exports of Label Studio: tasks (JSON), and one row an annotation (JSON-MIN, CSV).

Rows get a list of labels: `None` where a task is not annotated, an empty one where nothing was chosen.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from multihot.core.text_tables import cut, listed
from multihot.data.readers.jsonl import Objects
from multihot.data.readers.table import CellBatch, Table
from multihot.errors import DataError

__all__ = ["LABELS", "LabelStudio", "flat_table", "is_flat_export", "is_task", "tasks_as_rows"]

LABELS = "labels"
"""The column of the labels of tasks."""

_CHOICES = "choices"
_FLAT_COLUMNS = {"annotation_id", "annotator", "lead_time"}
_HIDDEN = {*_FLAT_COLUMNS, "created_at", "updated_at", "agreement", "history"}
_ANNOTATIONS = ("annotations", "completions")
_WAY_OUT = (
    "Keep one of them, or say how the labels of several annotators become one: data.group_by=id with "
    "data.aggregate=majority, share or union."
)


@dataclass
class LabelStudio:
    """How an export is read, and what was found in it.

    Attributes
    ----------
    path
        The file.
    tag
        Name of the tag whose choices are the labels; `None` = the only one.
    several
        Whether a task may have several annotations, each of which is a row then.
    """

    path: Path
    tag: str | None = None
    several: bool = False
    _tag: str | None = None
    _seen: dict[Any, int] = field(default_factory=dict)
    _num_rows: int = 0
    _num_without: int = 0
    _num_other: int = 0

    def again(self) -> LabelStudio:
        """Return the same, with nothing found yet."""
        return LabelStudio(self.path, self.tag, self.several)

    @property
    def column(self) -> str:
        """The name of the column of labels."""
        return self.tag or LABELS

    def notes(self) -> list[str]:
        """Say what was found, after the last row."""
        notes = []
        if self._num_without:
            notes.append(f"{self._num_without} rows are not annotated: their labels are unknown.")
        if self._num_other:
            notes.append(
                f"{self._num_other} results are not choices of this tag; they are ignored."
            )
        return notes

    def task(self, task: Mapping[str, Any], line: int) -> Iterator[dict[str, Any]]:
        """Yield the rows of a task: one, or one for each of its annotations."""
        data = task.get("data")
        if not isinstance(data, dict):
            raise self.fail(line, "This task has no `data`, unlike those before it.")
        shown = {
            (f"data.{name}" if name in (self.column, "annotator") else name): value
            for name, value in data.items()
        }
        record = {"id": task.get("id"), **shown}
        found = [item for name in _ANNOTATIONS for item in self._listed(task.get(name), name, line)]
        annotations = [annotation for annotation in found if not annotation.get("was_cancelled")]
        if len(annotations) > 1 and not self.several:
            raise self.fail(line, f"Task {cut(task.get('id'))} has several annotations. {_WAY_OUT}")
        self._num_without += not annotations
        if not annotations:
            yield {**record, **({"annotator": None} if self.several else {}), self.column: None}
        for annotation in annotations:
            who = {"annotator": annotation.get("completed_by")} if self.several else {}
            yield {**record, **who, self.column: self._chosen(annotation, line)}

    def _listed(self, value: Any, name: str, line: int) -> list[dict[str, Any]]:
        """Return a list of objects; nothing is an empty one."""
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise self.fail(line, f"`{name}` is {cut(value)}, not a list of objects.")
        return value

    def _chosen(self, annotation: Mapping[str, Any], line: int) -> list[str]:
        chosen: dict[str, None] = {}
        for result in self._listed(annotation.get("result"), "result", line):
            value = result.get("value")
            tag = str(result.get("from_name"))
            is_choice = isinstance(value, dict) and _CHOICES in value
            if not is_choice or self.tag not in (None, LABELS, tag):
                self._num_other += 1
                continue
            if self._tag not in (None, tag):
                raise self.fail(
                    line,
                    f"There are choices of several tags: {cut(self._tag)} and {cut(tag)}. Choose the one "
                    "that holds the labels with data.label_column=NAME.",
                )
            self._tag = tag
            chosen.update(dict.fromkeys(self._choices(value, line)))
        return list(chosen)

    def _choices(self, value: Any, line: int) -> list[str]:
        """Return one choice, the choices in an object, or those of each item of a list."""
        if isinstance(value, str):
            return [value]
        if isinstance(value, list):
            return list(dict.fromkeys(name for item in value for name in self._choices(item, line)))
        choices = value.get(_CHOICES) if isinstance(value, dict) else None
        if not isinstance(choices, list) or not all(isinstance(name, str) for name in choices):
            raise self.fail(line, f"{cut(value)} is not a choice nor a list of choices.")
        return choices

    def cell(self, cell: Any, row_id: Any, annotation: Any, line: int) -> list[str] | None:
        """Return the labels of a row that is an annotation."""
        if not self.several and row_id not in (None, ""):
            key = str(row_id)
            if key in self._seen:
                raise self.fail(
                    line,
                    f"Task {cut(key)} is annotated a second time; the first is in line "
                    f"{self._seen[key]}. {_WAY_OUT}",
                )
            self._seen[key] = line
        if annotation in (None, ""):
            self._num_without += 1
            return None
        if cell in (None, ""):
            return []
        return self._choices(_value_of(cell), line)

    def fail(self, line: int, message: str) -> DataError:
        """Return the error for a line."""
        return DataError(f"Label Studio: {message}", path=self.path, line=line)


def is_task(record: Mapping[str, Any]) -> bool:
    """Whether an object is a task as Label Studio exports it."""
    return isinstance(record.get("data"), dict) and any(
        isinstance(record.get(name), list) for name in _ANNOTATIONS
    )


def is_flat_export(columns: Iterable[str]) -> bool:
    """Whether columns are those of an export with one row an annotation (JSON-MIN or CSV)."""
    return set(columns) >= _FLAT_COLUMNS


def tasks_as_rows(objects: Objects, export: LabelStudio, notes: list[str]) -> Objects:
    """Yield the rows of tasks; what was found is added to the notes at the end."""
    for line, task in objects:
        for row in export.task(task, line):
            yield line, row
    notes += export.notes()


def flat_table(table: Table, export: LabelStudio) -> Table:
    """Return an export with one row an annotation as a table with a list of labels in each row.

    The labels are the choices of `export.tag`, or else of the only column in which several occur, which
    is named `labels` then. What describes the annotation is left out.

    Without such a column the cells stay as they are. Raises `DataError` where more than one may be that.
    """
    tag = export.tag if export.tag in table.columns else _tag_column(table, export)
    name = LABELS if tag != export.tag and LABELS not in table.columns else tag
    place = None if tag is None else table.columns.index(tag)
    row_id = table.columns.index("id") if "id" in table.columns else None
    annotation = table.columns.index("annotation_id")
    hidden = _HIDDEN - ({"annotator"} if export.several else set())
    kept = [number for number, name in enumerate(table.columns) if name not in hidden]
    left = [column for column in table.columns if column in hidden]
    labels = (
        "not known, since no row has several choices (data.label_column=NAME)"
        if tag is None
        else f"the choices of '{tag}'"
    )
    table.notes.append(
        f"Format: Label Studio, one row an annotation; labels: {labels}. Left out: {listed(left)}."
    )

    def batches(
        source: Iterator[CellBatch], export: LabelStudio, notes: list[str]
    ) -> Iterator[CellBatch]:
        for batch in source:
            if place is None:
                yield CellBatch(batch.lines, [batch.cells[number] for number in kept])
                continue
            ids: Sequence[Any] = [None] * len(batch) if row_id is None else batch.cells[row_id]
            labels = [
                export.cell(cell, key, number, line)
                for cell, key, number, line in zip(
                    batch.cells[place], ids, batch.cells[annotation], batch.lines, strict=True
                )
            ]
            cells = [labels if number == place else batch.cells[number] for number in kept]
            yield CellBatch(batch.lines, cells)
        notes += export.notes()

    read_again = table.again
    return replace(
        table,
        columns=tuple(
            name if name and number == place else table.columns[number] for number in kept
        ),
        batches=batches(table.batches, export, table.notes),
        again=None if read_again is None else lambda: batches(read_again(), export.again(), []),
    )


def _tag_column(table: Table, export: LabelStudio) -> str | None:
    """Return the only column in which several choices occur; `None` without any."""
    assert table.again is not None
    found = dict[str, None]()
    for batch in table.again():
        for name, cells in zip(table.columns, batch.cells, strict=True):
            if name not in found and any(map(_holds_choices, cells)):
                found[name] = None
    if len(found) > 1:
        raise DataError(
            f"Label Studio: several columns hold choices: {listed(list(found))}. Choose the one that holds "
            "the labels with data.label_column=NAME.",
            path=export.path,
        )
    return next(iter(found), None)


def _value_of(cell: Any) -> Any:
    """Return what a cell holds as JSON; a single choice is no JSON."""
    if isinstance(cell, str) and cell[:1] in ("{", "["):
        try:
            return json.loads(cell)
        except (ValueError, RecursionError):
            return cell
    return cell


def _holds_choices(cell: Any) -> bool:
    value = _value_of(cell)
    items = value if isinstance(value, list) else [value]
    return any(isinstance(item, dict) and _CHOICES in item for item in items)
