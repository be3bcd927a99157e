"""The page on scikit-learn runs from its first line to its last, with a tiny encoder."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from emotions import QUICK, write_jsonl

PAGE = Path(__file__).parents[2] / "docs" / "en" / "how-to" / "use-with-scikit-learn.md"


@pytest.mark.slow
def test_the_page_on_scikit_learn_runs(
    tiny_encoder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    write_jsonl(tmp_path / "train.jsonl")
    blocks = re.findall(
        r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE
    )
    quick = {key: value for key, value in QUICK.items() if key != "epochs"}
    options = ", ".join(f"{key}={value!r}" for key, value in quick.items())
    code = "\n".join(blocks).replace('"starter"', f"{str(tiny_encoder)!r}, {options}")
    assert code.count("learning_rate") == 2
    names: dict[str, object] = {}

    exec(code, names)

    assert np.shape(names["probabilities"]) == (48, 3)
    assert (tmp_path / "models" / "best" / "thresholds.json").is_file()
    assert len(names["frame"]) == 3  # type: ignore[arg-type]
    shown = capsys.readouterr()
    assert "epoch 3/3" in shown.err
    assert "micro_f1" in shown.out
