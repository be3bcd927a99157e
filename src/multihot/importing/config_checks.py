"""What is wrong with the configuration of a checkpoint for multi-label use."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from multihot.core.text_tables import cut, listed
from multihot.errors import EncoderError
from multihot.gate.encoder_config import FAMILIES, checked_config
from multihot.importing.checkpoint import Checkpoint
from multihot.importing.findings import ERROR, NOTE, WITH_FILE, WITHOUT_FILE, Finding
from multihot.importing.weight_checks import CheckpointWeights

__all__ = ["check_config", "check_head", "check_thresholds", "has_head"]

_MULTI_LABEL = "multi_label_classification"
_OTHERS = ("single_label_classification", "regression")
_CLASSIFIER = re.compile(r".*For(?:MultiLabel)?SequenceClassification")
_TASKS = re.compile(
    r".*For(TokenClassification|QuestionAnswering|MultipleChoice|NextSentencePrediction|CausalLM"
    r"|ConditionalGeneration|ImageClassification|AudioClassification)"
)
_CODE = ("auto_map", "custom_pipelines", "trust_remote_code")


def check_config(checkpoint: Checkpoint, weights: CheckpointWeights) -> list[Finding]:
    """Return what is wrong with `config.json`: family, code of its own, problem type."""
    config = checkpoint.config
    if not config:
        return [_without_config(checkpoint)]
    findings = [*_family(checkpoint), *_code(config)]
    if not findings:
        try:
            checked_config(config, checkpoint.body / "config.json", error=EncoderError)
        except EncoderError as reason:
            findings.append(
                Finding(
                    "config_refused",
                    ERROR,
                    "config.json",
                    str(reason),
                    "multihot passes on only what is known and within bounds.",
                    "Correct the key in config.json.",
                )
            )
    if not checkpoint.is_pooled and has_head(checkpoint, weights) and weights.num_outputs != 1:
        findings += _problem_type(config.get("problem_type"), checkpoint)
    return findings


def has_head(checkpoint: Checkpoint, weights: CheckpointWeights) -> bool:
    """Return whether a head is stored, or where weights cannot be read, whether there should be one."""
    if weights.tensors:
        return weights.num_outputs is not None
    return checkpoint.kind == "setfit" or any(map(_CLASSIFIER.fullmatch, checkpoint.architectures))


def _without_config(checkpoint: Checkpoint) -> Finding:
    if checkpoint.kind == "adapter":
        base = checkpoint.tables.get("adapter_config.json", {}).get("base_model_name_or_path")
        return Finding(
            "adapter_only",
            ERROR,
            "adapter_config.json",
            f"It is an adapter of PEFT for {cut(base)}, not a whole model.",
            "Without the model that it changes it gives no answer.",
            "Load both with peft, call merge_and_unload(), and save the result with save_pretrained.",
        )
    return Finding(
        "config_missing",
        ERROR,
        "config.json",
        "There is no config.json.",
        "Without it nobody knows which network the weights are.",
        "Copy the whole folder anew.",
    )


def _family(checkpoint: Checkpoint) -> list[Finding]:
    if checkpoint.family in FAMILIES:
        return []
    return [
        Finding(
            "family_unsupported",
            ERROR,
            "config.json",
            f"'model_type' is {cut(checkpoint.family)}.",
            "multihot reads encoders of texts that are inside transformers.",
            f"Use one of {listed(sorted(FAMILIES), 12)}, or stay with the tool that made it.",
        )
    ]


def _code(config: Mapping[str, Any]) -> list[Finding]:
    found = [key for key in _CODE if config.get(key)]
    if not found:
        return []
    return [
        Finding(
            "remote_code",
            ERROR,
            "config.json",
            f"It asks for code from elsewhere ({listed(found)}); nothing of it was run.",
            "Whoever loads it with trust_remote_code runs whatever that code does.",
            "If the architecture is inside transformers, remove the key and load the checkpoint anew.",
        )
    ]


def _problem_type(value: object, checkpoint: Checkpoint) -> list[Finding]:
    """Return what the value makes of the scores, where it is not what multi-label needs."""
    arguments = checkpoint.tables.get("model_args.json", {})
    if value == _MULTI_LABEL:
        return []
    if value is None and arguments.get("model_class") == "ClassificationModel":
        what = "It is simpletransformers' ClassificationModel, which gives one label to each text."
        return [_other_problem("model_args.json", what)]
    if value is None:
        code, what = "problem_type_missing", "'problem_type' is not set."
    elif value in _OTHERS:
        what = f"'problem_type' is {value}: transformers writes it when it trains with that loss."
        return [_other_problem("config.json", what)]
    else:
        code, what = "problem_type_unknown", f"'problem_type' is {cut(value)}, which nothing knows."
    return [
        Finding(
            code,
            ERROR,
            "config.json",
            what,
            "transformers' pipeline then takes softmax over all labels: their scores sum to 1, so two "
            "true labels cannot both be near 1.",
            f'Set "problem_type": "{_MULTI_LABEL}" in config.json.',
            WITHOUT_FILE,
        )
    ]


def _other_problem(file: str, what: str) -> Finding:
    return Finding(
        "problem_type_other",
        ERROR,
        file,
        what,
        "A head that was trained with softmax or as a regression has no score of its own for each label.",
        f'Only if you know that it was trained with a sigmoid for each label: write "{_MULTI_LABEL}" '
        "into config.json. Otherwise train it anew: multihot train --encoder FOLDER.",
    )


def check_head(checkpoint: Checkpoint, weights: CheckpointWeights) -> list[Finding]:
    """Return what is wrong with the head: none, of another task, or one that nothing here reads."""
    if checkpoint.kind == "adapter" or not checkpoint.config:
        return []
    if checkpoint.kind == "setfit":
        return _setfit_head(checkpoint)
    names = checkpoint.architectures
    other = next((name for name in names if _TASKS.fullmatch(name)), None)
    is_classifier = any(map(_CLASSIFIER.fullmatch, names))
    what = None
    if other is not None:
        what = f"It is a {other}, made for another task."
    elif not is_classifier and (not weights.tensors or weights.head is None):
        what = _bare(checkpoint)
    elif weights.tensors and weights.head is None:
        what = f"It is called {names[0]}, and no weight of a head is stored."
    if what is not None:
        return [_no_classifier(what)]
    if is_classifier and not any("MultiLabelSequence" in name for name in names):
        return []
    return [_class_name(names)]


def _bare(checkpoint: Checkpoint) -> str:
    called = checkpoint.architectures[0] if checkpoint.architectures else checkpoint.shown_kind
    return f"It is an encoder without a classification head ({called})."


def _no_classifier(what: str) -> Finding:
    return Finding(
        "head_missing",
        ERROR,
        "config.json",
        what,
        "AutoModelForSequenceClassification puts a random head on it, whose answers mean nothing.",
        "Fine-tune it: multihot train TRAIN.csv --encoder FOLDER.",
    )


def _class_name(names: tuple[str, ...]) -> Finding:
    what = f"'architectures' is {listed(names)}, which is no class of transformers."
    return Finding(
        "architecture_unknown",
        NOTE,
        "config.json",
        what if names else "'architectures' is not set.",
        "Servers that choose the task by it, such as text-embeddings-inference, refuse the model.",
        "Write the class of the family that ends in ForSequenceClassification.",
        WITHOUT_FILE,
    )


def _setfit_head(checkpoint: Checkpoint) -> list[Finding]:
    findings = []
    if "model_head.safetensors" not in checkpoint.files:
        findings.append(
            Finding(
                "head_pickled",
                ERROR,
                "model_head.pkl",
                "The head is a pickle of scikit-learn (model_head.pkl); it was not opened.",
                "A pickle can run any code when it is loaded, and needs the version of scikit-learn that "
                "wrote it.",
                "Where you trust the file, write its weights into model_head.safetensors: the page 'Import "
                "a model you already have' shows how. Or train a head anew: multihot train --encoder "
                "FOLDER.",
            )
        )
    others = [kind for kind in checkpoint.modules if kind not in ("Transformer", "Pooling")]
    normalizes = checkpoint.tables.get("config_setfit.json", {}).get("normalize_embeddings") is True
    if others or normalizes or checkpoint.pooling != "mean":
        found = listed([*others, f"pooling {checkpoint.pooling}", *["normalised"] * normalizes])
        findings.append(
            Finding(
                "body_unsupported",
                ERROR,
                "modules.json",
                f"The body is more than mean pooling: {found}.",
                "multihot has a head for the mean of the token vectors, as they are.",
                "Train a head anew: multihot train --encoder FOLDER.",
            )
        )
    return findings


def check_thresholds(checkpoint: Checkpoint) -> list[Finding]:
    """Return that no fitted thresholds are stored, or where some lie that nobody reads."""
    where, what = "thresholds.json", "No thresholds are stored; everyone takes 0.5 for every label."
    given = checkpoint.tables.get("model_args.json", {}).get("threshold")
    if "thresholds.json" in checkpoint.files:
        what = "thresholds.json is not multihot's, so it is not read."
    elif given is not None:
        where = "model_args.json"
        what = f"The threshold {cut(given)} is in model_args.json, which only simpletransformers reads."
    return [
        Finding(
            "thresholds_missing",
            NOTE,
            where,
            what,
            "The best threshold of a rare label is often far below 0.5, so it is hardly ever given.",
            "Fit them on labelled rows that the model was not trained on.",
            WITH_FILE,
        )
    ]
