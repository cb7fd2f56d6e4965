# SPDX-License-Identifier: Apache-2.0
"""What the engines compute for one block, whatever it holds."""

from __future__ import annotations

from typing import NamedTuple

from nkimoe.choosing.layer import Layer
from nkimoe.choosing.work import EngineWork
from nkimoe.planning.plan import Plan
from nkimoe.planning.row_scales import SPREAD_PARTS, is_spread
from nkimoe.planning.shares import QUARTERS
from nkimoe.planning.tiling import PARTITIONS, PSUM_COLUMNS, ceil_div
from nkisim.machine import Machine


class _SlotPart(NamedTuple):
    """Slots of a block that go through the MLP together, and tiles of 128 of them."""

    slots: int
    tiles: int


def block_work(plan: Plan, core: int, layer: Layer, machine: Machine) -> EngineWork:
    """Of `core`: matmuls, of a down bias as one more row, and the passes over their results; a row of scales that is
    spread.
    """
    found = EngineWork()
    for part in _parts(plan):
        found = found.plus(_matmuls(part, plan, core, layer.has_biases, machine))
        found = found.plus(_passes(part, plan, core, layer, machine))
        found = found.plus(_results(part, plan, core, layer, machine))
    if layer.has_row_scales and is_spread(layer.has_biases, plan.problem.B, plan.is_int8):
        cycles = plan.share_of(core).written.size + SPREAD_PARTS * machine.number("dve_time.overhead")
        found = found.plus(EngineWork(vector=cycles / machine.number("clock.dve")))
    return found


def _parts(plan: Plan) -> list[_SlotPart]:
    B, most = plan.problem.B, plan.tiling.token_tiles * PARTITIONS
    return [_SlotPart(slots, ceil_div(slots, PARTITIONS)) for at in range(0, B, most) if (slots := min(most, B - at))]


def _matmuls(part: _SlotPart, plan: Plan, core: int, has_biases: bool, m: Machine) -> EngineWork:
    """Gate and up stream tokens, down streams columns of H, a transpose 128 columns."""
    H, share = plan.problem.H, plan.share_of(core)
    deep = PARTITIONS * (QUARTERS if plan.variant.is_mx else 1)  # rows that a matmul contracts
    overhead, least = m.number("pe_time.overhead"), m.number("pe_time.least_columns")
    streams = ceil_div(part.slots, PSUM_COLUMNS)
    tokens = max(streams * least, part.slots) + streams * overhead
    cycles = 2 * ceil_div(H, deep) * ceil_div(share.inner.size, PARTITIONS) * tokens
    rows, own = ceil_div(share.inner.size, deep), share.written.size * has_biases  # whose bias this core adds
    banks = rows * ceil_div(H, PSUM_COLUMNS) + ceil_div(own, PSUM_COLUMNS)
    cycles += part.tiles * (rows * H + own + banks * overhead)
    cycles += part.tiles * _gathered(plan, core) * (PARTITIONS + overhead)
    return EngineWork(tensor=cycles / m.number("clock.pe"))


def _passes(part: _SlotPart, plan: Plan, core: int, layer: Layer, m: Machine) -> EngineWork:
    """Transposes leave PSUM, by two engines in turns, or where the Vector Engine multiplies with rows by the other one;
    gates are activated, multiplied with up, both with a bias if there are any.
    """
    share, t = plan.share_of(core), plan.tiling
    alu, function = m.number("dve_time.overhead_elementwise"), m.number("act_time.overhead_function")
    streams = ceil_div(part.slots, PSUM_COLUMNS)
    gathered, columns = _gathered(plan, core), ceil_div(share.inner.size, PARTITIONS)
    turned = gathered * part.slots / 2 + ceil_div(gathered, t.transposes_per_bank) * part.tiles * alu
    on_vector = 0.0 if layer.has_row_scales else turned / 2
    passes = 3 if layer.has_biases else 1  # the product; gate and up get a bias each, and are limited
    return EngineWork(
        vector=(on_vector + passes * columns * (part.slots + streams * alu)) / m.number("clock.dve"),
        scalar=(turned - on_vector + columns * (part.slots + streams * function)) / m.number("clock.act"),
    )


class _ResultPasses(NamedTuple):
    """Over all results, by an engine."""

    vector: float
    scalar: float
    gpsimd: float


def _results(part: _SlotPart, plan: Plan, core: int, layer: Layer, m: Machine) -> EngineWork:
    """Results are scaled: one pass, in turns where the Scalar Engine can; with rows, and a bias behind them, it takes
    more (`kernels/stages/combine.py`).
    """
    written = plan.share_of(core).written.size
    alu, function = m.number("dve_time.overhead_elementwise"), m.number("act_time.overhead_function")
    cycles = part.tiles * (written + ceil_div(written, PSUM_COLUMNS) * alu)
    handed = part.tiles * (plan.problem.H - written + ceil_div(plan.problem.H - written, PSUM_COLUMNS) * function)
    passes = _passes_over_results(plan.output.in_turns, layer)
    if plan.output.swaps_halves or plan.halves_intermediate:  # results of either core are added; or partial sums
        passes = passes._replace(vector=passes.vector + 1)
    return EngineWork(
        vector=passes.vector * cycles / m.number("clock.dve"),
        scalar=(passes.scalar * cycles + handed) / m.number("clock.act"),
        gpsimd=passes.gpsimd * cycles / m.number("clock.pool"),
    )


def _passes_over_results(into_fresh_rows: bool, layer: Layer) -> _ResultPasses:
    if not layer.has_row_scales:
        return _ResultPasses(0.5, 0.5, 0.0) if into_fresh_rows else _ResultPasses(1.0, 0.0, 0.0)
    if layer.has_biases:
        return _ResultPasses(1.5, 0.5, 0.5) if into_fresh_rows else _ResultPasses(2.0, 1.0, 1.0)
    return _ResultPasses(1.0 if into_fresh_rows else 2.0, 0.0, 0.0)


def _gathered(plan: Plan, core: int) -> int:
    """Tiles of 128 columns of H that the core transposes."""
    return ceil_div(plan.gathered_columns(core), PARTITIONS)
