"""Expert weights in the kernel's layouts, from torch tensors."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from nkimoe.errors import RequestError
from nkimoe.weights import experts_of, pack, packing_named
from nkimoe.weights.expert import H_MULTIPLE, I_MULTIPLE


@dataclass(frozen=True, eq=False)
class ExpertWeights:
    """What the operator takes for all experts of a rank.

    Attributes:
        gate_up: [E, H, 2, I], gate first; bytes (uint8) of fp8 if scaled. Up-only experts have a gate of zeros.
        down: [E, I, H].
        gate_up_bias, down_bias: [E, 2, I], [E, H] or None.
        gate_up_scale, down_scale: float32 as `moe_cte` takes them, or None.
    """

    gate_up: Tensor
    down: Tensor
    gate_up_bias: Tensor | None = None
    down_bias: Tensor | None = None
    gate_up_scale: Tensor | None = None
    down_scale: Tensor | None = None

    @property
    def n_experts(self) -> int:
        return self.down.shape[0]

    @property
    def requires_grad(self) -> bool:
        """Whether autograd follows any of the tensors."""
        return any(getattr(self, f.name) is not None and getattr(self, f.name).requires_grad for f in fields(self))

    def prepare(self, dtype: torch.dtype, packing: str, target: str) -> ExpertWeights:
        """Padded to the kernel's multiples of H and I, and in `dtype` or the named fp8 format.

        Padding with zeros changes nothing: act(0) * 0 = 0, and with an up offset the down rows are zero.

        Raises:
            RequestError: quantised weights cannot be trained.
        """
        if packing != "plain":
            return self._quantise(dtype, packing, target)
        H, I = -self.down.shape[2] % H_MULTIPLE, -self.down.shape[1] % I_MULTIPLE
        bias, down_bias = self.gate_up_bias, self.down_bias
        return ExpertWeights(
            pad(self.gate_up, (0, I, 0, 0, 0, H)).to(dtype).contiguous(),
            pad(self.down, (0, H, 0, I)).to(dtype).contiguous(),
            None if bias is None else pad(bias, (0, I)).to(dtype).contiguous(),
            None if down_bias is None else pad(down_bias, (0, H)).to(dtype).contiguous(),
        )

    def _quantise(self, dtype: torch.dtype, packing: str, target: str) -> ExpertWeights:
        if torch.is_grad_enabled() and self.requires_grad:
            raise RequestError(
                "weights", "is 'plain' when weights are trained", repr(packing), "Use torch.no_grad() for inference."
            )
        named = (self.gate_up, self.down, self.gate_up_bias, self.down_bias)
        packed = pack(
            experts_of(*(None if t is None else t.detach().float().cpu() for t in named)),
            packing_named(packing, target),
        )
        device = self.down.device

        def torch_of(name: str, view: str | None = None) -> Tensor:
            array = packed[name]
            return torch.from_numpy(np.ascontiguousarray(array if view is None else array.view(view))).to(device)

        return ExpertWeights(
            torch_of("gate_up_proj_weight", "uint8"),
            torch_of("down_proj_weight", "uint8"),
            torch_of("gate_and_up_proj_bias").to(dtype) if self.gate_up_bias is not None else None,
            torch_of("down_proj_bias").to(dtype) if self.down_bias is not None else None,
            torch_of("gate_up_proj_scale"),
            torch_of("down_proj_scale"),
        )
