"""Run the notebooks, each in an empty folder, and keep what they show: `make notebooks`."""

from __future__ import annotations

import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

KINDS = ("text/html", "image/png", "text/plain")
"""Forms of an output, the first that there is being shown."""


def execute(path: Path) -> None:
    """Replace a notebook's outputs by one form of each; progress on stderr and times are left out."""
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        NotebookClient(notebook, timeout=900, resources={"metadata": {"path": folder}}).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
            for output in cell.outputs:
                if data := output.get("data"):
                    kind = next(kind for kind in KINDS if kind in data)
                    output["data"] = {kind: data[kind]}
    notebook.metadata["language_info"] = {"name": "python"}
    nbformat.write(notebook, path)


if __name__ == "__main__":
    for path in sorted(Path(__file__).parent.glob("*.ipynb")):
        execute(path)
