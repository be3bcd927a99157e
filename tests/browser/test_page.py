"""People type texts into the page, and see what the server decides, why, and what another threshold changes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from browser.conftest import HARD_LABELS, MANY_LABELS, MAX_LENGTH, OpenPage, labelled_rows
from factories import write_csv
from served import Served, serving

TEXTS = ("today happy", "today sad afraid", "今天 <b>happy</b> \u202e")
TOKEN = "0123456789abcdef0123456789abcdef"


def label(page: Page, *texts: str) -> None:
    """Type texts, one per line, and wait for their labels."""
    page.get_by_label("Texts", exact=True).fill("\n".join(texts))
    with page.expect_response("**/v1/predict"):
        page.get_by_label("Texts", exact=True).press("Control+Enter")
    expect(page.locator("article")).to_have_count(len(texts))


def replaced(name: str) -> str:
    """Return a name as the page shows it."""
    return name.replace("\u202e", "\ufffd")


def chosen(page: Page) -> list[list[str]]:
    """Return the labels that the page shows for each text."""
    cards = page.locator("article").all()
    return [card.locator(".chosen li").all_text_contents() for card in cards]


def test_labels_scores_and_thresholds_are_those_of_the_server(
    open_page: OpenPage, server: Served
) -> None:
    page = open_page()

    label(page, *TEXTS)

    answer = server.predict(*TEXTS)
    assert chosen(page) == [[*map(replaced, each["labels"])] for each in answer["results"]]
    for card, result in zip(page.locator("article").all(), answer["results"], strict=True):
        rows = card.locator("tbody tr").all()
        assert len(rows) == len(HARD_LABELS)
        for row, (name, score) in zip(rows, result["scores"].items(), strict=True):
            threshold = answer["thresholds"][name]
            assert row.locator("th bdi").text_content() == replaced(name)
            assert float(row.locator("td").nth(1).inner_text()) == pytest.approx(score, abs=6e-4)
            bar, mark = (row.locator(each).bounding_box() for each in (".bar", ".mark"))
            assert bar is not None
            assert mark is not None
            middle = (mark["x"] + mark["width"] / 2 - bar["x"]) / bar["width"]
            assert middle == pytest.approx(threshold, abs=0.02)


def test_lines_are_texts_or_parts_of_one(open_page: OpenPage) -> None:
    page = open_page()
    lines = ["today happy", "", "today sad"]

    page.get_by_label("Texts", exact=True).fill("\n".join(lines))
    page.get_by_role("button", name="Label texts").click()
    expect(page.locator("article")).to_have_count(2)
    page.get_by_role("switch", name="One text per line").uncheck()
    page.get_by_role("button", name="Label texts").click()

    expect(page.locator("article")).to_have_count(1)
    assert page.locator("article .text").text_content() == "\n".join(lines)


def test_names_and_texts_are_shown_and_never_run(open_page: OpenPage) -> None:
    page = open_page()
    text = "<img src=x onerror=window.broken=1><script>window.broken=1</script> today happy"

    label(page, text)

    assert page.locator("article .text").text_content() == text
    assert page.locator("img").count() == 0
    assert page.evaluate("window.broken") is None
    shown = "".join(page.locator("bdi").all_text_contents())
    assert "\u202e" not in shown


def test_the_policy_stops_what_a_mistake_would_let_through(
    browser: Browser, server: Served
) -> None:
    page = browser.new_page()
    page.goto(server.url)

    refused = page.evaluate(
        """() => {
          const outcomes = [];
          try { document.body.innerHTML = "<b>x</b>"; } catch (error) { outcomes.push(error.name); }
          const script = document.createElement("script");
          try { script.text = "window.broken = 1"; } catch (error) { outcomes.push(error.name); }
          return outcomes;
        }"""
    )
    page.close()

    assert refused == ["TypeError", "TypeError"]


def test_a_threshold_moved_by_keys_changes_labels_on_this_page_alone(
    open_page: OpenPage, server: Served
) -> None:
    page = open_page()
    label(page, "today")
    before = chosen(page)
    sent: list[dict[str, object]] = []
    page.on("request", lambda request: sent.append(json.loads(request.post_data or "{}")))

    slider = page.get_by_role("slider").first
    slider.focus()
    with page.expect_response("**/v1/predict"):
        slider.press("Home")

    expect(page.locator("#changes")).to_contain_text("Text 1 gets \u2068joy\u2069.")
    assert chosen(page) == [["joy", *before[0]]]
    expect(page.locator("#status")).to_contain_text(f"1 text, {len(before[0]) + 1} label")
    assert sent == [{"texts": ["today"], "model": "moods", "thresholds": {"joy": 0}}]
    assert slider.get_attribute("aria-valuetext").startswith("0, stored: ")  # type: ignore[union-attr]
    expect(slider).to_be_focused()
    assert [each["labels"] for each in server.predict("today")["results"]] == before
    with page.expect_response("**/v1/predict"):
        page.get_by_role("button", name="Back to stored thresholds").click()
    expect(page.locator("#changes")).to_contain_text("Text 1 loses \u2068joy\u2069.")
    assert chosen(page) == before
    assert "thresholds" not in sent[-1]


def test_many_moves_in_a_row_are_one_request(open_page: OpenPage) -> None:
    page = open_page()
    label(page, "today")
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url))

    with page.expect_response("**/v1/predict"):
        page.get_by_role("slider").first.evaluate(
            """(slider) => {
              for (let step = 0; step <= 50; step += 1) {
                slider.value = step / 100;
                slider.dispatchEvent(new Event("input"));
              }
            }"""
        )

    assert len(sent) == 1


def test_a_threshold_can_be_typed_exactly(open_page: OpenPage) -> None:
    page = open_page()
    label(page, "today happy")

    with page.expect_request("**/v1/predict") as asked:
        page.get_by_role("spinbutton").first.fill("0.9995")

    assert json.loads(asked.value.post_data or "")["thresholds"] == {"joy": 0.9995}


def test_many_labels_fold_to_the_chosen_and_the_best(open_page: OpenPage) -> None:
    page = open_page()
    page.get_by_label("Model", exact=True).select_option("topics")
    label(page, "today happy")

    article = page.locator("article")
    scores = [float(each) for each in article.locator("td:nth-child(3)").all_inner_texts()]
    folded = len(scores)
    assert scores == sorted(scores, reverse=True)
    assert 8 <= folded <= 32
    assert article.locator(".chosen li").count() <= 24
    article.get_by_role("button", name="Show all 500 labels").click()
    expect(article.locator("tbody tr")).to_have_count(500)
    expect(article.get_by_role("button", name="Show the best")).to_be_focused()
    page.get_by_label("Find a label").fill("topic 49")
    visible = page.locator("#sliders li:visible")
    expect(visible).to_have_count(sum("topic 49" in name for name in MANY_LABELS))


def test_an_answer_that_comes_late_is_not_shown(open_page: OpenPage) -> None:
    page = open_page()
    first = True

    def slow(route: Route) -> None:
        nonlocal first
        if first:
            first = False
            held.append(route)
        else:
            route.continue_()

    held: list[Route] = []
    page.route("**/v1/predict", slow)
    page.get_by_label("Texts", exact=True).fill("today happy")
    page.get_by_role("button", name="Label texts").click()
    label(page, "today sad")
    held[0].abort()

    page.wait_for_timeout(200)
    assert page.locator("article .text").all_text_contents() == ["today sad"]
    expect(page.get_by_role("alert")).to_be_empty()


def test_what_was_cut_is_said(open_page: OpenPage) -> None:
    page = open_page()

    label(page, "today " * 100)

    expect(page.locator("article")).to_contain_text(f"reads {MAX_LENGTH} tokens at most")


HARD_TEXT = (
    'it\'s "$HOME" `id` !! \\ \\n $(id) %PATH% \ttab 难过 \N{GRINNING FACE} \u202e\u2028\x7f \\'
)


def _asked_by(page: Page, command: list[str], code: str) -> str:
    environment = {**os.environ, "MULTIHOT_TOKEN": TOKEN, "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(
        [*command, code], capture_output=True, encoding="utf-8", env=environment, check=True
    )
    return done.stdout


@pytest.mark.parametrize("token", [None, TOKEN])
def test_the_request_as_curl_and_as_python_asks_the_same(
    open_page: OpenPage, models: tuple[Path, Path], token: str | None
) -> None:
    options = {} if token is None else {"http_credentials": {"username": "me", "password": token}}
    with serving(*models, env={"MULTIHOT_TOKEN": token or ""}) as served:
        page = open_page(served.url, **options)
        page.get_by_role("switch", name="One text per line").uncheck()
        page.get_by_label("Texts", exact=True).fill(f"{HARD_TEXT}\ntoday happy")
        with page.expect_response("**/v1/predict"):
            page.get_by_role("button", name="Label texts").click()
        with page.expect_response("**/v1/predict") as response:
            page.get_by_role("spinbutton").nth(1).fill("0.25")
        expect(page.locator("#changes")).not_to_be_empty()
        curl = page.locator("#curl").text_content() or ""
        python = page.locator("#python").text_content() or ""

        answer = response.value.json()
        assert json.loads(_asked_by(page, ["bash", "-c"], curl + " -s")) == answer
        printed = _asked_by(page, [sys.executable, "-c"], python)

    assert printed == f"{HARD_TEXT}\ntoday happy {answer['results'][0]['labels']}\n"
    assert ("MULTIHOT_TOKEN" in curl) == ("MULTIHOT_TOKEN" in python) == (token is not None)


def test_copying_puts_the_command_on_the_clipboard(open_page: OpenPage) -> None:
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    label(page, "today happy")

    page.get_by_text("curl", exact=True).click()
    page.get_by_role("button", name="Copy for curl").click()

    expect(page.locator("#status")).to_have_text("Copied.")
    clipboard = page.evaluate("navigator.clipboard.readText()")
    assert clipboard == page.locator("#curl").text_content()


def test_the_page_speaks_the_language_of_the_browser(open_page: OpenPage) -> None:
    page = open_page(locale="zh-CN")
    page.get_by_label("文本", exact=True).fill("today happy")
    page.get_by_role("button", name="预测").click()
    expect(page.locator("#status")).to_contain_text("1 条文本")
    html = page.locator("html")

    assert html.get_attribute("lang") == "zh-Hans"
    chinese = page.locator("[data-say]").all_text_contents()
    page.get_by_role("button", name="English").click()

    assert html.get_attribute("lang") == "en"
    assert "1 text, " in page.locator("#status").inner_text()
    english = page.locator("[data-say]").all_text_contents()
    assert all(one and other and one != other for one, other in zip(chinese, english, strict=True))


@pytest.mark.parametrize(
    ("status", "headers", "sentence"),
    [
        (401, {}, "reload this page and enter it as the password"),
        (413, {}, "Too much text at once. As the server says."),
        (422, {}, "The server cannot label this. As the server says."),
        (429, {"retry-after": "3"}, "The server is busy. Try again in 3 seconds."),
        (503, {"retry-after": "1"}, "not ready. Try again in 1 second."),
        (504, {}, "The answer took too long"),
        (418, {}, "status 418"),
        (200, {}, "The answer is not what this page expects"),
    ],
)
def test_refusals_are_sentences(
    open_page: OpenPage, status: int, headers: dict[str, str], sentence: str
) -> None:
    page = open_page()
    body = json.dumps({"title": "x", "status": status, "detail": "As the server says."})
    page.route(
        "**/v1/predict",
        lambda route: route.fulfill(
            status=status, headers=headers, body=body, content_type="application/problem+json"
        ),
    )

    page.get_by_label("Texts", exact=True).fill("today happy")
    page.get_by_role("button", name="Label texts").click()

    expect(page.get_by_role("alert")).to_contain_text(sentence)
    assert page.locator("#status").inner_text() == ""


def test_a_server_that_is_gone_and_back_is_no_reason_to_reload(
    open_page: OpenPage, browser: Browser
) -> None:
    page = open_page()
    page.context.set_offline(True)
    page.get_by_label("Texts", exact=True).fill("today happy")
    page.get_by_role("button", name="Label texts").click()
    expect(page.get_by_role("alert")).to_contain_text("cannot be reached")

    page.context.set_offline(False)
    label(page, "today happy")

    expect(page.get_by_role("alert")).to_be_empty()


def test_too_many_texts_and_none_are_said_before_anything_is_sent(open_page: OpenPage) -> None:
    page = open_page()
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url))

    page.get_by_role("button", name="Label texts").click()
    expect(page.get_by_role("alert")).to_have_text("Enter a text first.")
    page.get_by_label("Texts", exact=True).fill("today\n" * 33)
    page.get_by_role("button", name="Label texts").click()

    expect(page.get_by_role("alert")).to_contain_text("33 texts; the server takes 32 at once")
    assert sent == []


def test_a_new_decision_of_the_folder_is_taken_over(
    open_page: OpenPage, models: tuple[Path, Path], tmp_path: Path
) -> None:
    model = shutil.copytree(models[1], tmp_path / "topics")
    rows = write_csv(tmp_path / "rows.csv", labelled_rows(MANY_LABELS, 2))
    command = [sys.executable, "-m", "multihot", "decide", str(model), str(rows)]
    with serving(model) as served:
        page = open_page(served.url)
        label(page, "today happy")
        decided = subprocess.run(
            [*command, "--thresholds", "0.25", "data.text_column=text"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert decided.returncode == 0, decided.stderr
        while served.predict("today")["thresholds"]["topic 0"] != 0.25:
            page.wait_for_timeout(100)

        label(page, "today sad")

        expect(page.locator("#changes")).to_contain_text("The server has a new decision")
        expect(page.get_by_role("spinbutton").first).to_have_value("0.25")
        expect(page.locator("#facts")).to_contain_text("Thresholds were set by hand, not fitted.")
