"""The navigation of the site."""

from website.navigation import expanded

PAGES = ["a/two.md", "a/one.md", "a/README.md", "a/below/three.md", "four.md"]


def test_a_folder_becomes_its_own_pages_in_order_its_first_page_first() -> None:
    nav = [{"A": ["four.md", "a/*"]}]
    assert expanded(nav, PAGES) == [{"A": ["four.md", "a/README.md", "a/one.md", "a/two.md"]}]


def test_what_names_a_page_stays() -> None:
    nav = [{"Home": "four.md"}, {"A": [{"One": "a/one.md"}]}]
    assert expanded(nav, PAGES) == nav
