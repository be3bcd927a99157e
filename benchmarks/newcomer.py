"""Count and time what a newcomer types: a README's first commands, in a fresh clone, on a CSV file.

    python benchmarks/newcomer.py                       # README.md
    python benchmarks/newcomer.py --page README.zh.md
    python benchmarks/newcomer.py --python .venv/bin/python   # without setting up a virtual environment

The commands are those of the page's block that begins with `make setup`; they run one after another in
one shell, in a clone of the last commit, beside `mine.csv`: 400 tickets (for the Chinese page 600
opinions) that the examples make. One row for each command goes into `results/`. Set-up fetches about
2 GB; with `--python` it is replaced by an environment that exists.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from provenance import append_row, provenance

ROOT = Path(__file__).parent.parent
_RESULTS = "newcomer_202611.csv"
_MOST = 5
"""Commands that a newcomer may have to type."""


def commands(page: str) -> list[str]:
    """Return the commands of the block that begins with `make setup`, without their comments."""
    blocks = re.findall(r"^```\w*\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    (lines,) = (block.splitlines() for block in blocks if block.startswith("make setup"))
    bare = (re.sub(r"\s+#.*", "", line) for line in lines)
    return [line for line in bare if line and not line.startswith("#")]


def _data(clone: Path, page: Path) -> None:
    """Write `mine.csv` and `new.csv` into the clone."""
    example = "chinese-opinions" if page.suffixes[:1] == [".zh"] else "tickets"
    script = clone / "examples" / example / "make_data.py"
    for name, more in (("mine.csv", ()), ("new.csv", ("--rows", "20", "--seed", "1"))):
        subprocess.run([sys.executable, script, clone / name, *more], check=True)


def _run(lines: list[str], clone: Path, log: Path) -> list[float]:
    """Run the lines in one shell; return the wall seconds of each."""
    seconds = []
    with log.open("wb") as output:
        shell = subprocess.Popen(
            ["bash", "-e"], cwd=clone, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=output
        )
        assert shell.stdin is not None
        assert shell.stdout is not None
        for line in lines:
            started = time.perf_counter()
            shell.stdin.write(f"{line} >&2 < /dev/null\necho done\n".encode())
            shell.stdin.flush()
            if shell.stdout.readline() != b"done\n":
                raise SystemExit(f"{line} failed:\n{log.read_text('utf-8', 'replace')[-3000:]}")
            seconds.append(time.perf_counter() - started)
        shell.stdin.close()
        shell.wait(60)
    return seconds


def main() -> None:
    """Clone, run, count, and write rows."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--page", default="README.md")
    parser.add_argument("--python", type=Path, help="an environment instead of the one set up")
    parser.add_argument("--no-row", action="store_true", help="write nothing into results/")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        clone, log = Path(folder) / "multihot", Path(folder) / "log.txt"
        subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)
        lines = commands((clone / given.page).read_text("utf-8"))
        if len(lines) > _MOST:
            raise SystemExit(f"{given.page} asks for {len(lines)} commands; {_MOST} are the most.")
        _data(clone, Path(given.page))
        run = lines
        if given.python:
            scripts = given.python.absolute().parent
            kept = [line for line in lines if not re.match(r"make|source|\.\s", line)]
            run = [f"export PATH={scripts}:$PATH PYTHONPATH={clone / 'src'}", *kept]
        seconds = _run(run, clone, log)
    for number, (line, taken) in enumerate(zip(run, seconds, strict=True), 1):
        print(f"{number}  {taken:8.1f} s  {line}")
    print(f"{len(lines)} commands, {sum(seconds):.0f} seconds")
    if not given.no_row:
        row = {
            "page": given.page,
            "commands": len(lines),
            "seconds": f"{sum(seconds):.0f}",
            "seconds_each": json.dumps([round(each, 1) for each in seconds]),
        }
        append_row(_RESULTS, row | provenance())


if __name__ == "__main__":
    main()
