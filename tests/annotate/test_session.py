"""The workflow: step by step, back and forth, by several people, and through kills."""

import multiprocessing
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clipbench.annotate.records import DONE, SKIPPED, STEPS
from clipbench.annotate.session import Session
from clipbench.annotate.store import Store
from clipbench.errors import ConfigError, DataError, ResultError
from tests.annotate.builders import FREE, box_mask, finish, make_set, repaint, to_candidates, write_photographs

ROOT = Path(__file__).parents[2]


@pytest.fixture
def store(tmp_path):
    with make_set(tmp_path) as opened:
        yield opened


def test_a_pair_from_start_to_end(store):
    session = Session(store, "Anna")
    pair = session.next()
    assert pair.step == "photograph"
    assert pair.photograph.captions == tuple(c for c in pair.photograph.details["captions"] if "white" in c)
    done = finish(session)
    assert done.id == pair.id
    assert done.step == DONE
    assert done.new_caption == pair.photograph.captions[0].replace("white", "black")
    assert (done.rating, done.keyword, done.replacement, done.choice.seed) == ("very good", "white", "black", 1)
    before, after, mask = store.image(done.image), store.image(done.choice.image), store.mask(done.choice.mask)
    assert np.array_equal(np.asarray(before)[~mask], np.asarray(after)[~mask])
    assert session.next().id != pair.id


def test_the_file_of_a_photograph_is_kept_as_it_is(store, tmp_path):
    pair = Session(store, "Anna").next()
    original = (tmp_path / "coco" / "val2017" / f"{int(pair.photograph.id):012d}.jpg").read_bytes()
    assert store.image_path(pair.image).read_bytes() == original


@pytest.mark.parametrize("step", STEPS)
def test_going_back_to_any_step_and_on_again(store, step):
    session = Session(store, "Anna")
    done = finish(session)
    pair = session.go_back(done.id, step)
    assert pair.step == step
    assert (pair.caption, pair.mask, pair.chosen, pair.new_caption) == (
        done.caption, done.mask, done.chosen, done.new_caption,
    )  # fmt: skip
    assert session.next().id == done.id
    again = {
        "photograph": lambda: session.use(done.id, done.caption),
        "mask_prompt": lambda: session.set_mask_prompt(done.id, "white cat"),
        "mask": lambda: session.save_mask(done.id, ~store.mask(done.mask)),
        "inpaint_prompt": lambda: session.set_inpaint_prompt(done.id, "a red cat", "red"),
        "candidates": lambda: session.choose(done.id, done.candidates[0].id),
        "rating": lambda: session.rate(done.id, "okay"),
        "caption": lambda: session.set_caption(done.id, "A black cat."),
    }
    for name in STEPS[STEPS.index(step) :]:
        assert session.pair(done.id).step == name
        again[name]()
    after = session.pair(done.id)
    assert after.step == DONE
    assert after.new_caption == "A black cat."
    assert after.choice.mask == done.mask  # a candidate keeps the mask it was painted in


def test_a_step_that_was_not_reached_and_one_out_of_order_are_refused(store):
    session = Session(store, "Anna")
    pair = session.next()
    for step in STEPS[1:]:
        with pytest.raises(ConfigError, match="not reached"):
            session.go_back(pair.id, step)
    with pytest.raises(ConfigError, match="next step is 'photograph'"):
        session.rate(pair.id, "okay")
    with pytest.raises(ConfigError, match="none of this photograph's captions"):
        session.use(pair.id, "A white elephant.")
    with pytest.raises(ConfigError, match="none of this number"):
        session.skip(99)


def test_a_skipped_photograph_comes_back_only_by_going_back(store):
    session = Session(store, "Anna")
    pair = session.next()
    assert session.skip(pair.id).step == SKIPPED
    assert session.next().id != pair.id
    assert session.go_back(pair.id, "photograph").step == "photograph"


def test_another_annotators_pair_is_read_only(store):
    pair = Session(store, "Anna").next()
    bert = Session(store, "Bert")
    assert bert.pair(pair.id).annotator == "Anna"
    with pytest.raises(ConfigError, match="Anna's"):
        bert.use(pair.id)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.zeros((30, 40), bool), "empty"),
        (np.ones((30, 40), bool), "whole photograph"),
        (np.ones((40, 30), bool), "40, 30"),
    ],
)
def test_masks_that_mark_nothing_are_refused(store, mask, message):
    session = Session(store, "Anna")
    pair = session.use(session.next().id)
    session.set_mask_prompt(pair.id, "cat")
    with pytest.raises(ConfigError, match=message):
        session.save_mask(pair.id, mask)
    assert session.pair(pair.id).step == "mask"


