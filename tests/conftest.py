"""What holds for every test: no network, fixed seeds, one thread, tiny real objects.

MULTIHOT_TEST_THREADS gives torch and BLAS another number of threads.
"""

from __future__ import annotations

import os
import random
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# Before anything imports these libraries, and inherited by every subprocess of a test.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["OMP_NUM_THREADS"] = os.environ.get("MULTIHOT_TEST_THREADS", "1")

import numpy as np
import pytest
from hypothesis import settings

settings.register_profile("multihot", deadline=None, derandomize=True)
settings.load_profile("multihot")

NUM_THREADS = int(os.environ["OMP_NUM_THREADS"])

TINY_WORDS = (
    "the i and my a in to it i'm is on for with me of so at that this be love her will our you was "
    "we he one all no never out but they are what every not first new happy him sad just from she "
    "scared again day about has like can't trust today still people know believe last good angry "
    "left year hate joy fear afraid wonderful terrible . , ! ? ' m t s"
).split()
"""The words that `tiny_encoder` knows; every other word becomes one unknown token."""


def _local_only(original: Callable[..., Any]) -> Callable[..., Any]:
    def connect(self: socket.socket, address: Any) -> Any:
        host = address[0] if isinstance(address, tuple) else ""
        if self.family != getattr(socket, "AF_UNIX", None) and host not in ("127.0.0.1", "::1"):
            raise RuntimeError(f"Tests are offline, and this one wants to connect to {address!r}.")
        return original(self, address)

    return connect


def _no_lookup(original: Callable[..., Any]) -> Callable[..., Any]:
    def look_up(host: Any, *args: Any, **kwargs: Any) -> Any:
        if host not in ("127.0.0.1", "::1"):
            raise RuntimeError(f"Tests are offline, and this one wants to look up {host!r}.")
        return original(host, *args, **kwargs)

    return look_up


@pytest.fixture(scope="session", autouse=True)
def _offline() -> Iterator[None]:
    """Refuse every connection that leaves this machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", _local_only(socket.socket.connect))
        patch.setattr(socket.socket, "connect_ex", _local_only(socket.socket.connect_ex))
        patch.setattr(socket, "getaddrinfo", _no_lookup(socket.getaddrinfo))
        yield


@pytest.fixture(autouse=True)
def _repeatable() -> None:
    """Seed the global generators that third parties draw from; keep torch to its threads."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 - scikit-learn and transformers still draw from it
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.manual_seed(0)
        torch.set_num_threads(NUM_THREADS)


def write_tiny_encoder(folder: Path) -> None:
    """Write a random BERT: 2 layers, width 16, 2 heads, 64 positions, a vocabulary of words.

    It is written by transformers itself, as a user's checkpoint would be, without a task head.
    """
    import torch
    from transformers import BertConfig, BertModel, BertTokenizer

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *dict.fromkeys(TINY_WORDS)]
    vocabulary = {word: number for number, word in enumerate(words)}
    BertTokenizer(vocab=vocabulary, model_max_length=64).save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        BertModel(config).save_pretrained(folder)


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the encoder of `write_tiny_encoder`."""
    folder = tmp_path_factory.mktemp("tiny-encoder")
    write_tiny_encoder(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_model(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a model that has learnt the sentences of `emotions`; read it, never change it."""
    from emotions import QUICK, write_jsonl
    from multihot.core.options import TrainOptions
    from multihot.core.recipes import build_options
    from multihot.data.labelled_file import read_examples
    from multihot.workflows.train import train

    folder = tmp_path_factory.mktemp("tiny-model")
    training = read_examples(write_jsonl(folder / "train.jsonl"))
    assert training.labels is not None
    path = write_jsonl(folder / "validation.jsonl", slice(0, 24))
    validation = read_examples(path, training.data, space=training.labels.space)
    options = build_options(TrainOptions, {"encoder": str(tiny_encoder), **QUICK})
    train(training, validation, options, folder / "model")
    return folder / "model"


@pytest.fixture(scope="session")
def exported_model(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of `tiny_model` in ONNX; read it, never change it."""
    from multihot.workflows.export import export

    folder = tmp_path_factory.mktemp("exported") / "emotions"
    export(tiny_model, folder, to="onnx")
    return folder
