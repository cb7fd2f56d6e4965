"""What a run skips was not known when its instructions were laid out: others wait for it all the same."""

import numpy as np
import pytest
from support.timeline import TRN2, traced

import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim.timing import Order, timeline

EXPERTS, ROWS, COLUMNS = 2, 128, 512
IN_PLACE = EXPERTS  # an expert that nobody has: its weights are there already


def reloaded(experts):
    """A tile of weights is used, loaded for each of these experts in turn, and used again."""

    def kernel(weights, numbers):
        tile = nl.zeros((ROWS, COLUMNS), nl.float32)
        chosen = nl.ndarray((1, len(experts)), dtype=nl.int32, buffer=nl.sbuf)
        nisa.dma_copy(dst=chosen, src=numbers)
        sums = nl.ndarray((ROWS, COLUMNS), dtype=nl.float32, buffer=nl.sbuf)
        for i in range(len(experts)):
            nisa.tensor_copy(dst=sums, src=tile, engine=nisa.engine.vector)
            source = weights.ap(
                pattern=[[COLUMNS, ROWS], [1, COLUMNS]], scalar_offset=chosen[0:1, i : i + 1], indirect_dim=0
            )
            nisa.dma_copy(dst=tile, src=source, oob_mode=nisa.oob_mode.skip)
        nisa.tensor_copy(dst=sums, src=tile, engine=nisa.engine.vector)

    return kernel


def gathered(ids):
    """Rows with these ids are gathered into a tile that is used before and behind."""

    def kernel(table, numbers):
        tile = nl.zeros((ROWS, COLUMNS), nl.float32)
        index = nl.ndarray((ROWS, 1), dtype=nl.int32, buffer=nl.sbuf)
        nisa.dma_copy(dst=index, src=numbers)
        copy = nl.ndarray((ROWS, COLUMNS), dtype=nl.float32, buffer=nl.sbuf)
        nisa.tensor_copy(dst=copy, src=tile, engine=nisa.engine.vector)
        rows = table.ap(pattern=[[COLUMNS, ROWS], [1, COLUMNS]], vector_offset=index, indirect_dim=0)
        nisa.dma_copy(dst=tile, src=rows, oob_mode=nisa.oob_mode.skip)
        nisa.tensor_copy(dst=copy, src=tile, engine=nisa.engine.vector)

    return kernel


def of(t, opcode, behind=0):
    """Numbers of the instructions with this name, from the first `behind` on."""
    return [task.number for task in t.tasks if task.opcode == opcode][behind:]


@pytest.mark.parametrize("order", Order)
@pytest.mark.parametrize("experts", [[0, 1, 0], [0, IN_PLACE, 1], [IN_PLACE] * 3])
def test_a_load_of_weights_that_are_there_waits_for_their_last_use_and_is_waited_for(order, experts):
    weights = np.zeros((EXPERTS, ROWS, COLUMNS), np.float32)
    t = timeline(traced(reloaded(experts), weights, np.array([experts], np.int32)), TRN2, order)
    uses, loads = of(t, "tensor_copy"), of(t, "dma_copy", 1)
    assert len(loads) == len(experts)
    for load, before, after in zip(loads, uses, uses[1:], strict=False):
        assert t.issue[load] >= t.end[before]
        assert t.issue[after] >= t.done[load]


@pytest.mark.parametrize("order", Order)
@pytest.mark.parametrize("first", [0, -ROWS, -ROWS // 2], ids=["all", "none", "half"])
def test_a_gather_of_rows_that_are_skipped_waits_and_is_waited_for(order, first):
    table, ids = np.zeros((ROWS, COLUMNS), np.float32), np.arange(first, first + ROWS, dtype=np.int32)[:, None]
    t = timeline(traced(gathered(ids), table, ids), TRN2, order)
    before, after = of(t, "tensor_copy")
    (gather,) = of(t, "dma_copy", 1)
    assert t.issue[gather] >= t.end[before]
    assert t.issue[after] >= t.done[gather]


def test_loads_that_are_skipped_stay_in_the_order_of_those_that_are_not():
    experts = [0, *[IN_PLACE] * 40, 1, *[IN_PLACE] * 40]
    weights = np.zeros((EXPERTS, ROWS, COLUMNS), np.float32)
    t = timeline(traced(reloaded(experts), weights, np.array([experts], np.int32)), TRN2)
    loads = of(t, "dma_copy", 1)
    assert [t.issue[load] for load in loads] == sorted(t.issue[load] for load in loads)
