"""Files and functions stay small, and names say what a thing is."""

import ast
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("nkimoe", "simulate/nkisim")
NAMED_FOLDERS = ("nkimoe", "simulate", "tests", "benchmarks", "docs", "website")

LICENCE = "# SPDX-License-Identifier: Apache-2.0"
MOST_LINES_OF_A_FILE = 400
MEDIAN_LINES_OF_A_FILE = 120
MOST_LINES_OF_A_FUNCTION = 60
MOST_PARAMETERS = 8
MAY_HAVE_MORE_PARAMETERS = (  # their signatures are fixed elsewhere
    "simulate/nkisim/instructions/",
    "simulate/nkisim/legacy/isa/",  # the older signatures
    "simulate/nkisim/nki/",
    "nkimoe/moe_cte.py:moe_cte",
    "nkimoe/moe_cte_backward.py:moe_cte_backward",
    "nkimoe/pytorch/blockwise.py:",
    "nkimoe/reference/forward.py:",
    "nkimoe/reference/backward.py:",
    "nkimoe/reference/mx.py:",
    "nkimoe/reference/int8.py:moe_cte_int8_reference",
    "nkimoe/reference/expert_ops.py:",
    "nkimoe/ops/fused_experts.py:fused_experts",
    "nkimoe/ops/fused_moe_smoothquant.py:fused_moe_smoothquant",
    "nkimoe/ops/shared_expert.py:shared_expert",
    "nkimoe/ops/e2e_moe.py:e2e_moe",
    "nkimoe/ops/fused_moe.py:fused_moe",
    "nkimoe/ops/fused_moe_gemm.py:fused_moe_gemm",
    "nkimoe/ops/grouped_gemm.py:",
    "nkimoe/reference/grouped_gemm.py:fused_moe_gemm_reference",
    "nkimoe/reference/two_stage_moe.py:two_stage_moe_reference",
    "nkimoe/ops/pair_experts.py:",  # kernels: tensors are arguments of their own
    "nkimoe/pytorch/flat_kernels.py:",
    "nkimoe/pytorch/flat_operations.py:",
)
SAYS_NOTHING = {"utils", "util", "common", "helpers", "helper", "misc", "core", "impl", "v2"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def python_files(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def lines_of(source: str) -> int:
    return len(source.splitlines())


def functions_of(source: str) -> Iterator[tuple[Function, bool]]:
    """Every function with whether it is a method, nested ones included."""
    tree = ast.parse(source)
    methods = {id(child) for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for child in node.body}
    for node in ast.walk(tree):
        if isinstance(node, Function):
            yield node, id(node) in methods


def long_functions(source: str) -> list[str]:
    lengths = {node: (node.end_lineno or node.lineno) - node.lineno + 1 for node, _ in functions_of(source)}
    return [f"{node.name}: {n} lines" for node, n in lengths.items() if n > MOST_LINES_OF_A_FUNCTION]


def parameter_count(node: Function, is_method: bool) -> int:
    spec = node.args
    static = any(isinstance(mark, ast.Name) and mark.id == "staticmethod" for mark in node.decorator_list)
    named = len(spec.posonlyargs) + len(spec.args) + len(spec.kwonlyargs)
    starred = (spec.vararg is not None) + (spec.kwarg is not None)
    return named + starred - (is_method and not static)


def wide_functions(source: str, path: str) -> list[str]:
    counts = {node: parameter_count(node, is_method) for node, is_method in functions_of(source)}
    return [
        f"{node.name}: {count} parameters"
        for node, count in counts.items()
        if count > MOST_PARAMETERS and not has_more_parameters_allowed(path, node.name)
    ]


def has_more_parameters_allowed(path: str, function: str) -> bool:
    """An allowance is a folder ("a/"), a file ("a/b.py:") or a function ("a/b.py:f")."""
    place = f"{path}:{function}"
    return any(
        place.startswith(allowed) if allowed.endswith(("/", ":")) else place == allowed
        for allowed in MAY_HAVE_MORE_PARAMETERS
    )


def empty_names(path: str) -> list[str]:
    return [part for part in Path(path).with_suffix("").parts if part.strip("_").lower() in SAYS_NOTHING]


@pytest.mark.parametrize("package", PACKAGES)
def test_every_file_says_its_licence_first(package: str) -> None:
    firsts = {path.relative_to(ROOT): path.read_text("utf-8").partition("\n")[0] for path in python_files(package)}
    assert {path: first for path, first in firsts.items() if first != LICENCE} == {}


@pytest.mark.parametrize("package", PACKAGES)
def test_no_file_is_longer_than_400_lines(package: str) -> None:
    sizes = {str(path.relative_to(ROOT)): lines_of(path.read_text("utf-8")) for path in python_files(package)}
    assert {name: size for name, size in sizes.items() if size > MOST_LINES_OF_A_FILE} == {}


@pytest.mark.parametrize("package", PACKAGES)
def test_half_of_the_files_have_at_most_120_lines(package: str) -> None:
    assert median(lines_of(path.read_text("utf-8")) for path in python_files(package)) <= MEDIAN_LINES_OF_A_FILE


@pytest.mark.parametrize("package", PACKAGES)
def test_no_function_is_longer_than_60_lines(package: str) -> None:
    found = {str(path.relative_to(ROOT)): long_functions(path.read_text("utf-8")) for path in python_files(package)}
    assert {name: functions for name, functions in found.items() if functions} == {}


@pytest.mark.parametrize("package", PACKAGES)
def test_functions_below_the_public_entries_have_at_most_8_parameters(package: str) -> None:
    names = {path.relative_to(ROOT).as_posix(): path.read_text("utf-8") for path in python_files(package)}
    found = {name: wide_functions(source, name) for name, source in names.items()}
    assert {name: functions for name, functions in found.items() if functions} == {}


def test_no_file_or_folder_has_a_name_that_says_nothing() -> None:
    paths = [path for folder in NAMED_FOLDERS for path in (ROOT / folder).rglob("*") if "__pycache__" not in path.parts]
    assert paths
    assert [str(path.relative_to(ROOT)) for path in paths if empty_names(path.relative_to(ROOT).as_posix())] == []


def function_of(lines: int, indent: str = "") -> str:
    return f"{indent}def f():\n" + f"{indent}    pass\n" * (lines - 1)


@pytest.mark.parametrize(
    ("source", "long"),
    [
        (function_of(60), []),
        (function_of(61), ["f: 61 lines"]),
        ("class C:\n" + function_of(61, "    "), ["f: 61 lines"]),
        ("def outer():\n" + function_of(60, "    "), ["outer: 61 lines"]),
        ("async " + function_of(61), ["f: 61 lines"]),
        ("@mark(\n" + "\n" * 60 + ")\n" + function_of(2), []),
    ],
)
def test_a_long_function_is_found_wherever_it_stands(source: str, long: list[str]) -> None:
    assert long_functions(source) == long


@pytest.mark.parametrize(
    ("signature", "count"),
    [
        ("def f(a, b, c, d, e, f, g, h): ...", 8),
        ("def f(a, /, b, c, d, *, e, f, g, h, i): ...", 9),
        ("def f(a, *rest, b=1, **options): ...", 4),
        ("class C:\n    def f(self, a): ...", 1),
        ("class C:\n    @staticmethod\n    def f(a, b): ...", 2),
        ("class C:\n    def f(self):\n        def g(a, b): ...", 0),
    ],
)
def test_every_kind_of_parameter_counts_except_self(signature: str, count: int) -> None:
    assert parameter_count(*next(functions_of(signature))) == count


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("nkimoe/planning/plan.py", ["moe_cte: 9 parameters"]),
        ("nkimoe/moe_cte.py", []),
        ("nkimoe/reference/forward.py", []),
        ("nkimoe/reference/forward.pyx", ["moe_cte: 9 parameters"]),
        ("simulate/nkisim/instructions/activation.py", []),
        ("simulate/nkisim/instructions.py", ["moe_cte: 9 parameters"]),
    ],
)
def test_only_the_listed_places_may_have_more_parameters(path: str, found: list[str]) -> None:
    assert wide_functions("def moe_cte(a, b, c, d, e, f, g, h, i): ...", path) == found


def test_an_allowance_for_a_function_is_not_one_for_its_neighbours() -> None:
    source = "def moe_cte_inner(a, b, c, d, e, f, g, h, i): ..."
    assert wide_functions(source, "nkimoe/moe_cte.py") == ["moe_cte_inner: 9 parameters"]


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("simulate/nkisim/execution/neuron_core.py", []),
        ("nkimoe/kernels/utils.py", ["utils"]),
        ("nkimoe/core/plan.py", ["core"]),
        ("nkimoe/_helpers.py", ["_helpers"]),
        ("nkimoe/v2", ["v2"]),
    ],
)
def test_a_name_that_says_nothing_is_found_in_files_and_folders(path: str, found: list[str]) -> None:
    assert empty_names(path) == found
