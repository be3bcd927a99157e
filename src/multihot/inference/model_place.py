"""What processes of an engine, such as Ray or Spark, share: from where each loads the model, and what it adds to rows."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from multihot.core.files import sha256_of
from multihot.data.columns.text_and_id import find_text_column
from multihot.decision.decision import Decision
from multihot.errors import ArtifactError
from multihot.inference.artifact import DECISION_FILE, Artifact, load_artifact
from multihot.inference.prediction import labelled
from multihot.inference.predictor import Predictor

__all__ = ["AddedColumns", "ModelPlace", "model_place"]


@dataclass(frozen=True)
class ModelPlace:
    """From where a process on any machine loads its model.

    Attributes
    ----------
    folder
        The same path everywhere.
    digest
        SHA-256 of the `thresholds.json` that it has to find.
    device, precision, backend
        As in `Predictor.load`.
    """

    folder: str
    digest: str
    device: str = "auto"
    precision: str = "fp32"
    backend: str = "auto"

    def predictor(self) -> Predictor:
        """Load the model; raise `ArtifactError` where this machine has another one."""
        decision = Path(self.folder) / DECISION_FILE
        if not decision.is_file() or sha256_of(decision) != self.digest:
            found = (
                "another model than where the run was started" if decision.is_file() else "no model"
            )
            raise ArtifactError(
                f"On {socket.gethostname()}, {self.folder} is {found}. Put the same folder at this path on "
                "every machine."
            )
        return Predictor.load(
            self.folder, device=self.device, precision=self.precision, backend=self.backend
        )


def model_place(artifact: Artifact, *, device: str, precision: str, backend: str) -> ModelPlace:
    """Return from where other processes load an artefact."""
    digest = sha256_of(artifact.folder / DECISION_FILE)
    return ModelPlace(str(artifact.folder.absolute()), digest, device, precision, backend)


@dataclass(frozen=True)
class AddedColumns:
    """Which columns are added to a table.

    Attributes
    ----------
    text
        The column of the texts.
    columns
        All columns that are there.
    threshold
        Instead of the stored ones.
    scores
        Whether there is one for the score of each label.
    """

    text: str
    columns: tuple[str, ...]
    threshold: float | None
    scores: bool

    @classmethod
    def for_model(
        cls,
        model: str | Path,
        columns: Sequence[str],
        *,
        text_column: str | None,
        threshold: float | None,
        scores: bool,
    ) -> tuple[Artifact, AddedColumns]:
        """Return a model, all of whose files are verified, and what it adds to a table.

        Raises
        ------
        ArtifactError, OptionError, DataError
            The model is damaged, the threshold none, or there is no column of texts.
        """
        artifact = load_artifact(model)
        if threshold is not None:
            artifact.decision.with_threshold(threshold)
        data = artifact.data
        if text_column is not None:
            data = replace(data, text_column=text_column)
        text = find_text_column(columns, data, "the table")
        return artifact, cls(text, tuple(columns), threshold, scores)

    def names(self, decision: Decision) -> dict[str, str]:
        """Return the names of the columns, and what is in each: `labels`, a flag or the name of a label."""
        flags = ["truncated", *(["abstained"] if decision.empty_set_rule == "abstain" else [])]
        names = {"predicted_labels": "labels"} | {flag: flag for flag in flags}
        if self.scores:
            names |= {f"score_{label}": label for label in decision.space.names}
        while not set(self.columns).isdisjoint(names):
            names = {f"{name}_": content for name, content in names.items()}
        return names

    def values(self, predictor: Predictor, texts: Sequence[str | None]) -> dict[str, Any]:
        """Return the columns by name, for N texts: lists, and arrays of scores. *Shape:* (N,) each."""
        logits, truncated = predictor.logits(["" if text is None else text for text in texts])
        decision = predictor.decision
        answers = [
            (each.labels, each.truncated, each.abstained)
            for each in labelled(decision, logits, truncated, threshold=self.threshold)
        ]
        flags = len(self.names(decision)) - (len(decision.space) if self.scores else 0)
        content: list[Any] = [[each[part] for each in answers] for part in range(flags)]
        if self.scores:
            content += list(decision.scores(logits).T)
        return dict(zip(self.names(decision), content, strict=True))
