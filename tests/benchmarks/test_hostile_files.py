"""Damaged and rewritten files are refused or read right: the short form of the campaign."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from hostile_files import Case, all_cases, outcome

NUM_CASES = 500


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    return list(all_cases(20261128, NUM_CASES))


def test_no_file_is_read_wrongly_or_ends_in_an_internal_error(
    cases: list[Case], tmp_path: Path
) -> None:
    bad: list[str] = []
    counts: Counter[str] = Counter()
    for number, case in enumerate(cases):
        folder = tmp_path / str(number)
        folder.mkdir()
        found = outcome(case, folder)
        counts[found] += 1
        if found not in ("right", "refused"):
            bad.append(f"{number}: {case.name}, {case.kind}: {found}")

    assert bad == []
    assert min(counts["right"], counts["refused"]) > NUM_CASES // 5


def test_a_case_can_be_told_wrong(cases: list[Case], tmp_path: Path) -> None:
    first = cases[0]
    header, row, *rest = first.content.split(b"\n")
    flipped = row[:-1] + (b"0" if row.endswith(b"1") else b"1")
    wrong = Case(**{**vars(first), "content": b"\n".join([header, flipped, *rest])})

    assert outcome(first, tmp_path) == "right"
    assert outcome(wrong, tmp_path) == "wrong"


def test_cases_are_the_same_for_the_same_seed() -> None:
    first, second = (list(all_cases(1, 60)) for _ in range(2))

    assert [case.content for case in first] == [case.content for case in second]
