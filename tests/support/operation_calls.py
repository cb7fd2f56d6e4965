"""A call of each operation with experts, in torch."""

import torch

NAMES = ("e2e_moe", "fused_experts", "fused_moe", "fused_moe_gemm", "fused_moe_smoothquant", "shared_expert")
M, H, I, E, K = 9, 40, 24, 4, 2


def drawn(*shape):
    return (torch.randn(shape) / 5).bfloat16()


def codes(*shape):
    return torch.randint(-127, 128, shape, dtype=torch.int8)


def scales(*shape):
    return torch.rand(shape) / 100


def given(name):
    """(arguments, options) of a call."""
    torch.manual_seed(0)
    x, weights = drawn(M, H), torch.rand(M, K)
    ids = torch.stack([torch.randperm(E)[:K] for _ in range(M)])
    plain, coded = (drawn(E, 2 * I, H), drawn(E, H, I)), (codes(E, 2 * I, H), codes(E, H, I))
    of_codes = {"w1_scale": scales(E, 2 * I), "w2_scale": scales(E, H)}
    smooth = {"smooth_scale1": torch.rand(E, H) + 0.5, "smooth_scale2": torch.rand(E, I) + 0.5}
    of_one = {"w1_scale": scales(2 * I), "w2_scale": scales(H)}
    return {
        "e2e_moe": ((x, *plain, ids, weights), {}),
        "fused_experts": ((x, *coded, weights, ids), of_codes),
        "fused_moe": ((x, *plain, weights, ids), {"activation": "swiglu", "alpha": 1.702, "limit": 7.0}),
        "fused_moe_gemm": ((x, plain[0], ids), {"topk_weights": weights, "epilogue": "silu"}),
        "fused_moe_smoothquant": ((x, *coded, weights, ids), {**of_codes, **smooth}),
        "shared_expert": ((x, coded[0][0], coded[1][0], drawn(M, H), 1.5), of_one),
    }[name]
