"""Train BERT's WordPiece tokenizer on a corpus, and measure it on hold-out text."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from tokenizers.trainers import WordPieceTrainer

from multihot.core.files import storage_errors, write_json, write_text
from multihot.core.progress import Listener
from multihot.core.staging import put_in_place, staged_folder
from multihot.data.corpus.documents import (
    Corpus,
    DocumentCounts,
    HoldoutRule,
    holdout_rule,
    split_document,
)
from multihot.errors import DataError, OptionError

__all__ = ["SPECIAL_TOKENS", "Coverage", "measure_coverage", "save_tokenizer", "train_tokenizer"]

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
"""The first entries of the vocabulary, in BERT's order."""

_MAX_ALPHABET_FRACTION = 0.5  # of the vocabulary; Chinese needs thousands of characters
_RAREST_CHARACTER = 1e-6  # relative frequency; rarer ones become [UNK] instead of an entry
_MODEL_MAX_LENGTH = 512


@dataclass(frozen=True)
class Coverage:
    """How a tokenizer fits a text that it was not trained on. Fractions are between 0 and 1."""

    documents: int
    words: int
    """Words as BERT counts them: each punctuation mark and each Chinese character is one."""
    pieces_per_word: float
    whole_word_share: float
    """Fraction of the words that are one entry of the vocabulary."""
    unknown_rate: float
    """Fraction of the words that become [UNK]."""
    vocabulary_size: int
    vocabulary_used: float
    """Fraction of the vocabulary that occurs in the text."""

    def __str__(self) -> str:
        return (
            f"hold-out documents       {self.documents}\n"
            f"words in them            {self.words}\n"
            f"pieces per word          {self.pieces_per_word:.3f}\n"
            f"words in one piece       {100 * self.whole_word_share:.1f} %\n"
            f"unknown words            {100 * self.unknown_rate:.4f} %\n"
            f"vocabulary               {self.vocabulary_size}\n"
            f"  occurring in them      {100 * self.vocabulary_used:.1f} %"
        )

    def to_json(self) -> dict[str, Any]:
        """Return the figures as plain values."""
        return asdict(self)


def train_tokenizer(
    corpus: Corpus,
    *,
    vocab_size: int,
    lowercase: bool = True,
    held_out_fraction: float = 0.05,
    seed: int = 0,
    listener: Listener | None = None,
) -> tuple[Tokenizer, Coverage]:
    """Train a tokenizer on the training part of a corpus; measure it on the hold-out part.

    Normalisation and pre-tokenisation are BERT's (Devlin et al. 2018): control characters removed,
    white space unified, Chinese characters split, text lower-cased and accents stripped when
    `lowercase`, punctuation split. The pieces are those of `tokenizers`' WordPiece trainer, and
    equal on every run. The corpus is read twice, as a stream; memory holds the count of each distinct
    word.

    Parameters
    ----------
    corpus
        From `read_corpus`.
    vocab_size
        Number of entries, special tokens included; fewer if the corpus has fewer pieces.
    lowercase
        Whether to drop case and accents.
    held_out_fraction, seed
        Of the hold-out part: see `holdout_rule`. `tokenize_corpus` holds out the same part for the same
        values.
    listener
        Receives what was skipped.

    Raises
    ------
    DataError
        A file is wrong, or there is no text.
    OptionError
        The vocabulary is too small for its special tokens and an alphabet.
    """
    listener = listener or Listener()
    rule = holdout_rule(corpus, held_out_fraction, seed)
    tokenizer = _untrained(lowercase)
    counts = DocumentCounts()
    passages = _passages(corpus, rule, counts)
    alphabet = _alphabet(passages, tokenizer.normalizer)
    for note in (*counts.notes(corpus.minimum_words), *rule.notes()):
        listener.say(note)
    if not alphabet:
        raise DataError("The corpus contains no text to train a tokenizer on.")
    kept = alphabet[: int(_MAX_ALPHABET_FRACTION * vocab_size)]
    if vocab_size < 2 * len(SPECIAL_TOKENS) or not kept:
        raise OptionError(
            f"vocab_size={vocab_size} is too small; typical sizes are several thousand."
        )
    listener.say(f"Training a tokenizer of {vocab_size} entries ...")
    _train(tokenizer, _passages(corpus, rule), vocab_size, kept)
    num_pieces = tokenizer.get_vocab_size()
    if num_pieces < vocab_size:
        listener.say(f"The corpus has only {num_pieces} pieces, which is the vocabulary size.")
    return tokenizer, measure_coverage(tokenizer, _held_out_documents(corpus, rule))


