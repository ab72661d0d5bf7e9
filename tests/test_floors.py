"""The floors of the house: a module imports only from lower floors, never from a higher one or from a neighbour's."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path

import pytest

import guerdon

PACKAGE = Path(guerdon.__file__).parent

FLOORS: list[set[str]] = [
    {"types", "errors"},
    {"row_attention", "losses", "metrics", "files", "hub", "cpu", "ahead", "modeling_guerdon"},
    {"collation", "text", "weight_files", "nf4"},
    {"data", "models", "perturbations"},
    {"packing", "hf"},
    {"merged"},
    {"policy"},
    {"rewards"},
    {"runs"},
    {"report"},
    {"train"},
    {"optimize"},
    {"evaluate", "explain"},
    {"recipes"},
    {"worlds", "collect", "serve"},
    {"quickstart"},
    {"cli"},
    {"__main__"},
]
"""Low to high. The package itself (`guerdon/__init__.py`: version and lazy names) stands under all of them."""

FLOOR = {unit: number for number, units in enumerate(FLOORS) for unit in units}


def imports(path: Path, package: Path) -> Iterator[tuple[int, str]]:
    """Line and module (`guerdon.x.y`) of every import of the package, inside functions and TYPE_CHECKING too."""
    here = [package.name, *path.relative_to(package).with_suffix("").parts]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = here[: -node.level] if node.level else []
            module = ".".join(base + ([node.module] if node.module else []))
            # `from guerdon import losses` is an import of guerdon.losses; `from guerdon import train` of a lazy name.
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)


def unit_of(module: str, package: str) -> str | None:
    """The module or stage folder just below the package; None for what is not of the package, or is its root."""
    parts = module.split(".")
    if parts[0] != package or len(parts) == 1:
        return None
    if parts[1] in guerdon.__all__ and len(parts) == 2:
        return guerdon._HOMES[parts[1]].split(".")[1]
    return None if parts[1].startswith("__") else parts[1]


def faults(package: Path) -> list[str]:
    """Every import that does not go down, as `file:line: what`; and every unit without a floor."""
    found = []
    for path in sorted(package.rglob("*.py")):
        name = path.relative_to(package)
        if name == Path("__init__.py"):
            continue
        unit = name.with_suffix("").parts[0]
        if unit not in FLOOR:
            found.append(f"{name}: {unit} has no floor; add it to FLOORS and to CONTRIBUTING.md")
            continue
        for line, module in imports(path, package):
            target = unit_of(module, package.name)
            if target is None or target == unit:
                continue
            if target not in FLOOR:
                found.append(f"{name}:{line}: {unit} imports {target}, which has no floor")
            elif FLOOR[target] == FLOOR[unit]:
                found.append(f"{name}:{line}: {unit} imports its neighbour {target}")
            elif FLOOR[target] > FLOOR[unit]:
                found.append(f"{name}:{line}: {unit} imports {target}, which stands higher")
    return found


def at_import(path: Path, package: Path, modules: Collection[str]) -> set[str]:
    """Which of the modules the import of a file imports: not those in functions or for type checkers."""
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    here = [package.name, *path.relative_to(package).with_suffix("").parts]
    found: set[str] = set()
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            waiting += node.orelse
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = here[: -node.level] if node.level else []
            module = ".".join(base + ([node.module] if node.module else []))
            names = {f"{module}.{alias.name}" for alias in node.names}
            found |= {name if name in modules else module for name in names}
        else:
            waiting += ast.iter_child_nodes(node)
    return found & set(modules)


def circles(package: Path) -> list[str]:
    """Modules that import each other when they are imported, each circle once."""
    modules = {
        ".".join([package.name, *path.relative_to(package).with_suffix("").parts]).removesuffix(".__init__"): path
        for path in package.rglob("*.py")
    }
    graph = {name: sorted(at_import(path, package, modules) - {name}) for name, path in modules.items()}
    found: dict[frozenset[str], str] = {}
    clean: set[str] = set()

    def visit(name: str, way: list[str]) -> None:
        if name in way:
            circle = way[way.index(name) :]
            found.setdefault(frozenset(circle), " -> ".join([*circle, name]))
        elif name not in clean:
            for target in graph[name]:
                visit(target, [*way, name])
            clean.add(name)

    for name in sorted(graph):
        visit(name, [])
    return sorted(found.values())


def test_no_modules_import_each_other() -> None:
    assert circles(PACKAGE) == []


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({"a": "from guerdon import b", "b": "import guerdon.a"}, ["guerdon.a -> guerdon.b -> guerdon.a"]),
        (
            {
                "a": "try:\n    from .b import x\nexcept ImportError:\n    pass",
                "b": "from . import c",
                "c": "from .a import y",
            },
            ["guerdon.a -> guerdon.b -> guerdon.c -> guerdon.a"],
        ),
        ({"a": "from .b import x", "b": "if TYPE_CHECKING:\n    from .a import y"}, []),
        ({"a": "from .b import x", "b": "def f():\n    from .a import y"}, []),
        ({"a": "from .c import x", "b": "from .c import x", "c": ""}, []),
    ],
)
def test_planted_circle_is_caught(files: dict[str, str], found: list[str], tmp_path: Path) -> None:
    package = tmp_path / "guerdon"
    package.mkdir()
    for name, code in files.items():
        (package / f"{name}.py").write_text(code)
    assert circles(package) == found


def test_no_import_goes_up_or_sideways() -> None:
    assert faults(PACKAGE) == []


def test_the_root_imports_nothing_at_run_time() -> None:
    """`guerdon/__init__.py` may name higher floors for type checkers only."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    checked = [
        node
        for block in tree.body
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in ast.walk(block)
    ]
    run_time = [
        ast.unparse(node)
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom) and node not in checked and "guerdon" in ast.unparse(node)
    ]
    assert run_time == []


