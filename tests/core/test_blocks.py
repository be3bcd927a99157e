"""Tables are gone through in blocks that leave nothing out."""

from __future__ import annotations

import pytest

from multihot.core.blocks import column_blocks, row_blocks


@pytest.mark.parametrize("shape", [(0, 3), (1, 1), (7, 3), (5, 100), (1000, 2)])
@pytest.mark.parametrize("cells", [1, 10, 1 << 20])
def test_every_row_and_column_is_in_one_block(shape: tuple[int, int], cells: int) -> None:
    rows = [row for part in row_blocks(shape, cells=cells) for row in range(shape[0])[part]]
    blocks = list(column_blocks(shape, cells=cells))
    columns = [column for part in blocks for column in range(shape[1])[part]]

    assert rows == list(range(shape[0]))
    assert columns == list(range(shape[1]))
    assert len(blocks) == 1 or all(part.stop - part.start > 1 for part in blocks)


def test_a_block_has_as_many_cells_as_asked_for() -> None:
    assert [part.stop for part in row_blocks((10, 25), cells=100)] == [4, 8, 10]
    assert [part.stop for part in column_blocks((25, 12), cells=100)] == [4, 8, 12]
