"""How large an expected loss can be, from the losses of finitely many rows.

All rows are drawn independently from what the decision will meet. Every loss is between 0 and 1.
"""

from __future__ import annotations

import math

import numpy as np

__all__ = ["binomial_cdf", "fewest_rows", "hoeffding_bentkus", "most_losses", "most_on_average"]


def binomial_cdf(successes: int, trials: int, probability: float) -> float:
    """Return the probability of at most so many successes.

    Exact, by summing the shorter tail of the distribution in logarithms. `probability` is inside 0
    and 1.
    """
    if successes < 0:
        return 0.0
    if successes >= trials:
        return 1.0
    if successes > trials * probability:
        return 1.0 - binomial_cdf(trials - successes - 1, trials, 1 - probability)
    odds = math.log(probability) - math.log1p(-probability)
    counts = np.arange(1, successes + 1, dtype=np.float64)
    steps = np.log((trials - counts + 1) / counts) + odds
    logs = trials * math.log1p(-probability) + np.append(0.0, np.cumsum(steps))
    largest = float(logs.max())
    return min(1.0, math.exp(largest) * float(np.exp(logs - largest).sum()))


def hoeffding_bentkus(mean_loss: float, rows: int, risk: float) -> float:
    """Return a p-value for "the expected loss is above `risk`", from the mean loss of so many rows.

    The smaller of Hoeffding's and Bentkus' (Bates et al. 2021, "Distribution-free, risk-controlling
    prediction sets", theorem 6; Angelopoulos et al. 2021, "Learn then test", proposition 1).
    """
    below = min(mean_loss, risk)
    divergence = below * math.log(below / risk) if below > 0 else 0.0
    divergence += (1 - below) * math.log((1 - below) / (1 - risk))
    hoeffding = math.exp(-rows * divergence)
    # Rounding must not make a whole number of losses one more.
    losses = math.ceil(rows * mean_loss - 1e-9)
    return min(1.0, hoeffding, math.e * binomial_cdf(losses, rows, risk))


def most_losses(rows: int, risk: float, tolerated: float) -> int:
    """Return how many of so many rows may be lost, so that the risk is at most `risk`; -1: none may.

    With a larger risk, so few or fewer are lost with a probability of at most `tolerated`: the exact
    bound of Clopper and Pearson 1934, turned round.
    """
    low, high = -1, rows  # the first is allowed, the last is not
    while high - low > 1:
        middle = (low + high) // 2
        if binomial_cdf(middle, rows, risk) <= tolerated:
            low = middle
        else:
            high = middle
    return low


def most_on_average(rows: int, risk: float) -> int:
    """Return the same for a risk that is kept on average over all choices of the rows.

    With one row more, which counts as lost, the fraction stays below the risk: conformal risk control
    (Angelopoulos et al. 2022, theorem 1).
    """
    return math.floor(risk * (rows + 1) + 1e-9) - 1


def fewest_rows(risk: float, tolerated: float | None) -> int:
    """Return how many rows a promise needs, if none of them is lost."""
    if tolerated is None:
        return math.ceil(1 / risk - 1e-9) - 1
    return math.ceil(math.log(tolerated) / math.log1p(-risk) - 1e-9)
