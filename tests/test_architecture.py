"""The shape of the house: imports run one way, and everything that is there is shipped."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "clipbench"

# A module may import from its own level's siblings in the same folder and from lower levels.
LEVELS = [
    {"errors", "types", "metrics"},
    {"utils"},
    {"concepts"},
    {"data", "models"},
    {"inference", "scenes"},
    {"task_types"},
    {"results"},
    {"evaluation"},
    {"analysis"},
    {"training", "plot"},
    {"annotate", "mining", "reproduce"},
    {"cli"},
    {"__main__"},
]
POSIX_ONLY = {"fcntl", "grp", "pwd", "resource", "termios"}
LEVEL = {name: level for level, names in enumerate(LEVELS) for name in names}
FILES = sorted(PACKAGE.rglob("*.py"))


def room(path):
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def runtime_imports(path):
    """Modules of clipbench that a file imports, those for type checking only left out."""
    tree = ast.parse(path.read_text())
    skipped = {
        id(child)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
        for child in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_run_one_way(path):
    here = room(path)
    if here == "__init__":
        return
    for module in runtime_imports(path):
        if module.startswith("clipbench."):
            there = module.split(".")[1]
            assert there == here or LEVEL[there] < LEVEL[here], f"{path.name} imports {module}"
        assert module != "clipbench", f"{path.name} imports the whole of clipbench"
        if here not in ("cli", "__main__"):
            assert module.split(".")[0] not in ("click", "rich"), f"{path.name}: only the command line prints"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_importing_works_on_windows(path):
    for node in ast.parse(path.read_text()).body:
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [getattr(node, "module", "")]
        assert not POSIX_ONLY & {str(name).split(".")[0] for name in names}, path.name


def test_every_room_has_its_level():
    rooms = {room(path) for path in FILES} - {"__init__"}
    assert rooms == set(LEVEL)


def test_core_code_does_not_print_or_exit():
    for path in FILES:
        if room(path) in ("cli", "__main__"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                assert getattr(node.func, "id", "") not in ("print", "exit", "quit"), path


@pytest.mark.parametrize("path", sorted((PACKAGE / "cli").glob("*.py")), ids=lambda path: path.name)
def test_what_is_printed_goes_through_the_console(path):
    """It is cleaned there: names of files may steer a terminal."""
    if path.name in ("console.py", "streams.py", "display.py", "tables.py"):
        return
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            assert name not in ("echo", "secho", "print", "pprint", "echo_via_pager"), f"{path.name}:{node.lineno}"
            if name == "write":
                assert "std" not in ast.unparse(node.func), f"{path.name}:{node.lineno}"
        elif isinstance(node, ast.ImportFrom):
            assert (node.module or "").split(".")[0] != "rich", f"{path.name}:{node.lineno}"


def test_pyproject_lists_every_package():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    folders = {".".join(path.parent.relative_to(ROOT).parts) for path in PACKAGE.rglob("__init__.py")}
    assert set(declared) == folders | {"clipbench.tasks"}


def test_the_tasks_are_no_package_of_their_own():
    """`import tasks` would make a second copy of every task class."""
    script = "import clipbench.task_types.registry as p; p.known_tasks(); import sys; assert 'tasks' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT.parent)


def test_tasks_are_declarations_only():
    for path in sorted((ROOT / "tasks").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            assert not isinstance(node, ast.FunctionDef), f"{path.name} defines {getattr(node, 'name', '')}"
