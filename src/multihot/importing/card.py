"""The model card of a model that was made from a checkpoint of another tool."""

from __future__ import annotations

import re

from multihot.core.text_tables import listed, printable
from multihot.importing.diagnosis import Diagnosis

__all__ = ["imported_card"]


def imported_card(diagnosis: Diagnosis) -> str:
    """Return the card as Markdown: where the model is from, what was wrong with it, how it is used."""
    corrected = [finding for finding in diagnosis.findings if finding.fix is not None]
    rows = "\n".join(f"| `{each.code}` | {_cell(each.what)} |" for each in corrected)
    table = (
        f"\nCorrected on the way:\n\n| finding | what it was |\n|---|---|\n{rows}\n" if rows else ""
    )
    labels = listed([_cell(name) for name in diagnosis.labels], 100)
    return f"""---
library_name: multihot
pipeline_tag: text-classification
tags:
- multi-label
---

# Multi-label text classifier

Made from the {_cell(diagnosis.kind)} checkpoint `{_code(diagnosis.checkpoint)}` without further training.
Its labels: {labels}.

The thresholds were fitted on labelled rows; `thresholds.json` says which and for which goal. `multihot decide` fits them anew, `multihot evaluate` measures the model.
{table}
## Use

```
multihot predict FOLDER "a text"
```
"""


def _cell(text: str) -> str:
    """Return a text for a Markdown table: no link, no HTML, no code, nothing hidden."""
    shown = re.sub(r"([\\|\[\]`])", r"\\\1", printable(text))
    return shown.replace("<", "&lt;")


def _code(text: str) -> str:
    return printable(text).replace("`", "'")
