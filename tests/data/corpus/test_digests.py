from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from multihot.data.corpus.documents import DigestSet


@given(st.lists(st.binary(min_size=8, max_size=8)))
def test_it_is_a_set(digests: list[bytes]) -> None:
    found, known = DigestSet(), set()
    for digest in digests:
        assert found.add(digest) == (digest not in known)
        known.add(digest)

    assert len(found) == len(known)


def test_it_grows() -> None:
    found = DigestSet()
    digests = [
        (number * 0x9E3779B97F4A7C15 % 2**64).to_bytes(8, "big") for number in range(1, 5000)
    ]

    assert all(found.add(digest) for digest in digests)
    assert not any(found.add(digest) for digest in digests)
    assert len(found) == 4999
