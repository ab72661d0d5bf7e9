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
from collections.abc import Iterator

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


OPERATORS = ("compare", "arithmetic", "constant", "boolean", "negate", "slice", "nothing")


def _mutated(operator: str, node: ast.AST) -> ast.AST | None:
    """What an operator makes of a node; None where it has nothing to do."""
    match operator, node:
        case "compare", ast.Compare(ops=[first, *rest]) if type(first) in _COMPARE:
            return ast.Compare(node.left, [_COMPARE[type(first)](), *rest], node.comparators)
        case "arithmetic", ast.BinOp() if type(node.op) in _ARITHMETIC:
            return ast.BinOp(node.left, _ARITHMETIC[type(node.op)](), node.right)
        case "constant", ast.Constant(value=int(number)) if not isinstance(number, bool):
            return ast.Constant(number + 1)
        case "boolean", ast.BoolOp():
            return ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)
        case "negate", ast.If() | ast.While():
            changed = copy.copy(node)
            changed.test = ast.UnaryOp(ast.Not(), node.test)
            return changed
        case "slice", ast.Subscript(slice=ast.Name()):
            return ast.Subscript(node.value, ast.BinOp(node.slice, ast.Add(), ast.Constant(1)), node.ctx)
        case "nothing", ast.Return(value=ast.expr()):
            return ast.Return(ast.Constant(None))
    return None


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


def _by(operator: str, tree: ast.Module) -> Iterator[str]:
    """Every mutation by one operator, one place each."""
    for place, node in enumerate(ast.walk(tree)):
        if _mutated(operator, node) is not None:
            changed = copy.deepcopy(tree)
            old = list(ast.walk(changed))[place]
            new = _mutated(operator, old)
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
        if (
            isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module)
            and len(node.body) > 1
            and ast.get_docstring(node, clean=False) is not None
        ):
            node.body.pop(0)
    return tree
