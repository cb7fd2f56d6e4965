# SPDX-License-Identifier: Apache-2.0
"""The time a plan is estimated to take: an engine's work, as far as others do not hide it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

from nkimoe.choosing.counter import Counter
from nkimoe.choosing.layer import Layer
from nkimoe.choosing.work import CoreWork, EngineWork
from nkimoe.planning.plan import Plan
from nkisim.machine import Machine

ENGINES = ("tensor", "vector", "scalar", "gpsimd", "dma", "hbm", "issue", "chain")
FILE = "coefficients.json"


@dataclass(frozen=True)
class Coefficients:
    """What the counts of `work` are multiplied with, fitted on predictions of nkisim (`benchmarks/fit_cost.py`).

    Attributes:
        sharpness: p of the norm that engines are joined by: 1, one after another; large, the longest hides all others.
        drained: likewise in the device loop, whose turns end with all engines at rest.
        tensor ... issue, exchanged, chain, edges: times as long as counted.
        alone: share of the Tensor Engine's work that nothing hides.
        part, turn, start: ns of a part of a block, a turn of the device loop, a call.
        first: share of the first weights that is waited for.
    """

    sharpness: float
    drained: float
    tensor: float
    vector: float
    scalar: float
    gpsimd: float
    dma: float
    hbm: float
    issue: float
    exchanged: float
    chain: float
    edges: float
    alone: float
    part: float
    turn: float
    start: float
    first: float


@dataclass(frozen=True)
class CostEstimate:
    """Of a call: microseconds, and what they are bound by."""

    us: float
    bound_by: str


def estimate(plan: Plan, layer: Layer, machine: Machine) -> CostEstimate:
    """The time of the slowest core: not simulated, and never measured. docs/planning.md says how far off it is."""
    blocks = layer.load.blocks(plan.problem.B, plan.problem.N)
    cores = list(Counter(plan, blocks, layer, machine).cores())
    return of_cores(cores, coefficients_of(plan))


def of_cores(cores: list[CoreWork], c: Coefficients) -> CostEstimate:
    """The estimate for counted work."""
    shared = [sum(work.hbm for work in phase) for phase in zip(*map(_phases, cores), strict=True)]
    return max((_of_core(core, shared, c) for core in cores), key=lambda each: each.us)


def coefficients_of(plan: Plan) -> Coefficients:
    """By what the cores of a plan split; int8 and MX have those of dense layers in bf16."""
    return read_coefficients()[plan.variant.split]


@cache
def read_coefficients() -> Mapping[str, Coefficients]:
    """By split."""
    text = resources.files("nkimoe.choosing").joinpath(FILE).read_text(encoding="utf-8")
    return {split: Coefficients(**each) for split, each in json.loads(text)["coefficients"].items()}


def _phases(core: CoreWork) -> tuple[EngineWork, ...]:
    return *core.unrolled, *core.looped, core.edges, core.first_load


def _of_core(core: CoreWork, shared: list[float], c: Coefficients) -> CostEstimate:
    *blocks, edges, _ = (_joined(work, hbm, c) for work, hbm in zip(_phases(core), shared, strict=True))
    work = [work for some in (core.unrolled, core.looped) for work in some]
    norms = c.sharpness, c.sharpness, c.drained, c.drained  # fresh and steady, unrolled and looped
    ns = (
        sum(_norm(each.values(), p) for each, p in zip(blocks, norms, strict=True))
        + c.edges * _norm(edges.values(), c.sharpness)
        + c.first * max(core.first_load.dma, shared[-1]) + c.start + c.turn * core.turns
        + sum(c.part * each.parts + c.alone * each.tensor for each in work)
    )  # fmt: skip
    return CostEstimate(ns / 1e3, max(ENGINES, key=lambda name: sum(each[name] for each in blocks)))


def _joined(work: EngineWork, shared_hbm: float, c: Coefficients) -> dict[str, float]:
    """What each engine takes; HBM, which both cores share, for both."""
    return {
        "tensor": c.tensor * work.tensor, "vector": c.vector * work.vector, "scalar": c.scalar * work.scalar,
        "gpsimd": c.gpsimd * work.gpsimd, "dma": c.dma * work.dma + c.exchanged * work.exchanged,
        "hbm": c.hbm * shared_hbm, "issue": c.issue * work.issue, "chain": c.chain * work.chain,
    }  # fmt: skip


def _norm(values: Iterable[float], p: float) -> float:
    found = list(values)
    most = max(found)
    return most * sum((value / most) ** p for value in found) ** (1 / p) if most else 0.0
