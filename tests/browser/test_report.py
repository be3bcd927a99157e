"""A report from a file: nothing of the data runs, everything can be used, on screens and on paper."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from multihot.reporting.page import report_page
from reporting.samples import document_of

HOSTILE = (
    "<script>window.broken=1</script>",
    "</script><script>window.broken=1</script>",
    "javascript:window.broken=1",
    '"><img src=x onerror=window.broken=1>',
    '=HYPERLINK("http://127.0.0.1";"x")',
    "\u202eright to left\u2066",
    "难过",
    "W" * 400,
    "{{ 7*7 }} ${7*7}",
)
TEXTS = [
    f"{HOSTILE[number % len(HOSTILE)]} \x1b]0;title\x07 \u202e \u2028 {number} \ud83d\ude00 今天很难过"
    for number in range(240)
]
WIDE = {"width": 1280, "height": 900}
NARROW = {"width": 320, "height": 640}

OpenReport = Callable[..., Page]


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Files of a report on hostile names and texts, and of one on 500 labels."""
    folder = tmp_path_factory.mktemp("reports")
    texts = [text.encode("utf-16", "surrogatepass").decode("utf-16") for text in TEXTS]
    hostile = document_of(folder, HOSTILE, texts)
    row = hostile["rows"][hostile["errors"][0]["row"]]
    hostile["errors"][0]["reasons"] = [[0, 8, 1.0], [9, len(row["text"]), -0.5]]
    documents = {
        "hostile": hostile,
        "many": document_of(folder, [f"topic {number}" for number in range(500)], texts),
    }
    files = {}
    for name, document in documents.items():
        files[name] = folder / f"{name}.html"
        files[name].write_text(report_page(document), "utf-8")
    return files


@pytest.fixture
def open_report(browser: Browser, pages: dict[str, Path]) -> Iterator[OpenReport]:
    """Return what opens a report; it may ask for nothing, and has to be free of errors at the end."""
    complaints: list[str] = []
    contexts = []

    def open_it(name: str = "hostile", **options: Any) -> Page:
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(15_000)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda message: complaints.append(message.text))
        page.on("request", lambda request: complaints.append(request.url))
        page.on("dialog", lambda dialog: complaints.append(dialog.message))
        page.goto(pages[name].as_uri())
        complaints.remove(pages[name].as_uri())
        return page

    yield open_it
    for context in contexts:
        context.close()
    assert complaints == []


def findings(page: Page) -> list[str]:
    violations: list[dict[str, Any]] = Axe().run(page).response["violations"]
    return [f"{each['impact']}: {each['id']}" for each in violations]


def test_hostile_names_and_texts_are_shown_and_never_run(open_report: OpenReport) -> None:
    page = open_report(viewport=NARROW)
    page.get_by_role("button", name="Open all").click()
    more = page.get_by_role("button", name="Show more")
    while more.is_visible():
        more.click()

    assert page.evaluate("window.broken") is None
    assert page.locator("img").count() == 0
    assert page.title() == "Report on model"
    assert page.locator("#label-0 h3 bdi").text_content() == HOSTILE[0]
    names = page.locator("#label-table tbody th").all_text_contents()
    assert names == [
        name.encode("ascii", "backslashreplace").decode() if "\u202e" in name else name
        for name in HOSTILE
    ]
    shown = page.locator("body").inner_text()
    assert "\u202e" not in shown
    assert "今天很难过" in shown
    assert page.evaluate("document.documentElement.scrollWidth") <= NARROW["width"]


@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["wide", "narrow"])
def test_a_name_of_400_letters_is_three_lines_until_its_card_is_open(
    open_report: OpenReport, viewport: Any
) -> None:
    page = open_report(viewport=viewport)
    row = page.locator("#label-table tbody tr").nth(HOSTILE.index("W" * 400))
    head = page.locator(f"#label-{HOSTILE.index('W' * 400)} summary")

    assert (row.bounding_box() or {})["height"] < 120
    closed = (head.bounding_box() or {})["height"]
    assert closed < 150
    assert head.locator("bdi").text_content() == "W" * 400
    head.click()
    assert (head.bounding_box() or {})["height"] > closed


def test_the_policy_stops_what_a_mistake_would_let_through(
    browser: Browser, pages: dict[str, Path], tmp_path: Path
) -> None:
    broken = tmp_path / "broken.html"
    marker = '<main id="main" tabindex="-1">'
    added = "<script>window.broken=1</script><img src=x onerror='window.broken=1'>"
    broken.write_text(pages["hostile"].read_text("utf-8").replace(marker, marker + added), "utf-8")
    page = browser.new_page()
    page.goto(broken.as_uri())

    assert page.locator("img").count() == 1
    assert page.evaluate("window.broken") is None
    page.close()


