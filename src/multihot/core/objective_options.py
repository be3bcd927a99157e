"""What training minimises: the options of the loss (`objective.*` in a recipe)."""

from __future__ import annotations

from dataclasses import dataclass

from multihot.core.recipes import require
from multihot.errors import OptionError

__all__ = ["LOSS_NAMES", "ObjectiveOptions"]

LOSS_NAMES = ("bce", "focal", "asymmetric", "zlpr", "distribution_balanced")
"""What `objective.loss` may be; the functions are in `models.losses`."""

_OF_ONE_LOSS = {
    "focal_gamma": "focal",
    "positive_gamma": "asymmetric",
    "negative_gamma": "asymmetric",
    "probability_margin": "asymmetric",
}


@dataclass(frozen=True, kw_only=True)
class ObjectiveOptions:
    """The loss and what is added to it (`objective.*` in a recipe or on the command line)."""

    loss: str = "bce"
    """`bce`, `focal`, `asymmetric`, `zlpr` or `distribution_balanced`; formulas: `models.losses`."""
    positive_weight: str | float = 1.0
    """Of cells that have the label, in `bce`: a number, or `balanced` or `sqrt` (of negatives per positive of each label)."""
    focal_gamma: float = 2.0
    """Focusing of `focal`: the larger, the less easy cells count."""
    positive_gamma: float = 0.0
    """Focusing of `asymmetric` on cells that have the label."""
    negative_gamma: float = 4.0
    """Focusing of `asymmetric` on cells that have it not."""
    probability_margin: float = 0.05
    """In `asymmetric`, cells without the label count nothing below this probability."""
    label_smoothing: float = 0.0
    """Targets are moved by this share towards 0.5 per cell."""
    correlation_weight: float = 0.0
    """Share of the label-correlation term, 0 to 1: labels of a text shall score above its others."""
    prior_adjustment: float = 0.0
    """How far rare labels are favoured, 0 to 1: so much of what their rarity alone says about the score of a label is taken out of it."""
    r_drop_weight: float = 0.0
    """Weight of agreement between two passes with different dropout; above 0 a step takes twice as long."""

    def __post_init__(self) -> None:
        require(
            self.loss in LOSS_NAMES, "objective.loss", self.loss, f"one of {', '.join(LOSS_NAMES)}"
        )
        weight = self.positive_weight
        require(
            weight in ("balanced", "sqrt") if isinstance(weight, str) else weight > 0,
            "objective.positive_weight",
            weight,
            "balanced, sqrt or a number above 0",
        )
        if weight != 1.0 and self.loss != "bce":
            raise OptionError(
                f"objective.positive_weight belongs to objective.loss=bce; {self.loss} weighs cells "
                "in its own way. Leave one of them out."
            )
        for name in ("focal_gamma", "positive_gamma", "negative_gamma", "r_drop_weight"):
            require(
                getattr(self, name) >= 0, f"objective.{name}", getattr(self, name), "at least 0"
            )
        for name in ("probability_margin", "label_smoothing"):
            value = getattr(self, name)
            require(0 <= value < 1, f"objective.{name}", value, "at least 0 and below 1")
        for name in ("correlation_weight", "prior_adjustment"):
            value = getattr(self, name)
            require(0 <= value <= 1, f"objective.{name}", value, "a number between 0 and 1")
        for name, loss in _OF_ONE_LOSS.items():
            if self.loss != loss and getattr(self, name) != getattr(type(self), name):
                raise OptionError(
                    f"objective.{name} belongs to objective.loss={loss}, but the loss is {self.loss}. "
                    "Leave one of them out."
                )
