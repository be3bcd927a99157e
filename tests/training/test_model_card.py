from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from multihot.core.labels import LabelMatrix, LabelSpace
from multihot.core.options import DataOptions, TrainOptions
from multihot.data.examples import Examples
from multihot.decision.decision import Decision
from multihot.evaluation.evaluator import report
from multihot.inference.artifact import Artifact
from multihot.training.model_card import Provenance, _cell, model_card
from multihot.training.run import SeedRun, SeedRuns, Trained

SPACE = LabelSpace(("joy", "a|b <i>", "never"))
HOSTILE = "![`x`](http://a)\u202e"
DECISION = Decision(SPACE, (0.3, 0.3, 0.3), "jaccard", "global")
ARTIFACT = Artifact(Path("runs/mine"), DECISION, DataOptions(), 64, "mean", form="encoder_and_head")


PROVENANCE = Provenance(num_training_rows=90)


def card(artifact: Artifact = ARTIFACT, provenance: Provenance = PROVENANCE, **facts: Any) -> str:
    labels = LabelMatrix.from_names([["joy"], ["a|b <i>"], []], SPACE)
    logits = np.array([[3, -3, -3], [3, 3, -3], [-3, -3, -3]], dtype=np.float32)
    rows = Examples(["x", "y", "z"], labels, ["1", "2", "3"], "dev", DataOptions(), (), [1, 2, 3])
    options = TrainOptions(encoder="bert-base-uncased", epochs=4, seed=7)
    figures = report(artifact.decision, logits, rows)
    trained = Trained(artifact.decision, figures, epoch=2, **facts)
    return model_card(artifact, trained, options, provenance)


def seed_runs(average: float | None) -> SeedRuns:
    runs = SeedRun(7, 2, {"jaccard": 0.5}), SeedRun(8, 3, {"jaccard": 0.75})
    kept = None if average is None else {"jaccard": average}
    return SeedRuns("jaccard", runs, {"jaccard": 0.625}, {"jaccard": 0.1768}, kept)


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
    assert "Texts are truncated to 64 tokens." in text
    assert 'multihot predict mine "a text"' in text


def test_the_card_says_that_its_metrics_are_optimistic() -> None:
    assert "Results on the 3 validation rows" in card()
    assert (
        "metrics are therefore optimistic; evaluate a test set with `multihot evaluate`" in card()
    )


def test_figures_are_those_of_the_report_and_undefined_ones_say_so() -> None:
    rows = table_rows(card())

    assert ["micro_f1", "0.800"] in rows
    assert ["joy", "1", "0.500", "1.000", "0.667", "0.300"] in rows
    assert ["never", "0", "undefined", "undefined", "undefined", "0.300"] in rows


def test_a_label_name_cannot_break_the_table() -> None:
    assert ["a¦b &lt;i>", "1", "1.000", "1.000", "1.000", "0.300"] in table_rows(card())


def test_a_name_is_no_link_and_no_code_and_hides_nothing() -> None:
    assert _cell(HOSTILE) == r"!\[\`x\`\](http://a)\\u202e"
    assert r"Fine-tuned from model `!['x'](http://a)\u202e`, mean" in card(
        provenance=Provenance(90, initial_model=HOSTILE)
    )


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("global", "is one threshold for the goal `jaccard`, fitted on the validation rows"),
        ("per_label", "is one threshold per label for the goal `jaccard`, fitted on the"),
        ("fixed", "is a fixed threshold, given and not fitted. It"),
    ],
)
def test_the_card_says_how_the_thresholds_came_about(kind: str, words: str) -> None:
    assert words in card(replace(ARTIFACT, decision=replace(DECISION, kind=kind)))


def test_the_card_says_what_transformers_can_load() -> None:
    vanilla = replace(ARTIFACT, form="sequence_classification", pooling="cls")

    assert "`transformers` loads this folder and gives the same logits" in card(vanilla)
    assert "`transformers` alone cannot run the classifier" in card()


def test_a_model_that_was_fine_tuned_from_another_names_that_one() -> None:
    text = card(provenance=Provenance(90, initial_model="runs-1"))

    assert "Fine-tuned from model `runs-1`, mean pooling" in text
    assert "bert-base-uncased" not in text


def test_a_student_names_its_teachers_and_the_rows_that_only_they_label() -> None:
    assert "seed 7, distilled from `large`, `larger`." in card(
        provenance=Provenance(90, teachers=("large", "larger"))
    )
    assert "distilled from `large` (8 rows without labels have soft targets only)." in card(
        provenance=Provenance(90, teachers=("large",), num_unlabelled=8)
    )
    assert "soft targets" not in card(provenance=Provenance(90, num_unlabelled=8))


def test_cross_validation_is_described_by_its_out_of_fold_rows() -> None:
    text = card(validation="out_of_fold", num_folds=5)

    assert "Results on the 3 out-of-fold rows" in text
    assert "Each row was scored by one of 5 networks" in text
    assert "validation rows" not in text


@pytest.mark.parametrize(
    ("average", "weights", "selected"),
    [
        (0.8, "averaged weights of seeds 7, 8.", "selected the epoch of each seed and fitted"),
        (None, "epoch 3 of 4, seed 8, the best of seeds 7, 8.", "selected the seed, its epoch and"),
    ],
)
def test_several_seeds_have_a_table_of_their_own(
    average: float | None, weights: str, selected: str
) -> None:
    text = card(seeds=seed_runs(average))

    assert weights in text
    assert selected in text
    rows = [["7", "2", "0.5000"], ["8", "3", "0.7500"], ["mean", "", "0.6250"]]
    assert [row for row in table_rows(text) if row in rows] == rows
    assert (["**averaged weights**", "", "0.8000"] in table_rows(text)) == (average is not None)


def test_of_very_many_labels_the_card_lists_those_with_the_most_rows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("multihot.training.model_card._MOST_LABELS", 2)

    text = card()

    assert "joy" in text
    assert "| never |" not in text
    assert "These are the 2 of 3 labels with the most rows" in text
