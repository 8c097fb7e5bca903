"""Flickr8k in its three forms, by hand-made files; and counts of keywords in the real ones, by a slow reference."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from datasets import Features, Image, Value

from clipbench.concepts import load_concept
from clipbench.data import Dataset, Source, open_source
from clipbench.data.location import parse_location
from clipbench.errors import DataError
from clipbench.evaluation.options import EvaluationOptions
from clipbench.evaluation.preparation import DataSources, prepare_tasks
from clipbench.task_types.registry import find_task, select_tasks
from clipbench.training.datasets import open_training_data
from tests.data.builders import cell, picture, write_table
from tests.reference.matching import first_keyword

MINE = Dataset("mine", None)
SPLITS = {"train": "0", "dev": "2", "test": "31"}
PHOTOGRAPHS = {
    "0.jpg": ("A red dog .", "Dogs , two of them , play .", "One dog", "A dog .", "A dog !"),
    "1.jpg": ('A sign says " blue dog " .', "A dog , a red one , sits .", '"Rex" the dog', "A dog", "A dog ."),
    "2.jpg": ("A white dog .", "A dog"),  # fewer than five
    "3.jpg": ("A black dog", "A dog , 2 .", "A dog , 3 .", "A dog , 4 .", "A dog , 5 .", "A green dog , 6 ."),
}


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())
    return path


def token_text(photographs: dict[str, tuple[str, ...]] = PHOTOGRAPHS) -> str:
    return "".join(f"{name}#{k}\t{text}\n" for name, texts in photographs.items() for k, text in enumerate(texts))


def kaggle_text() -> str:
    """Quoted where a comma or a quotation mark demands it, as pandas writes it."""

    def quoted(text: str) -> str:
        return '"' + text.replace('"', '""') + '"' if "," in text or '"' in text else text

    lines = [f"{name},{quoted(text)}" for name, texts in PHOTOGRAPHS.items() for text in texts]
    return "\n".join(["image,caption", *lines]) + "\n"


def write_images(folder: Path) -> None:
    for name in PHOTOGRAPHS:
        folder.mkdir(exist_ok=True, parents=True)
        (folder / name).write_bytes(picture())


def write_lists(folder: Path) -> None:
    for name, numbers in SPLITS.items():
        write(folder / f"Flickr_8k.{name}Images.txt", "".join(f"{n}.jpg\n" for n in numbers))


def write_parquet(folder: Path) -> None:
    """``jxie/flickr8k``: five columns of captions, of which some may be empty."""
    columns = [f"caption_{k}" for k in range(5)]
    features = Features({"image": Image(), **{name: Value("string") for name in columns}})
    for split, numbers in (("train", "0"), ("validation", "2"), ("test", "13")):
        rows = []
        for n in numbers:
            texts = (*PHOTOGRAPHS[f"{n}.jpg"], None, None, None)[:5]
            rows.append({"image": cell(picture()), **dict(zip(columns, texts, strict=True))})
        write_table(folder / f"data/{split}-00000-of-00001.parquet", features, rows)


def write_layout(layout: str, folder: Path) -> None:
    if layout == "parquet":
        return write_parquet(folder)
    write_images(folder / "Images")
    write_lists(folder)
    name, text = ("Flickr8k.token.txt", token_text()) if layout == "token" else ("captions.txt", kaggle_text())
    write(folder / name, text)
    return None


def captions(source: Source) -> list[tuple[str, ...]]:
    return [row.captions for row in source.rows()]


def opened(place: Path, query: str = "") -> Source:
    return open_source(*parse_location(MINE, f"{place}{query}"))


@pytest.mark.parametrize("layout", ["token", "kaggle", "parquet"])
def test_one_place_serves_both_splits_and_training(tmp_path: Path, layout: str) -> None:
    write_layout(layout, tmp_path)
    data = {"flickr8k": str(tmp_path)}
    tasks = select_tasks("flickr8k_retrieval,flickr8k_dev_retrieval")
    test, dev = map(DataSources(tasks, EvaluationOptions(data=data)).source_for, tasks)
    most = 5 if layout == "parquet" else 6
    assert captions(test) == [PHOTOGRAPHS["1.jpg"], PHOTOGRAPHS["3.jpg"][:most]]
    assert captions(dev) == [PHOTOGRAPHS["2.jpg"]]
    assert captions(open_training_data("flickr8k", data)) == [PHOTOGRAPHS["0.jpg"]]
    assert captions(open_training_data(str(tmp_path))) == [PHOTOGRAPHS["0.jpg"]]
    assert len({source.provenance.fingerprint for source in (test, dev)}) == 2


@pytest.mark.parametrize("layout", ["token", "kaggle", "parquet"])
def test_samples_of_the_tasks(tmp_path: Path, layout: str) -> None:
    """By hand: blue and red in 1.jpg; black and, sixth of six captions, green in 3.jpg; white in 2.jpg."""
    write_layout(layout, tmp_path)
    options = EvaluationOptions(data={"flickr8k": str(tmp_path)}, allow_missing=True)
    prepared = prepare_tasks("flickr8k_color,flickr8k_dev_color,flickr8k_dev_retrieval", options)
    assert [one.error for one in prepared] == [None] * 3
    keywords = [[sample.group for sample in one.task.samples(one.source)] for one in prepared[:2]]
    assert keywords == [["blue", "red", "black"] + ["green"] * (layout != "parquet"), ["white"]]
    assert "1 sample where 1,000 are expected" in prepared[2].report.failures


def test_a_copy_without_the_split_is_not_taken_for_another(tmp_path: Path) -> None:
    """Of a hub repository, a single split is not used under another name."""
    write_parquet(tmp_path)
    for split in ("train", "validation"):
        (tmp_path / f"data/{split}-00000-of-00001.parquet").unlink()
    with pytest.raises(DataError, match="no split 'train'; the splits are: test"):
        open_training_data("flickr8k", {"flickr8k": str(tmp_path)})
    with pytest.raises(DataError, match="no split 'validation'; the splits are: test"):
        open_source(find_task("flickr8k_dev_color").dataset, str(tmp_path))


@pytest.mark.parametrize("folder", [".", "Flickr8k_text"])
@pytest.mark.parametrize(
    ("split", "images"),
    [("", "13"), ("test", "13"), ("train", "0"), ("val", "2"), ("dev", "2"), ("validation", "2"), ("dev+train", "02"),
     ("all", "0123")],
)  # fmt: skip
def test_as_published(tmp_path: Path, folder: str, split: str, images: str) -> None:
    write(tmp_path / folder / "Flickr8k.token.txt", token_text())
    write_lists(tmp_path / folder)
    write_images(tmp_path / "Flicker8k_Dataset")
    source = opened(tmp_path, f"?split={split}" if split else "")
    assert [(row.id, row.images[0].missing) for row in source.rows()] == [(f"{n}.jpg", False) for n in images]
    assert source.provenance.details["n_images"] == str(len(images))
    note = source.provenance.details["problem"]
    expected = "every image is used (4 in all)" if split == "all" else f": {len(images)} image"
    assert expected in note
    assert note.endswith({"": "1,000", "dev+train": "7,000", "train": "6,000", "all": "test split"}.get(split, "1,000"))


@pytest.mark.parametrize("file", ["Flickr8k.token.txt", "captions.txt"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_byte_order_marks_and_line_ends(tmp_path: Path, file: str, mark: str, end: str) -> None:
    text = token_text() if file == "Flickr8k.token.txt" else kaggle_text()
    write(tmp_path / file, mark + text.replace("\n", end))
    write(tmp_path / "Flickr_8k.testImages.txt", f"{mark}3.jpg{end}{end}1.jpg  {end}")
    assert captions(opened(tmp_path)) == [PHOTOGRAPHS["1.jpg"], PHOTOGRAPHS["3.jpg"]]


def test_kaggles_captions_and_missing_photographs(tmp_path: Path) -> None:
    write(tmp_path / "captions.txt", kaggle_text())
    write_images(tmp_path / "Images")
    (tmp_path / "Images/2.jpg").unlink()
    for place in (tmp_path, tmp_path / "captions.txt"):
        source = opened(place)
        assert {row.id: row.captions for row in source.rows()} == PHOTOGRAPHS
        assert [row.id for row in source.rows() if row.images[0].missing] == ["2.jpg"]
        assert "every image is used (4 in all)" in source.provenance.details["problem"]


@pytest.mark.parametrize("file", ["Flickr8k.token.txt", "captions.txt"])
def test_a_split_that_nothing_lists_is_refused(tmp_path: Path, file: str) -> None:
    """Every image would be scored, or trained on, those of the test split among them."""
    write(tmp_path / file, token_text() if file == "Flickr8k.token.txt" else kaggle_text())
    write_images(tmp_path / "Images")
    place, refused = (
        str(tmp_path),
        r"{0}: nothing says which images are the {1} split: put Flickr_8k\.{1}Images\.txt",
    )
    for task, split in (("flickr8k_color", "test"), ("flickr8k_dev_color", "dev")):
        with pytest.raises(DataError, match=refused.format(file, split)):
            open_source(find_task(task).dataset, place)
    for name, places in (("flickr8k", {"flickr8k": place}), (place, {})):
        with pytest.raises(DataError, match=refused.format(file, "train") + ".*split=all"):
            open_training_data(name, places)
    assert len(captions(open_training_data("flickr8k", {"flickr8k": f"{place}?split=all"}))) == 4


def test_karpathys_file_gives_the_splits_too(tmp_path: Path) -> None:
    """Beside Kaggle's captions it says which images to use; alone, it also holds the captions."""
    images = [
        {"filename": f"{n}.jpg", "split": "val" if split == "dev" else split, "sentences": [{"raw": f"Karpathy's {n}"}]}
        for split, numbers in SPLITS.items()
        for n in numbers
    ]
    write(tmp_path / "dataset_flickr8k.json", json.dumps({"images": images}))
    write_images(tmp_path / "Images")
    data = {"flickr8k": str(tmp_path)}
    dev, test = (find_task(name).dataset for name in ("flickr8k_dev_color", "flickr8k_color"))
    assert captions(open_source(dev, str(tmp_path))) == [("Karpathy's 2",)]
    write(tmp_path / "captions.txt", kaggle_text())
    found = [open_source(dev, str(tmp_path)), open_source(test, str(tmp_path)), open_training_data("flickr8k", data)]
    assert [[row.id for row in source.rows()] for source in found] == [["2.jpg"], ["1.jpg", "3.jpg"], ["0.jpg"]]
    assert captions(found[0]) == [PHOTOGRAPHS["2.jpg"]]
    assert len({source.provenance.fingerprint for source in found}) == 3


