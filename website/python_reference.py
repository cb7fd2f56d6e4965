"""A page for every module that users import names from, in the order of its `__all__`.

Read without importing, so that pages of modules with torch need none.
"""

from __future__ import annotations

import ast
from pathlib import Path

from website.links import ROOT

FOLDER = "reference/python"
MODULES = (
    "nkimoe", "nkimoe.as_nkilib", "nkimoe.hf", "nkimoe.ops", "nkimoe.pytorch", "nkimoe.reference", "nkimoe.routing",
    "nkimoe.routing.on_device", "nkimoe.tuning", "nkimoe.weights",
    "nkisim", "nkisim.errors", "nkisim.machine", "nkisim.observe", "nkisim.testing",
)  # fmt: skip
"""What is public, but for AWS's names, which have pages of their own."""


def python_pages() -> dict[str, str]:
    """The text of each page by its name."""
    pages = {f"{FOLDER}/{module}.md": _page(module) for module in MODULES}
    return {f"{FOLDER}/index.md": _index(), **pages}


def public_names(module: str) -> list[str]:
    """What a module exports: its `__all__`, or the classes and functions it defines."""
    tree = ast.parse(_source(module).read_text("utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return sorted(ast.literal_eval(node.value), key=str.casefold)
    defined = (node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef))
    return [name for name in defined if not name.startswith("_")]


def _index() -> str:
    lines = [f"* [`{module}`]({module}.md): {_summary(module)}" for module in MODULES]
    return "\n\n".join([
        "# Python",
        "Every public name with its docstring: shapes, dtypes, units, errors. The names of AWS's packages are in "
        "[instructions](../isa/index.md) and [coverage](../../simulator/coverage.md).",
        "\n".join(lines),
    ])  # fmt: skip


def _page(module: str) -> str:
    names = [name for name in public_names(module) if not name.startswith("__")]
    return "\n\n".join([f"# {module}", _described(module), *(f"::: {module}.{name}" for name in names)])


def _described(module: str) -> str:
    return ast.get_docstring(ast.parse(_source(module).read_text("utf-8"))) or ""


def _summary(module: str) -> str:
    return _described(module).split("\n\n")[0].replace("\n", " ")


def _source(module: str) -> Path:
    base = ROOT / ("simulate" if module.startswith("nkisim") else "") / module.replace(".", "/")
    return base / "__init__.py" if base.is_dir() else base.with_suffix(".py")
