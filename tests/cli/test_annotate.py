"""`clipbench annotate` without a page: propose, export, score, push; and what it refuses."""

import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request

import pytest
import yaml

from clipbench.annotate.propose import PROPOSER
from clipbench.annotate.review import Reviewer
from clipbench.annotate.session import Session
from clipbench.annotate.store import Store
from tests.annotate.builders import FREE, NO_DERIVATIVES, finish, make_set, repaint, write_photographs


def test_from_proposals_to_a_score(run, tmp_path):
    folder = tmp_path / "set"
    proposing = ("annotate", "propose", "--data", "scenes=40", "--concept", "color", "--inpainter", "drawn",
                 "--limit", "3", "--output_path", folder)  # fmt: skip
    code, out, err = run(*proposing)
    assert (code, out) == (0, f"{folder}\n")
    assert "3 proposals, 3 of them new" in err
    code, out, err = run("annotate", "export", folder)
    assert code == 1
    assert "3 pairs: 3 unreviewed; --include_unreviewed" in err
    code, _, err = run("annotate", "export", folder, "--include_unreviewed")
    assert code == 0
    assert err.endswith("3 pairs exported\n")
    with Store(folder) as store:
        for pair in Session(store, PROPOSER).pairs()[:2]:
            Reviewer(store, "Anna").review(pair.id, "accept")
    code, out, err = run("annotate", "export", folder)
    assert (code, out) == (0, f"{folder / 'task.yaml'}\n")
    assert "2 pairs exported; the set has 1 unreviewed (--include_unreviewed" in err
    code, out, err = run("eval", "--model", "demo", "--tasks", folder / "task.yaml")
    assert code == 0
    assert "2/2" in out
    code, out, err = run("eval", "--model", "demo", "--tasks", "inpaintcoco_color", "--data", f"inpaintcoco={folder}",
                         "--allow_missing")  # fmt: skip
    assert code == 0
    assert "2/465" in out
    code, out, err = run(*proposing)
    assert "3 proposals, 0 of them new" in err


def test_a_broken_pair_is_named_and_the_exit_code_is_1(run, tmp_path):
    with make_set(tmp_path) as store:
        pair = finish(Session(store, "Anna"))
        finish(Session(store, "Bert"))
        wrong = repaint(store.image(pair.image), ~store.mask(pair.mask))
        with store.transaction() as db:
            db.execute("UPDATE candidates SET image = ? WHERE id = ?", (store.put_image(wrong), pair.chosen))
    code, _, err = run("annotate", "export", tmp_path / "set")
    assert code == 1
    assert "1 pair exported" in err
    assert f"left out: pair {pair.id} (photograph {pair.photograph.id})" in err
    assert yaml.safe_load((tmp_path / "set" / "task.yaml").read_text())["expected_n"] == 1


def test_pushing(run, tmp_path):
    with make_set(tmp_path) as store:
        finish(Session(store, "Anna"))
    push = ("annotate", "push", tmp_path / "set", "--dataset_repo", "me/set", "--dry_run")
    code, out, err = run(*push)
    assert code == 1
    assert "export the set first" in err
    run("annotate", "export", tmp_path / "set")
    code, out, err = run(*push)
    assert code == 0
    assert "dataset me/set" in out
    assert "data/test-00000-of-00001.parquet: " in out
    assert "sqlite" not in out


GOOD = {"data": "scenes=4", "concept": "color", "output_path": "set"}


@pytest.mark.parametrize("subcommand", [(), ("propose",)])
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"data": None}, "give --data"),
        ({"concept": None}, "give --concept"),
        ({"output_path": None}, "give --output_path"),
        ({"data": "scenes=x"}, "--data scenes=x: give 1 to"),
        ({"concept": "colour"}, "unknown concept 'colour'"),
        ({"concept": "location"}, "location"),
        ({"candidates": "99"}, "candidates 99: give 16 or less"),
        ({"device": "gpu"}, "--device gpu"),
        ({"output_path": "file"}, "--output_path file: is a file"),
    ],
)
def test_bad_usage(run, tmp_path, monkeypatch, subcommand, changed, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    flags = [part for name, value in {**GOOD, **changed}.items() if value for part in (f"--{name}", value)]
    code, _, err = run("annotate", *subcommand, *flags)
    assert code == 2
    assert message in err
    assert not (tmp_path / "set").exists()


def test_options_before_a_subcommand(run):
    code, _, err = run("annotate", "--data", "scenes=4", "export", "set")
    assert code == 2
    assert "--data: give it after export" in err


def test_no_photograph_says_how_many_and_why(run, tmp_path):
    write_photographs(tmp_path / "coco", [(["A red bus."], NO_DERIVATIVES), (["A dog."], FREE)])
    code, _, err = run("annotate", "propose", "--data", f"coco={tmp_path / 'coco'}", "--concept", "color",
                       "--inpainter", "classic", "--output_path", tmp_path / "set")  # fmt: skip
    assert code == 1
    assert "of 2 photographs: 1 have no license that allows adaptation; 1 have no keyword of color" in err


def test_bad_usage_does_not_import_torch():
    script = (
        "import sys\nfrom clipbench.cli import main\n"
        "try: main(['annotate', 'propose', '--data', 'scenes=4', '--concept', 'colour', '--output_path', 'x'])\n"
        "except SystemExit as end: assert end.code == 2\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.skipif(os.name == "nt", reason="ends by a signal")
def test_the_page_is_served_to_whoever_has_the_token_until_ctrl_c(tmp_path):
    command = [sys.executable, "-m", "clipbench", "annotate", "--data", "scenes=4", "--concept", "color",
               "--output_path", str(tmp_path / "set"), "--no_browser"]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        try:
            address = server.stdout.readline().strip()
            assert address.startswith("http://127.0.0.1:")
            assert "token=" in address
            with urllib.request.urlopen(address, timeout=30) as page:
                assert page.status == 200
            with pytest.raises(urllib.error.HTTPError, match="403"):
                urllib.request.urlopen(address.partition("?")[0], timeout=30)
            server.send_signal(signal.SIGINT)
            _, err = server.communicate(timeout=60)
        finally:
            server.kill()
    assert server.returncode == 0
    assert "Traceback" not in err


def test_a_port_that_is_taken(run, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        code, _, err = run("annotate", "--data", "scenes=4", "--concept", "color", "--output_path", tmp_path / "set",
                           "--no_browser", "--port", taken.getsockname()[1])  # fmt: skip
    assert code == 2
    assert "--port" in err or "port " in err
