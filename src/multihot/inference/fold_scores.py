"""Scores of texts by networks that were not trained on them: written once, read by later audits.

Letters: `N` rows, `L` labels.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from multihot.core.files import atomic_path
from multihot.core.labels import LabelSpace
from multihot.core.numeric import logit
from multihot.core.options import DataOptions
from multihot.core.text_tables import counted, cut, listed
from multihot.data.readers.open_table import open_table
from multihot.data.readers.table import Table, as_number, as_text
from multihot.errors import DataError
from multihot.gate.folder_contents import FolderContents
from multihot.gate.json_documents import parse_json_object

__all__ = ["read_fold_scores", "write_fold_scores"]

FloatArray = npt.NDArray[np.float32]

_TENSOR, _FACTS, _LABELS, _FILE = "logits", "facts", "labels", "file_sha256"
_SCORE = "score_"


def write_fold_scores(path: Path, logits: FloatArray, space: LabelSpace, digest: str) -> None:
    """Write logits, (N, L), of a file with this SHA-256; complete or not at all."""
    from safetensors.numpy import save_file

    # Under one key: safetensors writes several in an order of its own.
    facts = {_FACTS: json.dumps({_LABELS: list(space.names), _FILE: digest})}
    with atomic_path(path) as temporary:
        save_file({_TENSOR: np.ascontiguousarray(logits)}, temporary, metadata=facts)


def read_fold_scores(
    path: Path, space: LabelSpace, num_rows: int, *, digest: str | None = None
) -> FloatArray:
    """Return the logits of all rows of a file, in its order. *Shape:* (N, L).

    Parameters
    ----------
    path
        What `write_fold_scores` wrote, or a table as `multihot predict` writes it, with a column
        `score_NAME` for each label or, in JSON lines, an object `scores`.
    space
        The labels of the file, matched by name.
    num_rows
        N.
    digest
        SHA-256 of the file; scores of the first kind must be of it.

    Raises
    ------
    DataError
        It has other labels or another number of rows, is of another file, or a score is none.
    """
    if not path.is_file():
        raise DataError("There is no such file of scores.", path=path)
    is_ours = path.suffix.lower() == ".safetensors"
    logits = _stored(path, space, digest) if is_ours else _of_table(path, space)
    if len(logits) != num_rows:
        raise DataError(
            f"There are scores of {counted(len(logits), 'row')}, but the file has {num_rows}: every row "
            "needs scores, in the order of the file.",
            path=path,
        )
    return logits


def _stored(path: Path, space: LabelSpace, digest: str | None) -> FloatArray:
    contents = FolderContents(path.parent, error=DataError)
    header, content = contents.tensors(path.name, dtypes=("F32",))
    raw = header.metadata.get(_FACTS, "{}").encode()
    facts = parse_json_object(raw, path, error=DataError)
    names, file = facts.get(_LABELS), str(facts.get(_FILE))
    stored = header.tensors.get(_TENSOR)
    if stored is None or len(stored.shape) != 2 or not isinstance(names, list):
        raise DataError("These are no out-of-fold scores that 'multihot audit' wrote.", path=path)
    if stored.shape[1] != len(names):
        raise DataError(f"{stored.shape[1]} columns, but {len(names)} labels.", path=path)
    if digest is not None and file != digest:
        raise DataError(
            f"The scores are of another file, SHA-256 {cut(file[:16])}; this one is "
            f"{digest[:16]}. It may have changed since: audit it anew, without --scores.",
            path=path,
        )
    values = np.frombuffer(content[stored.start : stored.end], dtype="<f4").reshape(stored.shape)
    columns = _columns(path, {str(name): place for place, name in enumerate(names)}, space)
    logits = np.asarray(values[:, columns], dtype=np.float32)
    if not np.isfinite(logits).all():
        raise DataError("A score is not finite.", path=path)
    return logits


def _of_table(path: Path, space: LabelSpace) -> FloatArray:
    table = open_table(path, DataOptions())
    rows: list[list[float]] = []
    names = _score_columns(path, table, space)
    for line, cells in table.rows:
        record = dict(zip(table.columns, cells, strict=True))
        scores: Any = record.get("scores") if names is None else record
        if not isinstance(scores, dict):
            raise DataError(f"{cut(scores)} is no object of scores.", path=path, line=line)
        keys = space.names if names is None else names
        rows.append([_score(scores.get(key), path, line, key) for key in keys])
    return logit(np.array(rows, dtype=np.float64).reshape(-1, len(space))).astype(np.float32)


def _score_columns(path: Path, table: Table, space: LabelSpace) -> list[str] | None:
    """Return the column of each label; `None` where an object holds them."""
    if "scores" in table.columns:
        return None
    found = {
        name.removeprefix(_SCORE): place
        for place, name in enumerate(table.columns)
        if name.startswith(_SCORE)
    }
    return [table.columns[place] for place in _columns(path, found, space)]


def _columns(path: Path, place_of: dict[str, int], space: LabelSpace) -> list[int]:
    lacking = [name for name in space.names if name not in place_of]
    if lacking:
        raise DataError(
            f"There are no scores of these labels of the file: {listed(lacking)}. Scores are columns "
            f"{_SCORE}NAME, or an object 'scores' in JSON lines; those here are of: "
            f"{listed(list(place_of)) or 'none'}.",
            path=path,
        )
    return [place_of[name] for name in space.names]


def _score(cell: Any, path: Path, line: int, key: str) -> float:
    value = as_number(cell)
    if value is None and isinstance(cell, str):
        value = as_number(cell.replace(",", "."))
    if value is None or not 0 <= value <= 1:
        raise DataError(
            f"{cut(as_text(cell))} is no score between 0 and 1.", path=path, line=line, column=key
        )
    return min(max(value, 1e-7), 1 - 1e-7)
