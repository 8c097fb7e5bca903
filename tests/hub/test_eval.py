"""The user's own words, literally, against a hub: ``clipbench eval --model … --tasks inpaintcoco_color``.

The hub serves tiny repositories under the real ids: a CLIP, and all 1,260 rows of InpaintCOCO with
other captions and images. One story is told once; each test looks at a part of it.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from .fixtures import ask_python
from .server import Hub
from .tiny import Pair, pairs, write_clip, write_inpaintcoco, write_open_clip

COMMAND = "clipbench eval --model openai/clip-vit-base-patch32 --tasks inpaintcoco_color"
CLIP, INPAINTCOCO = "openai/clip-vit-base-patch32", "phiyodr/InpaintCOCO"
TASK = "inpaintcoco_color"


@dataclass
class Story:
    """What happened, by step.

    Attributes:
        color: The rows that the task is about, in order.
        clip: The model's folder.
        runs: Each step's finished process.
        asked: How many requests each step made.
        results: The offline run's results file.
        samples: Its samples file, line by line.
    """

    color: list[Pair]
    clip: Path
    runs: dict[str, subprocess.CompletedProcess[str]] = field(default_factory=dict)
    asked: dict[str, int] = field(default_factory=dict)
    results: dict[str, object] = field(default_factory=dict)
    samples: list[dict[str, object]] = field(default_factory=list)


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    """Run the command as its user would: on a bad line, again, then on a train; and elsewhere, hub down."""
    folder = tmp_path_factory.mktemp("story")
    color = pairs("color", 465, first_seed=2000)
    rows = [*pairs("object", 452), *pairs("size", 343, first_seed=1000), *color]
    write_clip(folder / "clip", seed=3)
    write_inpaintcoco(folder / "inpaintcoco", rows)
    story, home, hub = Story(color, folder / "clip"), folder / "home", Hub()
    hub.up()
    hub.add_model(CLIP, folder / "clip")
    hub.add_dataset(INPAINTCOCO, folder / "inpaintcoco", commit=_pinned_revision())

    def run(step: str, env: dict[str, str], command: str = COMMAND) -> None:
        hub.requests.clear()
        env["PATH"] = f"{Path(sys.executable).parent}:{env['PATH']}"
        story.runs[step] = subprocess.run(
            shlex.split(command), env=env, cwd=folder, capture_output=True, text=True, timeout=240, check=False
        )
        story.asked[step] = len(hub.requests)

    hub.cut_after(50_000, "*.parquet", reset=True)
    run("data cut off", hub.env(home))
    hub.cut_after(50_000, "*pytorch_model.bin", reset=True)
    run("model cut off", hub.env(home))
    run("first", hub.env(home))
    story.asked["conversion"] = len(hub.asked("*/commits/*")) + len(hub.asked("*/discussions*"))
    run("offline", hub.env(home, offline=True), f"{COMMAND} --output_path out --log_samples")
    hub.down()
    run("down", hub.env(folder / "new home"))
    run("offline and new", hub.env(folder / "new home", offline=True))
    return _with_files(story, folder / "out")


def _pinned_revision() -> str | None:
    """The commit that the task pins, which the hub has to serve; None where it names a branch."""
    from clipbench.tasks import inpaintcoco

    table = inpaintcoco.INPAINTCOCO.hub
    assert table is not None
    return table.revision if len(table.revision) == 40 else None


def _with_files(story: Story, out: Path) -> Story:
    folder = out / "openai__clip-vit-base-patch32"
    for path in folder.glob("results_*.json"):
        story.results = json.loads(path.read_text(encoding="utf-8"))
    for path in folder.glob(f"samples_{TASK}_*.jsonl"):
        story.samples = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return story


def judge_directly(clip: Path, rows: list[Pair]) -> list[dict[str, bool]]:
    """Judge rows by Eq. (1), straight on transformers."""
    import torch
    from PIL import Image
    from transformers import AutoImageProcessor, CLIPModel, CLIPTokenizer

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # a tiny model waits for its threads more than it computes
    model = CLIPModel.from_pretrained(clip)
    tokenizer = CLIPTokenizer.from_pretrained(clip)
    processor: Any = AutoImageProcessor.from_pretrained(clip, backend="pil")  # type: ignore[no-untyped-call]
    images = [Image.fromarray(row.array(which)) for row in rows for which in (0, 1)]
    texts = [text for row in rows for text in (row.coco_caption, row.inpaint_caption)]
    pixels = processor(images=images, return_tensors="pt")["pixel_values"]
    tokens = tokenizer(texts, padding="max_length", return_tensors="pt")
    with torch.no_grad():
        scores = model(pixel_values=pixels, **tokens).logits_per_image.tolist()  # (images, texts)
    judgements = []
    for first, second in ((2 * row, 2 * row + 1) for row in range(len(rows))):
        own = scores[first][first], scores[second][second]
        image = own[0] > scores[second][first] and own[1] > scores[first][second]
        text = own[0] > scores[first][second] and own[1] > scores[second][first]
        judgements.append({"acc": image, "text_acc": text, "group_acc": image and text})
    torch.set_num_threads(threads)
    return judgements


def assert_one_line(run: subprocess.CompletedProcess[str], *words: str) -> None:
    """The run failed, and said so in one line that holds these words."""
    assert run.returncode == 1, (run.returncode, run.stderr)
    assert "Traceback" not in run.stderr
    assert len([line for line in run.stderr.splitlines() if "error" in line]) == 1, run.stderr
    assert not run.stdout, "no half results"
    missing = [word for word in words if word not in run.stderr]
    assert not missing, run.stderr


def test_the_first_run_just_works(story: Story) -> None:
    run = story.runs["first"]
    assert run.returncode == 0, run.stderr
    assert TASK in run.stdout
    assert "465/465" in run.stdout
    assert "Traceback" not in run.stderr


def test_its_numbers_are_those_of_a_direct_computation(story: Story) -> None:
    expected = judge_directly(story.clip, story.color)
    row = story.results["results"][TASK]  # type: ignore[index]
    for metric in ("acc", "text_acc", "group_acc"):
        share = sum(judgement[metric] for judgement in expected) / len(expected)
        assert row[f"{metric},none"] == pytest.approx(share, abs=1e-9)
        assert f"{share:.4f}" in story.runs["offline"].stdout
    assert 0.1 < row["acc,none"] < 0.95, "a test that could fail"
    assert [sample["acc"] for sample in story.samples] == [judgement["acc"] for judgement in expected]
    assert [sample["texts"] for sample in story.samples] == [
        [row.coco_caption, row.inpaint_caption] for row in story.color
    ]


def test_the_second_run_is_the_same_offline_and_asks_for_nothing(story: Story) -> None:
    run = story.runs["offline"]
    assert run.returncode == 0, run.stderr
    assert run.stdout == story.runs["first"].stdout
    assert story.asked["offline"] == 0


def test_nobody_is_asked_to_convert_the_weights(story: Story) -> None:
    # transformers asks a public service for a pull request where a repository has no safetensors.
    assert story.asked["conversion"] == 0


def test_a_download_that_is_cut_off_is_one_line(story: Story) -> None:
    assert_one_line(story.runs["data cut off"], INPAINTCOCO, "again")
    assert_one_line(story.runs["model cut off"], CLIP, "again")


def test_without_a_hub_it_says_what_to_do(story: Story) -> None:
    assert_one_line(story.runs["down"], INPAINTCOCO, "--data inpaintcoco=")
    assert_one_line(story.runs["offline and new"], INPAINTCOCO, "HF_HUB_OFFLINE", "--data inpaintcoco=")


def test_a_model_that_cannot_be_had_is_told_apart(hub: Hub, tmp_path: Path) -> None:
    write_clip(tmp_path / "clip")
    write_open_clip(tmp_path / "open_clip")
    hub.add_model(CLIP, tmp_path / "clip", tag="v1")
    hub.add_model("owner/gated", tmp_path / "clip", gated=True)
    hub.add_model("owner/open_clip", tmp_path / "open_clip")
    code = f"""
        import json
        from clipbench import load_model
        def outcome(name, **options):
            try:
                return load_model(name, **options).id
            except Exception as error:
                return str(error)
        print(json.dumps([
            outcome("openai/clip-vit-base-patch23"),
            outcome("owner/gated"),
            outcome("{CLIP}", model_args=dict(revision="v2")),
            outcome("{CLIP}", model_args=dict(revision="v1")),
            outcome("open_clip:hf-hub:owner/open_clip"),
        ]))
    """
    unknown, gated, revision, *loaded = ask_python(code, hub.env(tmp_path / "home"))
    assert "there is no model openai/clip-vit-base-patch23" in unknown
    assert "access to owner/gated is restricted" in gated
    assert "no such revision" in revision
    assert loaded == [CLIP, "open_clip:hf-hub:owner/open_clip"]
