"""Texts to token ids, once, into two flat arrays.

With `pooling=labels` a tokenizer puts the names of all labels before every text. They become part
of the tokenizer's own special tokens, so that truncation, caches and the saved `tokenizer.json`
know them, and every backend reads what training read:

    [CLS] anger joy very sad [SEP] the text [SEP]

Letters: `N` texts, `T` tokens of all texts together, `L` labels, `M` tokens of all label texts.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing

from multihot.core.text_tables import cut, listed
from multihot.core.windows import WindowSettings
from multihot.data.text_windows import TextCutter, TextWindows
from multihot.errors import ArtifactError, DataError, EncoderError, OptionError
from multihot.gate.folder_contents import FolderContents
from multihot.gate.folder_files import read_folder_file, shown_file
from multihot.gate.tokenizer_files import TOKENIZER_FILE
from multihot.gate.tokenizer_loading import MAX_TOKENIZER_BYTES, library_errors, parse_tokenizer

__all__ = [
    "TOKENIZER_CALL_KEYS",
    "LabelPrompt",
    "StoredTokenizer",
    "TokenizedTexts",
    "id_dtype",
    "largest_id",
    "load_tokenizer",
    "plain_tokenizer",
    "special_tokens",
    "stored_tokenizer",
    "tokenize",
    "with_label_prompt",
]

TOKENIZER_CALL_KEYS = (
    "is_local",
    "local_files_only",
    "max_length",
    "pad_to_multiple_of",
    "stride",
    "truncation_strategy",
)
"""Keys of `tokenizer_config.json` that describe one call or one machine, not the tokenizer."""

# Characters handed to the tokenizer at once; its output takes a hundred bytes or more a token.
_CHUNK_CHARACTERS = 2**18
_MOST_UINT16 = 2**16 - 1
_PROBES = ("a", "1", "的")  # one of them is not empty for any tokenizer worth using


@dataclass(frozen=True)
class TokenizedTexts:
    """Token ids of N texts, special tokens included.

    Attributes
    ----------
    ids
        *Shape:* (T,), uint16 or uint32 by vocabulary size. All texts one after the other.
    offsets
        *Shape:* (N + 1,), int64. Text `n` is `ids[offsets[n]:offsets[n + 1]]`.
    truncated
        *Shape:* (N,), bool. Whether the text was longer than what is read of it.
    windows
        Which part of a text's ids is which of its windows; `None` = a text is read at once.

    The arrays may lie in mapped files; nothing here copies all ids.
    """

    ids: npt.NDArray[np.unsignedinteger]
    offsets: npt.NDArray[np.int64]
    truncated: npt.NDArray[np.bool_]
    windows: TextWindows | None = None

    def __len__(self) -> int:
        return len(self.truncated)

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Tokens per text. *Shape:* (N,), int64."""
        return np.diff(self.offsets)

    def spans(
        self, indices: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return where in `ids` the given texts start, and how many tokens each has."""
        starts = self.offsets[indices]
        return starts, self.offsets[indices + 1] - starts

    def selected(self, indices: npt.NDArray[np.int64]) -> TokenizedTexts:
        """Return the given texts, in their order; their ids are copied."""
        starts, lengths = self.spans(indices)
        ids = [
            self.ids[start : start + length] for start, length in zip(starts, lengths, strict=True)
        ]
        offsets = np.append(0, np.cumsum(lengths))
        windows = None if self.windows is None else self.windows.selected(indices)
        return TokenizedTexts(np.concatenate(ids), offsets, self.truncated[indices], windows)

    def by_window(self) -> TokenizedTexts:
        """Return every window as a text of its own; no ids are copied."""
        if self.windows is None:
            return self
        whole = np.zeros(len(self.windows.starts) - 1, dtype=np.bool_)
        return TokenizedTexts(self.ids, self.windows.starts, whole)

    @classmethod
    def joined(cls, parts: Sequence[TokenizedTexts]) -> TokenizedTexts:
        """Return the texts of one after those of the other; there is at least one."""
        lengths = np.concatenate([part.lengths for part in parts])
        windows = [part.windows for part in parts if part.windows is not None]
        return cls(
            np.concatenate([part.ids for part in parts]),
            np.append(0, np.cumsum(lengths)),
            np.concatenate([part.truncated for part in parts]),
            TextWindows.joined(windows) if windows else None,
        )


def plain_tokenizer(tokenizer: Tokenizer) -> Tokenizer:
    """Clear padding and truncation, which tokenizer files carry along, and return the tokenizer."""
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def load_tokenizer(path: Path) -> Tokenizer:
    """Load a `tokenizer.json` without torch or transformers, padding and truncation cleared."""
    if not os.path.lexists(path):
        raise ArtifactError(
            f"{shown_file(path)}: there is no tokenizer; the folder is damaged or unfinished."
        )
    content = read_folder_file(
        path.parent, path.name, most_bytes=MAX_TOKENIZER_BYTES, error=ArtifactError
    )
    return parse_tokenizer(content, path, error=ArtifactError)[0]


@dataclass(frozen=True)
class StoredTokenizer:
    """A tokenizer that was loaded, and the largest of its ids."""

    tokenizer: Tokenizer
    largest_id: int


def stored_tokenizer(contents: FolderContents) -> StoredTokenizer:
    """Load the `tokenizer.json` of a folder from the bytes that are read once, as `load_tokenizer` does."""
    content = contents.content(TOKENIZER_FILE, most_bytes=MAX_TOKENIZER_BYTES)
    path = contents.folder / TOKENIZER_FILE
    tokenizer, largest = parse_tokenizer(content, path, error=contents.error)
    return StoredTokenizer(tokenizer, largest)


def largest_id(tokenizer: Tokenizer) -> int:
    """Return the largest id of the vocabulary, added tokens included; -1 for an empty one."""
    return max(tokenizer.get_vocab(with_added_tokens=True).values(), default=-1)


def id_dtype(tokenizer: Tokenizer) -> np.dtype[np.unsignedinteger]:
    """Return the smaller of uint16 and uint32 that holds every id of the vocabulary."""
    few = tokenizer.get_vocab_size(with_added_tokens=True) <= 2**16
    return np.dtype(np.uint16 if few and largest_id(tokenizer) <= _MOST_UINT16 else np.uint32)


def tokenize(
    tokenizer: Tokenizer,
    texts: Sequence[str],
    max_length: int,
    *,
    windows: WindowSettings | None = None,
    chunk_characters: int = _CHUNK_CHARACTERS,
    dtype: np.dtype[np.unsignedinteger] | None = None,
) -> TokenizedTexts:
    """Encode texts with their special tokens, cut to `max_length` tokens or into windows of them.

    A longer text loses tokens from its end; its special tokens stay, as in
    `transformers`' `truncation=True`.

    Parameters
    ----------
    tokenizer
        With padding and truncation cleared (see `plain_tokenizer`).
    texts
        N strings; empty ones are legal.
    max_length
        Tokens per text or window at most, special tokens included.
    windows
        How longer texts are cut into windows, which all have the special tokens; `None`: only their
        beginning is kept.
    chunk_characters
        Texts of about so many characters are encoded together, which bounds memory.
    dtype
        Of the ids, see `id_dtype`; by default the one that these texts need.

    Raises
    ------
    OptionError
        `max_length` leaves no room for a text, or for more than the overlap of windows.
    DataError
        A text is no proper string.
    EncoderError
        The tokenizer fails on a text.
    """
    cutter = TextCutter(*special_tokens(tokenizer), max_length, windows)
    pieces: list[npt.NDArray[np.unsignedinteger]] = []
    is_small = tokenizer.get_vocab_size(with_added_tokens=True) <= 2**16
    few: np.dtype[np.unsignedinteger] = np.dtype(np.uint16 if is_small else np.uint32)
    found: list[tuple[int, int, int]] = []
    counts = np.ones(len(texts), dtype=np.int64)
    truncated = np.zeros(len(texts), dtype=np.bool_)
    for start, chunk in _chunks(texts, chunk_characters):
        flat: list[int] = []
        encodings = _encode(tokenizer, chunk, start, with_places=windows is not None)
        for row, (text, encoding) in enumerate(zip(chunk, encodings, strict=True), start=start):
            parts, truncated[row] = cutter(text, encoding)
            counts[row] = len(parts)
            for ids, begin, end in parts:
                flat += ids
                found.append((len(ids), begin, end))
        pieces.append(_as_ids(flat, dtype or few))
    joined = np.concatenate([np.zeros(0, dtype or few), *pieces])
    table = np.array(found, dtype=np.int64).reshape(-1, 3)
    starts, first = np.append(0, np.cumsum(table[:, 0])), np.append(0, np.cumsum(counts))
    cut_up = None if windows is None else TextWindows(starts, first, table[:, 1:])
    return TokenizedTexts(joined, starts[first], truncated, cut_up)


def _as_ids(ids: list[int], dtype: np.dtype[np.unsignedinteger]) -> npt.NDArray[np.unsignedinteger]:
    """Return ids as an array, of uint32 where those of a small vocabulary are large."""
    wide = np.array(ids, dtype=np.uint32)
    return wide if wide.max(initial=0) > np.iinfo(dtype).max else wide.astype(dtype, copy=False)


def _chunks(texts: Sequence[str], chunk_characters: int) -> Iterator[tuple[int, list[str]]]:
    """Yield number of the first text and texts, at least one at a time."""
    chunk: list[str] = []
    num_characters = 0
    for row, text in enumerate(texts):
        chunk.append(text)
        num_characters += len(text) + 1 if isinstance(text, str) else 1
        if num_characters >= chunk_characters or row == len(texts) - 1:
            yield row + 1 - len(chunk), chunk
            chunk, num_characters = [], 0


def _encode(
    tokenizer: Tokenizer, texts: list[str], first_row: int, *, with_places: bool
) -> list[Any]:
    """Return each text encoded, perhaps with the characters of its tokens; name the row that is no proper string."""
    encode: Any = tokenizer.encode_batch if with_places else tokenizer.encode_batch_fast
    rows = f"The tokenizer fails on one of the texts {first_row} to {first_row + len(texts) - 1}"
    with library_errors(EncoderError, rows):
        try:
            if not all(isinstance(text, str) for text in texts):  # two would be read as a pair
                raise TypeError
            encoded: list[Any] = encode(texts)
            return encoded
        except (TypeError, UnicodeEncodeError):
            for row, text in enumerate(texts, start=first_row):
                _require_string(text, row)
            raise


def _require_string(text: object, row: int) -> None:
    if not isinstance(text, str):
        raise DataError(f"text {row} is {type(text).__name__} ({text!r}), expected a string.")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise DataError(
            f"text {row} holds half a surrogate pair, which is not valid Unicode: {text!r}"
        ) from None


def special_tokens(tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    """Return the ids that the tokenizer puts before and after a text.

    Raises `OptionError` for a tokenizer that changes the text meanwhile, `EncoderError` for one that
    fails.
    """
    for probe in _PROBES:
        with library_errors(EncoderError, f"The tokenizer fails on the text '{probe}'"):
            content = tokenizer.encode(probe, add_special_tokens=False).ids
            ids = tokenizer.encode(probe).ids
        for start in range(len(ids) - len(content) + 1):
            if content and ids[start : start + len(content)] == content:
                return ids[:start], ids[start + len(content) :]
    raise OptionError("This tokenizer changes the text when it adds special tokens; not supported.")


_PROMPT_PROBES = (("a", "b"), ("1", "2"), ("的", "一"))


@dataclass(frozen=True)
class LabelPrompt:
    """Where the labels stand in front of every text."""

    spans: tuple[tuple[int, int], ...]
    """First and last-plus-one token of each label, L pairs."""
    length: int
    """Tokens before the text itself, special tokens included."""
    text_type: int
    """Token type of the text; the labels have 0."""

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> LabelPrompt:
        """Read what `dataclasses.asdict` made of one."""
        spans = tuple((int(start), int(end)) for start, end in content["spans"])
        return cls(spans, int(content["length"]), int(content["text_type"]))


def with_label_prompt(
    tokenizer: Tokenizer, names: Sequence[str], descriptions: Mapping[str, str]
) -> tuple[Tokenizer, LabelPrompt]:
    """Return a tokenizer that reads all labels before each text, and where they stand.

    As SpanEmo (Alhuzali and Ananiadou 2021, section 3) and Demux (Chochlakis et al. 2023) do. Labels
    and text are related as the tokenizer relates the two texts of a pair.

    Parameters
    ----------
    tokenizer
        With padding and truncation cleared; it is left as it is.
    names
        L label names. An underscore is read as a space.
    descriptions
        Longer texts for some of them, by name.

    Raises
    ------
    OptionError
        A description is for no label, or a label has no token at all.
    """
    if unknown := sorted(set(descriptions) - set(names)):
        raise OptionError(
            f"There are descriptions for {listed(unknown)}, but the labels are {listed(names)}."
        )
    with library_errors(EncoderError, "The tokenizer fails on a pair of texts"):
        before, between, after, text_type = _pair_tokens(tokenizer)
    ids, spans = list(before), []
    for name in names:
        text = descriptions.get(name) or name.replace("_", " ")
        with library_errors(EncoderError, f"The tokenizer fails on the label {cut(name)}"):
            found = tokenizer.encode(text, add_special_tokens=False).ids
        if not found:
            raise OptionError(
                f"The label '{name}' is read as '{text}', which has no token for this tokenizer; "
                "describe it in words (label_descriptions)."
            )
        spans.append((len(ids), len(ids) + len(found)))
        ids += found
    ids += between
    changed = Tokenizer.from_str(tokenizer.to_str())
    changed.post_processor = TemplateProcessing(
        single=f"[LABELS]:0 $A:{text_type} [END]:{text_type}",
        special_tokens=[_special("[LABELS]", ids, tokenizer), _special("[END]", after, tokenizer)],
    )
    return changed, LabelPrompt(tuple(spans), len(ids), text_type)


def _special(name: str, ids: Sequence[int], tokenizer: Tokenizer) -> Any:
    return {"id": name, "ids": list(ids), "tokens": [tokenizer.id_to_token(i) for i in ids]}


def _pair_tokens(tokenizer: Tokenizer) -> tuple[list[int], list[int], list[int], int]:
    """Return the ids before, between and after the texts of a pair, and the second text's type."""
    for texts in _PROMPT_PROBES:
        first, second = (tokenizer.encode(t, add_special_tokens=False).ids for t in texts)
        pair = tokenizer.encode(*texts)
        one, two = _find(pair.ids, first, 0), -1
        if one >= 0:
            two = _find(pair.ids, second, one + len(first))
        if two >= 0:
            between = pair.ids[one + len(first) : two]
            after = pair.ids[two + len(second) :]
            if between and after:
                return pair.ids[:one], between, after, pair.type_ids[two]
    raise OptionError(
        "This tokenizer does not separate the texts of a pair with special tokens, so labels cannot be "
        "put before a text: use pooling=mean."
    )


def _find(ids: Sequence[int], wanted: Sequence[int], start: int) -> int:
    places = range(start, len(ids) - len(wanted) + 1)
    return next((p for p in places if wanted and ids[p : p + len(wanted)] == list(wanted)), -1)
