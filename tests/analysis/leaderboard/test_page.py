"""The page in a real browser: what it shows, that it can be used, and that it asks nobody for anything."""

import json
import re

import pytest
import yaml

from clipbench.analysis.leaderboard.disagreements import find_disagreements
from clipbench.analysis.leaderboard.merge import build_leaderboard
from clipbench.analysis.leaderboard.page import html_page
from tests.analysis.leaderboard.builders import line, make_results, write
from tests.browser import CHROMIUM, Browser
from tests.toy import write_toy

EVIL = "</script><script>window.hacked=1</script><img src=x onerror=window.hacked=1>"
MODELS = {"good": (0.9, 0.3), "middling": (0.6, 0.6), "weak": (0.5, 0.2), EVIL: (0.2, 0.9)}
PATTERNS = {"good": "++++", "middling": "++--", "weak": "--+-", EVIL: "----"}

needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here (Debian: apt-get install chromium)")


def samples(pattern):
    logged = [line(f"{n}.png", mark == "+", f"{n}.png", best=1 + n % 2) for n, mark in enumerate(pattern)]
    logged[0]["texts"] = [f"{text} {EVIL}" for text in logged[0]["texts"]]
    return logged


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    task = write_toy(folder / "data", [f"a red car {n}" for n in range(4)])
    for number, (name, (concept, retrieval)) in enumerate(MODELS.items()):
        weights = str(number) * 64
        color = make_results(name, {"toy_color": concept}, weights=weights, breakdown={"red": concept, "blue": 0.1})
        write(folder / "out", color, {"toy_color": samples(PATTERNS[name])})
        facts = {"task_type": "retrieval", "metric": "t2i_recall@5", "weights": weights, "day": 1}
        search = make_results(name, {"search": retrieval}, **facts)
        search.tasks["search"].declaration["concept"] = None
        write(folder / "out", search)
    assert yaml.safe_load(task.read_text())["name"] == "toy_color"
    board = build_leaderboard([folder / "out"])
    found, problems = find_disagreements(board, 4, include_path=[task])
    assert problems == []
    path = folder / "board.html"
    path.write_text(html_page(board, found), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def browser():
    opened = Browser()
    yield opened
    opened.close()


def test_names_and_texts_are_data_and_never_markup(page):
    text = page.read_text()
    assert "<img src=x" not in text
    assert "<script>window" not in text
    assert text.count("<script") == text.count("</script>") == 2
    assert "&lt;script&gt;window.hacked=1" in text
    payload = json.loads(re.search(r'<script id="data" type="application/json">(.*?)</script>', text, re.DOTALL)[1])
    assert EVIL in payload["models"]


def test_the_page_is_small_and_names_no_other_place(page):
    text = page.read_text()
    assert len(re.sub(r"data:image/jpeg;base64,[^\"]*", "", text)) < 100_000
    assert set(re.findall(r"https?://[^\s\"'<]*", text)) <= {"http://www.w3.org/2000/svg"}


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
    names = payload["models"]
    for one in range(len(names)):
        for other in range(len(names)):
            expected = any(a + b == "+-" for a, b in zip(PATTERNS[names[one]], PATTERNS[names[other]], strict=True))
            right = [(each["answers"][str(one)]["right"], each["answers"][str(other)]["right"]) for each in found]
            assert ((True, False) in right) == expected
    assert all(payload["images"][key].startswith("data:image/jpeg") for each in found for key in each["images"])


@needs_browser
@pytest.mark.parametrize("width", [1200, 360])
@pytest.mark.parametrize("dark", [False, True])
def test_the_page_runs_without_a_request_or_a_complaint(page, browser, width, dark):
    browser.open(page, width=width, dark=dark)
    browser.run("document.getElementById('gallery-box').open = true; new Promise(done => setTimeout(done, 200))")
    requested = {event["request"]["url"].split(",")[0] for event in browser.named("Network.requestWillBeSent")}
    assert {url for url in requested if not url.startswith("data:")} == {page.as_uri()}
    assert browser.named("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded") == []
    assert browser.run("window.hacked") is None
    assert browser.run("document.documentElement.scrollWidth <= innerWidth"), "the page itself scrolls sideways"
    background = browser.run("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", background)[:3])) < 200) == dark


@needs_browser
def test_headings_sort(page, browser):
    browser.open(page)
    shown = "[...document.querySelectorAll('#board tbody tr')].map(row => row.dataset.model)"
    header = "[...document.querySelectorAll('#board thead th')].find(th => th.dataset.task === 'toy_color')"
    orders = []
    for _ in range(2):
        browser.run(f"{header}.firstElementChild.click()")
        orders.append((browser.run(f"{header}.getAttribute('aria-sort')"), browser.run(shown)))
    by_color = sorted(MODELS, key=lambda name: -MODELS[name][0])
    assert orders == [("descending", by_color), ("ascending", by_color[::-1])]
    browser.run("document.querySelector('#board thead button').click()")
    assert browser.run(shown)[1:] == ["good", "middling", "weak"]
    assert "Sorted by model" in browser.run("document.getElementById('status').textContent")


@needs_browser
def test_filters_hide_rows_and_columns(page, browser):
    browser.open(page)
    browser.run(
        "for (const [id, text] of [['filter-models', 'MIDD'], ['filter-tasks', 'sea']])"
        "{ const box = document.getElementById(id); box.value = text; box.dispatchEvent(new Event('input')); }"
    )
    seen = "[...document.querySelectorAll('#board tbody tr')].filter(row => row.offsetParent).map(row => row.innerText)"
    (row,) = browser.run(seen)
    assert re.sub(r"\s+", " ", row).startswith("middling 0.600 ± 0.010")
    assert "1 of 4 models, 1 columns" in browser.run("document.getElementById('status').textContent")


