"""Exports of Label Studio: not annotated, nothing chosen, one choice and several are told apart."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from multihot.core.options import DataOptions
from multihot.data.labelled_file import open_labelled, read_examples
from multihot.data.readers.open_table import open_table
from multihot.data.text_stream import stream_texts
from multihot.errors import DataError

CHOSEN: list[list[str] | None] = [["a", "b, c"], ["a"], [], None]
TEXTS = ["one", "two", "three", "four"]


def task(number: int, choices: list[str] | None, annotators: int = 1, tag: str = "topic") -> Any:
    result = [
        {"value": {"choices": choices}, "from_name": tag, "to_name": "text", "type": "choices"}
    ]
    one = {"was_cancelled": False, "result": result if choices else []}
    return {
        "id": number,
        "annotations": []
        if choices is None
        else [{**one, "completed_by": 7 + rater, "id": rater} for rater in range(annotators)],
        "predictions": [],
        "data": {"text": TEXTS[number - 1]},
        "created_at": "2024-01-01T00:00:00Z",
    }


def flat(number: int, choices: list[str] | None) -> dict[str, Any]:
    record: dict[str, Any] = {"text": TEXTS[number - 1], "id": number, "created_at": "2024-01-01"}
    if choices:
        record["topic"] = choices[0] if len(choices) == 1 else {"choices": choices}
    is_annotated = choices is not None
    record |= {"annotator": 7 if is_annotated else None, "lead_time": 1.5}
    return record | {"annotation_id": number * 10 if is_annotated else None, "updated_at": "x"}


def write_tasks(path: Path, tasks: list[Any]) -> Path:
    path.write_text(json.dumps(tasks), encoding="utf-8")
    return path


def write_csv(path: Path, records: list[dict[str, Any]]) -> Path:
    columns = sorted({name for record in records for name in record})
    with path.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.DictWriter(handle, columns, quoting=csv.QUOTE_NONNUMERIC)
        writer.writeheader()
        for record in records:
            as_text = {k: json.dumps(v) if isinstance(v, dict) else v for k, v in record.items()}
            writer.writerow(as_text)
    return path


@pytest.mark.parametrize("kind", ["tasks.json", "flat.json", "flat.csv"])
def test_every_export_gives_the_same_rows(tmp_path: Path, kind: str) -> None:
    make = task if kind == "tasks.json" else flat
    records = [make(number, choices) for number, choices in enumerate(CHOSEN, start=1)]
    path = tmp_path / kind
    if kind.endswith(".csv"):
        write_csv(path, records)
    else:
        write_tasks(path, records)

    table = open_table(path, DataOptions())
    examples = read_examples(path)
    chunk = next(open_labelled(path).chunks())

    place = [table.columns.index(name) for name in ("text", "labels")]
    assert set(table.columns) == {"id", "text", "labels"}
    assert [[cells[i] for i in place] for _, cells in table.rows] == [
        list(row) for row in zip(TEXTS, CHOSEN, strict=True)
    ]
    assert any(note.startswith("Format: Label Studio") for note in table.notes)
    assert "1 rows are not annotated: their labels are unknown." in table.notes
    assert examples.ids == ["1", "2", "3", "4"]
    assert examples.labels is not None
    assert chunk.labels is not None
    assert (
        str(examples.labels.values.tolist()) == "[[1.0, 1.0], [1.0, 0.0], [0.0, 0.0], [nan, nan]]"
    )
    assert str(chunk.labels.values.tolist()) == str(examples.labels.values.tolist())
    assert [row.text for row in stream_texts(path).rows] == TEXTS


def test_several_annotators_of_a_task_are_refused_or_become_rows(tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path / "t.json", [task(1, ["a"]), task(2, ["a"], annotators=2)])
    rows = write_csv(tmp_path / "t.csv", [flat(1, ["a", "b"]), flat(1, ["a"])])

    for path, line in ((tasks, 1), (rows, 3)):
        with pytest.raises(DataError, match=r"data.group_by=id") as error:
            read_examples(path)
        assert (error.value.path, error.value.line) == (str(path), line)
        table = open_table(path, DataOptions(group_by="id"))
        assert "annotator" in table.columns
        assert len(list(table.rows)) == (3 if path is tasks else 2)


def test_one_of_several_tags_is_chosen(tmp_path: Path) -> None:
    path = write_tasks(tmp_path / "t.json", [task(1, ["a"]), task(2, ["b"], tag="tone")])
    both = write_csv(tmp_path / "t.csv", [{**flat(1, ["a", "b"]), "tone": {"choices": ["x", "y"]}}])

    for wrong in (path, both):
        with pytest.raises(DataError, match=r"data.label_column=NAME"):
            read_examples(wrong)
    table = open_table(path, DataOptions(label_column="tone"))
    assert [cells[table.columns.index("tone")] for _, cells in table.rows] == [[], ["b"]]
    table = open_table(both, DataOptions(label_column="tone"))
    assert [cells[table.columns.index("tone")] for _, cells in table.rows] == [["x", "y"]]


def test_single_choices_alone_are_read_once_their_column_is_named(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "t.csv", [flat(1, ["a, b"]), flat(2, [])])

    table = open_table(path, DataOptions(label_column="topic"))

    assert [cells[table.columns.index("topic")] for _, cells in table.rows] == [["a, b"], []]
    assert any("data.label_column=NAME" in note for note in open_table(path, DataOptions()).notes)


def test_a_skipped_task_is_not_annotated(tmp_path: Path) -> None:
    skipped = task(1, ["a"])
    skipped["annotations"][0]["was_cancelled"] = True
    table = open_table(write_tasks(tmp_path / "t.json", [skipped]), DataOptions())

    assert [cells[table.columns.index("labels")] for _, cells in table.rows] == [None]


@pytest.mark.parametrize("choices", [["a", 1], [["a"]], "a", {"a": 1}])
def test_choices_that_are_no_list_of_texts_are_refused(tmp_path: Path, choices: Any) -> None:
    tasks = write_tasks(tmp_path / "t.json", [task(1, ["b"]), task(2, choices)])
    rows = write_csv(
        tmp_path / "t.csv", [flat(1, ["b", "c"]), {**flat(2, ["b"]), "topic": {"choices": choices}}]
    )

    for path in (tasks, rows):
        with pytest.raises(DataError, match="is not a choice nor a list of choices") as error:
            read_examples(path)
        assert error.value.path == str(path)


def test_choices_of_several_parts_of_a_text_are_joined(tmp_path: Path) -> None:
    parts = json.dumps([{"start": 0, "choices": ["a"]}, {"start": 4, "choices": ["b", "a"]}])
    table = open_table(
        write_csv(tmp_path / "t.csv", [{**flat(1, ["a"]), "topic": parts}]), DataOptions()
    )

    assert [cells[table.columns.index("labels")] for _, cells in table.rows] == [["a", "b"]]
