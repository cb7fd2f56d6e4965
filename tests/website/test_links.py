"""Links of a page as the site needs them."""

import pytest

from website.links import for_site, page_name, repository_path

URL = "https://example.org/project"


@pytest.mark.parametrize(
    ("page", "link", "there"),
    [
        ("overview.md", "docs/variants.md", "variants.md"),
        ("overview.md", "docs/simulator/time.md#the-clock", "simulator/time.md#the-clock"),
        ("overview.md", "simulate/README.md", "simulator/README.md"),
        ("architecture.md", "../simulate/README.md", "simulator/README.md"),
        ("simulator/time.md", "../../benchmarks/on_device/README.md", "../on_device.md"),
        ("simulator/README.md", "../docs/tutorials/README.md", "../tutorials/README.md"),
        ("integrations.md", "examples/ranks.py", "examples/ranks.md"),
        ("tutorials/README.md", "01-vector-add.md", "01-vector-add.md"),
    ],
)
def test_a_link_to_a_page_leads_to_it(page: str, link: str, there: str) -> None:
    assert for_site(f"see [it]({link}), now", page, None) == f"see [it]({there}), now"


def test_a_link_to_a_source_leads_to_the_repository_or_is_its_text() -> None:
    assert for_site("[rules](../nkimoe/spec.py)", "variants.md", None) == "rules"
    assert for_site("[rules](../nkimoe/spec.py)", "variants.md", URL) == f"[rules]({URL}/blob/HEAD/nkimoe/spec.py)"


@pytest.mark.parametrize("link", ["no_such_page.py", "https://example.org", "#section", "../nkimoe/no_such_file.py"])
def test_a_link_to_no_file_or_elsewhere_stays_so_that_the_build_judges_it(link: str) -> None:
    assert for_site(f"[it]({link})", "variants.md", URL) == f"[it]({link})"


def test_code_is_left_alone_and_fences_open_with_their_language() -> None:
    text = "```python requires: torch\n[it](../nkimoe/spec.py)\n```\n[it](../nkimoe/spec.py)\n"
    assert for_site(text, "variants.md", None) == "```python\n[it](../nkimoe/spec.py)\n```\nit\n"


def test_pages_have_one_name_each_way() -> None:
    assert page_name("docs/variants.md") == "variants.md"
    assert page_name("nkimoe/spec.py") is None
    assert repository_path(page_name("simulate/README.md") or "") == "simulate/README.md"
