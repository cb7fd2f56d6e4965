"""Mistakes to plant in a kernel: its syntax tree with one place changed, its lines where they were."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

_OTHER = {"add": "subtract", "multiply": "add", "subtract": "add", "exp": "square", "maximum": "minimum"}
_RANGES = ("range", "affine_range", "sequential_range", "static_range")
Change = Callable[[Any], int]
"""Changes a node of a syntax tree if it can, and gives the line, else 0."""


@dataclass(frozen=True)
class Mistake:
    """A kernel with a mistake.

    Attributes:
        kind: what was changed; line: where; kernel: the changed kernel.
    """

    kind: str
    line: int
    kernel: Any


def mistakes(file: Path, name: str, module: ModuleType) -> Iterator[Mistake]:
    """One of each kind that the kernel has a place for, at the first such place.

    Args:
        module: of the file, whose other names the changed kernel uses.
    """
    for kind, change in KINDS.items():
        tree = ast.parse(file.read_text("utf-8"))
        function = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name)
        places = sorted((node for node in ast.walk(function) if hasattr(node, "lineno")), key=lambda node: node.lineno)
        line = next(filter(None, map(change, places)), 0)
        if line:
            names = dict(vars(module))
            code = compile(ast.fix_missing_locations(ast.Module([function], [])), str(file), "exec")
            exec(code, names)
            yield Mistake(kind, line, names[name])


def _operator(node: Any) -> int:
    """`op=nl.multiply` becomes `op=nl.add`, and so on."""
    found = isinstance(node, ast.keyword) and isinstance(node.value, ast.Attribute) and node.value.attr in _OTHER
    if found:
        node.value.attr = _OTHER[node.value.attr]
    return node.lineno if found else 0


def _passes(node: Any) -> int:
    """A loop ends a pass early."""
    call = node.iter if isinstance(node, ast.For) else None
    found = isinstance(call, ast.Call) and ast.unparse(call.func).rpartition(".")[2] in _RANGES
    if found:
        last = min(1, len(call.args) - 1)
        call.args[last] = ast.BinOp(call.args[last], ast.Sub(), ast.Constant(1))
    return node.lineno if found else 0


def _number(node: Any) -> int:
    """A number that an instruction takes is one larger."""
    found = isinstance(node, ast.keyword) and isinstance(node.value, ast.Constant) and type(node.value.value) is float
    if found:
        node.value.value += 1
    return node.lineno if found else 0


def _statement(node: Any) -> int:
    """The first computing instruction of a body is missing."""
    body = getattr(node, "body", None)
    for i, statement in enumerate(body if isinstance(body, list) else []):
        if isinstance(statement, ast.Expr) and ast.unparse(statement).startswith("nisa.") and len(body) > 1:
            return body.pop(i).lineno
    return 0


def _source(node: Any) -> int:
    """A transfer reads from the front of the last dimension, whatever the loop says."""
    source = next((k.value for k in getattr(node, "keywords", []) if k.arg == "src"), None)
    index = source.slice if isinstance(source, ast.Subscript) else None
    parts = index.elts if isinstance(index, ast.Tuple) else []
    if not parts or not isinstance(parts[-1], ast.Slice) or not isinstance(parts[-1].lower, ast.BinOp):
        return 0
    lower, upper = parts[-1].lower, parts[-1].upper
    parts[-1] = ast.Slice(ast.Constant(0), ast.BinOp(upper, ast.Sub(), lower))
    return node.lineno


def _operands(node: Any) -> int:
    """The first two names of an unpacked shape are exchanged."""
    target = node.targets[0] if isinstance(node, ast.Assign) and ast.unparse(node.value).endswith(".shape") else None
    found = isinstance(target, ast.Tuple) and len(target.elts) > 1
    if found:
        target.elts[0], target.elts[1] = target.elts[1], target.elts[0]
    return node.lineno if found else 0


KINDS: dict[str, Change] = {
    "another operator": _operator,
    "a pass less": _passes,
    "another number": _number,
    "an instruction less": _statement,
    "the front again": _source,
    "sizes exchanged": _operands,
}
