"""Cells that are collections printed as text: Python, JSON, NumPy and PostgreSQL lists, tags."""

from __future__ import annotations

import ast
import json
import re
from typing import Any, Literal

__all__ = ["CellKind", "kind_of", "read_collection", "read_tags"]

CellKind = Literal["plain", "collection", "quoted", "tags"]
"""How the text of a cell begins and ends: see `kind_of`."""

_CALL = re.compile(r"[A-Za-z_][\w.]*\((.*)\)", re.DOTALL)
_MADE_LIST = re.compile(r"(?:(?:np|numpy)\.)?(?:array|set|frozenset|list|tuple)\((.*)\)", re.DOTALL)
_SCALA_OR_R = re.compile(
    r"(?:WrappedArray|Array\w*|List|Vector|Seq|Stream|character)\(.*\)", re.DOTALL
)
_DTYPE = re.compile(r",\s*dtype=[\w.'<>|]+\s*$")
_TAGS = re.compile(r"(?:<[^<>]+>\s*)+")
_QUOTED = re.compile(r"""(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')""")
_PLAIN = r"'[^'\\\x00-\x1f\ud800-\udfff]*'"
_PLAIN_LIST = re.compile(rf"\[{_PLAIN}(?:, {_PLAIN})*\]")
_NUMBERS = re.compile(r"\[(?:[\s\d.+-]|True|False)+\]")
_LISTS = frozenset(
    {"array", "list", "tuple", "set", "frozenset", "tensor", "Tensor", "Index", "deque"}
)
_LISTS |= frozenset({"dict_keys", "dict_values", "c", "OrderedSet"})
_TABLES = frozenset({"dict", "OrderedDict", "Counter"})
_NUMPY_VALUES = re.compile(r"str_|bool_|u?int\d+|float\d+")
_WORDS = {"null": None, "true": True, "false": False}
_WORDS |= {"True_": True, "False_": False}
_MAPPED = re.compile(r"\s*[^:]+:\s*(?:[\d.]+|true|false)\s*", re.IGNORECASE)
_NEEDS_QUOTES = frozenset('{}"\\')
_MAX_CHARACTERS = 1 << 20  # of a literal that is parsed


def kind_of(text: str) -> CellKind:
    """Return what a stripped text that is not empty looks like.

    `collection` is in brackets, `quoted` is names in quotes, `tags` are names in angle brackets one
    after the other; anything else is `plain`.
    """
    first, last = text[0], text[-1]
    if (first, last) in (("[", "]"), ("{", "}")):
        return "collection"
    if last == ")":
        if _is_call(text):
            return "collection"
        if first == "(" and _closes_at_end(text) and (text == "()" or set(text) & set(",'\"")):
            return "collection"
    if (first, last) == ("<", ">") and _TAGS.fullmatch(text):
        return "tags"
    if first in "'\"" and last in "'\"" and _quoted_names(text) is not None:
        return "quoted"
    return "plain"


def read_tags(text: str) -> list[str]:
    """Return the names of `<a><b>`."""
    return re.findall(r"<([^<>]+)>", text)


def read_collection(text: str) -> list[Any] | dict[Any, Any]:
    """Return the members of a printed list, tuple, set, array or dictionary.

    Members of a set are sorted. Raises `ValueError` when it cannot be read without guessing.
    """
    if len(text) > _MAX_CHARACTERS:
        raise ValueError("it is too long")
    if _PLAIN_LIST.fullmatch(text):  # most lists are, and need no parser
        return text[2:-2].split("', '")
    if kind_of(text) == "quoted":
        names = _quoted_names(text) or []
        return read_collection(names[0]) if _is_quoted_collection(names) else names
    call = _MADE_LIST.fullmatch(text)
    inner = _DTYPE.sub("", call.group(1)).strip() if call else text
    value: Any
    if not inner or inner in ("[]", "{}", "()"):
        value = []
    elif _NUMBERS.fullmatch(inner):
        value = _numbers(inner)
    elif re.search("\0\\s*\0", _QUOTED.sub("\0", inner)):  # which Python would join into one name
        value = _spaced_names(inner)
    else:
        value = _literal(inner)
    if isinstance(value, str):
        return [value]
    if isinstance(value, (list, dict)):
        return value
    raise ValueError("it is not a list")


def _literal(text: str) -> Any:
    """Return what a Python or JSON literal, or a PostgreSQL array, stands for."""
    try:
        return _value_of(ast.parse(text, mode="eval").body)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        if isinstance(error, _ToldError):
            raise
    try:
        return json.loads(text, object_pairs_hook=_unique_keys)
    except _ToldError:
        raise
    except (ValueError, RecursionError):
        if text[0] != "{":
            raise ValueError("it is no list of Python or JSON") from None
        return _postgres_array(text)


