"""Expert weights in the kernel's layouts, from torch tensors."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from nkimoe.errors import RequestError
from nkimoe.pytorch.operator import BIASES, SCALES
from nkimoe.weights import experts_of, pack, packing_named
from nkimoe.weights.expert import H_MULTIPLE, I_MULTIPLE


@dataclass(frozen=True, eq=False)
class ExpertWeights:
    """What the operator takes for all experts of a rank.

    Attributes:
        gate_up: [E, H, 2, I], gate first; bytes (uint8) of fp8 if scaled. Up-only experts have a gate of zeros.
        down: [E, I, H].
        biases: of gate/up [E, 2, I] and of down [E, H], or empty.
        scales: of gate/up and of down, float32 as `moe_cte` takes them, or empty.
    """

    gate_up: Tensor
    down: Tensor
    biases: list[Tensor] = field(default_factory=list)
    scales: list[Tensor] = field(default_factory=list)

    @property
    def n_experts(self) -> int:
        return self.down.shape[0]

    @property
    def requires_grad(self) -> bool:
        """Whether autograd follows any of the tensors."""
        return any(tensor.requires_grad for tensor in (self.gate_up, self.down, *self.biases))

    def prepare(self, dtype: torch.dtype, packing: str, target: str) -> ExpertWeights:
        """Padded to the kernel's multiples of H and I, and in `dtype` or the named fp8 format.

        Padding with zeros changes nothing: act(0) * 0 = 0, and with an up offset the down rows are zero.

        Raises:
            RequestError: quantised weights cannot be trained.
        """
        if packing != "plain":
            return self._quantise(dtype, packing, target)
        H, I = -self.down.shape[2] % H_MULTIPLE, -self.down.shape[1] % I_MULTIPLE
        columns = ((0, I), (0, H))  # of the bias of gate/up, and of down
        return ExpertWeights(
            pad(self.gate_up, (0, I, 0, 0, 0, H)).to(dtype).contiguous(),
            pad(self.down, (0, H, 0, I)).to(dtype).contiguous(),
            [pad(bias, more).to(dtype).contiguous() for bias, more in zip(self.biases, columns, strict=False)],
        )

    def _quantise(self, dtype: torch.dtype, packing: str, target: str) -> ExpertWeights:
        if torch.is_grad_enabled() and self.requires_grad:
            raise RequestError(
                "weights", "is 'plain' when weights are trained", repr(packing), "Use torch.no_grad() for inference."
            )
        plain = (t.detach().float().cpu() for t in (self.gate_up, self.down, *self.biases))
        packed = pack(experts_of(*plain), packing_named(packing, target))
        device = self.down.device

        def tensor(name: str, view: str) -> Tensor:
            return torch.from_numpy(np.ascontiguousarray(packed[name].view(view))).to(device)

        return ExpertWeights(
            tensor("gate_up_proj_weight", "uint8"),
            tensor("down_proj_weight", "uint8"),
            [tensor(name, "float32").to(dtype) for name in BIASES if name in packed],
            [tensor(name, "float32") for name in SCALES],
        )
