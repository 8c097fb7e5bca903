import pytest

from clipbench.annotate.review import Reviewer, final_caption, status
from clipbench.annotate.session import Session
from clipbench.errors import ConfigError
from tests.annotate.builders import finish, make_set


@pytest.fixture
def store(tmp_path):
    with make_set(tmp_path) as opened:
        yield opened


def test_a_persons_pair_is_annotated_until_somebody_rejects_it(store):
    pair = finish(Session(store, "Anna"))
    assert status(pair) == "annotated"
    carl, dora = Reviewer(store, "Carl"), Reviewer(store, "Dora")
    assert status(carl.review(pair.id, "reject")) == "rejected"
    assert status(dora.review(pair.id, "accept")) == "rejected"  # a tie
    assert status(carl.review(pair.id, "accept")) == "accepted"  # decided again


def test_a_proposal_is_unreviewed_until_somebody_accepts_it(store):
    pair = finish(Session(store, "program", origin="proposed"))
    assert status(pair) == "unreviewed"
    reviewer = Reviewer(store, "Carl")
    assert reviewer.next().id == pair.id
    assert status(reviewer.review(pair.id, "accept")) == "accepted"
    assert reviewer.next() is None


def test_a_changed_caption_is_a_fix(store):
    pair = finish(Session(store, "Anna"))
    reviewed = Reviewer(store, "Carl").review(pair.id, "accept", "A black tomcat.")
    assert [review.decision for review in reviewed.reviews] == ["fix"]
    assert final_caption(reviewed) == "A black tomcat."
    assert reviewed.new_caption == pair.new_caption
    for decision, caption, message in (
        ("fix", "A white cat.", "still says"),
        ("fix", "", "empty"),
        ("maybe", "", "give one"),
    ):
        with pytest.raises(ConfigError, match=message):
            Reviewer(store, "Dora").review(pair.id, decision, caption)


def test_nobody_reviews_their_own_pair_or_an_unfinished_one(store):
    session = Session(store, "Anna")
    pair = finish(session)
    assert Reviewer(store, "Anna").next() is None
    with pytest.raises(ConfigError, match="your own"):
        Reviewer(store, "Anna").review(pair.id, "accept")
    with pytest.raises(ConfigError, match="not finished"):
        Reviewer(store, "Bert").review(session.next().id, "accept")


def test_a_review_counts_only_for_what_the_reviewer_saw(store):
    session = Session(store, "Anna")
    pair = finish(session)
    Reviewer(store, "Carl").review(pair.id, "reject")
    session.go_back(pair.id, "caption")
    changed = session.set_caption(pair.id, "A black tomcat.")
    assert changed.reviews == ()
    assert Reviewer(store, "Carl").next().id == pair.id
    session.go_back(pair.id, "caption")
    assert status(session.set_caption(pair.id, pair.new_caption)) == "rejected"


def test_proposals_and_what_has_fewest_reviews_come_first(store):
    made = finish(Session(store, "Anna"))
    proposed = finish(Session(store, "program", origin="proposed"))
    other = finish(Session(store, "Bert"))
    assert Reviewer(store, "Carl").next().id == proposed.id
    Reviewer(store, "Carl").review(proposed.id, "accept")
    Reviewer(store, "Carl").review(made.id, "accept")
    assert Reviewer(store, "Carl").next().id == other.id
