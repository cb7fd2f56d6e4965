"""Functions of a file that cannot be imported here, such as torch references beside Triton kernels.

Of the file only what the named functions need is executed: their helpers, constants, and imports of modules that every
machine has. For all other names the caller gives something. Tensors that would be made on a GPU are made on the CPU.
"""

from __future__ import annotations

import ast
import builtins
import itertools
import symtable
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

HARMLESS = ("dataclasses", "enum", "functools", "itertools", "math", "nki", "numpy", "operator", "torch", "typing")


class MissingReference(LookupError):
    """The checkout lacks a file, a function or a name that this was written for."""


class _OnTheCpu(ast.NodeTransformer):
    """Without annotations and decorators, which name types of other modules, and without GPUs."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.decorator_list, node.returns = [], None
        for argument in ast.walk(node.args):
            if isinstance(argument, ast.arg):
                argument.annotation = None
        return self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        return ast.copy_location(ast.Constant("cpu"), node) if node.value == "cuda" else node


class ReferenceFile:
    """One file of a checkout.

    Args:
        checkout: of the repository.
        path: of the file in it.
        given: what stands for names that the file imports from elsewhere.

    Raises:
        MissingReference: there is no such file, or it is no Python.
    """

    def __init__(self, checkout: Path, path: str, **given: Any) -> None:
        self._path, self._given = path, given
        if not (checkout / path).is_file():
            raise MissingReference(f"{checkout} has no {path}: is it a checkout of the repository?")
        source = (checkout / path).read_text("utf-8")
        try:
            self._tree, table = ast.parse(source), symtable.symtable(source, path, "exec")
        except SyntaxError as error:
            raise MissingReference(f"{path} is no Python: {error}") from error
        self._tables = {child.get_name(): child for child in table.get_children()}
        self._tree.body = [part for node in self._tree.body for part in _singly(node)]
        self._statements = {name: node for node in self._tree.body for name in _bound(node)}

    def functions(self, *names: str) -> list[Any]:
        """The functions of these names.

        Raises:
            MissingReference: one is not there, or uses a name for which nothing is given.
        """
        namespace = self._executed(names)
        return [namespace[name] for name in names]

    def cases(self, test: str) -> list[dict[str, Any]]:
        """Arguments of every case of a test, as its `pytest.mark.parametrize` say.

        Raises:
            MissingReference: there is no such test, or its cases cannot be read.
        """
        node = self._statements.get(test)
        if not isinstance(node, ast.FunctionDef):
            raise MissingReference(f"{self._path} has no {test}")
        axes = [self._axis(mark) for mark in node.decorator_list if _is_parametrize(mark)]
        return [{k: v for part in parts for k, v in part.items()} for parts in itertools.product(*axes)]

    def _axis(self, mark: Any) -> list[dict[str, Any]]:
        wanted = {name.id for part in mark.args for name in ast.walk(part) if isinstance(name, ast.Name)}
        namespace = self._executed(wanted & self._statements.keys())
        try:
            names, values = (eval(compile(ast.Expression(part), self._path, "eval"), namespace) for part in mark.args)
        except Exception as error:
            raise MissingReference(f"{self._path}:{mark.lineno}: cases that cannot be read: {error!r}") from error
        names = [name.strip() for name in names.split(",")]
        return [dict(zip(names, value if len(names) > 1 else (value,), strict=True)) for value in values]

    def _executed(self, names: Iterable[str]) -> dict[str, Any]:
        needed = self._needed(list(names))
        body = [_OnTheCpu().visit(node) for node in self._tree.body if needed & set(_bound(node))]
        namespace = dict(self._given)
        exec(compile(ast.fix_missing_locations(ast.Module(body, [])), self._path, "exec"), namespace)
        return namespace | self._given

    def _needed(self, names: list[str]) -> set[str]:
        """Names that the file defines, which these use, they and theirs."""
        found, waiting = set[str](), list(names)
        while waiting:
            name = waiting.pop()
            if name in found or name in self._given or hasattr(builtins, name):
                continue
            node = self._statements.get(name)
            if node is None or (isinstance(node, (ast.Import, ast.ImportFrom)) and not _is_harmless(node)):
                raise MissingReference(f"{self._path}: {', '.join(names)}: nothing here stands for {name}")
            found.add(name)
            waiting += self._used(name, node)
        return found

    def _used(self, name: str, node: ast.stmt) -> Iterator[str]:
        if isinstance(node, ast.FunctionDef):
            yield from _globals(self._tables[name])
            parts: list[ast.AST] = [*node.args.defaults, *filter(None, node.args.kw_defaults)]
        else:
            parts = [] if isinstance(node, (ast.Import, ast.ImportFrom)) else [node]
        for part in parts:
            yield from (n.id for n in ast.walk(part) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load))


def _singly(node: ast.stmt) -> list[ast.stmt]:
    """An import of several modules as one of each."""
    if not isinstance(node, ast.Import):
        return [node]
    return [ast.copy_location(ast.Import([alias]), node) for alias in node.names]


def _bound(node: ast.stmt) -> list[str]:
    """Names that a statement of a module defines."""
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return [node.name]
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return [(alias.asname or alias.name).split(".")[0] for alias in node.names]
    return [target.id for target in getattr(node, "targets", []) if isinstance(target, ast.Name)]


def _is_harmless(node: ast.Import | ast.ImportFrom) -> bool:
    names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
    return all(name.split(".")[0] in HARMLESS for name in names)


def _is_parametrize(mark: ast.expr) -> bool:
    return isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.parametrize"


def _globals(table: symtable.SymbolTable) -> Iterator[str]:
    """Names that a function, or one within it, takes from its module."""
    yield from (symbol.get_name() for symbol in table.get_symbols() if symbol.is_global() and symbol.is_referenced())
    for child in table.get_children():
        yield from _globals(child)
