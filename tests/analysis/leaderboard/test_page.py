"""The page in a real browser: what it shows, that it can be used, and that it asks nobody for anything."""

import json
import re
from xml.etree import ElementTree

import pytest
import yaml

from clipbench.analysis.leaderboard.gallery import find_samples
from clipbench.analysis.leaderboard.lineage import set_bases
from clipbench.analysis.leaderboard.logs import BoardLogs
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
        if name != "middling":  # which has no score there
            write(folder / "out", search)
    assert yaml.safe_load(task.read_text())["name"] == "toy_color"
    board = build_leaderboard([folder / "out"])
    set_bases(board, {"good": "weak"})
    logs = BoardLogs(board, [task])
    found, problems = find_samples(board, 4, include_path=[task], logs=logs)
    assert problems == []
    path = folder / "board.html"
    text = html_page(board, found, title="Colors | of four models", logs=logs, include_path=[task])
    path.write_text(text, encoding="utf-8")
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
def test_the_summary_says_which_model_is_best_and_what_it_costs(page, browser):
    browser.open(page)
    assert browser.run("document.querySelector('h1').innerText") == "Colors"
    assert "of four models" in browser.run("document.querySelector('header').innerText")
    assert "4 models on 2 tasks" in browser.run("document.querySelector('header').innerText")
    (best,) = browser.run("[...document.querySelectorAll('.leaders li')].map(item => item.innerText)")
    # "++++" against "++--": four samples of one image each prove nothing
    assert best == "Best at color: good, 90.0 % right; not significantly ahead of middling (+30.0 ± 56.6)"
    cards = browser.run("[...document.querySelectorAll('.card')].map(card => card.innerText)")
    good = next(card for card in cards if re.match(r"\d\s+good", card))
    words = re.sub(r"\s+", " ", good)
    assert "Above chance 86.7 ± 2.6" in words  # (0.9 − 0.25) / 0.75, and 1.96 · 0.01 / 0.75
    assert "Against weak color +40.0" in words
    assert "toy · search, R@5 +10.0 ± 2.8" in words  # 1.96 · 0.01 · √2


def order(browser):
    return browser.run("[...document.querySelectorAll('#board tbody tr')].map(row => row.dataset.model)")


def select(browser, name, value):
    """Choose an option by its text."""
    browser.run(
        f"(box => {{ box.value = [...box.options].find(option => option.text === {json.dumps(value)}).value;"
        f" box.dispatchEvent(new Event('input')); }})(document.getElementById({json.dumps(name)}))"
    )


@needs_browser
def test_headings_sort_and_the_order_is_said(page, browser):
    browser.open(page)
    assert "Order: mean rank" in browser.run("document.getElementById('status').textContent")
    header = "[...document.querySelectorAll('#board thead th')].find(th => th.dataset.task === 'toy_color')"
    orders = []
    for _ in range(2):
        browser.run(f"{header}.firstElementChild.click()")
        orders.append((browser.run(f"{header}.getAttribute('aria-sort')"), order(browser)))
    by_color = sorted(MODELS, key=lambda name: -MODELS[name][0])
    assert orders == [("descending", by_color), ("ascending", by_color[::-1])]
    assert "toy · color, lowest first" in browser.run("document.getElementById('status').textContent")
    select(browser, "order", "name")
    assert order(browser)[1:] == ["good", "middling", "weak"]
    select(browser, "order", "mean above chance")
    assert order(browser) == by_color


@needs_browser
def test_filters_hide_rows_and_columns(page, browser):
    browser.open(page)
    browser.run(
        "for (const [id, text] of [['filter-models', 'MIDD'], ['filter-tasks', 'toy_c']])"
        "{ const box = document.getElementById(id); box.value = text; box.dispatchEvent(new Event('input')); }"
    )
    (row,) = browser.run("[...document.querySelectorAll('#board tbody tr')].map(row => row.innerText)")
    assert re.sub(r"\s+", " ", row).strip() == "middling 60.0 ±2.0"
    assert "1 of 4 models, 1 columns" in browser.run("document.getElementById('status').textContent")


