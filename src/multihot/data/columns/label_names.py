"""Label names that the user gives in files: the names in their order, and other spellings of them."""

from __future__ import annotations

import ast
import csv
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from multihot.core.files import read_table
from multihot.core.labels import normalized_name
from multihot.core.options import DataOptions
from multihot.data.readers.text_encoding import file_encoding, read_lines
from multihot.errors import DataError, OptionError

__all__ = ["Spelling", "nearly_equal_names", "read_label_names", "spelling_of"]

_INDEXED_LINE = re.compile(r"\s*(\d+)\s*[,;\t]\s*(\S.*?)\s*")
_NUMBERED_LINE = re.compile(r"\s*(\d+)(?:\s*[:=]\s*|[.)]\s+|\s+)(\S.*?)\s*")
_ITEM = re.compile(r"\s*- (\S.*)")
_QUOTED = re.compile(r"""(["'])(.*)\1""")
_HEADERS = frozenset(
    {"label", "labels", "label name", "label_name", "name", "names", "class", "classes"}
)
_UNDER_KEY = re.compile(r"- |\d+\s*:")
_LAST_NUMBER = re.compile(r"\s*(\S.*?)\s*[,;\t]\s*(\d+)\s*")


def read_label_names(path: str | Path) -> tuple[str, ...]:
    """Read a file of label names; the order counts, as indices count from 0.

    It is one name a line; a JSON list of names, or an object from indices to names or from names to
    indices (also as `id2label` or `label2id`); or lines of index and name.

    Raises
    ------
    DataError
        There is no such file, it is empty, a name is missing or occurs twice, or an index is.
    """
    file = Path(path)
    if not file.is_file():
        raise DataError("There is no such file of label names (data.label_names).", path=path)
    try:
        lines = list(read_lines(file, file_encoding(file).name))
    except OSError as error:
        raise DataError(f"The file cannot be read: {error.strerror or error}.", path=path) from None
    content = "".join(lines).strip()
    if content.startswith(("{", "[")):
        return _from_json(content, path)
    names = [normalized_name(line) for line in lines]
    while names and not names[-1]:
        names.pop()
    names = _without_marks(names)
    numbered = _without_indices(names, path)
    if numbered is names:
        _refuse_other_formats(names, path)
    return _unique(numbered, path)


def _without_marks(names: list[str]) -> list[str]:
    """Return names without what stands around every one of them: a list's `- `, quotes, a last comma."""
    for pattern, group in ((_ITEM, 1), (re.compile(r"(.*\S)\s*,"), 1), (_QUOTED, 2)):
        found = [pattern.fullmatch(name) for name in names]
        matches = [match for match in found if match]
        if matches and len(matches) == len(found):
            names = [normalized_name(match.group(group)) for match in matches]
    return names


def _refuse_other_formats(names: Sequence[str], path: str | Path) -> None:
    """Raise `DataError` for lines that are hardly a name each: a comment, a heading, a table, YAML."""
    if not names:
        return
    first, several = names[0], len(names) > 1
    reason = None
    if several and first.startswith("# ") and not all(name.startswith("#") for name in names):
        reason = "the first line looks like a comment"
    elif several and first.casefold() in _HEADERS:
        reason = f"the first line, '{first}', looks like a heading"
    elif several and first.endswith(":") and all(map(_UNDER_KEY.match, names[1:])):
        reason = "the lines look like YAML with a key above the names"
    elif not several and (first.count(",") > 1 or first.startswith(("names:", "labels:"))):
        reason = "the only line holds several names"
    if reason is not None:
        raise DataError(
            f"Expected one label name a line, but {reason}. Correct the file; if it is a name, write "
            'all names as a JSON list, such as ["joy", "love"].',
            path=path,
            line=1,
        )