@needs_browser
def test_the_plot_has_every_model_and_the_pareto_front(page, browser):
    browser.open(page)
    assert browser.run("document.getElementById('plot-x').value") == "search"
    assert browser.run("document.getElementById('plot-y').value") == "toy_color"
    assert browser.run("document.querySelectorAll('#plot .point').length") == 4
    assert browser.run("document.querySelectorAll('#plot .whisker').length") == 8
    front = browser.run("[...document.querySelectorAll('#plot .on-front title')].map(title => title.textContent)")
    assert set(front) == {"good", "middling", EVIL}
    assert browser.run("document.querySelector('#plot .front').points.length") == 3
    texts = browser.run("[...document.querySelectorAll('#plot-list li')].map(item => item.textContent)")
    assert "middling: 60.0 % across, 60.0 % up, on the Pareto front" in texts


@needs_browser
def test_keywords_and_confusions(page, browser):
    browser.open(page)
    browser.run(
        "const box = document.getElementById('breakdown-model');"
        "box.value = [...box.options].find(option => option.text === 'weak').value;"
        "box.dispatchEvent(new Event('input'))"
    )
    row = "[...document.querySelectorAll('#confusion tbody tr:not([hidden]) > *')].map(cell => cell.textContent)"
    heads = browser.run("[...document.querySelectorAll('#confusion thead th')].map(cell => cell.textContent)")
    cells = dict(zip(heads[1:], browser.run(row)[1:], strict=True))
    assert cells == {"red": "25", "blue": "25", "green": "50"}  # "--+-", blue and green by turns
    assert "90.0 %" in browser.run("document.getElementById('keywords').innerText")
    concepts = browser.run("[...document.querySelectorAll('#concepts tr > *')].map(cell => cell.textContent)")
    values = dict(zip(concepts[: len(concepts) // 2], concepts[len(concepts) // 2 :], strict=True))
    assert values["Concept"] == "color"
    assert (values["good"], values["middling"]) == ("90.0 %", "60.0 %")


@needs_browser
def test_the_gallery_opens_by_keyboard_and_shows_what_two_models_disagree_on(page, browser):
    browser.open(page)
    browser.run("document.querySelector('summary').focus()")
    browser.press("Enter")
    browser.run("new Promise(done => setTimeout(done, 200))")
    assert browser.run("document.getElementById('gallery-box').open")
    choose = (
        "for (const [id, name] of [['gallery-a', 'good'], ['gallery-b', 'weak']])"
        "{ const box = document.getElementById(id); box.value = [...box.options].find(o => o.text === name).value;"
        " box.dispatchEvent(new Event('input')); }"
    )
    browser.run(choose)
    names = browser.run("[...document.querySelectorAll('#cards figcaption > small')].map(each => each.textContent)")
    assert names
    assert set(names) <= {"0.png", "1.png", "3.png"}  # "++++" against "--+-"
    assert browser.run("[...document.querySelectorAll('#cards img')].every(img => img.complete && img.naturalWidth)")
    assert browser.run("document.querySelectorAll('#cards .own').length") == len(names)
    assert browser.run("document.querySelectorAll('#cards .picked').length") == 2 * len(names)  # one by each model
    browser.run(
        "const which = document.getElementById('gallery-which'); which.value = 'b';"
        "which.dispatchEvent(new Event('input'))"
    )
    assert browser.run("document.querySelectorAll('#cards figure').length") == 0


@needs_browser
def test_every_control_is_reached_by_keyboard_and_has_a_name(page, browser):
    browser.open(page)
    browser.run("document.getElementById('gallery-box').open = true; new Promise(done => setTimeout(done, 200))")
    reached = set()
    for _ in range(60):
        browser.press("Tab")
        reached.add(browser.run("document.activeElement.id || document.activeElement.textContent"))
    wanted = browser.run("[...document.querySelectorAll('input, select')].map(control => control.id)")
    assert set(wanted) <= reached
    assert "Model" in reached
    nodes = browser.call("Accessibility.getFullAXTree")["nodes"]
    roles = {"button", "combobox", "searchbox", "checkbox", "image", "region", "link", "table"}
    interesting = [node for node in nodes if not node["ignored"] and node["role"]["value"] in roles]
    unnamed = [node["role"]["value"] for node in interesting if not node.get("name", {}).get("value")]
    assert set(unnamed) <= {"table"}  # tables stand in named regions
    assert {"button", "combobox", "checkbox", "image", "region"} <= {node["role"]["value"] for node in interesting}


@needs_browser
def test_text_is_legible_in_light_and_dark(page, browser):
    """Contrast of at least 4.5 to 1 (WCAG AA) of text on the page's own background."""

    def luminance(color):
        channels = [int(part) / 255 for part in re.findall(r"\d+", color)[:3]]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    for dark in (False, True):
        browser.open(page, dark=dark)
        script = "(selector => getComputedStyle(document.querySelector(selector)).{})({})"
        background = luminance(browser.run(script.format("backgroundColor", "'body'")))
        for selector in ("body", "p", "#board small", "#plot-list .on-front"):
            text = luminance(browser.run(script.format("color", json.dumps(selector))))
            high, low = max(text, background), min(text, background)
            assert (high + 0.05) / (low + 0.05) >= 4.5, (selector, dark)
