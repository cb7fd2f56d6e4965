# SPDX-License-Identifier: Apache-2.0
"""One part of a block, for some columns of I, in two halves.

The first half leads to the gradients of the gate and up projections; the second one makes of these the gradients of
weights and tokens. Its sums keep the Vector Engine busy, the transposes of the first half the Scalar Engine: so the
first half of the following part runs between the pieces of the second half of this one. An `Emission`
issues its instructions in the lines that say `emit` or `yield from`.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import nki.language as nl

from nkimoe.kernels.backward.emission import Emission, emit
from nkimoe.kernels.backward.gate_gradient import GateGradient
from nkimoe.kernels.backward.layer import BackwardLayer
from nkimoe.kernels.backward.routing import BackwardStep
from nkimoe.kernels.backward.token_rows import turn_rows
from nkimoe.kernels.backward.transpose import transpose
from nkimoe.kernels.stages.contract import contract
from nkimoe.kernels.tensor import Tensor
from nkimoe.planning.tiling import PARTITIONS, Span, ceil_div, spans


class FirstHalf:
    """Up to the gradients of gate and up.

    Attributes:
        d_rows: gradients of the output, a tile [128, H] for each tile of slots.
        m: [128 slots, tiles, rows], what the down projection multiplied, times the affinities.
        d_first: [128 slots, tiles, columns of gate and up], their gradients.
        d_columns: the same as [128, tiles of columns, slots].
    """

    def __init__(self, step: BackwardStep, layer: BackwardLayer) -> None:
        self._step, self._layer = step, layer
        self._rows, self._width = layer.weights.rows_of(step.inner), layer.request.projections * step.inner.size
        self.d_rows = layer.d_output.of(step)
        slots = step.tiles * PARTITIONS
        self.m, self.d_first = self._tile(step.tiles, self._rows), self._tile(step.tiles, self._width)
        self.d_columns = self._tile(ceil_div(self._width, PARTITIONS), slots)

    def run(self, following: BackwardStep | None) -> Emission:
        """Emit it piece by piece; what `following` needs starts loading as soon as there is room."""
        layer, step = self._layer, self._step
        yield from layer.weights.turn_down(step)
        layer.weights.load_down(following)
        d_rows_turned = self._tile(layer.plan.problem.H // PARTITIONS, step.tiles * PARTITIONS)
        yield from turn_rows(d_rows_turned, self.d_rows)
        for t, projections in enumerate(layer.activations.rows(step)):
            gate = GateGradient(layer.request, layer.plan, projections, self._rows)
            yield
            self._pass_gate(t, gate, d_rows_turned[:, :, t * PARTITIONS : (t + 1) * PARTITIONS])
            yield
        layer.activations.load(following)
        yield from self._turn()

    def _pass_gate(self, tile: int, gate: GateGradient, d_rows_turned: Tensor) -> None:
        layer, affinity = self._layer, self._step.affinities[tile]
        d_m = nl.ndarray((PARTITIONS, self._rows), dtype=nl.float32, buffer=nl.psum)
        contract(d_m, d_rows_turned, layer.weights.down(self._step), Span(0, layer.plan.problem.H), 1)
        gate.weighted(self.m[:, tile, :], affinity)
        gate.backward(self.d_first[:, tile, :], d_m, affinity)
        layer.d_affinities.add(self._step, tile, gate.affinity_gradient(d_m))

    def _turn(self) -> Emission:
        tiles = self._step.tiles
        by_slots = self.d_columns.reshape((PARTITIONS, self.d_columns.shape[1], tiles, PARTITIONS))
        for tile, columns in enumerate(spans(self._width, PARTITIONS)):
            sources = [self.d_first[:, t, columns.slice] for t in range(tiles)]
            yield from transpose(by_slots[0 : columns.size, tile, :, :], sources)

    def _tile(self, tiles: int, columns: int) -> Tensor:
        """A matmul operand."""
        return nl.ndarray((PARTITIONS, tiles, columns), dtype=self._layer.request.compute_dtype, buffer=nl.sbuf)


def turn_gate_up(now: BackwardStep | None, following: BackwardStep | None, layer: BackwardLayer) -> Emission:
    """What the second half needs besides the first one; the part before must be through with its own."""
    if now is not None:
        yield from layer.weights.turn_gate_up(now)
        layer.weights.load_gate_up(following)


def second_half(
    now: BackwardStep, first: FirstHalf, window: tuple[BackwardStep | None, ...], layer: BackwardLayer
) -> FirstHalf | None:
    """The gradients of weights and tokens; returns the first half of the following part, emitted in between.

    Args:
        window: the two parts that follow.
    """
    following, after = window
    ahead = None if following is None else FirstHalf(following, layer)
    beside: Emission = iter(()) if ahead is None else ahead.run(after)
    layer.d_weights.begin(now)
    down = layer.d_weights.add_down(now, first.m, first.d_rows)
    d_hidden = layer.d_hidden.add(now, first.d_columns, layer.weights.gate_up, first.d_first.shape[2])
    gate_up = layer.d_weights.add_gate_up(now, layer.tokens.of(now), first.d_first)
    emit(chain(down, d_hidden), beside)
    layer.d_output.gather(after)
    layer.d_hidden.load(following)
    beside = chain(beside, turn_gate_up(following, after, layer))
    emit(gate_up, beside)
    layer.tokens.gather(following)
    layer.d_weights.store(now)
    emit(beside)
    return ahead


def run_steps(steps: Iterator[BackwardStep], layer: BackwardLayer) -> None:
    """All steps in order."""
    now, *window = (next(steps, None) for _ in range(3))
    assert now is not None, "a core without blocks has no steps"
    layer.start(now)
    begun = FirstHalf(now, layer)
    emit(chain(begun.run(window[0]), turn_gate_up(now, window[0], layer)))
    layer.d_output.gather(window[0])
    first: FirstHalf | None = begun
    while now is not None and first is not None:
        first = second_half(now, first, (window[0], window[1]), layer)
        now, *window = *window, next(steps, None)
