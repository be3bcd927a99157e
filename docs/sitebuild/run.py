"""Run the blocks of pages: python -m sitebuild.run PAGE ... (with docs/ and src/ on PYTHONPATH)."""

from __future__ import annotations

import contextlib
import io
import json
import linecache
import os
import sys
import tempfile
import tomllib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from sybil import Document, Example, Region
from sybil.document import SybilFailure
from sybil.evaluators.python import PythonEvaluator
from sybil.region import Lexeme

from sitebuild.comparing import EXACT, Tolerance, difference
from sitebuild.given import Given
from sitebuild.pages import ROOT, Block, PageError, Step, read_steps
from sitebuild.shell import Ran, Shell, commands, free_port

__all__ = ["run_page", "run_unit", "units"]

ADDRESS = "127.0.0.1:8000"


def run_page(page: Path, folder: Path, given: Given, tools: Path) -> int:
    """Run a page from its first block to its last in `folder`; return the number of blocks.

    Raises
    ------
    AssertionError
        Where a block fails or prints something else than the page shows, with page and line.
    """
    port = free_port()
    shell = Shell(folder, tools, port)
    runner = _Runner(page, folder, shell, f"127.0.0.1:{port}")
    document = Document(page.read_text("utf-8"), str(page))
    steps = read_steps(page)
    for step in steps:
        document.add(_region(document, step, runner, given))
    try:
        with _inside(folder), warnings.catch_warnings():
            warnings.simplefilter("default")
            for example in document.examples():
                example.evaluate()
    finally:
        shell.close()
    if runner.scripts:
        raise AssertionError(f"{page}: no command runs {', '.join(sorted(runner.scripts))}")
    return sum(1 for step in steps if step.block is not None)


def units(pages: list[Path]) -> dict[str, list[Path]]:
    """Return the pages that share a folder, by a name: each page alone, and a walk as a whole."""
    found: dict[str, list[Path]] = {}
    for page in pages:
        shared = page.parent if page.parent.name == "step-by-step" else page
        found.setdefault(os.path.relpath(shared, ROOT), []).append(page)
    return found


def run_unit(pages: list[Path], place: Path, given: Given) -> int:
    """Run pages one after another in one folder below `place`; return the number of blocks."""
    folder = place / "scratch"
    folder.mkdir(exist_ok=True)
    return sum(
        run_page(page, folder, given, place / f"tools-{number}")
        for number, page in enumerate(pages)
    )


def _region(document: Document, step: Step, runner: _Runner, given: Given) -> Region:
    """Return a step as a region of Sybil's document: it evaluates them in order."""
    lines = document.text.split("\n")
    start = sum(len(line) + 1 for line in lines[: step.line - 1])

    def evaluate(example: Example) -> str | None:
        try:
            if step.block is not None:
                return runner.run(step.block, example)
            if step.name == "given":
                given.lay(runner.folder, step.value)
            elif step.name == "run":
                ran = runner.shell.run(step.value)
                return f"{ran.out}{ran.err}" if ran.status else None
        except (AssertionError, SyntaxError) as problem:
            if isinstance(problem, SybilFailure):
                raise
            return f"{type(problem).__name__}: {problem}"
        return None

    return Region(start, start + 1, step, evaluate)


@contextlib.contextmanager
def _inside(folder: Path) -> Iterator[None]:
    before, path = Path.cwd(), list(sys.path)
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        os.chdir(before)
        sys.path[:] = path


class _Runner:
    def __init__(self, page: Path, folder: Path, shell: Shell, address: str) -> None:
        self.folder = folder
        self.shell = shell
        self.scripts: set[str] = set()  # written files of Python that no command has named yet
        self._address = address
        self._python = PythonEvaluator()
        self._printed = ""

    def run(self, block: Block, example: Example) -> str | None:
        """Run or check a block; return what is wrong."""
        printed, self._printed = self._printed, ""
        name = block.setting("file")
        if name is not None:
            target = self.folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(block.code.replace(ADDRESS, self._address), "utf-8")
            if block.language == "python":
                self.scripts.add(name)
                return None
        if block.language == "python":
            return self._run_python(block, example)
        if block.language == "console":
            return self._run_console(block)
        if block.language == "output":
            return difference(block.source, printed, _tolerance(block))
        return _parse(block)

    def _run_python(self, block: Block, example: Example) -> str | None:
        code = block.code.replace(ADDRESS, self._address)
        example.parsed = Lexeme(code, 0, 0)
        linecache.cache[example.path] = _with_lines(example.path, block.line, code)
        wanted = block.setting("raises")
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            try:
                self._python(example)
            except Exception as error:
                if wanted is None or type(error).__name__ != wanted:
                    raise
                print(f"{type(error).__name__}: {error}")
            else:
                if wanted is not None:
                    return f"nothing was raised; the page says {wanted}"
        self._printed = printed.getvalue().replace(self._address, ADDRESS)
        return None

    def _run_console(self, block: Block) -> str | None:
        listed = commands(block.code.replace(ADDRESS, self._address))
        background = "background" in block.settings
        for number, (command, shown) in enumerate(listed):
            self.scripts -= {script for script in self.scripts if script in command}
            last = number == len(listed) - 1
            ran = self.shell.run(command, background=background and last)
            wanted = int((block.setting("exit") if last else None) or 0)
            if ran.status != wanted:
                return f"$ {command}\nended with {ran.status}, not {wanted}:\n{ran.out}{ran.err}"
            if shown.strip():
                problem = _differs(shown, ran, _tolerance(block), (self._address, ADDRESS))
                if problem:
                    return f"$ {command}\n{problem}"
        return None


def _differs(shown: str, ran: Ran, tolerance: Tolerance, address: tuple[str, str]) -> str | None:
    """Compare with standard output, then with standard error before and after it."""
    out, err = (text.replace(*address) for text in (ran.out, ran.err))
    shown = shown.replace(*address)
    found = [difference(shown, text, tolerance) for text in (out, err + out, out + err)]
    return None if None in found else found[1]


def _with_lines(path: str, line: int, code: str) -> tuple[int, None, list[str], str]:
    lines = ["\n"] * line + [f"{each}\n" for each in code.split("\n")]
    return len(code), None, lines, path


def _tolerance(block: Block) -> Tolerance:
    stated = block.setting("tolerance")
    return EXACT if stated is None else Tolerance.parse(stated)


def _parse(block: Block) -> str | None:
    parsers: dict[str, Any] = {
        "json": json.loads,
        "jsonl": lambda text: [json.loads(line) for line in text.splitlines() if line.strip()],
        "toml": tomllib.loads,
        "yaml": lambda text: list(yaml.safe_load_all(text)),
    }
    if block.language in parsers:
        try:
            parsers[block.language](block.source)
        except (ValueError, yaml.YAMLError) as error:
            return f"{block.language}: {error}"
    return None


def main(names: list[str]) -> int:
    """Run pages one after another, those of one walk in one folder; return the exit code."""
    failed = 0
    with tempfile.TemporaryDirectory() as temporary:
        given = Given(Path(os.environ.get("MULTIHOT_GIVEN", f"{temporary}/given")))
        for number, (name, pages) in enumerate(units([Path(n).resolve() for n in names]).items()):
            place = Path(temporary, str(number))
            place.mkdir()
            try:
                print(f"{name}: {run_unit(pages, place, given)} blocks run", flush=True)
            except (PageError, SybilFailure) as problem:
                failed += 1
                print(problem, flush=True)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
