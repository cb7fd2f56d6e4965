"""MoE layers of published models, as one rank of a plausible deployment sees them.

Sizes are those of `nkimoe.models`, divided over ranks. The token counts are lengths of a prefill.
"""

from __future__ import annotations

from dataclasses import dataclass

from nkimoe.models import MODELS
from nkimoe.planning.tiling import ceil_div
from nkimoe.spec import ActFnType, ExpertAffinityScaleMode

BLOCK_SIZE = 256  # keeps padding moderate


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


@dataclass(frozen=True)
class PublishedLayer:
    """The MoE layer of a model of `nkimoe.models` on one of ep x tp ranks, and the tokens of its prefill.

    Attributes:
        multiple: H and I are rounded up to it before they are divided.
    """

    model: str
    T: int
    tp: int = 1
    ep: int = 1
    multiple: int = 1

    @property
    def name(self) -> str:
        """The model, and how ranks divide it."""
        return self.model + "".join(f"-{what}{n}" for what, n in (("ep", self.ep), ("tp", self.tp)) if n > 1)

    def shape(self) -> LayerShape:
        """Its sizes on the rank."""
        model = MODELS[self.model]
        H, I = (ceil_div(size, self.multiple) * self.multiple for size in (model.H, model.I))
        return LayerShape(
            self.name, H, ceil_div(I, self.tp), model.E, model.E // self.ep, model.K, self.T, BLOCK_SIZE,
            model.activation, model.limit, model.biases, model.scaling,
        )  # fmt: skip


# nki-library's own gpt-oss tests round 2880 up to 3072, too
_GPT_OSS_120B = PublishedLayer("gpt-oss-120b", T=4096, tp=2, ep=4, multiple=512)
_QWEN3_235B = PublishedLayer("qwen3-235b-a22b", T=4096, tp=2, ep=16)

DENSE_LAYERS = (
    PublishedLayer("qwen3-30b-a3b", T=4096, tp=4),
    _QWEN3_235B,
    PublishedLayer("mixtral-8x7b", T=2048, tp=16),
    PublishedLayer("gpt-oss-20b", T=2048, tp=8, multiple=512),
    _GPT_OSS_120B,
    PublishedLayer("deepseek-v3", T=4096, ep=32),
    PublishedLayer("olmoe-1b-7b", T=2048, tp=2),
    PublishedLayer("llama-4-scout", T=4096, tp=8),
)
MX_LAYERS = (
    PublishedLayer("gpt-oss-120b", T=1024, tp=8, multiple=512),
    _GPT_OSS_120B,
    _QWEN3_235B,
    PublishedLayer("qwen3-235b-a22b", T=4096, ep=16),
)
SHAPES = {layer.name: layer.shape() for layer in DENSE_LAYERS}
MX_SHAPES = {layer.name: layer.shape() for layer in MX_LAYERS}
