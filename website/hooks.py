"""mkdocs' hooks: which files the site has, its navigation, and the text of each page."""

from __future__ import annotations

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from website.generated import generated_files
from website.links import PAGES, ROOT, for_site
from website.navigation import expanded


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages from outside the folder and the generated ones, and says where they stand."""
    outside = {name: (ROOT / path).read_text("utf-8") for path, name in PAGES.items()}
    for name, content in {**outside, **generated_files()}.items():
        files.append(File.generated(config, name, content=content))
    config.nav = expanded(config.nav, [file.src_uri for file in files.documentation_pages()])
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    return for_site(markdown, page.file.src_uri, config.repo_url)
