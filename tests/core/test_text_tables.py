from __future__ import annotations

from multihot.core.text_tables import aligned, cut, format_number, format_percent, listed


def test_numbers_have_fixed_decimals_and_missing_ones_a_mark() -> None:
    assert [format_number(0.12345), format_number(2, 1), format_number(None)] == [
        "0.123",
        "2.0",
        "-",
    ]
    assert [
        format_percent(0.12345),
        format_percent(1, 2),
        format_percent(None, missing="none"),
    ] == [
        "12.3 %",
        "100.00 %",
        "none",
    ]


def test_the_first_column_is_left_aligned_and_numbers_right() -> None:
    assert aligned(["label", "rows"], [["joy", "7"], ["sadness", "12345"]]) == [
        "label     rows",
        "joy          7",
        "sadness  12345",
    ]


def test_values_and_lists_of_any_length_are_cut_in_messages() -> None:
    nested: list[object] = []
    for _ in range(100_000):
        nested = [nested]

    assert cut("joy") == "'joy'"
    assert len(cut("x" * 10**6)) < 100
    assert "too long" in cut(10**5000)
    assert "too long" in cut(nested)
    assert listed(["joy", "love"]) == "joy, love"
    assert listed(range(100), 3) == "0, 1, 2 and 97 more"
    assert len(listed(["x" * 10**6] * 10**5)) < 4000
