"""Whatever the order: no instruction starts before those whose bytes it needs or destroys are through."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.timeline import TRN2, traced

import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim.timing import Order, timeline

TILES, COLUMNS = 3, 64
ENGINES = (nisa.engine.vector, nisa.engine.gpsimd, nisa.engine.scalar)
PART = st.tuples(st.integers(0, TILES - 1), st.integers(0, 2), st.integers(1, 2))  # tile, first quarter, quarters
STEPS = st.lists(st.tuples(st.integers(0, 3), PART, PART), min_size=1, max_size=30)


def kernel(steps):
    """Copies between parts of a few tiles, on every engine and by DMA."""

    def body():
        tiles = [nl.zeros((128, COLUMNS), nl.float32) for _ in range(TILES)]
        for who, source, target in steps:
            width = 16 * min(source[2], target[2])
            dst, src = (tiles[tile][:, 16 * at : 16 * at + width] for tile, at, _ in (target, source))
            if who < len(ENGINES):
                nisa.tensor_copy(dst, src, engine=ENGINES[who])
            else:
                nisa.dma_copy(dst, src, dge_mode=nisa.dge_mode.hwdge)

    return body


def touched(step):
    """(bytes read, bytes written), as pairs of a tile and a quarter."""
    _, source, target = step
    width = min(source[2], target[2])
    return tuple({(tile, at + n) for n in range(width)} for tile, at, _ in (source, target))


@pytest.mark.parametrize("order", Order)
@settings(max_examples=100, deadline=None)
@given(steps=STEPS)
@example(steps=[*[(0, (0, 0, 1), (0, 0, 1))] * 8, (3, (1, 0, 1), (0, 0, 1)), (3, (1, 0, 1), (1, 0, 1))])
def test_bytes_are_read_after_they_are_written_and_overwritten_after_they_are_read(order, steps):
    t = timeline(traced(kernel(steps)), TRN2, order)
    first = len(t.tasks) - len(steps)  # the tiles are filled before
    for later, (reads, writes) in enumerate(map(touched, steps)):
        for earlier, (read, written) in enumerate(map(touched, steps[:later])):
            if written & (reads | writes):
                assert t.issue[first + later] >= t.done[first + earlier]
            elif read & writes:
                assert t.issue[first + later] >= t.end[first + earlier]
