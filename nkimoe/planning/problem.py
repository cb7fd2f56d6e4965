# SPDX-License-Identifier: Apache-2.0
"""The sizes of one call, read from its tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nkimoe.errors import RequestError
from nkimoe.planning.mx.coded_rows import is_coded
from nkimoe.planning.variants import DENSE, INT8, MX

DENSE_LAYOUTS = ("[E, H, 2, I]", "[E, I, H]")
WEIGHT_LAYOUTS = {DENSE: DENSE_LAYOUTS, INT8: DENSE_LAYOUTS, MX: ("[E, 128, 2, H/512, I]", "[E, w, I/512, H]")}
"""Of gate/up and down weights, by numerics; a packed element of MX holds four weights."""


@dataclass(frozen=True)
class Problem:
    """Sizes of a `moe_cte` call.

    Attributes:
        T: tokens, without the pad row.
        H: hidden size.
        B: slots (token positions) a block.
        E: experts.
        N: blocks.
        I: intermediate size on this rank.
        rows: rows of hidden_states and of the output: T, or T + 1 with a pad row.
        cores: NeuronCores of the launch.
    """

    T: int
    H: int
    B: int
    E: int
    N: int
    I: int
    rows: int
    cores: int

    @property
    def tiles_per_block(self) -> int:
        """Tiles of 128 slots in a block, the last one perhaps partly used."""
        return -(-self.B // 128)

    @property
    def pad(self) -> int:
        """The id of slots without a token: the pad row's, or else -1, which transfers skip."""
        return self.T if self.rows > self.T else -1

    @classmethod
    def from_tensors(
        cls, hidden_states: Any, gate_up_proj_weight: Any, down_proj_weight: Any, token_position_to_id: Any,
        block_size: int, skip_token: bool, cores: int, weight_layouts: tuple[str, str] = DENSE_LAYOUTS,
    ) -> Problem:  # fmt: skip
        """Read the sizes; everything that must agree between tensors is checked in `validate`.

        Raises:
            RequestError: a tensor has the wrong number of dimensions, or block_size is not a positive int.
        """
        for name, tensor, layout in (
            ("hidden_states", hidden_states, "[T+1, H] or [T, H]"),
            ("gate_up_proj_weight", gate_up_proj_weight, weight_layouts[0]),
            ("down_proj_weight", down_proj_weight, weight_layouts[1]),
        ):
            if not hasattr(tensor, "shape"):
                raise RequestError(name, f"is a tensor {layout}", type(tensor).__name__, "Pass an array.")
            if len(tensor.shape) != layout.split(" or ")[0].count(",") + 1:
                raise RequestError(name, f"has shape {layout}", tuple(tensor.shape), "Reshape it.")
        if isinstance(block_size, bool) or not isinstance(block_size, int) or block_size < 1:
            raise RequestError("block_size", "is a positive int", repr(block_size), "Use 128, 256, 512, ...")
        rows, hidden = (int(n) for n in hidden_states.shape)
        if weight_layouts == WEIGHT_LAYOUTS[MX] and is_coded(hidden_states):
            hidden = 4 * 128 * int(gate_up_proj_weight.shape[3])
        slots = 1
        for size in token_position_to_id.shape:
            slots *= int(size)
        return cls(
            T=rows if skip_token else rows - 1,
            H=hidden,
            B=block_size,
            E=int(gate_up_proj_weight.shape[0]),
            N=slots // block_size,
            I=int(down_proj_weight.shape[1] if weight_layouts == DENSE_LAYOUTS else gate_up_proj_weight.shape[-1]),
            rows=rows,
            cores=cores,
        )
