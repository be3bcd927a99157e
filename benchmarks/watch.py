"""How frequent labels are in texts that nobody has labelled, and how often `watch` raises a false alarm.

    python benchmarks/watch.py MODEL FITTED TRAIN TEST --cache CACHE

FITTED are the labelled rows that fit the decision, TEST the texts whose labels are hidden. Rows for
results/: the mean absolute error over labels of each estimate on TEST, beside that of assuming TRAIN's
prevalence (95 % intervals from 1000 bootstrap samples of TEST); the same with `--removed` of the texts of one
label, or of the texts without it, left out, averaged over labels; how often 95 % intervals hold; and the
alarms on random halves of TEST that are compared with other halves.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

from multihot.core.text_facts import TextFacts
from multihot.data.labelled_file import read_examples
from multihot.data.text_facts import TextFactsCounter
from multihot.decision.decision import Decision
from multihot.decision.fitting import DecisionOptions, FittingRows, fit
from multihot.evaluation.prevalence import PrevalenceEstimate
from multihot.evaluation.traffic import LEVEL, TrafficReport, TrafficTally
from multihot.inference.predictor import Predictor
from provenance import append_row, provenance
from scored import Scored, scored

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]


def decided(rows: Scored, which: Rows, predictor: Predictor, counter: TextFactsCounter) -> Decision:
    """Return a decision fitted on some rows, with their facts."""
    some = FittingRows(rows.logits[which], rows.truth[which], which.astype(np.uint64))
    options = DecisionOptions("jaccard", calibration="platt")
    decision = fit(predictor.space, some, options).decision
    return decision.with_facts(some.logits, some.truth, counter.count(rows.tokens.selected(which)))


def watched(
    decision: Decision, rows: Scored, which: Rows, counter: TextFactsCounter | None
) -> TrafficReport:
    """Return what is said of some rows."""
    assert decision.fitting_facts is not None
    tally = TrafficTally(decision, decision.fitting_facts)
    facts = TextFacts() if counter is None else counter.count(rows.tokens.selected(which))
    tally.update(rows.logits[which], facts)
    return tally.report()


def estimates(report: TrafficReport) -> dict[str, Floats]:
    """Return each estimate of all labels that have one."""

    def of(take: str) -> Floats:
        return np.array([_value(found, take) for found in report.labels.values()])

    return {name: of(name) for name in ("fitted", "counted", "em", "bbse")}


def _value(found: PrevalenceEstimate, name: str) -> float:
    value = getattr(found, name)
    return found.fitted if value is None else float(value)  # what cannot be told is taken as before


def errors(
    found: Mapping[str, Floats], train: Floats, truth: npt.NDArray[np.float32]
) -> dict[str, float]:
    """Return the mean absolute error of each estimate."""
    right = np.nanmean(truth, axis=0)
    every = {"train": train, **found}
    return {name: float(np.abs(value - right).mean()) for name, value in every.items()}


def held(report: TrafficReport, truth: npt.NDArray[np.float32]) -> dict[str, float]:
    """Return the fraction of labels whose 95 % interval holds the truth."""
    right = np.nanmean(truth, axis=0)
    fractions = {}
    for name in ("counted", "em"):
        ends = [
            (getattr(each, f"{name}_low"), getattr(each, f"{name}_high"))
            for each in report.labels.values()
        ]
        inside = [low <= x <= high for (low, high), x in zip(ends, right, strict=True)]
        fractions[name] = float(np.mean(inside))
    return fractions


@dataclass(frozen=True)
class Setting:
    """What all figures are measured with."""

    predictor: Predictor
    decision: Decision
    test: Scored
    train: Floats
    """Prevalence of the compared labels in the training file."""
    columns: list[int]
    """The compared labels."""
    counter: TextFactsCounter
    generator: np.random.Generator


def on_test(given: Setting) -> tuple[str, dict[str, object]]:
    """Return the errors on the test file."""
    truth, num_texts = given.test.truth[:, given.columns], len(given.test)
    report = watched(given.decision, given.test, np.arange(num_texts), given.counter)
    found = estimates(report)
    error = errors(found, given.train, truth)
    ratios = []
    for _ in range(1000):
        one = errors(found, given.train, truth[given.generator.integers(num_texts, size=num_texts)])
        ratios.append(one["counted"] / one["train"])
    low, high = np.quantile(ratios, [0.025, 0.975])
    return "test", {
        **_shown(error),
        "counted_by_train_interval": f"{low:.3f} to {high:.3f}",
        **{f"held_{name}": f"{value:.3f}" for name, value in held(report, truth).items()},
        "alarm": report.decide_again,
    }


def shifted(given: Setting, removed: float, *, has_label: bool) -> tuple[str, dict[str, object]]:
    """Return the errors where many of the texts with, or without, one label are left out."""
    truth, test = given.test.truth[:, given.columns], given.test
    of_labels, hits, alarms = [], [], 0
    for column in range(len(given.columns)):
        stays = given.generator.random(len(test)) >= removed
        which = np.flatnonzero((truth[:, column] != has_label) | stays)
        report = watched(given.decision, test, which, None)
        of_labels.append(errors(estimates(report), given.train, truth[which]))
        hits.append(held(report, truth[which]))
        alarms += bool(report.changed_labels)
    mean = {name: float(np.mean([one[name] for one in of_labels])) for name in of_labels[0]}
    what = "with" if has_label else "without"
    return f"{removed:g} of the texts {what} a label left out", {
        **_shown(mean),
        **{f"held_{name}": f"{np.mean([hit[name] for hit in hits]):.3f}" for name in hits[0]},
        "alarm": f"{alarms} of {len(given.columns)}",
    }


def on_halves(given: Setting, number: int) -> tuple[str, dict[str, object]]:
    """Return the alarms on random halves of the test file, which are no shift."""
    test, alarms, significant, hits = given.test, 0, 0, []
    for _ in range(number):
        order = given.generator.permutation(len(test))
        first, second = order[: len(test) // 2], order[len(test) // 2 :]
        decision = decided(test, first, given.predictor, given.counter)
        report = watched(decision, test, second, given.counter)
        alarms += report.decide_again
        p_values = [*report.p_values.values(), *(m.p_value for m in report.measures.values())]
        significant += any(p is not None and p < LEVEL for p in p_values)
        columns = [given.predictor.space.index(name) for name in report.labels]
        hits.append(held(report, test.truth[second][:, columns]))
    return "random halves of the test file", {
        **{f"held_{name}": f"{np.mean([hit[name] for hit in hits]):.3f}" for name in hits[0]},
        "alarm": f"{alarms} of {number}, {significant} significant",
    }


def _shown(error: Mapping[str, float]) -> dict[str, object]:
    return {
        **{f"mae_{name}": f"{value:.4f}" for name, value in error.items()},
        "counted_by_train": f"{error['counted'] / error['train']:.3f}",
        "em_by_train": f"{error['em'] / error['train']:.3f}",
    }


def main() -> None:
    """Measure and append the rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("model", "fitted", "train", "test"):
        parser.add_argument(name)
    parser.add_argument("--removed", type=float, default=0.7)
    parser.add_argument("--halves", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cache")
    given = parser.parse_args()
    predictor = Predictor.load(given.model, device="cpu")
    counter = TextFactsCounter(predictor.tokenizer)
    fitted, test = (scored(predictor, file, given.cache) for file in (given.fitted, given.test))
    labels = read_examples(given.train, predictor.artifact.data, space=predictor.space).labels
    assert labels is not None
    decision = decided(fitted, np.arange(len(fitted)), predictor, counter)
    assert decision.fitting_facts is not None
    columns = [predictor.space.index(name) for name in decision.fitting_facts.labels]
    train = np.nanmean(labels.values[:, columns], axis=0).astype(np.float64)
    generator = np.random.default_rng(given.seed)
    setting = Setting(predictor, decision, test, train, columns, counter, generator)
    origin = provenance()
    for name, values in (
        on_test(setting),
        shifted(setting, given.removed, has_label=True),
        shifted(setting, given.removed, has_label=False),
        on_halves(setting, given.halves),
    ):
        row = {"setting": name, "fitted_rows": len(fitted), "texts": len(test), **values}
        print(row, flush=True)
        append_row(f"watch_{datetime.now(UTC):%Y%m}.csv", {**row, **origin})


if __name__ == "__main__":
    main()
