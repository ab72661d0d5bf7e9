"""Code that is nearly right: mutations of a solution, each by one documented operator.

constant    a number one larger
compare     < for <=, == for != and so on
arithmetic  + for -, * for //, and the other way round
boolean     and for or
negate      the condition of an if or while, the other way round
slice       an index one further
nothing     a return without its value
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Iterator

MOST = 6
"""Mutants of one solution, of different operators first."""

_COMPARE: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.FloorDiv: ast.Mult, ast.Div: ast.Mult,
    ast.Mod: ast.FloorDiv,
}  # fmt: skip


def _constant(node: ast.AST) -> ast.AST | None:
    plain = isinstance(node, ast.Constant) and type(node.value) is int
    return ast.Constant(node.value + 1) if plain else None  # type: ignore[attr-defined]


def _compare(node: ast.AST) -> ast.AST | None:
    if isinstance(node, ast.Compare) and type(node.ops[0]) in _COMPARE:
        return ast.Compare(node.left, [_COMPARE[type(node.ops[0])](), *node.ops[1:]], node.comparators)
    return None


def _arithmetic(node: ast.AST) -> ast.AST | None:
    if isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
        return ast.BinOp(node.left, _ARITHMETIC[type(node.op)](), node.right)
    return None


def _boolean(node: ast.AST) -> ast.AST | None:
    if isinstance(node, ast.BoolOp):
        return ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)
    return None


def _negate(node: ast.AST) -> ast.AST | None:
    if isinstance(node, ast.If | ast.While):
        changed = copy.copy(node)
        changed.test = ast.UnaryOp(ast.Not(), node.test)
        return changed
    return None


def _slice(node: ast.AST) -> ast.AST | None:
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Name):
        return ast.Subscript(node.value, ast.BinOp(node.slice, ast.Add(), ast.Constant(1)), node.ctx)
    return None


def _nothing(node: ast.AST) -> ast.AST | None:
    return ast.Return(ast.Constant(None)) if isinstance(node, ast.Return) and node.value is not None else None


OPERATORS: tuple[Callable[[ast.AST], ast.AST | None], ...] = (
    _compare, _arithmetic, _constant, _boolean, _negate, _slice, _nothing,
)  # fmt: skip


def mutants(solution: str) -> list[str]:
    """The solution, and up to `MOST` mutations of it, printed alike, without comments and docstrings.

    The first is the solution. One that cannot be parsed has no mutants: the list is empty.
    """
    try:
        tree = _bare(ast.parse(solution))
    except (SyntaxError, ValueError):
        return []
    found = {ast.unparse(tree): None}
    waiting = [_by(operator, tree) for operator in OPERATORS]
    while waiting and len(found) <= MOST:
        for one in list(waiting):
            text = next(one, None)
            if text is None:
                waiting.remove(one)
            elif len(found) <= MOST:
                found.setdefault(text)
    return list(found)


def _by(operator: Callable[[ast.AST], ast.AST | None], tree: ast.Module) -> Iterator[str]:
    """Every mutation by one operator, one place each."""
    for place, node in enumerate(ast.walk(tree)):
        if operator(node) is not None:
            changed = copy.deepcopy(tree)
            old = list(ast.walk(changed))[place]
            new = operator(old)
            assert new is not None
            yield ast.unparse(ast.fix_missing_locations(_Swap(old, new).visit(changed)))


class _Swap(ast.NodeTransformer):
    """Puts a node in place of another."""

    def __init__(self, old: ast.AST, new: ast.AST) -> None:
        self.old, self.new = old, new

    def visit(self, node: ast.AST) -> ast.AST:
        """The other node, at its place."""
        return self.new if node is self.old else self.generic_visit(node)


def _bare(tree: ast.Module) -> ast.Module:
    """Without docstrings, which a mutant would contradict or repeat."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module) and isinstance(body, list) and len(body) > 1:
            first = body[0]
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                body.pop(0)
    return tree
