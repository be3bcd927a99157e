"""The line at the end of training: good or not, still learning or not, and what to try."""

from __future__ import annotations

import numpy as np
import pytest

from multihot.core.labels import LabelMatrix, LabelSpace
from multihot.core.options import TrainOptions
from multihot.data.in_memory import as_examples
from multihot.decision.decision import Decision
from multihot.evaluation.evaluator import report
from multihot.training.conclusion import best_constant_value, conclusion

SPACE = LabelSpace(("often", "seldom"))
TRUTH = np.tile(np.array([[1, 0], [1, 1], [1, 0], [0, 0]], np.float32), (50, 1))


def line(logits: np.ndarray, goal: str = "micro_f1", epoch: int | None = 2) -> str:
    decision = Decision(SPACE, (0.5, 0.5), goal, "global")
    texts = [str(row) for row in range(len(TRUTH))]
    found = report(
        decision,
        logits.astype(np.float32),
        as_examples(texts, LabelMatrix(SPACE, TRUTH), SPACE, ""),
    )
    return conclusion(
        decision,
        found,
        TrainOptions(epochs=4),
        constant=best_constant_value(decision, TRUTH),
        best_epoch=epoch,
    )


@pytest.mark.parametrize(
    ("goal", "value"),
    [
        ("micro_f1", 2 * 150 / (200 + 200)),
        ("macro_f1", (2 * 150 / 350 + 2 * 50 / 250) / 2),
        ("jaccard", (1 + 0.5 + 1 + 0) / 4),
        ("subset_accuracy", 0.5),
        ("recall>=0.9", 200 / 400),
        ("cost=1:1", -0.5),
        ("top_k=1", 0.75),
    ],
)
def test_the_same_labels_for_every_text_are_the_best_such_set(goal: str, value: float) -> None:
    kind = "top_k" if goal.startswith("top_k") else "global"
    decision = Decision(SPACE, (0.5, 0.5), goal, kind)

    assert best_constant_value(decision, TRUTH) == pytest.approx(value)


def test_unknown_cells_count_in_nothing() -> None:
    truth = np.where(np.arange(400).reshape(200, 2) % 3 == 0, np.nan, TRUTH)

    value = best_constant_value(Decision(SPACE, (0.5, 0.5), "micro_f1", "global"), truth)

    assert value == pytest.approx(0.75, abs=0.03)


def test_a_good_model_is_called_better_than_none() -> None:
    assert line(TRUTH * 4 - 2) == (
        "Is it good? Better than no model: micro_f1 1.000 (0.981 to 1.000); the same labels for every "
        "text reach 0.750. To go on: more labelled rows, or a larger encoder."
    )


def test_a_model_that_gives_every_text_the_same_is_not() -> None:
    said = line(np.tile([2.0, -2.0], (200, 1)), epoch=4)

    assert said.startswith("Is it good? No: micro_f1 0.750")
    assert "The best epoch was the last of 4, so it was still learning: try epochs=8." in said
    assert said.count("epochs") == 1


def test_an_interval_that_holds_the_constant_answer_leaves_it_open() -> None:
    logits = np.tile([2.0, -2.0], (200, 1))
    logits[1, 1] = 2

    assert line(logits).startswith("Is it good? Perhaps: ")


def test_a_bound_that_is_not_reached_is_said_in_words() -> None:
    generator = np.random.default_rng(0)
    logits = np.where(generator.random(TRUTH.shape) < 0.2, -1, 1) * (TRUTH * 4 - 2)

    said = line(logits, "precision>=0.99", epoch=None)

    assert "0.99 not reached, best 0." in said
    assert "-0." not in said
    assert "epoch" not in said.replace("more epochs", "")
