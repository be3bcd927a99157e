"""The public surface is a list; changing it is a decision, not an accident."""

from __future__ import annotations

import ast
import importlib
import re
from collections import Counter, defaultdict
from types import ModuleType

import pytest

import multihot
from contracts.sources import modules, parsed

PUBLIC = [
    "AuditReport",
    "Comparison",
    "CorrectionReport",
    "DataOptions",
    "Examples",
    "Fill",
    "FillMask",
    "LabelMatrix",
    "LabelSpace",
    "Listener",
    "MultiLabelClassifier",
    "MultihotError",
    "NextSentence",
    "Prediction",
    "Predictor",
    "PretrainOptions",
    "PretrainReport",
    "Report",
    "SplitReport",
    "StepProgress",
    "TrainOptions",
    "__version__",
    "apply_corrections",
    "audit",
    "compare",
    "fill_mask",
    "next_sentence",
    "pretrain",
    "read_examples",
    "split",
    "union_of",
]


def test_the_package_offers_exactly_the_public_names() -> None:
    assert sorted(multihot.__all__) == PUBLIC


def test_every_public_name_can_be_imported_and_is_listed() -> None:
    assert {name for name in PUBLIC if getattr(multihot, name, None) is None} == set()
    assert set(PUBLIC) <= set(dir(multihot))


def test_the_version_follows_the_rules_of_python_packages() -> None:
    assert re.fullmatch(r"\d+(\.\d+){2}((a|b|rc|\.dev)\d+)?", multihot.__version__)


def test_an_unknown_name_is_an_ordinary_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'multihot' has no attribute 'nothing'"):
        _ = multihot.nothing


def test_every_module_declares_names_that_exist_once() -> None:
    offenders = []
    for name, path in modules().items():
        module = importlib.import_module(name)
        declared = getattr(module, "__all__", None)
        if declared is None:
            if path.name != "__init__.py":
                offenders.append(f"{name} has no __all__")
            continue
        offenders += [
            f"{name}.{each} does not exist" for each in declared if not hasattr(module, each)
        ]
        offenders += [
            f"{name}.{each} is listed twice" for each, n in Counter(declared).items() if n > 1
        ]

    assert offenders == []


def test_no_public_name_is_shadowed_by_a_module() -> None:
    # Importing `multihot.compare`, if there were one, would replace the function of that name.
    for name in modules():
        importlib.import_module(name)

    assert [name for name in PUBLIC if isinstance(getattr(multihot, name), ModuleType)] == []


def _definition(node: ast.stmt, module: str) -> tuple[str, str] | None:
    """Return the name that a statement defines, and what tells two definitions of it apart."""
    if isinstance(node, ast.ClassDef | ast.FunctionDef):
        return node.name, f"in {module}"
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        name, value = node.targets[0].id, ast.unparse(node.value)
        is_alias = re.fullmatch(r"[A-Z]\w*[a-z]\w*", name) and not value.startswith("TypeVar(")
        # `FloatArray` and its like name the precision that a module works in.
        return (name, f"is {value}") if is_alias and not name.endswith("Array") else None
    return None


def test_public_names_have_one_meaning() -> None:
    # Functions, classes and type aliases. Each command has a `run` and `add_arguments` of its own.
    meanings: dict[str, set[str]] = defaultdict(set)
    for module, tree in parsed().items():
        for node in tree.body if not module.startswith("multihot.cli") else ():
            if (defined := _definition(node, module)) and not defined[0].startswith("_"):
                meanings[defined[0]].add(defined[1])
    homonyms = {name: sorted(where) for name, where in meanings.items() if len(where) > 1}

    assert homonyms == {}
