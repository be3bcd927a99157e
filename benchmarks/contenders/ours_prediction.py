"""multihot: `Predictor` on texts in file order, as `multihot predict` uses it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from contenders.gate import Gate, read_rows
from multihot.data.tokens import load_tokenizer
from multihot.inference.artifact import load_artifact
from multihot.inference.predictor import Predictor
from multihot.inference.torch_backend import TorchBackend
from multihot.models.devices import choose_device, choose_precision, set_threads
from multihot.models.stored_network import load_network


def main() -> None:
    """Predict slice by slice."""
    gate = Gate()
    setting = gate.setting
    set_threads(setting["threads"])
    device = choose_device(setting["device"])
    if device.type == "cuda":
        gate.synchronize = torch.cuda.synchronize
    artifact = load_artifact(setting["model"])
    space = artifact.decision.space
    backend = TorchBackend(
        load_network(artifact.folder, artifact.form, space),
        len(space),
        device,
        choose_precision(setting["precision"], device),
        frozen=True,
    )
    predictor = Predictor(artifact, load_tokenizer(artifact.folder / "tokenizer.json"), backend)
    texts, _ = read_rows(setting)

    def work(request: dict[str, Any]) -> tuple[int, int]:
        part = texts[request["first"] : request["last"]]
        if "logits" in request:
            np.save(request["logits"], predictor.logits(part)[0])
        else:
            predictor.predict(part)
        return len(part), request["tokens"]

    gate.serve(work)


if __name__ == "__main__":
    main()
