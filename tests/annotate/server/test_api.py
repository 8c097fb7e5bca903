"""What the page may ask for, asked without a page: every step, and every wrong way to ask."""

import io
import struct
import threading
import zlib

import numpy as np
import pytest
from PIL import Image

from clipbench.annotate.masks import to_png
from tests.annotate.server.builders import BOX, SIZE, Painter, box_mask, make_bench
from tests.annotate.server.serving import Client, running


@pytest.fixture
def bench(tmp_path):
    return make_bench(tmp_path / "set")


@pytest.fixture
def client(bench):
    with running(bench) as address:
        yield Client(address)


def done(client, bench, job):
    assert bench.jobs.wait(job["id"], 20).over
    return client.get(f"/api/jobs/{job['id']}")


def to_step(client, bench, step):
    """A pair that has come to a step."""
    item = client.post("/api/next")
    path = f"/api/items/{item['id']}"
    for reached, act in (
        ("photograph", lambda: client.post(f"{path}/use", {"caption": 0})),
        ("mask", lambda: client.call("POST", f"{path}/mask", to_png(box_mask()))[1]),
        ("inpaint_prompt", lambda: paint(client, bench, path)),
        ("candidates", lambda: client.post(f"{path}/choose", {"candidate": client.get(path)["candidates"][1]["id"]})),
        ("rating", lambda: client.post(f"{path}/rate", {"rating": "okay"})),
    ):
        if step == reached:
            break
        act()
    return path


def paint(client, bench, path):
    item = client.post(f"{path}/paint", {"prompt": "a blue box", "replacement": "blue"})
    assert done(client, bench, item["job"])["state"] == "done"


def test_a_pair_from_the_photograph_to_its_caption(client, bench):
    item = client.post("/api/next")
    path = f"/api/items/{item['id']}"
    assert item["step"] == "photograph"
    assert item["photograph"] | {"url": ""} == {
        "url": "", "width": 128, "height": 96, "name": "000.jpg", "license": "CC BY 2.0",
    }  # fmt: skip
    caption = item["captions"][0]
    assert caption["text"][caption["start"] : caption["end"]] == "red"

    item = client.post(f"{path}/use", {"caption": 0})
    assert item["step"] == "mask_prompt"
    item = client.post(f"{path}/segment", {"prompt": item["mask_prompt"]})
    job = done(client, bench, item["job"])
    assert (job["state"], job["step"], job["steps"]) == ("done", 1, 1)
    item = client.get(path)
    found = np.asarray(Image.open(io.BytesIO(client.raw("GET", item["mask"], **client.headers)[2]))) > 127
    assert (found == box_mask()).all()

    status, item = client.call("POST", f"{path}/mask?edits=grow,brush,grow,nonsense", to_png(box_mask()))
    assert (status, item["step"]) == (200, "inpaint_prompt")
    assert bench.pair(item["id"]).mask_details == {"segmenter": "boxes", "edits": {"grow": 2, "brush": 1}}

    item = client.post(f"{path}/paint", {"prompt": "a blue box", "replacement": "blue"})
    assert done(client, bench, item["job"])["stored"] == 3
    item = client.get(path)
    seeds = [one["seed"] for one in item["candidates"]]
    assert len(set(seeds)) == 3
    pictures = {client.raw("GET", one["url"], **client.headers)[2] for one in item["candidates"]}
    assert len(pictures) == 3

    paint(client, bench, path)  # more on demand
    item = client.get(path)
    assert [one["seed"] for one in item["candidates"]][:3] == seeds
    assert len({one["seed"] for one in item["candidates"]}) == 6

    item = client.post(f"{path}/choose", {"candidate": item["candidates"][4]["id"]})
    item = client.post(f"{path}/rate", {"rating": "very good"})
    assert "blue" in item["new_caption"]
    assert client.post(f"{path}/check", {"caption": item["captions"][0]["text"]})["problem"]
    assert client.post(f"{path}/check", {"caption": ""})["problem"]
    assert client.post(f"{path}/check", {"caption": item["new_caption"]}) == {"problem": ""}
    item = client.post(f"{path}/caption", {"caption": item["new_caption"]})
    assert (item["step"], item["state"], item["rating"]) == ("done", "annotated", "very good")
    assert [one["id"] for one in client.get("/api/items")["items"]] == [item["id"]]
    assert client.get("/api/set")["finished"] == 1


def test_what_is_confirmed_is_in_the_set_before_the_answer(client, bench):
    path = to_step(client, bench, "rating")
    client.post(f"{path}/rate", {"rating": "okay"})
    assert bench.pair(int(path.rsplit("/", 1)[1])).rating == "okay"


