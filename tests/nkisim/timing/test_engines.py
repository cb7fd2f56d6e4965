"""One engine, two engines: times worked out by hand from the constants of the machine file."""

from itertools import pairwise

import pytest
from support.timeline import cycles, ns, numbers, pool_busy, scalar_busy, timed, vector_busy, vector_latency

import nkisim.nki.isa as nisa
import nkisim.nki.language as nl

WIDE = ns("dve_rate.copy_32_sbuf")


def tile(columns, dtype=nl.float32, buffer=nl.sbuf):
    return nl.ndarray((128, columns), dtype, buffer=buffer)


def filled(columns, dtype=nl.float32):
    """Written by GpSimd, which none of these tests looks at."""
    t = tile(columns, dtype)
    nisa.memset(t, 1.0, engine=nisa.engine.gpsimd)
    return t


def distances(t, opcode):
    """Between the starts of the instructions of one kind."""
    return [t.begin[b] - t.begin[a] for a, b in pairwise(numbers(t, opcode))]


def test_independent_instructions_follow_each_other_at_the_issue_interval():
    def body():
        for _ in range(3):
            nisa.memset(tile(512), 1.0)

    t = timed(body)
    busy, latency = vector_busy(512, WIDE), vector_latency(512, WIDE)
    assert t.begin == pytest.approx([0.0, busy, 2 * busy])
    assert t.latency_ns == pytest.approx(2 * busy + latency)


def test_an_instruction_waits_for_a_result_of_its_own_engine_and_its_semaphore():
    def body():
        a = tile(512)
        nisa.memset(a, 1.0)
        nisa.tensor_copy(tile(512), a, engine=nisa.engine.vector)

    t = timed(body)
    latency = vector_latency(512, WIDE)
    assert latency > vector_busy(512, WIDE)
    assert t.begin == pytest.approx([0.0, latency + ns("sync.semaphore")])
    assert t.reason[1] == "operand"


def test_two_engines_without_common_data_overlap():
    def body():
        a, b = tile(512), tile(512)
        nisa.memset(a, 1.0, engine=nisa.engine.vector)
        nisa.memset(b, 1.0, engine=nisa.engine.gpsimd)

    t = timed(body)
    assert t.begin == [0.0, 0.0]
    assert t.latency_ns == pytest.approx(max(pool_busy(512, "overhead_fill"), vector_latency(512, WIDE)))


def test_a_result_for_another_engine_takes_a_semaphore():
    def body():
        a, b = tile(512), tile(512)
        nisa.memset(a, 1.0, engine=nisa.engine.vector)
        nisa.activation(b, nl.copy, a)

    t = timed(body)
    assert t.begin[1] == pytest.approx(vector_latency(512, WIDE) + ns("sync.semaphore"))
    assert t.latency_ns == pytest.approx(t.begin[1] + cycles(512, "act") + ns("act_time.result_copy"))


def test_instructions_with_a_number_a_partition_follow_each_other_further_apart_than_copies():
    def body():
        a = filled(512)
        for _ in range(3):
            nisa.tensor_copy(tile(512), a, engine=nisa.engine.vector)
        for _ in range(3):
            nisa.tensor_scalar(tile(512), a, nl.add, 1.0, engine=nisa.engine.vector)

    t = timed(body)
    assert distances(t, "tensor_copy") == pytest.approx([vector_busy(512, WIDE)] * 2)
    assert distances(t, "tensor_scalar") == pytest.approx([vector_busy(512, WIDE, "overhead_elementwise")] * 2)


@pytest.mark.parametrize(
    ("dtype", "per_cycle"),
    [(nl.float32, 1 / ns("dve_cycles.two_inputs_sbuf")), (nl.bfloat16, ns("dve_rate.two_inputs_16"))],
)
def test_two_inputs_of_the_vector_engine_are_read_at_a_rate_of_their_type(dtype, per_cycle):
    def body():
        a, b = filled(512, dtype), filled(512, dtype)
        for _ in range(3):
            nisa.tensor_tensor(tile(512, dtype), a, b, nl.add, engine=nisa.engine.vector)

    assert distances(timed(body), "tensor_tensor") == pytest.approx([vector_busy(512, per_cycle)] * 2)


