"""A site in a real browser: on any screen, in light and dark, and from link to link."""

import pytest

from tests.analysis.site.builders import make_site
from tests.browser import CHROMIUM, Browser

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here (Debian: apt-get install chromium)")

# Of every element with a text of its own, the contrast of its color to what is painted behind it (WCAG 2.2, 1.4.3).
CONTRASTS = """(() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (color) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const linear = (channel) => (channel <= 0.04045 ? channel / 12.92 : ((channel + 0.055) / 1.055) ** 2.4);
  const luminance = (color) => {
    const [r, g, b] = color.map((channel) => linear(channel / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const color = rgba(getComputedStyle(at).backgroundColor);
      if (color[3] === 255) return color;
    }
    return [255, 255, 255, 255];
  };
  const speaks = (element) => [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
  const shown = [...document.body.querySelectorAll("*")].filter((each) => each.checkVisibility() && speaks(each));
  return shown.map((element) => {
    const [one, other] = [rgba(getComputedStyle(element).color), behind(element)].map(luminance);
    return [(Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05), element.outerHTML.slice(0, 80)];
  });
})()"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    return make_site(tmp_path_factory.mktemp("site"))[1]


@pytest.fixture(scope="module")
def browser():
    opened = Browser()
    yield opened
    opened.close()


def own_pages(site):
    return sorted([*site.glob("models/*.html"), *site.glob("tasks/*.html")])


@pytest.mark.parametrize(("width", "dark"), [(1200, False), (360, True)])
def test_pages_fit_are_legible_and_ask_for_nothing_elsewhere(site, browser, width, dark):
    for page in [site / "index.html", *own_pages(site)]:
        browser.open(page, width=width, dark=dark)
        browser.run("document.querySelectorAll('img').forEach((image) => { image.loading = 'eager'; })")
        browser.wait("[...document.images].every((image) => image.complete)")
        assert browser.run("[...document.images].every((image) => image.naturalWidth > 0)")
        requested = {event["request"]["url"].split("#")[0] for event in browser.named("Network.requestWillBeSent")}
        assert all(url.startswith((f"{site.as_uri()}/", "data:")) for url in requested), requested
        assert browser.named("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded") == []
        assert browser.run("window.hacked") is None
        assert browser.run("document.documentElement.scrollWidth <= innerWidth"), f"{page.name} scrolls sideways"
        if page.name == "index.html":
            continue
        low = [(round(ratio, 2), what) for ratio, what in browser.run(CONTRASTS) if ratio < 4.5]
        assert low == [], page.name
        assert browser.run("getComputedStyle(document.body).fontFamily").startswith("system-ui"), "the style is there"


def follow(browser, links, text):
    """Open what the first of the links leads to whose text is this."""
    browser.open(browser.run(f"[...document.querySelectorAll('{links}')].find((a) => a.textContent === '{text}').href"))


def test_links_lead_from_the_board_to_a_model_to_a_task_and_back(site, browser):
    browser.open(site / "index.html")
    follow(browser, "#board a", "good")
    assert browser.run("document.querySelector('h1').textContent") == "org/good"
    follow(browser, "tbody th a", "toy · color")
    assert browser.run("location.pathname").endswith("/tasks/toy_color.html")
    assert browser.run("document.querySelectorAll('figure').length") == 4
    follow(browser, "figure th a", "tuned")
    assert "/models/tuned" in browser.run("location.pathname")
    assert browser.run("document.querySelector(location.hash).getBoundingClientRect().top < innerHeight")
    follow(browser, "nav a", "Leaderboard")
    assert browser.run("location.pathname").endswith("/index.html")


def test_every_link_of_the_board_to_a_page_is_there(site, browser):
    browser.open(site / "index.html")
    links = browser.run("[...document.querySelectorAll('a')].map((link) => link.href)")
    assert {page.as_uri() for page in own_pages(site)} <= set(links)


def test_tables_and_tracks_have_names_for_those_who_do_not_see_them(site, browser):
    for page in own_pages(site):
        browser.open(page)
        nodes = browser.call("Accessibility.getFullAXTree")["nodes"]
        roles = {"link", "image", "region", "columnheader", "rowheader"}
        shown = [node for node in nodes if not node["ignored"] and node["role"]["value"] in roles]
        assert [node["role"]["value"] for node in shown if not node.get("name", {}).get("value")] == []
        assert {"link", "region", "rowheader"} <= {node["role"]["value"] for node in shown}
