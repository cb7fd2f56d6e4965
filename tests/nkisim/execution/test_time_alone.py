"""Predictor: guards run once for instructions that are alike, and what memory holds decides as ever."""

import numpy as np
import pytest
from support.device import random_values, store
from support.same_programs import assert_same, profiles

import nkisim
import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim.errors import AccumulationError, ArgumentError, CapacityError, DtypeError, LoopError, UninitializedRead
from nkisim.instructions import nc_matmul as multiplying

SQUARE = random_values((64, 64))
COUNTS = np.array([[2, 0, 1, 3]], np.int32)


def predicted(kernel, *args):
    return nkisim.Predictor("trn2", 1).run(kernel, *args)


def bank():
    return nl.ndarray((64, 64), nl.float32, buffer=nl.psum)


def tile(dtype=nl.float32):
    return nl.ndarray((64, 64), dtype, buffer=nl.sbuf)


def products(x):
    """Equal products into many banks, and what is made of them."""
    left, right, total = nl.load(x), nl.load(x), nl.zeros((64, 64), nl.float32)
    for _ in range(6):
        sums = bank()
        for k in range(3):
            nisa.nc_matmul(dst=sums, stationary=left, moving=right, accumulate=k > 0)
        nisa.tensor_tensor(dst=total, data1=sums, data2=total, op=nl.add)
    return store(total)


def left_open(x):
    """Matmuls that leave it to PSUM whether they add: the first to a bank does not."""
    left, right, total = nl.load(x), nl.load(x), nl.zeros((64, 64), nl.float32)
    for _ in range(3):
        sums = bank()
        for _ in range(2):
            nisa.nc_matmul(sums, left, right)
        nisa.tensor_tensor(total, sums, total, nl.add)
    return store(total)


def looped(x, counts):
    """As many iterations as a table says, which is computed with on the way."""
    left, right, table, turns = nl.load(x), nl.load(x), nl.load(counts), nisa.register_alloc()
    for _ in range(2):
        nisa.tensor_tensor(dst=table, data1=table, data2=table, op=nl.add)
    nisa.register_load(turns, table[0:1, 3:4])
    total = nl.zeros((64, 64), nl.float32)

    def body(i):
        sums = bank()
        nisa.nc_matmul(sums, left, right, accumulate=False)
        nisa.tensor_tensor(total, sums, total, nl.add)

    nl.fori_loop(0, turns, body)
    return store(total)


def in_place(x):
    """Operands that are one tile, and some of the same form that are two."""
    a, b = nl.load(x), nl.load(x)
    nisa.tensor_tensor(dst=a, data1=b, data2=b, op=nl.add)
    nisa.tensor_tensor(dst=a, data1=a, data2=b, op=nl.add)
    c = tile()
    nisa.tensor_tensor(dst=c, data1=a, data2=b, op=nl.add)
    nisa.tensor_tensor(dst=b, data1=c, data2=b, op=nl.add)
    nisa.tensor_tensor(dst=b, data1=a, data2=b, op=nl.add)
    return store(b)


def ordered(x):
    """Dependencies and order that the kernel asks for."""
    data = nl.load(x)
    first, second, third = tile(), tile(), tile()
    one = nisa.tensor_copy(dst=first, src=data)
    nisa.tensor_copy(dst=second, src=data, engine=nisa.engine.scalar).depends_on(one)
    with nl.no_reorder():
        nisa.tensor_copy(dst=third, src=second)
    return store(third)


@pytest.mark.parametrize("kernel", [products, left_open, in_place, ordered])
def test_the_program_is_the_one_that_detectors_see(kernel):
    assert_same(*profiles("trn2", 1, kernel, SQUARE))


def test_integers_are_computed_each_time():
    full, alone = profiles("trn2", 1, looped, SQUARE, COUNTS)
    assert alone.counters.opcodes["nc_matmul"] == 12
    assert_same(full, alone)


def test_equal_products_run_their_guards_once(monkeypatch):
    calls = []
    check = multiplying.check_tiling
    monkeypatch.setattr(multiplying, "check_tiling", lambda *args: calls.append(args) or check(*args))
    profile = predicted(products, SQUARE).profile
    assert profile.counters.opcodes["nc_matmul"] == 18
    assert len(calls) == 2  # one that starts a sum, one that goes on with it


def test_another_form_runs_its_guards():
    def wrong(x):
        data, other = nl.load(x), tile(nl.bfloat16)
        nisa.tensor_copy(other, data)
        nisa.nc_matmul(bank(), data, data, accumulate=False)
        nisa.nc_matmul(bank(), data, other, accumulate=False)

    with pytest.raises(DtypeError):
        predicted(wrong, SQUARE)


def test_numbers_of_another_type_are_other_arguments():
    def wrong(x):
        whole = nl.ndarray((64, 64), nl.int32, buffer=nl.sbuf)
        nisa.memset(whole, 0)
        nisa.memset(whole, 0.0)

    with pytest.raises(ArgumentError, match="integer tile"):
        predicted(wrong, SQUARE)


def test_a_sum_that_nothing_began_is_refused_each_time():
    def wrong(x):
        left, right, began = nl.load(x), nl.load(x), bank()
        nisa.nc_matmul(dst=began, stationary=left, moving=right, accumulate=False)
        nisa.nc_matmul(dst=began, stationary=left, moving=right, accumulate=True)
        nisa.nc_matmul(dst=bank(), stationary=left, moving=right, accumulate=True)

    with pytest.raises(AccumulationError):
        predicted(wrong, SQUARE)


def test_iterations_that_differ_are_refused():
    def wrong(x):
        data, number = nl.load(x), []

        def body(i):
            number.append(i)
            a = tile()
            for _ in range(len(number)):
                nisa.tensor_copy(a, data)

        nl.fori_loop(0, 2, body)

    with pytest.raises(LoopError, match="issues the same instructions"):
        predicted(wrong, SQUARE)


def test_a_tensor_of_an_iteration_that_is_over_is_refused():
    def wrong(x):
        data, made = nl.load(x), []

        def body(i):
            made.append(tile())
            nisa.tensor_copy(made[-1], data)

        nl.fori_loop(0, 2, body)
        nisa.tensor_copy(made[-1], data)

    with pytest.raises(LoopError, match="within its iteration"):
        predicted(wrong, SQUARE)


def test_memory_has_its_capacity():
    def wrong(x):
        data = nl.load(x)
        large = [nl.ndarray((128, 1 << 15), nl.float32, buffer=nl.sbuf) for _ in range(3)]
        for _ in range(2):
            for each in large:
                nisa.tensor_copy(each[0:64, 0:64], data)

    with pytest.raises(CapacityError):
        predicted(wrong, SQUARE)


def test_detectors_are_left_out():
    def unwritten(x):
        total = tile()
        nisa.tensor_copy(total, tile())
        return store(total)

    with pytest.raises(UninitializedRead):
        nkisim.Simulator("trn2", 1, numerics=False).run(unwritten, SQUARE)
    assert predicted(unwritten, SQUARE).profile.latency_us > 0


def test_lines_are_not_kept():
    lines = predicted(products, SQUARE).profile.lines
    assert [str(line.location) for line in lines] == ["<lines are not kept>:0"]
