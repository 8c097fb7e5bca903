from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from clipbench.concepts import load_concept
from clipbench.data import Provenance
from clipbench.errors import ConfigError, DataError
from clipbench.models import Tokens
from clipbench.training.batches import Batches, ProcessShard
from clipbench.training.negatives.keywords import ExchangedKeywords
from clipbench.training.pairs import TrainingPairs
from clipbench.training.recipe import Recipe
from clipbench.types import ImageRef

COLORS = ("blue", "red", "green", "yellow", "black", "white", "brown", "gray", "orange")


class Letters:
    """A model that reads letters."""

    packed_text = None

    def tokenize(self, texts):
        codes = torch.zeros(len(texts), 40, dtype=torch.int64)
        for row, text in zip(codes, texts, strict=True):
            row[: len(text)] = torch.tensor([ord(letter) for letter in text])
        return Tokens({"input_ids": codes}, (False,) * len(texts))


def batches(image_of, negative_images=None, content_of=None, share=None, **fields):
    """Batches whose pixels are the numbers of the images."""
    color, count = load_concept("color"), max(image_of) + 4
    captions = [f"a {COLORS[row % 9]} cat {row}" for row in range(len(image_of))]
    recipe = Recipe(("color",), **fields)
    pairs = TrainingPairs(
        [ImageRef(str(number), lambda: None) for number in range(count)],
        np.array(image_of),
        captions,
        [str(row) for row in range(len(image_of))],
        Provenance("csv", "here", None, "abc"),
        ExchangedKeywords([(color.variants(caption),) for caption in captions], recipe.negatives),
        negative_images=None if negative_images is None else np.array(negative_images),
        content_of=None if content_of is None else np.array(content_of),
    )
    images = SimpleNamespace(batch=lambda numbers: torch.from_numpy(numbers).float()[:, None])
    return Batches(Letters(), pairs, images, recipe, share or ProcessShard())


def rows_of(batch):
    return [int(name) for name in batch.ids]


def test_pairs_of_one_image_are_marked_where_they_are_masked():
    image_of = [0, 0, 1, 2, 1, 3]
    batch = batches(image_of, batch_size=6).make(0)
    rows = rows_of(batch)
    assert batch.same_image.tolist() == [[image_of[i] == image_of[j] for j in rows] for i in rows]
    assert batches(image_of, batch_size=6, same_image="keep").make(0).same_image is None


def test_images_of_equal_content_are_one():
    batch = batches([0, 1, 2, 3], content_of=[0, 0, 2, 3, 4, 5, 6], batch_size=4).make(0)
    rows = rows_of(batch)
    assert batch.same_image.sum() == 4 + 2
    assert batch.same_image[rows.index(0), rows.index(1)]


def test_negative_images_are_further_pixels_each_beside_its_pairs():
    negative_images = [[1, 4], [2, -1], [0, 5], [2, 4]]
    batch = batches([0, 1, 2, 2], negative_images, batch_size=4).make(0)
    rows, (part,) = rows_of(batch), batch.parts
    numbers = part.pixels[:, 0].int().tolist()
    image_of = [[0, 1, 2, 2][row] for row in rows]
    assert numbers[:4] == image_of
    expected = [
        number if number >= 0 else own
        for row, own in zip(rows, image_of, strict=True)
        for number in negative_images[row]
    ]
    assert numbers[4:] == expected
    # What is absent, or the pair's own image, is none; another pair's own image is none for that pair.
    found = batch.negative_images
    assert found.valid.tolist() == [
        [n not in (-1, own) for n in negative_images[r]] for r, own in zip(rows, image_of, strict=True)
    ]
    for place, row in enumerate(rows):
        for m, number in enumerate(negative_images[row]):
            if number >= 0:
                assert found.same_image[place, m].tolist() == [number == own for own in image_of]
    for place, positions in enumerate(found.positions.tolist()):
        assert len({*positions, place}) == 3
        assert max(positions) < 4
    assert (
        batches([0, 1, 2, 2], negative_images, batch_size=4, same_image="keep").make(0).negative_images.same_image
        is None
    )


def test_processes_and_parts_share_out_what_one_process_sees():
    image_of, negative_images = [0, 0, 1, 2, 3, 3, 4, 5], [[n % 6, (n + 2) % 6] for n in range(8)]
    one = batches(image_of, negative_images, batch_size=8, negatives=2).make(0)
    shares = [
        batches(image_of, negative_images, batch_size=8, negatives=2, share=ProcessShard(process, 2, 3)).make(0)
        for process in (0, 1)
    ]
    parts = [part for share in shares for part in share.parts]
    assert [part.pairs for part in parts] == [3, 1, 3, 1]
    (whole,) = one.parts
    assert torch.cat([part.pixels[: part.pairs] for part in parts]).equal(whole.pixels[:8])
    assert torch.cat([part.pixels[part.pairs :] for part in parts]).equal(whole.pixels[8:])
    assert torch.cat([share.valid for share in shares]).equal(one.valid)
    for share in shares:
        assert share.same_image.equal(one.same_image)
        assert share.negative_positions.equal(one.negative_positions)
        assert share.negative_images.positions.equal(one.negative_images.positions)
        assert share.negative_images.same_image.equal(one.negative_images.same_image)


def test_an_epoch_has_one_caption_of_each_image_drawn_for_each_epoch():
    image_of = [0, 2, 0, 1, 2, 2, 3, 1]
    made = batches(image_of, batch_size=2, captions_per_image="one", epochs=300)
    assert made.steps_per_epoch == 2
    drawn = [rows_of(made.make(step)) for step in range(made.steps)]
    epochs = [drawn[start] + drawn[start + 1] for start in range(0, len(drawn), 2)]
    assert all(sorted(image_of[row] for row in rows) == [0, 1, 2, 3] for rows in epochs)
    for row, share in enumerate([1 / 2, 1 / 3, 1 / 2, 1 / 2, 1 / 3, 1 / 3, 1, 1 / 2]):
        found = sum(row in rows for rows in epochs) / 300
        assert abs(found - share) <= 4 * (share * (1 - share) / 300) ** 0.5, row
    again = batches(image_of, batch_size=2, captions_per_image="one", epochs=300)
    assert rows_of(again.make(333)) == drawn[333]  # of the seed, the epoch and the image alone
    assert len({tuple(sorted(rows)) for rows in epochs}) > 10


def test_one_caption_an_image_needs_a_batch_of_images():
    with pytest.raises(DataError, match="2 images with a keyword, fewer than a batch of 4"):
        batches([0, 0, 1, 1], batch_size=4, captions_per_image="one")


def test_negative_images_need_room_in_the_batch_if_they_replace_others():
    with pytest.raises(ConfigError, match="batch_size 2: 2 negative images"):
        batches([0, 1, 2], [[1, 2], [2, 0], [0, 1]], batch_size=2)
    batches([0, 1, 2], [[1, 2], [2, 0], [0, 1]], batch_size=2, loss="negclip").make(0)


def test_weights_of_an_epochs_draw_go_with_their_pairs(monkeypatch):
    weights = np.array([0.5, 1.5, 0.25, 1.75])
    drawn = ExchangedKeywords.draw
    monkeypatch.setattr(ExchangedKeywords, "draw", lambda *given: replace(drawn(*given), weights=weights))
    batch = batches([0, 1, 2, 3], batch_size=4).make(0)
    assert batch.weights.tolist() == weights[rows_of(batch)].tolist()
    assert batches([0, 1, 2, 3], batch_size=4, negatives=0).make(0).weights is None
