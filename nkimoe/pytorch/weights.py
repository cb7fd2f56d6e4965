# SPDX-License-Identifier: Apache-2.0
"""Expert weights in the kernel's layouts, from torch tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from nkimoe.errors import RequestError, require
from nkimoe.pytorch.launch import WEIGHTS
from nkimoe.pytorch.operator import BIASES, SCALES
from nkimoe.pytorch.options import FP8_BLOCK, INT8, PLAIN
from nkimoe.weights import MX_FORMATS, exact_rows, experts_of, pack, packing_named
from nkimoe.weights.expert import H_MULTIPLE, I_MULTIPLE, Expert
from nkimoe.weights.fp8_blocks import Fp8BlockExpert
from nkimoe.weights.host_array import host_array

MX_I_MULTIPLE = 64  # of an MX kernel that gives half of I to each core


@dataclass(frozen=True, eq=False)
class ExpertWeights:
    """What the operator takes for all experts of a rank.

    Attributes:
        gate_up: [E, H, 2, I], gate first. Up-only experts have a gate of zeros.
        down: [E, I, H]. Quantised, both are integers of the same size, and MX ones in the layouts of `moe_cte`. A
            model in int8 has them so before they are prepared, one in fp8 with a scale for 128 x 128 as float8_e4m3fn.
        biases: of gate/up [E, 2, I] and of down [E, H], or empty.
        scales: of gate/up and of down, float32 as `moe_cte` takes them, or empty.
        unpadded_H: the layer's H, where the tensors have been padded.
        exact_rows: of int8 weights whose activations become int8, too (`nkimoe.weights.exact_rows`); else None.
    """

    gate_up: Tensor
    down: Tensor
    biases: list[Tensor] = field(default_factory=list)
    scales: list[Tensor] = field(default_factory=list)
    unpadded_H: int | None = None
    exact_rows: int | None = None

    @property
    def H(self) -> int:
        """Of the layer."""
        return self.down.shape[-1] if self.unpadded_H is None else self.unpadded_H

    @property
    def n_experts(self) -> int:
        return self.down.shape[0]

    @property
    def requires_grad(self) -> bool:
        """Whether autograd follows any of the tensors."""
        return any(tensor.requires_grad for tensor in (self.gate_up, self.down, *self.biases))

    def prepare(self, dtype: torch.dtype, packing: str, target: str) -> ExpertWeights:
        """Padded to the kernel's multiples of H and I, and in `dtype` or the named format; int8 and fp8 stay.

        Padding with zeros changes nothing: act(0) * 0 = 0, and with an up offset the down rows are zero.

        Raises:
            RequestError: quantised weights cannot be trained, nor int8 and fp8 ones be packed in another format.
        """
        if self.down.dtype == torch.float8_e4m3fn:
            rule, fix = f"is {FP8_BLOCK} for experts in fp8", "Load the model dequantised for other formats."
            require(packing == FP8_BLOCK, "weights", rule, repr(packing), fix)
        if self.down.dtype == torch.int8:
            return self._keep_int8(dtype, packing)
        if packing != PLAIN:
            return self._quantise(dtype, packing, target)
        padded = self._padded(H_MULTIPLE, I_MULTIPLE)
        gate_up, down, *biases = (t.to(dtype).contiguous() for t in (padded.gate_up, padded.down, *padded.biases))
        return ExpertWeights(gate_up, down, biases, unpadded_H=self.H)

    def _keep_int8(self, dtype: torch.dtype, packing: str) -> ExpertWeights:
        rule, fix = f"is {PLAIN} or {INT8} for experts in int8", "Load the model dequantised for other formats."
        require(packing in (PLAIN, INT8), "weights", rule, repr(packing), fix)
        padded, (gate_up_scale, down_scale) = self._padded(H_MULTIPLE, I_MULTIPLE), self.scales
        (_, H, _, I), E = padded.gate_up.shape, self.n_experts
        halves = pad(gate_up_scale.reshape(E, 2, -1), (0, I - self.down.shape[1]))
        scales = [halves.reshape(E, 1, 2 * I), pad(down_scale.reshape(E, 1, -1), (0, H - self.H))]
        gate_up, down = padded.gate_up.contiguous(), padded.down.contiguous()
        rows = self.exact_rows
        if rows is not None and not torch.compiler.is_compiling():  # a graph holds no values: the number for any
            rows = exact_rows(*(host_array("weights", codes.cpu()) for codes in (gate_up, down)))
        return ExpertWeights(gate_up, down, [bias.to(dtype) for bias in padded.biases], scales, self.H, rows)

    def _padded(self, h_multiple: int, i_multiple: int) -> ExpertWeights:
        H, I = -self.down.shape[2] % h_multiple, -self.down.shape[1] % i_multiple
        columns = ((0, I), (0, H))  # of the bias of gate/up, and of down
        return ExpertWeights(
            pad(self.gate_up, (0, I, 0, 0, 0, H)),
            pad(self.down, (0, H, 0, I)),
            [pad(bias, more) for bias, more in zip(self.biases, columns, strict=False)],
        )

    def _experts(self, packing: str) -> Sequence[Expert]:
        """On the host, as `nkimoe.weights` has them."""
        if not self.scales:
            whole = self._padded(1, MX_I_MULTIPLE) if packing in MX_FORMATS else self
            return experts_of(*(t.detach().float().cpu() for t in (whole.gate_up, whole.down, *whole.biases)))
        tensors = (self.gate_up, self.down, *self.scales, *self.biases)
        gate_up, down, gate_up_scale, down_scale, *biases = (host_array("weights", t.detach().cpu()) for t in tensors)
        return [
            Fp8BlockExpert(
                gate_up[e], down[e], *(b[e] for b in biases), gate_up_scale=gate_up_scale[e], down_scale=down_scale[e]
            )
            for e in range(self.n_experts)
        ]

    def _quantise(self, dtype: torch.dtype, packing: str, target: str) -> ExpertWeights:
        if torch.is_grad_enabled() and self.requires_grad:
            raise RequestError(
                "weights", "is 'plain' when weights are trained", repr(packing), "Use torch.no_grad() for inference."
            )
        packed = pack(self._experts(packing), packing_named(packing, target))
        device = self.down.device

        def tensor(name: str) -> Tensor:
            array = np.ascontiguousarray(packed[name])
            is_torchs = array.dtype == np.int8 or (array.dtype.kind == "f" and array.itemsize > 1)
            return torch.from_numpy(array if is_torchs else array.view(f"uint{8 * array.itemsize}")).to(device)

        return ExpertWeights(
            tensor("gate_up_proj_weight"),
            tensor("down_proj_weight"),
            [tensor(name).to(dtype) for name in BIASES if name in packed],
            [tensor(name) for name in SCALES],
            self.H,
            exact_rows(*(packed[name] for name in WEIGHTS)) if packing == INT8 else None,
        )
