"""Several lines for one text: the labels of their annotators become one, as asked and never in silence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from multihot.core.options import DataOptions
from multihot.data.examples import Examples, portable
from multihot.data.labelled_file import open_labelled, read_examples
from multihot.errors import DataError, OptionError

nan = np.nan

BY_RATER = (
    "id,text,rater_id,joy,anger\n"
    "7,a,1,1,0\n7,a,2,0,0\n7,a,3,0,\n"  # joy 1 of 3, anger 0 of 2 known
    "8,b,1,1,1\n8,b,2,0,1\n"
)


def written(folder: Path, content: str, name: str = "t.csv") -> Path:
    path = folder / name
    path.write_text(content, "utf-8")
    return path


def values(examples: Examples) -> npt.NDArray[np.float32]:
    assert examples.labels is not None
    return examples.labels.values


def read(folder: Path, content: str, **options: object) -> Examples:
    return read_examples(written(folder, content), DataOptions(**options))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [[1, 0], [1, 1]]),
        ({"aggregate": "union"}, [[1, 0], [1, 1]]),
        ({"soft_labels": True}, [[1 / 3, 0], [0.5, 1]]),
        ({"aggregate": "share"}, [[1 / 3, 0], [0.5, 1]]),
        ({"aggregate": "majority"}, [[0, 0], [nan, 1]]),
    ],
)
def test_lines_of_raters_become_one_as_asked(
    tmp_path: Path, options: dict[str, object], expected: list[list[float]]
) -> None:
    given = {"group_by": "id", "ignore_columns": ("rater_id",), **options}

    found = read(tmp_path, BY_RATER, **given)

    np.testing.assert_allclose(values(found), expected, rtol=1e-6)
    assert found.texts == ["a", "b"]
    assert any("data.aggregate=union" in note for note in found.notes) == (
        options.get("aggregate", "union") == "union" and not options.get("soft_labels")
    )
    streamed = open_labelled(tmp_path / "t.csv", portable(found.data))
    assert streamed.data.soft_labels == (
        options.get("aggregate") == "share" or "soft_labels" in options
    )
    [chunk] = streamed.chunks()
    np.testing.assert_allclose(values(chunk), expected, rtol=1e-6)


def test_names_of_one_line_per_rater_are_counted_by_lines(tmp_path: Path) -> None:
    lines = "id,text,labels\n7,a,joy|love\n7,a,joy\n7,a,\n8,b,fear\n"

    found = read(tmp_path, lines, group_by="id", aggregate="share")

    np.testing.assert_allclose(values(found), [[0, 2 / 3, 1 / 3], [1, 0, 0]], rtol=1e-6)


ONE_LABEL_A_LINE = "id,text,annotator_id,label\n7,a,ann,joy\n7,a,ann,love\n7,a,bob,joy\n8,b,ann,joy\n8,b,bob,fear\n"


def test_lines_of_one_annotator_count_once(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        ONE_LABEL_A_LINE,
        group_by="id",
        label_column="label",
        annotator_column="annotator_id",
        aggregate="share",
    )

    np.testing.assert_allclose(values(found), [[0, 1, 0.5], [0.5, 0.5, 0]])


def test_lines_that_may_or_may_not_be_annotators_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"data.annotator_column=annotator_id.*data.ignore_columns=annotator_id"
    ) as error:
        read(tmp_path, ONE_LABEL_A_LINE, group_by="id", label_column="label", aggregate="majority")

    assert (error.value.line, error.value.column) == (3, "annotator_id")
    found = read(tmp_path, ONE_LABEL_A_LINE, group_by="id", label_column="label")
    np.testing.assert_array_equal(values(found), [[0, 1, 1], [1, 1, 0]])


VOTES = (
    "id,text,emotion,A-1,A-2,A-3\n"
    "7,a,joy,1,2,0\n7,a,fear,0,0,\n"
    "8,b,joy,0,0,1\n8,b,fear,3,1,1\n"
    "9,c,joy,,,\n"
)
ON_EMOTION = {"group_by": "id", "label_column": "emotion", "vote_columns": ("A-1", "A-2", "A-3")}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"aggregate": "share"}, [[0, 2 / 3], [1, 1 / 3], [0, nan]]),
        ({"aggregate": "majority"}, [[0, 1], [1, 0], [0, nan]]),
        ({}, [[0, 1], [1, 1], [0, nan]]),
        ({"votes": 3}, [[0, 3 / 9], [5 / 9, 1 / 9], [0, nan]]),
    ],
)
def test_votes_on_the_label_of_a_line_are_aggregated(
    tmp_path: Path, options: dict[str, object], expected: list[list[float]]
) -> None:
    found = read(tmp_path, VOTES, **ON_EMOTION, **options)

    np.testing.assert_allclose(values(found), expected, rtol=1e-6)


def test_votes_that_would_be_dropped_are_refused_with_both_readings(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data.vote_columns=A-1,A-2,A-3.*data.ignore_columns=A-1"):
        read(tmp_path, VOTES, group_by="id", label_column="emotion")

    ignored = ("A-1", "A-2", "A-3")
    found = read(tmp_path, VOTES, group_by="id", label_column="emotion", ignore_columns=ignored)
    np.testing.assert_array_equal(values(found), [[1, 1], [1, 1], [0, 1]])
    one = "text,label,value\na,joy,1\na,fear,0\n"
    with pytest.raises(DataError, match=r"data.vote_columns=value"):
        read(tmp_path, one, group_by="text", label_column="label")
    with pytest.raises(DataError, match=r"data.vote_columns=Stimme"):  # 0 and 1 alone
        read(tmp_path, one.replace("value", "Stimme"), group_by="text", label_column="label")
    sentiment = "text,label,sentiment\na,joy,1\na,fear,-1\n"
    assert len(read(tmp_path, sentiment, group_by="text", label_column="label")) == 1


def test_votes_of_one_annotator_a_line(tmp_path: Path) -> None:
    lines = "text,who,label,value\na,1,joy,1\na,1,fear,0\na,2,joy,1\na,2,fear,1\na,3,fear,\n"

    found = read(
        tmp_path,
        lines,
        group_by="text",
        label_column="label",
        annotator_column="who",
        vote_columns=("value",),
        aggregate="share",
    )

    np.testing.assert_allclose(values(found), [[0.5, 2 / 3]], rtol=1e-6)  # fear: unknown of 3


@pytest.mark.parametrize(("cell", "votes"), [("4", 3), ("1.5", 3), ("many", None), ("-2", None)])
def test_a_cell_that_is_no_vote_is_refused(tmp_path: Path, cell: str, votes: int | None) -> None:
    with pytest.raises(DataError, match="is not a vote") as error:
        read(tmp_path, VOTES.replace("3,1,1", f"{cell},1,1"), **ON_EMOTION, votes=votes)

    assert (error.value.line, error.value.column) == (5, "A-1")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"aggregate": "mean", "group_by": "id"}, "union, majority, share"),
        ({"aggregate": "share"}, "data.group_by"),
        ({"annotator_column": "rater_id"}, "data.group_by"),
        ({"vote_columns": ("joy",), "group_by": "id"}, "data.label_column"),
    ],
)
def test_options_that_lack_others_name_them(
    tmp_path: Path, options: dict[str, object], named: str
) -> None:
    with pytest.raises(OptionError, match=named):
        read(tmp_path, BY_RATER, **options)


def test_a_column_that_says_who_labelled_is_no_label(tmp_path: Path) -> None:
    found = read(tmp_path, "text,rater,joy\na,0,1\na,1,0\n", group_by="text", aggregate="share")

    np.testing.assert_array_equal(values(found), [[0.5]])
