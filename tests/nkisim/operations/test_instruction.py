"""An instruction is declared in one place, with all that others ask of it."""

import ast
import inspect
from pathlib import Path

import numpy as np
import pytest
from support.device import tile

import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim.observe import CostClass, Meeting, Work
from nkisim.operations import instruction as declaring
from nkisim.operations.enums import engine as Engine
from nkisim.operations.instruction import INSTRUCTIONS, instruction
from nkisim.operations.instruction_help import ARGUMENTS
from nkisim.operations.operation import Operation
from nkisim.timing.costs.table import FORMULAS, formula

SIMULATOR = Path(declaring.__file__).parents[1]
PRICED = [(engine, declared.traits.cost) for declared in INSTRUCTIONS.values() for engine in declared.engines]


@pytest.fixture
def scratch(monkeypatch):
    """A registry whose additions last one test."""
    monkeypatch.setattr(declaring, "INSTRUCTIONS", {})
    return declaring.INSTRUCTIONS


def test_an_instruction_without_a_cost_class_cannot_be_registered(scratch):
    with pytest.raises(TypeError, match="cost"):

        @instruction(on=Engine.vector)
        def nothing_said():
            raise AssertionError

    with pytest.raises(TypeError, match="CostClass"):

        @instruction(cost="copy", on=Engine.vector)
        def not_a_class():
            raise AssertionError

    assert scratch == {}


def test_an_instruction_without_an_engine_cannot_be_registered(scratch):
    with pytest.raises(TypeError, match="engine"):
        instruction(cost=CostClass.copy, on=())
    assert scratch == {}


@pytest.mark.parametrize("name", sorted(INSTRUCTIONS))
def test_every_instruction_says_what_kind_of_work_it_does_and_where(name):
    declared = INSTRUCTIONS[name]
    assert isinstance(declared.traits.cost, CostClass)
    assert all(isinstance(engine, Engine) for engine in declared.engines)


@pytest.mark.parametrize(("engine", "cost"), sorted(set(PRICED), key=str))
def test_every_kind_of_work_has_a_formula_on_each_engine_that_does_it(engine, cost):
    assert callable(formula(engine.name, cost))


def test_no_formula_is_for_work_that_no_instruction_does_on_that_engine():
    done = {(engine.name, cost) for engine, cost in PRICED}
    unused = {(engine, cost) for engine, formulas in FORMULAS.items() for cost in formulas} - done
    assert unused == set()


def test_every_kind_of_work_is_done_by_some_instruction():
    assert {cost for _, cost in PRICED} == set(CostClass)


def test_an_engine_without_a_formula_is_an_error_that_names_both():
    with pytest.raises(ValueError, match=r"matmul .*gpsimd"):
        formula("gpsimd", CostClass.matmul)
    with pytest.raises(ValueError, match=r"copy .*abacus"):
        formula("abacus", CostClass.copy)


def test_a_new_instruction_with_unknown_work_has_no_predicted_time(trn2, scratch):
    @instruction(cost=CostClass.matmul, on=Engine.vector)
    def matmul_on_the_vector_engine(dst):
        return Operation(Engine.vector, (), (dst,), lambda: np.zeros(dst.shape), Work(1))

    run = trn2.run(lambda: matmul_on_the_vector_engine(nl.ndarray((1, 1), nl.float32, buffer=nl.sbuf)) and None)
    with pytest.raises(ValueError, match=r"matmul .*vector"):
        _ = run.profile.latency_us


def test_an_instruction_on_an_engine_it_is_not_declared_for_is_an_error(trn2, scratch):
    @instruction(cost=CostClass.copy, on=Engine.vector)
    def strays(dst):
        return Operation(Engine.scalar, (), (dst,), lambda: None, Work(1))

    with pytest.raises(TypeError, match=r"strays .*scalar"):
        trn2.run(lambda: strays(tile((1, 1))) and None)


def test_the_cores_meet_in_the_barrier_and_the_exchange():
    meetings = {name: d.traits.meeting for name, d in INSTRUCTIONS.items() if d.traits.meeting is not None}
    assert meetings == {"core_barrier": Meeting.barrier, "sendrecv": Meeting.exchange}


def named_instructions(source: str) -> set[str]:
    """Instructions that a source names in a string of its own."""
    strings = {node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant)}
    return strings & INSTRUCTIONS.keys()


@pytest.mark.parametrize("layer", ["observe", "timing", "report", "lint"])
def test_readers_of_events_ask_traits_and_no_names(layer):
    files = sorted((SIMULATOR / layer).rglob("*.py"))
    assert files
    assert {file.name: found for file in files if (found := named_instructions(file.read_text("utf-8")))} == {}


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('if event.opcode in ("reciprocal", "rand2"): pass', {"reciprocal", "rand2"}),
        ('"""About nc_matmul."""\nkey = "dve_cycles.reciprocal"', set()),
        ("nisa.tensor_copy(dst, src)", set()),
    ],
)
def test_an_instruction_named_in_a_string_is_found(source, found):
    assert named_instructions(source) == found


@pytest.mark.parametrize("file", sorted((SIMULATOR / "instructions").glob("[a-z]*.py")), ids=lambda file: file.stem)
def test_a_file_of_instructions_holds_one_of_its_name_and_shares_nothing(file):
    tree = ast.parse(file.read_text("utf-8"))
    public = [node.name for node in tree.body if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")]
    assert public == [file.stem]
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {module for module in imported if module.startswith("nkisim.instructions")} == set()


def test_the_help_of_an_instruction_says_what_is_declared_of_it():
    described, _, declared = inspect.getdoc(nisa.nc_matmul).rpartition("\n\n")
    assert described.startswith("dst[M, N] (+)= stationary[K, M].T @ moving[K, N]")
    assert declared.splitlines()[:3] == [
        "Engines: tensor.",
        "Cost: matmul (columns of the moving tile through the PE).",
        "Indirect operands: dst, stationary, moving.",
    ]
    assert declared.splitlines()[3].startswith("Limit: tile_position without tile_size")


def test_the_help_says_nothing_of_what_an_instruction_has_not():
    _, _, declared = inspect.getdoc(nisa.reciprocal).rpartition("\n\n")
    facts = ["Engines: vector.", "Cost: reciprocal (one over each element)."]
    assert declared.splitlines() == [*facts, f"name: {ARGUMENTS['name']}."]


def test_the_help_tells_an_argument_of_many_where_an_instruction_does_not_tell_it_itself():
    _, _, declared = inspect.getdoc(nisa.tensor_scalar).rpartition("\n\n")
    assert f"reverse0: {ARGUMENTS['reverse0']}." in declared
    assert "reduce_cmd" not in declared
    _, _, of_core_barrier = inspect.getdoc(nisa.core_barrier).rpartition("\n\n")
    assert "engine:" not in of_core_barrier  # its first line says what it is there


def test_every_kind_of_work_is_described_in_words_of_its_own():
    assert all(isinstance(kind.value, str) for kind in CostClass)
    assert len(CostClass) == len(CostClass.__members__)  # no two share theirs, which would make them one
