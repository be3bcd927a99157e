"""Certificates of exports: what is counted, quoted and said."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from importlib.resources import files
from typing import Any

import jsonschema
import numpy as np
import numpy.typing as npt
import pytest

from multihot.core.labels import LabelMatrix, LabelSpace
from multihot.core.numeric import logit
from multihot.decision.decision import Decision
from multihot.errors import LabelError, NonFiniteError, OptionError
from multihot.evaluation.paired_tests import Differences
from multihot.evaluation.parity import certify
from multihot.evaluation.parity_certificate import Flip, ParityCertificate, Speed

Array = npt.NDArray[np.float32]

SPACE = LabelSpace(("joy", "fear", "love"))
TEXTS = ["so happy", "dear \x1b[31mred", "a storm " * 40, "nothing"]
SCORES = np.array([[0.9, 0.1, 0.6], [0.51, 0.2, 0.4], [0.1, 0.8, 0.45], [0.2, 0.3, 0.1]])
MOVED = np.array([[0.9, 0.1, 0.48], [0.49, 0.2, 0.4], [0.1, 0.4, 0.55], [0.2, 0.3, 0.1]])


def decision(threshold: float = 0.5, space: LabelSpace = SPACE, **changes: Any) -> Decision:
    values = {"goal": "micro_f1", "kind": "fixed", **changes}
    return Decision(space, (threshold,) * len(space), **values)


def certificate(
    moved: npt.NDArray[np.float64] = MOVED,
    export: Decision | None = None,
    *,
    scores: npt.NDArray[np.float64] = SCORES,
    texts: Sequence[str] = TEXTS,
    max_flips: float = 0.0,
    **more: Any,
) -> ParityCertificate:
    logits = {"model": logit(scores), "export": logit(moved)}
    return certify(
        {"model": decision(), "export": export or decision()},
        {name: values.astype(np.float32) for name, values in logits.items()},
        texts,
        source="dev.csv",
        max_flips=max_flips,
        **more,
    )


def truth() -> Array:
    rows = [["joy", "love"], ["joy"], ["fear"], None]
    return LabelMatrix.from_names(rows, SPACE).values


def test_changed_decisions_are_counted_by_label_and_direction() -> None:
    found = certificate()

    assert (found.cells_flipped, found.texts_changed) == (4, 3)
    assert found.fraction_flipped == 4 / 12
    counts = {name: (one.gained, one.lost) for name, one in found.flips.items()}
    assert counts == {"joy": (0, 1), "fear": (0, 1), "love": (1, 1)}
    assert found.max_abs_difference == pytest.approx(0.4)
    assert found.mean_abs_difference == pytest.approx(np.abs(SCORES - MOVED).mean())


def test_an_export_passes_up_to_exactly_the_allowed_fraction() -> None:
    assert certificate(max_flips=4 / 12).passed
    assert not certificate(max_flips=4 / 12 - 1e-9).passed
    same = certificate(SCORES)
    assert same.passed
    assert same.changed_texts == []
    assert same.cells_flipped_refitted is None
    assert "Scores are equal to the last bit." in same.remarks()


def test_every_label_has_its_largest_change_quoted_before_a_second_one_is() -> None:
    found = certificate()
    assert [one.row for one in found.changed_texts] == [3, 1, 2]
    assert found.changed_texts[0].flips == (
        Flip("fear", False, pytest.approx(0.8), pytest.approx(0.4)),
        Flip("love", True, pytest.approx(0.45), pytest.approx(0.55)),
    )

    scores = np.full((4, 3), 0.9)
    moved = scores.copy()
    moved[:3, 0], moved[3, 1] = [0.1, 0.2, 0.3], 0.4
    other = certificate(moved, scores=scores, ids=list("abcd"), max_texts=2)
    assert [one.id for one in other.changed_texts] == ["a", "d"]
    assert other.texts_changed == 4


def test_quoted_texts_are_cut_and_cannot_command_a_terminal() -> None:
    quoted = {one.row: one.text for one in certificate().changed_texts}

    assert quoted[2] == "dear \\x1b[31mred"
    assert quoted[3] == TEXTS[2][:160] + " ..."
    assert certificate(max_texts=0).changed_texts == []


def test_thresholds_that_were_fitted_again_are_counted_apart() -> None:
    found = certificate(SCORES, decision(0.35), refitted=True, truth=truth())

    assert found.passed
    assert found.cells_flipped == 0
    assert found.cells_flipped_refitted == 2
    assert found.max_abs_difference == 0
    assert found.metrics["micro_f1"].difference != 0
    assert "which the metrics use: with them 2 decisions differ." in str(found)
    assert "of its own" not in str(certificate())


def test_metrics_are_those_of_the_comparison_of_two_models() -> None:
    found = certificate(truth=truth())
    differences = Differences(4, 3)
    scores = [decision().scores(logit(one).astype(np.float32)) for one in (MOVED, SCORES)]
    differences.update(truth(), [decision().decide(one) for one in scores], scores)

    assert found.metrics == differences.result()[0]
    assert found.metrics["jaccard"].second == 1.0
    assert found.rows_known == 3


def test_scores_of_a_folded_export_are_not_compared() -> None:
    low = decision(0.35)
    logits = logit(SCORES).astype(np.float32)
    folded = logits - np.float32(logit(np.asarray(0.35)))
    found = certify(
        {"model": low, "export": decision()},
        {"model": logits, "export": folded},
        TEXTS,
        truth(),
        source="dev.csv",
        max_flips=0,
    )

    assert found.passed
    assert found.folded
    assert found.max_abs_difference is None
    assert "brier_score" not in found.metrics
    assert "are no probabilities" in str(found)
    jsonschema.validate(found.to_json(), schema())


def schema() -> dict[str, Any]:
    text = (files("multihot") / "schemas" / "parity.schema.json").read_text("utf-8")
    found = json.loads(text)
    assert isinstance(found, dict)
    jsonschema.Draft202012Validator.check_schema(found)
    return found


def measured(**more: Any) -> ParityCertificate:
    """Return a certificate with what an export measures beside."""
    return replace(
        certificate(**more),
        form="onnx-int8",
        speed={"model": Speed(50.0, 25.0), "export": Speed(125.0, 62.5)},
        weights_sha256={"model": "0" * 64, "export": "1" * 64},
        instruction_set="AVX2",
        versions={"onnxruntime": "1.0"},
    )


@pytest.mark.parametrize("labels", [None, truth()])
def test_the_json_follows_its_schema(labels: Array | None) -> None:
    content = measured(truth=labels).to_json()

    assert json.loads(json.dumps(content, allow_nan=False)) == content
    jsonschema.validate(content, schema(), cls=jsonschema.Draft202012Validator)
    assert set(schema()["required"]) == set(schema()["properties"]) == set(content)


@pytest.mark.parametrize(
    "change",
    [
        {"max_flips": 2},
        {"flips": {}},
        {"texts_sha256": "abc"},
        {"speed": {"model": {"texts_per_second": 3.0}}},
        {"cells_flipped": -1},
        {"cells_flipped_refitted": 0.5},
    ],
)
def test_the_schema_refuses_what_is_no_certificate(change: dict[str, Any]) -> None:
    content = {**measured().to_json(), **change}

    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(content, schema())


def test_the_text_says_the_verdict_first_and_fits_the_terminal() -> None:
    found = measured(truth=truth(), max_flips=0.002)
    lines = found.to_text(width=60).splitlines()

    assert lines[0] == (
        "Parity failed: 4 of 12 decisions changed (33.333 %; at most 0.2 % may), in 3 of 4 texts."
    )
    tables = lines[1 : lines.index("Texts: dev.csv.")]
    assert max(map(len, tables)) <= 60
    assert "texts per cpu second    62.5   25.0  2.50x" in lines
    assert "Instruction set: AVX2." in lines
    assert any(line.startswith("3: -fear (0.8000 -> 0.4000); +love") for line in lines)
    assert "\x1b" not in str(found)


def test_of_many_changed_texts_some_are_shown_and_the_others_counted() -> None:
    scores, texts = np.repeat(SCORES, 5, axis=0), [f"text {number}" for number in range(20)]
    moved = np.repeat(MOVED, 5, axis=0)
    found = certificate(moved, scores=scores, texts=texts, max_texts=12)

    assert "5 more texts changed; the JSON quotes 12 texts." in str(found)
    found = certificate(moved, scores=scores, texts=texts)
    assert "5 more texts changed; the JSON quotes all texts." in str(found)


def test_changes_by_rounding_are_called_so() -> None:
    border = SCORES.copy()
    border[1, 0] = 0.5 + 1e-6
    moved = border.copy()
    moved[1, 0] = 0.5 - 1e-6
    found = certificate(moved, scores=border)

    assert found.cells_flipped == 1
    assert "The differences are those of rounding" in str(found)
    assert "those of rounding" not in str(certificate())


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(LabelError, match="another order"):
        certificate(MOVED, decision(space=LabelSpace(("fear", "joy", "love"))))
    with pytest.raises(LabelError, match="The export answered 3 of 4 texts"):
        certificate(MOVED[:3])
    broken = MOVED.copy()
    broken[2, 1] = np.nan
    with pytest.raises(NonFiniteError, match="The export returned NaN for 1 of 4 texts"):
        certificate(broken)
    with pytest.raises(LabelError, match="labels of 3 texts; expected 4"):
        certificate(truth=truth()[:3])
    with pytest.raises(LabelError, match="ids of 1 texts; expected 4"):
        certificate(ids=["a"])
    with pytest.raises(OptionError, match="max_flips is 20"):
        certificate(max_flips=20)
    with pytest.raises(OptionError, match="no text"):
        certificate(MOVED[:0], scores=SCORES[:0], texts=[])
