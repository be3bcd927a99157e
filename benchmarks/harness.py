"""Start contenders once, let them work in turn, slice by slice, and sum up what they answered."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ratios import Spread, ratio, spread

__all__ = [
    "RIVALS",
    "Contender",
    "Figures",
    "Slice",
    "Worker",
    "environment",
    "fastest",
    "figures",
    "interpreter",
    "rival_versions",
    "roof_shares",
    "run_rounds",
]

RIVALS = str(Path(__file__).parent.parent / ".venv-rivals" / "bin" / "python")
"""Where `make .venv-rivals` puts the interpreter that has the other libraries."""


def interpreter(path: str) -> str:
    """Return an interpreter's path for processes in other folders; links are kept, they name venvs."""
    return str(Path(path).absolute())


_FOLDER = Path(__file__).parent
_RIVAL_PACKAGES = ("torch", "transformers", "sentence-transformers", "simpletransformers")
_PATIENCE_SECONDS = 3600.0
_IDLE_SHARE = 0.05  # processor time of a waiting contender that is too much

Request = Callable[[int], dict[str, Any]]
"""From the number of the round to what a contender is told; round 0 is the warm-up."""


@dataclass(frozen=True)
class Contender:
    """Something to measure."""

    name: str
    module: str
    """Which of `contenders` it is."""
    setting: Mapping[str, Any]
    python: str = sys.executable
    """The interpreter that has its library."""
    shown: Mapping[str, Any] = field(default_factory=dict)
    """Columns that describe it."""


@dataclass(frozen=True)
class Slice:
    """What a contender did in one round."""

    seconds: float
    cpu_seconds: float
    texts: int
    tokens: int

    @property
    def tokens_per_second(self) -> float:
        """Tokens without padding."""
        return self.tokens / self.seconds

    @property
    def texts_per_second(self) -> float:
        """Texts."""
        return self.texts / self.seconds


