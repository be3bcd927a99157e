"""The model folder: what is in it, how it is written, and what is checked when it is read.

Everything here works without torch; the network writes itself through a callable.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from multihot.core.files import (
    as_path,
    flush_file,
    flush_folder,
    required_values,
    sha256_of,
    storage_errors,
    write_json,
    write_text,
)
from multihot.core.options import POOLINGS, DataOptions
from multihot.core.recipes import build_options, to_plain
from multihot.core.staging import check_new_folder, put_in_place, staged_folder
from multihot.core.text_tables import cut, listed
from multihot.core.windows import WindowSettings
from multihot.data.columns.label_plan import KNOWN_LABELS
from multihot.data.tokens import TOKENIZER_CALL_KEYS
from multihot.decision.decision import Decision
from multihot.errors import ArtifactError, OptionError
from multihot.gate.folder_contents import FolderContents
from multihot.gate.folder_files import MAX_FILE_BYTES, checked_name, file_place, shown_file
from multihot.gate.json_documents import read_json_object
from multihot.gate.stored_records import record_of
from multihot.inference.exported import EXPORTED_FILES, Exported
from multihot.inference.stored_windows import stored_windows

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = [
    "DECISION_FILE",
    "FORMAT_VERSION",
    "NETWORK_FILES",
    "Artifact",
    "artifact_bytes",
    "copy_artifact",
    "install_file",
    "is_artifact",
    "load_artifact",
    "read_artifact",
    "save_artifact",
    "stored_content",
    "write_artifact_bytes",
]

FORMAT_VERSION = 1
"""Version of `thresholds.json`; artefacts of a major version load in all later minors."""

DECISION_FILE = "thresholds.json"
NETWORK_FILES = {
    "sequence_classification": ("config.json", "model.safetensors"),
    "encoder_and_head": ("encoder/config.json", "encoder/model.safetensors", "head.safetensors"),
    **EXPORTED_FILES,
}
"""Files of the network by form."""

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")
_MAX_DECISION_BYTES = 256 << 20  # hashes of ten million rows
_MAX_CARD_BYTES = 16 << 20
_SHORTEST_LENGTH = 3  # tokens
_LARGEST_LENGTH = 1 << 20  # tokens
_DIGEST = re.compile("[0-9a-f]{64}")
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
    """`sequence_classification` or `encoder_and_head`, of an export `onnx` or `openvino`: which files
    hold the network."""
    exported: Exported | None = None
    """Of an export, what it was made from."""
    digests: Mapping[str, str] | None = field(default=None, compare=False, repr=False)
    """SHA-256 of every file beside `thresholds.json`, as that says; `None` of a model not yet saved."""
    windows: WindowSettings | None = None
    """How longer texts are read; `None`: they are cut."""
    multihot_version: str | None = field(default=None, compare=False)
    """The version that wrote it, as far as that is known."""

    @property
    def config_name(self) -> str:
        """The file of the encoder's configuration; an export has none."""
        return next(name for name in NETWORK_FILES[self.form] if name.endswith("config.json"))

    @property
    def weights_name(self) -> str:
        """The file of the network's weights."""
        endings = ("model.safetensors", ".onnx", ".bin")
        return next(name for name in NETWORK_FILES[self.form] if name.endswith(endings))

    @property
    def network_names(self) -> str:
        """The files of the network, for messages; of one that is not exported its weights."""
        exported = EXPORTED_FILES.get(self.form)
        return self.weights_name if exported is None else " and ".join(exported)

    def contents(self) -> FolderContents:
        """Return what reads the other files, each once, and compares it with its digest."""
        return FolderContents(self.folder, error=ArtifactError, digests=self.digests)


def is_artifact(folder: Path) -> bool:
    """Return whether `folder` holds a finished model."""
    return (folder / DECISION_FILE).is_file()


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
        (folder / DECISION_FILE).unlink(missing_ok=True)
        try:
            names = write_network(stage)
            write_text(stage / "tokenizer.json", tokenizer.to_str(pretty=True))
            config = {k: v for k, v in tokenizer_config.items() if k not in TOKENIZER_CALL_KEYS}
            write_json(
                stage / "tokenizer_config.json",
                {**config, "model_max_length": artifact.max_length},
            )
            names += ["tokenizer.json", "tokenizer_config.json"]
            hashes = {name: install_file(stage / name, folder / name) for name in sorted(names)}
        finally:
            shutil.rmtree(stage, ignore_errors=True)
        write_text(folder / "README.md", card)
        write_json(folder / DECISION_FILE, _contents(artifact, hashes))


