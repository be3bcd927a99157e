"""Kill a training run again and again, resume it each time, and compare the weights with a run in peace.

    python benchmarks/kill_and_resume.py --kills 20
    python benchmarks/kill_and_resume.py --kills 10 --encoder tiny epochs=3
    python benchmarks/kill_and_resume.py --kills 10 --pretrain CORPUS total_steps=600
    python benchmarks/kill_and_resume.py --kills 200 --campaign

Each kill is a SIGKILL: nothing in the process can answer it. Every second one comes while a
checkpoint is being written (its `.writing-` folder is there), the others at a random moment. The
run is resumed with the same command until it is done; then the SHA-256 of all weight files and, of a
classifier, `thresholds.json` must be those of the undisturbed run. Exit code 0 if they are, else 1.
One row goes into `results/`. `--campaign` kills every command that writes, see `kill_campaign.py`; a row
for each.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import itertools
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np

from kill_campaign import campaign, make_verbs
from provenance import append_row, provenance

_POLL_SECONDS = 0.0005
_START = "import sys; from multihot.cli.main import main; sys.exit(main())"
_TINY_OPTIONS = ("epochs=3", "learning_rate=0.003")


@dataclass(frozen=True)
class Aim:
    """Where to kill: inside a save, or so long after the first step."""

    save: int = 0
    """Which save of the process, from 1; 0 for a random moment."""
    seconds: float = 0.0


@dataclass(frozen=True)
class Kill:
    """One kill and what it hit."""

    inside_save: bool
    step: int
    """The newest complete checkpoint at that moment; 0 when there was none."""
    seconds: float


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--encoder", default="starter", help="starter, a folder, or 'tiny'")
    parser.add_argument("--pretrain", metavar="CORPUS", help="pretrain on it instead of training")
    parser.add_argument(
        "--campaign",
        action="store_true",
        help="kill every command that writes, with a tiny encoder",
    )
    parser.add_argument("--checkpoint-steps", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0, help="decides the random moments")
    parser.add_argument("--results", default="kill_and_resume_202611.csv")
    parser.add_argument("--no-row", action="store_true", help="write nothing into results/")
    parser.add_argument("assignments", nargs="*", metavar="key=value", help="options of the run")
    return parser.parse_args()


def write_tiny_encoder(
    folder: Path,
    *,
    width: int = 32,
    num_layers: int = 2,
    max_length: int = 64,
    num_words: int = 500,
) -> None:
    """Write a random BERT that knows the commonest words of the demo data."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizer

    text = (files("multihot") / "demo_data" / "train.jsonl").read_text("utf-8").lower()
    counts: dict[str, int] = {}
    for word in "".join(c if c.isalpha() else " " for c in text).split():
        counts[word] = counts.get(word, 0) + 1
    words = sorted(counts, key=lambda word: (-counts[word], word))[:num_words]
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = {word: number for number, word in enumerate([*special, *words])}
    BertTokenizer(vocab=vocabulary, model_max_length=max_length).save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=width,
        num_hidden_layers=num_layers,
        num_attention_heads=2,
        intermediate_size=2 * width,
        max_position_embeddings=max_length,
    )
    torch.manual_seed(0)
    BertModel(config).save_pretrained(folder)


def _command(encoder: str, output: Path, given: argparse.Namespace) -> list[str]:
    """Return the command that starts the run, or resumes it when it was started before."""
    shared = ["--output", str(output), "--resume", f"checkpoint_steps={given.checkpoint_steps}"]
    start = [sys.executable, "-c", _START]
    if given.pretrain:
        return [*start, "pretrain", given.pretrain, *shared, *given.assignments]
    data = files("multihot") / "demo_data"
    tiny = _TINY_OPTIONS if given.encoder == "tiny" else ()
    return [
        *(*start, "train", str(data / "train.jsonl")),
        *("--validation", str(data / "validation.jsonl"), "--encoder", encoder),
        *(*shared, *tiny, *given.assignments),
    ]


