"""An exported set on a hub on this machine."""

import subprocess
import sys

from clipbench.annotate.export import export_set
from clipbench.annotate.session import Session
from tests.annotate.builders import finish, make_set


def test_the_hub_gets_the_three_files(hub, tmp_path):
    with make_set(tmp_path) as store:
        finish(Session(store, "Anna"))
    export_set(tmp_path / "set")
    command = [sys.executable, "-m", "clipbench", "annotate", "push", str(tmp_path / "set"), "--dataset_repo", "me/set"]
    environment = hub.env(tmp_path / "hf", HF_TOKEN=hub.token)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    there = hub.find("dataset", "me/set").at("main").files
    assert there.keys() == {"README.md", "data/test-00000-of-00001.parquet", "task.yaml"}
    for name, file in there.items():
        assert file.source.read_bytes() == (tmp_path / "set" / name).read_bytes()
