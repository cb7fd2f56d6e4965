# SPDX-License-Identifier: Apache-2.0
"""`routing_sigmoid_top1` as a kernel: router and choice of one expert in one launch.

Tokens are rows. Their logits come from the PE, which contracts over partitions: token tiles are transposed there first,
some columns of K at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import nki
import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.shared_tensors import name_scope, shared_tensor
from nkimoe.kernels.stages.contract import contract
from nkimoe.kernels.stages.expert_vectors import row_tiles
from nkimoe.planning.tiling import PARTITIONS, PSUM_BANK_BYTES, PSUM_COLUMNS, Span, ceil_div, spans
from nkimoe.routing.on_device.largest import Largest, largest, room
from nkimoe.routing.on_device.router import MOST_EXPERTS
from nkimoe.routing.on_device.scores import sigmoid

WINDOW = 4096  # columns of K at a time
KEPT_BYTES = 65536  # of a partition: router weights up to here stay on chip


@nki.jit
def routing_sigmoid_top1(x: Any, w: Any, fused_shared_experts: bool) -> tuple[Any, Any]:
    """The expert with the largest logit of each row of x w, the first of equal ones, and the sigmoid of that logit.

    In fp32, on any number of cores, which take turns at tiles of 128 tokens.

    Args:
        x: [T, K] and w: [K, E], of one type of floats, E up to 4096.
        fused_shared_experts: each token has expert E, too, with weight 1.

    Returns:
        (weights float32 [T, 1 or 2], ids int32 [T, 1 or 2]).
    """
    (n_tokens, _), n_experts = x.shape, int(w.shape[1])
    assert n_experts <= MOST_EXPERTS, "checked by the operation"
    choices = 2 if fused_shared_experts else 1
    with name_scope("routing_sigmoid_top1"):
        weights = shared_tensor((n_tokens, choices), nl.float32, "weights")
        ids = shared_tensor((n_tokens, choices), nl.int32, "ids")
    router = _Router(w)
    for tokens in spans(n_tokens, PARTITIONS)[nl.program_id(0) :: nl.num_programs(0)]:
        best = largest(_logits(x, tokens, router), 1)
        for hbm, value in zip((weights, ids), _rows(best, choices, n_experts), strict=True):
            nisa.dma_copy(dst=hbm[tokens.slice], src=value)
    return weights, ids


def _rows(best: Largest, choices: int, n_experts: int) -> tuple[Any, Any]:
    """Weights and ids of a tile of tokens; what is beyond the best is the shared expert's."""
    shape = (best.values.shape[0], choices)
    weights = nl.ndarray(shape, dtype=nl.float32, buffer=nl.sbuf)
    ids = nl.ndarray(shape, dtype=nl.int32, buffer=nl.sbuf)
    if choices > 1:
        nisa.memset(dst=weights[:, 1:], value=1.0)
        nisa.memset(dst=ids[:, 1:], value=n_experts)
    nisa.tensor_copy(dst=weights[:, 0:1], src=sigmoid(best.values))
    nisa.tensor_copy(dst=ids[:, 0:1], src=best.ids)
    return weights, ids


class _Router:
    """The matrix [K, E] in pieces [128, tiles, columns], row r of a window on partition r % 128: loaded once if all of
    them fit, else for every use.
    """

    def __init__(self, w: Any) -> None:
        self._w, (K, E) = w, w.shape
        self.windows, self.columns = spans(K, WINDOW), spans(E, PSUM_COLUMNS)
        tiles = sum(ceil_div(rows.size, PARTITIONS) for rows in self.windows)
        stays = tiles * E * (4 if str(w.dtype) == "float32" else 2) <= KEPT_BYTES
        self._kept = {(r, c): self._load(r, c) for r in self.windows for c in self.columns} if stays else {}

    def piece(self, rows: Span, columns: Span) -> Any:
        return self._kept[rows, columns] if self._kept else self._load(rows, columns)

    def _load(self, rows: Span, columns: Span) -> Any:
        E = self._w.shape[1]
        shape = (PARTITIONS, ceil_div(rows.size, PARTITIONS), columns.size)
        tile = nl.ndarray(shape, dtype=self._w.dtype, buffer=nl.sbuf)
        for first, partitions, count in row_tiles(rows.size):
            source = self._w.ap(
                pattern=[[E, partitions], [PARTITIONS * E, count], [1, columns.size]],
                offset=(rows.start + first * PARTITIONS) * E + columns.start,
            )
            nisa.dma_copy(dst=tile[0:partitions, first : first + count, :], src=source)
        return tile


def _logits(x: Any, tokens: Span, router: _Router) -> Any:
    """fp32 [tokens, E], a tile of `room`."""
    E = router.columns[-1].stop
    result = room(tokens.size, E)
    for rows in router.windows:
        turned = _turned(x, tokens, rows)
        for columns, sums in _products(turned, rows, router):
            dst = result[:, columns.slice]
            if rows.start == 0:
                nisa.tensor_copy(dst=dst, src=sums)
            else:
                nisa.tensor_tensor(dst=dst, data1=sums, data2=dst, op=nl.add)
    return result


def _products(turned: Any, rows: Span, router: _Router) -> Iterator[tuple[Span, Any]]:
    for columns in router.columns:
        sums = nl.ndarray((turned.shape[2], columns.size), dtype=nl.float32, buffer=nl.psum)
        contract(sums, turned, router.piece(rows, columns), Span(0, rows.size), 1)
        yield columns, sums


def _turned(x: Any, tokens: Span, rows: Span) -> Any:
    """[128, tiles, tokens]: columns `rows` of some tokens, on partitions."""
    loaded = nl.ndarray((tokens.size, rows.size), dtype=x.dtype, buffer=nl.sbuf)
    nisa.dma_copy(dst=loaded, src=x[tokens.slice, rows.slice])
    tiles = spans(rows.size, PARTITIONS)
    turned = nl.ndarray((PARTITIONS, len(tiles), tokens.size), dtype=x.dtype, buffer=nl.sbuf)
    at_once = PSUM_BANK_BYTES // (PARTITIONS * (4 if str(x.dtype) == "float32" else 2))
    for bank in spans(rows.size // PARTITIONS, at_once):
        _turn(turned[:, bank.slice, :], loaded, tiles[bank.slice])
    if tiles[-1].size < PARTITIONS:
        _turn(turned[0 : tiles[-1].size, len(tiles) - 1 :, :], loaded, tiles[-1:])
    return turned


def _turn(dst: Any, rows: Any, tiles: list[Span]) -> None:
    """dst [columns, tiles, tokens] = tiles of columns of rows [tokens, columns]."""
    turned = nl.ndarray(tuple(dst.shape), dtype=rows.dtype, buffer=nl.psum)
    for n, columns in enumerate(tiles):
        nisa.nc_transpose(dst=turned[:, n, :], data=rows[:, columns.slice], engine=nisa.engine.tensor)
    nisa.tensor_copy(dst=dst, src=turned)
