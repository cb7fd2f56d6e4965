"""The two cores: meetings, exchanges, deadlocks, and failures that stop both."""

import threading

import numpy as np
import pytest
from support.device import hbm, random_values, tile

import nkisim
import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim.errors import (
    ArgumentError,
    BufferRuleError,
    DeadlockError,
    DtypeError,
    LaunchError,
    ShapeError,
    TargetError,
)


def shared():
    return nl.ndarray((2, 4), nl.float32, buffer=nl.shared_hbm)


def barrier(tensor=None, **arguments):
    nisa.core_barrier(**{"data": shared() if tensor is None else tensor, "cores": (0, 1), **arguments})


def exchange(src, dst, **arguments):
    other = 1 - nl.program_id()
    defaults = {"send_to_rank": other, "recv_from_rank": other, "pipe_id": 0}
    nisa.sendrecv(src, dst, **{**defaults, **arguments})


def test_after_a_barrier_each_core_sees_what_the_other_wrote(trn2):
    def kernel():
        board, mine = shared(), tile((1, 4))
        nisa.memset(mine, 1.0 + nl.program_id())
        nisa.dma_copy(board[nl.ds(nl.program_id(), 1)], mine)
        barrier(board)
        total = nl.ndarray((2, 4), nl.float32, buffer=nl.shared_hbm)
        both = nl.load(board)
        nisa.tensor_scalar(both, both, nl.multiply, 10.0)
        nisa.dma_copy(total[nl.ds(nl.program_id(), 1)], both[nl.ds(1 - nl.program_id(), 1)])
        return total

    np.testing.assert_array_equal(trn2.outputs(kernel, cores=2), [[20] * 4, [10] * 4])


def test_sendrecv_swaps_tiles(trn2):
    data = random_values((2, 6, 5))

    def kernel(array):
        mine = nl.load(array[nl.ds(nl.program_id(), 1)].reshape((6, 5)))
        exchange(mine, mine)
        out = nl.ndarray((2, 6, 5), nl.float32, buffer=nl.shared_hbm)
        nisa.dma_copy(out[nl.ds(nl.program_id(), 1)].reshape((6, 5)), mine)
        barrier(out)
        return out

    np.testing.assert_array_equal(trn2.outputs(kernel, data, cores=2), data[::-1])


def test_private_memory_is_private_and_arguments_are_shared(trn2):
    def kernel(array):
        private = hbm((1, 4))
        barrier()
        one = tile((1, 4))
        nisa.dma_copy(private, one)
        if nl.program_id() == 0:
            nisa.memset(one, 7)
            nisa.dma_copy(private, one)
            nisa.dma_copy(array[0:1], one)
        barrier(array)
        out = nl.ndarray((2, 8), nl.float32, buffer=nl.shared_hbm)
        nisa.dma_copy(out[nl.ds(nl.program_id(), 1), 0:4], private)
        nisa.dma_copy(out[nl.ds(nl.program_id(), 1), 4:8], array[0:1])
        barrier(out)
        return out

    out = trn2.outputs(kernel, np.zeros((1, 4), np.float32), cores=2)
    np.testing.assert_array_equal(out, [[7] * 8, [0] * 4 + [7] * 4])


@pytest.mark.parametrize("skipper", [0, 1])
def test_a_barrier_that_one_core_skips_is_a_deadlock(trn2, refuses, skipper):
    trn2.attempt(barrier, cores=2)
    with refuses(DeadlockError, "NKI304", f"core {1 - skipper} waits for core_barrier", "has finished"):
        trn2.attempt(lambda: barrier() if nl.program_id() != skipper else None, cores=2)


def test_different_meetings_are_a_deadlock(trn2, refuses):
    def body():
        if nl.program_id() == 0:
            barrier()
        else:
            shared()
            exchange(tile((4, 4)), tile((4, 4)), pipe_id=3)

    with refuses(DeadlockError, "NKI304", "core 0", "core_barrier", "core 1", "sendrecv on pipe 3"):
        trn2.attempt(body, cores=2)


@pytest.mark.parametrize("failing", [0, 1])
@pytest.mark.parametrize("waits", [True, False])
def test_a_failure_on_one_core_stops_the_other_and_leaves_no_thread(trn2, failing, waits):
    reached = []

    def body():
        if nl.program_id() == failing:
            raise ZeroDivisionError(f"core {failing}")
        if waits:
            barrier()
            reached.append("behind the barrier")

    before = threading.active_count()
    with pytest.raises(ZeroDivisionError, match=f"core {failing}"):
        trn2.attempt(body, cores=2)
    assert reached == []
    assert threading.active_count() == before
    assert not nkisim.is_running()
    trn2.attempt(barrier, cores=2)


def test_no_thread_outlives_a_deadlock(trn2):
    before = threading.active_count()
    with pytest.raises(DeadlockError):
        trn2.attempt(lambda: barrier() if nl.program_id() else None, cores=2)
    assert threading.active_count() == before


def test_a_kernel_cannot_catch_the_stop_of_its_core(trn2):
    caught = []

    def body():
        if nl.program_id() == 1:
            raise ZeroDivisionError
        try:
            barrier()
        except Exception as error:
            caught.append(error)

    with pytest.raises(ZeroDivisionError):
        trn2.attempt(body, cores=2)
    assert caught == []