@pytest.mark.parametrize("name", ["", "%20", "a" * 200, "%00", "%0a"])
def test_a_name_that_cannot_be_one_is_refused(client, name):
    status, answer = client.call("POST", "/api/next", {}, **{"X-Annotator": name})
    assert (status, "annotator" in answer["error"]) == (400, True)


def test_two_annotators_get_two_photographs(client):
    names = [client.call("POST", "/api/next", {}, **{"X-Annotator": name})[1] for name in ("Ada", "Zo%C3%AB")]
    assert names[0]["photograph"]["name"] != names[1]["photograph"]["name"]
    assert names[1]["annotator"] == "Zoë"


def test_nobody_changes_the_pair_of_another(client, bench):
    path = to_step(client, bench, "mask")
    status, answer = client.call("POST", f"{path}/skip", {}, **{"X-Annotator": "Eve"})
    assert (status, "Ada" in answer["error"]) == (400, True)


def test_nothing_left_is_said(client):
    for name in ("a", "b", "c"):
        client.call("POST", "/api/next", {}, **{"X-Annotator": name})
    assert "none" in client.call("POST", "/api/next", {}, **{"X-Annotator": "d"})[1]


@pytest.mark.parametrize(
    ("step", "action", "body", "reason"),
    [
        ("photograph", "use", {"caption": 1}, "caption 1: there are 1"),
        ("photograph", "use", {"caption": -1}, "caption"),
        ("photograph", "use", {"caption": "0"}, "caption: give a whole number"),
        ("photograph", "use", {}, "caption: give a whole number"),
        ("photograph", "rate", {"rating": "okay"}, "next step"),
        ("photograph", "back", {"step": "rating"}, "not reached"),
        ("mask", "segment", {"prompt": ""}, "empty"),
        ("mask", "segment", {"prompt": "\x1b[31mbox"}, "mask prompt: the character U+001B is no text"),
        ("mask", "segment", {"prompt": 3}, "prompt: give a text"),
        ("inpaint_prompt", "paint", {"prompt": "a blue box", "replacement": "pink"}, "pink"),
        ("inpaint_prompt", "paint", {"prompt": " ", "replacement": "blue"}, "empty"),
        ("candidates", "choose", {"candidate": 10**6}, "none of this pair's"),
        ("candidates", "choose", {"candidate": 10**30}, "whole number"),
        ("rating", "rate", {"rating": "superb"}, "very good, okay"),
        ("caption", "caption", {"caption": "A red box on the floor."}, ""),
        ("caption", "caption", {"caption": "\ud800"}, "U+D800"),
        ("caption", "caption", {"caption": "x" * 5000}, "characters"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line_and_changes_nothing(client, bench, step, action, body, reason):
    path = to_step(client, bench, step)
    before = client.get(path)
    status, answer = client.call("POST", f"{path}/{action}", body)
    assert status == 400
    assert reason in answer["error"]
    assert "\n" not in answer["error"]
    assert client.get(path) == before


@pytest.mark.parametrize("body", [b"", b"[]", b"3", b"{", b"\xff", b"[" * 100_000])
def test_a_body_that_is_no_object_is_refused(client, bench, body):
    path = to_step(client, bench, "photograph")
    assert client.call("POST", f"{path}/use", body)[0] in (400, 413)


def png(mask):
    file = io.BytesIO()
    Image.fromarray(mask.astype(np.uint8) * 255).save(file, "PNG")
    return file.getvalue()


def jpeg():
    file = io.BytesIO()
    Image.new("RGB", SIZE).save(file, "JPEG")
    return file.getvalue()


def bomb():
    """Claims 900 million pixels."""
    content = bytearray(png(box_mask()))
    content[16:24] = struct.pack(">II", 30_000, 30_000)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    return bytes(content)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not a PNG"),
        (b"\x89PNG\r\n\x1a\n", "not a PNG"),
        (jpeg(), "not a PNG"),
        (png(box_mask())[:-40], "not a PNG"),
        (png(np.ones((96, 127), bool)), "127"),
        (bomb(), "mask"),
        (png(np.zeros((96, 128), bool)), "empty"),
        (png(np.ones((96, 128), bool)), "whole"),
    ],
    ids=["nothing", "head", "jpeg", "cut", "narrower", "bomb", "empty", "all"],
)
def test_a_mask_that_cannot_be_one_is_refused(client, bench, content, reason):
    path = to_step(client, bench, "mask")
    before = client.get(path)
    status, answer = client.call("POST", f"{path}/mask", content)
    assert (status, reason in answer["error"]) == (400, True), answer
    assert client.get(path) == before


@pytest.mark.parametrize(
    ("change", "grown"),
    [("grow", (1, 1)), ("shrink", (-1, -1)), ("widen_x", (1, 0)), ("widen_y", (0, 1))],
)
def test_a_mask_is_changed_by_a_hundredth_of_the_longer_side(client, bench, change, grown):
    path = to_step(client, bench, "mask")
    content = client.raw("POST", f"{path}/change/{change}", to_png(box_mask()), **client.headers)[2]
    rows, columns = np.nonzero(np.asarray(Image.open(io.BytesIO(content))) > 127)
    x, y = grown
    assert (columns.min(), columns.max() + 1) == (BOX[0] - x, BOX[2] + x)
    assert (rows.min(), rows.max() + 1) == (BOX[1] - y, BOX[3] + y)


@pytest.mark.parametrize("kind", ["box", "stroke"])
def test_the_object_in_a_box_or_under_a_stroke_is_found(client, bench, kind):
    path = to_step(client, bench, "mask")
    drawn = np.zeros((96, 128), bool)
    if kind == "box":
        drawn[14:82, 30:98] = True
    else:
        drawn[46:50, 50:78] = True
    content = client.raw("POST", f"{path}/refine/{kind}", to_png(drawn), **client.headers)[2]
    found = np.asarray(Image.open(io.BytesIO(content))) > 127
    overlap = (found & box_mask()).sum() / (found | box_mask()).sum()
    assert overlap > 0.9


def test_an_object_that_is_not_found_is_said_and_can_be_drawn(client, bench):
    path = to_step(client, bench, "mask")
    item = client.post(f"{path}/segment", {"prompt": "a ghost"})
    job = done(client, bench, item["job"])
    assert (job["state"], job["error"]) == ("failed", "'a ghost': nothing was found: draw it")
    assert client.call("POST", f"{path}/mask", to_png(box_mask()))[1]["step"] == "inpaint_prompt"


@pytest.fixture
def painter():
    painter = Painter()
    painter.free.clear()
    yield painter
    painter.free.set()


def test_cancelling_keeps_what_is_painted_and_leaves_the_pair_usable(tmp_path, painter):
    bench = make_bench(tmp_path / "set", painter=painter)
    with running(bench) as address:
        client = Client(address)
        path = to_step(client, bench, "inpaint_prompt")
        job = client.post(f"{path}/paint", {"prompt": "a blue box", "replacement": "blue"})["job"]
        while client.get(f"/api/jobs/{job['id']}")["stored"] < 1:
            threading.Event().wait(0.02)
        status, answer = client.call("POST", f"{path}/paint", {"prompt": "a blue box", "replacement": "blue"})
        assert (status, "work is going on" in answer["error"]) == (400, True)
        other = client.call("POST", "/api/next", {}, **{"X-Annotator": "Bob"})[1]
        assert other["step"] == "photograph", "others go on meanwhile"
        client.post(f"/api/jobs/{job['id']}/cancel")
        assert done(client, bench, job)["state"] == "cancelled"
        item = client.get(path)
        assert (len(item["candidates"]), item["job"]) == (1, None)
        painter.free.set()
        paint(client, bench, path)
        assert len(client.get(path)["candidates"]) == 4


def test_a_server_stops_while_it_paints(tmp_path, painter):
    bench = make_bench(tmp_path / "set", painter=painter)
    with running(bench) as address:
        client = Client(address)
        path = to_step(client, bench, "inpaint_prompt")
        client.post(f"{path}/paint", {"prompt": "a blue box", "replacement": "blue"})
    with pytest.raises(ConnectionError):  # nobody answers any more
        client.get(path)


@pytest.mark.parametrize("path", ["/api/jobs/job-99", "/api/items/99", "/api/images/..%2fannotations.sqlite"])
def test_what_is_not_there(client, path):
    assert (
        client.call("GET", path)[0] == 400 if "%" not in path else client.raw("GET", path, **client.headers)[0] != 200
    )


def test_a_defect_is_said_and_the_server_goes_on(client, bench, monkeypatch):
    monkeypatch.setattr(type(bench), "find_mask", lambda *_: 1 / 0)
    path = to_step(client, bench, "mask")
    assert client.call("POST", f"{path}/segment", {"prompt": "a box"}) == (
        500,
        {"error": "the server failed: ZeroDivisionError"},
    )
    assert client.get(path)["step"] == "mask_prompt"
