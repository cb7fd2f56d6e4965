# SPDX-License-Identifier: Apache-2.0
"""L107: launches whose core count does not fit the kernel."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from nkisim.lint import names
from nkisim.lint.rules import SYNCHRONIZING, Hit


def mismatched_launches(module: ast.Module, configured: str | None) -> Iterator[Hit]:
    """`kernel[n](...)` where the kernel synchronises two cores and n is not 2, or NEURON_LOGICAL_NC_CONFIG says else.

    Args:
        configured: value of that variable, or None.
    """
    kernels = {n.name: n for n in module.body if isinstance(n, ast.FunctionDef)}
    pairs = {
        name for name, node in kernels.items() if any(names.called_name(n) in SYNCHRONIZING for n in ast.walk(node))
    }
    for node in ast.walk(module):
        if not (isinstance(node, ast.Call) and isinstance(node.func, (ast.Subscript, ast.Name))):
            continue
        name = node.func.value if isinstance(node.func, ast.Subscript) else node.func
        if not (isinstance(name, ast.Name) and name.id in kernels):
            continue
        grid = _constant(node.func.slice) if isinstance(node.func, ast.Subscript) else None
        yield from _launch(node, name.id, grid, name.id in pairs, configured)


def _constant(node: ast.expr) -> object:
    return node.value if isinstance(node, ast.Constant) else None


def _launch(node: ast.Call, name: str, grid: object, needs_pair: bool, configured: str | None) -> Iterator[Hit]:
    if needs_pair and isinstance(grid, int) and grid != 2:
        yield node, "L107", f"{name} synchronises two cores but is launched with [{grid}]; launch {name}[2]"
    if isinstance(grid, int) and configured is not None and str(grid) != configured:
        yield node, "L107", f"{name}[{grid}] does not match NEURON_LOGICAL_NC_CONFIG={configured}"
