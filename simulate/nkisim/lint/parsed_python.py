# SPDX-License-Identifier: Apache-2.0
"""L110: Python that the parsing front end of SDK 2.29 to 2.31 does not take, in code that a kernel may run."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from nkisim.lint import names
from nkisim.lint.rules import Hit

_DECORATORS = {"jit", "dataclass", "staticmethod"}
_BASES = {"NKIObject", "Enum", "IntEnum", "NamedTuple"}
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def unparsed_python(module: ast.Module) -> Iterator[Hit]:
    """Constructs in functions and classes of a module that the parser refuses."""
    for outer in module.body:
        if isinstance(outer, (ast.FunctionDef, ast.ClassDef)):
            for node in ast.walk(outer):
                for what in _refused(node):
                    yield (
                        node,
                        "L110",
                        f"{what}: the front end of SDK 2.29 to 2.31 parses Python without it",
                    )


def _refused(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.FunctionDef):
        yield from _of_function(node)
    elif isinstance(node, ast.ClassDef):
        yield from (f"the base {base}" for base in map(_last, node.bases) if base not in _BASES)
    elif isinstance(node, ast.Call):
        yield from _of_call(node)
    elif isinstance(node, (ast.For, ast.While)) and node.orelse:
        yield "`else` of a loop"
    elif isinstance(node, ast.With) and any(item.optional_vars is not None for item in node.items):
        yield "`with ... as`"
    elif isinstance(node, _COMPREHENSIONS):
        yield "a comprehension"
    elif isinstance(node, (ast.Yield, ast.YieldFrom)):
        yield "a generator"
    elif isinstance(node, (ast.Import, ast.ImportFrom)):
        yield "an import inside a function"
    elif isinstance(node, ast.Dict) and any(not _is_text(key) for key in node.keys):
        yield "a dict with keys that are no texts"


def _of_function(function: ast.FunctionDef) -> Iterator[str]:
    arguments = function.args
    if arguments.vararg or arguments.kwarg:
        yield "`*args` or `**kwargs`"
    if arguments.kwonlyargs:
        yield "keyword-only arguments"
    for decorator in map(_last, function.decorator_list):
        if decorator not in _DECORATORS:
            yield f"the decorator {decorator}"


def _of_call(call: ast.Call) -> Iterator[str]:
    if any(isinstance(a, ast.Starred) for a in call.args) or any(k.arg is None for k in call.keywords):
        yield "a call with `*` or `**`"
    if names.called_name(call) in ("partial", "super"):
        yield f"{names.called_name(call)}(...)"


def _last(node: ast.expr) -> str:
    """Last part of the name of a decorator or base."""
    named = node.func if isinstance(node, ast.Call) else node
    return named.attr if isinstance(named, ast.Attribute) else ast.unparse(named)


def _is_text(key: ast.expr | None) -> bool:
    return isinstance(key, ast.JoinedStr) or (isinstance(key, ast.Constant) and isinstance(key.value, str))
