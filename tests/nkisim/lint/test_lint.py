"""Each lint rule: a kernel it finds, and one near it that it does not."""

import textwrap
from pathlib import Path

import pytest
from click.testing import CliRunner

import nkisim.nki.language as nl
from nkisim import nki
from nkisim.__main__ import main
from nkisim.lint import lint_kernel, lint_source

HEAD = "import nki, nki.isa as nisa, nki.language as nl\n\n\n@nki.jit\ndef kernel(a, flag=None):\n"


def codes(body: str, tail: str = "") -> list[str]:
    source = HEAD + textwrap.indent(textwrap.dedent(body).strip("\n"), "    ") + "\n\n" + textwrap.dedent(tail)
    return [problem.code for problem in lint_source(source)]


LOOP = """
total = nl.zeros((1, 1), nl.float32)
seen = []
def body(i):
    {inside}
nl.fori_loop(0, 4, body)
"""

PAIRS = {
    "if on a register": (
        "L101",
        "r = nisa.register_alloc(1)\nif r:\n    pass",
        "r = nisa.register_alloc(1)\nif r is not None:\n    pass",
    ),
    "while on a register": ("L101", "r = nisa.register_alloc(1)\nwhile r:\n    pass", "r = 1\nwhile r:\n    r -= 1"),
    "comparison of a scalar": (
        "L101",
        "s = nisa.scalar_load(a)\nx = 1 if s > 3 else 2",
        "s = nisa.scalar_load(a)\nx = 1 if a.shape[0] > 3 else 2",
    ),
    "truth of a tensor": ("L101", "t = nl.load(a)\nassert t", "t = nl.load(a)\nassert t.shape == (1, 1)"),
    "int of a register": ("L102", "r = nisa.register_alloc(1)\nn = int(r)", "r = 1\nn = int(r)"),
    "range over a loop index": (
        "L102",
        LOOP.format(inside="x = [j for j in range(i)]"),
        LOOP.format(inside="x = [j for j in range(4)]"),
    ),
    "append to an outer list": (
        "L103",
        LOOP.format(inside="seen.append(i)"),
        LOOP.format(inside="own = []; own.append(i)"),
    ),
    "assignment into an outer list": (
        "L103",
        LOOP.format(inside="seen[0] = total"),
        LOOP.format(inside="own = {}; own[0] = 1"),
    ),
    "next of an outer iterator": ("L103", LOOP.format(inside="x = next(seen)"), LOOP.format(inside="x = seen")),
    "nonlocal": ("L103", LOOP.format(inside="nonlocal total; total = i"), LOOP.format(inside="total = i")),
    "output in SBUF": (
        "L104",
        "out = nl.ndarray((1, 1), nl.float32)\nreturn out",
        "out = nl.ndarray((1, 1), nl.float32, buffer=nl.shared_hbm)\nreturn out",
    ),
    "output in private HBM": (
        "L104",
        "out = nl.ndarray((1, 1), nl.float32, nl.private_hbm)\nreturn out, a",
        "out = nl.ndarray((1, 1), nl.float32, nl.shared_hbm)\nreturn out, a",
    ),
    "barrier on one core": (
        "L105",
        "if nl.program_id(0) == 0:\n    nisa.core_barrier(a, (0, 1))",
        "if nl.program_id(0) == 0:\n    pass\nnisa.core_barrier(a, (0, 1))",
    ),
    "exchange on one core by name": (
        "L105",
        "core = nl.program_id(0)\nif core:\n    nisa.sendrecv(a, a, 0, 0, 0)",
        "core = nl.program_id(0)\nif core:\n    nisa.sendrecv(a, a, 0, 0, 0)\nelse:\n    nisa.sendrecv(a, a, 1, 1, 0)",
    ),
    "removed dynamic_range": ("L106", "for i in nl.dynamic_range(4):\n    pass", "for i in range(4):\n    pass"),
}


@pytest.mark.parametrize(("code", "bad", "good"), PAIRS.values(), ids=PAIRS)
def test_finds_the_bad_kernel_and_not_the_good_one(code: str, bad: str, good: str) -> None:
    assert code in codes(bad)
    assert codes(good) == []


def test_finds_a_two_core_kernel_launched_on_one_core() -> None:
    body = "nisa.core_barrier(a, (0, 1))"
    assert codes(body, "kernel[1](None)") == ["L107"]
    assert codes(body, "kernel[2](None)") == []


def test_finds_a_launch_that_contradicts_the_configured_core_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEURON_LOGICAL_NC_CONFIG", "1")
    assert codes("pass", "kernel[2](None)") == ["L107"]
    assert codes("pass", "kernel[1](None)") == []


def test_follows_calls_to_functions_of_the_same_file_but_lets_those_return_sbuf_tiles() -> None:
    source = "import nki\n\ndef part(r0):\n    r = nisa.register_alloc()\n    if r:\n        pass\n"
    source += "    t = nl.load(r0)\n    return t\n"
    source += "\n@nki.jit\ndef kernel(a):\n    return part(a)\n"
    assert [p.code for p in lint_source(source)] == ["L101"]
    assert lint_source(source.replace("@nki.jit\n", "")) == []


def test_names_file_line_code_and_remedy() -> None:
    (problem,) = lint_source(HEAD + "    r = nisa.register_alloc(1)\n    if r:\n        pass\n", "kernels.py")
    assert str(problem).startswith("kernels.py:7: L101 branches on the register 'r'")
    assert "nl.while_loop" in str(problem)


@nki.jit
def returns_a_tile(a):  # type: ignore[no-untyped-def]
    tile = nl.load(a)
    return tile


def test_lints_an_imported_kernel_at_its_own_line() -> None:
    (problem,) = lint_kernel(returns_a_tile)
    assert problem.code == "L104"
    assert problem.file.endswith("test_lint.py")
    assert "return tile" in Path(__file__).read_text().splitlines()[problem.line - 1]


def test_our_own_kernels_and_tutorials_are_clean() -> None:
    root = Path(__file__).resolve().parents[3]
    files = [*root.glob("nkimoe/**/*.py"), *root.glob("tests/tutorials/kernels/*.py")]
    assert len(files) > 20
    assert [str(p) for file in files for p in lint_source(file.read_text("utf-8"), file.name)] == []


def test_the_command_exits_with_1_for_problems_2_for_bad_targets_and_0_when_clean(tmp_path: Path) -> None:
    bad = tmp_path / "bad.py"
    bad.write_text(HEAD + "    r = nisa.register_alloc(1)\n    if r:\n        pass\n")
    good = tmp_path / "good.py"
    good.write_text(HEAD + "    pass\n")
    run = CliRunner().invoke
    assert run(main, ["lint", str(bad)]).exit_code == 1
    assert run(main, ["lint", str(good)]).exit_code == 0
    assert run(main, ["lint", "nkimoe.moe_cte:moe_cte"]).exit_code == 0
    for target in ("missing.py", "no_such_module:kernel", "nkimoe.moe_cte:no_such", "nkimoe"):
        assert run(main, ["lint", target]).exit_code == 2, target
