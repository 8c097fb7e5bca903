"""Proposals: only where the model sees the change, and the rest is equal."""

import numpy as np
import pytest
import torch
from PIL import Image

from clipbench.annotate.opening import open_set
from clipbench.annotate.options import AnnotateOptions
from clipbench.annotate.painters.base import Painted
from clipbench.annotate.propose import PROPOSER, Proposer
from clipbench.annotate.review import status
from clipbench.annotate.session import Session
from clipbench.annotate.store import Store
from clipbench.annotate.tools import find_tools
from clipbench.errors import ConfigError, DataError
from clipbench.models import load_model
from tests.annotate.builders import box_mask, make_set, repaint


class BoxSegmenter:
    name = "box"

    def details(self):
        return {"segmenter": self.name}

    def segment(self, image, prompt, source=None):
        if not prompt.startswith("cat number"):
            raise DataError(f"nothing is {prompt}")
        return box_mask(image)


class FlatPainter:
    """Fills the mask with ten times the seed; outside, it can be made to err."""

    name = "flat"

    def __init__(self, outside=False):
        self.outside = outside

    def details(self):
        return {"inpainter": self.name}

    def paint(self, request, on_step, cancelled):
        mask = ~request.mask if self.outside else request.mask
        return Painted(repaint(request.image, mask, 10 * request.seed), request.mask)


class SeesBrightness:
    """Sees one thing: a picture whose box has the gray ``bright`` is black cats', any other white cats'."""

    def __init__(self, bright):
        self.bright = bright

    def encode_image(self, images):
        grays = [np.asarray(image)[10, 15] for image in images]
        return torch.tensor([[0.0, 1.0] if (gray == self.bright).all() else [1.0, 0.0] for gray in grays])

    def encode_text(self, texts):
        return torch.tensor([[1.0, 0.0] if "white" in text else [0.0, 1.0] for text in texts])


@pytest.fixture
def store(tmp_path):
    with make_set(tmp_path) as opened:
        yield opened


def propose(store, limit=2, model=None, painter=None, **options):
    return Proposer(store, BoxSegmenter(), painter or FlatPainter(), model=model, **options).run(limit)


def test_a_proposal_is_a_finished_pair_that_nobody_has_reviewed(store):
    done = propose(store)
    assert (done.pairs, done.new, done.tried, done.failures) == (2, 2, 2, {})
    pairs = Session(store, PROPOSER).pairs()
    assert [status(pair) for pair in pairs] == ["unreviewed"] * 2
    for pair in pairs:
        assert pair.new_caption == pair.caption.replace("white", pair.replacement).replace("A orange", "An orange")
        before, after = (np.asarray(store.image(name)) for name in (pair.image, pair.choice.image))
        mask = store.mask(pair.choice.mask)
        assert np.array_equal(before[~mask], after[~mask])
        assert pair.mask_prompt == pair.caption[len("A white ") : -1]
        assert pair.prompt == pair.new_caption


def test_only_what_the_model_sees_is_kept_and_the_model_is_named(store):
    done = propose(store, model=load_model(SeesBrightness(20)))
    assert done.pairs == 2
    for pair in Session(store, PROPOSER).pairs():
        assert [candidate.seed for candidate in pair.candidates] == [2]  # of seeds 0, 1, 2
        assert pair.choice.details["selected_by"] == "in-memory:SeesBrightness"


def test_a_model_that_sees_nothing_keeps_nothing_and_photographs_stay_for_people(store):
    done = propose(store, model=load_model(SeesBrightness(99)))
    assert (done.pairs, done.tried) == (0, 4)
    assert done.failures == {"show no change that the model sees": 4}
    assert Session(store, "Anna").progress().left == 4


def test_a_painter_that_touches_the_rest_keeps_nothing(store):
    done = propose(store, painter=FlatPainter(outside=True))
    assert done.failures == {"could not be edited": 4}
    assert "pixels differ from the photograph outside of the mask" in done.example


def test_the_limit_is_of_the_set_and_a_second_run_goes_on(store):
    assert propose(store, 1).new == 1
    again = propose(store, 3)
    assert (again.pairs, again.new, again.tried) == (3, 2, 2)
    assert propose(store, 3).tried == 0
    assert propose(store, 9).pairs == 4


def test_a_killed_run_takes_up_what_it_left(tmp_path):
    class Killed(Exception):
        pass

    class Dies(FlatPainter):
        def paint(self, request, on_step, cancelled):
            raise Killed

    with make_set(tmp_path) as store, pytest.raises(Killed):
        propose(store, painter=Dies())
    with make_set(tmp_path) as store:
        assert propose(store, 4).pairs == 4
        assert len(Session(store, PROPOSER).pairs()) == 4


def test_people_are_not_given_what_was_proposed(store):
    propose(store, 3)
    anna = Session(store, "Anna")
    assert anna.progress().left == 1
    anna.skip(anna.next().id)
    assert anna.next() is None


@pytest.mark.parametrize("concept", ["color", "object", "size"])
def test_scenes_by_the_drawn_painter(tmp_path, concept):
    options = AnnotateOptions({"scenes": "12"}, concept, tmp_path / "set")
    segmenter, painter = find_tools(options)
    assert (segmenter.name, painter.name) == ("scenes", "drawn")
    with open_set(options) as store:
        done = Proposer(store, segmenter, painter).run(3)
        assert done.pairs == 3
        for pair in Session(store, PROPOSER).pairs():
            if pair.choice:
                assert pair.new_caption != pair.caption
                assert Image.open(store.image_path(pair.choice.image)).size == (128, 128)


def test_tools_that_cannot_do_it(tmp_path):
    (tmp_path / "material.yaml").write_text("name: material\nmutual: [wooden, metal]\n")
    with pytest.raises(ConfigError, match="material"):
        find_tools(AnnotateOptions({"scenes": "12"}, str(tmp_path / "material.yaml"), tmp_path / "set"))
    with pytest.raises(ConfigError, match="location"):
        find_tools(AnnotateOptions({"scenes": "12"}, "location", tmp_path / "set"))
    for given in ({"inpainter": "drawn"}, {"inpainter": "classic", "segmenter": "scenes"}):
        with pytest.raises(ConfigError, match="knows drawn scenes alone"):
            find_tools(AnnotateOptions({"coco": str(tmp_path)}, "color", tmp_path / "set", **given))
    assert not (tmp_path / "set").exists()
    with pytest.raises(ConfigError, match="no set"):
        Store(tmp_path / "set")
