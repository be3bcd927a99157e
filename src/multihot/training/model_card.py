"""The model card: a README beside the model that says what it is, measured how, and how to use it."""

from __future__ import annotations

from multihot.core.goals import frequency_share
from multihot.core.options import TrainOptions
from multihot.decision.decision import Decision
from multihot.evaluation.report import Report
from multihot.inference.artifact import Artifact

__all__ = ["model_card"]

_SHOWN_METRICS = ("jaccard", "micro_f1", "macro_f1", "subset_accuracy", "hamming_loss", "lrap")

_FORMS = {
    "sequence_classification": "`transformers` loads this folder and gives the same logits; it "
    "does not know the thresholds.",
    "encoder_and_head": "The encoder is in `encoder/` (`AutoModel` loads it), the head in "
    "`head.safetensors`; `transformers` alone cannot run the classifier.",
}


def model_card(
    artifact: Artifact,
    result: Report,
    options: TrainOptions,
    num_training_rows: int,
    *,
    epoch: int,
    started_from: str | None = None,
    weights: str | None = None,
    judged_by: str = "validation rows",
    remark: str = "These rows also chose the epoch and fitted the thresholds",
    more: str = "",
    taught: str | None = None,
) -> str:
    """Return the card of a freshly trained model as Markdown with a hub header.

    Parameters
    ----------
    artifact
        The model that is being written.
    result
        Its report on the rows that judged it.
    options
        The options of the run.
    num_training_rows
        Rows that were trained on, validation excluded.
    epoch
        1-based epoch whose weights were kept.
    started_from
        Name of the finished model that training went on from, if any.
    weights
        Where the weights come from, in words; default: epoch and seed.
    judged_by, remark
        What these rows are called, and why the figures on them are optimistic.
    more
        A further section as Markdown.
    taught
        By whom, in words, if a teacher had a say.
    """
    origin = f"Model `{started_from}`" if started_from else f"Encoder `{options.encoder}`"
    weights = weights or f"epoch {epoch} of {options.epochs}, seed {options.seed}"
    if taught:
        weights += f", {taught}"
    metrics = "\n".join(
        f"| {name} | {_number(result.metrics.get(name))} |" for name in _SHOWN_METRICS
    )
    labels = "\n".join(
        f"| {_cell(name)} | {row.support} | {_number(row.precision)} | {_number(row.recall)} | "
        f"{_number(row.f1)} | {_number(row.threshold)} |"
        for name, row in result.labels.items()
    )
    return f"""---
library_name: multihot
pipeline_tag: text-classification
tags:
- multi-label
---

# Multi-label text classifier

{origin}, {artifact.pooling} pooling, {num_training_rows} training rows, {weights}.
Texts are cut to {artifact.max_length} tokens. {_FORMS[artifact.form]}

The decision is {_rule(artifact.decision, judged_by)}; it is stored in `thresholds.json`, which is what counts: `multihot decide` fits another one without changing this page.

## Results on the {result.rows} {judged_by}

{remark}, so the figures are optimistic; score a test set with `multihot evaluate`.

| metric | value |
|---|---|
{metrics}

| label | support | precision | recall | f1 | threshold |
|---|---|---|---|---|---|
{labels}
{more}
## Use

```
multihot predict {artifact.folder.name} "a text"
```
"""


def _rule(decision: Decision, judged_by: str) -> str:
    if (share := frequency_share(decision.kind)) is not None:
        return (
            f"one number for the goal `{decision.goal}`, fitted on the {judged_by}, moved for each label "
            f"by {share:g} of the log odds of its frequency"
        )
    fitted = f"for the goal `{decision.goal}`, fitted on the {judged_by}"
    return {
        "global": f"one threshold {fitted}",
        "per_label": f"one threshold per label {fitted}",
        "shrunk": f"one threshold per label, pulled towards a common one, {fitted}",
        "top_k": f"by rank (`{decision.goal}`)",
        "fixed": "a threshold that was given, not fitted",
    }[decision.kind]


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"


def _cell(name: str) -> str:
    """Escape what would break a Markdown table."""
    return name.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