@pytest.mark.parametrize(
    ("file", "code", "fault"),
    [
        (
            "losses.py",
            "from guerdon.train.plan import x",
            "losses.py:1: losses imports train, which stands higher",
        ),
        ("losses.py", "import guerdon.metrics", "losses.py:1: losses imports its neighbour metrics"),
        ("data/read.py", "def f():\n    from guerdon import packing", "data/read.py:2: data imports packing"),
        ("data/read.py", "from ..rewards.load import load_scorer", "data/read.py:1: data imports rewards"),
        ("data/__init__.py", "from ..packing import plan", "data/__init__.py:1: data imports packing"),
        ("packing.py", "from guerdon import hf", "packing.py:1: packing imports its neighbour hf"),
        ("types.py", "if TYPE_CHECKING:\n    from guerdon.data.read import x", "types.py:2: types imports data"),
        ("data/check.py", "from guerdon import load_scorer", "data/check.py:1: data imports rewards"),
        ("helpers.py", "", "helpers.py: helpers has no floor"),
        ("cli/main.py", "import guerdon.utils", "cli/main.py:1: cli imports utils, which has no floor"),
    ],
)
def test_planted_fault_is_caught(file: str, code: str, fault: str, tmp_path: Path) -> None:
    planted = tmp_path / "guerdon" / file
    planted.parent.mkdir(parents=True)
    planted.write_text(code)
    (found,) = faults(tmp_path / "guerdon")
    assert found.startswith(fault)


@pytest.mark.parametrize(
    ("file", "code"),
    [
        ("losses.py", "import torch\nfrom guerdon.types import Row\nfrom guerdon import errors"),
        (
            "data/read.py",
            "from guerdon.data.read import rows\nfrom .formats import rows\nfrom . import check",
        ),
        ("cli/main.py", "from guerdon import __version__, train\nimport guerdon"),
        ("__init__.py", "if TYPE_CHECKING:\n    from guerdon.train.plan import x"),
    ],
)
def test_way_down_is_free(file: str, code: str, tmp_path: Path) -> None:
    path = tmp_path / "guerdon" / file
    path.parent.mkdir(parents=True)
    path.write_text(code)
    assert faults(tmp_path / "guerdon") == []


def test_no_two_modules_or_public_classes_share_a_name() -> None:
    """But for `cli/`, whose modules bear the names of their verbs."""
    paths = [path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py" and path.parent.name != "cli"]
    names = [path.stem for path in paths]
    classes = [
        node.name
        for path in paths
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
    ]
    assert [name for name, count in Counter([*names, *classes]).items() if count > 1] == []
