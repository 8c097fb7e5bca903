"""Captions without hard negatives in each batch: how many, which, and what the loss sees of them."""

import json
from collections import Counter

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from clipbench.concepts import load_concept
from clipbench.errors import ConfigError, DataError
from clipbench.training.datasets import open_training_data
from clipbench.training.events import StepLog
from clipbench.training.mixing import data_fingerprint
from clipbench.training.recipe import Recipe
from tests.training.table import COLORS, write_table

COLORED = [f"a {COLORS[n % 9]} cat number {n}" for n in range(24)]
PLAIN = [f"a cat of no color number {n}" for n in range(20)]
OTHER = [f"a picture, maybe {COLORS[n % 9]}, number {n}" for n in range(15)]


@pytest.fixture(scope="module")
def mixed_table(tmp_path_factory):
    """Captions with a color and without one take turns."""
    captions = [caption for pair in zip(COLORED, [*PLAIN, *[""] * 4], strict=True) for caption in pair if caption]
    return write_table(tmp_path_factory.mktemp("mixed"), captions=captions)


@pytest.fixture(scope="module")
def other_table(tmp_path_factory):
    return write_table(tmp_path_factory.mktemp("other"), captions=OTHER)


def captions_of(run, step):
    """The captions of a batch, in its order."""
    pairs, batches = run.setup.pairs, run.setup.batches
    by_id = dict(zip(pairs.ids, pairs.captions, strict=True))
    return [by_id[name] for name in batches.make(step).ids]


def kinds(captions):
    known = {**dict.fromkeys(COLORED, "own"), **dict.fromkeys(PLAIN, "general"), **dict.fromkeys(OTHER, "other")}
    return Counter(known[caption] for caption in captions)


