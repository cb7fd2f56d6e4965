"""Constructs of NKI 0.1 in a kernel, found without `nkisim.migrate`: by its syntax alone, and by running it."""

from __future__ import annotations

import ast
import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from nkisim.legacy.tile import Tile

Construct = tuple[str, str]
"""What it is, and the dotted name, keyword or operator that stands there."""
Places = set[tuple[int, Construct]]

_RANGES = ("affine_range", "sequential_range", "static_range")
_INDICES = ("arange", "mgrid")
_SIGNS = ("add", "sub", "mul", "truediv", "pow", "mod", "and", "or", "xor", "lshift", "rshift")
_METHODS = {
    "__getitem__": "", "__setitem__": "item assignment", "broadcast_to": "broadcast_to",
    **{f"__{form}{sign}__": "operator on tiles" for sign in _SIGNS for form in ("", "r")},
    **{f"__i{sign}__": "in-place operator" for sign in _SIGNS},
    **dict.fromkeys(("__lt__", "__le__", "__gt__", "__ge__", "__neg__", "__invert__"), "operator on tiles"),
}  # fmt: skip


def written(function: ast.FunctionDef) -> Places:
    """Lines and constructs that syntax shows: names, keywords, results that are used, item assignment."""
    statements = {id(node.value) for node in ast.walk(function) if isinstance(node, ast.Expr)}
    return {
        (node.lineno, construct)
        for node in ast.walk(function)
        if isinstance(node, (ast.expr, ast.stmt))
        for construct in _of(node, id(node) in statements)
    }


def _of(node: ast.AST, is_statement: bool) -> Iterator[Construct]:
    if isinstance(node, ast.Attribute) and node.attr in _INDICES and ast.unparse(node.value) in ("nl", "nki.language"):
        yield "index tensor", node.attr
    if not isinstance(node, ast.Call):
        return
    place, _, last = ast.unparse(node.func).rpartition(".")
    if last == "par_dim":
        yield "par_dim", last
    if last in _RANGES:
        yield "range", last
    for keyword in node.keywords:
        if keyword.arg == "mask" or (keyword.arg == "dtype" and place == "nisa"):
            yield f"{keyword.arg}=", last
    if place == "nisa" and not is_statement:
        yield "returned tile", last
    if last == "program_id" and node.args and ast.unparse(node.args[0]) != "0":
        yield "grid of several axes", last


@contextlib.contextmanager
def observed(file: str) -> Iterator[Places]:
    """Lines and constructs of the kernels in a file that only values tell, of those that run meanwhile."""
    seen: Places = set()

    def noting(construct: str, name: str, whole: Callable[..., Any]) -> Callable[..., Any]:
        def call(self: Tile, *others: Any) -> Any:
            frame = sys._getframe(1)
            if frame.f_code.co_filename == file:
                if construct and not self.buffer.is_hbm:
                    seen.add((frame.f_lineno, (construct, name)))
                if name.endswith("item__") and _has_index(others[0]):
                    seen.add((frame.f_lineno, ("indexed access", name)))
            return whole(self, *others)

        return call

    kept = {name: getattr(Tile, name) for name in _METHODS}
    for name, construct in _METHODS.items():
        setattr(Tile, name, noting(construct, name, kept[name]))
    try:
        yield seen
    finally:
        for name, whole in kept.items():
            setattr(Tile, name, whole)


def _has_index(key: Any) -> bool:
    return any(isinstance(part, (np.ndarray, Tile)) for part in (key if isinstance(key, tuple) else (key,)))
