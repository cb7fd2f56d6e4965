# SPDX-License-Identifier: Apache-2.0
"""Activations that are multiplied with a row of their expert before they are quantised."""

from __future__ import annotations

from nkimoe.kernels.stages.expert_vectors import ExpertVectors, Vector, Vectors
from nkimoe.kernels.stages.tiled_inner import TiledAlongInner
from nkimoe.planning.request import Smooth


class SmoothVectors:
    """The rows of the expert at hand. Both come with gate and up weights, before whose last use both are used.

    Attributes:
        hidden: fp32 [128, H], the same on all partitions.
        intermediate: fp32 [128, 1, I/128].
    """

    def __init__(self, smooth: Smooth, small: ExpertVectors, along: TiledAlongInner, vectors: Vectors) -> None:
        self.hidden: Vector = vectors.add(small.smooth_hidden(smooth.hidden))
        self.intermediate: Vector = vectors.add(along.factors(smooth.intermediate))
