"""A site goes to a static Space as it is, through the hub's own client against a server on this machine."""

import subprocess
import sys

import pytest
from huggingface_hub import SpaceCard

from clipbench.analysis.leaderboard.board import Board
from clipbench.analysis.site.build import Site
from clipbench.analysis.site.folder import write_site
from clipbench.cli import main
from tests.analysis.site.builders import make_site

CARD = "---\ntitle: Mine\nsdk: static\n---\nMine.\n"


def push(hub, tmp_path, *arguments):
    command = [sys.executable, "-m", "clipbench", "push", *map(str, arguments)]
    environment = hub.env(tmp_path / "hf", HF_TOKEN=hub.token)
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)


def stored(hub):
    """Path to bytes of what is in the Space."""
    commit = hub.find("space", "me/board").at("main")
    return {path: file.source.read_bytes() for path, file in commit.files.items()}


@pytest.fixture
def empty_site(tmp_path):
    write_site(tmp_path / "site", Site(Board(), title="Mine").files())
    return tmp_path / "site"


def test_the_space_gets_every_file_of_the_site_and_nothing_else(hub, tmp_path):
    _, site = make_site(tmp_path)
    (site / "CNAME").write_text("example.org")
    (site / ".git").mkdir()
    (site / ".git/config").write_text("secret")
    done = push(hub, tmp_path, site, "--space", "me/board")
    assert (done.returncode, done.stderr) == (0, "")
    local = {path.relative_to(site).as_posix(): path.read_bytes() for path in site.rglob("*") if path.is_file()}
    for name in ("CNAME", ".git/config", ".nojekyll"):
        del local[name]
    assert stored(hub) == local
    card = SpaceCard(stored(hub)["README.md"].decode())
    assert (card.data.title, card.data.sdk) == ("Leaderboard", "static")
    assert any(name.startswith("images/") for name in local)


def test_a_second_push_removes_pages_that_are_gone_and_keeps_the_card_and_other_files(hub, tmp_path, empty_site):
    old = {"README.md": CARD.encode(), "models/old.html": b"x", "images/old.jpg": b"x", "about.html": b"mine"}
    hub.add_files("space", "me/board", old)
    hub.status("*/commit/main", 412, times=1)  # somebody else commits meanwhile
    assert push(hub, tmp_path, empty_site, "--space", "me/board").returncode == 0
    assert stored(hub).keys() == {"README.md", "about.html", "index.html", "style.css", "leaderboard.json"}
    assert stored(hub)["README.md"].decode() == CARD


@pytest.mark.parametrize(("card", "said"), [("---\nsdk: gradio\n---\n", "sdk gradio"), ("---\n[\n---\n", "no sdk")])
def test_a_space_of_another_kind_is_left_alone(hub, tmp_path, empty_site, card, said):
    hub.add_files("space", "me/board", {"README.md": card.encode(), "app.py": b"x"})
    done = push(hub, tmp_path, empty_site, "--space", "me/board")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert f"me/board: README.md: {said}; a site needs a Space with `sdk: static`" in done.stderr
    assert stored(hub).keys() == {"README.md", "app.py"}


def test_a_dry_run_names_every_file_and_sends_nothing(hub, tmp_path, empty_site):
    done = push(hub, tmp_path, empty_site, "--space", "me/board", "--dry_run")
    assert done.returncode == 0
    assert hub.requests == []
    for line in (
        "space me/board",
        "index.html: ",
        "leaderboard.json: ",
        "models/: all that is there and not named below",
    ):
        assert line in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--space", "board"], "--space 'board': not OWNER/NAME"),
        (["--space", "me/board"], "holds no site that `clipbench leaderboard` wrote"),
        (["--space", "me/board", "--model_repo", "me/m"], "push them one by one"),
        (["--space", "me/board", "--no_samples"], "--no_samples has no effect on --space"),
        ([], "name --model_repo, --dataset_repo, --benchmark_repo or --space"),
    ],
)
def test_what_cannot_be_pushed_is_refused_before_anything_is_sent(tmp_path, capsys, arguments, said):
    with pytest.raises(SystemExit) as caught:
        main(["push", str(tmp_path), *arguments])
    assert caught.value.code in (1, 2)
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert said in error
