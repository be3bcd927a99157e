"""Read texts that stand one a line: fastText's form, LibMultiLabel's form, and lines with a file of labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any

from multihot.core.text_tables import cut
from multihot.data.readers.table import BATCH_ROWS, CellBatch, Table
from multihot.data.readers.text_encoding import (
    BLOCK_BYTES,
    Encoding,
    file_encoding,
    read_lines,
)
from multihot.errors import DataError

__all__ = [
    "LABEL_PREFIX",
    "fasttext_row",
    "find_label_file",
    "read_fasttext",
    "read_libmultilabel",
    "read_text_lines",
]

LABEL_PREFIX = "__label__"
"""What stands before every label of a fastText file."""

_COLUMNS = ("text", "labels")

Lines = Iterator[tuple[int, list[Any]]]
"""Line number and cells of every row."""


@dataclass(frozen=True)
class _LineFile:
    path: Path
    encoding: Encoding
    is_provisional: bool
    batch_rows: int
    block_bytes: int

    def contents(self) -> Iterator[tuple[int, str]]:
        """Yield number and content of every line."""
        lines = read_lines(self.path, self.encoding.name, block_bytes=self.block_bytes)
        return ((number, line.rstrip("\r\n")) for number, line in enumerate(lines, start=1))

    def table(
        self, columns: Sequence[str], rows: Callable[[list[str]], Lines], notes: list[str]
    ) -> Table:
        """Return the table of these rows; the notes are those of the first pass."""
        if self.encoding.note:
            notes.insert(0, self.encoding.note)

        def batches(notes: list[str]) -> Iterator[CellBatch]:
            found = rows(notes)
            while window := list(islice(found, self.batch_rows)):
                lines, cells = zip(*window, strict=True)
                yield CellBatch(list(lines), list(zip(*cells, strict=True)))

        return Table(
            tuple(columns),
            batches(notes),
            notes,
            lambda: batches([]),
            self.is_provisional,
        )


def read_fasttext(
    path: Path,
    *,
    encoding: Encoding,
    is_provisional: bool = False,
    batch_rows: int = BATCH_ROWS,
    block_bytes: int = BLOCK_BYTES,
) -> Table:
    """Open a fastText file: labels with `__label__` before each, then the text.

    Only the words before the text are labels; a line without any has no label. Blank lines are
    skipped and counted.

    Raises `DataError` for a label without a name, or labels that are not separated by white space.
    """
    file = _LineFile(path, encoding, is_provisional, batch_rows, block_bytes)

    def rows(notes: list[str]) -> Lines:
        counts = _FastTextCounts()
        for line, content in file.contents():
            if not content.strip():
                counts.blank += 1
                continue
            labels, text = fasttext_row(content, path, line)
            counts.without_label += not labels
            counts.inside += LABEL_PREFIX in text
            yield line, [text, labels]
        notes += counts.notes()

    notes = [f"Format: fastText, every line begins with its labels ({LABEL_PREFIX}NAME)."]
    return file.table(_COLUMNS, rows, notes)


@dataclass
class _FastTextCounts:
    blank: int = 0
    without_label: int = 0
    inside: int = 0

    def notes(self) -> list[str]:
        said = {
            "blank lines were skipped.": self.blank,
            f"lines have no {LABEL_PREFIX}: these rows have no label.": self.without_label,
            f"lines hold {LABEL_PREFIX} within the text; it stays there.": self.inside,
        }
        return [f"{number} {what}" for what, number in said.items() if number]


def fasttext_row(content: str, path: str | Path, line: int) -> tuple[list[str], str]:
    """Return the labels and the text of a line; raise `DataError` for a label that is none."""
    labels: list[str] = []
    rest = content.strip()
    while rest.startswith(LABEL_PREFIX):
        word, *after = rest.split(maxsplit=1)
        name = word.removeprefix(LABEL_PREFIX)
        if not name or LABEL_PREFIX in name or name[-1] in ",;|":
            raise DataError(
                f"{cut(word)} is not one label: write {LABEL_PREFIX}NAME for each, separated by spaces.",
                path=path,
                line=line,
            )
        labels.append(name)
        rest = after[0] if after else ""
    return labels, rest


def read_libmultilabel(
    path: Path,
    *,
    encoding: Encoding,
    is_provisional: bool = False,
    batch_rows: int = BATCH_ROWS,
    block_bytes: int = BLOCK_BYTES,
) -> Table:
    """Open a file in LibMultiLabel's form: `labels<TAB>text` or `ID<TAB>labels<TAB>text`, no header.

    Labels are separated by spaces; quotes have no meaning. Blank lines are skipped and counted.

    Raises `DataError` for a line that has not as many cells as the first.
    """
    file = _LineFile(path, encoding, is_provisional, batch_rows, block_bytes)
    first = next((content for _, content in file.contents() if content.strip()), "")
    width = first.count("\t") + 1

    def rows(notes: list[str]) -> Lines:
        num_blank = 0
        for line, content in file.contents():
            if not content.strip():
                num_blank += 1
                continue
            *row_id, labels, text = _tab_cells(content, width, path, line)
            yield line, [*row_id, text, labels.split()]
        if num_blank:
            notes.append(f"{num_blank} blank lines were skipped.")

    if width not in (2, 3):
        _tab_cells(first, 0, path, 1)  # raises
    columns = (*_COLUMNS,) if width == 2 else ("id", *_COLUMNS)
    order = "labels, text" if width == 2 else "id, labels, text"
    return file.table(columns, rows, [f"Format: LibMultiLabel, without a header: {order}."])


def _tab_cells(content: str, width: int, path: Path, line: int) -> list[str]:
    cells = content.split("\t")
    if len(cells) != width:
        expected = (
            f"{width}, as in the first line" if width else "labels and text, or id, labels, text"
        )
        raise DataError(
            f"This line has {len(cells)} cells separated by tabs; expected {expected} "
            "(data.format=libmultilabel). Replace tabs within texts by spaces, or set data.format=auto if "
            "the file has another form.",
            path=path,
            line=line,
        )
    return cells


def read_text_lines(
    path: Path,
    label_file: str | None = None,
    *,
    label_delimiter: str | None = None,
    may_be_numbers: bool = False,
    encoding: Encoding,
    is_provisional: bool = False,
    batch_rows: int = BATCH_ROWS,
    block_bytes: int = BLOCK_BYTES,
) -> Table:
    """Open a file of one text a line, with a file that has the labels of every line.

    Parameters
    ----------
    label_file
        One line for each text; a blank one is a text without labels. `None` = texts alone. A `*` stands
        for the name of the file of texts without its ending; such a file is looked for beside the
        texts, and there are texts alone if it is missing.
    label_delimiter
        What separates the labels of a line; white space without it; empty = one label a line.
    may_be_numbers
        Whether labels may be vectors of 0 and 1, as there are names for them.

    Raises
    ------
    DataError
        The files have different numbers of lines, or the labels are vectors of 0 and 1.
    """
    file = _LineFile(path, encoding, is_provisional, batch_rows, block_bytes)
    found = None if label_file is None else find_label_file(path, label_file)
    if label_file is None or found is None:
        missing = (
            []
            if label_file is None
            else [
                f"There is no file of labels {label_file} for {path.name} beside it (data.label_file)."
            ]
        )
        table = file.table(
            ("text",),
            lambda _: ((line, [text]) for line, text in file.contents()),
            ["Format: one text a line.", *missing],
        )
        return replace(table, hints=tuple(missing))
    labels = _LineFile(found, file_encoding(found), False, batch_rows, block_bytes)
    mark = {"tab": "\t", "space": " "}.get(label_delimiter or "", label_delimiter)

    def rows(_: list[str]) -> Lines:
        width: int | None = (
            None if may_be_numbers else -1
        )  # of the vectors of 0 and 1 that all lines may be; `None` = they are not
        for text, label in zip_longest(file.contents(), labels.contents()):
            if text is None or label is None:
                raise _uneven(file, labels, path if text is None else labels.path)
            names = _split_labels(label[1], mark)
            if mark is None:
                _refuse_marks(names, labels.path, label[0])
            if width is not None:
                is_vector = (
                    len(names) > 1 and set(names) <= {"0", "1"} and width in (-1, len(names))
                )
                width = len(names) if is_vector else None
            yield text[0], [text[1], names]
        if width is not None and width > 1:
            raise DataError(
                f"Every line holds {width} numbers 0 and 1: these look like vectors, not like names of "
                "labels. Name the labels in data.label_names=FILE, or write their names for each text.",
                path=labels.path,
                line=1,
            )

    how = "white space" if mark is None else cut(mark) if mark else "nothing: one a line"
    notes = [f"Format: one text a line; labels: the same line of {found}, separated by {how}."]
    return file.table(_COLUMNS, rows, notes)


def find_label_file(path: Path, label_file: str) -> Path | None:
    """Return the file of labels of a file of texts; `None` where a name with `*` fits no file."""
    wanted = Path(label_file.replace("*", path.name.partition(".")[0]))
    if "*" in label_file:
        wanted = path.parent / wanted
    if wanted.is_file():
        return wanted
    if "*" in label_file:
        return None
    raise DataError("There is no such file of labels (data.label_file).", path=label_file)


def _split_labels(content: str, mark: str | None) -> list[str]:
    parts = [content] if mark == "" else content.split(mark)
    return [part.strip() for part in parts if part.strip()]


def _refuse_marks(names: Sequence[str], path: Path, line: int) -> None:
    """Raise `DataError` when labels between white space hold something else that separates labels."""
    for mark in "|;,":
        wrong = next((name for name in names if mark in name), None)
        if wrong is not None:
            raise DataError(
                f"{cut(wrong)} may be one label, or '{mark}' separates labels. Set data.label_delimiter={mark} "
                "for that, data.label_delimiter=space if only white space does.",
                path=path,
                line=line,
            )


def _uneven(texts: _LineFile, labels: _LineFile, shorter: Path) -> DataError:
    counts = [sum(1 for _ in file.contents()) for file in (texts, labels)]
    return DataError(
        f"{texts.path} has {counts[0]} lines and {labels.path} has {counts[1]} (data.label_file): every text "
        "needs one line of labels, a blank one if it has none.",
        path=shorter,
        line=min(counts) + 1,
    )