def test_refuses_shared_tensors_that_differ_between_the_cores(trn2, refuses):
    def body(columns, dtype="float32"):
        nl.ndarray((4, columns if nl.program_id() else 8), dtype if nl.program_id() else "float32", nl.shared_hbm)

    trn2.attempt(lambda: body(8), cores=2)
    with refuses(LaunchError, "NKI303", "(4, 8)", "(4, 9) on core 1"):
        trn2.attempt(lambda: body(9), cores=2)
    with refuses(LaunchError, "NKI303", "int8(4, 8) on core 1"):
        trn2.attempt(lambda: body(8, "int8"), cores=2)


@pytest.mark.parametrize(("cores", "named"), [(2, (0,)), (2, (1, 0)), (2, 0), (2, (0, 1, 2)), (1, (0, 1))])
def test_refuses_a_barrier_of_other_cores_than_the_pair(trn2, refuses, cores, named):
    trn2.attempt(lambda: barrier(cores=[0, 1]), cores=2)
    with refuses(ArgumentError, "NKI101", f"cores={named} in a launch of {cores}"):
        trn2.attempt(lambda: barrier(cores=named), cores=cores)


def test_refuses_a_barrier_on_private_hbm_and_psum_but_not_on_sbuf(trn2, refuses):
    trn2.attempt(lambda: barrier(tile((4, 4))), cores=2)
    with refuses(BufferRuleError, "NKI104", "private_hbm"):
        trn2.attempt(lambda: barrier(hbm((4, 4))), cores=2)
    with refuses(BufferRuleError, "NKI104", "psum"):
        trn2.attempt(lambda: barrier(tile((4, 4), buffer=nl.psum)), cores=2)


@pytest.mark.parametrize("ranks", [(0, 1), (1, 0), (2, 2), (0, 0)])
def test_refuses_an_exchange_with_anyone_but_the_other_core(trn2, refuses, ranks):
    trn2.attempt(lambda: exchange(tile((4, 4)), tile((4, 4))), cores=2)
    with refuses(ArgumentError, "NKI101", f"send to {ranks[0]}, receive from {ranks[1]}"):
        trn2.attempt(
            lambda: exchange(tile((4, 4)), tile((4, 4)), send_to_rank=ranks[0], recv_from_rank=ranks[1]), cores=2
        )


def test_refuses_an_exchange_on_one_core(trn2, refuses):
    with refuses(ArgumentError, "NKI101", "core 0 of 1"):
        trn2.attempt(lambda: exchange(tile((4, 4)), tile((4, 4))))


def test_refuses_to_exchange_unequal_tiles(trn2, refuses):
    with refuses(ShapeError, "NKI102", "(4, 4) and (4, 5)"):
        trn2.attempt(lambda: exchange(tile((4, 4)), tile((4, 5))), cores=2)
    with refuses(ShapeError, "NKI102", "arrives for"):
        trn2.attempt(lambda: exchange(tile((4, 4 + nl.program_id())), tile((4, 4 + nl.program_id()))), cores=2)


def test_refuses_to_exchange_unequal_types_or_into_repeats(trn2, refuses):
    with refuses(DtypeError, "NKI103", "float32 and int32"):
        trn2.attempt(lambda: exchange(tile((4, 4)), tile((4, 4), "int32")), cores=2)
    with refuses(ShapeError, "NKI102", "strides (1, 0)"):
        trn2.attempt(lambda: exchange(tile((4, 4)), tile((4, 1)).broadcast(1, 4)), cores=2)


def test_refuses_to_exchange_anything_but_sbuf(trn2, refuses):
    for make in (hbm, lambda shape: tile(shape, buffer=nl.psum)):
        with refuses(BufferRuleError, "NKI104"):
            trn2.attempt(lambda make=make: exchange(make((4, 4)), tile((4, 4))), cores=2)


@pytest.mark.parametrize(("dtype", "limit"), [("float32", 256), ("bfloat16", 256), ("uint8", 256), ("int16", 256)])
def test_the_gpsimd_path_moves_little(trn2, refuses, dtype, limit):
    def body(columns):
        exchange(tile((4, columns), dtype), tile((4, columns), dtype), dma_engine=nisa.dma_engine.gpsimd_dma)

    size = {"float32": 4, "bfloat16": 2, "int16": 2, "uint8": 1}[dtype]
    trn2.attempt(lambda: body(limit), cores=2)
    with refuses(ShapeError, "NKI102", str((limit + 1) * size)):
        trn2.attempt(lambda: body(limit + 1), cores=2)


def test_both_cores_return_through_the_first(trn2):
    assert trn2.outputs(lambda x: (x, nl.program_id()), np.zeros(3, np.float32), cores=2)[1] == 0


def test_the_pair_needs_neuroncore_v3(trn2, refuses, monkeypatch):
    import nkisim.machine.loader as loader

    old = loader.Machine("trn1", 2, loader.load_machine("trn2").quantities)
    monkeypatch.setattr("nkisim.simulator.load_machine", lambda target: old)
    with refuses(TargetError, "NKI106", "target trn1"):
        trn2.attempt(barrier, cores=2)
    with refuses(TargetError, "NKI106", "target trn1"):
        trn2.attempt(lambda: exchange(tile((4, 4)), tile((4, 4))), cores=2)