def _value_of(node: ast.expr) -> Any:
    """Return the value of a literal, also of the calls by which NumPy and others print theirs."""
    match node:
        case ast.Constant():
            return node.value
        case ast.List() | ast.Tuple() | ast.Set():
            values = [_value_of(element) for element in node.elts]
            return sorted(values, key=str) if isinstance(node, ast.Set) else values
        case ast.Dict():
            if None in node.keys:
                raise ValueError("it unpacks another one")
            keys = [_value_of(key) for key in node.keys if key is not None]
            return _unique_keys(list(zip(keys, map(_value_of, node.values), strict=True)))
        case ast.Name() | ast.Attribute():
            name = _last_name(node)
            if name in _WORDS:
                return _WORDS[name]
            if name in ("nan", "NaN", "NA", "NaT"):
                raise _ToldError(f"a value in it is missing ({name}); leave it out, [] is no label")
            raise ValueError(f"{name} has no quotes")
        case ast.Call():
            return _called(_last_name(node.func), [_value_of(given) for given in node.args])
    return ast.literal_eval(node)


def _called(name: str, given: list[Any]) -> Any:
    if name in _LISTS:
        values = given[0] if len(given) == 1 and isinstance(given[0], list) else given
        return sorted(values, key=str) if name in ("set", "frozenset") else values
    if name in _TABLES and len(given) <= 1:
        return dict(given[0]) if given else {}
    if _NUMPY_VALUES.fullmatch(name) and len(given) == 1:
        return given[0]
    raise ValueError(f"{name}(...) is not known")


def _last_name(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


class _ToldError(ValueError):
    pass


def _unique_keys(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _ToldError("a key occurs twice in it")
    return found


def _postgres_array(text: str) -> list[str]:
    """Return the elements of `{a,"b c"}`; an element with special characters must be quoted."""
    elements: list[str] = []
    rest = text[1:-1].strip()
    while rest:
        quoted = re.match(r'"((?:[^"\\]|\\.)*)"\s*(?:,|$)', rest)
        if quoted:
            elements.append(re.sub(r"\\(.)", r"\1", quoted.group(1)))
            rest = rest[quoted.end() :].strip()
            continue
        element, _, rest = rest.partition(",")
        element, rest = element.strip(), rest.strip()
        if not element or element.upper() == "NULL" or _NEEDS_QUOTES & set(element):
            raise ValueError("it is no set, dictionary or array")
        elements.append(element)
    if all(map(_MAPPED.fullmatch, elements)):
        raise ValueError("its keys are not in quotes")
    return elements


def _numbers(text: str) -> list[float]:
    """Return the numbers of `[0 1 0]` or `[0, 1, 0]`; whole ones as `int`."""
    inner = text[1:-1]
    parts = inner.split(",") if "," in inner else inner.split()
    return [_number(part.strip()) for part in parts]


def _number(text: str) -> float:
    if text in ("True", "False"):
        return text == "True"
    number = float(text)
    return int(number) if number.is_integer() else number


def _spaced_names(text: str) -> list[str]:
    """Return the names of `['a' 'b']`, as NumPy prints an array: none may be cut short or joined."""
    names = _QUOTED.findall(text)
    if not re.fullmatch(r"\[\s*\0(?:\s+\0)*\s*\]", _QUOTED.sub("\0", text)):
        raise ValueError("names in it stand side by side without a comma")
    return [str(ast.literal_eval(name)) for name in names]


def _quoted_names(text: str) -> list[str] | None:
    """Return the names of `'a', 'b'`, `None` where it is anything else."""
    names = _QUOTED.findall(text)
    between = _QUOTED.sub("\0", text)
    if not names or not re.fullmatch(r"\0(?:\s*,\s*\0)*", between):
        return None
    try:
        return [str(ast.literal_eval(name)) for name in names]
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None


def _is_quoted_collection(names: list[str]) -> bool:
    """Whether the only quoted text is a printed list itself: JSON that was encoded twice."""
    return len(names) == 1 and bool(names[0]) and kind_of(names[0]) == "collection"


def _is_call(text: str) -> bool:
    """Whether a text is a collection as programs print them: `set()`, `tensor([0, 1])`, `c("a", "b")`."""
    if _MADE_LIST.fullmatch(text) or _SCALA_OR_R.fullmatch(text):
        return True
    call = _CALL.fullmatch(text)
    return call is not None and call.group(1)[:1] in ("[", "{", "(", "'", '"')


def _closes_at_end(text: str) -> bool:
    """Whether the bracket that opens a text is closed by its last character."""
    depth = 0
    for position, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if depth == 0:
            return position == len(text) - 1
    return False
