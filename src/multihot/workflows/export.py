"""A finished model in a form that runs elsewhere, with a certificate that it decides the same.

Letters: `N` texts, `L` labels.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from multihot.core.bundled import demo_data
from multihot.core.extras import require_export, require_network, require_openvino
from multihot.core.files import storage_errors, write_json
from multihot.core.instruction_set import instruction_set
from multihot.core.staging import check_new_folder, put_in_place, staged_folder
from multihot.core.text_tables import counted, cut, listed
from multihot.data.examples import Examples
from multihot.data.labelled_file import LabelledFile, labelled_chunks, read_examples
from multihot.decision.decision import Decision
from multihot.errors import CheckFailedError, OptionError
from multihot.evaluation.parity import certify
from multihot.evaluation.parity_certificate import ParityCertificate, Speed
from multihot.inference.artifact import Artifact, read_artifact
from multihot.inference.exported import CERTIFICATE_FILE
from multihot.inference.predictor import Predictor
from multihot.inference.renewal import replace_decision
from multihot.workflows.decide import decide, require_positive

__all__ = ["TARGETS", "ExportResult", "export"]

TARGETS = ("onnx", "onnx-int8", "openvino", "transformers")
"""What a model can be exported to."""

MAX_FLIPS = {"onnx": 0.0, "onnx-int8": 0.002, "openvino": 0.0, "transformers": 0.0}
"""Fraction of decisions that may differ, by target, where none is given."""


FloatArray = npt.NDArray[np.float32]

_TIMED_TEXTS = 512  # of the second round; the first is over all
_PACKAGES = ("torch", "transformers", "tokenizers", "numpy", "onnx", "onnxruntime", "openvino")


@dataclass(frozen=True)
class ExportResult:
    """What `export` wrote; `print` it or take `to_json()`."""

    folder: Path
    to: str
    certificate: ParityCertificate
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the document that `export --json` prints."""
        return {
            "folder": str(self.folder),
            "to": self.to,
            "notes": list(self.notes),
            "parity": self.certificate.to_json(),
        }

    def __str__(self) -> str:
        return str(self.certificate)


@dataclass(frozen=True)
class _Rows:
    """The texts that both models are asked for, and what is true of them."""

    texts: list[str]
    truth: FloatArray | None
    source: str


def export(
    model: str | Path,
    output: str | Path,
    *,
    to: str,
    examples: Examples | LabelledFile | None = None,
    fold_thresholds: bool = False,
    max_flips: float | None = None,
    seed: int = 0,
    progress: Callable[[str], object] = lambda message: None,
) -> ExportResult:
    """Export a finished model; nothing is left in `output` when it does not decide the same.

    Parameters
    ----------
    model
        Folder of a model that was trained here.
    output
        New or empty folder; it becomes a model folder.
    to
        One of `TARGETS`.
    examples
        N labelled rows that neither trained nor test the model, such as its validation rows: both are
        asked for them. Without, the texts of the bundled data set are taken. Needed for int8, whose
        thresholds are fitted on them.
    fold_thresholds
        Put thresholds and calibration into the last layer, so that `sigmoid >= 0.5` decides alike
        everywhere; the scores are then no probabilities.
    max_flips
        Fraction of decisions that may differ; default: `MAX_FLIPS`.
    seed
        Of the bootstrap.
    progress
        Receives a sentence when a longer step begins.

    Raises
    ------
    CheckFailedError
        More decisions differ than may.
    OptionError
        The target cannot hold this model, or options exclude each other.
    """
    artifact, output = read_artifact(model), Path(output)
    limit = MAX_FLIPS.get(to, 0.0) if max_flips is None else max_flips
    _check(to, artifact, output, limit, has_rows=examples is not None, folds=fold_thresholds)
    rows = _rows(examples, artifact)
    if to == "onnx-int8" and examples is not None:
        require_positive(rows.truth, examples.source)
    from multihot.inference.trained_model import load_trained_model

    reference = Predictor.from_artifact(artifact, device="cpu")
    source = load_trained_model(artifact)
    decision = artifact.decision
    notes: list[str] = []
    if fold_thresholds:
        from multihot.export.folding import fold

        decision = fold(source.network, decision)
        notes.append("Thresholds are inside the last layer: scores are no probabilities.")
    with storage_errors(output), staged_folder(output) as stage:
        target = replace(artifact, folder=stage, decision=decision, digests=None)
        progress(f"Exporting to {to}.")
        notes += _write(target, source, to, reference, rows, limit, folded=fold_thresholds)
        exported = Predictor.load(stage, device="cpu")
        if to == "onnx-int8":
            assert examples is not None
            fitted = decide(exported, examples, seed=seed).decision
            replace_decision(exported.artifact, fitted)
            exported = Predictor.load(stage)
        progress(f"Comparing both on {counted(len(rows.texts), 'text')}.")
        certificate = _certificate(reference, exported, rows, limit, to=to, seed=seed)
        if not certificate.passed:
            raise CheckFailedError(
                f"The export to {to} is not written. {certificate.verdict()}", certificate
            )
        write_json(stage / CERTIFICATE_FILE, certificate.to_json())
        put_in_place(stage, output)
    return ExportResult(output, to, certificate, tuple(notes))


