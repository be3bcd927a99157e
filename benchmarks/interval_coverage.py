"""Do 95 % intervals hold the truth 95 times in 100? Simulated data sets from a known population.

    python benchmarks/interval_coverage.py --rows 300 1000 --sets 1000
    python benchmarks/interval_coverage.py --figures mean_average_precision micro_roc_auc

The population is a pool of texts with eight labels that depend on each other and the scores of two
models; a data set is drawn from it, and each interval is asked whether it holds the pool's figure. One
row for each figure and size goes into results/.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

from multihot.core.labels import LabelMatrix, LabelSpace
from multihot.decision.decision import Decision
from multihot.evaluation.evaluator import Evaluation
from multihot.evaluation.paired_tests import Differences
from provenance import append_row, provenance

PREVALENCE = (0.45, 0.35, 0.25, 0.2, 0.15, 0.1, 0.06, 0.04)
SPACE = LabelSpace(tuple(f"label_{share:.0%}".replace("%", "") for share in PREVALENCE))
FREQUENT, RARE = SPACE.names[1], SPACE.names[6]
METRICS = (
    "micro_f1",
    "macro_f1",
    "jaccard",
    "subset_accuracy",
    "lrap",
    "mean_average_precision",
    "micro_roc_auc",
    "macro_roc_auc",
    "brier_score",
    "log_loss",
)
DIFFERENCES = ("micro_f1", "macro_f1", "jaccard", "subset_accuracy", "brier_score")
FIGURES = (
    *METRICS,
    *(f"f1 of {name}" for name in (FREQUENT, RARE)),
    *(f"difference of {name}" for name in DIFFERENCES),
    *(f"difference of f1 of {name}" for name in (FREQUENT, RARE)),
)
Floats = npt.NDArray[np.float32]
Hits = dict[str, list[bool]]


def population(num_rows: int, seed: int = 0) -> tuple[Floats, Floats, Floats]:
    """Return truth and the logits of two models. *Shape of each:* (num_rows, 8)."""
    generator = np.random.default_rng(seed)
    topics = generator.normal(size=(num_rows, 3))
    signal = topics @ generator.normal(size=(3, len(PREVALENCE))) * 1.2
    latent = signal + generator.logistic(size=signal.shape)
    cuts = np.array([np.quantile(latent[:, n], 1 - share) for n, share in enumerate(PREVALENCE)])
    noise = generator.normal(size=(3, *signal.shape))
    first = 1.1 * (signal - cuts) + 0.4 * noise[0] + 0.4 * noise[1]
    second = 1.0 * (signal - cuts) + 0.4 * noise[0] + 0.6 * noise[2] - 0.2
    truth = (latent > cuts).astype(np.float32)
    return truth, first.astype(np.float32), second.astype(np.float32)


def decisions(truth: Floats, *logits: Floats) -> list[Decision]:
    """Return decisions that give each label as often as it is true."""
    found = []
    for values in logits:
        scores = 1 / (1 + np.exp(-values.astype(np.float64)))
        cuts = [
            float(np.quantile(scores[:, column], 1 - truth[:, column].mean()))
            for column in range(len(SPACE))
        ]
        found.append(Decision(SPACE, tuple(cuts), "jaccard", "per_label"))
    return found


def figures(decision: Decision, truth: Floats, logits: Floats) -> dict[str, float | None]:
    """Return the true figures of a population."""
    evaluation = Evaluation(decision, len(truth))
    evaluation.update([""] * len(truth), LabelMatrix(SPACE, truth), logits)
    report = evaluation.report()
    scores = {f"f1 of {name}": report.labels[name].f1 for name in (FREQUENT, RARE)}
    return {**{name: report.metrics[name] for name in METRICS}, **scores}


def covered(
    num_rows: int, num_sets: int, seed: int, *, differences: bool = True, pool_rows: int = 200_000
) -> Hits:
    """Return whether the interval of each figure held the population's, for each data set."""
    truth, *logits = population(pool_rows)
    both = decisions(truth, *logits)
    expected = [figures(one, truth, values) for one, values in zip(both, logits, strict=True)]
    generator = np.random.default_rng(seed)
    hits: Hits = defaultdict(list)
    for number in range(num_sets):
        rows = generator.integers(0, pool_rows, num_rows)
        samples = [values[rows] for values in logits]
        _look_at_one(hits, both[0], truth[rows], samples[0], expected[0], seed=number)
        if differences:
            _look_at_both(hits, both, truth[rows], samples, expected, seed=number)
    return hits


def _look_at_one(
    hits: Hits,
    decision: Decision,
    truth: Floats,
    logits: Floats,
    expected: Mapping[str, float | None],
    *,
    seed: int,
) -> None:
    evaluation = Evaluation(decision, len(truth), intervals=True, seed=seed)
    evaluation.update([""] * len(truth), LabelMatrix(SPACE, truth), logits)
    report = evaluation.report()
    for name in METRICS:
        hits[name].append(_holds(report.intervals.get(name), expected[name]))
    for name in (FREQUENT, RARE):
        label = report.labels[name]
        interval = (label.f1_low or 0.0, label.f1_high or 1.0)
        hits[f"f1 of {name}"].append(_holds(interval, expected[f"f1 of {name}"]))


def _look_at_both(
    hits: Hits,
    both: list[Decision],
    truth: Floats,
    logits: list[Floats],
    expected: list[dict[str, float | None]],
    *,
    seed: int,
) -> None:
    differences = Differences(len(truth), len(SPACE), seed, num_swaps=1)
    scores = [one.scores(values) for one, values in zip(both, logits, strict=True)]
    decided = [one.decide(values) for one, values in zip(both, scores, strict=True)]
    differences.update(truth, decided, scores)
    metrics, labels = differences.result()
    found = {name: metrics[name] for name in DIFFERENCES}
    found |= {f"f1 of {n}": labels[SPACE.index(n)] for n in (FREQUENT, RARE)}
    for name, one in found.items():
        first, second = (values[name] for values in expected)
        interval = None if one.low is None or one.high is None else (one.low, one.high)
        gap = None if first is None or second is None else first - second
        hits[f"difference of {name}"].append(_holds(interval, gap))


def _holds(interval: tuple[float, float] | None, value: float | None) -> bool:
    return interval is not None and value is not None and interval[0] <= value <= interval[1]


def main() -> None:
    """Measure and append the rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[300, 1000])
    parser.add_argument("--sets", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--figures", nargs="+", choices=FIGURES, default=FIGURES, metavar="FIGURE")
    given = parser.parse_args()
    differences = any(name.startswith("difference of ") for name in given.figures)
    origin = provenance()
    for num_rows in given.rows:
        found = covered(num_rows, given.sets, given.seed, differences=differences)
        for figure, held in found.items():
            if figure not in given.figures:
                continue
            share = f"{np.mean(held):.3f}"
            print(f"{num_rows:>6} {figure:<32} {share}", flush=True)
            row = {"figure": figure, "rows": num_rows, "data_sets": given.sets, "coverage": share}
            append_row(f"coverage_{datetime.now(UTC):%Y%m}.csv", {**row, **origin})


if __name__ == "__main__":
    main()
