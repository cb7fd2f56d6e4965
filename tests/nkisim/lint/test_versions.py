"""What versions of the SDK lack: names, keywords, Python their front end parses; and what a run of a kernel finds."""

import ast
import textwrap
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import nkimoe
from nkisim.__main__ import main
from nkisim.lint import VERSIONS, lint_kernel, lint_source
from nkisim.nki import published
from nkisim.nki._names import PUBLISHED

HEAD = "import nki, nki.isa as nisa, nki.language as nl\nfrom nki.isa import topk as largest\n\n\n"


def codes(body: str, sdk: str | None, before: str = "") -> list[str]:
    """Codes for a kernel with this body."""
    kernel = "@nki.jit\ndef kernel(a):\n" + textwrap.indent(textwrap.dedent(body).strip("\n"), "    ") + "\n"
    version = VERSIONS[sdk] if sdk else None
    return [problem.code for problem in lint_source(HEAD + before + kernel, version=version)]


@pytest.mark.parametrize(
    ("body", "code", "first"),
    [
        ("nl.fori_loop(0, 4, lambda i: None)", "L108", "2.32"),
        ("nisa.activate2(a, nl.exp, a, 1.0, 0.0, nl.add, nl.add)", "L108", "2.30"),
        ("largest(a, a, a, 8)", "L108", "2.32"),
        ("nki.isa.scalar_load(a)", "L108", "2.33"),
        ("nisa.dma_copy(a, a, priority=1)", "L109", "2.30"),
        ("nisa.tensor_scalar_reduce(a, a, nl.add, 1.0, nl.add, reduce_res_negate=True)", "L109", "2.32"),
        ("nl.empty_like(a, address=(0, 0))", "L109", "2.33"),
        ("nisa.nc_matmul(a, a, a, accumulate=True)", None, "2.29"),
    ],
)
def test_names_and_keywords_are_there_from_a_version_on(body: str, code: str | None, first: str) -> None:
    before = [sdk for sdk in VERSIONS if sdk < first]
    assert [codes(body, sdk) for sdk in before] == [[code]] * len(before)
    assert [codes(body, sdk) for sdk in VERSIONS if sdk >= first] == [[]] * (len(VERSIONS) - len(before))
    assert codes(body, None) == []


def test_names_of_other_modules_are_not_those_of_nki() -> None:
    assert codes("a.fori_loop(0)\nnp.topk(a)", "2.29", "import numpy as np\n") == []


def test_loops_that_version_0_7_removed_are_there_before() -> None:
    body = "for i in nl.dynamic_range(4):\n    pass"
    assert {sdk: codes(body, sdk) for sdk in VERSIONS} == {sdk: ["L106"] * (sdk == "2.33") for sdk in VERSIONS}
    assert codes(body, None) == ["L106"]


@pytest.mark.parametrize(
    ("bad", "good"),
    [
        ("f(*a)", "f(a)"),
        ("f(**a)", "f(b=a)"),
        ("for i in range(2):\n    pass\nelse:\n    pass", "for i in range(2):\n    pass"),
        ("with a as b:\n    pass", "with nl.no_reorder():\n    pass"),
        ("x = [i for i in range(4)]", "x = []\nfor i in range(4):\n    x.append(i)"),
        ("x = {1: a}", "x = {'a': a}"),
        ("import math", "x = 1"),
        ("x = partial(f, 1)", "x = f(1)"),
        ("def f(*, b):\n    pass", "def f(b):\n    pass"),
        ("def f(*b):\n    pass", "def f(b):\n    pass"),
        ("@cache\ndef f(b):\n    pass", "@nki.jit\ndef f(b):\n    pass"),
        ("def f(b):\n    yield b", "def f(b):\n    return b"),
        ("class C(Base):\n    pass", "class C(nl.NKIObject):\n    pass"),
    ],
)
def test_the_parser_of_older_versions_takes_a_subset_of_python(bad: str, good: str) -> None:
    assert set(codes(bad, "2.31")) == {"L110"}
    assert codes(good, "2.31") == []
    assert codes(bad, "2.32") == []
    assert codes(bad, None) == []


@pytest.mark.parametrize(("sdk", "expected"), [("2.31", {"L108", "L110"}), ("2.32", set()), ("2.33", set())])
def test_moe_cte_runs_on_the_versions_that_trace(sdk: str, expected: set[str]) -> None:
    problems = lint_kernel(nkimoe.moe_cte, VERSIONS[sdk])
    assert {problem.code for problem in problems} == expected
    assert {Path(p.file).name for p in problems if p.code == "L108"} == ({"device_loops.py"} if expected else set())


def test_later_parameters_are_published() -> None:
    for module, functions in published.LATER_PARAMETERS.items():
        for function, parameters in functions.items():
            entry = PUBLISHED[module, function]
            there = ast.parse(f"def f({entry.parameters}): pass".replace("...", "None")).body[0]
            assert isinstance(there, ast.FunctionDef)
            names = {argument.arg for argument in (*there.args.args, *there.args.kwonlyargs)}
            assert parameters.keys() <= names
            assert all(since > entry.since for since in parameters.values())


KERNEL = """
import nki, nki.isa as nisa, nki.language as nl

@nki.jit
def kernel(x, names):
    out = nl.ndarray(x.shape, x.dtype, buffer=nl.shared_hbm)
    for name in names.split():
        t = nl.ndarray(x.shape, x.dtype, name=name)
        nisa.dma_copy(t, x)
    nisa.dma_copy(out, t)
    return out
"""


def lint(folder: Path, *options: str) -> Result:
    """The command on a kernel whose tiles have the names it is given."""
    (folder / "named_tiles.py").write_text(KERNEL, "utf-8")
    return CliRunner().invoke(main, ["lint", f"{folder}/named_tiles.py:kernel", *options])


def test_what_a_run_finds_are_problems_too(tmp_path: Path) -> None:
    good = lint(tmp_path, "--sdk", "2.32", "--input", "x=8x4", "--arg", "names=a b")
    assert (good.exit_code, good.output) == (0, "0 problem(s)\n")
    bad = lint(tmp_path, "--sdk", "2.32", "--input", "x=8x4", "--arg", "names=a a")
    assert bad.exit_code == 1
    assert "named_tiles.py:8: NKI108" in bad.output
    assert bad.output.endswith("1 problem(s)\n")


def test_without_arguments_nothing_is_run(tmp_path: Path) -> None:
    assert lint(tmp_path).output == "0 problem(s)\n"


def test_an_error_of_the_run_is_a_problem(tmp_path: Path) -> None:
    result = lint(tmp_path, "--input", "x=200x4", "--arg", "names=a")
    assert result.exit_code == 1
    assert "named_tiles.py:8: NKI202" in result.output


def test_arguments_are_for_one_kernel(tmp_path: Path) -> None:
    result = lint(tmp_path, str(tmp_path / "named_tiles.py"), "--input", "x=8x4")
    assert result.exit_code == 2
    assert "one target" in result.output
