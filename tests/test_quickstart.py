"""The quickstart's commands, run as they stand; all but `pip install`, which is how this environment was made."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/quickstart.md").read_text()
COMMANDS = re.findall(r"^\$ (.*)$", PAGE, re.MULTILINE)


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("quickstart")
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(folder / "empty"),
    }
    done = {}
    for command in COMMANDS[1:]:
        done[command] = subprocess.run(
            command, shell=True, cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
    return folder, done


def test_five_commands_that_work(outputs):
    _, done = outputs
    assert len(COMMANDS) == 5
    assert COMMANDS[0] == "pip install ."
    for command, process in done.items():
        assert process.returncode == 0, f"{command}: {process.stderr}"
        assert "Traceback" not in process.stderr


@pytest.mark.parametrize("page", ["docs/quickstart.md", "README.md"])
def test_the_table_is_the_one_on_the_page(outputs, page):
    """Scores on another machine may differ in a few decisions, and hardly more."""
    _, done = outputs
    printed = done[COMMANDS[1]].stdout
    for line in re.findall(r"^scenes_.*$", (ROOT / page).read_text(), re.MULTILINE):
        task, version, metric, value, *_ = line.split()
        (found,) = re.findall(rf"^{task} +{version} .*?$", printed, re.MULTILINE)
        if found.split()[2] != metric:  # a later row of the same task
            found = next(row for row in printed.split(found)[1].splitlines() if row.split()[:1] == [metric])
            measured = found.split()[1]
        else:
            measured = found.split()[3]
        assert float(measured) == pytest.approx(float(value), abs=0.01), line


def test_the_pictures_are_there(outputs):
    folder, done = outputs
    assert done[COMMANDS[2]].stdout.strip() == "scenes_inpaint_color.png"
    with Image.open(folder / "scenes_inpaint_color.png") as sheet:
        assert sheet.width > 1000
    page = (folder / "location.html").read_text()
    assert 1 <= page.count("<figure>") <= 24
    assert "http" not in page


def test_the_sentence_on_the_page_is_the_one_printed(outputs):
    _, done = outputs
    (documented,) = re.findall(r'^{"line".*$', PAGE, re.MULTILINE)
    assert json.loads(done[COMMANDS[4]].stdout) == json.loads(documented)
