"""Corpus to token ids, once: cut into sentences, encode, and keep in mapped files.

Letters: `T` tokens, `S` sentences, `D` documents.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from multihot.core.progress import Listener
from multihot.data.array_store import ArrayWriter, new_arrays, open_arrays
from multihot.data.corpus.documents import Corpus, Tally
from multihot.data.corpus.holdout import HeldOutRule, held_out_rule, split_document
from multihot.data.corpus.sentences import split_sentences
from multihot.data.tokens import id_dtype, plain_tokenizer

__all__ = ["CorpusTokens", "tokenize_corpus"]

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class CorpusTokens:
    """Token ids without special tokens; the arrays may be larger than memory.

    Attributes
    ----------
    ids
        *Shape:* (T,), uint16 or uint32 by vocabulary size.
    sentence_offsets
        *Shape:* (S + 1,), int64. Sentence `s` is `ids[sentence_offsets[s]:sentence_offsets[s + 1]]`;
        none is empty.
    document_offsets
        *Shape:* (D + 1,), int64. Document `d` is the sentences `document_offsets[d]` to
        `document_offsets[d + 1]`; none is empty. Inside it, sentence follows sentence.
    sources
        *Shape:* (D,), int64. Number of the document as it was written. Where sections are held out,
        what is left of one is several documents here, with one number.
    """

    ids: npt.NDArray[np.unsignedinteger]
    sentence_offsets: IntArray
    document_offsets: IntArray
    sources: IntArray

    @property
    def num_tokens(self) -> int:
        """T."""
        return len(self.ids)

    @property
    def num_sentences(self) -> int:
        """S."""
        return len(self.sentence_offsets) - 1

    @property
    def num_documents(self) -> int:
        """Documents as they were written."""
        return len(np.unique(self.sources))


_FORMAT = 1  # raise it whenever sentences or ids change for the same corpus and tokenizer
_PARTS = ("training", "held_out")
_ARRAYS = tuple(field.name for field in fields(CorpusTokens))
_SENTENCES_AT_ONCE = 4096  # handed to the tokenizer; bounds the Python lists alive
_SECONDS_BETWEEN_LINES = 10.0


@dataclass(frozen=True)
class _Run:
    """Sentences that follow each other."""

    part: str
    source: int
    """Number of the document as it was written."""
    sentences: list[str]


def tokenize_corpus(
    corpus: Corpus,
    tokenizer: Tokenizer,
    cache_folder: Path,
    *,
    held_out: bool,
    fraction: float = 0.05,
    seed: int = 0,
    language: str = "auto",
    listener: Listener | None = None,
) -> CorpusTokens:
    """Return the token ids of one part of a corpus; both parts are made by the first call.

    Text that looks like a special token, such as `[MASK]`, is encoded like any other text.
    Sentences without any token and documents without any sentence are left out.

    Parameters
    ----------
    corpus
        From `read_corpus`.
    tokenizer
        Its padding and truncation are cleared.
    cache_folder
        Where the files are made, in a folder named by a hash of everything they depend on, and
        found again. The memory that is needed does not grow with the corpus.
    held_out
        Whether the part that is set aside is wanted, or the one to train on.
    fraction, seed
        Which part is set aside: see `held_out_rule`.
    language
        See `split_sentences`.
    listener
        Hears a line every ten seconds, and with the part to train on, what was left out.

    Raises
    ------
    DataError
        A file is wrong.
    StorageError
        The files cannot be written; nothing is left behind.
    """
    listener = listener or Listener()
    plain_tokenizer(tokenizer)
    facts = f"{_FORMAT} {corpus.fingerprint()} {fraction} {seed} {language} {tokenizer.to_str()}"
    entry = cache_folder / f"corpus-{hashlib.sha256(facts.encode()).hexdigest()[:32]}"
    found = open_arrays(entry)
    if found is None:
        types: dict[str, npt.DTypeLike]
        types = {f"{part}.{name}": np.int64 for part in _PARTS for name in _ARRAYS}
        types |= {f"{part}.ids": id_dtype(tokenizer) for part in _PARTS}
        with new_arrays(entry, types) as writer:
            rule, tally = held_out_rule(corpus, fraction, seed), Tally()
            _write(writer, _runs(corpus, rule, language, tally), tokenizer, listener)
            dropped = tally.notes(corpus.minimum_words)
            writer.facts["notes"] = [*dropped, _split_note(writer, rule), *rule.notes()]
        found = open_arrays(entry)
        assert found is not None
    arrays, known = found
    for note in known["notes"] if not held_out else ():
        listener.say(note)
    part = _PARTS[held_out]
    return CorpusTokens(**{name: arrays[f"{part}.{name}"] for name in _ARRAYS})


def _write(
    writer: ArrayWriter, runs: Iterable[_Run], tokenizer: Tokenizer, listener: Listener
) -> None:
    for part in _PARTS:
        writer.append(f"{part}.sentence_offsets", np.zeros(1))
        writer.append(f"{part}.document_offsets", np.zeros(1))
    started = told = time.monotonic()
    as_text = tokenizer.encode_special_tokens
    tokenizer.encode_special_tokens = True
    try:
        for batch in _batches(runs):
            _append_batch(writer, batch, tokenizer)
            now = time.monotonic()
            if now > told + _SECONDS_BETWEEN_LINES:
                told = now
                num_tokens = sum(writer.lengths[f"{part}.ids"] for part in _PARTS)
                speed = num_tokens / (now - started)
                listener.say(f"Tokenising the corpus: {num_tokens} tokens, {speed:,.0f} tokens/s")
    finally:
        tokenizer.encode_special_tokens = as_text


def _split_note(writer: ArrayWriter, rule: HeldOutRule) -> str:
    num_training, num_held_out = (writer.lengths[f"{part}.ids"] for part in _PARTS)
    share = 100 * num_held_out / max(1, num_training + num_held_out)
    which = "sections" if rule.by_section else f"{writer.lengths['held_out.sources']} documents"
    return (
        f"{num_training} tokens to train on; held out by a hash of the text: {which} of "
        f"{num_held_out} tokens ({share:.1f} %)."
    )


def _runs(corpus: Corpus, rule: HeldOutRule, language: str, tally: Tally) -> Iterator[_Run]:
    for source, document in enumerate(corpus.documents(tally)):
        for aside, passages in split_document(document, rule):
            sentences = [split_sentences(passage, language) for passage in passages]
            yield _Run(_PARTS[aside], source, list(chain.from_iterable(sentences)))


def _batches(runs: Iterable[_Run]) -> Iterator[list[_Run]]:
    """Gather short documents, because the tokenizer is slow on few sentences at a time."""
    batch: list[_Run] = []
    num_sentences = 0
    for run in runs:
        batch.append(run)
        num_sentences += len(run.sentences)
        if num_sentences >= _SENTENCES_AT_ONCE:
            yield batch
            batch, num_sentences = [], 0
    if batch:
        yield batch


def _append_batch(writer: ArrayWriter, batch: list[_Run], tokenizer: Tokenizer) -> None:
    ids, lengths = _encoded([sentence for run in batch for sentence in run.sentences], tokenizer)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    first = 0
    for run in batch:
        last = first + len(run.sentences)
        kept = lengths[first:last][lengths[first:last] > 0]
        if len(kept):
            ends = writer.lengths[f"{run.part}.ids"] + np.cumsum(kept)
            writer.append(f"{run.part}.ids", ids[offsets[first] : offsets[last]])
            writer.append(f"{run.part}.sentence_offsets", ends)
            end = writer.lengths[f"{run.part}.sentence_offsets"] - 1
            writer.append(f"{run.part}.document_offsets", np.array([end]))
            writer.append(f"{run.part}.sources", np.array([run.source]))
        first = last


def _encoded(
    sentences: list[str], tokenizer: Tokenizer
) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64]]:
    """Return the ids of all sentences, (T,), and how many each has, (S,)."""
    pieces = [np.zeros(0, np.uint32)]
    lengths: list[int] = []
    for start in range(0, len(sentences), _SENTENCES_AT_ONCE):
        chunk = sentences[start : start + _SENTENCES_AT_ONCE]
        encoded = [
            each.ids for each in tokenizer.encode_batch_fast(chunk, add_special_tokens=False)
        ]
        pieces.append(np.fromiter(chain.from_iterable(encoded), np.uint32))
        lengths += map(len, encoded)
    return np.concatenate(pieces), np.array(lengths, np.int64)
