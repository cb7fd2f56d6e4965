"""The pages about the simulator name files, codes and functions that exist, or do not, as they say."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from nkisim import errors

ROOT = Path(__file__).resolve().parents[2]
LIMITS = (ROOT / "docs/simulator/limits.md").read_text("utf-8")
ROW = re.compile(
    r"^\| (?P<rule>[^|]+) \|[^|]*\|[^|]*\| (?P<code>NKI\d{3})(, always)? \| `(?P<file>[^`]+)` \|( `[^`]+` \|)?$",
    re.MULTILINE,
)

CLASSES = {c.code: c.__name__ for c in vars(errors).values() if isinstance(c, type) and hasattr(c, "code")}


def rows_of_rules() -> Iterator[str]:
    """Of the tables whose first column is the rule."""
    is_of_rules = False
    for line in LIMITS.splitlines():
        is_of_rules = line.startswith("| Rule |") or (is_of_rules and line.startswith("|"))
        if is_of_rules and not line.startswith(("| Rule |", "|---")):
            yield line


def test_every_row_of_the_limits_is_complete() -> None:
    rows = [*rows_of_rules()]
    assert [row for row in rows if not ROW.fullmatch(row)] == []
    assert len(rows) == len(ROW.findall(LIMITS)) > 60


@pytest.mark.parametrize(
    ("code", "file"), sorted({(row["code"], row["file"]) for row in ROW.finditer(LIMITS)}), ids=lambda part: str(part)
)
def test_the_file_a_limit_names_raises_its_error(code: str, file: str) -> None:
    source = (ROOT / "simulate/nkisim" / file).read_text("utf-8")
    guards = re.search(rf"\b{CLASSES[code]}\(", source)
    assert guards, f"{file} does not raise {code} {CLASSES[code]}: correct docs/simulator/limits.md"
