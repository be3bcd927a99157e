from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from multihot.reporting.page import report_page
from multihot.reporting.page_data import pieces
from reporting.samples import document_of, inspected, scored_rows

TEXTS = [f"the text of number {number}" for number in range(200)]
HOSTILE = (
    "<script>window.broken=1</script>",
    "</script><img src=x onerror=window.broken=1>",
    "javascript:window.broken=1",
    '" onmouseover="window.broken=1',
    "=cmd|' /C calc'!A0",
    "{{ 7 * 7 }}",
    "a\u202ecba\u2066",
    "难过的标签",
    "x" * 300,
)


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def tags(page: str) -> list[tuple[str, dict[str, str | None]]]:
    parser = _Tags()
    parser.feed(page)
    return parser.found


def data_of(page: str) -> Any:
    (content,) = re.findall(r'<script type="application/json" id="content">(.*?)</script>', page)
    return json.loads(content)


@pytest.fixture(scope="module")
def hostile_page(tmp_path_factory: pytest.TempPathFactory) -> str:
    texts = [f"{HOSTILE[number % len(HOSTILE)]} \x1b[2J \u202e {number}" for number in range(200)]
    return report_page(document_of(tmp_path_factory.mktemp("hostile"), HOSTILE, texts))


def test_the_policy_names_the_only_style_and_script(hostile_page: str) -> None:
    (policy,) = (
        attributes["content"]
        for tag, attributes in tags(hostile_page)
        if attributes.get("http-equiv") == "content-security-policy"
    )
    assert policy is not None
    assert policy.startswith("default-src 'none'; ")
    for tag in ("script", "style"):
        (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", hostile_page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


def test_names_and_texts_become_no_elements_and_no_attributes(
    hostile_page: str, tmp_path: Path
) -> None:
    harmless = report_page(document_of(tmp_path, [f"label {n}" for n in range(9)], TEXTS))

    assert {tag for tag, _ in tags(hostile_page)} == {tag for tag, _ in tags(harmless)}
    for tag, attributes in tags(hostile_page):
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
        for name in ("href", "src"):
            assert (attributes.get(name) or "#").startswith("#"), (tag, attributes)
    assert [tag for tag, _ in tags(hostile_page)].count("script") == 2


def test_what_turns_or_hides_a_line_is_shown_as_its_code(hostile_page: str) -> None:
    assert not re.search("[\u202a-\u202e\u2066-\u2069\x1b]", hostile_page)
    assert r"a\u202ecba\u2066" in hostile_page


def test_the_script_has_the_names_as_they_are_shown(hostile_page: str) -> None:
    names = data_of(hostile_page)["names"]

    assert names[:6] == list(HOSTILE[:6])
    assert names[6] == r"a\u202ecba\u2066"


def test_twenty_eight_labels_are_below_a_megabyte_and_five_hundred_too(tmp_path: Path) -> None:
    texts = [f"{text} {'with many words ' * 12}" for text in TEXTS * 5]
    for number in (28, 500):
        names = [f"a label of number {each}" for each in range(number)]
        page = report_page(document_of(tmp_path, names, texts))
        assert len(page.encode()) < 1_000_000
        cards = [each for tag, each in tags(page) if tag == "details"]
        assert len(cards) == min(number, 40 if number > 60 else number)
        rows = re.findall(r'<table id="label-table">.*?</table>', page, re.DOTALL)[0]
        assert rows.count("<tr") == number + 1


def test_a_report_of_data_alone_has_no_scores(tmp_path: Path) -> None:
    from multihot.reporting.document import data_document

    truth, _ = scored_rows(200, 3)
    inspection = inspected(tmp_path / "rows.jsonl", truth, ("joy", "fear", "love"), TEXTS)

    page = report_page(data_document(inspection))

    assert data_of(page) is None
    assert "Label cards" not in page
    assert "How often labels occur" in page


def test_reasons_cut_a_text_without_losing_any_of_it() -> None:
    text = "not happy \u202eat all"
    found = pieces(text, [(4, 9, 2.0), (0, 3, -4.0), (100, 200, 1.0)])

    assert found == [("not", -3), (" ", 0), ("happy", 2), (r" \u202eat all", 0)]
    assert pieces(text, []) == [(r"not happy \u202eat all", 0)]


def test_reasons_of_an_error_reach_the_page(tmp_path: Path) -> None:
    bare = document_of(tmp_path, ("joy", "fear"), TEXTS)
    error = bare["errors"][0]
    number = bare["rows"][error["row"]]["number"]

    document = document_of(
        tmp_path, ("joy", "fear"), TEXTS, reasons={(number, error["label"]): [(4, 8, 1.5)]}
    )

    assert document["errors"][0]["reasons"] == [[4, 8, 1.5]]
    assert data_of(report_page(document))["errors"][0]["pieces"][1] == ["text", 3]


def test_equal_documents_are_equal_pages(tmp_path: Path) -> None:
    one, other = (report_page(document_of(tmp_path, ("joy", "fear"), TEXTS)) for _ in range(2))

    assert one == other
