"""Tiny checkpoints as other tools write them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from models.families import _SIZES, WORDS, write_tokenizer
from multihot.models.encoder import quiet_transformers

NAMES = ("joy", "anger", "rain")
CUES = ("happy", "angry", "rain")


def write_checkpoint(
    folder: Path,
    family: str = "bert",
    *,
    labels: tuple[str, ...] = NAMES,
    steps: int = 0,
    change: Callable[[Any], Any] = lambda model: model,
    **saving: Any,
) -> Path:
    """Write a classifier as transformers saves one that was trained for several labels.

    With `steps` it is trained on `texts_and_truth`. `change` gets the model before it is saved.
    """
    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

    folder.mkdir(parents=True, exist_ok=True)
    special = write_tokenizer(family, folder)
    with torch.random.fork_rng(devices=[]), quiet_transformers():
        torch.manual_seed(0)
        tokenizer = AutoTokenizer.from_pretrained(folder)
        config = AutoConfig.for_model(
            family,
            vocab_size=len(special) + len(WORDS),
            pad_token_id=tokenizer.pad_token_id,
            id2label=dict(enumerate(labels)),
            label2id={name: column for column, name in enumerate(labels)},
            problem_type="multi_label_classification",
            **_SIZES[family],
        )
        model = AutoModelForSequenceClassification.from_config(config)
        with torch.no_grad():  # no head is at 0 after training
            for name, value in model.named_parameters():
                if value.shape == (len(labels),):
                    assert name.endswith("bias")
                    value.copy_(torch.linspace(-0.3, 0.2, len(labels)))
        _train(model, tokenizer, steps)
        change(model).save_pretrained(folder, **saving)
    return folder


def texts_and_truth(num_rows: int = 120) -> tuple[list[str], Any]:
    """Return texts in which a cue word stands for each label that they have, and the labels."""
    generator = np.random.default_rng(0)
    truth = generator.random((num_rows, len(CUES))) < 0.4
    texts = []
    for row in truth:
        words = [cue for cue, given in zip(CUES, row, strict=True) if given]
        words += list(generator.choice(["i", "am", "the", "model", "is", "today"], 5))
        texts.append(" ".join(generator.permutation(words)))
    return texts, truth


def write_rows(path: Path, names: tuple[str, ...] = NAMES) -> Path:
    """Write the texts with a column for each label, in the order of `names`."""
    texts, truth = texts_and_truth()
    columns = [NAMES.index(name) for name in names]
    lines = [",".join(["text", *names])]
    lines += [
        ",".join([text, *map(str, row[columns].astype(int))])
        for text, row in zip(texts, truth, strict=True)
    ]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def change_json(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a table in a file."""
    table = json.loads(path.read_text("utf-8"))
    change(table)
    path.write_text(json.dumps(table), "utf-8")


def as_simpletransformers(folder: Path, arguments: Mapping[str, Any]) -> Path:
    """Make a checkpoint look as simpletransformers leaves it."""

    def change(config: dict[str, Any]) -> None:
        config["architectures"] = ["BertForMultiLabelSequenceClassification"]
        for key in ("problem_type", "id2label", "label2id"):
            del config[key]
        config["id2label"] = {str(n): f"LABEL_{n}" for n in range(3)}

    change_json(folder / "config.json", change)
    (folder / "model_args.json").write_text(json.dumps(arguments), "utf-8")
    (folder / "training_args.bin").write_bytes(b"")
    return folder


def _train(model: Any, tokenizer: Any, steps: int) -> None:
    import torch

    if not steps:
        return
    texts, truth = texts_and_truth()
    inputs = tokenizer(texts, return_tensors="pt", padding=True)
    inputs = {key: inputs[key] for key in ("input_ids", "attention_mask")}
    targets = torch.tensor(truth).float()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(steps):
        logits = model(**inputs).logits
        torch.nn.functional.binary_cross_entropy_with_logits(logits, targets).backward()
        optimizer.step()
        optimizer.zero_grad()
