import csv
import re

import numpy as np
import pytest
from PIL import Image

from clipbench.cli import main
from tests.toy import write_toy


@pytest.fixture(scope="module")
def logged(tiny_clip, tmp_path_factory):
    """A run over a ranking and a pairs task, with samples."""
    folder = tmp_path_factory.mktemp("logged")
    ranking = write_toy(folder / "ranking", [f"a white dog <b>{n}</b>" for n in range(6)])
    columns = {"path": "pairs.csv", "images": ["i0", "i1"], "captions": ["c0", "c1"]}
    pairs = write_toy(folder / "pairs", name="toy_pairs", task_type="pairs", concept=None, dataset=columns)
    for number in range(6):  # photographs that even a model of random weights tells apart
        noise = np.random.default_rng(number).integers(0, 255, (40, 40, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / f"pairs/{number}.png")
    with (folder / "pairs/pairs.csv").open("w", newline="") as handle:
        rows = [(f"{n}.png", f"{n + 1}.png", f"caption {n}", f"caption {n + 1}") for n in range(5)]
        csv.writer(handle).writerows([("i0", "i1", "c0", "c1"), *rows])
    with pytest.raises(SystemExit) as caught:
        main(["eval", "-M", str(tiny_clip), "-t", f"{ranking},{pairs}", "-o", str(folder / "out"), "-s"])
    assert not caught.value.code
    return folder / "out", folder


def test_a_contact_sheet_holds_the_images(logged, run, tmp_path):
    out, plugins = logged
    sheet = tmp_path / "sheets/all.png"
    code, printed, _ = run(
        "show", out, "-t", "toy_pairs", "--all", "--include_path", plugins / "pairs/toy_pairs.yaml", "-o", sheet
    )
    assert code == 0
    assert printed.strip() == str(sheet)
    picture = np.asarray(Image.open(sheet).convert("RGB"))
    assert picture.shape[1] > 3 * 2 * 220  # three cards of two images side by side
    assert picture.shape[0] > 2 * 220
    assert (picture != 255).mean() > 0.3


def test_html_has_every_wrong_sample_and_escapes_text(logged, run, tmp_path):
    out, plugins = logged
    pages = {}
    for which in ("wrong", "right", "all"):
        page = tmp_path / f"{which}.html"
        code, printed, _ = run(
            "show", out, "-t", "toy_color", f"--{which}", "--include_path", plugins / "ranking/toy_color.yaml",
            "-o", page,
        )  # fmt: skip
        assert code == 0
        pages[which] = page.read_text() if printed else ""
    counts = {which: text.count("<section>") for which, text in pages.items()}
    assert counts["all"] == 6 == counts["wrong"] + counts["right"]
    assert "a <b>white</b> dog &lt;b&gt;3&lt;/b&gt;" in pages["all"]
    assert len(re.findall(r'src="data:image/png;base64,', pages["all"])) == 6
    assert f"<b>{counts['wrong']} wrong</b>" in pages["wrong"] or not pages["wrong"]
    assert "http" not in pages["all"]


def test_a_limit(logged, run, tmp_path):
    out, plugins = logged
    run("show", out, "-t", "toy_color", "--all", "-L", 2, "--include_path", plugins / "ranking/toy_color.yaml",
        "-o", tmp_path / "a.html")  # fmt: skip
    assert (tmp_path / "a.html").read_text().count("<section>") == 2


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--tasks", "nope"], 2, "no samples of a task 'nope'; available: toy_color, toy_pairs"),
        (["--tasks", "toy_*", "-o", "x.png"], 2, "one file for 2 tasks"),
        (["--tasks", "toy_color", "-o", "x.gif"], 2, "name a .png or a .html file"),
    ],
)
def test_bad_usage(logged, run, arguments, code, message):
    found, _, err = run("show", logged[0], *arguments)
    assert (found, message in err) == (code, True)


def test_a_place_that_cannot_be_written_to(logged, run, tmp_path):
    out, plugins = logged
    (tmp_path / "file").write_text("")
    code, _, err = run(
        "show", out, "-t", "toy_color", "--all", "--include_path", plugins / "ranking/toy_color.yaml",
        "-o", tmp_path / "file/sheet.png",
    )  # fmt: skip
    assert (code, "cannot be written" in err) == (1, True)


def test_no_results_or_no_samples(logged, run, tmp_path):
    code, _, err = run("show", tmp_path, "--tasks", "t")
    assert (code, "no samples there; evaluate with log_samples" in err) == (1, True)
    (results,) = logged[0].rglob("results_*.json")
    (tmp_path / results.name).write_text(results.read_text())
    code, _, err = run("show", tmp_path, "--tasks", "toy_color")
    assert (code, "evaluate with" in err and "log_samples" in err) == (1, True)
