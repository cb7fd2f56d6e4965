"""mkdocs' hooks: which files the site has, its navigation, and the text of each page."""

from __future__ import annotations

from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from website.generated import generated_files
from website.links import PAGES, ROOT, for_site


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages from outside the folder and the generated ones, and says where they stand."""
    outside = {name: (ROOT / path).read_text("utf-8") for path, name in PAGES.items()}
    for name, content in {**outside, **generated_files()}.items():
        files.append(File.generated(config, name, content=content))
    pages = sorted(file.src_uri for file in files.documentation_pages())
    config.nav = _expanded(config.nav, pages)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    return for_site(markdown, page.file.src_uri, config.repo_url)


def _expanded(entry: Any, pages: list[str]) -> Any:
    """An entry of the navigation with `folder/*` replaced by the pages of the folder, its README first."""
    if isinstance(entry, dict):
        return {title: _expanded(below, pages) for title, below in entry.items()}
    if not isinstance(entry, list):
        return entry
    return [
        page for item in entry for page in (_pages_of(item, pages) if _is_folder(item) else [_expanded(item, pages)])
    ]


def _is_folder(item: Any) -> bool:
    return isinstance(item, str) and item.endswith("/*")


def _pages_of(pattern: str, pages: list[str]) -> list[str]:
    folder = pattern.removesuffix("*")
    found = [page for page in pages if page.startswith(folder) and "/" not in page.removeprefix(folder)]
    return sorted(found, key=lambda page: (not page.endswith(("README.md", "index.md")), page))
