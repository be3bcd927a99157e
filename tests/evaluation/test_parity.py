"""Certificates of exports: what is counted, quoted and said."""

from __future__ import annotations

import json
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
from multihot.evaluation.parity import Answers, certify
from multihot.evaluation.parity_certificate import ComparedModel, Flip, ParityCertificate

Array = npt.NDArray[np.float32]

SPACE = LabelSpace(("joy", "fear", "love"))
TEXTS = ["so happy", "dear \x1b[31mred", "a storm " * 40, "nothing"]
SCORES = np.array([[0.9, 0.1, 0.6], [0.51, 0.2, 0.4], [0.1, 0.8, 0.45], [0.2, 0.3, 0.1]])
MOVED = np.array([[0.9, 0.1, 0.48], [0.49, 0.2, 0.4], [0.1, 0.4, 0.55], [0.2, 0.3, 0.1]])


def decision(threshold: float = 0.5, space: LabelSpace = SPACE, **changes: Any) -> Decision:
    values = {"goal": "micro_f1", "kind": "fixed", **changes}
    return Decision(space, (threshold,) * len(space), **values)


def answers(name: str, scores: npt.NDArray[np.float64], decided: Decision | None = None) -> Answers:
    model = ComparedModel(name, {"model.bin": "0" * 64}, texts_per_cpu_second=len(name))
    return Answers(model, logit(scores).astype(np.float32), decided or decision())


def certificate(
    scores: npt.NDArray[np.float64] = MOVED,
    decided: Decision | None = None,
    *,
    max_flips: float = 0.0,
    **more: Any,
) -> ParityCertificate:
    return certify(
        answers("torch", SCORES),
        answers("onnx-int8", scores, decided),
        TEXTS,
        max_flips=max_flips,
        instruction_set="AVX2",
        versions={"onnxruntime": "1.0"},
        **more,
    )


def truth() -> LabelMatrix:
    rows = [["joy", "love"], ["joy"], ["fear"], None]
    return LabelMatrix.from_names(rows, SPACE)


def test_changed_decisions_are_counted_by_label_and_direction() -> None:
    found = certificate()

    assert (found.num_flips, found.num_decisions, found.num_texts_changed) == (4, 12, 3)
    counts = {name: (one.added, one.removed) for name, one in found.labels.items()}
    assert counts == {"joy": (0, 1), "fear": (0, 1), "love": (1, 1)}
    assert found.max_score_difference == pytest.approx(0.4)
    assert found.mean_score_difference == pytest.approx(np.abs(SCORES - MOVED).mean())


def test_an_export_passes_up_to_exactly_the_allowed_fraction() -> None:
    assert certificate(max_flips=4 / 12).passed
    assert not certificate(max_flips=4 / 12 - 1e-9).passed
    same = certificate(SCORES)
    assert same.passed
    assert same.changed_texts == []
    assert same.num_flips_by_scores == 0


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
    other = certify(
        answers("torch", scores),
        answers("onnx", moved),
        TEXTS,
        ids=list("abcd"),
        max_flips=0,
        max_texts=2,
        instruction_set="AVX2",
        versions={},
    )
    assert [one.id for one in other.changed_texts] == ["a", "d"]
    assert other.num_texts_changed == 4


def test_quoted_texts_are_cut_and_cannot_command_a_terminal() -> None:
    quoted = {one.row: one.text for one in certificate().changed_texts}

    assert quoted[2] == "dear \\x1b[31mred"
    assert quoted[3] == TEXTS[2][:160] + " ..."
    assert certificate(max_texts=0).changed_texts == []


def test_changes_by_new_thresholds_are_told_from_changes_of_scores() -> None:
    lower = decision(0.35)
    found = certificate(SCORES, lower)

    assert found.num_flips == 2
    assert found.num_flips_by_scores == 0
    assert "with those of the reference 0 decisions would change." in str(found)
    assert "of its own" not in str(certificate())


def test_metrics_are_those_of_the_comparison_of_two_models() -> None:
    found = certificate(truth=truth())
    differences = Differences(4, 3)
    given = [answers(name, one) for name, one in (("b", MOVED), ("a", SCORES))]
    scores = [one.decision.scores(one.logits) for one in given]
    differences.update(truth().values, [decision().decide(one) for one in scores], scores)

    assert found.metrics == differences.result()[0]
    assert found.metrics["jaccard"].second == 1.0
    assert found.metrics["jaccard"].first is not None
    assert found.rows_known == 3


