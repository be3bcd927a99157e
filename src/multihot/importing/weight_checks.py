"""What the files of weights of a checkpoint are, from their names, headers and numbers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from multihot.core.text_tables import listed
from multihot.errors import EncoderError
from multihot.gate.encoder_folder import encoder_tensors, weight_files
from multihot.gate.folder_contents import FolderContents
from multihot.gate.folder_files import open_folder_file
from multihot.gate.json_documents import read_json_object
from multihot.gate.tensor_headers import (
    TENSOR_TYPES,
    WEIGHT_TYPES,
    StoredTensor,
    read_tensor_header,
)
from multihot.importing.checkpoint import Checkpoint
from multihot.importing.findings import ERROR, NOTE, WARNING, WITHOUT_FILE, Finding

__all__ = ["HEAD_FILE", "CheckpointWeights", "OwnHead", "check_weights", "plain_name"]

HEAD_FILE = "model_head.safetensors"
"""Where a SetFit head can be without being a pickle."""

_ONE_FILE, _INDEX = "model.safetensors", "model.safetensors.index.json"
_PICKLES = re.compile(r".*\.(bin|pt|pth|ckpt|pkl|pickle|joblib|msgpack)")
_PICKLED_WEIGHTS = re.compile(r"(pytorch_model.*|model.*|adapter_model)\.(bin|pt|pth|ckpt)")
_OTHER_FORMATS = {
    "tf_model.h5": "TensorFlow",
    "flax_model.msgpack": "Flax",
    "model.onnx": "ONNX",
    "openvino_model.bin": "OpenVINO",
}
_PREFIX = re.compile(r"(?:module\.|_orig_mod\.)+")  # of DataParallel and torch.compile
_POINTER = b"version https://git-lfs"
_LAST_LAYER = re.compile(
    r"(?:.*\.)?(?:classifier(?:\.out_proj|\.linear_out)?|score|logits_proj"
    r"|classification_head\.out_proj|sequence_summary\.summary)\.weight"
)
_EXPONENTS: Mapping[str, tuple[Any, int]] = {  # of which all bits are set in NaN and infinity
    "F16": (np.uint16, 0x7C00),
    "BF16": (np.uint16, 0x7F80),
    "F32": (np.uint32, 0x7F800000),
    "F64": (np.uint64, 0x7FF0000000000000),
}
_HALF = {"F16": "float16", "BF16": "bfloat16"}
_CONVERT = (
    "Convert them where you trust the file: load it with transformers' from_pretrained and save it with "
    "save_pretrained, which writes safetensors."
)


@dataclass(frozen=True)
class OwnHead:
    """A linear head in a safetensors file of its own."""

    file: Path
    weight: str
    """Name of the tensor of *shape* (L, D)."""
    bias: str
    """Name of the tensor of *shape* (L,)."""
    num_outputs: int


@dataclass(frozen=True)
class CheckpointWeights:
    """The weights of a checkpoint, as their headers describe them."""

    tensors: Mapping[str, StoredTensor] = field(default_factory=dict)
    """By their plain names (see `plain_name`); empty where they cannot be read."""
    head: str | None = None
    """The plain name of the last layer's weight; `None` without a head."""
    own_head: OwnHead | None = None
    """Of SetFit: the head in a file of its own."""
    findings: tuple[Finding, ...] = ()

    @property
    def num_outputs(self) -> int | None:
        """How many labels the head has; `None` without one."""
        if self.own_head is not None:
            return self.own_head.num_outputs
        return None if self.head is None else self.tensors[self.head].shape[0]


def plain_name(name: str) -> str:
    """Return the name of a weight without what DataParallel or torch.compile put before it."""
    return _PREFIX.sub("", name, count=1) if _PREFIX.match(name) else name


def check_weights(checkpoint: Checkpoint) -> CheckpointWeights:
    """Look at the files of weights of a checkpoint; what cannot be used is a finding, not an error."""
    folder = checkpoint.body
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    beside = _pickles_beside(names)
    if not {_ONE_FILE, _INDEX} & names:
        return CheckpointWeights(findings=(_no_safetensors(names), *beside))
    try:
        stored = encoder_tensors(folder, error=EncoderError)
        files = weight_files(folder, error=EncoderError)
    except EncoderError as reason:
        return CheckpointWeights(findings=(_refused(folder, str(reason)), *beside))
    tensors = {plain_name(name): tensor for name, tensor in stored.items()}
    head = None if checkpoint.is_pooled else _last_layer(tensors)
    own, refused = _own_head(checkpoint)
    findings = [
        *refused,
        *_shards(folder, files, stored),
        *_prefixed(stored),
        *_types(stored),
        *_numbers(folder, files, head),
        *beside,
    ]
    return CheckpointWeights(tensors, head, own, tuple(findings))


