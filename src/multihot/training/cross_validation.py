"""With few rows: each is scored by a network that has not seen it, and then all are trained on.

Letters: `N` rows that judge, `L` labels, `K` folds.
"""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch

from multihot.core.progress import Listener
from multihot.data.dataset import EncodedExamples, Labelled
from multihot.data.duplicates import normalised
from multihot.data.examples import Examples
from multihot.data.stratify import stratified_folds, unit_key, units_of
from multihot.errors import DataError
from multihot.training import checkpoint
from multihot.training.run import Setup, Trained, copied_weights, run_steps, take_best
from multihot.training.run_directory import RunDirectory
from multihot.training.validation import ValidationSet

__all__ = ["assign_folds", "cross_validate", "labelled_rows"]

_CHUNK_ROWS = 1024

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]


def labelled_rows(train_set: EncodedExamples) -> IntArray:
    """Return the N rows that are dealt into folds: those with a known label, others judge nothing."""
    return np.flatnonzero(train_set.labels.labelled())


def cross_validate(
    setup: Setup, train_set: EncodedExamples, held_out: ValidationSet, folder: RunDirectory
) -> Trained:
    """Score each row out of fold, train on all rows, and fit the decision on the former scores.

    `held_out` holds the `labelled_rows` of `train_set`. No run has rows to choose an epoch by: one
    chosen on the fold would make its scores better than those of new texts. All keep their last.
    """
    num_folds, fold_of, listener = setup.options.folds, held_out.fold_of, setup.listener
    assert num_folds is not None
    assert fold_of is not None
    rows = labelled_rows(train_set)
    start = copied_weights(setup.network)
    logits = np.zeros((len(rows), len(train_set.labels.space)), dtype=np.float32)
    for fold in range(num_folds):
        scored = rows[fold_of == fold]
        listener.say(
            f"Fold {fold + 1} of {num_folds}: {len(train_set) - len(scored)} rows train the network "
            f"that scores {len(scored)}."
        )
        place = RunDirectory(folder.folds / f"fold-{fold + 1}")
        logits[fold_of == fold] = _logits_without(setup, train_set, scored, place)
        setup.network.load_state_dict(start)
    listener.say(f"All {len(train_set)} rows train the network that is kept.")
    state = run_steps(setup, train_set, folder, evaluate=dict)
    take_best(setup, state, folder)
    decision, report = held_out.decide(logits, final=True)
    return Trained(
        decision,
        report,
        state.best_epoch,
        judged_by="rows out of fold",
        remark=(
            f"Each row was scored by one of {num_folds} networks, trained likewise on the rows of the "
            "other folds; the network here was trained on all rows. The scores also fitted the "
            "thresholds"
        ),
    )


def _logits_without(
    setup: Setup, train_set: EncodedExamples, scored: IntArray, folder: RunDirectory
) -> FloatArray:
    """Train on all rows but those of a fold, and return their logits, which are kept for `--resume`."""
    if (saved := checkpoint.load_result(folder.result)) is not None:
        return np.asarray(saved[0]["logits"].numpy(), dtype=np.float32)
    kept = np.setdiff1d(np.arange(len(train_set)), scored)
    # Trackers follow the network that is kept.
    quiet = replace(setup, options=replace(setup.options, trackers=()))
    state = run_steps(quiet, train_set.take(kept), folder, evaluate=dict)
    take_best(quiet, state, folder)
    logits = setup.backend.logits(train_set.take(scored).tokens)
    checkpoint.save_result(folder.result, {"logits": torch.from_numpy(logits)}, {})
    shutil.rmtree(folder.checkpoints, ignore_errors=True)
    return logits


def assign_folds(
    train_set: EncodedExamples, num_folds: int, seed: int, listener: Listener
) -> IntArray:
    """Return the fold of each of the `labelled_rows`, stratified by label, and say what it came to.

    Rows of alike texts (`data.repeats.normalised`) and of one group (`data.split_by`) are in one fold.
    *Shape:* (N,), int64, 0 to K - 1. Raises `DataError` when there are fewer rows that may be parted.
    """
    rows = labelled_rows(train_set)
    texts = _text_keys(train_set.origin)
    if len(texts) != len(train_set):
        raise DataError(
            "The file changed while it was read. Start again.", path=train_set.origin.source
        )
    groups = train_set.units(rows)
    units = units_of(texts[rows]) if groups is None else units_of(texts[rows], groups)
    labels = train_set.labels.take(rows).matrix()
    fold_of = stratified_folds(labels, num_folds, seed, units=units)
    sizes = np.bincount(fold_of)
    listener.say(
        f"{num_folds} folds of {sizes.min()} to {sizes.max()} of {len(rows)} labelled rows, stratified "
        "by label."
    )
    if together := len(rows) - int((np.unique(units, return_counts=True)[1] == 1).sum()):
        listener.say(f"{together} rows stay in the fold of others with alike text or equal group.")
    positive = labels.hard().values == 1
    inside = np.stack([positive[fold_of == fold].sum(axis=0) for fold in range(num_folds)])
    lost = (inside == inside.sum(axis=0)).any(axis=0) & (inside.sum(axis=0) > 0)
    if lost.any():
        names = ", ".join(np.asarray(labels.space.names)[lost])
        listener.say(
            f"All rows with these labels are in one fold, so that the network that scores them has "
            f"not learnt the label: {names}. Label more such rows."
        )
    return fold_of


def _text_keys(origin: Labelled) -> IntArray:
    """Return a number for each row of the origin, equal for alike texts, -1 for blank ones."""
    chunks = [origin] if isinstance(origin, Examples) else origin.chunks(_CHUNK_ROWS)
    keys = [unit_key(normalised(text)) for chunk in chunks for text in chunk.texts]
    return np.array(keys, dtype=np.int64)
