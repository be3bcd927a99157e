"""Our split keeps label frequencies as well as the package iterative-stratification does."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from multihot.data.stratify import split_positives

Array = npt.NDArray[Any]
pytestmark = pytest.mark.parity


def deviation(values: Array, rows: Array) -> float:
    """Return how much label frequencies in the rows differ from those in all rows, on average."""
    return float(np.abs(values[rows].mean(axis=0) - values.mean(axis=0)).mean())


def random_labels(
    generator: np.random.Generator, num_rows: int, num_labels: int, mean_share: float
) -> Array:
    shares = generator.beta(1, 1 / mean_share - 1, num_labels)
    return (generator.random((num_rows, num_labels)) < shares).astype(np.float32)


@pytest.mark.parametrize(
    ("num_rows", "num_labels", "mean_share", "fraction"),
    [
        (200, 5, 0.3, 0.2),
        (1000, 28, 0.05, 0.1),
        (1000, 90, 0.02, 0.1),
        (500, 10, 0.5, 0.1),
        (400, 3, 0.8, 0.5),
        (2000, 11, 0.2, 0.05),
    ],
)
def test_label_shares_deviate_no_more_than_with_iterative_stratification(
    num_rows: int, num_labels: int, mean_share: float, fraction: float
) -> None:
    from iterstrat.ml_stratifiers import MultilabelStratifiedShuffleSplit

    ours, theirs, random = [], [], []
    for seed in range(5):
        generator = np.random.default_rng(seed)
        values = random_labels(generator, num_rows, num_labels, mean_share)
        ours.append(deviation(values, split_positives(values == 1, fraction, generator)[1]))
        splitter = MultilabelStratifiedShuffleSplit(1, test_size=fraction, random_state=seed)
        theirs.append(deviation(values, next(splitter.split(values, values))[1]))
        random.append(
            deviation(values, generator.permutation(num_rows)[: int(fraction * num_rows)])
        )

    # Our number of rows is exact, theirs is not: for that we allow a quarter of a row per label.
    assert np.mean(ours) <= np.mean(theirs) + 0.25 / (fraction * num_rows)
    assert np.mean(ours) < 0.7 * np.mean(random)
