"""Measure how long a finished model takes to load on a CPU, hashing included; compare two builds.

    python benchmarks/loading.py MODEL                       # this build
    python benchmarks/loading.py MODEL --other FOLDER/src    # and another one, interleaved

Each round starts one process for each build, in turn. A process imports the libraries, loads the model once
(`first`, with what the libraries do at their first use) and then a few times more (`again`). The
fastest of all rounds counts: what else the machine does only adds. `peak_mb` is the memory of a process
that loads the model once. With `--drop` the files leave the system's cache before each process, as
far as the system lets them. One row for each build goes into `results/`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

from provenance import append_row, provenance

_RESULTS = "loading_202611.csv"
_SCRIPT = """
import json, resource, sys, time
import torch, transformers
import multihot.inference.torch_backend
from multihot.inference.predictor import Predictor
model, repeats = sys.argv[1], int(sys.argv[2])
found = []
for number in range(repeats + 1):
    wall, cpu = time.perf_counter(), time.process_time()
    predictor = Predictor.load(model, device="cpu")
    found.append((time.perf_counter() - wall, time.process_time() - cpu))
    if not number:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        scores = predictor.scores(["I'm happy, the model is so good", "so done with this"]).tolist()
    del predictor
print(json.dumps({"seconds": found, "peak": peak, "scores": scores}))
"""


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--other", type=Path, help="source folder of another build")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--repeats", type=int, default=5, help="loads after the first, per process")
    parser.add_argument("--drop", action="store_true", help="begin with files that are not cached")
    parser.add_argument("--results", default=_RESULTS)
    parser.add_argument("--no-row", action="store_true", help="write nothing into results/")
    return parser.parse_args()


def _process(source: Path, given: argparse.Namespace) -> dict[str, object]:
    if given.drop:
        for path in given.model.rglob("*"):
            if path.is_file():
                with path.open("rb") as file:
                    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, str(given.model), str(given.repeats)],
        env={**os.environ, "PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        check=True,
        text=True,
    )
    found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return found


def _commit(source: Path) -> str:
    """Return the commit that a build was made from."""
    words = ["git", "rev-parse", "--short", "HEAD"]
    return subprocess.run(
        words, cwd=source, capture_output=True, check=False, text=True
    ).stdout.strip()


def main() -> int:
    """Measure, print, append."""
    given = _arguments()
    builds = {"this": Path(__file__).parents[1] / "src"}
    if given.other is not None:
        builds["other"] = given.other.resolve()
    runs: dict[str, list[dict[str, object]]] = {name: [] for name in builds}
    for _ in range(given.rounds):
        for name, source in builds.items():
            runs[name].append(_process(source, given))
    scores = {json.dumps(run["scores"]) for found in runs.values() for run in found}
    if len(scores) > 1:
        print("The scores differ between the builds or the processes.", file=sys.stderr)
        return 1
    for name, found in runs.items():
        row = {"build": name, "model": given.model.name, "rounds": given.rounds}
        for column, pick in (("first", slice(0, 1)), ("again", slice(1, None))):
            for place, unit in enumerate(("seconds", "cpu_seconds")):
                values = [each[place] for run in found for each in run["seconds"][pick]]  # type: ignore[index]
                row[f"{column}_{unit}"] = f"{min(values):.3f}"
        row["peak_mb"] = f"{min(run['peak'] for run in found):.0f}"  # type: ignore[type-var]
        row["cached"] = "no" if given.drop else "yes"
        print(", ".join(f"{key} {value}" for key, value in row.items()))
        if not given.no_row:
            # Of its own build, and without the folders of this machine.
            command = f"python loading.py {given.model.name} --rounds {given.rounds}"
            own = {"commit": _commit(builds[name]), "command": command}
            append_row(given.results, {**row, **provenance(), **own})
    return 0


if __name__ == "__main__":
    sys.exit(main())
