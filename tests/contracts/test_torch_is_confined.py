"""Only the modules that compute with torch import it; everything else runs without."""

from __future__ import annotations

from contracts.sources import imported, parsed, torch_may_be_imported


def test_torch_is_imported_only_where_it_computes() -> None:
    offenders = [
        f"{module}:{line}"
        for module, tree in parsed().items()
        for name, line in imported(tree)
        if name.split(".")[0] == "torch" or name == "safetensors.torch"
        if not torch_may_be_imported(module)
    ]

    assert offenders == []
