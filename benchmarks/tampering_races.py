"""Files that somebody changes while they are being loaded.

At the moment at which a process opens its first, second ... file of a folder, one of the files becomes
another one; or a process beside it writes over a file again and again. Bytes that are put in are noise,
so whatever is served must be what the untouched folder serves.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from tampering_edits import DECISION, Change, Edit

__all__ = ["races"]

_PARTS = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
_FILES = {
    "model": (DECISION, *_PARTS),
    "encoder": _PARTS,
    "pooled": ("1_Pooling/config.json", "modules.json", "config.json"),
    "checkpoint": ("run/recipe.toml", "run/environment.json"),
}
_CHECKPOINT_FILES = ("manifest.json", "state.json", "network.safetensors", "optimizer.safetensors")
_MOMENTS = (1, 2, 3, 4, 6, 9)


def _noise(path: Path) -> bytes:
    size = path.lstat().st_size
    return (bytes(range(256)) * (size // 256 + 1))[:size]


def _overwritten(path: Path, _: Path) -> None:
    content = _noise(path)
    with path.open("r+b") as handle:
        handle.write(content)


def _replaced(path: Path, _: Path) -> None:
    other = path.with_name("other.tmp")
    other.write_bytes(_noise(path))
    os.replace(other, path)


def _without(path: Path) -> None:
    path.unlink(missing_ok=True)


def _pipe(path: Path, _: Path) -> None:
    _without(path)
    os.mkfifo(path)


def _linked_out(path: Path, outside: Path) -> None:
    _without(path)
    path.symlink_to(outside)


def _folder(path: Path, _: Path) -> None:
    _without(path)
    path.mkdir()


_ACTIONS: dict[str, Edit] = {
    "overwritten": _overwritten,
    "cut": lambda path, outside: os.truncate(path, path.stat().st_size // 2),
    "grown": lambda path, outside: os.truncate(path, path.stat().st_size + 4096),
    "replaced": _replaced,
    "removed": lambda path, outside: _without(path),
    "made a pipe": _pipe,
    "made a link out": _linked_out,
    "made a folder": _folder,
}


def _at(name: str, action: Edit) -> Edit:
    return lambda folder, outside: action(folder / name, outside / name)


def _at_newest(name: str, action: Edit) -> Edit:
    """Change a file of the newest checkpoint."""

    def apply(folder: Path, outside: Path) -> None:
        newest = max((folder / "run" / "checkpoints").glob("step-*")).relative_to(folder)
        action(folder / newest / name, outside / newest / name)

    return apply


def _flipping(name: str, *, in_place: bool) -> Edit:
    """Put noise into a file, and its bytes back."""

    def apply(folder: Path, outside: Path) -> None:
        path, content = folder / name, (outside / name).read_bytes()
        for each in (_noise(path), content):
            if in_place:
                with path.open("r+b") as handle:
                    handle.write(each)
            else:
                other = path.with_name("other.tmp")
                other.write_bytes(each)
                os.replace(other, path)

    return apply


def races() -> Iterator[Change]:
    """Yield changes of files that happen while a folder is loaded."""
    number = 0
    for target, names in _FILES.items():
        edits = {name: _at for name in names}
        if target == "checkpoint":
            edits |= {name: _at_newest for name in _CHECKPOINT_FILES}
        for name, place in edits.items():
            for label, action in _ACTIONS.items():
                for moment in (_MOMENTS[number % 6], _MOMENTS[(number + 2) % 6]):
                    kind, change = f"while loaded: {label}", place(name, action)
                    # Without a description, an encoder is one that says nothing of its pooling.
                    serves = "any" if (target, label) == ("pooled", "removed") else "same"
                    yield Change(kind, f"{name} at {moment}", target, change, serves, when=moment)
                number += 1
    for target in ("model", "encoder"):
        for name in _FILES[target]:
            for in_place in (True, False):
                how = "in place" if in_place else "by renames"
                change = _flipping(name, in_place=in_place)
                yield Change(f"while loaded: again and again {how}", name, target, change, when=0)
