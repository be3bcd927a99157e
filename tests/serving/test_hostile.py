"""Requests that no honest client sends: the short form of `benchmarks/serving_faults.py hostile`."""

from __future__ import annotations

import pytest

from served import Served
from serving_hostile import all_cases, send, status_of

pytestmark = pytest.mark.slow


def test_each_kind_is_refused_as_it_should_and_the_server_goes_on(server: Served) -> None:
    unexpected = {}
    cases = [case for case in all_cases() if 408 not in case.statuses]  # these wait for 10 seconds
    for case in cases:
        answer, has_ended = send(server.port, case)
        status = status_of(answer)
        if not has_ended or not case.accepts(status):
            unexpected[case.name] = status
    assert unexpected == {}
    assert len(cases) >= 100
    assert b'status="500"' not in server.ask("GET", "/metrics").body
    assert "failed" not in "".join(server.said)
    assert server.predict("i am happy")["results"]
