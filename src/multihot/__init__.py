"""Train, decide, evaluate and use multi-label text classifiers on BERT-like encoders.

Names are imported when they are first used, so that `import multihot` costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from multihot.classifier import MultiLabelClassifier
    from multihot.data.records import Examples, read_examples
    from multihot.errors import MultihotError
    from multihot.evaluate import Report
    from multihot.labels import LabelMatrix, LabelSpace
    from multihot.options import DataOptions, TrainOptions
    from multihot.predictor import Prediction, Predictor

    __version__: str

__all__ = [
    "DataOptions",
    "Examples",
    "LabelMatrix",
    "LabelSpace",
    "MultiLabelClassifier",
    "MultihotError",
    "Prediction",
    "Predictor",
    "Report",
    "TrainOptions",
    "__version__",
    "read_examples",
]

_HOMES = {
    "DataOptions": "multihot.options",
    "Examples": "multihot.data.records",
    "LabelMatrix": "multihot.labels",
    "LabelSpace": "multihot.labels",
    "MultiLabelClassifier": "multihot.classifier",
    "MultihotError": "multihot.errors",
    "Prediction": "multihot.predictor",
    "Predictor": "multihot.predictor",
    "Report": "multihot.evaluate",
    "TrainOptions": "multihot.options",
    "read_examples": "multihot.data.records",
}


def __getattr__(name: str) -> Any:
    """Import the module that a public name lives in (PEP 562)."""
    if name == "__version__":
        from importlib.metadata import version

        return version("multihot")
    if name not in _HOMES:
        raise AttributeError(f"module 'multihot' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
