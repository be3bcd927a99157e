from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multihot.core.shards import Shard, parse_shard, shard_path, shards_beside
from multihot.errors import OptionError


@given(st.integers(0, 5000), st.integers(1, 40), st.integers(1, 64))
def test_every_row_is_in_exactly_one_shard_and_in_order(
    num_rows: int, count: int, window: int
) -> None:
    parts = [Shard(number, count).rows(num_rows, window) for number in range(1, count + 1)]

    assert [row for part in parts for row in part] == list(range(num_rows))


@given(st.integers(0, 5000), st.integers(1, 40), st.integers(1, 64))
def test_shards_are_balanced_and_long_ones_begin_with_a_window(
    num_rows: int, count: int, window: int
) -> None:
    parts = [Shard(number, count).rows(num_rows, window) for number in range(1, count + 1)]
    sizes = [len(part) for part in parts]

    if num_rows >= count * window * 4:
        assert {part.start % window for part in parts} == {0}
        assert max(sizes) <= 1.25 * num_rows / count + window
    else:
        assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(
    "text", ["", "3", "3/", "/16", "a/b", "1/0", "0/4", "5/4", "-1/4", "1/2/3"]
)
def test_what_is_no_shard_is_refused(text: str) -> None:
    with pytest.raises(OptionError):
        parse_shard(text)


def test_a_shard_beyond_the_last_one_is_named_with_those_there_are() -> None:
    with pytest.raises(OptionError, match=r"--shard 17/16: .* numbered 1 to 16"):
        parse_shard("17/16")


def test_names_sort_in_the_order_of_the_rows_and_are_found_again(tmp_path: Path) -> None:
    output = tmp_path / "la[b]els.csv"
    paths = [shard_path(output, Shard(number, 12)) for number in range(1, 13)]
    for path in paths:
        path.write_text("", "utf-8")
    (tmp_path / "others-01-of-12.csv").write_text("", "utf-8")

    assert paths == sorted(paths)
    assert paths[2].name == "la[b]els-03-of-12.csv"
    assert list(shards_beside(output, "").values()) == paths
