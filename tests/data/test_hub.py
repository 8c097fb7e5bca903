"""Real HTTP against the loopback hub, each client in a process of its own with its own cache."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from clipbench.data import HubTable
from clipbench.data.hub import parse_address
from clipbench.errors import DataError
from tests.data import builders
from tests.data.builders import picture
from tests.hub.fixtures import run_python
from tests.hub.server import Hub

REPO = "phiyodr/InpaintCOCO"
CLIENT = """
import dataclasses
import json
from clipbench.errors import DataError
from clipbench.data import Dataset, HubTable, open_source

table = HubTable({repo!r}, {revision!r}, {split!r}, ("coco_image", "inpaint_image"),
                 ("coco_caption", "inpaint_caption"), ("concept",))
table = dataclasses.replace(table, **{columns!r})
dataset = Dataset("inpaintcoco", table, instructions="put test-*.parquet into data/.")
try:
    source = open_source(dataset, {location!r}, streaming={streaming!r})
    rows = [
        [row.id, row.captions, [image.open().getpixel((0, 0)) for image in row.images]]
        for row in source.rows(where={where!r})
    ]
    print(json.dumps({{"rows": rows, "revision": source.provenance.revision,
                       "fingerprint": source.provenance.fingerprint}}))
except DataError as error:
    print(json.dumps({{"error": str(error)}}))
"""


def pairs(concepts: str, shade: int = 0) -> list[dict[str, Any]]:
    return [
        {
            "concept": {"o": "object", "c": "color"}[concept],
            "coco_caption": f"a {n}",
            "coco_image": picture((n, shade, 0)),
            "inpaint_caption": f"b {n}",
            "inpaint_image": picture((0, shade, n)),
        }
        for n, concept in enumerate(concepts)
    ]


class Client:
    """Opens InpaintCOCO in fresh processes that share a cache."""

    def __init__(self, hub: Hub, home: Path) -> None:
        self.hub, self.home = hub, home

    def open(
        self,
        location: str | None = None,
        *,
        offline: bool = False,
        env: dict[str, str] | None = None,
        **changes: Any,
    ) -> dict[str, Any]:
        options = {
            "repo": REPO,
            "revision": "main",
            "split": "test",
            "streaming": False,
            "columns": {},
            "where": {"concept": "color"},
            "location": location,
        }
        done = run_python(
            CLIENT.format(**(options | changes)),
            # datasets imports torch where it streams, which takes longer than all the rest.
            self.hub.env(self.home, offline=offline, USE_TORCH="0", **(env or {})),
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture
def client(hub: Hub, tmp_path: Path) -> Client:
    return Client(hub, tmp_path / "home")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Rows 0–3 object, 4–5 color; the README claims other columns and another size, as old ones do."""
    folder = builders.write_inpaintcoco(tmp_path / "repository", pairs("oooocc"))
    columns = "  features:\n  - name: other\n    dtype: string"
    claims = f"dataset_info:\n{columns}\n  splits:\n  - name: test\n    num_examples: 9"
    builders.write_readme(folder, {"test": "data/test-*"}, claims)
    return folder


EXPECTED = [["4", ["a 4", "b 4"], [[4, 0, 0], [0, 0, 4]]], ["5", ["a 5", "b 5"], [[5, 0, 0], [0, 0, 5]]]]


def test_streamed_then_downloaded_then_offline(hub: Hub, client: Client, repository: Path) -> None:
    commit = hub.add_dataset(REPO, repository).sha
    assert client.open(streaming=True)["rows"] == EXPECTED
    first = client.open()
    assert first == {
        "rows": EXPECTED,
        "revision": commit,
        "fingerprint": f"{REPO}@{commit}:default/test",
    }
    sent = hub.sent("*.parquet")
    assert client.open() == first
    assert hub.sent("*.parquet") == sent  # the second run downloads nothing

    hub.requests.clear()
    assert client.open(offline=True) == first
    assert client.open(env={"HF_DATASETS_OFFLINE": "1"}) == first
    assert client.open(offline=True, streaming=True) == first
    assert client.open(offline=True, revision=commit)["rows"] == EXPECTED
    assert hub.requests == []  # offline never phones home
    hub.down()
    assert client.open() == first


def test_a_branch_that_moved_and_a_pinned_commit(hub: Hub, client: Client, repository: Path, tmp_path: Path) -> None:
    old = hub.add_dataset(REPO, repository).sha
    assert client.open()["revision"] == old
    changed = builders.write_inpaintcoco(tmp_path / "changed", pairs("cccccc", shade=200))
    new = hub.add_dataset(REPO, changed).sha
    moved = client.open()
    assert (moved["revision"], len(moved["rows"])) == (new, 6)
    pinned = client.open(revision=old)
    assert (pinned["revision"], pinned["rows"]) == (old, EXPECTED)
    # Offline each revision is still itself, whatever was read last.
    assert client.open(revision=old, offline=True) == pinned
    assert client.open(offline=True) == moved
    assert client.open(f"hub:{REPO}@{old}", offline=True) == pinned