def test_every_batch_has_exactly_its_share_of_each_part(start, tmp_path, mixed_table, other_table):
    run = start(tmp_path, data=mixed_table, batch_size=8, mix={"general": 0.5, str(other_table): 0.2}, epochs=3)
    assert run.steps == 3 * (24 // 2)  # two of a batch have a color: 8 - 4 - round(1.6)
    for step in range(run.steps):
        assert kinds(captions_of(run, step)) == {"own": 2, "general": 4, "other": 2}


def test_each_part_has_epochs_of_its_own(start, tmp_path, mixed_table, other_table):
    """20 captions at 4 a batch make 5 batches, 15 at 2 make 7, with one left over, and 24 with a color at 2 make 12."""
    run = start(tmp_path, data=mixed_table, batch_size=8, mix={"general": 0.5, str(other_table): 0.25}, epochs=3)
    batches = [captions_of(run, step) for step in range(run.steps)]
    for known, count, steps in ((PLAIN, 4, 5), (OTHER, 2, 7), (COLORED, 2, 12)):
        of_steps = [[caption for caption in batch if caption in set(known)] for batch in batches]
        starts = range(0, run.steps - steps + 1, steps)
        epochs = [[text for step in of_steps[first : first + steps] for text in step] for first in starts]
        assert all(len(set(epoch)) == count * steps for epoch in epochs)
        assert epochs[0] != epochs[1]


def test_which_captions_come_when_depends_on_nothing_but_the_seed(start, tmp_path, mixed_table):
    fields = {"data": mixed_table, "batch_size": 8, "mix": {"general": 0.5}}
    one, other, seeded = (start(tmp_path / str(n), seed=seed, **fields) for n, seed in enumerate((0, 0, 1)))
    later = [captions_of(other, step) for step in (5, 2)]  # in another order, after a stop
    assert [captions_of(one, step) for step in (2, 5)] == later[::-1]
    assert captions_of(one, 0) != captions_of(seeded, 0)


def test_captions_with_a_keyword_are_given_what_they_are_given_without_a_mix(start, tmp_path, mixed_table):
    """A mix adds to the batches: order, replacements and positions of the others stay."""
    plain = start(tmp_path / "plain", data=mixed_table, batch_size=8, negatives=2)
    mixed = start(tmp_path / "mixed", data=mixed_table, batch_size=16, negatives=2, mix={"general": 0.5})
    for step in range(3):
        own = [caption for caption in captions_of(mixed, step) if caption in set(COLORED)]
        assert own == captions_of(plain, step)
        assert negative_texts(mixed, step) == negative_texts(plain, step)


def negative_texts(run, step):
    """The token ids of the hard negatives of the captions that have two, in the order of the batch."""
    batch = run.setup.batches.make(step)
    (part,) = batch.parts
    ids, seen = (part.tokens.inputs[name][part.pairs :] for name in ("input_ids", "attention_mask"))
    texts = [row[mask.bool()].tolist() for row, mask in zip(ids, seen, strict=True)]  # without the padding
    return [texts[2 * row : 2 * row + 2] for row, valid in enumerate(batch.valid) if valid.all()]


def test_captions_of_the_mix_have_no_hard_negatives(start, tmp_path, mixed_table):
    run = start(tmp_path, data=mixed_table, batch_size=8, mix={"general": 0.5}, negatives=2)
    batch = run.setup.batches.make(1)
    assert [bool(valid.any()) for valid in batch.valid] == [name in run_ids(run, COLORED) for name in batch.ids]
    assert [bool(valid.all()) for valid in batch.valid] == [bool(valid.any()) for valid in batch.valid]


def run_ids(run, captions):
    return {name for name, text in zip(run.setup.pairs.ids, run.setup.pairs.captions, strict=True) if text in captions}


@pytest.mark.parametrize("loss", ["inbatch_replacement", "negclip", "svlc"])
def test_the_loss_is_that_of_the_whole_batch_with_the_negatives_of_some(start, tmp_path, mixed_table, loss):
    """By hand in float64, pair by pair: a caption of the mix competes with all captions, and brings no negative."""
    run = start(tmp_path, data=mixed_table, batch_size=8, mix={"general": 0.5}, negatives=1, loss=loss)
    batch = run.setup.batches.make(0)
    expected = loss_by_hand(run, batch, loss)
    found = next(event for event in run.run() if isinstance(event, StepLog)).loss
    assert found == pytest.approx(expected, rel=1e-5)


@torch.no_grad()
def loss_by_hand(run, batch, loss):
    model, (part,) = run.setup.model, batch.parts
    images = unit(model.image_features(part.pixels))
    texts = unit(model.text_features(part.tokens))
    scale, count = float(model.logit_scale), part.pairs
    own, hard = texts[:count], texts[count:]
    has = [name in run_ids(run, COLORED) for name in batch.ids]
    assert sum(has) == 4
    clean = scale * images @ own.T
    rows = []
    for i in range(count):
        row = list(clean[i])
        if loss == "inbatch_replacement" and has[i]:
            row[int(batch.negative_positions[i, 0])] = scale * images[i] @ hard[i]
        if loss == "negclip":
            row += [scale * images[i] @ hard[j] for j in range(count) if has[j]]
        rows.append(row)
    columns = [[rows[j][i] for j in range(count)] for i in range(count)]
    whole = np.mean([cross_entropy(row, i) for i, row in enumerate(rows)])
    whole = (whole + np.mean([cross_entropy(column, i) for i, column in enumerate(columns)])) / 2
    if loss == "svlc":
        whole += np.mean([cross_entropy([clean[i, i], scale * images[i] @ hard[i]], 0) for i in range(count) if has[i]])
    return whole


def unit(features):
    rows = features.double().numpy()
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def cross_entropy(logits, right):
    logits = np.array(logits)
    return np.log(np.exp(logits - logits.max()).sum()) + logits.max() - logits[right]


@pytest.mark.parametrize("fields", [{}, {"freeze": ("image",)}, {"captions_per_image": "one"}], ids=str)
def test_stopped_and_started_again_it_ends_with_the_same_weights(start, tmp_path, mixed_table, fields):
    fields = {"data": mixed_table, "mix": {"general": 0.25}, "checkpoint_every": 0.5, "ema": 0.5, **fields}
    list(start(tmp_path / "whole", **fields).run())
    for event in start(tmp_path / "parts", **fields).run():
        if isinstance(event, StepLog) and event.step == 3:
            break
    list(start(tmp_path / "parts", **fields).run())
    whole, parts = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "parts"))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_each_process_has_its_share_of_the_mix(start, tmp_path, mixed_table):
    run = start(tmp_path, data=mixed_table, batch_size=16, mix={"general": 0.5})
    captions = captions_of(run, 0)
    assert all(kinds(captions[half : half + 8]) == {"own": 4, "general": 4} for half in (0, 8))


def test_images_are_one_within_a_data_set_and_not_across(start, tmp_path, mixed_table, other_table):
    """Both tables have a picture called 0.png, which are two pictures."""
    run = start(tmp_path, data=mixed_table, batch_size=8, mix={str(mixed_table): 0.25, str(other_table): 0.25})
    pairs = run.setup.pairs
    assert len(pairs.images) == 44 + 15
    for caption, image in zip(pairs.captions, pairs.image_of, strict=True):
        place = [n for n, text in enumerate(OTHER) if text == caption]
        if place:
            assert pairs.images[image].path == other_table.parent / f"{place[0]}.png"
    twice = [n for n, text in enumerate(pairs.captions) if text == COLORED[5]]
    assert len({int(pairs.image_of[n]) for n in twice}) == 1


