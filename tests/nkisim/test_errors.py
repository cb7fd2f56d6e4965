"""Problems: one class each with a code of its own, and a message of rule, actual value, place and fix."""

from __future__ import annotations

import ast
import pickle
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

import nkisim
from nkisim import errors
from nkisim.errors import Location, SimulationError, cell_name, kernel_location
from nkisim.report.source_text import stage_of

PACKAGE = Path(nkisim.__file__).parent
CLASSES = [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, SimulationError)]
NAMES = {c.__name__ for c in CLASSES}


def raised() -> Iterator[tuple[str, ast.Call]]:
    """Every construction of a problem in the simulator."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in NAMES:
                yield f"{path.relative_to(PACKAGE)}:{node.lineno}", node


PROBLEMS = list(raised())


def test_guards_are_found():
    assert len(PROBLEMS) > 100
    assert len({node.func.id for _, node in PROBLEMS if isinstance(node.func, ast.Name)}) > 20


@pytest.mark.parametrize(("place", "call"), PROBLEMS, ids=[place for place, _ in PROBLEMS])
def test_every_guard_states_rule_actual_value_and_fix(place: str, call: ast.Call) -> None:
    assert len(call.args) in (3, 4)
    rule, actual, fix = (text_of(argument) for argument in call.args[:3])
    for text in (rule, fix):
        assert text is None or len(text) > 3
    assert rule is None or not rule.endswith(".") or rule.endswith(" ...")
    assert fix is None or re.fullmatch(r"\S.*\S\.", fix, re.DOTALL)
    assert actual is None or actual


def text_of(node: ast.expr) -> str | None:
    """The text of a literal, \\0 where a value goes in; None for other expressions."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(v.value) if isinstance(v, ast.Constant) else "\0" for v in node.values)
    return None


def test_every_class_has_a_code_of_its_own():
    codes = [c.code for c in CLASSES]
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"NKI\d{3}", code) for code in codes)


@pytest.mark.parametrize("problem", CLASSES)
def test_a_message_has_four_parts_and_survives_pickling(problem):
    made = problem("a rule", 42, "Do this.", Location("kernel.py", 7))
    assert str(made) == f"{problem.code}: a rule; got 42 (kernel.py:7). Do this."
    again = pickle.loads(pickle.dumps(made))
    assert (type(again), str(again), again.where) == (problem, str(made), made.where)


def test_the_place_is_the_innermost_line_outside_the_simulator():
    here = kernel_location()
    made = SimulationError("a rule", 1, "Do this.")
    assert (here.file, made.where.file) == (__file__, __file__)
    assert made.where.line == here.line + 1


def test_a_place_is_shown_relative_to_the_working_directory(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert str(Location(str(tmp_path / "kernels" / "k.py"), 3)) == "kernels/k.py:3"
    assert str(Location("<string>", 3)) == "<string>:3"


def test_a_place_in_a_notebook_is_a_line_of_its_cell(monkeypatch):
    cells = {"/made-up/2.py": ("Cell", "In[3]")}
    shell = SimpleNamespace(compile=SimpleNamespace(format_code_name=cells.get))
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    assert str(Location("/made-up/2.py", 4)) == "Cell In[3]:4"
    assert stage_of(Location("/made-up/2.py", 4)) == "Cell In[3]:-"
    assert stage_of(Location("/made-up/5.py", 4)) == "5.py:-"
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: None))
    assert cell_name("/made-up/2.py") == ""
