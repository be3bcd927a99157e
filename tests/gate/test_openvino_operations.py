"""The operations that are let through have the names under which OpenVINO writes them."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from multihot.core.runtimes import import_openvino
from multihot.gate.openvino_model import _OPERATIONS


def test_every_activation_of_encoders_and_heads_is_let_through(tmp_path: Path) -> None:
    openvino = import_openvino()
    opset13 = openvino.opset13
    entered = opset13.parameter([1, 4], np.float32)
    activations = [
        opset13.relu(entered),  # DistilBERT's head
        opset13.gelu(entered, "tanh"),
        opset13.tanh(entered),
        opset13.sigmoid(entered),
        opset13.swish(entered),
        opset13.hswish(entered),
        opset13.elu(entered, 1.0),
        opset13.softplus(entered),
        opset13.mish(entered),
    ]
    model = openvino.Model([opset13.result(opset13.concat(activations, 1))], [entered], "all")

    openvino.save_model(model, tmp_path / "all.xml")

    written = {layer.get("type") for layer in ElementTree.parse(tmp_path / "all.xml").iter("layer")}
    assert {"ReLU", "Gelu"} < written
    assert written <= _OPERATIONS
