# SPDX-License-Identifier: Apache-2.0
"""What the engines compute for one block, whatever it holds."""

from __future__ import annotations

from typing import NamedTuple

from nkimoe.choosing.work import EngineWork
from nkimoe.planning.plan import BY_CHOICE, Plan
from nkimoe.planning.shares import QUARTERS
from nkimoe.planning.tiling import PARTITIONS, PSUM_COLUMNS, ceil_div
from nkisim.machine import Machine


class _SlotPart(NamedTuple):
    """Slots of a block that go through the MLP together, and tiles of 128 of them."""

    slots: int
    tiles: int


def block_work(plan: Plan, core: int, has_biases: bool, machine: Machine) -> EngineWork:
    """Of `core`: matmuls, of a down bias as one more row, and the passes over their results."""
    found = EngineWork()
    for part in _parts(plan):
        found = found.plus(_matmuls(part, plan, core, has_biases, machine)).plus(_passes(part, plan, core, machine))
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
    cycles += part.tiles * (ceil_div(share.inner.size, deep) + has_biases) * (H + ceil_div(H, PSUM_COLUMNS) * overhead)
    cycles += part.tiles * _gathered(plan, core) * (PARTITIONS + overhead)
    return EngineWork(tensor=cycles / m.number("clock.pe"))


def _passes(part: _SlotPart, plan: Plan, core: int, m: Machine) -> EngineWork:
    """Transposes leave PSUM, by two engines in turns; gates are activated, multiplied with up; results are scaled."""
    share, t = plan.share_of(core), plan.tiling
    alu, function = m.number("dve_time.overhead_elementwise"), m.number("act_time.overhead_function")
    streams = ceil_div(part.slots, PSUM_COLUMNS)
    gathered, columns = _gathered(plan, core), ceil_div(share.inner.size, PARTITIONS)
    turned = (gathered * part.slots / 2 + ceil_div(gathered, t.transposes_per_bank) * part.tiles * alu) / 2
    results = part.tiles * (share.written.size + ceil_div(share.written.size, PSUM_COLUMNS) * alu)
    in_turns = 0.5 if plan.output == BY_CHOICE else 0.0  # of the results, by the Scalar Engine
    return EngineWork(
        vector=(turned + columns * (part.slots + streams * alu) + results * (1 - in_turns)) / m.number("clock.dve"),
        scalar=(turned + columns * (part.slots + streams * function) + results * in_turns) / m.number("clock.act"),
    )


def _gathered(plan: Plan, core: int) -> int:
    """Tiles of 128 columns of H that the core transposes."""
    return ceil_div(plan.share_of(core).gathered.size * (QUARTERS if plan.variant.is_mx else 1), PARTITIONS)
