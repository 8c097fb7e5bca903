"""The page in a real browser: what it holds, that it can be used, and that it asks nobody for anything."""

import json
import re

import pytest

from clipbench.analysis.leaderboard.merge import build_leaderboard
from clipbench.analysis.leaderboard.page import html_page
from tests.analysis.leaderboard.builders import make_results, write
from tests.analysis.leaderboard.pages import EVIL, PATTERNS, needs_browser, select


def test_names_and_texts_are_data_and_never_markup(page):
    text = page.read_text()
    assert "<img src=x" not in text
    assert "<script>window" not in text
    assert text.count("<script") == text.count("</script>") == 2
    assert "&lt;script&gt;window.hacked=1" in text
    payload = json.loads(re.search(r'<script id="data" type="application/json">(.*?)</script>', text, re.DOTALL)[1])
    assert EVIL in [model["label"] for model in payload["models"]]


def test_the_page_is_small_and_names_no_other_place(page):
    text = page.read_text()
    assert len(re.sub(r"data:image/[a-z]+;base64,[^\"]*", "", text)) < 100_000
    assert set(re.findall(r"https?://[^\s\"'<]*", text)) <= {"http://www.w3.org/2000/svg"}


def test_the_scripts_are_one_module(page):
    """Two parts of the page may not define the same name."""
    script = re.search(r'<script type="module">(.*?)</script>', page.read_text(), re.DOTALL)[1]
    assert not re.search(r"^(import|export) ", script, re.MULTILINE)
    names = re.findall(r"^(?:async )?(?:function|const|let) ([$\w]+)", script, re.MULTILINE)
    assert len(names) == len(set(names)) > 40


def test_a_large_board_stays_under_three_megabytes(tmp_path):
    words = {f"object {n}": n / 80 for n in range(80)}
    board = build_leaderboard(
        [
            write(
                tmp_path, make_results(f"m{m}", {f"t{t}": 0.5 for t in range(10)}, weights=f"{m:064d}", breakdown=words)
            )
            for m in range(30)
        ]
    )
    for score in board.scores:
        if score.task == "t0":
            score.confusion = {word: dict.fromkeys(list(words)[:40], 3) for word in words}
    assert len(html_page(board).encode()) < 3_000_000


def test_the_gallery_has_samples_for_every_pair_that_disagrees(page):
    payload = json.loads(re.search(r'application/json">(.*?)</script>', page.read_text(), re.DOTALL)[1])
    found = payload["gallery"]["toy_color"]
    names = [model["label"] for model in payload["models"]]
    for one in range(len(names)):
        for other in range(len(names)):
            expected = any(a + b == "+-" for a, b in zip(PATTERNS[names[one]], PATTERNS[names[other]], strict=True))
            right = [(each["answers"][str(one)]["right"], each["answers"][str(other)]["right"]) for each in found]
            assert ((True, False) in right) == expected
    assert all(payload["images"][key].startswith("data:image/") for each in found for key in each["images"])


@needs_browser
@pytest.mark.parametrize("width", [1200, 360])
@pytest.mark.parametrize("dark", [False, True])
def test_the_page_runs_without_a_request_or_a_complaint(page, browser, width, dark):
    browser.open(page, width=width, dark=dark)
    requested = {event["request"]["url"].split(",")[0] for event in browser.named("Network.requestWillBeSent")}
    assert {url for url in requested if not url.startswith("data:")} == {page.as_uri()}
    assert browser.named("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded") == []
    assert browser.run("window.hacked") is None
    assert browser.run("document.documentElement.scrollWidth <= innerWidth"), "the page itself scrolls sideways"
    background = browser.run("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", background)[:3])) < 200) == dark


@needs_browser
def test_an_address_leads_to_a_task_and_a_model(page, browser):
    browser.open("about:blank")  # or only the fragment changes, and no page is loaded
    browser.open(page.as_uri() + "#task=search&model=weak")
    assert browser.run("document.querySelector('#board tr.chosen').dataset.model") == "weak"
    assert browser.run("document.querySelector('#board th.chosen').dataset.task") == "search"
    assert browser.run("document.getElementById('gallery-wrong').selectedOptions[0].text") == "weak"
    select(browser, "breakdown-task", "toy · color")
    assert browser.run("location.hash") == "#task=toy_color&model=weak"


