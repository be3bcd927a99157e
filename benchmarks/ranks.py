"""Several processes against one: speed, weights, rows of an epoch, and kills of random processes.

    python benchmarks/ranks.py speed TRAIN DEV
    python benchmarks/ranks.py weights TRAIN DEV
    python benchmarks/ranks.py rows
    python benchmarks/ranks.py kills --kills 40
    python benchmarks/ranks.py kills --kills 40 --processes 4

Processes are forked from one that has imported torch and done nothing else, and meet over loopback
with gloo. Without files the bundled data set is used. One row goes into `results/`.

speed    tokens a second of two processes with one thread each and of one process with two threads,
         by turns; medians over the rounds of the median step of each round.
weights  the same batches in fp32 without dropout, by one process and by two: the norm of the
         difference of all final weights over their norm.
rows     random numbers of rows and processes: how often each row is seen in an epoch.
kills    SIGKILL to a random process at a random moment of a tiny run, then the same command again
         until it is done: the final files must be those of an undisturbed run, byte for byte, and the
         others must have ended by themselves, with a sentence.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import multiprocessing
import os
import shutil
import signal
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from kill_and_resume import write_tiny_encoder
from provenance import append_row, provenance

_CONTEXT = multiprocessing.get_context("forkserver")
PRELOADED = [
    "multihot.cli.train",
    "multihot.workflows.train",
    "multihot.workflows.pretrain",
    "accelerate",
    "scipy.optimize",
    "scipy.stats",
    "torch._dynamo",
    "torch.distributed.tensor",
    "transformers.masking_utils",
    "transformers.models.auto.modeling_auto",
    "transformers.models.bert.modeling_bert",
]  # what a run imports, once for all processes
_SKIPPED_STEPS = 3
_PATIENCE = 600.0
_TORCHRUN_LOOKS = 0.1  # seconds between two looks at its processes
_SENTENCES = ("lost another process", "could not meet", "topped by SIGTERM")


class Enough(Exception):
    """Enough steps were measured."""


@dataclass
class Ended:
    """How a process ended."""

    code: int | None
    outcome: Any
    seconds: float
    """Between the last change of another process and its end."""


def start(work: Callable[..., Any], count: int, arguments: Sequence[Any]) -> list[Any]:
    """Start equal processes; return each with the end of a pipe that its outcome comes through."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    started = []
    for rank in range(count):
        numbers = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "MASTER_PORT": port}
        environment = {"MASTER_ADDR": "127.0.0.1", **{n: str(v) for n, v in numbers.items()}}
        receiver, sender = _CONTEXT.Pipe(duplex=False)
        process = _CONTEXT.Process(target=_work, args=(sender, environment, work, arguments))
        process.start()
        sender.close()
        started.append((process, receiver))
    return started


def _work(sender: Any, environment: dict[str, str], work: Callable[..., Any], given: Any) -> None:
    os.environ.update(environment)
    sender.send(work(*given))


def end(started: list[Any]) -> list[Ended]:
    """Wait for processes and return how they ended."""
    began, ended = time.monotonic(), []
    for process, receiver in started:
        outcome = None
        with contextlib.suppress(EOFError):
            if receiver.poll(_PATIENCE):
                outcome = receiver.recv()
        process.join(_PATIENCE)
        ended.append(Ended(process.exitcode, outcome, time.monotonic() - began))
    return ended


def train_command(words: Sequence[str], log: str, num_threads: int) -> int:
    """Run `multihot train` in this process, and write what it says to a file; return the exit code."""
    import torch

    from multihot.cli.main import main

    torch.set_num_threads(num_threads)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    return main(["train", *words])


def measure_steps(
    words: Sequence[str], output: str, num_steps: int, num_threads: int
) -> dict[str, float]:
    """Train for some steps, and return the tokens a second of the median step."""
    import torch

    from multihot.core.options import TrainOptions
    from multihot.core.progress import Listener, StepProgress
    from multihot.core.recipes import build_options, parse_assignments
    from multihot.data.labelled_file import open_labelled
    from multihot.errors import TrainingError
    from multihot.training import callbacks
    from multihot.workflows.train import train

    torch.set_num_threads(num_threads)
    moments: list[tuple[float, int]] = []

    class Watch(Listener):
        def progress(self, update: StepProgress) -> None:
            if update.step >= num_steps:
                raise Enough

    original = callbacks.tokens_of

    def counted(step: Any) -> int:
        tokens = original(step)
        moments.append((time.perf_counter(), tokens))
        return tokens

    callbacks.tokens_of = counted  # in a process of its own
    train_file, dev_file, *assignments = words
    options = build_options(TrainOptions, parse_assignments(assignments))
    data = open_labelled(train_file, options.data), open_labelled(dev_file, options.data)
    with contextlib.suppress(Enough, TrainingError):  # the first process leaves, the others lose it
        train(*data, options, Path(output), listener=Watch())
    times = np.array([moment for moment, _ in moments[_SKIPPED_STEPS:]])
    tokens = np.array([each for _, each in moments[_SKIPPED_STEPS + 1 :]])
    return {"tokens_per_second": float(np.median(tokens / np.diff(times)))}


