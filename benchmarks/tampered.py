"""Load model folders, encoder folders and checkpoints that were tampered with, by every verb that loads.

    python benchmarks/tampered.py                       # every change, some verbs each: a quarter of an hour
    python benchmarks/tampered.py --changes 60 --seed 7
    python benchmarks/tampered.py --only "config auto_map" --verbs predict evaluate --show

Every run is a process of its own, forked from one that has imported everything, with one thread. It may
refuse (exit code 1 or 2, a sentence, no traceback) or serve what the untouched folder serves. Anything
else is bad: an internal error, other scores without a word, code that ran (a witness file), a file opened
outside the folder, a connection, more than 5 CPU seconds or 1 GB. One row goes into `results/`. Exit code
0 if nothing was bad, else 1. POSIX only.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from provenance import append_row, provenance
from tampering import EVIL_MODULE, PAYLOAD, Change, changes
from tiny_model import command, environment, write_model

_RESULTS = "tampered_202611.csv"
_MAX_SECONDS, _MAX_BYTES = 5.0, 1 << 30
_PATIENCE = 60.0  # wall seconds
_TEXTS = ("so happy today", "the train was late", "tea at four @user7")
_LABELS = 5
_WORDS_OF_A_DEFECT = ("Traceback", "should not happen", "internal error")
_VERBS = {
    "head": ("predict", "load", "evaluate", "from", "teacher"),
    "model": ("predict", "evaluate", "decide", "compare", "inspect", "from", "teacher", "load"),
    "encoder": ("encoder", "pretrain", "fill-mask", "next-sentence", "tokens"),
    "checkpoint": ("resume",),
}
_BRIEF = ("epochs=1", "device=cpu", "threads=1", "batch_size=50", "max_unknown_fraction=1")

_ANSWERS = ("predict", "load", "evaluate", "fill-mask", "next-sentence", "resume")
_RESUMED = "checkpoint_steps=2"
_PRETRAINING = ("total_steps=2", "device=cpu", "threads=1", "max_length=32")


@dataclass(frozen=True)
class Sources:
    """Untouched folders, files of rows, and what they answer."""

    folders: dict[str, Path]
    outside: Path
    rows: Path
    corpus: Path


@dataclass(frozen=True)
class Run:
    """What one process did."""

    code: int
    output: str
    error: str
    seconds: float
    grown_bytes: int
    events: tuple[str, ...]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--changes", type=int, help="so many, drawn by the seed; default: all")
    parser.add_argument("--runs-each", type=int, default=2, help="verbs for each change")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help="changes whose kind begins with this")
    parser.add_argument("--verbs", nargs="+", help="instead of drawn ones")
    parser.add_argument("--show", action="store_true", help="print every run")
    parser.add_argument("--no-row", action="store_true", help="write nothing into results/")
    return parser.parse_args()


def prepare(scratch: Path) -> Sources:
    """Train the models that are tampered with, interrupt one run, and import everything."""
    model = write_model(scratch, _LABELS)
    rows = scratch / "train.jsonl"
    interrupted = _interrupted(scratch, rows)
    head = _trained(scratch, rows, "pooling=mean")
    outside = scratch / "outside"
    shutil.copytree(model, outside)
    shutil.copytree(interrupted / "run" / "checkpoints", outside / "run" / "checkpoints")
    shutil.copy(head / "head.safetensors", outside)
    corpus = scratch / "corpus"
    corpus.mkdir()
    texts = [
        f"the train {number} was late again. so happy today at {number}." for number in range(300)
    ]
    (corpus / "a.txt").write_text("\n\n".join(texts), "utf-8")
    pretrained = scratch / "pretrained"
    words = ["pretrain", str(corpus), "--encoder", str(scratch / "encoder")]
    _done([*words, "--output", str(pretrained), *_PRETRAINING, "next_sentence=true"])
    folders = {"model": model, "head": head, "encoder": pretrained, "checkpoint": interrupted}
    _import_everything(model)
    return Sources(folders, outside, rows, corpus)


def _done(words: Sequence[str]) -> None:
    done = subprocess.run(
        command(words), env=environment(), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr)


def _trained(scratch: Path, rows: Path, *options: str) -> Path:
    """Return the folder of a model with these options."""
    output = scratch / "head"
    words = ["train", str(rows), "--encoder", str(scratch / "encoder"), "--output", str(output)]
    _done([*words, *_BRIEF, *options])
    return output


def _interrupted(scratch: Path, rows: Path) -> Path:
    """Return the folder of a run that was stopped after a checkpoint."""
    output = scratch / "interrupted"
    words = ["train", str(rows), "--encoder", str(scratch / "encoder"), "--output", str(output)]
    options = [*_BRIEF[1:], "epochs=3", _RESUMED]
    running = subprocess.Popen(
        command([*words, *options]),
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until = time.monotonic() + 120
    while running.poll() is None and not [*(output / "run" / "checkpoints").glob("step-*")]:
        if time.monotonic() > until:
            raise SystemExit("the run to be interrupted wrote no checkpoint")
        time.sleep(0.005)
    running.send_signal(signal.SIGTERM)
    running.wait()
    if not [*(output / "run" / "checkpoints").glob("step-*")]:
        raise SystemExit("the run to be interrupted was finished before it could be stopped")
    return output


def _import_everything(model: Path) -> None:
    from multihot.cli.main import main
    from multihot.workflows import compare, decide, evaluate, inspect, pretrain, probe, train

    assert all((compare, decide, evaluate, inspect, pretrain, probe, train))
    import multihot.inference.masked_lm
    import multihot.training.distillation

    assert multihot.inference.masked_lm
    assert multihot.training.distillation
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        code = main(["predict", str(model), "--json", *_TEXTS])
    assert code == 0


def words_of(verb: str, folder: Path, sources: Sources, work: Path) -> list[str]:
    """Return the words of the command line by which a verb loads the folder."""
    rows, out = str(sources.rows), str(work / "out")
    good, encoder = str(sources.folders["model"]), str(sources.rows.with_name("encoder"))
    place = str(folder)
    return {
        "predict": ["predict", place, "--json", *_TEXTS],
        "evaluate": ["evaluate", place, rows, "--json"],
        "decide": ["decide", place, rows, "--json"],
        "compare": ["compare", place, good, rows, "--json"],
        "inspect": ["inspect", place],
        "load": ["load", place],
        "from": ["train", rows, "--from", place, "--output", out, *_BRIEF],
        "teacher": [
            *("train", rows, "--encoder", encoder, "--teacher", place, "--output", out, *_BRIEF)
        ],
        "encoder": ["train", rows, "--encoder", place, "--output", out, *_BRIEF],
        "pretrain": [
            *("pretrain", str(sources.corpus), "--encoder", place, "--output", out, *_PRETRAINING)
        ],
        "fill-mask": ["fill-mask", place, "so [MASK] today"],
        "next-sentence": ["next-sentence", place, "so happy today", "the train was late"],
        "tokens": ["inspect", rows, "--encoder", place],
        "resume": [
            *("train", rows, "--encoder", encoder, "--output", place, "--resume"),
            *(*_BRIEF[1:], "epochs=3", _RESUMED),
        ],
    }[verb]


def _allowed(path: str, places: Sequence[str]) -> bool:
    real = os.path.realpath(path)
    return any(real == place or real.startswith(f"{place}{os.sep}") for place in places)


def _watch(places: Sequence[str], witness: list[str]) -> None:
    """Note what this process opens outside its places, starts, connects to, and which code it runs."""

    def hook(event: str, given: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(given[0], str | bytes):
            path = os.fsdecode(given[0])
            if not _allowed(path, places) and not Path(path).is_dir():
                witness.append(f"opened {path}")
        elif event in ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn"):
            witness.append(f"started {given[0]}")
        elif event in ("socket.connect", "socket.getaddrinfo"):
            witness.append(f"connected {given[-1]}")
        elif event == "import" and EVIL_MODULE in str(given[0]):
            witness.append(f"imported {given[0]}")

    sys.addaudithook(hook)


def run(words: Sequence[str], folder: Path, sources: Sources, work: Path) -> Run:
    """Run a command in a process of its own and return what it did."""
    work.mkdir()
    files = [work / name for name in ("stdout", "stderr", "events")]
    before = _resident_bytes()
    child = os.fork()
    if not child:
        _child(words, folder, sources, work, files)
    until = time.monotonic() + _PATIENCE
    while not (ended := os.wait4(child, os.WNOHANG))[0]:
        if time.monotonic() > until:
            os.kill(child, signal.SIGKILL)
            ended = os.wait4(child, 0)
            break
        time.sleep(0.002)
    usage = ended[2]
    if words[-1] == _RESUMED:  # what a resumed run says does not matter, but what it writes
        files[0].write_text(_digest(folder / "model.safetensors"), "utf-8")
    output, error, events = (
        path.read_text("utf-8", errors="replace") if path.exists() else "" for path in files
    )
    return Run(
        os.waitstatus_to_exitcode(ended[1]),
        output.replace(str(folder), "FOLDER"),
        error,
        usage.ru_utime + usage.ru_stime,
        max(0, usage.ru_maxrss * 1024 - before),
        tuple(events.splitlines()),
    )


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "no weights"


def _child(
    words: Sequence[str], folder: Path, sources: Sources, work: Path, files: Sequence[Path]
) -> None:
    code, witness = 99, list[str]()
    try:
        for number, path in enumerate(files[:2], 1):
            os.dup2(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600), number)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        resource.setrlimit(resource.RLIMIT_CPU, (20, 25))
        allowed = (
            *(folder, work, sources.rows, sources.corpus, sources.rows.with_name("encoder")),
            *(sources.folders["model"], sys.prefix, sys.base_prefix, "/proc", "/sys", "/usr"),
            *("/dev/null", "/dev/urandom", "/dev/zero", Path(__file__).parents[1]),
        )
        _watch([os.path.realpath(place) for place in allowed], witness)
        os.environ.update(MULTIHOT_CACHE=str(work / "cache"), TMPDIR=str(work))
        tempfile.tempdir = str(work)
        os.chdir(work)
        code = _answer(words)
    except SystemExit as ending:
        code = ending.code if isinstance(ending.code, int) else 1
    except BaseException:  # noqa: BLE001 - this is what is looked for
        traceback.print_exc()
    finally:
        with contextlib.suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
        files[2].write_text("\n".join(witness), "utf-8")
        os._exit(code)


def _answer(words: Sequence[str]) -> int:
    from multihot.cli.main import main

    if words[0] != "load":
        return main(list(words))
    from multihot import MultiLabelClassifier
    from multihot.errors import MultihotError

    try:
        scores = MultiLabelClassifier.load(words[1]).predict_proba(list(_TEXTS))
    except MultihotError as error:
        print(f"multihot load: {error}", file=sys.stderr)
        return 2
    print(scores.tolist())
    return 0


def _resident_bytes() -> int:
    pages = Path("/proc/self/statm").read_text("ascii").split()[1]
    return int(pages) * resource.getpagesize()


def judge(change: Change, verb: str, found: Run, expected: Run, witness: Path) -> str:
    """Return `refused`, `served`, or what is bad."""
    events = [event for event in found.events if event not in expected.events]
    said = found.output + found.error
    is_answer = verb in _ANSWERS
    bad = {
        "code run": witness.exists() or any(event.startswith("imported") for event in events),
        f"outside: {events[:1]}": bool(events),
        f"internal error (exit code {found.code})": found.code not in (0, 1, 2)
        or any(word in said for word in _WORDS_OF_A_DEFECT),
        f"{found.seconds:.0f} s": found.seconds > expected.seconds + _MAX_SECONDS,
        f"{found.grown_bytes / 1e9:.1f} GB": found.grown_bytes > expected.grown_bytes + _MAX_BYTES,
        "refused without a word": found.code and not found.error.strip(),
        "served what must be refused": not found.code
        and change.serves == "nothing"
        and verb not in ("inspect", "tokens"),
        "other scores without a word": not found.code
        and change.serves == "same"
        and is_answer
        and found.output != expected.output,
    }
    came = next((words for words, is_bad in bad.items() if is_bad), None)
    return came or ("refused" if found.code else "served")


def _drawn(given: argparse.Namespace) -> list[tuple[Change, str]]:
    """Return which changes are loaded by which verbs."""
    random = np.random.default_rng(given.seed)
    some = [each for each in changes() if not given.only or each.kind.startswith(given.only)]
    if given.changes is not None and given.changes < len(some):
        chosen = random.permutation(len(some))[: given.changes]
        some = [some[number] for number in sorted(chosen.tolist())]
    pairs = []
    for change in some:
        verbs = given.verbs or _VERBS[change.target]
        verbs = [verb for verb in verbs if verb in _VERBS[change.target]]
        count = len(verbs) if given.verbs else min(given.runs_each, len(verbs))
        pairs += [(change, verbs[at]) for at in sorted(random.permutation(len(verbs))[:count])]
    return pairs


def campaign(pairs: Sequence[tuple[Change, str]], scratch: Path, *, show: bool) -> Counter[str]:
    """Run every pair and return how often what came of it; bad ones are printed."""
    sources = prepare(scratch)
    witness = scratch / "witness"
    counts: Counter[str] = Counter()
    expected: dict[tuple[str, str], Run] = {}
    for number, (change, verb) in enumerate(pairs):
        work = scratch / f"run-{number}"
        folder = scratch / f"folder-{number}"
        base = sources.folders[change.target]
        if (change.target, verb) not in expected:
            shutil.copytree(base, folder, symlinks=True)
            found = run(words_of(verb, folder, sources, work), folder, sources, work)
            if found.code:
                raise SystemExit(f"{verb} of an untouched folder failed:\n{found.error[-3000:]}")
            expected[change.target, verb] = found
            shutil.rmtree(folder)
            shutil.rmtree(work)
        shutil.copytree(base, folder, symlinks=True)
        (folder / f"{EVIL_MODULE}.py").write_text(PAYLOAD.format(str(witness)), "utf-8")
        change.apply(folder, sources.outside)
        found = run(words_of(verb, folder, sources, work), folder, sources, work)
        came = judge(change, verb, found, expected[change.target, verb], witness)
        kind = came if came in ("refused", "served") else "bad"
        counts[kind] += 1
        if kind == "bad" or show:
            tail = (found.error.strip().splitlines() or [""])[-1][:300]
            print(f"{came}: {change.kind} | {change.name} | {verb}\n    {tail}", flush=True)
        witness.unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(work, ignore_errors=True)
    return counts


def main() -> int:
    """Draw, run, print, append."""
    given = _arguments()
    os.environ.update(environment())
    pairs = _drawn(given)
    with tempfile.TemporaryDirectory() as scratch:
        counts = campaign(pairs, Path(scratch).resolve(), show=given.show)
    row = {
        "changes": len({(each.kind, each.name, each.target) for each, _ in pairs}),
        "kinds": len({each.kind for each, _ in pairs}),
        "runs": len(pairs),
        "refused": counts["refused"],
        "served": counts["served"],
        "bad": counts["bad"],
    }
    print("  ".join(f"{name}={value}" for name, value in row.items()))
    if not given.no_row:
        append_row(_RESULTS, {**row, **provenance()})
    return int(counts["bad"] > 0)


if __name__ == "__main__":
    sys.exit(main())
