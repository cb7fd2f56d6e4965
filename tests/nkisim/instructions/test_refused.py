"""What nkisim refuses is declared with the instruction, with a reason."""

import inspect

import pytest

import nkisim.nki.isa as nisa
from nkisim.operations.instruction import INSTRUCTIONS

SAID = {name: declared for name, declared in INSTRUCTIONS.items() if declared.refused or declared.limit}


@pytest.mark.parametrize("name", SAID)
def test_a_declared_refusal_has_a_reason(name):
    assert inspect.unwrap(SAID[name].issue) is inspect.unwrap(getattr(nisa, name))
    assert len(SAID[name].refused or SAID[name].limit) > 20


def test_an_instruction_is_refused_as_a_whole_or_in_part():
    assert SAID
    assert not [name for name, declared in SAID.items() if declared.refused and declared.limit]
