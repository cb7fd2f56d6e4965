# SPDX-License-Identifier: Apache-2.0
"""The rules. Each takes the kernel's syntax tree and yields (node, code, message)."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator

import nkisim.nki.isa  # noqa: F401 - declares every instruction
from nkisim.lint import names
from nkisim.operations.instruction import INSTRUCTIONS

Hit = tuple[ast.AST, str, str]
Rule = Callable[[ast.FunctionDef], Iterator[Hit]]
CONVERSIONS = {"int", "bool", "float", "range", "len", "str"}
MUTATORS = {
    "append",
    "extend",
    "insert",
    "pop",
    "remove",
    "clear",
    "update",
    "add",
    "setdefault",
    "popleft",
    "appendleft",
}
SYNCHRONIZING = sorted(name for name, declared in INSTRUCTIONS.items() if declared.traits.meeting)


def branches_on_device_values(kernel: ast.FunctionDef) -> Iterator[Hit]:
    """L101: `if`, `while`, `assert` and conditional expressions on registers or tensors."""
    scalars, tiles = names.device_scalars(kernel), set(names.tensors(kernel))
    for node in ast.walk(kernel):
        if isinstance(node, (ast.If, ast.While, ast.IfExp, ast.Assert)):
            used = {n.id for n in _values(node.test)} & (scalars | tiles)
            for name in sorted(used):
                what = "register" if name in scalars else "tensor"
                yield (
                    node,
                    "L101",
                    (
                        f"branches on the {what} '{name}', whose value is not known while tracing; "
                        "use nl.while_loop, a predicated copy, or a Python value"
                    ),
                )


def _values(test: ast.AST) -> Iterator[ast.Name]:
    """Names whose value decides a condition: not `x is None`, not `x.shape`, not arguments of calls."""
    if isinstance(test, ast.Name):
        yield test
    elif isinstance(test, ast.BoolOp):
        for value in test.values:
            yield from _values(value)
    elif isinstance(test, ast.UnaryOp):
        yield from _values(test.operand)
    elif isinstance(test, ast.BinOp):
        yield from _values(test.left)
        yield from _values(test.right)
    elif isinstance(test, ast.Compare) and not any(isinstance(op, (ast.Is, ast.IsNot)) for op in test.ops):
        against_none = any(isinstance(c, ast.Constant) and c.value is None for c in test.comparators)
        for value in () if against_none else (test.left, *test.comparators):
            yield from _values(value)


def conversions_of_device_values(kernel: ast.FunctionDef) -> Iterator[Hit]:
    """L102: int(), bool(), float(), range() of a register."""
    scalars = names.device_scalars(kernel)
    for node in ast.walk(kernel):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CONVERSIONS:
            for name in sorted({a.id for a in node.args if isinstance(a, ast.Name)} & scalars):
                yield (
                    node,
                    "L102",
                    (
                        f"{node.func.id}({name}) needs the value of a register while tracing; "
                        "loop with nl.fori_loop, address with nl.ds"
                    ),
                )


def state_changed_in_a_loop_body(kernel: ast.FunctionDef) -> Iterator[Hit]:
    """L103: Python state that a once-traced body changes once, where the author expects every iteration to."""
    for _, body in names.loop_bodies(kernel):
        local = names.local_names(body)
        for node in ast.walk(body):
            yield from _changes(node, local)


def _changes(node: ast.AST, local: set[str]) -> Iterator[Hit]:
    fix = "the body is traced once; carry state through SBUF, HBM or registers"
    if isinstance(node, (ast.Nonlocal, ast.Global)):
        yield node, "L103", f"the loop body rebinds outer {', '.join(node.names)}; {fix}"
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in MUTATORS:
        root = _root(node.func.value)
        if root and root not in local:
            yield node, "L103", f"the loop body calls {root}.{node.func.attr}(...) on an outer object; {fix}"
    if isinstance(node, ast.Call) and names.called_name(node) == "next" and node.args:
        root = _root(node.args[0])
        if root and root not in local:
            yield node, "L103", f"the loop body advances the outer iterator {root}; {fix}"
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AugAssign) else []
    for target in targets:
        root = _root(target) if isinstance(target, (ast.Subscript, ast.Attribute)) else None
        if root and root not in local:
            yield node, "L103", f"the loop body assigns into outer {ast.unparse(target)}; {fix}"


def _root(node: ast.AST) -> str | None:
    while isinstance(node, (ast.Attribute, ast.Subscript)):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None


def outputs_outside_shared_hbm(kernel: ast.FunctionDef) -> Iterator[Hit]:
    """L104: returned tensors must be in shared HBM."""
    made = names.tensors(kernel)
    inner = {id(n) for f in ast.walk(kernel) if isinstance(f, ast.FunctionDef) and f is not kernel for n in ast.walk(f)}
    for node in ast.walk(kernel):
        if not isinstance(node, ast.Return) or node.value is None or id(node) in inner:
            continue
        values = node.value.elts if isinstance(node.value, (ast.Tuple, ast.List)) else [node.value]
        for value in values:
            if isinstance(value, ast.Name) and value.id in made:
                buffer = _buffer(made[value.id])
                if buffer is not None and buffer != "shared_hbm":
                    yield node, "L104", f"returns '{value.id}', which is in {buffer}; kernels return shared_hbm tensors"


def _buffer(call: ast.Call) -> str | None:
    """Memory named in a call that makes a tensor; None where the source does not say."""
    kind = names.called_name(call)
    if kind in ("load", "shared_identity_matrix"):
        return "sbuf"
    position = {"ndarray": 2, "zeros": 2, "ones": 2, "full": 3}.get(kind)
    if position is None:
        return None
    value = names.argument(call, position, "buffer")
    if value is None:
        return "sbuf"
    return value.attr if isinstance(value, ast.Attribute) else None


def synchronization_on_one_core(kernel: ast.FunctionDef) -> Iterator[Hit]:
    """L105: a barrier or exchange that only one core reaches."""
    cores = {
        name
        for node in ast.walk(kernel)
        if isinstance(node, ast.Assign) and names.called_name(node.value) == "program_id"
        for target in node.targets
        for name in names.assigned_names(target)
    }
    for node in ast.walk(kernel):
        if isinstance(node, ast.If) and _asks_for_the_core(node.test, cores):
            here, there = _calls(node.body), _calls(node.orelse)
            if here != there:
                meetings = " or ".join(SYNCHRONIZING)
                yield node, "L105", f"only one core comes to a {meetings} here; reach it on both"


def _asks_for_the_core(test: ast.AST, cores: set[str]) -> bool:
    return any(
        (isinstance(n, ast.Name) and n.id in cores) or names.called_name(n) == "program_id" for n in ast.walk(test)
    )


def _calls(body: list[ast.stmt]) -> list[str]:
    found = [names.called_name(n) for statement in body for n in ast.walk(statement)]
    return [name for name in found if name in SYNCHRONIZING]


def old_device_loops(kernel: ast.FunctionDef) -> Iterator[Hit]:
    """L106: loops that NKI 0.7 removed."""
    for node in ast.walk(kernel):
        if isinstance(node, ast.For) and names.called_name(node.iter) == "dynamic_range":
            yield node, "L106", "nl.dynamic_range was removed in NKI 0.7; use nl.fori_loop"


RULES: tuple[Rule, ...] = (
    branches_on_device_values,
    conversions_of_device_values,
    state_changed_in_a_loop_body,
    synchronization_on_one_core,
    old_device_loops,
)
ENTRY_RULES: tuple[Rule, ...] = (*RULES, outputs_outside_shared_hbm)
"""For kernels themselves; `RULES` also hold for the functions they call."""
