"""A process knows which of several it is, or says what is wrong with its environment."""

from __future__ import annotations

import pytest

from multihot.core.launch import Launch, launched, speaker
from multihot.errors import OptionError

MEETING = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}


@pytest.mark.parametrize("environment", [{}, {"WORLD_SIZE": "1"}, {"RANK": "0", "WORLD_SIZE": ""}])
def test_a_process_without_others_is_alone(environment: dict[str, str]) -> None:
    assert launched(environment) == Launch(0, 1, 0)


def test_torchrun_says_which_process_this_is() -> None:
    told = {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", **MEETING}

    assert launched(told) == Launch(5, 8, 1)


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"WORLD_SIZE": "2", **MEETING}, "RANK is not set; expected a whole number from 0"),
        ({"RANK": "1"}, "RANK=1 with no WORLD_SIZE; expected 0 to 0"),
        ({"RANK": "2", "WORLD_SIZE": "2", **MEETING}, "RANK=2 with WORLD_SIZE=2; expected 0 to 1"),
        ({"RANK": "-1", "WORLD_SIZE": "2", **MEETING}, "RANK='-1'; expected a whole number"),
        ({"RANK": "0", "WORLD_SIZE": "0"}, "WORLD_SIZE='0'; expected a whole number from 1"),
        ({"RANK": "0", "WORLD_SIZE": "two"}, "WORLD_SIZE='two'; expected a whole number"),
        (
            {"RANK": "0", "WORLD_SIZE": "2", **MEETING, "MASTER_PORT": "here"},
            "MASTER_PORT='here'; expected a whole number from 1 to 65535",
        ),
        ({"RANK": "0", "WORLD_SIZE": "2"}, "WORLD_SIZE=2, but MASTER_ADDR is not set"),
    ],
)
def test_an_environment_that_cannot_be_is_named(environment: dict[str, str], message: str) -> None:
    with pytest.raises(OptionError) as caught:
        launched(environment)
    assert message in str(caught.value)
    assert "torchrun" in str(caught.value)


def test_who_cannot_know_its_number_speaks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "many")

    assert speaker() is None