def _check(
    to: str, artifact: Artifact, output: Path, limit: float, *, has_rows: bool, folds: bool
) -> None:
    """Raise for what cannot be exported, before anything is loaded."""
    if to not in TARGETS:
        raise OptionError(f"to is {cut(to)}; expected one of {', '.join(TARGETS)}.")
    if not 0 <= limit <= 1:
        raise OptionError(f"max_flips is {limit}; expected a fraction between 0 and 1.")
    check_new_folder(output)
    if artifact.exported is not None:
        raise OptionError(
            f"{artifact.folder} is an export already; export the model that it was made from."
        )
    if to == "onnx-int8" and not has_rows:
        raise OptionError(
            "int8 changes scores, so its thresholds are fitted anew: give a file of labelled rows, such as "
            "the validation file."
        )
    if to == "onnx-int8" and folds:
        raise OptionError("Thresholds are folded into full precision only: use --to onnx.")
    require_network("Export")
    if to != "transformers":
        require_export("Export")
    if to == "openvino":
        require_openvino("Export to OpenVINO")


def _write(  # noqa: PLR0917 - the parts of one export
    target: Artifact,
    source: Any,
    to: str,
    reference: Predictor,
    rows: _Rows,
    limit: float,
    *,
    folded: bool,
) -> list[str]:
    """Write the network in its new form, with the decision, tokenizer and card of `target`; return notes."""
    from multihot.export import folders
    from multihot.export.card import export_card

    if to == "transformers":
        folders.write_transformers_folder(target, source, export_card(target, to, folded=folded))
        return []
    from multihot.export.graph import onnx_model

    graph = onnx_model(source.network)
    notes: list[str] = []
    is_int8 = to == "onnx-int8"
    form = "openvino" if to == "openvino" else "onnx"
    described = folders.described(
        source,
        precision="int8" if is_int8 else "fp32",
        folded=folded,
        instruction_set=instruction_set() if is_int8 else None,
    )
    target = replace(target, form=form, exported=described)
    card = export_card(target, to, folded=folded)
    if is_int8:
        made = _int8(graph, reference, rows, described.pad_token_id, limit)
        graph = made.model
        notes.append(
            f"{counted(len(made.converted), 'layer')} in int8 ({made.scheme}, {instruction_set()}), "
            f"{len(made.kept)} in fp32{f': {listed(made.kept)}' if made.kept else ''}."
        )
    if form == "openvino":
        from multihot.export.openvino import write_openvino_folder

        write_openvino_folder(graph, target, source, card)
    else:
        folders.write_onnx_folder(graph, target, source, card)
    return notes


def _int8(graph: Any, reference: Predictor, rows: _Rows, pad_token_id: int, limit: float) -> Any:
    """Return the model in int8, with as many layers in fp32 as the limit of changed decisions asks for."""
    from multihot.export.int8_choice import choose_int8

    decision = reference.decision
    tokenized = reference.tokenized(rows.texts).by_window()  # as the graph reads them
    decided = decision.decide(decision.scores(reference.backend.logits(tokenized)))

    def is_near(logits: FloatArray) -> bool:
        changed = decision.decide(decision.scores(logits)) != decided[: len(logits)]
        return bool(changed.mean() <= limit)

    return choose_int8(graph, tokenized, pad_token_id, is_near)


def _rows(examples: Examples | LabelledFile | None, artifact: Artifact) -> _Rows:
    """Return the rows to compare on; without any, the texts of the bundled data set."""
    if examples is None:
        bundled = [read_examples(demo_data()[part]).texts for part in ("validation", "test")]
        return _Rows([text for texts in bundled for text in texts], None, "the bundled data set")
    texts: list[str] = []
    truth = [np.zeros((0, len(artifact.decision.space)), np.float32)]
    for chunk, labels in labelled_chunks(examples):
        texts += chunk.texts
        truth.append(labels.aligned_to(artifact.decision.space).hard().values)
    return _Rows(texts, np.concatenate(truth), Path(examples.source).name)


def _certificate(
    reference: Predictor, exported: Predictor, rows: _Rows, limit: float, *, to: str, seed: int
) -> ParityCertificate:
    from multihot.export.folders import weights_sha256

    both = {"model": reference, "export": exported}
    logits, speed = _timed(both, rows.texts)
    decisions: Mapping[str, Decision] = {name: each.decision for name, each in both.items()}
    found = certify(
        decisions,
        logits,
        rows.texts,
        rows.truth,
        source=rows.source,
        max_flips=limit,
        refitted=to == "onnx-int8",
        seed=seed,
    )
    return replace(
        found,
        form=to,
        speed=speed,
        instruction_set=instruction_set(),
        versions=_versions(_PACKAGES),
        weights_sha256={name: weights_sha256(each.artifact) for name, each in both.items()},
    )


def _timed(
    both: Mapping[str, Predictor], texts: list[str]
) -> tuple[dict[str, FloatArray], dict[str, Speed]]:
    """Return the logits of each model, and its speed: the faster of two rounds, by turns."""
    logits: dict[str, FloatArray] = {}
    best: dict[str, tuple[float, float]] = {}
    for number, some in enumerate((texts, texts[:_TIMED_TEXTS])):
        for name, predictor in both.items():
            wall, processor = time.perf_counter(), time.process_time()
            found, _ = predictor.logits(some)
            rates = (
                len(some) / max(time.perf_counter() - wall, 1e-9),
                len(some) / max(time.process_time() - processor, 1e-9),
            )
            if not number:
                logits[name] = found
            best[name] = max(best.get(name, (0.0, 0.0)), rates)
    return logits, {name: Speed(*rates) for name, rates in best.items()}


def _versions(packages: Iterable[str]) -> dict[str, str]:
    found = {}
    for name in packages:
        try:
            found[name] = version(name)
        except ModuleNotFoundError:
            continue
    return found
