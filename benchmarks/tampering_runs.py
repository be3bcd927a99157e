"""Ways in which runs that were stopped, caches, and encoders with a pooling may have been changed."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tampering_edits import (
    WRONG,
    Change,
    Edit,
    bytes_changed,
    changed_tensors,
    damaged_files,
    json_changed,
    json_texts,
    key_set,
    nested,
)

__all__ = ["caches", "pooled_encoders", "runs"]

_TABLES, _WEIGHTS = (
    ("state.json", "manifest.json"),
    ("network.safetensors", "optimizer.safetensors"),
)


def _in_checkpoint(apply: Edit) -> Edit:
    """Change the newest checkpoint of a run, and write the digests of its manifest anew."""

    def change(folder: Path, outside: Path) -> None:
        newest = max((folder / "run" / "checkpoints").glob("step-*"))
        apply(newest, outside / newest.relative_to(folder))
        path = newest / "manifest.json"
        if path.is_symlink() or not path.is_file() or path.stat().st_nlink > 1:
            return
        try:
            content = json.loads(path.read_bytes())
        except (ValueError, RecursionError):
            return
        _reseal_manifest(newest, content)
        path.write_text(json.dumps(content), "utf-8")

    return change


def _reseal_manifest(folder: Path, content: Any) -> None:
    """Write digests anew wherever a value is keyed by the name of a file."""
    if isinstance(content, dict):
        for key, value in content.items():
            if isinstance(value, str) and len(value) == 64 and (folder / key).is_file():
                content[key] = hashlib.sha256((folder / key).read_bytes()).hexdigest()
            else:
                _reseal_manifest(folder, value)


def _all_keys(name: str, value: Any) -> Edit:
    return json_changed(name, lambda table: dict.fromkeys(table, value))


def _checkpoints(target: str) -> Iterator[Change]:
    """Yield changes of all files of the newest checkpoint; fewer where the same code reads them."""
    found = [
        each for name in (*_TABLES, *_WEIGHTS) for each in damaged_files("checkpoint", "", name)
    ]
    for name in _WEIGHTS if target == "checkpoint" else ():
        found += [
            replace(each, kind=f"checkpoint {each.kind}") for each in changed_tensors("", name)
        ]
    for name in _TABLES:
        for number, wrong in enumerate(WRONG if target == "checkpoint" else WRONG[::3]):
            change = _all_keys(name, wrong)
            found.append(Change(f"checkpoint {name} wrong", str(number), "", change))
        for step in (-1, 10**15, 2.5, "x"):
            change = key_set(name, "step", step)
            found.append(Change(f"checkpoint {name} step", repr(step), "", change))
    for each in found:
        apply = _in_checkpoint(each.apply)
        # The checkpoint before may be taken, or none: the run ends with the same weights.
        serves = "any" if "wrong" in each.kind or "step" in each.kind else "same"
        yield replace(each, target=target, apply=apply, serves=serves)


_PLACES = ("run", "run/checkpoints", "")


def _folders(target: str) -> Iterator[Change]:
    """Yield folders of a run that are something else; the last is that of the newest checkpoint."""

    def instead(place: str, make: Edit) -> Edit:
        def apply(folder: Path, outside: Path) -> None:
            path = folder / place
            if not place:
                path = max((folder / "run" / "checkpoints").glob("step-*"))
            shutil.rmtree(path)
            make(path, outside / path.relative_to(folder))

        return apply

    makes: dict[str, Edit] = {
        "missing": lambda path, outside: None,
        "file": lambda path, outside: path.touch(),
        "link out": lambda path, outside: path.symlink_to(outside),
        "link to itself": lambda path, outside: path.symlink_to(path.name),
        "link to nothing": lambda path, outside: path.symlink_to("nowhere"),
    }
    places = (*_PLACES, "run/tokenizer") if target == "pretraining" else _PLACES
    for place in places:
        for label, make in makes.items():
            name = place or "newest"
            yield Change(f"instead of a folder: {label}", name, target, instead(place, make))


_METRICS: dict[str, bytes] = {
    "deep": nested(100_000).encode(),
    "not a number": b'{"step": NaN}',
    "huge step": b'{"step": 1e400}',
    "long step": b'{"step": ' + b"7" * 5000 + b"}",
    "negative": b'{"step": -1, "loss": -1}',
    "text": b'{"step": "x"}',
    "list": b"[1, 2]",
    "bytes": b"\xff\xfe\x80",
    "control": b'{"step": 1, "\x1b[31m": 2}',
    "curve": b'{"step": 1, "held_out": "x", "mlm_loss": [], "evaluation": {}}',
}
_RECIPES: dict[str, bytes] = {
    "unknown key": b"\nno_such_option = 1\n",
    "deep": b"\nx = " + nested(50_000).encode() + b"\n",
    "long number": b"\nx = " + b"7" * 5000 + b"\n",
    "not a number": b"\nx = nan\n",
    "date": b"\nx = 2020-01-01\n",
    "twice": b"\nx = 1\nx = 2\n",
    "bytes": b"\n\xff\xfe\n",
    "control": b'\n"a\\u001b[31m" = "b\\u202e"\n',
}


def _run_files(target: str) -> Iterator[Change]:
    """Yield changes of what a run keeps beside its checkpoints."""
    recipe, environment, metrics = "run/recipe.toml", "run/environment.json", "run/metrics.jsonl"
    names = [recipe, environment, metrics]
    if target == "pretraining":
        names += ["run/schedule.json", "run/tokenizer/tokenizer.json"]
        names += ["run/tokenizer/tokenizer_config.json"]
    for name in names:
        yield from damaged_files("run", target, name)
    for label, content in _RECIPES.items():
        change = bytes_changed(recipe, lambda old, new=content: old + new)
        yield Change(f"recipe {label}", recipe, target, change)
    for label, content in _METRICS.items():
        change = bytes_changed(metrics, lambda old, new=content: new + b"\n" + old)
        yield Change(f"log {label}", metrics, target, change)
    for number, wrong in enumerate(WRONG):
        change = _all_keys(environment, wrong)
        yield Change("environment wrong", str(number), target, change, "any")
    for threads in (10**9, -1, 2.5, "x", True):
        change = key_set(environment, "threads", threads)
        yield Change("environment threads", repr(threads), target, change, "any")
    yield from json_texts("environment", target, environment, "threads")
    if target == "pretraining":
        yield from _schedules(target)


def _schedules(target: str) -> Iterator[Change]:
    name = "run/schedule.json"
    decay = {"from_step": 1, "last_step": 2}
    for key, values in {
        "total_steps": (0, -1, 10**12, 10**18, 1.5, "x", True, 1),
        "warmup_steps": (-1, 10**12, "x"),
        "evaluation_steps": (0, -1, 10**12, "x"),
        "head_steps": (-1, 10**12, "x"),
        "decays": (
            {},
            "x",
            [7],
            [decay],
            [decay] * 100_000,
            [{**decay, "last_step": 10**12}],
            [[]],
        ),
        "unheard_of": (1,),
    }.items():
        for number, value in enumerate(values):
            change = key_set(name, key, value)
            yield Change(f"schedule {key}", f"{name} {number}", target, change, "any")
    yield from json_texts("schedule", target, name, "total_steps")


def runs() -> Iterator[Change]:
    """Yield changes of runs that were stopped: of training and of pretraining."""
    for target in ("checkpoint", "pretraining"):
        yield from _checkpoints(target)
        yield from _run_files(target)
        yield from _folders(target)


_MARKS = {
    "cache-rows": "codes.bin",
    "cache-scores": "scores.bin",
    "cache-corpus": "held_out.ids.bin",
}
_ARRAYS = {
    "cache-rows": ("ids.bin", "offsets.bin", "codes.bin", "hashes.bin"),
    "cache-scores": ("scores.bin",),
    "cache-corpus": ("held_out.ids.bin",),
}


def _in_entry(target: str, apply: Edit, *, sealed: bool = True) -> Edit:
    """Change an entry of the cache, and write its digests anew."""

    def change(folder: Path, outside: Path) -> None:
        entry = _entry(folder, target)
        apply(entry, outside / entry.relative_to(folder))
        path = entry / "meta.json"
        if not sealed or path.is_symlink() or not path.is_file() or path.stat().st_nlink > 1:
            return
        try:
            meta = json.loads(path.read_bytes())
            for name, array in meta["arrays"].items():
                stored = entry / f"{name}.bin"
                if "sha256" in array and stored.is_file() and not stored.is_symlink():
                    array["sha256"] = hashlib.sha256(stored.read_bytes()).hexdigest()
        except (OSError, ValueError, RecursionError, KeyError, TypeError, AttributeError):
            return
        path.write_text(json.dumps(meta), "utf-8")

    return change


def _entry(folder: Path, target: str) -> Path:
    found = [path.parent for path in folder.rglob("*.bin") if path.name == _MARKS[target]]
    if len(found) != 1:
        names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.bin"))
        raise SystemExit(f"{target}: expected one entry with {_MARKS[target]} among {names}")
    return found[0]


def _values(name: str, dtype: str, value: Any, at: int) -> Edit:
    """Put a value into a stored array."""

    def make(content: bytes) -> bytes:
        array = np.frombuffer(content, dtype).copy()
        array[at] = value
        return array.tobytes()

    return bytes_changed(name, make)


def _described(**values: Any) -> Callable[[dict[str, Any]], None]:
    """Change how the first array is described."""
    return lambda meta: next(iter(meta["arrays"].values())).update(values)


def _with_arrays(arrays: Any) -> Callable[[dict[str, Any]], None]:
    return lambda meta: meta.update(arrays=arrays)


_METAS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "type object": _described(dtype="|O"),
    "type record": _described(dtype=[["a", "<i8"]]),
    "type text": _described(dtype="<U8"),
    "type other": _described(dtype="<f8"),
    "type turned": _described(dtype=">i8"),
    "type number": _described(dtype=7),
    "shape negative": _described(shape=[-1]),
    "shape huge": _described(shape=[2**62, 2**62]),
    "shape empty": _described(shape=[]),
    "shape zero": _described(shape=[0]),
    "shape text": _described(shape="x"),
    "shape nested": _described(shape=[[1]]),
    "digest other": _described(sha256="0" * 64),
    "digest number": _described(sha256=7),
    "no arrays": _with_arrays({}),
    "arrays list": _with_arrays([1]),
    "arrays upwards": _with_arrays({"../../x": {"dtype": "<i8", "shape": [1], "sha256": "0" * 64}}),
    "format": lambda meta: meta.update(format=10**6),
    "format true": lambda meta: meta.update(format=True),
    "key other": lambda meta: meta.update(key="x"),
    "key list": lambda meta: meta.update(key=[]),
    "facts text": lambda meta: meta.update(facts="x"),
    "facts notes": lambda meta: meta.update(facts={"notes": [7]}),
    "facts control": lambda meta: meta.update(facts={"notes": ["a\x1b[31m\u202e"]}),
}


def _cached_values(target: str) -> Iterator[tuple[str, Edit, str]]:
    """Yield values that do not fit; the last word: what may be served."""
    if target == "cache-rows":
        for name, dtype, value, at in (
            ("ids.bin", "<u2", 65_000, 3),
            ("offsets.bin", "<i8", -1, 1),
            ("offsets.bin", "<i8", 10**15, -1),
            ("offsets.bin", "<i8", 7, 0),
            ("codes.bin", "|u1", 7, 0),
        ):
            yield f"{name} {value}", _values(name, dtype, value, at), "same"
        yield "hashes.bin", _values("hashes.bin", "<u8", 1, 0), "any"
        yield "lines.bin", _values("lines.bin", "<i8", -(2**63), 0), "any"
    elif target == "cache-scores":
        for value in (1.5, -1.0, np.inf, -np.inf):
            yield f"scores.bin {value}", _values("scores.bin", "<f4", value, 0), "same"
        yield "scores.bin nan", _values("scores.bin", "<f4", np.nan, 0), "any"
    else:
        yield "held_out.ids.bin", _values("held_out.ids.bin", "<u2", 65_000, 3), "same"


def caches() -> Iterator[Change]:
    """Yield changes of entries of the cache: encoded rows, scores of a teacher, a corpus."""
    for target, arrays in _ARRAYS.items():
        found = damaged_files("cache", target, "meta.json")
        changes = [*found]
        for name in arrays:
            changes += damaged_files("cache", target, name)
        for each in changes:
            yield replace(each, apply=_in_entry(target, each.apply), serves="same")
        for label, edit in _METAS.items():
            change = _in_entry(
                target, json_changed("meta.json", edit), sealed="digest" not in label
            )
            serves = "any" if label.startswith("facts") else "same"
            yield Change(f"cache {label}", "meta.json", target, change, serves)
        for path in ("format", "arrays", "key"):
            for each in json_texts("cache", target, "meta.json", path):
                yield replace(each, apply=_in_entry(target, each.apply))
        for label, edit, serves in _cached_values(target):
            yield Change("cache values", label, target, _in_entry(target, edit), serves)
        name = arrays[0]
        unsealed = bytes_changed(name, lambda content: content[:-1] + bytes([content[-1] ^ 1]))
        change = _in_entry(target, unsealed, sealed=False)
        yield Change("cache not resealed", name, target, change)


_POOLING = "1_Pooling/config.json"


def pooled_encoders() -> Iterator[Change]:
    """Yield changes of an encoder that says how it was pooled, as sentence-transformers writes it."""
    for name in ("modules.json", _POOLING):
        for each in damaged_files("pooled", "pooled", name):
            yield replace(each, serves="any") if "missing" in each.kind else each
    for key in ("pooling_mode_mean_tokens", "pooling_mode", "word_embedding_dimension"):
        for number, wrong in enumerate(WRONG):
            change = key_set(_POOLING, key, wrong)
            yield Change(f"pooled {key}", f"{_POOLING} {number}", "pooled", change, "any")
        yield from json_texts("pooled", "pooled", _POOLING, key)
    entries: dict[str, Any] = {
        "upwards": {"idx": 1, "name": "1", "path": "../outside", "type": "x.Pooling"},
        "absolute": {"idx": 1, "name": "1", "path": "/etc", "type": "x.Pooling"},
        "code": {"idx": 1, "name": "1", "path": "1_Pooling", "type": "modeling_evil.Evil"},
        "other": {"idx": 1, "name": "1", "path": "1_Pooling", "type": "os.system"},
    }
    for label, entry in entries.items():
        text = json.dumps([entry] * 2).encode()
        change = bytes_changed("modules.json", lambda _, new=text: new)
        yield Change(f"modules {label}", "modules.json", "pooled", change, "any")

    def linked(folder: Path, outside: Path) -> None:
        shutil.rmtree(folder / "1_Pooling")
        (folder / "1_Pooling").symlink_to(outside / "1_Pooling")

    yield Change("instead of a folder: link out", "1_Pooling", "pooled", linked, "same")
