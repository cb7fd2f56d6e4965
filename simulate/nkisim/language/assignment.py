# SPDX-License-Identifier: Apache-2.0
"""`tensor[key] = value`: a copy into a part of a tensor, by the instruction that reaches both."""

from __future__ import annotations

from typing import Any

import numpy as np

from nkisim.errors import ArgumentError
from nkisim.instructions.dma_copy import dma_copy
from nkisim.instructions.memset import memset
from nkisim.instructions.tensor_copy import tensor_copy
from nkisim.language.elementwise import broadcast
from nkisim.memory import NkiTensor


def assign(self: NkiTensor, key: Any, value: Any) -> None:
    """`self[key] = value`.

    On chip a tile is copied by `nisa.tensor_copy`, with sizes of 1 repeated, and a number is set by `nisa.memset`; to
    or from HBM a tensor is copied by `nisa.dma_copy`.

    Raises:
        ArgumentError: `value` is something else, or a number for HBM.
    """
    part, source = self[key], getattr(value, "data", value)
    if isinstance(source, NkiTensor):
        if not (part.buffer.is_on_chip and source.buffer.is_on_chip):
            dma_copy(part, source)
        elif part.ndim == source.ndim and all(n in (1, m) for n, m in zip(source.shape, part.shape, strict=True)):
            tensor_copy(part, broadcast(source, part.shape))
        else:
            tensor_copy(part, source)
    elif part.buffer.is_on_chip and isinstance(value, (int, float, np.number)):
        memset(part, value)
    else:
        raise ArgumentError(
            "a part of a tensor is assigned a tensor, or on chip a number",
            f"{type(value).__name__} for {part!r}",
            "Bring it into a tile with nl.load or nl.full first.",
        )


setattr(NkiTensor, "__setitem__", assign)  # noqa: B010
