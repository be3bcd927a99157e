"""Kills of every command that writes, from a fixed seed, with an encoder so small that hundreds take minutes.

    python benchmarks/kill_and_resume.py --campaign --kills 200

Each command runs in a fork of one process that has everything imported. Every second kill comes
inside a save: before the n-th time that something which is written aside is opened, made or renamed,
or that anything is removed, where n is drawn. The others come at a drawn moment. Then the same command is run again, and in the
end all files must be those of an undisturbed run, byte for byte where they hold weights, decisions or
predictions, and there must be no other.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import re
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["Outcome", "Verb", "campaign", "make_verbs"]

_ASIDE = re.compile(r"\.writing-|\.tmp$|/\.[^/]*\.\d+\.[0-9a-f]{8}(/|$)")
_WRITING = ("open", "os.mkdir", "os.rename")
_REMOVING = ("os.remove", "os.rmdir", "shutil.rmtree")
_COMPARED = re.compile(r"\.safetensors$|thresholds\.json$|vocab\.txt$|^out\.\w+$|^parts/\w+\.\w+$")
_NUM_ROWS, _NUM_VALIDATION_ROWS = 72, 40
_MOST_KILLS_A_RUN = 6
_FRACTION_ANYWHERE = 0.4


@dataclass(frozen=True)
class Verb:
    """A command to be killed."""

    name: str
    words: tuple[str, ...]
    """Its arguments; `OUTPUT` stands for what it writes."""
    output: str
    """The name of what it writes."""
    old: bytes | None = None
    """What is there before, where the command replaces a file."""


@dataclass
class Outcome:
    """What the kills of one command came to."""

    verb: str
    kills: int = 0
    inside_save: int = 0
    runs: int = 0
    equal: int = 0
    stale: int = 0
    """Files or folders in finished runs that an undisturbed run does not leave."""
    torn: int = 0
    """Outputs that were neither the old nor the new after a kill, of commands that do not resume."""
    failed: int = 0
    """Commands that ended with an error instead of going on."""
    digests: str = ""
    """Beginnings of the SHA-256 of what is compared."""

    @property
    def is_good(self) -> bool:
        """Whether everything is as in an undisturbed run."""
        return self.equal == self.runs and not (self.stale or self.torn or self.failed)


def make_verbs(folder: Path, write_encoder: Callable[[Path], None]) -> list[Verb]:
    """Write data, an encoder and a model into `folder`; return the commands."""
    from importlib.resources import files

    data = files("multihot") / "demo_data"
    for name, most in (("train", _NUM_ROWS), ("validation", _NUM_VALIDATION_ROWS)):
        lines = (data / f"{name}.jsonl").read_text("utf-8").splitlines(keepends=True)[:most]
        (folder / f"{name}.jsonl").write_text("".join(lines), "utf-8")
    texts = [
        json.loads(line)["text"]
        for line in (data / "train.jsonl").read_text("utf-8").split("\n")
        if line
    ]
    documents = [" . ".join(texts[n : n + 12]) + " ." for n in range(0, 360, 12)]
    (folder / "corpus.jsonl").write_text(
        "".join(json.dumps({"text": document}) + "\n" for document in documents), "utf-8"
    )
    # Standard output of `predict` is fast, so it has more to do.
    lines = (data / "train.jsonl").read_text("utf-8").splitlines(keepends=True) * 2
    (folder / "texts.jsonl").write_text("".join(lines), "utf-8")
    write_encoder(folder / "encoder")
    shared = ("--output", "OUTPUT", "--resume", "threads=1", "checkpoint_steps=3")
    quick = ("batch_size=8", "precision=fp32", "device=cpu")
    train = (
        *("train", str(folder / "train.jsonl"), "--encoder", str(folder / "encoder")),
        *("learning_rate=0.003", *shared, *quick),
    )
    validation = ("--validation", str(folder / "validation.jsonl"))
    pretrain = (
        *("pretrain", str(folder / "corpus.jsonl"), *shared, *quick, "vocab_size=600"),
        *("encoder_size=1x64", "max_length=32", "total_steps=18", "evaluation_steps=6"),
        *("held_out_fraction=0.25", "held_out_rows=16", "learning_rate=0.003"),
    )
    model = folder / "model"
    words = [*train, *validation, "epochs=1"]
    code = _finished(
        _started([word.replace("OUTPUT", str(model)) for word in words], folder / "log.txt")
    )
    if code != 0:
        raise SystemExit((folder / "log.txt").read_text("utf-8")[-2000:])
    predict = (
        "predict",
        str(model),
        "--input",
        str(folder / "texts.jsonl"),
        "--force",
        "--output",
        "OUTPUT",
    )
    split = ("split", str(folder / "train.jsonl"), "--force", "--output", "OUTPUT")
    return [
        Verb("train", (*train, *validation, "epochs=3"), "run"),
        Verb("folds", (*train, "--folds", "3", "epochs=2"), "run"),
        Verb("seeds", (*train, *validation, "--seeds", "3", "epochs=2"), "run"),
        Verb("pretrain", pretrain, "run"),
        Verb("predict", predict, "out.csv", old=b"old\n"),
        Verb("predict .jsonl", predict, "out.jsonl", old=b"old\n"),
        Verb("split", split, "parts"),
    ]


def campaign(
    verbs: list[Verb], kills: int, seed: int, folder: Path, say: Callable[[str], None]
) -> Iterator[Outcome]:
    """Kill the commands `kills` times in all, in equal parts; yield what came of each command."""
    for number, verb in enumerate(verbs):
        share = kills // len(verbs) + (number < kills % len(verbs))
        generator = np.random.default_rng([seed, number])
        yield _killed_again_and_again(verb, share, generator, folder, say)


def _killed_again_and_again(
    verb: Verb, kills: int, generator: np.random.Generator, folder: Path, say: Callable[[str], None]
) -> Outcome:
    place = folder / verb.name.replace(" ", "-")
    log = place.with_suffix(".log")
    began = time.monotonic()
    peaceful = place / "peaceful"
    words = _prepared(verb, peaceful)
    counted = place / "events"
    code = _finished(_started(words, log, count=counted))
    if code != 0:
        raise SystemExit(f"{verb.name} failed:\n{log.read_text('utf-8', 'replace')[-3000:]}")
    seconds, events = time.monotonic() - began, int(counted.read_text("utf-8"))
    expected = _contents(peaceful)
    outcome = Outcome(verb.name, digests=" ".join(v[:16] for v in expected.values() if v))
    say(f"{verb.name}: undisturbed {seconds:.1f} s, {events} steps of saving")
    turns = itertools.count()
    while outcome.kills < kills:
        base = place / f"disturbed-{outcome.runs}"
        words = _prepared(verb, base)
        for _ in range(min(_MOST_KILLS_A_RUN, kills - outcome.kills)):
            event, moment = 0, float(generator.uniform(0, seconds))
            if next(turns) % 2 == 0:
                # Most come early, so that a run is killed often; some at any step up to the last.
                most = events if generator.random() < _FRACTION_ANYWHERE else max(events // 4, 4)
                event = int(generator.integers(1, most + 1))
            code = _finished(_started(words, log, event=event), None if event else moment)
            if code != -signal.SIGKILL:
                outcome.failed += code != 0
                break
            outcome.kills += 1
            outcome.inside_save += bool(event) or _is_aside(base)
            outcome.torn += _is_torn(verb, base, peaceful)
        code = _finished(_started(words, log))
        # A run that was killed when all was done has nothing to resume, and says so.
        outcome.failed += code != 0
        found = _contents(base)
        outcome.runs += 1
        outcome.stale += len(set(found) - set(expected))
        outcome.equal += found.items() >= expected.items()
        if code != 0 or found != expected:
            say(
                f"{verb.name}, run {outcome.runs}: exit code {code}, files {_differences(found, expected)}"
            )
            say(log.read_text("utf-8", "replace")[-1500:])
    return outcome


def _differences(found: dict[str, str], expected: dict[str, str]) -> list[str]:
    names = sorted({*found, *expected})
    return [name for name in names if found.get(name) != expected.get(name)]


def _prepared(verb: Verb, base: Path) -> list[str]:
    """Make the folder of a run; return the command's words."""
    base.mkdir(parents=True)
    if verb.old is not None:
        (base / verb.output).write_bytes(verb.old)
    return [word.replace("OUTPUT", str(base / verb.output)) for word in verb.words]


