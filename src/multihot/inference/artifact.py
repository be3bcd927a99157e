"""The model folder: what is in it, how it is written, and what is checked when it is read.

Everything here works without torch; the network writes itself through a callable.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from multihot.core.files import (
    as_path,
    flush_file,
    flush_folder,
    read_json,
    required_values,
    sha256_of,
    storage_errors,
    write_json,
    write_text,
)
from multihot.core.options import POOLINGS, DataOptions
from multihot.core.recipes import build_options, to_plain
from multihot.data.tokens import TOKENIZER_CALL_KEYS
from multihot.decision.decision import Decision
from multihot.errors import ArtifactError, OptionError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = [
    "FORMAT_VERSION",
    "Artifact",
    "artifact_bytes",
    "copy_artifact",
    "is_artifact",
    "load_artifact",
    "read_artifact",
    "replace_decision",
    "save_artifact",
    "write_artifact_bytes",
]

FORMAT_VERSION = 1
"""Version of `thresholds.json`; artefacts of a major version load in all later minors."""

_DECISION_FILE = "thresholds.json"
_FORMS = ("sequence_classification", "encoder_and_head")
_STORED = {"max_length": int, "form": str, "pooling": str, "data": dict}
"""Keys of `thresholds.json` beside those of the decision, with their types."""


@dataclass(frozen=True)
class Artifact:
    """What `thresholds.json` of a model folder holds."""

    folder: Path
    decision: Decision
    data: DataOptions
    """How the training file was read; how the next one is read."""
    max_length: int
    """Tokens per text at most, special tokens included."""
    pooling: str
    """`cls`, `mean`, `attention` or `labels`."""
    form: str
    """`sequence_classification` or `encoder_and_head`: which files hold the network."""


def is_artifact(folder: Path) -> bool:
    """Return whether `folder` holds a finished model."""
    return (folder / _DECISION_FILE).is_file()


def save_artifact(
    artifact: Artifact,
    *,
    write_network: Callable[[Path], list[str]],
    tokenizer: Tokenizer,
    tokenizer_config: Mapping[str, Any],
    card: str,
) -> None:
    """Write the model into `artifact.folder`: staged, flushed, renamed file by file.

    `thresholds.json` comes last; without it the folder is unfinished. `write_network` puts the
    network's files into the folder it is given and returns their relative names.
    """
    folder = artifact.folder
    stage = folder / ".writing-artifact"
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(stage, ignore_errors=True)
        stage.mkdir()
        (folder / _DECISION_FILE).unlink(missing_ok=True)
        try:
            names = write_network(stage)
            write_text(stage / "tokenizer.json", tokenizer.to_str(pretty=True))
            config = {k: v for k, v in tokenizer_config.items() if k not in TOKENIZER_CALL_KEYS}
            write_json(
                stage / "tokenizer_config.json",
                {**config, "model_max_length": artifact.max_length},
            )
            names += ["tokenizer.json", "tokenizer_config.json"]
            hashes = {name: _install(stage / name, folder / name) for name in sorted(names)}
        finally:
            shutil.rmtree(stage, ignore_errors=True)
        write_text(folder / "README.md", card)
        write_json(folder / _DECISION_FILE, _contents(artifact, hashes))


def copy_artifact(source: Path, target: Path) -> None:
    """Copy a model folder without its checkpoints; the target must be new or empty."""
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise OptionError(f"{target} exists and is not empty; choose another folder.")
    stage = target.with_name(f".{target.name}.writing")
    shutil.rmtree(stage, ignore_errors=True)
    try:
        with storage_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(source, stage, ignore=shutil.ignore_patterns("checkpoints"))
            if target.exists():
                target.rmdir()
            stage.rename(target)
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def artifact_bytes(artifact: Artifact) -> dict[str, bytes]:
    """Return the content of every file of a model folder by its relative name, for a copy elsewhere.

    The decision is that of `artifact`. Raises `ArtifactError` when the folder is gone or was changed.
    """
    content = _read_content(artifact.folder)
    _verify_files(artifact.folder, content["files"])
    names = [
        *content["files"],
        *(name for name in ("README.md",) if (artifact.folder / name).is_file()),
    ]
    try:
        files = {name: (artifact.folder / name).read_bytes() for name in names}
    except OSError as error:
        raise ArtifactError(f"{artifact.folder} cannot be read: {error.strerror}.") from None
    new = artifact.decision.to_json()
    gone = set(Decision.from_json(content).to_json()) - set(new)
    kept = {key: value for key, value in content.items() if key not in gone}
    return {
        **files,
        _DECISION_FILE: json.dumps({**kept, **new}, ensure_ascii=False).encode("utf-8"),
    }


def write_artifact_bytes(files: Mapping[str, bytes], folder: Path) -> None:
    """Write what `artifact_bytes` returned into an empty folder."""
    with storage_errors(folder):
        for name, content in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)


def replace_decision(artifact: Artifact, decision: Decision) -> Artifact:
    """Write another decision of the same labels into the folder; no other file is touched.

    `thresholds.json` is replaced in one go, and its other keys stay as they are. Raises
    `ArtifactError` when the labels differ.
    """
    if decision.space != artifact.decision.space:
        raise ArtifactError(f"{artifact.folder}: the new decision has other labels than the model.")
    path = artifact.folder / _DECISION_FILE
    new = decision.to_json()
    gone = set(artifact.decision.to_json()) - set(new)
    kept = {key: value for key, value in read_json(path).items() if key not in gone}
    with storage_errors(path):
        write_json(path, {**kept, **new})
    return replace(artifact, decision=decision)


def _install(staged: Path, target: Path) -> str:
    """Flush one staged file, rename it into place, and return its SHA-256."""
    target.parent.mkdir(parents=True, exist_ok=True)
    # safetensors creates files that only their owner may read; a model is meant to be shared.
    staged.chmod(0o666 & ~_umask())
    flush_file(staged)
    digest = sha256_of(staged)
    os.replace(staged, target)
    flush_folder(target.parent)
    return digest


def _umask() -> int:
    """Return the process's umask, which can only be read by setting it."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _contents(artifact: Artifact, hashes: Mapping[str, str]) -> dict[str, Any]:
    return {
        "format_version": FORMAT_VERSION,
        "multihot_version": version("multihot"),
        **artifact.decision.to_json(),
        "data": to_plain(artifact.data),
        "max_length": artifact.max_length,
        "pooling": artifact.pooling,
        "form": artifact.form,
        "transformers": _transformers_note(artifact),
        "files": dict(hashes),
    }


