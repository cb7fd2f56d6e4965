# SPDX-License-Identifier: Apache-2.0
"""Smooth rows picked by the Tensor Engine: ones where a token chose an expert, times the experts' smooth rows.

A number of fp32 is cut into three bf16 numbers of eight bits each. They lie on partitions of their own ("slots": part p
of expert e in slot p * E + e), so that one matmul picks and adds them. Cut off rather than rounded, they have one sign
and no bit twice, and every order of adding them is exact.
"""

from __future__ import annotations

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.ops.smooth_rows import Choices, multiply, values_ring
from nkimoe.kernels.stages.gather_tokens import TileRing, leave
from nkimoe.kernels.tensor import Tensor
from nkimoe.planning.row_quantisation.plan import RowPlan
from nkimoe.planning.row_quantisation.request import RowQuantisation
from nkimoe.planning.row_quantisation.tiling import PARTS, SMOOTH_COLUMNS, SMOOTH_SETS, SPLIT_COLUMNS
from nkimoe.planning.tiling import PARTITIONS, PSUM_COLUMNS, Span, spans

UPPER_HALF = 0xFFFF0000  # of an fp32 number: what bf16 keeps


class SelectedRows:
    """The smooth rows of all experts on chip, and which of them the tokens at hand chose."""

    def __init__(self, request: RowQuantisation, plan: RowPlan) -> None:
        self._slots = spans(PARTS * plan.E, PARTITIONS)
        shape = (PARTITIONS, len(self._slots), plan.H)
        self._parts = nl.ndarray(shape, dtype=nl.bfloat16, buffer=nl.sbuf)
        for experts in spans(plan.E, PARTITIONS):
            for columns in spans(plan.H, SPLIT_COLUMNS):
                self._load(request.smooth_scale, experts, columns)
        self._experts = nl.ndarray((PARTITIONS, PARTS, plan.E), dtype=nl.float32, buffer=nl.sbuf)
        nisa.iota(dst=self._experts, pattern=[[0, PARTS], [1, plan.E]], offset=0, channel_multiplier=0)
        self._pieces = TileRing(SMOOTH_SETS, (PARTITIONS, SMOOTH_COLUMNS), nl.float32, leave)
        self._values = values_ring(plan)
        self._chosen: list[list[Tensor]] = []

    def choose(self, choices: Choices | None) -> None:
        """Ones, bf16 [slots, tokens], by choice and tile of slots; a column of zeros for an id of no expert."""
        assert choices is not None, "rows are selected by choices"
        n, k = choices.numbers.shape
        self._chosen = [self._ones(choices.numbers[:, j : j + 1], n) for j in range(k)]

    def times(self, rows: Tensor, columns: Span, j: int) -> Tensor:
        n = rows.shape[0]
        values = self._values.take()[:n, : columns.size]
        for piece in spans(columns.size, SMOOTH_COLUMNS):
            smooth = self._pieces.take()[:n, : piece.size]
            picked = self._select(n, Span(columns.start + piece.start, piece.size), j)
            nisa.tensor_copy(dst=smooth, src=picked, engine=nisa.engine.scalar)
            multiply(values[:, piece.slice], rows[:, piece.slice], smooth)
        return values

    def _select(self, n: int, piece: Span, j: int) -> Tensor:
        """fp32 [tokens, columns] in PSUM."""
        picked = nl.ndarray((n, piece.size), dtype=nl.float32, buffer=nl.psum)
        for bank in spans(piece.size, PSUM_COLUMNS):
            for s, slots in enumerate(self._slots):
                columns = slice(piece.start + bank.start, piece.start + bank.stop)
                nisa.nc_matmul(
                    dst=picked[:, bank.slice],
                    stationary=self._chosen[j][s],
                    moving=self._parts[: slots.size, s, columns],
                    accumulate=s > 0,
                )
        return picked

    def _ones(self, ids: Tensor, n: int) -> list[Tensor]:
        by_token = nl.ndarray((n, PARTS, self._experts.shape[2]), dtype=nl.bfloat16, buffer=nl.sbuf)
        nisa.tensor_scalar(dst=by_token, data=self._experts[:n], op0=nl.equal, operand0=ids)
        flat, chosen = by_token.reshape((n, PARTS * self._experts.shape[2])), []
        for slots in self._slots:
            turned = nl.ndarray((slots.size, n), dtype=nl.bfloat16, buffer=nl.psum)
            nisa.nc_transpose(dst=turned, data=flat[:, slots.slice], engine=nisa.engine.tensor)
            ones = nl.ndarray((slots.size, n), dtype=nl.bfloat16, buffer=nl.sbuf)
            nisa.tensor_copy(dst=ones, src=turned, engine=nisa.engine.scalar)
            chosen.append(ones)
        return chosen

    def _load(self, smooth_scale: Tensor, experts: Span, columns: Span) -> None:
        """Cut some columns of up to 128 experts into parts, spread over partitions, and move each part to its slots."""
        fold = next(f for f in range(PARTITIONS // experts.size, 0, -1) if columns.size % f == 0)
        E, H = smooth_scale.shape
        shape = (experts.size * fold, columns.size // fold)
        rest = nl.ndarray(shape, dtype=nl.float32, buffer=nl.sbuf)
        source = smooth_scale.ap(
            pattern=[[H, experts.size], [shape[1], fold], [1, shape[1]]], offset=experts.start * H + columns.start
        )
        nisa.dma_copy(dst=rest, src=source)
        for p in range(PARTS):
            part = nl.ndarray(shape, dtype=nl.bfloat16, buffer=nl.sbuf)
            if p < PARTS - 1:
                rest = _cut_off(part, rest)
            else:
                nisa.tensor_copy(dst=part, src=rest)  # eight bits are left, which bf16 holds
            first = p * E + experts.start
            self._place(part, fold, Span(first, experts.size), columns)

    def _place(self, part: Tensor, fold: int, slots: Span, columns: Span) -> None:
        at = slots.start
        while at < slots.stop:
            tile, partition = divmod(at, PARTITIONS)
            count = min(slots.stop - at, PARTITIONS - partition)
            rows = part[(at - slots.start) * fold : (at - slots.start + count) * fold]
            nisa.dma_copy(dst=self._parts[partition : partition + count, tile, columns.slice], src=rows)
            at += count


def _cut_off(part: Tensor, number: Tensor) -> Tensor:
    """part = the upper half of fp32 numbers, as bf16; returns what is left of them, which is exact."""
    shape = tuple(number.shape)
    upper, left = (nl.ndarray(shape, dtype=nl.float32, buffer=nl.sbuf) for _ in range(2))
    nisa.tensor_scalar(dst=upper.view(nl.uint32), data=number.view(nl.uint32), op0=nl.bitwise_and, operand0=UPPER_HALF)
    nisa.tensor_copy(dst=part, src=upper)
    nisa.tensor_tensor(dst=left, data1=number, data2=upper, op=nl.subtract)
    return left
