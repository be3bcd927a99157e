"""Tiny random encoders of several families, written by transformers as a user's would be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from multihot.data.batches import Batch, make_batch
from multihot.data.tokens import tokenize
from multihot.models.encoder import load_encoder_tokenizer, quiet_transformers

FAMILIES = ("bert", "roberta", "distilbert", "electra", "modernbert", "mpnet")

WORDS = (
    "i am happy sad the bert model is so good not angry rain sun today and we love it never again"
).split()

POSITIONS = 64
"""Tokens that every tiny encoder has positions for."""

_WIDTH = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}
# RoBERTa and MPNet number positions from the padding id + 1, so they need two rows more.
_SIZES: dict[str, dict[str, Any]] = {
    "bert": {**_WIDTH, "max_position_embeddings": POSITIONS},
    "roberta": {**_WIDTH, "max_position_embeddings": POSITIONS + 2},
    "distilbert": {
        "dim": 16,
        "n_layers": 2,
        "n_heads": 2,
        "hidden_dim": 32,
        "max_position_embeddings": POSITIONS,
    },
    "electra": {**_WIDTH, "embedding_size": 8, "max_position_embeddings": POSITIONS},
    "modernbert": {
        **_WIDTH,
        "max_position_embeddings": POSITIONS,
        "local_attention": 8,
        "global_attn_every_n_layers": 2,
    },
    "mpnet": {**_WIDTH, "max_position_embeddings": POSITIONS + 2},
    "xlm-roberta": {**_WIDTH, "max_position_embeddings": POSITIONS + 2},
    "camembert": {**_WIDTH, "max_position_embeddings": POSITIONS + 2},
    "deberta-v2": {**_WIDTH, "max_position_embeddings": POSITIONS, "relative_attention": True},
}


def write_family(family: str, folder: Path, *, seed: int = 0, **changes: Any) -> Path:
    """Write a tiny random encoder without a head, and its tokenizer, into `folder`."""
    import torch
    from transformers import AutoConfig, AutoModel

    special = write_tokenizer(family, folder)
    config = AutoConfig.for_model(
        family,
        pad_token_id=special.index(_specials(family)[0]),
        cls_token_id=special.index(_specials(family)[1]),
        sep_token_id=special.index(_specials(family)[2]),
        bos_token_id=special.index(_specials(family)[1]),
        eos_token_id=special.index(_specials(family)[2]),
        **{"vocab_size": len(special) + len(WORDS), **_SIZES[family], **changes},
    )
    with torch.random.fork_rng(devices=[]), quiet_transformers():
        torch.manual_seed(seed)
        AutoModel.from_config(config).save_pretrained(folder)
    return folder


def write_tokenizer(family: str, folder: Path) -> list[str]:
    """Write the family's kind of tokenizer over `WORDS`; return its special tokens by id."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertTokenizer, PreTrainedTokenizerFast

    pad, start, end, unknown, mask = _specials(family)
    rows = [start, pad, end, unknown, mask] if pad == "<pad>" else [pad, unknown, start, end, mask]
    vocabulary = {word: number for number, word in enumerate([*rows, *WORDS])}
    if pad == "[PAD]":
        BertTokenizer(vocab=vocabulary, model_max_length=POSITIONS).save_pretrained(folder)
        return rows
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=unknown))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    pair = [(token, vocabulary[token]) for token in (start, end)]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{start} $A {end}", pair=f"{start} $A {end} {end} $B {end}", special_tokens=pair
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=start,
        cls_token=start,
        eos_token=end,
        sep_token=end,
        pad_token=pad,
        unk_token=unknown,
        mask_token=mask,
        model_max_length=POSITIONS,
    ).save_pretrained(folder)
    return rows


def _specials(family: str) -> tuple[str, str, str, str, str]:
    """Return padding, start, end, unknown and mask token."""
    if family in ("roberta", "mpnet", "xlm-roberta", "camembert"):
        return "<pad>", "<s>", "</s>", "<unk>", "<mask>"
    return "[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"


def encoded(folder: Path, texts: list[str], pad_id: int, max_length: int = 32) -> Batch:
    """Return texts as one padded batch, in their order."""
    import numpy as np

    tokenizer, _ = load_encoder_tokenizer(folder)
    tokens, rows = tokenize(tokenizer, texts, max_length), np.arange(len(texts))
    return make_batch(tokens, rows, pad_id, packed=False)
