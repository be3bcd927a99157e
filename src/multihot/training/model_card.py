"""The model card: a README beside the model with its origin, its metrics, and how to use it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from heapq import nlargest

from multihot.core.goals import frequency_fraction
from multihot.core.options import TrainOptions
from multihot.core.text_tables import format_number, printable
from multihot.core.windows import reading_sentence
from multihot.decision.decision import Decision
from multihot.inference.artifact import Artifact
from multihot.training.run import SHOWN_METRICS, SeedRuns, Trained

__all__ = ["Provenance", "model_card"]

_MOST_LABELS = 500
_number = partial(format_number, missing="undefined")

_FORMS = {
    "sequence_classification": "`transformers` loads this folder and gives the same logits; it "
    "does not know the thresholds.",
    "encoder_and_head": "The encoder is in `encoder/` (`AutoModel` loads it), the head in "
    "`head.safetensors`; `transformers` alone cannot run the classifier.",
}


@dataclass(frozen=True)
class Provenance:
    """What a model was trained from, besides its options."""

    num_training_rows: int
    """Validation rows excluded."""
    initial_model: str | None = None
    """Name of the model that was fine-tuned further, if any."""
    teachers: tuple[str, ...] = ()
    """Names of the models it was distilled from."""
    num_unlabelled: int = 0
    """Training rows whose only targets are the teachers' scores."""


def model_card(
    artifact: Artifact, trained: Trained, options: TrainOptions, provenance: Provenance
) -> str:
    """Return the card of a freshly trained model as Markdown with a hub header."""
    report, origin = trained.report, f"Encoder {_code(options.encoder)}"
    if provenance.initial_model is not None:
        origin = f"Fine-tuned from model {_code(provenance.initial_model)}"
    facts = [
        f"{artifact.pooling} pooling",
        f"{provenance.num_training_rows} training rows",
        _weights(trained, options),
        *_distillation(provenance),
    ]
    metrics = "\n".join(
        f"| {name} | {_number(report.metrics.get(name))} |" for name in SHOWN_METRICS
    )
    shown = set(nlargest(_MOST_LABELS, report.labels, lambda name: report.labels[name].support))
    labels = "\n".join(
        f"| {_cell(name)} | {row.support} | {_number(row.precision)} | {_number(row.recall)} | "
        f"{_number(row.f1)} | {_number(row.threshold)} |"
        for name, row in report.labels.items()
        if name in shown
    )
    return f"""---
library_name: multihot
pipeline_tag: text-classification
tags:
- multi-label
---

# Multi-label text classifier

{origin}, {", ".join(facts)}.
{reading_sentence(artifact.max_length, artifact.windows)} {_FORMS[artifact.form]}

The decision is {_rule(artifact.decision, _rows(trained))}. It is stored in `thresholds.json`, which is authoritative: `multihot decide` refits it without updating this page.

## Results on the {report.rows} {_rows(trained)}

{_validation(trained)} The metrics are therefore optimistic; evaluate a test set with `multihot evaluate`.

| metric | value |
|---|---|
{metrics}

| label | support | precision | recall | f1 | threshold |
|---|---|---|---|---|---|
{labels}
{_others(len(report.labels))}{"" if trained.seeds is None else _seeds_section(trained.seeds)}
## Use

```
multihot predict {printable(artifact.folder.name)} "a text"
```
"""


def _others(num_labels: int) -> str:
    """Return what the table of labels leaves out."""
    if num_labels <= _MOST_LABELS:
        return ""
    return (
        f"\nThese are the {_MOST_LABELS} of {num_labels} labels with the most rows; "
        "`multihot evaluate --all-labels` shows all.\n"
    )


def _weights(trained: Trained, options: TrainOptions) -> str:
    """Return which weights of the run these are."""
    seeds = trained.seeds
    if seeds is None:
        return f"epoch {trained.epoch} of {options.epochs}, seed {options.seed}"
    names = ", ".join(str(run.seed) for run in seeds.runs)
    if seeds.average is not None:
        return f"averaged weights of seeds {names}"
    best = seeds.best
    return f"epoch {best.epoch} of {options.epochs}, seed {best.seed}, the best of seeds {names}"


def _distillation(provenance: Provenance) -> list[str]:
    if not provenance.teachers:
        return []
    found = "distilled from " + ", ".join(map(_code, provenance.teachers))
    if provenance.num_unlabelled:
        found += f" ({provenance.num_unlabelled} rows without labels have soft targets only)"
    return [found]


def _rows(trained: Trained) -> str:
    return {"validation_rows": "validation rows", "out_of_fold": "out-of-fold rows"}[
        trained.validation
    ]


def _validation(trained: Trained) -> str:
    """Return how the reported scores came about."""
    if trained.validation == "out_of_fold":
        return (
            f"Each row was scored by one of {trained.num_folds} networks, trained with the same options "
            "on the rows of the other folds; the network here was trained on all rows. The thresholds "
            "were fitted on the same scores."
        )
    selected = "epoch"
    if trained.seeds is not None:
        selected = "epoch of each seed" if trained.seeds.average is not None else "seed, its epoch"
    return f"These rows also selected the {selected} and fitted the thresholds."


def _seeds_section(seeds: SeedRuns) -> str:
    names = seeds.shown()
    rows = [(str(run.seed), str(run.epoch), run.metrics) for run in seeds.runs]
    rows += [("mean", "", seeds.mean), ("standard deviation", "", seeds.deviation)]
    if seeds.average is not None:
        rows.append(("**averaged weights**", "", seeds.average))
    lines = [
        f"| {seed} | {epoch} | {' | '.join(_number(values[name], 4) for name in names)} |"
        for seed, epoch, values in rows
    ]
    head = f"| seed | epoch | {' | '.join(names)} |"
    title = f"\n## Over {len(seeds.runs)} seeds\n\nThe same validation rows and initial weights.\n"
    return "\n".join([title, head, "|---" * (len(names) + 2) + "|", *lines, ""])


def _rule(decision: Decision, rows: str) -> str:
    if (strength := frequency_fraction(decision.kind)) is not None:
        return (
            f"one threshold for the goal `{decision.goal}`, fitted on the {rows}, shifted for each "
            f"label by {strength:g} of the log-odds of its frequency"
        )
    fitted = f"for the goal `{decision.goal}`, fitted on the {rows}"
    return {
        "global": f"one threshold {fitted}",
        "per_label": f"one threshold per label {fitted}",
        "shrunk": f"one threshold per label, shrunk towards a common one, {fitted}",
        "top_k": f"by rank (`{decision.goal}`)",
        "fixed": "a fixed threshold, given and not fitted",
    }[decision.kind]


def _cell(name: str) -> str:
    """Return a name as text of a Markdown table: no link, no HTML, no code, nothing hidden."""
    text = re.sub(r"([\\|\[\]`])", r"\\\1", printable(name))
    return text.replace("<", "&lt;")


def _code(name: str) -> str:
    """Return a name between backticks, without backticks of its own."""
    return f"`{printable(name).replace('`', chr(39))}`"
