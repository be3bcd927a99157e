"""Regular expressions of tokenizer files: refused when they can take very long for a short text.

The tokenizers library searches with Oniguruma, which tries all ways in which a pattern can match. What
is checked here is the pattern itself; `tokenizer_files` tries each one on texts of 16 to 256 characters.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from multihot.core.text_tables import cut

__all__ = ["MAX_PATTERN_CHARACTERS", "check_pattern", "may_match_nothing"]

MAX_PATTERN_CHARACTERS = 4096
"""Characters of one pattern; that of GPT-4 has 200, the longest one in use a thousand."""

_MAX_GROUPS_INSIDE = 32
_MAX_REPEATS = 1000
_MAX_REPEATS_INSIDE = 10_000  # of repeats inside repeats together
_REFUSED = re.compile(r"\\(?:[1-9]|[kg]['<])|\(\?(?:\(|~|\{|R\)|&)|\(\*[A-Z]")
_COUNTS = re.compile(r"\{(\d*)(,?)(\d*)\}")
_ZERO_WIDTH = re.compile(r"[*?^$|]|\{[0,]|\\[bBAzZGK]")
_GROUP_START = re.compile(r"\((?:\?(?:[imx-]*:|<?[=!]|>|<\w+>|[imx-]*\)))?")
_CLASS_ESCAPES = "wWdDsShHRXpPNO"


@dataclass
class _Group:
    """What is known of a group that the scan is inside of."""

    may_repeat: bool = False
    """Whether something in it repeats without a bound."""
    begins_fixed: bool = True
    """Whether each of its alternatives begins with a character that is neither optional nor repeated."""
    at_start: bool = True
    repeats: int = 1
    """How often the most repeated thing in it is repeated."""


def check_pattern(pattern: str) -> None:
    """Raise `ValueError` for a pattern that can take very long, or that is no plain pattern.

    Refused are references to earlier groups, calls of groups, conditions, more than 1,000 repeats, and
    a repeated group that holds a repeat and can begin with it, such as `(a+)+`.
    """
    if len(pattern) > MAX_PATTERN_CHARACTERS:
        raise ValueError(
            f"a pattern has {len(pattern)} characters; expected at most {MAX_PATTERN_CHARACTERS}"
        )
    unescaped = re.sub(r"\\[\\\[\]()]", "", pattern)
    if found := _REFUSED.search(unescaped):
        raise ValueError(
            f"the pattern {cut(pattern)} holds {cut(found.group())}; references, calls of groups and "
            "conditions are not supported"
        )
    _Scan(pattern).run()


def may_match_nothing(pattern: str) -> bool:
    """Return whether a pattern may match between two characters; true in doubt."""
    return _ZERO_WIDTH.search(pattern) is not None or not pattern


class _Scan:
    """One pass over a pattern."""

    def __init__(self, pattern: str) -> None:
        self._pattern, self._at = pattern, 0
        self._groups = [_Group()]

    def run(self) -> None:
        """Raise `ValueError` for what `check_pattern` refuses."""
        while self._at < len(self._pattern):
            character = self._pattern[self._at]
            if character == "(":
                self._open()
            elif character == "|":
                self._groups[-1].at_start = True
                self._at += 1
            elif character == ")" and len(self._groups) > 1:
                self._close()
            else:
                self._atom(character)

    def _open(self) -> None:
        if len(self._groups) > _MAX_GROUPS_INSIDE:
            raise ValueError(
                f"the pattern {cut(self._pattern)} has more than {_MAX_GROUPS_INSIDE} groups inside "
                "each other"
            )
        start = _GROUP_START.match(self._pattern, self._at)
        opening = start.group() if start else "("
        self._at += len(opening)
        if not opening.endswith(")"):  # else it only sets a flag
            self._groups.append(_Group())

    def _close(self) -> None:
        self._at += 1
        group = self._groups.pop()
        most, optional = self._quantifier()
        if (most is None or most > 1) and group.may_repeat and not group.begins_fixed:
            raise ValueError(
                f"the pattern {cut(self._pattern)} repeats a group that begins with a repeat, which can "
                "take very long"
            )
        outer = self._groups[-1]
        outer.may_repeat |= group.may_repeat or most is None
        self._count(group.repeats, most)
        if outer.at_start:
            outer.begins_fixed &= group.begins_fixed and not optional and most == 1
        outer.at_start = False

    def _atom(self, character: str) -> None:
        """Go past one character, escape or class, and its quantifier."""
        fixed = character not in ".[^$"
        if character == "[":
            self._skip_class()
        elif character == "\\":
            following = self._pattern[self._at + 1 : self._at + 2]
            fixed = following not in _CLASS_ESCAPES
            self._at += 2
            if following in "pPx" and self._pattern[self._at : self._at + 1] == "{":
                end = self._pattern.find("}", self._at)
                self._at = len(self._pattern) if end < 0 else end + 1
        else:
            self._at += 1
        most, optional = self._quantifier()
        group = self._groups[-1]
        if group.at_start:
            group.begins_fixed &= fixed and not optional and most == 1
        group.at_start = False
        group.may_repeat |= most is None
        self._count(1, most)

    def _count(self, inside: int, most: int | None) -> None:
        group = self._groups[-1]
        group.repeats = max(group.repeats, inside * (most or 1))
        if group.repeats > _MAX_REPEATS_INSIDE:
            raise ValueError(
                f"the pattern {cut(self._pattern)} repeats something more than "
                f"{_MAX_REPEATS_INSIDE} times"
            )

    def _quantifier(self) -> tuple[int | None, bool]:
        """Go past a quantifier; return the most repeats, `None` without a bound, and if 0 will do."""
        most: int | None = 1
        optional = False
        while self._at < len(self._pattern):
            character = self._pattern[self._at]
            counts = _COUNTS.match(self._pattern, self._at) if character == "{" else None
            if character in "*+":
                most, optional = None, optional or character == "*"
                self._at += 1
            elif character == "?":
                optional = True
                self._at += 1
            elif counts and (counts[1] or counts[3]):
                least, comma, last = counts.groups()
                optional |= not least.strip("0")
                if len(last) > 4 or len(least) > 4 or int(last or least) > _MAX_REPEATS:
                    raise ValueError(
                        f"the pattern {cut(self._pattern)} repeats something more than "
                        f"{_MAX_REPEATS} times"
                    )
                bound = None if comma and not last else int(last or least)
                most = None if most is None or bound is None else most * bound
                self._at = counts.end()
            else:
                break
        return most, optional

    def _skip_class(self) -> None:
        """Go past a class in brackets and those inside it."""
        depth = 0
        while self._at < len(self._pattern):
            character = self._pattern[self._at]
            self._at += 2 if character == "\\" else 1
            depth += (character == "[") - (character == "]")
            if depth == 0:
                return
