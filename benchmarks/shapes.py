"""MoE layers of published models, as one rank of a plausible deployment sees them.

Sizes are those of `nkimoe.models`, divided over ranks. The token counts are lengths of a prefill; the block sizes keep
padding moderate.
"""

from __future__ import annotations

from dataclasses import dataclass

from nkimoe.models import MODELS
from nkimoe.planning.tiling import ceil_div
from nkimoe.spec import ActFnType, ExpertAffinityScaleMode


@dataclass(frozen=True)
class LayerShape:
    """One rank's part of one MoE layer.

    Attributes:
        H, I: hidden size; columns of the intermediate size on this rank.
        E, experts: experts of the whole layer, and on this rank (the first ones).
        K: experts a token is routed to, of all E.
        T, B: tokens, and slots of a block.
        activation, limit, biases, scaling: as in the model; `limit` clamps the gate from above and up from both sides.
    """

    name: str
    H: int
    I: int
    E: int
    experts: int
    K: int
    T: int
    B: int
    activation: ActFnType = ActFnType.SiLU
    limit: float | None = None
    biases: bool = False
    scaling: ExpertAffinityScaleMode = ExpertAffinityScaleMode.POST_SCALE


def of_model(name: str, T: int, tp: int = 1, ep: int = 1, B: int = 256, multiple: int = 1) -> LayerShape:
    """The layer of a model on one of ep x tp ranks; H and I are rounded up to a multiple before they are divided."""
    model = MODELS[name]
    H, I = (ceil_div(size, multiple) * multiple for size in (model.H, model.I))
    ranks = "".join(f"-{what}{count}" for what, count in (("ep", ep), ("tp", tp)) if count > 1)
    return LayerShape(
        name + ranks, H, ceil_div(I, tp), model.E, model.E // ep, model.K, T, B, model.activation, model.limit,
        model.biases, model.scaling,
    )  # fmt: skip


SHAPES = {
    s.name: s
    for s in (
        of_model("qwen3-30b-a3b", tp=4, T=4096),
        of_model("qwen3-235b-a22b", ep=16, tp=2, T=4096),
        of_model("mixtral-8x7b", tp=16, T=2048),
        # nki-library's own gpt-oss tests round 2880 up to 3072, too
        of_model("gpt-oss-20b", tp=8, T=2048, multiple=512),
        of_model("gpt-oss-120b", ep=4, tp=2, T=4096, multiple=512),
        of_model("deepseek-v3", ep=32, T=4096),
        of_model("olmoe-1b-7b", tp=2, T=2048),
        of_model("llama-4-scout", tp=8, T=4096),
    )
}
