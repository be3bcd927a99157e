"""The walk as notebooks, from its pages: python -m sitebuild.notebooks FOLDER [--execute]."""

from __future__ import annotations

import base64
import contextlib
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jupytext
import nbformat

from sitebuild.pages import ROOT
from sitebuild.shell import commands, write_tools

__all__ = ["execute", "kernel_in", "notebook", "progress_lines", "walk_pages", "write_notebooks"]

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


@contextlib.contextmanager
def kernel_in(folder: Path, tools: Path) -> Iterator[Any]:
    """Yield a started kernel for the notebooks that run in `folder`, one after another.

    Each begins without the names of those before; the imported modules stay, which saves most of the time
    of a short one. The commands are those of `tools`.
    """
    from jupyter_client.manager import AsyncKernelManager
    from jupyter_core.utils import run_sync

    write_tools(tools)
    environment = {
        **os.environ,
        "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]),
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    manager = AsyncKernelManager(kernel_name="python3")
    run_sync(manager.start_kernel)(cwd=str(folder), env=environment)
    try:
        yield manager
    finally:
        run_sync(manager.shutdown_kernel)(now=True)


def execute(path: Path, kernel: Any) -> Any:
    """Run a notebook from its first cell to its last in a kernel of `kernel_in`; return it with outputs.

    Raises
    ------
    CellExecutionError
        Where a cell, or a command in one, fails.
    """
    from nbclient import NotebookClient

    made = nbformat.read(path, as_version=4)
    made.cells.insert(0, nbformat.v4.new_code_cell(_BEFORE))
    client = NotebookClient(made, km=kernel, timeout=900, coalesce_streams=True)
    try:
        client.execute()
    finally:
        if client.kc is not None:
            client.kc.stop_channels()
    del made.cells[0]
    return made


# A command that fails fails its cell; Jupyter itself passes over it.
_BEFORE = """
%reset -f

def _checked(command, shell=get_ipython()):
    type(shell).system(shell, command)
    status = shell.user_ns.get("_exit_code", 0)
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
    written = [path for name in ("en", "zh") for path in write_notebooks(folder / name, name)]
    print(*written, sep="\n")
    if "--execute" in arguments:
        scratch = folder / "scratch"
        scratch.mkdir(exist_ok=True)
        with kernel_in(scratch, folder / "tools") as kernel:
            for path in written:
                made = execute(path, kernel)
                nbformat.write(made, path)
                print(f"{path}: at most {progress_lines(made)} lines of progress in a cell")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