@pytest.mark.parametrize(
    "options",
    [
        {"viewport": WIDE},
        {"viewport": WIDE, "color_scheme": "dark"},
        {"viewport": NARROW, "color_scheme": "dark", "forced_colors": "active"},
    ],
    ids=["wide", "dark", "narrow-forced-colours"],
)
@pytest.mark.parametrize("name", ["hostile", "many"])
def test_axe_finds_nothing(open_report: OpenReport, name: str, options: dict[str, Any]) -> None:
    page = open_report(name, **options)
    assert findings(page) == []

    page.locator("details.card summary").nth(1).click()
    page.get_by_role("slider").first.press("PageUp")
    page.get_by_role("button", name="F1", exact=True).click()
    assert findings(page) == []


def test_a_threshold_moved_by_keys_changes_the_counts(open_report: OpenReport) -> None:
    page = open_report()
    card = page.locator("#label-1")
    card.locator("summary").click()
    slider, said = card.get_by_role("slider"), card.locator("p.moved")
    stored = said.text_content()
    assert (slider.get_attribute("aria-valuetext") or "").endswith(", as stored")

    slider.press("Home")
    expect(said).to_contain_text("missed 0")
    expect(said).to_contain_text("recall 1.000")
    expect(card.locator("circle.moved")).to_be_visible()
    slider.press("End")
    expect(said).to_contain_text("Found 0")
    card.get_by_role("button", name="Back to the stored one").click()
    expect(said).to_have_text(stored or "")
    expect(card.locator("circle.moved")).to_be_hidden()


def test_errors_are_filtered_by_label_kind_score_and_words(open_report: OpenReport) -> None:
    page = open_report()
    items, counted = page.locator("#error-list > li"), page.locator("#counted")
    whole = int((counted.text_content() or "").split(" ")[0])

    page.locator("#label-6 summary").click()
    page.locator("#label-6 .show-errors").click()
    expect(page.get_by_role("heading", name="Errors")).to_be_focused()
    assert {
        each.split(" was ")[0] for each in items.locator("p:first-child").all_inner_texts()
    } == {"难过"}
    page.get_by_role("combobox", name="Kind").select_option("missed")
    assert all(" was missed" in each for each in items.locator("p:first-child").all_inner_texts())
    of_label = items.count()
    page.get_by_role("combobox", name="Label").select_option("")
    page.get_by_role("combobox", name="Kind").select_option("")
    expect(counted).to_contain_text(f"{whole} of {whole} errors")
    page.get_by_label("Text contains").fill("javascript:")
    found = int((counted.text_content() or "").split(" ")[0])
    assert 0 < found < whole
    page.get_by_role("spinbutton", name="Score from").fill("0.99999")
    page.get_by_role("spinbutton", name="to", exact=True).fill("1")
    assert int((counted.text_content() or "").split(" ")[0]) < found
    assert 0 < of_label < whole


def test_words_behind_an_error_are_marked(open_report: OpenReport) -> None:
    page = open_report()
    more = page.get_by_role("button", name="Show more")
    while more.is_visible():
        more.click()

    marked = page.locator("#error-list mark")
    expect(marked).to_have_count(2)
    assert marked.first.get_attribute("class") == "for strong"


def test_the_table_is_sorted_and_searched_by_keys(open_report: OpenReport) -> None:
    page = open_report("many", viewport=WIDE)
    visible = page.locator("#label-table tbody tr:visible")
    assert visible.count() == 40
    page.get_by_role("button", name="Show all 500 labels").press("Enter")
    assert visible.count() == 500

    head = page.get_by_role("columnheader", name="Texts")
    head.get_by_role("button").press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    numbers = [
        int(text) for text in page.locator("#label-table tbody td:nth-child(2)").all_inner_texts()
    ]
    assert numbers == sorted(numbers, reverse=True)
    page.get_by_label("Find a label").fill("topic 49")
    assert visible.count() == 11
    expect(page.locator("#found")).to_have_text("11 of 500 labels")


def test_a_link_of_the_table_opens_the_card(open_report: OpenReport) -> None:
    page = open_report()

    page.locator("#label-table a").nth(2).press("Enter")

    expect(page.locator("#label-2")).to_have_attribute("open", "")


def test_on_paper_all_cards_are_open_and_controls_are_gone(open_report: OpenReport) -> None:
    page = open_report(viewport=WIDE)

    page.emulate_media(media="print")

    expect(page.locator("#label-3 .charts svg").first).to_be_visible()
    expect(page.get_by_role("slider")).to_have_count(0)
    expect(page.locator("nav")).to_be_hidden()


def test_without_scripts_everything_but_the_controls_is_there(open_report: OpenReport) -> None:
    page = open_report(java_script_enabled=False, viewport=WIDE)

    page.locator("#label-0 summary").click()
    expect(page.locator("#label-0 .charts svg").first).to_be_visible()
    expect(page.locator("#filter")).to_be_hidden()
    assert page.locator("#label-table tbody tr").count() == len(HOSTILE)
