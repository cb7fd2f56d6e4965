"""A name means one thing: no two classes of the two packages share one."""

import ast
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {"nkisim": ROOT / "simulate" / "nkisim", "nkimoe": ROOT / "nkimoe"}


def classes_of(source: str) -> list[str]:
    """Names of all classes, private and nested ones included."""
    return [node.name for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ClassDef)]


def homes(package: str) -> dict[str, list[str]]:
    """By the name of a class, the files of the package that define one."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in sorted(PACKAGES[package].rglob("*.py")):
        for name in classes_of(path.read_text("utf-8")):
            found[name].append(f"{package}/{path.relative_to(PACKAGES[package]).as_posix()}")
    return found


@pytest.mark.parametrize(
    "package",
    list(PACKAGES),
)
def test_no_two_classes_of_a_package_share_a_name(package: str) -> None:
    assert {name: files for name, files in homes(package).items() if len(files) > 1} == {}


def test_no_class_of_the_simulator_has_the_name_of_one_of_the_library() -> None:
    simulator, library = homes("nkisim"), homes("nkimoe")
    assert simulator
    assert library
    assert {name: simulator[name] + library[name] for name in simulator.keys() & library.keys()} == {}


def test_every_class_counts_wherever_it_stands() -> None:
    source = "class A: ...\nclass _B:\n    class C: ...\ndef f():\n    class D(A): ..."
    assert sorted(classes_of(source)) == ["A", "C", "D", "_B"]


def test_the_simulator_defines_the_type_of_arrays_once() -> None:
    files = sorted(PACKAGES["nkisim"].rglob("*.py"))
    defining = [path for path in files if "Array = np.ndarray" in path.read_text("utf-8")]
    assert [path.relative_to(ROOT).as_posix() for path in defining] == ["simulate/nkisim/dtypes/arrays.py"]
