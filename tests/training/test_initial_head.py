"""How a head starts: which start suits a run, and a fitted one against scikit-learn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from factories import rows
from multihot.data.dataset import encode
from multihot.data.tokens import load_tokenizer
from multihot.training.initial_head import (
    choose_initial_head,
    fit_output_layer,
    fitted_by_the_first,
)
from multihot.training.ranks import Ranks


def random_rows(
    num_rows: int = 200, width: int = 6, num_labels: int = 4
) -> tuple[torch.Tensor, torch.Tensor]:
    """Vectors that resemble each other, and labels that a linear rule tells with some noise."""
    generator = torch.Generator().manual_seed(7)
    vectors = 3 + 0.2 * torch.randn(num_rows, width, generator=generator)
    rule = torch.randn(width, num_labels, generator=generator)
    noise = torch.randn(num_rows, num_labels, generator=generator)
    return vectors, ((5 * (vectors - 3) @ rule + noise) > 1).float()


@pytest.mark.parametrize(
    ("positives", "epochs", "num_steps", "chosen"),
    [
        ([100, 100, 5], 4, 1000, "prevalence"),  # 400 updates of the median label
        ([99, 99, 5000], 4, 1000, "fitted"),
        (
            [9999, 9999, 9999],
            5,
            399,
            "fitted",
        ),  # no label is updated more often than there are steps
        ([9999, 9999, 9999], 5, 400, "prevalence"),
        ([20_000 - 10] * 3, 5, 1000, "fitted"),  # few lack the label
        ([0, 0, 0], 5, 1000, "fitted"),
    ],
)
def test_a_head_is_fitted_where_the_median_label_would_be_updated_rarely(
    positives: list[int], epochs: int, num_steps: int, chosen: str
) -> None:
    known = np.full(3, 20_000)

    found = choose_initial_head(
        np.array(positives), known, num_rows=20_000, epochs=epochs, num_steps=num_steps
    )

    assert found == chosen


@pytest.mark.parametrize(
    ("num_known", "num_labels", "num_rows"),
    [(40_000, 1000, 40_000), (100, 1000, 40_000), (300_000, 10, 300_000)],
)
def test_with_too_much_to_fit_the_head_starts_at_the_frequencies(
    num_known: int, num_labels: int, num_rows: int
) -> None:
    positives, known = np.full(num_labels, 3), np.full(num_labels, num_known)

    found = choose_initial_head(positives, known, num_rows=num_rows, epochs=5, num_steps=9000)

    assert found == "prevalence"


def test_the_fitted_layer_is_the_one_of_scikit_learn() -> None:
    vectors, targets = random_rows()
    targets[:50, 1] = torch.nan
    weights = torch.linspace(0.2, 2, len(vectors))

    weight, bias = fit_output_layer(vectors, targets, weights)

    centred = vectors - vectors.mean(dim=0)
    inputs = centred / centred.square().mean().sqrt()
    for column in range(targets.shape[1]):
        known = ~torch.isnan(targets[:, column])
        model = LogisticRegression(C=2.0**2 / vectors.shape[1], tol=1e-8)
        model.fit(inputs[known], targets[known, column], sample_weight=weights[known])
        expected = model.decision_function(inputs)
        np.testing.assert_allclose(vectors @ weight[column] + bias[column], expected, atol=0.02)


def test_a_label_with_one_value_gets_the_log_odds_of_its_frequency() -> None:
    vectors, targets = random_rows()
    targets[:, 0], targets[:, 1] = 0, 1
    targets[:, 2] = torch.nan

    weight, bias = fit_output_layer(vectors, targets)

    assert not weight[:3].any()
    torch.testing.assert_close(bias[:2], torch.log(torch.tensor([0.5 / 200.5, 200.5 / 0.5])))
    assert bias[2] == 0
    assert weight[3].any()


def test_vectors_that_are_all_equal_give_the_frequencies() -> None:
    _, targets = random_rows()
    vectors = torch.ones(len(targets), 6)

    weight, bias = fit_output_layer(vectors, targets)

    logits = torch.nn.functional.linear(vectors, weight, bias)
    torch.testing.assert_close(torch.sigmoid(logits[0]), targets.mean(dim=0), atol=0.01, rtol=0)


class Sums(Ranks):
    """A process whose sums over all processes are one more than its own numbers."""

    def sum_array(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        array += 1
        return array


def test_only_the_first_process_fits_and_all_take_its_layer(tiny_encoder: Path) -> None:
    training = rows(30, 2)
    vectors = torch.ones(30, 5)
    assert training.labels is not None
    given = encode(
        training, training.labels.space, load_tokenizer(tiny_encoder / "tokenizer.json"), 16
    )

    first = fitted_by_the_first(vectors, given, Sums(0, 2))
    second = fitted_by_the_first(vectors, given, Sums(1, 2))

    own = fit_output_layer(vectors, torch.from_numpy(training.labels.values))
    for found, expected in zip(first, own, strict=True):
        torch.testing.assert_close(found, expected + 1)
    for found in second:
        assert (found == 1).all()