def copy_artifact(source: Path, target: Path) -> None:
    """Copy a model folder without its checkpoints; the target must be new or empty."""
    check_new_folder(target)
    for path in source.rglob("*"):
        if not path.is_dir() or path.is_symlink():
            file_place(source, path.relative_to(source).as_posix(), ArtifactError)
    with storage_errors(target), staged_folder(target) as stage:
        shutil.copytree(
            source, stage, ignore=shutil.ignore_patterns("checkpoints"), dirs_exist_ok=True
        )
        put_in_place(stage, target)


def artifact_bytes(artifact: Artifact) -> dict[str, bytes]:
    """Return the content of every file of a model folder by its relative name, for a copy elsewhere.

    The decision is that of `artifact`. Raises `ArtifactError` when the folder is gone or was changed.
    """
    content = stored_content(artifact.folder)
    contents = _build(artifact.folder, content).contents()
    files = {
        name: bytes(contents.content(name, most_bytes=MAX_FILE_BYTES))
        for name in contents.digests or {}
    }
    if (artifact.folder / "README.md").is_file():
        card = FolderContents(artifact.folder, error=ArtifactError)
        files["README.md"] = bytes(card.content("README.md", most_bytes=_MAX_CARD_BYTES))
    new = artifact.decision.to_json()
    gone = set(Decision.from_json(content).to_json()) - set(new)
    kept = {key: value for key, value in content.items() if key not in gone}
    return {
        **files,
        DECISION_FILE: json.dumps({**kept, **new}, ensure_ascii=False).encode("utf-8"),
    }


def write_artifact_bytes(files: Mapping[str, bytes], folder: Path) -> None:
    """Write what `artifact_bytes` returned into an empty folder."""
    with storage_errors(folder):
        for name, content in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)


def install_file(staged: Path, target: Path) -> str:
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
        **({} if artifact.windows is None else {"windows": artifact.windows.to_json()}),
        "form": artifact.form,
        **(
            {"transformers": _transformers_note(artifact)}
            if artifact.exported is None
            else {"export": artifact.exported.to_json()}
        ),
        "files": dict(hashes),
    }


def _transformers_note(artifact: Artifact) -> dict[str, Any]:
    """Return what transformers alone can load of a model, and what it cannot."""
    windows = [] if artifact.windows is None else ["thresholds.json: windows of longer texts"]
    if artifact.form == "sequence_classification":
        return {
            "auto_class": "AutoModelForSequenceClassification",
            "folder": ".",
            "missing": windows,
        }
    head = f"head.safetensors: {artifact.pooling} pooling and the classifier"
    prompt = ["tokenizer.json: the label names before each text, which AutoTokenizer leaves out"]
    return {
        "auto_class": "AutoModel",
        "folder": "encoder",
        "missing": [head, *(prompt if artifact.pooling == "labels" else []), *windows],
    }


def load_artifact(folder: str | Path) -> Artifact:
    """Read a model folder and verify all of its files by their SHA-256.

    Raises `ArtifactError` as `read_artifact` does, and when a file beside `thresholds.json` is
    missing or was changed.
    """
    artifact = read_artifact(folder)
    artifact.contents().verify()
    return artifact


def read_artifact(folder: str | Path) -> Artifact:
    """Read `thresholds.json` of a model folder; the other files are not looked at.

    For those who need options or labels before something else loads the model with `load_artifact`.
    Raises `ArtifactError` when the folder does not exist, is unfinished or comes from a newer
    version.
    """
    folder = as_path(folder, "folder")
    return _build(folder, stored_content(folder))


