"""The model card of an export."""

from __future__ import annotations

from multihot.core.text_tables import listed
from multihot.core.windows import reading_sentence
from multihot.inference.artifact import Artifact
from multihot.inference.card_promises import promises_section

__all__ = ["export_card"]

_FORMS = {
    "onnx": "`model.onnx` takes `input_ids` and `attention_mask` and gives `logits` and `scores` "
    "(calibrated, after the sigmoid).",
    "onnx-int8": "`model.onnx` takes `input_ids` and `attention_mask` and gives `logits` and `scores` "
    "(calibrated, after the sigmoid). Its linear layers compute in int8; its thresholds were fitted for "
    "that.",
    "openvino": "`openvino_model.xml` takes `input_ids` and `attention_mask` and gives `logits` and "
    "`scores` (calibrated, after the sigmoid).",
    "transformers": "`AutoModelForSequenceClassification` and `AutoTokenizer` load this folder.",
}
_FOLDED = (
    "Thresholds and calibration are inside the last layer: **a label is given where the sigmoid of its "
    "logit is at least 0.5, and the scores are no probabilities.**"
)
_PLAIN = "`thresholds.json` says how scores become labels; what takes 0.5 for every label decides otherwise."
_HIERARCHY = (
    " Its `scores` are each label's own: readers raise that of a label to the highest of those that imply it, "
    "and give with every label what it implies (`hierarchy` in `thresholds.json`), as multihot does."
)


def export_card(artifact: Artifact, to: str, *, folded: bool) -> str:
    """Return the card as Markdown with a hub header."""
    names = artifact.decision.space.names
    hierarchy = "" if artifact.decision.space.hierarchy is None else _HIERARCHY
    return f"""---
library_name: {"transformers" if to == "transformers" else "multihot"}
pipeline_tag: text-classification
tags:
- multi-label
---

# Multi-label text classifier, exported

{_FORMS[to]} {reading_sentence(artifact.max_length, artifact.windows)}

{_FOLDED if folded else _PLAIN}{hierarchy}

{len(names)} labels: {listed(names, 100)}.

`parity.json` compares it with the model that it was made from, on the same texts.

## Use

```sh
multihot predict FOLDER "a text"
```
{_behind(promises_section(artifact.decision))}"""


def _behind(section: str) -> str:
    return f"\n{section}\n" if section else ""
