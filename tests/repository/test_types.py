"""Device code says what its stages take and give: `Any` stands only where nothing else is true."""

import ast
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
KERNELS = ROOT / "nkimoe" / "kernels"

# What a row of the table of numerics hands from stage to stage is known to that row only.
ALLOWED = {"numerics.py": 2}


def uses_of_any(source: str) -> int:
    """How often `Any` stands in annotations, aliases or elsewhere, but for its import."""
    tree = ast.parse(source)
    names = Counter(node.id for node in ast.walk(tree) if isinstance(node, ast.Name))
    texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    quoted = sum(text.split("[")[0] == "Any" or "[Any" in text for text in texts)
    return names["Any"] + quoted + sum(isinstance(n, ast.Attribute) and n.attr == "Any" for n in ast.walk(tree))


def test_kernels_use_any_only_in_the_listed_places() -> None:
    found = {
        path.relative_to(KERNELS).as_posix(): uses_of_any(path.read_text("utf-8")) for path in KERNELS.rglob("*.py")
    }
    assert {name: count for name, count in found.items() if count} == ALLOWED


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ("from typing import Any", 0),
        ("def f(a: Any) -> list[Any]: ...", 2),
        ("Pair = tuple[Any, Any]", 2),
        ("import typing\nx: typing.Any = 1", 1),
        ("def f(a: 'Any', b: 'list[Any]'): ...", 2),
        ('def f():\n    """Any elements."""', 0),
    ],
)
def test_any_is_counted_however_it_is_written(source: str, count: int) -> None:
    assert uses_of_any(source) == count
