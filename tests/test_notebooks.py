"""The notebooks of the documentation run, and what they show is what they have been executed to show."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parents[1] / "docs/notebooks").glob("*.ipynb"))


def kinds(notebook):
    """What each cell of code shows: a table, a picture, text; what goes to stderr is left out."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    shown = [[output for output in cell.outputs if output.get("name") != "stderr"] for cell in cells]
    forms = ("text/html", "image/png", "text/plain")
    return [
        [next((form for form in forms if form in output.get("data", {})), output.get("name")) for output in outputs]
        for outputs in shown
    ]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_shows_what_its_page_shows(path, tmp_path):
    notebook = nbformat.read(path, as_version=4)
    shown = kinds(notebook)
    assert all(cell.execution_count for cell in notebook.cells if cell.cell_type == "code"), (
        "execute it, then commit it"
    )
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert kinds(notebook) == shown


def test_there_are_notebooks():
    assert [path.stem for path in NOTEBOOKS] == ["evaluate", "finetune"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_holds_nothing_of_the_machine_it_ran_on(path):
    text = path.read_text(encoding="utf-8")
    assert len(text) < 600_000
    assert not [word for word in ("/home/", "/root/", "/tmp/", "/work/", "Users") if word in text]
