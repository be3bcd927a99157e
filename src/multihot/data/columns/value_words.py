"""Recognise what cells of label columns are that are not 0 and 1: words, votes, fractions."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from multihot.core.text_tables import listed
from multihot.data.columns.binary_labels import BLANK, label_value
from multihot.data.columns.headings import is_annotator_name

__all__ = ["are_yes_and_no", "distinct_values", "like_values", "value_advice"]

_CODES = frozenset(
    {"7", "8", "9", "77", "88", "98", "99", "998", "999", "9999", "-9", "-99", "-999", "-8"}
)
_OR_NAMES = (
    " If the words are names of labels, write all names of a row in one column, separated by '|', and set "
    "data.label_column."
)
_LARGE = 10  # votes that are rather counts or ids
_MOST_SIGNS, _LONGEST_SIGN = 2, 12  # words beside 0 and 1
_FEW = 10  # columns in an advice that names them twice
_MOST_VALUES = 64
_MOST_VOTES = 30
_MOST_WORDS = 6
_LONGEST_WORD = 30
_FEWEST_CELLS = 4  # to conclude from that there are just two words
_YES = frozenset(
    {"yes", "y", "true", "t", "x", "on", "ok", "pos", "positive", "present", "ja", "j", "oui"}
    | {"si", "sí", "s", "sim", "vero", "vrai", "verdadero", "verdadeiro", "wahr", "да", "o", "○"}
    | {
        "✓",
        "✔",
        "☑",
        "１",
        "١",
        "checked",
        "ticked",
        "selected",
        "是",
        "有",
        "对",
        "真",
        "はい",
        "あり",
    }
)
_NO = frozenset(
    {
        "no",
        "n",
        "false",
        "f",
        "off",
        "neg",
        "negative",
        "absent",
        "nein",
        "non",
        "não",
        "nao",
        "falso",
    }
    | {
        "faux",
        "falsch",
        "нет",
        "✗",
        "✘",
        "☐",
        "unchecked",
        "not selected",
        "unselected",
        "否",
        "无",
        "不",
        "假",
        "いいえ",
        "なし",
    }
)


def distinct_values(cells: Sequence[Any]) -> frozenset[str]:
    """Return the distinct cells as text, folded; none where they are too many to be label values."""
    try:
        found = {"" if cell is None else str(cell).strip().casefold() for cell in set(cells)}
    except TypeError:  # lists or objects
        return frozenset()
    is_known = not (_YES | _NO | _CODES).isdisjoint(found) or _numbers(found) is not None
    are_few = len(cells) < _FEWEST_CELLS and not is_known
    return frozenset() if are_few or len(found) > _MOST_VALUES else frozenset(found)


def are_yes_and_no(values: Collection[str]) -> bool:
    """Whether all of these words mean yes or no in some language."""
    return set(values) <= _YES | _NO


def like_values(values: Collection[str]) -> bool:
    """Whether the cells of a column look like values of one label: yes and no, votes or fractions."""
    return (
        _words(values) is not None
        or _numbers(values) is not None
        or bool(_missing_codes(values))
        or bool(_beside_digits(values))
        or any(value.endswith("%") for value in values)
        or (len(values) <= _MOST_WORDS and not (_YES | _NO).isdisjoint(values))
    )


def value_advice(columns: Mapping[str, Collection[str]]) -> str:
    """Name the option that reads the columns of these distinct values; empty where none does."""
    if not columns:
        return ""
    special = _special_advice(columns)
    if special:
        return special
    numbers = [found for values in columns.values() if (found := _numbers(values)) is not None]
    if numbers:
        large = [name for name, values in columns.items() if max(_numbers(values) or [0]) >= _LARGE]
        more = f" Ids and counts are no labels: data.ignore_columns={','.join(large[:_FEW])}."
        return _number_advice(numbers) + more * bool(large)
    return _word_advice(columns)


def _special_advice(columns: Mapping[str, Collection[str]]) -> str:
    """Return advice on codes, signs, percentages and what annotators chose; empty where there is none."""
    codes = sorted({code for values in columns.values() for code in _missing_codes(values)})
    if codes and all(_missing_codes(values) for values in columns.values()):
        return (
            f" {' and '.join(codes)} may stand for a missing value: empty these cells, an empty cell is "
            "unknown. Only if cells count votes, set data.votes to the number of votes."
        )
    beside = sorted({word for values in columns.values() for word in _beside_digits(values)})
    if beside and all(map(_beside_digits, columns.values())):
        return (
            f" {listed(list(map(repr, beside)))} stands beside 0 and 1: empty the cell if it means unknown, or name it in "
            "data.true_values or data.false_values."
        )
    if any(value.endswith("%") for values in columns.values() for value in values):
        return " Write percentages as fractions, such as 0.5, and set data.soft_labels=true."
    are_words = all(_numbers(values) is None for values in columns.values())
    if are_words and all(map(_is_of_annotator, columns)):
        return (
            f" {listed(list(columns))} seem to hold what each annotator chose: write one line for each "
            "text and annotator, with all labels in one column, and set data.group_by to the id of the text."
        )
    return ""


def _word_advice(columns: Mapping[str, Collection[str]]) -> str:
    pairs = {name: _words(values) for name, values in columns.items()}
    several = [name for name, pair in pairs.items() if pair is None]
    if several:
        words = sorted({word for name in several for word in columns[name] if _is_given(word)})
        return (
            f" The words in {listed(several, _FEW)} are {listed(words)}: name those for 1 in "
            "data.true_values and those for 0 in data.false_values; an empty cell is unknown."
            if all(like_values(columns[name]) for name in several)
            else ""
        )
    chosen = [pair for pair in pairs.values() if pair is not None]
    true, false = (dict.fromkeys(pair[side] for pair in chosen if pair[side]) for side in (0, 1))
    are_known = all(
        not pair[0] or pair[0] in _YES or pair[0] == name.strip().casefold()
        for name, pair in pairs.items()
        if pair is not None
    )
    options = _word_option("true_values", list(true) or ["yes"])
    options += f" {_word_option('false_values', list(false))}" if false else ""
    return (
        f" These look like words for 1 and 0 in {listed(list(columns), _FEW)}: set {options}"
        + ("." if are_known else ", or the other way round.")
        + _OR_NAMES * (not are_known and len(columns) > 1)
    )


def _word_option(name: str, words: Sequence[str]) -> str:
    option = f"data.{name}={listed(words).replace(', ', ',')}"
    return f"'{option}'" if any(" " in word for word in words) else option


def _number_advice(numbers: Sequence[Sequence[float]]) -> str:
    largest = max(map(max, numbers))
    values = {number for found in numbers for number in found}
    if all(number.is_integer() for number in values):
        votes = f"If cells count votes, set data.votes={max(2, int(largest))}, or the number of votes if it is larger."
        if values == {1.0, 2.0}:
            return (
                " If 1 means yes and 2 no, set data.true_values=1 data.false_values=2; if it is the other "
                f"way round, exchange them. {votes}"
            )
        if min(values) >= 1:
            return (
                f" {votes} No cell is 0: if these are grades of a scale, decide from which grade on the "
                "label holds, and write 1 or 0."
            )
        return f" {votes}"
    if largest <= 1:
        return " If fractions are the proportions of annotators, set data.soft_labels=true."
    return ""


def _missing_codes(values: Collection[str]) -> set[str]:
    """Return the codes for a missing value in a column that otherwise holds 0 and 1."""
    codes = set(values) & _CODES
    rest = set(values) - codes
    return codes if {"0", "1"} & rest and rest <= {"0", "1", ""} else set()


def _beside_digits(values: Collection[str]) -> set[str]:
    """Return the one or two words in a column of 0 and 1 that are no numbers and no names of labels."""
    given = set(filter(_is_given, values))
    words = given - {"0", "1"}
    are_short = all(len(word) <= _LONGEST_SIGN and not word[:1].isdigit() for word in words)
    return words if "1" in given and len(words) <= _MOST_SIGNS and are_short else set()


def _is_of_annotator(name: str) -> bool:
    return is_annotator_name(name.strip().rstrip("0123456789").rstrip("_ -"))


def _is_given(word: str) -> bool:
    """Whether a word is none of those that mean unknown."""
    value = label_value(word, soft=False)
    return value is None or not math.isnan(value)


def _words(values: Collection[str]) -> tuple[str, str] | None:
    """Return the word for 1 and the word for 0 in a column of two words, or of one and blanks."""
    words = sorted(filter(_is_given, values))
    if "0" in words and len(words) == 2 and label_value(words[1], soft=True) is None:
        return words[1], ""
    if any(label_value(word, soft=True) is not None for word in words):
        return None
    if len(words) == 1:
        if words[0] in _NO:
            return "", words[0]
        return (words[0], BLANK) if "" in values or words[0] in _YES else None
    if len(words) != 2 or any(len(word) > _LONGEST_WORD or "," in word for word in words):
        return None
    true = next((word for word in words if word in _YES), None)
    if true is None:
        true = next((word for word in words if word not in _NO), words[0])
    return true, next(word for word in words if word != true)


def _numbers(values: Collection[str]) -> list[float] | None:
    """Return the values where all but blanks are numbers of votes, or fractions, not only 0 and 1."""
    numbers = []
    for value in values:
        if value in ("", "nan", "null", "-1", "-1.0"):
            continue
        if not value.isascii():
            return None
        try:
            numbers.append(float(value.replace(",", ".")))
        except ValueError:
            return None
        if not 0 <= numbers[-1] <= _MOST_VOTES:
            return None
    if not numbers or all(label_value(value, soft=False) is not None for value in values):
        return None
    return numbers
