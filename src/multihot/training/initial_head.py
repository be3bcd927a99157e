"""The head before the first step: random, at the frequencies of the labels, or fitted.

A head that starts at a probability of one half teaches the encoder, before anything else, what all texts
have in common: that most labels are absent. So every label starts at its frequency, at no cost.

The vectors of texts from an encoder that was not trained yet resemble each other, so a linear layer
needs large weights to tell them apart, and an optimiser that moves each weight by at most the learning
rate needs hundreds of steps to get there; a rare label has a positive in few of them. Where a run is
short for its labels, the layer is first fitted alone on the vectors of the training rows. That is
logistic regression: convex, without a seed, and done in seconds.

Letters: `N` rows, `D` width, `L` labels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from multihot.core.numeric import frequency_logit
from multihot.core.options import InitialHeadName, TrainOptions
from multihot.core.progress import Listener
from multihot.data.dataset import Subset
from multihot.inference.torch_backend import TorchBackend
from multihot.models.devices import Precision
from multihot.training.ranks import Ranks
from multihot.training.shared_logits import shared_logits

__all__ = ["choose_initial_head", "fit_output_layer", "fitted_by_the_first", "initialize_head"]

_ENOUGH_UPDATES = 400
_MOST_CELLS = 1 << 25
_MOST_ROWS = 1 << 18  # whose vectors are held
_CELLS_AT_ONCE = 1 << 22
_SPREAD = 2.0  # standard deviation of a logit around its label's log odds, as assumed beforehand
_ITERATIONS = 100
_TOLERANCE = 1e-7
_MIN_SCALE = 0.02  # of the root mean square of the vectors; smaller differences are mostly rounding


def choose_initial_head(
    positives: npt.NDArray[Any],
    known: npt.NDArray[Any],
    *,
    num_rows: int,
    epochs: int,
    num_steps: int,
) -> InitialHeadName:
    """Return how the head of a run should start: `fitted` or `prevalence`.

    A label's row of the head leaves its start in the steps whose texts have the label, or lack it if
    fewer do: at most `epochs` times their number, and at most all steps. Where that is fewer than 400 for
    the median label, the head is fitted, unless rows, or rows times labels, are too many to fit in seconds.

    Parameters
    ----------
    positives, known
        Number of positives of each label and of its known cells. *Shape:* (L,) each.
    """
    rarer = np.minimum(positives, known - positives)
    updates = np.minimum(rarer * epochs, num_steps)
    if len(updates) and np.median(updates) >= _ENOUGH_UPDATES:
        return "prevalence"
    # Unknown cells are computed and held like known ones.
    is_small = num_rows * len(known) <= _MOST_CELLS and num_rows <= _MOST_ROWS
    return "fitted" if is_small else "prevalence"


def initialize_head(
    backend: TorchBackend,
    train_set: Subset,
    options: TrainOptions,
    *,
    num_steps: int,
    precision: Precision,
    ranks: Ranks,
    listener: Listener,
) -> None:
    """Give the new head of the backend's network the start that the options ask for, or that suits the run.

    The vectors of the rows are computed in the `precision` of training, by all processes together. A head that
    scores all labels by one layer (`pooling=labels`) starts at the frequencies instead of being fitted.
    """
    totals, asked = train_set.label_totals(), options.initial_head
    chosen = asked or choose_initial_head(
        totals.sums,
        totals.known,
        num_rows=len(train_set),
        epochs=options.epochs,
        num_steps=num_steps,
    )
    if chosen == "random":
        return
    network: Any = backend.network
    offsets, place = network.label_offsets, network.output_layer
    if offsets is None:
        if asked:
            listener.say(f"initial_head={asked} has no effect: this head has no offset per label.")
        return
    # With logit adjustment the loss adds the labels' prior itself.
    prior = options.objective.prior_adjustment * frequency_logit(totals.sums, totals.known)
    added = torch.from_numpy(prior + _added_by_windows(network, train_set)).float()
    with torch.no_grad():
        if chosen == "prevalence" or place is None:
            offsets.copy_(torch.from_numpy(frequency_logit(*train_set.weighted_totals())) - added)
            if asked == "fitted":
                listener.say(
                    "initial_head=fitted is not possible where one layer scores all labels: each starts at "
                    "its frequency."
                )
            return
        vectors = torch.from_numpy(_head_inputs(backend, train_set, place, precision, ranks))
        if not torch.isfinite(vectors).all():
            return  # the first step that reads such a row names it
        weight, bias = fitted_by_the_first(vectors, train_set, ranks)
        getattr(*place).weight.copy_(weight)
        offsets.copy_(bias - added)
    rarer = np.minimum(totals.sums, totals.known - totals.sums)
    why = (
        ""
        if asked
        else f": {num_steps} steps with {np.median(rarer):g} positives of the median label would not take it "
        "far"
    )
    listener.say(
        "The head was fitted before training, on the encoder's vectors of the training rows"
        f"{why} (initial_head=fitted)."
    )


def _added_by_windows(network: Any, train_set: Subset) -> float:
    """Return what pooling adds to a logit that is the same in all windows of a text, on average."""
    windows, pooling = train_set.tokens.windows, network.window_pooling
    if windows is None or pooling.settings().pooling != "log_sum_exp":
        return 0.0
    return float(np.log(windows.counts[train_set.indices]).mean())


def fitted_by_the_first(vectors: Tensor, train_set: Subset, ranks: Ranks) -> tuple[Tensor, Tensor]:
    """Return weight and bias that the first process fits: elsewhere the last bits would differ."""
    weight = torch.zeros(len(train_set.space), vectors.shape[1])
    bias = torch.zeros(len(train_set.space))
    if ranks.is_first:
        values = torch.from_numpy(train_set.labels().values)
        weights = train_set.weights()
        counted = None if weights is None else torch.from_numpy(weights)
        for labels in _label_ranges(len(train_set), len(bias)):
            weight[labels], bias[labels] = fit_output_layer(vectors, values[:, labels], counted)
    for each in (weight, bias):
        ranks.sum_array(each.numpy())
    return weight, bias


def fit_output_layer(
    vectors: Tensor, targets: Tensor, weights: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return weight, (L, D), and bias, (L,), of logistic regressions of all labels on the same vectors.

    The vectors are centred and scaled, all columns by the same number. The L2 penalty on the weights is
    that of a normal prior under which a logit has a standard deviation of 2; the bias is free. Unknown
    cells count nothing. A label with one value only gets the log odds of its frequency, with half a
    text added on either side.

    Parameters
    ----------
    vectors
        *Shape:* (N, D), float32.
    targets
        *Shape:* (N, L), 0 to 1, NaN = unknown.
    weights
        Of the rows, *shape* (N,), float32; `None` = 1.
    """
    mean = vectors.mean(dim=0)
    size = vectors.square().mean().sqrt()
    scale = vectors.var(dim=0, correction=0).mean().sqrt().maximum(_MIN_SCALE * size)
    scale = torch.where(scale > 0, scale, 1.0)
    inputs = (vectors - mean) / scale
    counts = (~torch.isnan(targets)).float()
    if weights is not None:
        counts = counts * weights[:, None]
    truth = torch.nan_to_num(targets)
    positives, known = (truth * counts).sum(dim=0), counts.sum(dim=0)
    penalty = vectors.shape[1] / _SPREAD**2
    start = torch.log((positives + 0.5) / (known - positives + 0.5))
    bias = start.clone().requires_grad_()
    weight = torch.zeros(targets.shape[1], vectors.shape[1]).requires_grad_()
    optimizer: Any = torch.optim.LBFGS(
        [weight, bias],
        max_iter=_ITERATIONS,
        tolerance_change=_TOLERANCE,
        history_size=10,
        line_search_fn="strong_wolfe",
    )

    num_rows = len(inputs)

    @torch.no_grad()
    def loss() -> Tensor:
        """Return the penalised loss per row, and leave its gradients with weight and bias."""
        logits = nn.functional.linear(inputs, weight, bias)
        cells = nn.functional.binary_cross_entropy_with_logits(
            logits, truth, weight=counts, reduction="sum"
        )
        surplus = (torch.sigmoid(logits) - truth).mul_(counts)
        weight.grad = (surplus.T @ inputs + penalty * weight) / num_rows
        bias.grad = surplus.sum(dim=0) / num_rows
        value: Tensor = (cells + penalty / 2 * weight.square().sum()) / num_rows
        return value

    optimizer.step(loss)
    both = (positives > 0) & (positives < known)
    slopes = torch.where(both[:, None], weight.detach() / scale, 0.0)
    return slopes, torch.where(both, bias.detach() - slopes @ mean, start)


