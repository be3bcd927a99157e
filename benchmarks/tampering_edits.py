"""How files of a folder are changed: bytes, JSON, headers of tensors, and things that are no files.

Whoever changes files also writes the digests anew (`reseal`), or the digests alone would answer.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

__all__ = [
    "DECISION",
    "DROPPED",
    "EVIL_MODULE",
    "NUMBERS_AS_TEXT",
    "PAYLOAD",
    "WRONG",
    "Change",
    "Edit",
    "bytes_changed",
    "changed_tensors",
    "damaged_files",
    "header_changed",
    "json_changed",
    "json_texts",
    "key_set",
    "nested",
    "reseal",
    "text_put",
]

Random = np.random.Generator


DECISION = "thresholds.json"


EVIL_MODULE, PAYLOAD = "modeling_evil", "from pathlib import Path\nPath({!r}).touch()\n"


DROPPED = object()


WRONG: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    1.5,
    10**18,
    "x",
    "",
    [],
    {},
    [[[]]],
    {"a": {"b": 1}},
    ["x"] * 50,
)


Edit = Callable[[Path, Path], None]
"""Changes a folder; the second path is an untouched folder of the same files, elsewhere."""


@dataclass(frozen=True)
class Change:
    """One way to change a folder."""

    kind: str
    name: str
    """Which of the kind."""
    target: str
    """`model`, a head (`head`, `attention`, `labels`), `encoder`, `pooled`, a run or `cache`."""
    apply: Edit
    serves: str = "same"
    """What may be answered, if it is not refused: `same` scores, `any`, or `nothing`."""
    when: int | None = None
    """Before a process begins (`None`), when it opens the folder's file of this number, or, with 0,
    over and over while it runs."""


def reseal(folder: Path) -> None:
    """Write the digests of a model's files as they are now, where there are files."""
    path = folder / DECISION
    try:
        content = json.loads(path.read_text("utf-8"))
        files = content["files"]
        for name in files:
            if (folder / name).is_file():
                files[name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        path.write_text(json.dumps(content), "utf-8")
    except (OSError, ValueError, KeyError, TypeError):
        return


def bytes_changed(name: str, make: Callable[[bytes], bytes]) -> Edit:
    """Change the bytes of a file."""

    def apply(folder: Path, _: Path) -> None:
        path = folder / name
        path.write_bytes(make(path.read_bytes()))
        if name != DECISION:
            reseal(folder)

    return apply


def json_changed(name: str, edit: Callable[[dict[str, Any]], Any]) -> Edit:
    """Change a JSON document; what `edit` returns takes its place, unless it is `None`."""

    def make(content: bytes) -> bytes:
        table = json.loads(content)
        edited = edit(table)
        return json.dumps(table if edited is None else edited).encode()

    return bytes_changed(name, make)


def key_set(name: str, path: str, value: Any) -> Edit:
    """Set the value at a dotted path, or take it away."""

    def edit(table: dict[str, Any]) -> None:
        *before, last = path.split(".")
        place: Any = table
        for part in before:
            place = place[part]
        if value is DROPPED:
            place.pop(last, None)
        else:
            place[last] = value

    return json_changed(name, edit)


def text_put(name: str, path: str, text: str) -> Edit:
    """Write `text` as it is where the value at a dotted path stands."""
    mark = "@@mark@@"
    put = key_set(name, path, mark)

    def apply(folder: Path, outside: Path) -> None:
        put(folder, outside)
        path = folder / name
        path.write_bytes(path.read_bytes().replace(f'"{mark}"'.encode(), text.encode()))
        if name != DECISION:
            reseal(folder)

    return apply


def nested(depth: int) -> str:
    """Return lists inside lists, as JSON."""
    return "[" * depth + "]" * depth


NUMBERS_AS_TEXT = (
    "NaN",
    "Infinity",
    "-Infinity",
    "1e400",
    '"NaN"',
    '"0.5"',
    '"x"',
    "1e-400",
    "-0.0",
)
"""Numbers that are none, or that not everybody reads alike."""

_JSON_TEXTS = {
    "deep": nested(100_000),
    "deep-objects": '{"a":' * 50_000 + "1" + "}" * 50_000,
    "digits": "7" * 5_000,
    "nan": "NaN",
    "infinity": "-Infinity",
    "half-character": '"\\ud800"',
    "twice": '1, "twice": 1, "twice": 2',
}


def json_texts(kind: str, target: str, name: str, path: str) -> Iterator[Change]:
    """Yield values of a key that JSON cannot have, or that are too large."""
    for label, text in _JSON_TEXTS.items():
        yield Change(f"{kind} {label}", path, target, text_put(name, path, text), "same")


def _damaged(kind: str, target: str, name: str) -> Iterator[Change]:
    """Yield whole files that are damaged."""
    damages: dict[str, Callable[[bytes], bytes]] = {
        "empty": lambda content: b"",
        "cut": lambda content: content[: len(content) // 2],
        "noise": lambda content: bytes(range(256)) * 8,
        "pointer": lambda content: (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:"
            + b"0" * 64
            + b"\nsize 12345\n"
        ),
    }
    if name.endswith(".json"):
        damages |= {
            "utf-16": lambda content: content.decode().encode("utf-16"),
            "mark": lambda content: b"\xef\xbb\xbf" + content,
            "list": lambda content: b"[" + content + b"]",
            "deep": lambda content: nested(100_000).encode(),
        }
    for label, make in damages.items():
        yield Change(f"{kind} file {label}", name, target, bytes_changed(name, make), "same")


_NO_FILES: dict[str, Edit] = {
    "missing": lambda path, outside: None,
    "folder": lambda path, outside: path.mkdir(),
    "pipe": lambda path, outside: os.mkfifo(path),
    "device": lambda path, outside: path.symlink_to("/dev/zero"),
    "dangling link": lambda path, outside: path.symlink_to(path.parent / "nowhere"),
    "link to itself": lambda path, outside: path.symlink_to(path.name),
    "link out": lambda path, outside: path.symlink_to(outside.resolve(strict=True)),
    "hard link": lambda path, outside: os.link(outside, path),
}


def _instead(name: str, make: Edit) -> Edit:
    def apply(folder: Path, outside: Path) -> None:
        path = folder / name
        path.unlink()
        make(path, outside / name)

    return apply


def damaged_files(kind: str, target: str, name: str) -> Iterator[Change]:
    """Yield damaged files, and things that are no files at all."""
    yield from _damaged(kind, target, name)
    for label, make in _NO_FILES.items():
        # The certificate is for people: no verb opens it.
        is_read = name != "parity.json"
        serves = "nothing" if label == "link out" and is_read else "same"
        change = _instead(name, make)
        yield Change(f"instead of a file: {label}", f"{kind} {name}", target, change, serves)


def header_changed(name: str, edit: Callable[[dict[str, Any]], Any]) -> Edit:
    """Change the header of a safetensors file, or put bytes in its place."""

    def make(content: bytes) -> bytes:
        length = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + length])
        edited = edit(header)
        text = edited if isinstance(edited, bytes) else json.dumps(header).encode()
        return len(text).to_bytes(8, "little") + text + content[8 + length :]

    return bytes_changed(name, make)


