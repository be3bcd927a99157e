"""What `thresholds` may say about the numbers that are fitted."""

from __future__ import annotations

from multihot.errors import OptionError

__all__ = ["FORMS", "frequency_share", "is_fitted", "parse_thresholds"]

_NAMES = ("global", "per_label", "shrunk")
_BY_FREQUENCY = "by_frequency"

FORMS = (*_NAMES, f"{_BY_FREQUENCY}=T")
"""How thresholds that are fitted are written; `T` is a number from 0 to 1."""


def parse_thresholds(thresholds: str | float) -> str | float:
    """Return the option in the form in which it is stored.

    Raises `OptionError` for what is neither one of `FORMS` nor a number.
    """
    if not isinstance(thresholds, str) or thresholds in _NAMES:
        return thresholds
    name, _, number = thresholds.partition("=")
    try:
        share = float(number)
    except ValueError:
        share = -1.0
    if name != _BY_FREQUENCY or not 0 <= share <= 1:
        raise OptionError(
            f"'thresholds' is '{thresholds}'; expected {', '.join(FORMS)} (T from 0 to 1) or a number "
            "between 0 and 1."
        )
    return f"{_BY_FREQUENCY}={abs(share):g}"  # no sign before 0


def frequency_share(kind: str | float) -> float | None:
    """Return the `T` of `by_frequency=T`; of others `None`.

    Raises `OptionError` for a `T` that is no number from 0 to 1.
    """
    if not isinstance(kind, str) or not kind.startswith(f"{_BY_FREQUENCY}="):
        return None
    return float(str(parse_thresholds(kind)).partition("=")[2])


def is_fitted(kind: str) -> bool:
    """Return whether thresholds of this kind are fitted numbers: not given, not ranks."""
    return kind in _NAMES or frequency_share(kind) is not None
