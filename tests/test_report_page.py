"""The report in a real browser: nothing of the data runs, nothing is fetched, and pairs are found."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from aifeedback.jsontext import dumps, loads
from aifeedback.report.writing import Request, write_report
from tests.conftest import ROOT

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), ""
)
pytestmark = pytest.mark.skipif(not CHROMIUM, reason="there is no Chromium here: apt-get install chromium")

HOSTILE = (
    "<script>window.ran = 1</script><img src=x onerror='window.ran = 2'></script><!--<b>bold</b>"
    " [a link](javascript:window.ran=3) &amp; \u2028 \u202ereversed\u202c \x00 \ud800 <svg onload=window.ran=4>"
    f" {'longword' * 40}"
)


def made_up() -> ModuleType:
    spec = importlib.util.spec_from_file_location("take_screenshots", ROOT / "docs" / "take_screenshots.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        flags = ["--no-sandbox"] if os.geteuid() == 0 else []
        started = driver.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield started
        started.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page about 120 made-up pairs, of which one is hostile in every text."""
    folder = tmp_path_factory.mktemp("report")
    labels = made_up().write_run(folder, 120)
    lines = labels.read_bytes().splitlines()
    hostile, _ = loads(lines[0])
    assert isinstance(hostile, dict)
    hostile |= {
        "id": f"hostile {HOSTILE}",
        "prompt": HOSTILE,
        "chosen": f"chosen {HOSTILE}",
        "rejected": f"no {HOSTILE}",
    }
    for verdict in hostile["feedback"]["verdicts"]:
        verdict["reason"] = f"since {HOSTILE}"
    hostile["feedback"] |= {"model_a": HOSTILE, "file": HOSTILE, "criteria": HOSTILE}
    talk = [
        {"role": "user", "content": "first question"},
        {"role": "assistant", "content": "an answer"},
        {"role": "user", "content": "zebra question"},
    ]
    dialogue, _ = loads(lines[1])
    assert isinstance(dialogue, dict)
    dialogue |= {"id": "talk", "prompt": talk, "chosen": [{"role": "assistant", "content": "yes"}], "rejected": [{"role": "assistant", "content": "no"}]}  # fmt: skip
    labels.write_bytes(b"\n".join([dumps(hostile), dumps(dialogue), *lines[2:], b""]))
    rest = labels.with_name("labels.rest.jsonl")
    unlabelled, _ = loads(rest.read_bytes().splitlines()[0])
    assert isinstance(unlabelled, dict)
    unlabelled |= {"id": f"hostile too {HOSTILE}", "reason": HOSTILE}
    rest.write_bytes(b"\n".join([dumps(unlabelled), *rest.read_bytes().splitlines()[1:], b""]))
    write_report(Request(str(labels), output=str(folder / "report.html")))
    return folder / "report.html"