def test_a_reciprocal_takes_several_cycles_an_element():
    def body():
        a = filled(512)
        for _ in range(2):
            nisa.reciprocal(tile(512), a)

    assert distances(timed(body), "reciprocal") == pytest.approx([vector_busy(512, 1 / ns("dve_cycles.reciprocal"))])


def sum_along(a, total):
    nisa.tensor_scalar_reduce(tile(512), a, nl.add, 1.0, nl.add, total)


def select_a_range(a, total):
    low, high = filled(1), filled(1)
    nisa.range_select(tile(512), a, nl.greater_equal, nl.less, low, high, reduce_res=total, reduce_op=nl.maximum)


def select_by_a_mask(a, total):
    reduction = {} if total is None else {"reduce_res": total, "reduce_cmd": nisa.reduce_cmd.reset_reduce}
    nisa.memset(mask := tile(512, nl.uint8), 1, engine=nisa.engine.gpsimd)
    nisa.select_reduce(tile(512), mask, a, -1.0, **reduction)


@pytest.mark.parametrize(
    ("opcode", "issue"),
    [
        ("tensor_scalar_reduce", sum_along),
        ("range_select", select_a_range),
        ("select_reduce", select_by_a_mask),
    ],
)
@pytest.mark.parametrize("reads_out", [True, False])
def test_a_result_of_each_partition_on_the_way_costs_one_more_small_instruction(opcode, issue, reads_out):
    def body():
        for a in (filled(512), filled(512)):
            issue(a, tile(1) if reads_out else None)

    t = timed(body)
    first, readout = numbers(t, opcode)[0], reads_out * cycles(ns("dve_cycles.reduce_readout"), "dve")
    (distance,) = distances(t, opcode)
    assert distance == pytest.approx(vector_busy(512) + readout)
    assert t.done[first] - t.begin[first] == pytest.approx(vector_latency(512) + readout)


@pytest.mark.parametrize(
    ("function", "overhead", "result"),
    [(nl.copy, "overhead", "result_copy"), (nl.exp, "overhead_function", "result")],
)
def test_a_copy_of_the_scalar_engine_is_shorter_than_a_function(function, overhead, result):
    def body():
        a = filled(512)
        for _ in range(3):
            nisa.activation(tile(512), function, a)

    t = timed(body)
    assert distances(t, "activation") == pytest.approx([scalar_busy(512, overhead)] * 2)
    last = numbers(t, "activation")[-1]
    assert t.done[last] - t.begin[last] == pytest.approx(
        max(cycles(512, "act") + ns(f"act_time.{result}"), scalar_busy(512, overhead))
    )


def test_the_scalar_engine_loads_a_table_where_the_function_changes():
    def body():
        a, b = filled(64), tile(64)
        for op in (nl.exp, nl.exp, nl.tanh):
            nisa.activation(b, op, a)

    follows = cycles(64, "act") + ns("act_time.result") + ns("sync.semaphore")  # they write the same tile
    assert distances(timed(body), "activation") == pytest.approx([follows, follows + ns("act_time.table_load")])


def test_a_fill_starts_faster_on_gpsimd_than_a_copy():
    def body():
        a = filled(512)
        filled(512)
        nisa.tensor_copy(tile(512), a, engine=nisa.engine.gpsimd)

    t = timed(body)
    assert t.end == pytest.approx([
        pool_busy(512, "overhead_fill"), 2 * pool_busy(512, "overhead_fill"),
        2 * pool_busy(512, "overhead_fill") + pool_busy(512),
    ])  # fmt: skip


@pytest.mark.parametrize("columns", [16, 1024])
def test_a_compaction_takes_as_long_whatever_its_length(columns):
    def body():
        a = filled(columns)
        nisa.nonzero_with_count(tile(columns + 1, nl.int32), a, index_offset=0, padding_val=-1)

    t = timed(body)
    (call,) = numbers(t, "nonzero_with_count")
    assert t.end[call] - t.begin[call] == t.done[call] - t.begin[call] == pytest.approx(ns("pool_time.compaction"))
