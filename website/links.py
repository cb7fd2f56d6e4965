"""Pages from outside `docs/`, and links between them and sources."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

PAGES = {
    "README.md": "overview.md",
    "simulate/README.md": "simulator/README.md",
    "benchmarks/on_device/README.md": "on_device.md",
    "CONTRIBUTING.md": "contributing.md",
    "CODE_OF_CONDUCT.md": "code_of_conduct.md",
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changelog.md",
}
"""Files outside `docs/` that are pages of the site, and their names there."""

_FENCED = re.compile(
    r"^(?P<indent>[ \t]*)(?P<fence>`{3,}|~{3,})(?P<info>[^\n]*)\n.*?^(?P=indent)(?P=fence)[ \t]*$", re.M | re.S
)
_LINK = re.compile(r"(?<!!)\[(?P<text>(?:[^\[\]]|\[[^\[\]]*\])*)\]\((?P<target>[^()\s]+)\)")
_ELSEWHERE = re.compile(r"[a-z]+:|#")


def repository_path(page: str) -> str:
    """The file that the page of the site is written in."""
    names = {name: path for path, name in PAGES.items()}
    return names.get(page, f"docs/{page}")


def page_name(path: str) -> str | None:
    """The page of the site that a file of the repository is, if it is one."""
    if path in PAGES:
        return PAGES[path]
    if path.startswith("docs/examples/") and path.endswith(".py"):
        path = f"{path.removesuffix('.py')}.md"
    return path.removeprefix("docs/") if path.startswith("docs/") and path.endswith(".md") else None


def for_site(markdown: str, page: str, source_url: str | None) -> str:
    """The text of a page with links as the site needs them, and fences that open with their language alone.

    A link to a page leads to that page, one to any other file of the repository to `source_url`, or, without one, is
    only its text. A link to no file stays, so that the build refuses it.
    """
    place = posixpath.dirname(repository_path(page))

    def link(found: re.Match[str]) -> str:
        target, hash_, anchor = found["target"].partition("#")
        if _ELSEWHERE.match(found["target"]):
            return found[0]
        path = posixpath.normpath(posixpath.join(place, target))
        name = page_name(path)
        if name is not None:
            return f"[{found['text']}]({posixpath.relpath(name, posixpath.dirname(page) or '.')}{hash_}{anchor})"
        if not (ROOT / path).exists():
            return found[0]
        return f"[{found['text']}]({source_url.rstrip('/')}/blob/HEAD/{path})" if source_url else found["text"]

    return _outside_fences(markdown, lambda text: _LINK.sub(link, text))


def _outside_fences(markdown: str, change: Callable[[str], str]) -> str:
    parts, end = [], 0
    for found in _FENCED.finditer(markdown):
        language = found["info"].strip().split(" ")[0]
        opening = f"{found['indent']}{found['fence']}{language}\n"
        parts += [change(markdown[end : found.start()]), opening, found[0].partition("\n")[2]]
        end = found.end()
    return "".join([*parts, change(markdown[end:])])
