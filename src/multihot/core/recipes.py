"""Frozen option dataclasses from recipes (TOML) and `key=value` pairs, and back.

Nothing here knows a particular option. An unknown key is an error that names the nearest known one.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
import re
import tomllib
import types
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from multihot.core.text_tables import cut, listed
from multihot.errors import OptionError

__all__ = [
    "build_options",
    "did_you_mean",
    "option_types",
    "parse_assignments",
    "read_recipe",
    "require",
    "to_plain",
    "updated",
]

T = TypeVar("T")

_MAX_LISTED = 5  # options beside the nearest one
_TRUE = {"true", "yes", "on", "1"}
_FALSE = {"false", "no", "off", "0"}


def read_recipe(path: str | Path) -> dict[str, Any]:
    """Read a TOML recipe as a nested dictionary; raise `OptionError` when it is not valid TOML."""
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise OptionError(f"{path}: there is no such recipe.") from None
    except OSError as error:
        raise OptionError(f"{path}: cannot be read: {error.strerror}.") from None
    except (ValueError, RecursionError) as error:  # of too many digits, or too deep, too
        raise OptionError(f"{path}: is not a valid TOML recipe: {error}") from None


def parse_assignments(pairs: Iterable[str]) -> dict[str, Any]:
    """Turn `["epochs=3", "data.text_column=Tweet"]` into `{"epochs": "3", "data": {...}}`."""
    nested: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key.strip():
            raise OptionError(f"'{pair}' is not an option: write key=value, for example epochs=3.")
        target = nested
        *parents, leaf = key.strip().split(".")
        for parent in parents:
            target = target.setdefault(parent, {})
            if not isinstance(target, dict):
                raise OptionError(f"'{pair}': '{parent}' is already set to a plain value.")
        target[leaf] = value
    return nested


def updated(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` updated with `changes`, nested tables merged."""
    result = dict(base)
    for key, value in changes.items():
        old = result.get(key)
        both = isinstance(value, Mapping) and isinstance(old, Mapping)
        result[key] = updated(typing.cast("Mapping[str, Any]", old), value) if both else value
    return result


def option_types(kind: type[Any]) -> dict[str, Any]:
    """Return the resolved type of every field of the dataclass `kind`, in order."""
    hints = typing.get_type_hints(kind)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}


def build_options(
    kind: type[T], values: Mapping[str, Any], *, prefix: str = "", parse_strings: bool = True
) -> T:
    """Build the options dataclass `kind` from plain values.

    Strings (from `key=value`) are converted to the field's type, unless `parse_strings` is off: then a
    number is no string. Raises `OptionError` for unknown keys and values of the wrong type.
    """
    known = option_types(kind)
    built: dict[str, Any] = {}
    for key, value in values.items():
        if key not in known:
            raise OptionError(_unknown_option(key, known, prefix))
        if dataclasses.is_dataclass(known[key]):
            if not isinstance(value, Mapping):
                raise OptionError(f"'{prefix}{key}' is a table; set '{prefix}{key}.NAME' instead.")
            inner = typing.cast("type[Any]", known[key])
            built[key] = build_options(
                inner, value, prefix=f"{prefix}{key}.", parse_strings=parse_strings
            )
        else:
            _require_unicode(value, f"{prefix}{key}")
            built[key] = _convert(value, known[key], f"{prefix}{key}", parse=parse_strings)
    return kind(**built)


def _require_unicode(value: Any, name: str) -> None:
    """Raise `OptionError` for a name in another encoding, which a recipe could not hold."""
    for text in value if isinstance(value, list | tuple) else [value]:
        if isinstance(text, str) and re.search("[\ud800-\udfff]", text):
            raise OptionError(
                f"{name}={text}: this name is not UTF-8, and no recipe could hold it. Rename it."
            )


def _unknown_option(key: str, known: Mapping[str, Any], prefix: str) -> str:
    """Name the nearest option here or in a table below, or all that there are."""
    names = {name: f"{prefix}{name}" for name in known}
    for table, kind in known.items():
        if dataclasses.is_dataclass(kind):
            for field in dataclasses.fields(kind):
                names.setdefault(field.name, f"{prefix}{table}.{field.name}")
    near = difflib.get_close_matches(key, names, n=1)
    hint = f" Did you mean '{names[near[0]]}'?" if near else ""
    shown = listed(list(known), _MAX_LISTED if near else len(known))
    return f"Unknown option '{prefix}{key}'.{hint} Options here: {shown}."


