"""Load folders that were tampered with, by every verb that loads: models, exports, encoders, runs, caches.

    python benchmarks/tampered.py                       # every change, some verbs each: half an hour
    python benchmarks/tampered.py --changes 60 --seed 7
    python benchmarks/tampered.py --only "config auto_map" --verbs predict evaluate --show

Every run is a process of its own, forked from one that has imported everything, with one thread. It may
refuse: exit code 1 or 2, and a sentence that names the file or the key, without a traceback. Or it
serves what the untouched folder serves. Anything else is bad: an internal error, other scores or weights
without a word, code that ran (a witness file), a file opened or changed outside the folder, a
connection, more than 5 CPU seconds or 1 GB. Where strace is installed, the system says what was opened,
by compiled code too; elsewhere only Python does. One row goes into `results/`. Exit code 0 if nothing
was bad, else 1. POSIX only.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import importlib.util
import io
import json
import os
import re
import shlex
import shutil
import signal
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from provenance import append_row, provenance
from tampering import changes
from tampering_edits import DECISION, EVIL_MODULE, PAYLOAD, Change
from tiny_model import environment, write_model
from watched_process import Meanwhile, Observed, observe, under_strace

_RESULTS = "tampered_202611.csv"
_MAX_SECONDS, _MAX_BYTES = 5.0, 1 << 30
_TEXTS = ("so happy today", "the train was late", "tea at four @user7")
_LABELS = 5
_WORDS_OF_A_DEFECT = ("Traceback", "should not happen", "internal error")
_HEAD = ("predict", "load", "evaluate", "from", "teacher")
_EXPORT_VERBS = ("predict", "evaluate", "decide", "inspect", "load")
_VERBS = {
    **dict.fromkeys(("head", "attention", "labels"), _HEAD),
    "model": ("predict", "evaluate", "decide", "compare", "inspect", "from", "teacher", "load"),
    "encoder": ("encoder", "pretrain", "fill-mask", "next-sentence", "tokens"),
    "export": _EXPORT_VERBS,
    "export-openvino": tuple(
        each for each in _EXPORT_VERBS if each != "decide"
    ),  # which it refuses
    "pooled": ("pooled",),
    "checkpoint": ("resume",),
    "pretraining": ("pretrain-resume",),
    "cache-rows": ("cached-train",),
    "cache-scores": ("cached-teacher",),
    "cache-corpus": ("cached-pretrain",),
}
_BRIEF = ("epochs=1", "device=cpu", "threads=1", "batch_size=50", "max_unknown_fraction=1")
_ANSWERS = ("predict", "load", "evaluate", "fill-mask", "next-sentence")
_WRITES = {
    "resume": "FOLDER/model.safetensors",
    "pretrain-resume": "FOLDER/model.safetensors",
    "pooled": "out/head.safetensors",
    "cached-train": "out/model.safetensors",
    "cached-teacher": "out/model.safetensors",
    "cached-pretrain": "out/model.safetensors",
}
"""What such a run says does not matter, but what it writes."""

_RESUMED = "checkpoint_steps=2"
_PRETRAINING = ("total_steps=2", "device=cpu", "threads=1", "max_length=32", "held_out_rows=16")
_LONGER = (
    *("total_steps=30", *_PRETRAINING[1:], "encoder_size=1x64", "vocab_size=200"),
    *("evaluation_steps=30", "batch_size=8", "snapshots=0", "checkpoint_steps=10"),
)
_POOLING = {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}


@dataclass(frozen=True)
class Sources:
    """Untouched folders, files of rows, and what they answer."""

    folders: dict[str, Path]
    outside: Path
    rows: Path
    corpus: Path


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--changes", type=int, help="so many, drawn by the seed; default: all")
    parser.add_argument("--runs-each", type=int, default=2, help="verbs for each change")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help="changes whose kind begins with this")
    parser.add_argument("--targets", nargs="+", choices=_VERBS, help="changes of these alone")
    parser.add_argument("--verbs", nargs="+", help="instead of drawn ones")
    parser.add_argument("--show", action="store_true", help="print every run")
    parser.add_argument("--no-strace", action="store_true", help="Python's own events alone")
    parser.add_argument("--no-row", action="store_true", help="write nothing into results/")
    return parser.parse_args()


def prepare(scratch: Path, targets: frozenset[str] = frozenset()) -> Sources:
    """Train the models that are tampered with, interrupt two runs, and import everything.

    `targets` says which are needed; without, all are.
    """
    model = write_model(scratch, _LABELS)
    rows, encoder = scratch / "train.jsonl", str(scratch / "encoder")
    train = ["train", str(rows), "--encoder", encoder, "--output"]
    folders = {"model": model}
    _import_everything(model)
    needed = targets or frozenset(_VERBS)
    for name, form in {"export": "onnx", "export-openvino": "openvino"}.items():
        if name in needed:
            folders[name] = scratch / name
            words = ["export", str(model), "--to", form, "--output", str(folders[name])]
            _done([*words, "--max-flips", "1"])
    if needed <= {"model", "export", "export-openvino"}:
        return Sources(folders, scratch / "outside", rows, scratch / "corpus")
    for name, pooling in {"head": "mean", "attention": "attention", "labels": "labels"}.items():
        folders[name] = scratch / name
        _done([*train, str(folders[name]), *_BRIEF, f"pooling={pooling}"])
    corpus = scratch / "corpus"
    corpus.mkdir()
    texts = [
        f"the train {number} was late again. so happy today at {number}." for number in range(300)
    ]
    (corpus / "a.txt").write_text("\n\n".join(texts), "utf-8")
    pretrain = ["pretrain", str(corpus), "--output"]
    folders["encoder"] = scratch / "pretrained"
    words = [*pretrain, str(folders["encoder"]), "--encoder", encoder]
    _done([*words, *_PRETRAINING, "next_sentence=true"])
    folders["checkpoint"] = scratch / "interrupted"
    _interrupted([*train, str(folders["checkpoint"]), *_BRIEF[1:], "epochs=3", _RESUMED])
    folders["pretraining"] = scratch / "interrupted-pretraining"
    _interrupted([*pretrain, str(folders["pretraining"]), *_LONGER])
    folders["pooled"] = _pooled(scratch)
    folders |= dict.fromkeys(("cache-rows", "cache-scores", "cache-corpus"), scratch / "cache")
    (scratch / "cache").mkdir()
    sources = Sources(folders, scratch / "outside", rows, corpus)
    for verb in ("cached-train", "cached-teacher", "cached-pretrain"):
        found = run(verb, scratch / "cache", sources, scratch / verb)
        if found.code:
            raise SystemExit(found.error)
    return sources


def _pooled(scratch: Path) -> Path:
    """Return an encoder with a description as sentence-transformers writes it."""
    folder = scratch / "pooled"
    shutil.copytree(scratch / "encoder", folder)
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {
            "idx": 1,
            "name": "1",
            "path": "1_Pooling",
            "type": "sentence_transformers.models.Pooling",
        },
    ]
    (folder / "modules.json").write_text(json.dumps(modules), "utf-8")
    (folder / "1_Pooling").mkdir()
    pooling = json.dumps({"word_embedding_dimension": 32, **_POOLING})
    (folder / "1_Pooling" / "config.json").write_text(pooling, "utf-8")
    return folder


def _started(words: Sequence[str]) -> int:
    """Run a command in a process that has imported everything already; return its number."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        from multihot.cli.main import main as multihot

        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        os.environ["MULTIHOT_CACHE"] = "off"
        code = multihot(list(words))
    finally:
        os._exit(code)


