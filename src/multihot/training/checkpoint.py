"""Atomic checkpoints: safetensors and JSON, manifest last, flushed, renamed.

    checkpoints/step-000500/
        network.safetensors     the weights
        optimizer.safetensors   the moments, named after the weights they belong to
        state.json              step, epoch, best epoch so far
        manifest.json           size and SHA-256 of the files above; written last

A folder counts only if its manifest verifies and the weights of the best epoch that its state names
are still there, so the newest valid one is always well defined.

The result of one run of several is kept until the last of them is done, likewise all or nothing:

    FOLDER/
        result.safetensors      tensors
        state.json              facts about them
        manifest.json
"""

from __future__ import annotations

import os
import shutil
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from multihot.core.files import (
    flush_file,
    flush_folder,
    sha256_of,
    storage_errors,
    write_json,
)
from multihot.core.text_tables import cut
from multihot.errors import StorageError, TrainingError
from multihot.gate.folder_contents import FolderContents
from multihot.gate.json_documents import read_json_object
from multihot.gate.tensor_headers import TENSOR_TYPES
from multihot.models.stored_tensors import tensors_of
from multihot.training.optimizer import AVERAGE

__all__ = [
    "checkpoint_folder",
    "damaged_checkpoints",
    "keep_checkpoints",
    "latest_checkpoint",
    "load_averages",
    "load_checkpoint",
    "load_checkpoint_weights",
    "load_result",
    "read_state",
    "restore",
    "save_checkpoint",
    "save_result",
]

_MANIFEST = "manifest.json"
_NETWORK = "network.safetensors"
_OPTIMIZER = "optimizer.safetensors"
_RESULT = "result.safetensors"
_STATE = "state.json"
_CHECKPOINT_FILES, _RESULT_FILES = (_NETWORK, _OPTIMIZER, _STATE), (_RESULT, _STATE)
_MOMENTS = {"step", "exp_avg", "exp_avg_sq"}  # that AdamW keeps of each weight
_MOST_JSON_BYTES = 1 << 20
_MOST_DIGITS = 15  # of a number of steps


def checkpoint_folder(root: Path, step: int) -> Path:
    """Return the folder of the checkpoint after `step` optimiser steps."""
    return root / f"step-{step:06d}"


def save_checkpoint(
    root: Path,
    step: int,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    state: dict[str, Any],
) -> Path:
    """Write a complete checkpoint or none.

    Raises `StorageError` when the disk has too little room (checked before anything is written) or
    a write fails; earlier checkpoints are never touched.
    """
    target = checkpoint_folder(root, step)
    files = {_NETWORK: network.state_dict(), _OPTIMIZER: _named_moments(network, optimizer)}
    _save(target, files, {"step": step, **state})
    return target


