"""Make a WordPiece tokenizer as BERT has it from a corpus, and measure it on held-out text."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from tokenizers.trainers import WordPieceTrainer

from multihot.core.files import write_json, write_text
from multihot.core.progress import Listener
from multihot.data.corpus.documents import Corpus, Tally
from multihot.data.corpus.holdout import HeldOutRule, held_out_rule, split_document
from multihot.errors import DataError, OptionError

__all__ = ["SPECIAL_TOKENS", "Coverage", "measure_coverage", "save_tokenizer", "train_tokenizer"]

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
"""The first entries of the vocabulary, in BERT's order."""

_MAX_ALPHABET_SHARE = 0.5  # of the vocabulary; Chinese needs thousands of characters
_RAREST_CHARACTER = 1e-6  # share of the text; rarer ones become [UNK] instead of an entry
_COVERAGE_CHARACTERS = 5_000_000
_MODEL_MAX_LENGTH = 512


@dataclass(frozen=True)
class Coverage:
    """How a tokenizer fits a text that it was not made from. Shares are between 0 and 1."""

    documents: int
    words: int
    """Words and signs as BERT counts them: punctuation marks and Chinese characters are each one."""
    pieces_per_word: float
    whole_word_share: float
    """Share of the words that are one entry of the vocabulary."""
    unknown_rate: float
    """Share of the words that become [UNK]."""
    vocabulary_size: int
    vocabulary_used: float
    """Share of the vocabulary that occurs in the text."""

    def __str__(self) -> str:
        return (
            f"held-out documents       {self.documents}\n"
            f"words in them            {self.words}\n"
            f"pieces per word          {self.pieces_per_word:.3f}\n"
            f"words in one piece       {100 * self.whole_word_share:.1f} %\n"
            f"unknown words            {100 * self.unknown_rate:.4f} %\n"
            f"vocabulary               {self.vocabulary_size}\n"
            f"  of it in these texts   {100 * self.vocabulary_used:.1f} %"
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
    """Train a tokenizer on the part of a corpus that is not held out; measure it on the other.

    Normalisation and pre-tokenisation are BERT's (Devlin et al. 2018): control characters removed,
    white space unified, Chinese characters split, accents stripped and small letters made when
    `lowercase`, punctuation split. The pieces are those of `tokenizers`' WordPiece trainer, and
    equal on every run. The corpus is read twice, as a stream; what is kept is the count of each
    different word.

    Parameters
    ----------
    corpus
        From `read_corpus`.
    vocab_size
        Entries, special tokens included; fewer where the corpus does not hold as many pieces.
    lowercase
        Whether case and accents are dropped.
    held_out_fraction, seed
        Which part is held out: see `held_out_rule`. The same numbers given to `tokenize_corpus` set
        the same part aside.
    listener
        Hears what was left out.

    Raises
    ------
    DataError
        A file is wrong, or there is no text.
    OptionError
        The vocabulary is too small for its special tokens and an alphabet.
    """
    listener = listener or Listener()
    rule = held_out_rule(corpus, held_out_fraction, seed)
    tokenizer = _untrained(lowercase)
    tally = Tally()
    alphabet = _alphabet(_passages(corpus, rule, held_out=False, tally=tally), tokenizer.normalizer)
    for note in (*tally.notes(corpus.minimum_words), *rule.notes()):
        listener.say(note)
    if not alphabet:
        raise DataError("The corpus holds no text to make a tokenizer from.")
    kept = alphabet[: int(_MAX_ALPHABET_SHARE * vocab_size)]
    if vocab_size < 2 * len(SPECIAL_TOKENS) or not kept:
        raise OptionError(f"vocab_size={vocab_size} is too small; expected some thousands.")
    listener.say(f"Training a tokenizer of {vocab_size} entries ...")
    _train(tokenizer, _passages(corpus, rule, held_out=False), vocab_size, kept)
    found = tokenizer.get_vocab_size()
    if found < vocab_size:
        listener.say(f"The corpus holds only {found} pieces; the vocabulary is as large as that.")
    return tokenizer, measure_coverage(tokenizer, _held_out_documents(corpus, rule))


def measure_coverage(tokenizer: Tokenizer, documents: Iterator[Sequence[str]]) -> Coverage:
    """Measure a tokenizer on documents (each a sequence of passages), at most 5 million characters."""
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
        if num_characters >= _COVERAGE_CHARACTERS:
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
    """Write `vocab.txt`, `tokenizer_config.json` and `tokenizer.json`, each complete or not at all.

    transformers' `AutoTokenizer` loads the folder as BERT's tokenizer.
    """
    folder.mkdir(parents=True, exist_ok=True)
    by_id = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    write_text(folder / "vocab.txt", "".join(f"{piece}\n" for piece, _ in by_id))
    names = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    config: dict[str, Any] = {
        "tokenizer_class": "BertTokenizer",
        "do_lower_case": lowercase,
        "strip_accents": None,
        "tokenize_chinese_chars": True,
        "model_max_length": _MODEL_MAX_LENGTH,
        **dict(zip(names, SPECIAL_TOKENS, strict=True)),
    }
    write_json(folder / "tokenizer_config.json", config)
    content = json.loads(tokenizer.to_str())
    write_text(folder / "tokenizer.json", json.dumps(content, ensure_ascii=False, indent=2) + "\n")


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

    The trainer numbers pieces of one character in the order in which a hash table of words yields
    them, which is another one in every process, and prefers small numbers in ties. Given as special
    tokens they have fixed numbers; the vocabulary is then moved into a model without these.
    """
    inner = [f"##{character}" for character in alphabet if _goes_on_a_word(tokenizer, character)]
    trainer = WordPieceTrainer(
        vocab_size=vocab_size,
        special_tokens=[*SPECIAL_TOKENS, *inner],
        initial_alphabet=list(alphabet),
        limit_alphabet=len(alphabet),
        show_progress=False,
    )
    apprentice = Tokenizer.from_str(tokenizer.to_str())
    apprentice.train_from_iterator(passages, trainer)
    tokenizer.model = _model(apprentice.get_vocab())
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    _add_template(tokenizer)


def _goes_on_a_word(tokenizer: Tokenizer, character: str) -> bool:
    """Return whether a character can stand inside a word; marks and Chinese characters cannot."""
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
    """Return the characters of normalised text, the commonest first, the rarest left out."""
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
    corpus: Corpus, rule: HeldOutRule, *, held_out: bool, tally: Tally | None = None
) -> Iterator[str]:
    for document in corpus.documents(tally):
        for aside, passages in split_document(document, rule):
            if aside == held_out:
                yield from passages


def _held_out_documents(corpus: Corpus, rule: HeldOutRule) -> Iterator[Sequence[str]]:
    for document in corpus.documents():
        for aside, passages in split_document(document, rule):
            if aside:
                yield passages