def _done(words: Sequence[str]) -> None:
    if os.waitpid(_started(words), 0)[1]:
        raise SystemExit(f"failed: multihot {shlex.join(words)}")


def _interrupted(words: Sequence[str]) -> None:
    """Start a run and stop it after a checkpoint."""
    checkpoints = Path(words[words.index("--output") + 1], "run", "checkpoints")
    running = _started(words)
    while not [*checkpoints.glob("step-*")]:
        if os.waitpid(running, os.WNOHANG)[0]:
            raise SystemExit(f"ended early: multihot {shlex.join(words)}")
        time.sleep(0.002)
    os.kill(running, signal.SIGTERM)
    os.waitpid(running, 0)
    if not [*checkpoints.glob("step-*")]:
        raise SystemExit("the run to be interrupted was finished before it could be stopped")


def _import_everything(model: Path) -> None:
    from multihot.cli.main import main
    from multihot.workflows import compare, decide, evaluate, inspect, pretrain, probe, train

    with contextlib.suppress(ImportError):  # of the plot of a pretraining run
        import matplotlib.backends.backend_agg
        import matplotlib.figure

        assert matplotlib.figure
        assert matplotlib.backends.backend_agg
    assert all((compare, decide, evaluate, inspect, pretrain, probe, train))
    with contextlib.suppress(ImportError):  # of exports, which are left out without them
        import onnx

        from multihot.core.runtimes import import_onnxruntime, import_openvino

        assert all((onnx, import_openvino(), import_onnxruntime()))
    import multihot.data.encode
    import multihot.inference.masked_lm
    import multihot.training.distillation

    multihot.data.encode.SMALL_FILE_BYTES = 1  # so that the rows, which are few, are cached
    assert multihot.inference.masked_lm
    assert multihot.training.distillation
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        code = main(["predict", str(model), "--json", *_TEXTS])
    assert code == 0


