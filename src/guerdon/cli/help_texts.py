"""The help of options as flowing text: docstrings of fields and of parameters, without the line breaks of the source.

tyro finds these docstrings by itself, but keeps a line break where the next line is indented.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from types import MappingProxyType
from typing import Any, get_type_hints


def add_help_texts(function: Callable[..., Any]) -> None:
    """Puts the help of a verb's options where tyro looks for it, each text as one line."""
    function.__doc__ = re.sub(r"\n {8,}(?=\S)", " ", inspect.getdoc(function) or "")
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
