"""register_alloc, register_move, register_load, register_store."""

import numpy as np
import pytest
from support.device import hbm, psum, store, tile

import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim.errors import ArgumentError, BufferRuleError, DtypeError, RegisterError, ShapeError


@pytest.mark.parametrize("dtype", ["int32", "uint32", "int8", "uint16"])
@pytest.mark.parametrize("place", [nl.sbuf, nl.private_hbm])
def test_a_value_passes_through_a_register(trn2, dtype, place):
    def kernel(array):
        source = array if place is nl.private_hbm else nl.load(array)
        first, second = nisa.register_alloc(), nisa.register_alloc(5)
        nisa.register_load(first, source)
        nisa.register_move(second, first)
        cell = nl.ndarray((1, 1), nl.int32, buffer=nl.sbuf)
        nisa.register_store(cell, second)
        return store(cell)

    assert trn2.outputs(kernel, np.array([[77]], dtype)) == 77


def test_moves_constants(trn2):
    def kernel():
        register, cell = nisa.register_alloc(), nl.ndarray((1, 1), nl.int16, buffer=nl.sbuf)
        nisa.register_move(register, -3)
        nisa.register_store(cell, register)
        return store(cell)

    assert trn2.outputs(kernel) == -3


def test_a_move_copies_the_value_not_the_register(trn2):
    def body():
        first, second = nisa.register_alloc(1), nisa.register_alloc()
        nisa.register_move(second, first)
        nisa.register_move(first, 9)
        assert (first.read(), second.read()) == (9, 1)

    trn2.attempt(body)


@pytest.mark.parametrize("value", [1.5, "3", np.float32(2)])
def test_refuses_constants_that_are_not_ints(trn2, refuses, value):
    with refuses(ArgumentError, "NKI101", type(value).__name__):
        trn2.attempt(lambda: nisa.register_alloc(value))
    with refuses(ArgumentError, "NKI101", type(value).__name__):
        trn2.attempt(lambda: nisa.register_move(nisa.register_alloc(), value))


def test_refuses_a_tensor_where_a_register_belongs(trn2, refuses):
    for call in (
        lambda cell: nisa.register_move(cell, 1),
        lambda cell: nisa.register_load(cell, cell),
        lambda cell: nisa.register_store(cell, cell),
    ):
        with refuses(ArgumentError, "NKI101", "NkiTensor"):
            trn2.attempt(lambda call=call: call(tile((1, 1), "int32")))


def transfer(cell):
    """Load a register from `cell` and store it back."""
    register = nisa.register_alloc()
    nisa.register_load(register, cell)
    nisa.register_store(cell, register)


@pytest.mark.parametrize("shape", [(1, 2), (2, 1)])
def test_refuses_tensors_of_several_elements(trn2, refuses, shape):
    trn2.attempt(lambda: transfer(tile((1, 1), "int32")))
    trn2.attempt(lambda: transfer(hbm((1,), "int32")))
    with refuses(ShapeError, "NKI102", str(shape)):
        trn2.attempt(lambda: transfer(tile(shape, "int32")))
    with refuses(ShapeError, "NKI102", str(shape)):
        trn2.attempt(lambda: nisa.register_store(tile(shape, "int32"), nisa.register_alloc(1)))


def test_refuses_psum_and_floats(trn2, refuses):
    with refuses(BufferRuleError, "NKI104", "psum"):
        trn2.attempt(lambda: transfer(psum((1, 1), "int32")))
    with refuses(DtypeError, "NKI103", "float32"):
        trn2.attempt(lambda: transfer(tile((1, 1))))


def test_refuses_to_store_an_empty_register(trn2, refuses):
    with refuses(RegisterError, "NKI301", "an empty register"):
        trn2.attempt(lambda: nisa.register_store(tile((1, 1), "int32"), nisa.register_alloc()))


def test_register_instructions_run_on_the_sync_engine(trn2):
    events = trn2.attempt(lambda: transfer(tile((1, 1), "int32")))
    assert [(e.opcode, e.engine) for e in events[1:]] == [("register_load", "sync"), ("register_store", "sync")]
