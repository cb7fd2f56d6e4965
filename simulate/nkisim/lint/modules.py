# SPDX-License-Identifier: Apache-2.0
"""The device code of a kernel: modules of its package that it imports, and that import NKI."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple


class DeviceModule(NamedTuple):
    """A module that holds device code."""

    file: str
    tree: ast.Module


def device_modules(function: Callable[..., Any]) -> list[DeviceModule]:
    """The modules that `function` reaches by imports inside its own package, itself first, if they import NKI."""
    start = function.__module__
    package = start.partition(".")[0]
    waiting, seen, found = [start], {start}, []
    while waiting:
        name = waiting.pop(0)
        module = sys.modules.get(name)
        file = inspect.getsourcefile(module) if module is not None and hasattr(module, "__file__") else None
        if module is None or file is None:
            continue
        tree = ast.parse(inspect.getsource(module))
        imported = set(_imported(tree, name, hasattr(module, "__path__")))
        if any(other == "nki" or other.startswith("nki.") for other in imported):
            found.append(DeviceModule(file, tree))
        fresh = sorted(other for other in imported if other.partition(".")[0] == package and other not in seen)
        seen.update(fresh)
        waiting += fresh
    return found


def _imported(tree: ast.Module, name: str, is_package: bool) -> Iterator[str]:
    """Dotted names a module imports; `from a import b` may mean the module `a.b`, too."""
    base = name.split(".") if is_package else name.split(".")[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = base[: len(base) - node.level + 1] if node.level else []
            origin = ".".join([*above, *([node.module] if node.module else [])])
            yield origin
            yield from (f"{origin}.{alias.name}" for alias in node.names)