@needs_browser
def test_columns_are_grouped(page, browser):
    browser.open(page)
    heads = "[...document.querySelectorAll('#board thead th')].map(cell => cell.innerText)"
    assert browser.run(heads) == ["Model", "toy", "search", "color"]
    select(browser, "group-by", "concept")
    assert browser.run(heads) == ["Model", "retrieval", "color", "toy · search", "toy"]


@needs_browser
def test_only_a_significant_best_is_bold(tmp_path, browser):
    """Clearly ahead by independent errors, and not."""
    values = {"a": {"t": 0.9, "u": 0.51}, "b": {"t": 0.5, "u": 0.50}, "c": {"t": 0.5, "u": 0.3}}
    files = [write(tmp_path, make_results(name, value, weights=name * 64)) for name, value in values.items()]
    path = tmp_path / "board.html"
    path.write_text(html_page(build_leaderboard(files)), encoding="utf-8")
    browser.open(path)
    assert browser.run("[...document.querySelectorAll('#board strong')].map(each => each.textContent)") == ["90.0"]
    below = browser.run("[...document.querySelectorAll('#board td.below')].length")
    ticks = browser.run("[...document.querySelectorAll('#board tbody .chance')].map(tick => tick.style.left)")
    assert (below, ticks) == (0, ["25%"] * 6)


@needs_browser
def test_the_plot_has_labels_arrows_the_front_and_names_who_is_not_in_it(page, browser):
    browser.open(page)
    assert browser.run("document.getElementById('plot-x').value") == "search"
    assert browser.run("document.getElementById('plot-y').value") == "toy_color"
    assert browser.run("document.querySelectorAll('#plot .point').length") == 3
    assert browser.run("document.querySelectorAll('#plot .whisker').length") == 6
    labels = browser.run("[...document.querySelectorAll('#plot .label')].map(label => label.textContent)")
    assert {"good", "weak"} < set(labels)
    assert browser.run("document.querySelector('#plot .front').points.length") == 2
    assert browser.run("document.querySelectorAll('#plot .head').length") == 1  # from weak to good
    colors = browser.run("[...document.querySelectorAll('#plot circle')].map(dot => getComputedStyle(dot).fill)")
    assert len(set(colors)) == 3
    lacking = browser.run("document.getElementById('plot-lacking').textContent")
    assert lacking == "Not in the plot: middling (no score on toy · search)."


@needs_browser
def test_labels_of_the_plot_do_not_cover_one_another(page, browser):
    browser.open(page)
    boxes = browser.run(
        "[...document.querySelectorAll('#plot .label')].map(label => label.getBBox())"
        ".map(({x, y, width, height}) => [x, y, x + width, y + height])"
    )
    for index, (left, top, right, bottom) in enumerate(boxes):
        for other in boxes[:index]:
            assert right <= other[0] or other[2] <= left or bottom <= other[1] or other[3] <= top


@needs_browser
def test_the_plot_is_downloaded_as_svg_and_png(page, browser):
    browser.open(page)
    kept = "window.kept = []; URL.createObjectURL = blob => { kept.push(blob); return 'data:,'; };"
    browser.run(kept + "HTMLAnchorElement.prototype.click = function () { window.named = this.download; }; 0")
    browser.run("document.getElementById('plot-svg').click()")
    assert browser.run("window.named") == "toy_color-search.svg"
    root = ElementTree.fromstring(browser.run("kept[0].text()"))
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    fills = [circle.get("fill") for circle in root.iter("{http://www.w3.org/2000/svg}circle")]
    assert len(fills) == 3
    assert all(re.fullmatch(r"rgb\(\d+, \d+, \d+\)", fill) for fill in fills)
    browser.run("document.getElementById('plot-png').click()")
    browser.wait("kept.length === 2")
    start = browser.run("kept[1].slice(0, 24).arrayBuffer().then(bytes => [...new Uint8Array(bytes)])")
    assert bytes(start[:8]) == b"\x89PNG\r\n\x1a\n"
    assert int.from_bytes(bytes(start[16:20]), "big") == 1600


