"""One engine, two engines, the PE: times worked out by hand from the constants of the machine file."""

from itertools import pairwise

import pytest
from support.timeline import cycles, ns, numbers, timed, vector_busy, vector_latency

import nkisim.nki.isa as nisa
import nkisim.nki.language as nl


def tile(columns, dtype=nl.float32, buffer=nl.sbuf):
    return nl.ndarray((128, columns), dtype, buffer=buffer)


def test_independent_instructions_follow_each_other_at_the_issue_interval():
    def body():
        for _ in range(3):
            nisa.memset(tile(512), 1.0)

    t = timed(body)
    busy, latency = vector_busy(512, ns("dve_rate.copy_32_sbuf")), vector_latency(512, ns("dve_rate.copy_32_sbuf"))
    assert t.begin == pytest.approx([0.0, busy, 2 * busy])
    assert t.latency_ns == pytest.approx(2 * busy + latency)


def test_an_instruction_waits_for_the_result_of_its_own_engine():
    def body():
        a = tile(512)
        nisa.memset(a, 1.0)
        nisa.tensor_copy(tile(512), a, engine=nisa.engine.vector)

    t = timed(body)
    latency = vector_latency(512, ns("dve_rate.copy_32_sbuf"))
    assert latency > vector_busy(512, ns("dve_rate.copy_32_sbuf"))
    assert t.begin == pytest.approx([0.0, latency])
    assert t.reason[1] == "operand"


def test_two_engines_without_common_data_overlap():
    def body():
        a, b = tile(512), tile(512)
        nisa.memset(a, 1.0, engine=nisa.engine.vector)
        nisa.memset(b, 1.0, engine=nisa.engine.gpsimd)

    t = timed(body)
    pool = cycles(512 / ns("pool_time.rate") + ns("pool_time.overhead"), "pool")
    assert t.begin == [0.0, 0.0]
    assert t.latency_ns == pytest.approx(max(pool, vector_latency(512, ns("dve_rate.copy_32_sbuf"))))


def test_a_result_for_another_engine_takes_a_semaphore():
    def body():
        a, b = tile(512), tile(512)
        nisa.memset(a, 1.0, engine=nisa.engine.vector)
        nisa.activation(b, nl.copy, a)

    t = timed(body)
    written = vector_latency(512, ns("dve_rate.copy_32_sbuf"))
    assert t.begin[1] == pytest.approx(written + ns("sync.semaphore"))
    assert t.latency_ns == pytest.approx(t.begin[1] + cycles(512, "act") + ns("act_time.result"))


def test_the_scalar_engine_loads_a_table_where_the_function_changes():
    def body():
        a, b = tile(64), tile(64)
        nisa.memset(a, 1.0)
        for op in (nl.exp, nl.exp, nl.tanh):
            nisa.activation(b, op, a)

    t = timed(body)
    first, second, third = numbers(t, "activation")
    result, load = cycles(64, "act") + ns("act_time.result"), ns("act_time.table_load")
    assert t.begin[second] - t.begin[first] == pytest.approx(result)
    assert t.begin[third] - t.begin[second] == pytest.approx(result + load)


def test_weights_load_behind_the_matmul_before_and_the_pe_starts_cold():
    def body():
        left, right = tile(128, nl.bfloat16), tile(512, nl.bfloat16)
        nisa.memset(left, 1.0)
        nisa.memset(right, 1.0)
        total = tile(512, buffer=nl.psum)
        for _ in range(40):
            nisa.nc_matmul(total, left, right)

    t = timed(body)
    runs = numbers(t, "nc_matmul")
    stream = cycles(512 + ns("pe_time.overhead"), "pe")
    load = cycles(128 / ns("pe_time.load_columns"), "pe")
    ready = max(t.done[0], t.done[1]) + ns("sync.semaphore")
    assert t.begin[runs[0]] == pytest.approx(ready + load)
    distances = [t.begin[b] - t.begin[a] for a, b in pairwise(runs)]
    assert distances[0] == pytest.approx(stream * ns("pe_time.ramp_slowdown"))
    assert distances[-1] == pytest.approx(stream)
    cold = sum(distance > 1.5 * stream for distance in distances)
    assert cold == -(-ns("pe_time.ramp") // (stream * ns("pe_time.ramp_slowdown")))
