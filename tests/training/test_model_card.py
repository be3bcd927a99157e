from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from multihot.core.labels import LabelMatrix, LabelSpace
from multihot.core.options import DataOptions, TrainOptions
from multihot.data.examples import Examples
from multihot.decision.decision import Decision
from multihot.evaluation.evaluator import report
from multihot.inference.artifact import Artifact
from multihot.training.model_card import model_card

SPACE = LabelSpace(("joy", "a|b <i>", "never"))
DECISION = Decision(SPACE, (0.3, 0.3, 0.3), "jaccard", "global")
ARTIFACT = Artifact(Path("runs/mine"), DECISION, DataOptions(), 64, "mean", form="encoder_and_head")


def card(artifact: Artifact = ARTIFACT, **changes: str) -> str:
    labels = LabelMatrix.from_names([["joy"], ["a|b <i>"], []], SPACE)
    logits = np.array([[3, -3, -3], [3, 3, -3], [-3, -3, -3]], dtype=np.float32)
    rows = Examples(["x", "y", "z"], labels, ["1", "2", "3"], "dev", DataOptions(), (), [1, 2, 3])
    options = TrainOptions(encoder="bert-base-uncased", epochs=4, seed=7)
    return model_card(
        artifact, report(artifact.decision, logits, rows), options, 90, epoch=2, **changes
    )


def table_rows(text: str) -> list[list[str]]:
    """Return the cells of every table row, escaped bars not taken as borders."""
    lines = [line.replace("\\|", "¦") for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_card_says_what_was_trained_and_how() -> None:
    text = card()

    assert text.startswith("---\nlibrary_name: multihot\n")
    assert (
        "Encoder `bert-base-uncased`, mean pooling, 90 training rows, epoch 2 of 4, seed 7." in text
    )
    assert "Texts are cut to 64 tokens." in text
    assert 'multihot predict mine "a text"' in text


def test_the_card_says_that_its_figures_are_optimistic() -> None:
    assert "Results on the 3 validation rows" in card()
    assert "figures are optimistic; score a test set with `multihot evaluate`" in card()


def test_figures_are_those_of_the_report_and_undefined_ones_say_so() -> None:
    rows = table_rows(card())

    assert ["micro_f1", "0.800"] in rows
    assert ["joy", "1", "0.500", "1.000", "0.667", "0.300"] in rows
    assert ["never", "0", "undefined", "undefined", "undefined", "0.300"] in rows


def test_a_label_name_cannot_break_the_table() -> None:
    assert ["a¦b &lt;i>", "1", "1.000", "1.000", "1.000", "0.300"] in table_rows(card())


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("global", "is one threshold for the goal `jaccard`, fitted on the validation rows"),
        ("per_label", "is one threshold per label for the goal `jaccard`, fitted on the"),
        ("fixed", "is a threshold that was given, not fitted; it"),
    ],
)
def test_the_card_says_how_the_thresholds_came_about(kind: str, words: str) -> None:
    assert words in card(replace(ARTIFACT, decision=replace(DECISION, kind=kind)))


def test_the_card_says_what_transformers_can_load() -> None:
    vanilla = replace(ARTIFACT, form="sequence_classification", pooling="cls")

    assert "`transformers` loads this folder and gives the same logits" in card(vanilla)
    assert "`transformers` alone cannot run the classifier" in card()


def test_a_model_that_went_on_from_another_names_that_one() -> None:
    text = card(started_from="runs-1")

    assert "Model `runs-1`, mean pooling" in text
    assert "bert-base-uncased" not in text