def test_the_published_entry_without_a_photograph(tmp_path: Path) -> None:
    odd = "2258277193_586949ec62.jpg.1"
    write(tmp_path / "Flickr8k.token.txt", token_text({**PHOTOGRAPHS, odd: ("A dog .",) * 5}))
    write_images(tmp_path / "Images")
    source = opened(tmp_path)
    assert [row.id for row in source.rows()] == list(PHOTOGRAPHS)
    assert source.provenance.details["problem"].endswith(f"{odd} is left out: there is no such photograph")
    write(tmp_path / "Images" / odd, "here it is")
    assert odd in [row.id for row in opened(tmp_path).rows()]


def test_a_split_file_that_names_images_without_captions(tmp_path: Path) -> None:
    write_layout("token", tmp_path)
    write(tmp_path / "Flickr_8k.testImages.txt", "8.jpg\n1.jpg\n9.jpg\n")
    source = opened(tmp_path)
    assert captions(source) == [PHOTOGRAPHS["1.jpg"]]
    gap = "2 images of Flickr_8k.testImages.txt without captions in Flickr8k.token.txt (8.jpg, 9.jpg)"
    assert source.provenance.details["gap"] == gap
    (prepared,) = prepare_tasks("flickr8k_color", EvaluationOptions(data={"flickr8k": str(tmp_path)}))
    assert gap in prepared.error
    write(tmp_path / "Flickr_8k.testImages.txt", "9.jpg\n")
    with pytest.raises(DataError, match="has captions of none of the test images that Flickr_8k.testImages.txt names"):
        opened(tmp_path)


