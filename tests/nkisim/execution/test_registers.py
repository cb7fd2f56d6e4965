"""Registers refuse to be Python values, as a tracer that does not know them must."""

import operator

import pytest

import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim.errors import RegisterError


@pytest.mark.parametrize(
    ("use", "actual"),
    [
        (bool, "bool(register)"),
        (lambda r: 1 if r else 0, "bool(register)"),
        (lambda r: not r, "bool(register)"),
        (int, "int(register)"),
        (range, "range(register)"),
        (operator.index, "Python index"),
        (lambda r: [1, 2][r], "Python index"),
        (float, "Python index"),
        (lambda r: r == 3, "comparison"),
        (lambda r: r != 3, "comparison"),
        (lambda r: r < 3, "comparison"),
        (lambda r: r >= 3, "comparison"),
        (lambda r: r + 1, "arithmetic"),
        (lambda r: 2 * r, "arithmetic"),
        (lambda r: 7 // r, "arithmetic"),
        (lambda r: -r, "arithmetic"),
    ],
)
def test_refuses_to_be_a_python_value(trn2, refuses, use, actual):
    with refuses(RegisterError, "NKI301", actual):
        trn2.attempt(lambda: use(nisa.register_alloc(3)))


@pytest.mark.parametrize("use", [len, iter])
def test_is_no_sequence(trn2, use):
    with pytest.raises(TypeError):
        trn2.attempt(lambda: use(nisa.register_alloc(3)))


def test_may_be_compared_with_none_and_kept_in_a_dictionary(trn2):
    def body():
        register = nisa.register_alloc(3)
        assert register is not None
        assert (register == None) is False  # noqa: E711
        assert {register: "x"}[register] == "x"
        assert (repr(register), repr(nisa.register_alloc())) == ("VirtualRegister(3)", "VirtualRegister(empty)")

    trn2.attempt(body)


def test_is_a_type_error_too_as_the_published_package_raises():
    assert issubclass(RegisterError, TypeError)
    assert issubclass(RegisterError, nisa.NkiValidationError)


@pytest.mark.parametrize(("given", "kept"), [(2**31 - 1, 2**31 - 1), (2**31, -(2**31)), (2**32 - 1, -1), (-5, -5)])
def test_holds_a_signed_32_bit_number(trn2, given, kept):
    def body():
        register = nisa.register_alloc()
        register.load(given)
        assert register.read() == kept

    trn2.attempt(body)


def test_refuses_to_be_read_before_it_is_loaded(trn2, refuses):
    def body(register):
        return nl.ndarray((4, 4), nl.float32, buffer=nl.private_hbm)[register()], nisa.register_move(
            nisa.register_alloc(), register()
        )

    trn2.attempt(lambda: body(lambda: nisa.register_alloc(1)))
    with refuses(RegisterError, "NKI301", "an empty register"):
        trn2.attempt(lambda: body(nisa.register_alloc))
