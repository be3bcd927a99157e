"""Choose the device and the precision of a computation, each with a reason to log."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from importlib.metadata import version

import torch

from multihot.errors import OptionError

__all__ = ["Precision", "choose_device", "choose_precision", "run_environment", "set_threads"]


@dataclass(frozen=True)
class Precision:
    """The precision of matrix products and why it was chosen."""

    name: str
    """`fp32` or `bf16`."""
    reason: str

    def autocast(self, device: torch.device) -> contextlib.AbstractContextManager[object]:
        """Return the context in which forward passes run."""
        if self.name == "fp32":
            return contextlib.nullcontext()
        return torch.autocast(device.type, dtype=torch.bfloat16)


def choose_device(name: str) -> torch.device:
    """Return the device called `name`; `auto` takes CUDA, then Apple's MPS, then the CPU."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise OptionError(
            f"device={name!r} is not a device; expected auto, cpu, cuda, cuda:1 or mps."
        ) from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count() > 0:
        raise OptionError(
            f"device={name!r} does not exist: torch sees {torch.cuda.device_count()} CUDA GPUs."
        )
    available = {"cpu": True, "cuda": torch.cuda.is_available()}
    available["mps"] = torch.backends.mps.is_available()
    if not available.get(device.type, False):
        raise OptionError(f"device={name!r} is not available on this machine; try device=cpu.")
    return device


def choose_precision(name: str, device: torch.device) -> Precision:
    """Return the precision called `name`; `auto` takes bf16 only where the hardware computes it.

    A CPU without bf16 instructions emulates them up to a hundred times slower, so its instruction set
    is asked instead of torch, which accepts bf16 on any CPU.
    """
    native, reason = _native_bf16(device)
    if name == "auto":
        return Precision("bf16" if native else "fp32", reason)
    if name == "fp32":
        return Precision("fp32", "requested")
    if name == "bf16":
        return Precision("bf16", "requested" if native else f"requested, although {reason}: slow")
    raise OptionError(f"precision={name!r}; expected auto, fp32 or bf16.")


def _native_bf16(device: torch.device) -> tuple[bool, str]:
    if device.type == "cuda":
        major, minor = torch.cuda.get_device_capability(device)
        native = major >= 8
        return (
            native,
            f"the GPU's compute capability is {major}.{minor} ({'' if native else 'no '}bf16)",
        )
    if device.type == "mps":
        return False, "bf16 is not used on MPS"
    capabilities = torch.cpu.get_capabilities()
    for instructions in ("amx_bf16", "avx512_bf16", "bf16"):
        if capabilities.get(instructions):
            return True, f"the CPU has {instructions}"
    return False, "the CPU has no bf16 instructions"


def set_threads(num_threads: int | None) -> int:
    """Set the number of CPU threads (when given) and return the number in force."""
    if num_threads is not None:
        if num_threads < 1:
            raise OptionError(f"threads={num_threads}; expected at least 1.")
        torch.set_num_threads(num_threads)
    return torch.get_num_threads()


def run_environment(device: torch.device, precision: Precision) -> dict[str, str | int]:
    """Return what decides the last bits of a result besides code and data."""
    return {
        **{name: version(name) for name in ("torch", "transformers", "tokenizers", "numpy")},
        "device": str(device),
        "device_name": torch.cuda.get_device_name(device) if device.type == "cuda" else "processor",
        "precision": precision.name,
        "threads": torch.get_num_threads(),
        "instruction_set": torch.backends.cpu.get_cpu_capability(),
    }
