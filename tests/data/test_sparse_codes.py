"""Compressed rows answer as dense ones do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from multihot.data.array_store import entry_of
from multihot.data.encode import EncodedRows, hold_rows, load_rows, store_rows
from multihot.data.label_codes import has_known_label, label_totals, label_values, positive_cells
from multihot.data.sparse_codes import SparseCodes
from multihot.data.tokens import TokenizedTexts

LABELS = 30


def drawn(rows: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    """Return codes with full, empty, unknown and almost unknown rows among them."""
    generator = np.random.default_rng(seed)
    codes = generator.choice([0, 1, 2], p=[0.8, 0.15, 0.05], size=(rows, LABELS)).astype(np.uint8)
    codes[0], codes[1], codes[2] = 0, 1, 2
    codes[3] = 2
    codes[3, 7] = 1
    codes[4] = 0
    codes[4, 5] = 2
    return codes


def of(codes: npt.NDArray[np.uint8]) -> EncodedRows:
    rows = len(codes)
    tokens = TokenizedTexts(
        np.arange(rows, dtype=np.uint16), np.arange(rows + 1), np.zeros(rows, dtype=np.bool_)
    )
    numbers = np.arange(rows)
    return EncodedRows(tokens, SparseCodes.of(codes), numbers.astype(np.uint64), numbers)


@pytest.mark.parametrize("rows", [np.arange(40), np.array([2, 2, 0, 39, 4, 3, 1]), np.arange(0)])
def test_every_question_has_the_answer_of_the_dense_codes(rows: npt.NDArray[np.int64]) -> None:
    dense = drawn(40)
    sparse = SparseCodes.of(dense)

    np.testing.assert_array_equal(sparse[rows], dense[rows])
    np.testing.assert_array_equal(sparse[3:9], dense[3:9])
    np.testing.assert_array_equal(label_values(sparse, rows), label_values(dense, rows))
    np.testing.assert_array_equal(has_known_label(sparse, rows), has_known_label(dense, rows))
    np.testing.assert_array_equal(positive_cells(sparse, rows), positive_cells(dense, rows))
    found, expected = label_totals(sparse, rows), label_totals(dense, rows)
    for name in ("known", "positives", "sums"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def test_a_row_of_few_labels_takes_few_cells() -> None:
    codes = np.zeros((100, 5000), dtype=np.uint8)
    codes[:, 17] = 1
    codes[50] = 2

    assert len(SparseCodes.of(codes).cells) == 99


def test_chunks_are_joined_in_memory_and_in_the_cache(tmp_path: Path) -> None:
    dense = drawn(40)
    parts = [dense[:13], dense[13:14], dense[14:]]

    held = hold_rows(map(of, parts))
    stored = store_rows(tmp_path, "key", map(of, parts))
    found = load_rows(tmp_path, "key", num_labels=LABELS, end=50)

    assert found is not None
    for each in (held, stored, found):
        np.testing.assert_array_equal(each.codes[np.arange(40)], dense)


@pytest.mark.parametrize(
    ("name", "value"), [("columns", LABELS), ("columns", -1), ("cells", 3), ("common", 1)]
)
def test_a_cache_with_impossible_cells_is_no_cache(tmp_path: Path, name: str, value: int) -> None:
    rows = of(drawn(40))
    assert isinstance(rows.codes, SparseCodes)
    getattr(rows.codes, name)[3] = value
    store_rows(tmp_path, "key", iter([rows]))

    assert load_rows(tmp_path, "key", num_labels=LABELS, end=50) is None
    assert not entry_of(tmp_path, "key").exists()
