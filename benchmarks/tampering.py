"""Ways in which a model folder, an encoder folder or a checkpoint may have been changed by somebody.

All inputs are harmless: a payload would at most write a witness file, sizes are asked for and never
made, and what makes other software fail is represented by something small beside it. Whoever changes
files also writes the digests anew (`reseal`), or the digests alone would answer.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["DECISION", "EVIL_MODULE", "PAYLOAD", "Change", "changes", "reseal"]

Random = np.random.Generator
DECISION = "thresholds.json"
EVIL_MODULE, PAYLOAD = "modeling_evil", "from pathlib import Path\nPath({!r}).touch()\n"
DROPPED = object()

_WRONG: tuple[Any, ...] = (
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


@dataclass(frozen=True)
class Change:
    """One way to change a folder."""

    kind: str
    name: str
    """Which of the kind."""
    target: str
    """`model`, `head` (a model of two parts), `encoder` or `checkpoint`."""
    apply: Callable[[Path, Path], None]
    """Changes the folder; the second is a folder outside, with whole files of the same names."""
    serves: str = "same"
    """What may be answered, if it is not refused: `same` scores, `any`, or `nothing`."""


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


def _bytes(name: str, make: Callable[[bytes], bytes]) -> Callable[[Path, Path], None]:
    def apply(folder: Path, _: Path) -> None:
        path = folder / name
        path.write_bytes(make(path.read_bytes()))
        if name != DECISION:
            reseal(folder)

    return apply


def _json(name: str, edit: Callable[[dict[str, Any]], Any]) -> Callable[[Path, Path], None]:
    def make(content: bytes) -> bytes:
        table = json.loads(content)
        edited = edit(table)
        return json.dumps(table if edited is None else edited).encode()

    return _bytes(name, make)


def _set(name: str, path: str, value: Any) -> Callable[[Path, Path], None]:
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

    return _json(name, edit)


def _text(name: str, path: str, text: str) -> Callable[[Path, Path], None]:
    """Write `text` as it is where the value at a dotted path stands."""
    mark = "@@mark@@"
    put = _set(name, path, mark)

    def apply(folder: Path, outside: Path) -> None:
        put(folder, outside)
        path = folder / name
        path.write_bytes(path.read_bytes().replace(f'"{mark}"'.encode(), text.encode()))
        if name != DECISION:
            reseal(folder)

    return apply


def _nested(depth: int) -> str:
    return "[" * depth + "]" * depth


_JSON_TEXTS = {
    "deep": _nested(100_000),
    "deep-objects": '{"a":' * 50_000 + "1" + "}" * 50_000,
    "digits": "7" * 5_000,
    "nan": "NaN",
    "infinity": "-Infinity",
    "half-character": '"\\ud800"',
    "twice": '1, "twice": 1, "twice": 2',
}


def _json_texts(kind: str, target: str, name: str, path: str) -> Iterator[Change]:
    for label, text in _JSON_TEXTS.items():
        yield Change(f"{kind} {label}", path, target, _text(name, path, text), "same")


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
            "deep": lambda content: _nested(100_000).encode(),
        }
    for label, make in damages.items():
        yield Change(f"{kind} file {label}", name, target, _bytes(name, make), "same")


def _link_out(path: Path, outside: Path) -> None:
    place = outside / path.name
    assert place.is_file()
    path.symlink_to(place)


_NO_FILES: dict[str, Callable[[Path, Path], None]] = {
    "missing": lambda path, outside: None,
    "folder": lambda path, outside: path.mkdir(),
    "pipe": lambda path, outside: os.mkfifo(path),
    "device": lambda path, outside: path.symlink_to("/dev/zero"),
    "dangling link": lambda path, outside: path.symlink_to(path.parent / "nowhere"),
    "link to itself": lambda path, outside: path.symlink_to(path.name),
    "link out": _link_out,
}


def _instead(name: str, make: Callable[[Path, Path], None]) -> Callable[[Path, Path], None]:
    def apply(folder: Path, outside: Path) -> None:
        path = folder / name
        path.unlink()
        make(path, outside)

    return apply


def _files(kind: str, target: str, name: str) -> Iterator[Change]:
    """Yield damaged files, and things that are no files at all."""
    yield from _damaged(kind, target, name)
    for label, make in _NO_FILES.items():
        serves = "nothing" if label == "link out" else "same"
        change = _instead(name, make)
        yield Change(f"instead of a file: {label}", f"{kind} {name}", target, change, serves)


_DECISION_KEYS = (
    "format_version multihot_version labels activation calibration thresholds threshold_kind goal "
    "empty_set_rule fitted_on fit_report data max_length pooling form files"
)


def _decision_keys() -> Iterator[Change]:
    for key in _DECISION_KEYS.split():
        yield Change("decision key dropped", key, "model", _set(DECISION, key, DROPPED), "same")
        for number, wrong in enumerate(_WRONG):
            name = f"{key}={number}"
            yield Change("decision key wrong", name, "model", _set(DECISION, key, wrong), "any")
    for version in (0, True, -1, 2, 10**15, "1", 1.0, None):
        yield Change(
            "format version", repr(version), "model", _set(DECISION, "format_version", version)
        )
    for path in ("max_length", "thresholds.label-000", "labels", "fitted_on.goal_value", "data"):
        yield from _json_texts("decision", "model", DECISION, path)


def _decision_values() -> Iterator[Change]:
    for value in (2, -0.5, "0.5", None, [], True):
        change = _set(DECISION, "thresholds.label-000", value)
        yield Change("threshold wrong", repr(value), "model", change)
    yield Change("threshold of no label", "more", "model", _set(DECISION, "thresholds.more", 0.5))
    for name, labels in {
        "control": ["a\x1b[31m", "b", "c", "d", "e"],
        "direction": ["a\u202e", "b", "c", "d", "e"],
        "same": ["a"] * 5,
        "none": [],
        "many": [f"l{number}" for number in range(100_000)],
        "long": ["x" * 1_000_000, "b", "c", "d", "e"],
        "numbers": [1, 2, 3, 4, 5],
    }.items():
        yield Change("label names", name, "model", _set(DECISION, "labels", labels), "nothing")
    for value in (0, -1, 2, 65, 10**6, 10**12, 3.5):
        yield Change("max_length", repr(value), "model", _set(DECISION, "max_length", value), "any")


def _decision_choices() -> Iterator[Change]:
    for key, values in {
        "pooling": ("mean", "attention", "labels", "max", "auto"),
        "form": ("encoder_and_head", "onnx", "sequence_classification "),
        "threshold_kind": ("top_k", "fixed", "unknown"),
        "goal": ("top_k=1000", "top_k=0", "precision>=2", "unknown", "cost=-1:1"),
        "empty_set_rule": ("never", "abstain "),
        "activation": ("softmax", "relu"),
    }.items():
        for value in values:
            yield Change(f"decision {key}", value, "model", _set(DECISION, key, value), "any")
    for name, calibration in {
        "method": {"method": "spline", "temperature": 1.0},
        "zero": {"method": "temperature", "temperature": 0},
        "falling": {"method": "platt", "temperature": 1.0, "labels": {"label-000": [-1, 0]}},
        "labels": {"method": "platt", "temperature": 1.0, "labels": {"other": [1, 0]}},
        "deep": {"method": "platt", "temperature": 1.0, "labels": {"label-000": [[[[1]]]]}},
        "list": [1, 2],
    }.items():
        change = _set(DECISION, "calibration", calibration)
        yield Change("calibration", name, "model", change, "nothing")
    for name, data in {
        "unknown": {"no_such_option": 1},
        "type": {"header": "perhaps"},
        "path": {"label_names": "/etc/hostname"},
        "aliases": {"label_aliases": "../outside/aliases.json"},
        "file": {"label_file": "../outside/labels"},
    }.items():
        yield Change("data options", name, "model", _set(DECISION, "data", data), "any")


def _digests() -> Iterator[Change]:
    weights = "model.safetensors"
    for name, files in {
        "empty": {},
        "card": {"README.md": "0" * 64},
        "upwards": {"../outside/model.safetensors": "0" * 64},
        "absolute": {"/etc/hostname": "0" * 64},
        "numbers": {weights: 7},
        "short": {weights: "abc"},
    }.items():
        change = _set(DECISION, "files", files)
        yield Change("list of files", name, "model", change, "nothing")

    def without(key: str) -> Callable[[dict[str, Any]], None]:
        def edit(table: dict[str, Any]) -> None:
            table["files"].pop(key, None)

        return edit

    for key in (weights, "config.json", "tokenizer.json", "tokenizer_config.json"):
        change = _json(DECISION, without(key))
        yield Change("list of files lacks one", key, "model", change, "nothing")

    def flipped(folder: Path, _: Path) -> None:
        path = folder / weights
        content = bytearray(path.read_bytes())
        content[-5] ^= 64
        path.write_bytes(content)

    yield Change("not resealed", "a bit of the weights", "model", flipped, "nothing")


def _config(target: str) -> Iterator[Change]:
    evil = {"AutoModel": f"{EVIL_MODULE}.Evil", "AutoConfig": f"{EVIL_MODULE}.Evil"}
    for key, value in {
        "auto_map": evil,
        "attn_implementation": "someone/kernel",
        "_attn_implementation": "someone/kernel",
        "_attn_implementation_internal": "someone/kernel",
        "experts_implementation": "someone/kernel",
        "use_kernels": True,
        "kernel_config": {"kernel_mapping": {"Linear": "someone/kernel"}},
        "quantization_config": {"quant_method": "bitsandbytes", "load_in_8bit": True},
        "text_config": {"model_type": "bert", "auto_map": evil},
        "custom_pipelines": {"text-classification": {"impl": f"{EVIL_MODULE}.Evil"}},
        "is_decoder": True,
        "is_encoder_decoder": True,
    }.items():
        change = _set("config.json", key, value)
        yield Change(f"config {key}", "set", target, change, "nothing")
    for key, values in {
        "model_type": ("", "gpt2", "no-such", ["bert"], 7, None, DROPPED),
        "num_hidden_layers": (10**6, 10**15, -1, 2, 0, 1.0, "1", True),
        "hidden_size": (10**9, 33, 0, -32, "32", 16),
        "vocab_size": (10**9, 7, 0, "x", 10**6),
        "intermediate_size": (10**9, 65, 0),
        "num_attention_heads": (0, 7, 10**9, -2),
        "max_position_embeddings": (10**9, 8, 0, -1),
        "type_vocab_size": (10**9, 0, 3),
        "num_labels": (10**9, -1, "5"),
        "hidden_act": ("no-such", ["gelu"], {"name": "gelu"}, 7, "os.system"),
        "hidden_dropout_prob": (2, -1, "0.1", None),
        "layer_norm_eps": ("x", -1, 10**300),
        "pad_token_id": (10**9, -7, "x", 1.5),
        "id2label": ({"0": 1}, ["a"], {"x": "a"}, {}, {str(n): "l" for n in range(200_000)}),
        "architectures": ("BertModel", ["../../outside"], [7], ["x"] * 10_000),
        "dtype": ("no-such", "int8", 7),
        "chunk_size_feed_forward": (10**9, -1, 3),
        "return_dict": (False, "x"),
        "output_hidden_states": (True,),
        "problem_type": ("no-such", 7),
        "initializer_range": ("x", -1, 10**300),
    }.items():
        for value in values:
            name = "dropped" if value is DROPPED else repr(value)[:30]
            yield Change(f"config {key}", name, target, _set("config.json", key, value), "any")
    for path in ("hidden_size", "id2label", "unheard_of"):
        yield from _json_texts("config", target, "config.json", path)

    def adapter(folder: Path, outside: Path) -> None:
        content = {"peft_type": "LORA", "base_model_name_or_path": str(outside)}
        (folder / "adapter_config.json").write_text(json.dumps(content))
        shutil.copy(outside / "model.safetensors", folder / "adapter_model.safetensors")

    yield Change("adapter beside", "lora", target, adapter, "same")


def _headed(name: str, edit: Callable[[dict[str, Any]], Any]) -> Callable[[Path, Path], None]:
    """Change the header of a safetensors file, or put bytes in its place."""

    def make(content: bytes) -> bytes:
        length = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + length])
        edited = edit(header)
        text = edited if isinstance(edited, bytes) else json.dumps(header).encode()
        return len(text).to_bytes(8, "little") + text + content[8 + length :]

    return _bytes(name, make)


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
    "header deep": lambda header: _nested(100_000).encode(),
    "header empty": lambda header: b"{}",
}


def _tensors(target: str, name: str = "model.safetensors") -> Iterator[Change]:
    for label, edit in _HEADERS.items():
        yield Change(f"tensors {label}", name, target, _headed(name, edit), "nothing")
    for label, length in {"huge": 2**63, "long": 10**9, "zero": 0}.items():
        make = _bytes(
            name, lambda content, length=length: length.to_bytes(8, "little") + content[8:]
        )
        yield Change(f"tensors header length {label}", name, target, make, "nothing")
    not_a_number = np.float32("nan").tobytes()
    change = _bytes(name, lambda content: content[:-4] + not_a_number)
    yield Change("tensors not a number", name, target, change, "any")


def _described(edit: Callable[[dict[str, Any]], Any]) -> Callable[[Path, Path], None]:
    """Change how the head describes itself, in the metadata of its file."""

    def edited(header: dict[str, Any]) -> None:
        description = json.loads(header["__metadata__"]["head"])
        changed = edit(description)
        text = json.dumps(description) if changed is None else changed
        header["__metadata__"]["head"] = text

    return _headed("head.safetensors", edited)


_DESCRIPTIONS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "labels turned": lambda table: table["labels"].reverse(),
    "labels fewer": lambda table: table["labels"].pop(),
    "labels many": lambda table: table.update(labels=["x"] * 100_000),
    "labels number": lambda table: table.update(labels=7),
    "pooling other": lambda table: table.update(pooling="attention"),
    "pooling unknown": lambda table: table.update(pooling="max"),
    "pooling list": lambda table: table.update(pooling=["mean"]),
    "prompt": lambda table: table.update(prompt={"spans": [[0, 10**9]], "length": 10**9}),
    "deep": lambda table: _nested(100_000),
    "no object": lambda table: "[]",
    "not a number": lambda table: '{"labels": NaN}',
}


def _heads() -> Iterator[Change]:
    """Yield changes of a model whose head is beside its encoder."""
    head, inner = "head.safetensors", "encoder/model.safetensors"
    yield from _files("head", "head", head)
    for name in (head, inner):
        yield from _tensors("head", name)
    for label, edit in _DESCRIPTIONS.items():
        yield Change(f"head {label}", head, "head", _described(edit), "nothing")
    for key, value in {"hidden_size": 16, "num_hidden_layers": 2, "model_type": "roberta"}.items():
        change = _set("encoder/config.json", key, value)
        yield Change(f"config {key}", repr(value), "head", change, "any")
    for pooling in ("cls", "attention", "labels"):
        change = _set(DECISION, "pooling", pooling)
        yield Change("decision pooling", pooling, "head", change, "nothing")


def _index(name: str, places: dict[str, Any], *, pickled: bool) -> Callable[[Path, Path], None]:
    """Put an index of files in the place of the file of weights."""

    def apply(folder: Path, _: Path) -> None:
        (folder / name).unlink()
        if pickled:
            (folder / "pytorch_model.bin").touch()
        content = {"metadata": {}, "weight_map": places}
        (folder / f"{name}.index.json").write_text(json.dumps(content))

    return apply


def _indices(target: str, name: str = "model.safetensors") -> Iterator[Change]:
    key = "embeddings.word_embeddings.weight"
    for label, place in {
        "pickle": "pytorch_model.bin",
        "upwards": "../outside/model.safetensors",
        "absolute": "/etc/hostname",
        "number": 7,
        "missing": "model-00001-of-00002.safetensors",
    }.items():
        change = _index(name, {key: place}, pickled=label == "pickle")
        yield Change(f"index to {label}", name, target, change, "nothing")
    yield Change("index empty", name, target, _index(name, {}, pickled=False), "nothing")


def _tokenizer(target: str) -> Iterator[Change]:
    name = "tokenizer.json"

    def emptied(table: dict[str, Any]) -> None:
        table["model"]["vocab"] = {}

    def far(table: dict[str, Any]) -> None:
        vocabulary = table["model"]["vocab"]
        vocabulary[list(vocabulary)[-1]] = 70_000

    def without(token: str) -> Callable[[dict[str, Any]], None]:
        def edit(table: dict[str, Any]) -> None:
            table["model"]["vocab"].pop(token, None)
            table["added_tokens"] = [t for t in table["added_tokens"] if t["content"] != token]

        return edit

    def template(count: int) -> dict[str, Any]:
        piece = {"SpecialToken": {"id": "[CLS]", "type_id": 0}}
        text = {"Sequence": {"id": "A", "type_id": 0}}
        return {
            "type": "TemplateProcessing",
            "single": [piece] * count + [text],
            "pair": [piece, text, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"[CLS]": {"id": "[CLS]", "ids": [2], "tokens": ["[CLS]"]}},
        }

    absent = template(1)
    absent["special_tokens"] = {}
    beyond = template(1)
    beyond["special_tokens"]["[CLS]"]["ids"] = [10**6]
    growing = {"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 1000}
    edits: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
        "vocabulary empty": (emptied, "nothing"),
        "vocabulary of far numbers": (far, "nothing"),
        "no unknown token": (without("[UNK]"), "nothing"),
        "no separator": (without("[SEP]"), "nothing"),
    }
    for label, (edit, serves) in edits.items():
        yield Change(f"tokenizer {label}", name, target, _json(name, edit), serves)
    for label, path, value in (
        ("template absent", "post_processor", absent),
        ("template beyond", "post_processor", beyond),
        ("template many", "post_processor", template(5000)),
        ("normaliser growing", "normalizer", {"type": "Sequence", "normalizers": [growing] * 3}),
        ("normaliser empty", "normalizer", {"type": "Sequence", "normalizers": []}),
        ("normaliser unknown", "normalizer", {"type": "NoSuch"}),
        ("normaliser text", "normalizer", "x"),
        (
            "pattern invalid",
            "normalizer",
            {"type": "Replace", "pattern": {"Regex": "("}, "content": ""},
        ),
        ("splitter unknown", "pre_tokenizer", {"type": "NoSuch"}),
        ("splitter none", "pre_tokenizer", None),
        ("model unknown", "model.type", "NoSuch"),
        ("model number", "model", 7),
        ("vocabulary list", "model.vocab", [1, 2]),
        ("vocabulary negative", "model.vocab", {"[UNK]": -1}),
        ("vocabulary twice", "model.vocab", {"[UNK]": 0, "[CLS]": 0, "[SEP]": 0}),
        ("unknown token", "model.unk_token", "[NOT THERE]"),
        ("version", "version", "9.0"),
        (
            "added far",
            "added_tokens",
            [
                {
                    "id": 10**6,
                    "content": "[FAR]",
                    "single_word": False,
                    "lstrip": False,
                    "rstrip": False,
                    "normalized": False,
                    "special": True,
                }
            ],
        ),
        ("added text", "added_tokens", "x"),
    ):
        yield Change(f"tokenizer {label}", name, target, _set(name, path, value), "any")
    for label, path, value in (
        (
            "truncation",
            "truncation",
            {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0},
        ),
        (
            "padding",
            "padding",
            {
                "strategy": {"Fixed": 60},
                "direction": "Right",
                "pad_to_multiple_of": None,
                "pad_id": 0,
                "pad_type_id": 0,
                "pad_token": "[PAD]",
            },
        ),
    ):
        yield Change(f"tokenizer {label}", name, target, _set(name, path, value), "same")
    config = "tokenizer_config.json"
    for key, value in {
        "auto_map": {"AutoTokenizer": [f"{EVIL_MODULE}.Evil", None]},
        "tokenizer_class": "EvilTokenizer",
        "chat_template": "{{ ''.__class__ }}",
        "model_max_length": "many",
        "extra_special_tokens": {"a": 7},
        "vocab_file": "/etc/hostname",
        "tokenizer_file": "../outside/tokenizer.json",
        "name_or_path": "someone/something",
        "padding_side": 7,
        "unk_token": 7,
        "added_tokens_decoder": {"x": "y"},
        "do_lower_case": "perhaps",
    }.items():
        yield Change(f"tokenizer_config {key}", "set", target, _set(config, key, value), "any")
    yield from _json_texts("tokenizer_config", target, config, "model_max_length")
    yield from _json_texts("tokenizer", target, name, "version")


def _in_checkpoint(apply: Callable[[Path, Path], None]) -> Callable[[Path, Path], None]:
    """Change the newest checkpoint of a run, and write the digests of its manifest anew."""

    def change(folder: Path, outside: Path) -> None:
        newest = max((folder / "run" / "checkpoints").glob("step-*"))
        apply(newest, max((outside / "run" / "checkpoints").glob("step-*")))
        path = newest / "manifest.json"
        if path.is_symlink() or not path.is_file():
            return
        try:
            content = json.loads(path.read_bytes())
        except (ValueError, RecursionError):
            return
        _reseal_manifest(newest, content)
        path.write_text(json.dumps(content), "utf-8")

    return change


def _all_keys(name: str, value: Any) -> Callable[[Path, Path], None]:
    return _json(name, lambda table: dict.fromkeys(table, value))


def _checkpoints() -> Iterator[Change]:
    """Yield changes of all files of the newest checkpoint."""
    tables, weights = (
        ("state.json", "manifest.json"),
        ("network.safetensors", "optimizer.safetensors"),
    )
    found = [each for name in (*tables, *weights) for each in _files("checkpoint", "", name)]
    for name in weights:
        found += [replace(each, kind=f"checkpoint {each.kind}") for each in _tensors("", name)]
    for name in tables:
        for number, wrong in enumerate(_WRONG):
            change = _all_keys(name, wrong)
            found.append(Change(f"checkpoint {name} wrong", str(number), "", change))
        for step in (-1, 10**15, 2.5, "x"):
            change = _set(name, "step", step)
            found.append(Change(f"checkpoint {name} step", repr(step), "", change))
    for each in found:
        apply = _in_checkpoint(each.apply)
        # The checkpoint before may be taken, or none: the run ends with the same weights.
        serves = "any" if "wrong" in each.kind or "step" in each.kind else "same"
        yield replace(each, target="checkpoint", apply=apply, serves=serves)


def _reseal_manifest(folder: Path, content: Any) -> None:
    """Write digests anew wherever a value is keyed by the name of a file."""
    if isinstance(content, dict):
        for key, value in content.items():
            if isinstance(value, str) and len(value) == 64 and (folder / key).is_file():
                content[key] = hashlib.sha256((folder / key).read_bytes()).hexdigest()
            else:
                _reseal_manifest(folder, value)


def changes() -> list[Change]:
    """Return all changes, in one order."""
    found = [*_decision_keys(), *_decision_values(), *_decision_choices(), *_digests()]
    for target in ("model", "encoder"):
        found += [*_config(target), *_tensors(target), *_indices(target), *_tokenizer(target)]
        for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"):
            found += _files(name.partition(".")[0], target, name)
    found += _files("decision", "model", DECISION)
    found += [*_heads(), *_checkpoints()]
    return found
