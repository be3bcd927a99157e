"""The options of the training loss (`objective.*` in a recipe)."""

from __future__ import annotations

from dataclasses import dataclass

from multihot.core.recipes import require
from multihot.errors import OptionError

__all__ = ["LOSS_NAMES", "ObjectiveOptions"]

LOSS_NAMES = ("bce", "focal", "asymmetric", "zlpr", "distribution_balanced")
"""Names of the losses; the functions are in `models.losses`."""

_OF_ONE_LOSS = {
    "focal_gamma": "focal",
    "positive_gamma": "asymmetric",
    "negative_gamma": "asymmetric",
    "probability_margin": "asymmetric",
}


@dataclass(frozen=True, kw_only=True)
class ObjectiveOptions:
    """The loss and its additional terms (`objective.*` in a recipe or on the command line)."""

    loss: str = "bce"
    """`bce`, `focal`, `asymmetric`, `zlpr` or `distribution_balanced`; formulas: `models.losses`. *Experimental*: `focal`, +3.1 points of Jaccard (+1.7 to +4.5), and `distribution_balanced`, +2.1 (+0.6 to +3.6); no recipe uses them, as neither is distinguishable from `asymmetric` with `negative_gamma=2`, +2.7 (+1.5 to +3.9)."""
    positive_weight: str | float = 1.0
    """Weight of positive cells in `bce`: a number, or `balanced` (negatives per positive of each label) or `sqrt` (its square root). *Experimental*: `sqrt` +1.6 points of Jaccard (+0.2 to +3.1) with mean pooling, but -1.6 (-3.0 to -0.1) with `pooling=cls`; the others were not measured."""
    focal_gamma: float = 2.0
    """Focusing parameter gamma of `focal`: the larger, the less easy cells contribute. *Experimental*, as is `focal`."""
    positive_gamma: float = 0.0
    """Focusing parameter of `asymmetric` for positive cells. *Experimental*: values above 0 were not measured."""
    negative_gamma: float = 4.0
    """Focusing parameter of `asymmetric` for negative cells."""
    probability_margin: float = 0.05
    """Probability margin of `asymmetric`: negative cells below this probability contribute nothing."""
    label_smoothing: float = 0.0
    """Label smoothing per cell: targets move by this fraction towards 0.5. *Experimental*: +3.3 points of Jaccard (+2.0 to +4.6) at 0.1 after two epochs, but no better than `asymmetric` after three (.605 and .607), and its scores are not probabilities."""
    correlation_weight: float = 0.0
    """Weight of the label-correlation loss (SpanEmo), 0 to 1: positives of a text should score above its negatives. *Experimental*: +1.7 points of Jaccard (+0.6 to +2.7) at 0.2."""
    prior_adjustment: float = 0.0
    """Logit-adjustment strength tau (Menon et al. 2021), 0 to 1: raises the scores of rare labels."""
    r_drop_weight: float = 0.0
    """Weight of the R-Drop consistency loss between two dropout passes; doubles the time of a step. *Experimental*: +1.1 points of Jaccard (-0.1 to +2.2) at 1."""

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
                f"objective.positive_weight applies to objective.loss=bce only; {self.loss} weights cells "
                "itself. Set only one of them."
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
                    f"objective.{name} applies to objective.loss={loss} only, but the loss is {self.loss}. "
                    "Set only one of them."
                )