def words_of(verb: str, folder: Path, sources: Sources, work: Path) -> list[str]:
    """Return the words of the command line by which a verb loads the folder."""
    rows, out = str(sources.rows), str(work / "out")
    good, encoder = str(sources.folders["model"]), str(sources.rows.with_name("encoder"))
    place, corpus = str(folder), str(sources.corpus)
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
        "pretrain": [*("pretrain", corpus, "--encoder", place, "--output", out, *_PRETRAINING)],
        "fill-mask": ["fill-mask", place, "so [MASK] today"],
        "next-sentence": ["next-sentence", place, "so happy today", "the train was late"],
        "tokens": ["inspect", rows, "--encoder", place],
        "pooled": ["train", rows, "--encoder", place, "--output", out, *_BRIEF],
        "cached-train": ["train", rows, "--encoder", encoder, "--output", out, *_BRIEF],
        "cached-teacher": [
            *("train", rows, "--encoder", encoder, "--teacher", good, "--output", out, *_BRIEF)
        ],
        "cached-pretrain": [
            *("pretrain", corpus, "--encoder", encoder, "--output", out, *_PRETRAINING)
        ],
        "pretrain-resume": ["pretrain", corpus, "--output", place, "--resume", *_LONGER],
        "resume": [
            *("train", rows, "--encoder", encoder, "--output", place, "--resume"),
            *(*_BRIEF[1:], "epochs=3", _RESUMED),
        ],
    }[verb]


def run(
    verb: str, folder: Path, sources: Sources, work: Path, meanwhile: Meanwhile | None = None
) -> Observed:
    """Load the folder by a verb in a process of its own and return what it did."""
    words = words_of(verb, folder, sources, work)
    is_cache = verb.startswith("cached-")

    def load() -> int:
        os.environ["MULTIHOT_CACHE"] = str(folder if is_cache else work / "cache")
        return _answer(words)

    places = (
        *(sources.rows, sources.corpus, sources.rows.with_name("encoder"), sys.prefix),
        *(sources.folders["model"], sys.base_prefix, "/proc", "/sys", "/usr", "/etc/ld.so.cache"),
        *("/dev/null", "/dev/urandom", "/dev/zero", "/dev/shm", Path(__file__).parents[1]),
    )
    found = observe(
        load, work, folder=folder, places=places, code_of=EVIL_MODULE, meanwhile=meanwhile
    )
    if verb in _WRITES:
        place = _WRITES[verb]
        written = folder / place[7:] if place.startswith("FOLDER/") else work / place
        return replace(found, output=_digest(written))
    return found


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "no weights"


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


Contents = Mapping[str, Any]
"""What a folder holds, by relative name: what a file is, and the bytes of regular ones."""


def contents_of(folder: Path) -> dict[str, Any]:
    """Return what is in a folder; links are not followed."""
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        content: Any = os.readlink(path) if path.is_symlink() else None
        if not path.is_symlink() and path.is_file():
            content = path.read_bytes()
        found[path.relative_to(folder).as_posix()] = (status.st_mode, content, status.st_nlink)
    return found


def _without_links(contents: Contents) -> dict[str, Any]:
    """Return what is in a folder, however many names a file has."""
    return {name: what[:2] for name, what in contents.items()}


def names_of_difference(before: Contents, after: Contents) -> set[str]:
    """Return the names of files that differ, and of the keys that do in those of JSON."""
    changed = {name for name in {*before, *after} if before.get(name) != after.get(name)}
    changed = {name for name in changed if EVIL_MODULE not in name}
    keys = {
        name: _changed_keys(before.get(name), after.get(name), is_toml=name.endswith(".toml"))
        for name in changed
    }
    if len(changed) > 1 and keys.get(DECISION, {"files"}) <= {"files", *changed}:
        changed -= {DECISION}  # only the digests were written anew
    names = set()
    for name in changed:
        names |= {name.rpartition("/")[2], *keys[name]}
        names |= {"weight"} if name.endswith(".safetensors") else set()
        names |= {"The tokenizer of "} if name.endswith("tokenizer.json") else set()
        if name.endswith(".index.json"):  # the files that it sends to
            names |= set(re.findall(r"[\w.-]+\.safetensors", after[name][1].decode()))
    return {each for each in names if each}


def _changed_keys(before: Any, after: Any, *, is_toml: bool) -> set[str]:
    read = tomllib.loads if is_toml else json.loads
    try:
        return _differing(read(before[1].decode()), read(after[1].decode()), 4)
    except (TypeError, ValueError, RecursionError, AttributeError):
        return set()


