"""What of a configuration from elsewhere reaches transformers, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from multihot.errors import EncoderError
from multihot.gate.encoder_config import FAMILIES, NetworkSizes, check_sizes, checked_config
from multihot.gate.encoder_folder import with_stored_labels
from multihot.gate.tensor_headers import StoredTensor

PATH = Path("somewhere/config.json")
BERT: dict[str, Any] = {
    "model_type": "bert",
    "vocab_size": 100,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
}


def checked(**changes: Any) -> dict[str, Any]:
    return checked_config({**BERT, **changes}, PATH, error=EncoderError)


@pytest.mark.parametrize(
    "key",
    [
        "auto_map",
        "attn_implementation",
        "_attn_implementation",
        "_attn_implementation_internal",
        "experts_implementation",
        "use_kernels",
        "kernel_config",
        "custom_pipelines",
        "trust_remote_code",
    ],
)
def test_keys_that_load_code_are_refused(key: str) -> None:
    with pytest.raises(EncoderError, match=f"config.json sets '{key}', which can load code"):
        checked(**{key: "someone/something"})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("quantization_config", {"quant_method": "awq"}),
        ("text_config", {"model_type": "bert"}),
        ("is_decoder", True),
        ("is_encoder_decoder", True),
        ("adapters", {"adapters": {}}),
    ],
)
def test_keys_of_another_network_are_refused(key: str, value: object) -> None:
    with pytest.raises(EncoderError, match=f"sets '{key}', which no plain encoder has"):
        checked(**{key: value})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("hidden_size", "16"),
        ("hidden_size", True),
        ("hidden_size", 16.0),
        ("hidden_size", 0),
        ("vocab_size", 10**9),
        ("num_hidden_layers", 10**6),
        ("num_hidden_layers", -1),
        ("num_hidden_layers", 0),
        ("inner_group_num", 513),
        ("num_hidden_groups", 4096),
        ("block_sizes", [300, 300]),
        ("block_repeats", [0]),
        ("attention_window", 4097),
        ("attention_window", [8, 1 << 24]),
        ("eos_token_id", "2"),
        ("hidden_act", {"name": "gelu"}),
        ("hidden_act", "g" * 101),
        ("hidden_dropout_prob", -0.1),
        ("hidden_dropout_prob", 2),
        ("layer_norm_eps", "small"),
        ("tie_word_embeddings", 1),
        ("architectures", "BertModel"),
        ("architectures", [1]),
        ("id2label", {"0": 1}),
        ("id2label", {"first": "joy"}),
        ("id2label", ["joy"]),
        ("label2id", {"joy": "first"}),
        ("num_labels", 10**9),
        ("rope_scaling", {"a": {"b": {"c": 1}}}),
        ("pad_token_id", 100),
        ("pad_token_id", -1),
        ("num_attention_heads", 3),
        ("num_attention_heads", 0),
    ],
)
def test_values_of_another_type_or_out_of_bounds_are_refused(key: str, value: object) -> None:
    with pytest.raises(EncoderError, match=r"config\.json"):
        checked(**{key: value})


def test_layers_inside_shared_layers_are_counted_together() -> None:
    checked(num_hidden_groups=16, inner_group_num=32)
    with pytest.raises(EncoderError, match="more than 512 layers"):
        checked(num_hidden_groups=32, inner_group_num=32)


@pytest.mark.parametrize("family", ["", "yoso", "gpt2", ["bert"], None, 3])
def test_other_families_are_refused(family: object) -> None:
    with pytest.raises(EncoderError, match=r"'model_type' is .*; expected one of .* albert, bert,"):
        checked(model_type=family)


def test_what_real_configurations_carry_along_is_left_out() -> None:
    found = checked(
        _name_or_path="bert-base-uncased",
        gradient_checkpointing=False,
        directionality="bidi",
        pooler_fc_size=768,
        position_embedding_type="absolute",
        quantization_config=None,
        is_decoder=False,
        torch_dtype="float16",
        _attn_implementation_autoset=True,
        sentence_transformers={"activation_fn": "torch.nn.modules.activation.Sigmoid"},
        task_specific_params={"text-classification": {"top_k": 1}},
        return_dict=False,
        chunk_size_feed_forward=7,
        id2label={"0": "joy"},
        label2id={"joy": 0},
    )

    assert found == {
        **BERT,
        "position_embedding_type": "absolute",
        "id2label": {"0": "joy"},
        "label2id": {"joy": 0},
    }


@pytest.mark.slow
@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_what_transformers_writes_of_a_family_comes_through_whole(family: str) -> None:
    from transformers import CONFIG_MAPPING

    written = json.loads(CONFIG_MAPPING[family]().to_json_string(use_diff=False))

    passed = checked_config({**written, "model_type": family}, PATH, error=EncoderError)

    expected = CONFIG_MAPPING[family].from_dict(dict(written)).to_dict()
    assert CONFIG_MAPPING[family].from_dict(passed).to_dict() == expected


def sizes(**changes: Any) -> NetworkSizes:
    return NetworkSizes(
        **{
            "family": "bert",
            "vocabulary": 100,
            "width": 16,
            "inner": 32,
            "embedding": None,
            "layers": 2,
            "positions": 64,
            "token_types": 2,
            **changes,
        }
    )


def stored(**shapes: tuple[int, ...]) -> dict[str, StoredTensor]:
    usual = {
        "embeddings.word_embeddings.weight": (100, 16),
        "embeddings.position_embeddings.weight": (64, 16),
        "embeddings.token_type_embeddings.weight": (2, 16),
        "encoder.layer.0.output.dense.weight": (16, 32),
        "encoder.layer.1.output.dense.weight": (16, 32),
    }
    return {name: StoredTensor("F32", shape, 0, 0) for name, shape in {**usual, **shapes}.items()}


def test_sizes_that_are_stored_are_allowed() -> None:
    check_sizes(sizes(), stored(), PATH, error=EncoderError)
    check_sizes(sizes(layers=1), stored(), PATH, error=EncoderError)
    check_sizes(sizes(positions=62), stored(), PATH, error=EncoderError)  # as in nystromformer
    check_sizes(sizes(family="albert", layers=24), stored(), PATH, error=EncoderError)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"vocabulary": 101}, "no stored weight has so many rows"),
        ({"width": 17}, "no stored weight has it"),
        ({"layers": 3}, "expected at most 2"),
        ({"positions": 512}, "64 are stored"),
        ({"token_types": 3}, "2 are stored"),
        ({"family": "albert", "layers": 1000}, "expected at most 512"),
        ({"inner": 10**7}, "about .* weights"),
    ],
)
def test_sizes_that_are_not_stored_are_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(EncoderError, match=said):
        check_sizes(sizes(**changes), stored(), PATH, error=EncoderError)


def test_positions_of_another_name_are_compared_too() -> None:
    tensors = stored(**{"encoder.embed_positions.weight": (40, 8)})

    with pytest.raises(EncoderError, match="41 embed positions; 40 are stored"):
        check_sizes(sizes(positions=41), tensors, PATH, error=EncoderError)


def test_layers_are_counted_by_their_numbers_and_not_by_the_highest_one() -> None:
    tensors = stored(**{"encoder.layer.99999.output.dense.weight": (16, 32)})

    check_sizes(sizes(layers=3), tensors, PATH, error=EncoderError)
    with pytest.raises(EncoderError, match="expected at most 3"):
        check_sizes(sizes(layers=4), tensors, PATH, error=EncoderError)


def test_very_many_labels_are_left_out_unless_a_weight_has_them() -> None:
    few, many = {"0": "joy"}, {str(number): "joy" for number in range(10_001)}
    head = stored(**{"classifier.bias": (10_001,)})

    assert with_stored_labels({"id2label": few}, stored()) == {"id2label": few}
    assert with_stored_labels({**BERT, "id2label": many, "label2id": many}, stored()) == BERT
    assert with_stored_labels({"id2label": many}, head) == {"id2label": many}
