"""What of a `config.json` reaches transformers: known families, known keys, values within bounds.

A configuration can do more than describe a network: keys name code or kernels to fetch, sizes are
allocated before a weight is read. So a table that may come from anyone is copied key by key. Keys that load
code or mean another architecture are refused, others that are not known here are left out. With
the headers of the weights, sizes are compared with what is stored.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from multihot.core.text_tables import cut, listed
from multihot.errors import MultihotError
from multihot.gate.folder_files import shown_file
from multihot.gate.tensor_headers import StoredTensor

__all__ = ["FAMILIES", "NetworkSizes", "check_sizes", "checked_config"]

_ENCODERS = (
    "albert bert big_bird camembert canine convbert data2vec-text deberta deberta-v2 distilbert electra "
    "ernie esm eurobert flaubert fnet funnel gte ibert jina_embeddings_v3 layoutlm lilt longformer luke "
    "markuplm megatron-bert mobilebert modernbert mpnet nomic_bert nystromformer rembert roberta "
    "roberta-prelayernorm roc_bert roformer squeezebert ultrabert xlm xlm-roberta xlm-roberta-xl xlnet "
    "xmod"
)
FAMILIES = frozenset(_ENCODERS.split())
"""Values of `model_type`: encoders of texts inside transformers that compile and fetch nothing."""

_LOADS_CODE = re.compile(
    r"auto_map|custom_.*|trust_remote_code|use_kernels?|.*kernels?(?:_config|_mapping)?"
    r"|_?.*implementation(?:_internal)?"
)
_OTHER_NETWORK = re.compile(
    r".*_config|quantization.*|adapters?|peft.*|is_decoder|add_cross_attention|is_encoder_decoder"
    r"|is_folding_model"
)
_MAX_LABELS = 1_000_000
_MAX_WORD, _MAX_LABEL_NAME, _MAX_LIST = 100, 10_000, 4096
_SPARE_WEIGHTS = 50_000_000  # that a network may have beyond the stored ones, for new heads
_MAX_LAYERS = 512
_MAX_WINDOW = 4096
_SHARES_LAYERS = frozenset({"albert"})

_Rule = Callable[[Any], bool]


def _is_int(value: Any, low: int, high: int) -> bool:
    return type(value) is int and low <= value <= high


def _is_number(value: Any, low: float, high: float) -> bool:
    return type(value) in (int, float) and math.isfinite(value) and low <= value <= high


def _is_word(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= _MAX_WORD and value.isprintable()


def _are_words(value: Any) -> bool:
    return isinstance(value, list) and len(value) <= _MAX_LIST and all(map(_is_word, value))


def _are_ints(value: Any, low: int, high: int) -> bool:
    return (
        isinstance(value, list)
        and len(value) <= _MAX_LIST
        and all(_is_int(each, low, high) for each in value)
    )


def _is_rope(value: Any) -> bool:
    """Whether a value describes rotary positions: numbers and words, perhaps by kind of layer."""
    return isinstance(value, dict) and all(
        _is_word(key)
        and (
            _is_word(each)
            or _is_number(each, -1e9, 1e9)
            or _are_numbers(each)
            or (isinstance(each, dict) and not any(map(_is_dict, each.values())) and _is_rope(each))
        )
        for key, each in value.items()
    )


def _is_dict(value: Any) -> bool:
    return isinstance(value, dict)


def _are_numbers(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) <= _MAX_LIST
        and all(_is_number(each, -1e9, 1e9) for each in value)
    )


_KINDS: Mapping[str, tuple[str, _Rule, str]] = {
    "size": (
        "a whole number from 1 to 16,777,216",
        lambda value: _is_int(value, 1, 1 << 24),
        "vocab_size hidden_size intermediate_size embedding_size dim hidden_dim d_model d_inner emb_dim "
        "input_embedding_size output_embedding_size max_position_embeddings prediction_head_size "
        "pooler_hidden_size entity_vocab_size entity_emb_size num_hash_buckets n_words d_head "
        "attention_head_size head_dim shape_embed_dim shape_vocab_size pronunciation_embed_dim "
        "pronunciation_vocab_size max_2d_position_embeddings max_xpath_subs_unit_embeddings "
        "max_xpath_tag_unit_embeddings xpath_unit_hidden_size intra_bottleneck_size true_hidden_size",
    ),
    "layers": (
        "a whole number from 1 to 512",
        lambda value: _is_int(value, 1, _MAX_LAYERS),
        "num_hidden_layers n_layers n_layer num_layers num_hidden_groups inner_group_num "
        "num_feedforward_networks",
    ),
    "number of": (
        "a whole number from 1 to 4,096",
        lambda value: _is_int(value, 1, 1 << 12),
        "num_attention_heads n_heads n_head num_key_value_heads num_groups head_ratio block_size",
    ),
    "count": (
        "a whole number from 0 to 4,096",
        lambda value: _is_int(value, 0, 1 << 12),
        "conv_kernel_size conv_groups type_vocab_size task_type_vocab_size "
        "num_random_blocks q_groups k_groups v_groups post_attention_groups intermediate_groups "
        "output_groups global_attn_every_n_layers num_decoder_layers num_landmarks n_langs lang_id "
        "adapter_reduction_factor downsampling_rate upsampling_kernel_size num_hash_functions "
        "local_transformer_stride channel_shrink_ratio max_depth relative_attention_num_buckets "
        "position_buckets segment_means_seq_len tpu_short_seq_length start_n_top end_n_top "
        "local_attention sliding_window pretraining_tp",
    ),
    "id": (
        "a whole number from -100 to 16,777,216",
        lambda value: _is_int(value, -100, 1 << 24),
        "pad_token_id bos_token_id cls_token_id sep_token_id mask_token_id unk_token_id pad_index "
        "bos_index eos_index unk_index mask_index tag_pad_id subs_pad_id sparse_pred_ignore_index "
        "max_relative_positions clamp_len mem_len reuse_len",
    ),
    "fraction": (
        "a number from 0 to 1",
        lambda value: _is_number(value, 0, 1),
        "hidden_dropout_prob attention_probs_dropout_prob classifier_dropout classifier_dropout_prob "
        "dropout attention_dropout activation_dropout hidden_dropout layerdrop pooler_dropout cls_dropout "
        "embedding_dropout mlp_dropout qa_dropout seq_classif_dropout summary_first_dropout "
        "summary_last_dropout layer_norm_eps norm_eps rms_norm_eps partial_rotary_factor",
    ),
    "number": (
        "a number from 0 to 1e9",
        lambda value: _is_number(value, 0, 1e9),
        "initializer_range initializer_std initializer_cutoff_factor init_std embed_init_std rope_theta "
        "global_rope_theta local_rope_theta",
    ),
    "flag": (
        "true or false",
        lambda value: isinstance(value, bool),
        "tie_word_embeddings relative_attention position_biased_input share_att_key legacy norm_bias "
        "attention_bias mlp_bias decoder_bias classifier_bias emb_layer_norm_before token_dropout "
        "sinusoidal_pos_embds sinusoidal_embeddings pre_norm adapter_layer_norm "
        "adapter_reuse_layer_norm ln_before_adapter use_bottleneck use_bottleneck_attention "
        "key_query_shared_bottleneck trigram_input rotary_value use_bias rescale_embeddings "
        "separate_cls truncate_seq pool_q_only summary_use_proj summary_proj_to_labels "
        "gelu_activation asm causal is_encoder use_lang_emb bi_data same_length use_mems_eval "
        "use_mems_train untie_r use_task_id enable_pronunciation enable_shape concat_input "
        "use_entity_aware_attention quant_mode sparse_prediction inv_coeff_init_option",
    ),
    "word": (
        f"a text of at most {_MAX_WORD} characters",
        _is_word,
        "hidden_act hidden_activation activation conv_act classifier_activation pooler_hidden_act "
        "ff_activation summary_activation summary_type classifier_pooling pooling_type attention_type "
        "attn_type normalization_type norm_rel_ebd position_embedding_type force_dequant "
        "default_language problem_type transformers_version",
    ),
    "words": (
        "a list of words",
        _are_words,
        "architectures layer_types languages vocab_list",
    ),
    "counts": (
        "a list of whole numbers from 1 to 512",
        lambda value: _are_ints(value, 1, _MAX_LAYERS),
        "block_sizes block_repeats",
    ),
    "word or words": (
        "a word or a list of words",
        lambda value: _is_word(value) or _are_words(value),
        "pos_att_type",
    ),
    "number or numbers": (
        "a whole number or a list of these",
        lambda value: _is_int(value, -100, 1 << 24) or _are_ints(value, -100, 1 << 24),
        "attention_window eos_token_id",
    ),
    "rope": (
        "numbers and words by name",
        _is_rope,
        "rope_parameters rope_scaling",
    ),
}
_RULES = {key: (expected, rule) for expected, rule, keys in _KINDS.values() for key in keys.split()}
_RULES["classifier_activation"] = (
    "a word, true or false",
    lambda value: _is_word(value) or isinstance(value, bool),
)


def checked_config(
    table: Mapping[str, Any],
    source: Path,
    *,
    error: type[MultihotError],
) -> dict[str, Any]:
    """Return what transformers may see of a configuration that may come from anyone.

    Parameters
    ----------
    table
        What `config.json` holds.
    source
        The file, for messages.
    error
        The class of what is raised.

    Raises `error` for families that are not in `FAMILIES`, for keys that load code or mean another
    network, and for values of another type or out of bounds.
    """

    def refuse(reason: str) -> MultihotError:
        return error(f"{shown_file(source)}{reason}")

    family = table.get("model_type")
    if not isinstance(family, str) or family not in FAMILIES:
        raise refuse(
            f": 'model_type' is {cut(family)}; expected one of the encoders inside transformers: "
            f"{listed(sorted(FAMILIES), 100)}."
        )
    found: dict[str, Any] = {"model_type": family}
    for key, value in table.items():
        if value is not None and key != "model_type" and _is_passed_on(key, value, refuse):
            found[key] = value
    count = table.get("num_labels")
    if count is not None and not _is_int(count, 0, _MAX_LABELS):
        raise refuse(f": 'num_labels' is {cut(count)}; expected at most {_MAX_LABELS:,}.")
    _check_consistency(found, refuse)
    return found


def _is_passed_on(key: str, value: Any, refuse: Callable[[str], MultihotError]) -> bool:
    """Return whether transformers may see a key; refuse what it must not be, or must not be there."""
    if key in _RULES:
        expected, is_allowed = _RULES[key]
        if not is_allowed(value):
            raise refuse(f": '{key}' is {cut(value)}; expected {expected}.")
        return True
    if key in ("id2label", "label2id"):
        _check_labels(key, value, refuse)
        return True
    if value and _LOADS_CODE.fullmatch(key) and not key.endswith("_autoset"):
        raise refuse(
            f" sets {cut(key)}, which can load code from elsewhere. multihot runs only the models "
            "inside transformers; remove the key if the architecture is one of them."
        )
    if value and _OTHER_NETWORK.fullmatch(key):
        raise refuse(f" sets {cut(key)}, which no plain encoder has. Use the encoder alone.")
    return False


def _check_labels(key: str, value: Any, refuse: Callable[[str], MultihotError]) -> None:
    """Refuse what is neither labels by number nor numbers by label."""
    if not isinstance(value, dict) or len(value) > _MAX_LABELS:
        raise refuse(f": '{key}' is {cut(value)}; expected at most {_MAX_LABELS:,} labels.")
    for name, other in value.items():
        pair = (name, other) if key == "id2label" else (other, name)
        is_number = _is_int(pair[0], 0, _MAX_LABELS) or (
            isinstance(pair[0], str)
            and pair[0].isascii()
            and pair[0].isdigit()
            and len(pair[0]) < 8
        )
        if not is_number or not isinstance(pair[1], str) or len(pair[1]) > _MAX_LABEL_NAME:
            raise refuse(f": '{key}' has {cut({name: other})}; expected numbers and names.")


def _first(config: Mapping[str, Any], *keys: str) -> int | None:
    return next((config[key] for key in keys if key in config), None)


def _check_consistency(config: Mapping[str, Any], refuse: Callable[[str], MultihotError]) -> None:
    """Refuse values that do not fit each other."""
    vocabulary = _first(config, "vocab_size", "n_words")
    for key in ("pad_token_id", "pad_index"):
        if vocabulary and key in config and not 0 <= config[key] < vocabulary:
            raise refuse(f": '{key}' is {config[key]}; there are {vocabulary} tokens.")
    width = _first(config, "hidden_size", "dim", "d_model", "emb_dim")
    heads = _first(config, "num_attention_heads", "n_heads", "n_head")
    own = _first(config, "head_dim", "d_head", "attention_head_size", "intra_bottleneck_size")
    if heads == 0 or (width and heads and own is None and width % heads):
        raise refuse(f": {heads} attention heads do not divide the width of {width}.")
    shared = [config.get(key, 1) for key in ("num_hidden_groups", "inner_group_num")]
    if math.prod(shared) > _MAX_LAYERS or sum(config.get("block_sizes", ())) > _MAX_LAYERS:
        raise refuse(f" describes more than {_MAX_LAYERS} layers.")
    windows = config.get("attention_window", 0)
    longest = max(windows if isinstance(windows, list) else [windows], default=0)
    # Texts are padded to a multiple of it.
    if longest > max(config.get("max_position_embeddings", 0), _MAX_WINDOW):
        raise refuse(f": 'attention_window' is {cut(windows)}; expected at most {_MAX_WINDOW}.")


@dataclass(frozen=True)
class NetworkSizes:
    """What decides how much memory a network takes; `None` where its family has no such size."""

    family: str
    vocabulary: int | None
    width: int | None
    """Of the states between layers."""
    inner: int | None
    """Of the states inside a layer."""
    embedding: int | None
    """Of the word embeddings, where it is not the width."""
    layers: int | None
    positions: int | None
    token_types: int | None


def check_sizes(
    sizes: NetworkSizes,
    tensors: Mapping[str, StoredTensor],
    source: Path,
    *,
    error: type[MultihotError],
) -> None:
    """Raise `error` for sizes that the stored weights do not have, before anything of that size is made.

    Parameters
    ----------
    sizes
        Of the configuration, defaults of its family included.
    tensors
        The weights, by name.
    source
        The configuration's file, for messages.
    error
        The class of what is raised.
    """

    def refuse(reason: str) -> MultihotError:
        return error(f"{shown_file(source)}{reason}")

    shapes = [tensor.shape for tensor in tensors.values()]
    rows = {shape[0] for shape in shapes if len(shape) > 1}
    if sizes.vocabulary and sizes.vocabulary not in rows:
        raise refuse(f": the vocabulary is {sizes.vocabulary}; no stored weight has so many rows.")
    if sizes.width and sizes.width not in {size for shape in shapes for size in shape}:
        raise refuse(f": the width is {sizes.width}; no stored weight has it.")
    for size, name in (
        (sizes.positions, "position_embeddings"),
        (sizes.positions, "embed_positions"),
        (sizes.token_types, "token_type_embeddings"),
    ):
        stored = {
            tensor.shape[0]
            for path, tensor in tensors.items()
            if path.endswith(f"{name}.weight") and tensor.shape
        }
        if size and stored and size > max(stored):
            raise refuse(
                f" describes {size} {name.replace('_', ' ')}; {max(stored)} are stored. They do not "
                "match."
            )
    stored_layers = _count_layers(tensors)
    is_shared = sizes.family in _SHARES_LAYERS
    most = _MAX_LAYERS if is_shared else stored_layers
    if sizes.layers and sizes.layers > most:
        raise refuse(f": there are {sizes.layers} layers; expected at most {most}, as are stored.")
    width, layers = sizes.width or 0, min(sizes.layers or 0, stored_layers)
    num_weights = (sizes.vocabulary or 0) * (sizes.embedding or width)
    num_weights += layers * width * (4 * width + 2 * (sizes.inner or 0))
    num_stored = sum(tensor.num_values for tensor in tensors.values())
    if num_weights > 2 * num_stored + _SPARE_WEIGHTS:
        raise refuse(
            f" describes a network of about {num_weights:,} weights; {num_stored:,} are stored."
        )


def _count_layers(tensors: Mapping[str, StoredTensor]) -> int:
    """Return how many layers the names of the weights have: the most numbers behind one name."""
    numbers: dict[str, set[str]] = {}
    for name in tensors:
        parts = name.split(".")
        for place, part in enumerate(parts):
            if part.isdigit() and len(part) < 6:
                numbers.setdefault(".".join(parts[:place]), set()).add(part)
    return max(map(len, numbers.values()), default=0)
