from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import scipy.sparse

from multihot.core.labels import LabelSpace
from multihot.data.in_memory import as_classes, as_examples, as_texts, as_validation
from multihot.errors import DataError, LabelError

SPACE = LabelSpace(("joy", "fear"))
TABLE = pd.DataFrame({"id": [1, 2], "text": ["a", "b"]})


@pytest.mark.parametrize(
    "given",
    [
        TABLE["text"],
        TABLE["text"].astype("string"),
        TABLE["text"].astype(object),
        TABLE["text"].astype("category"),
        pd.Index(["a", "b"]),
        np.array(["a", "b"]),
        ("a", "b"),
        {"a": 1, "b": 2}.keys(),
        (text for text in "ab"),
        pa.array(["a", "b"]),
        pa.chunked_array([["a"], ["b"]]),
    ],
    ids=lambda given: type(given).__name__,
)
def test_every_sequence_of_strings_is_a_list_of_texts(given: Any) -> None:
    texts = as_texts(given)

    assert texts == ["a", "b"]
    assert {type(text) for text in texts} == {str}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (TABLE, "a DataFrame with the columns id, text. Pass one column: frame['text']"),
        (TABLE[["text"]], "Pass one column: frame['text']"),
        (pd.DataFrame([["a"]]), "Pass one column: frame[0]"),
        (pa.table({"id": [1], "text": ["a"]}), "with the columns id, text. Pass one column"),
        ({"a": "x"}, "a dict, which would yield its keys: a"),
        (Counter("a"), "a Counter, which would yield its keys"),
        (np.array([["a", "b"]]), "an array of the shape (1, 2). Pass one column, such as X[:, 0]"),
        (np.array("a"), "an array of the shape ()"),
        (scipy.sparse.eye(2), "an array of the shape (2, 2)"),
        ({"a"}, "a set, which has no order"),
        (Path("train.csv"), "got a path: train.csv. Read the file first"),
        (__file__, "To read a file: multihot.read_examples(path).texts"),
        (b"abc", "got bytes"),
        (None, "got NoneType (None)"),
        (5, "got int (5)"),
        (as_examples(["a"], [["joy"]], None, "rows"), "got Examples: pass their .texts"),
        ([("a", "b")], "text 0 is tuple (('a', 'b')), expected a string. A text is one string"),
        (["a", ["b"]], "text 1 is list (['b']), expected a string. A text is one string"),
        (["a", b"b"], "text 1 is bytes (b'b'), expected a string. Decode it first"),
        (["a", None], "text 1 is NoneType (None), expected a string. Leave missing texts out"),
        (pd.Series(["a", np.nan]), "text 1 is float (nan), expected a string. Leave missing"),
        (pd.Series(["a", pd.NA], dtype="string"), "text 1 is NAType (<NA>), expected a string"),
        ([{"text": "a"}], "text 0 is dict ({'text': 'a'}), expected a string. Take the text out"),
        ([5], "text 0 is int (5), expected a string."),
    ],
)
def test_all_else_is_refused_with_its_position_and_a_way_out(given: Any, words: str) -> None:
    with pytest.raises(DataError, match=re.escape(words)):
        as_texts(given)


@pytest.mark.parametrize("dtype", ["Int64", "boolean", "Float64", "int64[pyarrow]", object])
def test_missing_values_of_data_frames_are_unknown(dtype: Any) -> None:
    frame = pd.DataFrame({"fear": [1, 0], "joy": [0, None]}, dtype=dtype)

    examples = as_examples(["a", "b"], frame, SPACE, "rows")

    assert examples.labels is not None
    np.testing.assert_array_equal(examples.labels.values, [[0, 1], [np.nan, 0]])


def test_masked_cells_are_unknown() -> None:
    given = np.ma.masked_array([[1, 1]], mask=[[False, True]])

    examples = as_examples(["a"], given, SPACE, "rows")

    assert examples.labels is not None
    np.testing.assert_array_equal(examples.labels.values, [[1, np.nan]])


def test_texts_and_labels_of_another_order_are_not_matched_by_position() -> None:
    texts, frame = pd.Series(["a", "b"]), pd.DataFrame({"joy": [1, 0], "fear": [0, 1]})

    with pytest.raises(DataError, match=r"the same in another order: align them"):
        as_examples(texts, frame.iloc[::-1], SPACE, "rows")
    assert len(as_examples(texts[1:], frame[:1], SPACE, "rows")) == 1


def test_a_frame_that_counts_its_columns_is_an_array() -> None:
    examples = as_examples(["a"], pd.DataFrame([[1, 0]]), SPACE, "rows")

    assert examples.labels is not None
    assert examples.labels.to_names() == [["joy"]]


def test_an_array_without_names_is_numbered_and_that_is_said() -> None:
    examples = as_examples(["a"], np.array([[1, 0, 1]]), None, "rows")

    assert examples.labels is not None
    assert examples.labels.space.names == ("0", "1", "2")
    assert "they are called 0 to 2" in examples.notes[0]


