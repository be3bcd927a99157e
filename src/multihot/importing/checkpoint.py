"""A folder of some other tool, as far as it can be read without any library that could run code.

Only regular files inside the folder are opened, each through the gate. Pickles are known by their
names and never opened.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from multihot.core.text_tables import listed
from multihot.errors import EncoderError
from multihot.gate.folder_files import checked_name, read_folder_file, shown_file
from multihot.gate.json_documents import parse_json, read_json_object

__all__ = ["Checkpoint", "read_checkpoint"]

_MAX_ENTRIES = 10_000
_KINDS = {
    "multihot": "multihot model",
    "setfit": "SetFit model",
    "sentence_transformers": "sentence-transformers model",
    "simpletransformers": "simpletransformers model",
    "adapter": "PEFT adapter",
    "transformers": "transformers checkpoint",
}
_MARKS = ("thresholds.json", "config_setfit.json", "model_head.pkl", "model_head.safetensors")
_ANY_OF = ("config.json", "modules.json", "adapter_config.json", *_MARKS)


@dataclass(frozen=True)
class Checkpoint:
    """What a folder holds, by the names of its files and what its tables say."""

    name: str
    """As the user gave it."""
    folder: Path
    kind: str
    """`transformers`, `simpletransformers`, `setfit`, `sentence_transformers`, `adapter` or `multihot`."""
    body: Path
    """Where the configuration and the weights of the encoder are: the folder, or one inside it."""
    files: tuple[str, ...]
    """Names of the files in the folder, in order."""
    config: Mapping[str, Any]
    """What `config.json` holds; empty without one."""
    modules: tuple[str, ...] = ()
    """Of sentence-transformers: kinds of its modules (`Transformer`, `Pooling` ...), in order."""
    pooling: str | None = None
    """Of sentence-transformers: `mean`, `cls` or what else it says."""
    tables: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Other small tables by file name: `model_args.json`, `config_setfit.json` ..."""

    @property
    def shown_kind(self) -> str:
        """The kind in words."""
        return _KINDS[self.kind]

    @property
    def family(self) -> str | None:
        """`model_type` of the configuration."""
        found = self.config.get("model_type")
        return found if isinstance(found, str) else None

    @property
    def architectures(self) -> tuple[str, ...]:
        """Names of classes in the configuration."""
        found = self.config.get("architectures")
        return tuple(x for x in found if isinstance(x, str)) if isinstance(found, list) else ()

    @property
    def is_pooled(self) -> bool:
        """Whether a head of its own reads a pooled vector: SetFit and sentence-transformers."""
        return self.kind in ("setfit", "sentence_transformers")


def read_checkpoint(name: str, folder: Path) -> Checkpoint:
    """Read the tables of a checkpoint; raise `EncoderError` for a folder that holds none.

    Parameters
    ----------
    name
        As the user gave it.
    folder
        A folder that exists.
    """
    files = _file_names(folder)
    if not set(_ANY_OF) & set(files):
        raise EncoderError(_no_checkpoint(folder))
    kind = _kind(folder, files)
    tables: dict[str, Mapping[str, Any]] = {
        each: read_json_object(folder, each, error=EncoderError, large_integers=True)
        for each in ("model_args.json", "config_setfit.json", "adapter_config.json")
        if each in files
    }
    if kind == "multihot":
        return Checkpoint(name, folder, kind, folder, files, _config(folder), tables=tables)
    body, modules, pooling = folder, tuple[str, ...](), None
    if "modules.json" in files:
        body, modules, pooling = _modules(folder)
    config = _config(body)
    if kind == "sentence_transformers" and _is_classifier(config):
        kind = (
            "transformers"  # a CrossEncoder is a classifier of transformers with a list of modules
        )
    for each in ("sentence_bert_config.json", "sentence_transformers_config.json"):
        if os.path.lexists(body / each):
            tables[each] = read_json_object(body, each, error=EncoderError, large_integers=True)
    return Checkpoint(name, folder, kind, body, files, config, modules, pooling, tables)


