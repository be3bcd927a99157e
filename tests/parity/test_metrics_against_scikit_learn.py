"""Our metrics equal scikit-learn's wherever it defines them, and are None where it warns."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from multihot.decision.counts import Counts, LabelCounts
from multihot.evaluation.ranking import Ranking, RankingMetrics
from multihot.evaluation.ranking_cells import ranking_precisions

pytestmark = pytest.mark.parity
metrics = pytest.importorskip("sklearn.metrics")
Array = npt.NDArray[Any]
NAN = np.nan


def random_case(
    seed: int, num_rows: int = 60, num_labels: int = 5, share: float = 0.3
) -> tuple[Array, Array]:
    generator = np.random.default_rng(seed)
    truth = (generator.random((num_rows, num_labels)) < share).astype(np.float32)
    predicted = generator.random(truth.shape) < 0.3 + 0.4 * truth
    return truth, predicted


def cases() -> dict[str, tuple[Array, Array]]:
    ones, zeros = np.ones((6, 3), np.float32), np.zeros((6, 3), np.float32)
    one_label = random_case(7, num_labels=1)
    rare = random_case(8, share=0.02)
    no_positive_in_one = random_case(9)
    no_positive_in_one[0][:, 2] = 0
    absent = random_case(10)
    absent[0][:, 1], absent[1][:, 1] = 0, False
    return {
        **{f"random {seed}": random_case(seed) for seed in range(5)},
        "one label": one_label,
        "one row": random_case(11, num_rows=1),
        "rare labels": rare,
        "a label without positives": no_positive_in_one,
        "a label neither true nor given": absent,
        "nothing true": (zeros, ones > 0),
        "nothing given": (ones, zeros > 0),
        "nothing true or given": (zeros, zeros > 0),
        "all true and given": (ones, ones > 0),
    }


def ours(truth: Array, predicted: Array) -> tuple[dict[str, float | None], list[LabelCounts]]:
    counts = Counts(truth.shape[1])
    counts.update(truth, predicted)
    return counts.metrics(), counts.per_label()


def theirs(truth: Array, predicted: Array) -> dict[str, float]:
    """Return scikit-learn's values with the `zero_division` that our docstrings name."""
    # With one column scikit-learn would take the matrix for a binary problem: a second column in
    # which nothing is true or given changes no count, and `labels` leaves it out of the means.
    num_labels = truth.shape[1]
    labels = list(range(num_labels))
    wide = [np.pad(values.astype(int), ((0, 0), (0, 1))) for values in (truth, predicted)]

    def f1(average: str, zero_division: float) -> float:
        return metrics.f1_score(*wide, labels=labels, average=average, zero_division=zero_division)

    return {
        "jaccard": metrics.jaccard_score(*wide, average="samples", zero_division=1),
        "jaccard_empty_zero": metrics.jaccard_score(*wide, average="samples", zero_division=0),
        "micro_f1": f1("micro", NAN),
        "macro_f1": f1("macro", NAN),
        "weighted_f1": f1("weighted", NAN),
        "samples_f1": f1("samples", 1),
        "micro_precision": metrics.precision_score(*wide, average="micro", zero_division=NAN),
        "micro_recall": metrics.recall_score(*wide, average="micro", zero_division=NAN),
        "subset_accuracy": metrics.accuracy_score(*wide),
        "hamming_loss": metrics.hamming_loss(*wide) * (num_labels + 1) / num_labels,
    }


def as_float(value: float | None) -> float:
    return NAN if value is None else value


@pytest.mark.parametrize("case", cases().values(), ids=cases().keys())
def test_every_count_metric_equals_scikit_learn(case: tuple[Array, Array]) -> None:
    found, expected = ours(*case)[0], theirs(*case)

    if not case[0].any():
        # Without any support the weights are 0/0: scikit-learn then averages without weights.
        assert found.pop("weighted_f1") is None
        del expected["weighted_f1"]
    assert {name: as_float(value) for name, value in found.items()} == pytest.approx(
        expected, abs=1e-12, nan_ok=True
    )


@pytest.mark.parametrize("case", cases().values(), ids=cases().keys())
def test_precision_recall_f1_and_support_of_each_label_equal_scikit_learn(
    case: tuple[Array, Array],
) -> None:
    truth, _ = case
    expected = metrics.precision_recall_fscore_support(
        *(np.pad(values.astype(int), ((0, 0), (0, 1))) for values in case),
        labels=list(range(truth.shape[1])),
        zero_division=NAN,
    )

    for label, (precision, recall, f1, support) in zip(
        ours(*case)[1], np.transpose(expected), strict=True
    ):
        found = [as_float(value) for value in (label.precision, label.recall, label.f1)]
        assert [*found, label.support] == pytest.approx(
            [precision, recall, f1, support], nan_ok=True
        )


