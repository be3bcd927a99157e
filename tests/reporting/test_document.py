from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from multihot.evaluation.report import LabelReport, Report
from multihot.reporting.document import errors_of_a_label
from multihot.reporting.label_facts import gain_of_doubling, shifts_from_fitting
from reporting.samples import decision_of, document_of, scored, scored_rows

NAMES = ("joy", "fear", "love")
TEXTS = [f"text {number}" for number in range(200)]


def test_a_document_is_json_and_its_parts_agree(tmp_path: Path) -> None:
    document = document_of(tmp_path, NAMES, TEXTS)

    assert json.loads(json.dumps(document, allow_nan=False))["shown_labels"] == list(NAMES)
    for name in NAMES:
        facts, label = document["details"][name], document["evaluation"]["labels"][name]
        curve = facts["curve"]
        own = curve["thresholds"].index(label["threshold"])
        assert curve["true_positives"][own] == facts["true_positives"]
        assert curve["false_positives"][own] == facts["false_positives"]
        assert sum(facts["histogram"]["positives"]) == label["support"]
        assert sum(facts["histogram"]["negatives"]) == facts["known"] - label["support"]
    for error in document["errors"]:
        row = document["rows"][error["row"]]
        is_true, is_given = (error["label"] in row[key] for key in ("labels", "predicted"))
        assert (is_true, is_given) == (
            (True, False) if error["kind"] == "missed" else (False, True)
        )


def test_an_interval_shrinks_as_texts_grow(tmp_path: Path) -> None:
    document = document_of(tmp_path, NAMES, TEXTS)
    label = document["evaluation"]["labels"]["joy"]
    ends = [
        [label["f1_low"], label["f1_high"]],
        *document["details"]["joy"]["f1_with_more_texts"].values(),
    ]

    widths = [high - low for low, high in ends]
    assert widths == sorted(widths, reverse=True)
    assert all(low < label["f1"] < high for low, high in ends)
    assert widths[2] == pytest.approx(widths[0] / 2, rel=0.1)  # of four times the texts


def test_many_labels_fold_to_those_that_matter(tmp_path: Path) -> None:
    names = [f"topic {number}" for number in range(100)]
    document = document_of(tmp_path, names, TEXTS, asked=["topic 99"])
    labels, details = document["evaluation"]["labels"], document["details"]

    shown = document["shown_labels"]
    assert len(shown) == 40
    assert shown == [name for name in names if name in shown]
    assert "topic 99" in shown
    errors = {n: one["false_positives"] + one["false_negatives"] for n, one in details.items()}
    assert max(errors, key=lambda name: errors[name]) in shown
    assert max(names, key=lambda name: labels[name]["support"]) in shown
    assert {each["label"] for each in document["errors"]} <= set(shown)
    assert "curve" not in details[next(name for name in names if name not in shown)]


def test_what_the_model_lacks_is_named(tmp_path: Path) -> None:
    remarks = " ".join(document_of(tmp_path, NAMES, TEXTS)["remarks"])

    assert "199 texts." in remarks
    assert "stores no validation facts" in remarks
    assert "Without --train FILE" in remarks


def test_shifts_since_the_decision_was_fitted_are_those_of_the_stored_facts() -> None:
    truth, logits = scored_rows(200, 3)
    decision = decision_of(NAMES).with_facts(logits, truth)
    later, other = scored_rows(200, 3)
    later[:, 1] = (np.arange(200) < 190).astype(np.float32)
    _, tallies = scored(decision, later, other, TEXTS)

    shifts = shifts_from_fitting(decision, tallies.counts)

    assert shifts is not None
    assert shifts["joy"].difference == 0
    assert not shifts["joy"].significant
    assert shifts["fear"].first == pytest.approx(np.nanmean(truth[:, 1]))
    assert shifts["fear"].second == 0.95
    assert shifts["fear"].significant
    assert shifts_from_fitting(decision_of(NAMES), tallies.counts) is None


def test_ranks_have_no_threshold_to_move() -> None:
    from multihot.reporting.label_facts import facts_of_label

    decision = decision_of(NAMES, kind="top_k", goal="top_k=1")
    truth, logits = scored_rows(50, 3)
    _, tallies = scored(decision, truth, logits, TEXTS[:50])

    assert facts_of_label(0, decision, tallies, detailed=True)["curve"] is None


def test_the_gain_of_doubling_is_the_slope_over_labels() -> None:
    positives = {f"l{number}": 2**number for number in range(1, 13)}
    noise = np.random.default_rng(0).normal(0, 0.005, 12)
    labels = {
        name: LabelReport(10, None, None, 0.05 * number + float(noise[number - 1]), 0.5)
        for number, name in enumerate(positives, start=1)
    }
    report = Report(10, 0, 0, 0, {}, labels)

    found = gain_of_doubling(report, positives)

    assert found is not None
    assert found["f1_gain"] == pytest.approx(0.05, abs=0.002)
    assert found["low"] < found["f1_gain"] < found["high"]
    assert gain_of_doubling(report, {}) is None
    assert gain_of_doubling(report, dict.fromkeys(positives, 8)) is None


def test_errors_of_a_label_are_fewer_where_labels_are_many() -> None:
    assert [errors_of_a_label(number) for number in (1, 28, 500, 5000)] == [20, 17, 3, 3]