def _unique(names: Sequence[str], path: str | Path, *, has_lines: bool = True) -> tuple[str, ...]:
    if not names:
        raise DataError("The file of label names is empty: expected one name a line.", path=path)
    first_of: dict[str, int] = {}
    for number, name in enumerate(names, start=1):
        line = number if has_lines else None
        if not name:
            raise DataError("There is a blank line between label names.", path=path, line=line)
        first = first_of.setdefault(name, number)
        if first < number:
            where = (
                f"the first is in line {first}" if has_lines else f"as names {first} and {number}"
            )
            raise DataError(
                f"The label name '{name}' occurs twice; {where}. Remove one.", path=path, line=line
            )
    return tuple(names)


def _without_indices(names: list[str], path: str | Path) -> list[str]:
    """Return the names of lines such as `0,joy` or `joy,0`, below a header or not."""
    for pattern, index_group in ((_INDEXED_LINE, 1), (_LAST_NUMBER, 2), (_NUMBERED_LINE, 1)):
        for start in (0, 1):
            found = [pattern.fullmatch(name) for name in names[start:]]
            matches = [match for match in found if match]
            if not matches or len(matches) < len(found):
                continue
            numbered = {int(m.group(index_group)): m.group(3 - index_group) for m in matches}
            if sorted(numbered) != list(range(len(matches))):
                if pattern is _NUMBERED_LINE and sorted(numbered) != list(
                    range(1, len(matches) + 1)
                ):
                    continue  # names that begin with a number
                raise DataError(
                    "The lines look like indices and names, but the indices are not 0 to "
                    f"{len(matches) - 1}, each once. Number the labels from 0, or leave one name a line. "
                    "If the cells of the data count from 1, too, subtract 1 from each of them.",
                    path=path,
                )
            if start and pattern is _INDEXED_LINE and len(re.split(r"[,;\t]", names[0])) > 2:
                raise DataError(
                    "The table has more than two columns. Keep the index and the name of each label.",
                    path=path,
                    line=1,
                )
            return [normalized_name(numbered[index].strip("\"'")) for index in sorted(numbered)]
    return names


def _from_json(content: str, path: str | Path) -> tuple[str, ...]:
    try:
        value = _json_or_literal(content)
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"The file of label names begins like JSON, but is none: {error}. Expected a list of "
            "names, an object from indices to names, or one name a line.",
            path=path,
        ) from None
    if isinstance(value, dict):
        for key in ("id2label", "label2id"):
            if isinstance(value.get(key), dict):
                value = value[key]
                break
        for key in ("names", "labels", "classes"):
            if isinstance(value.get(key), list) and len(value) == 1:
                value = value[key]
                break
    if isinstance(value, dict):
        value = _in_order(value)
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise DataError(
            "The JSON of label names must be a list of names, or an object from the indices 0, 1, 2 "
            "... to names, or from names to them; no index may be missing, and 0 is the first.",
            path=path,
        )
    return _unique([normalized_name(name) for name in value], path, has_lines=False)


def _json_or_literal(content: str) -> Any:
    """Return what JSON, or a list or dictionary as Python prints it, stands for."""
    try:
        return json.loads(content)
    except ValueError as error:
        try:
            value = ast.literal_eval(content)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            raise error from None
    if isinstance(value, dict):
        return {str(key) if isinstance(key, int) else key: name for key, name in value.items()}
    if isinstance(value, list):
        return value
    raise ValueError("it has no order")


def _in_order(table: Mapping[str, Any]) -> list[Any] | None:
    """Return the names of an object from indices to names or the other way, by index."""
    if all(isinstance(key, str) and key.isascii() and key.isdigit() for key in table):
        numbered = {int(key): name for key, name in table.items()}
    elif all(isinstance(index, int) and not isinstance(index, bool) for index in table.values()):
        numbered = {index: name for name, index in table.items()}
    else:
        return None
    complete = len(numbered) == len(table) and sorted(numbered) == list(range(len(table)))
    return [numbered[index] for index in range(len(table))] if complete else None


