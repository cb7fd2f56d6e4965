"""Layers for tests: weights whose every value is exact in bf16, and the definition of the layer in torch."""

import torch

from nkimoe.pytorch import ExpertWeights


def weights(E=4, H=40, I=24, *, bias=False, seed=0):
    """Expert weights, float32 leaves."""
    generator = torch.Generator().manual_seed(seed)

    def leaf(*shape):
        return (torch.randn(shape, generator=generator) / 5).bfloat16().float().requires_grad_()

    biases = [leaf(E, 2, I), leaf(E, H)] if bias else []
    return ExpertWeights(leaf(E, H, 2, I), leaf(E, I, H), biases)


def tokens(T=9, K=2, E=4, H=40, seed=1):
    """(hidden states, ids, weights); hidden states and weights are leaves."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.stack([torch.randperm(E, generator=generator)[:K] for _ in range(T)])
    x = torch.randn(T, H, generator=generator).bfloat16().float()
    return x.requires_grad_(), ids, torch.rand(T, K, generator=generator).bfloat16().float().requires_grad_()


def definition(x, ids, routing, experts, act):
    """Every expert on every token, then only the chosen ones: act([..., 2, I]) -> [..., I]."""
    first = torch.einsum("th,ehci->teci", x, experts.gate_up)
    first = first + experts.biases[0] if experts.biases else first
    y = torch.einsum("tei,eih->teh", act(first), experts.down)
    y = y + experts.biases[1] if experts.biases else y
    E = experts.n_experts
    chosen = torch.nn.functional.one_hot(torch.where(ids < E, ids, E), E + 1)[..., :E] * routing[..., None]
    return (y * chosen.sum(dim=1)[..., None]).sum(dim=1)


def silu(first):
    return torch.nn.functional.silu(first[..., 0, :]) * first[..., 1, :]
