"""The page in a real browser, used as annotators use it."""

import re
from pathlib import Path

import numpy as np
import pytest

from clipbench.annotate.reading import read_pairs
from clipbench.annotate.review import final_caption
from tests.annotate.server.annotator import (
    CAPTION,
    CHOOSE,
    HEADING,
    MASK,
    PHOTOGRAPH,
    PROMPT,
    RATE,
    REPLACE,
    Annotator,
    make_pair,
)  # fmt: skip
from tests.annotate.server.builders import SIZE, Painter, box_mask, make_bench
from tests.annotate.server.serving import running
from tests.browser import CHROMIUM

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here (Debian: apt-get install chromium)")

EVIL = "<img src=x onerror=window.hacked=1><script>window.hacked=1</script>"
SHARE = r"parseFloat(document.querySelector('.card').textContent.match(/([\d.]+) %/)?.[1])"
CHECKS = Path(__file__).with_name("page_checks.js").read_text()


@pytest.fixture
def painter():
    painter = Painter()
    yield painter
    painter.free.set()


@pytest.fixture
def bench(tmp_path, painter):
    return make_bench(
        tmp_path / "set", ("A red box on the floor.", "There is a green and a red thing."), painter=painter
    )


@pytest.fixture
def address(bench):
    with running(bench) as address:
        yield address


def test_a_pair_by_keyboard_takes_eight_actions_at_most(address, bench):
    with Annotator(address) as ada:
        ada.start()
        ada.press("Enter", PROMPT)
        ada.press("Enter", MASK)
        ada.press("Enter", REPLACE)
        ada.press("Enter", CHOOSE)
        ada.until("document.querySelectorAll('.candidate').length === 3")
        ada.press("2", RATE)
        ada.press("v", CAPTION)
        ada.press("Enter", PHOTOGRAPH)
        assert ada.actions <= 8
    pair = bench.pair(1)
    assert (pair.step, pair.rating, pair.annotator) == ("done", "very good", "Ada")
    assert pair.choice.seed == pair.candidates[1].seed
    assert pair.new_caption == pair.caption.replace("red", pair.choice.replacement)
    assert (bench.store.mask(pair.mask) == box_mask()).all()


def test_every_text_can_be_edited_by_keyboard(address, bench):
    with Annotator(address) as ada:
        ada.start()
        ada.press("2")
        ada.press("Enter", PROMPT)
        ada.press("e")
        ada.type("the crate")
        ada.press("Enter", MASK)
        ada.press("Enter", REPLACE)
        words = ada.browser.run("[...document.querySelectorAll('.chip')].map(each => each.textContent)")
        ada.press("n")  # the next word
        ada.press("e")
        ada.type("a crate of some color")
        ada.press("Enter", CHOOSE)
        ada.until("document.querySelectorAll('.candidate').length === 3")
        ada.press("1", RATE)
        ada.press("o", CAPTION)
        ada.press("e")
        ada.type("There is a green and a green thing.")  # the suggestion changes the leftmost word
        ada.press("Enter")
        assert "caption" in ada.complaint()
        ada.type("There is a blue and a red thing.")
        ada.until("document.querySelector('#caption-check').classList.contains('good')")
        ada.press("Enter", PHOTOGRAPH)
    pair = bench.pair(1)
    assert (pair.caption, pair.keyword) == ("There is a green and a red thing.", "green")
    assert (pair.mask_prompt, pair.prompt) == ("the crate", "a crate of some color")
    assert (pair.rating, pair.new_caption) == ("okay", "There is a blue and a red thing.")
    assert pair.replacement == words[1]


def test_a_mask_by_hand(address, bench):
    """Brush, eraser, box, stroke, growth and undo, with the mouse; nothing was looked for."""
    with Annotator(address) as ada:
        ada.start()
        ada.press("Enter", PROMPT)
        assert ada.share() == 0
        ada.drag((60, 40), (70, 50))
        ada.until(f"{SHARE} > 0")
        brushed = ada.share()
        ada.click("Eraser")
        ada.drag((65, 45), (75, 55))
        ada.until(f"{SHARE} < {brushed}")
        ada.press("z")
        ada.until(f"{SHARE} === {brushed}")
        ada.click("Box")
        ada.drag((30, 14), (98, 82))
        ada.until(f"Math.abs({SHARE} - {100 * box_mask().mean()}) < 3")
        found = ada.share()
        ada.press("g")
        ada.until(f"{SHARE} > {found}")
        ada.press("z")
        ada.until(f"{SHARE} === {found}")
        ada.press("c")
        ada.until("document.querySelector('.card').textContent.includes('Nothing is masked')")
        ada.click("Stroke")
        ada.drag((50, 48), (78, 48))
        ada.until("document.querySelector('.card').textContent.includes(' %')")
        ada.press("Enter", REPLACE)
    mask = bench.store.mask(bench.pair(1).mask)
    assert (mask & box_mask()).sum() / (mask | box_mask()).sum() > 0.9
    assert bench.pair(1).mask_details["edits"] == {"brush": 1, "box": 1, "clear": 1, "stroke": 1}


