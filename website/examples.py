"""A page for every script of `docs/examples`: what its docstring says, then all of it."""

from __future__ import annotations

import ast
from pathlib import Path

from website.links import ROOT, page_name
from website.markdown import code

SCRIPTS = sorted((ROOT / "docs" / "examples").glob("*.py"))


def example_pages() -> dict[str, str]:
    """The text of each page by its name."""
    return {str(page_name(path.relative_to(ROOT).as_posix())): _page(path) for path in SCRIPTS}


def _page(path: Path) -> str:
    source = path.read_text("utf-8")
    described = ast.get_docstring(ast.parse(source)) or ""
    title, _, rest = described.partition("\n\n")
    return "\n\n".join([f"# {title.removesuffix('.')}", rest, f"`{path.name}`:", code(source)])
