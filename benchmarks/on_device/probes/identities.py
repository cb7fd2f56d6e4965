"""What a transpose on the Tensor Engine multiplies with: an identity that all share, or one of its own."""

from __future__ import annotations

from typing import Any

import nki
import nki.isa as nisa
import nki.language as nl
import numpy as np

from on_device.probes.probe import Array, ChoiceProbe, Sizes
from on_device.probes.tiles import PARTITIONS, hand_back, load, sbuf


def square(sizes: Sizes) -> tuple[Array, ...]:
    """Numbers to turn, [128, 128]."""
    return (np.random.default_rng(0).uniform(size=(PARTITIONS, PARTITIONS)).astype(np.float32),)


@nki.jit
def turned_tiles(x: Any, identity: str, count: int) -> Any:
    """`count` transposes, by a matmul with one identity or each by `nc_transpose`; of each a column is read."""
    tile, result = load(x), sbuf(1)
    shared = nl.shared_identity_matrix(PARTITIONS, dtype=nl.float32)
    for _ in range(count):
        turned = nl.ndarray((PARTITIONS, PARTITIONS), dtype=nl.float32, buffer=nl.psum)
        if identity == "shared":
            nisa.nc_matmul(dst=turned, stationary=tile, moving=shared, is_transpose=True)
        else:
            nisa.nc_transpose(dst=turned, data=tile, engine=nisa.engine.tensor)
        nisa.tensor_copy(dst=result, src=turned[:, 0:1], engine=nisa.engine.vector)
    return hand_back(result)


PROBES: tuple[ChoiceProbe, ...] = (
    ChoiceProbe(
        "identities of transposes", turned_tiles, square, {"identity": "shared", "count": 256},
        {"identity": "own", "count": 256},
        "each nc_transpose makes an identity of its own, so kernels should transpose with one that they share",
        "by nc_transpose",
    ),
)  # fmt: skip
