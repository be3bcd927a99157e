"""Device and precision are chosen with a reason, or refused."""

from __future__ import annotations

from importlib.metadata import version

import pytest
import torch

from multihot.errors import OptionError
from multihot.models.devices import (
    Precision,
    choose_device,
    choose_precision,
    run_environment,
    set_threads,
)

CPU = torch.device("cpu")


def accelerators(patch: pytest.MonkeyPatch, *, cuda: bool, mps: bool) -> None:
    patch.setattr(torch.cuda, "is_available", lambda: cuda)
    patch.setattr(torch.backends.mps, "is_available", lambda: mps)


def capable_of(patch: pytest.MonkeyPatch, **capabilities: bool) -> None:
    patch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"),
    [(True, True, "cuda"), (True, False, "cuda"), (False, True, "mps"), (False, False, "cpu")],
)
def test_auto_takes_cuda_before_mps_before_the_cpu(
    monkeypatch: pytest.MonkeyPatch, cuda: bool, mps: bool, expected: str
) -> None:
    accelerators(monkeypatch, cuda=cuda, mps=mps)

    assert choose_device("auto").type == expected


def test_a_named_device_is_taken_when_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    accelerators(monkeypatch, cuda=True, mps=True)

    assert [str(choose_device(name)) for name in ("cpu", "cuda:1", "mps")] == [
        "cpu",
        "cuda:1",
        "mps",
    ]


@pytest.mark.parametrize("name", ["cuda", "cuda:1", "mps", "meta"])
def test_an_absent_device_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    accelerators(monkeypatch, cuda=False, mps=False)

    with pytest.raises(OptionError, match=f"device='{name}'.*try device=cpu"):
        choose_device(name)


@pytest.mark.parametrize("name", ["gpu", "", "cuda:x"])
def test_an_unknown_device_is_refused(name: str) -> None:
    with pytest.raises(OptionError, match="expected auto, cpu, cuda"):
        choose_device(name)


@pytest.mark.parametrize("instructions", ["amx_bf16", "avx512_bf16", "bf16"])
def test_auto_computes_in_bf16_where_the_cpu_has_it(
    monkeypatch: pytest.MonkeyPatch, instructions: str
) -> None:
    capable_of(monkeypatch, **{instructions: True})

    assert choose_precision("auto", CPU) == Precision("bf16", f"the CPU has {instructions}")


def test_auto_does_not_emulate_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    capable_of(monkeypatch, avx512_f=True, amx_bf16=False)

    chosen = choose_precision("auto", CPU)

    assert chosen == Precision("fp32", "the CPU has no bf16 instructions")


def test_emulated_bf16_is_possible_and_its_reason_warns_that_it_is_slow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    capable_of(monkeypatch)

    chosen = choose_precision("bf16", CPU)

    assert chosen.name == "bf16"
    assert "no bf16 instructions" in chosen.reason
    assert "slow" in chosen.reason


def test_a_requested_precision_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    capable_of(monkeypatch, amx_bf16=True)

    assert choose_precision("fp32", CPU) == Precision("fp32", "requested")
    assert choose_precision("bf16", CPU) == Precision("bf16", "requested")


@pytest.mark.parametrize(("capability", "expected"), [((7, 5), "fp32"), ((8, 0), "bf16")])
def test_a_gpu_computes_in_bf16_from_compute_capability_8(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], expected: str
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)

    chosen = choose_precision("auto", torch.device("cuda"))

    assert chosen.name == expected
    assert f"{capability[0]}.{capability[1]}" in chosen.reason


def test_mps_computes_in_fp32() -> None:
    assert choose_precision("auto", torch.device("mps")).name == "fp32"


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(OptionError, match="precision='fp16'; expected auto, fp32 or bf16"):
        choose_precision("fp16", CPU)


def test_autocast_changes_the_type_of_products_only_for_bf16() -> None:
    left, right = torch.ones(2, 2), torch.ones(2, 2)

    with Precision("bf16", "").autocast(CPU):
        assert (left @ right).dtype == torch.bfloat16
    with Precision("fp32", "").autocast(CPU):
        assert (left @ right).dtype == torch.float32


def test_threads_are_set_and_reported() -> None:
    before = torch.get_num_threads()
    try:
        assert set_threads(2) == torch.get_num_threads() == 2
        assert set_threads(None) == 2
        assert set_threads(1) == 1
    finally:
        torch.set_num_threads(before)


def test_no_thread_at_all_is_refused() -> None:
    with pytest.raises(OptionError, match="threads=0; expected at least 1"):
        set_threads(0)


def test_the_environment_holds_what_decides_the_last_bits() -> None:
    found = run_environment(CPU, Precision("fp32", "requested"))

    assert found == {
        **{name: version(name) for name in ("torch", "transformers", "tokenizers", "numpy")},
        "device": "cpu",
        "device_name": "processor",
        "precision": "fp32",
        "threads": torch.get_num_threads(),
        "instruction_set": torch.backends.cpu.get_cpu_capability(),
    }
