from __future__ import annotations

import gc
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import sklearn.metrics

from emotions import LABELS, NAMES, TEXTS, write_jsonl
from multihot.core.labels import LabelMatrix, LabelSpace
from multihot.core.options import DataOptions
from multihot.data import labelled_file as module
from multihot.data.examples import Examples
from multihot.data.labelled_file import open_labelled, read_examples
from multihot.decision.decision import Decision
from multihot.errors import DataError, LabelError
from multihot.evaluation.evaluator import Evaluation, report
from multihot.evaluation.report import Report
from multihot.inference.predictor import Predictor
from multihot.workflows.decide import decide
from multihot.workflows.evaluate import evaluate

METRICS = [
    "jaccard",
    "jaccard_empty_zero",
    "micro_f1",
    "macro_f1",
    "weighted_f1",
    "samples_f1",
    "micro_precision",
    "micro_recall",
    "subset_accuracy",
    "hamming_loss",
    "lrap",
    "mean_average_precision",
    "micro_roc_auc",
    "macro_roc_auc",
    "brier_score",
    "log_loss",
    "expected_calibration_error",
    "expected_calibration_error_if_calibrated",
    "mean_label_ece",
    "mean_label_ece_if_calibrated",
]
LABEL_KEYS = (
    "support precision recall f1 threshold precision_low precision_high recall_low recall_high f1_low "
    "f1_high expected_calibration_error expected_calibration_error_if_calibrated average_precision roc_auc"
).split()


@pytest.fixture(scope="module")
def predictor(tiny_model: Path) -> Predictor:
    return Predictor.load(tiny_model, device="cpu")


def examples(texts: list[str], labels: LabelMatrix | None) -> Examples:
    numbers = list(range(1, len(texts) + 1))
    return Examples(texts, labels, list(map(str, numbers)), "here", DataOptions(), (), numbers)


def matrix(rows: list[list[str]]) -> LabelMatrix:
    return LabelMatrix.from_names(rows, LabelSpace(LABELS))


def noisy_rows() -> list[list[str]]:
    """Return the labels with every third row turned into another row's."""
    return [NAMES[row - 5] if row % 3 == 0 else names for row, names in enumerate(NAMES)]


def test_the_report_equals_scikit_learn_on_the_models_own_scores(predictor: Predictor) -> None:
    labels = matrix(noisy_rows())
    scores = predictor.scores(TEXTS)
    truth = labels.values.astype(int)
    decided = (scores.astype(float) >= list(predictor.decision.thresholds)).astype(int)
    means = {
        f"{mean}_f1": sklearn.metrics.f1_score(truth, decided, average=mean)
        for mean in ("micro", "macro", "weighted")
    }
    expected = {
        **means,
        "micro_precision": sklearn.metrics.precision_score(truth, decided, average="micro"),
        "micro_recall": sklearn.metrics.recall_score(truth, decided, average="micro"),
        "subset_accuracy": sklearn.metrics.accuracy_score(truth, decided),
        "hamming_loss": sklearn.metrics.hamming_loss(truth, decided),
        "lrap": sklearn.metrics.label_ranking_average_precision_score(truth, scores),
        "mean_average_precision": sklearn.metrics.average_precision_score(truth, scores),
        "micro_roc_auc": sklearn.metrics.roc_auc_score(truth, scores, average="micro"),
        "macro_roc_auc": sklearn.metrics.roc_auc_score(truth, scores, average="macro"),
        "jaccard": sklearn.metrics.jaccard_score(
            truth, decided, average="samples", zero_division=1.0
        ),
        "jaccard_empty_zero": sklearn.metrics.jaccard_score(
            truth, decided, average="samples", zero_division=0.0
        ),
        "log_loss": sklearn.metrics.log_loss(truth.ravel(), scores.ravel()),
        "brier_score": sklearn.metrics.brier_score_loss(truth.ravel(), scores.ravel()),
    }
    precision, recall, f1, support = sklearn.metrics.precision_recall_fscore_support(truth, decided)

    found = evaluate(predictor, examples(TEXTS, labels))

    assert found.rows == 48
    assert {name: found.metrics[name] for name in expected} == pytest.approx(expected, abs=1e-6)
    assert list(found.labels) == list(LABELS)
    for column, row in enumerate(found.labels.values()):
        assert row.support == support[column]
        assert (row.precision, row.recall, row.f1) == pytest.approx(
            (precision[column], recall[column], f1[column])
        )
        assert row.threshold == predictor.decision.thresholds[column]


