"""`import clipbench` offers everything, and stays cheap."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import clipbench

TREE = ast.parse(Path(clipbench.__file__).read_text())


@pytest.mark.parametrize("name", clipbench.__all__)
def test_every_name_is_found(name):
    assert getattr(clipbench, name).__doc__
    assert name in dir(clipbench)


def test_the_three_lists_agree():
    """For type checkers, for `from clipbench import *`, and for the lazy look-up."""
    (block,) = (node for node in TREE.body if isinstance(node, ast.If))
    typed = {alias.asname or alias.name for node in block.body for alias in node.names}
    assert typed == set(clipbench.__all__) == set(clipbench._LAZY)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'evaluat'"):
        _ = clipbench.evaluat


def test_importing_it_imports_nothing_heavy():
    code = "import sys, clipbench; assert not {'torch', 'numpy', 'pydantic', 'click', 'PIL'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
