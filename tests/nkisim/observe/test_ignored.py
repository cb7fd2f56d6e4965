"""Arguments that do nothing: the list of them, and notes where it shows."""

import ast
import inspect
import textwrap

import pytest
from support.device import tile

import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim.observe import Note
from nkisim.observe.ignored import HINTS
from nkisim.operations.instruction import INSTRUCTIONS


def multiply(dtype, **hints):
    dst = nl.ndarray((8, 8), nl.float32, buffer=nl.psum)
    nisa.nc_matmul(dst, tile((8, 8), dtype), tile((8, 8), dtype), **hints)


@pytest.mark.parametrize("hint", ["is_stationary_onezero", "is_moving_onezero"])
def test_notes_a_hint_for_fp32_on_other_operands(trn2, hint):
    def kernel(dtype):
        multiply(dtype, **{hint: True})

    assert trn2.run(kernel, "float32").findings == []
    (finding,) = trn2.run(kernel, "bfloat16").findings
    assert isinstance(finding, Note)
    assert finding.code == "NKI408"
    assert "nc_matmul of bfloat16 and bfloat16" in str(finding)


def test_a_note_stops_nothing_and_warns_of_nothing(trn2):
    from nkisim.execution.kernel import simulate

    def kernel(rounds):
        for _ in range(rounds):
            multiply("bfloat16", is_moving_onezero=True)
            nl.load(nl.zeros((2, 2), nl.float32, buffer=nl.private_hbm))

    simulate(kernel)(2)
    assert len(trn2.run(kernel, 3).findings) == 1


def used_names(function):
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


@pytest.mark.parametrize("name", sorted(INSTRUCTIONS))
def test_every_argument_is_used_or_listed_as_a_hint(name):
    function = inspect.unwrap(INSTRUCTIONS[name].issue)
    assert set(inspect.signature(function).parameters) - used_names(function) - HINTS.keys() == set()


def test_every_listed_hint_is_an_argument_of_some_instruction():
    arguments = {p for d in INSTRUCTIONS.values() for p in inspect.signature(inspect.unwrap(d.issue)).parameters}
    assert HINTS.keys() - arguments == set()
    assert all(reason.endswith(".") for reason in HINTS.values())