class Worker:
    """A contender's process, loaded and waiting."""

    def __init__(self, contender: Contender, scratch: Path, threads: int) -> None:
        self.name = contender.name
        self.idle_shares: list[float] = []
        number = len(list(scratch.glob("*.json")))
        setting = scratch / f"{number}.json"
        setting.write_text(json.dumps({"threads": threads, **contender.setting}), "utf-8")
        self._log = scratch / f"{number}.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [contender.python, "-m", f"contenders.{contender.module}", str(setting)],
                cwd=_FOLDER,
                env=environment(threads),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self.facts = self._receive()
        self._asleep_since = time.perf_counter()

    def run(self, request: Mapping[str, Any]) -> Slice:
        """Let it work on one slice."""
        asleep = time.perf_counter() - self._asleep_since
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer = self._receive()
        self._asleep_since = time.perf_counter()
        if asleep > 1:
            self.idle_shares.append(answer["idle_cpu_seconds"] / asleep)
        return Slice(*(answer[key] for key in ("seconds", "cpu_seconds", "texts", "tokens")))

    def close(self) -> None:
        """End the process."""
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _receive(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        select.select([self._process.stdout], [], [], _PATIENCE_SECONDS)
        line = self._process.stdout.readline()
        if not line:
            self.close()
            tail = self._log.read_text("utf-8", "replace")[-3000:]
            raise SystemExit(f"{self.name} ended before it answered:\n{tail}")
        answer: dict[str, Any] = json.loads(line)
        return answer


def run_rounds(
    contenders: Sequence[Contender],
    requests: Mapping[str, Sequence[tuple[str, Request]]],
    *,
    rounds: int,
    threads: int,
    say: Callable[[str], None] = print,
) -> dict[str, list[Slice]]:
    """Measure A B C A B C ... and return the slices of each name, round by round.

    Parameters
    ----------
    contenders
        What to start; all of them stay loaded, and sleep unless it is their turn.
    requests
        For each contender's name, what it is asked in every round, as (name of the figure, request).
    rounds
        Rounds that count; a warm-up round comes before them.
    threads
        Processor threads of every contender.
    say
        Receives a line per round.
    """
    measured: dict[str, list[Slice]] = {}
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        workers = []
        for contender in contenders:
            say(f"loading {contender.name}")
            workers.append(Worker(contender, Path(scratch), threads))
            stack.callback(workers[-1].close)
            for sentence in workers[-1].facts.get("said", []):
                say(f"  {sentence}")
        for number in range(rounds + 1):
            began = time.perf_counter()
            for worker in workers:
                for name, request in requests[worker.name]:
                    done = worker.run(request(number))
                    if number > 0:
                        measured.setdefault(name, []).append(done)
            what = f"round {number} of {rounds}" if number else "warm-up"
            say(f"{what}: {time.perf_counter() - began:.0f} s")
        for worker in workers:
            if worker.idle_shares and max(worker.idle_shares) > _IDLE_SHARE:
                say(f"{worker.name} used {max(worker.idle_shares):.0%} of a processor while idle!")
    return measured


@dataclass(frozen=True)
class Figures:
    """One contender's row."""

    texts_per_second: Spread
    tokens_per_second: Spread
    cpu_seconds_per_1000_texts: float
    mean_tokens: float
    times: Mapping[str, Spread]
    """How many times as fast as each reference, per token."""
    cpu_times: Mapping[str, float]
    """The same in processor seconds, which other work on the machine disturbs less."""

    def columns(self) -> dict[str, str]:
        """Return the columns of the row."""
        found = {
            "texts_per_second": f"{self.texts_per_second.median:.4g}",
            "tokens_per_second": f"{self.tokens_per_second.median:.0f}",
            "cpu_seconds_per_1000_texts": f"{self.cpu_seconds_per_1000_texts:.4g}",
            "mean_tokens": f"{self.mean_tokens:.1f}",
        }
        for name, times in self.times.items():
            found[f"times_{name}"] = f"{times.median:.3g}"
            found[f"times_{name}_least"] = f"{times.least:.3g}"
            found[f"times_{name}_quartiles"] = (
                f"{times.lower_quartile:.3g} to {times.upper_quartile:.3g}"
            )
            found[f"cpu_times_{name}"] = f"{self.cpu_times[name]:.3g}"
        return found


def figures(
    name: str, measured: Mapping[str, Sequence[Slice]], references: Mapping[str, str]
) -> Figures:
    """Sum up one contender; `references` maps the name of a column to that of a contender."""
    slices = measured[name]
    num_texts = sum(one.texts for one in slices)
    rates = {key: [one.tokens_per_second for one in measured[key]] for key in measured}
    known = {column: other for column, other in references.items() if other in measured}
    return Figures(
        texts_per_second=spread([one.texts_per_second for one in slices]),
        tokens_per_second=spread(rates[name]),
        cpu_seconds_per_1000_texts=1000 * sum(one.cpu_seconds for one in slices) / num_texts,
        mean_tokens=sum(one.tokens for one in slices) / num_texts,
        times={column: ratio(rates[name], rates[other]) for column, other in known.items()},
        cpu_times={
            column: _cpu_per_token(measured[other]) / _cpu_per_token(slices)
            for column, other in known.items()
        },
    )


def roof_shares(
    name: str, measured: Mapping[str, Sequence[Slice]], roofs: Mapping[str, str]
) -> dict[str, str]:
    """Return a contender's shares of the roofs; `roofs` maps a precision to the name of its roof."""
    rates = {
        key: [one.tokens_per_second for one in measured[key]] for key in (name, *roofs.values())
    }
    return {
        f"share_of_{precision}_roof": f"{ratio(rates[name], rates[roof]).median:.3f}"
        for precision, roof in roofs.items()
    }


def _cpu_per_token(slices: Sequence[Slice]) -> float:
    return sum(one.cpu_seconds for one in slices) / sum(one.tokens for one in slices)


def fastest(names: Iterable[str], measured: Mapping[str, Sequence[Slice]]) -> str:
    """Return the name with the highest median of tokens per second."""
    return max(
        names, key=lambda name: spread([one.tokens_per_second for one in measured[name]]).median
    )


def environment(threads: int) -> dict[str, str]:
    """Return the environment of every contender: the same threads, nothing from the network."""
    return {
        **os.environ,
        "OMP_NUM_THREADS": str(threads),
        "RAYON_NUM_THREADS": str(threads),  # tokenizers
        "TOKENIZERS_PARALLELISM": "true" if threads > 1 else "false",
        "HF_HUB_OFFLINE": "1",
        "WANDB_MODE": "disabled",
        "PYTHONWARNINGS": "ignore",
    }


def rival_versions(python: str) -> dict[str, str]:
    """Return the column that says what the other interpreter has."""
    code = (
        "import sys; from importlib.metadata import distributions; "
        "print(*sorted({f'{d.name}={d.version}' for d in distributions() "
        "if d.name in sys.argv[1:]}))"
    )
    command = [python, "-c", code, *_RIVAL_PACKAGES]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise SystemExit(
            f"{python} is no interpreter to compare with ({error}). Run 'make .venv-rivals', or give "
            "one that has the packages of benchmarks/rivals.txt with --rivals."
        ) from None
    return {"rival_versions": done.stdout.strip()}
