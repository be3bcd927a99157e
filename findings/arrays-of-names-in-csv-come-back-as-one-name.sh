#!/bin/sh
# pandas 3.1.1, numpy 2.4.6, Python 3.11.
#
# A column of NumPy arrays of names (which a grouped or Parquet-read frame easily has) is written by
# to_csv as ['a' 'b'], without commas. The usual way back, ast.literal_eval, does not fail: Python joins
# strings that stand side by side, so two labels come back as the one label 'ab', while arrays of one
# name come back right. Nothing warns, and every row has a list.
#
# Whoever reads label cells with literal_eval must look for names side by side first.
#
# Seen: "['a' 'b'] -> ['ab']" and "['a'] -> ['a']".
set -eu
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
python3 -m venv "$scratch/venv"
"$scratch/venv/bin/pip" install --quiet --disable-pip-version-check pandas==3.1.1 numpy==2.4.6
"$scratch/venv/bin/python" - <<'PYTHON'
import ast
import io

import numpy as np
import pandas as pd

labels = [np.array(["a", "b"], dtype=object), np.array(["a"], dtype=object)]
written = pd.DataFrame({"labels": labels}).to_csv(index=False)
cells = pd.read_csv(io.StringIO(written))["labels"].tolist()
found = [ast.literal_eval(cell) for cell in cells]
for cell, names in zip(cells, found):
    print(f"{cell} -> {names}")
assert cells == ["['a' 'b']", "['a']"]
assert found == [["ab"], ["a"]]
PYTHON
