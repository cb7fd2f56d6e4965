"""The navigation of the site, with folders replaced by their pages."""

from __future__ import annotations

from typing import Any


def expanded(entry: Any, pages: list[str]) -> Any:
    """An entry of `nav` in which `folder/*` has become the pages of the folder, its first page first."""
    if isinstance(entry, dict):
        return {title: expanded(below, pages) for title, below in entry.items()}
    if not isinstance(entry, list):
        return entry
    return [
        page for item in entry for page in (_pages_of(item, pages) if _is_folder(item) else [expanded(item, pages)])
    ]


def _is_folder(item: Any) -> bool:
    return isinstance(item, str) and item.endswith("/*")


def _pages_of(pattern: str, pages: list[str]) -> list[str]:
    folder = pattern.removesuffix("*")
    found = [page for page in pages if page.startswith(folder) and "/" not in page.removeprefix(folder)]
    return sorted(found, key=lambda page: (not page.endswith(("README.md", "index.md")), page))