def _label_ranges(num_rows: int, num_labels: int) -> list[slice]:
    """Return consecutive labels whose cells are few enough to be fitted together."""
    each = max(1, _CELLS_AT_ONCE // max(1, num_rows))
    return [slice(start, min(start + each, num_labels)) for start in range(0, num_labels, each)]


def _head_inputs(
    backend: TorchBackend,
    train_set: Subset,
    place: tuple[Any, str],
    precision: Precision,
    ranks: Ranks,
) -> npt.NDArray[np.float32]:
    """Return what the output layer reads of each row, without dropout. *Shape:* (N, D).

    Of a text in several windows: the mean of theirs.
    """
    holder, name = place
    layer = getattr(holder, name)
    setattr(holder, name, nn.Identity())
    try:
        without = TorchBackend(
            backend.network,
            layer.in_features,
            backend.device,
            precision,
            packed=backend.packed,
        )
        if train_set.tokens.windows is None:
            return shared_logits(without, train_set.tokens, train_set.indices, ranks)
        tokens = train_set.tokens.selected(train_set.indices)
        windows = tokens.windows
        assert windows is not None
        parts = tokens.by_window()
        each = shared_logits(without, parts, np.arange(len(parts)), ranks)
        sums = np.add.reduceat(each, windows.first[:-1], axis=0)
        return np.asarray(sums / windows.counts[:, None], dtype=np.float32)
    finally:
        setattr(holder, name, layer)
