"""A page for every module that users import names from, in the order of its `__all__`.

Read without importing, so that pages of modules with torch need none.
"""

from __future__ import annotations

import ast
from pathlib import Path

from website.links import ROOT

FOLDER = "reference/python"
MODULES = (
    "nkimoe", "nkimoe.as_nkilib", "nkimoe.hf", "nkimoe.pytorch", "nkimoe.reference", "nkimoe.routing",
    "nkimoe.routing.on_device", "nkimoe.tuning", "nkimoe.weights",
    "nkisim", "nkisim.errors", "nkisim.machine", "nkisim.observe", "nkisim.testing",
)  # fmt: skip
"""What is public, but for AWS's names and `nkimoe.ops`, which have a page for each name."""


def python_pages() -> dict[str, str]:
    """The text of each page by its name."""
    pages = {f"{FOLDER}/{module}.md": _page(module) for module in MODULES}
    return {f"{FOLDER}/index.md": _index(), **pages}


def public_names(module: str) -> list[str]:
    """What a module exports: its `__all__`, or the classes and functions it defines."""
    tree = ast.parse(source_of(module).read_text("utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            names = ast.literal_eval(node.value)
            return sorted((name for name in names if not name.startswith("__")), key=str.casefold)
    defined = (node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef))
    return [name for name in defined if not name.startswith("_")]


def _index() -> str:
    lines = [f"* [`{module}`]({module}.md): {_summary(module)}" for module in MODULES]
    return "\n\n".join([
        "# Python",
        "Every public name with its docstring: shapes, dtypes, units, errors. The names of AWS's packages are in "
        "[instructions](../isa/index.md) and [coverage](../../simulator/coverage.md); each [operation](../../ops.md) "
        "of `nkimoe.ops` has a page.",
        "\n".join(lines),
    ])  # fmt: skip


def _page(module: str) -> str:
    where = homes(module)
    entries = (_entry(module, name, where.get(name, module)) for name in public_names(module))
    return "\n\n".join([f"# {module}", _described(module), *entries])


def _entry(module: str, name: str, home: str) -> str:
    """A name of a module, documented on one page: that of the public module nearest to the file that defines it."""
    above = [other for other in MODULES if f"{home}.".startswith(f"{other}.") and name in public_names(other)]
    nearest = max(above, key=len, default=module)
    if nearest == module:
        return f"::: {home}.{name}"
    return f"## {name}\n\nThat of [{nearest}][{home}.{name}]."


def homes(module: str) -> dict[str, str]:
    """By name, the module it is imported from: `nkimoe.moe_cte` alone would be the file of that name."""
    tree = ast.parse(source_of(module).read_text("utf-8"))
    imports = (node for node in tree.body if isinstance(node, ast.ImportFrom))
    return {name.asname or name.name: str(node.module) for node in imports for name in node.names}


def _described(module: str) -> str:
    return ast.get_docstring(ast.parse(source_of(module).read_text("utf-8"))) or ""


def _summary(module: str) -> str:
    return _described(module).split("\n\n")[0].replace("\n", " ")


def source_of(module: str) -> Path:
    """The file of a module."""
    base = ROOT / ("simulate" if module.startswith("nkisim") else "") / module.replace(".", "/")
    return base / "__init__.py" if base.is_dir() else base.with_suffix(".py")
