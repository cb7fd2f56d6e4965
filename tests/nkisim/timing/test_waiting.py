"""What makes an instruction wait that has its operands: no free bank, no free bytes, the other core."""

import numpy as np
import pytest
from support.timeline import TRN2, ns, numbers, pool_busy, timed, vector_busy

import nkisim.nki.isa as nisa
import nkisim.nki.language as nl


def operands():
    left = nl.ndarray((128, 128), nl.bfloat16)
    right = nl.ndarray((128, 512), nl.bfloat16)
    nisa.memset(left, 1.0)
    nisa.memset(right, 1.0)
    return left, right


def results(count):
    """So many results, each in a bank of its own, which the Vector Engine copies out; it has other work before."""

    def body():
        left, right = operands()
        other = nl.ndarray((128, 16384), nl.float32)
        for _ in range(3):
            nisa.memset(other, 0.0, engine=nisa.engine.vector)
        for _ in range(count):
            total = nl.ndarray((128, 512), nl.float32, buffer=nl.psum)
            nisa.nc_matmul(total, left, right)
            nisa.tensor_copy(nl.ndarray((128, 512), nl.float32), total, engine=nisa.engine.vector)

    return timed(body)


def test_eight_results_fill_the_banks_without_waiting():
    t = results(TRN2.psum_banks)
    runs = numbers(t, "nc_matmul")
    assert [t.because[n] for n in runs[1:]] == runs[:-1]


def test_the_ninth_result_waits_until_the_first_is_copied_out():
    t = results(TRN2.psum_banks + 1)
    matmuls, copies = numbers(t, "nc_matmul"), numbers(t, "tensor_copy")
    assert t.begin[copies[0]] + vector_busy(512) > t.end[matmuls[7]], "else there would be nothing to wait for"
    assert t.because[matmuls[8]] == copies[0]
    assert t.begin[matmuls[8]] == pytest.approx(t.end[copies[0]] + ns("sync.semaphore") + ns("pe_time.load"))


def looped(iterations, count):
    """In each iteration so many results, which the Vector Engine, with more to do than the PE, copies out."""

    def body():
        left, right = operands()
        copies = nl.ndarray((128, 512), nl.float32)

        def once(_):
            for _ in range(count):
                total = nl.ndarray((128, 512), nl.float32, buffer=nl.psum)
                nisa.nc_matmul(total, left, right)
                nisa.tensor_copy(copies, total, engine=nisa.engine.vector)

        nl.fori_loop(0, iterations, once)

    return timed(body)


def test_what_an_iteration_allocates_takes_turns_in_the_banks_as_without_a_loop():
    t = looped(2, 24)
    matmuls, copies = numbers(t, "nc_matmul"), numbers(t, "tensor_copy")
    for first in (0, 24):
        assert [t.because[n] for n in matmuls[first + 20 : first + 24]] == copies[first + 12 : first + 16]


def test_an_iteration_finds_all_banks_free():
    t = looped(2, 24)
    matmuls, copies = numbers(t, "nc_matmul"), numbers(t, "tensor_copy")
    assert (t.because[matmuls[24]], t.reason[matmuls[24]]) == (copies[23], "drain")
    assert [t.because[n] for n in matmuls[25:32]] == matmuls[24:31], "not one waits for a copy"


def test_a_load_waits_for_the_memory_that_an_earlier_tile_still_needs():
    columns = TRN2.sbuf_usable_bytes // 4 // 2 - 256  # float32; two such tiles fill SBUF
    data = np.zeros((3 * 128, columns), np.float32)

    def body(source):
        small = nl.ndarray((128, 1), nl.float32)
        for row in range(3):
            tile = nl.ndarray((128, columns), nl.float32)
            nisa.dma_copy(tile, source[row * 128 : row * 128 + 128], dge_mode=nisa.dge_mode.none)
            nisa.tensor_reduce(small, nl.add, tile, axis=1)

    t = timed(body, data)
    loads, sums = numbers(t, "dma_copy"), numbers(t, "tensor_reduce")
    assert t.issue[loads[1]] == pytest.approx(ns("dma.issue_static")), "the second tile has memory of its own"
    assert t.issue[loads[2]] == pytest.approx(t.end[sums[0]] + ns("sync.semaphore"))


def test_a_barrier_ends_on_both_cores_a_fixed_time_after_the_later_one():
    def body():
        shared = nl.ndarray((1, 1), nl.float32, buffer=nl.shared_hbm)
        core = nl.program_id(0)
        tile = nl.ndarray((128, 512), nl.float32)
        for _ in range(1 + 4 * core):
            nisa.memset(tile, 1.0, engine=nisa.engine.gpsimd)
        nisa.core_barrier(shared, (0, 1), engine=nisa.engine.gpsimd)
        nisa.memset(tile, 1.0, engine=nisa.engine.gpsimd)

    t = timed(body, cores=2)
    one = pool_busy(512, "overhead_fill")
    after = [numbers(t, "memset", core)[-1] for core in (0, 1)]
    came_last = 5 * one + 4 * ns("sync.semaphore")  # each writes what the one before wrote
    assert [t.begin[n] for n in after] == pytest.approx([came_last + ns("sync.barrier")] * 2)
