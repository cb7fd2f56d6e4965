"""MoE layers of published models, as their configuration files state them."""

from __future__ import annotations

from dataclasses import dataclass

from nkimoe.planning.tiling import ceil_div
from nkimoe.spec import ActFnType


@dataclass(frozen=True)
class Model:
    """One model's MoE layer.

    Attributes:
        H, I, E, K: hidden size, intermediate size of one expert, experts, experts a token.
        renormalize: routing weights of the chosen experts sum to one.
        biases: the experts have biases.
        limit: gpt-oss's clamp: gate from above, up from both sides.
        up_shift: gpt-oss multiplies by (up + 1).
        source: configuration file.
    """

    H: int
    I: int
    E: int
    K: int
    source: str
    renormalize: bool = True
    activation: ActFnType = ActFnType.SiLU
    biases: bool = False
    limit: float | None = None
    up_shift: float = 0.0

    def own_columns(self, tp: int) -> int:
        """Columns of I that one of `tp` ranks holds."""
        return ceil_div(self.I, tp)

    def padded_sizes(self, tp: int, multiples: tuple[int, int] = (128, 16)) -> tuple[int, int]:
        """(H, I) of a rank, rounded up to the multiples that the kernel takes."""
        H, I = multiples
        return ceil_div(self.H, H) * H, ceil_div(self.own_columns(tp), I) * I


MODELS: dict[str, Model] = {
    "qwen3-30b-a3b": Model(2048, 768, 128, 8, "Qwen/Qwen3-30B-A3B config.json"),
    "qwen3-235b-a22b": Model(4096, 1536, 128, 8, "Qwen/Qwen3-235B-A22B config.json"),
    "mixtral-8x7b": Model(4096, 14336, 8, 2, "mistralai/Mixtral-8x7B-v0.1 config.json"),
    "olmoe-1b-7b": Model(2048, 1024, 64, 8, "allenai/OLMoE-1B-7B-0924 config.json", renormalize=False),
    "gpt-oss-20b": Model(
        2880, 2880, 32, 4, "openai/gpt-oss-20b config.json",
        activation=ActFnType.Swish, biases=True, limit=7.0, up_shift=1.0,
    ),
    "gpt-oss-120b": Model(
        2880, 2880, 128, 4, "openai/gpt-oss-120b config.json",
        activation=ActFnType.Swish, biases=True, limit=7.0, up_shift=1.0,
    ),
}  # fmt: skip
