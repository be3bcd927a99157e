from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from multihot.core.options import DataOptions
from multihot.data.columns.text_and_id import extra_columns, group_cells, weight_cells
from multihot.errors import DataError


def test_weights_are_numbers_from_0_on() -> None:
    weights = weight_cells(["1", " 0.5 ", 0, 2.5], [2, 3, 4, 5], "f", "w")

    assert weights.dtype == np.float32
    assert weights.tolist() == [1, 0.5, 0, 2.5]


@pytest.mark.parametrize("cell", ["-1", "", "nan", "inf", "much", None, True, -0.1, [1], 1e39])
def test_any_other_weight_is_named_with_line_and_column(cell: Any) -> None:
    with pytest.raises(DataError, match=r"f:7, column 'w': The weight is .*; expected a number, 0"):
        weight_cells([1, cell], [6, 7], "f", "w")


def test_groups_are_texts() -> None:
    assert group_cells(["a ", 7, None]) == ["a", "7", ""]


def test_a_column_that_is_missing_is_named_with_its_option() -> None:
    assert extra_columns(["a", "b"], DataOptions(split_by="b"), "f") == (None, 1)
    with pytest.raises(DataError, match=r"no column 'w' \(data.weight_column\)"):
        extra_columns(["a"], DataOptions(weight_column="w"), "f")
    with pytest.raises(DataError, match=r"no column 'w' \(data.split_by\)"):
        extra_columns(["a"], DataOptions(split_by="w"), "f")


def test_a_weight_that_no_float_holds_is_an_error_with_its_line() -> None:
    with pytest.raises(DataError) as error:
        weight_cells([1, 10**400], [2, 3], "f", "weight")

    assert (error.value.path, error.value.line, error.value.column) == ("f", 3, "weight")
