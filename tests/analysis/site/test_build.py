"""What is in the pages of a site, that their links lead somewhere, and that they tell nothing of this machine."""

import io
import json
import re
from html.parser import HTMLParser
from urllib.parse import unquote, urljoin, urlsplit

import pytest
from PIL import Image

from clipbench.analysis.leaderboard.board import read_board
from clipbench.analysis.leaderboard.logs import BoardLogs
from clipbench.analysis.leaderboard.merge import build_leaderboard
from clipbench.analysis.site.build import Site
from clipbench.analysis.site.public import named_board
from clipbench.analysis.site.samples import choose_samples
from tests.analysis.leaderboard.builders import make_results, write
from tests.analysis.site.builders import EVIL, make_site, write_results
from tests.oracles import numbered_image


class Page(HTMLParser):
    """The links, ids and figures of a page."""

    def __init__(self, text):
        super().__init__()
        self.links, self.ids, self.figures, self.tags = [], set(), [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.tags.append(tag)
        self.links += [given[name] for name in ("href", "src") if name in given]
        self.ids.add(given.get("id"))
        if tag == "figure":
            self.figures.append({"images": [], "text": ""})
        if tag == "img":
            self.figures[-1]["images"].append(given["src"])

    def handle_data(self, data):
        if self.figures:
            self.figures[-1]["text"] += data


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    site, place = make_site(folder)
    return folder, site, place


@pytest.fixture(scope="module")
def pages(made):
    _, _, place = made
    return {path.relative_to(place).as_posix(): Page(path.read_text()) for path in place.rglob("*.html")}


def page_of(pages, model):
    (name,) = [name for name in pages if name.startswith("models/") and model in name]
    return pages[name]


def test_every_model_and_task_has_a_page(pages):
    assert len([name for name in pages if name.startswith("models/")]) == 3
    assert {"index.html", "tasks/toy_color.html", "tasks/swap.html"} <= pages.keys()
    assert len(pages) == 6


def test_every_link_is_relative_and_leads_to_something(made, pages):
    _, _, place = made
    followed = set()
    for name, page in pages.items():
        for link in page.links:
            if link.startswith("data:"):
                continue
            address = urlsplit(urljoin(f"http://site/{name}", link))
            assert urlsplit(link).netloc == ""
            assert not link.startswith("/")
            target = unquote(address.path).lstrip("/")
            assert (place / target).is_file(), (name, link)
            if address.fragment and target != "index.html":  # the index's parts are known to its scripts
                assert unquote(address.fragment) in pages[target].ids, (name, link)
            followed.add(target)
    files = {path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file()}
    assert files - followed <= {"index.html", "README.md", ".nojekyll"}  # nothing lies about unused


def test_a_models_page_shows_its_mistakes_with_the_right_pictures(made, pages):
    _, _, place = made
    figures = page_of(pages, "tuned").figures
    shown = {re.search(r"\d\.png", figure["text"])[0]: figure for figure in figures if figure["images"]}
    assert shown.keys() == {"2.png", "4.png", "5.png"}  # "++-+--"
    for name, figure in shown.items():
        (image,) = figure["images"]
        picture = Image.open(io.BytesIO((place / "models" / image).resolve().read_bytes()))
        expected = numbered_image(int(name[0])).getpixel((0, 0))
        assert all(abs(a - b) <= 3 for a, b in zip(picture.getpixel((0, 0)), expected, strict=True))
    assert "margin −0.200" in shown["2.png"]["text"]  # 0.1 against 0.3
    assert "3 of 3 mistakes in 6 samples" in (place / "models").glob("*tuned*").__next__().read_text()


def test_a_pair_without_its_pictures_is_still_shown_and_reported(made, pages):
    _, site, _ = made
    pair = page_of(pages, "good").figures[0]
    assert pair["images"] == []
    assert pair["text"].count("image not available") == 2
    assert any(line.startswith("swap: mistakes are shown without images") for line in site.problems)


def test_a_tasks_page_shows_first_what_the_fewest_models_know(pages):
    figures = pages["tasks/toy_color.html"].figures
    names = [re.search(r"\d\.png", figure["text"])[0] for figure in figures]
    assert names[0] == "5.png"  # nobody
    assert sorted(names[1:3]) == ["2.png", "4.png"]  # one of three
    assert names[3] == "3.png"  # two of three
    assert len(names) == 4  # the others are wrong for nobody
    assert figures[0]["text"].count("✗") == 3
    assert (figures[3]["text"].count("✓"), figures[3]["text"].count("✗")) == (2, 1)
    assert "green" in figures[0]["text"]  # of the words, the second: 5 % 2
    assert "−0.250, +0.250" in pages["tasks/swap.html"].figures[0]["text"]


def test_names_and_texts_are_data_and_never_markup(pages):
    for name, page in pages.items():
        assert page.tags.count("script") == (2 if name == "index.html" else 0)
        assert not any(link == "x" for link in page.links)


def test_the_site_tells_no_folder_of_this_machine(made):
    folder, site, place = made
    assert str(folder) in site.board.to_json()
    for path in place.rglob("*"):
        assert str(folder) not in str(path.relative_to(place))
        if path.suffix != ".jpg" and path.is_file():
            assert str(folder) not in path.read_text(), path
    names = {facts.name for facts in read_board(place / "leaderboard.json").models.values()}
    assert names == {"org/good", "tuned", EVIL}


def test_no_page_asks_for_anything_elsewhere(made):
    _, _, place = made
    for path in place.rglob("*.html"):
        assert "Content-Security-Policy" in path.read_text()
        assert set(re.findall(r"https?://[^\s\"'<&\\]*", path.read_text())) <= {"http://www.w3.org/2000/svg"}


def test_the_board_can_be_read_again_and_has_the_same_scores(made):
    _, site, place = made
    again = read_board(place / "leaderboard.json")
    assert [(score.task, score.value, score.rank) for score in again.scores] == [
        (score.task, score.value, score.rank) for score in site.board.scores
    ]
    assert json.loads((place / "leaderboard.json").read_text())["kind"] == "clipbench leaderboard"


def test_without_samples_there_are_pages_all_the_same(tmp_path):
    out, task = write_results(tmp_path)
    files = dict(Site(build_leaderboard([out]), samples=0, include_path=[task]).files())
    assert sum(name.startswith("models/") for name in files) == 3
    assert not any(name.startswith("images/") for name in files)


def test_a_damaged_log_is_reported_and_the_other_models_are_shown(tmp_path):
    out, task = write_results(tmp_path)
    (log,) = (out / "org__good").glob("samples_toy_color*")
    log.write_text("{}\n")
    board = build_leaderboard([out])
    chosen = choose_samples(board, "toy_color", 3, BoardLogs(board), include_path=[task])
    assert len(chosen.wrong) == 2
    (problem,) = chosen.problems
    assert problem.startswith("toy_color: no mistakes of org/good are shown: ")
    assert ":1: not a sample" in problem


def test_mistakes_are_spread_over_the_data(tmp_path):
    out, task = write_results(tmp_path)
    board = build_leaderboard([out])
    chosen = choose_samples(board, "toy_color", 2, BoardLogs(board), include_path=[task])
    (name,) = [key for key in chosen.wrong if "onerror" in key]
    assert [sample.id for sample, _ in chosen.wrong[name]] == ["2.png", "4.png"]  # every other of 2, 3, 4, 5
    assert chosen.counts[name] == (4, 6)


def test_models_that_lay_in_folders_of_one_name_stay_apart(tmp_path):
    for number, place in enumerate(("one", "two")):
        model, value = str(tmp_path / place / "tuned"), 0.25 + number / 2
        write(tmp_path / "out", make_results(model, {"t": value}, weights=str(number) * 64))
    board = named_board(build_leaderboard([tmp_path / "out"]))
    assert {facts.label for facts in board.models.values()} == {"tuned (0000000)", "tuned (1111111)"}
    assert {board.models[score.model].label: score.value for score in board.scores} == {
        "tuned (0000000)": 0.25, "tuned (1111111)": 0.75,
    }  # fmt: skip
    assert "tuned: 2 different weights under this name; they have a row each" in board.notes
    assert len(dict(Site(board).files()).keys() & {f"models/tuned@{number * 12}.html" for number in "01"}) == 2
