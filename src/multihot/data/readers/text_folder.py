"""Read a folder of text files, one text each, with a file of labels beside or opposite each.

folder/a.txt, folder/a.lab            one label a line
folder/texts/a.txt, folder/labels/a.txt
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from multihot.core.text_tables import counted, listed
from multihot.data.readers.table import BATCH_ROWS, CellBatch, Table
from multihot.data.readers.text_encoding import file_encoding, read_blocks, read_lines
from multihot.errors import DataError

__all__ = ["is_text_folder", "read_text_folder"]

_TEXT_ENDING = ".txt"
_LABEL_ENDINGS = (".lab", ".labels", ".label", ".tags", ".key")
_TEXT_FOLDERS = ("texts", "text", "documents", "docs")
_LABEL_FOLDERS = ("labels", "label", "tags")


@dataclass(frozen=True)
class _TextFile:
    text: Path
    labels: Path | None


def is_text_folder(folder: Path) -> bool:
    """Whether a folder holds texts with files of labels: at least one of each, that belong together."""
    if not folder.is_dir():
        return False
    files, _ = _files_of(folder)
    return any(file.labels is not None for file in files)


def read_text_folder(
    folder: Path, *, encoding: str | None = None, batch_rows: int = BATCH_ROWS
) -> Table:
    """Open a folder of text files; each is one row, in the order of the names.

    A text whose file of labels is missing is unlabelled, which is counted; an empty file of labels
    means no label.

    Raises
    ------
    DataError
        There is no text file, a text has two files of labels, or a file of labels has no text.
    """
    if not folder.is_dir():
        raise DataError("This is not a folder (data.format=folder).", path=folder)
    files, endings = _files_of(folder)
    if not files:
        raise DataError(
            f"The folder has no {_TEXT_ENDING} file, also none in a folder named texts.",
            path=folder,
        )
    num_without = sum(file.labels is None for file in files)
    notes = [
        f"Format: a folder of {len(files)} text files, with labels in "
        f"{listed(endings) or 'no files'}, one a line."
    ]
    if num_without:
        first = next(file.text for file in files if file.labels is None)
        notes.append(
            f"{counted(num_without, 'text has', 'texts have')} no file of labels: unlabelled; the first is {first.name}."
        )

    def batches() -> Iterator[CellBatch]:
        numbered = iter(enumerate(files, start=1))
        while window := list(islice(numbered, batch_rows)):
            cells: list[Sequence[Any]] = [
                [file.text.stem for _, file in window],
                [_text(file.text, encoding) for _, file in window],
                [_labels(file.labels, encoding) for _, file in window],
            ]
            yield CellBatch([number for number, _ in window], cells)

    return Table(("id", "text", "labels"), batches(), notes, batches)


def _files_of(folder: Path) -> tuple[list[_TextFile], list[str]]:
    """Return the text files with their files of labels, and where those are."""
    texts, labels = folder, folder
    for names, kind in ((_TEXT_FOLDERS, "text"), (_LABEL_FOLDERS, "label")):
        found = [folder / name for name in names if (folder / name).is_dir()]
        if len(found) == 1:
            texts, labels = (found[0], labels) if kind == "text" else (texts, found[0])
    text_names = sorted(
        file.name for file in texts.iterdir() if file.suffix.lower() == _TEXT_ENDING
    )
    beside = {file.name for file in labels.iterdir() if file.is_file()}
    endings = _LABEL_ENDINGS if texts == labels else (*_LABEL_ENDINGS, _TEXT_ENDING)
    files, used = [], dict[str, None]()
    for name in text_names:
        stem = Path(name).stem
        found_names = [stem + ending for ending in endings if stem + ending in beside]
        if len(found_names) > 1:
            raise DataError(
                f"This text has several files of labels: {listed(found_names)}. Keep one.",
                path=texts / name,
            )
        used.update(dict.fromkeys(found_names))
        files.append(_TextFile(texts / name, labels / found_names[0] if found_names else None))
    left = sorted(name for name in beside - used.keys() if Path(name).suffix.lower() in endings)
    if left and used:
        raise DataError(
            f"{counted(len(left), 'file of labels has', 'files of labels have')} no text of the same name, the first is {left[0]}.",
            path=labels / left[0],
        )
    where = sorted({f"*{Path(name).suffix}" for name in used})
    prefix = "" if texts == labels else f"{labels.name}/"
    return files, [prefix + name for name in where]


def _text(file: Path, encoding: str | None) -> str:
    if not file.stat().st_size:
        return ""
    return "".join(read_blocks(file, file_encoding(file, encoding).name)).strip("\r\n")


def _labels(file: Path | None, encoding: str | None) -> list[str] | None:
    if file is None:
        return None
    if not file.stat().st_size:
        return []
    lines = (line.strip() for line in read_lines(file, file_encoding(file, encoding).name))
    return [line for line in lines if line]