def test_perfect_answers_score_one(predictor: Predictor) -> None:
    found = evaluate(predictor, examples(TEXTS, matrix(NAMES)))

    assert found.metrics["jaccard"] == found.metrics["micro_f1"] == 1
    assert found.metrics["hamming_loss"] == 0


def test_labels_are_matched_by_name_whatever_their_order(predictor: Predictor) -> None:
    rows = noisy_rows()
    other_order = LabelMatrix.from_names(rows, LabelSpace(LABELS[::-1]))

    assert evaluate(predictor, examples(TEXTS, other_order)) == evaluate(
        predictor, examples(TEXTS, matrix(rows))
    )


def test_unknown_cells_are_left_out_of_truth_and_prediction(predictor: Predictor) -> None:
    values = matrix(noisy_rows()).values.copy()
    values[::2, 0] = np.nan
    values[5] = np.nan
    known = ~np.isnan(values)
    decided = predictor.decision.decide(predictor.scores(TEXTS))

    found = evaluate(predictor, examples(TEXTS, LabelMatrix(LabelSpace(LABELS), values)))

    assert (found.rows, found.rows_without_known_labels) == (47, 1)
    assert found.metrics["micro_f1"] == pytest.approx(
        sklearn.metrics.f1_score(values[known].astype(int), decided[known])
    )
    for column, row in enumerate(found.labels.values()):
        cells = known[:, column]
        assert row.support == int(values[cells, column].sum())
        assert row.f1 == pytest.approx(
            sklearn.metrics.f1_score(values[cells, column].astype(int), decided[cells, column])
        )
    assert "1 text without a known label was excluded." in found.remarks()


def test_a_label_without_a_column_is_unknown_and_undefined(predictor: Predictor) -> None:
    values = [[float("joy" in row)] for row in NAMES]
    joy = LabelMatrix(LabelSpace(("joy",)), np.array(values))

    found = evaluate(predictor, examples(TEXTS, joy))

    assert found.labels["joy"].f1 == 1
    assert found.labels["fear"].support == 0
    assert found.labels["fear"].f1 is None
    assert "Labels that are neither true nor predicted (undefined): fear, love." in found.remarks()


def test_a_label_that_lists_of_names_never_mention_is_absent(predictor: Predictor) -> None:
    joy = [[n for n in row if n == "joy"] for row in NAMES]
    alone = evaluate(predictor, examples(TEXTS, LabelMatrix.from_names(joy)))
    aligned = evaluate(predictor, examples(TEXTS, LabelMatrix.from_names(joy, predictor.space)))

    assert alone.labels["fear"].precision == 0
    assert alone == aligned


def test_rows_that_fitted_the_thresholds_are_counted(predictor: Predictor, tmp_path: Path) -> None:
    space = predictor.space
    fitted = read_examples(write_jsonl(tmp_path / "a.jsonl", slice(0, 24)), space=space)
    others = read_examples(write_jsonl(tmp_path / "b.jsonl", slice(24, 48)), space=space)
    both = read_examples(write_jsonl(tmp_path / "c.jsonl", slice(12, 36)), space=space)

    counts = [evaluate(predictor, each).rows_fitted for each in (fitted, others, both)]

    assert counts == [24, 0, 12]
    report = evaluate(predictor, fitted)
    assert report.to_json()["fitted_here"] is True
    assert "The decision was fitted on 24 of these texts" in str(report)
    assert evaluate(predictor, others).to_json()["fitted_here"] is False
    assert "were fitted on" not in str(evaluate(predictor, others))


def test_a_text_that_fitted_the_thresholds_is_recognised_whatever_its_labels(
    predictor: Predictor,
) -> None:
    other = matrix([["fear", "joy", "love"]] * 24)
    shown = examples(TEXTS[:24], matrix(NAMES[:24]))
    fitted = Predictor(
        replace(predictor.artifact, decision=decide(predictor, shown).decision),
        predictor.tokenizer,
        predictor.backend,
    )
    old = fitted.decision.fitted_on
    assert old is not None
    of_rows = Predictor(
        replace(
            fitted.artifact,
            decision=replace(fitted.decision, fitted_on=replace(old, text_hashes="")),
        ),
        predictor.tokenizer,
        predictor.backend,
    )

    assert evaluate(fitted, examples(TEXTS[:24], other)).rows_fitted == 24
    assert evaluate(of_rows, examples(TEXTS[:24], other)).rows_fitted == 0  # as it was stored
    assert evaluate(of_rows, shown).rows_fitted == 24