@needs_browser
def test_keywords_are_bars_with_wilson_intervals(page, browser):
    browser.open(page)
    cell = "document.querySelector('#keywords tbody tr:last-child td:nth-child(2)')"
    assert browser.run(f"{cell}.innerText").strip() == "90.0"
    # 9 of 10: 0.5958 to 0.9821 (Newcombe 1998, method 3)
    assert browser.run(f"{cell}.title") == "90.0, 95 % interval 59.6 to 98.2; n = 10"
    assert browser.run(f"{cell}.querySelector('em').style.width") == "90%"
    select(browser, "breakdown-order", "hardest first")
    words = "[...document.querySelectorAll('#keywords tbody th')].map(cell => cell.firstChild.textContent)"
    assert browser.run(words) == ["blue", "red"]


@needs_browser
def test_a_cell_of_the_confusions_opens_its_samples(page, browser):
    browser.open(page)
    select(browser, "breakdown-model", "weak")
    row = "[...document.querySelectorAll('#confusion tbody tr > *')]"
    heads = browser.run("[...document.querySelectorAll('#confusion thead th')].map(cell => cell.textContent)")
    cells = dict(zip(heads[1:], browser.run(f"{row}.map(cell => cell.textContent)")[1:], strict=True))
    assert cells == {"red": "25.0", "blue": "25.0", "green": "50.0"}  # "--+-", blue and green by turns
    assert browser.run(f"{row}.filter(cell => cell.className === 'diagonal').map(cell => cell.innerText)") == ["25.0"]
    browser.run(f"{row}.find(cell => cell.title.startsWith('red → green')).firstElementChild.click()")
    assert set(card_names(browser)) <= {"1.png", "3.png"}
    assert card_names(browser)
    assert "“red” is taken for “green”" in browser.run("document.getElementById('gallery-status').textContent")
    browser.run("document.getElementById('gallery-all').click()")
    assert set(card_names(browser)) == {"0.png", "1.png", "3.png"}


def card_names(browser):
    return browser.run("[...document.querySelectorAll('#cards figcaption > small')].map(each => each.textContent)")


@needs_browser
def test_the_gallery_shows_failures_with_names_marked_words_and_ranks(page, browser):
    browser.open(page)
    select(browser, "gallery-wrong", "weak")
    assert set(card_names(browser)) == {"0.png", "1.png", "3.png"}  # of "--+-"
    select(browser, "gallery-right", "middling")
    assert set(card_names(browser)) == {"0.png", "1.png"}  # of "++--"
    card = browser.run("document.querySelector('#cards figure:last-child').innerText")
    assert "weak ✗" in card
    assert "middling ✓" in card
    assert re.search(r"rank of the true text, of 3\s+3\s+1\b", card)  # an equal score of another is before it
    marks = browser.run("[...document.querySelectorAll('#cards figure:last-child mark')].map(each => each.textContent)")
    assert marks == ["red", "blue", "green"]
    assert browser.run("[...document.querySelectorAll('#cards img')].every(img => img.complete && img.naturalWidth)")
    assert browser.run("document.querySelectorAll('#cards .own').length") == 2
    assert browser.run("document.querySelectorAll('#cards .picked').length") == 4  # one by each model
    select(browser, "gallery-wrong", "good")
    assert card_names(browser) == []


@needs_browser
def test_arrows_lead_from_sample_to_sample(page, browser):
    browser.open(page)
    select(browser, "gallery-wrong", "weak")
    browser.run("document.querySelector('#cards figure').focus()")
    focused = "document.activeElement.querySelector('small').textContent"
    first = browser.run(focused)
    browser.press("ArrowRight")
    assert browser.run(focused) == card_names(browser)[1] != first


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