def measure_coverage(
    tokenizer: Tokenizer, documents: Iterator[Sequence[str]], *, max_characters: int = 5_000_000
) -> Coverage:
    """Measure a tokenizer on documents (each a sequence of passages), up to `max_characters`."""
    num_documents = num_words = num_pieces = num_unknown = num_whole = num_characters = 0
    used: set[int] = set()
    unknown = tokenizer.token_to_id("[UNK]") or 0
    for passages in documents:
        num_documents += 1
        for encoding in tokenizer.encode_batch(list(passages), add_special_tokens=False):
            pieces = Counter(encoding.word_ids)
            num_words += len(pieces)
            num_pieces += len(encoding.ids)
            num_whole += sum(count == 1 for count in pieces.values())
            num_unknown += encoding.ids.count(unknown)
            used.update(encoding.ids)
        num_characters += sum(map(len, passages))
        if num_characters >= max_characters:
            break
    size = tokenizer.get_vocab_size()
    return Coverage(
        num_documents,
        num_words,
        num_pieces / max(1, num_words),
        (num_whole - num_unknown) / max(1, num_words),
        num_unknown / max(1, num_words),
        size,
        len(used) / size,
    )


def save_tokenizer(tokenizer: Tokenizer, folder: Path, *, lowercase: bool) -> None:
    """Write `vocab.txt`, `tokenizer_config.json` and `tokenizer.json`, all of them or none.

    transformers' `AutoTokenizer` loads the folder as BERT's tokenizer.
    """
    by_id = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    names = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    config: dict[str, Any] = {
        "tokenizer_class": "BertTokenizer",
        "do_lower_case": lowercase,
        "strip_accents": None,
        "tokenize_chinese_chars": True,
        "model_max_length": _MODEL_MAX_LENGTH,
        **dict(zip(names, SPECIAL_TOKENS, strict=True)),
    }
    content = json.loads(tokenizer.to_str())
    with storage_errors(folder), staged_folder(folder) as stage:
        write_text(stage / "vocab.txt", "".join(f"{piece}\n" for piece, _ in by_id))
        write_json(stage / "tokenizer_config.json", config)
        shown = json.dumps(content, ensure_ascii=False, indent=2) + "\n"
        write_text(stage / "tokenizer.json", shown)
        put_in_place(stage, folder)


def _untrained(lowercase: bool) -> Tokenizer:
    tokenizer = Tokenizer(_model({}))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix="##")
    return tokenizer


def _train(
    tokenizer: Tokenizer, passages: Iterator[str], vocab_size: int, alphabet: Sequence[str]
) -> None:
    """Train in place.

    The trainer numbers pieces of one character in the order of a hash table of words, which differs
    between processes, and prefers small numbers in ties. Given as special tokens they have fixed
    numbers; the vocabulary is then copied into a model without these special tokens.
    """
    inner = [f"##{character}" for character in alphabet if _continues_word(tokenizer, character)]
    trainer = WordPieceTrainer(
        vocab_size=vocab_size,
        special_tokens=[*SPECIAL_TOKENS, *inner],
        initial_alphabet=list(alphabet),
        limit_alphabet=len(alphabet),
        show_progress=False,
    )
    trained = Tokenizer.from_str(tokenizer.to_str())
    trained.train_from_iterator(passages, trainer)
    tokenizer.model = _model(trained.get_vocab())
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    _add_template(tokenizer)


def _continues_word(tokenizer: Tokenizer, character: str) -> bool:
    """Return whether a character can be inside a word; punctuation and Chinese characters cannot."""
    joined = tokenizer.normalizer.normalize_str(f"a{character}")
    return len(tokenizer.pre_tokenizer.pre_tokenize_str(joined)) == 1


def _model(vocabulary: dict[str, int]) -> models.WordPiece:
    return models.WordPiece(vocabulary, unk_token="[UNK]")  # noqa: S106 - a token of text


def _add_template(tokenizer: Tokenizer) -> None:
    named = [(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=named
    )


def _alphabet(passages: Iterator[str], normalizer: Any) -> list[str]:
    """Return the characters of normalised text by descending frequency, without the rarest."""
    raw: Counter[str] = Counter()
    for passage in passages:
        raw.update(passage)
    counts: Counter[str] = Counter()
    for character, count in raw.items():
        for each in normalizer.normalize_str(character).split():
            counts.update(dict.fromkeys(each, count))
    fewest = max(2.0, _RAREST_CHARACTER * sum(counts.values()))
    common = [character for character, count in counts.items() if count >= fewest]
    return sorted(common or counts, key=lambda character: (-counts[character], character))


def _passages(
    corpus: Corpus, rule: HoldoutRule, counts: DocumentCounts | None = None
) -> Iterator[str]:
    """Yield the passages of the training part."""
    for document in corpus.documents(counts):
        for is_held_out, passages in split_document(document, rule):
            if not is_held_out:
                yield from passages


def _held_out_documents(corpus: Corpus, rule: HoldoutRule) -> Iterator[Sequence[str]]:
    for document in corpus.documents():
        for is_held_out, passages in split_document(document, rule):
            if is_held_out:
                yield passages
