"""MoE layers of eight published models, as one rank of a plausible deployment sees them.

Sizes are those of the models' configuration files, divided over ranks. H and I of gpt-oss are rounded up to 3072 first,
as nki-library's own gpt-oss tests do. The token counts are lengths of a prefill; the block sizes keep padding moderate.
"""

from __future__ import annotations

from dataclasses import dataclass

from nkimoe.spec import ActFnType


@dataclass(frozen=True)
class LayerShape:
    """One rank's part of one MoE layer.

    Attributes:
        H, I: hidden size; columns of the intermediate size on this rank.
        E, experts: experts of the whole layer, and on this rank (the first ones).
        K: experts a token is routed to, of all E.
        T, B: tokens, and slots of a block.
        activation, limit, biases: as in the model; `limit` clamps the gate from above and up from both sides.
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


SHAPES = {
    s.name: s
    for s in (
        # Qwen/Qwen3-30B-A3B config.json: hidden 2048, moe_intermediate 768, 128 experts, 8 a token; TP 4
        LayerShape("qwen3-30b-a3b-tp4", 2048, 192, 128, 128, 8, T=4096, B=256),
        # Qwen/Qwen3-235B-A22B config.json: hidden 4096, moe_intermediate 1536, 128 experts, 8 a token; EP 16, TP 2
        LayerShape("qwen3-235b-a22b-ep16-tp2", 4096, 768, 128, 8, 8, T=4096, B=256),
        # mistralai/Mixtral-8x7B-v0.1 config.json: hidden 4096, intermediate 14336, 8 experts, 2 a token; TP 16
        LayerShape("mixtral-8x7b-tp16", 4096, 896, 8, 8, 2, T=2048, B=256),
        # openai/gpt-oss-20b config.json: hidden and intermediate 2880 (3072), 32 experts, 4 a token; TP 8
        LayerShape("gpt-oss-20b-tp8", 3072, 384, 32, 32, 4, 2048, 256, ActFnType.Swish, 7.0, True),
        # openai/gpt-oss-120b config.json: hidden and intermediate 2880 (3072), 128 experts, 4 a token; EP 4, TP 2
        LayerShape("gpt-oss-120b-ep4-tp2", 3072, 1536, 128, 32, 4, 4096, 256, ActFnType.Swish, 7.0, True),
        # deepseek-ai/DeepSeek-V3 config.json: hidden 7168, moe_intermediate 2048, 256 experts, 8 a token; EP 32
        LayerShape("deepseek-v3-ep32", 7168, 2048, 256, 8, 8, T=4096, B=256),
        # allenai/OLMoE-1B-7B-0924 config.json: hidden 2048, intermediate 1024, 64 experts, 8 a token; TP 2
        LayerShape("olmoe-1b-7b-tp2", 2048, 512, 64, 64, 8, T=2048, B=256),
        # meta-llama/Llama-4-Scout-17B-16E config.json: hidden 5120, intermediate 8192, 16 experts, 1 a token; TP 8
        LayerShape("llama-4-scout-tp8", 5120, 1024, 16, 16, 1, T=4096, B=256),
    )
}
