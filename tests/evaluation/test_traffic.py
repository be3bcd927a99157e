"""Prevalence of labels and changes of texts, from unlabelled texts alone."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from multihot.core.labels import LabelSpace
from multihot.core.numeric import fisher_exact
from multihot.core.text_facts import LENGTH_BINS, TextFacts
from multihot.decision.decision import Decision
from multihot.decision.fitting_facts import FittingFacts, measured_facts
from multihot.errors import ArtifactError
from multihot.evaluation.prevalence import estimate_prevalence
from multihot.evaluation.traffic import LEVEL, TrafficReport, TrafficTally

Array = npt.NDArray[Any]
SPACE = LabelSpace(("joy", "anger", "grief"))
DECISION = Decision(SPACE, (0.5, 0.5, 0.5), "micro_f1", "fixed")


def drawn(num_rows: int, prevalence: tuple[float, ...], seed: int) -> tuple[Array, Array]:
    """Return logits and truth; texts of a label look the same whatever its prevalence."""
    generator = np.random.default_rng(seed)
    truth = (generator.random((num_rows, 3)) < prevalence).astype(np.float32)
    logits = (generator.normal(size=truth.shape) * 1.2 - 1.5 + 3 * truth).astype(np.float32)
    return logits, truth


def texts_of(num_rows: int, length_bin: int = 6, unknown: int = 0) -> TextFacts:
    lengths = [0] * LENGTH_BINS
    lengths[length_bin], lengths[length_bin + 1] = num_rows // 2, num_rows - num_rows // 2
    return TextFacts(num_rows, 0, unknown, 10 * num_rows, unknown, 0, 0.2, 0.01, tuple(lengths))


def fitted(num_rows: int = 1500, seed: int = 0) -> Decision:
    logits, truth = drawn(num_rows, (0.4, 0.2, 0.001), seed)
    return DECISION.with_facts(logits, truth, texts_of(num_rows))


def compared(
    decision: Decision,
    prevalence: tuple[float, ...],
    seed: int = 1,
    num_texts: int = 3000,
    **changes: int,
) -> TrafficReport:
    assert decision.fitting_facts is not None
    tally = TrafficTally(decision, decision.fitting_facts)
    logits, _ = drawn(num_texts, prevalence, seed)
    for start in range(0, num_texts, 700):
        some = logits[start : start + 700]
        tally.update(some, texts_of(len(some), **changes))
    return tally.report()


def test_texts_like_the_rows_raise_no_alarm() -> None:
    report = compared(fitted(), (0.4, 0.2, 0.001))

    assert not report.decide_again
    assert report.too_rare == ("grief",)
    assert report.rows == 3000
    found = report.labels["joy"]
    assert found.counted_low < 0.4 < found.counted_high
    assert found.em_low < 0.4 < found.em_high


def test_alarms_on_texts_like_the_rows_are_as_rare_as_stated() -> None:
    alarms = 0
    for seed in range(150):
        decision = fitted(400, seed=seed)
        alarms += (
            min(compared(decision, (0.4, 0.2, 0.001), seed + 1000, 500).p_values.values()) < LEVEL
        )

    assert alarms <= 6


def test_a_shift_of_a_label_is_seen_and_its_size_estimated() -> None:
    report = compared(fitted(), (0.15, 0.2, 0.001))

    assert report.decide_again
    assert report.changed_labels == ["joy"]
    joy = report.labels["joy"]
    assert abs(joy.em - 0.15) < 0.02
    assert joy.em_low < 0.15 < joy.em_high
    assert abs(joy.counted - 0.15) < 0.6 * abs(joy.fitted - 0.15)
    assert joy.bbse is not None
    assert abs(joy.bbse - 0.15) < 0.04
    assert any("Changed: 'joy'" in remark for remark in report.remarks())


def test_sentences_are_about_the_greatest_changes_where_many_labels_changed() -> None:
    report = compared(fitted(), (0.15, 0.2, 0.001))
    names = [f"label-{number}" for number in range(100)]
    many = replace(
        report,
        labels={
            name: replace(report.labels["joy"], counted=0.15 + 0.001 * number)
            for number, name in enumerate(names)
        },
        p_values=dict.fromkeys(names, 0.0),
    )

    said = [remark for remark in many.remarks() if remark.startswith("Changed: 'label")]
    assert 0 < len(said) < len(many.changed_labels)
    assert any("label-0'" in remark for remark in said)
    assert any(
        f"{len(many.changed_labels) - len(said)} labels more" in each for each in many.remarks()
    )


def test_small_changes_are_no_reason_even_if_certain() -> None:
    decision = fitted(20_000)

    report = compared(decision, (0.36, 0.2, 0.001), num_texts=20_000)

    assert report.p_values["joy"] < LEVEL
    assert report.changed_labels == []


def test_longer_texts_and_unknown_tokens_are_reasons_to_look() -> None:
    longer = compared(fitted(), (0.4, 0.2, 0.001), length_bin=8)
    foreign = compared(fitted(), (0.4, 0.2, 0.001), unknown=100)

    assert [name for name, each in longer.measures.items() if each.changed] == ["median_length"]
    assert [n for n, each in foreign.measures.items() if each.changed] == ["with_unknown_tokens"]
    assert longer.decide_again
    assert foreign.decide_again


def test_how_texts_are_cut_into_chunks_makes_no_difference() -> None:
    decision = fitted()
    assert decision.fitting_facts is not None
    logits, _ = drawn(900, (0.3, 0.2, 0.1), 5)
    reports = []
    for size in (900, 37):
        tally = TrafficTally(decision, decision.fitting_facts)
        for start in range(0, 900, size):
            some = logits[start : start + size]
            tally.update(some, replace(texts_of(len(some)), lengths=(len(some), *([0] * 23))))
        reports.append(tally.report().to_json())

    labels = [report.pop("labels") for report in reports]
    assert labels[0] == labels[1]
    assert reports[0]["measures"]["without_label"] == reports[1]["measures"]["without_label"]


def test_a_label_that_is_never_told_apart_has_no_black_box_estimate() -> None:
    logits, truth = drawn(500, (0.4, 0.2, 0.1), 0)
    facts = measured_facts(SPACE.names, logits, truth, np.zeros(truth.shape, dtype=bool))

    found = estimate_prevalence(facts.labels["joy"], np.array(facts.labels["joy"].positives), 0)

    assert found.bbse is None
    assert 0.9 < found.em <= 1


def test_facts_survive_storing_and_hold_no_text() -> None:
    decision = fitted()

    content = json.loads(json.dumps(decision.to_json()))

    assert Decision.from_json(content) == decision
    assert set(content["fitting_facts"]["labels"]) == {"joy", "anger"}


def test_a_decision_without_facts_is_read_as_before() -> None:
    assert Decision.from_json(DECISION.to_json()).fitting_facts is None


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("rows",), 0),
        (("without_label",), 10**9),
        (("labels", "joy"), {}),
        (("labels", "joy", "edges"), "3 2 1"),
        (("labels", "joy", "edges"), "nan"),
        (("labels", "joy", "positives"), "1 -2"),
        (("labels", "joy", "negatives"), "0"),
        (("labels", "joy", "given_positives"), 10**9),
        (("labels", "nobody"), {}),
        (("texts", "lengths"), [1]),
        (("texts", "rows"), -1),
        (("texts",), "none"),
    ],
)
def test_damaged_facts_are_refused(path: tuple[str, ...], value: Any) -> None:
    content = json.loads(json.dumps(fitted().to_json()["fitting_facts"]))
    place = content
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value

    with pytest.raises(ArtifactError, match="fitting_facts"):
        FittingFacts.from_json(content, SPACE.names)


def test_a_network_whose_logits_were_moved_is_compared_with_moved_facts() -> None:
    decision = fitted()
    assert decision.fitting_facts is not None
    slope, offset = np.array([1.5, 0.8, 2.0]), np.array([-0.5, 1.0, 0.0])
    logits, _ = drawn(1000, (0.3, 0.2, 0.1), 5)
    moved = (slope * logits + offset).astype(np.float32)
    facts = decision.fitting_facts.with_lines(SPACE.names, slope, offset)
    tallies = TrafficTally(decision, decision.fitting_facts), TrafficTally(decision, facts)

    for tally, values in zip(tallies, (logits, moved), strict=True):
        tally.update(values, texts_of(1000))

    for one, two in zip(*(tally.report().labels.values() for tally in tallies), strict=True):
        assert one.counted == pytest.approx(two.counted, abs=2e-3)
        assert one.em == pytest.approx(two.em, abs=5e-3)


def test_a_few_texts_are_too_few_to_be_tested() -> None:
    report = compared(fitted(), (0.4, 0.2, 0.001), num_texts=3, length_bin=0)

    assert not report.decide_again
    assert all(each.p_value is None for each in report.measures.values())
    assert report.remarks()[0].startswith("3 texts: too few")


def test_a_rare_fraction_is_tested_exactly() -> None:
    few = compared(fitted(), (0.4, 0.2, 0.001), num_texts=50, unknown=5)
    none = compared(fitted(), (0.4, 0.2, 0.001), num_texts=50)

    assert few.measures["with_unknown_tokens"].changed
    assert none.measures["with_unknown_tokens"].p_value is None


def test_texts_that_are_all_alike_are_not_certain_for_that() -> None:
    facts = fitted().fitting_facts
    assert facts is not None
    tally = TrafficTally(DECISION, facts)
    logits, _ = drawn(50, (0.4, 0.2, 0.001), 1)
    tally.update(logits, replace(texts_of(50), continuing_mean=0.22, continuing_variance=0.0))

    p_value = tally.report().measures["pieces_per_word"].p_value
    assert p_value is not None
    assert p_value > LEVEL


def test_the_exact_test_is_that_of_the_table_of_a_lady_who_tastes_tea() -> None:
    assert fisher_exact(1, 4, 3, 4) == pytest.approx(34 / 70)