def test_a_candidate_that_differs_outside_of_the_mask_is_refused(store):
    session = Session(store, "Anna")
    pair = to_candidates(session)
    painting = session.painting(pair.id, 1)
    wrong = repaint(painting.image, box_mask(painting.image))
    wrong.putpixel((0, 0), (255, 0, 255))
    with pytest.raises(DataError, match="1 of 1,200 pixels differ"):
        session.add_candidate(painting, painting.seeds[0], wrong)
    with pytest.raises(DataError, match="sizes differ"):
        session.add_candidate(painting, painting.seeds[0], Image.new("RGB", (4, 3)))
    assert len(session.pair(pair.id).candidates) == 3


def test_more_candidates_have_new_seeds_and_repeating_one_changes_nothing(store):
    session = Session(store, "Anna")
    pair = to_candidates(session)
    painting = session.painting(pair.id, 2)
    assert painting.seeds == (3, 4)
    first = session.add_candidate(painting, 3, painting.image)
    assert session.add_candidate(painting, 3, repaint(painting.image, painting.mask)) == first
    assert [one.seed for one in session.pair(pair.id).candidates] == [0, 1, 2, 3]


def test_a_candidate_may_arrive_after_the_annotator_has_gone_back(store):
    session = Session(store, "Anna")
    pair = to_candidates(session)
    painting = session.painting(pair.id, 1)
    session.go_back(pair.id, "mask")
    session.add_candidate(painting, painting.seeds[0], painting.image)
    assert session.pair(pair.id).step == "mask"
    assert len(session.pair(pair.id).candidates) == 4


@pytest.mark.parametrize(
    ("caption", "message"),
    [
        ("", "empty"),
        ("  \n", "empty"),
        ("a white cat number", "still says"),
        ("A\0cat", r"U\+0000 is no text"),
        ("A \x1b[31mcat", r"U\+001B"),
        ("\u200b", "empty"),
        ("x" * 1001, "1,001"),
    ],
)
def test_captions_that_cannot_be_used_are_refused(store, caption, message):
    session = Session(store, "Anna")
    pair = to_candidates(session)
    session.choose(pair.id, pair.candidates[0].id)
    session.rate(pair.id, "okay")
    with pytest.raises(ConfigError, match=message):
        session.set_caption(pair.id, caption)
    with pytest.raises(ConfigError, match="old one"):
        session.set_caption(pair.id, pair.caption.upper())
    assert session.pair(pair.id).step == "caption"


@pytest.mark.parametrize("name", ["", " ", "a" * 101, "a\x1b[31m"])
def test_names_that_cannot_be_used_are_refused(store, name):
    with pytest.raises(ConfigError, match="annotator"):
        Session(store, name)


def test_a_photograph_that_cannot_be_read_is_passed_over_and_remembered(tmp_path):
    with make_set(tmp_path) as store:
        for file in sorted((tmp_path / "coco" / "val2017").iterdir())[:3]:
            file.write_bytes(b"not a picture")
        session = Session(store, "Anna")
        assert session.next().photograph.id == "4"
        assert session.skip(session.next().id).step == SKIPPED
        assert session.next() is None
        assert session.progress().photographs == 1


def test_photographs_that_come_and_go(tmp_path):
    """A file that has gone is passed over, and one that has come since is handed out."""
    write_photographs(tmp_path / "coco", [([f"A white cat number {n}."], FREE) for n in range(3)])
    files = sorted((tmp_path / "coco" / "val2017").iterdir())
    kept = files[0].read_bytes()
    files[0].unlink()
    with make_set(tmp_path) as store:
        assert Session(store, "Anna").progress().photographs == 2
    files[0].write_bytes(kept)
    files[1].unlink()
    with make_set(tmp_path) as store:
        session, given = Session(store, "Anna"), []
        while pair := session.next():
            given.append(pair.photograph.id)
            session.skip(pair.id)
        assert sorted(given) == ["1", "3"]
        assert session.progress().photographs == 2


