"""Rules read from the source of instructions."""

import pytest

import nkisim.nki.isa as nisa
from nkisim.operations.instruction import INSTRUCTIONS
from website.guards import Guard, guards_of


@pytest.mark.parametrize("name", INSTRUCTIONS)
def test_every_instruction_has_rules_with_codes(name: str) -> None:
    guards = guards_of(INSTRUCTIONS[name].issue)
    assert guards
    assert all(guard.rule and guard.codes for guard in guards)
    assert all(
        operand in INSTRUCTIONS[name].issue.__wrapped__.__annotations__ for g in guards for operand in g.operands
    )


def test_a_shared_rule_names_its_operands_and_a_rule_of_its_own_none() -> None:
    guards = guards_of(nisa.tensor_reduce)
    assert Guard((), "negate is for arithmetic reductions", ("NKI101",)) in guards
    (on_chip,) = (guard for guard in guards if guard.rule.startswith("Operands are SBUF or PSUM tiles"))
    assert on_chip.operands == ("dst", "data")
    assert "NKI104" in on_chip.codes


def test_what_a_rule_inserts_is_its_value_where_the_module_knows_it() -> None:
    rules = [guard.rule for guard in guards_of(nisa.affine_select)]
    assert "cmp_op is one of equal, not_equal, greater_equal, greater, less_equal, less" in rules
    assert "`argument` is an int32" in rules


def test_rules_are_followed_into_what_instructions_share() -> None:
    rules = [guard.rule for guard in guards_of(nisa.iota)]
    assert "a pattern has one to four [step, count] pairs" in rules


def test_a_rule_that_holds_in_some_cases_says_in_which() -> None:
    rules = [guard.rule for guard in guards_of(nisa.nc_matmul)]
    assert "Two operands have one dtype, where `is_transpose`" in rules
    assert "fp32 pairs with fp32" in rules  # the test that it follows is the rule itself
