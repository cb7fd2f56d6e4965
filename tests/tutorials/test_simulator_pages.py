"""The pages about the simulator name files, codes and functions that exist, or do not, as they say."""

import re
from pathlib import Path

import nki.isa as nisa
import nki.language as nl
import pytest

from nkisim import errors

ROOT = Path(__file__).resolve().parents[2]
LIMITS = (ROOT / "docs/simulator/limits.md").read_text("utf-8")
DIFFERENCES = (ROOT / "docs/simulator/differences.md").read_text("utf-8")
ROW = re.compile(r"^\| (?P<rule>[^|]+) \|[^|]*\|[^|]*\| (?P<code>NKI\d{3}) \| `(?P<file>[^`]+)` \|$", re.MULTILINE)

CLASSES = {c.code: c.__name__ for c in vars(errors).values() if isinstance(c, type) and hasattr(c, "code")}


def test_every_row_of_the_limits_is_complete() -> None:
    rows = [line for line in LIMITS.splitlines() if line.startswith("| ") and not line.startswith("| Rule")]
    assert len(rows) == len(ROW.findall(LIMITS)) > 60


@pytest.mark.parametrize(
    ("code", "file"), sorted({(row["code"], row["file"]) for row in ROW.finditer(LIMITS)}), ids=lambda part: str(part)
)
def test_the_file_a_limit_names_raises_its_error(code: str, file: str) -> None:
    source = (ROOT / "simulate/nkisim" / file).read_text("utf-8")
    guards = re.search(rf"\b{CLASSES[code]}\(", source)
    assert guards, f"{file} does not raise {code} {CLASSES[code]}: correct docs/simulator/limits.md"


def missing_names(module: str) -> list[str]:
    listed = re.search(rf"^Missing functions of `{module}`: ([^.]+)\.", DIFFERENCES, re.MULTILINE)
    assert listed
    return re.findall(r"\w+", listed[1])


@pytest.mark.parametrize("name", missing_names("nki.isa"))
def test_an_instruction_listed_as_missing_is_missing(name: str) -> None:
    assert not hasattr(nisa, name), f"nki.isa.{name} exists: take it off docs/simulator/differences.md"


@pytest.mark.parametrize("name", missing_names("nki.language"))
def test_a_language_function_listed_as_missing_is_missing(name: str) -> None:
    assert not hasattr(nl, name), f"nki.language.{name} exists: take it off docs/simulator/differences.md"
