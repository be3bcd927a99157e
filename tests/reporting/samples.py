"""Scored rows without a model: labels, logits, unknown cells, and the document of a report on them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from multihot.core.labels import LabelMatrix, LabelSpace
from multihot.core.options import DataOptions
from multihot.data.examples import Examples
from multihot.data.inspection.report import Inspection
from multihot.decision.decision import Decision
from multihot.evaluation.evaluator import Evaluation
from multihot.evaluation.report import Report
from multihot.inference.artifact import Artifact
from multihot.reporting.document import Reasons, errors_of_a_label, model_document
from multihot.reporting.label_facts import labels_that_matter
from multihot.reporting.tallies import Tallies
from multihot.workflows.inspect import inspect_files

FloatArray = npt.NDArray[np.float32]


def decision_of(names: Sequence[str], threshold: float = 0.3, **options: Any) -> Decision:
    space = LabelSpace(tuple(names))
    kind = options.pop("kind", "per_label")
    return Decision(
        space, (threshold,) * len(space), options.pop("goal", "macro_f1"), kind, **options
    )


def scored_rows(
    num_rows: int, num_labels: int, seed: int = 0, unknown: float = 0.1
) -> tuple[FloatArray, FloatArray]:
    """Return truth with unknown cells, one row of nothing else, and logits that mostly agree."""
    random = np.random.default_rng(seed)
    rate = random.uniform(0.05, 0.5, num_labels)
    truth = (random.random((num_rows, num_labels)) < rate).astype(np.float32)
    logits = (3 * truth - 2 + random.normal(0, 1.5, truth.shape)).astype(np.float32)
    truth[random.random(truth.shape) < unknown] = np.nan
    truth[0] = np.nan
    return truth, logits


def examples_of(
    truth: FloatArray, names: Sequence[str], texts: Sequence[str], start: int = 0
) -> Examples:
    numbers = list(range(start + 2, start + len(texts) + 2))
    labels = LabelMatrix(LabelSpace(tuple(names)), truth)
    ids = [f"row-{number}" for number in numbers]
    return Examples(list(texts), labels, ids, "rows.csv", DataOptions(), (), numbers)


def scored(
    decision: Decision, truth: FloatArray, logits: FloatArray, texts: Sequence[str], step: int = 64
) -> tuple[Report, Tallies]:
    """Add rows to an evaluation and to tallies, some at a time."""
    names = decision.space.names
    evaluation = Evaluation(decision, len(truth), intervals=True)
    tallies = Tallies(decision, errors_of_a_label=errors_of_a_label(len(names)))
    for start in range(0, len(truth), step):
        rows = slice(start, start + step)
        chunk = examples_of(truth[rows], names, texts[rows], start)
        assert chunk.labels is not None
        evaluated = evaluation.update(chunk.texts, chunk.labels, logits[rows])
        tallies.update(chunk, evaluated, np.zeros(len(chunk), dtype=np.bool_))
    return evaluation.report(), tallies


def inspected(
    path: Path, truth: FloatArray, names: Sequence[str], texts: Sequence[str]
) -> Inspection:
    """Write rows as a Parquet-free file of JSON lines, whatever is in them, and inspect it."""
    import json

    lines = []
    for text, row in zip(texts, truth, strict=True):
        cells = {
            name: None if np.isnan(value) else int(value)
            for name, value in zip(names, row.tolist(), strict=True)
        }
        lines.append(json.dumps({"text": text, **cells}))
    path.write_text("\n".join(lines) + "\n", "utf-8")
    data = DataOptions(text_column="text", label_columns=tuple(names))
    return inspect_files([path], data)


def document_of(
    folder: Path,
    names: Sequence[str],
    texts: Sequence[str],
    asked: Sequence[str] = (),
    reasons: Reasons | None = None,
) -> dict[str, Any]:
    """Return the document of a report on rows of these texts, with labels at random."""
    decision = decision_of(names)
    truth, logits = scored_rows(len(texts), len(names))
    report, tallies = scored(decision, truth, logits, texts)
    artifact = Artifact(folder / "model", decision, DataOptions(), 128, "cls", "onnx")
    inspection = inspected(folder / "rows.jsonl", truth, names, texts)
    return model_document(
        artifact,
        report,
        tallies,
        inspection,
        source="rows.jsonl",
        shown=labels_that_matter(report, tallies.counts, asked),
        reasons=reasons,
    )
