"""`build_block_mapping` as a kernel: from ids [T, K] to the three tables of `moe_cte`, without the host.

A token's rank among its expert's tokens is a sum over the tokens before it: a matmul with a triangle of ones. So each
pass holds 128 tokens, whatever T is. One pass counts, which says where every expert's blocks begin; the other scatters
token numbers to their slots.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import nki
import nki.isa as nisa
import nki.language as nl

from nkimoe.errors import require
from nkimoe.planning.tiling import PARTITIONS, PSUM_COLUMNS, Span, ceil_div, spans
from nkimoe.routing.mapping import static_block_count
from nkimoe.routing.on_device.listed import at_ids, is_listed, load_ids, numbers, own_numbers

LARGEST_T = 1 << 21  # up to here T / B in fp32 rounds to the right integer
LARGEST_SLOT = 1 << 24  # up to here integers are exact in fp32
FILLED_COLUMNS = 2048  # of the tile that pads are written from


@nki.jit
def build_block_mapping(
    expert_ids: Any, n_experts: int, block_size: int, skip_token: bool = True
) -> tuple[Any, Any, Any]:
    """`nkimoe.routing.build_block_mapping` on one core or two. Shapes follow from shapes, none from values.

    An expert that a token lists twice counts once, where NumPy refuses it. There are always enough blocks.

    Args:
        expert_ids: [T, K] int32; ids outside 0..E-1 are ignored.
        n_experts: E, up to 4096.
        block_size: B.
        skip_token: pad slots hold -1; False: T.

    Returns:
        token_position_to_id int32 [N * B], block_to_expert int32 [N], conditions int32 [N + 1], where N is
        `nkimoe.routing.static_block_count(T, K, E, B)`.

    Raises:
        RequestError: sizes out of range, or ids of another shape or dtype.
    """
    n_tokens, N = _checked(expert_ids, n_experts, block_size)
    slots = nl.ndarray((N * block_size,), dtype=nl.int32, buffer=nl.shared_hbm)
    block_to_expert = nl.ndarray((N,), dtype=nl.int32, buffer=nl.shared_hbm)
    conditions = nl.ndarray((N + 1,), dtype=nl.int32, buffer=nl.shared_hbm)

    shares = _shares(n_tokens)
    _fill(slots.reshape((N, block_size)), -1 if skip_token else n_tokens)
    if nl.num_programs(0) > 1:
        nisa.core_barrier(data=slots, cores=(0, 1))  # no pad comes after a token
    ones = _Ones(n_experts)
    before, total = _count(ones, expert_ids, shares)
    next_slot, last_block = _bounds(before, total, block_size)
    for tokens in shares[nl.program_id(0)]:
        _place(slots, ones, load_ids(expert_ids, tokens), tokens, next_slot)
    _describe_blocks(block_to_expert, conditions, last_block)
    return slots, block_to_expert, conditions


def _checked(expert_ids: Any, n_experts: int, block_size: int) -> tuple[int, int]:
    """T and N."""
    shape = tuple(int(n) for n in expert_ids.shape)
    require(len(shape) == 2, "expert_ids", "is [T, K]", shape, "Reshape one expert a token to [T, 1].")
    require(str(expert_ids.dtype) == "int32", "expert_ids", "is int32", expert_ids.dtype, "Cast it.")
    n_tokens, top_k = shape
    rule = f"has 1 to {LARGEST_T - 1} tokens with an expert or more"
    require(0 < n_tokens < LARGEST_T and top_k > 0, "expert_ids", rule, shape, "Without tokens there is no mapping.")
    require(1 <= n_experts <= 4096, "n_experts", "is 1 to 4096", n_experts, "Map on the host with nkimoe.routing.")
    require(block_size >= 1, "block_size", "is positive", block_size, "Pass the block_size of moe_cte.")
    N = static_block_count(n_tokens, top_k, n_experts, block_size)
    fix = "Use smaller blocks or split the batch."
    require(N * block_size < LARGEST_SLOT, "block_size", "gives fewer than 2**24 slots", N * block_size, fix)
    return n_tokens, N


def _shares(n_tokens: int) -> list[list[Span]]:
    """Tiles of 128 tokens for each core, consecutive ones."""
    tiles, cores = spans(n_tokens, PARTITIONS), nl.num_programs(0)
    each = ceil_div(len(tiles), cores)
    return [tiles[core * each : (core + 1) * each] for core in range(cores)]


def _fill(table: Any, value: int) -> None:
    """Make this core's rows of an HBM table [rows, columns] hold `value`."""
    rows, columns = table.shape
    filler = nl.ndarray((PARTITIONS, min(columns, FILLED_COLUMNS)), dtype=nl.int32, buffer=nl.sbuf)
    nisa.memset(dst=filler, value=value)
    for turn, row in enumerate(spans(rows, PARTITIONS)):
        if turn % nl.num_programs(0) == nl.program_id(0):
            for column in spans(columns, FILLED_COLUMNS):
                nisa.dma_copy(dst=table[row.slice, column.slice], src=filler[: row.size, : column.size])


