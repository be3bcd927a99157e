"""Fitting the decision of a finished model again."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from importlib import resources
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from emotions import LABELS, NAMES, TEXTS
from multihot.core.files import sha256_of
from multihot.core.labels import LabelMatrix, LabelSpace
from multihot.core.options import DataOptions
from multihot.data.examples import Examples
from multihot.decision.decision import Decision
from multihot.errors import ArtifactError, DataError, OptionError
from multihot.inference.artifact import load_artifact
from multihot.inference.artifact_summary import inspect_artifact
from multihot.inference.predictor import Predictor
from multihot.inference.renewal import replace_decision
from multihot.workflows.decide import TuningResult, decide, save
from multihot.workflows.evaluate import evaluate

SPACE = LabelSpace(LABELS)


@pytest.fixture
def model(tiny_model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_model, tmp_path / "model"))


def examples(names: list[list[str]] = NAMES) -> Examples:
    labels = LabelMatrix.from_names(names, SPACE)
    numbers = list(range(1, len(names) + 1))
    ids = [str(number) for number in numbers]
    return Examples(TEXTS[: len(names)], labels, ids, "new.csv", DataOptions(), (), numbers)


def rewritten(model: Path, result: TuningResult) -> Decision:
    save(Predictor.load(model, device="cpu"), result)
    return load_artifact(model).decision


def test_only_thresholds_json_is_written_and_its_other_keys_stay(model: Path) -> None:
    before = {p: sha256_of(p) for p in model.rglob("*") if p.is_file()}
    path = model / "thresholds.json"
    content = {**json.loads(path.read_text("utf-8")), "kept_by_us": [1]}
    path.write_text(json.dumps(content), "utf-8")
    predictor = Predictor.load(model, device="cpu")

    result = decide(predictor, examples(), goal="macro_f1", thresholds="per_label")
    stored = rewritten(model, result)

    after = {p: sha256_of(p) for p in model.rglob("*") if p.is_file()}
    assert [p.name for p in before if after[p] != before[p]] == ["thresholds.json"]
    assert set(after) == set(before)
    assert stored == result.decision
    assert (stored.goal, stored.kind) == ("macro_f1", "per_label")
    assert (stored.fitted_on.source, stored.fitted_on.rows) == ("new.csv", 48)
    new = json.loads(path.read_text("utf-8"))
    assert new["kept_by_us"] == [1]
    assert {key: new[key] for key in ("files", "data", "form")} == {
        key: content[key] for key in ("files", "data", "form")
    }


def test_what_is_not_given_stays_as_the_model_has_it(model: Path) -> None:
    first = decide(
        Predictor.load(model, device="cpu"),
        examples(),
        goal="cost=1:2",
        thresholds="shrunk",
        calibration="temperature",
        empty_set_rule="abstain",
        costs={"joy": (1, 7)},
    )
    rewritten(model, first)
    schema = resources.files("multihot").joinpath("schemas/thresholds.schema.json")
    content = json.loads((model / "thresholds.json").read_text("utf-8"))
    jsonschema.validate(content, json.loads(schema.read_text("utf-8")))

    again = decide(Predictor.load(model, device="cpu"), examples())
    other = decide(Predictor.load(model, device="cpu"), examples(), goal="jaccard")

    assert again.decision == first.decision
    assert again.before == first.decision
    assert other.decision.costs is None
    assert (other.decision.kind, other.decision.empty_set_rule) == ("shrunk", "abstain")
    assert other.decision.calibration is not None
    # Keys that the new decision lacks leave the file.
    assert "costs" not in rewritten(model, other).to_json()


def test_a_given_threshold_stays_until_a_goal_is_asked_for(model: Path) -> None:
    predictor = Predictor.load(model, device="cpu")
    fixed = save(predictor, decide(predictor, examples(), thresholds=0.4))

    kept = decide(fixed, examples(), empty_set_rule="abstain")
    fitted = decide(fixed, examples(), goal="jaccard")

    assert kept.decision.thresholds == (0.4,) * 3
    assert any("a given number and not fitted" in note for note in kept.notes)
    assert fitted.decision.kind == "global"


def test_before_and_after_are_measured_on_the_same_rows(model: Path) -> None:
    predictor = Predictor.load(model, device="cpu")
    seen: list[int] = []

    result = decide(predictor, examples(), goal="top_k=1", progress=seen.append)

    assert seen == [48]
    assert result.metrics_before["jaccard"] == 1  # the model has learnt these sentences
    assert 0 < result.metrics["top_k=1"] < result.metrics_before["top_k=1"] == 1
    words = str(result)
    assert "top_k=1" in words
    assert "before" in words
    document = result.to_json()
    assert document["after"]["threshold_kind"] == "top_k"
    assert set(document["after"]["thresholds"].values()) == {None}
    assert json.dumps(document, allow_nan=False)


def test_a_model_that_took_labels_by_rank_had_no_thresholds_before(model: Path) -> None:
    predictor = Predictor.load(model, device="cpu")
    by_rank = save(predictor, decide(predictor, examples(), goal="top_k=1"))

    fitted = decide(by_rank, examples(), goal="jaccard")

    assert set(fitted.to_json()["before"]["thresholds"].values()) == {None}
    (line,) = (one for one in str(fitted).splitlines() if one.startswith("joy"))
    assert line.split()[1] == "-"


def test_few_rows_and_labels_without_rows_are_said(model: Path) -> None:
    predictor = Predictor.load(model, device="cpu")

    result = decide(predictor, examples([["joy"], [], ["joy"]]), thresholds="per_label")

    assert any("Only 3 rows" in note for note in result.notes)
    assert any("they get the global threshold: fear, love" in note for note in result.notes)


def test_rows_that_nothing_can_be_fitted_on_are_refused(model: Path) -> None:
    predictor = Predictor.load(model, device="cpu")

    with pytest.raises(
        DataError, match=r"new\.csv.*no text among the 2 rows is known to have a la"
    ):
        decide(predictor, examples([[], []]))
    with pytest.raises(OptionError, match="'goal' is 'f1'"):
        decide(predictor, examples(), goal="f1")


def test_another_label_space_is_refused(model: Path) -> None:
    other = Decision(LabelSpace(("a", "b")), (0.5, 0.5), "jaccard", "fixed")

    with pytest.raises(ArtifactError, match="other labels than the model"):
        replace_decision(load_artifact(model), other)


def test_a_model_that_abstains_says_so(model: Path) -> None:
    predictor = Predictor.load(model, device="cpu")
    abstaining = save(predictor, decide(predictor, examples(), empty_set_rule="abstain"))
    filling = save(predictor, decide(predictor, examples(), empty_set_rule="at_least_one"))

    said = abstaining.predict(TEXTS[:12], threshold=1.0)

    assert all(prediction.abstained and not prediction.labels for prediction in said)
    assert not any(prediction.abstained for prediction in predictor.predict(TEXTS, threshold=1.0))
    filled = filling.predict(TEXTS[:12], threshold=1.0)
    scores = np.array([list(prediction.scores.values()) for prediction in filled])
    highest = [LABELS[column] for column in scores.argmax(axis=1)]
    assert [prediction.labels for prediction in filled] == [[name] for name in highest]


def test_labels_that_no_row_has_are_named_under_thresholds_by_frequency(model: Path) -> None:
    rows = examples([["joy"], []] * 10)

    result = decide(Predictor.load(model, device="cpu"), rows, thresholds="by_frequency=0.3")
    rewritten(model, result)

    assert any("follow from that alone: fear, love." in note for note in result.notes)
    again = decide(Predictor.load(model, device="cpu"), examples())
    assert again.decision.kind == "by_frequency=0.3"


@pytest.mark.parametrize("thresholds", ["global", "per_label", "shrunk"])
@pytest.mark.parametrize("calibration", [None, "temperature", "platt"])
def test_labels_that_a_file_says_nothing_about_are_decided_as_before(
    model: Path, thresholds: str, calibration: str | None
) -> None:
    predictor = Predictor.load(model, device="cpu")
    fear = LABELS.index("fear")
    scores = np.sort(predictor.scores(TEXTS)[:, fear])
    own = [0.5] * len(LABELS)
    own[fear] = float(scores[len(scores) // 3])  # given to two thirds of the texts
    decision = replace(predictor.decision, thresholds=tuple(own), kind="per_label")
    artifact = replace_decision(predictor.artifact, decision)
    before = Predictor(artifact, predictor.tokenizer, predictor.backend)
    rows = examples()
    labels = np.where(np.array(LABELS) == "fear", np.nan, rows.labels.values)
    rows = replace(rows, labels=LabelMatrix(SPACE, labels.astype(np.float32)))

    result = decide(before, rows, goal="cost=1:9", thresholds=thresholds, calibration=calibration)
    after = save(before, result)

    def given(model: Predictor, name: str) -> list[bool]:
        return [name in prediction.labels for prediction in model.predict(TEXTS)]

    assert given(after, "fear") == given(before, "fear")
    assert any("keep their former thresholds: fear." in note for note in result.notes)
    assert 20 < sum(given(before, "fear")) < len(TEXTS)


def test_a_given_threshold_holds_for_labels_without_rows_too(model: Path) -> None:
    rows = examples()
    labels = np.where(np.array(LABELS) == "fear", np.nan, rows.labels.values)
    rows = replace(rows, labels=LabelMatrix(SPACE, labels.astype(np.float32)))

    result = decide(Predictor.load(model, device="cpu"), rows, thresholds=0.25)

    assert set(result.decision.thresholds) == {0.25}


def test_what_could_not_be_fitted_is_said_of_a_few_rows_too(model: Path) -> None:
    predictor = Predictor.load(model, device="cpu")

    result = decide(predictor, examples([["joy"], [], ["joy"]]), calibration="platt")

    assert result.decision.fit_report is None
    assert any("Fewer than 10 rows" in note for note in result.notes)


def test_another_threshold_that_is_as_good_is_explained(model: Path) -> None:
    predictor = Predictor.load(model, device="cpu")
    best = decide(predictor, examples(), goal="micro_f1", thresholds="global").decision

    def notes(threshold: float) -> str:
        decision = replace(best, thresholds=(threshold,) * len(SPACE))
        changed = predictor.with_artifact(replace(predictor.artifact, decision=decision))
        return " ".join(decide(changed, examples(), thresholds="global").notes)

    assert "equally good" in notes(best.thresholds[0] + 1e-4)
    assert "equally good" not in notes(best.thresholds[0])
    assert "equally good" not in notes(0.9999)


def test_limits_are_promised_stored_shown_and_promised_anew(model: Path) -> None:
    goal = "jaccard, recall[joy]>=0.8@0.8, abstained<=0.5"
    result = decide(
        Predictor.load(model, device="cpu"), examples(), goal=goal, empty_set_rule="abstain"
    )

    stored = rewritten(model, result)

    limits = ["recall[joy]>=0.8@0.8", "abstained<=0.5@0.95"]
    assert [promise.limit for promise in stored.promises] == limits
    assert stored.goal == "jaccard"
    assert [each["limit"] for each in result.to_json()["promises"]] == limits
    assert "Promise: recall of 'joy' at least 0.8, 80 % confidence" in str(result)
    assert "recall of 'joy' at least 0.8" in (model / "README.md").read_text("utf-8")
    assert inspect_artifact(model).promises == tuple(limits)
    schema = resources.files("multihot").joinpath("schemas/thresholds.schema.json")
    content = json.loads((model / "thresholds.json").read_text("utf-8"))
    jsonschema.validate(content, json.loads(schema.read_text("utf-8")))

    again = decide(Predictor.load(model, device="cpu"), examples(), thresholds="per_label")
    assert [promise.limit for promise in again.decision.promises] == limits


def test_another_goal_takes_the_promises_away_and_out_of_the_card(model: Path) -> None:
    card = (model / "README.md").read_text("utf-8")
    rewritten(
        model, decide(Predictor.load(model, device="cpu"), examples(), goal="recall[joy]>=0.5")
    )
    assert (model / "README.md").read_text("utf-8") != card

    stored = rewritten(
        model, decide(Predictor.load(model, device="cpu"), examples(), goal="macro_f1")
    )

    assert stored.promises == ()
    assert (model / "README.md").read_text("utf-8").rstrip("\n") == card.rstrip("\n")


def test_limits_that_cannot_be_promised_are_refused_before_a_text_is_scored(model: Path) -> None:
    predictor = Predictor.load(model, device="cpu")

    with pytest.raises(OptionError, match="the rule 'abstain'"):
        decide(predictor, examples(), goal="abstained<=0.2")
    with pytest.raises(OptionError, match="'nobody'"):
        decide(predictor, examples(), goal="recall[nobody]>=0.9")
    with pytest.raises(DataError, match="needs at least 299 rows"):
        decide(predictor, examples(), goal="recall[joy]>=0.99")


def test_evaluate_says_whether_a_promise_held(model: Path) -> None:
    predictor = Predictor.load(model, device="cpu")
    predictor = save(predictor, decide(predictor, examples(), goal="recall[joy]>=0.5"))
    rows = examples()

    kept = evaluate(predictor, rows)
    flipped = LabelMatrix(SPACE, 1 - rows.labels.values)
    broken = evaluate(predictor, replace(rows, labels=flipped))

    assert kept.to_json()["promises"][0]["held"] is True
    found = broken.to_json()["promises"][0]
    assert (found["held"], found["contradicted"]) == (False, True)
    assert any("broken" in remark for remark in broken.remarks())
