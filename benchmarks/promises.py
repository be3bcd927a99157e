"""Do limits hold as often as promised? Decisions on random rows of a file, judged by all of its rows.

    python benchmarks/promises.py MODEL TEST --splits 200 --rows 1000 --cache CACHE

All rows of the file are the population: `--rows` of them are drawn with replacement, a decision is
fitted on them and made to keep a limit, and the limit is looked at on the population. So the promise is
tested exactly as it is meant. `kept_on_rest` looks at the rows that were not drawn instead: a sample
itself, whose own chance breaks a limit that the population keeps. One row for each limit goes into results/.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt

from multihot.core.limits import Limit, split_goal
from multihot.core.numeric import wilson_interval
from multihot.decision.decision import Decision
from multihot.decision.fitting import DecisionOptions, FittingRows, fit
from multihot.decision.limit_fitting import with_limits
from multihot.decision.promises import PromiseTally
from multihot.errors import DataError
from multihot.inference.predictor import Predictor
from provenance import append_row, provenance
from scored import Scored, scored

_FEWEST = 60  # expected rows of a label, so that its limit can be promised


@dataclass
class Outcome:
    """What came of one limit over the splits."""

    made: int = 0
    refused: int = 0
    kept: int = 0
    kept_on_rest: int = 0
    without_limit: int = 0


def goals(names: tuple[str, ...], truth: npt.NDArray[np.float32], num_rows: int) -> list[str]:
    """Return the limits that are tried: of each label that is frequent enough, and of all together."""
    expected = np.nansum(truth, axis=0) / len(truth) * num_rows
    frequent = [name for name, count in zip(names, expected, strict=True) if count >= _FEWEST]
    of_labels = [str(Limit("recall", 0.9, name)) for name in frequent]
    of_labels += [str(Limit("precision", 0.5, name)) for name in frequent]
    together = f"recall[{frequent[0]}]>=0.8, samples_recall>=0.7, abstained<=0.1"
    return [*of_labels, "samples_recall>=0.8", "abstained<=0.1", "abstained<=0.02", together]


def kept(decision: Decision, rows: Scored, limits: tuple[Limit, ...], which: object) -> bool:
    """Return whether all limits are kept on some rows."""
    logits, truth = rows.logits[which], rows.truth[which]  # type: ignore[index]
    tally = PromiseTally(limits, decision.space.names)
    tally.update(truth, decision.decide(decision.scores(logits)))
    return all(check.held is not False for check in tally.checks())


def measured(
    predictor: Predictor, rows: Scored, num_rows: int, num_splits: int, *, goal: str, seed: int
) -> dict[str, Outcome]:
    """Return the outcome of each limit."""
    space = predictor.space
    tried = goals(space.names, rows.truth, num_rows)
    found: dict[str, Outcome] = defaultdict(Outcome)
    everything = np.arange(len(rows))
    for split in range(num_splits):
        generator = np.random.default_rng([seed, split])
        drawn = generator.integers(len(rows), size=num_rows)
        rest = np.setdiff1d(everything, drawn)
        sample = FittingRows(rows.logits[drawn], rows.truth[drawn], drawn.astype(np.uint64))
        options = DecisionOptions(goal, calibration="platt", empty_set_rule="abstain")
        base = fit(space, sample, options).decision
        for text in tried:
            limits, outcome = split_goal(text)[1], found[text]
            outcome.without_limit += kept(base, rows, limits, everything)
            try:
                decision = with_limits(base, sample, limits).decision
            except DataError:
                outcome.refused += 1
                continue
            outcome.made += 1
            outcome.kept += kept(decision, rows, limits, everything)
            outcome.kept_on_rest += kept(decision, rows, limits, rest)
    return dict(found)


def joined(outcomes: list[Outcome]) -> Outcome:
    """Return the sums of some outcomes."""
    return Outcome(**{key: sum(getattr(each, key) for each in outcomes) for key in vars(Outcome())})


def main() -> None:
    """Measure and append the rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("file")
    parser.add_argument("--goal", default="jaccard")
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--splits", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cache")
    given = parser.parse_args()
    predictor = Predictor.load(given.model, device="cpu")
    rows = scored(predictor, given.file, given.cache)
    found = measured(predictor, rows, given.rows, given.splits, goal=given.goal, seed=given.seed)
    hard = {
        text: outcome
        for text, outcome in found.items()
        if outcome.made and outcome.without_limit < given.splits / 2
    }
    found["all of them"] = joined(list(found.values()))
    found["those that the goal alone breaks"] = joined(list(hard.values()))
    origin = provenance()
    for text, outcome in found.items():
        of_all, broken = outcome.made + outcome.refused, outcome.made - outcome.kept
        low, high = wilson_interval(of_all - broken, of_all)
        row = {
            "file": Path(given.file).name,
            "limit": text,
            "rows": given.rows,
            "splits": given.splits,
            "made": outcome.made,
            "refused": outcome.refused,
            "not_broken": f"{1 - broken / of_all:.4f}",
            "low": f"{float(low):.4f}",
            "high": f"{float(high):.4f}",
            "kept_of_made": f"{outcome.kept / outcome.made:.4f}" if outcome.made else "",
            "kept_on_rest": f"{outcome.kept_on_rest / outcome.made:.4f}" if outcome.made else "",
            "kept_without_limit": f"{outcome.without_limit / of_all:.4f}",
        }
        print("  ".join(f"{key}={value}" for key, value in row.items()), flush=True)
        append_row(f"promises_{datetime.now(UTC):%Y%m}.csv", {**row, **origin})


if __name__ == "__main__":
    main()
