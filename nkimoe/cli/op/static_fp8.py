# SPDX-License-Identifier: Apache-2.0
"""aiter's quantiser with one scale."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from nkimoe.cli.op.agreement import Agreement, codes_agree
from nkimoe.cli.op.inputs import DTYPES, normal_rows
from nkimoe.cli.op.request import OpRequest, choice, count
from nkimoe.cli.op.sizes import FP32, itemsize
from nkimoe.reference.row_quantisation import static_codes_reference

SCALE = 0.02  # of standard normal values: 240 times that is 4.8


@dataclass(frozen=True)
class StaticFp8(OpRequest):
    """Quantise to fp8 with one scale that is given (aiter)."""

    name: ClassVar[str] = "downcast_to_static_fp8"

    tokens: int = count(3328, "M.", "m")
    hidden: int = count(4096, "N, columns of a row.", "n")
    x_dtype: str = choice("bf16", tuple(DTYPES), "Type of x.", "prec", "--in")

    def arguments(self, rng: np.random.Generator) -> dict[str, Any]:
        x = normal_rows(rng, (self.tokens, self.hidden), DTYPES[self.x_dtype])
        return {"x": x, "scale": np.array([SCALE], np.float32)}

    def agreements(self, arguments: Mapping[str, Any], outputs: Any) -> list[Agreement]:
        return codes_agree(outputs, static_codes_reference(arguments["x"], SCALE, str(outputs.dtype)))

    @property
    def useful_bytes(self) -> int:
        return (itemsize(self.x_dtype) + 1) * self.tokens * self.hidden + FP32

    def heading(self) -> str:
        return f"[{self.x_dtype}] m:{self.tokens}, n:{self.hidden}"

    def peer_json(self) -> dict[str, Any]:
        return {"prec": self.x_dtype, "m": self.tokens, "n": self.hidden}
