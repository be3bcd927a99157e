"""What texts look like to a tokenizer, in sums that can be added up and stored: lengths, unknown and continuing tokens."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from multihot.core.files import required_value, required_values
from multihot.core.text_tables import cut
from multihot.errors import ArtifactError

__all__ = ["LENGTH_BINS", "TextFacts"]

LENGTH_BINS = 24
"""Bins of lengths: bin `k` holds lengths from `2 ** (k / 2)` tokens up to the next; the last all longer ones."""

_STORED = {
    "rows": int,
    "truncated": int,
    "with_unknown": int,
    "tokens": int,
    "unknown": int,
    "continuing": int,
    "continuing_mean": float | int | None,
    "continuing_variance": float | int | None,
}


@dataclass(frozen=True)
class TextFacts:
    """Of some texts; special tokens count nowhere, and what truncation cuts off neither."""

    rows: int = 0
    truncated: int = 0
    """Texts that are longer than the model reads."""
    with_unknown: int = 0
    """Texts with a token that the vocabulary does not have."""
    tokens: int = 0
    unknown: int = 0
    """Tokens that the vocabulary does not have."""
    continuing: int = 0
    """Tokens that continue a word."""
    continuing_mean: float | None = 0.0
    """Mean over texts of the fraction of its tokens that continue a word; `None` where the tokenizer does
    not show which do."""
    continuing_variance: float | None = 0.0
    lengths: tuple[int, ...] = (0,) * LENGTH_BINS
    """Texts by length, see `LENGTH_BINS`."""

    @property
    def pieces_per_word(self) -> float | None:
        """Tokens per word; `None` where the tokenizer does not show words, or there is none."""
        words = self.tokens - self.continuing
        return None if self.continuing_mean is None or not words else self.tokens / words

    @property
    def median_length(self) -> float | None:
        """The length in tokens that half of the texts do not exceed, to half a power of 2."""
        seen = 0
        for number, count in enumerate(self.lengths):
            seen += count
            if count and 2 * seen >= self.rows:
                return 2 ** ((number + 0.5) / 2)
        return None

    def __add__(self, other: TextFacts) -> TextFacts:
        rows = self.rows + other.rows
        mean, variance = _pooled(self, other, rows)
        return TextFacts(
            rows,
            self.truncated + other.truncated,
            self.with_unknown + other.with_unknown,
            self.tokens + other.tokens,
            self.unknown + other.unknown,
            self.continuing + other.continuing,
            mean,
            variance,
            tuple(one + two for one, two in zip(self.lengths, other.lengths, strict=True)),
        )

    def to_json(self) -> dict[str, Any]:
        """Return the key `texts` of `fitting_facts`."""
        return {**asdict(self), "lengths": list(self.lengths)}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> TextFacts:
        """Read what `to_json` wrote; raise `ArtifactError` naming the key that is wrong."""
        values = required_values(content, _STORED)
        lengths = required_value(content, "lengths", list)
        is_right = len(lengths) == LENGTH_BINS and all(_is_count(each) for each in lengths)
        counts = (value for value in values.values() if value is not None)
        if not is_right or not all(math.isfinite(value) and value >= 0 for value in counts):
            raise ArtifactError(f"'texts' is {cut(content)}; expected counts from 0.")
        return cls(**values, lengths=tuple(lengths))


def _pooled(one: TextFacts, two: TextFacts, rows: int) -> tuple[float | None, float | None]:
    """Return mean and variance of two groups of texts together."""
    means, variances = (
        (one.continuing_mean, two.continuing_mean),
        (
            one.continuing_variance,
            two.continuing_variance,
        ),
    )
    if None in means or None in variances:
        return None, None
    if not rows:
        return 0.0, 0.0
    shares = one.rows / rows, two.rows / rows
    mean = sum(s * (m or 0.0) for s, m in zip(shares, means, strict=True))
    squares = zip(shares, means, variances, strict=True)
    return mean, sum(s * ((v or 0.0) + ((m or 0.0) - mean) ** 2) for s, m, v in squares)


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 0
