"""Limits beside a goal: `jaccard, recall[threat]>=0.9@0.95, abstained<=0.15`.

A goal is what is maximised on the rows that fit it. A limit is promised for texts like them: in so many
of 100 choices of the rows it holds (`@0.95`, the default), or on average over all choices (`@mean`).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from multihot.core.goals import GOAL_FORMS, parse_goal
from multihot.core.text_tables import cut, listed
from multihot.errors import OptionError

__all__ = ["LIMIT_FORMS", "Limit", "parse_limit", "require_labels", "split_goal"]

LIMIT_FORMS = ("recall[LABEL]>=R", "precision[LABEL]>=P", "samples_recall>=R", "abstained<=A")
"""How every limit is written; `@C` behind it is the confidence, `@mean` asks for it on average."""

_CONFIDENCE = 0.95
_FORM = re.compile(
    r"(?P<name>recall|precision|samples_recall|abstained)\s*"
    r"(?P<label>\[.*\])?\s*"
    r"(?P<sign>[<>]=)\s*(?P<level>[^@\s]+)\s*"
    r"(@\s*(?P<confidence>\S+))?",
    re.DOTALL,
)
_OF_LABELS = ("recall", "precision")
_MEAN = "mean"
_DECIMALS = 9  # of levels and confidences


@dataclass(frozen=True)
class Limit:
    """What a decision promises."""

    name: str
    """`recall` or `precision` of a label; `samples_recall`: the fraction of a text's labels that is found,
    averaged over texts, 1 for a text that has none; `abstained`: the fraction of texts that get no label."""
    level: float
    """The least recall or precision, the largest fraction that abstains; inside 0 and 1."""
    label: str | None = None
    confidence: float | None = _CONFIDENCE
    """Probability, over the choice of the rows, that the limit holds; `None`: it holds on average."""

    @property
    def risk(self) -> float:
        """The largest expected loss: of a miss, a wrong label, or an abstention."""
        # As it was written: 1 - 0.9 would be a little less than a tenth.
        return self.level if self.name == "abstained" else round(1 - self.level, 12)

    @property
    def tolerated(self) -> float | None:
        """The probability with which the limit may be broken; `None` on average."""
        return None if self.confidence is None else round(1 - self.confidence, 12)

    def is_kept(self, value: float) -> bool:
        """Return whether a recall, a precision or a fraction that abstains keeps the limit."""
        return value <= self.level if self.name == "abstained" else value >= self.level

    def __str__(self) -> str:
        label = "" if self.label is None else f"[{_quoted(self.label)}]"
        sign = "<=" if self.name == "abstained" else ">="
        at = _MEAN if self.confidence is None else _written(self.confidence)
        return f"{self.name}{label}{sign}{_written(self.level)}@{at}"

    def sentence(self) -> str:
        """Return the limit in words."""
        of_label = "" if self.label is None else f" of {cut(self.label)}"
        what = {
            "samples_recall": f"samples recall at least {_written(self.level)}",
            "abstained": f"at most {_written(100 * self.level)} % of texts abstain",
        }.get(self.name, f"{self.name}{of_label} at least {_written(self.level)}")
        sure = "on average"
        if self.confidence is not None:
            sure = f"{_written(100 * self.confidence)} % confidence"
        return f"{what}, {sure}"


def split_goal(text: str) -> tuple[str | None, tuple[Limit, ...]]:
    """Return the goal of a text such as `macro_f1, recall[threat]>=0.9`, and its limits.

    The goal is `None` where the text holds limits only. Raises `OptionError` for two goals, the same
    limit twice, and for what is neither.
    """
    goal: str | None = None
    limits: list[Limit] = []
    for part in _parts(text) if isinstance(text, str) else [text]:
        limit = parse_limit(part) if isinstance(part, str) else None
        if limit is None:
            found = _goal(part, is_alone=part == text)
            if goal is not None:
                raise OptionError(
                    f"'goal' names two goals, {cut(goal)} and {cut(found)}; give one goal and any limits: "
                    f"{', '.join(LIMIT_FORMS)}."
                )
            goal = found
            continue
        if (limit.name, limit.label) in [(each.name, each.label) for each in limits]:
            raise OptionError(
                f"'goal' has two limits of the same kind: {cut(part)}; give one of them."
            )
        limits.append(limit)
    return goal, tuple(limits)


def _goal(part: str, *, is_alone: bool) -> str:
    """Return a goal; raise `OptionError` with the forms of limits where it may have been meant as one."""
    try:
        return parse_goal(part).text
    except OptionError as error:
        if is_alone and not re.search(r"[\[\]@<;]", str(part)):
            raise
        raise OptionError(
            f"{cut(part)} in 'goal' is neither a goal ({', '.join(GOAL_FORMS)}) nor a limit "
            f"({', '.join(LIMIT_FORMS)}; behind them @0.95 or another confidence, or @mean). "
            "Commas stand between them."
        ) from error


def parse_limit(text: str) -> Limit | None:
    """Return the limit that `text` is; `None` where it has not the form of one.

    Raises `OptionError` for a limit with a wrong label, level or confidence.
    """
    found = _FORM.fullmatch(text.strip())
    if found is None:
        return None
    name, label = found["name"], found["label"]
    if name in _OF_LABELS and label is None:
        if found["confidence"] is None:
            return None  # a goal
        raise OptionError(
            f"The limit {cut(text)} names no label; expected {name}[LABEL]>=..., or samples_recall>=... for "
            "all labels together."
        )
    if name not in _OF_LABELS and label is not None:
        raise OptionError(f"The limit {cut(text)} names a label, and {name} is of all labels.")
    if (found["sign"] == "<=") != (name == "abstained"):
        form = next(form for form in LIMIT_FORMS if form.startswith(name))
        raise OptionError(f"The limit {cut(text)} has the wrong sign; expected {form}.")
    return Limit(
        name,
        _fraction(text, found["level"], "a level"),
        None if label is None else _label(text, label[1:-1]),
        _confidence(text, name, found["confidence"]),
    )


def require_labels(limits: Sequence[Limit], names: Sequence[str]) -> None:
    """Raise `OptionError` for a limit of a label that the model does not have."""
    known = set(names)
    if unknown := [each.label for each in limits if each.label and each.label not in known]:
        raise OptionError(
            f"A limit names a label that the model does not have: {cut(unknown[0])}. The labels are: "
            f"{listed(names)}"
        )


def _confidence(text: str, name: str, given: str | None) -> float | None:
    if given == _MEAN:
        if name == "precision":
            raise OptionError(
                f"The limit {cut(text)} asks for a precision on average, which no method bounds for any "
                "number of rows; give a confidence, such as @0.95."
            )
        return None
    return _CONFIDENCE if given is None else _fraction(text, given, "a confidence")


def _fraction(text: str, written: str, what: str) -> float:
    try:
        value = float(written.removesuffix("%")) / (100 if written.endswith("%") else 1)
    except ValueError:
        value = math.nan
    value = round(value, _DECIMALS)
    if not 0 < value < 1:
        reason = " No number of rows shows that something always holds." if value == 1 else ""
        raise OptionError(
            f"The limit {cut(text)} has {what} of {cut(written)}; expected a number above 0 and below 1, of at "
            f"most {_DECIMALS} decimals.{reason}"
        )
    return value


def _written(number: float) -> str:
    """Return a number with all decimals that limits have, so that it is read back as it was."""
    return f"{number:.{_DECIMALS}f}".rstrip("0").removesuffix(".")


def _label(text: str, written: str) -> str:
    name = written.strip()
    if name.startswith('"'):
        try:
            name = json.loads(name)
        except ValueError:
            name = ""
    if not name:
        raise OptionError(f"The limit {cut(text)} names no label; expected a name in brackets.")
    return name


def _quoted(name: str) -> str:
    """Return a name as it is written in brackets: between quotes where brackets would mislead."""
    plain = not re.search(r'[\[\]",]', name) and name == name.strip()
    return name if plain else json.dumps(name, ensure_ascii=False)


def _parts(text: str) -> list[str]:
    """Return what stands between commas that are in no brackets and no quotes."""
    parts, inside, quoted, escaped = [""], False, False, False
    for character in text:
        if character == "," and not inside:
            parts.append("")
            continue
        parts[-1] += character
        if escaped:
            escaped = False
        elif quoted:
            escaped, quoted = character == "\\", character != '"'
        elif inside:
            quoted = character == '"' and parts[-1].rpartition("[")[2].strip() == '"'
            inside = character != "]"
        else:
            inside = character == "["
    return [part.strip() for part in parts]
