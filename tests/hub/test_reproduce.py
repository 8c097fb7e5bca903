"""``clipbench reproduce paper`` from end to end: a hub with tiny repositories under the real ids.

Two of the training images are validation images too, which has to be noticed.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from clipbench.reproduce.study import load_study
from clipbench.task_types.registry import known_tasks

from .server import Hub
from .tiny import captions, pairs, write_captions, write_clip, write_inpaintcoco

CONCEPTS = ("object", "color", "location", "size")
TRAINED, TESTED = 70, 6  # captions a concept: one batch of 64 an epoch
# Repository, split, columns, whether a row holds several captions, concepts.
DATASETS = {
    "lmms-lab/COCO-Caption2017": ("val", "image", "answer", True, CONCEPTS),
    "phiyodr/flickr30k_long": ("test", "image", "caption", False, CONCEPTS),
    "somebody/sbu": ("train", "image", "caption", False, CONCEPTS),
    "Marqo/fashion200k": ("data", "image", "text", False, ("object", "color")),
    "nkasmanoff/nasa_earth_instagram": ("train", "image", "text", False, ("color",)),
    "gigant/oldbookillustrations": ("train", "1600px", "image_caption", False, ("object", "location", "size")),
}


@dataclass(frozen=True)
class Done:
    """The study, done.

    Attributes:
        folder: Its output.
        said: What the command said.
        report: ``report.json``.
    """

    folder: Path
    said: str
    report: dict[str, Any]

    def cells(self, table: str) -> list[dict[str, Any]]:
        """The cells that a table has."""
        (found,) = (each for each in self.report["tables"] if each["id"] == table)
        return [cell for row in found["rows"] for cell in row["cells"] if cell is not None]


def rows_of(concepts: tuple[str, ...], count: int) -> list[list[str]]:
    """Captions, two to an image."""
    texts = [text for concept in concepts for text in captions(concept, count)]
    return [texts[start : start + 2] for start in range(0, len(texts), 2)]


def pinned(repository: str) -> str | None:
    """The commit that a task pins, which the hub has to serve; None where it names a branch."""
    tables = {task.dataset.hub for task in known_tasks(()) if task.dataset.hub}
    (revision,) = {table.revision for table in tables if table.repo == repository} or {""}
    return revision if len(revision) == 40 else None


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """Run the user's command against the hub."""
    folder, hub = tmp_path_factory.mktemp("paper"), Hub()
    write_clip(folder / "clip", seed=3)
    write_inpaintcoco(
        folder / "inpaintcoco", [row for concept in ("object", "size", "color") for row in pairs(concept, 8)]
    )
    train = folder / "train"
    write_captions(
        train, "train", rows_of(CONCEPTS, TRAINED), image="image", caption="captions", listed=True, seed=5000
    )
    hub.up()
    hub.add_model("openai/clip-vit-base-patch32", folder / "clip")
    hub.add_dataset("phiyodr/InpaintCOCO", folder / "inpaintcoco", commit=pinned("phiyodr/InpaintCOCO"))
    hub.add_dataset("AKCIT/coco2017-captioning", train)
    for number, (name, (split, image, caption, listed, concepts)) in enumerate(DATASETS.items()):
        # The last two of COCO's twelve validation images are the first two of those that are trained on.
        place, seed = folder / f"data-{number}", 4990 if name.startswith("lmms-lab") else 10_000 * (number + 1)
        rows = rows_of(concepts, TESTED)
        write_captions(place, split, rows, image=image, caption=caption, listed=listed, seed=seed)
        hub.add_dataset(name, place, commit=pinned(name))
    command = ["reproduce", "paper", "--output_path", str(folder / "out"), "--data", "sbu=hub:somebody/sbu",
               "--allow_missing", "--device", "cpu", "--image_cache", str(folder / "cache"), "--jobs", "2"]  # fmt: skip
    ended = subprocess.run(
        [sys.executable, "-m", "clipbench", *command],
        env=hub.env(folder / "home"), cwd=folder, capture_output=True, text=True, timeout=1200, check=False,
    )  # fmt: skip
    hub.down()
    assert ended.returncode == 0, ended.stderr[-3000:]
    return Done(folder / "out", ended.stderr, json.loads((folder / "out/report.json").read_text(encoding="utf-8")))


def test_every_table_is_filled(done: Done) -> None:
    # Orig. and three epochs of five kinds for two concepts and of two for one; 13 data sets and concepts; 4 × 3 rows.
    assert [len(done.cells(table)) for table in ("table1", "table2", "table7")] == [
        2 * (1 + 4 * 3) + (1 + 2 * 3),
        2 * 5 + 2 * 3 + 2 * 5 + 2 * 3 + 2 * 5 + 5 + 5 + 2 * 3,
        2 * 3 * (2 * 5 + 2 * 3),
    ]
    assert all(cell["value"] is not None for table in ("table1", "table2", "table7") for cell in done.cells(table))
    assert done.report["problems"] == []


def test_every_cell_has_its_published_figure_and_a_verdict(done: Done) -> None:
    for table in ("table1", "table2", "table7"):
        for cell in done.cells(table):
            assert cell["published"] is not None, (table, cell)
            assert cell["difference"] == pytest.approx(cell["value"] - cell["published"])
            assert cell["agrees"] is not None, (table, cell)


def test_every_cell_is_traceable_to_a_results_file(done: Done) -> None:
    for table in ("table1", "table2", "table7"):
        for cell in done.cells(table):
            (file,) = cell["files"]
            results = json.loads((done.folder / file).read_text(encoding="utf-8"))
            ((task, metrics),) = results["results"].items()
            assert task == Path(file).stem
            assert cell["value"] in [
                metrics.get("acc,none"),
                metrics.get("t2i_recall@5,none"),
                metrics.get("image_score,none"),
            ]
            assert results["study_step"]["hash"]


def test_the_same_step_of_two_tables_was_done_once(done: Done) -> None:
    originals = sorted(path.stem for path in (done.folder / "scores/orig/step-000000").iterdir())
    assert originals == sorted(load_study("paper").tasks())
    assert done.said.count("orig: the base model: scored") == 1


def test_figure_four_has_a_curve_for_every_kind(done: Done) -> None:
    points = json.loads((done.folder / "tradeoff.json").read_text(encoding="utf-8"))["points"]
    assert list(dict.fromkeys(point["curve"] for point in points)) == ["Orig.", "Clas.", "HN1", "HN2", "HN3"]
    assert {score["task"] for point in points for score in point["concepts"]} == {f"coco_{name}" for name in CONCEPTS}
    assert {point["retrieval"]["task"] for point in points} == {"coco_retrieval_first"}


def test_shared_photographs_are_told_by_the_tasks_name(done: Done) -> None:
    named = [warning.split(":")[0] for warning in done.report["overlaps"]]
    assert named == ["coco_size", "coco_retrieval_first"]  # the last captions are those of size
    assert "clipbench: warning: coco_retrieval_first: 2 of its 12 images are among the training images" in done.said


def test_published_training_facts_stand_beside_ours(done: Done) -> None:
    page = (done.folder / "report.md").read_text(encoding="utf-8")
    assert "under 2 hours and under 12 GB" in page
    assert len(done.report["trainings"]) == 12
    assert all(run["steps"] == 3 and run["captions"] >= 64 for run in done.report["trainings"])
