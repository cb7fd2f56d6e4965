"""What follows from a loop body being traced once: loops of zero iterations, dependencies, shared memory in loops."""

import numpy as np
import pytest
from support.device import hbm, psum, store, tile

import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim.errors import DtypeError, LaunchError, LoopError, ShapeError

LOOPS = {
    "fori_loop": lambda body: nl.fori_loop(0, 0, body),
    "fori_loop with a register": lambda body: nl.fori_loop(nisa.register_alloc(2), nisa.register_alloc(1), body),
    "while_loop": lambda body: nl.while_loop(nisa.register_alloc(0), lambda r: (body(r), r)[1]),
    "nested": lambda body: nl.fori_loop(0, 0, lambda i: nl.fori_loop(0, 5, lambda j: body(j))),
}


@pytest.mark.parametrize("loop", LOOPS)
def test_a_body_that_never_runs_is_checked(trn2, refuses, loop):
    def body(i):
        nisa.tensor_copy(tile((4, 4)), tile((4, 5)))

    with refuses(ShapeError, "NKI102", "(4, 4) against (4, 5)"):
        trn2.attempt(lambda: LOOPS[loop](body))


@pytest.mark.parametrize("loop", LOOPS)
def test_a_body_that_never_runs_changes_nothing(trn2, loop):
    def kernel(x):
        kept, result, count = nl.load(x), psum((4, 4)), nisa.register_alloc(7)
        number = hbm((1, 1), "int32")

        def body(i):
            nisa.memset(kept, 9)
            nisa.register_move(count, 3)
            nisa.register_load(i, number)
            nisa.nc_matmul(result, kept, kept, accumulate=True)
            nisa.activation(kept, nl.copy, kept, reduce_op=nl.add, reduce_cmd=nisa.reduce_cmd.reduce)
            nisa.dma_copy(x[nl.ds(i, 1), :], kept[0:1])
            nl.device_print("never", kept)
            nisa.scalar_store(number, nisa.scalar_load(number) + 1)
            nisa.register_store(number, i)

        LOOPS[loop](body)
        nisa.register_store(number, count)
        return store(kept), number

    given = np.arange(16, dtype=np.float32).reshape(4, 4)
    run = trn2.run(kernel, given.copy())
    np.testing.assert_array_equal(run.outputs[0], given)
    assert run.outputs[1] == 7


def test_cores_do_not_meet_in_a_body_that_never_runs(trn2):
    def kernel(x):
        def body(i):
            shared = nl.ndarray((4, 4), nl.float32, buffer=nl.shared_hbm)
            nisa.core_barrier(shared, (0, 1))
            mine = tile((4, 4))
            other = 1 - nl.program_id(0)
            nisa.sendrecv(mine, nl.ndarray((4, 4), nl.float32), other, other, 0)

        nl.fori_loop(0, 0, body)
        return x

    given = np.ones((4, 4), np.float32)
    np.testing.assert_array_equal(trn2.outputs(kernel, given, cores=2), given)


def test_a_dependency_stays_in_its_iteration_or_comes_from_around_it(trn2, refuses):
    def chain(body_of):
        outside = nisa.memset(tile((2, 2)), 1)
        inside = []

        def body(i):
            inside.append(nisa.memset(tile((2, 2)), 2))
            body_of(outside, inside)

        nl.fori_loop(0, 2, body)
        return outside, inside

    trn2.attempt(lambda: chain(lambda outside, inside: inside[-1].depends_on(outside)))
    with refuses(LoopError, "NKI302", "another iteration"):
        trn2.attempt(lambda: chain(lambda outside, inside: inside[-1].depends_on(inside[0])))
    with refuses(LoopError, "NKI302", "a producer inside 1 loops"):
        trn2.attempt(lambda: nisa.memset(tile((2, 2)), 3).depends_on(chain(lambda *_: None)[1][0]))


def test_both_cores_may_allocate_shared_memory_in_a_device_loop(trn2):
    def kernel(x):
        mine = nl.load(x)

        def body(i):
            shared = nl.ndarray((2, 4, 4), nl.float32, buffer=nl.shared_hbm)
            nisa.dma_copy(shared[nl.program_id(0)], mine)
            nisa.tensor_scalar(mine, mine, nl.add, 1.0)

        nl.fori_loop(0, 3, body)
        result = nl.ndarray((2, 4, 4), nl.float32, buffer=nl.shared_hbm)
        nisa.dma_copy(result[nl.program_id(0)], mine)
        return result

    given = np.zeros((4, 4), np.float32)
    np.testing.assert_array_equal(trn2.outputs(kernel, given, cores=2), np.full((2, 4, 4), 3, np.float32))


def test_a_loop_that_uses_another_shared_tensor_each_time_is_still_found(trn2, refuses):
    def kernel(x):
        tensors = iter([nl.ndarray((4, 4), nl.float32, buffer=nl.shared_hbm) for _ in range(2)])
        mine = nl.load(x)
        nl.fori_loop(0, 2, lambda i: nisa.dma_copy(next(tensors)[2 * nl.program_id(0) :][0:2], mine[0:2]))
        return x

    with refuses(LoopError, "NKI302", "another tensor"):
        trn2.run(kernel, np.zeros((4, 4), np.float32), cores=2)


@pytest.mark.parametrize("differs", [False, True])
def test_a_shared_constant_is_the_same_on_both_cores(trn2, refuses, differs):
    def kernel():
        values = np.arange(8, dtype=np.float32).reshape(2, 4) + (nl.program_id(0) if differs else 0)
        return nl.shared_constant(values)

    if not differs:
        np.testing.assert_array_equal(trn2.outputs(kernel, cores=2), np.arange(8, dtype=np.float32).reshape(2, 4))
        return
    with refuses(LaunchError, "NKI303", "core 1", "float32(2, 4)"):
        trn2.outputs(kernel, cores=2)


def test_a_64_bit_scalar_addresses_hbm_only_and_bounds_no_loop(trn2, refuses):
    def wide():
        return nisa.NkiScalar(1, "int64")

    trn2.attempt(lambda: nl.load(hbm((4, 8)).ap([[8, 1], [1, 8]], scalar_offset=wide())))
    with refuses(DtypeError, "NKI103", "int64"):
        trn2.attempt(lambda: tile((4, 8)).ap([[8, 4], [1, 1]], scalar_offset=wide(), indirect_dim=1))
    with refuses(DtypeError, "NKI103", "int64"):
        trn2.attempt(lambda: nl.fori_loop(0, wide(), lambda i: None))
