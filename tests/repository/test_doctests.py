"""The examples in docstrings give what stands below them."""

import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {"nkimoe": ROOT, "nkisim": ROOT / "simulate"}
NEEDS_TORCH = "nkimoe.pytorch"


def modules_with_examples():
    for package, folder in PACKAGES.items():
        for path in sorted((folder / package).rglob("*.py")):
            if ">>> " in path.read_text("utf-8"):
                yield ".".join(path.relative_to(folder).with_suffix("").parts).removesuffix(".__init__")


@pytest.mark.parametrize("name", list(modules_with_examples()))
def test_examples_of_a_module_give_what_they_print(name):
    if name.startswith(NEEDS_TORCH):
        pytest.importorskip("torch")
    assert doctest.testmod(importlib.import_module(name), raise_on_error=False).failed == 0
