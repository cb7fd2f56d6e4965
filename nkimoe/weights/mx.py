# SPDX-License-Identifier: Apache-2.0
"""MXFP4 and MXFP8 weights for the MX kernels: quantised here, or taken over from a checkpoint's MXFP4 blocks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import ml_dtypes
import numpy as np

from nkimoe.arrays import Array
from nkimoe.errors import RequestError
from nkimoe.weights.expert import Expert
from nkimoe.weights.formats import MX_FORMATS, MXFP4, MxFormat
from nkimoe.weights.mx_layout import RUN, MxLayout, block_layout, natural_layout
from nkimoe.weights.mx_scale import dequantize_blocks, quantize_blocks
from nkimoe.weights.mxfp4_expert import Mxfp4Expert


@dataclass(frozen=True)
class Mx:
    """Quantises any expert; rows and columns keep their order.

    Attributes:
        format: "mxfp4", "mxfp8" (e4m3) or "mxfp8-e5m2".
        rule: how a block's scale is chosen, see `mx_scale`. None: what loses least on normally distributed weights,
            even for MXFP4 and rceil for MXFP8.
    """

    format: str = "mxfp4"
    rule: str | None = None

    def layout(self, expert: Expert) -> MxLayout:
        """Where rows and columns go."""
        return natural_layout(expert.H, expert.I)

    def pack_expert(self, expert: Expert) -> dict[str, Array]:
        """Arguments of `moe_cte` for one expert, without the E axis; see `mx_layout` for the shapes."""
        mx, layout = mx_format(self.format), self.layout(expert)
        rule, real = self.rule or mx.rule, expert.dequantize()
        gate_up = quantize_blocks(_blocks(layout.arrange_gate_up(real.gate_up)), mx, rule, "gate_up_proj_weight")
        down = quantize_blocks(_blocks(layout.arrange_down(real.down)), mx, rule, "down_proj_weight")
        return _arguments(mx, layout, gate_up, down, real)

    def unpack_expert(self, tensors: Mapping[str, Array], H: int, I: int) -> Expert:
        """The expert in float32, as the kernel sees it."""
        return unpack_mx(tensors, mx_format(self.format), natural_layout(H, I))


@dataclass(frozen=True)
class KeepMxfp4Blocks:
    """Takes values and scales of an `Mxfp4Expert` over bit for bit.

    The rows of gate and up are reordered (`block_layout`), so the hidden states must be as well:
    `layout(expert).arrange_hidden(hidden_states)`. The output of the layer is in natural order.
    """

    def layout(self, expert: Expert) -> MxLayout:
        """Where rows and columns go."""
        return block_layout(expert.H, expert.I, getattr(expert, "first_column", 0))

    def pack_expert(self, expert: Expert) -> dict[str, Array]:
        """Arguments of `moe_cte` for one expert, without the E axis; see `mx_layout` for the shapes.

        Raises:
            RequestError: the expert is not in MXFP4 blocks.
        """
        if not isinstance(expert, Mxfp4Expert):
            fix = "Quantise it with Mx('mxfp4')."
            raise RequestError("expert", "is an Mxfp4Expert, with blocks to keep", type(expert).__name__, fix)
        layout = self.layout(expert)
        gate_up, down = layout.arrange_gate_up(expert.gate_up), layout.arrange_down(expert.down)
        scales = layout.arrange_gate_up(expert.gate_up_scale), layout.arrange_down(expert.down_scale)
        kept = [_blocks(codes).view(ml_dtypes.float4_e2m1fn) for codes in (gate_up, down)]
        codes = [_blocks(scale).max(axis=(1, -1)) for scale in scales]  # padding has code 0, the rest is equal
        return _arguments(MXFP4, layout, (kept[0], codes[0]), (kept[1], codes[1]), expert)

    def unpack_expert(self, tensors: Mapping[str, Array], H: int, I: int) -> Expert:
        """The expert in float32, as the kernel sees it. For a share of I that starts at a block."""
        return unpack_mx(tensors, MXFP4, block_layout(H, I))


def mx_format(name: str) -> MxFormat:
    """The format of that name.

    Raises:
        RequestError: there is none.
    """
    if name not in MX_FORMATS:
        raise RequestError("format", f"is one of {', '.join(MX_FORMATS)}", repr(name), "Choose one of these.")
    return MX_FORMATS[name]


def unpack_mx(tensors: Mapping[str, Array], mx: MxFormat, layout: MxLayout) -> Expert:
    """The expert in float32, from one expert's packed tensors (or carriers)."""
    gate_up, down = (
        dequantize_blocks(_blocks(mx.unpack(tensors[f"{name}_weight"])), tensors[f"{name}_scale"].view(np.uint8))
        for name in ("gate_up_proj", "down_proj")
    )
    bias, down_bias = tensors.get("gate_and_up_proj_bias"), tensors.get("down_proj_bias")
    return Expert(
        layout.restore_gate_up(gate_up.reshape(-1, *gate_up.shape[2:])),
        layout.restore_down(down.reshape(-1, *down.shape[2:])),
        None if bias is None else layout.restore_bias(bias),
        None if down_bias is None else down_bias[: layout.H],
    )


def _blocks(arranged: Array) -> Array:
    """[R, 8, ..., 4] of [8R, ..., 4]."""
    return arranged.reshape(-1, RUN, *arranged.shape[1:])


def _arguments(
    mx: MxFormat, layout: MxLayout, gate_up: tuple[Array, Array], down: tuple[Array, Array], expert: Expert
) -> dict[str, Array]:
    tensors = {
        "gate_up_proj_weight": mx.pack(gate_up[0]).reshape(-1, *gate_up[0].shape[2:-1]),
        "down_proj_weight": mx.pack(down[0]).reshape(-1, *down[0].shape[2:-1]),
        "gate_up_proj_scale": gate_up[1],
        "down_proj_scale": down[1],
    }
    if expert.gate_up_bias is not None:
        tensors["gate_and_up_proj_bias"] = layout.arrange_bias(expert.gate_up_bias)
    if expert.down_bias is not None:
        tensors["down_proj_bias"] = np.pad(expert.down_bias, (0, layout.padded_H - layout.H))
    return tensors