class Seen:
    """One page that is looked at, and all that it did."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.said: list[str] = []
        self.fetched: list[str] = []
        page.on("console", lambda message: self.said.append(message.text))
        page.on("pageerror", lambda error: self.said.append(str(error)))
        page.on("request", lambda request: self.fetched.append(request.url))
        page.on("dialog", lambda dialog: self.said.append(dialog.message))

    @property
    def matching(self) -> int:
        found = re.search(r"([\d,]+) pairs?\b", self.page.text_content("#counts"))
        assert found
        return int(found[1].replace(",", ""))

    def search(self, words: str) -> int:
        self.page.fill("#search", words)
        self.page.wait_for_timeout(20)
        return self.matching


@pytest.fixture
def seen(browser: Any, report: Path) -> Iterator[Seen]:
    context = browser.new_context(viewport={"width": 1100, "height": 900}, reduced_motion="reduce")
    opened = Seen(context.new_page())
    opened.page.goto(report.as_uri())
    yield opened
    assert opened.said == []
    assert {url.partition("#")[0] for url in opened.fetched} == {report.as_uri()}
    context.close()


def test_hostile_texts_stay_texts_and_nothing_of_them_runs(seen: Seen) -> None:
    assert seen.search("hostile chosen") == 1
    seen.page.click(".head")
    body = seen.page.locator(".pair .body")
    for part in (
        "<script>window.ran = 1</script>",
        "<img src=x",
        "</script><!--<b>bold</b>",
        "&amp;",
        "(javascript:window.ran=3)",
    ):
        assert body.text_content().count(part) >= 5, part
    assert "⟨U+202E⟩reversed" in body.text_content()
    assert "⟨U+0000⟩" in body.text_content()
    assert "⟨U+D800⟩" in body.text_content() or "\ufffd" in body.text_content()
    assert seen.page.evaluate("window.ran") is None
    assert seen.page.locator("#list img, #list script, #list b, main img").count() == 0
    assert seen.page.evaluate("[...document.links].every((link) => link.getAttribute('href').startsWith('#'))")


def test_no_script_or_picture_but_the_pages_own_would_be_taken(seen: Seen) -> None:
    blocked: list[str] = []
    seen.page.on("requestfailed", lambda request: blocked.append(request.failure))
    seen.page.evaluate("""() => {
        const script = document.createElement("script"); script.textContent = "window.ran = 5"; document.body.append(script);
        const image = new Image(); image.src = "https://example.invalid/x.png"; document.body.append(image);
    }""")
    seen.page.wait_for_timeout(50)
    assert seen.page.evaluate("window.ran") is None
    assert len(seen.said) == 2
    assert all("Content Security Policy" in said for said in seen.said)
    assert blocked == ["csp"]
    seen.said.clear()
    seen.fetched.pop()


def test_search_and_filters_find_and_count(seen: Seen) -> None:
    data = seen.page.evaluate("JSON.parse(document.getElementById('data').textContent)")
    pairs = data["pairs"]
    assert seen.matching == len(pairs) == data["total"] == 120
    assert seen.search("Zebra  QUESTION") == 1
    assert seen.page.text_content(".head .what") == "zebra question"
    seen.page.keyboard.press("Escape")
    assert seen.matching == 120
    conflicts = [pair for pair in pairs if pair.get("s") == "conflict"]
    seen.page.click("#statuses [data-code=conflict]")
    assert seen.matching == len(conflicts) > 0
    assert seen.page.get_attribute("#statuses [data-code=conflict]", "aria-pressed") == "true"
    seen.page.click("#kinds [data-code=first]")
    both = [pair for pair in conflicts if "first" in pair["k"]]
    assert seen.matching == len(both) > 0
    assert seen.page.text_content("#kinds [data-code=first] span") == str(len(both))
    seen.page.click("[data-status=unparsed]")
    assert seen.matching == sum(pair.get("s") == "unparsed" for pair in pairs) > 0
    assert seen.search("no such words anywhere") == 0
    assert seen.page.is_visible("#none")
    seen.page.click("#clear")
    assert seen.matching == 120


def test_only_one_page_of_pairs_is_in_the_document_the_most_contested_first(seen: Seen) -> None:
    data = seen.page.evaluate("JSON.parse(document.getElementById('data').textContent)")
    assert seen.page.locator("#list > li").count() == 25
    contested = sorted((pair["c"] for pair in data["pairs"]), reverse=True)
    shown = [data["pairs"][int(each.removeprefix("pair-"))]["c"] for each in seen.page.eval_on_selector_all("#list > li", "all => all.map((one) => one.id)")]  # fmt: skip
    assert shown == contested[:25]
    seen.page.click("#forth")
    assert "26–50 of 120" in seen.page.text_content("#counts")
    assert not seen.page.is_visible("#unscripted")
    seen.page.select_option("#sort", "file")
    assert seen.page.get_attribute("#list > li", "data-key").startswith("hostile")


def test_everything_can_be_done_by_keyboard(seen: Seen) -> None:
    press = seen.page.keyboard.press
    press("/")
    assert seen.page.evaluate("document.activeElement.id") == "search"
    press("Tab"), press("Tab"), press("Tab")
    assert seen.page.evaluate("document.activeElement.dataset.code") == ""
    press("Enter")
    assert seen.matching < 120
    press("j"), press("j")
    assert seen.page.evaluate("document.activeElement.closest('li') === document.querySelectorAll('#list > li')[1]")
    press("Enter")
    assert seen.page.get_attribute("#list > li:nth-child(2) .head", "aria-expanded") == "true"
    press("n")
    assert "Page 2 of" in seen.page.text_content("#place")
    press("p"), press("k")
    assert "Page 1 of" in seen.page.text_content("#place")


def test_a_link_to_a_pair_opens_it(seen: Seen, report: Path) -> None:
    seen.page.goto(f"{report.as_uri()}#pair=talk")
    item = seen.page.locator("li[data-key=talk]")
    assert item.locator(".head").get_attribute("aria-expanded") == "true"
    assert [turn.strip() for turn in item.locator(".turn .role").all_text_contents()] == ["user", "assistant", "user"]  # fmt: skip
    assert seen.page.evaluate("document.activeElement.closest('li').dataset.key") == "talk"
    seen.search("hostile chosen")
    key = seen.page.get_attribute("#list > li", "data-key")
    seen.page.click(".head")
    own_link = seen.page.get_attribute(".about a", "href")
    seen.page.click("#clear")
    seen.page.click("#statuses [data-code=conflict]")
    seen.page.evaluate("(link) => { location.hash = ''; location.hash = link; }", own_link)
    seen.page.wait_for_timeout(50)
    assert seen.page.evaluate("document.activeElement.closest('li').dataset.key") == key
    seen.page.evaluate("location.hash = '#pair=nobody'")
    seen.page.wait_for_timeout(50)
    assert seen.page.text_content("#counts") == "The pair nobody is not on this page."


def test_both_themes_and_the_button_between_them(seen: Seen) -> None:
    def paper() -> str:
        return str(seen.page.evaluate("getComputedStyle(document.body).backgroundColor"))

    seen.page.emulate_media(color_scheme="light")
    light = paper()
    seen.page.emulate_media(color_scheme="dark")
    dark = paper()
    assert light != dark
    seen.page.click("#theme")
    assert paper() == light
    seen.page.emulate_media(media="print")
    assert paper() == "rgb(255, 255, 255)"
    assert not seen.page.is_visible(".tools")


@pytest.mark.parametrize("width", [320, 400])
def test_a_phone_scrolls_in_one_direction_only(seen: Seen, width: int) -> None:
    seen.page.set_viewport_size({"width": width, "height": 700})
    assert seen.search("hostile") == 2
    for head in seen.page.query_selector_all(".head"):
        head.click()
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= width
    assert seen.page.evaluate("document.querySelector('#theme').getBoundingClientRect().right") <= width


def test_without_a_script_the_figures_are_all_there(browser: Any, report: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(report.as_uri())
    assert page.is_visible("#unscripted")
    assert not page.is_visible("#browser")
    assert page.locator("section:not(#pairs) table").count() >= 4
    context.close()


def test_it_prints_with_the_pairs_that_are_open_on_whatever_page_of_the_list(seen: Seen) -> None:
    seen.page.click(".head")
    seen.page.keyboard.press("n")
    seen.page.keyboard.press("Enter")
    seen.page.emulate_media(media="print")
    seen.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert seen.page.locator("#list > li:visible").count() == 2
    assert seen.page.locator(".pair .body .text:visible").count() >= 6
    assert seen.page.evaluate("getComputedStyle(document.querySelector('.body .text')).maxHeight") == "none"
    seen.page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert seen.page.locator("#list > li").count() == 25
    assert seen.page.pdf().startswith(b"%PDF")
