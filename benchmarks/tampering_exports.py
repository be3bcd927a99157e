"""Ways in which an exported model may have been changed by somebody: ONNX and OpenVINO folders.

Each change of the network comes twice: with the digests written anew, so that it reaches what checks the
network itself, and with the digests as they were. All inputs are harmless: sizes are asked for and never
made, and an external file is named that only stands outside the folder.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tampering_edits import (
    DECISION,
    DROPPED,
    NUMBERS_AS_TEXT,
    WRONG,
    Change,
    bytes_changed,
    damaged_files,
    json_texts,
    key_set,
    nested,
    text_put,
)

__all__ = ["exports"]

_ONNX, _XML, _BIN = "model.onnx", "openvino_model.xml", "openvino_model.bin"
_TARGETS = {"export": (_ONNX,), "export-openvino": (_XML, _BIN)}

Make = Callable[[bytes], bytes]


def _both(
    kind: str, name: str, target: str, file: str, *, make: Make, serves: str = "any"
) -> Iterator[Change]:
    """Yield a change with digests that fit, and with those of the untouched file."""

    def apply(folder: Path, _: Path) -> None:
        path = folder / file
        path.write_bytes(make(path.read_bytes()))

    yield Change(kind, name, target, bytes_changed(file, make), serves)
    yield Change(f"digest left: {kind}", name, target, apply, "nothing")


def _graph(
    kind: str, name: str, edit: Callable[[Any], Any], serves: str = "any"
) -> Iterator[Change]:
    """Yield changes of the message of ONNX; `edit` may return bytes instead."""

    def make(content: bytes) -> bytes:
        import onnx

        model = onnx.ModelProto.FromString(content)
        edited = edit(model)
        return edited if isinstance(edited, bytes) else bytes(model.SerializeToString())

    yield from _both(kind, name, "export", _ONNX, make=make, serves=serves)


def _node(model: Any, op: str = "MatMul") -> Any:
    return next(each for each in model.graph.node if each.op_type == op)


def _large(model: Any) -> Any:
    return max(model.graph.initializer, key=lambda each: len(each.raw_data))


def _set(find: Callable[[Any], Any], key: str, value: Any) -> Callable[[Any], None]:
    """Return an edit that sets a field of what `find` finds."""

    def edit(model: Any) -> None:
        setattr(find(model), key, value)

    return edit


def _external(**entries: str) -> Callable[[Any], None]:
    def edit(model: Any) -> None:
        tensor = _large(model)
        length = len(tensor.raw_data)
        tensor.ClearField("raw_data")
        tensor.data_location = 1
        for key, value in {"offset": "0", "length": str(length), **entries}.items():
            tensor.external_data.add(key=key, value=value)

    return edit


def _external_data() -> Iterator[Change]:
    for name, location in {
        "outside": "../outside/export/model.onnx",
        "itself": _ONNX,
        "decision": DECISION,
        "absolute": "/etc/hostname",
        "device": "/dev/zero",
        "empty": "",
        "address": "https://example.invalid/weights",
        "nowhere": "nowhere.bin",
        "memory": "*/_ORT_MEM_ADDR_/*",
    }.items():
        yield from _graph("external data", name, _external(location=location), "nothing")
    for name, entries in {
        "offset negative": {"offset": "-1"},
        "offset beyond": {"offset": str(2**62)},
        "offset text": {"offset": "x"},
        "length beyond": {"length": str(2**62)},
        "length zero": {"length": "0"},
    }.items():
        yield from _graph(
            "external data place", name, _external(location=_ONNX, **entries), "nothing"
        )


def _operations() -> Iterator[Change]:
    for op in (
        *("Loop", "If", "Scan", "SequenceMap", "RandomNormal", "StringNormalizer", "NonZero"),
        *("ImageDecoder", "Optional", "Conv", "LSTM", "Evil", "", "x" * 100_000, "a\x1b[31m"),
    ):
        change = _set(_node, "op_type", op)
        yield from _graph("operation", op[:20], change, "nothing")
    for domain in ("com.microsoft", "ai.onnx.ml", "evil", "pyop", "x" * 1000):
        change = _set(_node, "domain", domain)
        yield from _graph("operation domain", domain[:20], change, "nothing")

    def subgraph(model: Any) -> None:
        attribute = _node(model).attribute.add(name="body", type=5)
        attribute.g.name = "inside"

    def function(model: Any) -> None:
        made = model.functions.add(name="MatMul", domain="")
        made.node.add(op_type="MatMul", input=["a", "b"], output=["c"])

    more: dict[str, Callable[[Any], Any]] = {
        "subgraph": subgraph,
        "function": function,
        "training": lambda model: model.training_info.add().algorithm.node.add(op_type="Add"),
        "sparse": lambda model: model.graph.sparse_initializer.add(dims=[2**40]),
        "annotation": lambda model: model.graph.quantization_annotation.add(tensor_name="x"),
    }
    for name, edit in more.items():
        yield from _graph(name, "added", _silent(edit), "nothing")


def _silent(edit: Callable[[Any], Any]) -> Callable[[Any], None]:
    def apply(model: Any) -> None:
        edit(model)

    return apply


def _wiring() -> Iterator[Change]:
    def reversed_nodes(model: Any) -> None:
        nodes = [*model.graph.node][::-1]
        del model.graph.node[:]
        model.graph.node.extend(nodes)

    edits: dict[str, Callable[[Any], Any]] = {
        "dropped": lambda model: model.graph.node.remove(_node(model)),
        "twice": lambda model: model.graph.node.add().CopyFrom(_node(model)),
        "reversed": reversed_nodes,
        "itself": lambda model: _node(model).input.__setitem__(0, _node(model).output[0]),
        "last": lambda model: _node(model).input.__setitem__(0, "logits"),
        "unknown": lambda model: _node(model).input.__setitem__(0, "nowhere"),
        "empty": lambda model: _node(model).input.__setitem__(0, ""),
        "no inputs": lambda model: _node(model).ClearField("input"),
        "no outputs": lambda model: _node(model).ClearField("output"),
        "many inputs": lambda model: _node(model).input.extend(["input_ids"] * 10_000),
        "many outputs": lambda model: _node(model).output.extend(f"o{n}" for n in range(10_000)),
        "no nodes": lambda model: model.graph.ClearField("node"),
        "no tensors": lambda model: model.graph.ClearField("initializer"),
        "many nodes": lambda model: [
            model.graph.node.add(op_type="Abs", input=["logits"], output=[f"n{n}"])
            for n in range(25_000)
        ],
    }
    for name, edit in edits.items():
        serves = "any" if name in ("many inputs", "many outputs") else "nothing"
        yield from _graph("wiring", name, _silent(edit), serves)


def _ends() -> Iterator[Change]:
    for place in ("input", "output"):

        def first(model: Any, place: str = place) -> Any:
            return getattr(model.graph, place)[0]

        edits: dict[str, Callable[[Any], Any]] = {
            "renamed": lambda model, first=first: setattr(first(model), "name", "other"),
            "type": lambda model, first=first: setattr(
                first(model).type.tensor_type, "elem_type", 8
            ),
            "fixed": lambda model, first=first: setattr(
                first(model).type.tensor_type.shape.dim[0], "dim_value", 7
            ),
            "huge": lambda model, first=first: setattr(
                first(model).type.tensor_type.shape.dim[1], "dim_value", 2**62
            ),
            "no shape": lambda model, first=first: first(model).type.tensor_type.ClearField(
                "shape"
            ),
            "sequence": lambda model, first=first: setattr(
                first(model).type.sequence_type.elem_type.tensor_type, "elem_type", 1
            ),
            "more": lambda model, place=place: (
                getattr(model.graph, place)
                .add(name="more")
                .CopyFrom(getattr(model.graph, place)[0])
            ),
            "none": lambda model, place=place: model.graph.ClearField(place),
        }
        for name, edit in edits.items():
            serves = "any" if name == "more" else "nothing"
            yield from _graph(f"graph {place}", name, _silent(edit), serves)


def _tensors() -> Iterator[Change]:
    def numbers(value: float) -> Callable[[Any], None]:
        def edit(model: Any) -> None:
            tensor = _large(model)
            filled = np.full(len(tensor.raw_data) // 4, value, np.float32)
            tensor.raw_data = filled.tobytes()

        return edit

    def dims(*shape: int) -> Callable[[Any], None]:
        def edit(model: Any) -> None:
            tensor = _large(model)
            del tensor.dims[:]
            tensor.dims.extend(shape)

        return edit

    refused: dict[str, Callable[[Any], Any]] = {
        "negative": dims(-1, -1),
        "huge": dims(2**31, 2**31),
        "overflow": dims(2**62, 4),
        "empty": dims(),
        "zero": dims(0, 7),
        "nine": dims(*[1] * 9),
        "type half": lambda model: setattr(_large(model), "data_type", 10),
        "type text": lambda model: setattr(_large(model), "data_type", 8),
        "type unknown": lambda model: setattr(_large(model), "data_type", 999),
        "data cut": lambda model: setattr(_large(model), "raw_data", b"1234"),
        "data as numbers": lambda model: _large(model).float_data.extend([1.0] * 9),
        "data as texts": lambda model: _large(model).string_data.append(b"x"),
        "renamed": lambda model: setattr(_large(model), "name", "other"),
        "no name": lambda model: setattr(_large(model), "name", ""),
        "long name": lambda model: setattr(_large(model), "name", "x" * 100_000),
        "twice": lambda model: model.graph.initializer.add().CopyFrom(_large(model)),
        "segment": lambda model: setattr(_large(model).segment, "end", 2**40),
    }
    for name, edit in refused.items():
        yield from _graph("tensor", name, _silent(edit), "nothing")
    for value in ("nan", "inf", "-inf", "3e38"):
        yield from _graph("tensor values", value, numbers(float(value)))


def _versions() -> Iterator[Change]:
    for version in (0, 1, 17, 24, 999, -1, 2**40):
        edit = _set(lambda model: model.opset_import[0], "version", version)
        yield from _graph("operations' version", str(version), edit)
    for version in (0, 1, 3, 99, -1, 2**40):
        edit = _set(lambda model: model, "ir_version", version)
        yield from _graph("format's version", str(version), edit)
    edits: dict[str, Callable[[Any], Any]] = {
        "none": lambda model: model.ClearField("opset_import"),
        "twice": lambda model: model.opset_import.add(domain="", version=1),
        "other": lambda model: model.opset_import.add(domain="evil", version=1),
    }
    for name, one in edits.items():
        yield from _graph("operations' versions", name, _silent(one))


def _metadata() -> Iterator[Change]:
    import json

    def text(make: Callable[[str], str]) -> Callable[[Any], None]:
        def edit(model: Any) -> None:
            entry = model.metadata_props[0]
            entry.value = make(entry.value)

        return edit

    def value(key: str, new: Any) -> Callable[[str], str]:
        def make(old: str) -> str:
            table = json.loads(old)
            table[key] = new
            return json.dumps(table)

        return make

    keys = "labels thresholds threshold_kind goal empty_set_rule activation calibration max_length"
    for key in (*keys.split(), "pooling", "export"):
        for new in (7, "x", [], {}):
            yield from _graph("metadata value", f"{key}={new!r}", text(value(key, new)), "nothing")
    for name, make in {
        "empty": lambda old: "",
        "list": lambda old: f"[{old}]",
        "deep": lambda old: nested(100_000),
        "cut": lambda old: old[: len(old) // 2],
        "number": lambda old: "7" * 5000,
        "large": lambda old: " " * (17 << 20) + old,
    }.items():
        yield from _graph("metadata text", name, text(make), "nothing")
    edits: dict[str, Callable[[Any], Any]] = {
        "none": lambda model: model.ClearField("metadata_props"),
        "twice": lambda model: model.metadata_props.add(key="multihot", value="{}"),
        "other key": lambda model: setattr(model.metadata_props[0], "key", "other"),
    }
    for name, edit in edits.items():
        yield from _graph("metadata", name, _silent(edit), "nothing")


def _sizes() -> Iterator[Change]:
    """Yield operations that ask for more than a machine has, between the network and its logits."""
    import onnx.helper as make_onnx

    def between(op: str, *values: Any, **attributes: Any) -> Callable[[Any], None]:
        def edit(model: Any) -> None:
            last = next(each for each in model.graph.node if "logits" in each.output)
            names = []
            for number, each in enumerate(values):
                numbers = np.asarray(each)
                kind = 7 if numbers.dtype == np.int64 else 1
                names.append(f"more{number}")
                model.graph.initializer.append(
                    make_onnx.make_tensor(
                        names[-1],
                        kind,
                        numbers.shape,
                        numbers.astype(np.int64 if kind == 7 else np.float32).tobytes(),
                        raw=True,
                    )
                )
            inputs = names if op in ("ConstantOfShape", "Range") else ["input_ids", *names]
            made = make_onnx.make_node(op, inputs, ["much"], **attributes)
            added = make_onnx.make_node("Shape", ["much"], ["size of much"])
            at = [*model.graph.node].index(last)
            model.graph.node.insert(at, added)
            model.graph.node.insert(at, made)

        return edit

    much = 2**40
    for name, edit in {
        "constant of shape": between("ConstantOfShape", [much]),
        "expanded": between("Expand", [much, 1, 1]),
        "tiled": between("Tile", [2**20, 2**20]),
        "range": between("Range", np.int64(0), np.int64(much), np.int64(1)),
        "range still": between("Range", np.int64(0), np.int64(1), np.int64(0)),
        "padded": between("Pad", [0, 0, much, much]),
        "reshaped": between("Reshape", [much, -1]),
        "hot": between("OneHot", np.int64(much), [0, 1]),
        "gathered": between("Gather", [[2**40]], axis=0),
        "split": between("Split", [much]),
    }.items():
        yield from _graph("sizes", name, edit)


def _attributes() -> Iterator[Change]:
    def added(op: str, **values: Any) -> Callable[[Any], None]:
        def edit(model: Any) -> None:
            import onnx.helper as make_onnx

            found = next((each for each in model.graph.node if each.op_type == op), _node(model))
            for name, value in values.items():
                kept = [each for each in found.attribute if each.name != name]
                del found.attribute[:]
                found.attribute.extend([*kept, make_onnx.make_attribute(name, value)])

        return edit

    for name, edit in {
        "axis beyond": added("Gather", axis=99),
        "axis far": added("Gather", axis=-(2**62)),
        "axis text": added("Gather", axis="x"),
        "perm": added("Transpose", perm=[9, 9, 9, 9]),
        "perm long": added("Transpose", perm=[*range(60_000)]),
        "to": added("Cast", to=16),
        "to text": added("Cast", to=8),
        "epsilon": added("LayerNormalization", epsilon=float("nan")),
        "softmax": added("Softmax", axis=77),
        "unknown": added("MatMul", evil="evil"),
        "numbers": added("MatMul", evil=[0.5] * 50_000),
    }.items():
        yield from _graph("attribute", name, edit)
    for kind in (0, 5, 10, 99):

        def typed(model: Any, kind: int = kind) -> None:
            # Of the field `type` (20), which refuses numbers that it has no name for.
            _node(model).attribute.add(name="a").MergeFromString(bytes([0xA0, 1, kind]))

        yield from _graph("attribute type", str(kind), typed, "nothing")


def _raw() -> Iterator[Change]:
    """Yield changes of bytes, whatever they mean."""
    for target, files in _TARGETS.items():
        for file in files:
            for part in range(1, 20):
                at = part / 20

                def turned(content: bytes, at: float = at) -> bytes:
                    place = int(len(content) * at)
                    return content[:place] + bytes([content[place] ^ 0x55]) + content[place + 1 :]

                yield from _both(f"byte of {file}", f"{at:.2f}", target, file, make=turned)
            for name, make in {
                "grown": lambda content: content + bytes(64),
                "twice": lambda content: content + content,
                "cut by one": lambda content: content[:-1],
                "cut by many": lambda content: content[: len(content) // 3],
                "zeros": lambda content: bytes(len(content)),
                "ones": lambda content: b"\xff" * len(content),
            }.items():
                yield from _both(f"bytes of {file}", name, target, file, make=make)
    for name, more in {
        "unknown field": b"\xfa\x7f\x01x",
        "length without end": b"\x3a" + b"\xff" * 10,
        "long integer": b"\x08" + b"\x80" * 40 + b"\x01",
        "group": b"\x0b\x0c",
        "second graph": b"\x3a\x00",
        "field nought": b"\x00\x00",
    }.items():
        yield from _both(
            "wire", name, "export", _ONNX, make=lambda content, more=more: content + more
        )


def _xml() -> Iterator[Change]:
    def put(pattern: str, text: str, count: int = 1) -> Make:
        return lambda content: re.sub(
            pattern, lambda _: text, content.decode(), count=count
        ).encode()

    groups: dict[str, tuple[str, str, tuple[str, ...]]] = {
        "xml operation": (
            r'type="MatMul"',
            'type="{}"',
            ("Loop", "TensorIterator", "If", "ReadValue", "Assign", "Convolution", "Evil", ""),
        ),
        "xml version": (
            r'type="MatMul" version="opset\d+"',
            'type="MatMul" version="{}"',
            ("opset999", "extension", "experimental", "", "opset0", "opset-1"),
        ),
        "xml offset": (
            r' offset="\d+"',
            ' offset="{}"',
            ("-1", "x", str(2**62), str(2**70), "", "1"),
        ),
        "xml size": (r' size="\d+"', ' size="{}"', ("-1", "x", str(2**62), str(2**70), "", "0")),
        "xml element type": (
            r'element_type="f32"',
            'element_type="{}"',
            ("f16", "string", "u1", "x", "", "i64", "nf4"),
        ),
        "xml shape": (
            r' shape="\d+(, ?\d+)+"',
            ' shape="{}"',
            ("-1", "x", f"{2**40},{2**40}", "0", ",,,", "1" + ",1" * 5000),
        ),
        "xml port size": (r"<dim>\d+</dim>", "<dim>{}</dim>", ("-7", "x", str(2**62), "")),
        "xml edge": (
            r'<edge from-layer="\d+"',
            '<edge from-layer="{}"',
            ("-1", "x", "99999999", str(2**70), "1"),
        ),
        "xml edge port": (r'to-port="\d+"', 'to-port="{}"', ("-1", "x", "99999", "")),
        "xml identity": (r'<layer id="\d+"', '<layer id="{}"', ("-1", "x", "1", str(2**70))),
        "xml net version": (
            r'(<net [^>]*)version="\d+"',
            '<net version="{}"',
            ("1", "99", "x", ""),
        ),
    }
    for kind, (pattern, text, values) in groups.items():
        for value in values:
            yield from _both(
                kind, value[:30], "export-openvino", _XML, make=put(pattern, text.format(value))
            )
    begin = r"<net "
    whole: dict[str, Make] = {
        "declaration": put(begin, '<!DOCTYPE net [<!ENTITY a "b">]><net '),
        "entity outside": put(begin, '<!DOCTYPE net [<!ENTITY a SYSTEM "/etc/hostname">]><net '),
        "comment": put(begin, "<!-- comment --><net "),
        "instruction": put(begin, '<?evil run="x"?><net '),
        "include": put(
            r"<layers>",
            '<layers><xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="/etc/hostname"/>',
        ),
        "utf-16": lambda content: content.decode().encode("utf-16"),
        "deep": put(r"<layers>", "<layers>" + "<a>" * 5000 + "</a>" * 5000),
        "no metadata": put(r"<multihot ", "<other "),
        "no edges": put(r"<edge [^>]*/>", "", 0),
        "no results": put(r'type="Result"', 'type="Abs"', 0),
        "no parameters": put(r'type="Parameter"', 'type="Relu"', 0),
        "inputs renamed": put(r'"input_ids"', '"other"', 0),
        "logits renamed": put(r'"logits"', '"other"', 0),
        "labels": put(r"label-000", "label-999", 0),
        "many attributes": put(begin, "<net " + " ".join(f'a{n}="1"' for n in range(50_000)) + " "),
    }
    for name, make in whole.items():
        yield from _both("xml document", name, "export-openvino", _XML, make=make)


def _decision(target: str) -> Iterator[Change]:
    keys = "precision weights_sha256 folded pad_token_id num_positions prompt_length vocab_size"
    for key in (*keys.split(), "model_type", "num_hidden_layers", "hidden_size", "instruction_set"):
        yield Change("export key dropped", key, target, key_set(DECISION, f"export.{key}", DROPPED))
        for number, wrong in enumerate(WRONG):
            edit = key_set(DECISION, f"export.{key}", wrong)
            yield Change("export key wrong", f"{key}={number}", target, edit, "any")
    for number, wrong in enumerate((*WRONG, DROPPED)):
        for key in ("export", "files", "labels", "calibration", "thresholds"):
            name = f"{key}={number}"
            yield Change(
                "decision of an export", name, target, key_set(DECISION, key, wrong), "any"
            )
    for form in ("onnx", "openvino", "encoder_and_head", "sequence_classification"):
        yield Change("form of an export", form, target, key_set(DECISION, "form", form), "same")


def _numbers(target: str) -> Iterator[Change]:
    for text in NUMBERS_AS_TEXT:
        edit = text_put(DECISION, "thresholds.label-000", text)
        yield Change("threshold of an export", text, target, edit, "any")
    for value in (0.0, 0.25, 1.0):
        edit = key_set(DECISION, "thresholds.label-000", value)
        yield Change("threshold of an export", str(value), target, edit, "nothing")
    for path in ("max_length", "export.pad_token_id"):
        yield from json_texts("export number", target, DECISION, path)
    for file in (*_TARGETS[target], "tokenizer.json"):
        for digest in ("", "0" * 64, "x" * 64, 7, None):
            edit = _digest(file, digest)
            yield Change("digest of an export", f"{file} {digest}", target, edit, "nothing")
    for file in (
        "../outside/export/model.onnx",
        "/etc/hostname",
        "parity.json",
        "model.safetensors",
    ):
        yield Change("digest of a stranger", file, target, _digest(file, "0" * 64), "any")


def _digest(file: str, digest: Any) -> Callable[[Path, Path], None]:
    def apply(folder: Path, _: Path) -> None:
        import json

        table = json.loads((folder / DECISION).read_text("utf-8"))
        table["files"][file] = digest
        (folder / DECISION).write_text(json.dumps(table), "utf-8")

    return apply


def _other_files(target: str) -> Iterator[Change]:
    names = {"tokenizer.json": "tokenizer", "tokenizer_config.json": "tokenizer_config"}
    names |= {"parity.json": "parity", DECISION: "decision"}
    names |= {file: "network" for file in _TARGETS[target]}
    for file, kind in names.items():
        yield from damaged_files(f"export {kind}", target, file)
    for key in ("format_version", "passed", "form", "rows", "flips", "source", "max_flips"):
        for number, wrong in enumerate(WRONG):
            edit = key_set("parity.json", key, wrong)
            yield Change("parity", f"{key}={number}", target, edit)
    for key, value in {
        "auto_map": {"AutoTokenizer": ["modeling_evil.Evil", None]},
        "tokenizer_class": "EvilTokenizer",
        "tokenizer_file": "../outside/export/tokenizer.json",
    }.items():
        edit = key_set("tokenizer_config.json", key, value)
        yield Change(f"export tokenizer_config {key}", "set", target, edit, "any")
    for path, value in {"pre_tokenizer": None, "model.type": "Evil", "model.vocab": {}}.items():
        edit = key_set("tokenizer.json", path, value)
        yield Change(f"export tokenizer {path}", "set", target, edit, "any")


def exports() -> Iterator[Change]:
    """Yield all changes of exported models."""
    for part in (_external_data, _operations, _wiring, _ends, _tensors, _versions, _metadata):
        yield from part()
    for part in (_sizes, _attributes, _raw, _xml):
        yield from part()
    for target in _TARGETS:
        yield from _decision(target)
        yield from _numbers(target)
        yield from _other_files(target)
