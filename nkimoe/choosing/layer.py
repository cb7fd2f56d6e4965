# SPDX-License-Identifier: Apache-2.0
"""What an estimate needs to know of a layer beside its plan."""

from __future__ import annotations

from dataclasses import dataclass

from nkimoe.choosing.load import ExpectedLoad


@dataclass(frozen=True)
class Layer:
    """A layer on one rank.

    Attributes:
        load: what its router is expected to do.
        weight_bytes: of an element of weights in HBM, scales included.
        has_biases: of both projections.
        is_mx: the weights are MX.
    """

    load: ExpectedLoad
    weight_bytes: float
    has_biases: bool = False
    is_mx: bool = False
