"""Encoders of a dozen families, as transformers saves them, load and give the same states."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from models.families import write_family
from multihot.core.labels import LabelSpace
from multihot.errors import EncoderError
from multihot.models.encoder import length_limit, quiet_transformers, read_config
from multihot.models.network import build_network, load_weights

WIDE = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 40,
}
SIZES: dict[str, dict[str, Any]] = {
    "albert": {**WIDE, "embedding_size": 8},
    "bert": WIDE,
    "camembert": WIDE,
    "convbert": {**WIDE, "embedding_size": 16, "head_ratio": 1},
    "data2vec-text": WIDE,
    "deberta": {**WIDE, "relative_attention": True, "pos_att_type": ["p2c", "c2p"]},
    "deberta-v2": {
        **WIDE,
        "relative_attention": True,
        "pos_att_type": ["p2c", "c2p"],
        "position_biased_input": False,
        "position_buckets": 8,
        "share_att_key": True,
        "norm_rel_ebd": "layer_norm",
    },
    "distilbert": {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32},
    "electra": {**WIDE, "embedding_size": 8},
    "ernie": WIDE,
    "longformer": {**WIDE, "attention_window": 8},
    "modernbert": {**WIDE, "local_attention": 8, "global_attn_every_n_layers": 2},
    "mpnet": WIDE,
    "nystromformer": WIDE,
    "rembert": {**WIDE, "input_embedding_size": 8, "output_embedding_size": 8},
    "roberta": WIDE,
    "roberta-prelayernorm": WIDE,
    "roformer": {**WIDE, "embedding_size": 16},
    "squeezebert": {**WIDE, "embedding_size": 16, "hidden_act": "gelu"},
    "xlm-roberta": WIDE,
    "xlm-roberta-xl": WIDE,
}


@pytest.mark.slow
@pytest.mark.parametrize("family", SIZES)
@pytest.mark.parametrize("shard_size", ["1TB", "5KB"])
def test_a_saved_encoder_comes_through_the_gate_as_it_is(
    family: str, shard_size: str, tmp_path: Path
) -> None:
    from transformers import MODEL_MAPPING, AutoConfig, AutoModel

    config = AutoConfig.for_model(family, vocab_size=50, pad_token_id=1, **SIZES[family])
    with torch.random.fork_rng(devices=[]), quiet_transformers():
        torch.manual_seed(0)
        AutoModel.from_config(config).save_pretrained(tmp_path, max_shard_size=shard_size)
        plain = AutoModel.from_pretrained(tmp_path).eval()
    assert (shard_size == "1TB") == (tmp_path / "model.safetensors").is_file()

    model, new = load_weights(MODEL_MAPPING, tmp_path, read_config(tmp_path))

    ids = torch.tensor([[5, 9, 33, 2, 7]])
    with torch.inference_mode():
        expected = plain(ids).last_hidden_state
        found = model.eval()(ids).last_hidden_state
    assert new == []
    assert torch.equal(found, expected)


def changed(folder: Path, family: str, **changes: Any) -> Path:
    path = write_family(family, folder) / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return folder


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"pooler_hidden_act": "unheard-of"}, "cannot make this network"),
        ({"pooler_hidden_size": 8}, "cannot make this network"),
        ({"max_relative_positions": 1 << 24, "position_buckets": 0}, "describes [0-9,]+ weights"),
    ],
)
def test_what_cannot_compute_a_text_is_refused_when_it_is_loaded(
    tmp_path: Path, change: dict[str, Any], reason: str
) -> None:
    changed(tmp_path, "deberta-v2", **change)

    with pytest.raises(EncoderError, match=reason):
        build_network(tmp_path, LabelSpace(("joy", "fear")), "cls", 1)


def test_positions_that_leave_no_room_for_a_text_are_refused(tmp_path: Path) -> None:
    changed(tmp_path, "roberta", pad_token_id=20, max_position_embeddings=22)

    with pytest.raises(EncoderError, match="positions for 1 tokens, too few"):
        read_config(tmp_path)


def test_mpnet_counts_its_positions_from_two_whatever_its_padding_is(tmp_path: Path) -> None:
    config = read_config(changed(tmp_path, "mpnet", pad_token_id=0))

    assert length_limit(config, {}) == config.max_position_embeddings - 2
