"""The page can be used without a mouse, without seeing it, on a small screen, and in the dark."""

from __future__ import annotations

from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from browser.conftest import OpenPage

WIDE = {"width": 1280, "height": 900}
NARROW = {"width": 320, "height": 640}


def _label(page: Page) -> None:
    page.locator("#texts").fill("today happy\ntoday sad")
    page.locator("#send").click()
    expect(page.locator("article")).to_have_count(2)
    for summary in page.locator("summary").all():
        summary.click()


def _findings(page: Page) -> list[str]:
    violations: list[dict[str, Any]] = Axe().run(page).response["violations"]
    return [
        f"{each['impact']}: {each['id']} {[node['target'] for node in each['nodes']][:3]}"
        for each in violations
    ]


@pytest.mark.parametrize(
    "options",
    [
        {"viewport": WIDE},
        {"viewport": WIDE, "color_scheme": "dark"},
        {"viewport": NARROW, "locale": "zh-CN"},
        {"viewport": NARROW, "color_scheme": "dark", "forced_colors": "active"},
    ],
    ids=["wide", "dark", "narrow-chinese", "narrow-forced-colours"],
)
def test_axe_finds_nothing(open_page: OpenPage, options: dict[str, Any]) -> None:
    page = open_page(**options)
    assert _findings(page) == []

    page.locator("#send").click()
    expect(page.get_by_role("alert")).not_to_be_empty()
    assert _findings(page) == []

    _label(page)
    page.locator("#sliders input").first.press("End")
    expect(page.locator("#changes")).not_to_be_empty()
    assert _findings(page) == []


def test_axe_finds_nothing_among_many_labels(open_page: OpenPage) -> None:
    page = open_page(viewport=WIDE)
    _label(page)
    page.locator("#model").select_option("topics")
    expect(page.locator("#sliders li")).to_have_count(500)
    expect(page.locator("article .plain")).to_have_count(2)

    assert _findings(page) == []


def test_nothing_is_wider_than_a_small_screen(open_page: OpenPage) -> None:
    page = open_page(viewport=NARROW)
    _label(page)

    assert page.evaluate("document.documentElement.scrollWidth") <= NARROW["width"]


def test_tab_reaches_everything_in_the_order_of_reading(open_page: OpenPage) -> None:
    page = open_page(viewport=WIDE)
    page.locator("#language").focus()
    reached = []

    for _ in range(10):
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.type"))
        page.keyboard.press("Tab")

    sliders = ["slider-0", "number", "slider-1", "number"]
    assert reached == ["language", "model", "texts", "by-line", "send", "stored", *sliders]


def test_a_reader_hears_what_is_asked_and_what_came_of_it(open_page: OpenPage) -> None:
    page = open_page()
    _label(page)

    status, alert = page.get_by_role("status"), page.get_by_role("alert")
    expect(status.first).to_contain_text("2 texts, ")
    expect(alert).to_be_empty()
    table = page.get_by_role("table", name="Scores of text 1")
    given = table.get_by_role("rowheader").filter(has_text="(given)")
    assert given.count() == page.locator("article").first.locator(".chosen li").count()
    names = [slider.get_attribute("aria-label") for slider in page.get_by_role("slider").all()]
    assert names[0] == "Threshold of \u2068joy\u2069"
    assert len(set(names)) == len(names)


def test_bars_stand_still_where_motion_is_unwanted(open_page: OpenPage) -> None:
    page = open_page(reduced_motion="reduce")
    _label(page)

    transition = "getComputedStyle(document.querySelector('.fill')).transitionDuration"
    assert page.evaluate(transition) == "0s"
