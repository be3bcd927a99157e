"""How the outputs of a checkpoint and the labels of a file belong together.

Letters: `N` texts, `L` labels of the checkpoint.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from multihot.core.labels import LabelMatrix
from multihot.core.text_tables import format_number, listed
from multihot.importing.findings import ERROR, NOTE, WARNING, WITH_FILE, Finding
from multihot.importing.label_order import LabelOrder, compare_order
from multihot.importing.output_names import OutputNames

__all__ = ["NamedOutputs", "check_file"]

_LEAST_AREA, _NO_GAIN = 0.6, 0.02  # of the areas, to name outputs in the order of the file
_OPEN = 5  # at most one in so many labels may be too rare to be compared

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class NamedOutputs:
    """The outputs of a checkpoint, named with the help of a file."""

    names: tuple[str | None, ...]
    """By output; `None` where the file does not tell."""
    order: LabelOrder | None = None
    """`None` where nothing was scored."""
    findings: tuple[Finding, ...] = ()


def check_file(
    outputs: OutputNames, labels: LabelMatrix, logits: FloatArray | None, source: str
) -> NamedOutputs:
    """Compare the outputs with the labels of a file, by name and, where there are scores, by these.

    Parameters
    ----------
    outputs
        The names that are stored.
    labels
        Of the N texts.
    logits
        Of the checkpoint for the same texts, `None` where it cannot be run. *Shape:* (N, L).
    source
        The file, for messages.
    """
    known = {name for name in outputs.names if name is not None}
    new = [name for name in labels.space.names if name not in known]
    unnamed = outputs.unnamed
    if unnamed and len(new) != len(unnamed):
        return NamedOutputs(outputs.names, findings=(_too_few(unnamed, new, source),))
    taken = dict(zip(unnamed, new, strict=True)) if unnamed else {}
    names = [taken.get(column, name) for column, name in enumerate(outputs.names)]
    certain = [name for name in names if name is not None]
    assert len(certain) == len(names)
    findings = [] if unnamed else _compared(certain, labels, new, source)
    if logits is None:
        # One name for one output needs no proof; several could be in any order.
        if len(unnamed) > 1:
            return NamedOutputs(outputs.names, findings=(*findings, _not_scored(source)))
        return NamedOutputs(tuple(certain), findings=tuple(findings))
    order = compare_order(logits, _columns(labels, certain))
    if len(unnamed) > 1 and not _is_told(order, len(unnamed)):
        return NamedOutputs(outputs.names, order, (*findings, _unclear(order, source)))
    named = [certain[label] for label in order.column_of]
    findings += _verdict(order, certain, named, unnamed, source)
    is_kept = order.verdict == "differs" and not order.is_certain
    return NamedOutputs(tuple(certain if is_kept else named), order, tuple(findings))


def _is_told(order: LabelOrder, num_unnamed: int) -> bool:
    """Return whether scores say which output is which label, for outputs that have no name."""
    if order.verdict == "differs":
        return order.is_certain
    if order.area is None or order.best_area is None or order.least_area is None:
        return False
    fits = order.least_area >= _LEAST_AREA and order.best_area - order.area <= _NO_GAIN
    num_open = len(order.column_of) - order.num_measured
    return order.verdict == "agrees" and fits and num_open <= max(1, num_unnamed // _OPEN)


def _columns(labels: LabelMatrix, names: Sequence[str]) -> FloatArray:
    """Return the truth of the named labels; one that the file lacks is unknown, or false where it lists all."""
    empty = np.nan if not labels.lists_all else 0.0
    values = np.full((len(labels), len(names)), empty, np.float32)
    for column, name in enumerate(names):
        if name in labels.space.columns:
            values[:, column] = labels.hard().values[:, labels.space.columns[name]]
    return values


def _verdict(
    order: LabelOrder,
    names: Sequence[str],
    named: Sequence[str],
    unnamed: Sequence[int],
    source: str,
) -> list[Finding]:
    area = f"mean ROC-AUC {format_number(order.area)} over {order.num_measured} labels"
    if order.verdict == "differs":
        moved = [column for column in range(len(names)) if named[column] != names[column]]
        shown = listed([f"output {n} '{names[n]}' answers to '{named[n]}'" for n in moved], 4)
        better = (
            f"{format_number(order.area)} as they stand, {format_number(order.best_area)} moved"
        )
        if set(moved) <= set(unnamed):
            return [
                Finding(
                    "labels_named_by_scores",
                    NOTE,
                    "config.json",
                    f"The outputs without names are not in the order of {source}; their scores tell which "
                    f"is which ({listed(list(named), 8)}; mean ROC-AUC {better}).",
                    "Names taken in the order of the columns would be wrong.",
                    "Check a few predictions.",
                )
            ]
        return [
            Finding(
                "label_order_differs",
                ERROR,
                "config.json",
                f"By the scores on {source}, names stand at other outputs: {shown} (mean ROC-AUC {better}).",
                "Every answer then has the name of another label.",
                "Put id2label into the order of the columns in training.",
                WITH_FILE if order.is_certain else None,
            )
        ]
    if order.verdict == "unclear" and order.area is not None:
        return [
            Finding(
                "scores_do_not_fit",
                WARNING,
                "model.safetensors",
                f"The scores hardly tell who has a label in {source}: {area}.",
                "Thresholds cannot repair scores that are near to chance.",
                "Check that the file has the labels that the model was trained on; otherwise fine-tune it.",
            )
        ]
    if unnamed and order.area is not None:
        return [
            Finding(
                "labels_named_by_file",
                NOTE,
                "config.json",
                f"The outputs fit the labels of {source} in their order: {listed(list(named), 8)} ({area}).",
                "The names are those of the file; the checkpoint itself does not have them.",
                "Check a few predictions.",
            )
        ]
    return []


def _compared(
    names: Sequence[str], labels: LabelMatrix, new: Sequence[str], source: str
) -> list[Finding]:
    """Return how the names of the file differ from those that are stored."""
    findings = []
    if new:
        plain = {_plain(name): name for name in names}
        pairs = [
            f"'{name}' is '{plain[_plain(name)]}' there" for name in new if _plain(name) in plain
        ]
        hint = f" Spelt otherwise: {listed(pairs, 4)}." if pairs else ""
        findings.append(
            Finding(
                "file_labels_unknown",
                WARNING,
                "config.json",
                f"{source} has labels that the checkpoint does not know: {listed(new, 8)}.{hint}",
                "Labels are matched by name; nothing can be said about these.",
                "Spell them as in id2label (data.label_aliases), or pass data.unknown_labels=ignore.",
            )
        )
    absent = [name for name in names if name not in labels.space.columns]
    if absent and not labels.lists_all:
        findings.append(
            Finding(
                "file_labels_absent",
                WARNING,
                "config.json",
                f"{source} has no column for {listed(absent, 8)}.",
                "Nothing tells which texts have these labels, so their thresholds cannot be fitted.",
                "Give a file with all labels, or pass data.partial_labels=true to keep 0.5 for these.",
            )
        )
    here = [name for name in labels.space.names if name in set(names)]
    if not labels.lists_all and here != [name for name in names if name in labels.space.columns]:
        findings.append(
            Finding(
                "file_order_differs",
                NOTE,
                "config.json",
                f"The columns of {source} are in another order than the outputs.",
                "multihot matches labels by name; what compares arrays by column would be wrong.",
                "Compare by name.",
            )
        )
    return findings


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.casefold())


def _too_few(unnamed: Sequence[int], new: Sequence[str], source: str) -> Finding:
    return Finding(
        "file_labels_do_not_fit",
        ERROR,
        "config.json",
        f"{len(unnamed)} outputs have no name, and {source} has {len(new)} labels that no output is "
        f"called: {listed(new, 8)}.",
        "Which output stands for which label cannot be told.",
        "Give a file with the labels of the training, or write the names into id2label.",
    )


def _not_scored(source: str) -> Finding:
    return Finding(
        "label_order_unknown",
        ERROR,
        "config.json",
        f"Several outputs have no name, and the order of the labels in {source} could not be checked by "
        "scores.",
        "Names in the wrong order make every answer wrong.",
        "Write the names into id2label, in the order of the columns in training.",
    )


def _unclear(order: LabelOrder, source: str) -> Finding:
    area = "too few texts have or lack each label" if order.area is None else ""
    area = area or f"mean ROC-AUC {format_number(order.area)} in the order of the file"
    return Finding(
        "label_order_unknown",
        ERROR,
        "config.json",
        f"Several outputs have no name, and scores on {source} do not tell which is which ({area}).",
        "Names in the wrong order make every answer wrong.",
        "Give more rows with these labels, or write the names into id2label yourself.",
    )
