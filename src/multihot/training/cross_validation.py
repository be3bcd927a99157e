"""Cross-validation for few rows: each is scored by a network not trained on it; then all train one.

Letters: `N` labelled rows, `L` labels, `K` folds.
"""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch

from multihot.core.progress import Listener
from multihot.core.text_tables import counted, listed
from multihot.data.dataset import Labelled, Subset
from multihot.data.duplicates import normalised
from multihot.data.examples import Examples
from multihot.data.stratify import stratified_folds, unit_key, units_of
from multihot.errors import DataError
from multihot.training import checkpoint
from multihot.training.run import Setup, Trained, copied_weights, load_best_epoch, run_steps
from multihot.training.run_directory import RunDirectory
from multihot.training.validation import ValidationSet

__all__ = ["cross_validate", "cross_validation_folds", "labelled_rows", "out_of_fold_logits"]

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]


def labelled_rows(train_set: Subset) -> IntArray:
    """Return the N rows that are assigned to folds: those with a known label."""
    return np.flatnonzero(train_set.has_known_label())


def cross_validate(
    setup: Setup, train_set: Subset, validation: ValidationSet, directory: RunDirectory
) -> Trained:
    """Score each row out of fold, train on all rows, and fit the decision on the out-of-fold scores.

    `validation` holds the `labelled_rows` of `train_set`. No run selects an epoch, since selecting it
    on the test fold would make the scores of that fold optimistic: all keep their last one.
    """
    num_folds, fold_of, listener = setup.options.folds, validation.fold_of, setup.listener
    assert num_folds is not None
    assert fold_of is not None
    logits = out_of_fold_logits(setup, train_set, labelled_rows(train_set), fold_of, directory)
    listener.say(f"Training the final network on all {len(train_set)} rows.")
    state = run_steps(setup, train_set, directory, evaluate=dict)
    load_best_epoch(setup, state, directory)
    decision, report = validation.decide(logits, final=True)
    return Trained(decision, report, state.best_epoch, "out_of_fold", num_folds)


def out_of_fold_logits(
    setup: Setup, train_set: Subset, rows: IntArray, fold_of: IntArray, directory: RunDirectory
) -> FloatArray:
    """Return the logits of rows by networks that were not trained on them, nor on others of their fold.

    The network has its first weights again afterwards. What a fold gave is kept in `directory`, so that
    an interrupted run goes on behind it.

    Parameters
    ----------
    rows
        *Shape:* (N,). Positions in `train_set`; rows that are in no fold are always trained on.
    fold_of
        *Shape:* (N,), 0 to K - 1.
    """
    listener, num_folds = setup.listener, int(fold_of.max()) + 1
    initial = copied_weights(setup.network)
    logits = np.zeros((len(rows), len(train_set.space)), dtype=np.float32)
    for fold in range(num_folds):
        test_rows = rows[fold_of == fold]
        listener.say(
            f"Fold {fold + 1} of {num_folds}: training on {len(train_set) - len(test_rows)} rows, "
            f"scoring {len(test_rows)}."
        )
        one = RunDirectory(directory.folds / f"fold-{fold + 1}")
        logits[fold_of == fold] = _logits_of_fold(setup, train_set, test_rows, one)
        setup.network.load_state_dict(initial)
    return logits


def _logits_of_fold(
    setup: Setup, train_set: Subset, test_rows: IntArray, directory: RunDirectory
) -> FloatArray:
    """Train on all rows but those of a fold, and return their logits, which are kept for `--resume`."""
    expected = {"logits": torch.empty(len(test_rows), len(train_set.space))}
    if (saved := checkpoint.load_result(directory.result, expected)) is not None:
        return np.asarray(saved[0]["logits"].numpy(), dtype=np.float32)
    others = np.setdiff1d(np.arange(len(train_set)), test_rows)
    # Trackers follow the final network.
    untracked = replace(setup, options=replace(setup.options, trackers=()))
    state = run_steps(untracked, train_set.take(others), directory, evaluate=dict)
    load_best_epoch(untracked, state, directory)
    logits = setup.backend.logits(train_set.tokens, train_set.indices[test_rows])
    checkpoint.save_result(directory.result, {"logits": torch.from_numpy(logits)}, {})
    shutil.rmtree(directory.checkpoints, ignore_errors=True)
    return logits


def cross_validation_folds(
    train_set: Subset, num_folds: int, seed: int, listener: Listener
) -> IntArray:
    """Return the fold of each of the `labelled_rows`, stratified by label, and report the sizes.

    Rows with duplicate texts (`data.duplicates.normalised`) or of one group (`data.split_by`) are in
    one fold. *Shape:* (N,), int64, 0 to K - 1. Raises `DataError` when there are fewer than K units.
    """
    rows = labelled_rows(train_set)
    texts = _text_keys(train_set.origin)
    if len(texts) != len(train_set):
        raise DataError(
            "The file changed while it was read. Start again.", path=train_set.origin.source
        )
    labelled = train_set.take(rows)
    groups = labelled.units()
    units = units_of(texts[rows]) if groups is None else units_of(texts[rows], groups)
    labels = labelled.labels()
    fold_of = stratified_folds(labels, num_folds, seed, units=units)
    sizes = np.bincount(fold_of)
    listener.say(
        f"{num_folds} folds of {sizes.min()} to {sizes.max()} of {len(rows)} labelled rows, stratified "
        "by label."
    )
    if together := len(rows) - int((np.unique(units, return_counts=True)[1] == 1).sum()):
        listener.say(
            f"{counted(together, 'row shares', 'rows share')} a fold with rows of duplicate text or the same group."
        )
    positive = labels.hard().values == 1
    inside = np.stack([positive[fold_of == fold].sum(axis=0) for fold in range(num_folds)])
    lost = (inside == inside.sum(axis=0)).any(axis=0) & (inside.sum(axis=0) > 0)
    if lost.any():
        names = listed(list(np.asarray(labels.space.names)[lost]))
        listener.say(
            f"All positives of these labels are in one fold, so the network that scores them was "
            f"trained without any: {names}. Label more positives."
        )
    return fold_of


def _text_keys(origin: Labelled) -> IntArray:
    """Return a key for each row of the origin, equal for duplicate texts, -1 for blank ones."""
    chunks = [origin] if isinstance(origin, Examples) else origin.chunks()
    keys = [unit_key(normalised(text)) for chunk in chunks for text in chunk.texts]
    return np.array(keys, dtype=np.int64)
