"""The tutorial's whole run: five epochs, evaluation and a saved model after each, the best reloaded.

Writes the logits of the validation rows to `output`/logits.npy.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    Trainer,
    TrainingArguments,
)

from contenders.gate import read_rows


def main() -> None:
    """Train and write the logits of the best epoch."""
    setting: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    torch.set_num_threads(setting["threads"])
    output = Path(setting["output"])
    tokenizer = AutoTokenizer.from_pretrained(setting["encoder"])
    model = AutoModelForSequenceClassification.from_pretrained(
        setting["encoder"],
        num_labels=len(setting["labels"]),
        problem_type="multi_label_classification",
    )
    training, validation = (
        encoded(tokenizer, {**setting, "rows": setting[part]}) for part in ("train", "validation")
    )
    arguments = TrainingArguments(
        output_dir=str(output / "trainer"),
        eval_strategy="epoch",
        save_strategy="epoch",
        learning_rate=2e-5,
        per_device_train_batch_size=8,
        per_device_eval_batch_size=8,
        num_train_epochs=setting["epochs"],
        weight_decay=0.01,
        load_best_model_at_end=True,
        metric_for_best_model="f1",
        seed=setting["seed"],
        use_cpu=setting["device"] == "cpu",
        report_to=[],
    )
    trainer = Trainer(
        model,
        arguments,
        train_dataset=training,
        eval_dataset=validation,
        processing_class=tokenizer,
        compute_metrics=micro_f1,
    )
    trainer.train()
    np.save(output / "logits.npy", trainer.predict(validation).predictions)


def encoded(tokenizer: Any, setting: dict[str, Any]) -> Any:
    """Return a data set padded to 128 tokens, as the tutorial makes it."""
    texts, labels = read_rows(setting)
    inputs = tokenizer(
        texts, padding="max_length", truncation=True, max_length=setting["max_length"]
    )
    dataset = Dataset.from_dict({**inputs, "labels": labels})
    dataset.set_format("torch")
    return dataset


def micro_f1(answer: Any) -> dict[str, float]:
    """Return the tutorial's metric: micro-F1 at 0.5."""
    given = answer.predictions > 0
    true = answer.label_ids > 0.5
    hits = int((given & true).sum())
    return {"f1": 2 * hits / max(1, int(given.sum()) + int(true.sum()))}


if __name__ == "__main__":
    main()
