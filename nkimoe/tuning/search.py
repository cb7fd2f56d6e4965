# SPDX-License-Identifier: Apache-2.0
"""The choice that is predicted fastest for a layer: all of a small space are tried."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import product

from nkimoe.errors import RequestError
from nkimoe.planning.grouped_gemm.choice import GemmChoice, Split
from nkimoe.planning.grouped_gemm.plan import GemmPlan
from nkimoe.planning.tiling import PARTITIONS, ceil_div
from nkimoe.tuning.stages import Stages
from nkimoe.tuning.tuned_row import PredictedTime, TunedRow
from nkisim.report.origin import made_by
from nkisim.report.summary import Profile
from nkisim.timing import CLOCK

BLOCK_SIZES = (PARTITIONS, 2 * PARTITIONS, 4 * PARTITIONS)
FINENESS = (1, 2, 4)  # times as many pieces as must be

Space = list[list[GemmChoice]]
"""The choices of each stage."""


def space_of(stages: Stages) -> Space:
    """What is tried: each choice says all that its plan decides, and no two have the same plan.

    Raises:
        RequestError: no choice fits, or the target takes no such weights.
    """
    return [_of_stage(stages, stage) for stage in range(len(stages.gemms))]


def best_row(stages: Stages, space: Space, step: Callable[[], None]) -> TunedRow:
    """The row of a layer; `step` is called for each prediction: one a choice, and two of all stages.

    Stages are predicted alone. What is best together is predicted in one launch, as is the default: the faster stays.
    """
    alone: list[dict[GemmChoice, float]] = [{} for _ in space]
    for stage, choices in enumerate(space):
        for choice in choices:
            alone[stage][choice] = stages.predict(stage, choice).latency_us
            step()
    together = []
    for layer_choices in (_fastest(alone), _as_told(stages)):
        together.append((stages.predict_all(layer_choices), layer_choices))
        step()
    whole, best = min(together, key=lambda each: each[0].latency_us)
    times = tuple(_time(stages.predict(stage, choice)) for stage, choice in enumerate(best))
    version = made_by()["nkimoe"] or ""
    return TunedRow(stages.target, stages.lnc, stages.layer, best, times, _time(whole), CLOCK, str(version))


def _of_stage(stages: Stages, stage: int) -> list[GemmChoice]:
    plans: dict[GemmChoice, GemmPlan] = {}
    refused = None
    for choice in _candidates(stages, stage):
        try:
            most = stages.plan(stage, choice)
        except RequestError as error:
            refused = error
            continue
        for at_once in (most.at_once, ceil_div(most.at_once, 2)):  # shorter passes, whose results leave sooner
            plan = replace(most, at_once=at_once)
            if all(_order_of(plan) != _order_of(other) for other in plans.values()):
                plans[replace(choice, at_once=at_once, split=plan.split)] = plan
    if refused is not None and not plans:
        raise refused
    return list(plans)


def _candidates(stages: Stages, stage: int) -> Iterator[GemmChoice]:
    """With all pieces on chip, if they fit; the default's blocks are among them."""
    layer, sizes = stages.layer, stages.gemms[stage].sizes
    blocks = [B for B in BLOCK_SIZES if B == PARTITIONS or B * layer.expert <= 2 * layer.token * layer.topk]
    blocks = list(dict.fromkeys((*blocks, stages.default[stage].block_size)))
    fewest = ceil_div(sizes.columns, sizes.default_width)
    widths = dict.fromkeys(sizes.width_of(fewest * times) for times in FINENESS)
    for B, width, split in product(blocks, widths, Split):
        yield GemmChoice(B, width, sizes.pieces(width).count, split)


def _order_of(plan: GemmPlan) -> tuple[object, ...]:
    """What the cores do."""
    shares = [plan.share_of(core) for core in range(plan.problem.cores)]
    return plan.problem.B, plan.pieces, shares, [plan.passes(share) for share in shares]


def _fastest(alone: Sequence[dict[GemmChoice, float]]) -> tuple[GemmChoice, ...]:
    """One of each stage, with one block size, of the least sum."""
    sizes = set.intersection(*({choice.block_size for choice in stage} for stage in alone))
    of_size = [
        tuple(min((c for c in stage if c.block_size == B), key=stage.__getitem__) for stage in alone)
        for B in sorted(sizes)
    ]
    return min(of_size, key=lambda each: sum(stage[c] for stage, c in zip(alone, each, strict=True)))


def _as_told(stages: Stages) -> tuple[GemmChoice, ...]:
    """The default, with all that its plans decide."""
    plans = [(choice, stages.plan(stage, choice)) for stage, choice in enumerate(stages.default)]
    return tuple(replace(choice, at_once=plan.at_once, split=plan.split) for choice, plan in plans)


def _time(profile: Profile) -> PredictedTime:
    return PredictedTime(profile.latency_us, *profile.interval_us)
