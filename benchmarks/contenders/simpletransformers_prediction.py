"""simpletransformers' `predict` with its defaults: pad 128, batch 100, fp32."""

from __future__ import annotations

import tempfile
from typing import Any

import torch
from simpletransformers.classification import MultiLabelClassificationModel

from contenders.gate import Gate, read_rows


def main() -> None:
    """Predict slice by slice."""
    gate = Gate()
    setting = gate.setting
    torch.set_num_threads(setting["threads"])
    if setting["device"] == "cuda":
        gate.synchronize = torch.cuda.synchronize
    texts, _ = read_rows(setting)
    with tempfile.TemporaryDirectory() as scratch:
        quiet = {
            "output_dir": scratch,
            "cache_dir": scratch,
            "max_seq_length": setting["max_length"],
            "silent": True,
        }
        model = MultiLabelClassificationModel(
            "bert",
            setting["model"],
            num_labels=len(setting["labels"]),
            args=quiet,
            use_cuda=setting["device"] == "cuda",
        )

        def work(request: dict[str, Any]) -> tuple[int, int]:
            labels, _ = model.predict(texts[request["first"] : request["last"]])
            return len(labels), request["tokens"]

        gate.serve(work, batch_size=model.args.eval_batch_size)


if __name__ == "__main__":
    main()
