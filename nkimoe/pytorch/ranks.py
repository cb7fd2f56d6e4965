# SPDX-License-Identifier: Apache-2.0
"""Which experts, and which part of I, a rank of torch.distributed has; and the collectives between ranks."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from nkimoe.weights import Shard


class Travel(Enum):
    """Which tokens go where under expert parallelism.

    SELECTED: each token to the ranks that have its experts, by all-to-all. How many that are is a matter of values, so
    the host waits for them; ranks may have different numbers of tokens.
    ALL: every token to every rank, by all-gather, and results back by reduce-scatter. Shapes follow from shapes, as a
    compiled or XLA graph needs them; every rank must have the same number of tokens.
    """

    SELECTED = "selected"
    ALL = "all"


@dataclass(frozen=True)
class Ranks:
    """The groups a layer is spread over; None is a group of this process alone.

    Attributes:
        ep: expert parallelism. Its ranks share out the experts; each has its own tokens.
        tp: tensor parallelism. Its ranks share out I; all have the same tokens.
        travel: which tokens go to which ranks of ep.
    """

    ep: Any = None
    tp: Any = None
    travel: Travel = Travel.SELECTED

    @property
    def ep_size(self) -> int:
        return 1 if self.ep is None else dist.get_world_size(self.ep)

    @property
    def ep_degree(self) -> int:
        """Ranks that share the experts which rows list here; where rows are selected, each lists one of this rank."""
        return self.ep_size if self.travel is Travel.ALL else 1

    @property
    def tp_share(self) -> Shard:
        """This rank's part of I."""
        return Shard() if self.tp is None else Shard(dist.get_world_size(self.tp), dist.get_rank(self.tp))

    def first_expert(self, n_experts: int) -> list[int]:
        """Where each EP rank's experts start, and E; ranks have E / ranks experts, the first ones one more.

        >>> Ranks().first_expert(6)
        [0, 6]
        """
        each, more = divmod(n_experts, self.ep_size)
        return [rank * each + min(rank, more) for rank in range(self.ep_size + 1)]

    def own_experts(self, n_experts: int) -> range:
        """The experts of this rank; none if there are more ranks than experts."""
        rank = 0 if self.ep is None else dist.get_rank(self.ep)
        return range(*self.first_expert(n_experts)[rank : rank + 2])


class _Exchange(torch.autograd.Function):
    """All-to-all of rows; backwards the rows' gradients take the same way back."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, sent: list[int], received: list[int], group: Any) -> Tensor:
        ctx.sent, ctx.received, ctx.group = sent, received, group
        result = rows.new_empty((sum(received), *rows.shape[1:]))
        dist.all_to_all_single(result, rows.contiguous(), received, sent, group=group)
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        return _Exchange.apply(gradients[0], ctx.received, ctx.sent, ctx.group), None, None, None


class _Gather(torch.autograd.Function):
    """The rows of all ranks, on all of them; each one's gradients are summed and go back to where its rows were."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, group: Any) -> Tensor:
        ctx.group = group
        result = rows.new_empty((rows.shape[0] * dist.get_world_size(group), *rows.shape[1:]))
        dist.all_gather_into_tensor(result, rows.contiguous(), group=group)
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return _Scatter.apply(gradients[0], ctx.group), None


class _Scatter(torch.autograd.Function):
    """The sum over ranks of [ranks * n, ...], of which each rank keeps its n rows; the inverse way of `_Gather`."""

    @staticmethod
    def forward(ctx: Any, partial: Tensor, group: Any) -> Tensor:
        ctx.group = group
        result = partial.new_empty((partial.shape[0] // dist.get_world_size(group), *partial.shape[1:]))
        dist.reduce_scatter_tensor(result, partial.contiguous(), group=group)
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return _Gather.apply(gradients[0], ctx.group), None


class _Sum(torch.autograd.Function):
    """The ranks' sum, on all of them; the gradient passes."""

    @staticmethod
    def forward(ctx: Any, partial: Tensor, group: Any) -> Tensor:
        total = partial.clone()
        dist.all_reduce(total, group=group)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0], None


class _Copy(torch.autograd.Function):
    """The same value on all ranks; gradients, of which each rank has a part, are summed."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, group: Any) -> Tensor:
        ctx.group = group
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        total = gradients[0].clone()
        dist.all_reduce(total, group=ctx.group)
        return total, None


def exchange(rows: Tensor, sent: list[int], received: list[int], group: Any) -> Tensor:
    """Rows for rank 0, 1, ... in, rows from rank 0, 1, ... out; any of them may be none."""
    result: Tensor = _Exchange.apply(rows, sent, received, group)
    return result


def exchange_counts(sent: Tensor, group: Any) -> list[int]:
    """How many rows each rank will send here, from how many go to each."""
    received = torch.empty_like(sent)
    dist.all_to_all_single(received, sent.contiguous(), group=group)
    return [int(count) for count in received]


def gather_from(rows: Tensor, group: Any) -> Tensor:
    """[ranks * n, ...] of every rank's [n, ...]; n must be the same on all."""
    result: Tensor = _Gather.apply(rows, group)
    return result


def sum_and_scatter(partial: Tensor, group: Any) -> Tensor:
    """This rank's [n, ...] of the sum over ranks of [ranks * n, ...]."""
    result: Tensor = _Scatter.apply(partial, group)
    return result


def sum_over(partial: Tensor, group: Any) -> Tensor:
    """Sum over the group; forward all-reduce."""
    result: Tensor = partial if group is None else _Sum.apply(partial, group)
    return result


def copy_to(value: Tensor, group: Any) -> Tensor:
    """Into a part of the graph that the group shares; backward all-reduce."""
    result: Tensor = value if group is None else _Copy.apply(value, group)
    return result
