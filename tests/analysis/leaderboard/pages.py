"""What the tests of the page share."""

import json

import pytest

from tests.browser import CHROMIUM

EVIL = "</script><script>window.hacked=1</script><img src=x onerror=window.hacked=1>"
MODELS = {"good": (0.9, 0.3), "middling": (0.6, 0.6), "weak": (0.5, 0.2), EVIL: (0.2, 0.9)}
PATTERNS = {"good": "++++", "middling": "++--", "weak": "--+-", EVIL: "----"}

needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here (Debian: apt-get install chromium)")


def select(browser, name, value):
    """Choose an option by its text."""
    browser.run(
        f"(box => {{ box.value = [...box.options].find(option => option.text === {json.dumps(value)}).value;"
        f" box.dispatchEvent(new Event('input')); }})(document.getElementById({json.dumps(name)}))"
    )
