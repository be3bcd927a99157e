"""A tokenizer that puts the names of all labels before every text.

The labels become part of the tokenizer's own special tokens, so that truncation, caches and the
saved `tokenizer.json` know them, and every backend reads what training read:

    [CLS] anger joy very sad [SEP] the text [SEP]

Letters: `L` labels, `M` tokens of all label texts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing

from multihot.errors import OptionError

__all__ = ["LabelPrompt", "with_label_prompt"]

_PROBES = (("a", "b"), ("1", "2"), ("的", "一"))


@dataclass(frozen=True)
class LabelPrompt:
    """Where the labels stand in front of every text."""

    spans: tuple[tuple[int, int], ...]
    """First and last-plus-one token of each label, L pairs."""
    length: int
    """Tokens before the text itself, special tokens included."""
    text_type: int
    """Token type of the text; the labels have 0."""

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> LabelPrompt:
        """Read what `dataclasses.asdict` made of one."""
        spans = tuple((int(start), int(end)) for start, end in content["spans"])
        return cls(spans, int(content["length"]), int(content["text_type"]))


def with_label_prompt(
    tokenizer: Tokenizer, names: Sequence[str], descriptions: Mapping[str, str]
) -> tuple[Tokenizer, LabelPrompt]:
    """Return a tokenizer that reads all labels before each text, and where they stand.

    As SpanEmo (Alhuzali and Ananiadou 2021, section 3) and Demux (Chochlakis et al. 2023) do. Labels
    and text are related as the tokenizer relates the two texts of a pair.

    Parameters
    ----------
    tokenizer
        With padding and truncation cleared; it is left as it is.
    names
        L label names. An underscore is read as a space.
    descriptions
        Longer texts for some of them, by name.

    Raises
    ------
    OptionError
        A description is for no label, or a label has no token at all.
    """
    if unknown := sorted(set(descriptions) - set(names)):
        raise OptionError(
            f"There are descriptions for {', '.join(unknown)}, but the labels are {', '.join(names)}."
        )
    before, between, after, text_type = _pair_tokens(tokenizer)
    ids, spans = list(before), []
    for name in names:
        text = descriptions.get(name) or name.replace("_", " ")
        found = tokenizer.encode(text, add_special_tokens=False).ids
        if not found:
            raise OptionError(
                f"The label '{name}' is read as '{text}', which has no token for this tokenizer; "
                "describe it in words (label_descriptions)."
            )
        spans.append((len(ids), len(ids) + len(found)))
        ids += found
    ids += between
    changed = Tokenizer.from_str(tokenizer.to_str())
    changed.post_processor = TemplateProcessing(
        single=f"[LABELS]:0 $A:{text_type} [END]:{text_type}",
        special_tokens=[_special("[LABELS]", ids, tokenizer), _special("[END]", after, tokenizer)],
    )
    return changed, LabelPrompt(tuple(spans), len(ids), text_type)


def _special(name: str, ids: Sequence[int], tokenizer: Tokenizer) -> Any:
    return {"id": name, "ids": list(ids), "tokens": [tokenizer.id_to_token(i) for i in ids]}


def _pair_tokens(tokenizer: Tokenizer) -> tuple[list[int], list[int], list[int], int]:
    """Return the ids before, between and after the texts of a pair, and the second text's type."""
    for texts in _PROBES:
        first, second = (tokenizer.encode(t, add_special_tokens=False).ids for t in texts)
        pair = tokenizer.encode(*texts)
        one, two = _find(pair.ids, first, 0), -1
        if one >= 0:
            two = _find(pair.ids, second, one + len(first))
        if two >= 0:
            between = pair.ids[one + len(first) : two]
            after = pair.ids[two + len(second) :]
            if between and after:
                return pair.ids[:one], between, after, pair.type_ids[two]
    raise OptionError(
        "This tokenizer does not separate the texts of a pair with special tokens, so labels cannot be "
        "put before a text: use pooling=mean."
    )


def _find(ids: Sequence[int], wanted: Sequence[int], start: int) -> int:
    places = range(start, len(ids) - len(wanted) + 1)
    return next((p for p in places if wanted and ids[p : p + len(wanted)] == list(wanted)), -1)
