"""The examples in docstrings and in docs/ are run."""

import doctest
import importlib
import pkgutil
from pathlib import Path

import pytest

import clipbench

MODULES = ["clipbench", *(module.name for module in pkgutil.walk_packages(clipbench.__path__, "clipbench."))]
PAGES = sorted(path for path in [*Path(__file__).parents[1].glob("*.md"), *Path(__file__).parents[1].glob("docs/*.md")])


@pytest.mark.parametrize("name", [name for name in MODULES if not name.endswith("__main__")])
def test_docstrings(name):
    failed, _ = doctest.testmod(importlib.import_module(name))
    assert failed == 0


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_pages(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # what an example writes stays out of the project
    failed, _ = doctest.testfile(str(page), module_relative=False, optionflags=doctest.ELLIPSIS)
    assert failed == 0
