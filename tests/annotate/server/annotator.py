"""Somebody who annotates in a real browser."""

import re

from tests.browser import Browser

HEADING = "document.querySelector('main h2')?.textContent"
PHOTOGRAPH, PROMPT, MASK = "Can this be edited?", "What is to change?", "Does the mask cover it?"
REPLACE, CHOOSE, RATE = "What should it become?", "Which one is best?", "How good is it?"
CAPTION = "The caption of the new picture"


class Annotator:
    """Somebody at a browser. Each key press, each text typed, each click and each drag is one action."""

    def __init__(self, address, **how):
        self.browser, self.actions = Browser(), 0
        self.browser.open(address, **how)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.browser.close()

    def start(self, name="Ada"):
        self.sees("Who is annotating?")
        self.browser.type(name)
        self.browser.press("Enter")
        self.sees(PHOTOGRAPH)
        self.until("!document.getElementById('progress').hidden")  # it comes late, and moves what is below
        self.actions = 0
        return self

    def sees(self, heading):
        self.browser.wait(
            f"{HEADING} === {heading!r} && !document.querySelector('main button:disabled[data-key=enter]')"
        )

    def press(self, key, then=None):
        self.actions += 1
        self.browser.press(key)
        if then:
            self.sees(then)

    def type(self, text):
        self.actions += 1
        self.browser.run("document.activeElement.select()")
        self.browser.type(text)

    def click(self, label, then=None):
        self.actions += 1
        self.browser.run(
            f"[...document.querySelectorAll('button, nav a, .pairs a')].filter(each => each.offsetParent)"
            f".find(each => (each.getAttribute('aria-label') ?? each.textContent).startsWith({label!r})).click()"
        )
        if then:
            self.sees(then)

    def drag(self, *points):
        """In pixels of the photograph."""
        self.actions += 1
        self.browser.run("document.querySelector('.canvas').scrollIntoView()")
        place = self.browser.run(
            "(({x, y, width}) => [x, y, width])(document.querySelector('.canvas canvas').getBoundingClientRect())"
        )
        scale = place[2] / self.browser.run("document.querySelector('.canvas canvas').width")
        self.browser.drag(*((place[0] + x * scale, place[1] + y * scale) for x, y in points))

    def share(self):
        """Of the photograph that is masked, in %, as the page says."""
        text = self.browser.run("[...document.querySelectorAll('.facts')].map(each => each.textContent).join()")
        return float(re.search(r"([\d.]+) %", text)[1]) if "%" in text else 0.0

    def until(self, script):
        self.browser.wait(script)

    def complaint(self):
        self.until("!document.getElementById('problem').hidden")
        return self.browser.run("document.getElementById('problem').textContent")


def make_pair(somebody):
    for key, then in (("Enter", PROMPT), ("Enter", MASK), ("Enter", REPLACE), ("Enter", CHOOSE)):
        somebody.press(key, then)
    somebody.until("document.querySelectorAll('.candidate').length === 3")
    for key, then in (("1", RATE), ("o", CAPTION)):
        somebody.press(key, then)
    somebody.press("Enter")
    somebody.until(f"{HEADING} !== {CAPTION!r}")
