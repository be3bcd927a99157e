"""A whole run of TF-IDF with one logistic regression per label, as `train --baseline` fits it.

Writes the logits of each file of `score` to `output`/NAME.npy.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from contenders.gate import note_finished
from multihot.core.labels import LabelSpace
from multihot.data.labelled_file import read_examples
from multihot.workflows.baseline import train_baseline


def main() -> None:
    """Fit and write the logits."""
    setting: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    space = LabelSpace(tuple(setting["labels"]))
    fitted = train_baseline(read_examples(setting["train"], space=space), setting["seed"])
    note_finished(setting)
    for name, path in setting["score"].items():
        logits = fitted.logits(read_examples(path, space=space).texts)
        np.save(Path(setting["output"]) / f"{name}.npy", logits)


if __name__ == "__main__":
    main()