def test_scores_of_a_folded_export_are_not_compared() -> None:
    shifted = logit(SCORES) - logit(np.asarray(0.35))
    reference = answers("torch", SCORES, decision(0.35))
    exported = replace(answers("folded", SCORES), logits=shifted.astype(np.float32))
    found = certify(
        reference,
        exported,
        TEXTS,
        truth=truth(),
        folded=True,
        max_flips=0,
        instruction_set="AVX2",
        versions={},
    )

    assert found.passed
    assert found.max_score_difference is None
    assert "brier_score" not in found.metrics
    assert "are no probabilities" in str(found)
    jsonschema.validate(json.loads(json.dumps(found.to_json(), allow_nan=False)), schema())


def schema() -> dict[str, Any]:
    text = (files("multihot") / "schemas" / "parity.schema.json").read_text("utf-8")
    found = json.loads(text)
    assert isinstance(found, dict)
    jsonschema.Draft202012Validator.check_schema(found)
    return found


@pytest.mark.parametrize("labels", [None, truth()])
def test_the_json_follows_its_schema(labels: LabelMatrix | None) -> None:
    content = certificate(truth=labels, threads=2).to_json()

    assert json.loads(json.dumps(content, allow_nan=False)) == content
    jsonschema.validate(content, schema(), cls=jsonschema.Draft202012Validator)
    assert set(schema()["required"]) == set(content)
    assert content["models"]["exported"]["name"] == "onnx-int8"


@pytest.mark.parametrize(
    "change",
    [
        {"max_flips": 2},
        {"labels": {}},
        {"texts_sha256": "abc"},
        {"models": {"reference": {"name": "torch"}}},
        {"decisions_changed": -1},
    ],
)
def test_the_schema_refuses_what_is_no_certificate(change: dict[str, Any]) -> None:
    content = {**certificate().to_json(), **change}

    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(content, schema())


def test_the_text_says_the_verdict_first_and_fits_the_terminal() -> None:
    found = certificate(truth=truth(), max_flips=0.002, threads=2)
    lines = found.to_text(width=60).splitlines()

    assert lines[0] == (
        "Parity failed: onnx-int8 changes 4 of 12 decisions of torch (33.333 %; at most 0.2 % may "
        "change), in 3 of 4 texts."
    )
    tables = lines[1 : lines.index("Texts: texts in memory.")]
    assert max(map(len, tables)) <= 60
    assert "texts per cpu second        9.0    5.0  1.80x" in lines
    assert "Instruction set: AVX2, 2 threads." in lines
    assert any(line.startswith("3: -fear (0.8000 -> 0.4000); +love") for line in lines)
    assert "\x1b" not in str(found)


def test_changes_by_rounding_are_called_so() -> None:
    border = SCORES.copy()
    border[1, 0] = 0.5 + 1e-6
    scores = border.copy()
    scores[1, 0] = 0.5 - 1e-6
    found = certify(
        answers("torch", border),
        answers("onnx", scores),
        TEXTS,
        max_flips=0,
        instruction_set="AVX2",
        versions={},
    )

    assert found.num_flips == 1
    assert "The differences are those of rounding" in str(found)
    assert "those of rounding" not in str(certificate())


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(LabelError, match="another order"):
        certificate(MOVED, decision(space=LabelSpace(("fear", "joy", "love"))))
    with pytest.raises(LabelError, match="onnx-int8 answered 3 texts of 4"):
        certificate(MOVED[:3])
    broken = MOVED.copy()
    broken[2, 1] = np.nan
    with pytest.raises(NonFiniteError, match="onnx-int8 returned NaN for 1 of 4 texts"):
        certificate(broken)
    with pytest.raises(LabelError, match="labels of 3 texts; expected those of 4"):
        certificate(truth=truth().take([0, 1, 2]))
    with pytest.raises(LabelError, match="There are 1 ids for 4 texts"):
        certificate(ids=["a"])
    with pytest.raises(OptionError, match="max_flips is 20"):
        certificate(max_flips=20)
    with pytest.raises(OptionError, match="no text"):
        certify(
            answers("torch", SCORES[:0]),
            answers("onnx", SCORES[:0]),
            [],
            max_flips=0,
            instruction_set="AVX2",
            versions={},
        )