def test_a_license_can_be_stated_later(tmp_path):
    (tmp_path / "coco").mkdir()
    Image.new("RGB", (8, 8), "white").save(tmp_path / "coco" / "a.png")
    (tmp_path / "coco" / "table.csv").write_text("file_name,caption\na.png,a white shirt\n")
    data = {"shop": str(tmp_path / "coco" / "table.csv")}
    for stated, expected in (("", ""), ("ours", "ours"), ("", "ours")):
        with make_set(tmp_path, data=data, image_license=stated) as store:
            assert Session(store, "Anna").next().photograph.license == expected


def test_markup_in_captions_and_prompts_is_kept_as_it_is(tmp_path):
    evil = "A white <script>alert(1)</script> cat' OR 1=1; DROP TABLE pairs; --"
    write_photographs(tmp_path / "coco", [([evil], FREE)])
    with make_set(tmp_path) as store:
        done = finish(Session(store, "<b>Anna</b>'; --"))
        assert done.caption == evil
        assert done.new_caption == evil.replace("white", "black")


class TestSeveral:
    def test_each_photograph_is_handed_out_once(self, store):
        names = ["Anna", "Bert", "Carl", "Dora", "Emil"]
        pairs = [Session(store, name).next() for name in names]
        assert len({pair.photograph.id for pair in pairs[:4]}) == 4
        assert pairs[4] is None

    def test_or_to_as_many_annotators_as_asked_for(self, tmp_path):
        with make_set(tmp_path, annotators_per_photograph=2) as store:
            given = []
            for name in ("Anna", "Bert", "Carl"):
                session = Session(store, name)
                while pair := session.next():
                    given.append(pair.photograph.id)
                    session.skip(pair.id)
            assert sorted(given) == sorted([*"1234"] * 2)

    def test_what_is_left_is_what_will_be_handed_out(self, tmp_path):
        """With proposals that came to nothing, skipped and broken photographs, and two annotators for each."""
        with make_set(tmp_path, count=6, annotators_per_photograph=2) as store:
            (tmp_path / "coco" / "val2017" / f"{3:012d}.jpg").write_bytes(b"")
            proposer = Session(store, "program", origin="proposed")
            finish(proposer)
            proposer.skip(proposer.next().id)
            finish(Session(store, "Anna"))
            for name in ("Anna", "Bert", "Carl", "Dora"):
                session = Session(store, name)
                before, given = session.progress().left, 0
                while pair := session.next():
                    given += pair.step == "photograph"
                    session.skip(pair.id)
                assert before - given in (0, 1)  # one may turn out to be broken
                assert session.progress().left == 0

    def test_two_browsers_of_one_annotator_have_different_photographs(self, store):
        one, other = Session(store, "Anna", "a"), Session(store, "Anna", "b")
        assert one.next().id != other.next().id
        assert one.next().id == Session(store, "Anna", "a").next().id

    def test_what_a_closed_store_left_unfinished_is_taken_up(self, tmp_path):
        with make_set(tmp_path) as store:
            pair = to_candidates(Session(store, "Anna", "a"))
        with make_set(tmp_path) as again:
            assert Session(again, "Bert", "b").next().id != pair.id
            assert Session(again, "Anna", "c").next() == pair

    def test_threads_of_one_store(self, tmp_path):
        given = []
        with make_set(tmp_path, count=24) as store:

            def work(name):
                session = Session(store, name)
                while pair := session.next():
                    given.append(pair.photograph.id)
                    session.skip(pair.id)

            threads = [threading.Thread(target=work, args=(f"annotator {n}",)) for n in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert len(given) == len(set(given)) == 24

    def test_processes_at_once(self, tmp_path):
        make_set(tmp_path, count=24).close()
        context = multiprocessing.get_context("spawn")
        with context.Pool(3) as pool:
            lists = pool.starmap(_take_all, [(tmp_path, f"annotator {n}") for n in range(3)])
        given = [photograph for each in lists for photograph in each]
        assert len(given) == len(set(given)) == 24


def _take_all(folder, name):
    given = []
    with make_set(folder) as store:
        session = Session(store, name)
        while pair := session.next():
            given.append(pair.photograph.id)
            session.skip(pair.id)
    return given


KILLED = """
import sys
from pathlib import Path
from clipbench.annotate.session import Session
from tests.annotate.builders import finish, make_set

with make_set(Path(sys.argv[1])) as store:
    session = Session(store, "Anna")
    change = Session._change
    def announced(self, pair, step, make):
        after = change(self, pair, step, make)
        print(after.id, after.step, flush=True)
        return after
    Session._change = announced
    while True:
        finish(session)
"""


@pytest.mark.skipif(os.name == "nt", reason="kills by signal")
def test_killed_at_any_moment_nothing_confirmed_is_lost(tmp_path):
    make_set(tmp_path, count=40).close()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    for lines in (3, 8, 13):
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(KILLED), str(tmp_path)], stdout=subprocess.PIPE, text=True,
            env=environment,
        )  # fmt: skip
        confirmed = [process.stdout.readline().split() for _ in range(lines)]
        process.send_signal(signal.SIGKILL)
        confirmed += [line.split() for line in process.communicate()[0].splitlines()]
        reached = {int(pair): step for pair, step in confirmed}
        with make_set(tmp_path) as store:
            session = Session(store, "Anna")
            order = [*STEPS, DONE]
            for pair, step in reached.items():
                assert order.index(session.pair(pair).step) >= order.index(step)
            unfinished = [pair.id for pair in session.pairs() if pair.step not in (DONE, SKIPPED)]
            assert len(unfinished) <= 1
            if unfinished:
                assert session.next().id == unfinished[0]
                session.skip(unfinished[0])
            with store.transaction() as db:
                assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"