def _transformers_note(artifact: Artifact) -> dict[str, Any]:
    """Return what transformers alone can load of a model, and what it cannot."""
    if artifact.form == "sequence_classification":
        return {"auto_class": "AutoModelForSequenceClassification", "folder": ".", "missing": []}
    head = f"head.safetensors: {artifact.pooling} pooling and the classifier"
    prompt = ["tokenizer.json: the label names before each text, which AutoTokenizer leaves out"]
    return {
        "auto_class": "AutoModel",
        "folder": "encoder",
        "missing": [head, *(prompt if artifact.pooling == "labels" else [])],
    }


def load_artifact(folder: str | Path) -> Artifact:
    """Read a model folder and verify all of its files by their SHA-256.

    Raises `ArtifactError` as `read_artifact` does, and when a file beside `thresholds.json` is
    missing or was changed.
    """
    folder = as_path(folder, "folder")
    content = _read_content(folder)
    _verify_files(folder, content.get("files"))
    return _build(folder, content)


def read_artifact(folder: str | Path) -> Artifact:
    """Read `thresholds.json` of a model folder; the other files are not looked at.

    For those who need options or labels before something else loads the model with `load_artifact`.
    Raises `ArtifactError` when the folder does not exist, is unfinished or comes from a newer
    version.
    """
    folder = as_path(folder, "folder")
    return _build(folder, _read_content(folder))


def _read_content(folder: Path) -> dict[str, Any]:
    """Return the content of `thresholds.json` of a format that is known here."""
    path = folder / _DECISION_FILE
    if not folder.is_dir():
        raise ArtifactError(f"{folder}: there is no such folder; expected a model folder.")
    if not path.is_file():
        unfinished = (folder / "run").is_dir()
        hint = " Its training was not finished: run it again with --resume." if unfinished else ""
        raise ArtifactError(f"{folder} has no thresholds.json, so it is no finished model.{hint}")
    try:
        content = read_json(path)
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error.strerror or error}.") from None
    except ValueError as error:
        raise ArtifactError(f"{path} is not valid JSON: {error}") from None
    if not isinstance(content, dict) or not isinstance(content.get("format_version"), int):
        raise ArtifactError(f"{path} has no format_version; it was not written by multihot.")
    if content["format_version"] > FORMAT_VERSION:
        raise ArtifactError(
            f"{path} has format_version {content['format_version']}; this multihot reads up to "
            f"{FORMAT_VERSION}. Update multihot."
        )
    return content


def _build(folder: Path, content: Mapping[str, Any]) -> Artifact:
    try:
        stored = required_values(content, _STORED)
        if stored["max_length"] < 3:
            raise ArtifactError(
                f"'max_length' is {stored['max_length']}; expected at least 3 tokens."
            )
        for key, allowed in (("form", _FORMS), ("pooling", POOLINGS[1:])):
            if stored[key] not in allowed:
                raise ArtifactError(
                    f"'{key}' is {stored[key]!r}; expected one of {', '.join(allowed)}."
                )
        data = build_options(DataOptions, stored.pop("data"), prefix="data.")
        return Artifact(folder, Decision.from_json(content), data, **stored)
    except (ArtifactError, OptionError) as error:
        raise ArtifactError(f"{folder / _DECISION_FILE}: {error}") from None


def _verify_files(folder: Path, files: Any) -> None:
    if not isinstance(files, dict) or not files:
        raise ArtifactError(f"{folder / _DECISION_FILE} lists no files; it is damaged.")
    for name, expected in files.items():
        path = folder / name
        # By name alone: a file may be a link elsewhere, as in the hub's cache.
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise ArtifactError(f"{folder / _DECISION_FILE} lists '{name}', outside the folder.")
        if not path.is_file():
            raise ArtifactError(f"{folder} lacks {name}; copy the whole folder or retrain.")
        digest = sha256_of(path)
        if digest != expected:
            raise ArtifactError(
                f"{path} was changed after training (SHA-256 {digest[:12]}..., expected "
                f"{str(expected)[:12]}...). Its thresholds may not fit any more: restore the file "
                "or retrain."
            )
