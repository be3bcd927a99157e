"""Corpus to token ids, once: split into sentences (English, Chinese), encode, cache in mapped files.

Letters: `T` tokens, `S` sentences, `D` documents.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from multihot.core.progress import Listener
from multihot.data.array_store import ArrayWriter, new_arrays, open_arrays
from multihot.data.corpus.documents import (
    Corpus,
    DocumentCounts,
    HoldoutRule,
    holdout_rule,
    split_document,
)
from multihot.data.stored_tokens import are_ids, are_offsets, num_ids
from multihot.data.tokens import id_dtype, plain_tokenizer
from multihot.errors import EncoderError, MissingExtraError, OptionError, StorageError
from multihot.gate.tokenizer_loading import library_errors

__all__ = ["LANGUAGES", "CorpusTokens", "split_sentences", "tokenize_corpus"]

LANGUAGES = ("auto", "en", "zh")
"""Values of the option `language`; `auto` decides for each passage."""

_HAN = re.compile("[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_LETTER = re.compile(r"[^\W\d_]")
_CHINESE_FRACTION = 0.3  # of the letters: Chinese passages contain Latin names and model numbers

# sentencex ends no sentence before a digit or a lower-case letter: right for English only.
_AFTER_FULL_STOP = re.compile(r"(?<=[。！？])(?=\w)")

# sentencex never splits quoted speech. So quotation marks and the `_` and `*` of emphasis are replaced
# by spaces before it is called; apostrophes inside words are kept.
_MARKS = re.compile('["“”„«»「」『』_*`]')
_APOSTROPHE_OUTSIDE_WORDS = re.compile(r"['‘’](?:(?!\w)|(?<!\w.))", re.DOTALL)
_OPENING = "\"'“‘„«「『_*`"


def split_sentences(passage: str, language: str = "auto") -> list[str]:
    """Return the sentences of a passage in order, stripped.

    The boundaries are those of `sentencex` (abbreviations, numbers, Chinese full stops), with three
    changes: quoted speech, frequent in novels, is split like other text; no English sentence begins
    with a lower-case letter (`"Go!" he said.` is one sentence); and a Chinese full stop also ends a
    sentence before a digit or a Latin letter.

    Parameters
    ----------
    passage
        Any text; a line end counts as a space, an empty line as a boundary.
    language
        `en`, `zh`, or `auto`: Chinese where at least 3 of 10 letters are Han characters.

    Raises
    ------
    MissingExtraError
        sentencex is not installed.
    OptionError
        The language is none of these.
    """
    try:
        from sentencex import segment
    except ImportError:
        raise MissingExtraError("sentencex", "pretrain", "Finding sentences") from None
    if language not in LANGUAGES:
        raise OptionError(f"language={language!r}; expected one of {', '.join(LANGUAGES)}.")
    if language == "auto":
        language = "zh" if _is_chinese(passage) else "en"
    masked = _APOSTROPHE_OUTSIDE_WORDS.sub(" ", _MARKS.sub(" ", passage))
    pieces = segment(language, masked)
    if language == "zh":
        pieces = [part for piece in pieces for part in _AFTER_FULL_STOP.split(piece)]
    if sum(map(len, pieces)) != len(passage):  # characters were lost, so no boundary is reliable
        return _stripped([passage])
    return _stripped(_cut(passage, pieces, lowercase_begins=language == "zh"))


def _is_chinese(passage: str) -> bool:
    """Return whether enough letters are Han characters; pure ASCII needs no count."""
    if passage.isascii():
        return False
    num_han = len(_HAN.findall(passage))
    return num_han > 0 and num_han >= _CHINESE_FRACTION * len(_LETTER.findall(passage))


def _cut(passage: str, pieces: Sequence[str], *, lowercase_begins: bool) -> list[str]:
    """Split `passage` where the masked `pieces` end; opening marks belong to what they open."""
    sentences, start, end = [], 0, 0
    for piece, following in pairwise(pieces):
        end += len(piece)
        word_start = end + len(following) - len(following.lstrip())
        boundary = word_start
        while boundary > start and passage[boundary - 1] in _OPENING:
            boundary -= 1
        letter = passage[word_start : word_start + 1]
        if lowercase_begins or not letter.islower():
            sentences.append(passage[start:boundary])
            start = boundary
    sentences.append(passage[start:])
    return sentences


def _stripped(sentences: Sequence[str]) -> list[str]:
    return [sentence for each in sentences if (sentence := " ".join(each.split()))]


AnyArray = npt.NDArray[Any]
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
        *Shape:* (D,), int64. Index of the original document. Where sections are held out, the
        remaining runs of a document are several documents here, with one index.
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
        """Number of original documents."""
        return len(np.unique(self.sources))


_FORMAT = 1  # increment when sentences or ids change for the same corpus and tokenizer
_PARTS = ("training", "held_out")
_ARRAYS = tuple(field.name for field in fields(CorpusTokens))
_BATCH_SENTENCES = 4096  # tokenized at once; bounds the Python lists in memory


@dataclass(frozen=True)
class _Run:
    """Consecutive sentences."""

    part: str
    source: int
    """Index of the original document."""
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
    progress_seconds: float = 10.0,
    batch_sentences: int = _BATCH_SENTENCES,
) -> CorpusTokens:
    """Return the token ids of one part of a corpus; the first call writes both parts.

    Text that looks like a special token, such as `[MASK]`, is encoded like any other text.
    Sentences without tokens and documents without sentences are skipped.

    Parameters
    ----------
    corpus
        From `read_corpus`.
    tokenizer
        Its padding and truncation are cleared.
    cache_folder
        Where the files are written, in a folder named by a hash of everything they depend on. Memory
        does not grow with the corpus, but for the digests of `Corpus.documents`.
    held_out
        Whether to return the hold-out part or the training part.
    fraction, seed
        Of the hold-out part: see `holdout_rule`.
    language
        See `split_sentences`.
    listener
        Receives progress, and, with the training part, what was skipped.
    progress_seconds
        Time between lines of progress.
    batch_sentences
        Sentences that are tokenized at once.

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
    key = hashlib.sha256(facts.encode()).hexdigest()
    entry = cache_folder / f"corpus-{key[:32]}"
    stored = open_arrays(entry, key=key)
    if stored is not None and not _are_parts(*stored, num_ids(tokenizer)):
        shutil.rmtree(entry, ignore_errors=True)  # it would stay in the way of a new one
        stored = None
    if stored is None:
        types: dict[str, npt.DTypeLike]
        types = {f"{part}.{name}": np.int64 for part in _PARTS for name in _ARRAYS}
        types |= {f"{part}.ids": id_dtype(tokenizer) for part in _PARTS}
        with new_arrays(entry, types, key=key) as writer:
            rule, counts = holdout_rule(corpus, fraction, seed), DocumentCounts()
            runs = _batches(_runs(corpus, rule, language, counts), batch_sentences)
            _write(writer, runs, tokenizer, listener, progress_seconds)
            notes = counts.notes(corpus.minimum_words)
            writer.facts["notes"] = [*notes, _split_note(writer, rule), *rule.notes()]
        stored = writer.stored
    if stored is None or not _are_parts(*stored, num_ids(tokenizer)):
        raise StorageError(f"{entry} is damaged. Delete it, and run the same command again.")
    arrays, known = stored
    for note in known["notes"] if not held_out else ():
        listener.say(note)
    part = _PARTS[held_out]
    return CorpusTokens(**{name: arrays[f"{part}.{name}"] for name in _ARRAYS})


