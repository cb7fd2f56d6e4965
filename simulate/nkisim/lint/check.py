# SPDX-License-Identifier: Apache-2.0
"""Applies the rules to a file, or to the source of a kernel."""

from __future__ import annotations

import ast
import inspect
import os
import textwrap
from collections.abc import Iterator
from typing import Any, NamedTuple

from nkisim.errors import shown
from nkisim.lint.launches import mismatched_launches
from nkisim.lint.modules import device_modules
from nkisim.lint.parsed_python import unparsed_python
from nkisim.lint.rules import ENTRY_RULES, RULES, Hit, Rule, old_device_loops
from nkisim.lint.versions import Version, missing
from nkisim.renamed import in_newer_names


class LintProblem(NamedTuple):
    """Something that simulates but would not trace or compile."""

    file: str
    line: int
    code: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.code} {self.message}"


def lint_source(
    source: str, file: str = "<source>", first_line: int = 1, version: Version | None = None
) -> list[LintProblem]:
    """Problems of every kernel in `source`: functions decorated with `nki.jit`, and functions those call by name.

    Args:
        version: of the SDK that is to run them; also finds what it lacks.

    Raises:
        SyntaxError: it is not Python.
    """
    module = ast.parse(source)
    hits = [hit for kernel in _kernels(module) for hit in _broken(_rules(kernel, version), kernel)]
    hits += mismatched_launches(module, os.environ.get("NEURON_LOGICAL_NC_CONFIG"))
    hits += _lacking(module, version)
    found = {LintProblem(file, getattr(node, "lineno", 0) + first_line - 1, code, text) for node, code, text in hits}
    return sorted(found)


def lint_kernel(kernel: Any, version: Version | None = None) -> list[LintProblem]:
    """Problems in the source of one kernel (a function or what `nki.jit` made of it).

    Args:
        version: of the SDK that is to run it; also finds what it lacks, in all modules of the kernel's package that the
            kernel's module reaches by imports and that import NKI.
    """
    function = inspect.unwrap(getattr(kernel, "function", kernel))
    lines, first = inspect.getsourcelines(function)
    source = textwrap.dedent("".join(lines))
    module = ast.parse(source)
    entries = [node for node in module.body if isinstance(node, ast.FunctionDef)]
    hits = [hit for entry in entries for hit in _broken(_of_version(ENTRY_RULES, version), entry)]
    name = shown(inspect.getsourcefile(function) or "<source>")
    found = {LintProblem(name, getattr(node, "lineno", 1) + first - 1, code, text) for node, code, text in hits}
    for part in device_modules(function) if version else ():
        lacking = _lacking(part.tree, version)
        found |= {LintProblem(shown(part.file), getattr(node, "lineno", 1), code, text) for node, code, text in lacking}
    return sorted(found)


def _broken(rules: list[Rule], function: ast.FunctionDef) -> Iterator[Hit]:
    """What breaks a rule, in the names that NKI has today."""
    for rule in rules:
        for node, code, text in rule(function):
            yield node, code, in_newer_names(text)


def _lacking(module: ast.Module, version: Version | None) -> list[Hit]:
    """What a version of the SDK has not: names, keywords, Python."""
    if version is None:
        return []
    return [*missing(module, version), *(unparsed_python(module) if version.parses else ())]


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


def _rules(function: ast.FunctionDef, version: Version | None) -> list[Rule]:
    return _of_version(ENTRY_RULES if any(_is_jit(d) for d in function.decorator_list) else RULES, version)


def _of_version(rules: tuple[Rule, ...], version: Version | None) -> list[Rule]:
    """Without a version, rules of the newest."""
    older = version is not None and not version.has("0.7")
    return [rule for rule in rules if not (older and rule is old_device_loops)]


def _is_jit(decorator: ast.AST) -> bool:
    node = decorator.func if isinstance(decorator, ast.Call) else decorator
    return (isinstance(node, ast.Attribute) and node.attr == "jit") or (isinstance(node, ast.Name) and node.id == "jit")
