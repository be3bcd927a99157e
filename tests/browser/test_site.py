"""The site in Chromium: both languages, wide and narrow, light and dark; nothing from other hosts."""

from __future__ import annotations

import functools
import http.server
import re
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from sitebuild.build import HTML, build

WIDE = {"width": 1280, "height": 900}
NARROW = {"width": 375, "height": 700}
PAGES = (
    "en/",
    "en/how-to/serve-it/",
    "en/results/tables/",
    "en/reference/python/",
    "zh/",
    "zh/how-to/split/",
)


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    assert build() == []
    handler = functools.partial(_Quiet, directory=str(HTML))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


@pytest.fixture
def page(browser: Browser, address: str, request: pytest.FixtureRequest) -> Iterator[Page]:
    """Return a page of a fresh browser; it may ask no other host and complain of nothing."""
    context = browser.new_context(**getattr(request, "param", {"viewport": WIDE}))
    opened = context.new_page()
    opened.set_default_timeout(30_000)
    asked: list[str] = []
    complaints: list[str] = []
    opened.on("request", lambda each: asked.append(each.url))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("console", lambda message: complaints.append(message.text))
    yield opened
    context.close()
    assert [each for each in asked if not each.startswith((address, "data:", "blob:"))] == []
    assert complaints == []


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize(
    "page",
    [
        {"viewport": WIDE},
        {"viewport": WIDE, "color_scheme": "dark"},
        {"viewport": NARROW},
        {"viewport": NARROW, "color_scheme": "dark"},
    ],
    ids=["wide", "wide-dark", "narrow", "narrow-dark"],
    indirect=True,
)
def test_axe_finds_nothing_serious(page: Page, address: str, path: str) -> None:
    page.goto(address + path)
    page.wait_for_load_state("networkidle")
    found: list[dict[str, Any]] = Axe().run(page).response["violations"]

    serious = [
        f"{each['id']} {[node['target'] for node in each['nodes']][:3]}"
        for each in found
        if each["impact"] in ("serious", "critical")
    ]
    assert serious == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize(
    ("path", "words", "found"), [("zh/", "阈值", "阈值"), ("en/", "calibrate", "Calibrate")]
)
def test_search_finds_words_of_the_language(
    page: Page, address: str, path: str, words: str, found: str
) -> None:
    page.goto(address + path)
    page.wait_for_load_state("networkidle")
    page.locator(".md-search__button").first.click()
    page.wait_for_timeout(500)
    page.keyboard.type(words)

    expect(page.get_by_text(re.compile(r"^\d+ results$"))).to_be_visible(timeout=30_000)
    assert page.get_by_text(found).count() > 3


def test_the_language_switch_leads_to_the_same_page(page: Page, address: str) -> None:
    page.goto(f"{address}en/how-to/split/")
    page.get_by_role("link", name="中文").click()
    page.wait_for_url(f"{address}zh/how-to/split/")
    assert page.locator("html").get_attribute("lang") in ("zh", "zh-Hans", "zh-CN")

    page.get_by_role("link", name="English").click()
    page.wait_for_url(f"{address}en/how-to/split/")


def test_a_table_is_sorted_by_the_heading_that_is_pressed(page: Page, address: str) -> None:
    page.goto(f"{address}en/results/tables/")
    table = page.locator("article table").first
    column = table.locator("thead th").all_text_contents().index("jaccard")
    button = table.locator("thead th").nth(column).get_by_role("button")

    def values() -> list[float]:
        cells = table.locator(f"tbody td:nth-child({column + 1})").all_text_contents()
        return [float(each) for each in cells if each.strip()]

    button.click()
    assert values() == sorted(values())
    button.press("Enter")
    assert values() == sorted(values(), reverse=True)
    assert table.locator("thead th").nth(column).get_attribute("aria-sort") == "descending"


def test_the_colours_can_be_chosen(page: Page, address: str) -> None:
    page.goto(f"{address}en/")
    before = page.evaluate("getComputedStyle(document.body).backgroundColor")
    for _ in range(2):
        page.locator("[data-md-component=palette] label:visible").click()

    assert page.locator("body").get_attribute("data-md-color-scheme") == "slate"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != before


def test_a_command_is_copied_without_its_prompt(browser: Browser, address: str) -> None:
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.goto(f"{address}en/how-to/split/")
    page.locator(".language-console button").first.click()
    page.wait_for_timeout(300)

    copied = page.evaluate("navigator.clipboard.readText()")
    context.close()
    assert copied.strip() == "multihot split all.csv --output parts"