def _are_parts(arrays: Mapping[str, AnyArray], facts: Mapping[str, Any], end: int) -> bool:
    """Return whether stored arrays hold both parts of a corpus, with token ids below `end`."""
    notes = facts.get("notes")
    if not isinstance(notes, list) or not all(isinstance(note, str) for note in notes):
        return False
    for part in _PARTS:
        found: list[Any] = [arrays.get(f"{part}.{name}") for name in _ARRAYS]
        if any(each is None for each in found):
            return False
        tokens = CorpusTokens(*found)
        num_documents = len(tokens.document_offsets) - 1
        if not (
            are_ids(tokens.ids, end)
            and are_offsets(tokens.sentence_offsets, tokens.num_tokens, may_be_empty=False)
            and are_offsets(tokens.document_offsets, tokens.num_sentences, may_be_empty=False)
            and tokens.sources.dtype.str == "<i8"
            and tokens.sources.shape == (num_documents,)
        ):
            return False
    return True


def _write(
    writer: ArrayWriter,
    batches: Iterable[list[_Run]],
    tokenizer: Tokenizer,
    listener: Listener,
    progress_seconds: float,
) -> None:
    for part in _PARTS:
        writer.append(f"{part}.sentence_offsets", np.zeros(1))
        writer.append(f"{part}.document_offsets", np.zeros(1))
    started = reported = time.monotonic()
    as_text = tokenizer.encode_special_tokens
    tokenizer.encode_special_tokens = True
    try:
        for batch in batches:
            _append_batch(writer, batch, tokenizer)
            now = time.monotonic()
            if now > reported + progress_seconds:
                reported = now
                num_tokens = sum(writer.lengths[f"{part}.ids"] for part in _PARTS)
                speed = num_tokens / (now - started)
                listener.say(f"Tokenizing the corpus: {num_tokens} tokens, {speed:,.0f} tokens/s")
    finally:
        tokenizer.encode_special_tokens = as_text


def _split_note(writer: ArrayWriter, rule: HoldoutRule) -> str:
    num_training, num_held_out = (writer.lengths[f"{part}.ids"] for part in _PARTS)
    percent = 100 * num_held_out / max(1, num_training + num_held_out)
    which = "sections" if rule.by_section else f"{writer.lengths['held_out.sources']} documents"
    return (
        f"{num_training} training tokens; hold-out corpus, chosen by a hash of the text: {which} of "
        f"{num_held_out} tokens ({percent:.1f} %)."
    )


def _runs(
    corpus: Corpus, rule: HoldoutRule, language: str, counts: DocumentCounts
) -> Iterator[_Run]:
    for source, document in enumerate(corpus.documents(counts)):
        for is_held_out, passages in split_document(document, rule):
            sentences = [split_sentences(passage, language) for passage in passages]
            yield _Run(_PARTS[is_held_out], source, list(chain.from_iterable(sentences)))


def _batches(runs: Iterable[_Run], batch_sentences: int) -> Iterator[list[_Run]]:
    """Collect short documents, because the tokenizer is slow on few sentences at a time."""
    batch: list[_Run] = []
    num_sentences = 0
    for run in runs:
        batch.append(run)
        num_sentences += len(run.sentences)
        if num_sentences >= batch_sentences:
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
    """Return the ids of all sentences, (T,), and the number of ids of each, (S,)."""
    pieces = [np.zeros(0, np.uint32)]
    lengths: list[int] = []
    for start in range(0, len(sentences), _BATCH_SENTENCES):
        chunk = sentences[start : start + _BATCH_SENTENCES]
        with library_errors(EncoderError, "The tokenizer fails on a sentence of the corpus"):
            encoded = [
                each.ids for each in tokenizer.encode_batch_fast(chunk, add_special_tokens=False)
            ]
        pieces.append(np.fromiter(chain.from_iterable(encoded), np.uint32))
        lengths += map(len, encoded)
    return np.concatenate(pieces), np.array(lengths, np.int64)
