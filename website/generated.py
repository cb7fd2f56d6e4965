"""Every generated file of the site."""

from __future__ import annotations

from website.examples import example_pages
from website.instructions import instruction_pages
from website.language import language_pages
from website.operations import operation_pages
from website.python_reference import python_pages
from website.variants import variant_pages


def generated_files() -> dict[str, str]:
    """The text of each file, pages and pictures, by its name in the site."""
    return {
        **variant_pages(), **operation_pages(), **example_pages(), **instruction_pages(), **language_pages(),
        **python_pages(),
    }  # fmt: skip
