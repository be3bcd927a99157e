"""The model of simpletransformers, with its defaults but for folders, length and silence."""

from __future__ import annotations

from typing import Any

from simpletransformers.classification import MultiLabelClassificationModel

__all__ = ["new_model"]


def new_model(name: str, setting: dict[str, Any], scratch: str, **arguments: object) -> Any:
    """Return its multi-label model on the weights `name`; all that it writes goes to `scratch`."""
    quiet = {
        "output_dir": scratch,
        "cache_dir": scratch,
        "max_seq_length": setting["max_length"],
        "silent": True,
        **arguments,
    }
    return MultiLabelClassificationModel(
        "bert",
        name,
        num_labels=len(setting["labels"]),
        args=quiet,
        use_cuda=setting["device"] == "cuda",
    )