def test_a_given_threshold_was_fitted_on_nothing(predictor: Predictor) -> None:
    found = evaluate(predictor, examples(TEXTS[:24], matrix(NAMES[:24])), threshold=0.9)

    assert found.rows_fitted == 0
    assert {row.threshold for row in found.labels.values()} == {0.9}


def test_a_calibration_remembers_its_rows_under_a_given_threshold(predictor: Predictor) -> None:
    shown = examples(TEXTS[:24], matrix(NAMES[:24]))
    artifact = replace(
        predictor.artifact, decision=decide(predictor, shown, calibration="temperature").decision
    )
    calibrated = Predictor(artifact, predictor.tokenizer, predictor.backend)

    assert evaluate(calibrated, shown, threshold=0.9).rows_fitted == 24


POSITIVES, CELLS = sum(map(len, NAMES)), len(NAMES) * len(LABELS)


@pytest.mark.parametrize(
    ("goal", "reached"),
    [
        ("cost=1:5", f": mean cost {(CELLS - POSITIVES) / len(NAMES):.4f} per text."),
        ("recall>=0.9", f" met: precision {POSITIVES / CELLS:.3f}."),
        ("precision>=0.9", f" not met: precision is {0.9 - POSITIVES / CELLS:.3f} too low."),
        ("jaccard", None),
    ],
)
def test_what_is_reached_of_a_goal_that_is_no_metric_is_said(
    predictor: Predictor, goal: str, reached: str | None
) -> None:
    shown = examples(TEXTS, matrix(NAMES))
    everything = decide(predictor, shown, goal=goal, thresholds=0.001).decision

    found = report(everything, predictor.logits(TEXTS)[0], shown)

    remarks = [remark for remark in found.remarks() if remark.startswith("Goal")]
    assert remarks == ([] if reached is None else [f"Goal {goal}{reached}"])


def test_a_goal_by_rank_says_its_recall(predictor: Predictor) -> None:
    shown = examples(TEXTS, matrix(NAMES))
    ranked = decide(predictor, shown, goal="top_k=3").decision

    assert (
        "Goal top_k=3: recall 1.000." in report(ranked, predictor.logits(TEXTS)[0], shown).remarks()
    )


def test_texts_that_were_cut_are_counted(predictor: Predictor) -> None:
    found = evaluate(predictor, examples(["love " * 100, "love"], matrix([["love"], ["love"]])))

    assert found.rows_truncated == 1
    assert "1 text is longer than the model reads, and cut." in found.remarks()


def test_json_has_exactly_the_promised_shape(predictor: Predictor) -> None:
    found = evaluate(predictor, examples(TEXTS, matrix(NAMES))).to_json()

    assert list(found) == [
        "rows",
        "rows_without_known_labels",
        "rows_truncated",
        "rows_fitted",
        "fitted_here",
        "metrics",
        "labels",
        "promises",
    ]
    assert list(found["metrics"]) == METRICS
    for metric in found["metrics"].values():
        assert list(metric) == ["value", "low", "high", "error"]
        assert metric["error"] == 0
        assert 0 <= metric["value"] <= 1
        assert 0 <= metric["low"] <= metric["high"] <= 1
    assert list(found["labels"]) == list(LABELS)
    for label in found["labels"].values():
        assert list(label) == LABEL_KEYS
        assert 0 < label["f1_low"] < label["f1"] == label["f1_high"] == 1


@pytest.mark.parametrize(
    "rows", [[[], []], [["joy"], ["joy"]], [["fear", "joy", "love"], ["fear", "joy", "love"]]]
)
def test_undefined_figures_are_null_and_never_nan(rows: list[list[str]]) -> None:
    space = LabelSpace(LABELS)
    decision = Decision(space, (0.5, 0.5, 0.5), "jaccard", "fixed")
    logits = np.full((2, 3), -5, dtype=np.float32)

    found = report(decision, logits, examples(["a", "b"], matrix(rows)))

    assert json.loads(json.dumps(found.to_json(), allow_nan=False)) == found.to_json()
    assert "nan" not in str(found).lower().split()


