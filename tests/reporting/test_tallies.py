from __future__ import annotations

import numpy as np
import pytest

from multihot.decision.decision import Decision
from multihot.reporting.tallies import NUM_HISTOGRAM_BINS, Tallies
from reporting.samples import decision_of, scored, scored_rows

NAMES = ("joy", "fear", "love", "trust")
TEXTS = [f"text {number}" for number in range(300)]


@pytest.mark.parametrize("threshold", [0.0, 0.25, 0.3, 0.9999, 1.0])
def test_counts_at_every_threshold_are_those_of_deciding_with_it(threshold: float) -> None:
    decision = decision_of(NAMES, threshold)
    truth, logits = scored_rows(300, 4)
    _, tallies = scored(decision, truth, logits, TEXTS)
    scores = decision.scores(logits)

    for column in range(4):
        edges, right, extra = tallies.curve(column)
        assert threshold in edges
        given = scores[:, column, None] >= edges
        assert right.tolist() == (given & (truth[:, column, None] == 1)).sum(axis=0).tolist()
        assert extra.tolist() == (given & (truth[:, column, None] == 0)).sum(axis=0).tolist()


def test_a_histogram_counts_known_cells_in_equal_bins() -> None:
    decision = decision_of(NAMES, 0.5)  # also an edge of a bin
    truth, logits = scored_rows(300, 4)
    _, tallies = scored(decision, truth, logits, TEXTS)
    scores = decision.scores(logits)

    for column in range(4):
        end, *histograms = tallies.histogram(column)
        assert end == 1
        for value, counts in zip((1, 0), histograms, strict=True):
            cells = scores[truth[:, column] == value, column]
            expected = np.histogram(cells, NUM_HISTOGRAM_BINS, (0, 1))[0]
            assert counts.tolist() == expected.tolist()


def test_a_histogram_of_low_scores_ends_early() -> None:
    decision = decision_of(NAMES, 0.01)
    truth, logits = scored_rows(300, 4)
    logits -= 8
    _, tallies = scored(decision, truth, logits, TEXTS)
    scores = decision.scores(logits)

    for column in range(4):
        end, *histograms = tallies.histogram(column)
        known = scores[~np.isnan(truth[:, column]), column]
        assert known.max() <= end
        assert end == 2**-5 or known.max() >= end / 2
        for value, counts in zip((1, 0), histograms, strict=True):
            cells = scores[truth[:, column] == value, column]
            expected = np.histogram(cells, NUM_HISTOGRAM_BINS, (0, end))[0]
            assert counts.tolist() == expected.tolist()


def test_pairs_are_counted_where_both_cells_are_known() -> None:
    decision = decision_of(NAMES)
    truth, logits = scored_rows(300, 4)
    _, tallies = scored(decision, truth, logits, TEXTS)
    true, given = truth == 1, decision.decide(decision.scores(logits)) & ~np.isnan(truth)
    assert tallies.both_true is not None
    assert tallies.both_given is not None
    assert tallies.missed_and_extra is not None

    missed, extra = (true & ~given).astype(int), (given & ~true).astype(int)
    assert tallies.both_true.tolist() == (true.T.astype(int) @ true.astype(int)).tolist()
    assert tallies.both_given.tolist() == (given.T.astype(int) @ given.astype(int)).tolist()
    assert tallies.missed_and_extra.tolist() == (missed.T @ extra).tolist()


def test_the_worst_errors_are_kept_however_the_rows_come() -> None:
    decision = decision_of(NAMES)
    truth, logits = scored_rows(300, 4)
    one, many = (scored(decision, truth, logits, TEXTS, step)[1] for step in (300, 7))
    scores, decided = decision.scores(logits), decision.decide(decision.scores(logits))

    assert one.errors() == many.errors()
    assert one.rows() == many.rows()
    missed = [each.score for each in one.errors() if each.column == 1 and each.is_missed]
    wrong = (truth[:, 1] == 1) & ~decided[:, 1]
    assert missed == sorted(scores[wrong, 1].astype(float).tolist())[: len(missed)]
    assert set(one.rows()) == {each.row for each in one.errors()}
    shown = one.rows()[one.errors()[0].row]
    number = one.errors()[0].row
    assert shown.text == TEXTS[number]
    assert shown.truth == tuple(np.flatnonzero(truth[number] == 1).tolist())
    assert shown.unknown == int(np.isnan(truth[number]).sum())
    assert 0 not in one.rows()  # nothing is known of it


def test_counts_are_those_of_the_evaluation() -> None:
    decision = decision_of(NAMES)
    truth, logits = scored_rows(300, 4)
    report, tallies = scored(decision, truth, logits, TEXTS)

    assert report.rows == tallies.counts.num_rows == 299
    for one, label in zip(tallies.counts.per_label(), report.labels.values(), strict=True):
        assert (one.support, one.precision, one.f1) == (label.support, label.precision, label.f1)


def test_of_very_many_labels_pairs_are_not_counted() -> None:
    tallies = Tallies(decision_of([f"l{number}" for number in range(1001)]), errors_of_a_label=3)

    assert tallies.both_true is None


def test_counts_are_those_of_the_evaluation_and_nothing_is_decided_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = []
    decide = Decision.decide
    monkeypatch.setattr(Decision, "decide", lambda *given: calls.append(1) or decide(*given))
    truth, logits = scored_rows(300, 4)

    report, tallies = scored(decision_of(NAMES, 0.5), truth, logits, TEXTS, step=300)

    assert len(calls) == 1
    assert tallies.counts.num_rows == report.rows
    assert report.metrics["micro_f1"] == tallies.counts.metrics()["micro_f1"]
