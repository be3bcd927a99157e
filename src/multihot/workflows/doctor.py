"""Say what is wrong with a checkpoint of another tool for multi-label use, and put it right.

Letters: `N` texts, `L` labels.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from multihot.core.extras import require_network
from multihot.core.files import storage_errors
from multihot.core.labels import LabelMatrix, LabelSpace
from multihot.core.options import DataOptions
from multihot.core.staging import check_new_folder, put_in_place, staged_folder
from multihot.core.text_tables import listed
from multihot.data.examples import portable
from multihot.data.labelled_file import LabelledFile, labelled_chunks, open_labelled
from multihot.errors import ArtifactError, EncoderError, OptionError
from multihot.importing.candidate import (
    Candidate,
    network_of,
    scores_of,
    tokenizer_of,
    write_copy,
    write_model,
)
from multihot.importing.card import imported_card
from multihot.importing.checkpoint import Checkpoint, read_checkpoint
from multihot.importing.config_checks import (
    check_config,
    check_head,
    check_thresholds,
    has_head,
)
from multihot.importing.diagnosis import Diagnosis
from multihot.importing.file_checks import NamedOutputs, check_file
from multihot.importing.findings import ERROR, SEVERITIES, Finding
from multihot.importing.output_names import OutputNames, placeholder, read_output_names
from multihot.importing.token_checks import refused_tokenizer
from multihot.importing.tokenizer_checks import check_tokenizer, compare_built
from multihot.importing.weight_checks import check_weights
from multihot.inference.artifact import load_artifact, read_artifact
from multihot.inference.predictor import Predictor
from multihot.models.encoder import find_folder
from multihot.workflows.decide import TuningResult, decide, save

__all__ = ["Examined", "correct", "examine", "import_model"]

_MOST_SCORED = 1024  # texts, to tell which output answers to which label


@dataclass(frozen=True)
class Examined:
    """A checkpoint that was looked at: what was found, and what can be written from it."""

    diagnosis: Diagnosis
    folder: Path
    candidate: Candidate | None
    """`None` of a model of ours, and where something blocks it."""
    data: DataOptions | None = None
    """How the file of labelled rows was read."""

    @property
    def space(self) -> LabelSpace:
        """The labels, `LABEL_3` where no name is known."""
        return LabelSpace(self.diagnosis.labels)


def examine(name: str, file: str | Path | None = None, data: DataOptions | None = None) -> Examined:
    """Look at a checkpoint; nothing is written, no pickle is opened and no code of it is run.

    Parameters
    ----------
    name
        A folder, a hub name (fetched as an encoder is), or `starter`.
    file
        Labelled rows to compare the labels with. With torch installed, up to 1,024 of them are scored, to
        see whether each output answers to its name.
    data
        How to read them.

    Raises
    ------
    EncoderError
        There is no checkpoint, or one whose tables cannot be read.
    DataError, OptionError
        The file of labelled rows is wrong.
    """
    if Path(name).is_file():
        raise EncoderError(f"{name} is a file; give the folder of the checkpoint that it is in.")
    folder = find_folder(name)
    checkpoint = read_checkpoint(name, folder)
    rows = None if file is None else open_labelled(file, data)
    if checkpoint.kind == "multihot":
        return _own_model(checkpoint, rows)
    weights = check_weights(checkpoint)
    outputs = read_output_names(checkpoint, weights.num_outputs)
    vocabulary = checkpoint.config.get("vocab_size")
    tokenizer = check_tokenizer(checkpoint, vocabulary if type(vocabulary) is int else None)
    findings = [
        *check_config(checkpoint, weights),
        *check_head(checkpoint, weights),
        *weights.findings,
        *tokenizer.findings,
        *(check_thresholds(checkpoint) if has_head(checkpoint, weights) else ()),
    ]
    has_outputs = weights.num_outputs is not None
    findings += outputs.findings if has_outputs else ()
    candidate = Candidate(checkpoint, weights, tokenizer.limit)
    network = None
    if has_outputs and not any(finding.blocks for finding in findings):
        network, refused = _network(candidate, len(outputs.names))
        findings += refused
    named = NamedOutputs(outputs.names)
    if rows is not None and has_outputs:
        named = _named(outputs, rows, network, candidate)
        findings += named.findings
    diagnosis = Diagnosis(
        name,
        checkpoint.kind,
        checkpoint.family,
        OutputNames(named.names).filled() if has_outputs else (),
        tokenizer.limit,
        _sorted(findings),
        network is not None,
        named.order,
    )
    return Examined(
        diagnosis,
        folder,
        None if diagnosis.blocking else candidate,
        None if rows is None else rows.data,
    )


def _sorted(findings: list[Finding]) -> tuple[Finding, ...]:
    return tuple(sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity)))


def _own_model(checkpoint: Checkpoint, rows: LabelledFile | None) -> Examined:
    """Return what is found about a model of ours: whether its files are those that were saved."""
    findings: list[Finding] = []
    names: tuple[str, ...] = ()
    length = None
    try:
        artifact = load_artifact(checkpoint.folder)
        names, length = artifact.decision.space.names, artifact.max_length
    except ArtifactError as reason:
        findings.append(
            Finding(
                "model_refused",
                ERROR,
                "thresholds.json",
                str(reason),
                "Thresholds belong to exactly the weights and the tokenizer that they were fitted with.",
                "Restore the folder, or train the model anew.",
            )
        )
    if rows is not None and names:
        _, labels = next(iter(labelled_chunks(rows)))
        findings += check_file(OutputNames(names), labels, None, Path(rows.source).name).findings
    diagnosis = Diagnosis(
        checkpoint.name, checkpoint.kind, checkpoint.family, names, length, _sorted(findings), False
    )
    return Examined(diagnosis, checkpoint.folder, None, None if rows is None else rows.data)


def _network(candidate: Candidate, num_outputs: int) -> tuple[Any | None, list[Finding]]:
    """Return the network where torch is installed, or why its weights do not make one."""
    if any(importlib.util.find_spec(each) is None for each in ("torch", "transformers")):
        return None, []
    space = LabelSpace(tuple(map(placeholder, range(num_outputs))))
    try:
        network = network_of(candidate, space)
    except EncoderError as reason:
        return None, [
            Finding(
                "network_refused",
                ERROR,
                "config.json",
                str(reason),
                "What is not stored would be random, and what does not fit cannot be computed.",
                "Use the configuration and the weights of one and the same checkpoint.",
            )
        ]
    try:
        built, _ = tokenizer_of(candidate)
    except EncoderError as reason:
        return None, [refused_tokenizer("tokenizer_config.json", str(reason))]
    return network, compare_built(candidate.checkpoint, built)


def _named(
    outputs: OutputNames, rows: LabelledFile, network: Any | None, candidate: Candidate
) -> NamedOutputs:
    """Compare outputs and labels on the first rows of a file."""
    texts, values = list[str](), list[Any]()
    labels: LabelMatrix | None = None
    for chunk, labels in labelled_chunks(rows):
        texts += chunk.texts
        values.append(labels.values)
        if len(texts) >= _MOST_SCORED:
            break
    assert labels is not None
    matrix = LabelMatrix(labels.space, np.concatenate(values), labels.lists_all)
    logits, refused = None, tuple[Finding, ...]()
    if network is not None:
        try:
            logits = scores_of(network, candidate, len(outputs.names), texts)
        except (EncoderError, OptionError) as reason:
            refused = (refused_tokenizer("tokenizer.json", str(reason)),)
    named = check_file(outputs, matrix, logits, Path(rows.source).name)
    return replace(named, findings=(*refused, *named.findings))


def correct(examined: Examined, output: str | Path) -> Path:
    """Write a corrected copy of a checkpoint for transformers; return where it is.

    Raises `OptionError` where something blocks it, for SetFit models (which transformers cannot
    load), and for a folder that is there already.
    """
    candidate = _candidate(examined)
    if candidate.checkpoint.is_pooled:
        raise OptionError(
            "transformers has no class for a mean-pooled body with a head; give a file of labelled rows, "
            "and --fix writes a multihot model."
        )
    target = _new_folder(examined, output)
    with storage_errors(target), staged_folder(target) as stage:
        write_copy(candidate, examined.space, stage)
        put_in_place(stage, target)
    return target


def import_model(
    examined: Examined,
    file: str | Path,
    output: str | Path,
    *,
    goal: str | None = None,
    thresholds: str | float = "global",
    calibration: str | None = None,
) -> TuningResult:
    """Write a multihot model from a checkpoint, its thresholds fitted on labelled rows.

    Parameters
    ----------
    examined
        The result of `examine` with this file.
    file
        Labelled rows that the model was not trained on.
    output
        A new folder.
    goal, thresholds, calibration
        As for `decide`.

    Raises
    ------
    OptionError
        Something blocks it, or the folder is there already.
    DataError
        The file has other labels than the checkpoint.
    """
    candidate = _candidate(examined)
    assert examined.data is not None
    target = _new_folder(examined, output)
    rows = open_labelled(file, examined.data, space=examined.space)
    with storage_errors(target), staged_folder(target) as stage:
        card = imported_card(examined.diagnosis)
        write_model(candidate, examined.space, portable(examined.data), card, stage)
        predictor = Predictor.from_artifact(read_artifact(stage))
        result = decide(predictor, rows, goal=goal, thresholds=thresholds, calibration=calibration)
        save(predictor, result)
        put_in_place(stage, target)
    return replace(result, notes=(*rows.notes, *result.notes))


def _candidate(examined: Examined) -> Candidate:
    """Return what can be written from; raise `OptionError` where nothing can."""
    if examined.diagnosis.kind == "multihot":
        raise OptionError(
            f"{examined.diagnosis.checkpoint} is a multihot model already; 'multihot decide' fits its "
            "thresholds."
        )
    require_network("--fix")
    if examined.candidate is None:
        codes = listed([finding.code for finding in examined.diagnosis.blocking])
        raise OptionError(f"Nothing was written; --fix cannot correct {codes}.")
    return examined.candidate


def _new_folder(examined: Examined, output: str | Path) -> Path:
    """Return where to write; raise `OptionError` for what is there, or inside the checkpoint."""
    target = Path(output)
    check_new_folder(target, advice="Choose another --output.")
    if target.resolve().is_relative_to(examined.folder.resolve()):
        raise OptionError(f"{target} is inside the checkpoint; choose another --output.")
    return target
