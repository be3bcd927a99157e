"""The fast CPU kernels are tested before they are trusted, and plain torch takes over where they fail."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from models.packable import batch_of, make_network, make_texts, run
from multihot.inference.torch_backend import TorchBackend
from multihot.models.cpu.dropout import FastDropout, dropout_failure
from multihot.models.cpu.embedding import TouchedRowsEmbedding, embedding_failure
from multihot.models.cpu.linear import PreparedLinear, linear_failure
from multihot.models.cpu.self_test import kernel_failure
from multihot.models.devices import choose_precision
from multihot.models.network import batch_tensors
from multihot.models.optimize import optimize_for_inference, optimize_for_training
from multihot.models.packed.attention import attention_failure
from multihot.models.packed.self_test import enable_packed

CPU = torch.device("cpu")
SELF_TESTS = (dropout_failure, embedding_failure, linear_failure, attention_failure)
MANY = np.random.default_rng(0).integers(20, 60, 20).tolist()
needs_layout = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(),  # type: ignore[no-untyped-call]
    reason="torch was built without oneDNN",
)


@pytest.fixture(autouse=True)
def as_in_a_new_process() -> Iterator[None]:
    """Let every self-test run again, and leave no result of a broken operator behind."""
    for test in SELF_TESTS:
        test.cache_clear()
    yield
    for test in SELF_TESTS:
        test.cache_clear()


def missing(*args: Any, **kwargs: Any) -> Tensor:
    raise AttributeError("torch has no such operator")


def failing(*args: Any, **kwargs: Any) -> Tensor:
    raise RuntimeError("not built for this CPU")


def step(network: Any, texts: Any, seed: int) -> list[Tensor]:
    """Return the logits of a training step and the gradients of all weights that have one."""
    torch.manual_seed(seed)
    network.zero_grad()
    logits = network.train()(*batch_tensors(batch_of(network, texts, packed=True), CPU))
    logits.square().sum().backward()
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    return [logits.detach(), *gradients]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("self_test", [dropout_failure, embedding_failure, attention_failure])
def test_the_kernels_of_training_agree_with_the_installed_torch(
    self_test: Any, dtype: torch.dtype
) -> None:
    state = torch.get_rng_state()

    assert self_test(dtype) is None
    assert torch.equal(torch.get_rng_state(), state)


@needs_layout
def test_the_linear_kernel_agrees_with_the_installed_torch() -> None:
    assert linear_failure(torch.float32) is None


@pytest.mark.parametrize("self_test", SELF_TESTS)
def test_a_precision_that_is_not_tested_is_not_used(self_test: Any) -> None:
    assert self_test(torch.float64) is not None


@pytest.mark.parametrize("broken", [missing, failing, lambda g, out, *rest: g])
def test_attention_is_differentiated_by_torch_when_the_private_operator_fails(
    broken: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = make_network("bert", tmp_path, "cls")
    assert optimize_for_training(network, CPU) == ()
    assert enable_packed(network) is None
    texts = make_texts(network)
    expected = step(network, texts, seed=1)

    monkeypatch.setattr(torch, "_softmax_backward_data", broken)
    attention_failure.cache_clear()
    (note,) = optimize_for_training(network, CPU)

    assert note.startswith("The fast attention gradient is off, plain torch is used: ")
    for ours, theirs in zip(step(network, texts, seed=1), expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=2e-5, rtol=1e-3)


@needs_layout
@pytest.mark.parametrize(
    ("operator", "broken"),
    [
        ("_linear_pointwise", missing),
        ("_linear_pointwise", failing),
        ("_linear_pointwise", lambda values, weight, bias, *rest: values[:, :48]),
        ("_reorder_linear_weight", missing),
    ],
)
def test_linear_layers_stay_plain_when_a_private_operator_fails(
    operator: str, broken: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = make_network("bert", tmp_path, "mean")
    texts = make_texts(network, MANY)
    with torch.inference_mode():
        expected = run(network, texts, packed=False)
    monkeypatch.setattr(torch.ops.mkldnn, operator, broken)

    (note,) = optimize_for_inference(network, torch.float32, CPU, final_weights=True)

    assert note.startswith("The fast linear layer is off, plain torch is used: ")
    with torch.inference_mode():
        assert torch.equal(run(network, texts, packed=False), expected)


@needs_layout
def test_a_backend_without_the_private_operator_answers_and_keeps_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = make_network("bert", tmp_path, "cls")
    texts = make_texts(network, [5, 30] * 40)
    precision = choose_precision("fp32", CPU)
    expected = TorchBackend(network, 3, CPU, precision).logits(texts)
    monkeypatch.setattr(torch.ops.mkldnn, "_linear_pointwise", missing)

    backend = TorchBackend(network, 3, CPU, precision, frozen=True)

    assert np.array_equal(backend.logits(texts), expected)
    assert "no such operator" in backend.notes[0]


def test_weights_that_may_still_change_are_not_laid_out(tmp_path: Path) -> None:
    network = make_network("bert", tmp_path, "mean")

    optimize_for_inference(network, torch.float32, CPU, final_weights=False)

    assert not any(isinstance(module, PreparedLinear) for module in network.modules())


def test_other_devices_than_the_cpu_keep_the_modules_of_torch(tmp_path: Path) -> None:
    network = make_network("bert", tmp_path, "cls").to("meta")
    fast = (FastDropout, TouchedRowsEmbedding, PreparedLinear)

    assert optimize_for_training(network, torch.device("meta")) == ()
    notes = optimize_for_inference(network, torch.float32, torch.device("meta"), final_weights=True)

    assert notes == ()
    assert not any(isinstance(module, fast) for module in network.modules())


def test_results_that_are_not_finite_fail_a_self_test() -> None:
    values = torch.ones(3)

    reason = kernel_failure(lambda: [("output", values * float("nan"), values)], torch.float32)

    assert reason == "its output differs from torch's (nan)"
