"""A whole run of `Trainer`: evaluation and a saved model after each epoch, the best reloaded.

Settings: `batch_size`, `learning_rate`, `padding` (`max_length`, as in the tutorial, or `longest`, grouped by
length), `precision`; optional: `warmup`, a share of the steps, and two that no option of `Trainer` does:
`prevalence`, 1 to start the head's biases at the log-odds of the labels, and `frozen`, the encoder's layers that
are not trained, nor its embeddings. Writes the logits of each file of `score` to `output`/NAME.npy.
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
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
    default_data_collator,
)

from contenders.gate import note_finished, read_rows


def main() -> None:
    """Train and write the logits of the best epoch."""
    setting: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    torch.set_num_threads(setting["threads"])
    output = Path(setting["output"])
    to_longest = setting["padding"] == "longest"
    tokenizer = AutoTokenizer.from_pretrained(setting["encoder"])
    model = AutoModelForSequenceClassification.from_pretrained(
        setting["encoder"],
        num_labels=len(setting["labels"]),
        problem_type="multi_label_classification",
    )
    training, validation = (
        encoded(tokenizer, {**setting, "rows": setting[part]}) for part in ("train", "validation")
    )
    if setting.get("prevalence"):
        _, rows = read_rows({**setting, "rows": setting["train"]})
        start_at_prevalence(model, torch.tensor(rows))
    freeze(model.base_model, setting.get("frozen", 0))
    arguments = TrainingArguments(
        output_dir=str(output / "trainer"),
        eval_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=1,
        learning_rate=setting["learning_rate"],
        warmup_steps=setting.get("warmup", 0),
        per_device_train_batch_size=setting["batch_size"],
        per_device_eval_batch_size=setting["batch_size"],
        num_train_epochs=setting["epochs"],
        train_sampling_strategy="group_by_length" if to_longest else "random",
        weight_decay=0.01,
        bf16=setting["precision"] == "bf16",
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
        data_collator=DataCollatorWithPadding(tokenizer) if to_longest else default_data_collator,
        compute_metrics=micro_f1,
    )
    trainer.train()
    note_finished(setting)
    trainer.args.train_sampling_strategy = "sequential"  # it orders what is predicted, too
    for name, rows in setting["score"].items():
        scored = encoded(tokenizer, {**setting, "rows": rows})
        np.save(output / f"{name}.npy", trainer.predict(scored).predictions)


def start_at_prevalence(model: Any, labels: torch.Tensor) -> None:
    """Set the head's biases to the log-odds of the labels, each counted once more with and without."""
    positives = labels.sum(0)
    with torch.no_grad():
        model.classifier.bias.copy_(torch.log((positives + 1) / (len(labels) - positives + 1)))


def freeze(encoder: Any, num_layers: int) -> None:
    """Exclude the embeddings and the lowest layers of an encoder like BERT from training."""
    if num_layers:
        for module in (encoder.embeddings, *encoder.encoder.layer[:num_layers]):
            module.requires_grad_(False)


def encoded(tokenizer: Any, setting: dict[str, Any]) -> Any:
    """Return a data set padded to the tutorial's length, or not padded yet."""
    texts, labels = read_rows(setting)
    to_longest = setting["padding"] == "longest"
    inputs = tokenizer(
        texts,
        padding=False if to_longest else "max_length",
        truncation=True,
        max_length=setting["max_length"],
    )
    dataset = Dataset.from_dict({**inputs, "labels": labels})
    if not to_longest:
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
