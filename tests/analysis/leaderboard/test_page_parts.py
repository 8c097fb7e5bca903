"""The parts of the page in a real browser: summary, table, plot, keywords, samples."""

import re
from xml.etree import ElementTree

from clipbench.analysis.leaderboard.merge import build_leaderboard
from clipbench.analysis.leaderboard.page import html_page
from tests.analysis.leaderboard.builders import make_results, write
from tests.analysis.leaderboard.pages import MODELS, needs_browser, select


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
