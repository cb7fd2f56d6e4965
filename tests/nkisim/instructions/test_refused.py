"""What nkisim refuses is listed by the name of a registered instruction, with a reason."""

import pytest

import nkisim.nki.isa as nisa
from nkisim.instructions.operation import INSTRUCTIONS
from nkisim.instructions.refused import LIMITS, REASONS


@pytest.mark.parametrize("name", [*REASONS, *LIMITS])
def test_a_listed_refusal_names_an_instruction_and_a_reason(name):
    assert INSTRUCTIONS[name] is getattr(nisa, name)
    assert len({**REASONS, **LIMITS}[name]) > 20


def test_an_instruction_is_refused_as_a_whole_or_in_part():
    assert not REASONS.keys() & LIMITS.keys()
