"""The first screen of the README runs as it stands, but for a tiny encoder and a single epoch."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from multihot.cli.main import main

README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")


def _blocks(language: str) -> list[str]:
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", README, flags=re.DOTALL | re.MULTILINE)
    return [block for name, block in fenced if name == language]


@pytest.mark.slow
def test_the_python_lines_run(
    tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (lines,) = _blocks("python")
    lines = lines.replace('encoder="starter"', f"encoder={str(tiny_encoder)!r}, max_length=64")
    assert "epochs=8" in lines
    names: dict[str, object] = {}

    exec(lines.replace("epochs=8", "epochs=1"), names)

    assert (tmp_path / "models" / "emotions" / "thresholds.json").is_file()
    assert list(names["clf"].classes_)[:2] == ["anger", "anticipation"]  # type: ignore[attr-defined]


def test_every_verb_that_the_readme_shows_exists(capsys: pytest.CaptureFixture[str]) -> None:
    lines = [line for block in _blocks("") for line in block.splitlines()]
    verbs = {shlex.split(line, comments=True)[1] for line in lines if line.startswith("multihot ")}
    assert {"train", "evaluate", "predict"} <= verbs

    for verb in verbs:
        with pytest.raises(SystemExit) as leaving:
            main([verb, "--help"])
        assert leaving.value.code == 0
        assert f"multihot {verb}" in capsys.readouterr().out
