# SPDX-License-Identifier: Apache-2.0
"""What the two cores tell each other: transposed tokens, partial sums and largest values of a block they share; and
results of their own blocks.
"""

from __future__ import annotations

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.stages.products import DownProducts
from nkimoe.kernels.tensor import DType, Tensor
from nkimoe.planning.tiling import PARTITIONS, Span


def share_tokens(tokens: Tensor, gathered: Span) -> None:
    """Complete transposed tokens [128, H/128, tokens] with the tiles of H that only the other core gathered."""
    tiles, first = tokens.shape[1], gathered.start // PARTITIONS
    own = Span(first, gathered.size // PARTITIONS)
    missing = tiles - own.size
    if missing:
        outgoing = slice(own.stop - missing, own.stop) if first else slice(0, missing)
        incoming = slice(0, missing) if first else slice(own.stop, tiles)
        _swap(tokens[:, outgoing, :], tokens[:, incoming, :])


def add_across_cores(partials: DownProducts, written: Span, dtype: DType) -> DownProducts:
    """The sums over both cores of this core's columns of H, in PSUM: from there old rows are added faster.

    Each bank of the other core's columns is swapped for the same bank of own columns as soon as it is there.

    Args:
        partials: this core's share of the contraction over I, for all columns; a piece of the other core's columns
            comes before the piece of own columns it is swapped for.
        dtype: of partial sums on their way.
    """
    received: dict[tuple[int, int], Tensor] = {}
    for product in partials:
        columns, partial = product.columns, product.data
        place = (product.tile, columns.start % written.size)
        if written.start <= columns.start < written.stop:
            nisa.tensor_tensor(dst=partial, data1=partial, data2=received.pop(place), op=nl.add)
            yield product
        else:
            received[place] = _send(partial, dtype)


def largest_across_cores(values: Tensor) -> Tensor:
    """The larger of what both cores have, value by value."""
    incoming = swapped(values)
    largest: Tensor = nl.ndarray(tuple(values.shape), dtype=values.dtype, buffer=nl.sbuf)
    nisa.tensor_tensor(dst=largest, data1=values, data2=incoming, op=nl.maximum)
    return largest


def _send(partial: Tensor, dtype: DType) -> Tensor:
    """What the other core has for this core's columns, in exchange for `partial` of its columns."""
    outgoing: Tensor = nl.ndarray(tuple(partial.shape), dtype=dtype, buffer=nl.sbuf)
    nisa.tensor_copy(dst=outgoing, src=partial, engine=nisa.engine.scalar)
    return swapped(outgoing)


def swapped(tile: Tensor) -> Tensor:
    """What the other core gives for a tile, of its shape and type."""
    incoming: Tensor = nl.ndarray(tuple(tile.shape), dtype=tile.dtype, buffer=nl.sbuf)
    _swap(tile, incoming)
    return incoming


def _swap(outgoing: Tensor, incoming: Tensor) -> None:
    other = 1 - nl.program_id(0)
    nisa.sendrecv(src=outgoing, dst=incoming, send_to_rank=other, recv_from_rank=other, pipe_id=0)
