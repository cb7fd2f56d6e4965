# SPDX-License-Identifier: Apache-2.0
"""Zeros where no block writes a gradient."""

from __future__ import annotations

from collections.abc import Sequence

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.backward.routing import experts_everywhere
from nkimoe.kernels.stages.expert_vectors import row_tiles
from nkimoe.kernels.stages.output_rows import ZERO_COLUMNS
from nkimoe.kernels.tensor import DType, OutOfBounds, Tensor
from nkimoe.planning.backward.request import BackwardRequest
from nkimoe.planning.tiling import PARTITIONS, Span, ceil_div, spans


class Zeros:
    """A tile of zeros of one dtype."""

    def __init__(self, dtype: DType) -> None:
        self._tile = nl.ndarray((PARTITIONS, ZERO_COLUMNS), dtype=dtype, buffer=nl.sbuf)
        nisa.memset(dst=self._tile, value=0)

    def write(self, dst: Tensor, columns: int, out_of_bounds: OutOfBounds = nisa.oob_mode.error) -> None:
        """dst [rows, ...], `columns` elements a row, = 0."""
        width = next(columns // n for n in range(1, columns + 1) if columns % n == 0 and columns // n <= ZERO_COLUMNS)
        source = self._tile.ap(pattern=[[ZERO_COLUMNS, dst.shape[0]], [0, columns // width], [1, width]])
        nisa.dma_copy(dst=dst, src=source, oob_mode=out_of_bounds)


def clear_rows(tensor: Tensor, zeros: Zeros) -> None:
    """Zero a tensor [rows, columns], with two cores each core its share of the rows."""
    rows, columns = tensor.shape
    for span in spans(rows, PARTITIONS)[nl.program_id(0) :: nl.num_programs(0)]:
        zeros.write(tensor[span.slice, :], columns)


def clear_gates(tensor: Tensor, zeros: Zeros) -> None:
    """Zero the gate half of [..., 2, I]; with two cores each core half of the columns."""
    *leading, _, I = tensor.shape
    for own in _own_columns(I):
        for first, rows, count in row_tiles(_product(leading)):
            dst = tensor.ap(
                pattern=[[2 * I, rows], [2 * I * PARTITIONS, count], [1, own.size]],
                offset=first * PARTITIONS * 2 * I + own.start,
            )
            zeros.write(dst, count * own.size)


def clear_unused_experts(
    request: BackwardRequest, n_blocks: int, whole: list[Tensor], halves: list[Tensor], zeros: Zeros
) -> None:
    """Zero the rows of tensors whose expert has no block.

    Args:
        whole: [E, ...]; with two cores each core half of each row.
        halves: [E, ..., 2, I] whose gate halves `clear_gates` zeroes: the up halves; with two cores each core half of
            the columns.
    """
    experts = experts_everywhere(request, 0, n_blocks)
    E = request.gate_up_proj_weight.shape[0]
    for window in spans(E, PARTITIONS):
        unused = _unused(experts, window, E)
        for target in whole:
            _clear_rows_at(target, unused, (1, _product(target.shape[1:]), 0), zeros)
        for target in halves:
            *_, I = target.shape
            _clear_rows_at(target, unused, (_product(target.shape[1:-2]), 2 * I, I), zeros)


def _clear_rows_at(target: Tensor, rows: Tensor, lines: tuple[int, int, int], zeros: Zeros) -> None:
    """Zero this core's share of rows of [E, ...]: of so many lines of so many columns, from a column on."""
    count, columns, first = lines
    for own in _own_columns(columns - first):
        dst = target.reshape((target.shape[0], count * columns)).ap(
            pattern=[[count * columns, PARTITIONS], [columns, count], [1, own.size]],
            offset=first + own.start,
            vector_offset=rows,
            indirect_dim=0,
        )
        zeros.write(dst, count * own.size, nisa.oob_mode.skip)


def _unused(experts: Tensor, window: Span, E: int) -> Tensor:
    """int32 [128, 1]: each expert of a window, or E and more if a block has it or it does not exist."""
    names = nl.ndarray((PARTITIONS, 1), dtype=nl.int32, buffer=nl.sbuf)
    nisa.iota(dst=names, pattern=[[1, 1]], offset=window.start, channel_multiplier=1)
    number, used = (nl.ndarray((PARTITIONS, 1), dtype=nl.float32, buffer=nl.sbuf) for _ in range(2))
    nisa.tensor_copy(dst=number, src=names)
    found = nl.ndarray(tuple(experts.shape), dtype=nl.float32, buffer=nl.sbuf)
    nisa.tensor_scalar(dst=found, data=experts, op0=nl.equal, operand0=number)
    nisa.tensor_reduce(dst=used, data=found, op=nl.maximum, axis=1)
    nisa.scalar_tensor_tensor(dst=names, data=used, op0=nl.multiply, operand0=float(E), op1=nl.add, operand1=number)
    return names


def _own_columns(columns: int) -> list[Span]:
    """This core's share; none, where there is only one column for two cores."""
    core, cores = nl.program_id(0), nl.num_programs(0)
    return spans(columns, ceil_div(columns, cores))[core : core + 1]


def _product(sizes: Sequence[int]) -> int:
    product = 1
    for size in sizes:
        product *= int(size)
    return product
