"""transformers' `pipeline("text-classification", top_k=None)`; a request sets batch size and order."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from transformers import pipeline

from contenders.gate import read_rows
from contenders.torch_gate import torch_gate

_DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}


def main() -> None:
    """Predict slice by slice."""
    gate = torch_gate()
    setting = gate.setting
    classify: Any = pipeline(
        "text-classification",
        model=setting["model"],
        tokenizer=setting["model"],
        device=setting["device"],
        dtype=_DTYPES[setting["precision"]],
        top_k=None,
    )
    texts, _ = read_rows(setting)
    cut = {"truncation": True, "max_length": setting["max_length"]}

    def work(request: dict[str, Any]) -> tuple[int, int]:
        part = texts[request["first"] : request["last"]]
        if "logits" in request:
            answers = classify(part, batch_size=32, function_to_apply="none", **cut)
            by_name = [{one["label"]: one["score"] for one in row} for row in answers]
            rows = [[row[name] for name in setting["labels"]] for row in by_name]
            np.save(request["logits"], np.array(rows, dtype=np.float32))
            return len(part), request["tokens"]
        if request["sorted"]:
            order = sorted(range(len(part)), key=lambda row: -len(part[row]))
            done = classify([part[row] for row in order], batch_size=request["batch_size"], **cut)
            answers = [None] * len(part)
            for row, answer in zip(order, done, strict=True):
                answers[row] = answer
        else:
            answers = classify(part, batch_size=request["batch_size"], **cut)
        return len(answers), request["tokens"]

    gate.serve(work)


if __name__ == "__main__":
    main()