def test_the_object_in_the_middle_is_found_by_one_key(address, bench):
    with Annotator(address) as ada:
        ada.start()
        ada.press("Enter", PROMPT)
        ada.press("m")
        ada.until(f"Math.abs({SHARE} - {100 * box_mask().mean()}) < 3")
        ada.press("Enter", REPLACE)
    assert bench.pair(1).mask_details["edits"] == {"box": 1}


def test_a_mask_by_keyboard(address, bench):
    with Annotator(address) as ada:
        ada.start()
        ada.press("Enter", PROMPT)
        ada.press("b")
        ada.press(" ")
        assert ada.share() > 0
        before = ada.share()
        for _ in range(3):
            ada.press("ArrowRight")
        ada.press(" ")
        assert ada.share() > before
        ada.press("Enter", REPLACE)
    rows, columns = np.nonzero(bench.store.mask(bench.pair(1).mask))
    assert abs(rows.mean() - SIZE[1] / 2) < 2
    assert columns.max() > SIZE[0] / 2 + 3


def test_an_empty_mask_is_refused_where_it_is_drawn(address):
    with Annotator(address) as ada:
        ada.start()
        ada.press("Enter", PROMPT)
        ada.press("Enter", MASK)
        ada.press("c")
        ada.press("Enter")
        assert "empty" in ada.complaint()
        ada.press("z")
        ada.press("Enter", REPLACE)


@pytest.mark.parametrize("ends", ["after the answer", "before the answer"])
def test_what_is_not_found_is_said(ends, address, bench, monkeypatch):
    if ends == "before the answer":
        submit = bench.jobs.submit
        monkeypatch.setattr(bench.jobs, "submit", lambda *work, **how: bench.jobs.wait(submit(*work, **how).id))
    with Annotator(address) as ada:
        ada.start()
        ada.press("Enter", PROMPT)
        ada.press("e")
        ada.type(f"a ghost {EVIL}")
        ada.press("Enter")
        ada.until("document.querySelector('.note.bad')?.textContent.includes('nothing was found')")
        assert EVIL[:20] in ada.browser.run("document.querySelector('.note.bad').textContent")
        assert ada.browser.run("window.hacked") is None


def test_while_it_paints_the_page_can_be_used_and_cancelling_works(address, bench, painter):
    painter.free.clear()
    with Annotator(address) as ada:
        ada.start()
        ada.press("Enter", PROMPT)
        ada.press("Enter", MASK)
        ada.press("Enter", REPLACE)
        ada.press("Enter")
        ada.until("document.querySelector('.job progress')?.value > 1")
        assert re.search(
            r"step \d of 6 · (about \d+ s|less than a second) left",
            ada.browser.run("document.querySelector('.job').textContent"),
        )
        ada.until("document.querySelectorAll('.candidate').length === 1")
        ada.press("Escape", CHOOSE)
        ada.until("!document.querySelector('.job')")
        assert bench.job(1) is None
        ada.press("m")  # more
        ada.until("document.querySelector('.job')")
        ada.press("x", PHOTOGRAPH)
        assert ada.browser.run("document.querySelector('.facts').textContent").startswith("001.jpg")
        painter.free.set()
        ada.browser.run("location.hash = '#annotate/1'")
        ada.sees(CHOOSE)
        ada.until("document.querySelectorAll('.candidate').length === 4")
        ada.press("4", RATE)


def test_going_on_after_a_reload_and_going_back(address, bench):
    with Annotator(address) as ada:
        ada.start()
        ada.press("Enter", PROMPT)
        ada.press("Enter", MASK)
        ada.press("Enter", REPLACE)
        ada.browser.run("window.before = true; location.reload()")
        ada.until("!window.before")
        ada.sees(REPLACE)
        assert "token" not in ada.browser.run("location.href")
        ada.press("Backspace", MASK)
        assert ada.share() == round(100 * box_mask().mean())
        ada.click("Photo", PHOTOGRAPH)
        ada.press("Enter", MASK)  # what was entered stays


def test_a_pair_that_is_done_can_be_changed(address, bench):
    with Annotator(address) as ada:
        ada.start()
        for key, then in (("Enter", PROMPT), ("Enter", MASK), ("Enter", REPLACE), ("Enter", CHOOSE)):
            ada.press(key, then)
        ada.until("document.querySelectorAll('.candidate').length === 3")
        for key, then in (("1", RATE), ("o", CAPTION), ("Enter", PHOTOGRAPH)):
            ada.press(key, then)
        ada.press("s", "Skipped")
        ada.click("Pairs", "Pairs")
        assert ada.browser.run("[...document.querySelectorAll('.tag')].map(each => each.textContent)") == [
            "skipped",
            "annotated",
        ]
        ada.browser.run("[...document.querySelectorAll('.pairs a')].at(-1).click()")
        ada.sees("Saved")
        ada.press("c", CAPTION)
        ada.press("Backspace", RATE)
        ada.press("v", CAPTION)
        ada.press("Enter", "Saved")
    assert bench.pair(1).rating == "very good"


