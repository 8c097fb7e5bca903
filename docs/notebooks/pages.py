"""A hook of mkdocs: a page beside a notebook of the same name shows its cells and their outputs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def on_page_markdown(markdown: str, page: Any, **others: object) -> str:
    """Append the notebook to its page."""
    notebook = Path(page.file.abs_src_path).with_suffix(".ipynb")
    return f"{markdown}\n\n{notebook_markdown(notebook)}" if notebook.exists() else markdown


def notebook_markdown(path: Path) -> str:
    """Cells and outputs as Markdown; pictures are inside, tables are HTML, progress on stderr is left out."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return "\n\n".join(part for cell in cells for part in _cell(cell)) + "\n"


def _cell(cell: dict[str, Any]) -> Iterator[str]:
    source = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        yield source
        return
    yield f"```python\n{source}\n```"
    for output in cell["outputs"]:
        data = output.get("data", {})
        if "text/html" in data:
            yield f"<div>{''.join(data['text/html']).strip()}</div>".replace("\n\n", "\n")
        elif "image/png" in data:
            yield f"![output](data:image/png;base64,{''.join(data['image/png']).replace(chr(10), '')})"
        elif "text/plain" in data:
            yield f"```\n{''.join(data['text/plain'])}\n```"
        elif output.get("name") == "stdout":
            yield f"```\n{''.join(output['text']).rstrip()}\n```"
