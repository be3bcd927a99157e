"""The README runs, but with a tiny encoder and one epoch; every page shows what exists."""

from __future__ import annotations

import ast
import importlib
import re
import shlex
from pathlib import Path

import pytest

from multihot.cli.main import main

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def _blocks(page: Path, language: str) -> list[str]:
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    return [block for name, block in fenced if name == language]


@pytest.mark.slow
def test_the_python_lines_run(
    tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (lines,) = _blocks(ROOT / "README.md", "python")
    lines = lines.replace('encoder="starter"', f"encoder={str(tiny_encoder)!r}, max_length=64")
    assert "epochs=8" in lines
    names: dict[str, object] = {}

    exec(lines.replace("epochs=8", "epochs=1"), names)

    assert (tmp_path / "models" / "emotions" / "thresholds.json").is_file()
    assert list(names["clf"].classes_)[:2] == ["anger", "anticipation"]  # type: ignore[attr-defined]


def test_every_command_and_flag_that_a_page_shows_exists(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    shown: dict[str, set[str]] = {}
    for page in PAGES:
        lines = "".join(_blocks(page, "console")).replace("\\\n", " ")
        for line in re.findall(r"^\$ (multihot .*)$", lines, re.MULTILINE):
            _, command, *arguments = shlex.split(line, comments=True)
            shown.setdefault(command, set()).update(a for a in arguments if a.startswith("--"))
    assert {"train", "evaluate", "predict", "pretrain"} <= set(shown)

    missing = []
    for command, flags in shown.items():
        with pytest.raises(SystemExit) as leaving:
            main([command, "--help"])
        assert leaving.value.code == 0
        help_text = capsys.readouterr().out
        missing += [f"{command} {flag}" for flag in flags if f"{flag} " not in help_text]

    assert missing == []


def test_every_python_block_of_a_page_imports_what_exists() -> None:
    missing = []
    for page in PAGES:
        for block in _blocks(page, "python"):
            for node in ast.walk(ast.parse(block)):
                if isinstance(node, ast.ImportFrom) and str(node.module).startswith("multihot"):
                    module = importlib.import_module(str(node.module))
                    missing += [a.name for a in node.names if not hasattr(module, a.name)]

    assert missing == []
