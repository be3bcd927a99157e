"""A small BERT with random weights and a mean-pooled head, exported to ONNX as large ones are."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import torch
from transformers import BertConfig, BertModel

from multihot.core.labels import LabelSpace
from multihot.export.graph import onnx_model
from multihot.models.heads import MeanPoolingHead
from multihot.models.network import EncoderAndHead

NUM_LABELS, VOCABULARY = 5, 17_000  # enough for an embedding that is worth storing in int8
TEXTS = [5, 9, 3, 33, 12]
"""Tokens of each text."""


def exported(num_layers: int = 2) -> onnx.ModelProto:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=64,
        num_hidden_layers=num_layers,
        num_attention_heads=4,
        intermediate_size=128,
        initializer_range=0.2,
    )
    encoder = BertModel(config, add_pooling_layer=False)
    labels = LabelSpace(tuple("abcde"))
    network = EncoderAndHead(encoder, MeanPoolingHead(64, NUM_LABELS, 0.1), labels).eval()
    for name, parameter in network.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter, std=0.1)
    model: onnx.ModelProto = onnx_model(network)
    return model


def texts(seed: int = 3) -> list[npt.NDArray[np.int64]]:
    generator = np.random.default_rng(seed)
    return [generator.integers(1, VOCABULARY, size) for size in TEXTS]


def logits(model: onnx.ModelProto, batch: list[npt.NDArray[np.int64]]) -> npt.NDArray[np.float32]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    ids, mask = padded(batch)
    found: Any = session.run(["logits"], {"input_ids": ids, "attention_mask": mask})[0]
    return np.asarray(found)


def padded(
    batch: list[npt.NDArray[np.int64]],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    length = max(map(len, batch))
    ids = np.stack([np.pad(text, (0, length - len(text))) for text in batch])
    mask = np.stack([np.arange(length) < len(text) for text in batch]).astype(np.int64)
    return ids, mask
