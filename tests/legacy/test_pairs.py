"""The drivers over kernels public in both dialects say what is equal, where mistakes are, and what lacks advice."""

import ast
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from legacy.constructs import written
from legacy.mistakes import KINDS, mistakes
from legacy.pairs import found_in
from legacy.removed import is_current, located, statements

OLD = """
import neuronxcc.nki as nki
import neuronxcc.nki.language as nl

@nki.jit
def nki_tensor_add_kernel_(a_input, b_input):
    out = nl.ndarray(a_input.shape, dtype=a_input.dtype, buffer=nl.shared_hbm)
    i_p, i_f = nl.arange(128)[:, None], nl.arange(512)[None, :]
    i_p = i_p + nl.program_id(0) * 128
    i_f = i_f + nl.program_id(1) * 512
    total = nl.load(a_input[i_p, i_f]) + nl.load(b_input[i_p, i_f])
    nl.store(out[i_p, i_f], total)
    return out
"""
NEW = """
import nki
import nki.isa as nisa
import nki.language as nl

@nki.jit
def nki_tensor_add(a, b):
    rows, columns = a.shape
    out = nl.ndarray((rows, columns), dtype=a.dtype, buffer=nl.shared_hbm)
    for m in range(rows // 128):
        for n in range(columns // 512):
            left, right = nl.ndarray((128, 512), nl.float32), nl.ndarray((128, 512), nl.float32)
            place = slice(m * 128, m * 128 + 128), slice(n * 512, n * 512 + 512)
            nisa.dma_copy(dst=left, src=a[m * 128 : m * 128 + 128, n * 512 : n * 512 + 512])
            nisa.dma_copy(dst=right, src=b[place])
            nisa.tensor_tensor(dst=left, data1=left, data2=right, op=nl.add)
            nisa.dma_copy(dst=out[place], src=left)
    return out
"""


def checkouts(folder: Path, old: str, new: str) -> Path:
    """A folder with an old and a new version of a kernel, where the table of pairs looks for them."""
    for name, text in (("before", old), ("after", new)):
        file = folder / name / "tensor_addition" / "tensor_addition_nki_kernels.py"
        file.parent.mkdir(parents=True)
        file.write_text(text, "utf-8")
    return folder


def said(driver: str, folder: Path) -> list[str]:
    """The lines that a driver prints."""
    done = subprocess.run(
        [sys.executable, "-m", f"legacy.{driver}", str(folder)], capture_output=True, text=True, check=True,
        cwd=Path(__file__).resolve().parents[1],
    )  # fmt: skip
    return done.stdout.splitlines()


def test_equal_kernels_are_equal_and_mistakes_in_them_are_found_with_both_lines(tmp_path: Path) -> None:
    lines = said("equal", checkouts(tmp_path, OLD, NEW))
    assert lines[-1] == "1 of 1 pairs are equal, 5 of 5 planted mistakes found with the lines of both kernels"
    assert {line[33:65].split(",")[0] for line in lines[1:-1]} == set(KINDS) - {"another number"}
    assert "old line 12, new line 17: as given" in lines[1]


def test_kernels_that_differ_are_not_counted_as_equal(tmp_path: Path) -> None:
    lines = said("equal", checkouts(tmp_path, OLD, NEW.replace("op=nl.add", "op=nl.subtract")))
    assert "differs" in lines[0]
    assert lines[-1].startswith("0 of 1 pairs are equal, 0 of 0 planted mistakes")


def test_removed_constructs_are_named_and_the_current_nki_gets_no_advice(tmp_path: Path) -> None:
    lines = said("removed", checkouts(tmp_path, OLD, NEW))
    assert "1 grid of several axes, 1 index tensor, 2 indexed access, 1 operator on tiles" in lines[0]
    assert lines[-1] == "5 of 5 removed constructs named, advice for 0 of 1 files of the current NKI"


def test_a_construct_without_advice_is_counted(tmp_path: Path) -> None:
    hidden = OLD.replace("total = nl.load", "load = getattr(nl, 'load')\n    total = load").replace(
        "+ nl.load(b", "+ load(b"
    )
    assert said("removed", checkouts(tmp_path, hidden, NEW))[-1].startswith("4 of 5 removed constructs named")


@pytest.mark.parametrize(("old", "new", "number"), [(OLD, NEW, 1), (NEW, NEW, 0), (OLD, OLD, 0)])
def test_a_pair_is_a_file_of_each_dialect(tmp_path: Path, old: str, new: str, number: int) -> None:
    assert len([*found_in(checkouts(tmp_path, old, new))]) == number


def test_a_mistake_says_the_line_it_changed(tmp_path: Path) -> None:
    file = tmp_path / "new.py"
    file.write_text(
        "def kernel(x):\n    a, b = x.shape\n    for i in range(b):\n        a = a + i\n    return a\n", "utf-8"
    )
    module = ModuleType("new")
    found = {mistake.kind: mistake for mistake in mistakes(file, "kernel", module)}

    class Tensor:
        shape = (2, 4)

    assert {kind: mistake.line for kind, mistake in found.items()} == {"a pass less": 3, "sizes exchanged": 2}
    assert found["a pass less"].kernel(Tensor) == 2 + 0 + 1 + 2
    assert found["sizes exchanged"].kernel(Tensor) == 4 + 0 + 1


@pytest.mark.parametrize(
    ("line", "construct"),
    [
        ("nl.store(a, b, mask=m)", "mask="),
        ("x = nisa.exp(b, dtype=d)", "dtype="),
        ("x = nisa.exp(b)", "returned tile"),
        ("x = nl.mgrid[0:2, 0:3]", "index tensor"),
        ("x = nl.ndarray((4, par_dim(128)))", "par_dim"),
        ("nisa.exp(b)", None),
        ("x = np.arange(3)", None),
    ],
)
def test_syntax_shows_what_was_removed(line: str, construct: str | None) -> None:
    function = ast.parse(f"def f():\n    {line}").body[0]
    assert isinstance(function, ast.FunctionDef)
    assert construct in {kind for _, (kind, _) in written(function)} | {None}
    assert construct is not None or not written(function)


def test_a_construct_belongs_to_its_innermost_statement_and_heads_end_before_their_body() -> None:
    function = ast.parse(
        "def f(\n    x,\n):\n    for i in g(\n        x\n    ):\n        x += (\n            i\n        )"
    ).body[0]
    assert isinstance(function, ast.FunctionDef)
    spans = [*statements(function)]
    places = {(5, ("range", "")), (8, ("item assignment", "")), (30, ("mask=", ""))}
    assert located(places, spans) == {(4, "range"), (7, "in-place operator")}


@pytest.mark.parametrize(
    ("text", "current"), [(NEW, True), (OLD, False), ("import nki\n", False), (NEW + "else", False)]
)
def test_only_device_code_of_the_current_nki_is_searched_for_false_alarms(
    tmp_path: Path, text: str, current: bool
) -> None:
    file = tmp_path / "file.py"
    file.write_text(text, "utf-8")
    assert is_current(file) == current
