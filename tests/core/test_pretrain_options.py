"""Options of pretraining: defaults stand, wrong values are named with what is expected."""

from __future__ import annotations

from typing import Any

import pytest

from multihot.core.pretrain_options import PretrainOptions
from multihot.core.recipes import build_options, to_plain
from multihot.errors import OptionError


def test_the_defaults_are_legal_and_written_back() -> None:
    plain = to_plain(PretrainOptions())

    assert build_options(PretrainOptions, plain) == PretrainOptions()
    assert plain["probe"]["encoder"] == "starter"


@pytest.mark.parametrize("size", ["tiny", "mini", "small", "medium", "base", "12x512"])
def test_sizes_have_names_or_a_shape(size: str) -> None:
    assert PretrainOptions(encoder_size=size).encoder_size == size


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"encoder_size": "huge"}, "'encoder_size' is 'huge'; expected one of tiny, mini"),
        ({"encoder_size": "0x64"}, "layers x width such as 12x512"),
        ({"hours": 1.0, "total_steps": 3}, "'hours' is 1.0; expected none beside total_steps"),
        ({"hours": 0.0}, "'hours' is 0.0; expected more than 0"),
        ({"language": "fr"}, "'language' is 'fr'; expected one of auto, en, zh"),
        ({"execution": "fast"}, "expected one of auto, packed, padded"),
        ({"precision": "fp16"}, "expected one of auto, fp32, bf16"),
        ({"masking_rate": 1.0}, "expected a number between 0 and 1"),
        ({"held_out_fraction": 0.0}, "expected a number between 0 and 1"),
        ({"short_fraction": 1.5}, "expected a number from 0 to 1"),
        ({"beta2": 1.0}, "expected at least 0 and below 1"),
        ({"max_length": 4}, "expected at least 8"),
        ({"vocab_size": 5}, "expected at least 10"),
        ({"held_out_rows": 0}, "expected at least 1"),
        ({"snapshots": -1}, "expected at least 0"),
        ({"batch_size": 8, "batch_tokens": 100}, "mutually exclusive"),
    ],
)
def test_wrong_values_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        PretrainOptions(**values)


def test_options_of_the_probe_are_those_of_train() -> None:
    options = build_options(PretrainOptions, {"probe": {"epochs": "2", "data": {"split": "dev"}}})

    assert options.probe.epochs == 2
    assert options.probe.data.split == "dev"
    with pytest.raises(
        OptionError, match=r"Unknown option 'probe\.epoch'. Did you mean 'probe\.epochs'"
    ):
        build_options(PretrainOptions, {"probe": {"epoch": "2"}})