def _first(**values: Any) -> Callable[[dict[str, Any]], None]:
    def edit(header: dict[str, Any]) -> None:
        next(value for key, value in header.items() if key != "__metadata__").update(values)

    return edit


def _renamed(name: str) -> Callable[[dict[str, Any]], None]:
    def edit(header: dict[str, Any]) -> None:
        header[name] = header.pop(next(key for key in header if key != "__metadata__"))

    return edit


_HEADERS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "type I32": _first(dtype="I32"),
    "type C64": _first(dtype="C64"),
    "type unknown": _first(dtype="F31"),
    "type number": _first(dtype=7),
    "shape": _first(shape=[1, 1]),
    "shape negative": _first(shape=[-1, -1]),
    "shape huge": _first(shape=[2**40, 2**40]),
    "shape text": _first(shape="x"),
    "offsets beyond": _first(data_offsets=[0, 2**50]),
    "offsets overlap": _first(data_offsets=[4, 8]),
    "offsets turned": _first(data_offsets=[8, 0]),
    "renamed": _renamed("other.weight"),
    "name long": _renamed("x" * 100_000),
    "name control": _renamed("a\x1b[31mb\u202e"),
    "metadata": lambda header: header.update(__metadata__={"format": 7}),
    "header list": lambda header: b"[]",
    "header deep": lambda header: nested(100_000).encode(),
    "header empty": lambda header: b"{}",
}


def changed_tensors(target: str, name: str = "model.safetensors") -> Iterator[Change]:
    """Yield changes of a safetensors file."""
    for label, edit in _HEADERS.items():
        yield Change(f"tensors {label}", name, target, header_changed(name, edit), "nothing")
    for label, length in {"huge": 2**63, "long": 10**9, "zero": 0}.items():
        make = bytes_changed(
            name, lambda content, length=length: length.to_bytes(8, "little") + content[8:]
        )
        yield Change(f"tensors header length {label}", name, target, make, "nothing")
    not_a_number = np.float32("nan").tobytes()
    change = bytes_changed(name, lambda content: content[:-4] + not_a_number)
    yield Change("tensors not a number", name, target, change, "any")