def test_two_browsers_get_two_photographs(address):
    with Annotator(address) as ada, Annotator(address) as bob:
        seen = [
            each.start(name).browser.run("document.querySelector('.facts').textContent")
            for each, name in ((ada, "Ada"), (bob, "Bob"))
        ]
        assert seen[0] != seen[1]


def test_markup_in_texts_is_shown_as_text(tmp_path):
    bench = make_bench(tmp_path / "set", (f"A red box {EVIL}",))
    with running(bench) as address, Annotator(address) as ada:
        ada.start(f"Ada {EVIL}")
        for key, then in (("Enter", PROMPT), ("Enter", MASK), ("Enter", REPLACE), ("Enter", CHOOSE)):
            ada.press(key, then)
            assert EVIL in ada.browser.run("document.querySelector('.note').textContent")
        ada.until("document.querySelectorAll('.candidate').length === 3")
        for key, then in (("1", RATE), ("o", CAPTION), ("Enter", PHOTOGRAPH)):
            ada.press(key, then)
        ada.click("Pairs", "Pairs")
        assert EVIL in ada.browser.run("document.querySelector('.pairs').textContent")
        assert EVIL in ada.browser.run("document.querySelector('#name').textContent")
        assert ada.browser.run("window.hacked") is None


def test_another_annotator_reviews(address, bench):
    """Accept, fix and reject; one's own pairs are not shown."""
    with Annotator(address) as ada, Annotator(address) as bob:
        ada.start()
        for _ in range(3):
            make_pair(ada)
        ada.sees("Nothing left to annotate")
        ada.click("Review", "Nothing to review")
        bob.sees("Who is annotating?")
        bob.browser.type("Bob")
        bob.browser.press("Enter")
        bob.sees("Nothing left to annotate")
        bob.click("Review", "Is this pair right?")
        bob.press("Enter")
        bob.until("!document.querySelector('#to-review').textContent.includes(3)")
        bob.sees("Is this pair right?")
        bob.press("r")
        bob.until("document.querySelector('#to-review').textContent == 1")
        bob.press("e")
        bob.type("A box that is not what it was.")
        bob.press("Enter", "Nothing to review")
        bob.click("Agreement", "Agreement")
    with bench.store.transaction() as db:
        pairs = read_pairs(db)
    decisions = sorted(review.decision for pair in pairs for review in pair.reviews)
    assert decisions == ["accept", "fix", "reject"]
    assert "A box that is not what it was." in [final_caption(pair) for pair in pairs]


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("dark", [False, True])
def test_every_step_can_be_read_fits_and_asks_nobody(address, width, dark):
    with Annotator(address, width=width, dark=dark) as ada:

        def look():
            assert ada.browser.run("document.documentElement.scrollWidth <= innerWidth"), "the page scrolls sideways"
            assert ada.browser.run(CHECKS) == []

        ada.sees("Who is annotating?")
        look()
        ada.start()
        look()
        for key, then in (("Enter", PROMPT), ("Enter", MASK), ("Enter", REPLACE), ("Enter", CHOOSE)):
            ada.press(key, then)
            look()
        ada.until("document.querySelectorAll('.candidate').length === 3")
        look()
        for key, then in (("1", RATE), ("v", CAPTION)):
            ada.press(key, then)
            look()
        ada.until("document.querySelector('#caption-check').textContent")
        look()
        ada.press("Enter", PHOTOGRAPH)
        for place, view in (("done", "Pairs"), ("agreement", "Agreement"), ("review", "Review")):
            ada.browser.run(f"location.hash = '#{place}'")
            ada.until(f"document.querySelector('[aria-current=page]').textContent.startsWith('{view}')")
            ada.until(f"{HEADING} !== {PHOTOGRAPH!r}")
            look()
        background = ada.browser.run("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, re.findall(r"\d+", background)[:3])) < 200) == dark
        hosts = {event["request"]["url"].split("/")[2] for event in ada.browser.named("Network.requestWillBeSent")}
        assert hosts == {address.split("/")[2]}
        assert ada.browser.named("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded") == []


def test_focus_is_seen_and_tab_reaches_everything(address):
    with Annotator(address) as ada:
        ada.start()
        reached = []
        while True:
            ada.press("Tab")
            if ada.browser.run("document.activeElement === document.body"):
                break  # round once
            outline = ada.browser.run("getComputedStyle(document.activeElement).outlineStyle")
            assert outline == "solid", ada.browser.run("document.activeElement.outerHTML")
            reached.append(
                ada.browser.run(
                    "document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent"
                )
            )
        assert "UseEnter" in reached
        assert "A red box on the floor." in reached


def test_single_keys_can_be_switched_off(address):
    with Annotator(address) as ada:
        ada.start()
        ada.press("?")
        ada.until("document.querySelector('dialog[open]')")
        assert "Skip" in ada.browser.run("document.querySelector('dialog').textContent")
        ada.browser.run("document.querySelector('#single').click(); document.querySelector('dialog').close()")
        ada.press("s")
        ada.press("Enter", PROMPT)
