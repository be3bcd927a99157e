r"""Count and time what a newcomer types: a README's first commands, in a fresh clone, on a CSV file.

    python benchmarks/newcomer.py
    python benchmarks/newcomer.py --page README.zh.md \
        --instead 'google-bert/bert-base-chinese=>encoders/chinese'
    python benchmarks/newcomer.py --python .venv/bin/python   # without setting up an environment

The commands are those of the page's first block that begins with setting up and has `multihot train`.
They run one after another in one shell, in a clone of the last commit, beside the files that they
name: 400 tickets (for the Chinese page 600 opinions) that the examples make, and 20 new ones. One row
for each page goes into `results/`. Set-up fetches about 2 GB; with `--python` it is counted, but
replaced by an environment that exists, and not timed. CPU seconds are what a busy machine changes least.
"""

from __future__ import annotations

import argparse
import json
import re
import resource
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
_SET_UP = r"make setup|source |pip install"


def commands(page: str) -> list[str]:
    """Return the commands of the first block that sets up and trains, without their comments."""
    blocks = re.findall(r"^```\w*\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    for block in blocks:
        lines = [re.sub(r"^\$ |\s+#.*", "", line) for line in block.splitlines()]
        if re.match(_SET_UP, lines[0]) and any("multihot train" in line for line in lines):
            return [line for line in lines if line]
    raise SystemExit("The page has no block that sets up and trains.")


def _data(clone: Path, lines: list[str]) -> None:
    """Write the files that the commands name: the labelled one and the new one."""
    text = "\n".join(lines)
    (labelled, *_), new = re.findall(r"\S+\.csv", text), re.findall(r"--input (\S+)", text)
    example = "tickets" if text.isascii() else "chinese-opinions"
    script = clone / "examples" / example / "make_data.py"
    subprocess.run([sys.executable, script, clone / labelled], check=True)
    for name in new:
        more = ["--rows", "20", "--seed", "1"]
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


def _cpu_seconds() -> float:
    """Return what ended processes below this one have used."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Clone, run, count, and write rows."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--page", default="README.md")
    parser.add_argument("--python", type=Path, help="an environment instead of the one set up")
    parser.add_argument("--instead", action="append", default=[], metavar="OLD=>NEW")
    parser.add_argument("--no-row", action="store_true", help="write nothing into results/")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        clone, log = Path(folder) / "multihot", Path(folder) / "log.txt"
        subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)
        lines = commands((clone / given.page).read_text("utf-8"))
        if len(lines) > _MOST:
            raise SystemExit(f"{given.page} asks for {len(lines)} commands; {_MOST} are the most.")
        _data(clone, lines)
        run = [line.replace("'multihot[", "'.[") for line in lines]
        for old, _, new in (each.partition("=>") for each in given.instead):
            run = [line.replace(old, new) for line in run]
        if given.python:
            kept = [line for line in run if not re.match(_SET_UP, line)]
            paths = f"PATH={given.python.absolute().parent}:$PATH PYTHONPATH={clone / 'src'}"
            run = [f"export {paths}", *kept]
        before = _cpu_seconds()
        seconds = _run(run, clone, log)
        cpu_seconds = _cpu_seconds() - before
    for number, (line, taken) in enumerate(zip(run, seconds, strict=True), 1):
        print(f"{number}  {taken:8.1f} s  {line}")
    print(f"{len(lines)} commands, {sum(seconds):.0f} seconds, {cpu_seconds:.0f} of CPU")
    if not given.no_row:
        row = {
            "page": given.page,
            "commands": len(lines),
            "seconds": f"{sum(seconds):.0f}",
            "cpu_seconds": f"{cpu_seconds:.0f}",
            "set_up": "no" if given.python else "yes",
            "seconds_each": json.dumps([round(each, 1) for each in seconds]),
        }
        append_row(_RESULTS, row | provenance())


if __name__ == "__main__":
    main()
