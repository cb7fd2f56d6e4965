"""The coverage page is up to date, and what it calls simulated has the published parameters."""

import inspect
from pathlib import Path

import pytest

from nkisim import coverage
from nkisim.errors import NotSimulated
from nkisim.nki._names import PUBLISHED, Refused

ROOT = Path(__file__).resolve().parents[2]
ROWS = [*coverage.table()]
CALLABLE = [row.published for row in ROWS if row.implemented and row.published.parameters is not None]
REFUSED = [row.published for row in ROWS if isinstance(coverage.implementation(row.published), Refused)]


def label(published):
    return f"{published.module}.{published.name}"


@pytest.mark.parametrize("published", CALLABLE, ids=label)
def test_a_simulated_function_has_exactly_the_published_signature(published):
    function = coverage.implementation(published)
    assert callable(function)
    actual = coverage.signature(function)
    assert actual == published.parameters or _as_printed(actual, published.parameters)


def _as_printed(actual, printed):
    """Whether the two agree where the reference prints a default at all, and in how it writes a data type."""
    pairs = list(zip(actual.split(", "), printed.split(", "), strict=False))
    same_number = actual.count(", ") == printed.count(", ")
    return same_number and all(
        a == p or (p.endswith("=...") and a.startswith(p[:-3])) or a == p.replace("=uint8", "='uint8'")
        for a, p in pairs
    )


@pytest.mark.parametrize("published", REFUSED, ids=label)
def test_a_refused_name_can_be_imported_and_refuses_every_use(published):
    name = coverage.implementation(published)
    for use in (lambda: name(1), lambda: name[0:3], lambda: name.attribute()):
        with pytest.raises(NotSimulated, match=rf"NKI001: .*{published.name}"):
            use()


def test_the_page_is_up_to_date():
    assert (ROOT / "docs/simulator/coverage.md").read_text("utf-8") == coverage.page(), "run python -m nkisim.coverage"


def test_the_whole_published_language_is_simulated_up_to_tensors_of_int64():
    missing = {row.published.name for row in ROWS if not row.implemented and row.published.module == "nki.language"}
    assert missing == {"int64"}


def test_removed_names_are_importable_too():
    for published in PUBLISHED.values():
        if published.removed:
            assert isinstance(coverage.implementation(published), Refused)


def test_a_name_nobody_published_is_an_attribute_error():
    import nkisim.nki as nki
    import nkisim.nki.isa as nisa
    import nkisim.nki.language as nl

    for module in (nki, nisa, nl):
        with pytest.raises(AttributeError, match="nothing"):
            _ = module.nothing


def test_the_command_writes_the_page(tmp_path, capsys):
    assert coverage.main([str(tmp_path / "page.md")]) == 0
    assert (tmp_path / "page.md").read_text("utf-8") == coverage.page()
    assert "published names are simulated" in capsys.readouterr().out


def test_every_published_function_of_nki_takes_its_arguments():
    assert list(inspect.signature(coverage.implementation(PUBLISHED["nki", "jit"])).parameters) == ["fn", "kwargs"]
