"""Expressions of event rules (`schemas.eventrule`) as text for a kernel: words become the codes of their columns."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from streams.errors import DefinitionError

if TYPE_CHECKING:
    from streams.rollup import Column

_KEPT = (
    ast.BoolOp, ast.And, ast.Or, ast.UnaryOp, ast.Not, ast.USub, ast.BinOp, ast.Add, ast.Sub, ast.Mult,
    ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Load,
)  # fmt: skip


class Translated(NamedTuple):
    """text: the expression over columns by name, as int64. columns: those it reads, in order of first use."""

    text: str
    columns: tuple[str, ...]


def translated(text: str, columns: Mapping[str, Column]) -> Translated:
    """An expression with the codes of `columns` in place of their words.

    Raises DefinitionError for a column or word that there is not, and for anything but what `EventRule` allows.
    """
    walker = _Words(text, columns)
    try:
        tree = ast.parse(text, mode="eval")
    except SyntaxError as error:
        raise DefinitionError(f"rule {text!r}: {error.msg}") from error
    return Translated(ast.unparse(walker.visit(tree.body)), tuple(walker.read))


class _Words(ast.NodeTransformer):
    def __init__(self, text: str, columns: Mapping[str, Column]) -> None:
        self.text, self.columns = text, columns
        self.read: dict[str, None] = {}

    def generic_visit(self, node: ast.AST) -> ast.AST:
        if not isinstance(node, _KEPT):
            raise self._wrong(f"{type(node).__name__} cannot be meant here")
        return super().generic_visit(node)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if self._words(node.id) is not None:
            raise self._wrong(f"{node.id} is compared with words only")
        return node

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if not isinstance(node.value, int):
            raise self._wrong(f"{node.value!r} is not an integer and stands beside no column of words")
        return node

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        left, operator, right = node.left, node.ops[0], node.comparators[0]
        words = self._words(left.id) if isinstance(left, ast.Name) else None
        if words is None or len(node.ops) > 1:
            if isinstance(operator, ast.In | ast.NotIn):
                raise self._wrong("`in` stands between a column and its words only")
            return super().generic_visit(node)
        equal, member = isinstance(operator, ast.Eq | ast.NotEq), isinstance(operator, ast.In | ast.NotIn)
        if not equal and not (member and isinstance(right, ast.Tuple) and right.elts):
            raise self._wrong("words are compared with ==, !=, in (...) and not in (...)")
        named = right.elts if isinstance(right, ast.Tuple) else [right]
        tests: list[ast.expr] = [
            ast.Compare(left, [ast.Eq()], [ast.Constant(self._code(left, word, words))]) for word in named
        ]
        found = tests[0] if len(tests) == 1 else ast.BoolOp(ast.Or(), tests)
        return ast.UnaryOp(ast.Not(), found) if isinstance(operator, ast.NotEq | ast.NotIn) else found

    def _words(self, name: str) -> tuple[str, ...] | None:
        """The words of a column, None of an integer one."""
        column = self.columns.get(name)
        if column is None:
            raise self._wrong(f"no column {name!r} can be read")
        self.read[name] = None
        symbols = column.symbols
        return tuple(map(str, symbols)) if symbols and isinstance(symbols[0], str) else None

    def _code(self, left: ast.expr, word: ast.expr, words: tuple[str, ...]) -> int:
        if not isinstance(word, ast.Constant) or word.value not in words:
            raise self._wrong(f"{ast.unparse(word)} is no word of {ast.unparse(left)}")
        return words.index(str(word.value))

    def _wrong(self, what: str) -> DefinitionError:
        return DefinitionError(f"rule {self.text!r}: {what}")
