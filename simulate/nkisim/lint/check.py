"""Applies the rules to a file, or to the source of a kernel."""

from __future__ import annotations

import ast
import inspect
import os
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from nkisim.lint.launches import mismatched_launches
from nkisim.lint.rules import ENTRY_RULES, RULES, Rule


class LintProblem(NamedTuple):
    """Something that simulates but would not trace or compile."""

    file: str
    line: int
    code: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.code} {self.message}"


def lint_source(source: str, file: str = "<source>", first_line: int = 1) -> list[LintProblem]:
    """Problems of every kernel in `source`: functions decorated with `nki.jit`, and functions those call by name.

    Raises:
        SyntaxError: it is not Python.
    """
    module = ast.parse(source)
    hits = [hit for kernel in _kernels(module) for rule in _rules(kernel) for hit in rule(kernel)]
    hits += mismatched_launches(module, os.environ.get("NEURON_LOGICAL_NC_CONFIG"))
    found = {LintProblem(file, getattr(node, "lineno", 0) + first_line - 1, code, text) for node, code, text in hits}
    return sorted(found)


def lint_kernel(kernel: Any) -> list[LintProblem]:
    """Problems in the source of one kernel (a function or what `nki.jit` made of it)."""
    function = inspect.unwrap(getattr(kernel, "function", kernel))
    lines, first = inspect.getsourcelines(function)
    source = textwrap.dedent("".join(lines))
    module = ast.parse(source)
    hits = [
        hit for rule in ENTRY_RULES for node in module.body if isinstance(node, ast.FunctionDef) for hit in rule(node)
    ]
    file = Path(inspect.getsourcefile(function) or "<source>")
    name = os.path.relpath(file) if file.is_absolute() else str(file)
    return sorted({LintProblem(name, getattr(node, "lineno", 1) + first - 1, code, text) for node, code, text in hits})


def _kernels(module: ast.Module) -> Iterator[ast.FunctionDef]:
    functions = {n.name: n for n in ast.walk(module) if isinstance(n, ast.FunctionDef)}
    waiting = [f for f in functions.values() if any(_is_jit(d) for d in f.decorator_list)]
    seen: set[str] = set()
    while waiting:
        kernel = waiting.pop()
        if kernel.name in seen:
            continue
        seen.add(kernel.name)
        yield kernel
        called = {n.func.id for n in ast.walk(kernel) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}
        waiting += [functions[name] for name in called & set(functions)]


def _rules(function: ast.FunctionDef) -> tuple[Rule, ...]:
    return ENTRY_RULES if any(_is_jit(d) for d in function.decorator_list) else RULES


def _is_jit(decorator: ast.AST) -> bool:
    node = decorator.func if isinstance(decorator, ast.Call) else decorator
    return (isinstance(node, ast.Attribute) and node.attr == "jit") or (isinstance(node, ast.Name) and node.id == "jit")
