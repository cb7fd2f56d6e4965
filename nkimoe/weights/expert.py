# SPDX-License-Identifier: Apache-2.0
"""One expert's weights in nkimoe's plain layout, and what is done to them before packing: a rank's share, padding."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from nkimoe.arrays import Array
from nkimoe.errors import RequestError
from nkimoe.planning.tiling import ceil_div

H_MULTIPLE, I_MULTIPLE = 128, 16  # of the dense kernels


@dataclass(frozen=True, eq=False)
class Expert:
    """One expert.

    Attributes:
        gate_up: [H, 2, I], gate first; y = x @ gate_up.
        down: [I, H].
        gate_up_bias: [2, I] or None.
        down_bias: [H] or None.
    """

    gate_up: Array
    down: Array
    gate_up_bias: Array | None = None
    down_bias: Array | None = None

    @property
    def H(self) -> int:
        return int(self.down.shape[1])

    @property
    def I(self) -> int:  # noqa: E743
        return int(self.down.shape[0])

    def shard(self, share: Shard) -> Expert:
        """A rank's part; the down bias, which must be added once, is on rank 0 and zero elsewhere."""
        bias, down_bias = self.gate_up_bias, self.down_bias
        return replace(
            self,
            gate_up=share.cut(self.gate_up, 2),
            down=share.cut(self.down, 0),
            gate_up_bias=None if bias is None else share.cut(bias, 1),
            down_bias=down_bias if down_bias is None or share.rank == 0 else np.zeros_like(down_bias),
        )

    def dequantize(self) -> Expert:
        """The expert in a floating-point type."""
        return self

    def biases(self) -> dict[str, Array]:
        """The biases it has, by the name `moe_cte` gives them."""
        named = {"gate_and_up_proj_bias": self.gate_up_bias, "down_proj_bias": self.down_bias}
        return {name: bias for name, bias in named.items() if bias is not None}


@dataclass(frozen=True)
class Shard:
    """One rank's share of I under tensor parallelism; the ranks' outputs are added up.

    Every rank has ceil(I / tp) columns, so that all have tensors of one shape; the last ones end in zeros.

    Raises:
        RequestError: there is no such rank.
    """

    tp: int = 1
    rank: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.tp:
            raise RequestError("rank", f"is 0..{self.tp - 1}", self.rank, "Count ranks from 0 to tp - 1.")

    def first_column(self, I: int) -> int:
        """Where this rank's columns start."""
        return min(I, self.rank * ceil_div(I, self.tp))

    def cut(self, tensor: Array, axis: int) -> Array:
        """This rank's columns, which lie along `axis`."""
        I = tensor.shape[axis]
        first, own = self.first_column(I), ceil_div(I, self.tp)
        columns = np.moveaxis(tensor, axis, 0)[first : first + own]
        missing = own - len(columns)
        if missing:
            columns = np.concatenate([columns, np.zeros((missing, *columns.shape[1:]), tensor.dtype)])
        return np.moveaxis(columns, 0, axis)


WHOLE = Shard()


def pad_to_tiles(expert: Expert) -> Expert:
    """The expert, dequantised, with zeros up to what the dense kernels take: H a multiple of 128, I one of 16."""
    expert = expert.dequantize()
    H, I = -expert.H % H_MULTIPLE, -expert.I % I_MULTIPLE
    bias, down_bias = expert.gate_up_bias, expert.down_bias
    return Expert(
        np.pad(expert.gate_up, ((0, H), (0, 0), (0, I))),
        np.pad(expert.down, ((0, I), (0, H))),
        None if bias is None else np.pad(bias, ((0, 0), (0, I))),
        None if down_bias is None else np.pad(down_bias, (0, H)),
    )


def crop(expert: Expert, H: int, I: int) -> Expert:
    """The expert without its padding."""
    bias, down_bias = expert.gate_up_bias, expert.down_bias
    return Expert(
        expert.gate_up[:H, :, :I],
        expert.down[:I, :H],
        None if bias is None else bias[:, :I],
        None if down_bias is None else down_bias[:H],
    )