def _hashes(output: Path) -> dict[str, str]:
    """Return the SHA-256 of each weight file and of the decision, where there is one."""
    patterns = ("*.safetensors", "encoder/*.safetensors", "thresholds.json")
    paths = [path for pattern in patterns for path in output.glob(pattern)]
    return {
        str(path.relative_to(output)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(paths)
    }


def _newest_step(output: Path) -> int:
    found = (output / "run" / "checkpoints").glob("step-*/manifest.json")
    return max((int(path.parent.name.removeprefix("step-")) for path in found), default=0)


def _wait_for_save(process: subprocess.Popen[bytes], output: Path, num_saves: int) -> bool:
    """Wait until the given number of saves has begun; return whether the last is going on."""
    checkpoints = output / "run" / "checkpoints"
    seen: set[str] = set()
    while process.poll() is None:
        try:
            writing = [e.name for e in os.scandir(checkpoints) if e.name.startswith(".writing-")]
        except FileNotFoundError:
            writing = []
        seen.update(writing)
        if writing and len(seen) >= num_saves:
            return True
        time.sleep(_POLL_SECONDS)
    return False


def _wait_for_training(process: subprocess.Popen[bytes], output: Path, before: int) -> None:
    """Wait until this process has opened the run's log, right before its first step."""
    while process.poll() is None and _log_number(output) in (0, before):
        time.sleep(_POLL_SECONDS)


def _log_number(output: Path) -> int:
    """Return what tells one written log from another; 0 when there is none."""
    try:
        return (output / "run" / "metrics.jsonl").stat().st_ino
    except FileNotFoundError:
        return 0


def _run_once(command: list[str], output: Path, log: Path, aim: Aim | None) -> Kill | float:
    """Run the command and kill it where `aim` says.

    Return the kill, or the seconds from the first step to the end when there was none.
    """
    before = _log_number(output)
    with log.open("ab") as handle:
        process = subprocess.Popen(command, stdout=handle, stderr=handle)
        _wait_for_training(process, output, before)
        began = time.monotonic()
        if aim is not None:
            if aim.save:
                _wait_for_save(process, output, aim.save)
            else:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(aim.seconds)
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
        process.wait()
    seconds = time.monotonic() - began
    if process.returncode == -signal.SIGKILL:
        hit = any((output / "run" / "checkpoints").glob(".writing-*"))
        return Kill(hit, _newest_step(output), seconds)
    if process.returncode != 0:
        tail = log.read_text("utf-8", "replace")[-2000:]
        raise SystemExit(f"The run failed with exit code {process.returncode}:\n{tail}")
    return seconds


def _is_done(output: Path) -> bool:
    return any((output / name).is_file() for name in ("thresholds.json", "pretraining.json"))


def _kill_and_resume(
    command: list[str], output: Path, log: Path, aims: Iterator[Aim], most: int
) -> list[Kill]:
    """Kill one run at every aim until it is done or was killed `most` times; return its kills."""
    kills: list[Kill] = []
    while len(kills) < most:
        kill = _run_once(command, output, log, next(aims))
        if not isinstance(kill, Kill):
            return kills
        kills.append(kill)
        where = "inside a save" if kill.inside_save else "between saves"
        where = where if kill.step or kill.inside_save or not _is_done(output) else "when done"
        print(
            f"killed {where}, {kill.seconds:.2f} s into training, newest checkpoint {kill.step}",
            flush=True,
        )
    _run_once(command, output, log, None)
    return kills


def _aims(training_seconds: float, seed: int) -> Iterator[Aim]:
    """Yield where to kill: every second time inside one of the first saves, else at random."""
    generator = np.random.default_rng(seed)
    for turn in itertools.count():
        if turn % 2 == 0:
            yield Aim(save=int(generator.integers(1, 4)))
        else:
            yield Aim(seconds=float(generator.uniform(0, training_seconds / 4)))


def _campaign(given: argparse.Namespace) -> int:
    """Kill every command; print a table and record a row for each."""
    import torch

    torch.set_num_threads(1)  # a fork has no threads of OpenMP
    outcomes = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        os.environ["MULTIHOT_CACHE"] = str(folder / "cache")
        verbs = make_verbs(folder, write_tiny_encoder)
        for outcome in campaign(verbs, given.kills, given.seed, folder / "runs", _say):
            outcomes.append(outcome)
            _say(
                f"{outcome.verb}: {outcome.kills} kills, {outcome.inside_save} inside a save; "
                f"{outcome.equal} of {outcome.runs} runs equal, {outcome.stale} stale, "
                f"{outcome.torn} torn, {outcome.failed} failed"
            )
            row = {
                "encoder": f"tiny: {outcome.verb}",
                "kills": outcome.kills,
                "inside_save": outcome.inside_save,
                "runs": outcome.runs,
                "runs_with_the_same_bytes": outcome.equal,
                "weights_sha256": outcome.digests,
                **provenance(),
                "stale": outcome.stale,
                "torn": outcome.torn,
                "failed": outcome.failed,
            }
            if not given.no_row:
                append_row(given.results, row)
    kills, inside = (sum(getattr(o, name) for o in outcomes) for name in ("kills", "inside_save"))
    is_good = all(outcome.is_good for outcome in outcomes)
    _say(f"{kills} kills, {inside} inside a save: {'all well' if is_good else 'NOT WELL'}")
    return 0 if is_good else 1


def _say(message: str) -> None:
    print(message, flush=True)


def main() -> int:
    """Run the benchmark."""
    given = _arguments()
    if given.campaign:
        return _campaign(given)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        encoder = given.encoder
        if encoder == "tiny":
            encoder = str(folder / "encoder")
            write_tiny_encoder(Path(encoder))
        peaceful, log = folder / "peaceful", folder / "log.txt"
        seconds = _run_once(_command(encoder, peaceful, given), peaceful, log, None)
        assert isinstance(seconds, float)
        print(f"undisturbed: {seconds:.1f} s of training", flush=True)
        expected = _hashes(peaceful)
        aims = _aims(seconds, given.seed)
        kills: list[Kill] = []
        equal = []
        # A run that is done before all kills were spent is followed by another.
        while len(kills) < given.kills:
            output = folder / f"disturbed-{len(equal)}"
            command, left = _command(encoder, output, given), given.kills - len(kills)
            kills += _kill_and_resume(command, output, log, aims, left)
            equal.append(_hashes(output) == expected)
            print(f"run {len(equal)} is done: {'the same' if equal[-1] else 'OTHER'} bytes")
            if len(equal) > given.kills:
                break
    inside = sum(kill.inside_save for kill in kills)
    print(f"{len(kills)} kills, {inside} inside a save; {sum(equal)} of {len(equal)} runs equal")
    row = {
        "encoder": "pretraining" if given.pretrain else given.encoder,
        "kills": len(kills),
        "inside_save": inside,
        "runs": len(equal),
        "runs_with_the_same_bytes": sum(equal),
        "weights_sha256": " ".join(v[:16] for n, v in expected.items() if "safetensors" in n),
        "training_seconds_undisturbed": round(seconds, 1),
        **provenance(),
    }
    if not given.no_row:
        print(f"added a row to {append_row(given.results, row)}")
    return 0 if all(equal) and len(kills) == given.kills else 1


if __name__ == "__main__":
    sys.exit(main())
