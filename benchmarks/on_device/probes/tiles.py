"""What the kernels of probes share: an input in SBUF, and a column of a result out.

All transfers around what is measured have the same size at all points of a probe, so that their time is shared.
"""

from __future__ import annotations

from typing import Any

import nki.isa as nisa
import nki.language as nl
import numpy as np

PARTITIONS = 128
WIDTH = 2048  # columns of the input


def source(sizes: Any) -> tuple[np.ndarray[Any, Any], ...]:
    """The input of most probes, float32 [128, 2048]: positive, as reciprocals want it."""
    return (np.random.default_rng(0).uniform(0.5, 1.5, (PARTITIONS, WIDTH)).astype(np.float32),)


def load(x: Any) -> Any:
    """The whole input in SBUF."""
    tile = nl.ndarray(tuple(x.shape), dtype=x.dtype, buffer=nl.sbuf)
    nisa.dma_copy(dst=tile, src=x, dge_mode=nisa.dge_mode.none)
    return tile


def sbuf(columns: int, dtype: Any = nl.float32) -> Any:
    """A tile over all partitions."""
    return nl.ndarray((PARTITIONS, columns), dtype=dtype, buffer=nl.sbuf)


def hand_back(tile: Any) -> Any:
    """The first column of a tile as the kernel's result, float32 [128, 1]."""
    out = nl.ndarray((PARTITIONS, 1), dtype=nl.float32, buffer=nl.shared_hbm)
    nisa.dma_copy(dst=out, src=tile[:, 0:1], dge_mode=nisa.dge_mode.none)
    return out
