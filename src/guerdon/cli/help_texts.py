"""The help of options that are fields of a dataclass: its docstring, as flowing text.

tyro finds the docstring below a field by itself, but keeps the line breaks of the source where a line is indented.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import textwrap
from collections.abc import Callable, Iterator
from types import MappingProxyType
from typing import Any, get_type_hints


def add_help_texts(function: Callable[..., Any]) -> None:
    """Gives every option of a verb that is a field of a dataclass its docstring as help, where tyro looks for it."""
    for hint in get_type_hints(function).values():
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            texts = {name: text for one in reversed(hint.__mro__[:-1]) for name, text in field_docs(one)}
            for field in dataclasses.fields(hint):
                if field.name in texts:
                    field.metadata = MappingProxyType({**field.metadata, "help": texts[field.name]})


def field_docs(cls: type) -> Iterator[tuple[str, str]]:
    """Name and docstring of every field that the body of a class documents, as one line."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    assert isinstance(definition, ast.ClassDef)
    for field, doc in zip(definition.body, definition.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(doc, ast.Expr) and isinstance(doc.value, ast.Constant):
            yield ast.unparse(field.target), " ".join(str(doc.value.value).split())
