"""A thread that is interrupted at any moment, as by Ctrl-C, leaves the others and later calls working."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

NUM_INTERRUPTS = 1500

INTERRUPTED = """
import random, signal, sys, threading
from multihot.core.turns import OneAtATime
from multihot.inference.combining import CombinedCalls

calls = CombinedCalls(
    lambda works: [2 * work for work in works], max_size=8, num_passes=lambda: 1
)
once = OneAtATime()

def alone(number):
    with once.turn():
        return 2 * number

def changed(number):
    if number % 3:
        return turns.compute(lambda: 2 * number)
    found = []
    turns.change(lambda: found.append(2 * number))
    return found[0]

if sys.argv[1] == "changed":
    from multihot.inference.torch_backend import _Turns
    turns = _Turns()
call = {"combined": lambda number: calls(number, 1), "alone": alone, "changed": changed}[sys.argv[1]]
is_over, num_answers = threading.Event(), [0, 0]

def ask(number):
    while not is_over.is_set():
        assert call(number) == 2 * number
        num_answers[number] += 1

def interrupt(number, frame):
    raise KeyboardInterrupt

threads = [threading.Thread(target=ask, args=(number,), daemon=True) for number in range(2)]
for thread in threads:
    thread.start()
signal.signal(signal.SIGALRM, interrupt)
random.seed(0)
for count in range(int(sys.argv[2])):
    try:
        signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-5, 1e-3))
        while True:
            assert call(count) == 2 * count
    except KeyboardInterrupt:
        pass
before = list(num_answers)
while not all(now > then for now, then in zip(num_answers, before)):
    assert call(7) == 14
is_over.set()
for thread in threads:
    thread.join()
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs signals of a timer")
@pytest.mark.parametrize("what", ["combined", "alone", "changed"])
def test_a_call_may_be_interrupted_at_any_moment(what: str) -> None:
    command = [sys.executable, "-W", "ignore", "-c", INTERRUPTED, what, str(NUM_INTERRUPTS)]

    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    assert (done.returncode, done.stderr) == (0, "")
