# SPDX-License-Identifier: Apache-2.0
"""What the names in a kernel hold, as far as the source tells: device scalars, tensors, or Python values."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from nkisim.renamed import any_newer_name

SCALAR_MAKERS = {any_newer_name(name) for name in ("register_alloc", "scalar_load")}
TENSOR_MAKERS = {any_newer_name(name) for name in (
    "ndarray", "zeros", "ones", "full", "empty_like", "zeros_like", "load", "shared_constant", "shared_identity_matrix",
)}  # fmt: skip
DEVICE_LOOPS = {any_newer_name("fori_loop"): 2, any_newer_name("while_loop"): 1}  # where their body stands


def called_name(node: ast.AST) -> str:
    """Last part of a call's function name, as it is today: `nl.fori_loop(...)` is "fori_loop"; "" for anything else."""
    function = node.func if isinstance(node, ast.Call) else None
    if isinstance(function, ast.Attribute):
        return any_newer_name(function.attr)
    return any_newer_name(function.id) if isinstance(function, ast.Name) else ""


def argument(call: ast.Call, position: int, keyword: str) -> ast.expr | None:
    """An argument by position or keyword."""
    if position < len(call.args):
        return call.args[position]
    return next((k.value for k in call.keywords if k.arg == keyword), None)


def assigned_names(target: ast.AST) -> Iterator[str]:
    """Names that an assignment target binds."""
    if isinstance(target, ast.Name):
        yield target.id
    elif isinstance(target, (ast.Tuple, ast.List)):
        for element in target.elts:
            yield from assigned_names(element)
    elif isinstance(target, ast.Starred):
        yield from assigned_names(target.value)


def loop_bodies(function: ast.AST) -> Iterator[tuple[ast.Call, ast.FunctionDef | ast.Lambda]]:
    """Device loops in a function, with the function or lambda they repeat."""
    local = {n.name: n for n in ast.walk(function) if isinstance(n, ast.FunctionDef)}
    for node in ast.walk(function):
        kind = called_name(node)
        if kind in DEVICE_LOOPS and isinstance(node, ast.Call):
            body = argument(node, DEVICE_LOOPS[kind], "body_fun")
            if isinstance(body, ast.Lambda):
                yield node, body
            elif isinstance(body, ast.Name) and body.id in local:
                yield node, local[body.id]


def device_scalars(function: ast.AST) -> set[str]:
    """Names bound to registers or NkiScalars, loop variables of device loops among them."""
    found = set()
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and called_name(node.value) in SCALAR_MAKERS:
            found |= {name for target in node.targets for name in assigned_names(target)}
        if isinstance(node, ast.For) and called_name(node.iter) == "dynamic_range":
            found |= set(assigned_names(node.target))
    for _, body in loop_bodies(function):
        found |= {a.arg for a in body.args.args}
    return found


def tensors(function: ast.AST) -> dict[str, ast.Call]:
    """Names bound to a freshly made tensor, and the call that made it."""
    found = {}
    for node in ast.walk(function):
        if (
            isinstance(node, ast.Assign)
            and called_name(node.value) in TENSOR_MAKERS
            and isinstance(node.value, ast.Call)
        ):
            found.update({name: node.value for target in node.targets for name in assigned_names(target)})
    return found


def local_names(function: ast.FunctionDef | ast.Lambda) -> set[str]:
    """Parameters and names assigned inside a function, those declared nonlocal or global excepted."""
    names = {a.arg for a in (*function.args.args, *function.args.kwonlyargs)}
    outer: set[str] = set()
    for node in ast.walk(function):
        if isinstance(node, (ast.Nonlocal, ast.Global)):
            outer |= set(node.names)
        elif isinstance(node, ast.Assign):
            names |= {name for target in node.targets for name in assigned_names(target)}
        elif isinstance(node, (ast.AnnAssign, ast.AugAssign, ast.For, ast.NamedExpr)):
            names |= set(assigned_names(node.target))
        elif isinstance(node, ast.FunctionDef):
            names.add(node.name)
    return names - outer
