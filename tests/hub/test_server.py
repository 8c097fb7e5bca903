"""The loopback hub is hub enough: plain libraries download, cache, pin and fail against it as anywhere."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from .fixtures import ask_python, run_python
from .server import Hub
from .tiny import PIXELS, pairs, write_clip, write_inpaintcoco, write_open_clip

CLIP = "openai/clip-vit-base-patch32"
PINNED = "0123456789abcdef0123456789abcdef01234567"
WEIGHTS = bytes(range(256)) * 1000

DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A repository's files: two that git holds, a large one."""
    folder = tmp_path / "repository"
    (folder / "sub folder").mkdir(parents=True)
    (folder / "config.json").write_text("{}", encoding="utf-8")
    (folder / "sub folder" / "notes.txt").write_text("notes", encoding="utf-8")
    (folder / "model.bin").write_bytes(WEIGHTS)
    return folder


def fetch(url: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Make a plain request."""
    try:
        with DIRECT.open(urllib.request.Request(url, headers=headers), timeout=5) as answer:
            return answer.status, dict(answer.headers), answer.read()
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers), error.read()


def test_a_file_is_served_whole_and_in_parts(hub: Hub, folder: Path) -> None:
    commit = hub.add_model("owner/name", folder)
    url = f"{hub.url}/owner/name/resolve/main"

    status, headers, body = fetch(f"{url}/sub%20folder/notes.txt")
    assert (status, body, headers["X-Repo-Commit"]) == (200, b"notes", commit.sha)
    status, headers, body = fetch(f"{url}/model.bin", Range="bytes=10-19")
    assert (status, body, headers["Content-Range"]) == (206, WEIGHTS[10:20], f"bytes 10-19/{len(WEIGHTS)}")
    assert fetch(f"{url}/model.bin", Range="bytes=-3")[2] == WEIGHTS[-3:]
    assert fetch(f"{url}/model.bin", Range=f"bytes={len(WEIGHTS)}-")[0] == 416
    assert [request.status for request in hub.asked("*model.bin")] == [302, 206] * 2 + [302, 416]
    assert hub.sent("*notes.txt") == len("notes")


def test_a_commit_is_named_by_what_it_holds(folder: Path) -> None:
    first, again = (Hub().add_model("owner/name", folder) for _ in range(2))
    assert first.sha == again.sha
    (folder / "config.json").write_text('{"layers": 2}', encoding="utf-8")
    assert Hub().add_model("owner/name", folder).sha != first.sha


def test_a_long_tree_comes_in_pages(hub: Hub, folder: Path) -> None:
    hub.add_model("owner/name", folder)
    hub.page_size = 3
    status, headers, body = fetch(f"{hub.url}/api/models/owner/name/tree/main?recursive=true")
    assert status == 200
    following = headers["Link"].partition(">")[0].lstrip("<")
    paths = [entry["path"] for page in (body, fetch(following)[2]) for entry in json.loads(page)]
    assert paths == ["config.json", "model.bin", "sub folder", "sub folder/notes.txt"]


def test_orders_to_fail_end(hub: Hub, folder: Path) -> None:
    hub.add_model("owner/name", folder)
    url = f"{hub.url}/owner/name/resolve/main/config.json"
    hub.status("*config.json", 503, times=1)
    assert [fetch(url)[0] for _ in range(2)] == [503, 200]
    hub.status("*config.json", 500)
    assert [fetch(url)[0] for _ in range(2)] == [500, 500]
    hub.mend()
    assert fetch(url)[0] == 200
    hub.down()
    with pytest.raises(urllib.error.URLError):
        fetch(url)
    hub.up()
    assert fetch(url)[0] == 200


def test_downloads_are_cached_and_revisions_kept_apart(hub: Hub, folder: Path, tmp_path: Path) -> None:
    old = hub.add_model("owner/name", folder, tag="v1")
    newer = tmp_path / "newer"
    newer.mkdir()
    (newer / "config.json").write_text('{"layers": 2}', encoding="utf-8")
    hub.add_model("owner/name", newer, branch="trial")
    code = f"""
        import json
        from pathlib import Path
        from huggingface_hub import hf_hub_download, snapshot_download
        revisions = [None, "v1", "{old.sha}", "trial"]
        get = lambda revision: hf_hub_download("owner/name", "config.json", revision=revision)
        texts = [Path(get(revision)).read_text() for revision in revisions + revisions]
        whole = Path(snapshot_download("owner/name"))
        files = sorted(str(path.relative_to(whole)) for path in whole.rglob("*") if path.is_file())
        print(json.dumps([texts, files, len((whole / "model.bin").read_bytes())]))
    """
    home = tmp_path / "home"
    online = ask_python(code, hub.env(home))
    assert online == [
        ["{}", "{}", "{}", '{"layers": 2}'] * 2,
        ["config.json", "model.bin", "sub folder/notes.txt"],
        len(WEIGHTS),
    ]
    assert len(hub.asked("*config.json", method="GET")) == 2, "one body for each content"
    hub.requests.clear()
    assert ask_python(code, hub.env(home, offline=True)) == online
    assert not hub.requests


def test_what_is_not_there_or_not_allowed_is_told_apart(hub: Hub, folder: Path, tmp_path: Path) -> None:
    hub.add_model("owner/name", folder)
    hub.add_model("owner/gated", folder, gated=True)
    code = f"""
        import json
        from huggingface_hub import hf_hub_download, whoami
        def outcome(*args, **options):
            try:
                return open(hf_hub_download(*args, **options)).read()
            except Exception as error:
                return type(error).__name__
        print(json.dumps([
            outcome("owner/unknown", "config.json"),
            outcome("owner/name", "unknown.json"),
            outcome("owner/name", "config.json", revision="unknown"),
            outcome("owner/gated", "config.json"),
            outcome("owner/gated", "config.json", token="{hub.token}"),
            whoami("{hub.token}")["name"],
        ]))
    """
    assert ask_python(code, hub.env(tmp_path / "home")) == [
        "RepositoryNotFoundError",
        "RemoteEntryNotFoundError",
        "RevisionNotFoundError",
        "GatedRepoError",
        "{}",
        "tester",
    ]


@pytest.mark.parametrize("reset", [False, True])
def test_a_download_that_breaks_off_leaves_nothing_wrong_behind(
    hub: Hub, folder: Path, tmp_path: Path, reset: bool
) -> None:
    hub.add_model("owner/name", folder)
    # huggingface_hub passes a reset on at once, but resumes by itself after a connection that just ends.
    hub.cut_after(70_000, "*model.bin", reset=reset)
    code = """
        import json
        from huggingface_hub import hf_hub_download
        print(json.dumps(list(open(hf_hub_download("owner/name", "model.bin"), "rb").read())))
    """
    env = hub.env(tmp_path / "home")
    first = run_python(code, env)
    assert (first.returncode != 0) == reset, first.stderr
    assert hub.sent("*model.bin") == 70_000 + (0 if reset else len(WEIGHTS))
    assert bytes(ask_python(code, env)) == WEIGHTS


def test_transformers_open_clip_and_datasets_work_online_and_then_offline(hub: Hub, tmp_path: Path) -> None:
    rows = pairs("color", 3)
    write_clip(tmp_path / "clip")
    write_open_clip(tmp_path / "open_clip")
    write_inpaintcoco(tmp_path / "inpaintcoco", rows)
    hub.add_model(CLIP, tmp_path / "clip")
    hub.add_model("owner/open_clip", tmp_path / "open_clip")
    hub.add_model("laion/CLIP-ViT-B-32-laion2B-s34B-b79K", tmp_path / "open_clip")
    hub.add_dataset("phiyodr/InpaintCOCO", tmp_path / "inpaintcoco", commit=PINNED)
    code = f"""
        import json, os
        import datasets, open_clip, torch, transformers
        torch.manual_seed(0)
        pixels = torch.rand(1, 3, 16, 16)
        model = transformers.CLIPModel.from_pretrained("{CLIP}")
        processor = transformers.CLIPProcessor.from_pretrained("{CLIP}")
        tokens = processor(text=["a white cat"], return_tensors="pt")
        scores = model(**tokens, pixel_values=pixels).logits_per_image
        model, _, preprocess = open_clip.create_model_and_transforms("hf-hub:owner/open_clip")
        features = model.encode_image(pixels)
        tag = open_clip.get_pretrained_cfg("ViT-B-32", "laion2b_s34b_b79k")
        size = os.path.getsize(open_clip.download_pretrained(tag))
        get = lambda **more: datasets.load_dataset(
            "phiyodr/InpaintCOCO", split="test", revision="{PINNED}", **more)
        first_pixel = lambda image: [image.size, image.getpixel((0, 0))]
        rows = [[row["coco_caption"], *first_pixel(row["inpaint_image"])] for row in get()]
        if not datasets.config.HF_HUB_OFFLINE:
            streamed = [row["coco_caption"] for row in get(streaming=True)]
            assert streamed == [row[0] for row in rows], streamed
        print(json.dumps([scores.tolist(), features.tolist(), size, rows]))
    """
    home = tmp_path / "home"
    online = ask_python(code, hub.env(home))
    *_, size, served = online
    assert size == (tmp_path / "open_clip" / "open_clip_model.safetensors").stat().st_size
    assert served == [[row.coco_caption, [PIXELS, PIXELS], row.array(1)[0, 0].tolist()] for row in rows]
    assert hub.asked(f"*/{PINNED}/*.parquet", method="GET")
    hub.requests.clear()
    assert ask_python(code, hub.env(home, offline=True)) == online
    assert not hub.requests
