"""The roof as a contender: the matrix products of given batches and nothing else."""

from __future__ import annotations

from typing import Any

import torch
from transformers import AutoConfig, AutoModelForSequenceClassification

from contenders.gate import Gate
from roof import Roof, linear_shapes

_DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}


def main() -> None:
    """Compute slice by slice; a request names its batches and its precision."""
    gate = Gate()
    setting = gate.setting
    torch.set_num_threads(setting["threads"])
    device = torch.device(setting["device"])
    if device.type == "cuda":
        gate.synchronize = torch.cuda.synchronize
    config = AutoConfig.from_pretrained(setting["encoder"], num_labels=len(setting["labels"]))
    shapes = linear_shapes(AutoModelForSequenceClassification.from_config(config).eval())
    roofs: dict[str, Roof] = {}

    def work(request: dict[str, Any]) -> tuple[int, int]:
        for tokens, texts in request["batches"]:
            roofs[request["precision"]].step(tokens, texts, backward=request["backward"])
        return sum(texts for _, texts in request["batches"]), sum(
            tokens for tokens, _ in request["batches"]
        )

    for name in setting["precisions"]:
        roofs[name] = Roof(shapes, setting["most_rows"], _DTYPES[name], device)
    gate.serve(work, linears=len(shapes))


if __name__ == "__main__":
    main()
