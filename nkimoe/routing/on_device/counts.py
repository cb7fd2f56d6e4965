# SPDX-License-Identifier: Apache-2.0
"""Counting on the device: how many tokens each expert has, and in which blocks of slots they go.

A token's rank among its expert's tokens is a sum over the tokens before it: a matmul with a triangle of ones. So each
pass holds 128 tokens, whatever T is. Columns are the experts that are counted, of which a token lists any.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import nki.isa as nisa
import nki.language as nl

from nkimoe.planning.tiling import PARTITIONS, PSUM_COLUMNS, Span, ceil_div, spans
from nkimoe.routing.on_device.listed import own_numbers

FILLED_COLUMNS = 2048  # of the tile that pads are written from
LARGEST_SLOT = 1 << 24  # up to here integers are exact in fp32


def shares_of(n_tokens: int) -> list[list[Span]]:
    """Tiles of 128 tokens for each core, consecutive ones."""
    tiles, cores = spans(n_tokens, PARTITIONS), nl.num_programs(0)
    each = ceil_div(len(tiles), cores)
    return [tiles[core * each : (core + 1) * each] for core in range(cores)]


def filler_of(table: Any, value: int) -> Any:
    """The tile that `fill` copies to an HBM table [rows, columns]: [128, some columns] of its type."""
    filler = nl.ndarray((PARTITIONS, min(table.shape[1], FILLED_COLUMNS)), dtype=table.dtype, buffer=nl.sbuf)
    nisa.memset(dst=filler, value=value)
    return filler


def fill(table: Any, filler: Any) -> None:
    """Make this core's rows of an HBM table [rows, columns] hold what every element of a tile of `filler_of` does."""
    rows, columns = table.shape
    for turn, row in enumerate(spans(rows, PARTITIONS)):
        if turn % nl.num_programs(0) == nl.program_id(0):
            for column in spans(columns, FILLED_COLUMNS):
                nisa.dma_copy(dst=table[row.slice, column.slice], src=filler[: row.size, : column.size])


class Ones:
    """What the sums over tokens are made with.

    Attributes:
        experts: fp32 [128, E], the id of each expert.
        all: bf16 [128, 128]: all.T @ x is the sum of all rows, in every row.
        earlier: bf16 [128, 128]: earlier.T @ x is, in each row, the sum of the rows before it.
    """

    def __init__(self, experts: Any) -> None:
        square = (PARTITIONS, PARTITIONS)
        self.experts = experts
        self.all = nl.ndarray(square, dtype=nl.bfloat16, buffer=nl.sbuf)
        self.earlier = nl.ndarray(square, dtype=nl.bfloat16, buffer=nl.sbuf)
        nisa.memset(dst=self.all, value=1)
        distance = nl.ndarray(square, dtype=nl.float32, buffer=nl.sbuf)
        nisa.iota(dst=distance, pattern=[[1, PARTITIONS]], offset=0, channel_multiplier=-1)
        nisa.tensor_scalar(dst=self.earlier, data=distance, op0=nl.greater, operand0=0.0)


def add_sums(dst: Any, stationary: Any, chosen: Any, start: Any) -> None:
    """dst = start + stationary.T @ chosen, fp32; counts are exact."""
    for columns in spans(chosen.shape[1], PSUM_COLUMNS):
        sums = nl.ndarray((dst.shape[0], columns.size), dtype=nl.float32, buffer=nl.psum)
        nisa.nc_matmul(dst=sums, stationary=stationary, moving=chosen[:, columns.slice])
        nisa.tensor_tensor(dst=dst[:, columns.slice], data1=sums, data2=start[:, columns.slice], op=nl.add)


def count(ones: Ones, chosen_by: Callable[[Span], Any], shares: list[list[Span]]) -> tuple[Any, Any]:
    """How many tokens each expert has before this core's share, and in all: fp32 [128, E], equal rows.

    chosen_by: bf16 [tokens, E] of a tile of tokens, how often each counts for an expert.
    """
    shape = tuple(ones.experts.shape)
    before, total = (nl.ndarray(shape, dtype=nl.float32, buffer=nl.sbuf) for _ in range(2))
    nisa.memset(dst=total, value=0)
    for core, tiles in enumerate(shares):
        if core == nl.program_id(0):
            nisa.tensor_copy(dst=before, src=total)
        for tokens in tiles:
            add_sums(total, ones.all[: tokens.size], chosen_by(tokens), total)
    return before, total


class ExpertBounds(NamedTuple):
    """fp32 [128, E], equal rows.

    Attributes:
        next_slot: where the core's first token of each expert goes.
        last_block: blocks of this expert and of all before it.
    """

    next_slot: Any
    last_block: Any


def bounds(before: Any, total: Any, block_size: int) -> ExpertBounds:
    """Blocks an expert: total / B rounded up, which is total / B + 1/2 - 1/(2 B) rounded to the nearest."""
    shape = tuple(total.shape)
    blocks = nl.ndarray(shape, dtype=nl.int32, buffer=nl.sbuf)
    exact, ones, last_block, next_slot = (nl.ndarray(shape, dtype=nl.float32, buffer=nl.sbuf) for _ in range(4))
    nisa.tensor_scalar(
        dst=blocks, data=total, op0=nl.multiply, operand0=1 / block_size, op1=nl.add, operand1=0.5 - 0.5 / block_size
    )
    nisa.tensor_copy(dst=exact, src=blocks)
    nisa.memset(dst=ones, value=1)
    nisa.tensor_tensor_scan(dst=last_block, data0=ones, data1=exact, initial=0.0, op0=nl.multiply, op1=nl.add)
    nisa.tensor_tensor(dst=next_slot, data1=last_block, data2=exact, op=nl.subtract)
    nisa.scalar_tensor_tensor(
        dst=next_slot, data=next_slot, op0=nl.multiply, operand0=float(block_size), op1=nl.add, operand1=before
    )
    return ExpertBounds(next_slot, last_block)


class BlockExperts(NamedTuple):
    """Of consecutive blocks, a block a partition.

    Attributes:
        place: fp32 [blocks, 1], which of the E experts the block is of; E for surplus blocks.
        is_surplus: fp32 [blocks, 1], 1 where all experts' last blocks lie before.
    """

    place: Any
    is_surplus: Any


def experts_of(blocks: Span, last_block: Any) -> BlockExperts:
    """A block's expert is the number of experts whose last block lies before it."""
    number, E = own_numbers(blocks, nl.float32), last_block.shape[1]
    passed = nl.ndarray((blocks.size, E), dtype=nl.float32, buffer=nl.sbuf)
    place = nl.ndarray((blocks.size, 1), dtype=nl.float32, buffer=nl.sbuf)
    nisa.tensor_scalar(dst=passed, data=last_block[: blocks.size], op0=nl.less_equal, operand0=number)
    nisa.tensor_reduce(dst=place, op=nl.add, data=passed, axis=1)
    return BlockExperts(place, passed[:, E - 1 : E])
