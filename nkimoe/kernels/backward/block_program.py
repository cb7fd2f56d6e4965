"""One part of a block, for some columns of I."""

from __future__ import annotations

from typing import Any

import nki.language as nl

from nkimoe.kernels.backward.gate import Gate
from nkimoe.kernels.backward.layer import BackwardLayer
from nkimoe.kernels.backward.routing import Step
from nkimoe.kernels.backward.token_rows import columns_of
from nkimoe.kernels.backward.transpose import transpose
from nkimoe.kernels.stages.dense.contract import contract
from nkimoe.tiling import PARTITIONS, Span, ceil_div, spans


def compute(now: Step, following: Step | None, layer: BackwardLayer) -> None:
    """All gradients that a part contributes to; whatever `following` needs starts loading as soon as there is room."""
    weights, d_weights, inner = layer.weights, layer.d_weights, now.inner
    rows, width = weights.rows_of(inner), layer.request.projections * inner.size
    d_rows, token_rows = layer.d_output.of(now), layer.tokens.of(now)
    sums = layer.hidden.load(now)
    gates = [Gate(layer.request, layer.plan, each, rows) for each in layer.activations.rows(now)]
    layer.activations.load(following)
    layer.d_output.gather(following)
    down = weights.down(now)
    weights.load_down(following)
    d_columns = columns_of(d_rows)
    m, d_first = _tile(now, rows, layer), _tile(now, width, layer)
    d_weights.turn(now)
    for t, gate in enumerate(gates):
        affinity = now.part.affinities[t]
        d_m = nl.ndarray((PARTITIONS, rows), dtype=nl.float32, buffer=nl.psum)
        contract(d_m, d_columns[:, :, _slots(t)], down, Span(0, PARTITIONS * d_columns.shape[1]), 1)
        gate.weighted(m[:, t, :], affinity)
        gate.backward(d_first[:, t, :], d_m, affinity)
        layer.affinity.add(now, t, gate.affinity_gradient(d_m))
    gate_up = weights.gate_up(now)
    weights.load_gate_up(following)
    d_weights.add_down(now, m, d_rows)
    layer.tokens.gather(following)
    d_weights.add_gate_up(now, token_rows, d_first)
    layer.hidden.add(now, sums, _as_columns(d_first), gate_up, width)
    d_weights.store(now)


def _slots(tile: int) -> slice:
    return slice(tile * PARTITIONS, (tile + 1) * PARTITIONS)


def _tile(step: Step, columns: int, layer: BackwardLayer) -> Any:
    """For each tile of slots a matmul operand [128, columns]."""
    return nl.ndarray((PARTITIONS, step.tiles, columns), dtype=layer.request.compute_dtype, buffer=nl.sbuf)


def _as_columns(d_first: Any) -> Any:
    """[128, tiles of columns, slots] from [128 slots, tiles, columns]."""
    _, tiles, width = d_first.shape
    turned = nl.ndarray(
        (PARTITIONS, ceil_div(width, PARTITIONS), tiles * PARTITIONS), dtype=d_first.dtype, buffer=nl.sbuf
    )
    for tile, columns in enumerate(spans(width, PARTITIONS)):
        by_slots = turned.reshape((PARTITIONS, turned.shape[1], tiles, PARTITIONS))
        transpose(by_slots[0 : columns.size, tile, :, :], [d_first[:, t, columns.slice] for t in range(tiles)])
    return turned
