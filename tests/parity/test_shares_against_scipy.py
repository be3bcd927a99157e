"""The two-proportion z-test is the chi-squared test of a 2 x 2 table without correction."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chi2_contingency

from multihot.data.label_statistics import two_proportion_p_value

pytestmark = pytest.mark.parity


def test_p_values_equal_scipy_chi_squared() -> None:
    generator = np.random.default_rng(0)

    for _ in range(200):
        totals = generator.integers(2, 5000, size=2)
        positives = np.array([generator.integers(1, total) for total in totals])
        table = np.stack([positives, totals - positives])
        expected = chi2_contingency(table, correction=False).pvalue
        found = two_proportion_p_value(
            int(positives[0]), int(totals[0]), int(positives[1]), int(totals[1])
        )

        assert found == pytest.approx(expected, rel=1e-9, abs=1e-300)
