"""Several seeds: the best network or the averaged weights, and the variation of the metrics."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from factories import Recorder, hashes, log_of, rows
from multihot.core.options import TrainOptions
from multihot.errors import OptionError, TrainingError
from multihot.inference.artifact import load_artifact
from multihot.inference.predictor import Predictor
from multihot.training.multi_seed import mean_and_deviation, mean_weights
from multihot.workflows.evaluate import evaluate
from multihot.workflows.train import train
from training.test_cross_validation import stop_and_resume

pytestmark = pytest.mark.slow

ROWS, VALIDATION = rows(23, 0), rows(15, 1)
STEPS = 12  # two seeds of 2 epochs of 3 steps


@pytest.fixture(scope="module")
def options(tiny_encoder: Path) -> TrainOptions:
    return TrainOptions(
        encoder=str(tiny_encoder),
        epochs=2,
        seed=4,
        seeds=2,
        seeds_keep="average",
        batch_size=8,
        learning_rate=1e-2,
        precision="fp32",
        device="cpu",
        threads=1,
        checkpoint_steps=1,
    )


@pytest.fixture(scope="module", params=["average", "best"])
def undisturbed(
    request: pytest.FixtureRequest, options: TrainOptions, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, TrainOptions]:
    output = tmp_path_factory.mktemp("undisturbed") / "model"
    chosen = replace(options, seeds_keep=request.param)
    train(ROWS, VALIDATION, chosen, output)
    return output, chosen


@pytest.mark.rounding
@pytest.mark.parametrize("averaging", [0.0, 0.5])
def test_what_is_kept_is_the_mean_of_the_weights_or_the_best_of_single_runs(
    options: TrainOptions, tmp_path: Path, averaging: float
) -> None:
    # One model gives all runs the same start, so that each can be repeated alone.
    single = replace(options, seeds=1, weight_averaging=averaging)
    train(ROWS, VALIDATION, replace(single, epochs=1), tmp_path / "start")
    start = {"start_from": tmp_path / "start"}
    reports = [
        train(ROWS, VALIDATION, replace(single, seed=seed), tmp_path / f"{seed}", **start)  # type: ignore[arg-type]
        for seed in (4, 5, 6)
    ]
    ears = Recorder()
    three = replace(single, seeds=3)
    report = train(ROWS, VALIDATION, three, tmp_path / "mean", listener=ears, **start)  # type: ignore[arg-type]
    best = replace(three, seeds_keep="best")
    train(ROWS, VALIDATION, best, tmp_path / "best", listener=ears, **start)  # type: ignore[arg-type]

    weights = [load_file(tmp_path / name / "model.safetensors") for name in ("mean", "4", "5", "6")]
    for name, tensor in weights[0].items():
        mean = torch.stack([one[name].double() for one in weights[1:]]).mean(0)
        assert torch.allclose(tensor.double(), mean, atol=1e-7)
    goals = [float(one.metrics["micro_f1"] or 0) for one in reports]
    winner = 4 + int(np.argmax(goals))
    same = [tmp_path / name / "model.safetensors" for name in (f"{winner}", "best")]
    assert same[0].read_bytes() == same[1].read_bytes()
    assert evaluate(Predictor.load(tmp_path / "mean"), VALIDATION).to_json() == report.to_json()
    told = json.loads((tmp_path / "mean" / "run" / "seeds.json").read_text("utf-8"))
    assert [one["metrics"]["micro_f1"] for one in told["seeds"]] == goals
    assert told["mean"]["micro_f1"] == pytest.approx(np.mean(goals))
    assert told["standard_deviation"]["micro_f1"] == pytest.approx(np.std(goals, ddof=1))
    assert told["average"]["micro_f1"] == report.metrics["micro_f1"]
    said = "\n".join(ears.sentences)
    assert f"{np.mean(goals):.4f} +- {np.std(goals, ddof=1):.4f}" in said
    assert (
        f"averaged weights of 3 seeds: validation micro_f1 {told['average']['micro_f1']:.4f}"
        in said
    )
    assert f"the best single seed ({winner}) reaches {max(goals):.4f}." in said
    assert f"Keeping seed {winner}, the best of 3 by micro_f1." in said


def test_the_first_of_several_seeds_is_the_run_with_one(
    options: TrainOptions, tmp_path: Path
) -> None:
    report = train(ROWS, None, replace(options, seeds=1), tmp_path / "one")
    train(ROWS, None, options, tmp_path / "two")

    told = json.loads((tmp_path / "two" / "run" / "seeds.json").read_text("utf-8"))
    first = told["seeds"][0]["metrics"]
    assert first == {name: report.metrics[name] for name in first}
    seed = tmp_path / "seed" / "run"
    seed.mkdir(parents=True)
    log = tmp_path / "two" / "run" / "seeds" / "seed-4" / "metrics.jsonl"
    (seed / "metrics.jsonl").write_bytes(log.read_bytes())
    assert log_of(tmp_path / "one") == log_of(seed.parent)


def test_the_folder_tells_of_the_seeds_and_keeps_no_weights_of_single_ones(
    undisturbed: tuple[Path, TrainOptions],
) -> None:
    model, options = undisturbed
    names = sorted(str(p.relative_to(model / "run")) for p in (model / "run").rglob("*.*"))

    assert names == [
        "environment.json",
        "recipe.toml",
        "seeds.json",
        "seeds/seed-4/metrics.jsonl",
        "seeds/seed-5/metrics.jsonl",
    ]
    told = json.loads((model / "run" / "seeds.json").read_text("utf-8"))
    assert (told["kept"], told["goal"]) == (options.seeds_keep, "micro_f1")
    card = (model / "README.md").read_text("utf-8")
    words = {
        "average": "averaged weights of seeds 4, 5.",
        "best": f"seed {told['best_seed']}, the best of seeds 4, 5.",
    }
    assert words[options.seeds_keep] in card
    assert "## Over 2 seeds" in card
    assert f"| mean |  | {told['mean']['micro_f1']:.4f} |" in card
    assert ("| **averaged weights** |" in card) == (options.seeds_keep == "average")


@pytest.mark.parametrize("number", [1, 3, 6, 7, 10, 12])
def test_a_run_interrupted_anywhere_ends_with_the_same_bytes(
    undisturbed: tuple[Path, TrainOptions], tmp_path: Path, number: int
) -> None:
    expected, options = undisturbed
    model = tmp_path / "model"
    ears = stop_and_resume(ROWS, VALIDATION, options, model, number)

    assert len(ears.steps) == STEPS - number + 1
    assert hashes(expected) == hashes(model)
    for name in ("README.md", "run/seeds.json"):
        assert (expected / name).read_bytes() == (model / name).read_bytes()


def test_a_run_interrupted_while_the_model_is_written_trains_nothing_again(
    undisturbed: tuple[Path, TrainOptions], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import multihot.inference.artifact

    def fail(*arguments: object) -> None:
        raise KeyboardInterrupt

    expected, options = undisturbed
    with monkeypatch.context() as patch:
        patch.setattr(multihot.inference.artifact, "write_json", fail)
        with pytest.raises(KeyboardInterrupt):
            train(ROWS, VALIDATION, options, tmp_path)
    ears = Recorder()
    train(ROWS, VALIDATION, options, tmp_path, resume=True, listener=ears)

    assert ears.steps == []
    assert hashes(expected) == hashes(tmp_path)


def test_weights_that_are_lost_on_the_way_are_never_averaged(
    options: TrainOptions, tmp_path: Path
) -> None:
    class Vandal(Recorder):
        def say(self, message: str) -> None:
            super().say(message)
            if message.startswith("Mean and standard deviation over 2 seeds"):
                place = tmp_path / "run" / "seeds" / "seed-5" / "result" / "result.safetensors"
                place.write_bytes(b"nothing")

    with pytest.raises(TrainingError, match="only this seed is trained again"):
        train(ROWS, VALIDATION, options, tmp_path, listener=Vandal())
    ears = Recorder()
    train(ROWS, VALIDATION, options, tmp_path, resume=True, listener=ears)

    assert ears.steps == [1, 2, 3, 4, 5, 6]
    assert load_artifact(tmp_path)


def test_the_mean_of_one_network_is_that_network_and_whole_numbers_are_not_averaged() -> None:
    one = {"a": torch.tensor([1.1, -0.3]), "count": torch.tensor(3)}
    other = {"a": torch.tensor([0.1, 0.3]), "count": torch.tensor(8)}

    assert torch.equal(mean_weights([one])["a"], one["a"])
    found = mean_weights(iter([one, other]))
    assert torch.allclose(found["a"], torch.tensor([0.6, 0.0]))
    assert (found["a"].dtype, found["count"].item()) == (torch.float32, 3)


def test_a_metric_that_is_undefined_for_a_seed_has_no_mean() -> None:
    mean, deviation = mean_and_deviation([{"a": 1.0, "b": None}, {"a": 2.0, "b": 1.0}])

    assert mean == {"a": 1.5, "b": None}
    assert deviation["a"] == pytest.approx(0.5**0.5)
    assert deviation["b"] is None
    assert mean_and_deviation([{"a": 1.0}])[1] == {"a": None}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seeds": 0}, "Option 'seeds' is 0; expected at least 1"),
        ({"seeds_keep": "all"}, "Option 'seeds_keep' is 'all'; expected best or average"),
        ({"folds": 1}, "Option 'folds' is 1; expected at least 2"),
        ({"folds": 3, "seeds": 2}, "folds=3 and seeds=2"),
        ({"folds": 3, "early_stopping_epochs": 1}, "early_stopping_epochs and folds=3"),
        ({"folds": 3, "validation_fraction": 0.2}, "validation_fraction and folds=3"),
    ],
)
def test_options_that_do_not_fit_together_are_refused(
    changes: dict[str, object], words: str
) -> None:
    with pytest.raises(OptionError, match=words):
        TrainOptions(**changes)  # type: ignore[arg-type]