class _Ones:
    """What the sums over tokens are made with.

    Attributes:
        experts: fp32 [128, E], the number of each expert.
        all: bf16 [128, 128]: all.T @ x is the sum of all rows, in every row.
        earlier: bf16 [128, 128]: earlier.T @ x is, in each row, the sum of the rows before it.
    """

    def __init__(self, n_experts: int) -> None:
        square = (PARTITIONS, PARTITIONS)
        self.experts = numbers(n_experts)
        self.all = nl.ndarray(square, dtype=nl.bfloat16, buffer=nl.sbuf)
        self.earlier = nl.ndarray(square, dtype=nl.bfloat16, buffer=nl.sbuf)
        nisa.memset(dst=self.all, value=1)
        distance = nl.ndarray(square, dtype=nl.float32, buffer=nl.sbuf)
        nisa.iota(dst=distance, pattern=[[1, PARTITIONS]], offset=0, channel_multiplier=-1)
        nisa.tensor_scalar(dst=self.earlier, data=distance, op0=nl.greater, operand0=0.0)


def _add_sums(dst: Any, stationary: Any, chosen: Any, start: Any) -> None:
    """dst = start + stationary.T @ chosen, fp32; counts are exact."""
    for columns in spans(chosen.shape[1], PSUM_COLUMNS):
        sums = nl.ndarray((dst.shape[0], columns.size), dtype=nl.float32, buffer=nl.psum)
        nisa.nc_matmul(dst=sums, stationary=stationary, moving=chosen[:, columns.slice])
        nisa.tensor_tensor(dst=dst[:, columns.slice], data1=sums, data2=start[:, columns.slice], op=nl.add)


def _count(ones: _Ones, expert_ids: Any, shares: list[list[Span]]) -> tuple[Any, Any]:
    """How many tokens each expert has before this core's share, and in all: fp32 [128, E], equal rows."""
    shape = tuple(ones.experts.shape)
    before, total = (nl.ndarray(shape, dtype=nl.float32, buffer=nl.sbuf) for _ in range(2))
    nisa.memset(dst=total, value=0)
    for core, tiles in enumerate(shares):
        if core == nl.program_id(0):
            nisa.tensor_copy(dst=before, src=total)
        for tokens in tiles:
            chosen = is_listed(ones.experts, load_ids(expert_ids, tokens), nl.bfloat16)
            _add_sums(total, ones.all[: tokens.size], chosen, total)
    return before, total


class _Bounds(NamedTuple):
    """fp32 [128, E], equal rows.

    Attributes:
        next_slot: where the core's first token of each expert goes.
        last_block: blocks of this expert and of all before it.
    """

    next_slot: Any
    last_block: Any


def _bounds(before: Any, total: Any, block_size: int) -> _Bounds:
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
    return _Bounds(next_slot, last_block)


def _place(slots: Any, ones: _Ones, ids: Any, tokens: Span, next_slot: Any) -> None:
    """Scatter 128 tokens, and move `next_slot` on."""
    rows, count = ids.shape
    chosen = is_listed(ones.experts, ids, nl.bfloat16)
    after = nl.ndarray((rows, chosen.shape[1]), dtype=nl.float32, buffer=nl.sbuf)
    _add_sums(after, ones.earlier[:rows, :rows], chosen, next_slot[:rows])
    nisa.tensor_scalar(dst=after, data=after, op0=nl.add, operand0=1.0)  # so that 0 is no slot
    places = nl.ndarray((rows, count), dtype=nl.int32, buffer=nl.sbuf)
    nisa.tensor_scalar(dst=places, data=at_ids(ones.experts, after, ids), op0=nl.add, operand0=-1.0)
    own = own_numbers(tokens, nl.int32)
    for k in range(count):
        place = slots.ap(pattern=[[1, rows], [1, 1]], vector_offset=places[:, k : k + 1], indirect_dim=0)
        nisa.dma_copy(dst=place, src=own, oob_mode=nisa.oob_mode.skip)
    _add_sums(next_slot, ones.all[:rows], chosen, next_slot)


def _describe_blocks(block_to_expert: Any, conditions: Any, last_block: Any) -> None:
    """A block's expert is the number of experts whose last block lies before it, surplus ones the last expert's."""
    N, E = block_to_expert.shape[0], last_block.shape[1]
    for turn, blocks in enumerate(spans(N + 1, PARTITIONS)):
        if turn % nl.num_programs(0) != nl.program_id(0):
            continue
        number = own_numbers(blocks, nl.float32)
        passed = nl.ndarray((blocks.size, E), dtype=nl.float32, buffer=nl.sbuf)
        expert = nl.ndarray((blocks.size, 1), dtype=nl.float32, buffer=nl.sbuf)
        answers = nl.ndarray((blocks.size, 2), dtype=nl.int32, buffer=nl.sbuf)
        nisa.tensor_scalar(dst=passed, data=last_block[: blocks.size], op0=nl.less_equal, operand0=number)
        nisa.tensor_reduce(dst=expert, op=nl.add, data=passed, axis=1)
        nisa.tensor_scalar(dst=answers[:, 0:1], data=expert, op0=nl.minimum, operand0=float(E - 1))
        # The last expert's last block lies behind this one: it holds tokens.
        nisa.tensor_scalar(dst=answers[:, 1:2], data=passed[:, E - 1 : E], op0=nl.equal, operand0=0.0)
        own = Span(blocks.start, min(blocks.stop, N) - blocks.start)
        if own.size:
            nisa.dma_copy(dst=block_to_expert.reshape((N, 1))[own.slice], src=answers[: own.size, 0:1])
        nisa.dma_copy(dst=conditions.reshape((N + 1, 1))[blocks.slice], src=answers[:, 1:2])