def _contents(base: Path) -> dict[str, str]:
    """Return every file and folder with the SHA-256 of those whose bytes are compared, else empty."""
    found = {}
    for path in sorted(base.rglob("*")):
        name = str(path.relative_to(base))
        is_compared = path.is_file() and _COMPARED.search(name)
        found[name] = hashlib.sha256(path.read_bytes()).hexdigest() if is_compared else ""
    return found


def _is_aside(base: Path) -> bool:
    return any(_ASIDE.search(str(path)) for path in base.rglob(".*"))


def _is_torn(verb: Verb, base: Path, peaceful: Path) -> bool:
    if verb.old is None:
        return False
    content = (base / verb.output).read_bytes()
    return content not in (verb.old, (peaceful / verb.output).read_bytes())


def _started(words: list[str], log: Path, *, event: int = 0, count: Path | None = None) -> int:
    """Fork a process that runs a command, and ends itself at the n-th step of saving; return its number.

    With `count`, the number of such steps is written there.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    child = os.fork()
    if child:
        return child
    code = 70
    try:
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        steps = [0]
        if event or count:
            sys.addaudithook(lambda name, values: _audit(name, values, steps, event))
        from multihot.cli.main import main

        code = main(words)
        if count is not None:
            count.write_text(str(steps[0]), "utf-8")
    except SystemExit as leaving:
        code = int(leaving.code or 0)
    except BaseException:  # noqa: BLE001 - a fork must not go on here
        traceback.print_exc()
    finally:
        os._exit(code)


def _audit(name: str, values: tuple[Any, ...], steps: list[int], event: int) -> None:
    """Count what is done to files that are written aside, and removals; end the process at one."""
    if name not in (*_WRITING, *_REMOVING):
        return
    place = str(values[0]) if name != "os.rename" else f"{values[0]} {values[1]}"
    if name in _REMOVING or _ASIDE.search(place):
        steps[0] += 1
        if steps[0] == event:
            os.kill(os.getpid(), signal.SIGKILL)


def _finished(child: int, seconds: float | None = None) -> int:
    """Wait for a process, kill it after so many seconds; return its exit code, a signal as below 0."""
    timer = None if seconds is None else threading.Timer(seconds, os.kill, (child, signal.SIGKILL))
    if timer is not None:
        timer.start()
    # The number of the process stays its own until it is waited for.
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    if timer is not None:
        timer.cancel()
        timer.join()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
