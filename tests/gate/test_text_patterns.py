"""Patterns that can take very long for a short text are refused; those in use are not."""

from __future__ import annotations

import pytest

from multihot.gate.text_patterns import MAX_PATTERN_CHARACTERS, check_pattern, may_match_nothing

IN_USE = {
    "GPT-2": r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    "GPT-4": r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+"
    r"|\s++$|\s*[\r\n]|\s+(?!\S)|\s",
    "Bloom": r" ?[^(\s|[.,!?…。，、।۔،])]+",
    "CLIP": r"<\|startoftext\|>|'s|'t|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+",
    "molecules": r"(\[[^\]]+]|Br?|Cl?|N|O|\(|\)|\.|=|#|-|\+|\\|\/|:|~|@|\?|>>?|\*|\$|\%[0-9]{2}|[0-9])",
    "spaces": r" {2,}",
    "words with hyphens": r"\w+(?:-\w+)*|(?:\.\d+)+",
    "nothing": "",
}


@pytest.mark.parametrize("name", IN_USE)
def test_a_pattern_in_use_passes(name: str) -> None:
    check_pattern(IN_USE[name])


@pytest.mark.parametrize(
    "pattern",
    [
        r"(a+)+",
        r"(a*)*",
        r"(?:\w+\s?)*",
        r"(?:a|b+)+",
        r"(?:(?:ab+)?)+",
        r"(a+){20}",
        r"(?<x>a)\g<x>",
        r"(a)\1",
        r"(?(1)a|b)",
        "a{1001}",
        "((a{100}){100}){100}",
        "(" * 33 + ")" * 33,
        "a" * (MAX_PATTERN_CHARACTERS + 1),
    ],
)
def test_a_pattern_that_can_take_very_long_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="pattern"):
        check_pattern(pattern)


def test_a_pattern_may_match_nothing_in_doubt() -> None:
    assert not may_match_nothing(r"\s+")
    assert not may_match_nothing(" {2,}")
    assert may_match_nothing("a*")
    assert may_match_nothing("")
