"""Small records of numbers and texts from stored JSON, every value of the type that it must have."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from multihot.core.text_tables import cut
from multihot.errors import MultihotError
from multihot.gate.folder_files import shown_file

__all__ = ["record_of"]

T = TypeVar("T")
_LARGEST = 2**53  # of whole numbers, none of which is negative


def record_of(kind: type[T], content: Any, source: str | Path, error: type[MultihotError]) -> T:
    """Build the dataclass `kind` from a JSON object; raise `error` for a value of another type.

    Fields are whole numbers from 0, finite numbers, texts, truth values, `None` where that is allowed,
    and tables of numbers that may be `None`. A key more, or one less that has no default, is refused.

    Parameters
    ----------
    kind
        A dataclass.
    content
        What was parsed.
    source
        The file, for messages.
    error
        The class of what is raised.
    """
    where = shown_file(source)
    if not isinstance(content, dict):
        raise error(f"{where} holds {cut(content)}; expected a table. It is damaged.")
    fields: tuple[Any, ...] = dataclasses.fields(kind)  # type: ignore[arg-type]
    hints = typing.get_type_hints(kind)
    needed = {field.name for field in fields if field.default is dataclasses.MISSING}
    if not needed <= set(content) <= set(hints):
        wrong = sorted((needed - set(content)) | (set(content) - set(hints)))
        raise error(f"{where}: the key {cut(wrong[0])} is missing or unknown. It is damaged.")
    for name, value in content.items():
        if not _fits(value, hints[name]):
            raise error(f"{where}: the key {cut(name)} is {cut(value)}. It is damaged.")
    return kind(**content)


def _fits(value: Any, kind: Any) -> bool:
    if typing.get_origin(kind) in (types.UnionType, typing.Union):
        return any(_fits(value, each) for each in typing.get_args(kind))
    if typing.get_origin(kind) in (Mapping, dict):
        inner = typing.get_args(kind)[1]
        return isinstance(value, dict) and all(_fits(each, inner) for each in value.values())
    if kind is float:
        return type(value) in (int, float) and math.isfinite(value)
    if kind is int:
        return type(value) is int and 0 <= value < _LARGEST
    return type(value) is kind
