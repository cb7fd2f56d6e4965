# SPDX-License-Identifier: Apache-2.0
"""Reads a file of NKI 0.1, and gives the advice for each line."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from nkisim.migrate.advice import CHANGED_ARGUMENTS, RANGES, TILE_OPERATORS, Replacement, removed, returned_a_tile
from nkisim.migrate.scope import INDEX_MAKERS, Scope
from nkisim.renamed import in_newer_names

Found = tuple[str, str, str, str]
_NO_OPERATORS = "tiles have no operators"
_GRID = (
    "grid of several axes", "kernel[cores], and loops over the other axes inside the kernel",
    "a launch grid has one axis: cores", "which axis the cores divide",
)  # fmt: skip


def advise(source: str, file: str, kernel: str = "") -> list[Replacement]:
    """The advice for a file, in the order of its lines; none for a file that does not import NKI 0.1.

    Args:
        kernel: only what stands in this function, and the imports.

    Raises:
        SyntaxError: it is no Python.
        LookupError: there is no such function.
    """
    tree = ast.parse(source)
    scope = Scope(tree)
    if not scope.is_older:
        return []
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == kernel]
    if kernel and not functions:
        raise LookupError(f"no function {kernel}")
    wanted = {id(part) for function in functions for part in ast.walk(function)}
    found = []
    for node in ast.walk(tree):
        if kernel and id(node) not in wanted and not isinstance(node, (ast.Import, ast.ImportFrom)):
            continue
        for construct, write, why, decision in _of(node, scope):
            line = getattr(node, "lineno", 1)
            text = (ast.get_source_segment(source, node) or "").splitlines()
            written = text[0].strip() if text else ""
            found.append(Replacement(file, line, construct, written, *map(in_newer_names, (write, why, decision))))
    return sorted(set(found), key=lambda advice: (advice.line, advice.construct, advice.source))


def _of(node: ast.AST, scope: Scope) -> Iterator[Found]:
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        yield from _import(node)
    elif isinstance(node, ast.Call):
        yield from _call(node, scope)
    elif isinstance(node, ast.Subscript):
        yield from _subscript(node, scope)
    elif isinstance(node, ast.AugAssign):
        yield from _in_place(node, scope)
    elif isinstance(node, ast.Assign):
        yield from _assignment(node, scope)
    elif isinstance(node, (ast.BinOp, ast.UnaryOp, ast.Compare)):
        yield from _operator(node, scope)
    elif isinstance(node, (ast.Attribute, ast.Name)):
        yield from _name(node, scope)


def _import(node: ast.Import | ast.ImportFrom) -> Iterator[Found]:
    names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
    if any(name.split(".")[0] == "neuronxcc" for name in names):
        new = ast.unparse(node).replace("from neuronxcc import nki", "import nki").replace("neuronxcc.nki", "nki")
        new = new.replace("import nki as nki", "import nki")
        yield "import", new, "the package is called nki since NKI 0.2; neuronxcc.nki ends with Neuron SDK 2.27", ""


def _call(node: ast.Call, scope: Scope) -> Iterator[Found]:
    name = scope.called(node)
    place, _, last = name.partition(".")
    keywords = {keyword.arg for keyword in node.keywords}
    if name and "mask" in keywords:
        yield (
            "mask=", "slices cut to the tensor: x[start : min(start + 128, size)]",
            "instructions have no mask=; a mask almost always keeps an index inside the tensor",
            "a mask that is no box needs nisa.affine_select, nl.where or nisa.tensor_copy_predicated",
        )  # fmt: skip
    returned = returned_a_tile(last)
    has_dst = "dst" in keywords or (returned and scope.is_statement(node))
    if place == "nisa" and returned and not has_dst:
        yield (
            "returned tile", f"{name}(dst=...) into a tile allocated with nl.ndarray",
            "every instruction of nki.isa takes dst as its first argument and returns no tile",
            "the memory of the destination: nl.psum for products and transposes, else nl.sbuf",
        )  # fmt: skip
    if place == "nisa" and "dtype" in keywords:
        yield "dtype=", "the type of dst", "instructions have no dtype=; they convert to the type of dst", ""
    if place == "nisa" and last in CHANGED_ARGUMENTS and not has_dst:
        yield "changed arguments", f"{name}: {CHANGED_ARGUMENTS[last]}", "its arguments changed with NKI 0.2", ""
    if name == "nl.par_dim":
        yield (
            "par_dim", ast.unparse(node.args[0]) if node.args else "the size itself",
            "dimension 0 of a tile on chip is the partition; nothing stands before it",
            "dimensions before it become a list of tiles, or free dimensions behind it",
        )  # fmt: skip
    if place == "nl" and last in RANGES:
        yield "range", f"range({', '.join(map(ast.unparse, node.args))})", "loops run as Python's do", ""
    if name == "nl.program_id" and node.args and ast.unparse(node.args[0]) != "0":
        yield _GRID
    if name == "nki.jit" and keywords:
        yield "jit options", "@nki.jit", "nki.jit has no mode=; kernels inside kernels are plain functions", ""
    grid = node.func.slice if isinstance(node.func, ast.Subscript) else None
    if isinstance(grid, ast.Tuple) and len(grid.elts) > 1:
        yield _GRID
    method = node.func if isinstance(node.func, ast.Attribute) and not name else None
    if method is not None and method.attr == "broadcast_to" and scope.is_tile(method.value):
        yield (
            "broadcast_to", "nl.broadcast_to(tile, shape), or .broadcast(dim, size) for free dimensions",
            "tiles have no broadcast_to", "partitions are repeated by an instruction, free dimensions by a view",
        )  # fmt: skip


def _subscript(node: ast.Subscript, scope: Scope) -> Iterator[Found]:
    if scope.uses_index(node.slice) and not (isinstance(node.value, ast.Name) and node.value.id in scope.indices):
        yield (
            "indexed access", f"{ast.unparse(node.value)}[start:stop, ...] where the elements are contiguous, else .ap",
            "tensors are indexed by integers and slices", "whether the access is a slice",
        )  # fmt: skip


def _in_place(node: ast.AugAssign, scope: Scope) -> Iterator[Found]:
    if not (scope.is_tile(node.target) or scope.is_tile(node.value)):
        return
    if scope.called(node.value) in ("nl.matmul", "nisa.nc_matmul"):
        write, why = "nisa.nc_matmul(dst=total, ...)", "a product adds to what earlier ones wrote to its tile of PSUM"
    else:
        op, second = TILE_OPERATORS[type(node.op).__name__], "x"
        if isinstance(node.op, ast.Div):  # for which instructions have no operator
            op, second = "nl.multiply", "nl.reciprocal(x)"
        write, why = f"nisa.tensor_tensor(dst=total, data1=total, data2={second}, op={op})", _NO_OPERATORS
    yield "in-place operator", write, why, ""


def _assignment(node: ast.Assign, scope: Scope) -> Iterator[Found]:
    for target in node.targets:
        if isinstance(target, ast.Subscript) and (scope.is_tile(target.value) or scope.is_tile(node.value)):
            yield (
                "item assignment", f"the instruction with dst={ast.unparse(target)}",
                "an instruction writes its dst; nothing is assigned to a part of a tile", "",
            )  # fmt: skip


def _operator(node: ast.BinOp | ast.UnaryOp | ast.Compare, scope: Scope) -> Iterator[Found]:
    operands = [node.left, node.right] if isinstance(node, ast.BinOp) else (
        [node.operand] if isinstance(node, ast.UnaryOp) else [node.left, *node.comparators]
    )  # fmt: skip
    op = node.ops[0] if isinstance(node, ast.Compare) else node.op
    name = TILE_OPERATORS.get(type(op).__name__)
    if name and any(scope.is_tile(operand) for operand in operands):
        yield "operator on tiles", f"{name}(...), or the instruction with dst=", _NO_OPERATORS, ""


def _name(node: ast.Attribute | ast.Name, scope: Scope) -> Iterator[Found]:
    name = scope.name(node)
    place, _, last = name.partition(".")
    gone = removed(name)
    if name in INDEX_MAKERS:
        yield "index tensor", gone, f"{name} was removed", ""
    elif name in ("ncc.sbuf", "ncc.psum"):
        yield "direct allocation", gone, "allocators were replaced by address=", "the address of each tile of a ring"
    elif gone:
        yield last if place == "nki" else name, gone, f"{name} was removed with neuronxcc.nki", ""
    elif name == "nki.simulate_kernel":
        yield last, "nki.simulate(kernel)(*args)", f"nki.simulate takes the place of {name}", ""
