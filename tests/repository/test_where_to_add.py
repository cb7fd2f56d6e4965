"""The table "Where to add" of the architecture page names files that exist, and the places where registries are."""

import inspect
import re
from pathlib import Path

import pytest

import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkimoe.choosing import cost
from nkimoe.planning.variants import VARIANTS
from nkisim import observe
from nkisim.machine import TARGETS, load_machine, loader
from nkisim.nki._names import PUBLISHED
from nkisim.observe import (
    Capacity,
    Observer,
    detectors,
    dma_deadlines,
    late_reads,
    standard_detectors,
    traits,
    unordered_aliases,
)
from nkisim.operations import activation_range, operator_help, operators
from nkisim.operations.instruction import INSTRUCTIONS
from nkisim.timing import clock
from nkisim.timing.costs import scalar, table

ROOT = Path(__file__).resolve().parents[2]
SIMULATOR = ROOT / "simulate" / "nkisim"
PAGE = ROOT / "docs" / "architecture.md"
ROOTS = (ROOT, SIMULATOR, ROOT / "nkimoe")
MEASURES_ONLY = {observe.Counters, observe.Recorder, dma_deadlines.DmaDeadlines}
FOR_COMPARISONS = {late_reads.LateReads, unordered_aliases.UnorderedAliases}


def rows(page: str) -> dict[str, str]:
    """The table's rows by their first cell."""
    text = page.partition("## Where to add")[2].partition("\n## ")[0]
    lines = [line.strip("| ").partition(" | ") for line in text.splitlines() if line.startswith("| a")]
    return {first: rest for first, _, rest in lines}


def named_files(row: str) -> list[str]:
    """Files in backticks."""
    return re.findall(r"`([\w/.]+\.(?:py|toml))`", row)


def files_with(pattern: str, folder: Path = ROOT / "nkimoe") -> set[str]:
    """Python files below a folder whose text has a match, by their paths in it."""
    found = (path for path in folder.rglob("*.py") if re.search(pattern, path.read_text("utf-8")))
    return {path.relative_to(folder).as_posix() for path in found}


def is_there(name: str) -> bool:
    return any(next(root.glob(name.replace("NAME", "*")), None) for root in ROOTS)


ROWS = rows(PAGE.read_text("utf-8"))


@pytest.mark.parametrize("row", ROWS)
def test_every_file_of_a_row_exists(row: str) -> None:
    assert [name for name in named_files(ROWS[row]) if not is_there(name)] == []


def test_the_instructions_are_in_the_file_and_the_lists_that_their_row_names() -> None:
    files = named_files(ROWS["an instruction"])
    assert files == [
        "instructions/NAME.py", "operations/instruction_help.py", "nki/isa/__init__.py", "nki/published.py",
        "observe/ignored.py", "lint/versions.py",
    ]  # fmt: skip
    registered = {name: inspect.unwrap(declared.issue) for name, declared in INSTRUCTIONS.items()}
    assert {name: f.__module__ for name, f in registered.items()} == {n: f"nkisim.instructions.{n}" for n in registered}
    assert registered.keys() - set(nisa.__all__) == set()
    assert {name for name in registered if ("nki.isa", name) not in PUBLISHED} == set()
    coverage = (ROOT / "docs/simulator/coverage.md").read_text("utf-8")
    assert [name for name in registered if f"`{name}(" not in coverage] == []


def test_every_file_of_instructions_is_imported_where_its_row_says() -> None:
    files = {path.stem for path in (SIMULATOR / "instructions").glob("[a-z]*.py")}
    assert files == INSTRUCTIONS.keys() | {"register_alloc"}  # which issues nothing


def test_the_kinds_of_work_and_their_formulas_are_in_the_files_of_their_row() -> None:
    kinds, formulas, rules = named_files(ROWS["a kind of work"])
    assert SIMULATOR / kinds == Path(traits.__file__)
    assert SIMULATOR / formulas == Path(table.__file__)
    assert SIMULATOR / rules == Path(clock.__file__)
    assert "`CLOCK`" in ROWS["a kind of work"]
    assert clock.CLOCK
    files = {Path(inspect.getfile(f)) for by_kind in table.FORMULAS.values() for f in by_kind.values()}
    assert {file.parent for file in files} == {Path(table.__file__).parent}


