"""Every generated file of the site."""

from __future__ import annotations


def generated_files() -> dict[str, str]:
    """The text of each file, pages and pictures, by its name in the site."""
    return {}
