# SPDX-License-Identifier: Apache-2.0
"""Kernel source as text: what stands on a line, and in which function."""

from __future__ import annotations

import ast
import functools
import linecache
from pathlib import Path

from nkisim.errors import Location, cell_name


def line_text(location: Location) -> str:
    """The line without its indent; empty where the source cannot be read."""
    return linecache.getline(location.file, location.line).strip()


def function_at(location: Location) -> str:
    """Name of the innermost function around a line, classes before it; empty outside of all, or without source."""
    return _functions(location.file).get(location.line, "")


def lines_of_function(location: Location) -> tuple[int, int]:
    """First and last line of the innermost function around a line; outside of all the line itself."""
    name, functions = function_at(location), _functions(location.file)
    own = [line for line, function in functions.items() if function == name] if name else [location.line]
    return min(own), max(own)


def stage_of(location: Location) -> str:
    """File and function of a line, as "down_projection.py:project" or "Cell In[3]:softmax"."""
    return f"{cell_name(location.file) or Path(location.file).name}:{function_at(location) or '-'}"


@functools.lru_cache(maxsize=256)
def _functions(file: str) -> dict[int, str]:
    """Function by line."""
    try:
        module = ast.parse("".join(linecache.getlines(file)))
    except SyntaxError:
        return {}
    found: dict[int, str] = {}

    def visit(node: ast.AST, inside: str) -> None:
        for child in ast.iter_child_nodes(node):
            name = inside
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                name = f"{inside}.{child.name}" if inside else child.name
                if not isinstance(child, ast.ClassDef):
                    found.update(dict.fromkeys(range(child.lineno, (child.end_lineno or child.lineno) + 1), name))
            visit(child, name)

    visit(module, "")
    return found
