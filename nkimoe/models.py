# SPDX-License-Identifier: Apache-2.0
"""MoE layers of published models, as their configuration files state them. The one table of models."""

from __future__ import annotations

from dataclasses import dataclass, replace

from nkimoe.errors import require
from nkimoe.planning.tiling import ceil_div
from nkimoe.routing.rule import GroupScore, RoutingRule, Score
from nkimoe.spec import ActFnType, ExpertAffinityScaleMode


@dataclass(frozen=True)
class Model:
    """One model's MoE layer.

    Attributes:
        H, I, E: hidden size, intermediate size of one routed expert, experts.
        routing: how its router chooses, and how many experts a token (K).
        source: configuration file.
        activation: of the gate.
        biases: the experts have biases.
        limit: gpt-oss's clamp: gate from above, up from both sides.
        up_shift: gpt-oss multiplies by (up + 1).
        scaling: where the routing weight multiplies; Llama 4 scales what goes into an expert.
    """

    H: int
    I: int
    E: int
    routing: RoutingRule
    source: str
    activation: ActFnType = ActFnType.SiLU
    biases: bool = False
    limit: float | None = None
    up_shift: float = 0.0
    scaling: ExpertAffinityScaleMode = ExpertAffinityScaleMode.POST_SCALE

    @property
    def K(self) -> int:
        """Experts a token."""
        return self.routing.top_k

    def own_columns(self, tp: int) -> int:
        """Columns of I that one of `tp` ranks holds."""
        return ceil_div(self.I, tp)

    def padded_sizes(self, tp: int, multiples: tuple[int, int] = (128, 16)) -> tuple[int, int]:
        """(H, I) of a rank, rounded up to the multiples that the kernel takes."""
        H, I = multiples
        return ceil_div(self.H, H) * H, ceil_div(self.own_columns(tp), I) * I


@dataclass(frozen=True)
class RankLayout:
    """How tp x ep ranks divide a layer.

    Attributes:
        tp: ranks that share the columns of an expert.
        ep: groups of them that share the experts; each has consecutive ones.
    """

    tp: int = 1
    ep: int = 1

    def check(self, model: Model) -> None:
        """Each rank has something to do, and as many experts as any other.

        Raises:
            RequestError: not so.
        """
        is_shared = (self.tp - 1) * model.own_columns(self.tp) < model.I
        fix = "Take fewer ranks, such as a divisor."
        require(is_shared, "tp", f"leaves every rank columns of I={model.I}", self.tp, fix)
        require(model.E % self.ep == 0, "ep", f"divides the {model.E} experts", self.ep, "Take a divisor.")

    def own_experts(self, model: Model) -> Model:
        """The layer with the experts of one rank alone."""
        return replace(model, E=model.E // self.ep)


def _gpt_oss(experts: int, name: str) -> Model:
    return Model(
        2880, 2880, experts, RoutingRule(4, Score.SOFTMAX_OF_CHOSEN), f"openai/{name} config.json",
        activation=ActFnType.Swish, biases=True, limit=7.0, up_shift=1.0,
    )  # fmt: skip


_DEEPSEEK_V3 = RoutingRule(
    8, Score.SIGMOID, scaling_factor=2.5, groups=8, top_groups=4, group_score=GroupScore.TOP_2_SUM
)
MODELS: dict[str, Model] = {
    "qwen3-30b-a3b": Model(2048, 768, 128, RoutingRule(8), "Qwen/Qwen3-30B-A3B config.json"),
    "qwen3-235b-a22b": Model(4096, 1536, 128, RoutingRule(8), "Qwen/Qwen3-235B-A22B config.json"),
    "mixtral-8x7b": Model(4096, 14336, 8, RoutingRule(2), "mistralai/Mixtral-8x7B-v0.1 config.json"),
    "olmoe-1b-7b": Model(
        2048, 1024, 64, RoutingRule(8, renormalize=False), "allenai/OLMoE-1B-7B-0924 config.json"
    ),
    "gpt-oss-20b": _gpt_oss(32, "gpt-oss-20b"),
    "gpt-oss-120b": _gpt_oss(128, "gpt-oss-120b"),
    "deepseek-v3": Model(7168, 2048, 256, _DEEPSEEK_V3, "deepseek-ai/DeepSeek-V3 config.json"),
    "llama-4-scout": Model(
        5120, 8192, 16, RoutingRule(1, Score.SIGMOID, renormalize=False),
        "meta-llama/Llama-4-Scout-17B-16E config.json", scaling=ExpertAffinityScaleMode.PRE_SCALE,
    ),
}  # fmt: skip
