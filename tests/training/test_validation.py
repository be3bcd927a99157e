"""What is fitted and reported without texts is what texts give."""

from __future__ import annotations

import gc
from pathlib import Path

import numpy as np
import pytest
import torch

from multihot.core.labels import LabelMatrix, LabelSpace
from multihot.core.options import DataOptions, TrainOptions
from multihot.data.dataset import encode
from multihot.data.examples import Examples
from multihot.data.tokens import load_tokenizer
from multihot.decision.fitting import DecisionOptions, FittingRows, fit
from multihot.errors import OptionError
from multihot.evaluation.evaluator import report
from multihot.inference import torch_backend
from multihot.inference.torch_backend import TorchBackend
from multihot.models.devices import choose_precision
from multihot.models.network import build_network
from multihot.training import validation as validation_module
from multihot.training.validation import ScoredEpochs, ValidationSet

SPACE = LabelSpace(("joy", "fear"))
CPU = torch.device("cpu")


@pytest.mark.parametrize("thresholds", ["global", "per_label", 0.4])
def test_decision_and_report_are_those_of_texts_in_memory(
    tiny_encoder: Path, thresholds: str | float
) -> None:
    generator = np.random.default_rng(0)
    values = generator.choice([0, 1, np.nan], (30, 2), p=[0.5, 0.4, 0.1]).astype(np.float32)
    texts = [f"happy {'day ' * (row % 20)}" for row in range(30)]
    numbers = list(range(1, 31))
    ids, labels = [str(number) for number in numbers], LabelMatrix(SPACE, values)
    examples = Examples(texts, labels, ids, "some/rows.csv", DataOptions(), (), numbers)
    rows = encode(examples, SPACE, load_tokenizer(tiny_encoder / "tokenizer.json"), 16)
    rows = rows.take(np.arange(28, 3, -1))
    examples = examples.take(np.arange(28, 3, -1))
    network = build_network(tiny_encoder, SPACE, "mean", seed=0)
    backend = TorchBackend(network, 2, CPU, choose_precision("fp32", CPU), packed=False)
    options = TrainOptions(thresholds=thresholds)

    logits = backend.logits(rows.tokens, rows.indices)

    decision, found = ValidationSet(rows, backend, options, most_rows=7).decide(logits)

    assert examples.labels is not None
    fitted_rows = FittingRows.of_labels(SPACE, logits, examples.labels, examples.texts)
    chosen = DecisionOptions("micro_f1", thresholds)
    expected = fit(SPACE, fitted_rows, chosen, source="rows.csv").decision
    assert decision.to_json() == expected.to_json()
    num_truncated = rows.num_truncated()
    assert num_truncated > 0
    assert (
        found.to_json()
        == report(expected, logits, examples, num_truncated, intervals=False).to_json()
    )
    assert (found.rows_fitted > 0) == isinstance(thresholds, str)


def toy(tiny_encoder: Path, options: TrainOptions) -> ValidationSet:
    names = [["joy"], ["fear"], ["joy", "fear"], []] * 6
    texts = [f"happy {'day ' * number}" for number in range(24)]
    numbers = list(range(1, 25))
    ids, labels = [str(number) for number in numbers], LabelMatrix.from_names(names, SPACE)
    examples = Examples(texts, labels, ids, "rows.csv", DataOptions(), (), numbers)
    rows = encode(examples, SPACE, load_tokenizer(tiny_encoder / "tokenizer.json"), 16)
    network = build_network(tiny_encoder, SPACE, "mean", seed=0)
    backend = TorchBackend(network, 2, CPU, choose_precision("fp32", CPU), packed=False)
    return ValidationSet(rows, backend, options)


@pytest.mark.parametrize("goal", ["precision>=0.9", "cost=1:3", "top_k=1", "jaccard"])
def test_every_goal_has_a_value_that_chooses_the_epoch(
    tiny_encoder: Path, tmp_path: Path, goal: str
) -> None:
    validation = toy(tiny_encoder, TrainOptions(goal=goal, thresholds="shrunk"))
    logits = validation.saved_logits(tmp_path / "scoring")

    metrics = validation.metrics(logits)

    decision, report = validation.decide(logits, final=True)
    assert metrics[goal] == decision.fitted_on.goal_value
    assert {"jaccard", "lrap"} <= set(metrics) & set(report.metrics)
    assert decision.fit_report.goal == goal


def test_calibration_rule_and_costs_are_those_of_the_options(
    tiny_encoder: Path, tmp_path: Path
) -> None:
    (tmp_path / "costs.toml").write_text("joy = [1, 9]", "utf-8")
    options = TrainOptions(
        goal="cost=1:2",
        costs=str(tmp_path / "costs.toml"),
        calibration="temperature",
        empty_set_rule="abstain",
    )

    validation = toy(tiny_encoder, options)

    decision, _ = validation.decide(validation.saved_logits(tmp_path / "scoring"))

    assert decision.costs == ((1, 9), (1, 2))
    assert decision.calibration.method == "temperature"
    assert decision.empty_set_rule == "abstain"


def test_wrong_costs_are_refused_before_the_first_epoch(tiny_encoder: Path, tmp_path: Path) -> None:
    (tmp_path / "costs.toml").write_text("anger = [1, 9]", "utf-8")

    with pytest.raises(OptionError, match="names labels that are not known here: anger"):
        toy(tiny_encoder, TrainOptions(goal="cost", costs=str(tmp_path / "costs.toml")))


@pytest.mark.parametrize("most_cells", [1000, 47])
def test_the_logits_of_the_best_epoch_are_kept_unless_there_are_very_many(
    tiny_encoder: Path, tmp_path: Path, most_cells: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(validation_module, "_MOST_KEPT_CELLS", most_cells)
    validation = toy(tiny_encoder, TrainOptions())
    scratch = tmp_path / "scoring"
    epochs = ScoredEpochs(validation, scratch)
    best = validation.saved_logits(scratch)
    weight = validation.backend.network.get_parameter(
        next(name for name, _ in validation.backend.network.named_parameters())
    )
    stored = weight.detach().clone()

    assert epochs.metrics() == validation.metrics(best)
    epochs.keep()
    weight.data.neg_()
    epochs.metrics()  # of a later epoch, which is worse

    weight.data.copy_(stored)
    assert np.array_equal(epochs.best_logits(), best)
    weight.data.neg_()
    assert np.array_equal(epochs.best_logits(), best) == (most_cells == 1000)
    assert not scratch.exists()


def test_a_network_that_was_scored_is_gone_before_the_next_step(
    tiny_encoder: Path, tmp_path: Path
) -> None:
    validation = toy(tiny_encoder, TrainOptions())
    gc.collect()
    before = len(torch_backend._backends)
    gc.disable()  # it may run long after
    try:
        validation.saved_logits(tmp_path / "scoring")
        assert len(torch_backend._backends) == before
    finally:
        gc.enable()
