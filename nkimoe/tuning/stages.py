# SPDX-License-Identifier: Apache-2.0
"""The launches of a layer: of each of its stages, and of all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from nkimoe.ops.gemm_tables import gemm_tables
from nkimoe.ops.grouped_gemm import grouped_gemm, two_stage_moe
from nkimoe.planning.grouped_gemm.choice import GemmChoice, default_choices
from nkimoe.planning.grouped_gemm.pieces import ProjectionSizes
from nkimoe.planning.grouped_gemm.plan import GemmPlan, make_gemm_plan
from nkimoe.planning.grouped_gemm.request import Weighting
from nkimoe.planning.targets import TARGETS
from nkimoe.planning.tiling import PARTITIONS
from nkimoe.tuning.layer_key import LayerKey
from nkimoe.tuning.shaped_gemm import Routed, ShapedGemm
from nkisim import Predictor
from nkisim.report.summary import Profile


@dataclass(frozen=True, eq=False)
class Stages:
    """The stages of a layer, its routing drawn, on a target.

    Attributes:
        gemms: one a stage; of two, the second one's rows are those of pairs.
    """

    layer: LayerKey
    target: str
    lnc: int

    @cached_property
    def routed(self) -> Routed:
        return Routed.evenly(self.layer.token, self.layer.topk, self.layer.expert)

    @cached_property
    def gemms(self) -> tuple[ShapedGemm, ...]:
        key = self.layer
        early, late = (Weighting.BEFORE, Weighting.NONE) if key.doweight_stage1 else (Weighting.NONE, Weighting.AFTER)
        common = key.expert, key.dtype, key.types
        if key.stages == 1:
            weighting = early if key.doweight_stage1 else late
            return (ShapedGemm(key.token, key.model_dim, key.inter_dim, *common, key.epilogue, weighting, key.topk),)
        pairs, K2 = key.token * key.topk, key.inter_dim
        second = ShapedGemm(pairs, K2, key.model_dim, *common, None, late, 1, key.topk)
        width = second.sizes.rows * PARTITIONS  # of what lies between: the second contraction has whole tiles
        return ShapedGemm(key.token, key.model_dim, width, *common, key.epilogue, early, key.topk), second

    @property
    def default(self) -> tuple[GemmChoice, ...]:
        """What runs without a table."""
        sizes: list[ProjectionSizes] = [gemm.sizes for gemm in self.gemms]
        return default_choices(self.layer.token * self.layer.topk, self.layer.expert, sizes)

    def plan(self, stage: int, choice: GemmChoice) -> GemmPlan:
        """Raises RequestError for a choice that does not fit."""
        request = self.gemms[stage].request(choice, self.routed.blocks(choice.block_size), of_pairs=stage > 0)
        return make_gemm_plan(request, self.lnc, TARGETS[self.target])

    def predict(self, stage: int, choice: GemmChoice) -> Profile:
        """One stage alone."""
        blocks = self.routed.blocks(choice.block_size)
        return self._run(grouped_gemm, *self.gemms[stage].arguments(choice, blocks, of_pairs=stage > 0))

    def predict_all(self, choices: Sequence[GemmChoice]) -> Profile:
        """All stages in one launch."""
        if len(choices) == 1:
            return self.predict(0, choices[0])
        blocks = self.routed.blocks(choices[0].block_size)
        tables = gemm_tables(blocks, choices[0].block_size)
        tensors = [each for gemm, choice in zip(self.gemms, choices, strict=True) for each in gemm.tensors(choice)]
        options = (gemm.options(choice) for gemm, choice in zip(self.gemms, choices, strict=True))
        return self._run(two_stage_moe, self.gemms[0].a, *tensors, *tables, *options)

    def _run(self, kernel: Any, *arguments: Any) -> Profile:
        return Predictor(self.target, self.lnc).run(kernel, *arguments).profile
