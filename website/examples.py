"""A page for every script of `docs/examples`: what its docstring says, then the rest of it."""

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
    tree = ast.parse(source)
    described, first = ast.get_docstring(tree) or "", tree.body[0].end_lineno or 0
    rest_of_source = "\n".join(source.splitlines()[first:]).strip()
    title, _, rest = described.partition("\n\n")
    return "\n\n".join([f"# {title.removesuffix('.')}", rest, f"`{path.name}`:", code(rest_of_source)])
