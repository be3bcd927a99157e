"""Many labels: what is held at once is bounded, and what does not fit is refused before it is made."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from multihot import split
from multihot.core import memory
from multihot.core.labels import LabelMatrix, LabelSpace
from multihot.core.memory import require_label_memory
from multihot.data.labelled_file import open_labelled, read_examples, window_rows
from multihot.errors import DataError, LabelError

MB = 1_000_000


def peak_bytes(work: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def lists(path: Path, num_rows: int, num_labels: int) -> Path:
    """Every label in turn, and three more by chance."""
    drawn = np.random.default_rng(0).integers(0, num_labels, (num_rows, 3)).tolist()
    with path.open("w", encoding="utf-8") as handle:
        for row, others in enumerate(drawn):
            names = [f"label {one}" for one in sorted({row % num_labels, *others})]
            handle.write(json.dumps({"text": f"text number {row}", "labels": names}) + "\n")
    return path


def test_a_hundred_thousand_names_are_checked_found_and_aligned() -> None:
    names = [f"label {number}" for number in range(100_000)]
    space = LabelSpace(tuple(names))
    row = LabelMatrix(space, np.eye(1, len(names), 7, dtype=np.float32))

    turned = row.aligned_to(LabelSpace(tuple(reversed(names))))

    assert [space.index(name) for name in names] == list(range(len(names)))
    assert np.flatnonzero(turned.values[0]).tolist() == [len(names) - 8]
    with pytest.raises(LabelError, match="these occur more than once: label 7"):
        LabelSpace((*names, "label 7"))


@pytest.mark.parametrize("num_labels", [1, 100, 16_384, 50_000, 1 << 30])
def test_a_window_of_rows_is_bounded_by_its_cells(num_labels: int) -> None:
    rows = window_rows(num_labels)

    assert rows == 1 or rows * num_labels <= 1 << 24


def test_chunks_of_a_file_with_many_labels_have_few_rows(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    rows = (
        {"text": f"text {row}", "labels": [f"{row}-{n}" for n in range(200)]} for row in range(300)
    )
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))

    sizes = [len(chunk.texts) for chunk in open_labelled(path).chunks()]

    assert sizes == [69, 69, 69, 69, 24]  # 69 rows of 60,000 labels take 17 MB


def test_labels_that_do_not_fit_are_refused_before_they_are_allocated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = lists(tmp_path / "rows.jsonl", 3000, 3000)
    monkeypatch.setattr(memory, "available_bytes", lambda: 20 * MB)

    def refused() -> None:
        with pytest.raises(DataError, match=r"3000 rows x 3000 labels, 4 bytes each") as caught:
            read_examples(path)
        assert caught.value.path == str(path)

    assert peak_bytes(refused) < 20 * MB


def test_thirty_thousand_rows_of_as_many_labels_are_refused_where_two_gigabytes_are_free(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda: 2000 * MB)

    with pytest.raises(DataError, match=r"need 3\.6 GB at once, and 2\.0 GB of memory are free"):
        require_label_memory(30_000, 30_000)
    require_label_memory(30_000, 10_000)


def test_where_the_system_does_not_say_what_is_free_nothing_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda: None)

    require_label_memory(10**9, 10**9)


@pytest.mark.slow
def test_splitting_a_thousand_labels_by_pairs_takes_less_than_250_megabytes(tmp_path: Path) -> None:
    path = lists(tmp_path / "rows.jsonl", 2000, 1000)

    peak = peak_bytes(lambda: split(path, tmp_path / "parts", folds=10, pairs=True))

    assert peak < 250 * MB  # a count for every pair of labels and fold alone is 80 MB
    assert len(list((tmp_path / "parts").rglob("*.jsonl"))) >= 10