@dataclass(frozen=True)
class Spelling:
    """How label names are made equal before they are compared.

    Attributes
    ----------
    folded
        Whether names that are equal but for case are one label, in lower case.
    aliases
        The name to use for others, in the form that `folded` gives them.
    """

    folded: bool = False
    aliases: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, name: str) -> str:
        """Return the name of a label."""
        name = normalized_name(name)
        if self.folded:
            name = normalized_name(name.casefold())
        return self.aliases.get(name, name)

    def stored(self) -> str | None:
        """Return the aliases as `data.label_aliases` takes them wherever their file goes: as JSON."""
        return json.dumps(dict(self.aliases), ensure_ascii=False) if self.aliases else None

    @property
    def changes_names(self) -> bool:
        """Whether a name may become another one."""
        return self.folded or bool(self.aliases)


_CHOICES = {
    "label_case": ("keep", "fold"),
    "unknown_labels": ("error", "ignore"),
    "empty_labels": ("negative", "unknown"),
}


def _check_choices(data: DataOptions) -> None:
    """Raise `OptionError` when an option about label names is not one of its values."""
    for name, known in _CHOICES.items():
        value = getattr(data, name)
        if value not in known:
            raise OptionError(f"data.{name}={value} is unknown. Known: {', '.join(known)}.")


def spelling_of(data: DataOptions) -> Spelling:
    """Return what `data.label_case` and `data.label_aliases` ask for.

    Raises `OptionError` when one of them is wrong.
    """
    _check_choices(data)
    plain = Spelling(folded=data.label_case == "fold")
    if data.label_aliases is None:
        return plain
    aliases = {}
    for alias, name in _alias_table(data.label_aliases).items():
        if not isinstance(name, str) or not normalized_name(name):
            raise OptionError(
                f"data.label_aliases={data.label_aliases}: '{alias}' stands for {name!r}; expected the "
                "name of a label."
            )
        aliases[plain(alias)] = plain(name)
    chained = next((name for name in aliases.values() if aliases.get(name, name) != name), None)
    if chained is not None:
        raise OptionError(
            f"data.label_aliases={data.label_aliases}: '{chained}' is the name of a label and an alias of "
            "another one. Name the last of them directly."
        )
    return Spelling(plain.folded, aliases)


def _alias_table(source: str) -> Mapping[str, Any]:
    """Return the table of aliases: a TOML or JSON file, lines of alias and name, or JSON itself."""
    if source.lstrip().startswith("{"):  # as it is stored with a model
        try:
            return dict(json.loads(source))
        except (ValueError, RecursionError) as error:
            raise OptionError(f"data.label_aliases is not valid JSON: {error}") from None
    path = Path(source)
    if path.suffix.lower() not in (".csv", ".tsv"):
        return read_table(path, "data.label_aliases")
    if not path.is_file():
        raise OptionError(f"data.label_aliases={source}: there is no such file.")
    delimiter = "," if path.suffix.lower() == ".csv" else "\t"
    rows = csv.reader(read_lines(path, file_encoding(path).name), delimiter=delimiter)
    table: dict[str, str] = {}
    for number, row in enumerate(rows, start=1):
        if not row:
            continue
        if len(row) != 2 or row[0] in table:
            reason = "occurs before" if len(row) == 2 else "is not an alias and a name"
            raise DataError(f"{row!r} {reason}.", path=path, line=number)
        table[row[0]] = row[1]
    return table


def nearly_equal_names(
    names: Sequence[str], key: Callable[[str], str] | None = None
) -> list[tuple[str, ...]]:
    """Return the names that are equal but for case, width, white space, punctuation or a plural s."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault((key or _skeleton)(name), []).append(name)
    return [tuple(group) for group in groups.values() if len(group) > 1]


def _skeleton(name: str) -> str:
    import unicodedata

    folded = unicodedata.normalize("NFKC", name).casefold()
    letters = "".join(character for character in folded if character.isalnum())
    if not letters:
        return folded
    return (
        letters[:-1] if len(letters) > 3 and letters[-1] == "s" and letters[-2] != "s" else letters
    )
