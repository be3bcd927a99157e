"""Everything that is found about a checkpoint, as people and programs read it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from multihot.core.report_views import as_frame, as_html
from multihot.core.text_tables import DEFAULT_WIDTH, counted, listed, printable
from multihot.importing.findings import SEVERITIES, WITH_FILE, WITHOUT_FILE, Finding
from multihot.importing.label_order import LabelOrder

__all__ = ["Diagnosis"]


@dataclass(frozen=True)
class Diagnosis:
    """The result of `diagnose`; `print` it or take `to_json()`."""

    checkpoint: str
    """As it was given."""
    kind: str
    """`transformers`, `simpletransformers`, `setfit`, `sentence_transformers`, `adapter` or `multihot`."""
    family: str | None
    """`model_type` of the encoder."""
    labels: tuple[str, ...]
    """By output; `LABEL_3` where no name is known."""
    max_length: int | None
    """Tokens of a text at most; `None`: nothing limits it, or it is not known."""
    findings: tuple[Finding, ...]
    """The most severe first."""
    was_loaded: bool
    """Whether the network was made of its weights, which needs torch."""
    order: LabelOrder | None = None
    """Whether the outputs answer to their names, by scores on the file; `None` where nothing was scored."""

    @property
    def problems(self) -> tuple[Finding, ...]:
        """The findings with which the checkpoint does not pass."""
        return tuple(finding for finding in self.findings if finding.is_problem)

    @property
    def blocking(self) -> tuple[Finding, ...]:
        """The findings because of which nothing can be written."""
        return tuple(finding for finding in self.findings if finding.blocks)

    def left(self, *, with_file: bool) -> tuple[Finding, ...]:
        """Return the problems that are still there in what `--fix` writes."""
        fixed = (WITHOUT_FILE, WITH_FILE) if with_file else (WITHOUT_FILE,)
        return tuple(finding for finding in self.problems if finding.fix not in fixed)

    def to_json(self) -> dict[str, Any]:
        """Return the document that `doctor --json` prints."""
        return {
            "checkpoint": self.checkpoint,
            "kind": self.kind,
            "family": self.family,
            "labels": list(self.labels),
            "max_length": self.max_length,
            "problems": len(self.problems),
            "findings": [finding.to_json() for finding in self.findings],
            "was_loaded": self.was_loaded,
            "label_order": None if self.order is None else _order(self.order),
        }

    def to_dict(self) -> dict[str, Any]:
        """Return the same as `to_json`."""
        return self.to_json()

    def to_frame(self) -> Any:
        """Return one row per finding as a pandas data frame."""
        rows = {str(n): finding.to_json() for n, finding in enumerate(self.findings, start=1)}
        return as_frame(rows, "finding")

    def _repr_html_(self) -> str:
        return as_html(self)

    def __str__(self) -> str:
        return self.to_text()

    def to_text(self, *, width: int = DEFAULT_WIDTH, all_labels: bool = False) -> str:
        """Return what was found; `width` is that of other reports, sentences are not broken here."""
        names = list(self.labels)
        shown = listed(names, len(names) if all_labels else 12)
        kind = {"setfit": "SetFit", "adapter": "PEFT adapter"}.get(self.kind, self.kind)
        facts = [kind.replace("_", "-"), self.family or "no family"]
        if names:
            facts.append(f"{counted(len(names), 'label')} ({shown})")
        if self.max_length is not None:
            facts.append(f"texts of up to {self.max_length} tokens")
        lines = [f"{printable(self.checkpoint)}: {printable(', '.join(facts))}", ""]
        for finding in self.findings:
            lines += [*finding.lines(), ""]
        return "\n".join([*lines, self._summary()])

    def _summary(self) -> str:
        counts = [
            counted(number, severity)
            for severity in SEVERITIES
            if (number := sum(finding.severity == severity for finding in self.findings))
        ]
        if not self.problems:
            found = "No problem was found" + (f" ({', '.join(counts)})." if counts else ".")
        else:
            found = f"{', '.join(counts)}."
        if not self.was_loaded and self.kind != "multihot" and not self.blocking:
            found += " The network was not made of its weights: torch is not installed."
        return found


def _order(order: LabelOrder) -> dict[str, Any]:
    content = asdict(order)
    del content["column_of"]
    return content
