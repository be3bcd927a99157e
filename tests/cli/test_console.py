from __future__ import annotations

import sys

import pytest

from multihot.cli.console import ConsoleListener
from multihot.core.progress import Listener, StepProgress


def update(step: int) -> StepProgress:
    return StepProgress(
        step, 20, epoch=1, epochs=2, loss=0.5, tokens_per_second=1234.0, seconds_left=75.0
    )


def test_the_default_listener_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    listener = Listener()

    listener.say("something")
    listener.progress(update(1))

    assert capsys.readouterr() == ("", "")


def test_without_a_terminal_progress_lines_are_rate_limited(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with ConsoleListener() as listener:
        for step in range(1, 21):
            listener.progress(update(step))
        listener.say("[joy] is done")

    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "step 1/20  epoch 1/2  loss 0.5000  1,234 tokens/s  1:15 left",
        "step 20/20  epoch 1/2  loss 0.5000  1,234 tokens/s  1:15 left",
        "[joy] is done",
    ]


def test_on_a_terminal_there_is_a_progress_bar_with_messages_above_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")

    with ConsoleListener() as listener:
        listener.progress(update(3))
        listener.say("Epoch [1] of 2")
        listener.progress(update(20))

    out, err = capsys.readouterr()
    assert out == ""
    assert "Epoch [1] of 2" in err
    assert "20/20" in err