def _differing(before: Any, after: Any, depth: int) -> set[str]:
    if not isinstance(before, dict) or not isinstance(after, dict) or not depth:
        return set()
    keys = [key for key in {*before, *after} if before.get(key) != after.get(key)]
    return {*keys}.union(*(_differing(before.get(key), after.get(key), depth - 1) for key in keys))


def ill_refused(found: Observed, words: Sequence[str], names: set[str]) -> str:
    """Return what is missing from a refusal; empty where nothing is."""
    if not found.code:
        return ""
    last = found.error.rpartition(f"multihot {words[0]}: ")
    if not last[1]:
        return "refused without a sentence"
    return "" if any(name in last[2] for name in names) else "refused without a name"


def judge(change: Change, verb: str, found: Observed, expected: Observed, unnamed: str) -> str:
    """Return `refused`, `served`, or what is bad.

    `unnamed` is what is missing from a refusal.
    """
    events = [event for event in found.events if event not in expected.events]
    said = found.output + found.error
    is_answer = verb in _ANSWERS or verb in _WRITES
    bad = {
        f"outside: {events[:1]}": bool(events),
        f"internal error (exit code {found.code})": found.code not in (0, 1, 2)
        or any(word in said for word in _WORDS_OF_A_DEFECT),
        f"{found.seconds:.0f} s": found.seconds > expected.seconds + _MAX_SECONDS,
        f"{found.grown_bytes / 1e9:.1f} GB": found.grown_bytes > expected.grown_bytes + _MAX_BYTES,
        unnamed: bool(unnamed),
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
    if not all(map(importlib.util.find_spec, ("onnx", "onnxruntime", "openvino", "onnxscript"))):
        some = [each for each in some if not each.target.startswith("export")]
    if given.targets:
        some = [each for each in some if each.target in given.targets]
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
    sources = prepare(scratch, frozenset(change.target for change, _ in pairs))
    counts: Counter[str] = Counter()
    expected: dict[tuple[str, str], Observed] = {}
    for number, (change, verb) in enumerate(pairs):
        if (change.target, verb) not in expected:
            expected[change.target, verb] = _untouched(change.target, verb, sources, scratch)
        came, said = _tried(change, verb, sources, scratch, expected[change.target, verb])
        kind = came if came in ("refused", "served") else "bad"
        counts[kind] += 1
        if kind == "bad" or show:
            print(f"{came}: {change.kind} | {change.name} | {change.target} {verb}", flush=True)
            print(f"    {said[:300]}", flush=True)
        if number % 100 == 99:
            print(f"{number + 1} of {len(pairs)}: {dict(counts)}", file=sys.stderr, flush=True)
    return counts


def _untouched(target: str, verb: str, sources: Sources, scratch: Path) -> Observed:
    work, folder = scratch / "run", scratch / "folder"
    shutil.copytree(sources.folders[target], folder, symlinks=True)
    found = run(verb, folder, sources, work)
    if found.code or found.output == "no weights":
        raise SystemExit(f"{verb} of an untouched folder failed:\n{found.error[-3000:]}")
    shutil.rmtree(folder)
    shutil.rmtree(work)
    return found


def _tried(
    change: Change, verb: str, sources: Sources, scratch: Path, expected: Observed
) -> tuple[str, str]:
    """Return what came of one change, and the last that was said."""
    work, folder, witness = scratch / "run", scratch / "folder", scratch / "witness"
    base, outside = sources.folders[change.target], sources.outside / change.target
    for place in (folder, outside):
        shutil.copytree(base, place, symlinks=True)
    (folder / f"{EVIL_MODULE}.py").write_text(PAYLOAD.format(str(witness)), "utf-8")
    meanwhile, names = None, {change.name.split(" ", 1)[0].rpartition("/")[2]}
    names |= {"The tokenizer of "} if "tokenizer.json" in names else set()
    before = contents_of(folder)
    if change.when is None:
        change.apply(folder, outside)
        names = names_of_difference(before, contents_of(folder))
    else:
        meanwhile = Meanwhile(lambda: change.apply(folder, outside), change.when)
    there = _without_links(contents_of(outside))
    found = run(verb, folder, sources, work, meanwhile)
    unnamed = ill_refused(found, words_of(verb, folder, sources, work), names)
    came = judge(change, verb, found, expected, unnamed)
    if witness.exists() or any(event.startswith("imported") for event in found.events):
        came = "code run"
    elif _without_links(contents_of(outside)) != there:
        came = "outside: changed"
    witness.unlink(missing_ok=True)
    for place in (folder, outside, work):
        shutil.rmtree(place, ignore_errors=True)
    return came, (found.error.strip().splitlines() or [""])[-1]


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
    if "--no-strace" not in sys.argv:
        under_strace(sys.argv)
    sys.exit(main())
