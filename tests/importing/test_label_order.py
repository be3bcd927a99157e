"""Which output answers to which label, told by scores."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.metrics import roc_auc_score

from multihot.core.labels import LabelMatrix, LabelSpace
from multihot.importing.file_checks import check_file
from multihot.importing.label_order import areas, compare_order
from multihot.importing.output_names import OutputNames

SPACE = LabelSpace(("joy", "anger", "rain", "love"))


def _scored(rows: int = 200, noise: float = 0.7) -> tuple[npt.NDArray[np.float32], LabelMatrix]:
    generator = np.random.default_rng(3)
    truth = (generator.random((rows, 4)) < (0.5, 0.3, 0.2, 0.3)).astype(np.float32)
    scores = truth + noise * generator.standard_normal(truth.shape)
    return scores.astype(np.float32), LabelMatrix(SPACE, truth)


def test_areas_are_those_of_scikit_learn_also_with_ties_and_unknown_cells() -> None:
    scores, labels = _scored()
    scores = np.round(scores)
    truth = labels.values.copy()
    truth[:40, 1] = np.nan

    found = areas(scores, truth)

    for output in range(4):
        for label in range(4):
            known = ~np.isnan(truth[:, label])
            expected = roc_auc_score(truth[known, label], scores[known, output])
            assert found[output, label] == pytest.approx(expected)


def test_outputs_in_their_order_agree() -> None:
    scores, labels = _scored()

    order = compare_order(scores, labels.values)

    assert (order.verdict, order.column_of) == ("agrees", (0, 1, 2, 3))


def test_outputs_in_another_order_are_recognised_and_assigned() -> None:
    scores, labels = _scored()
    column_of = [2, 0, 1, 3]

    order = compare_order(scores[:, column_of], labels.values)

    assert (order.verdict, order.column_of) == ("differs", tuple(column_of))


def test_a_label_that_hardly_occurs_stays_where_it_is() -> None:
    scores, labels = _scored()
    truth = labels.values.copy()
    truth[:, 3] = 0

    order = compare_order(scores[:, [1, 0, 3, 2]], truth)

    assert order.num_measured == 3
    assert order.column_of[3] == 3


@pytest.mark.parametrize("rows", [5, 200])
def test_chance_and_few_rows_are_unclear(rows: int) -> None:
    scores, labels = _scored(rows, noise=0.7)
    chance = np.random.default_rng(1).standard_normal(scores.shape).astype(np.float32)

    assert compare_order(chance, labels.values).verdict == "unclear"


def test_a_weak_model_with_many_rare_labels_is_not_put_into_another_order() -> None:
    # Among so many pairs, some outputs fit the labels of others well by chance.
    generator = np.random.default_rng(0)
    truth = (generator.random((300, 60)) < 0.05).astype(np.float32)
    scores = (0.7 * truth + generator.standard_normal(truth.shape)).astype(np.float32)

    order = compare_order(scores, truth)

    assert order.column_of == tuple(range(60))
    assert not order.is_certain


def test_an_order_with_labels_that_nothing_tells_is_an_error_that_is_not_corrected() -> None:
    scores, labels = _scored()
    chance = np.random.default_rng(1).standard_normal(len(scores))
    scores = scores[:, [1, 0, 2, 3]]
    scores[:, 3] = chance
    outputs = OutputNames(SPACE.names)

    named = check_file(outputs, labels, scores, "rows.csv")

    assert named.names == SPACE.names
    (finding,) = named.findings
    assert (finding.code, finding.blocks) == ("label_order_differs", True)


def test_outputs_without_names_get_those_that_their_scores_fit() -> None:
    scores, labels = _scored()
    outputs = OutputNames((None, "anger", None, None))

    # The file lists joy, rain and love for them; the outputs are love, rain and joy.
    named = check_file(outputs, labels, scores[:, [3, 1, 2, 0]], "rows.csv")

    assert named.names == ("love", "anger", "rain", "joy")
    assert [finding.code for finding in named.findings] == ["labels_named_by_scores"]


def test_several_outputs_without_names_are_not_named_on_trust() -> None:
    scores, labels = _scored(5)
    outputs = OutputNames((None, "anger", None, "love"))

    for logits in (None, scores):
        named = check_file(outputs, labels, logits, "rows.csv")
        assert named.names == outputs.names
        assert [finding.code for finding in named.findings] == ["label_order_unknown"]
        assert named.findings[0].blocks


def test_outputs_of_rare_labels_are_not_named_because_the_others_agree() -> None:
    scores, labels = _scored()
    truth = labels.values.copy()
    truth[5:, 2:] = 0

    named = check_file(OutputNames((None,) * 4), LabelMatrix(SPACE, truth), scores, "rows.csv")

    assert named.order is not None
    assert (named.order.verdict, named.order.num_measured) == ("agrees", 2)
    assert named.names == (None,) * 4


def test_one_output_without_a_name_gets_the_one_that_is_left() -> None:
    _, labels = _scored()

    named = check_file(OutputNames(("joy", "anger", None, "love")), labels, None, "rows.csv")

    assert named.names == SPACE.names
    assert named.findings == ()


def test_stored_names_at_other_outputs_are_an_error_that_a_file_corrects() -> None:
    scores, labels = _scored()
    outputs = OutputNames(("anger", "joy", "rain", "love"))

    named = check_file(outputs, labels, scores, "rows.csv")

    assert named.names == SPACE.names
    codes = [(finding.code, finding.severity, finding.fix) for finding in named.findings]
    assert ("label_order_differs", "error", "file") in codes


def test_another_order_of_the_columns_alone_is_no_problem() -> None:
    scores, labels = _scored()
    outputs = OutputNames(("anger", "joy", "rain", "love"))

    named = check_file(outputs, labels, scores[:, [1, 0, 2, 3]], "rows.csv")

    assert named.names == outputs.names
    assert [finding.code for finding in named.findings] == ["file_order_differs"]
    assert not named.findings[0].is_problem


def test_labels_that_are_spelt_otherwise_are_named() -> None:
    _, labels = _scored()

    named = check_file(OutputNames(("Joy", "anger", "rain", "love")), labels, None, "rows.csv")

    (unknown, absent, *_) = named.findings
    assert (unknown.code, absent.code) == ("file_labels_unknown", "file_labels_absent")
    assert "'joy' is 'Joy' there" in unknown.what
