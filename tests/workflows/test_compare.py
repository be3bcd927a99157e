from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import multihot
from emotions import LABELS, NAMES, TEXTS, write_jsonl
from multihot.core.labels import LabelMatrix, LabelSpace
from multihot.core.numeric import holm
from multihot.core.options import DataOptions
from multihot.data.examples import Examples
from multihot.data.labelled_file import read_examples
from multihot.decision.decision import Decision
from multihot.errors import DataError, LabelError
from multihot.inference.predictor import Predictor
from multihot.workflows.compare import compare, open_for_both
from multihot.workflows.evaluate import evaluate


@pytest.fixture(scope="module")
def predictor(tiny_model: Path) -> Predictor:
    return Predictor.load(tiny_model, device="cpu")


def examples(names: list[list[str]], rows: slice = slice(None)) -> Examples:
    texts = TEXTS[rows]
    numbers = list(range(1, len(texts) + 1))
    labels = LabelMatrix.from_names(names[rows], LabelSpace(LABELS))
    return Examples(texts, labels, list(map(str, numbers)), "here", DataOptions(), (), numbers)


def deciding(predictor: Predictor, decision: Decision) -> Predictor:
    artifact = replace(predictor.artifact, decision=decision)
    return Predictor(artifact, predictor.tokenizer, predictor.backend)


def careless(predictor: Predictor) -> Predictor:
    """Return the model with thresholds at which it gives every label."""
    return deciding(predictor, predictor.decision.with_threshold(0.0))


def renamed(predictor: Predictor, names: tuple[str, ...]) -> Predictor:
    return deciding(predictor, replace(predictor.decision, space=LabelSpace(names), fitted_on=None))


def test_the_figures_of_both_models_are_those_of_their_evaluations(predictor: Predictor) -> None:
    worse, rows = careless(predictor), examples(NAMES)
    found = multihot.compare(predictor, worse, rows)

    one, other = (evaluate(model, rows, intervals=False) for model in (predictor, worse))
    for name, difference in found.metrics.items():
        assert difference.first == pytest.approx(one.metrics[name], abs=1e-9)
        assert difference.second == pytest.approx(other.metrics[name], abs=1e-9)
    assert set(found.metrics) == {n for n in one.metrics if "calib" not in n and "ece" not in n}
    for name, label in found.labels.items():
        assert (label.f1.first, label.f1.second) == (one.labels[name].f1, other.labels[name].f1)
        assert label.support == one.labels[name].support


def test_a_clear_difference_is_clear(predictor: Predictor) -> None:
    found = compare(predictor, careless(predictor), examples(NAMES))

    jaccard = found.metrics["jaccard"]
    assert jaccard.low is not None
    assert jaccard.low > 0.2
    assert jaccard.p_value == pytest.approx(1e-4)
    assert found.metrics["macro_roc_auc"].difference == 0
    assert "significant difference in F1 (5 % level, Holm): fear, joy, love." in str(found)
    assert "jaccard: the minimum detectable difference of 48 rows is about" in str(found)


def test_rows_that_fitted_one_of_the_decisions_are_said_aloud(predictor: Predictor) -> None:
    found = compare(predictor, careless(predictor), examples(NAMES))

    assert found.rows_fitted == (24, 0)
    assert (
        "The decision of A was fitted on 24 of these texts: the comparison is biased in favour of A."
        in found.remarks()
    )
    others = compare(predictor, predictor, examples(NAMES, slice(24, 48)))
    assert others.rows_fitted == (0, 0)
    assert "biased" not in str(others)
    assert "No label has a statistically significant difference in F1" in str(others)


def test_a_label_that_no_text_has_is_named_and_corrects_no_other(predictor: Predictor) -> None:
    without = [[name for name in names if name != "fear"] for names in NAMES]
    found = compare(predictor, careless(predictor), examples(without))

    assert "No text has these labels, so their F1 is not informative: fear." in found.remarks()
    assert found.labels["fear"].p_value_holm is None
    values = [found.labels[name].f1.p_value for name in ("joy", "love")]
    assert [found.labels[name].p_value_holm for name in ("joy", "love")] == holm(values)


