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
        weight_bytes: of an element of weights in HBM, scales of blocks included.
        has_biases: of both projections.
        is_mx: the weights are MX.
        has_row_scales: the products of the weights are multiplied with a scale of each column.
    """

    load: ExpectedLoad
    weight_bytes: float
    has_biases: bool = False
    is_mx: bool = False
    has_row_scales: bool = False
