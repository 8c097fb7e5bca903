"""Whole sessions of `clipbench annotate` in a real browser, and how it bears being killed.

    python benchmarks/annotate.py session FOLDER --coco COCO_FOLDER --images docs/images/annotate
    python benchmarks/annotate.py kills FOLDER

`session` makes five pairs on scenes with `drawn`, one with a CLIPSeg and a diffusion pipeline of tiny random weights,
and, with --coco, five on photographs with `classic`, by keyboard alone; exports the sets and scores the demo model on
them. --images keeps the pictures of the scenes' steps that
docs/annotate.md shows. `kills` ends the server with SIGKILL at 20 moments while two browsers annotate. Both need a
Chromium.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT))
from clipbench.annotate.records import DONE, STEPS  # noqa: E402
from tests.annotate.server.annotator import (  # noqa: E402
    CAPTION,
    CHOOSE,
    HEADING,
    MASK,
    PHOTOGRAPH,
    PROMPT,
    RATE,
    REPLACE,
    Annotator,
)  # fmt: skip
from tests.annotate.server.serving import Client  # noqa: E402
from tests.annotate.tiny_models import build_clipseg, build_inpainter  # noqa: E402

COMMAND = [sys.executable, "-m", "clipbench"]
MOST_ACTIONS = 8
ORDER = (*STEPS, DONE)


@contextmanager
def served(folder: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server of its own process, and the page's address."""
    command = [*COMMAND, "annotate", *options, "--concept", "color", "--output_path", str(folder), "--no_browser"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        address = process.stdout.readline().strip()
        if not address:
            raise SystemExit(f"no server: {' '.join(command)}")
        yield process, address
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.wait(30)


class Camera:
    """Photographs each step once per width, if there is a folder for it."""

    def __init__(self, folder: Path | None, width: int) -> None:
        self.folder, self.width = folder, width

    def take(self, somebody: Annotator, step: str) -> None:
        if self.folder is None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{step}{'_phone' if self.width < 600 else ''}.png"
        somebody.browser.run("new Promise(done => setTimeout(done, 200))")
        somebody.browser.screenshot(path, full=self.width < 600)
        picture = Image.open(path).convert("RGB")
        if self.width >= 600:
            picture = picture.resize((800, round(800 * picture.height / picture.width)), Image.Resampling.LANCZOS)
        # Median cut would take yellow, which is rare, for orange.
        picture.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(path, optimize=True)


def annotate_pair(somebody: Annotator, camera: Camera, middle: bool) -> int:
    """A pair by keyboard; returns the number of actions."""
    somebody.sees(PHOTOGRAPH)
    somebody.actions = 0
    camera.take(somebody, "photograph")
    somebody.press("Enter", PROMPT)
    camera.take(somebody, "mask_prompt")
    if middle:
        somebody.press("m")
        somebody.until("document.querySelector('.card').textContent.includes(' %')")
    else:
        somebody.press("Enter", MASK)
    camera.take(somebody, "mask")
    somebody.press("Enter", REPLACE)
    camera.take(somebody, "inpaint_prompt")
    somebody.press("Enter", CHOOSE)
    somebody.until("document.querySelectorAll('.candidate').length === 3 && !document.querySelector('.job')")
    camera.take(somebody, "candidates")
    somebody.press("2", RATE)
    camera.take(somebody, "rating")
    somebody.press("v", CAPTION)
    somebody.until("document.querySelector('#caption-check').textContent")
    camera.take(somebody, "caption")
    somebody.press("Enter")
    somebody.until(f"{HEADING} !== {CAPTION!r}")
    return somebody.actions


def review_pairs(address: str, camera: Camera) -> None:
    """Another annotator looks at two pairs."""
    with Annotator(address, width=camera.width) as bob:
        bob.start("Bob")
        bob.browser.run("location.hash = '#review'")
        bob.sees("Is this pair right?")
        bob.until("document.querySelector('#caption-check').textContent")
        camera.take(bob, "review")
        for left in (4, 3):
            bob.press("Enter")
            bob.until(f"document.querySelector('#to-review').textContent == {left}")
        bob.browser.run("location.hash = '#done'")


def sets(folder: Path, coco: Path | None) -> Iterator[tuple[str, list[str], int]]:
    """The sets of a session: name, options, and how many pairs."""
    yield "scenes", ["--data", "scenes=40"], 5
    segmenter, inpainter = build_clipseg(folder / "clipseg"), build_inpainter(folder / "inpainter")
    models = ["--segmenter", str(segmenter), "--inpainter", str(inpainter), "--inpaint_steps", "4"]
    yield "diffusion", ["--data", "scenes=40", *models], 1
    if coco is not None:
        yield "photographs", ["--data", f"coco={coco}", "--inpainter", "classic"], 5


def session(folder: Path, coco: Path | None, images: Path | None) -> None:
    """From the first photograph to the scores."""
    for name, options, pairs in sets(folder, coco):
        output, shown = folder / f"my_{name}", images if name == "scenes" else None
        with served(output, *options) as (_, address):
            for width, count in ((1200, max(pairs - 1, 1)), (390, min(pairs - 1, 1))):
                if count:
                    annotate_pairs(address, name, count, Camera(shown, width))
            if pairs > 1:
                review_pairs(address, Camera(shown, 1200))
        export, score = (
            ["annotate", "export", str(output)],
            ["eval", "--model", "demo", "--tasks", f"{output}/task.yaml"],
        )
        for command in (export, score):
            subprocess.run([*COMMAND, *command], cwd=ROOT, check=True)


def annotate_pairs(address: str, name: str, count: int, camera: Camera) -> None:
    """One annotator's pairs; the first is photographed."""
    with Annotator(address, width=camera.width) as ada:
        ada.start("Ada")
        for number in range(count):
            started = time.monotonic()
            actions = annotate_pair(ada, camera if number == 0 else Camera(None, 0), name == "photographs")
            print(f"{name}, width {camera.width}: {actions} actions, {time.monotonic() - started:.1f} s", flush=True)
            if actions > MOST_ACTIONS:
                raise SystemExit(f"more than {MOST_ACTIONS} actions")
        ada.browser.run("location.hash = '#done'")
        ada.sees("Pairs")
        camera.take(ada, "pairs")


class Confirmed:
    """What the server has answered with success: pair → entries, which must all be in the set after a kill."""

    def __init__(self) -> None:
        self.entries: dict[int, dict[str, object]] = {}
        self.photographs: dict[str, str] = {}

    def add(self, annotator: str, item: dict) -> None:
        name = item["photograph"]["name"]
        if self.photographs.setdefault(name, annotator) != annotator:
            raise SystemExit(f"{name} was handed out to {self.photographs[name]} and to {annotator}")
        entry = self.entries.setdefault(item["id"], {})
        entry |= {"annotator": annotator, "photograph": name, "step": item["step"]}
        if item["caption"] is not None:
            entry["caption"] = item["captions"][item["caption"]]["text"]
        for key, since in (("chosen", "rating"), ("rating", "caption"), ("new_caption", "done")):
            if ORDER.index(item["step"]) >= ORDER.index(since):  # before, the item holds suggestions
                entry[key] = item[key]


def annotate_until_killed(address: str, annotator: str, confirmed: Confirmed, lock: threading.Lock) -> None:
    """Go through the workflow as fast as answers come, until none comes."""

    def done(item: dict) -> dict:
        with lock:
            confirmed.add(annotator, item)
        return item

    with suppress(OSError, HTTPException, AssertionError, ValueError):
        client = Client(address, annotator, f"b-{annotator}")
        while True:
            item = done(client.post("/api/next"))
            path = f"/api/items/{item['id']}"
            while item["step"] not in ("done", "skipped"):
                item = done(one_step(client, path, item))


def one_step(client: Client, path: str, item: dict) -> dict:
    """The next step of a pair, as confirmed by the server."""
    step = item["step"]
    if item["job"]:
        time.sleep(0.01)
        return client.get(path)
    if step == "photograph":
        return client.post(f"{path}/use", {"caption": 0})
    if step in ("mask_prompt", "mask"):
        if not item["mask"]:
            return client.post(f"{path}/segment", {"prompt": item["mask_prompt"]})
        status, answer = client.call("POST", f"{path}/mask", client.raw("GET", item["mask"], **client.headers)[2])
        assert status == 200
        return answer
    if step in ("inpaint_prompt", "candidates"):
        if step == "candidates" and item["candidates"]:
            return client.post(f"{path}/choose", {"candidate": item["candidates"][-1]["id"]})
        return client.post(f"{path}/paint", {"prompt": item["inpaint_prompt"], "replacement": item["replacement"]})
    if step == "rating":
        return client.post(f"{path}/rate", {"rating": "okay"})
    return client.post(f"{path}/caption", {"caption": item["new_caption"]})


def check(folder: Path, confirmed: Confirmed) -> int:
    """Compare the set with what was confirmed; returns the number of entries compared."""
    database = sqlite3.connect(folder / "annotations.sqlite")
    database.row_factory = sqlite3.Row
    problem = database.execute("PRAGMA integrity_check").fetchone()[0]
    if problem != "ok":
        raise SystemExit(problem)
    rows = {row["id"]: row for row in database.execute("SELECT * FROM pairs")}
    compared = 0
    for number, entry in confirmed.entries.items():
        row = rows[number]
        for key, value in entry.items():
            compared += 1
            # A step whose answer was cut off may have been stored: further is fine, back is not.
            good = ORDER.index(row["step"]) >= ORDER.index(value) if key == "step" else row[key] == value
            if not good:
                raise SystemExit(f"pair {number}: {key} was confirmed as {value!r}, and is {row[key]!r}")
    for row in database.execute("SELECT image, mask FROM candidates"):
        for name in row:
            Image.open(folder / "images" / name).load()
    database.close()
    return compared


def kills(folder: Path, moments: int = 20) -> None:
    """SIGKILL at random moments, with two annotators at work; then all that was confirmed must be there."""
    draw, confirmed, lock, compared = random.Random(0), Confirmed(), threading.Lock(), 0
    for moment in range(moments):
        with served(folder, "--data", "scenes=400") as (process, address):
            threads = [
                threading.Thread(target=annotate_until_killed, args=(address, name, confirmed, lock))
                for name in ("Ada", "Bob")
            ]
            for thread in threads:
                thread.start()
            time.sleep(draw.uniform(0.2, 3))
            process.send_signal(signal.SIGKILL)
            for thread in threads:
                thread.join()
        compared = check(folder, confirmed)
        done = sum(entry["step"] == "done" for entry in confirmed.entries.values())
        print(f"kill {moment + 1}: {len(confirmed.entries)} pairs, {done} done, {compared} entries are all there")
    given = list(confirmed.photographs.values())
    shares = {name: given.count(name) for name in ("Ada", "Bob")}
    print(json.dumps({"kills": moments, "lost": 0, "entries": compared, "photographs": shares}))


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("session", "kills"))
    parser.add_argument("folder", type=Path, help="for the sets; must not hold any yet")
    parser.add_argument("--coco", type=Path, help="COCO 2017's folder")
    parser.add_argument("--images", type=Path, help="where pictures of the steps are kept")
    given = parser.parse_args()
    if given.what == "session":
        session(given.folder, given.coco, given.images)
    else:
        kills(given.folder)


if __name__ == "__main__":
    main()