def test_labels_are_matched_by_name(predictor: Predictor) -> None:
    turned = renamed(predictor, ("love", "fear", "joy"))  # a model that means other things
    found = compare(predictor, turned, examples(NAMES))

    assert list(found.labels) == list(LABELS)
    scores = turned.scores(TEXTS)[:, [1, 2, 0]]
    truth = LabelMatrix.from_names(NAMES, LabelSpace(LABELS)).values
    squared = float(((scores - truth) ** 2).mean())
    assert found.metrics["brier_score"].second == pytest.approx(squared, abs=1e-6)


def test_labels_of_one_model_alone_are_left_out_and_named(
    predictor: Predictor, tmp_path: Path
) -> None:
    other = renamed(predictor, ("fear", "joy", "envy"))
    path = write_jsonl(tmp_path / "rows.jsonl", slice(24, 48))
    found = compare(predictor, other, path)

    assert list(found.labels) == ["fear", "joy"]
    assert found.labels_left_out == ["envy", "love"]
    assert "Excluded, because not both models have them: envy, love." in found.remarks()
    in_memory = compare(predictor, other, read_examples(path, space=LabelSpace(LABELS)))
    assert in_memory == found


def test_models_without_a_common_label_cannot_be_compared(predictor: Predictor) -> None:
    with pytest.raises(
        LabelError, match=r"no label in common.*knows fear, joy, love; the second a"
    ):
        compare(predictor, renamed(predictor, ("a", "b", "c")), examples(NAMES))


def test_json_is_plain_and_complete(predictor: Predictor) -> None:
    found = compare(predictor, careless(predictor), examples(NAMES)).to_json()

    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["rows"] == 48
    assert found["rows_fitted"] == [24, 0]
    assert set(found["metrics"]["jaccard"]) == {
        "first",
        "second",
        "difference",
        "low",
        "high",
        "p_value",
        "standard_error",
        "visible_difference",
        "rows_for_half_a_point",
    }
    assert set(found["labels"]["joy"]) >= {"support", "difference", "p_value", "p_value_holm"}


def test_unknown_cells_and_rows_count_in_nothing(predictor: Predictor) -> None:
    rows = examples(NAMES)
    assert rows.labels is not None
    values = rows.labels.values.copy()
    values[:5] = np.nan
    unknown = replace(rows, labels=LabelMatrix(LabelSpace(LABELS), values))
    found = compare(predictor, careless(predictor), unknown)
    without = compare(predictor, careless(predictor), examples(NAMES, slice(5, 48)))

    assert found.rows == without.rows == 43
    assert found.metrics["jaccard"] == without.metrics["jaccard"]
    assert found.labels == without.labels


def test_a_tiny_p_value_is_not_printed_as_zero(predictor: Predictor) -> None:
    found = compare(predictor, careless(predictor), examples(NAMES))
    area = replace(found.metrics["macro_roc_auc"], p_value=1e-9)

    text = str(replace(found, metrics={**found.metrics, "macro_roc_auc": area}))

    (line,) = (line for line in text.splitlines() if line.startswith("macro_roc_auc"))
    assert line.endswith(" <0.0001")


def test_a_file_need_not_have_the_labels_that_are_left_out(
    predictor: Predictor, tmp_path: Path
) -> None:
    other = renamed(predictor, ("fear", "joy", "envy"))
    rows = [
        f'"{text}",{int("fear" in names)},{int("joy" in names)}\n'
        for text, names in zip(TEXTS, NAMES, strict=True)
    ]
    path = tmp_path / "rows.csv"
    path.write_text("text,fear,joy\n" + "".join(rows), "utf-8")

    spaces = predictor.space, other.space
    found = compare(predictor, other, open_for_both(path, DataOptions(), *spaces))

    assert list(found.labels) == ["fear", "joy"]
    assert found.rows == len(TEXTS)
    path.write_text("text,fear\na,1\nb,0\n", "utf-8")
    with pytest.raises(DataError, match="joy"):
        open_for_both(path, DataOptions(), *spaces)