class TestFolders:
    def test_a_set_of_another_concept_other_data_or_another_seed(self, tmp_path):
        make_set(tmp_path).close()
        with pytest.raises(ConfigError, match="set of concept color, not of object"):
            make_set(tmp_path, concept="object")
        with pytest.raises(ConfigError, match="set of other data, coco="):
            make_set(tmp_path, data={"scenes": "40"})
        with pytest.raises(ConfigError, match="set of seed 0"):
            make_set(tmp_path, seed=1)

    def test_a_set_of_another_version(self, tmp_path):
        make_set(tmp_path).close()
        with sqlite3.connect(tmp_path / "set" / "annotations.sqlite") as db:
            db.execute("PRAGMA user_version = 7")
        with pytest.raises(ConfigError, match="set of version 7"):
            make_set(tmp_path)

    def test_a_file_that_is_no_set(self, tmp_path):
        (tmp_path / "set").mkdir()
        (tmp_path / "set" / "annotations.sqlite").write_text("hello, this is no database, but a long enough text")
        with pytest.raises(ConfigError, match="no set of annotations"):
            make_set(tmp_path)
        with pytest.raises(ConfigError, match="no set of annotations"):
            Store(tmp_path)

    def test_the_number_of_annotators_can_be_raised(self, tmp_path):
        make_set(tmp_path).close()
        with make_set(tmp_path, annotators_per_photograph=3) as store:
            assert store.meta()["annotators_per_photograph"] == 3
        with make_set(tmp_path) as store:
            assert store.meta()["annotators_per_photograph"] == 3

    def test_a_name_that_leads_out_of_the_folder(self, store):
        for name in ("../annotations.sqlite", "a.png", "", "\0", "0" * 64 + ".svg"):
            with pytest.raises(DataError, match="no picture of this set"):
                store.image_path(name)

    def test_a_failing_block_changes_nothing(self, store):
        def fail():
            with store.transaction() as db:
                db.execute("UPDATE photographs SET problem = 'x'")
                db.execute("no SQL")

        with pytest.raises(ResultError, match="cannot be written"):
            fail()
        assert Session(store, "Anna").progress().photographs == 4


@pytest.mark.skipif(os.name == "nt", reason="open files cannot be removed")
@pytest.mark.parametrize("happens", ["deleted", "moved", "replaced", "pictures deleted"])
def test_nothing_is_confirmed_once_the_set_is_gone(tmp_path, happens):
    with make_set(tmp_path) as store:
        folder, session = store.folder, Session(store, "Anna")
        pair = session.use(session.next().id)
        if happens == "pictures deleted":
            shutil.rmtree(folder / "images")
            (folder / "images").write_text("")
        elif happens == "moved":
            folder.rename(tmp_path / "elsewhere")
        else:
            shutil.rmtree(folder)
        if happens == "replaced":
            make_set(tmp_path).close()
        steps = [lambda: Session(store, "Bert").next()]
        if happens != "pictures deleted":
            steps += [lambda: session.set_mask_prompt(pair.id, "cat"), lambda: session.skip(pair.id), session.pairs]
        for step in steps:
            with pytest.raises(ResultError, match="cannot be written" if "pictures" in happens else "moved or deleted"):
                step()