def test_operators_are_where_their_row_says() -> None:
    row = ROWS["an operator or activation"]
    modules = [Path(module.__file__ or "") for module in (operators, operator_help, activation_range, scalar)]
    assert [SIMULATOR / name for name in named_files(row)] == modules
    assert "`OPERATORS`" in row
    assert "`RANGES`" in row
    assert "`FORMULAS`" in row
    assert operator_help.FORMULAS.keys() == operators.OPERATORS.keys()
    assert operators.OPERATORS.keys() - set(nl.__all__) == set()
    assert activation_range.RANGES.keys() - operators.OPERATORS.keys() == set()
    assert scalar.IN_EVERY_TABLE - {name for name, op in operators.OPERATORS.items() if op.activation} == set()


def test_every_detector_is_in_the_one_list_that_its_row_names() -> None:
    assert "observe/detectors.py" in named_files(ROWS["a detector"])
    assert Path(detectors.__file__) == SIMULATOR / "observe/detectors.py"
    listed = [type(detector) for detector in standard_detectors(Capacity(load_machine("trn2")))]
    assert len(set(listed)) == len(listed)
    defined = {c for c in Observer.__subclasses__() if c.__module__.startswith("nkisim.observe.")}
    assert defined - MEASURES_ONLY - FOR_COMPARISONS == set(listed)


@pytest.mark.parametrize("file", ["simulator.py", "execution/kernel.py"])
def test_who_launches_kernels_lists_no_detectors_of_its_own(file: str) -> None:
    source = (SIMULATOR / file).read_text("utf-8")
    names = {type(detector).__name__ for detector in standard_detectors(Capacity(load_machine("trn2")))}
    assert "standard_detectors(" in source
    assert [name for name in sorted(names - {"Capacity"}) if name in source] == []


def test_every_machine_file_is_a_target_where_the_row_says() -> None:
    row = ROWS["a target"]
    assert "`TARGETS` of `machine/loader.py`" in row
    assert Path(loader.__file__) == SIMULATOR / "machine/loader.py"
    assert {path.stem for path in (SIMULATOR / "machine").glob("*.toml")} == TARGETS.keys()
    assert {name: f"gen{load_machine(name).generation}" for name in TARGETS} == TARGETS


@pytest.mark.parametrize(
    ("row", "pattern"),
    [
        ("a moment at which weights load", r"\bexpert_to_load\b"),
        ("a variant", r"variants import .*\b(BLOCKS|INTERMEDIATE)\b|\.variant\.split\]"),
        ("a quantisation of the grouped GEMM", r"gemm_quantisation import .*\b[A-Z0-9_]{2,}\b"),
        ("a weight format", r"(weights|packing) (==|!=|(not )?in \(PLAIN,) INT8\b|isinstance\(packing, Int8\)"),
    ],
    ids=[
        "what asks for the expert to load",
        "what asks for the split",
        "what asks for the quantisation",
        "what asks for int8 weights",
    ],
)
def test_a_row_names_every_file_that_asks(row: str, pattern: str) -> None:
    asking = files_with(pattern)
    assert asking
    assert asking - set(named_files(ROWS[row])) == set()


def test_every_split_has_its_coefficients() -> None:
    assert cost.read_coefficients().keys() == {variant.split for variant in VARIANTS.values()}


def test_files_that_ask_are_found_below_a_folder(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "asks.py").write_text("of = part.expert_to_load\n")
    (tmp_path / "does_not.py").write_text("of = part.experts_to_load\n")
    assert files_with(r"\bexpert_to_load\b", tmp_path) == {"deep/asks.py"}


@pytest.mark.parametrize(
    ("row", "files"),
    [
        ("`a/b.py`: text | `c.py`; [page](d.md)", ["a/b.py", "c.py"]),
        ("a `@mark` of `x.py`", ["x.py"]),
        ("`machine/NAME.toml` | `TARGETS` of `machine/loader.py`", ["machine/NAME.toml", "machine/loader.py"]),
    ],
)
def test_files_are_read_from_a_row(row: str, files: list[str]) -> None:
    assert named_files(row) == files


@pytest.mark.parametrize(
    ("name", "there"), [("machine/NAME.toml", True), ("machine/NAME.json", False), ("x.py", False)]
)
def test_a_file_that_is_not_there_is_found_out(name: str, there: bool) -> None:
    assert is_there(name) is there
