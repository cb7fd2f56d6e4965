# SPDX-License-Identifier: Apache-2.0
"""How the backward pass is cut so that it fits on chip.

An expert's weights and the gradients of its weights are on chip at the same time, the gradients in fp32. Where that is
too much for all of I, the blocks are gone through several times, each time for some columns of I.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from nkimoe.errors import RequestError
from nkimoe.planning.backward.request import BackwardRequest
from nkimoe.planning.problem import Problem
from nkimoe.planning.request import COMPUTE_DTYPES
from nkimoe.planning.tiling import PARTITIONS, PSUM_BANK_BYTES, PSUM_COLUMNS, Span, ceil_div, even_width, spans

# Columns of I at a time, if not all: whole tiles of 128 first, because a part of one costs the PE as much; below that
# only so that something fits. Chosen, not measured.
COLUMNS, NARROW = (384, 256, 128), (64, 32, 16)
MOST_TOKEN_TILES = 4  # slots of a PSUM bank: 512, whose weight gradients one accumulation group sums
TOKEN_SETS, D_OUTPUT_SETS, ACTIVATION_SETS = 1, 2, 2  # parts whose rows are on chip, or on their way
SMALL_TILES = 2048  # bytes of a partition for what the sum leaves out: identity, limits, index tiles
WORK_TILES = 12  # fp32 tiles of a token tile's columns of I between the projections


@dataclass(frozen=True)
class BackwardTiling:
    """How the sizes are cut.

    Attributes:
        columns: columns of I at a time.
        token_tiles: tiles of 128 slots that go through together, their weight gradients summed in PSUM.
        accumulators: sets of tiles for the gradients of an expert's weights: with two, one is stored while the other
            is added to.
        sbuf_bytes: estimated SBUF use, bytes a partition.
    """

    columns: int
    token_tiles: int
    accumulators: int
    sbuf_bytes: int

    def slices(self, I: int) -> list[Span]:
        """The columns of I of each pass."""
        return spans(I, self.columns)


def choose_backward_tiling(request: BackwardRequest, problem: Problem, sbuf_capacity: int) -> BackwardTiling:
    """The first tiling that fits: rather few passes, then more tokens at a time, then two accumulators.

    Raises:
        RequestError: nothing fits.
    """
    for columns, tokens, accumulators in _candidates(request, problem):
        needed = _sbuf_bytes(request, problem, columns, tokens, accumulators)
        if needed <= sbuf_capacity:
            return BackwardTiling(columns, tokens, accumulators, needed)
    raise RequestError(
        "down_proj_weight", f"{columns} columns of I with their gradients fit in {sbuf_capacity} bytes of SBUF",
        f"{needed} bytes for H={problem.H}, N={problem.N}", "Compute in bfloat16, or split the batch.",
    )  # fmt: skip


def _candidates(request: BackwardRequest, problem: Problem) -> Iterator[tuple[int, int, int]]:
    item = COMPUTE_DTYPES[str(request.gate_up_activations_T.dtype)]
    most = min(PSUM_COLUMNS - 1, PSUM_BANK_BYTES // item // request.projections)  # one bank for all columns of a tile
    whole = [even_width(problem.I, columns) for columns in (most, *COLUMNS)]  # tiles, or all
    for columns in dict.fromkeys([*(width for width in whole if width <= most), *NARROW]):
        for tokens in range(min(problem.tiles_per_block, MOST_TOKEN_TILES), 0, -1):
            for accumulators in (2, 1):
                yield columns, tokens, accumulators


def _sbuf_bytes(request: BackwardRequest, problem: Problem, columns: int, tokens: int, accumulators: int) -> int:
    """Bytes a partition of everything alive at once; see the stages for the tiles."""
    item, H, h_tiles = COMPUTE_DTYPES[str(request.compute_dtype)], problem.H, problem.H // PARTITIONS
    kept = COMPUTE_DTYPES[str(request.gate_up_activations_T.dtype)]
    width, rows = request.projections * columns, columns + (request.down_proj_bias is not None)
    gate_up_tiles, down_tiles = ceil_div(width, PARTITIONS), ceil_div(rows, PARTITIONS)
    gradients = (h_tiles + (request.gate_and_up_proj_bias is not None)) * width + down_tiles * H
    weights = 2 * (h_tiles * width + down_tiles * H) + item * (gate_up_tiles * H + h_tiles * rows)
    tokens_in = tokens * ((TOKEN_SETS + D_OUTPUT_SETS + 1) * H + TOKEN_SETS) * item + tokens * H * 4
    slots = tokens * PARTITIONS
    between = 2 * (tokens * (width + rows) + gate_up_tiles * slots) * item
    activations = ACTIVATION_SETS * gate_up_tiles * slots * kept + between
    work = WORK_TILES * columns * 4 + 2 * PSUM_COLUMNS * 4
    table = problem.N * (problem.tiles_per_block * 3 + 4) * 4
    return (4 * accumulators + 2) * gradients + weights + tokens_in + activations + work + table + SMALL_TILES