def test_the_printed_report_has_every_metric_and_label(predictor: Predictor) -> None:
    found = evaluate(predictor, examples(TEXTS, matrix(noisy_rows())))
    words = str(found).split()

    assert set(METRICS) <= set(words)
    assert set(LABELS) <= set(words)
    assert f"{found.metrics['jaccard']:.3f}" in words
    assert "48 texts." in str(found)


def test_data_without_labels_cannot_be_evaluated(predictor: Predictor) -> None:
    with pytest.raises(DataError, match=r"here: has no labels to compare with"):
        evaluate(predictor, examples(TEXTS, None))


def test_a_label_that_the_model_does_not_know_is_refused(predictor: Predictor) -> None:
    labels = LabelMatrix.from_names([["anger"], ["joy"]])

    with pytest.raises(LabelError, match=r"not known here: anger. The known labels are: fear, joy"):
        evaluate(predictor, examples(TEXTS[:2], labels))


@pytest.mark.parametrize("window_rows", [1, 7, 1000])
def test_a_file_is_scored_while_it_is_read_with_the_same_figures(
    predictor: Predictor, tmp_path: Path, window_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", slice(12, 36))
    monkeypatch.setattr(module, "WINDOW_ROWS", window_rows)
    counted: list[int] = []

    in_memory = evaluate(predictor, read_examples(path, space=predictor.space))
    streamed = evaluate(
        predictor, open_labelled(path, space=predictor.space), progress=counted.append
    )

    assert streamed == in_memory
    assert streamed.rows_fitted == 12
    assert counted[-1] == streamed.rows == 24
    assert len(counted) == -(-24 // window_rows)


def test_chunks_of_an_evaluation_make_no_difference_to_the_last_bit() -> None:
    generator = np.random.default_rng(0)
    space = LabelSpace(LABELS)
    decision = Decision(space, (0.3, 0.5, 0.6), "jaccard", "fixed")
    logits = generator.normal(size=(3000, 3)).astype(np.float32)
    values = (generator.random((3000, 3)) < 0.4).astype(np.float32)
    values[generator.random(values.shape) < 0.1] = np.nan
    rows = examples([str(row) for row in range(3000)], LabelMatrix(space, values))

    def in_chunks(size: int) -> Report:
        evaluation = Evaluation(decision, 3000, intervals=True)
        for start in range(0, 3000, size):
            some = rows.take(range(start, min(start + size, 3000)))
            assert some.labels is not None
            evaluation.update(some.texts, some.labels, logits[start : start + size], 1)
        return replace(evaluation.report(), rows_truncated=0)

    assert in_chunks(1) == in_chunks(64) == in_chunks(3000) == report(decision, logits, rows)


@pytest.mark.slow
def test_no_more_texts_are_held_than_a_window_has(
    predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "many.jsonl"
    line = '{"text": "happy today", "labels": ["joy"]}\n'
    path.write_text(line * 90, "utf-8")
    monkeypatch.setattr(module, "WINDOW_ROWS", 10)
    alive: list[int] = []

    def count_examples(_: int) -> None:
        held = [
            one for one in gc.get_objects() if type(one) is Examples and one.source == str(path)
        ]
        alive.append(sum(len(one) for one in held))

    evaluate(predictor, open_labelled(path, space=predictor.space), progress=count_examples)

    assert len(alive) == 9
    assert max(alive) <= 20  # the window that is scored, and the one that was


def test_with_too_many_scores_the_error_is_bounded_and_said() -> None:
    generator = np.random.default_rng(0)
    space = LabelSpace(LABELS)
    decision = Decision(space, (0.5, 0.5, 0.5), "jaccard", "fixed")
    logits = generator.normal(size=(500, 3)).astype(np.float32)
    labels = LabelMatrix(space, (generator.random((500, 3)) < 0.4).astype(np.float32))
    exact, binned = (
        Evaluation(decision, 500, max_exact_cells=limit, intervals=True) for limit in (1500, 1499)
    )
    for evaluation in (exact, binned):
        evaluation.update([""] * 500, labels, logits)

    expected, found = exact.report(), binned.report()

    assert (expected.errors, expected.to_json()["metrics"]["macro_roc_auc"]["error"]) == ({}, 0)
    areas = {"mean_average_precision", "micro_roc_auc", "macro_roc_auc"}
    assert set(found.errors) == areas | {"expected_calibration_error", "mean_label_ece"}
    assert not set(found.intervals) & set(found.errors)
    assert areas <= set(expected.intervals)
    for name, bound in found.errors.items():
        value, exact_value = found.metrics[name], expected.metrics[name]
        assert value is not None
        assert exact_value is not None
        assert abs(value - exact_value) <= bound < (0.01 if name in areas else 0.3)
        assert found.to_json()["metrics"][name]["error"] == bound
    others = {n for n in set(found.metrics) - set(found.errors) if "calibrated" not in n}
    assert all(found.metrics[name] == expected.metrics[name] for name in others)
    assert "their errors are at most mean_average_precision 0.0" in str(found)
    assert "binned" not in str(expected)


def test_an_evaluation_does_not_change_the_model(predictor: Predictor) -> None:
    before = replace(predictor.artifact)

    evaluate(predictor, examples(TEXTS, matrix(NAMES)), threshold=0.1)

    assert predictor.artifact == before


def test_a_report_without_intervals_has_the_same_figures(predictor: Predictor) -> None:
    rows = examples(TEXTS, matrix(noisy_rows()))

    full, quick = (evaluate(predictor, rows, intervals=wanted) for wanted in (True, False))

    assert {name: full.metrics[name] for name in quick.metrics} == quick.metrics
    assert set(full.metrics) - set(quick.metrics) == {n for n in METRICS if "calibrated" in n}
    assert quick.intervals == {}
    assert set(full.intervals) == set(METRICS)
    assert " to " not in str(quick)
    jaccard, (low, high) = full.metrics["jaccard"], full.intervals["jaccard"]
    assert f"{jaccard:.3f} ({low:.3f} to {high:.3f})" in str(full)
    assert quick.to_json()["metrics"]["jaccard"]["low"] is None
    assert quick.labels["joy"].f1_low is None


def test_the_same_seed_gives_the_same_intervals(predictor: Predictor) -> None:
    rows = examples(TEXTS, matrix(noisy_rows()))
    once, again, other = (evaluate(predictor, rows, seed=seed) for seed in (0, 0, 1))

    assert once == again
    assert once.metrics["jaccard"] == other.metrics["jaccard"]
    assert once.intervals["jaccard"] != other.intervals["jaccard"]


def test_labels_without_positives_or_negatives_are_named() -> None:
    space = LabelSpace(LABELS)
    decision = Decision(space, (0.5, 0.5, 0.5), "jaccard", "fixed")
    logits = np.array([[5, -5, 5], [5, 5, -5]], dtype=np.float32)

    found = report(decision, logits, examples(["a", "b"], matrix([["joy", "love"], ["joy"]])))

    assert found.labels["fear"].f1 == 0
    assert (found.labels_without_positives, found.labels_without_negatives) == (("fear",), ("joy",))
    assert "predicted and never true (F1 is 0 for any model" in str(found)
    assert any(remark.endswith("): fear.") for remark in found.remarks())
    assert any(
        remark.startswith("Labels that are true wherever") and remark.endswith("): joy.")
        for remark in found.remarks()
    )


def test_reliability_bins_are_in_the_json_when_asked_for(predictor: Predictor) -> None:
    found = evaluate(predictor, examples(TEXTS, matrix(noisy_rows())))

    bins = found.to_json(reliability=True)["labels"]["joy"]["reliability"]
    assert list(bins[0]) == ["cells", "highest_score", "mean_score", "share_true"]
    assert sum(one["cells"] for one in bins) == 48
    assert [one["highest_score"] for one in bins] == sorted(one["highest_score"] for one in bins)
    assert all(one["mean_score"] <= one["highest_score"] + 1e-6 for one in bins)
    error = sum(one["cells"] * abs(one["mean_score"] - one["share_true"]) for one in bins) / 48
    assert found.labels["joy"].expected_calibration_error == pytest.approx(error)
    assert "reliability" not in found.to_json()["labels"]["joy"]