def _own_head(checkpoint: Checkpoint) -> tuple[OwnHead | None, list[Finding]]:
    """Return the head of SetFit in safetensors, or why it is none."""
    if HEAD_FILE not in checkpoint.files or checkpoint.kind != "setfit":
        return None, []
    path = checkpoint.folder / HEAD_FILE
    try:
        tensors = read_tensor_header(checkpoint.folder, HEAD_FILE, error=EncoderError).tensors
    except EncoderError as reason:
        return None, [_refused(checkpoint.folder, str(reason))]
    weights = [name for name, tensor in tensors.items() if len(tensor.shape) == 2]
    biases = [name for name, tensor in tensors.items() if len(tensor.shape) == 1]
    if len(weights) == len(biases) == 1 == len(tensors) - 1:
        rows = tensors[weights[0]].shape[0]
        if rows == tensors[biases[0]].shape[0]:
            return OwnHead(path, weights[0], biases[0], rows), []
    finding = Finding(
        "head_refused",
        ERROR,
        HEAD_FILE,
        f"It holds {listed([f'{name} {tensor.shape}' for name, tensor in tensors.items()], 4)}.",
        "A linear head has one weight (labels, width) and one bias (labels).",
        "Write these two tensors alone.",
    )
    return None, [finding]


def _last_layer(tensors: Mapping[str, StoredTensor]) -> str | None:
    found = [name for name, tensor in tensors.items() if _LAST_LAYER.fullmatch(name)]
    found = [name for name in found if len(tensors[name].shape) == 2]
    return min(found, key=lambda name: (name.count("."), name), default=None)


def _no_safetensors(names: set[str]) -> Finding:
    """Return what is said of a folder without safetensors weights."""
    pickled = sorted(name for name in names if _PICKLED_WEIGHTS.fullmatch(name))
    if pickled:
        return Finding(
            "pickle_only",
            ERROR,
            pickled[0],
            f"The weights are a pickle alone ({listed(pickled, 3)}); it was not opened.",
            "A pickle can run any code when it is loaded, so multihot and safe servers never load one.",
            _CONVERT,
        )
    others = [f"{name} ({kind})" for name, kind in _OTHER_FORMATS.items() if name in names]
    if others:
        return Finding(
            "other_format_only",
            ERROR,
            _ONE_FILE,
            f"There are no safetensors weights, only {listed(others)}.",
            "multihot and transformers 5 read PyTorch weights in safetensors.",
            "Use the revision of the model that has safetensors weights.",
        )
    return Finding(
        "weights_missing",
        ERROR,
        _ONE_FILE,
        "There are no weights in safetensors.",
        "Without weights there is no model.",
        "Copy the whole folder anew. From the hub, pickles are never fetched: choose a revision with "
        "safetensors.",
    )


def _pickles_beside(names: set[str]) -> list[Finding]:
    """Return a note about pickles that nobody needs for prediction."""
    found = sorted(name for name in names if _PICKLES.fullmatch(name) and name != "model_head.pkl")
    if not found or not {_ONE_FILE, _INDEX} & names:
        return []
    return [
        Finding(
            "pickles_beside",
            NOTE,
            found[0],
            f"Pickles lie beside the weights ({listed(found, 5)}); they were not opened.",
            "Whoever loads one runs whatever it holds, and prediction needs none of them.",
            "Delete them before you publish the folder.",
            WITHOUT_FILE,
        )
    ]


def _refused(folder: Path, reason: str) -> Finding:
    """Return what is said of weights that the gate refuses."""
    if "Quantised" in reason:
        return Finding(
            "weights_quantised",
            ERROR,
            _ONE_FILE,
            reason,
            "Quantised weights cannot be read as the network they were made from.",
            "Use the checkpoint before it was quantised; multihot quantises on export.",
        )
    if _is_pointer(folder):
        return Finding(
            "lfs_pointer",
            ERROR,
            _ONE_FILE,
            "It is a pointer of Git LFS, not the weights.",
            "The file only says where the weights are.",
            "Fetch them with 'git lfs pull'.",
        )
    return Finding(
        "weights_refused",
        ERROR,
        _ONE_FILE,
        reason,
        "What is not stored as its header says is damaged, and loading it may give random weights.",
        "Copy the folder anew, or save the model again.",
    )


