"""A command that a signal ends removes what it wrote aside, and says what was not written."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from multihot.cli.main import main
from multihot.cli.stopping import StoppedBySignal, end_on_signals, stop_message
from multihot.core.files import write_bytes
from multihot.core.staging import told_when_stopped
from multihot.errors import DataError

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals are those of POSIX")


@pytest.fixture(autouse=True)
def usual_signals() -> Iterator[None]:
    """Signals end a process, also where the tests were started in a way that ignores some of them."""
    usual = {
        signal.SIGINT: signal.default_int_handler,
        signal.SIGTERM: signal.SIG_DFL,
        signal.SIGHUP: signal.SIG_DFL,
    }
    before = {number: signal.signal(number, handler) for number, handler in usual.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


class Signalling(io.StringIO):
    """Lines of standard input, in the middle of which signals arrive."""

    numbers: tuple[int, ...] = ()
    line = 0

    def __next__(self) -> str:
        self.line += 1
        if self.line == 400:
            for number in self.numbers:
                os.kill(os.getpid(), number)
        return super().__next__()


@pytest.mark.parametrize(
    ("numbers", "code", "how"),
    [
        ((signal.SIGINT,), 130, "interrupted"),
        ((signal.SIGTERM,), 143, "stopped by SIGTERM"),
        ((signal.SIGHUP,), 129, "stopped by SIGHUP"),
    ],
)
@pytest.mark.parametrize("ending", ["csv", "jsonl", "xlsx"])
def test_predict_leaves_the_old_output_and_nothing_beside_it(
    tiny_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    numbers: tuple[int, ...],
    code: int,
    how: str,
    ending: str,
) -> None:
    output = tmp_path / f"out.{ending}"
    output.write_text("old", "utf-8")
    lines = Signalling("a text\n" * 800)
    lines.numbers = numbers
    monkeypatch.setattr(sys, "stdin", lines)
    before = signal.getsignal(numbers[0])

    words = ["predict", str(tiny_model), "--input", "-", "--output", str(output), "--force"]
    assert main(words) == code

    assert output.read_text("utf-8") == "old"
    assert [path.name for path in tmp_path.iterdir()] == [output.name]
    assert capfd.readouterr().err.splitlines()[-1] == (
        f"multihot predict: {how}: {output} was not written."
    )
    assert signal.getsignal(numbers[0]) == before


def cleaned_up_after(num_signals: int) -> list[str]:
    done = []
    with end_on_signals():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            for _ in range(num_signals - 1):
                os.kill(os.getpid(), signal.SIGHUP)
            done.append("cleaned up")
    return done


def test_a_second_signal_does_not_disturb_the_cleaning_and_a_third_ends_the_process() -> None:
    with pytest.raises(StoppedBySignal) as caught:
        cleaned_up_after(2)
    assert caught.value.number == signal.SIGTERM

    child = os.fork()
    if child == 0:
        cleaned_up_after(3)
        os._exit(0)  # not reached
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGHUP


def test_a_signal_that_is_ignored_stays_so(tmp_path: Path) -> None:
    script = (
        "import os, signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "from multihot.cli.stopping import end_on_signals\n"
        "with end_on_signals(): os.kill(os.getpid(), signal.SIGHUP)\n"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_a_signal_that_comes_after_the_output_does_not_deny_it(tmp_path: Path) -> None:
    output = tmp_path / "out.txt"
    output.write_text("old", "utf-8")

    def write() -> None:
        with told_when_stopped(output):
            write_bytes(output, b"new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        write()

    assert stop_message(caught.value)[0] == f"interrupted: {output} was written."


def test_once_stopped_a_process_receives_later_signals_quietly_until_its_end() -> None:
    with pytest.raises(StoppedBySignal), end_on_signals(for_good=True):
        os.kill(os.getpid(), signal.SIGTERM)

    os.kill(os.getpid(), signal.SIGINT)  # would be a KeyboardInterrupt


def test_an_error_that_a_signal_caused_in_a_library_is_the_signal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from multihot.cli import inspect

    def interrupted(arguments: object) -> int:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            raise DataError("it is damaged.") from None

    monkeypatch.setattr(inspect, "run", interrupted)

    assert main(["inspect", str(tmp_path)]) == 143
    assert capfd.readouterr().err == "multihot inspect: stopped by SIGTERM.\n"