def test_only_the_split_is_downloaded(hub: Hub, client: Client, repository: Path) -> None:
    (file,) = repository.glob("data/*.parquet")
    (repository / "data/train-00000-of-00001.parquet").write_bytes(file.read_bytes())
    builders.write_readme(repository, {"train": "data/train-*", "test": "data/test-*"})
    hub.add_dataset(REPO, repository)
    assert client.open()["rows"] == EXPECTED
    assert hub.asked("*train*") == []


def test_a_cut_off_download_is_said_and_the_second_try_is_clean(hub: Hub, client: Client, repository: Path) -> None:
    hub.add_dataset(REPO, repository)
    hub.cut_after(3000, "*.parquet", times=None)
    error = client.open()["error"]
    assert error.startswith(f"{REPO}: the download was interrupted: run it again")
    hub.mend()
    assert client.open()["rows"] == EXPECTED


@pytest.mark.parametrize("offline", [False, True])
@pytest.mark.parametrize("streaming", [False, True])
def test_without_hub_and_cache_it_says_what_to_put_where(
    hub: Hub, client: Client, offline: bool, streaming: bool
) -> None:
    hub.down()
    error = client.open(offline=offline, streaming=streaming)["error"]
    cause = "offline mode is on (HF_HUB_OFFLINE)" if offline else "the hub cannot be reached"
    assert error.startswith(f"{REPO}: {cause}")
    assert error.endswith(
        "get a local copy: put test-*.parquet into data/; to use a local copy, give `data` inpaintcoco=PATH"
    )
    assert "\n" not in error


def test_what_the_hub_refuses(hub: Hub, client: Client, repository: Path) -> None:
    hub.add_dataset(REPO, repository)
    assert "no such dataset on the hub, or it is private" in client.open("hub:nobody/nothing")["error"]
    assert "no such revision" in client.open(f"hub:{REPO}@nope")["error"]
    assert "no split 'train'; the splits are: test" in client.open(f"hub:{REPO}:train")["error"]
    columns = {"captions": ("coco_caption", "inpaint_captoin")}
    assert "no column 'inpaint_captoin' (did you mean inpaint_caption" in client.open(columns=columns)["error"]
    hub.status("*/revision/*", 500)
    assert "the hub responded with status 500" in client.open(f"hub:{REPO}@other")["error"]


def test_a_gated_dataset_needs_a_token(hub: Hub, client: Client, repository: Path) -> None:
    hub.add_dataset(REPO, repository, gated=True)
    assert "needs access: accept the terms at https://huggingface.co/datasets/" in client.open()["error"]
    assert (
        "needs access: accept the terms at https://huggingface.co/datasets/"
        in client.open(env={"HF_TOKEN": "hf_wrong"})["error"]
    )
    assert client.open(env={"HF_TOKEN": hub.token})["rows"] == EXPECTED


def test_another_repository_with_the_same_columns(hub: Hub, client: Client, repository: Path) -> None:
    hub.add_dataset("me/mine", repository)
    assert client.open("hub:me/mine")["rows"] == EXPECTED


def test_a_repository_without_parquet(hub: Hub, client: Client, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for n in range(2):
        (folder / f"{n}.png").write_bytes(picture((n, 9, 9)))
    (folder / "metadata.csv").write_text("file_name,text\n0.png,a dog\n1.png,a cat\n")
    hub.add_dataset("me/folder", folder)
    options = {"columns": {"images": ("image",), "captions": ("text",)}, "where": {}}
    expected = [["0", ["a dog"], [[0, 9, 9]]], ["1", ["a cat"], [[1, 9, 9]]]]
    assert client.open("hub:me/folder:train", **options)["rows"] == expected
    assert client.open("hub:me/folder:train", offline=True, **options)["rows"] == expected
    refused = client.open("hub:me/folder:train", streaming=True, **options)["error"]
    assert "only parquet can be streamed" in refused


def test_addresses() -> None:
    own = HubTable("a/b", "1" * 40, "test", ("i",), ("c",), ("f",), "conf")
    assert parse_address("a/b", own) == own
    assert parse_address("a/b@v1:val", own) == HubTable("a/b", "v1", "val", ("i",), ("c",), ("f",), "conf")
    assert parse_address("x/y.z", own) == HubTable("x/y.z", "main", "test", ("i",), ("c",), ("f",), None)
    assert parse_address("x/y@refs/pr/3", None) == HubTable("x/y", "refs/pr/3", "train", (), ())
    for address in ("x", "x/y/z", "x/y@", "x/y:", ""):
        with pytest.raises(DataError, match="expected hub:owner/name"):
            parse_address(address, own)
