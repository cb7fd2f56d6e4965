"""Device loops: what they do, and the bodies a tracer that sees them once could not have traced."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.device import Device, hbm, psum, random_values, store, tile

import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim.errors import ArgumentError, LoopError, RegisterError


def counts(make_loop):
    """Kernel that adds one to a cell for each iteration, at the column of the iteration register."""

    def kernel():
        cells, one = hbm((1, 40), "int32"), tile((1, 1), "int32")
        nisa.memset(one, 1)

        def body(i):
            nisa.dma_copy(cells[:, nl.ds(i, 1)], one)

        make_loop(body)
        return cells

    return kernel


@settings(max_examples=40, deadline=None)
@given(lower=st.integers(0, 12), upper=st.integers(-3, 39), step=st.integers(1, 5), in_registers=st.booleans())
def test_fori_loop_visits_the_values_of_range(lower, upper, step, in_registers):
    def loop(body):
        bounds = [nisa.register_alloc(n) if in_registers else n for n in (lower, upper)]
        nl.fori_loop(*bounds, body, step=step)

    expected = np.zeros((1, 40), np.int32)
    expected[0, list(range(lower, upper, step))] = 1
    np.testing.assert_array_equal(Device("trn2").outputs(counts(loop)), expected)


def test_writing_to_the_iteration_register_does_not_change_the_loop(trn2):
    def loop(body):
        def changed(i):
            body(i)
            nisa.register_move(i, 30)

        nl.fori_loop(0, 4, changed)

    assert trn2.outputs(counts(loop)).sum() == 4


@pytest.mark.parametrize("start", [0, 1, 5])
def test_while_loop_runs_until_its_register_is_zero(trn2, start):
    def kernel(count):
        left, one, total = nl.load(count), tile((1, 1), "int32"), tile((1, 1), "int32")
        nisa.memset(one, 1)

        def body(register):
            nisa.tensor_tensor(total, total, one, nl.add)
            nisa.tensor_tensor(left, left, one, nl.subtract)
            nisa.register_load(register, left)
            return register

        condition = nisa.register_alloc()
        nisa.register_load(condition, left)
        nl.while_loop(condition, body)
        return store(total)

    assert trn2.outputs(kernel, np.array([[start]], np.int32)) == start


def test_refuses_a_while_body_that_returns_no_register(trn2, refuses):
    for returned in (None, 0):
        with refuses(LoopError, "NKI302", repr(returned)):
            trn2.attempt(lambda returned=returned: nl.while_loop(nisa.register_alloc(1), lambda r: returned))


@pytest.mark.parametrize("step", [0, -1, 1.5])
def test_refuses_a_step_that_is_not_a_positive_int(trn2, refuses, step):
    with refuses(ArgumentError, "NKI101", str(step)):
        trn2.attempt(lambda: nl.fori_loop(0, 3, lambda i: None, step))


@pytest.mark.parametrize("bound", [1.0, "3", None])
def test_refuses_a_bound_that_is_neither_an_int_nor_a_register(trn2, refuses, bound):
    with refuses(ArgumentError, "NKI101", type(bound).__name__):
        trn2.attempt(lambda: nl.fori_loop(0, bound, lambda i: None))


def test_refuses_an_empty_register_as_a_bound(trn2, refuses):
    with refuses(RegisterError, "NKI301", "empty register"):
        trn2.attempt(lambda: nl.fori_loop(0, nisa.register_alloc(), lambda i: None))


def looping(body, times=2):
    """Run `body(dst, visit)` in a device loop, where visit counts up in Python."""
    visits = []

    def once(i):
        body(visits, len(visits))
        visits.append(i)

    nl.fori_loop(0, times, once)


def tiles():
    return tile((8, 8)), tile((8, 8))


@pytest.mark.parametrize(
    "steady",
    [
        lambda a, b, n: nisa.tensor_copy(a, b),
        lambda a, b, n: nisa.memset(tile((8, 4)), 3),
        lambda a, b, n: nisa.nc_matmul(nl.ndarray((8, 8), nl.float32, nl.psum), a, b),
        lambda a, b, n: nl.fori_loop(0, n, lambda i: nisa.memset(a, 1)),
    ],
)
def test_a_body_that_issues_the_same_instructions_is_accepted(trn2, steady):
    def body():
        a, b = tiles()
        looping(lambda _, n: steady(a, b, n), times=3)

    trn2.attempt(body)


@pytest.mark.parametrize(
    ("changing", "actual"),
    [
        (lambda a, b, n: nisa.tensor_copy(a, b) if n else None, "instruction 0 is tensor_copy"),
        (lambda a, b, n: None if n else nisa.tensor_copy(a, b), "the end of the body"),
        (lambda a, b, n: nisa.memset(a, 1) if n else nisa.tensor_copy(a, b), "memset"),
        (lambda a, b, n: nisa.memset(a[:, 0 : 4 + n], 1), "instruction 0 is memset"),
        (lambda a, b, n: nisa.memset(a[:, n : 4 + n], 1), "instruction 0 is memset"),
        (lambda a, b, n: nisa.memset(a if n else b, 1), "instruction 0 is memset"),
        (lambda a, b, n: nisa.tensor_tensor(a, a, b, nl.add if n else nl.subtract), "instruction 0 is tensor_tensor"),
        (lambda a, b, n: nisa.dma_copy(hbm((8, 8))[nl.ds(nisa.register_alloc(0) if n else 0, 8)], a), "dma_copy"),
    ],
)
def test_refuses_a_body_that_changes_from_one_iteration_to_the_next(trn2, refuses, changing, actual):
    def body():
        a, b = tile((8, 8)), tile((8, 8))
        looping(lambda _, n: changing(a, b, n))

    with refuses(LoopError, "NKI302", actual):
        trn2.attempt(body)


def test_refuses_to_accumulate_over_iterations_without_saying_so(trn2, refuses):
    def body(accumulate):
        a, b, dst = tile((8, 8)), tile((8, 8)), psum((8, 8))
        nisa.nc_matmul(dst, a, b, accumulate=False)
        looping(lambda _, n: nisa.nc_matmul(dst, a, b, accumulate=accumulate))

    trn2.attempt(lambda: body(True))

    def fresh():
        a, b, dst = tile((8, 8)), tile((8, 8)), nl.ndarray((8, 8), nl.float32, nl.psum)
        looping(lambda _, n: nisa.nc_matmul(dst, a, b))

    with refuses(LoopError, "NKI302", "nc_matmul"):
        trn2.attempt(fresh)


def test_a_nested_loop_may_run_another_number_of_times_each_time(trn2):
    def kernel(limits):
        total, one = tile((1, 1), "int32"), tile((1, 1), "int32")
        nisa.memset(one, 1)

        def outer(i):
            bound = nisa.register_alloc()
            nisa.register_load(bound, limits[nl.ds(i, 1)])
            nl.fori_loop(0, bound, lambda j: nisa.tensor_tensor(total, total, one, nl.add))

        nl.fori_loop(0, 3, outer)
        return store(total)

    assert trn2.outputs(kernel, np.array([2, 0, 5], np.int32)) == 7


def test_a_loop_carries_its_state_in_memory(trn2):
    def kernel(array):
        total = tile((4, 1))

        def body(i):
            nisa.tensor_tensor(total, total, nl.load(array[:, nl.ds(i, 1)]), nl.add)

        nl.fori_loop(0, 9, body)
        return store(total)

    data = random_values((4, 9))
    expected = np.zeros((4, 1), np.float32)
    for column in range(9):
        expected += data[:, column : column + 1]
    np.testing.assert_array_equal(trn2.outputs(kernel, data), expected)