def save_result(target: Path, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
    """Write the result of a run, all or nothing; raises as `save_checkpoint` does."""
    _save(target, {_RESULT: dict(tensors)}, dict(state))


def load_result(
    folder: Path, like: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Return what `save_result` wrote; `None` where it is missing, damaged, or not `like` this.

    `like` are tensors of the names, shapes and types that those of the result must have.
    """
    try:
        contents = _contents(folder, _RESULT_FILES)
        tensors, state = _tensors(contents, _RESULT), contents.json_object(_STATE)
        contents.verify()
    except TrainingError:
        return None
    return None if _difference(tensors, like) else (tensors, state)


def _save(target: Path, files: Mapping[str, dict[str, Tensor]], state: dict[str, Any]) -> None:
    root, temporary = target.parent, target.with_name(f".writing-{target.name}")
    contents = {name: _contiguous(tensors) for name, tensors in files.items()}
    sizes = [tensor.nbytes for tensors in contents.values() for tensor in tensors.values()]
    needed = sum(sizes) + 2**20
    with storage_errors(target):
        root.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(root).free
    if free < needed:
        raise StorageError(
            f"A checkpoint in {root} needs {needed / 1e6:.0f} MB, but only {free / 1e6:.0f} MB are "
            "free. Earlier checkpoints are complete: free some space, then continue with --resume."
        )
    try:
        with storage_errors(target):
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir()
            for name, tensors in contents.items():
                save_file(tensors, temporary / name)
            write_json(temporary / _STATE, state)
            _seal(temporary)
            shutil.rmtree(target, ignore_errors=True)
            os.replace(temporary, target)
            flush_folder(root)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _seal(folder: Path) -> None:
    """Flush every file of `folder` and write the manifest with their hashes."""
    files = {}
    for path in sorted(folder.iterdir()):
        flush_file(path)
        files[path.name] = {"bytes": path.stat().st_size, "sha256": sha256_of(path)}
    write_json(folder / _MANIFEST, {"files": files})
    flush_folder(folder)


def latest_checkpoint(root: Path) -> Path | None:
    """Return the newest checkpoint that is complete, else the one before, else `None`."""
    for folder in _newest_first(root):
        if _verifies(folder):
            best = _best_folder(folder)
            if best is None or best == folder or _verifies(best):
                return folder
    return None


def damaged_checkpoints(root: Path, latest: Path | None) -> list[str]:
    """Return the names of the checkpoints that are newer than `latest` but not complete."""
    newer = [folder.name for folder in _newest_first(root)]
    return newer[: newer.index(latest.name)] if latest else newer


def _newest_first(root: Path) -> list[Path]:
    numbered = {
        int(number): folder
        for folder in root.glob("step-*")
        if (number := folder.name.removeprefix("step-")).isdecimal() and len(number) <= _MOST_DIGITS
    }
    return [numbered[step] for step in sorted(numbered, reverse=True)]


def _best_folder(folder: Path) -> Path | None:
    """Return the checkpoint of the best epoch so far, `None` when there is none yet."""
    try:
        best_step = read_state(folder).get("best_step")
    except TrainingError:
        return None
    if type(best_step) is not int or best_step <= 0:
        return None
    return checkpoint_folder(folder.parent, best_step)


def _verifies(folder: Path) -> bool:
    try:
        _contents(folder, _CHECKPOINT_FILES).verify()
    except TrainingError:
        return False
    return True


def _contents(folder: Path, names: Sequence[str]) -> FolderContents:
    """Return what reads the files that a manifest vouches for, exactly these."""
    manifest = read_json_object(folder, _MANIFEST, error=TrainingError, most_bytes=_MOST_JSON_BYTES)
    files = manifest.get("files")
    if not isinstance(files, dict) or set(files) != set(names):
        raise TrainingError(f"{folder / _MANIFEST} is damaged: its files are {cut(files)}.")
    entries = [entry if isinstance(entry, dict) else {} for entry in files.values()]
    digests = dict(zip(files, (entry.get("sha256") for entry in entries), strict=True))
    return FolderContents(folder, error=TrainingError, digests=digests)


def _tensors(contents: FolderContents, name: str) -> dict[str, Tensor]:
    return tensors_of(*contents.tensors(name, dtypes=TENSOR_TYPES))


def _difference(tensors: Mapping[str, Tensor], like: Mapping[str, Tensor]) -> str | None:
    """Return a name whose tensor is missing, or of another shape or type; `None` where there is none."""
    found, expected = (
        {name: (each.shape, each.dtype) for name, each in group.items()}
        for group in (tensors, like)
    )
    return next((n for n in {**expected, **found} if expected.get(n) != found.get(n)), None)


def read_state(folder: Path) -> dict[str, Any]:
    """Return the state that was saved with a checkpoint; raise `TrainingError` when it is damaged."""
    return read_json_object(folder, _STATE, error=TrainingError, most_bytes=_MOST_JSON_BYTES)


def load_checkpoint(
    folder: Path, network: nn.Module, optimizer: torch.optim.Optimizer
) -> dict[str, Any]:
    """Restore weights and moments, and return the saved state; raise as `load_checkpoint_weights` does."""
    with _advice(folder):
        contents = _contents(folder, _CHECKPOINT_FILES)
        weights, moments = _tensors(contents, _NETWORK), _tensors(contents, _OPTIMIZER)
        state = contents.json_object(_STATE)
        contents.verify()
    groups = _checked_moments(folder, network, moments)
    _put(folder, network, weights)
    for name, parameter in network.named_parameters():
        if entries := groups.get(name):
            # The fused optimiser needs its step counts on the device of the weights.
            optimizer.state[parameter] = {
                key: tensor.to(parameter.device) for key, tensor in entries.items()
            }
    return state


def _checked_moments(
    folder: Path, network: nn.Module, moments: Mapping[str, Tensor]
) -> dict[str, dict[str, Tensor]]:
    """Return the moments of each weight that has some; raise `TrainingError` where they do not fit it."""
    groups: dict[str, dict[str, Tensor]] = defaultdict(dict)
    for key, tensor in moments.items():
        name, _, moment = key.rpartition(":")
        groups[name][moment] = tensor
    parameters = dict(network.named_parameters())
    for name, entries in groups.items():
        fits = name in parameters and entries.keys() - {AVERAGE} == _MOMENTS
        for moment, tensor in entries.items() if fits else ():
            shape = () if moment == "step" else parameters[name].shape
            fits = fits and tensor.shape == shape and tensor.is_floating_point()
        if not fits:
            raise TrainingError(
                f"{folder / _OPTIMIZER} belongs to another network: {cut(name)} does not fit. Use the "
                "encoder and labels of the run that wrote it, or another --output."
            )
    return groups


def restore(
    root: Path, network: nn.Module, optimizer: torch.optim.Optimizer
) -> tuple[dict[str, Any] | None, list[str]]:
    """Restore the newest complete checkpoint below `root`.

    Returns its state, `None` when there is none, and messages for the user.
    """
    latest, notes = latest_checkpoint(root), []
    if damaged := damaged_checkpoints(root, latest):
        back = f"going back to {latest.name}" if latest else "starting from the beginning"
        notes.append(f"Skipping incomplete checkpoints: {', '.join(damaged)}; {back}.")
    return (load_checkpoint(latest, network, optimizer) if latest else None), notes


def load_checkpoint_weights(folder: Path, network: nn.Module) -> None:
    """Load only the weights of a checkpoint into `network`.

    Raises `TrainingError` when the checkpoint is damaged or belongs to another network.
    """
    with _advice(folder):
        contents = _contents(folder, _CHECKPOINT_FILES)
        weights = _tensors(contents, _NETWORK)
        contents.verify()
    _put(folder, network, weights)


@contextmanager
def _advice(folder: Path) -> Iterator[None]:
    """Raise `TrainingError` with advice when a checkpoint does not verify."""
    try:
        yield
    except TrainingError as error:
        raise TrainingError(
            f"{folder} is damaged or missing. Run the same command with --resume: it restores the "
            f"newest complete checkpoint. ({error})"
        ) from None


def _put(folder: Path, network: nn.Module, weights: Mapping[str, Tensor]) -> None:
    if (name := _difference(weights, network.state_dict())) is not None:
        raise TrainingError(
            f"{folder} belongs to another network: the weight {cut(name)} is missing or differs in "
            "shape or type. Use the encoder and labels of the run that wrote it, or another --output."
        )
    network.load_state_dict(weights)


def load_averages(folder: Path, network: nn.Module) -> None:
    """Load the averaged weights of a verified checkpoint into `network`, where it has some.

    They are in the optimiser's file, under the key `training.optimizer.AVERAGE`.
    """
    with _advice(folder):
        contents = _contents(folder, _CHECKPOINT_FILES)
        moments = _tensors(contents, _OPTIMIZER)
        contents.verify()
    groups = _checked_moments(folder, network, moments)
    for name, parameter in network.named_parameters():
        if (average := groups.get(name, {}).get(AVERAGE)) is not None:
            parameter.data.copy_(average)


def keep_checkpoints(root: Path, newest: int = 2) -> None:
    """Delete all checkpoints except the `newest` ones and the best epochs that they refer to."""
    folders = _newest_first(root)
    wanted = {*folders[:newest], *map(_best_folder, folders[:newest])}
    for folder in folders:
        if folder not in wanted:
            shutil.rmtree(folder, ignore_errors=True)


def _contiguous(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors that safetensors accepts: contiguous and sharing no memory."""
    seen: dict[int, str] = {}
    result = {}
    for name, tensor in tensors.items():
        shared = tensor.data_ptr() in seen and tensor.numel() > 0
        result[name] = tensor.contiguous().clone() if shared else tensor.contiguous()
        seen[tensor.data_ptr()] = name
    return result


def _named_moments(network: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    return {
        f"{name}:{key}": tensor
        for name, parameter in network.named_parameters()
        for key, tensor in optimizer.state.get(parameter, {}).items()
    }
