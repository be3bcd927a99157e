"""Options are a frozen list, each with a sentence: new knobs are decisions.

Before you add a name here: can the value be derived from the data or the encoder? Is it a plain
argument of one function? Only what a user must be able to set belongs into the options.
"""

from __future__ import annotations

import ast
import dataclasses

import pytest

from contracts.sources import parsed
from multihot.core.objective_options import ObjectiveOptions
from multihot.core.options import DataOptions, TrainOptions
from multihot.core.pretrain_options import PretrainOptions

DATA_OPTIONS = (
    "delimiter encoding format group_by header id_column ignore_columns label_column label_columns "
    "label_delimiter label_names partial_labels quoting sheet soft_labels split split_by text_column "
    "weight_column"
).split()

TRAIN_OPTIONS = (
    "accumulation_steps batch_size batch_tokens calibration checkpoint_steps costs data device "
    "early_stopping_epochs empty_set_rule encoder epochs execution folds goal head_learning_rate "
    "label_descriptions layer_decay learning_rate length_bucketing max_gradient_norm max_length "
    "objective pooling precision seed seeds seeds_keep teacher teacher_weight threads thresholds trackers "
    "validation_fraction warmup_fraction weight_averaging weight_decay"
).split()

OBJECTIVE_OPTIONS = (
    "correlation_weight focal_gamma label_smoothing loss negative_gamma positive_gamma "
    "positive_weight prior_adjustment probability_margin r_drop_weight"
).split()


PRETRAIN_OPTIONS = (
    "accumulation_steps batch_size batch_tokens beta1 beta2 checkpoint_steps device dropout "
    "encoder encoder_size epochs evaluation_steps execution head_fraction held_out_fraction "
    "held_out_rows hours language learning_rate lowercase masking_rate max_gradient_norm "
    "max_length next_sentence precision probe seed short_fraction snapshots threads "
    "tokenizer total_steps trackers vocab_size warmup_fraction weight_decay "
    "whole_word_masking"
).split()


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (DataOptions, DATA_OPTIONS),
        (TrainOptions, TRAIN_OPTIONS),
        (ObjectiveOptions, OBJECTIVE_OPTIONS),
        (PretrainOptions, PRETRAIN_OPTIONS),
    ],
)
def test_the_options_are_exactly_these(options: type, names: list[str]) -> None:
    assert sorted(field.name for field in dataclasses.fields(options)) == names


@pytest.mark.parametrize("options", [DataOptions, ObjectiveOptions, TrainOptions, PretrainOptions])
def test_options_are_frozen_and_have_defaults(options: type) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(options(), dataclasses.fields(options)[0].name, "anything")


@pytest.mark.parametrize(
    ("module", "options"),
    [
        ("multihot.core.options", "DataOptions"),
        ("multihot.core.options", "TrainOptions"),
        ("multihot.core.objective_options", "ObjectiveOptions"),
        ("multihot.core.pretrain_options", "PretrainOptions"),
    ],
)
def test_every_option_is_followed_by_a_sentence(module: str, options: str) -> None:
    (definition,) = (
        node
        for node in parsed()[module].body
        if isinstance(node, ast.ClassDef) and node.name == options
    )
    without = []
    for node, following in zip(definition.body, [*definition.body[1:], None], strict=True):
        if not isinstance(node, ast.AnnAssign):
            continue
        text = following.value if isinstance(following, ast.Expr) else None
        sentence = text.value if isinstance(text, ast.Constant) else None
        if not isinstance(sentence, str) or not sentence.endswith((".", "...", ":")):
            without.append(ast.unparse(node.target))

    assert without == []
