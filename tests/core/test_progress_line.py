from __future__ import annotations

import io

import pytest

from multihot import Listener, StepProgress
from multihot.core.progress_line import ProgressLine, listening
from multihot.errors import OptionError


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


class Recorder(Listener):
    def __init__(self) -> None:
        self.heard: list[object] = []

    def say(self, message: str) -> None:
        self.heard.append(message)

    def progress(self, update: StepProgress) -> None:
        self.heard.append(update.step)


def _run(stream: io.StringIO) -> list[object]:
    recorder = Recorder()
    line = ProgressLine(stream, recorder)
    for step in range(1, 5):
        line.progress(StepProgress(step, 4, 1 + (step > 2), 2, 0.5, 1000.0, 61.0))
        if step == 2:
            line.say("a message")
    line.close()
    return recorder.heard


def test_a_terminal_shows_one_line_that_is_updated_and_messages_above_it() -> None:
    stream = Terminal()

    heard = _run(stream)

    lines = stream.getvalue().split("\n")
    assert [line.rpartition("\r")[2] for line in lines[:1]] == ["a message"]
    assert lines[1].endswith("4/4  epoch 2/2  loss 0.5000  1:01 left")
    assert lines[2:] == [""]
    assert max(len(part) for line in lines for part in line.split("\r")) < 80
    assert heard == [1, 2, "a message", 3, 4]


def test_elsewhere_every_epoch_has_a_line() -> None:
    stream = io.StringIO()

    _run(stream)

    assert "\r" not in stream.getvalue()
    steps = [line.split("] ")[-1].split("  ")[0] for line in stream.getvalue().splitlines()]
    assert steps == ["1/4", "a message", "3/4", "4/4"]


def test_a_run_is_silent_unless_asked(capsys: pytest.CaptureFixture[str]) -> None:
    with listening(None, verbose=False) as listener:
        listener.say("a message")
    assert capsys.readouterr() == ("", "")
    with listening(None, verbose=1) as listener:
        listener.say("a message")
    assert capsys.readouterr() == ("", "a message\n")


def test_what_cannot_listen_is_refused() -> None:
    for listener, verbose in ((print, False), (None, "yes")):
        with pytest.raises(OptionError, match=r"expected"), listening(listener, verbose=verbose):  # type: ignore[arg-type]
            pass