def _is_classifier(config: Mapping[str, Any]) -> bool:
    names = config.get("architectures")
    return isinstance(names, list) and any("ForSequenceClassification" in str(x) for x in names)


def _file_names(folder: Path) -> tuple[str, ...]:
    """Return what a folder holds, in order; raise `EncoderError` where it cannot be listed."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry, _ in zip(entries, range(_MAX_ENTRIES), strict=False)]
    except OSError as reason:
        raise EncoderError(f"{shown_file(folder)} cannot be read: {reason.strerror}.") from None
    return tuple(sorted(names))


def _no_checkpoint(folder: Path) -> str:
    """Return what is said of a folder that holds no checkpoint."""
    inside = [
        name
        for name in _file_names(folder)
        if (folder / name).is_dir() and os.path.lexists(folder / name / "config.json")
    ]
    hint = f" Give one of the checkpoints inside it: {listed(inside, 5)}." if inside else ""
    return (
        f"{shown_file(folder)} holds no checkpoint: it has no config.json (transformers), modules.json "
        f"(sentence-transformers, SetFit) or adapter_config.json (PEFT).{hint}"
    )


def _kind(folder: Path, files: tuple[str, ...]) -> str:
    has = set(files)
    if "thresholds.json" in has:
        table = read_json_object(
            folder, "thresholds.json", error=EncoderError, most_bytes=256 << 20, large_integers=True
        )
        if "format_version" in table and "multihot_version" in table:
            return "multihot"
    if {"config_setfit.json", "model_head.pkl", "model_head.safetensors"} & has:
        return "setfit"
    if "modules.json" in has:
        return "sentence_transformers"
    if "model_args.json" in has:
        return "simpletransformers"
    return (
        "adapter" if "adapter_config.json" in has and "config.json" not in has else "transformers"
    )


def _config(folder: Path) -> Mapping[str, Any]:
    if not os.path.lexists(folder / "config.json"):
        return {}
    return read_json_object(folder, "config.json", error=EncoderError, large_integers=True)


def _modules(folder: Path) -> tuple[Path, tuple[str, ...], str | None]:
    """Return where the encoder of sentence-transformers is, its modules, and how it pools."""
    path = folder / "modules.json"
    content = read_folder_file(folder, path.name, most_bytes=1 << 20, error=EncoderError)
    entries = parse_json(content, path, error=EncoderError)
    body, kinds, pooling = folder, [], None
    for entry in entries if isinstance(entries, list) else ():
        if not isinstance(entry, dict) or not isinstance(entry.get("type"), str):
            raise EncoderError(f"{shown_file(path)} describes a module that has no type.")
        kind = entry["type"].rpartition(".")[2]
        inside = entry.get("path") or ""
        place = folder / checked_name(folder, inside, EncoderError) if inside else folder
        if not place.resolve().is_relative_to(folder.resolve()):
            raise EncoderError(f"{shown_file(place)} is a link that leads out of the folder.")
        kinds.append(kind)
        if kind == "Transformer" and len(kinds) == 1:
            body = place
        if kind == "Pooling":
            pooling = _pooling(place)
    if not kinds:
        raise EncoderError(f"{shown_file(path)} lists no module.")
    return body, tuple(kinds), pooling


def _pooling(folder: Path) -> str | None:
    """Return how a module pools; sentence-transformers 6 writes it in another form than those before."""
    if not os.path.lexists(folder / "config.json"):
        return None
    table = read_json_object(folder, "config.json", error=EncoderError)
    mode = table.get("pooling_mode")
    modes = mode if isinstance(mode, list) else [mode] if isinstance(mode, str) else []
    for key, value in table.items():
        if value is True and key.startswith("pooling_mode_"):
            modes.append(
                key.removeprefix("pooling_mode_").removesuffix("_tokens").removesuffix("_token")
            )
    return "+".join(map(str, modes)) or None
