"""Ways in which a model folder, an encoder folder, a run or a cache may have been changed by somebody.

All inputs are harmless: a payload would at most write a witness file, sizes are asked for and never
made, and what makes other software fail is represented by something small beside it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tampering_edits import (
    DECISION,
    DROPPED,
    EVIL_MODULE,
    NUMBERS_AS_TEXT,
    WRONG,
    Change,
    Edit,
    changed_tensors,
    damaged_files,
    header_changed,
    json_changed,
    json_texts,
    key_set,
    nested,
    text_put,
)
from tampering_exports import exports
from tampering_races import races
from tampering_runs import caches, pooled_encoders, runs

__all__ = ["changes"]

_DECISION_KEYS = (
    "format_version multihot_version labels activation calibration thresholds threshold_kind goal "
    "empty_set_rule fitted_on fit_report data max_length pooling form files"
)


def _decision_keys() -> Iterator[Change]:
    for key in _DECISION_KEYS.split():
        yield Change("decision key dropped", key, "model", key_set(DECISION, key, DROPPED), "same")
        for number, wrong in enumerate(WRONG):
            name = f"{key}={number}"
            yield Change("decision key wrong", name, "model", key_set(DECISION, key, wrong), "any")
    for version in (0, True, -1, 2, 10**15, "1", 1.0, None):
        yield Change(
            "format version", repr(version), "model", key_set(DECISION, "format_version", version)
        )
    for path in ("max_length", "thresholds.label-000", "labels", "fitted_on.goal_value", "data"):
        yield from json_texts("decision", "model", DECISION, path)


def _after_scaling(put: Edit) -> Edit:
    """Give the decision a calibration, then change that."""
    scaled = key_set(DECISION, "calibration", {"method": "temperature", "temperature": 1.0})

    def apply(folder: Path, outside: Path) -> None:
        scaled(folder, outside)
        put(folder, outside)

    return apply


def _decision_values() -> Iterator[Change]:
    for value in (2, -0.5, "0.5", None, [], True):
        change = key_set(DECISION, "thresholds.label-000", value)
        yield Change("threshold wrong", repr(value), "model", change)
    for path in ("thresholds.label-000", "fitted_on.goal_value"):
        for text in NUMBERS_AS_TEXT:
            change = text_put(DECISION, path, text)
            serves = "any" if text in ("1e-400", "-0.0") else "nothing"
            yield Change(f"decision number {text}", path, "model", change, serves)
    for text in NUMBERS_AS_TEXT:
        put = text_put(DECISION, "calibration.temperature", text)
        yield Change(
            f"calibration number {text}", "temperature", "model", _after_scaling(put), "any"
        )
    yield Change(
        "threshold of no label", "more", "model", key_set(DECISION, "thresholds.more", 0.5)
    )
    for name, labels in {
        "control": ["a\x1b[31m", "b", "c", "d", "e"],
        "direction": ["a\u202e", "b", "c", "d", "e"],
        "same": ["a"] * 5,
        "none": [],
        "many": [f"l{number}" for number in range(100_000)],
        "long": ["x" * 1_000_000, "b", "c", "d", "e"],
        "numbers": [1, 2, 3, 4, 5],
    }.items():
        yield Change("label names", name, "model", key_set(DECISION, "labels", labels), "nothing")
    for value in (0, -1, 2, 65, 10**6, 10**12, 3.5):
        yield Change(
            "max_length", repr(value), "model", key_set(DECISION, "max_length", value), "any"
        )


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
            yield Change(f"decision {key}", value, "model", key_set(DECISION, key, value), "any")
    for name, calibration in {
        "method": {"method": "spline", "temperature": 1.0},
        "zero": {"method": "temperature", "temperature": 0},
        "falling": {"method": "platt", "temperature": 1.0, "labels": {"label-000": [-1, 0]}},
        "labels": {"method": "platt", "temperature": 1.0, "labels": {"other": [1, 0]}},
        "deep": {"method": "platt", "temperature": 1.0, "labels": {"label-000": [[[[1]]]]}},
        "list": [1, 2],
    }.items():
        change = key_set(DECISION, "calibration", calibration)
        yield Change("calibration", name, "model", change, "nothing")
    for name, data in {
        "unknown": {"no_such_option": 1},
        "type": {"header": "perhaps"},
        "path": {"label_names": "/etc/hostname"},
        "aliases": {"label_aliases": "../outside/model/aliases.json"},
        "file": {"label_file": "../outside/model/labels"},
    }.items():
        yield Change("data options", name, "model", key_set(DECISION, "data", data), "any")


def _digests() -> Iterator[Change]:
    weights = "model.safetensors"
    for name, files in {
        "empty": {},
        "card": {"README.md": "0" * 64},
        "upwards": {"../outside/model/model.safetensors": "0" * 64},
        "absolute": {"/etc/hostname": "0" * 64},
        "numbers": {weights: 7},
        "short": {weights: "abc"},
    }.items():
        change = key_set(DECISION, "files", files)
        yield Change("list of files", name, "model", change, "nothing")

    def without(key: str) -> Callable[[dict[str, Any]], None]:
        def edit(table: dict[str, Any]) -> None:
            table["files"].pop(key, None)

        return edit

    for key in (weights, "config.json", "tokenizer.json", "tokenizer_config.json"):
        change = json_changed(DECISION, without(key))
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
        change = key_set("config.json", key, value)
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
            yield Change(f"config {key}", name, target, key_set("config.json", key, value), "any")
    for path in ("hidden_size", "id2label", "unheard_of"):
        yield from json_texts("config", target, "config.json", path)

    def adapter(folder: Path, outside: Path) -> None:
        content = {"peft_type": "LORA", "base_model_name_or_path": str(outside)}
        (folder / "adapter_config.json").write_text(json.dumps(content))
        shutil.copy(outside / "model.safetensors", folder / "adapter_model.safetensors")

    yield Change("adapter beside", "lora", target, adapter, "same")


def _described(edit: Callable[[dict[str, Any]], Any]) -> Edit:
    """Change how the head describes itself, in the metadata of its file."""

    def edited(header: dict[str, Any]) -> None:
        description = json.loads(header["__metadata__"]["head"])
        changed = edit(description)
        text = json.dumps(description) if changed is None else changed
        header["__metadata__"]["head"] = text

    return header_changed("head.safetensors", edited)


_DESCRIPTIONS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "labels turned": lambda table: table["labels"].reverse(),
    "labels fewer": lambda table: table["labels"].pop(),
    "labels many": lambda table: table.update(labels=["x"] * 100_000),
    "labels number": lambda table: table.update(labels=7),
    "pooling unknown": lambda table: table.update(pooling="max"),
    "pooling list": lambda table: table.update(pooling=["mean"]),
    "prompt": lambda table: table.update(prompt={"spans": [[0, 10**9]], "length": 10**9}),
    "deep": lambda table: nested(100_000),
    "no object": lambda table: "[]",
    "not a number": lambda table: '{"labels": NaN}',
}


def _with_prompt(**values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda table: table["prompt"].update(values)


_PROMPTS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "none": lambda table: table.update(prompt=None),
    "number": lambda table: table.update(prompt=7),
    "without spans": lambda table: table["prompt"].pop("spans"),
    "no spans": _with_prompt(spans=[]),
    "fewer spans": lambda table: table["prompt"]["spans"].pop(),
    "spans turned": lambda table: table["prompt"]["spans"].reverse(),
    "span negative": lambda table: table["prompt"]["spans"].__setitem__(0, [-3, -1]),
    "span empty": lambda table: table["prompt"]["spans"].__setitem__(0, [2, 2]),
    "span beyond": lambda table: table["prompt"]["spans"].__setitem__(-1, [1, 10**6]),
    "span of texts": lambda table: table["prompt"]["spans"].__setitem__(0, ["a", "b"]),
    "span of one": lambda table: table["prompt"]["spans"].__setitem__(0, [1]),
    "length zero": _with_prompt(length=0),
    "length other": _with_prompt(length=3),
    "length huge": _with_prompt(length=10**9),
    "length text": _with_prompt(length="x"),
    "type": _with_prompt(text_type=7),
}


def _heads(target: str) -> Iterator[Change]:
    """Yield changes of a model whose head is beside its encoder."""
    head, inner = "head.safetensors", "encoder/model.safetensors"
    yield from damaged_files("head", target, head)
    for name in (head, inner) if target == "head" else (head,):
        yield from changed_tensors(target, name)
    for label, edit in _DESCRIPTIONS.items():
        yield Change(f"head {label}", head, target, _described(edit), "nothing")
    for key, value in {"hidden_size": 16, "num_hidden_layers": 2, "model_type": "roberta"}.items():
        change = key_set("encoder/config.json", key, value)
        yield Change(f"config {key}", repr(value), target, change, "any")
    poolings = {"head": "mean", "attention": "attention", "labels": "labels"}
    for pooling in ("cls", *poolings.values()):
        change = key_set(DECISION, "pooling", pooling)
        if pooling != poolings[target]:
            yield Change("decision pooling", pooling, target, change, "nothing")
            described = _described(lambda table, name=pooling: table.update(pooling=name))
            yield Change("head and its pooling", pooling, target, described, "nothing")
    if target == "labels":
        for label, edit in _PROMPTS.items():
            yield Change(f"prompt {label}", head, target, _described(edit), "nothing")
        turned = json_changed(DECISION, lambda table: table["labels"].reverse())
        yield Change("decision labels turned", "labels", target, turned, "nothing")
        for name in ("tokenizer.json", "tokenizer_config.json"):
            yield from damaged_files(name.partition(".")[0], target, name)
        for value in (None, 7, {"type": "NoSuch"}):
            change = key_set("tokenizer.json", "post_processor", value)
            yield Change("tokenizer without prompt", repr(value), target, change, "nothing")


def _index(name: str, places: dict[str, Any], *, pickled: bool) -> Edit:
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
        "upwards": "../outside/model/model.safetensors",
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
        yield Change(f"tokenizer {label}", name, target, json_changed(name, edit), serves)
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
        yield Change(f"tokenizer {label}", name, target, key_set(name, path, value), "any")
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
        yield Change(f"tokenizer {label}", name, target, key_set(name, path, value), "same")
    config = "tokenizer_config.json"
    for key, value in {
        "auto_map": {"AutoTokenizer": [f"{EVIL_MODULE}.Evil", None]},
        "tokenizer_class": "EvilTokenizer",
        "chat_template": "{{ ''.__class__ }}",
        "model_max_length": "many",
        "extra_special_tokens": {"a": 7},
        "vocab_file": "/etc/hostname",
        "tokenizer_file": "../outside/model/tokenizer.json",
        "name_or_path": "someone/something",
        "padding_side": 7,
        "unk_token": 7,
        "added_tokens_decoder": {"x": "y"},
        "do_lower_case": "perhaps",
    }.items():
        yield Change(f"tokenizer_config {key}", "set", target, key_set(config, key, value), "any")
    yield from json_texts("tokenizer_config", target, config, "model_max_length")
    yield from json_texts("tokenizer", target, name, "version")


def changes() -> list[Change]:
    """Return all changes, in one order."""
    found = [*_decision_keys(), *_decision_values(), *_decision_choices(), *_digests()]
    for target in ("model", "encoder"):
        found += [
            *_config(target),
            *changed_tensors(target),
            *_indices(target),
            *_tokenizer(target),
        ]
        for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"):
            found += damaged_files(name.partition(".")[0], target, name)
    found += damaged_files("decision", "model", DECISION)
    for target in ("head", "attention", "labels"):
        found += _heads(target)
    found += [*runs(), *caches(), *pooled_encoders(), *races(), *exports()]
    return found
