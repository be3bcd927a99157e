"""What the options of the objective add up to."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from multihot.core.options import LOSS_NAMES, ObjectiveOptions
from multihot.core.recipes import build_options
from multihot.errors import OptionError
from multihot.models import losses
from multihot.training.objective import Objective, build_objective

CPU = torch.device("cpu")
POSITIVES, KNOWN = np.array([2, 8, 0]), np.array([20, 10, 20])


def objective(**values: object) -> Objective:
    return build_objective(build_options(ObjectiveOptions, values), POSITIVES, KNOWN, CPU)


def draw() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    targets = torch.randint(0, 2, (6, 3)).float()
    targets[0, 0] = torch.nan
    return torch.randn(6, 3), targets


@pytest.mark.parametrize("name", LOSS_NAMES)
def test_every_loss_that_has_a_name_can_be_built(name: str) -> None:
    logits, targets = draw()

    total, weight = objective(loss=name)([logits], targets, None)

    assert torch.isfinite(total)
    assert total > 0
    assert weight == 17


def test_the_default_is_the_binary_cross_entropy() -> None:
    logits, targets = draw()

    found = objective()([logits], targets, None)

    rows = losses.binary_cross_entropy(logits, targets)
    assert torch.equal(torch.stack(losses.weighted_sum(rows, targets)), torch.stack(found))


@pytest.mark.parametrize(
    ("wanted", "weights"),
    [("balanced", [9.0, 0.25, 1.0]), ("sqrt", [3.0, 0.5, 1.0]), ("2.5", [2.5, 2.5, 2.5])],
)
def test_positive_weights_come_from_the_training_rows(wanted: str, weights: list[float]) -> None:
    logits, targets = draw()

    found, _ = objective(positive_weight=wanted)([logits], targets, None)

    expected = losses.binary_cross_entropy(logits, targets, torch.tensor(weights)).sum()
    assert torch.allclose(expected, found)


def test_the_correlation_term_takes_its_share() -> None:
    logits, targets = draw()

    found, _ = objective(correlation_weight="0.2")([logits], targets, None)

    cells = (~torch.isnan(targets)).sum(dim=1)
    plain = losses.binary_cross_entropy(logits, targets)
    expected = (0.8 * plain + 0.2 * cells * losses.label_correlation(logits, targets)).sum()
    assert torch.allclose(expected, found)


def test_smoothing_changes_the_targets_of_the_loss() -> None:
    logits, targets = draw()

    found, _ = objective(label_smoothing="0.1")([logits], targets, None)

    assert torch.allclose(losses.binary_cross_entropy(logits, targets * 0.9 + 0.05).sum(), found)


def test_two_passes_are_averaged_and_made_to_agree() -> None:
    logits, targets = draw()
    wanted = objective(r_drop_weight="0.5")

    found, _ = wanted([logits, logits * 2], targets, None)

    each = [losses.binary_cross_entropy(z, targets).sum() for z in (logits, logits * 2)]
    expected = sum(each) / 2 + 0.5 * losses.consistency(logits, logits * 2, targets).sum()
    assert (wanted.num_passes, objective().num_passes) == (2, 1)
    assert torch.allclose(expected, found)


def test_row_weights_reach_every_part() -> None:
    logits, targets = draw()
    weights = torch.tensor([0.0, 0.0, 3.0, 0.0, 0.0, 0.0])

    total, weight = objective(correlation_weight="0.3")([logits], targets, weights)

    one, cells = objective(correlation_weight="0.3")([logits[2:3]], targets[2:3], None)
    assert torch.allclose(3 * one, total)
    assert weight == 3 * cells


@pytest.mark.parametrize("name", ["bce", "zlpr"])
def test_the_loss_sees_logits_with_their_share_of_the_prior(name: str) -> None:
    logits, targets = draw()
    prior = torch.tensor([2 / 20, 8 / 10, 1e-4]).logit()  # no row has the third label

    found, _ = objective(loss=name, prior_adjustment="0.3")([logits], targets, None)

    expected, _ = objective(loss=name)([logits + 0.3 * prior], targets, None)
    assert torch.allclose(expected, found)


def test_with_the_whole_prior_a_text_that_says_nothing_is_even_for_every_label() -> None:
    """The smallest loss of a constant is at logit 0, where it would be at the prior's log odds."""
    targets = torch.zeros(20, 3)
    targets[:2, 0], targets[4:, 1] = 1, 1  # shares as POSITIVES and KNOWN say
    constant = torch.zeros(3, requires_grad=True)

    total, _ = objective(prior_adjustment="1")([constant.expand(20, 3)], targets, None)
    total.backward()

    assert constant.grad is not None
    assert torch.allclose(constant.grad[:2], torch.zeros(2), atol=1e-5)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"loss": "hinge"}, "'objective.loss' is 'hinge'; expected one of bce, focal"),
        ({"positive_weight": "high"}, "'objective.positive_weight' is 'high'; expected balanced"),
        ({"positive_weight": "-1"}, "a number above 0"),
        (
            {"loss": "focal", "positive_weight": "2"},
            "positive_weight applies to objective.loss=bce only",
        ),
        ({"focal_gamma": "-1"}, "'objective.focal_gamma' is -1.0; expected at least 0"),
        ({"focal_gamma": "3"}, "focal_gamma applies to objective.loss=focal only"),
        ({"label_smoothing": "1"}, "'objective.label_smoothing' is 1.0"),
        ({"correlation_weight": "1.5"}, "a number between 0 and 1"),
        ({"prior_adjustment": "-0.1"}, "'objective.prior_adjustment' is -0.1; expected a number"),
    ],
)
def test_what_makes_no_sense_is_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        objective(**values)
