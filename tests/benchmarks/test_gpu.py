"""The benchmark for a GPU, tiny and on the CPU: that it works. What it says is not looked at."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from benchmarks.figures import read_figures
from benchmarks.generated_coco import write_coco
from benchmarks.gpu import Forwards, finetune, table_7_hours
from clipbench.concepts import load_concept
from clipbench.models import load_model

SCRIPT = Path(__file__).parents[2] / "benchmarks/gpu.py"


def test_ranking_works_on_a_cpu(tmp_path):
    command = [sys.executable, str(SCRIPT), "--part", "ranking", "--tiny", "--json", str(tmp_path / "found.json")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = {figure.name: figure for figure in read_figures(tmp_path / "found.json")}
    assert all(figure.value > 0 for figure in found.values())
    assert found["clipbench ÷ bare forwards"].target == 1.2
    ratio = found["clipbench"].value / found["open_clip, padded to 77"].value
    assert found["clipbench ÷ open_clip, padded to 77"].value == pytest.approx(ratio)


def test_fine_tuning_compares_the_trainers_and_estimates_from_an_epoch(tmp_path, monkeypatch):
    """The trainers are replaced: it takes seven processes; `python -m benchmarks gpu --tiny` runs them."""
    jobs = []

    def child(script, job):
        jobs.append((script, job.negatives, job.steps))
        if script == "prepare":
            return {"pairs": 100.0}
        return {"seconds": {"clipbench_trainer": 0.1, "open_clip_trainer": 0.4}[script], "peak_memory": 5e9}

    monkeypatch.setattr("benchmarks.finetune.child", child)
    options = SimpleNamespace(tiny=True, captions=100, photographs=None, workers=1, rounds=3)
    found = {figure.name: figure for figure in finetune(options, tmp_path, "cpu")}
    assert found["one negative, clipbench"].value == pytest.approx(80)  # batches of 8, ten a second
    assert found["one negative, clipbench ÷ open_clip"].value == pytest.approx(4)
    assert found["one negative, clipbench ÷ open_clip"].target == 2
    assert found["one negative, peak memory, clipbench"].value == 5
    assert found["one negative, peak memory, clipbench"].target == 12
    assert found["Table 7, longest training, estimated"].value == pytest.approx(305_056 * 3 / 80 / 3600)
    epochs = [(script, negatives, steps) for script, negatives, steps in jobs if steps == 100 // 8 - 1]
    assert epochs == [("clipbench_trainer", negatives, 11) for negatives in range(4)]


def test_without_a_gpu_it_says_so_in_one_line():
    command = [sys.executable, str(SCRIPT), "--part", "ranking"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "CUDA_VISIBLE_DEVICES": ""})
    assert done.returncode == 1
    assert done.stderr.strip() == "There is no GPU; --tiny tries it on the CPU."


def test_hours_are_captions_by_epochs_over_the_rate_of_so_many_negatives():
    """Two hours of three epochs of the paper's 305,056 captions of objects are 127 captions a second."""
    hours = table_7_hours({0: 1e9, 1: 127.1, 2: 1e9, 3: 1e9})
    assert len(hours) == 12
    assert hours["object-hn1-seed0"] == pytest.approx(2, abs=0.01)
    assert sorted(name for name, value in hours.items() if value > 0.01) == [
        f"{concept}-hn1-seed0" for concept in ("color", "location", "object", "size")
    ]


def test_the_replay_runs_as_many_batches_of_the_same_sizes(tiny_clip):
    model = load_model(str(tiny_clip), device="cpu")
    texts = ["a cat on a mat", "a cat on a table", "a dog", "a very small dog on a chair near a window"]
    batches = [model.packed_text.pack(model.tokenize(some)) for some in (texts, texts[:1], texts, texts[2:])]
    forwards = Forwards(model)
    with torch.inference_mode(), forwards.recording():
        for count in (2, 3, 2):
            model.image_features(torch.zeros(count, 3, 32, 32))
        recorded = [model.packed_text.features(rows) for rows in batches]
    assert forwards.images == [2, 3, 2]
    assert len(forwards.rows) == 4

    seen = SimpleNamespace(images=[], texts=[])
    encode_images, encode_rows = model.image_features, model.packed_text.features
    model.image_features = lambda pixels: seen.images.append(len(pixels)) or encode_images(pixels)
    model.packed_text.features = lambda rows: seen.texts.append(encode_rows(rows)) or seen.texts[-1]
    assert forwards.replay() > 0
    assert seen.images == [2, 3, 2]
    assert [len(features) for features in seen.texts] == [len(features) for features in recorded]
    assert torch.equal(seen.texts[0], recorded[0])


@pytest.mark.parametrize("given", [False, True])
def test_made_up_captions_are_distinct_and_have_one_object_each(tmp_path, given):
    photographs = None
    if given:
        photographs = tmp_path / "photographs"
        photographs.mkdir()
        (photographs / "one.jpg").write_bytes(b"a photograph")
    folder = write_coco(tmp_path / "coco", 60, photographs)
    content = json.loads((folder / "annotations/captions_val2017.json").read_text())
    captions = [entry["caption"] for entry in content["annotations"]]
    concept = load_concept("object")
    assert len(set(captions)) == 300
    assert all(len(set(concept.variants(caption))) == 80 for caption in captions)
    files = sorted((folder / "val2017").iterdir())
    assert [path.name for path in files] == [entry["file_name"] for entry in content["images"]]
    assert (files[0].read_bytes() == b"a photograph") is given
