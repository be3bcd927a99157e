"""Train, tune, evaluate and apply multi-label text classifiers on BERT-like encoders.

Names are imported when they are first used, so that `import multihot` costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from multihot.classifier import MultiLabelClassifier
    from multihot.core.labels import LabelMatrix, LabelSpace
    from multihot.core.options import DataOptions, TrainOptions
    from multihot.core.pretrain_options import PretrainOptions
    from multihot.core.progress import Listener, StepProgress
    from multihot.data.examples import Examples
    from multihot.data.labelled_file import read_examples
    from multihot.data.split_report import SplitReport
    from multihot.data.union import union_of
    from multihot.errors import MultihotError
    from multihot.evaluation.audit_report import AuditReport, CorrectionReport
    from multihot.evaluation.comparison import Comparison
    from multihot.evaluation.report import Report
    from multihot.inference.masked_lm import Fill, FillMask, NextSentence, fill_mask, next_sentence
    from multihot.inference.prediction import Prediction
    from multihot.inference.predictor import Predictor
    from multihot.training.pretraining.report import PretrainReport
    from multihot.workflows.apply_corrections import apply_corrections
    from multihot.workflows.audit import audit
    from multihot.workflows.compare import compare
    from multihot.workflows.pretrain import pretrain
    from multihot.workflows.split import split

    __version__: str

__all__ = [
    "AuditReport",
    "Comparison",
    "CorrectionReport",
    "DataOptions",
    "Examples",
    "Fill",
    "FillMask",
    "LabelMatrix",
    "LabelSpace",
    "Listener",
    "MultiLabelClassifier",
    "MultihotError",
    "NextSentence",
    "Prediction",
    "Predictor",
    "PretrainOptions",
    "PretrainReport",
    "Report",
    "SplitReport",
    "StepProgress",
    "TrainOptions",
    "__version__",
    "apply_corrections",
    "audit",
    "compare",
    "fill_mask",
    "next_sentence",
    "pretrain",
    "read_examples",
    "split",
    "union_of",
]

_HOMES = {
    "AuditReport": "multihot.evaluation.audit_report",
    "Comparison": "multihot.evaluation.comparison",
    "CorrectionReport": "multihot.evaluation.audit_report",
    "DataOptions": "multihot.core.options",
    "Examples": "multihot.data.examples",
    "Fill": "multihot.inference.masked_lm",
    "FillMask": "multihot.inference.masked_lm",
    "LabelMatrix": "multihot.core.labels",
    "LabelSpace": "multihot.core.labels",
    "Listener": "multihot.core.progress",
    "MultiLabelClassifier": "multihot.classifier",
    "MultihotError": "multihot.errors",
    "NextSentence": "multihot.inference.masked_lm",
    "Prediction": "multihot.inference.prediction",
    "Predictor": "multihot.inference.predictor",
    "PretrainOptions": "multihot.core.pretrain_options",
    "PretrainReport": "multihot.training.pretraining.report",
    "Report": "multihot.evaluation.report",
    "SplitReport": "multihot.data.split_report",
    "StepProgress": "multihot.core.progress",
    "TrainOptions": "multihot.core.options",
    "apply_corrections": "multihot.workflows.apply_corrections",
    "audit": "multihot.workflows.audit",
    "compare": "multihot.workflows.compare",
    "fill_mask": "multihot.inference.masked_lm",
    "next_sentence": "multihot.inference.masked_lm",
    "pretrain": "multihot.workflows.pretrain",
    "read_examples": "multihot.data.labelled_file",
    "split": "multihot.workflows.split",
    "union_of": "multihot.data.union",
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
