"""The pages of the tutorials print what they say they print."""

import contextlib
import io
import re
from pathlib import Path

import pytest

PAGES = sorted((Path(__file__).resolve().parents[2] / "docs/tutorials").glob("[0-9]*.md"))
BLOCK = re.compile(r"^```(python|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PLACE = re.compile(r"(?:[\w.-]*/)*([\w-]+\.md):\d+")


def comparable(text: str) -> str:
    """`text` without folders, line numbers and line breaks, which differ between readers."""
    return " ".join(PLACE.sub(r"\1", text).split())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_prints_what_it_shows(page: Path) -> None:
    namespace: dict[str, object] = {"__name__": "__main__"}
    printed = ""
    for language, body in BLOCK.findall(page.read_text("utf-8")):
        if language == "text":
            assert comparable(body) == comparable(printed)
            printed = ""
        else:
            output = io.StringIO()
            with contextlib.redirect_stdout(output):
                exec(compile(body, str(page), "exec", dont_inherit=True), namespace)
            assert printed == "", "a block prints and the page does not show it"
            printed = output.getvalue()
    assert printed == "", "a block prints and the page does not show it"


def test_there_are_eight_pages_and_the_index_lists_each_once() -> None:
    index = (PAGES[0].parent / "README.md").read_text("utf-8")
    assert [index.count(f"({page.name})") for page in PAGES] == [1] * 8