def test_a_frame_without_a_known_label_is_refused_unless_it_may_be_partial() -> None:
    frame = pd.DataFrame({"joy": [1, 0]})

    with pytest.raises(LabelError, match=r"no column for fear\. .*pass partial_labels=True"):
        as_examples(["a", "b"], frame, SPACE, "rows", partial_labels=False)
    partial = as_examples(["a", "b"], frame, SPACE, "rows", partial_labels=True)
    assert partial.labels is not None
    np.testing.assert_array_equal(partial.labels.values, [[1, np.nan], [0, np.nan]])


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (np.array([0, 1]), "one number for each of 2 texts"),
        (pd.Series([0, 1]), "one number for each of 2 texts"),
        (np.zeros((2, 2, 2)), "an array of the shape (2, 2, 2)"),
        (np.zeros((2, 3)), "an array of 3 columns; expected (rows, 2) for the labels joy, fear"),
        (np.zeros((2, 2), complex), "but of type complex128"),
        (pd.DataFrame({"joy": [1, 0], "fear": [0, "x"]}), "row 1, column 'fear' holds 'x'"),
        (["joy", "joy, fear"], "Row 0 has the string 'joy' where a list"),
        (["joy, fear", "joy"], "Row 0 has the string 'joy, fear' where a list of label names was "),
        ([["joy"], np.nan], "Row 1 of the labels is float (nan); expected a list of label names"),
        ([["joy"], pd.NA], "Row 1 of the labels is NAType"),
        ([["joy"], {"fear": 0}], "Row 1 of the labels is a dict"),
        ({"joy": [1, 0]}, "a dict, which would yield its keys: joy"),
        ("joy", "got one string: 'joy'"),
        (None, "got NoneType"),
        (5, "got int (5)"),
    ],
)
def test_labels_in_no_known_form_are_refused(given: Any, words: str) -> None:
    with pytest.raises(LabelError, match=re.escape(words)):
        as_examples(["a", "b"], given, SPACE, "rows")


def test_names_made_of_other_names_are_refused_and_other_separators_remarked() -> None:
    texts = ["a", "b"]
    for rows in ([["joy, fear"], ["joy"]], [["joy; fear"], ["joy; love"]], [["a|b"], ["b|c"]]):
        with pytest.raises(LabelError, match=r"several labels in one string.*classes="):
            as_examples(texts, rows, None, "rows")
    city = as_examples(texts, [["Dallas, TX"], ["joy"]], None, "rows")
    chosen = as_examples(texts, [["joy"], []], LabelSpace(("joy", "joy, fear")), "rows")

    assert "Dallas, TX" in city.notes[0]
    assert chosen.notes == ()


@pytest.mark.parametrize(
    "classes", ["ab", b"ab", 5, {"a"}, {"a": 1}, ["a", None], [1.5], np.array([["a"]])]
)
def test_classes_are_an_ordered_list_of_names(classes: Any) -> None:
    with pytest.raises(LabelError, match=r"expected a list of label names, in the order"):
        as_classes(classes)
    assert as_classes(np.array(["b", "a"])) == ("b", "a")
    assert as_classes(pd.Index([0, 1])) == ("0", "1")


@pytest.mark.parametrize(
    ("validation", "words"),
    [
        ("dev.csv", "validation is str ('dev.csv'); expected Examples"),
        (0.2, "MultiLabelClassifier(validation_fraction=0.2)"),
        ((["a"], [["joy"]], None), "validation is a tuple of 3; expected Examples"),
        ([["a"], [["joy"]]], "validation is list"),
        ((["a"], []), "the validation data: 1 texts, but 0 rows of labels"),
        (([], []), "the validation data: there are no rows"),
        ((["a"], [None]), "the validation data: there is no known label"),
    ],
)
def test_validation_rows_are_examples_or_a_pair(validation: Any, words: str) -> None:
    with pytest.raises(DataError, match=re.escape(words)):
        as_validation(validation, SPACE)


@pytest.mark.parametrize("unknown", [None, -1, np.nan])
def test_nan_none_and_minus_one_are_unknown_in_arrays(unknown: Any) -> None:
    given = np.array([[1, 0], [unknown, 0.25]], dtype=object)

    examples = as_examples(["a", "b"], given, SPACE, "rows")

    assert examples.labels is not None
    np.testing.assert_array_equal(examples.labels.values, [[1, 0], [np.nan, 0.25]])
    assert given[1, 0] is unknown or given[1, 0] == unknown  # the caller's array stays as it was


def test_minus_one_does_not_change_the_array_of_the_caller() -> None:
    given = np.array([[1, -1]], dtype=np.float32)

    as_examples(["a"], given, SPACE, "rows")

    assert given.tolist() == [[1, -1]]


def test_values_outside_0_and_1_are_refused() -> None:
    with pytest.raises(LabelError, match="value 2 in row 0, label 'joy'"):
        as_examples(["a"], np.array([[2, 0]]), SPACE, "rows")


def test_weights_come_with_the_rows_and_are_taken_along() -> None:
    examples = as_examples(["a", "b"], [["joy"], []], SPACE, "rows", sample_weight=[2, 0])

    assert examples.weights is not None
    assert examples.weights.tolist() == [2, 0]
    assert examples.take([1]).weights.tolist() == [0]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ([1], "has the shape (1,); expected one number for each of the 2 texts"),
        ([1, -1], "sample_weight of row 1 is -1; expected a number, 0 or more"),
        ([1, np.nan], "sample_weight of row 1 is nan"),
        ([1, "x"], "holds values that are not numbers"),
    ],
)
def test_wrong_weights_are_explained(weights: list[Any], words: str) -> None:
    with pytest.raises(DataError, match=re.escape(words)):
        as_examples(["a", "b"], [["joy"], []], SPACE, "rows", sample_weight=weights)
