"""From the first photograph to the score, as `benchmarks/annotate.py` does at length: the real parts, in a browser."""

import pyarrow.parquet as pq
import pytest

import clipbench
from clipbench.annotate.export import TASK, export_set
from clipbench.annotate.opening import open_set
from clipbench.annotate.options import AnnotateOptions
from clipbench.annotate.server.workbench import Workbench
from clipbench.annotate.tools import find_tools
from tests.annotate.server.annotator import CAPTION, CHOOSE, HEADING, MASK, PROMPT, RATE, REPLACE, Annotator
from tests.annotate.server.serving import running
from tests.annotate.tiny_models import build_clipseg, build_inpainter
from tests.browser import CHROMIUM

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here (Debian: apt-get install chromium)")


def annotate(options, mask_key, pairs=2):
    """Make pairs by keyboard; returns the actions of each."""
    segmenter, painter = find_tools(options)
    actions = []
    with (
        open_set(options) as store,
        running(Workbench(store, segmenter, painter)) as address,
        Annotator(address) as ada,
    ):
        ada.start()
        for _ in range(pairs):
            ada.actions = 0
            ada.press("Enter", PROMPT)
            ada.press(mask_key)
            ada.until("document.querySelector('.card').textContent.includes(' %')")
            ada.sees(MASK if mask_key == "Enter" else PROMPT)
            ada.press("Enter", REPLACE)
            ada.press("Enter", CHOOSE)
            ada.browser.wait("document.querySelectorAll('.candidate').length === 3", seconds=60)
            ada.press("3", RATE)
            ada.press("v", CAPTION)
            ada.press("Enter")
            ada.until(f"{HEADING} !== {CAPTION!r}")
            actions.append(ada.actions)
    return actions


def score(folder, expected):
    exported = export_set(folder)
    assert (len(exported.pairs), exported.broken) == (expected, ())
    results = clipbench.evaluate("demo", str(folder / TASK))
    assert not results.failed
    (task,) = results.tasks.values()
    assert task.counts.effective == expected


def test_scenes_by_the_drawn_painter(tmp_path):
    folder = tmp_path / "scenes"  # with the concept, the name of a task that there is
    actions = annotate(AnnotateOptions({"scenes": "12"}, "color", folder), "Enter")
    assert max(actions) <= 8
    score(folder, 2)


def test_photographs_by_the_classic_painter(tmp_path, coco_folder):
    folder = tmp_path / "photographs"
    actions = annotate(AnnotateOptions({"coco": str(coco_folder)}, "color", folder, inpainter="classic"), "m")
    assert max(actions) <= 8
    score(folder, 2)


def test_models_of_transformers_and_diffusers(tmp_path):
    pytest.importorskip("diffusers")
    folder = tmp_path / "painted"
    models = {"segmenter": str(build_clipseg(tmp_path / "clipseg")), "inpainter": str(build_inpainter(tmp_path / "sd"))}
    annotate(AnnotateOptions({"scenes": "12"}, "color", folder, inpaint_steps=2, device="cpu", **models), "Enter", 1)
    score(folder, 1)
    (row,) = pq.read_table(folder / "data" / "test-00000-of-00001.parquet").to_pylist()
    assert (row["mask_details"]["model"], row["inpaint_details"]["model"]) == ("clipseg", "sd")
