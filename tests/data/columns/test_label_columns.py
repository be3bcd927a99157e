from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pytest

from multihot.core.labels import LabelSpace
from multihot.core.options import DataOptions
from multihot.data.columns.label_plan import LabelPlan
from multihot.data.columns.label_scan import LabelScan
from multihot.data.columns.row_counts import ReadCounts
from multihot.data.labelled_file import read_examples
from multihot.data.readers.table import CellBatch
from multihot.errors import DataError, OptionError


class LabelColumns(NamedTuple):
    binary: tuple[str, ...] = ()
    names: str | None = None


def plan(
    columns: list[str],
    *rows: list[Any],
    known: list[str] | None = None,
    max_bytes: int = 1000,
    **options: Any,
) -> LabelPlan:
    """Return the plan for rows from line 2 on, read one by one, and check that it can be used."""
    data = DataOptions(**{"text_column": "text", "id_column": "id", **options})
    space = None if known is None else LabelSpace(tuple(known))
    scan = LabelScan(columns, data, space, "f", max_bytes=max_bytes)
    batches = [
        CellBatch([line], [[cell] for cell in cells]) for line, cells in enumerate(rows, start=2)
    ]
    counts = ReadCounts()
    for batch in batches:
        counts.add_texts([""] * len(batch))
        scan.update(batch, counts)
    found = scan.plan(counts, lambda: iter(batches))
    for batch in batches:
        assert len(found.matrix(batch)) == len(batch)
    return found


def find(columns: list[str], *rows: list[Any], **options: Any) -> LabelColumns:
    found = plan(columns, *rows, **options)
    if found.form is None:
        return LabelColumns(tuple(columns[column] for column in found.columns))
    return LabelColumns(names=columns[found.columns[0]])


def test_every_other_column_is_a_label_column() -> None:
    found = find(["id", "anger", "text", "joy"], ["1", "0", "a", "1.0"], ["2", "TRUE", "b", ""])

    assert found == LabelColumns(("anger", "joy"))


def test_an_index_column_is_never_a_label() -> None:
    assert find(["index", "text", "joy"], ["0", "a", "1"], ["1", "b", "0"]).binary == ("joy",)


def test_a_column_of_names_is_recognised_and_the_rest_is_unused() -> None:
    found = find(["id", "text", "Labels", "author"], ["1", "a", "joy|love", "me"])

    assert found == LabelColumns(names="Labels")


def test_a_list_under_a_label_name_goes_before_numbers_that_look_like_labels() -> None:
    found = find(["text", "labels", "retweets"], ["a", ["joy"], 0])

    assert found == LabelColumns(names="labels")


@pytest.mark.parametrize(
    ("columns", "cells", "words"),
    [
        (
            ["text", "category", "anger"],
            ["a", "news", "1"],
            "names in category, or the 0/1 columns anger",
        ),
        (["text", "tags", "label"], ["a", "x", "y"], "names in tags or label. Set"),
        (["text", "tags", "label"], ["a", ["x"], ["y"]], "names in tags or label. Set"),
    ],
)
def test_two_possible_shapes_are_an_error(columns: list[str], cells: list[Any], words: str) -> None:
    with pytest.raises(DataError, match=f"{words}.*data.label_column"):
        find(columns, cells)


def test_a_single_label_column_of_zeros_and_ones_is_an_error(tmp_path: Path) -> None:
    names = tmp_path / "names.txt"
    names.write_text("joy\nlove\n", encoding="utf-8")
    with pytest.raises(
        DataError,
        match=r"column 'label': All values are 0 or 1.*data.label_columns=label for the first",
    ):
        find(["text", "label"], ["a", "1"], ["b", "0"])
    assert find(["text", "label"], ["a", "1"], label_names=str(names)).names == "label"
    assert find(["text", "label"], ["a", ""], ["b", None], known=["joy"]).names == "label"
    assert find(["text", "joy"], ["a", "1"]).binary == ("joy",)


def test_no_label_column_is_an_error() -> None:
    with pytest.raises(DataError, match=r"There is no label column. The columns are: id, text\."):
        find(["id", "text"], ["1", "a"])


def test_a_value_that_is_no_label_names_line_column_value_and_options() -> None:
    with pytest.raises(DataError, match="f:3, column 'joy': '2' is not a label value") as error:
        find(["text", "joy", "author", "anger"], ["a", "0", "1", "0"], ["b", "2", "me", "0"])
    assert "these hold other values: author" in str(error.value)
    assert "data.ignore_columns=author" in str(error.value)


def test_the_column_that_may_hold_all_labels_is_one_with_few_different_cells() -> None:
    rows = [["a", f"order {row}", "late|dear" if row % 2 else "late"] for row in range(100)]
    with pytest.raises(DataError, match=r"set data\.label_column=remarks\.$"):
        find(["text", "order", "remarks"], *rows)


def test_the_unlabelled_official_test_file_is_recognised() -> None:
    with pytest.raises(
        DataError, match=r"f:2, column 'anger': .*unlabelled official test file.*gold"
    ):
        find(["text", "anger"], ["a", "NONE"])


def test_given_columns_are_used_and_must_exist() -> None:
    columns = ["id", "text", "joy", "spam", "subject"]
    cells = ["1", "a", "1", "0", "x"]

    assert find(columns, cells, label_columns=("joy",)) == LabelColumns(("joy",))
    assert find(columns, cells, label_column="subject") == LabelColumns(names="subject")
    with pytest.raises(DataError, match="label column 'love' is missing"):
        find(columns, cells, label_columns=("love",))
    with pytest.raises(
        DataError, match=r"no column 'subjects' \(data.label_column\). Did you mean 'subject'"
    ):
        find(columns, cells, label_column="subjects")
    with pytest.raises(OptionError, match=r"data.label_column=text is the text column"):
        find(columns, cells, text_column="text", label_column="text")
    with pytest.raises(OptionError, match="exclude each other"):
        find(columns, cells, label_column="subject", label_columns=("joy",))


def test_known_labels_are_found_by_name_and_in_their_order() -> None:
    found = find(["text", "love", "joy", "author"], ["a", "1", "0", "me"], known=["joy", "love"])

    assert found == LabelColumns(("joy", "love"))


def test_a_missing_or_further_column_is_an_error_when_labels_are_known() -> None:
    with pytest.raises(DataError, match="label column 'love' is missing"):
        find(["text", "joy"], ["a", "1"], known=["joy", "love"])
    with pytest.raises(
        DataError, match="column 'fear': These 0/1 columns are not among the known labels: fear"
    ) as error:
        find(["text", "joy", "fear"], ["a", "1", "0"], known=["joy"])
    assert "data.ignore_columns=fear" in str(error.value)
    ignoring = find(
        ["text", "joy", "fear"], ["a", "1", "0"], known=["joy"], ignore_columns=("fear",)
    )
    assert ignoring.binary == ("joy",)


def test_a_column_of_objects_leads_to_its_keys(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('{"text": "a", "meta": {"tags": ["joy"], "year": 1999}}\n', "utf-8")

    with pytest.raises(DataError, match=r"data\.label_column=meta\.tags .*meta\.year") as error:
        read_examples(path)

    assert (error.value.line, error.value.column) == (1, "meta")
    named = read_examples(path, DataOptions(label_column="meta.tags")).labels
    assert named is not None
    assert named.to_names() == [["joy"]]
