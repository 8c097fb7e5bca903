"""What the pages say is so: generated ones are current, commands exist, links lead somewhere."""

import json
import re
import runpy
import shlex
from pathlib import Path

import pytest

from clipbench.cli import cli

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def commands():
    for page in PAGES:
        text = page.read_text().replace("\\\n", " ")
        for line in re.findall(r"^\$ (.*)$", text, re.MULTILINE):
            for part in re.split(r"""(?:&&|\|)(?=(?:[^"]*"[^"]*")*[^"]*$)""", line):  # not within quotes
                if part.strip().startswith("clipbench "):
                    yield pytest.param(part.strip().split(" < ")[0], id=f"{page.name}: {part.strip()[:60]}")


def test_generated_pages_are_current():
    for name, text in runpy.run_path(str(ROOT / "docs/generate.py"))["pages"]().items():
        assert (ROOT / "docs" / name).read_text() == text, f"docs/{name} is stale: run `make docs`"


@pytest.mark.parametrize("command", list(commands()))
def test_documented_commands_parse(command, tmp_path, monkeypatch):
    """Subcommands and flags exist and take such values; files that a page speaks of are made first."""
    monkeypatch.chdir(tmp_path)
    _, name, *arguments = shlex.split(command)
    for word in arguments:
        if re.fullmatch(r"[\w.-]+\.(txt|py|yaml)", word):
            (tmp_path / word).write_text("")
    subcommand = cli.get_command(None, name)
    assert subcommand is not None, f"no subcommand {name}"
    subcommand.make_context(name, arguments, parent=cli.make_context("clipbench", [name]))


def test_every_subcommand_is_documented():
    page = (ROOT / "docs/cli.md").read_text()
    assert all(f"## clipbench {name}" in page for name in cli.list_commands(None))


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#:]+?)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_examples_stand_in_fences(page):
    """Outside a fence, Markdown turns `>>>` into nested quotes and joins the lines."""
    outside = re.split(r"^```.*$", page.read_text(), flags=re.MULTILINE)[::2]
    assert not [line for part in outside for line in part.splitlines() if line.startswith(">>> ")]


def test_every_page_is_in_the_navigation():
    navigation = (ROOT / "mkdocs.yml").read_text()
    assert [
        page for page in (ROOT / "docs").rglob("*.md") if str(page.relative_to(ROOT / "docs")) not in navigation
    ] == []


def test_the_tree_on_the_architecture_page_is_the_tree():
    tree = (ROOT / "docs/architecture.md").read_text().split("## Where things are")[1].split("## ")[0]
    rooms = {path.name for path in (ROOT / "clipbench").iterdir() if path.is_dir() and (path / "__init__.py").exists()}
    for room in rooms:
        assert f"  {room}/" in tree
    for entry in re.findall(r"^  (\S+)", tree, re.MULTILINE):
        assert (ROOT / "clipbench" / entry).exists(), entry


def test_figures_of_the_photographs_study_are_those_of_its_report():
    """The tables in the README and on the study's page, and each figure with an interval in its text."""
    folder = ROOT / "docs/studies/photographs"
    tables = {table["id"]: table["rows"] for table in json.loads((folder / "report.json").read_text())["tables"]}
    scores = {tuple(row["titles"]): [cell and cell["value"] for cell in row["cells"]] for row in tables["flickr8k"]}

    def percent(concept, model, column):
        return f"{100 * scores[concept, model][column]:.1f}"

    def rows(page):
        found = re.findall(r"^\| (color|location|size|object) \| (.*) \|$", page.read_text(), re.MULTILINE)
        return {concept: [cell.strip(" *") for cell in cells.split("|")] for concept, cells in found}

    in_readme, on_page = rows(ROOT / "README.md"), rows(folder / "index.md")
    assert list(in_readme) == ["color", "location", "size"]
    assert list(on_page) == ["color", "location", "size", "object"]
    blind, base, control, one = "best blind rule", "Orig.", "Clas.", "HN1"
    for concept, cells in in_readme.items():
        pairs = [(blind, 0), (control, 0), (one, 0), (control, 1), (one, 1), (control, 2), (one, 2)]
        assert cells == [percent(concept, *pair) for pair in pairs]
    for concept, cells in on_page.items():
        models = (blind, base, control, one)
        pairs = [*((model, 0) for model in models), *((model, 1) for model in models), *((m, 2) for m in models[1:])]
        assert cells == [percent(concept, *pair) for pair in pairs]
    gains = {
        f"{100 * cell['value']:.1f} ± {100 * cell['margin']:.1f}".replace("-", "−")
        for name in ("gains", "coco_gains", "methods")
        for row in tables[name]
        for cell in row["cells"]
        if cell and cell["value"] is not None
    }
    quoted = re.findall(r"−?\d+\.\d ± \d+\.\d", (folder / "index.md").read_text())
    assert len(quoted) > 8
    assert set(quoted) <= gains