@needs_browser
def test_every_control_is_reached_by_keyboard_and_has_a_name(page, browser):
    browser.open(page)
    reached = set()
    for _ in range(90):
        browser.press("Tab")
        reached.add(browser.run("document.activeElement.id || document.activeElement.textContent"))
    wanted = browser.run("[...document.querySelectorAll('input, select')].filter(e => e.offsetParent).map(e => e.id)")
    assert set(wanted) <= reached
    assert "color" in reached
    nodes = browser.call("Accessibility.getFullAXTree")["nodes"]
    roles = {"button", "combobox", "searchbox", "image", "region", "link", "table"}
    interesting = [node for node in nodes if not node["ignored"] and node["role"]["value"] in roles]
    unnamed = [node["role"]["value"] for node in interesting if not node.get("name", {}).get("value")]
    assert set(unnamed) <= {"table"}  # tables stand in named regions
    assert {"button", "combobox", "image", "region"} <= {node["role"]["value"] for node in interesting}


# Every visible text with the color behind it, half transparent ones mixed; a canvas turns any CSS color into numbers.
_TEXTS = """(() => {
  const context = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const channels = (color) => {
    context.clearRect(0, 0, 1, 1); context.fillStyle = color; context.fillRect(0, 0, 1, 1);
    return [...context.getImageData(0, 0, 1, 1).data];
  };
  const behind = (element) => {
    const layers = [];
    for (let each = element; each; each = each.parentElement) layers.push(channels(getComputedStyle(each).backgroundColor));
    return layers.reverse().reduce((below, [r, g, b, a]) => [r, g, b].map((value, i) => below[i] + (value - below[i]) * a / 255), [255, 255, 255]);
  };
  const found = {};
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || !element.getClientRects().length || element.closest("script, noscript, option")) continue;
    const style = getComputedStyle(element);
    const text = channels(element.closest("svg") ? style.fill : style.color);
    found[JSON.stringify([text.slice(0, 3), behind(element), element.tagName])] = `${element.tagName}.${element.className.baseVal ?? element.className} ${walker.currentNode.textContent.trim().slice(0, 40)}`;
  }
  return Object.entries(found);
})()"""  # noqa: E501


@needs_browser
@pytest.mark.parametrize("dark", [False, True])
def test_all_text_is_legible(page, browser, dark):
    """Contrast of at least 4.5 to 1 (WCAG 2.1, AA), computed for every text on the page."""

    def luminance(color):
        channels = [part / 255 for part in color]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    browser.open(page, dark=dark)
    # scores from 0 to 1 give all colors of the scale
    browser.run("document.querySelectorAll('#board td[data-value]').forEach((cell, index) => {"
                " cell.style.setProperty('--heat', '100%'); cell.classList.toggle('below', index % 2) })")  # fmt: skip
    pairs = browser.run(_TEXTS)
    assert {where.split(".")[0] for _, where in pairs} >= {"H1", "DD", "SPAN", "SMALL", "TD", "MARK", "text"}
    for colors, where in pairs:
        text, behind = map(luminance, json.loads(colors)[:2])
        assert (max(text, behind) + 0.05) / (min(text, behind) + 0.05) >= 4.5, (where, colors)


@needs_browser
def test_a_narrow_screen_says_that_there_is_more(page, browser):
    hint = "document.querySelector('.hint:has(+ .scroll > #board)').hidden"
    browser.open(page, width=1200)
    browser.wait(hint)
    browser.open(page, width=320)
    browser.run("document.querySelector('#board').style.width = '900px'")
    browser.wait(f"!{hint}")
    browser.run("document.querySelector('.scroll:has(> #board)').scrollLeft = 9999")
    browser.wait(hint)


@needs_browser
def test_on_paper_controls_are_gone_and_nothing_is_cut_off(page, browser):
    browser.open(page)
    browser.call("Emulation.setEmulatedMedia", media="print")
    try:
        assert browser.run("[...document.querySelectorAll('.controls, nav')].every(each => !each.offsetParent)")
        boxes = "[...document.querySelectorAll('.scroll')].every(box => getComputedStyle(box).overflowX === 'visible')"
        assert browser.run(boxes)
    finally:
        browser.call("Emulation.setEmulatedMedia", media="")
