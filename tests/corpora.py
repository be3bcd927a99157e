"""Small corpora for tests: token ids drawn at random, and sentences of words."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from multihot.data.corpus.tokenize import CorpusTokens
from multihot.data.corpus.wordpiece import SPECIAL_TOKENS

NUM_LETTERS = 26
FIRST_ORDINARY = len(SPECIAL_TOKENS)


def token_corpus(
    seed: int,
    *,
    documents: int = 40,
    sentences: int = 60,
    longest: int = 40,
    vocab_size: int = 1000,
    token: int | None = None,
) -> CorpusTokens:
    """Documents of 1 to `2 * sentences` sentences of 1 to `longest` tokens; no special tokens.

    The sentences of one document are of similar lengths, as those of one author are.
    """
    generator = np.random.default_rng(seed)
    counts = generator.integers(1, 2 * sentences, size=documents)
    usual = np.repeat(generator.integers(1, longest, size=documents), counts)
    lengths = np.clip(generator.poisson(usual), 1, longest)
    ids = generator.integers(FIRST_ORDINARY, vocab_size, size=lengths.sum())
    return CorpusTokens(
        ids=(ids if token is None else np.full_like(ids, token)).astype(np.uint16),
        sentence_offsets=np.concatenate([[0], np.cumsum(lengths)]),
        document_offsets=np.concatenate([[0], np.cumsum(counts)]),
        sources=np.arange(documents),
    )


def letter_tokenizer() -> Tokenizer:
    """BERT's special tokens, the letters, and the letters inside words."""
    from tokenizers import models, normalizers, pre_tokenizers

    letters = [chr(ord("a") + number) for number in range(NUM_LETTERS)]
    pieces = [*SPECIAL_TOKENS, *letters, *(f"##{letter}" for letter in letters), ".", "!"]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    return tokenizer


def write_documents(path: Path, documents: Sequence[Sequence[str]]) -> Path:
    """Write documents of paragraphs as JSON lines."""
    lines = [json.dumps({"paragraphs": list(each)}, ensure_ascii=False) for each in documents]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def stories(num_documents: int, *, passages: int = 12) -> list[list[str]]:
    """Return different documents of short English passages."""
    words = "the old man saw a small boat near home and his dog ran along every quiet road".split()
    generator = np.random.default_rng(num_documents)
    return [
        [
            " ".join(words[each] for each in generator.integers(0, len(words), size=9)).capitalize()
            + f" {number}. It was late!"
            for _ in range(passages)
        ]
        for number in range(num_documents)
    ]