def did_you_mean(name: str, known: Iterable[str], prefix: str = "") -> str:
    """Return a sentence that names the known name nearest to `name`, with a blank before it; else ''."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean '{prefix}{near[0]}'?" if near else ""


def to_plain(options: Any) -> dict[str, Any]:
    """Return an options dataclass as nested plain values without the `None` fields (TOML has none)."""
    plain: dict[str, Any] = {}
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if value is None:
            continue
        if dataclasses.is_dataclass(value):
            value = to_plain(value)
        plain[field.name] = list(value) if isinstance(value, tuple) else value
    return plain


def _convert(value: Any, kind: Any, name: str, *, parse: bool) -> Any:
    """Convert one value to the type `kind` of the option `name`; strings only where `parse`."""
    allowed = _plain_types(kind)
    is_text = isinstance(value, str) and not parse
    is_none = value is None or (not is_text and str(value).lower() == "none")
    if types.NoneType in allowed and is_none:
        return None
    if value is None and kind == tuple[str, ...]:
        return ()
    # The most specific type first, so that `str | float` takes "0.5" as a number.
    of_texts = {str, tuple[str, ...]}
    for candidate in sorted(allowed, key=_specificity):
        if is_text and not of_texts & set(allowed):
            break
        converted = _as(value, candidate)
        if converted is not None:
            return converted
    expected = " or ".join(_describe(candidate) for candidate in allowed)
    raise OptionError(f"Option '{name}' is {cut(value)}; expected {expected}.")


def _plain_types(kind: Any) -> tuple[Any, ...]:
    """Return the types that an option takes; a `Literal` is a string whose value is checked later."""
    unions = (types.UnionType, typing.Union)
    members = typing.get_args(kind) if typing.get_origin(kind) in unions else (kind,)
    return tuple(str if typing.get_origin(each) is typing.Literal else each for each in members)


def _specificity(kind: Any) -> int:
    order = [bool, int, float, tuple[str, ...], str, types.NoneType]
    return order.index(kind)


def _describe(kind: Any) -> str:
    names = {
        bool: "true or false",
        int: "a whole number",
        float: "a number",
        str: "a string",
        types.NoneType: "none",
    }
    return names.get(kind, "a list of names separated by commas")


def _as(value: Any, kind: Any) -> Any:
    """Return `value` as `kind`, or `None` when it does not fit."""
    if kind is bool:
        return _as_bool(value)
    if isinstance(value, bool):
        return None
    if kind in (int, float):
        return _as_number(value, kind)
    if kind is str:
        return os.fspath(value) if isinstance(value, str | os.PathLike) else None
    return _as_names(value) if kind == tuple[str, ...] else None


def _as_bool(value: Any) -> bool | None:
    if isinstance(value, bool):
        return value
    text = value.strip().lower() if isinstance(value, str) else ""
    return True if text in _TRUE else False if text in _FALSE else None


def _as_number(value: Any, kind: type[int] | type[float]) -> int | float | None:
    if not isinstance(value, int | float | str) or (kind is int and isinstance(value, float)):
        return None
    try:
        return kind(value)
    except ValueError:
        return None


def _as_names(value: Any) -> tuple[str, ...] | None:
    if isinstance(value, str):
        is_none = value.strip().lower() == "none"
        return () if is_none else tuple(p.strip() for p in value.split(",") if p.strip())
    parts = [value] if isinstance(value, os.PathLike) else value
    fits = isinstance(parts, list | tuple) and all(isinstance(p, str | os.PathLike) for p in parts)
    return tuple(map(os.fspath, parts)) if fits else None


def require(met: bool, name: str, value: object, expected: str) -> None:
    """Raise `OptionError` unless `met`, with the option's name, its value and what is expected."""
    if not met:
        raise OptionError(f"Option '{name}' is {value!r}; expected {expected}.")
