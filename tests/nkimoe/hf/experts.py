"""Experts modules as transformers families write them, with every combination of flags, and their forward in torch."""

import torch
from transformers.activations import ACT2FN
from transformers.integrations.moe import use_experts_implementation

E, H, I = 5, 40, 24  # none of them a size that the kernel takes unpadded


class Config:
    _experts_implementation = "eager"


def clamped_gate(self, gate_up):
    gate, up = gate_up.chunk(2, dim=-1) if self.is_concatenated else (gate_up[..., ::2], gate_up[..., 1::2])
    gate, up = gate.clamp(max=self.limit), up.clamp(-self.limit, self.limit)
    return (up + 1) * gate * torch.sigmoid(gate * 1.702)


def experts(act="silu", gate=None, limit=None, norm=None, **flags):
    """An experts module with random bf16 values in float32, decorated with `flags`."""

    class Experts(torch.nn.Module):
        def __init__(self, config):
            super().__init__()
            self.num_experts = E
            self.act_fn = ACT2FN[act]
            if norm is not None:
                self.post_expert_norm = norm

        def forward(self, hidden_states, top_k_index, top_k_weights):
            return one_by_one(self, hidden_states, top_k_index, top_k_weights)

    if gate is not None:
        Experts._apply_gate = gate
    module = use_experts_implementation(**flags)(Experts)(Config())
    if limit is not None:
        module.limit = limit
    first = "gate_up_proj" if module.has_gate else "up_proj"
    columns = (2 if module.has_gate else 1) * I
    shapes = {first: (E, H, columns), "down_proj": (E, I, H)}
    if module.has_bias:
        biases = {f"{first}_bias": (E, columns), "down_proj_bias": (E, H)}
    generator = torch.Generator().manual_seed(0)
    for name, shape in shapes.items():
        values = (torch.randn(shape, generator=generator) / 5).bfloat16().float()
        values = values if module.is_transposed else values.transpose(1, 2).contiguous()
        setattr(module, name, torch.nn.Parameter(values))
    if module.has_bias:
        for name, shape in biases.items():
            setattr(module, name, torch.nn.Parameter(torch.randn(shape, generator=generator).bfloat16().float()))
    return module


def one_by_one(module, hidden_states, ids, weights):
    """Each pair alone, in torch: the oracle."""
    output = torch.zeros_like(hidden_states)
    for t, k in ((t, k) for t in range(len(ids)) for k in range(ids.shape[1])):
        e = int(ids[t, k])
        if 0 <= e < E:
            output[t] = output[t] + weights[t, k] * one_pair(module, hidden_states[t], e)
    return output


def one_pair(module, x, e):
    first = "gate_up_proj" if module.has_gate else "up_proj"
    up, down = getattr(module, first)[e], module.down_proj[e]
    up, down = (up, down) if module.is_transposed else (up.T, down.T)
    y = x @ up + (getattr(module, f"{first}_bias")[e] if module.has_bias else 0)
    y = module._apply_gate(y[None])[0] if module.has_gate else module.act_fn(y)
    y = y @ down + (module.down_proj_bias[e] if module.has_bias else 0)
    return module.post_expert_norm(y) if module.has_post_expert_norm else y


def tokens(n=11, k=3, seed=1):
    """(hidden states [n, H], ids [n, k] distinct within a token, weights [n, k])."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.stack([torch.randperm(E, generator=generator)[:k] for _ in range(n)])
    return torch.randn(n, H, generator=generator), ids, torch.rand(n, k, generator=generator)
