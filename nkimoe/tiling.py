"""The only arithmetic on sizes: how a problem is cut so that it fits on chip."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from nkimoe.errors import RequestError
from nkimoe.problem import Problem

PARTITIONS = 128
PSUM_COLUMNS = 512  # fp32 columns of a PSUM bank
PSUM_BANK_BYTES = 2048
ROUTING_COLUMNS = 512  # tiles of slots whose ids and affinity rows are on chip at a time
OUTPUT_BYTES = 2  # bf16 or fp16
GOOD_ROW_BYTES = 2048  # DMA runs of this length reach most of the bandwidth
STREAM_ROW_BYTES = 16  # beyond this step an engine reads SBUF at half rate


class Span(NamedTuple):
    """A range of indices."""

    start: int
    size: int

    @property
    def stop(self) -> int:
        return self.start + self.size

    @property
    def slice(self) -> slice:
        return slice(self.start, self.stop)


def ceil_div(a: int, b: int) -> int:
    """a / b, rounded up."""
    return -(-a // b)


def spans(total: int, size: int, start: int = 0) -> list[Span]:
    """`total` indices from `start` in pieces of at most `size`.

    >>> spans(192, 128)
    [Span(start=0, size=128), Span(start=128, size=64)]
    """
    return [Span(at, min(size, start + total - at)) for at in range(start, start + total, size)]


@dataclass(frozen=True)
class Tiling:
    """How the sizes are cut.

    Attributes:
        token_tiles: tiles of 128 slots that go through the MLP together (at most 4: one PSUM bank of columns).
        row_group: consecutive rows of H that share a partition, so that weight DMAs have long rows.
        gate_up_columns: columns of I whose gate/up weights are on chip at a time; I means all.
        down_columns: columns of H whose down weights are on chip at a time; H means all.
        weight_buffers: experts whose weights are on chip at a time (2: the next one loads during compute).
        transposes_per_bank: 128x128 transposes that share a PSUM bank and one eviction.
        sbuf_bytes: estimated SBUF use, bytes a partition.
    """

    token_tiles: int
    row_group: int
    gate_up_columns: int
    down_columns: int
    weight_buffers: int
    transposes_per_bank: int
    sbuf_bytes: int

    def weights_fit(self, problem: Problem) -> bool:
        """Whether a whole expert is on chip at once."""
        return self.gate_up_columns >= problem.I and self.down_columns >= problem.H


def choose_tiling(problem: Problem, itemsize: int, sbuf_capacity: int, weight_buffers: int = 2) -> Tiling:
    """The first tiling that fits, preferring whole experts on chip, then more tokens at a time.

    Args:
        itemsize: bytes of the compute dtype.
        sbuf_capacity: bytes a partition.
        weight_buffers: buffers to try first when a whole expert fits.

    Raises:
        RequestError: nothing fits.
    """
    for tokens, gate_up, down, buffers in _candidates(problem, weight_buffers):
        needed = _sbuf_bytes(problem, itemsize, tokens, gate_up, down, buffers)
        if needed <= sbuf_capacity:
            group = _row_group(problem.H, min(gate_up, problem.I), itemsize)
            return Tiling(tokens, group, gate_up, down, buffers, PSUM_BANK_BYTES // (PARTITIONS * itemsize), needed)
    raise RequestError(
        "down_proj_weight",
        f"one tile of 128 tokens with its weights fits in {sbuf_capacity} bytes of SBUF a partition",
        f"{needed} bytes for H={problem.H}, I={problem.I}",
        "Split I over more ranks (tensor parallelism), or compute in bfloat16.",
    )


def _candidates(problem: Problem, weight_buffers: int) -> Iterator[tuple[int, int, int, int]]:
    most = min(problem.tiles_per_block, PSUM_COLUMNS // PARTITIONS)
    whole = [(problem.I, problem.H, buffers) for buffers in range(weight_buffers, 0, -1)]
    for gate_up, down, buffers in whole:
        for tokens in range(most, 0, -1):
            yield tokens, gate_up, down, buffers
    for tokens in range(most, 0, -1):
        for gate_up in (512, 384, 256, 128):
            for down in (2048, 1024, 512, 256, 128):
                yield tokens, min(gate_up, problem.I), min(down, problem.H), 2


def _sbuf_bytes(problem: Problem, itemsize: int, tokens: int, gate_up: int, down: int, buffers: int) -> int:
    """Bytes a partition of everything alive at once; see the stages for the tiles."""
    h_tiles, i_tiles, columns = problem.H // PARTITIONS, ceil_div(problem.I, PARTITIONS), tokens * PARTITIONS
    blocks = ceil_div(problem.N, problem.cores)
    row, whole = problem.H * itemsize, gate_up >= problem.I and down >= problem.H
    rings = 2 * tokens * row + tokens * problem.H * OUTPUT_BYTES  # gathered, gathered ahead; old output rows
    columns_of_ids = min(blocks * problem.tiles_per_block, ROUTING_COLUMNS)
    routing = 4 * (2 * 3 * columns_of_ids + 3 * blocks)  # two windows of three tables; experts of all blocks
    biases = (buffers if whole else 1) * (row + 2 * i_tiles * 4)
    always = rings + routing + biases + i_tiles * columns * itemsize + 4096
    gate_up_weights, down_weights = buffers * row // PARTITIONS * 2 * gate_up, buffers * i_tiles * down * itemsize
    first = h_tiles * columns * itemsize + max(row, 6 * columns * 4)  # transposed; then a scaled row or activations
    second = tokens * problem.H * OUTPUT_BYTES  # new output rows
    if whole:
        return always + gate_up_weights + down_weights + first + second
    return always + max(gate_up_weights + first, down_weights + second)


def _row_group(hidden: int, columns: int, itemsize: int) -> int:
    """Smallest power of two whose rows of weights make a long DMA run, while transposes still stream."""
    group = 1
    while (
        group * 2 * columns * itemsize < GOOD_ROW_BYTES
        and group * 2 * itemsize <= STREAM_ROW_BYTES
        and (hidden // PARTITIONS) % (group * 2) == 0
    ):
        group *= 2
    return group
