"""Compare a fast kernel with plain torch, and replace modules by faster ones.

The kernels of this package call private operators of torch, which may vanish or change in any
release. Each is compared with plain torch at its first use in a process, once for each precision;
where it fails, plain torch computes instead and the reason can be logged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

__all__ = ["FAILURES", "TOLERANCES", "KernelComparison", "kernel_failure", "replace_modules"]

TOLERANCES = {torch.float32: 1e-4, torch.bfloat16: 0.05}
"""Largest difference from float32 results that passes, relative to their largest value."""

FAILURES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What an operator raises that is missing, has another signature or is not built for this CPU."""

KernelComparison = tuple[str, Tensor, Tensor]
"""What is compared, the result of the fast kernel, and the expected one in float32."""


def kernel_failure(
    comparisons: Callable[[], Iterable[KernelComparison]], dtype: torch.dtype
) -> str | None:
    """Run a self-test; return `None` when it passes, else one clause with the reason.

    The comparisons run with gradients and without autocast, on random numbers that do not depend on
    the caller's; torch's generator is left as it was.

    Parameters
    ----------
    comparisons
        Runs both forms and yields what to compare.
    dtype
        Precision of the fast kernel; one of `TOLERANCES`.
    """
    if dtype not in TOLERANCES:
        return f"it does not compute in {str(dtype).removeprefix('torch.')}"
    try:
        with (
            torch.inference_mode(mode=False),
            torch.enable_grad(),
            torch.autocast("cpu", enabled=False),
            torch.random.fork_rng(devices=[]),
        ):
            torch.default_generator.manual_seed(0)  # torch.manual_seed would seed GPUs as well
            for name, actual, expected in comparisons():
                difference = _relative_difference(actual, expected)
                if not difference <= TOLERANCES[dtype]:
                    return f"its {name} differs from torch's ({difference:.0e})"
    except FAILURES as error:
        return f"{type(error).__name__}: {error}"
    return None


def _relative_difference(actual: Tensor, expected: Tensor) -> float:
    """Return the largest difference relative to the largest expected value; NaN for NaN."""
    if actual.shape != expected.shape:
        return float("inf")
    difference = (actual.detach().float() - expected.detach().float()).abs().max()
    return float(difference / expected.detach().abs().max().clamp(min=1e-30))


def replace_modules(network: nn.Module, make: Callable[[nn.Module], nn.Module | None]) -> None:
    """Replace every module below `network` for which `make` returns another one.

    A module that is used in several positions is replaced by one and the same module in all of
    them. Names, their order and training mode stay; the weights should be handed over as they are.
    """
    made: dict[int, nn.Module | None] = {}
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if id(child) not in made:
                made[id(child)] = make(child)
            replacement = made[id(child)]
            if replacement is not None:
                setattr(parent, name, replacement.train(child.training))
