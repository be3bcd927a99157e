"""Unlabelled texts, compared with the rows that fitted a model's decision."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice

from multihot.data.text_facts import TextFactsCounter
from multihot.errors import ArtifactError, DataError
from multihot.evaluation.traffic import TrafficReport, TrafficTally
from multihot.gate.folder_files import shown_file
from multihot.inference.artifact import Artifact
from multihot.inference.predictor import Predictor

__all__ = ["require_facts", "watch"]

_WINDOW_ROWS = 2048  # texts in memory at once


def watch(
    predictor: Predictor,
    texts: Iterable[str],
    *,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> TrafficReport:
    """Compare texts with the rows that fitted the decision: labels, lengths, and what the tokenizer makes of them.

    Parameters
    ----------
    predictor
        The model, trained or exported.
    texts
        Any number of texts; they are read once and not kept.
    seed
        Of the bootstrap samples.
    progress
        Receives the number of texts scored so far, now and then.

    Raises
    ------
    ArtifactError
        The model was saved without facts of these rows.
    DataError
        There is no text.
    """
    require_facts(predictor.artifact)
    facts = predictor.decision.fitting_facts
    assert facts is not None
    tally, counter = TrafficTally(predictor.decision, facts), TextFactsCounter(predictor.tokenizer)
    iterator, num_scored = iter(texts), 0
    while window := list(islice(iterator, _WINDOW_ROWS)):
        tokenized = predictor.tokenized(window)
        tally.update(predictor.logits_of(tokenized), counter.count(tokenized))
        num_scored += len(window)
        if progress is not None:
            progress(num_scored)
    if not num_scored:
        raise DataError("There is no text to compare with the rows that fitted the decision.")
    return tally.report(seed=seed)


def require_facts(artifact: Artifact) -> None:
    """Raise `ArtifactError` for a model that was saved without facts of the rows that fitted its decision."""
    if artifact.decision.fitting_facts is None:
        raise ArtifactError(
            f"{shown_file(artifact.folder)}: thresholds.json has no 'fitting_facts' (histograms of "
            "scores, lengths and tokens of the rows that fitted the decision), so there is nothing to compare "
            "with. 'multihot decide MODEL FILE' writes them: give it the labelled rows that fitted the decision, "
            "or newer ones."
        )
