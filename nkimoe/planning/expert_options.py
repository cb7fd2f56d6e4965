# SPDX-License-Identifier: Apache-2.0
"""What an operation's kernel of experts is traced with, beside its tensors."""

from __future__ import annotations

from dataclasses import dataclass

from nkimoe.spec import ActFnType


@dataclass(frozen=True)
class ExpertOptions:
    """Constants of one launch.

    Attributes:
        block_size: slots of a block.
        compute_dtype: of matmul operands.
        choices: k of pairs (token, choice).
        rounds_each: each choice's result is rounded to the type of the output before they are added.
        has_gaps: some pairs have no slot.
        activation: of the gate.
        gated: False: gate weights are not used, and the activation is that of up.
        activation_quantization, exact_rows: as of `moe_cte` and `QuantizationConfig`.
    """

    block_size: int
    compute_dtype: str
    choices: int = 1
    rounds_each: bool = True
    has_gaps: bool = False
    activation: ActFnType = ActFnType.SiLU
    gated: bool = True
    activation_quantization: str | None = None
    exact_rows: int | None = None