def stored_content(folder: Path) -> dict[str, Any]:
    """Return the content of `thresholds.json` of a format that is known here."""
    path = folder / DECISION_FILE
    if not folder.is_dir():
        raise ArtifactError(f"{folder}: there is no such folder; expected a model folder.")
    if not path.is_file():
        unfinished = (folder / "run").is_dir()
        hint = " Its training was not finished: run it again with --resume." if unfinished else ""
        raise ArtifactError(f"{folder} has no thresholds.json, so it is no finished model.{hint}")
    content = read_json_object(
        folder, DECISION_FILE, error=ArtifactError, most_bytes=_MAX_DECISION_BYTES
    )
    found = content.get("format_version")
    if type(found) is not int or found < 1:
        written = f" but {cut(found)}" if "format_version" in content else ""
        raise ArtifactError(
            f"{shown_file(path)} has no format_version{written}; it was not written by multihot."
        )
    if found > FORMAT_VERSION:
        raise ArtifactError(
            f"{shown_file(path)} has format_version {found}; this multihot reads up to "
            f"{FORMAT_VERSION}. Update multihot."
        )
    return content


def _build(folder: Path, content: Mapping[str, Any]) -> Artifact:
    try:
        if not isinstance(content.get("files"), dict) or not content["files"]:
            raise ArtifactError("It lists no files; it is damaged.")
        stored = required_values(content, _STORED)
        if not _SHORTEST_LENGTH <= stored["max_length"] <= _LARGEST_LENGTH:
            raise ArtifactError(
                f"'max_length' is {stored['max_length']}; expected at least {_SHORTEST_LENGTH} tokens, "
                f"at most {_LARGEST_LENGTH}."
            )
        for key, allowed in (("form", tuple(NETWORK_FILES)), ("pooling", POOLINGS[1:])):
            if stored[key] not in allowed:
                raise ArtifactError(
                    f"'{key}' is {cut(stored[key])}; expected one of {', '.join(allowed)}."
                )
        exported = _exported(content, stored["form"])
        is_cls = stored["pooling"] == "cls"
        if exported is None and (stored["form"] == "sequence_classification") != is_cls:
            raise ArtifactError(
                f"'pooling' is {stored['pooling']}, which no model of the form {stored['form']} has."
            )
        digests = _checked_digests(folder, content["files"], stored["form"])
        data = _checked_data(stored.pop("data"))
        written_by = content.get("multihot_version")
        decision = Decision.from_json(content)
        return Artifact(
            folder,
            decision,
            data,
            **stored,
            exported=exported,
            digests=digests,
            windows=stored_windows(content, decision.space, stored["max_length"]),
            multihot_version=written_by[:80] if isinstance(written_by, str) else None,
        )
    except (ArtifactError, OptionError) as error:
        raise ArtifactError(f"{shown_file(folder / DECISION_FILE)}: {error}") from None


def _exported(content: Mapping[str, Any], form: str) -> Exported | None:
    if form not in EXPORTED_FILES:
        return None
    return record_of(Exported, content.get("export"), "the key 'export'", ArtifactError)


def _checked_data(stored: Mapping[str, Any]) -> DataOptions:
    """Return how files are read; a model folder names no file elsewhere for it."""
    data = build_options(DataOptions, stored, prefix="data.")
    aliases, pattern, parents = data.label_aliases, data.label_file, data.label_hierarchy
    elsewhere = {
        "label_names": data.label_names not in (None, KNOWN_LABELS),
        "label_aliases": aliases is not None and not aliases.lstrip().startswith("{"),
        "label_hierarchy": parents is not None and any(map(str.isalnum, parents.split("{")[0])),
        "label_file": pattern is not None and "*" not in pattern,
    }
    for key, is_elsewhere in elsewhere.items():
        if is_elsewhere:
            raise ArtifactError(
                f"'data.{key}' is {cut(getattr(data, key))}, a file outside the folder, which no model "
                "names. Restore the file or train again."
            )
    return data


def _checked_digests(folder: Path, files: Mapping[str, Any], form: str) -> dict[str, str]:
    """Return the SHA-256 by name of exactly the files that a model of this form consists of."""
    expected = (*NETWORK_FILES[form], *_TOKENIZER_FILES)
    for name in files:
        checked_name(folder, name, ArtifactError)
    if set(files) != set(expected):
        missing = [name for name in expected if name not in files]
        other = [name for name in files if name not in expected]
        raise ArtifactError(
            "'files' does not list what the model consists of"
            + (f"; it lacks {listed(missing)}" if missing else "")
            + (f"; it has {listed(other)}" if other else "")
            + ". Restore the file or train again."
        )
    for name, digest in files.items():
        if not isinstance(digest, str) or _DIGEST.fullmatch(digest) is None:
            raise ArtifactError(f"'files' has {cut(digest)} for {name}; expected a SHA-256.")
    return dict(files)