def speed(given: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Measure both by turns."""
    words = [str(given.train), str(given.dev), "encoder=starter", "epochs=50", *given.assignments]
    found: dict[str, list[float]] = {"one": [], "several": []}
    for number in range(given.rounds):
        for name, count, threads in (
            ("one", 1, given.processes),
            ("several", given.processes, 1),
        ):
            output = str(folder / f"{name}-{number}")
            ended = end(start(measure_steps, count, (words, output, given.steps, threads)))
            found[name].append(ended[0].outcome["tokens_per_second"])
            print(f"round {number + 1}, {name}: {found[name][-1]:.0f} tokens/s", flush=True)
    ratios = [b / a for a, b in zip(found["one"], found["several"], strict=True)]
    one, several = (statistics.median(found[name]) for name in found)
    return {
        "tokens_per_second_one_process": round(one, 1),
        "tokens_per_second": round(several, 1),
        "ratio": round(statistics.median(ratios), 3),
        "lowest_ratio": round(min(ratios), 3),
        "highest_ratio": round(max(ratios), 3),
        "rounds": given.rounds,
    }


def weights(given: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Train with one process and with several on the same batches, and compare the final weights."""
    from safetensors.numpy import load_file

    encoder = _without_dropout(given.encoder, folder / "encoder")
    flat = []
    for name, count, threads in (("one", 1, given.processes), ("several", given.processes, 1)):
        output = folder / name
        words = [str(given.train), "--validation", str(given.dev), "--encoder", encoder]
        words += ["--output", str(output), "precision=fp32", "epochs=1", *given.assignments]
        ended = end(start(train_command, count, (words, str(folder / "log"), threads)))
        if any(each.code or each.outcome for each in ended):
            raise SystemExit((folder / "log").read_text("utf-8")[-3000:])
        tensors = [load_file(path) for path in sorted(output.glob("**/*.safetensors"))]
        parts = [t[key].ravel() for t in tensors for key in sorted(t)]
        flat.append(np.concatenate(parts).astype(np.float64))
        print(f"{name}: done", flush=True)
    first, second = flat
    return {
        "weights": len(first),
        "relative_difference": f"{np.linalg.norm(first - second) / np.linalg.norm(first):.2e}",
        "largest_difference": f"{np.abs(first - second).max():.2e}",
    }


def _without_dropout(encoder: str, target: Path) -> str:
    """Copy an encoder with its dropout turned off, whose streams differ by process."""
    if encoder == "tiny":
        write_tiny_encoder(target)
    else:
        from multihot.models.encoder import _starter_folder

        source = _starter_folder() if encoder == "starter" else Path(encoder)
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    path = target / "config.json"
    config = json.loads(path.read_text("utf-8"))
    config |= {key: 0.0 for key in config if key.endswith(("dropout_prob", "dropout"))}
    path.write_text(json.dumps(config), "utf-8")
    return str(target)


def rows(given: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Draw numbers of rows and processes, and count how often each row is seen in an epoch."""
    from multihot.core.labels import LabelMatrix, LabelSpace
    from multihot.core.options import DataOptions, TrainOptions
    from multihot.data.dataset import encode
    from multihot.data.examples import Examples
    from multihot.data.tokens import load_tokenizer
    from multihot.training.batches import steps_after
    from multihot.training.ranks import Ranks

    write_tiny_encoder(folder / "encoder")
    tokenizer = load_tokenizer(folder / "encoder" / "tokenizer.json")
    space, generator = LabelSpace(("a", "b")), np.random.default_rng(given.seed)
    wrong, seen = 0, 0
    for _ in range(given.draws):
        num_rows, count = int(generator.integers(1, 400)), int(generator.integers(1, 33))
        texts = ["i " * int(n) for n in generator.integers(1, 60, num_rows)]
        labels = LabelMatrix(space, np.zeros((num_rows, 2), dtype=np.float32))
        names = list(map(str, range(num_rows)))
        examples = Examples(texts, labels, names, "x", DataOptions(), (), list(range(num_rows)))
        train_set = encode(examples, space, tokenizer, 64)
        sizes = {"batch_size": int(generator.integers(1, 65))}
        if generator.random() < 0.5:
            sizes = {"batch_tokens": int(generator.integers(64, 2000))}
        parts = int(generator.integers(1, 5))
        options = TrainOptions(epochs=2, accumulation_steps=parts, **sizes)
        counts = np.zeros((2, num_rows), dtype=np.int64)
        for rank in range(count):
            for step in steps_after(0, train_set, options, 0, ranks=Ranks(rank, count)):
                for batch in step.micro_batches:
                    np.add.at(counts[step.epoch - 1], batch.rows, 1)
        wrong += int((counts != 1).sum())
        seen += counts.size
    return {"draws": given.draws, "rows_of_epochs": seen, "not_exactly_once": wrong}


def kills(given: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Kill random processes at random moments; resume until done; compare with a run in peace."""
    write_tiny_encoder(folder / "encoder")
    shared = [str(given.train), "--validation", str(given.dev), "--resume", "checkpoint_steps=5"]
    shared += ["--encoder", str(folder / "encoder"), "epochs=3", "learning_rate=0.003"]
    log, generator = folder / "log", np.random.default_rng(given.seed)

    def command(output: Path) -> tuple[list[str], str, int]:
        return [*shared, "--output", str(output), *given.assignments], str(log), 1

    end(
        start(train_command, given.processes, command(folder / "first"))
    )  # and everything is imported
    began = time.monotonic()
    end(start(train_command, given.processes, command(folder / "peaceful")))
    whole, expected = time.monotonic() - began, _hashes(folder / "peaceful")
    print(f"undisturbed: {whole:.1f} s", flush=True)
    found: dict[str, list[Any]] = {"equal": [], "seconds": [], "silent": [], "kills": []}
    while len(found["kills"]) < given.kills:
        output = folder / f"disturbed-{len(found['equal'])}"
        while not (output / "thresholds.json").is_file():
            log.write_text("")
            started = start(train_command, given.processes, command(output))
            rank = int(generator.integers(given.processes))
            if len(found["kills"]) < given.kills:
                _kill(started, rank, float(generator.uniform(0.0, whole)), found["kills"])
            ended = end(started)
            if ended[rank].code == -signal.SIGKILL:
                others = [each for number, each in enumerate(ended) if number != rank]
                found["seconds"].append(max(each.seconds for each in others))
                said = log.read_text("utf-8")
                is_told = any(words in said for words in _SENTENCES)
                found["silent"].append(not is_told and any(each.outcome for each in others))
            elif any(each.code or each.outcome for each in ended):
                raise SystemExit(f"A run failed:\n{log.read_text('utf-8')[-3000:]}")
        found["equal"].append(_hashes(output) == expected)
        print(f"{len(found['kills'])} kills, equal: {found['equal']}", flush=True)
    return {
        "kills": len(found["kills"]),
        "kills_that_hit": len(found["seconds"]),
        "runs": len(found["equal"]),
        "runs_with_the_same_bytes": sum(found["equal"]),
        "longest_end_of_others_seconds": round(max(found["seconds"]), 1),
        "median_end_of_others_seconds": round(statistics.median(found["seconds"]), 1),
        "without_a_sentence": sum(found["silent"]),
    }


def _kill(started: list[Any], rank: int, seconds: float, killed: list[Any]) -> None:
    """Kill a process after some seconds, unless it has ended; ask the others to end, as torchrun does."""
    process = started[rank][0]
    process.join(seconds)
    if not process.is_alive():
        return
    process.kill()
    killed.append(seconds)
    time.sleep(_TORCHRUN_LOOKS)
    for other, _ in started:
        if other is not process and other.is_alive():
            other.terminate()


def _hashes(output: Path) -> dict[str, str]:
    paths = [*output.glob("*.safetensors"), output / "thresholds.json"]
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in paths}


def _arguments() -> argparse.Namespace:
    data = Path(str(files("multihot") / "demo_data"))
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("what", choices=["speed", "weights", "rows", "kills"])
    parser.add_argument("files_and_options", nargs="*", metavar="FILE or key=value")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--encoder", default="starter")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", default="ranks_202611.csv")
    parser.add_argument("--no-row", action="store_true")
    given = parser.parse_intermixed_args()
    given.assignments = [word for word in given.files_and_options if "=" in word]
    paths = [word for word in given.files_and_options if "=" not in word]
    given.train, given.dev = paths or [data / "train.jsonl", data / "validation.jsonl"]
    return given


def main() -> int:
    """Run the benchmark."""
    given = _arguments()
    _CONTEXT.set_forkserver_preload(PRELOADED)
    with tempfile.TemporaryDirectory() as scratch:
        work = {"speed": speed, "weights": weights, "rows": rows, "kills": kills}[given.what]
        found = work(given, Path(scratch))
    print(json.dumps(found, indent=1))
    if not given.no_row:
        row = {"what": given.what, "processes": given.processes, **found, **provenance()}
        print(f"added a row to {append_row(given.results, row)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
