"""What is made of interleaved measurements."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import Slice, fastest, figures
from ratios import ratio, spread

_RATES = st.lists(st.floats(0.1, 1e4), min_size=1, max_size=9)


@given(_RATES)
def test_a_spread_is_what_numpy_says(values: list[float]) -> None:
    found = spread(values)

    expected = np.quantile(values, [0, 0.25, 0.5, 0.75, 1])
    five = [found.least, found.lower_quartile, found.median, found.upper_quartile, found.most]
    np.testing.assert_allclose(five, expected)


def test_nothing_has_no_spread() -> None:
    with pytest.raises(ValueError, match="no value"):
        spread([])


@given(_RATES, st.floats(0.1, 10))
def test_a_round_in_which_all_are_slow_changes_no_ratio(rates: list[float], slow: float) -> None:
    theirs = [3 * rate for rate in rates]
    slowed = [rates[0] * slow, *rates[1:]], [theirs[0] * slow, *theirs[1:]]

    np.testing.assert_allclose(ratio(*slowed).median, 1 / 3)
    np.testing.assert_allclose(ratio(*slowed).least, 1 / 3)


def test_rates_are_compared_per_token_so_that_short_texts_are_no_merit() -> None:
    measured = {
        "long texts": [Slice(2.0, 4.0, texts=10, tokens=1000)] * 2,
        "short texts": [Slice(1.0, 1.0, texts=10, tokens=250)] * 2,
    }

    found = figures("short texts", measured, {"other": "long texts", "absent": "nobody"})

    assert found.columns() == {
        "texts_per_second": "10",
        "tokens_per_second": "250",
        "cpu_seconds_per_1000_texts": "100",
        "mean_tokens": "25.0",
        "times_other": "0.5",
        "times_other_least": "0.5",
        "times_other_quartiles": "0.5 to 0.5",
        "cpu_times_other": "1",
    }
    assert fastest(measured, measured) == "long texts"
