"""Whether what was printed is what a page shows: ellipses, runs of blanks, numbers within a tolerance."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["EXACT", "Tolerance", "difference"]

_NUMBER = re.compile(
    r"(?<![\w.])[+-]?\d+(?:[_,]\d{3})*(?:\.\d+)?(?:[eE][+-]?\d+)?|(?<!\w)[+-]?\.\d+"
)
_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass(frozen=True)
class Tolerance:
    """How far a printed number may be from the one on the page."""

    absolute: float = 0.0
    relative: float = 0.0

    @classmethod
    def parse(cls, text: str) -> Tolerance:
        """Read `0.05`, `20%` or `any`."""
        if text == "any":
            return cls(absolute=float("inf"))
        if text.endswith("%"):
            return cls(relative=float(text[:-1]) / 100)
        return cls(absolute=float(text))

    def accepts(self, shown: float, printed: float) -> bool:
        """Return whether `printed` is near enough to `shown`."""
        allowed = max(self.absolute, self.relative * abs(shown))
        return abs(shown - printed) <= allowed + 1e-12 * abs(shown)


EXACT = Tolerance()


def difference(shown: str, printed: str, tolerance: Tolerance = EXACT) -> str | None:
    """Return what differs, or None where the printed text is the one that is shown."""
    wanted, given = _lines(shown), _lines(printed)
    matched = _match(wanted, given, tolerance)
    if matched == len(wanted):
        return None
    at = f"the page shows: {wanted[matched]}" if matched < len(wanted) else "more was printed"
    return f"{at}\nand printed was:\n{printed.rstrip()}"


def _lines(text: str) -> list[str]:
    text = _ANSI.sub("", text)
    lines = [
        line.rsplit("\r", 1)[-1] if not line.endswith("\r") else line for line in text.split("\n")
    ]
    return [line for each in lines if (line := " ".join(each.split()))]


def _match(wanted: list[str], given: list[str], tolerance: Tolerance) -> int:
    """Return how many lines match: `len(wanted)` where all do and nothing is left over."""
    reached = 0
    at = {0}  # where in `given` the next wanted line may be
    for number, line in enumerate(wanted):
        if line == "...":
            at = set(range(min(at), len(given) + 1))
        else:
            at = {
                place + 1
                for place in at
                if place < len(given) and _same(line, given[place], tolerance)
            }
        if not at:
            return number
        reached = number + 1
    return reached if len(given) in at else len(wanted) + 1


def _same(wanted: str, given: str, tolerance: Tolerance) -> bool:
    if wanted == given:
        return True
    pattern = ""
    numbers: list[str] = []
    for piece in re.split(r"(\.\.\.)", wanted):
        if piece == "...":
            pattern += ".*?"
            continue
        end = 0
        for found in _NUMBER.finditer(piece):
            pattern += re.escape(piece[end : found.start()]) + f"({_NUMBER.pattern})"
            numbers.append(found.group())
            end = found.end()
        pattern += re.escape(piece[end:])
    # A sign or one digit more changes where blanks stand, not what is said.
    pattern = pattern.replace(r"\ ", r"\s+")
    matched = re.fullmatch(pattern, given)
    return matched is not None and all(
        tolerance.accepts(_value(shown), _value(printed))
        for shown, printed in zip(numbers, matched.groups(), strict=True)
    )


def _value(number: str) -> float:
    return float(number.replace(",", "").replace("_", ""))