def _is_pointer(folder: Path) -> bool:
    try:
        handle, _ = open_folder_file(folder, _ONE_FILE, most_bytes=1 << 12, error=EncoderError)
    except EncoderError:
        return False
    with handle:
        return handle.read(len(_POINTER)) == _POINTER


def _shards(
    folder: Path, files: tuple[str, ...], stored: Mapping[str, StoredTensor]
) -> list[Finding]:
    if files == (_ONE_FILE,):
        return []
    named = read_json_object(folder, _INDEX, error=EncoderError)["weight_map"]
    lost = sorted(set(named) - set(stored))
    if lost and not all(name.endswith(("position_ids", "token_type_ids")) for name in lost):
        return [
            Finding(
                "shard_incomplete",
                ERROR,
                _INDEX,
                f"{len(lost)} weights of the index are in no file, such as {listed(lost, 3)}.",
                "transformers fills what is missing with random numbers.",
                "Copy the folder anew.",
            )
        ]
    return [
        Finding(
            "several_files",
            NOTE,
            _INDEX,
            f"The weights are in {len(files)} files.",
            "transformers joins them; several servers and browsers expect one file.",
            "Save it with a larger max_shard_size.",
            WITHOUT_FILE,
        )
    ]


def _prefixed(stored: Mapping[str, StoredTensor]) -> list[Finding]:
    found = [name for name in stored if plain_name(name) != name]
    if not found:
        return []
    return [
        Finding(
            "weights_prefixed",
            ERROR,
            _ONE_FILE,
            f"{len(found)} weights begin with '{_PREFIX.match(found[0])[0]}', such as {found[0]}.",  # type: ignore[index]
            "transformers finds no weight of these names and begins with random ones.",
            "Save the model inside the wrapper of DataParallel or torch.compile (model.module, "
            "model._orig_mod).",
            WITHOUT_FILE,
        )
    ]


def _types(stored: Mapping[str, StoredTensor]) -> list[Finding]:
    half = sorted({tensor.dtype for tensor in stored.values() if tensor.dtype in _HALF})
    if not half:
        return []
    names = " and ".join(_HALF[each] for each in half)
    return [
        Finding(
            "half_precision",
            WARNING,
            _ONE_FILE,
            f"The weights are stored in {names}.",
            "transformers 5 then computes in it: scores have two or three digits, and texts near a "
            "threshold change sides from one machine to another.",
            "Load it with dtype=torch.float32, and fit thresholds on scores in float32.",
            WITHOUT_FILE,
        )
    ]


def _numbers(folder: Path, files: tuple[str, ...], head: str | None) -> list[Finding]:
    """Read all weights; say which are not finite, and whether the head was never trained."""
    contents = FolderContents(folder, error=EncoderError)
    wrong: list[str] = []
    is_new = False
    bias = None if head is None else f"{head.removesuffix('weight')}bias"
    for name in files:
        header, content = contents.tensors(name, dtypes=TENSOR_TYPES)
        for key, tensor in header.tensors.items():
            if tensor.dtype not in WEIGHT_TYPES:
                continue
            if not _all_finite(tensor, content):
                wrong.append(key)
            if plain_name(key) == bias and tensor.num_values > 1:
                is_new = not any(content[tensor.start : tensor.end])
        contents = FolderContents(folder, error=EncoderError)  # one file in memory at a time
    findings = []
    if wrong:
        findings.append(
            Finding(
                "weights_not_finite",
                ERROR,
                _ONE_FILE,
                f"{len(wrong)} weights hold NaN or infinity, such as {listed(wrong, 3)}.",
                "Every score that they take part in is NaN.",
                "Use an earlier checkpoint of the training.",
            )
        )
    if is_new:
        findings.append(
            Finding(
                "head_untrained",
                WARNING,
                _ONE_FILE,
                f"All numbers of {bias} are 0, as before training.",
                "A head that was never trained gives random labels.",
                "Check that this is the checkpoint after training, not the one it began with.",
            )
        )
    return findings


def _all_finite(tensor: StoredTensor, content: memoryview) -> bool:
    """Return whether all numbers of a tensor are finite: no exponent has all bits set."""
    part = content[tensor.start : tensor.end]
    if tensor.start % 8:
        part = memoryview(bytes(part))
    kind, mask = _EXPONENTS[tensor.dtype]
    bits = np.frombuffer(part, kind)
    return not bool(((bits & kind(mask)) == mask).any())
