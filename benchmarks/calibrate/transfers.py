"""Single DMA transfers on Trn2: the two examples of the DMA overview, and the practical peak."""

from __future__ import annotations

from typing import Any

import nki
import nki.isa as nisa
import nki.language as nl
import numpy as np
from ml_dtypes import bfloat16

from calibrate.cases import Case, Predictions, Published
from calibrate.measure import timeline_of
from nkisim.timing import Timeline

_OVERVIEW = "nki/get-started/about/nki-dma-overview"
_GUIDE = "nki/deep-dives/nki-dma-bandwidth-guide"


def cases() -> list[Case]:
    """Example A uses one DMA engine, B all sixteen, with descriptors that software generates."""
    return [
        Case(
            "DMA", "[4, 4096] bf16, static descriptors", f"{_OVERVIEW}, example 1",
            (
                Published("load, one engine", 1416, "ns"),
                Published("store, one engine", 1222, "ns"),
                Published("load, trigger to done", 2420, "ns", ("dma.start",)),
            ),
            lambda: _example((4, 4096), nisa.dge_mode.none),
        ),
        Case(
            "DMA", "[128, 128] bf16, software descriptors", f"{_OVERVIEW}, example 2",
            (
                Published("load, one engine", 97, "ns"),
                Published("load, trigger to done", 1209, "ns", ("dma.issue_swdge",)),
                Published("store, trigger to done", 864, "ns"),
            ),
            lambda: _example((128, 128), nisa.dge_mode.swdge),
        ),
        Case(
            "DMA", "rows of 4 KiB, one core", _GUIDE,
            (Published("rate", 368, "GB/s"),),
            lambda: _stream(4096),
        ),
    ]  # fmt: skip


@nki.jit
def _there_and_back(source: Any, mode: Any) -> Any:
    """Load, exp, store; all of `source` at once."""
    result = nl.ndarray(source.shape, dtype=source.dtype, buffer=nl.shared_hbm)
    loaded = nl.ndarray(source.shape, dtype=source.dtype, buffer=nl.sbuf)
    computed = nl.ndarray(source.shape, dtype=source.dtype, buffer=nl.sbuf)
    nisa.dma_copy(dst=loaded, src=source, dge_mode=mode)
    nisa.activation(dst=computed, op=nl.exp, data=loaded)
    nisa.dma_copy(dst=result, src=computed, dge_mode=mode)
    return result


@nki.jit
def _load_all(source: Any) -> Any:
    """Tiles of 128 rows of `source`, each to memory of its own."""
    rows, columns = source.shape
    for row in range(0, rows, 128):
        tile = nl.ndarray((128, columns), dtype=source.dtype, buffer=nl.sbuf)
        nisa.dma_copy(dst=tile, src=source[row : row + 128, :])
    return source


def _example(shape: tuple[int, int], mode: Any) -> Predictions:
    timeline = timeline_of(_there_and_back, np.ones(shape, bfloat16), mode)
    load, store = (task.number for task, _ in timeline.transfers())
    return {
        "load, one engine": _longest(timeline, load),
        "store, one engine": _longest(timeline, store),
        "load, trigger to done": timeline.done[load] - timeline.issue[load],
        "store, trigger to done": timeline.done[store] - timeline.issue[store],
    }


def _longest(timeline: Timeline, number: int) -> float:
    return max(timeline.costs[timeline.tasks[number].work].engines)  # type: ignore[union-attr]


def _stream(row_bytes: int) -> Predictions:
    tiles = 32
    timeline = timeline_of(_load_all, np.zeros((128 * tiles, row_bytes), np.uint8))
    begin = min(timeline.begin[task.number] for task, _ in timeline.transfers())
    return {"rate": tiles * 128 * row_bytes / (max(timeline.end) - begin)}
