"""Train, decide, evaluate and use multi-label text classifiers on BERT-like encoders.

Names are imported when they are first used, so that `import multihot` costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from multihot.classifier import MultiLabelClassifier
    from multihot.comparison import compare
    from multihot.comparison_report import Comparison
    from multihot.data.records import Examples, read_examples
    from multihot.data.unions import union_of
    from multihot.errors import MultihotError
    from multihot.evaluate import Report
    from multihot.labels import LabelMatrix, LabelSpace
    from multihot.masked import Fill, FillMask, NextSentence, fill_mask, next_sentence
    from multihot.options import DataOptions, TrainOptions
    from multihot.options_pretrain import PretrainOptions
    from multihot.predictor import Prediction, Predictor
    from multihot.pretraining import pretrain
    from multihot.pretraining_report import PretrainReport
    from multihot.split_report import SplitReport
    from multihot.splitting import split

    __version__: str

__all__ = [
    "Comparison",
    "DataOptions",
    "Examples",
    "Fill",
    "FillMask",
    "LabelMatrix",
    "LabelSpace",
    "MultiLabelClassifier",
    "MultihotError",
    "NextSentence",
    "Prediction",
    "Predictor",
    "PretrainOptions",
    "PretrainReport",
    "Report",
    "SplitReport",
    "TrainOptions",
    "__version__",
    "compare",
    "fill_mask",
    "next_sentence",
    "pretrain",
    "read_examples",
    "split",
    "union_of",
]

_HOMES = {
    "Comparison": "multihot.comparison_report",
    "DataOptions": "multihot.options",
    "Examples": "multihot.data.records",
    "Fill": "multihot.masked",
    "FillMask": "multihot.masked",
    "LabelMatrix": "multihot.labels",
    "LabelSpace": "multihot.labels",
    "MultiLabelClassifier": "multihot.classifier",
    "MultihotError": "multihot.errors",
    "NextSentence": "multihot.masked",
    "Prediction": "multihot.predictor",
    "Predictor": "multihot.predictor",
    "PretrainOptions": "multihot.options_pretrain",
    "PretrainReport": "multihot.pretraining_report",
    "Report": "multihot.evaluate",
    "SplitReport": "multihot.split_report",
    "TrainOptions": "multihot.options",
    "compare": "multihot.comparison",
    "fill_mask": "multihot.masked",
    "next_sentence": "multihot.masked",
    "pretrain": "multihot.pretraining",
    "read_examples": "multihot.data.records",
    "split": "multihot.splitting",
    "union_of": "multihot.data.unions",
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