@pytest.mark.parametrize("seed", range(5))
def test_unknown_cells_give_what_scikit_learn_gives_on_the_known_cells(seed: int) -> None:
    truth, predicted = random_case(seed)
    generator = np.random.default_rng(100 + seed)
    truth[generator.random(truth.shape) < 0.3] = NAN
    truth[:3] = NAN
    known = ~np.isnan(truth)
    found, labels = ours(truth, predicted)
    cells = truth[known].astype(int), predicted[known].astype(int)
    # A row is compared on its known cells: outside of them neither side has the label.
    rows = known.any(axis=1)
    truth_zero, predicted_zero = np.nan_to_num(truth[rows]).astype(int), (predicted & known)[rows]

    per_label = [
        metrics.f1_score(truth[k, c], predicted[k, c], zero_division=NAN)
        for c, k in enumerate(known.T)
    ]
    assert [label.f1 for label in labels] == pytest.approx(per_label)
    assert found["macro_f1"] == pytest.approx(np.nanmean(per_label))
    assert found["micro_f1"] == pytest.approx(metrics.f1_score(*cells))
    assert found["micro_precision"] == pytest.approx(metrics.precision_score(*cells))
    assert found["micro_recall"] == pytest.approx(metrics.recall_score(*cells))
    assert found["hamming_loss"] == pytest.approx(metrics.hamming_loss(*cells))
    assert found["subset_accuracy"] == pytest.approx(
        metrics.accuracy_score(truth_zero, predicted_zero)
    )
    for name, empty in (("jaccard", 1), ("jaccard_empty_zero", 0)):
        expected = metrics.jaccard_score(
            truth_zero, predicted_zero, average="samples", zero_division=empty
        )
        assert found[name] == pytest.approx(expected)


def ranking(truth: Array, scores: Array, chunk_rows: int = 7) -> RankingMetrics:
    found = Ranking(*truth.shape)
    for start in range(0, len(truth), chunk_rows):
        rows = slice(start, start + chunk_rows)
        found.update(truth[rows], scores[rows])
    return found.result()


@pytest.mark.parametrize("levels", [2, 5, 10_000])
@pytest.mark.parametrize("seed", range(4))
def test_ranking_metrics_equal_scikit_learn_also_with_tied_scores(seed: int, levels: int) -> None:
    truth, _ = random_case(seed)
    truth[0], truth[1] = 0, 1
    generator = np.random.default_rng(100 + seed)
    scores = (np.round(generator.random(truth.shape) * levels) / levels).astype(np.float32)

    found = ranking(truth, scores)

    assert found.errors == {}
    order = {name: value for name, value in found.metrics.items() if "calibration" not in name}
    del order["mean_label_ece"]
    order["lrap"] = ranking_precisions(truth, scores).mean()
    assert order == pytest.approx(
        {
            "lrap": metrics.label_ranking_average_precision_score(truth, scores),
            "mean_average_precision": metrics.average_precision_score(truth, scores),
            "micro_roc_auc": metrics.roc_auc_score(truth, scores, average="micro"),
            "macro_roc_auc": metrics.roc_auc_score(truth, scores, average="macro"),
        },
        abs=1e-12,
    )


@pytest.mark.parametrize("seed", range(4))
def test_ranking_metrics_with_unknown_cells_equal_scikit_learn_on_the_known_cells(
    seed: int,
) -> None:
    truth, _ = random_case(seed)
    generator = np.random.default_rng(100 + seed)
    truth[generator.random(truth.shape) < 0.3] = NAN
    truth[:2] = NAN
    truth[:, 4] = np.where(np.isnan(truth[:, 4]), NAN, 0)
    scores = np.round(generator.random(truth.shape), 1).astype(np.float32)
    known = ~np.isnan(truth)

    result = ranking(truth, scores)
    found, labels = result.metrics, result.labels

    columns = [(truth[k, c], scores[k, c]) for c, k in enumerate(known.T)][:4]
    average_precision = [metrics.average_precision_score(*column) for column in columns]
    roc_auc = [metrics.roc_auc_score(*column) for column in columns]
    rows = [(truth[r, k][None], scores[r, k][None]) for r, k in enumerate(known) if k.any()]
    assert (labels[4].roc_auc, labels[4].average_precision) == (None, None)
    assert [label.average_precision for label in labels[:4]] == pytest.approx(average_precision)
    assert [label.roc_auc for label in labels[:4]] == pytest.approx(roc_auc)
    assert found["mean_average_precision"] == pytest.approx(np.mean(average_precision))
    assert found["macro_roc_auc"] == pytest.approx(np.mean(roc_auc))
    assert found["micro_roc_auc"] == pytest.approx(
        metrics.roc_auc_score(truth[known], scores[known])
    )
    expected = [lrap_of_one_row(*row) for row in rows]
    assert ranking_precisions(truth, scores) == pytest.approx(expected)


def lrap_of_one_row(truth: Array, scores: Array) -> float:
    # A single known cell is all true or all false, which scikit-learn refuses to look at.
    if truth.shape[1] == 1:
        return 1.0
    return metrics.label_ranking_average_precision_score(truth, scores)


def test_with_no_positive_or_only_positives_scikit_learn_has_no_roc_auc_either() -> None:
    scores = np.random.default_rng(0).random((5, 2), dtype=np.float32)

    for value in (0.0, 1.0):
        truth = np.full((5, 2), value, np.float32)
        found = ranking(truth, scores).metrics
        assert (found["micro_roc_auc"], found["macro_roc_auc"]) == (None, None)
        assert found["mean_average_precision"] == (1.0 if value else None)
        expected = metrics.label_ranking_average_precision_score(truth, scores)
        assert ranking_precisions(truth, scores).mean() == expected
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert np.isnan(metrics.roc_auc_score(truth, scores))
