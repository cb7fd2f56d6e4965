"""What the message of a loop whose body changes says, and changes that are hard to see."""

import numpy as np
import pytest
from support.device import hbm, random_values, store, tile

import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim.errors import LoopError
from nkisim.execution.loops import device_range


def looping(body, times=3):
    """A device loop whose Python code counts its iterations, which a traced body cannot."""
    count = iter(range(times))
    nl.fori_loop(0, times, lambda i: body(i, next(count)))


def test_names_what_changed_in_an_operand(trn2, refuses):
    a, b = [], []

    def body(changing):
        a[:], b[:] = ([tile((8, 8))] for _ in range(2))
        looping(lambda _, n: changing(n))

    with refuses(LoopError, "NKI302", "instruction 0 is memset", "operand 0 of view", "offset=1", "not", "offset=0"):
        trn2.attempt(lambda: body(lambda n: nisa.memset(a[0][:, n : 4 + n], 1)))
    with refuses(LoopError, "NKI302", "operand 0 of another tensor of the same line"):
        trn2.attempt(lambda: body(lambda n: nisa.tensor_copy(tile((8, 8)), (a if n else b)[0]) and None))
    with refuses(LoopError, "NKI302", "ops=('subtract',), not ('add',),"):
        trn2.attempt(lambda: body(lambda n: nisa.tensor_scalar(a[0], a[0], nl.subtract if n else nl.add, 1.0) and None))


def test_shared_tensors_a_body_allocates_are_its_own_on_both_cores(trn2, refuses):
    def body(choose):
        before = [nl.shared_identity_matrix(8) for _ in range(2)]
        nisa.core_barrier(nl.ndarray((8, 8), nl.float32, buffer=nl.shared_hbm), (0, 1))

        def one(_, n):
            eye = nl.shared_identity_matrix(8)
            nisa.tensor_copy(tile((8, 8), "uint8"), choose(n, eye, before))

        looping(one)

    trn2.attempt(lambda: body(lambda n, own, before: own), cores=2)
    with refuses(LoopError, "NKI302", "operand 0 of another tensor of the same line"):
        trn2.attempt(lambda: body(lambda n, own, before: before[n % 2]), cores=2)


def test_finds_tensors_of_one_line_that_change_places(trn2, refuses):
    def body(choose):
        def one(_, n):
            pair = [tile((8, 8)) for _ in range(2)]
            nisa.memset(pair[choose(n)], 1)

        looping(one)

    trn2.attempt(lambda: body(lambda n: 1))
    with refuses(LoopError, "NKI302", "instruction 2, memset", "another of the body's own tensors"):
        trn2.attempt(lambda: body(lambda n: n % 2))


def test_accepts_a_ring_of_tiles_that_turns_within_each_iteration(trn2):
    def one(_, n):
        ring = [tile((8, 8)) for _ in range(2)]
        for step in range(4):
            nisa.tensor_scalar(ring[step % 2], ring[step % 2], nl.add, 1.0)

    trn2.attempt(lambda: looping(one))


def test_an_instruction_that_skips_everything_in_one_iteration_is_no_difference(trn2):
    def kernel(array, ids):
        out = hbm((8, 8))
        index = nl.load(ids)

        def one(i):
            first, second = tile((1, 8)), tile((1, 8))
            row = out.select(0, index[0:1, nl.ds(i, 1)])
            nisa.dma_copy(row.expand_dim(0), first, oob_mode=nisa.oob_mode.skip)
            nisa.tensor_copy(second, first)

        nl.fori_loop(0, 3, one)

    trn2.run(kernel, random_values((8, 8)), np.array([[1, 99, 2]], np.int32))


def test_a_range_is_checked_like_a_loop(trn2, refuses):
    def body(changes):
        a = tile((8, 8))
        for n, _ in enumerate(device_range(0, 3)):
            nisa.memset(a[:, 0 : 4 + n * changes], 1)

    trn2.attempt(lambda: body(0))
    with refuses(LoopError, "NKI302", "instruction 0 is memset"):
        trn2.attempt(lambda: body(1))


def test_leaving_a_range_early_leaves_the_loop_around_it_intact(trn2):
    def body():
        a = tile((8, 8))

        def outer(_):
            for i in device_range(0, 3):
                nisa.memset(a, 1)
                if i is not None:
                    break
            nisa.memset(a, 2)

        nl.fori_loop(0, 2, outer)
        return store(a)

    trn2.attempt(body)


@pytest.mark.parametrize("step", [1, 2])
def test_a_range_visits_the_values_of_range(trn2, step):
    seen = []
    trn2.attempt(lambda: seen.extend(i.read() for i in device_range(nisa.register_alloc(1), 6, step)))
    assert seen == list(range(1, 6, step))
