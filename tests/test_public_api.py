"""The names of `guerdon`: each is what its home defines, in whatever order it is imported, and importing is free."""

from __future__ import annotations

import ast
import doctest
import inspect
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import guerdon
from guerdon.cli.main import VERBS

PACKAGE = Path(guerdon.__file__).parent
UNITS = {path.stem for path in PACKAGE.iterdir() if path.suffix in ("", ".py") and not path.stem.startswith("_")}
"""The modules and folders just below the package."""


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_no_name_is_that_of_a_package() -> None:
    assert "train" in UNITS
    assert not UNITS & set(guerdon.__all__)


def test_type_checkers_see_the_same_homes() -> None:
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    blocks = [node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    seen = {
        alias.name: node.module
        for block in blocks
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == guerdon._HOMES


def test_names_and_packages_in_either_order_are_the_same_objects() -> None:
    """An import of `guerdon.train.plan` sets `guerdon.train`; that must never hide, or be hidden by, a public name."""
    names_first = (
        "import importlib, types, guerdon\n"
        f"homes = {guerdon._HOMES!r}\n"
        "first = {name: getattr(guerdon, name) for name in homes}\n"
        "modules = {home: importlib.import_module(home) for home in homes.values()}\n"
        "for name, home in homes.items():\n"
        "    assert first[name] is getattr(guerdon, name) is getattr(modules[home], name), name\n"
        "    assert not isinstance(first[name], types.ModuleType), name\n"
        "assert isinstance(guerdon.train, types.ModuleType)\n"
    )
    packages_first = names_first.replace(
        "first = ", "[importlib.import_module(home) for home in homes.values()]\nfirst = "
    )
    run(names_first)
    run(packages_first)


def test_unknown_name_is_an_attribute_error_and_dir_lists_the_public_ones() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        guerdon.nothing  # noqa: B018
    assert set(guerdon.__all__) <= set(dir(guerdon))


@pytest.mark.parametrize("verb", VERBS)
def test_verb_has_its_function(verb: str) -> None:
    name = VERBS[verb].function
    assert name in guerdon.__all__
    assert inspect.isfunction(getattr(guerdon, name))


@pytest.mark.parametrize("name", guerdon.__all__)
def test_name_is_documented_with_an_example(name: str) -> None:
    text = inspect.getdoc(getattr(guerdon, name)) or ""
    assert "Example:" in text, f"{name} needs an `Example:` section in its docstring"
    assert ">>> " in text


RUNNABLE = [
    name for name in guerdon.__all__ if name != "ScorerConfig" and not inspect.isfunction(getattr(guerdon, name))
]
"""Types and options; a `ScorerConfig` and most functions need models and data of the reader's own."""


@pytest.mark.parametrize("name", ["load_scorer", "score_texts", *RUNNABLE])
def test_example_is_true(name: str) -> None:
    names = {known: getattr(guerdon, known) for known in guerdon.__all__} | {"np": np}
    (example,) = doctest.DocTestFinder(recurse=False).find(getattr(guerdon, name), name, globs=names)
    assert example.examples
    assert doctest.DocTestRunner(verbose=False).run(example).failed == 0
