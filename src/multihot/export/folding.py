"""Thresholds and calibration inside the last linear layer: `sigmoid(logit) >= 0.5` then is our decision.

    a z + b >= logit(t)     <=>     z' = a z + b - logit(t) >= 0

Every consumer with a sigmoid and 0.5 so decides as the model does. Its scores are no probabilities then.
Letters: `L` labels, `D` width.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from multihot.core.numeric import logit
from multihot.decision.decision import Decision
from multihot.errors import OptionError
from multihot.models.heads import LabelsInTextHead
from multihot.models.network import EncoderAndHead

__all__ = ["fold"]

_ALWAYS = 3e4  # as a logit: what is added for a threshold of 0, and taken away for one of 1
_OURS = "The folded export is not written; leave out --fold-thresholds and let multihot decide."


def fold(network: Any, decision: Decision) -> Decision:
    """Change the last layer of a network so that a logit of 0 is every threshold.

    Returns the decision of the changed network: 0.5 for every label, without calibration.

    Raises `OptionError` for decisions that no linear layer makes.
    """
    slope, offset = _line(decision)
    pooling = getattr(network, "window_pooling", None)
    if pooling is not None and pooling.settings().pooling not in ("max", "mean"):
        raise OptionError(
            f"The model pools windows by {pooling.settings().pooling}, and no line of their logits is the "
            f"line of what they pool to. {_OURS}"
        )
    facts, names = decision.fitting_facts, decision.space.names
    with torch.no_grad():
        if isinstance(network, EncoderAndHead) and isinstance(network.head, LabelsInTextHead):
            if not np.allclose(slope, slope[0], rtol=0, atol=0):
                raise OptionError(
                    "With pooling 'labels' all labels share one scorer, and the calibration has a slope "
                    f"for each. {_OURS}"
                )
            network.head.scorer.weight.mul_(float(slope[0]))
            network.head.offset.copy_(_folded(network.head.offset, slope, offset))
        else:
            layer = _last_layer(network, len(decision.space))
            layer.weight.copy_(_folded(layer.weight, slope[:, None], 0.0))
            layer.bias.copy_(_folded(layer.bias, slope, offset))
    return replace(
        decision,
        thresholds=(0.5,) * len(decision.space),
        kind="fixed",
        calibration=None,
        fit_report=None,
        fitting_facts=None if facts is None else facts.with_lines(names, slope, offset),
    )


def _line(decision: Decision) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return slope and offset of each label, *shapes* (L,): what becomes of its logit."""
    calibration = decision.calibration
    if decision.kind == "top_k" or decision.empty_set_rule == "at_least_one":
        what = "ranks" if decision.kind == "top_k" else "the rule 'at_least_one'"
        raise OptionError(f"The labels follow from {what}, which no threshold is. {_OURS}")
    if calibration is not None and calibration.method in ("beta", "isotonic"):
        raise OptionError(
            f"The calibration '{calibration.method}' is no line, so no linear layer can hold it. {_OURS} "
            "Or fit another one first: multihot decide MODEL FILE --calibration platt."
        )
    if decision.space.hierarchy is not None:
        raise OptionError(
            f"The labels have a hierarchy, and no linear layer gives a label with those below it. {_OURS}"
        )
    num_labels = len(decision.space)
    slope, offset = np.ones(num_labels), np.zeros(num_labels)
    if calibration is not None:
        slope[:] = calibration.slope
        for column, each in enumerate(calibration.maps):
            if each is not None:
                slope[column], offset[column] = each[0]
    thresholds = np.asarray(decision.thresholds)
    border = np.where(thresholds == 0, -_ALWAYS, np.where(thresholds == 1, _ALWAYS, 0.0))
    inside = (thresholds > 0) & (thresholds < 1)
    border[inside] = logit(thresholds[inside])
    return slope, offset - border


def _folded(values: torch.Tensor, slope: Any, offset: Any) -> torch.Tensor:
    """Return `slope * values + offset`, computed in float64."""
    return torch.from_numpy(np.asarray(values.double().numpy() * slope + offset)).float()


def _last_layer(network: Any, num_labels: int) -> nn.Linear:
    """Return the linear layer that makes the logits."""
    if isinstance(network, EncoderAndHead):
        head = network.head
        assert not isinstance(head, LabelsInTextHead)
        return head.classifier
    inside = {id(module) for module in network.transformer.modules()}
    layers = [
        module
        for module in network.model.modules()
        if isinstance(module, nn.Linear)
        and id(module) not in inside
        and module.out_features == num_labels
        and module.bias is not None
    ]
    if not layers:
        raise OptionError(
            f"The last layer of {type(network.model).__name__} is no linear layer. {_OURS}"
        )
    return layers[-1]