def test_the_record_says_what_was_mixed_in_and_another_mix_is_another_run(start, tmp_path, mixed_table):
    run = start(tmp_path, data=mixed_table, mix={"general": 0.5}, max_steps=1)
    list(run.run())
    facts = json.loads((tmp_path / "finetune.json").read_text())
    assert (facts["recipe"]["mix"], facts["data"]["pairs"]) == ({"general": 0.5}, 24)
    assert facts["data"]["mixed"]["general"]["pairs"] == 20
    assert "| mix.general | 0.5 |" in (tmp_path / "README.md").read_text()
    start(tmp_path, data=mixed_table, mix={"general": 0.5}, max_steps=1)
    with pytest.raises(ConfigError, match="another recipe: mix is"):
        start(tmp_path, data=mixed_table, max_steps=1)


def test_the_fingerprint_of_the_data_is_its_own_unless_other_data_is_mixed_in(mixed_table, other_table):
    own, other = (open_training_data(str(table)).provenance.fingerprint for table in (mixed_table, other_table))
    assert data_fingerprint(str(mixed_table), {}, {}) == own
    assert data_fingerprint(str(mixed_table), {"general": 0.5}, {}) == own
    assert data_fingerprint(str(mixed_table), {str(other_table): 0.5}, {}) not in (own, other)


def test_limit_holds_for_each_part(start, tmp_path, mixed_table):
    run = start(tmp_path, data=mixed_table, mix={"general": 0.5}, limit=10)
    assert [len(run.setup.pairs.rows_of(pool)) for pool in (0, 1)] == [10, 10]
    assert run.setup.pairs.captions == COLORED[:10] + PLAIN[:10]


def test_broken_images_of_a_part_are_left_out(start, tmp_path):
    table = write_table(tmp_path / "t", captions=[*COLORED, *PLAIN])
    (tmp_path / "t" / "30.png").write_bytes(b"no picture")
    (tmp_path / "t" / "3.png").write_bytes(b"no picture")
    run = start(tmp_path / "run", data=table, mix={"general": 0.5}, allow_missing=True)
    pairs = run.setup.pairs
    assert ([len(pairs.rows_of(pool)) for pool in (0, 1)], pairs.left_out) == ([23, 19], 2)
    assert pairs.negatives.texts(np.array([0, 23]), pairs.negatives.draw(0, 0).picks[[0, 23]])[0][1] == PLAIN[0]
    assert len(list(run.run())) > 0


@pytest.mark.parametrize(
    ("mix", "fields", "message"),
    [
        ({"general": 0}, {}, "`mix` general=0: give a data set's name and a share between 0 and 1"),
        ({"general": 1}, {}, "a share between 0 and 1"),
        ({"general": float("nan")}, {}, "a share between 0 and 1"),
        ({"general": "half"}, {}, "a share between 0 and 1"),
        ({"general": 0.05}, {"batch_size": 8}, "`mix` general=0.05: less than one pair of a batch of 8"),
        ({"a": 0.5, "b": 0.5}, {}, "`mix` a=0.5, b=0.5: nothing of a batch of 64 is left for train_data"),
    ],
)  # fmt: skip
def test_a_mix_that_makes_no_sense_is_refused(mix, fields, message):
    with pytest.raises(ConfigError, match=message):
        Recipe(("color",), mix=mix, **fields)


def test_a_part_without_enough_captions_is_named(start, tmp_path, table, mixed_table):
    with pytest.raises(DataError, match=r"every caption contains a keyword"):
        start(tmp_path / "a", data=table, mix={"general": 0.5})
    with pytest.raises(DataError, match=r"`mix` general: 20 captions, fewer than the 24 of a batch"):
        start(tmp_path / "b", data=mixed_table, mix={"general": 0.5}, batch_size=48)
    with pytest.raises(ConfigError, match="no such file or data set"):
        start(tmp_path / "c", data=mixed_table, mix={"generall": 0.5})


def test_without_a_concept_another_data_set_can_be_mixed_in(start, tmp_path, table, other_table):
    run = start(tmp_path, data=table, concepts=("none",), mix={str(other_table): 0.25}, max_steps=1)
    assert run.steps == 1
    assert kinds([text for text in captions_of(run, 0) if text in OTHER]) == {"other": 2}
    event = next(iter(run.run()))
    assert set(event.accuracies) == {"i2t_acc", "t2i_acc"}


def test_general_captions_have_no_keyword_of_any_concept(start, tmp_path):
    table = write_table(tmp_path / "t", captions=[*COLORED, "a dog on the left", *PLAIN])
    run = start(tmp_path / "run", data=table, concepts=("color", "location"), mix={"general": 0.5})
    pairs, concepts = run.setup.pairs, [load_concept(name) for name in ("color", "location")]
    general = [pairs.captions[row] for row in pairs.rows_of(1)]
    assert general == PLAIN
    assert not any(concept.matches(text) for text in general for concept in concepts)
