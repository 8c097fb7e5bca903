"""A site of two tasks and three models, one of which lies in a folder and one of which has a hostile name."""

from __future__ import annotations

from pathlib import Path

from clipbench.analysis.leaderboard.merge import build_leaderboard
from clipbench.analysis.site.build import Site
from clipbench.analysis.site.folder import write_site
from tests.analysis.leaderboard.builders import line, make_results, write
from tests.toy import write_toy

EVIL = "</script><script>window.hacked=1</script><img src=x onerror=window.hacked=1>"
# Whether each of six captions scores above its variants. The last is wrong for all, the first two for none.
PATTERNS = {"org/good": "+++++-", "FOLDER/tuned": "++-+--", EVIL: "++----"}
SCORES = {"org/good": 5 / 6, "FOLDER/tuned": 3 / 6, EVIL: 2 / 6}


def ranking(pattern: str) -> list[dict]:
    return [line(f"{n}.png", mark == "+", f"{n}.png", best=1 + n % 2) for n, mark in enumerate(pattern)]


def pair(name: str, scores: list[list[float]]) -> dict:
    """A logged pair whose images are not there any more."""
    images = [f"{name} before", f"{name} after"]
    right = scores[0][0] > scores[1][0] and scores[1][1] > scores[0][1]
    return {"doc_id": name, "task": "swap", "group": "g", "images": images, "texts": [f"a red {EVIL}", "a blue one"],
            "scores": scores, "acc": float(right), "correct": right, "tied": False}  # fmt: skip


def write_results(folder: Path) -> tuple[Path, Path]:
    """Results with logs, and the file that declares one of their two tasks."""
    task = write_toy(folder / "data", [f"a red car {n}" for n in range(6)])
    for number, (name, pattern) in enumerate(PATTERNS.items()):
        model = name.replace("FOLDER", str(folder / "models"))
        weights = str(number) * 64
        color = make_results(model, {"toy_color": SCORES[name]}, weights=weights, n=6)
        write(folder / "out", color, {"toy_color": ranking(pattern)})
        swap = make_results(model, {"swap": 0.5}, weights=weights, task_type="pairs", n=2, day=1)
        swap.tasks["swap"].declaration["concept"] = None
        pairs = [pair("p", [[0.3, 0.2], [0.1, 0.4]]), pair("q", [[0.25, 0.5], [0.5, 0.75]])]
        write(folder / "out", swap, {"swap": pairs})
    return folder / "out", task


def make_site(folder: Path, **options: object) -> tuple[Site, Path]:
    """The site of these results."""
    out, task = write_results(folder)
    site = Site(build_leaderboard([out]), include_path=[task], **options)
    write_site(folder / "site", site.files())
    return site, folder / "site"
