"""The public surface is a list; changing it is a decision, not an accident."""

from __future__ import annotations

import importlib
from importlib.metadata import version

import pytest

import multihot
from contracts.sources import modules

PUBLIC = [
    "Comparison",
    "DataOptions",
    "Examples",
    "Fill",
    "FillMask",
    "LabelMatrix",
    "LabelSpace",
    "MultiLabelClassifier",
    "MultihotError",
    "NextSentence",
    "Prediction",
    "Predictor",
    "PretrainOptions",
    "PretrainReport",
    "Report",
    "SplitReport",
    "TrainOptions",
    "__version__",
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


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_can_be_imported(name: str) -> None:
    value = getattr(multihot, name)

    assert value is not None
    assert name in dir(multihot)


def test_the_version_is_that_of_the_installed_package() -> None:
    assert multihot.__version__ == version("multihot")


def test_an_unknown_name_is_an_ordinary_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'multihot' has no attribute 'nothing'"):
        _ = multihot.nothing


@pytest.mark.parametrize("name", sorted(modules()))
def test_every_module_declares_names_that_exist(name: str) -> None:
    module = importlib.import_module(name)
    has_code = module.__file__ is not None and not module.__file__.endswith("__init__.py")
    declared = getattr(module, "__all__", None)

    assert declared is not None or not has_code, "add __all__"
    assert [each for each in declared or () if not hasattr(module, each)] == []
    assert len(set(declared or ())) == len(declared or ())
