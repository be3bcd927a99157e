"""Which label each output of a checkpoint stands for, as far as its files say."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from multihot.core.labels import LabelSpace, normalized_name
from multihot.core.text_tables import cut, listed
from multihot.errors import LabelError
from multihot.importing.checkpoint import Checkpoint
from multihot.importing.findings import ERROR, WARNING, WITH_FILE, WITHOUT_FILE, Finding

__all__ = ["OutputNames", "placeholder", "read_output_names"]

_GENERIC = re.compile(r"(?:label|class|output)[ _-]?\d+", re.IGNORECASE)
_MARKUP = re.compile(r"<[a-zA-Z/!]")
_MOST_LABELS = 1_000_000


@dataclass(frozen=True)
class OutputNames:
    """The names of the outputs of a checkpoint."""

    names: tuple[str | None, ...]
    """By output; `None` where no usable name is stored: none, `LABEL_3`, one that comes twice."""
    findings: tuple[Finding, ...] = ()

    @property
    def unnamed(self) -> tuple[int, ...]:
        """The outputs without a usable name."""
        return tuple(column for column, name in enumerate(self.names) if name is None)

    def filled(self) -> tuple[str, ...]:
        """Return a name for each output, `LABEL_3` where none is known."""
        return tuple(
            placeholder(column) if name is None else name for column, name in enumerate(self.names)
        )


def placeholder(column: int) -> str:
    """Return the name that transformers gives to an output without one."""
    return f"LABEL_{column}"


def read_output_names(checkpoint: Checkpoint, num_outputs: int | None) -> OutputNames:
    """Return the names of the outputs, and what is wrong with them.

    Parameters
    ----------
    checkpoint
        The checkpoint.
    num_outputs
        How many outputs the head has; `None`: not known from the weights.
    """
    if checkpoint.kind == "setfit":
        return _of_setfit(checkpoint, num_outputs)
    table = checkpoint.config.get("id2label")
    stored = _by_number(table)
    if stored is None:
        stored = {}
    count = num_outputs if num_outputs is not None else max(len(stored), 1)
    findings = _counts(checkpoint.config, stored, num_outputs)
    listed_names = _of_simpletransformers(checkpoint, count)
    raw = [stored.get(column) for column in range(count)]
    if listed_names is not None and all(
        each is None or _is_generic(each, column) for column, each in enumerate(raw)
    ):
        return OutputNames(listed_names, (*findings, _elsewhere(listed_names)))
    names, more = _usable(raw, has_table=bool(stored))
    return OutputNames(names, (*findings, *more, *_inverse(checkpoint.config, stored)))


def _by_number(table: Any) -> dict[int, str] | None:
    if not isinstance(table, Mapping) or len(table) > _MOST_LABELS:
        return None
    return {
        int(key): name
        for key, name in table.items()
        if isinstance(key, str) and key.isascii() and key.isdigit() and len(key) < 8
        if isinstance(name, str)
    }


def _is_generic(name: str, column: int) -> bool:
    """Return whether a name says no more than the number of its output; other numbers may be codes."""
    return name.strip() == str(column) or _GENERIC.fullmatch(name.strip()) is not None


def _usable(
    raw: Sequence[str | None], *, has_table: bool
) -> tuple[tuple[str | None, ...], list[Finding]]:
    """Return the names that can stand, and a finding for each way in which others cannot."""
    counts = Counter(normalized_name(name) for name in raw if name is not None)
    kinds = [_kind(name, column, counts) for column, name in enumerate(raw)]
    names = tuple(
        normalized_name(name) if name is not None and kind in ("plain", "markup") else None
        for name, kind in zip(raw, kinds, strict=True)
    )

    def of(kind: str) -> list[str]:
        pairs = zip(raw, kinds, strict=True)
        return [name for name, found in pairs if found == kind and name is not None]

    missing = [column for column, kind in enumerate(kinds) if kind == "missing"]
    findings = []
    if missing:
        findings.append(_missing(missing, len(raw), has_table=has_table))
    if generic := of("generic"):
        findings.append(_generic(generic, len(raw)))
    if twice := of("duplicate"):
        findings.append(_twice(twice))
    if wrong := of("unusable"):
        findings.append(_wrong([_reason(name) or name for name in wrong]))
    if markup := of("markup"):
        findings.append(_with_markup(markup))
    return names, findings


def _kind(name: str | None, column: int, counts: Mapping[str, int]) -> str:
    """Return what a stored name is: plain, or what is wrong with it."""
    if name is None:
        return "missing"
    if _is_generic(name, column):
        return "generic"
    if counts[normalized_name(name)] > 1:
        return "duplicate"
    if _reason(name) is not None:
        return "unusable"
    return "markup" if _MARKUP.search(name) else "plain"


def _reason(name: str) -> str | None:
    """Return why a text is no name of a label; `None` where it is one."""
    try:
        LabelSpace((name,))
    except LabelError as error:
        return str(error)
    return None


_GIVE_NAMES = (
    "Write the names, in the order of the outputs in training, into id2label and label2id."
)


def _missing(columns: Sequence[int], count: int, *, has_table: bool) -> Finding:
    some = f"The outputs {listed(columns, 5)} of {count} have no name in id2label."
    return Finding(
        "labels_missing",
        ERROR if has_table else WARNING,
        "config.json",
        some if has_table else f"There is no id2label; the {count} outputs have no names.",
        "transformers counts the names to size the head: the weights then do not fit, or it makes up "
        "LABEL_0, LABEL_1 ...",
        _GIVE_NAMES,
        WITH_FILE,
    )


def _generic(names: Sequence[str], count: int) -> Finding:
    return Finding(
        "labels_generic",
        WARNING,
        "config.json",
        f"{len(names)} of {count} outputs are called {listed(names, 3)}.",
        "Nobody who gets such a label knows what it means, and nothing can be compared by name.",
        _GIVE_NAMES,
        WITH_FILE,
    )


def _twice(names: Sequence[str]) -> Finding:
    return Finding(
        "labels_duplicate",
        ERROR,
        "config.json",
        f"These names stand for several outputs: {listed(sorted(set(names)), 5)}.",
        "Two outputs answer with one name, and label2id keeps only the last of them.",
        _GIVE_NAMES,
        WITH_FILE,
    )


def _wrong(reasons: Sequence[str]) -> Finding:
    return Finding(
        "labels_unusable",
        ERROR,
        "config.json",
        listed(reasons, 3),
        "Such names cannot be written into tables and files.",
        _GIVE_NAMES,
        WITH_FILE,
    )


def _with_markup(names: Sequence[str]) -> Finding:
    return Finding(
        "labels_markup",
        WARNING,
        "config.json",
        f"These names hold HTML: {listed(list(map(cut, names)), 3)}.",
        "A page that shows the answers of the model runs what stands in them.",
        "Write plain names into id2label and label2id.",
    )


def _counts(
    config: Mapping[str, Any], stored: Mapping[int, str], num_outputs: int | None
) -> list[Finding]:
    """Return what is wrong with the number of labels."""
    findings = []
    if num_outputs is not None and (extra := sorted(set(stored) - set(range(num_outputs)))):
        findings.append(
            Finding(
                "labels_too_many",
                ERROR,
                "config.json",
                f"id2label names {len(stored)} labels, and the head has {num_outputs} outputs: "
                f"{listed([stored[column] for column in extra], 3)} stand for none.",
                "The weights do not fit the head that transformers makes of the names.",
                "Remove them from id2label and label2id, or use the weights that belong to them.",
                WITHOUT_FILE,
            )
        )
    expected = num_outputs if num_outputs is not None else len(stored)
    for key in ("num_labels", "_num_labels"):
        count = config.get(key)
        if type(count) is int and expected and count != expected:
            findings.append(
                Finding(
                    "num_labels_disagrees",
                    ERROR,
                    "config.json",
                    f"'{key}' is {count}, and there are {expected} outputs.",
                    "Which of the two sizes the head depends on the version of transformers.",
                    f"Remove '{key}': id2label says how many labels there are.",
                    WITHOUT_FILE,
                )
            )
    return findings


def _inverse(config: Mapping[str, Any], stored: Mapping[int, str]) -> list[Finding]:
    """Return whether label2id is id2label the other way round."""
    table = config.get("label2id")
    if not isinstance(table, Mapping) or not stored:
        return []
    if dict(table) == {name: column for column, name in stored.items()}:
        return []
    if len(set(stored.values())) < len(stored):
        return []  # it cannot be: names come twice
    return [
        Finding(
            "label2id_disagrees",
            WARNING,
            "config.json",
            "label2id is not id2label the other way round.",
            "What encodes labels for training reads label2id, what decodes answers reads id2label.",
            "Write label2id anew from id2label.",
            WITHOUT_FILE,
        )
    ]


def _of_setfit(checkpoint: Checkpoint, num_outputs: int | None) -> OutputNames:
    labels = checkpoint.tables.get("config_setfit.json", {}).get("labels")
    names = labels if isinstance(labels, list) else []
    count = num_outputs if num_outputs is not None else max(len(names), 1)
    if not names or not all(isinstance(name, str) for name in names):
        finding = Finding(
            "labels_missing",
            WARNING,
            "config_setfit.json",
            "config_setfit.json names no labels.",
            "Nobody who gets an answer knows what its columns mean.",
            "Write them, in the order of the training columns, as 'labels'.",
            WITH_FILE,
        )
        return OutputNames((None,) * count, (finding,))
    if len(names) != count:
        finding = Finding(
            "labels_too_many" if len(names) > count else "labels_missing",
            ERROR,
            "config_setfit.json",
            f"'labels' has {len(names)} names, and the head has {count} outputs.",
            "Names stand beside outputs that they do not belong to.",
            "Write the names in the order of the training columns.",
            WITH_FILE,
        )
        return OutputNames((None,) * count, (finding,))
    usable, findings = _usable(names, has_table=True)
    return OutputNames(usable, tuple(findings))


def _of_simpletransformers(checkpoint: Checkpoint, count: int) -> tuple[str, ...] | None:
    """Return the labels in `model_args.json` where they are names, one for each output."""
    labels = checkpoint.tables.get("model_args.json", {}).get("labels_list")
    if not isinstance(labels, list) or len(labels) != count:
        return None
    if not all(isinstance(x, str) and not _is_generic(x, n) for n, x in enumerate(labels)):
        return None
    try:
        return LabelSpace(tuple(labels)).names
    except LabelError:
        return None


def _elsewhere(names: Sequence[str]) -> Finding:
    return Finding(
        "labels_elsewhere",
        WARNING,
        "model_args.json",
        f"The names are in model_args.json alone ({listed(names, 3)}).",
        "Only simpletransformers reads it; transformers answers LABEL_0, LABEL_1 ...",
        _GIVE_NAMES,
        WITHOUT_FILE,
    )
