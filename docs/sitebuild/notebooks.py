"""The walk as notebooks, from its pages: python -m sitebuild.notebooks FOLDER [--execute]."""

from __future__ import annotations

import base64
import os
import re
import sys
from pathlib import Path
from typing import Any

import jupytext
import nbformat

from sitebuild.pages import ROOT
from sitebuild.shell import commands, write_tools

__all__ = ["execute", "notebook", "progress_lines", "walk_pages", "write_notebooks"]

_COMMENT = re.compile(r"^[ \t]*<!--.*?-->[ \t]*\n", re.DOTALL | re.MULTILINE)
_RAISES = re.compile(r"^<!-- raises: \w+ -->\n```python$", re.MULTILINE)
_FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```\n?", re.DOTALL | re.MULTILINE)
_IMAGE = re.compile(r"!\[([^\]]*)\]\(([^)\s]+)\)")
_LINK = re.compile(r"(?<!!)\[((?:[^\[\]]|\[[^\]]*\])*)\]\((?![a-z]+:)[^)\s]+\)")
_KINDS = {".svg": "image/svg+xml", ".png": "image/png"}
_PROGRESS = re.compile(r"\b\d+/\d+\b.*\b(?:left|loss|it/s)\b")


def walk_pages(language: str) -> list[Path]:
    """Return the chapters of the walk in order."""
    folder = ROOT / "docs" / language / "tutorials" / "step-by-step"
    return sorted(folder.glob("[0-9]*.md"))


def notebook(page: Path) -> Any:
    """Return a page as a notebook: its code as cells, pictures inside, no outputs."""
    text = _RAISES.sub('```python tags=["raises-exception"]', page.read_text("utf-8"))
    text = _COMMENT.sub("", text)
    text = _LINK.sub(r"\1", _FENCE.sub(_fence, text))
    pictures: dict[str, dict[str, str]] = {}
    made = jupytext.reads(_IMAGE.sub(lambda found: _attached(page, found, pictures), text), "md")
    made.metadata["kernelspec"] = {
        "name": "python3",
        "display_name": "Python 3",
        "language": "python",
    }
    for number, cell in enumerate(made.cells):
        cell["id"] = f"cell-{number}"
        shown = {
            name: kind for name, kind in pictures.items() if f"attachment:{name}" in cell.source
        }
        if shown:
            cell["attachments"] = shown
    return made


def _fence(found: re.Match[str]) -> str:
    language, source = found.groups()
    if language == "output":
        return ""
    if language == "console":
        lines = "\n".join(f"!{command}" for command, _ in commands(source))
        return f"```python\n{lines}\n```\n"
    return found.group()


def _attached(page: Path, found: re.Match[str], pictures: dict[str, dict[str, str]]) -> str:
    path = (page.parent / found[2]).resolve()
    pictures[path.name] = {_KINDS[path.suffix]: base64.b64encode(path.read_bytes()).decode()}
    return f"![{found[1]}](attachment:{path.name})"


def write_notebooks(folder: Path, language: str) -> list[Path]:
    """Write the walk of a language below `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for page in walk_pages(language):
        path = folder / f"{page.stem}.ipynb"
        nbformat.write(notebook(page), path)
        written.append(path)
    return written


def execute(path: Path, folder: Path, tools: Path) -> Any:
    """Run a notebook from its first cell to its last in `folder`; return it with outputs.

    Raises
    ------
    CellExecutionError
        Where a cell, or a command in one, fails.
    """
    from nbclient import NotebookClient

    write_tools(tools)
    changed = {
        "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]),
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    made = nbformat.read(path, as_version=4)
    checked = "import IPython; _run = get_ipython().system\n" + _CHECKED
    made.cells.insert(0, nbformat.v4.new_code_cell(checked))
    before = {name: os.environ.get(name) for name in changed}
    os.environ.update(changed)
    try:
        NotebookClient(
            made,
            timeout=900,
            kernel_name="python3",
            coalesce_streams=True,
            resources={"metadata": {"path": str(folder)}},
        ).execute()
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
    del made.cells[0]
    return made


# A command that fails fails its cell; Jupyter itself passes over it.
_CHECKED = """
def _checked(command):
    _run(command)
    status = get_ipython().user_ns.get("_exit_code", 0)
    if status:
        raise RuntimeError(f"{command} ended with {status}")


get_ipython().system = _checked
"""


def progress_lines(made: Any) -> int:
    """Return the largest number of lines of progress that a cell shows."""
    most = 0
    for cell in made.cells:
        text = "".join(each.get("text", "") for each in cell.get("outputs", []))
        shown = [line.rsplit("\r", 1)[-1] for line in text.replace("\r\n", "\n").split("\n")]
        most = max(most, sum(1 for line in shown if _PROGRESS.search(line)))
    return most


def main(arguments: list[str]) -> int:
    """Write the notebooks of both languages below a folder, and with --execute run them there."""
    folder = Path(arguments[0])
    for language in ("en", "zh"):
        for path in write_notebooks(folder / language, language):
            print(path)
            if "--execute" in arguments:
                scratch = folder / "scratch"
                scratch.mkdir(exist_ok=True)
                made = execute(path, scratch, folder / "tools")
                nbformat.write(made, path)
                print(f"  lines of progress in a cell: {progress_lines(made)} at most")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
