# SPDX-License-Identifier: Apache-2.0
"""A Mixture-of-Experts layer: router, experts, and how both are spread over ranks."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import Module, Parameter

from nkimoe.errors import require
from nkimoe.planning.tiling import ceil_div
from nkimoe.pytorch.dispatch import dispatch
from nkimoe.pytorch.experts import compute_dtype, moe_experts
from nkimoe.pytorch.gate import SILU, Gate
from nkimoe.pytorch.options import current_options
from nkimoe.pytorch.ranks import Ranks, copy_to, sum_over
from nkimoe.pytorch.router import route
from nkimoe.pytorch.weights import ExpertWeights
from nkimoe.routing.rule import RoutingRule

ALONE = Ranks()


@dataclass(frozen=True)
class LayerSizes:
    """Of the whole layer: hidden size H, intermediate size I, experts E; any positive numbers.

    Raises:
        RequestError: one is not positive.
    """

    H: int
    I: int
    E: int

    def __post_init__(self) -> None:
        for name in ("H", "I", "E"):
            require(getattr(self, name) > 0, name, "is positive", getattr(self, name), "Give the layer's sizes.")


class MoE(Module):
    """Router and experts of one layer.

    Args:
        sizes: of the whole layer, not of this rank's part.
        rule: how experts are chosen.
        gate: between the projections.
        has_bias: of both projections.
        ranks: where the layer is spread; by default this process alone.

    Parameters (of this rank): router [E, H]; gate_up [E', H, 2, I'], down [E', I', H] and, with has_bias, gate_up_bias
    [E', 2, I'], down_bias [E', H]. The buffer selection_bias [E] is zero. Gradients of router and selection are of this
    rank's tokens: what replicates the layer over data adds them up, as for any replicated parameter.
    """

    selection_bias: Tensor

    def __init__(
        self, sizes: LayerSizes, rule: RoutingRule, gate: Gate = SILU, has_bias: bool = False, ranks: Ranks = ALONE
    ) -> None:
        super().__init__()
        self.sizes, self.rule, self.gate, self.has_bias, self.ranks = sizes, rule, gate, has_bias, ranks
        E, I = len(ranks.own_experts(sizes.E)), ceil_div(sizes.I, ranks.tp_share.tp)
        self.router = Parameter(torch.empty(sizes.E, sizes.H))
        self.gate_up, self.down = Parameter(torch.empty(E, sizes.H, 2, I)), Parameter(torch.empty(E, I, sizes.H))
        self.register_buffer("selection_bias", torch.zeros(sizes.E))
        if has_bias:
            self.gate_up_bias, self.down_bias = Parameter(torch.zeros(E, 2, I)), Parameter(torch.zeros(E, sizes.H))
        for parameter, inputs in ((self.router, sizes.H), (self.gate_up, sizes.H), (self.down, sizes.I)):
            torch.nn.init.normal_(parameter, std=inputs**-0.5)

    def load_whole(self, router: Tensor, experts: ExpertWeights) -> None:
        """Take this rank's share of a whole layer: its experts, and its columns of I.

        The down bias, which must be added once, goes to TP rank 0.

        Raises:
            RequestError: the layer has other sizes.
        """
        E, H, I = self.sizes.E, self.sizes.H, self.sizes.I
        given = {"router": router, "gate_up": experts.gate_up, "down": experts.down}
        shapes = {"router": (E, H), "gate_up": (E, H, 2, I), "down": (E, I, H)}
        for name, tensor in given.items():
            actual = tuple(tensor.shape)
            require(actual == shapes[name], name, f"is {shapes[name]}", actual, "Pass a layer of these sizes.")
        own, share = self.ranks.own_experts(self.sizes.E), self.ranks.tp_share
        named = {"router": router, "gate_up": self._columns(experts.gate_up[own], 3)}
        named["down"] = self._columns(experts.down[own], 1)
        if self.has_bias:
            named["gate_up_bias"] = self._columns(experts.biases[0][own], 2)
            named["down_bias"] = experts.biases[1][own] * (share.rank == 0)
        with torch.no_grad():
            for name, value in named.items():
                getattr(self, name).copy_(value)

    def _columns(self, tensor: Tensor, axis: int) -> Tensor:
        share, own = self.ranks.tp_share, self.down.shape[1]
        part = tensor.narrow(axis, first := share.first_column(self.sizes.I), min(own, self.sizes.I - first))
        missing = list(part.shape)
        missing[axis] = own - part.shape[axis]
        return torch.cat([part, part.new_zeros(missing)], dim=axis)

    def forward(self, hidden_states: Tensor) -> Tensor:
        """[..., H] to [..., H]; every rank of the groups must call it, with any number of tokens, none included, or
        with the same number where all tokens travel.

        Raises:
            RequestError, InputError: as `nkimoe.moe_cte`.
        """
        H = self.sizes.H
        rule = f"ends in the layer's H = {H}"
        require(hidden_states.shape[-1] == H, "hidden_states", rule, tuple(hidden_states.shape), "Transpose it.")
        x = hidden_states.reshape(-1, H)
        weights, ids = route(x.float() @ self.router.float().T, self.rule, self.selection_bias)
        if self.ranks.ep is None:
            output = self._experts(x, ids, weights.to(x.dtype))
        else:
            there = dispatch(x, ids, weights, self.sizes.E, self.ranks)
            output = there.combine(self._experts(there.rows, there.ids, there.weights))
        return output.reshape(hidden_states.shape)

    def _experts(self, rows: Tensor, ids: Tensor, weights: Tensor) -> Tensor:
        both = copy_to(torch.cat([rows, weights], dim=1), self.ranks.tp)
        rows, weights = both.split([rows.shape[1], weights.shape[1]], dim=1)
        if len(rows) == 0 or len(self.down) == 0:  # nothing to do, but still a part of the graph: others wait for it
            return sum_over(rows * weights.sum() * 0, self.ranks.tp)
        biases: list[Tensor] = [self.gate_up_bias, self.down_bias] if self.has_bias else []
        options = current_options()
        prepared = ExpertWeights(self.gate_up, self.down, biases).prepare(
            compute_dtype(rows, options), options.weights, options.target
        )
        is_complete = self.ranks.ep is None  # else other ranks have some of the experts
        output = moe_experts(rows, ids, weights, prepared, self.gate, is_complete, self.ranks.ep_degree)
        return sum_over(output, self.ranks.tp)