def test_broken_files(tmp_path: Path) -> None:
    write(tmp_path / "captions.txt", "image,caption\n1.jpg A dog\n")
    with pytest.raises(DataError, match=r"captions\.txt, line 2: expected an image and its caption, found '1\.jpg A d"):
        opened(tmp_path)
    write(tmp_path / "Flickr8k.token.txt", "1.jpg#0 A dog .\n")
    with pytest.raises(DataError, match=r"token\.txt, line 1: expected NAME\.jpg#k<TAB>caption, found '1\.jpg#0 A dog"):
        opened(tmp_path)
    write(tmp_path / "Flickr8k.token.txt", token_text())
    with pytest.raises(DataError, match="no split 'tset'; the splits are: train, dev, test, all"):
        opened(tmp_path, "?split=tset")


@pytest.mark.parametrize("concept", ["object", "color", "location", "size"])
def test_counts_in_the_real_files(coco_folder: Path, concept: str) -> None:
    folder = coco_folder.parent / "flickr8k"
    if not folder.is_dir():
        pytest.skip(f"Flickr8k is not in {folder}")
    keywords = list(load_concept(concept).replacements)
    lines = (line.split("\t") for line in (folder / "Flickr8k.token.txt").read_text(encoding="utf-8").splitlines())
    found = Counter(name.partition("#")[0] for name, text in lines if first_keyword(text, keywords))
    for prefix, split in (("flickr8k", "test"), ("flickr8k_dev", "dev")):
        task = find_task(f"{prefix}_{concept}")
        listed = (folder / f"Flickr_8k.{split}Images.txt").read_text().split()
        n = len(list(task.samples(open_source(task.dataset, str(folder)))))
        assert n == sum(found[name] for name in listed)
        if len(listed) == 1_000:
            assert task.expected_n in (n, None)
